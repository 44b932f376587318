"""Optimal policies with backlogged demand: one store, and stages in series.

A period: observe; every stage orders, and is shipped at most what the stage above it has on hand;
demand is served; costs; shipments move up. What is shipped now can be used `lead_time` periods on,
so the stock after demand, L periods on, is the position after ordering less the demand of L + 1
periods. Clark & Scarf, "Optimal policies for a multi-echelon inventory problem" (1960); in
averages, Federgruen & Zipkin (1984).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike
from scipy.signal import convolve

from analysis.inventory.demand import Demand, as_demand, check_costs, check_lead_time, period_cost
from games import InputError
from games.finite.sequence_form import Float64

LATTICE_LIMIT = 20_000_000
LEVEL = 1e-12  # costs that differ by less, relatively, are alike: of such levels the lowest


@dataclass(frozen=True)
class Backlogged:
    """The optimal policy of one store with backlogged demand: order up to `level`."""

    cost: float  # a period
    level: float  # units, on hand, less owed, and under way, after ordering


@dataclass(frozen=True)
class Serial:
    """The optimal policy of N stages in series: each orders up to its echelon's level.

    A stage's echelon holds what is on hand there, and all that is on hand or under way further
    down, less what is owed; its position adds what is on its way to the stage.
    """

    cost: float  # a period
    levels: tuple[float, ...]  # [N] units, from the first warehouse down to the store
    in_transit: float  # cost a period of stock between stages, which no policy changes
    charged: bool  # whether `cost` has it


def backlogged(
    demand: float | ArrayLike | Demand, lead_time: int, *, holding: float = 1.0, penalty: float
) -> Backlogged:
    """The optimum: the p / (p + h) quantile of the demand over L + 1 periods.

    Args:
        demand: a Poisson mean, the probabilities of 0, 1, 2, ... units, or a `Demand`, as from
            `clipped_normal`.
        lead_time: periods until an order can be used; 0 is at once.
        holding: cost of a unit left after demand, a period.
        penalty: cost of a unit owed after demand, a period.

    Raises:
        InputError: a parameter out of range.
    """
    check_costs(holding, penalty)
    total = _over(as_demand(demand), check_lead_time(lead_time, least=0) + 1)
    level = total.quantile(penalty / (penalty + holding))
    cost = float(period_cost(total, level, holding, penalty)[level])
    return Backlogged(cost, level * total.step)


def serial(
    demand: float | ArrayLike | Demand,
    lead_times: Sequence[int],
    *,
    holding: Sequence[float],
    penalty: float,
    charge_transit: bool = False,
) -> Serial:
    """The optimum of stages in series, by Clark and Scarf's recursion over echelons.

    With stage 1 the store, e_n = h_n - h_{n+1} what it costs more to hold a unit at n than above,
    D_k the demand of k periods and S_n the least argument that minimises C_n:

        C_1(y) = E[ e_1 (y - D_{L_1 + 1}) + (p + h_1) (D_{L_1 + 1} - y)^+ ]
        C_n(y) = E[ e_n (y - D_{L_n + 1}) + C_{n-1}(min(y - D_{L_n}, S_{n-1})) ]

    Stock under way to a stage counts in the echelon above it, at that stage's rate; the optimal
    cost C_N(S_N) has it, h_{n+1} L_n E[D] a period for stage n under any policy that keeps up.

    Args:
        demand: as in `backlogged`.
        lead_times: [N] periods, from the first warehouse, supplied from outside, to the store;
            0 is at once, stages then order from the top down.
        holding: [N] cost of a unit left after demand, a period, in the same order.
        penalty: cost of a unit that the store owes after demand, a period.
        charge_transit: whether stock under way between two stages costs what it would in the upper
            one. Stock on its way from outside never costs anything.

    Raises:
        InputError: a parameter out of range, cheaper stock further down, too long a lattice.
    """
    if len(lead_times) != len(holding) or not len(lead_times):
        raise InputError(
            f"{len(lead_times)} lead times and {len(holding)} holding costs: one a stage is needed"
        )
    for cost in holding:
        check_costs(cost, penalty)
    if any(upper > lower for upper, lower in pairwise(holding)):
        raise InputError(f"holding={list(holding)}: costs must not fall from the top down")
    law = as_demand(demand)
    leads = [check_lead_time(lead, "lead_times", 0) for lead in reversed(lead_times)]
    costs = [float(h) for h in reversed(holding)]  # from the store up
    above = [*costs[1:], 0.0]
    top = len(_over(law, sum(leads) + 1).pmf)  # units of `step`; no level is above
    y = law.step * np.arange(top + 1)

    transit = sum(h * lead for h, lead in zip(above, leads, strict=True)) * law.mean
    levels: list[int] = []
    value = np.empty(0)
    for n, (lead, h, upper) in enumerate(zip(leads, costs, above, strict=True)):
        echelon = (h - upper) * (y - (lead + 1) * law.mean)
        if n == 0:
            owed = period_cost(law.over(lead + 1), top, 0.0, 1.0)
            value = echelon + (penalty + h) * owed
        else:
            # Below 0 values are a line, since there all demand waits.
            value = echelon + _shifted(value, levels[-1], law.over(lead), -(penalty + h) * law.step)
        least = value.min()
        levels.append(int(np.argmax(value <= least + LEVEL * max(abs(least), 1.0))))
    cost = float(value[levels[-1]]) - (0.0 if charge_transit else transit)
    return Serial(cost, tuple(law.step * s for s in reversed(levels)), transit, charge_transit)


def _shifted(value: Float64, level: int, demand: Demand, slope: float) -> Float64:
    """E value(min(y - demand, level)) for y = 0, 1, ..; `slope` is that of value below 0."""
    longest = len(demand.pmf) - 1
    below = value[0] + slope * np.arange(-longest, 0)
    known = np.concatenate([below, np.where(np.arange(len(value)) < level, value, value[level])])
    return convolve(known, demand.pmf, mode="valid")


def _over(demand: Demand, periods: int) -> Demand:
    """The sum over so many periods, unless it is too long."""
    length = periods * len(demand.pmf)
    if length > LATTICE_LIMIT:
        raise InputError(
            f"demand over {periods} periods: {length:,} points, of at most {LATTICE_LIMIT:,}; "
            "take coarser steps"
        )
    return demand.over(periods)
