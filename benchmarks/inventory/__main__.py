"""What inventory policies cost, learned, tuned and at best; writes docs/reports/inventory.md.

python -m benchmarks.inventory [--only lost-sales serial ...] [--quick]

Every policy of a table is played on the same fresh paths of demand. Where the optimum is known so
is its policy, which is played too: a gap is the mean of paired differences, so that what demand did
on those paths cancels out, over the optimum as it was computed.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import numpy as np  # noqa: E402
import torch  # noqa: E402

from benchmarks.page import Page, Section, quick, table  # noqa: E402

PAGE = Path(__file__).parents[2] / "docs" / "reports" / "inventory.md"
FRESH = 4242  # seed of the paths that judge
QUICK = quick()
HEAD = """# What inventory policies cost

`make inventory` writes this page (`python -m benchmarks.inventory --only SECTION` one section of
it). Costs are a period's, of long games, on fresh paths of demand, all policies of a row on the
same ones. A gap is to the optimum or to a lower bound, in percent, with its 95% interval. Seconds
are of training: processor time of one core of an Intel Xeon, sections two at a time.
"""


def trained(name: str, *settings: str) -> tuple[Any, float, int]:
    """The policy of a shipped scenario, changed by settings; seconds of a core, and steps."""
    from scenarios import find

    scenario = find(name, settings)
    most = scenario.stop.steps // (50 if QUICK else 1)
    with scenario.start() as training:
        began = time.process_time()
        while training.steps < most:
            training.step()
        seconds = time.process_time() - began
        return training.policy(), seconds, training.steps


def played(game: Any, policies: Mapping[str, Any], games: int, periods: int, ignore: int) -> Any:
    from marl.rules.inventory import compare

    games = 64 if QUICK else games
    return compare(game, policies, games=games, periods=periods, ignore=ignore, seed=FRESH)


def percent(costs: Any) -> str:
    """A share with its 95% interval, in percent."""
    low, high = costs.interval
    return f"{100 * costs.mean:.2f} ({100 * low:.2f} to {100 * high:.2f})"


def over(found: Mapping[str, Any], name: str, optimum: float) -> Any:
    """The gap of a policy to the optimal one on the same paths, as a share of the optimum."""
    from marl.rules.inventory import Costs

    return Costs((found[name] - found["optimal"]).by_path / optimum)


def optima() -> list[str]:
    """Exact optima of lost sales."""
    from analysis import lost_sales

    published = {
        1: (4.041, 5.438, 6.676, 7.836),
        2: (4.395, 6.094, 7.664, 9.106),
        3: (4.599, 6.531, 8.363, 10.038),
        4: (4.729, 6.836, 8.887, 10.794),
    }
    lost_sales(5.0, 1, holding=1, penalty=4)  # compiled
    rows, furthest = [], 0.0
    for lead, known in published.items():
        began = time.perf_counter()
        found = [lost_sales(5.0, lead, holding=1, penalty=p) for p in PENALTIES]
        seconds = time.perf_counter() - began
        furthest = max(furthest, *(abs(a.cost - b) for a, b in zip(found, known, strict=True)))
        rows.append([lead, *(f"{one.cost:.4f}" for one in found), f"{seconds:.3f}"])
    return [
        "One store, Poisson(5), lost sales, h = 1: relative value iteration, bounds at most 1e-6",
        f"apart. The furthest from the published table is {furthest:.4f}. Seconds of all four,",
        "with numba's cache warm.",
        "",
        *table(["L", *(f"p = {p:g}" for p in PENALTIES), "seconds"], rows),
    ]


PENALTIES = (4.0, 9.0, 19.0, 39.0)


def optimal_orders(best: Any) -> Callable[[Any], torch.Tensor]:
    """The optimal policy of one store with lost sales, as a function of the game's state."""

    def orders(state: Any) -> torch.Tensor:
        found = best.order(state.on_hand[:, 0].numpy(), state.pipeline[:, 0].numpy())
        return torch.as_tensor(np.asarray(found), dtype=torch.float32)[:, None]

    return orders


