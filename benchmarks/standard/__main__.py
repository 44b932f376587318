"""Train the standard methods beside BenchMARL's; writes docs/reports/standard.md and its pictures.

    python -m benchmarks.standard [--benchmarl PYTHON] [--only simple_spread] [--methods mappo]

What is in the cache is not run again; `--page` writes the page of what there is. With `--speed`
only a few updates are run, ours and BenchMARL's in turn; the page takes its speeds from those where
both sides have them, and from the whole runs otherwise.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

from benchmarks.page import processor
from benchmarks.standard.report import Curves, Found, curves, draw, section, summary
from benchmarks.standard.runs import ROOT, Run, carry_out, needed, result
from benchmarks.standard.tasks import EPISODES, METHODS, SIDES, TASKS, Side
from games.common.errors import InputError

PAGE = ROOT / "docs" / "reports" / "standard.md"
IMAGES = ROOT / "docs" / "images"
CACHE = ROOT / "build" / "standard"


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.standard", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--benchmarl", default=sys.executable, help="an interpreter that has it")
    parser.add_argument("--only", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--side", choices=SIDES, help="run this side alone")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, help="environment steps of a run; default: a table's")
    parser.add_argument(
        "--speed", action="store_true", help="a few updates of each side in turn, one at a time"
    )
    parser.add_argument("--jobs", type=int, default=2, help="runs at once")
    parser.add_argument("--cache", type=Path, default=CACHE, help="folder of results")
    parser.add_argument("--page", action="store_true", help="run nothing; write the page")
    return parser.parse_args()


def found_in(cache: Path, given: argparse.Namespace) -> Found:
    """Curves of the scenarios and methods of which the cache has runs."""
    found: dict[tuple[str, str], dict[Side, Curves]] = {}
    for task, name in product(TASKS, METHODS):
        names: dict[Side, str] = {"ours": name, "benchmarl": METHODS[name].peer}
        runs = {side: stored(cache, task, side, of, given) for side, of in names.items()}
        # Speeds are compared with speeds that were measured alike.
        alike = all(short for _, short in runs.values())
        sides: dict[Side, Curves] = {
            side: curves(whole, short if alike else ())
            for side, (whole, short) in runs.items()
            if whole
        }
        if sides:
            found[task, name] = sides
    return found


def stored(
    cache: Path, task: str, side: Side, method: str, given: argparse.Namespace
) -> tuple[list[list[Any]], list[list[Any]]]:
    """The points of whole runs, and of short ones."""
    steps = given.steps or TASKS[task].steps

    def each(short: bool) -> list[list[Any]]:
        runs = (Run(task, side, method, seed, steps, short) for seed in range(given.seeds))
        return [points for run in runs if (points := result(cache, run)) is not None]

    return each(False), each(True)


def head(seeds: int) -> list[str]:
    return [
        "# The standard methods beside BenchMARL's",
        "",
        "Written by `make learned` (`python -m benchmarks.standard`, with `--only` parts of it).",
        f"{seeds} seeds a method, each run a process with one torch thread on a machine with",
        f"{os.cpu_count()} CPUs ({processor()}), BenchMARL 1.5 on the same machine.",
        "",
        "**Return**: the sum of an agent's rewards over a game, undiscounted, as a mean over the",
        f"agents and over {EPISODES} games, in which the likeliest actions are played (PPO draws",
        "its actions where that is said). A run's final return is the mean of its last three",
        "evaluations; ± is the seeds' 95% interval. *At* means that the interval of the difference",
        "contains 0. In pictures: means over seeds, a band from the lowest to the highest seed.",
        "",
        "**Speed**: environment steps of all games together per second of the process's processor",
        "time, playing and learning, without evaluation and without the first update; medians of",
        "runs. `ratio, wall` is the same from the clock on the wall.",
        "",
        "**Alike on both sides**: steps, networks (two hidden layers, tanh, one for all agents of",
        "a role), games at once, steps between updates, gradient steps, batches, replay, learning",
        "rate, discount, target networks, exploration. Each side keeps its own where the other has",
        "no such parameter. BenchMARL has no MATD3: ours stands beside its MADDPG. In games of",
        "VMAS BenchMARL takes the time limit for an end of the game, after which nothing is worth",
        "anything; ours bootstraps there. In those of mpe2 both bootstrap, and BenchMARL's central",
        "critics and mixers read the state of the game, ours the observations of all agents.",
    ]


def write(found: Found, seeds: int, page: Path, images: Path) -> None:
    """Write the page and its pictures."""
    lines = [*head(seeds), "", *summary(found)]
    for task in dict.fromkeys(task for task, _ in found):
        picture = images / f"standard-{task.replace('_', '-')}.png"
        draw(task, found, picture)
        relative = os.path.relpath(picture, page.parent)
        lines += [f"## {TASKS[task].title}", "", *section(task, found, relative), ""]
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")


def main() -> int:
    given = parsed()
    runs: Sequence[Run] = needed(
        given.only, given.methods, given.seeds, given.steps, short=given.speed
    )
    if given.side:
        runs = [run for run in runs if run.side == given.side]
    if not given.page:
        try:
            jobs = 1 if given.speed else given.jobs
            for line in carry_out(runs, given.cache, given.benchmarl, jobs):
                print(line, flush=True)
        except InputError as error:
            print(error, file=sys.stderr)
            return 2
        if given.side:
            return 0
    found = found_in(given.cache, given)
    if not found:
        print(f"{given.cache} has no results of these parameters", file=sys.stderr)
        return 2
    write(found, given.seeds, PAGE, IMAGES)
    print(PAGE)
    return 0


if __name__ == "__main__":
    sys.exit(main())
