"""Train the shipped scenarios with several seeds and evaluate them on held-out games; writes
docs/reports/learned.md.

python -m benchmarks.learned [--seeds 3]
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

PAGE = Path(__file__).parent.parent / "docs" / "reports" / "learned.md"
FRESH = 4242  # seed of the games that judge; a run's own evaluations have others
GAMES = 2000


def trained(name: str, seeds: int) -> Iterator[tuple[int, object, dict[str, float], float, int]]:
    """Seed, policy, the last metrics, seconds and steps of a shipped scenario, run by run."""
    from scenarios import Run, find

    for seed in range(seeds):
        with tempfile.TemporaryDirectory() as folder:
            run = Run.create(find(name, seed=seed), Path(folder) / "run")
            (result,) = run.execute()
            yield seed, run.policy(), result.metrics, result.seconds, result.steps


def share(values: np.ndarray) -> str:
    """A mean with its standard error."""
    return f"{values.mean():.3f} ± {values.std(ddof=1) / np.sqrt(len(values)):.3f}"


def navigation(seeds: int) -> list[str]:
    from marl.evaluation.episodes import evaluate

    games = {
        "4 agents": "navigation(agents=4)",
        "8": "navigation(agents=8)",
        "16": "navigation(agents=16)",
        "8, area 2.83 m": "navigation(agents=8,area=2.83)",
        "16, area 4 m": "navigation(agents=16,area=4)",
    }
    lines = [
        "## Discs that are to reach their goals: `schelling run navigation`",
        "",
        f"Success on {GAMES:,} fresh games, the likeliest actions: the share of agents that end at",
        "their goals and never touched anybody. Trained with 4 agents in an area of 2 m; the areas",
        "of 2.83 m and 4 m give 8 and 16 agents as much room each. A run stops once .97 is",
        "reached on the 500 games that it looks at, or after 10 minutes.",
        "",
        "| seed | seconds | steps | " + " | ".join(games) + " |",
        "|---" * (3 + len(games)) + "|",
    ]
    for seed, policy, _, seconds, steps in trained("navigation", seeds):
        found = [
            share(evaluate(policy, game, episodes=GAMES, seed=FRESH, greedy=True).info["success"])
            for game in games.values()
        ]
        lines.append(f"| {seed} | {seconds:.0f} | {steps:,} | " + " | ".join(found) + " |")
    return lines


def poker(name: str, title: str, seeds: int) -> list[str]:
    lines = [
        f"## {title}: `schelling run {name}`",
        "",
        "Exact NashConv of the network as a strategy, and of the average of all looks so far. A",
        "run stops at the first look at which the network is at its target.",
        "",
        "| seed | seconds | steps | NashConv | of the average | entropy |",
        "|---|---|---|---|---|---|",
    ]
    for seed, _, last, seconds, steps in trained(name, seeds):
        lines.append(
            f"| {seed} | {seconds:.0f} | {steps:,} | {last['nash_conv']:.3f} | "
            f"{last['nash_conv_average']:.3f} | {last['entropy']:.2f} |"
        )
    return lines


def responder(seeds: int) -> list[str]:
    """The learned lower bound on exploitability, compared with the exact one."""
    from marl import InformationSets, Policy, exploitability_lower_bound
    from marl.networks.network import Network

    lines = [
        "## Approximate exploitability, where the exact one is known",
        "",
        "Of an untrained network: `exploitability_lower_bound` with its 95% interval, and the",
        "exact value, NashConv / 2.",
        "",
        "| game | seed | updates a seat | lower bound | interval | exact |",
        "|---|---|---|---|---|---|",
    ]
    for game, updates in (("kuhn_poker", 20), ("leduc_poker", 100)):
        sets = InformationSets(game)
        for seed in range(seeds):
            policy = Policy.new(game, sets.spec, Network(), seed=seed)
            bound = exploitability_lower_bound(policy, updates=updates, seed=seed)
            low, high = bound.interval
            lines.append(
                f"| {game} | {seed} | {updates} | {bound.value:.3f} | {low:.3f} to {high:.3f} | "
                f"{sets.nash_conv(policy) / 2:.3f} |"
            )
    return lines


def tictactoe(seeds: int) -> list[str]:
    from marl.evaluation.actors import Uniform
    from marl.evaluation.episodes import evaluate

    lines = [
        "## Tic-tac-toe against somebody who plays at random: `schelling run tictactoe`",
        "",
        f"Games won of {GAMES:,} fresh ones, half of them in each seat; a draw is not won.",
        "",
        "| seed | seconds | steps | actions drawn | the likeliest |",
        "|---|---|---|---|---|",
    ]
    for seed, policy, _, seconds, steps in trained("tictactoe", seeds):
        rival = Uniform(policy.spec)
        won = [
            share(
                evaluate(policy, episodes=GAMES, seed=FRESH, greedy=greedy, against=rival).own > 0
            )
            for greedy in (False, True)
        ]
        lines.append(f"| {seed} | {seconds:.0f} | {steps:,} | {won[0]} | {won[1]} |")
    return lines


def main() -> None:
    from games.common.workers import running_ray

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    seeds = parser.parse_args().seeds
    sections: list[Callable[[], list[str]]] = [
        lambda: navigation(seeds),
        lambda: poker("leduc-selfplay", "Leduc poker by self-play (uniform play: 4.75)", seeds),
        lambda: poker("kuhn-selfplay", "Kuhn poker by self-play (uniform play: 0.92)", seeds),
        lambda: responder(seeds),
        lambda: tictactoe(seeds),
    ]
    lines = [
        "# What is learned",
        "",
        f"Written by `make learned`: the shipped scenarios, {seeds} seeds each, one process, one",
        f"torch thread, on a machine with {os.cpu_count()} CPUs. Seconds are the run's own, Ray's",
        "start left out, looks and evaluations included.",
    ]
    with running_ray(cpus=1):
        for section in sections:
            lines += ["", *section()]
            print("\n".join(lines[-12:]), flush=True)
    PAGE.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