def store_row(
    lead: int, penalty: float, steps: int, seed: int = 0
) -> tuple[list[str], float, bool]:
    """HDPO beside the optimal and the best base-stock policies on a lost-sales store."""
    from analysis.inventory.optima import best_base_stock, best_capped_base_stock, lost_sales
    from games.load import simulator
    from marl.rules.inventory import BaseStock, CappedBaseStock, paths, perfect_information
    from marl.rules.inventory import costs as cost_of

    name = f"inventory.lost_sales(lead_time={lead},penalty={penalty:g})"
    policy, seconds, _ = trained(
        "lost-sales", f"game={name}", lasting("lost-sales", steps), f"seed={seed}"
    )
    best = lost_sales(5.0, lead, holding=1, penalty=penalty)
    base = best_base_stock(5.0, lead, holding=1, penalty=penalty)
    capped = best_capped_base_stock(5.0, lead, holding=1, penalty=penalty)
    policies = {
        "optimal": optimal_orders(best),
        "hdpo": policy,
        "capped": CappedBaseStock(*(torch.tensor([float(x)]) for x in (capped.level, capped.cap))),
        "base": BaseStock(torch.tensor([float(base.level)])),
    }
    game = simulator(name)
    found = played(game, policies, 4096, 2500, 500)
    short = paths(game, 32, 200, seed=FRESH)
    # All periods count: of some, what they need could be ordered for nothing in those before.
    knowing = perfect_information(game, short).costs
    same = cost_of(game, policy, short)
    gaps = {which: over(found, which, best.cost) for which in ("hdpo", "capped", "base")}
    ordered = (
        knowing.mean <= same.mean
        and found["hdpo"].mean <= found["capped"].mean <= found["base"].mean
    )
    return [
        f"{lead}", f"{penalty:g}", f"{seconds:.0f}", f"{best.cost:.3f}",
        f"{found['hdpo'].mean:.3f}",
        percent(gaps["hdpo"]), f"{100 * gaps['capped'].mean:.2f}", f"{100 * gaps['base'].mean:.2f}",
        f"{100 * (knowing.mean / same.mean - 1):.1f}", "yes" if ordered else "no",
    ], 100 * gaps["hdpo"].mean, ordered  # fmt: skip


def lasting(name: str, steps: int) -> str:
    """The setting of a scenario that is to take so many gradient steps."""
    from scenarios import find

    scenario = find(name)
    return f"stop.steps={steps * scenario.method.num_envs * periods_of(scenario.game)}"


def periods_of(game: str) -> int:
    from games.load import simulator

    return simulator(game).periods  # type: ignore[attr-defined]


def lost_sales() -> list[str]:
    """HDPO on the sixteen lost-sales stores."""
    rows, gaps, ordered = [], [], True
    for lead in (1, 2, 3, 4):
        for penalty in PENALTIES:
            row, gap, right = store_row(lead, penalty, STORE_STEPS)
            rows.append(row)
            gaps.append(gap)
            ordered &= right
    return [
        f"One store, Poisson(5), lost sales: HDPO for {STORE_STEPS:,} gradient steps of 512 games",
        "of 50 periods, beside the best base-stock and the best capped base-stock policy, which",
        "are found exactly. 4,096 paths of 2,500 periods, of which 500 do not count. Perfect",
        "information is a linear program a path, of 32 paths of 200 periods; the table has what it",
        "costs less than HDPO on those. Ordered: perfect information <= HDPO <= capped <=",
        "base-stock, as measured.",
        "",
        *table(
            ["L", "p", "seconds", "optimum", "HDPO", "gap (95%)", "capped gap", "base-stock gap",
             "knowing demand", "ordered"],
            rows,
        ),
        f"Mean gap of the sixteen: {np.mean(gaps):.2f}%; the largest {np.max(gaps):.2f}%. "
        f"Ordered in {'all' if ordered else sum(row[-1] == 'yes' for row in rows)} of them.",
    ]  # fmt: skip


STORE_STEPS = 1200


