"""What inventory problems cost at best, and how far a policy is from that.

    problem                                       answer
    one store, lost sales                         `lost_sales`: the optimum and its policy
    one store, demand that waits                  `backlogged`: the optimum, in closed form
    stages in series, demand that waits           `serial`: the optimum (Clark & Scarf)
    stores behind a centre without stock          `transshipment_bound`: a lower bound
    stores behind warehouses, lost sales          `warehouse_bound`: a lower bound

All are long-run averages of a period in which one observes, orders, serves demand from stock on
hand, and pays for what is left or lacking; then shipments move up. An order placed at t can be used
at t + L. What the best base-stock policies cost stands beside the optimum of lost sales.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import stdtrit

from analysis.inventory.backlogged import Backlogged, Serial, backlogged, serial
from analysis.inventory.bounds import transshipment_bound, warehouse_bound
from analysis.inventory.demand import Demand, clipped_normal, poisson
from analysis.inventory.lost_sales import (
    LostSales,
    PolicyCost,
    base_stock_cost,
    best_base_stock,
    best_capped_base_stock,
    lost_sales,
    policy_cost,
)
from games import InputError

__all__ = [
    "Backlogged",
    "Demand",
    "Gap",
    "LostSales",
    "PolicyCost",
    "Reference",
    "Serial",
    "backlogged",
    "base_stock_cost",
    "best_base_stock",
    "best_capped_base_stock",
    "clipped_normal",
    "gap",
    "lost_sales",
    "poisson",
    "policy_cost",
    "serial",
    "transshipment_bound",
    "warehouse_bound",
]


@dataclass(frozen=True)
class Reference:
    """A cost that a policy is held against.

    Raises:
        InputError: a value that is not positive, of which nothing can be a percentage.
    """

    value: float  # a period
    kind: Literal["optimum", "lower bound"]
    source: str  # one line: how it was found

    def __post_init__(self) -> None:
        if not 0 < self.value < math.inf:
            raise InputError(f"reference={self.value}: a gap in percent needs a positive cost")


@dataclass(frozen=True)
class Gap:
    """How far a cost lies above a reference, in percent of it, with a 95% interval."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:.2f}% ({self.low:.2f} to {self.high:.2f})"


def gap(cost: ArrayLike, reference: Reference | float) -> Gap:
    """The gap of the mean of independent traces, by Student's t.

    Args:
        cost: [R] cost a period of each of at least two traces.

    Raises:
        InputError: fewer traces, a cost that is no number, a reference that is not positive.
    """
    if not isinstance(reference, Reference):
        reference = Reference(float(reference), "lower bound", "given")
    traces = np.asarray(cost, np.float64)
    if traces.ndim != 1 or len(traces) < 2 or not np.isfinite(traces).all():
        raise InputError(f"cost: shape {traces.shape}; the finite costs of two traces or more")
    percent = 100 * (traces / reference.value - 1)
    mean = float(percent.mean())
    half = float(stdtrit(len(traces) - 1, 0.975) * percent.std(ddof=1) / math.sqrt(len(traces)))
    return Gap(mean, mean - half, mean + half)
