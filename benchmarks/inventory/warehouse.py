"""How many traces of demand a graph network needs where a plain one needs more: one warehouse.

python -m benchmarks.inventory.warehouse [--quick]

A warehouse and ten stores. Networks learn from N traces, which are played again and again; the best
policy of a run is chosen on other traces, and judged on yet others, the same for all.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import numpy as np  # noqa: E402
import torch  # noqa: E402

GAME = "inventory.one_warehouse(stores=10,periods=50)"
SCENARIOS = {"vanilla": "one-warehouse", "GNN": "one-warehouse-graph"}
TRACES = {"vanilla": (16, 64, 256, 1024, 8192), "GNN": (4, 16, 64, 256, 1024, 8192)}
RULES = ("echelon-stock", "base-stock")
SEEDS = (0,)
GAMES = 64  # of a gradient step; of fewer traces, as many as there are
CHOOSING, JUDGING = 777, 4242  # seeds of the paths that choose and that judge
JUDGED = {"games": 512, "periods": 500, "ignore": 100}
QUICK = {"games": 16, "periods": 60, "ignore": 10}


@dataclass(frozen=True)
class Learned:
    policy: Any  # the best of the run, on the paths that choose
    seconds: float  # of processor time, of training
    steps: int  # gradient steps of the run
    at: int  # after how many of them the policy was the best


def learn(scenario: str, traces: int, seed: int, quick: bool = False) -> Learned:
    """A shipped scenario on N traces of demand; gradient steps do not depend on N."""
    from games.load import simulator
    from games.names import altered
    from marl.rules.inventory import costs, paths
    from scenarios import find

    whole = find(scenario)
    method, game = whole.method, simulator(whole.game)
    games = min(traces, GAMES)
    periods: int = game.periods  # type: ignore[attr-defined]
    steps = whole.stop.steps // (method.num_envs * periods)
    steps = method.updates if quick else steps
    plan = find(
        scenario,
        [
            f"game={altered(whole.game, {'traces': traces, 'trace_seed': 1 + seed})}",
            f"method.num_envs={games}",
            f"stop.steps={whole.stop.steps * games // method.num_envs}",
            f"seed={seed}",
        ],
    )
    choosing = paths(game, 16 if quick else 256, 100, seed=CHOOSING)
    best, least, at, seconds, done = None, float("inf"), 0, 0.0, 0
    with plan.start() as training:
        while done < steps:
            began = time.process_time()
            training.step()
            seconds += time.process_time() - began
            done = training.steps // (games * periods)
            if done % (2 * method.updates) and done < steps:
                continue
            policy = training.policy()
            found = costs(game, policy, choosing, ignore=50).mean
            if found < least:
                best, least, at = policy, found, done
    return Learned(best, seconds, done, at)


def rule(kind: str, quick: bool) -> Any:
    """A rule's best numbers, found by gradients on fresh traces."""
    from games.load import simulator
    from marl.rules.inventory import tune

    game: Any = simulator(GAME)
    return tune(game, kind, games=256, seed=CHOOSING, steps=5 if quick else 200).rule


def judge(policies: Mapping[str, Any], quick: bool) -> dict[str, Any]:
    """What policies cost on the traces that judge."""
    from games.load import simulator
    from marl.rules.inventory import compare

    game: Any = simulator(GAME)
    return compare(game, policies, seed=JUDGING, **(QUICK if quick else JUDGED))


def verdicts(costs: Mapping[tuple[str, int], Any]) -> list[str]:
    """For every number of the vanilla network's traces, the fewest with which the GNN is no worse.

    Args:
        costs: of a network's kind and number of traces, on the same paths.
    """
    lines, held = [], []
    for many in TRACES["vanilla"]:
        enough = [
            few for few in TRACES["GNN"]
            if (costs["GNN", few] - costs["vanilla", many]).mean <= 0
        ]  # fmt: skip
        if not enough:
            few = min(TRACES["GNN"], key=lambda n: costs["GNN", n].mean)
            lines.append(
                f"- vanilla at {many:,} traces: the GNN is not there with any number of them; with "
                f"{few:,} it costs {_difference(costs['GNN', few] - costs['vanilla', many])}."
            )
            held.append(False)
            continue
        few = enough[0]
        ratio = "as many" if few == many else f"{few / many:g} times as many"
        if few < many:
            ratio = f"1/{many / few:g} of them"
        difference = _difference(costs["GNN", few] - costs["vanilla", many])
        lines.append(
            f"- vanilla at {many:,} traces: the GNN is there with {few:,}, {ratio}: {difference}."
        )
        held.append(4 * few <= many)
    said = (
        "The GNN needs at most a quarter of the vanilla network's traces at every size."
        if all(held)
        else f"The GNN needs at most a quarter of the vanilla network's traces at {sum(held)} of "
        f"{len(held)} sizes."
    )
    return [*lines, "", said]