def whole() -> list[str]:
    """Orders in whole units, where capped base-stock leaves the least room."""
    from analysis.inventory.optima import best_capped_base_stock, lost_sales
    from games.load import simulator

    rows = []
    for lead, penalty in ((1, 19.0), (1, 39.0), (4, 9.0)):
        name = f"inventory.lost_sales(lead_time={lead},penalty={penalty:g})"
        policy, seconds, _ = trained(
            "lost-sales", f"game={name}", lasting("lost-sales", STORE_STEPS)
        )
        best = lost_sales(5.0, lead, holding=1, penalty=penalty)
        capped = best_capped_base_stock(5.0, lead, holding=1, penalty=penalty).cost
        gaps = []
        for rounded in (False, True):
            game = simulator(f"{name[:-1]},whole={rounded})")
            policies = {"hdpo": policy, "optimal": optimal_orders(best)}
            gaps.append(percent(over(played(game, policies, 4096, 1500, 500), "hdpo", best.cost)))
        exact = f"{100 * (capped / best.cost - 1):.2f}"
        rows.append([lead, f"{penalty:g}", f"{seconds:.0f}", *gaps, exact])
    return [
        "The same, played in whole units (`whole=true`: orders are rounded, as those of all other",
        "policies are), where the best capped base-stock policy, here by its exact cost, leaves",
        f"little room, and at L = 4, p = 9. {STORE_STEPS:,} gradient steps; 4,096 paths of 1,500",
        "periods, of which 500 do not count.",
        "",
        *table(
            ["L", "p", "seconds", "gap (95%)", "in whole units (95%)", "capped gap, exactly"], rows
        ),
    ]


def budget() -> list[str]:
    """One store, L = 4, p = 9: what a minute and what two and a half give."""
    rows = []
    for steps in (800, 1200, 3000):
        for seed in (0, 1, 2):
            row, _, _ = store_row(4, 9.0, steps, seed)
            rows.append([f"{steps:,}", seed, row[2], *row[5:8]])
    return [
        "One store, Poisson(5), lost sales, L = 4, p = 9: three seeds of each budget.",
        "",
        *table(
            ["gradient steps", "seed", "seconds", "HDPO's gap (95%)", "capped gap", "base gap"],
            rows,
        ),
    ]


def waiting(
    name: str, game: str, rule: Any, steps: int, games: int = 4096, *settings: str
) -> tuple[float, float, Any]:
    """HDPO where customers wait: optimum, seconds, and the gap to the optimal rule's cost."""
    from analysis.references import reference
    from games.load import simulator

    policy, seconds, _ = trained(name, f"game={game}", lasting(name, steps), *settings)
    best = reference(game)
    assert best is not None
    found = played(simulator(game), {"hdpo": policy, "optimal": rule}, games, 1500, 500)
    return best.value, seconds, over(found, "hdpo", best.value)


def backlogged() -> list[str]:
    """HDPO against the closed form."""
    from analysis.inventory.optima import backlogged as closed
    from analysis.inventory.optima import clipped_normal
    from marl.rules.inventory import BaseStock

    rows, gaps = [], []
    for lead, steps in BACKLOGGED_STEPS.items():
        for penalty in (9.0, 39.0):
            game = f"inventory.backlogged(lead_time={lead},penalty={penalty:g},periods={50 + lead})"
            best = closed(clipped_normal(5, 1.6), lead, holding=1, penalty=penalty)
            rule = BaseStock(torch.tensor([best.level]))
            value, seconds, gap = waiting("backlogged", game, rule, steps)
            gaps.append(100 * gap.mean)
            own = f"{steps:,}", f"{seconds:.0f}", f"{value:.3f}", percent(gap)
            rows.append([lead, f"{penalty:g}", *own])
    return [
        "One store, N(5, 1.6) clipped at 0, backlogged: HDPO against the newsvendor over L + 1",
        "periods, which is optimal. 4,096 paths of 1,500 periods, of which 500 do not count. The",
        "longer the lead time, the more gradient steps it takes.",
        "",
        *table(["L", "p", "gradient steps", "seconds", "optimum", "gap (95%)"], rows),
        f"Mean gap: {np.mean(gaps):.2f}%; the largest {np.max(gaps):.2f}%.",
    ]


BACKLOGGED_STEPS = {1: 800, 4: 800, 7: 800, 10: 2400, 15: 4000, 20: 6000}  # by lead time


