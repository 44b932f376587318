"""Runs of both sides, each a child process, with results in a folder: what is there stays.

A result counts if it is of the same parameters, so that an interrupted page continues, and a
changed parameter is measured again.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.standard.tasks import EPISODES, EVALUATIONS, METHODS, TASKS, Side
from games.common.errors import InputError

ROOT = Path(__file__).parents[2]
SHORT_UPDATES = 13  # the first of which warms up
LINES_SHOWN = 8  # of what a run that failed wrote last


@dataclass(frozen=True)
class Run:
    """One run of one side; `method` is that side's name of it."""

    task: str
    side: Side
    method: str
    seed: int
    steps: int  # of a whole run
    short: bool = False  # a few updates alone, for their speed

    @property
    def name(self) -> str:
        kind = "-short" if self.short else ""
        return f"{self.task}-{self.side}-{self.method}-{self.seed}{kind}"

    def given(self) -> dict[str, Any]:
        """Everything that the run depends on, as the child process reads it."""
        task = TASKS[self.task]
        ours = self.side == "ours"
        method = METHODS[self.method] if ours else peers()[self.method]
        shared = task.shared(method)
        update = shared["num_envs"] * shared["rollout_length"]
        every = max(self.steps // EVALUATIONS // update, 1) * update  # BenchMARL asks for multiples
        if self.short:
            every = SHORT_UPDATES * update
        known = {
            "method": self.method,
            "shared": shared,
            "steps": every if self.short else self.steps // every * every,
            "every": every,
            "episodes": EPISODES if not self.short else 1,
            "greedy": not (task.sampled and method.on_policy),
            "seed": self.seed,
        }
        if ours:
            game = task.game.format(continuous=task.spelled(not task.discrete(method)))
            return {**known, "game": game, "own": dict(method.own)}
        peer = {"library": task.library, "name": task.peer, "config": dict(task.config)}
        if "exploration" in shared and not method.discrete:
            scale = task.half_range
            shared["exploration"] = [scale * value for value in shared["exploration"]]
        return {**known, "task": peer, "continuous": not task.discrete(method)}

    def command(self, benchmarl: str) -> list[str]:
        given = json.dumps(self.given())
        if self.side == "ours":
            return [sys.executable, "-m", "benchmarks.standard.ours", given]
        return [benchmarl, str(ROOT / "benchmarks" / "standard" / "peer.py"), given]


def peers() -> dict[str, Any]:
    """BenchMARL's methods by name, each with the first method of ours that it is compared with."""
    return {method.peer: method for method in reversed(METHODS.values())}


def needed(
    tasks: Iterable[str],
    methods: Iterable[str],
    seeds: int,
    steps: int | None,
    short: bool = False,
) -> list[Run]:
    """The runs of a page, all methods with the first seed first; BenchMARL's own only once."""
    found = {
        Run(task, side, name, seed, steps or TASKS[task].steps, short): None
        for seed in range(seeds)
        for task in tasks
        for method in methods
        for side, name in (("ours", method), ("benchmarl", METHODS[method].peer))
    }
    return list(found)


def result(cache: Path, run: Run) -> list[dict[str, Any]] | None:
    """The points of a run's curve, if they are known."""
    path = cache / f"{run.name}.json"
    if not path.exists():
        return None
    known = json.loads(path.read_text(encoding="utf-8"))
    # As JSON: what was read has lists where tables have tuples.
    same = known["given"] == json.loads(json.dumps(run.given()))
    return known["points"] if same else None


def carry_out(runs: Iterable[Run], cache: Path, benchmarl: str, jobs: int) -> Iterator[str]:
    """Carry out runs, `jobs` at once; yields a line of each that ended.

    Raises:
        InputError: the interpreter for BenchMARL does not have it.
    """
    cache.mkdir(parents=True, exist_ok=True)
    missing = [run for run in runs if result(cache, run) is None]
    if any(run.side == "benchmarl" for run in missing):
        require_benchmarl(benchmarl)
    with ThreadPoolExecutor(jobs) as pool:
        started = {pool.submit(one, run, cache, benchmarl): run for run in missing}
        for number, future in enumerate(as_completed(started), 1):
            yield f"[{number}/{len(missing)}] {started[future].name}: {future.result()}"


def one(run: Run, cache: Path, benchmarl: str) -> str:
    """Carry out one run; its result is written only when it is whole."""
    done = subprocess.run(run.command(benchmarl), capture_output=True, text=True, cwd=ROOT)
    points = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"steps"')]
    if done.returncode or not points:
        last = done.stderr.strip().splitlines()[-LINES_SHOWN:]
        return "\n    ".join([f"failed, status {done.returncode}", *last])
    path = cache / f"{run.name}.json"
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps({"given": run.given(), "points": points}), encoding="utf-8")
    partial.rename(path)
    returns = points[-1]["returns"]
    return f"return {sum(returns) / len(returns):.2f} after {points[-1]['seconds']:.0f} s"


def require_benchmarl(python: str) -> None:
    """Raise InputError if an interpreter cannot import benchmarl."""
    try:
        probe: Mapping[str, Any] | Any = subprocess.run(
            [python, "-c", "import benchmarl"], capture_output=True
        )
    except OSError:
        raise InputError(f"--benchmarl {python}: there is no such interpreter") from None
    if probe.returncode:
        raise InputError(
            f"{python} does not have benchmarl: install the extra bench, or name an interpreter "
            "that has it with --benchmarl"
        )