def warehouse(quick: bool = False, say: Callable[[str], None] = lambda _: None) -> list[str]:
    """Lines of the section.

    Args:
        quick: see that it runs; the figures mean nothing.
        say: called with a line after every run.
    """
    from analysis.references import reference
    from marl.rules.inventory import Costs

    bound = reference(GAME)
    assert bound is not None
    costs: dict[tuple[str, int], Any] = {}
    seconds: dict[tuple[str, int], float] = {}
    runs: dict[str, Learned] = {}
    for kind, sizes in TRACES.items():
        for traces in sizes:
            each = []
            for seed in SEEDS:
                one = runs[kind] = learn(SCENARIOS[kind], traces, seed, quick)
                each.append(judge({"own": one.policy}, quick)["own"])
                seconds[kind, traces] = seconds.get((kind, traces), 0.0) + one.seconds / len(SEEDS)
                say(
                    f"{kind} {traces} traces, seed {seed}: {each[-1].mean:.3f}, best after "
                    f"{one.at} of {one.steps} steps, {one.seconds:.0f} s"
                )
            costs[kind, traces] = Costs(np.mean([found.by_path for found in each], axis=0))
    rules = judge({kind: rule(kind, quick) for kind in RULES}, quick)

    def cell(found: Any) -> str:
        over = found.over(bound.value)
        low, high = over.interval
        return f"{found.mean:.2f}: {100 * over.mean:.1f} ({100 * low:.1f} to {100 * high:.1f})"

    def row(traces: int) -> str:
        cells, both = [f"{traces:,}"], []
        for kind in TRACES:
            found = costs.get((kind, traces))
            cells += ["", ""] if found is None else [cell(found), f"{seconds[kind, traces]:.0f}"]
            both += [] if found is None else [found]
        if len(both) == 2:
            cells.append(_difference(both[1] - both[0]))
        else:
            cells.append("")
        return "| " + " | ".join(cells) + " |"

    given = JUDGED if not quick else QUICK
    shapes = {kind: _shape(one.policy.networks["planner"].config) for kind, one in runs.items()}
    return [
        "A warehouse and ten stores of costs and lead times of their own, N(mean, sd) clipped at",
        f"0, correlated, lost sales; the bound is {bound.value:.2f}: {bound.source}. HDPO on N",
        f"traces of demand of 50 periods, {GAMES} games (N, if that is less) a gradient step; the",
        f"vanilla network, {shapes['vanilla']}, takes {runs['vanilla'].steps:,} of them, and the",
        f"GNN, {shapes['GNN']}, {runs['GNN'].steps:,}, which take about as long. Of a run the",
        "policy counts that is best on 256 other traces of 100 periods. Judged on",
        f"{given['games']:,} fresh paths of {given['periods']:,} periods, of which",
        f"{given['ignore']:,} do not count, the same for all. A cell is the cost a period and what",
        "it is above the bound, in percent. Stock at the start of a game is drawn anew whatever N.",
        f"{'One seed' if len(SEEDS) == 1 else f'The mean of {len(SEEDS)} seeds'} a run; intervals",
        "are of the paths that judge, not of training. Seconds are of a processor.",
        "",
        "| N | vanilla: % above (95%) | seconds | GNN: % above (95%) | seconds | difference |",
        "|---|---:|---:|---:|---:|---:|",
        *(row(n) for n in sorted({n for sizes in TRACES.values() for n in sizes})),
        "",
        *(f"Tuned {kind}, on fresh traces: {cell(found)}." for kind, found in rules.items()),
        "",
        *verdicts(costs),
    ]


def _difference(paired: Any) -> str:
    low, high = paired.interval
    return f"{paired.mean:+.2f} ({low:+.2f} to {high:+.2f})"


def _shape(config: Any) -> str:
    return f"{len(config.hidden)} x {config.hidden[0]}"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="see that it runs")
    quick = parser.parse_args().quick
    torch.set_num_threads(1)

    from games.common.workers import running_ray

    with running_ray(cpus=1):
        print(*warehouse(quick, lambda line: print(line, flush=True)), sep="\n")


if __name__ == "__main__":
    main()