def serial() -> list[str]:
    """HDPO against Clark and Scarf."""
    from analysis.inventory.optima import clipped_normal
    from analysis.inventory.optima import serial as exact
    from games.load import simulator
    from marl.rules.inventory import EchelonStock

    rows, gaps = [], []
    cells = [(lead, penalty) for lead in (1, 2, 3, 4) for penalty in (9.0, 39.0)]
    for lead, penalty in cells:
        game = f"inventory.serial(lead_time={lead},penalty={penalty:g})"
        best = exact(
            clipped_normal(5, 2), [2, 4, 3, lead], holding=[0.1, 0.2, 0.5, 1.0], penalty=penalty
        )
        # Levels come from the top down, locations from the store up.
        names = simulator(game).arrays.names  # type: ignore[attr-defined]
        assert names == ("store", "stage_2", "stage_3", "stage_4")
        rule = EchelonStock(torch.tensor(list(reversed(best.levels)), dtype=torch.float32))
        value, seconds, gap = waiting("serial", game, rule, SERIAL_STEPS, 2048)
        gaps.append(100 * gap.mean)
        rows.append([lead, f"{penalty:g}", f"{seconds:.0f}", f"{value:.3f}", percent(gap)])
    return [
        f"Four stages in a line, N(5, 2) clipped at 0, backlogged: HDPO for {SERIAL_STEPS:,}",
        "gradient steps against Clark and Scarf's recursion. 2,048 paths of 1,500 periods, of",
        "which 500 do not count.",
        "",
        *table(["L of the store", "p", "seconds", "optimum", "gap (95%)"], rows),
        f"Mean gap: {np.mean(gaps):.2f}%; the largest {np.max(gaps):.2f}%.",
    ]


SERIAL_STEPS = 1500


def transshipment() -> list[str]:
    """HDPO against the bound of pooled stock."""
    from analysis.references import reference
    from games.load import simulator

    rows, gaps = [], []
    for lead in (2, 6):
        for penalty in (4.0, 9.0):
            for correlation in (0.0, 0.5):
                game = (
                    f"inventory.transshipment(stores=3,lead_time={lead},penalty={penalty:g},"
                    f"correlation={correlation})"
                )
                policy, seconds, _ = trained(
                    "transshipment", f"game={game}", lasting("transshipment", TRANSSHIPMENT_STEPS)
                )
                bound = reference(game)
                assert bound is not None
                found = played(simulator(game), {"hdpo": policy}, 4096, 1500, 500)["hdpo"]
                gap = found.over(bound.value)
                gaps.append(100 * gap.mean)
                rows.append(
                    [lead, f"{penalty:g}", correlation, f"{seconds:.0f}", f"{bound.value:.3f}",
                     f"{found.mean:.3f}", percent(gap)]
                )  # fmt: skip
    return [
        f"A centre that keeps nothing and three stores: HDPO for {TRANSSHIPMENT_STEPS:,} gradient",
        "steps against the bound of stock that the stores share. 4,096 paths of 1,500 periods, of",
        "which 500 do not count.",
        "",
        *table(["L", "p", "correlation", "seconds", "bound", "HDPO", "above it (95%)"], rows),
        f"Mean: {np.mean(gaps):.2f}%; the largest {np.max(gaps):.2f}%.",
    ]


TRANSSHIPMENT_STEPS = 1000


SAMPLED = "inventory.lost_sales(lead_time=4,penalty=9,periods=50)"
SAMPLERS: dict[str, tuple[dict[str, Any], int]] = {
    "HDPO": (
        {
            "name": "hdpo", "games": 16, "updates": 5, "gradient_clip": 1.0,
            "learning_rate": [[0, 1e-2], [280_000, 2e-4]],
        },
        280_000,
    ),
    "PPO": (
        {
            "name": "ppo", "num_envs": 256, "rollout_length": 50, "epochs": 4, "minibatches": 8,
            "learning_rate": [[0, 1e-3], [6_000_000, 1e-5]], "value_clip": 1e9, "entropy": 0.0,
        },
        6_000_000,
    ),
    "REINFORCE": (
        {
            "name": "reinforce", "num_envs": 256, "rollout_length": 50,
            "learning_rate": [[0, 1e-3], [6_000_000, 1e-5]],
        },
        6_000_000,
    ),
}  # fmt: skip


