"""Costs of inventory policies: learned, tuned and optimal; writes docs/reports/inventory.md.

python -m benchmarks.inventory [--only lost-sales serial ...] [--quick]

Every policy of a table is played on the same fresh paths of demand. Where the optimum is known so
is its policy, which is played too: a gap is the mean of paired differences, so that what demand did
on those paths cancels out, over the optimum as it was computed.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import numpy as np  # noqa: E402
import torch  # noqa: E402

from benchmarks.inventory.measured import (  # noqa: E402
    QUICK,
    lasting,
    over,
    percent,
    played,
    trained,
)
from benchmarks.inventory.one_store import budget, lost_sales, optima, whole  # noqa: E402
from benchmarks.inventory.samples import samples  # noqa: E402
from benchmarks.page import Page, Section, table  # noqa: E402

PAGE = Path(__file__).parents[2] / "docs" / "reports" / "inventory.md"
HEAD = """# What inventory policies cost

`make inventory` writes this page (`python -m benchmarks.inventory --only SECTION` one section of
it). Costs are a period's, of long games, on fresh paths of demand, all policies of a row on the
same ones. A gap is to the optimum or to a lower bound, in percent, with its 95% interval. Seconds
are of training: processor time of one core of an Intel Xeon, sections two at a time.
"""


def waiting(
    name: str, game: str, rule: Any, steps: int, games: int = 4096, *settings: str
) -> tuple[float, float, Any]:
    """HDPO with backlogged demand: optimum, seconds, and the gap to the optimal rule's cost."""
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
    """HDPO against the lower bound of pooled stock."""
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