def sampled(name: str, seed: int) -> list[tuple[int, float]]:
    """Steps taken, and what the policy costs then, of a method as it learns."""
    from analysis.inventory.optima import lost_sales
    from games.load import simulator
    from marl.learning.plan import Plan
    from marl.learning.trainer import train
    from marl.networks.network import Network

    method, steps = SAMPLERS[name]
    network = Network(hidden=(32, 32, 32), activation="relu")
    plan = Plan(game=SAMPLED, method=method, network=network, seed=seed)
    best = lost_sales(5.0, 4, holding=1, penalty=9)
    steps, looked, found = steps // (20 if QUICK else 1), 0, []
    with train(plan) as training:
        while training.steps < steps:
            training.step()
            if training.steps >= looked:
                looked = training.steps + steps // 40
                policies = {"own": training.policy(), "optimal": optimal_orders(best)}
                costs = played(simulator(SAMPLED), policies, 256, 700, 200)
                # The optimal policy's luck on these paths is everybody's.
                found.append((training.steps, best.cost + over(costs, "own", 1.0).mean))
    return found


def samples() -> list[str]:
    """What a step of the game is worth to each method, on one network."""
    from analysis.inventory.optima import lost_sales

    optimum = lost_sales(5.0, 4, holding=1, penalty=9).cost
    curves = {name: [sampled(name, seed) for seed in (0, 1)] for name in SAMPLERS}
    rows = []
    for name, seeds in curves.items():
        for seed, curve in enumerate(seeds):
            at, best = min(curve, key=lambda point: point[1])
            rows.append([name, seed, f"{best:.3f}", f"{100 * (best / optimum - 1):.2f}", f"{at:,}"])
    verdicts = []
    for name in ("PPO", "REINFORCE"):
        for seed, curve in enumerate(curves[name]):
            at, best = min(curve, key=lambda point: point[1])
            reached = [n for n, cost in curves["HDPO"][seed] if cost <= best]
            verdicts.append(
                f"seed {seed}: {name}'s best at {at:,} steps; HDPO is there after "
                + (
                    f"{reached[0]:,}, one {at / reached[0]:.0f}th"
                    if reached
                    else "none of its steps"
                )
            )
    return [
        "One store, Poisson(5), lost sales, L = 4, p = 9: one network of 3 x 32 (relu) learned by",
        "each method, judged forty times on the way, on 256 paths of 700 periods (200 do not",
        "count) beside the optimal policy. A step is a period of a game. HDPO takes 16 games a",
        "gradient step here, PPO and REINFORCE 256 games of 50 periods an update.",
        "",
        *table(["method", "seed", "best cost", "gap %", "after steps"], rows),
        *(f"- {line}." for line in verdicts),
    ]


def warehouse() -> list[str]:
    """What networks learn from few traces of demand."""
    from benchmarks.inventory.warehouse import warehouse as curve

    return curve(QUICK)


def speed() -> list[str]:
    """Many networks at once against a plain loop."""
    from benchmarks.inventory.speed import beside_torch
    from benchmarks.inventory.speed import table as rates

    lines, least = rates(0.2 if QUICK else 2.0)
    return [
        "Location-periods a second on one core: one environment stepped as such usually are, by",
        "Python's numbers in a loop over places, and batches; processor time.",
        "",
        *lines,
        "",
        f"The fastest batch is at least {least:.0f} times the plain loop.",
        "",
        "Beside the same computation as one would write it down in PyTorch",
        "(`benchmarks/inventory/plain_torch.py`, whose costs and gradients are equal): games of 50",
        "periods, processor time of pairs that alternate.",
        "",
        *(beside_torch(1, 1024) if QUICK else beside_torch()),
    ]


SECTIONS: dict[str, Section] = {
    "optima": ("Exact optima of lost sales", optima),
    "lost-sales": ("One store, lost sales", lost_sales),
    "whole": ("One store, lost sales, in whole units", whole),
    "budget": ("One store, lost sales: what a budget buys", budget),
    "samples": ("One store, lost sales: samples", samples),
    "backlogged": ("One store whose customers wait", backlogged),
    "serial": ("Four stages in a line", serial),
    "transshipment": ("A centre that keeps nothing", transshipment),
    "warehouse": ("One warehouse and ten stores: traces", warehouse),
    "speed": ("Simulation", speed),
}


if __name__ == "__main__":
    Page(PAGE, HEAD, SECTIONS).main(__doc__)
