"""One store with lost sales: the optimal policy, and long-run average costs of policies.

A period: observe; order; demand is served from the stock on hand, and what is not is lost; what is
left costs `holding` a unit, what was lost `penalty`; orders move up. An order placed now can be
used `lead_time` periods on. All numbers come with a lower and an upper bound, from MacQueen's
(1966) bounds of relative value iteration; how states are laid out says `inventory_region`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from analysis.inventory.demand import Demand, as_demand, check_costs, check_lead_time, period_cost
from analysis.inventory.region import FULL, GIVEN, WALK, Chain, Int64, Region
from games import InputError

Policy = Callable[[Int64, Int64], ArrayLike]
"""Stock on hand [M] and orders under way [M, L - 1], next to arrive first -> orders [M]."""

TOLERANCE = 1e-6  # between the bounds, in units of cost a period
SWEEPS = 100_000


@dataclass(frozen=True, eq=False)
class LostSales:
    """The optimal policy of one store with lost sales."""

    cost: float  # a period, in the middle of the bounds
    lower: float
    upper: float
    iterations: int
    step: float  # units in a step of the demand's lattice, in which stock and orders count here
    region: Region = field(repr=False)
    orders: Int64 = field(repr=False)  # [M] steps, the optimal order in each of its states

    def order(self, on_hand: ArrayLike, pipeline: ArrayLike) -> Int64:
        """Optimal orders for any number of stores at once.

        Args:
            on_hand: [...] steps (units, where demand is whole), rounded to whole ones.
            pipeline: [..., L - 1] steps under way, next to arrive first; for a lead time of 1, an
                array whose last dimension is 0.

        Returns:
            [...] int64 steps. In states that no optimal play leads to: no order where the
            position is above its bound; else that of the nearest pipeline with less in it, within
            the bounds.

        Raises:
            InputError: shapes that do not fit, or negative stock.
        """
        region = self.region
        x = np.rint(np.asarray(on_hand, np.float64)).astype(np.int64)
        q = np.rint(np.asarray(pipeline, np.float64)).astype(np.int64)
        if q.shape != (*x.shape, region.lead_time - 1):
            raise InputError(
                f"pipeline: shape {q.shape} for {x.shape} on hand; "
                f"{(*x.shape, region.lead_time - 1)} is needed at a lead time of {region.lead_time}"
            )
        if (x < 0).any() or (q < 0).any():
            raise InputError("negative stock: with lost sales there is no backlog")
        room = region.position - x - q.sum(-1)
        limit = np.minimum(room, region.largest_order(q))
        near = q.copy()
        for j in range(region.lead_time - 1):
            for k in range(1, j + 2):
                others = near[..., j + 1 - k : j].sum(-1)
                near[..., j] = np.minimum(near[..., j], region.window[k - 1] - others)
            near[..., j] = np.minimum(near[..., j], region.position - near[..., :j].sum(-1))
        inside = np.minimum(x, region.position - near.sum(-1))
        found = self.orders[region.start[region.index(near)] + inside]
        return np.where(room < 0, 0, np.minimum(found, np.maximum(limit, 0)))


@dataclass(frozen=True)
class PolicyCost:
    """The long-run average cost of a policy, exact up to the distance of the bounds."""

    cost: float  # in the middle of the bounds
    lower: float
    upper: float
    level: int | None = None  # units, S of a base-stock policy
    cap: int | None = None  # units, r, the largest order; None: no limit


def lost_sales(
    demand: float | ArrayLike | Demand,
    lead_time: int,
    *,
    holding: float = 1.0,
    penalty: float,
    tolerance: float = TOLERANCE,
    full_search: bool = False,
) -> LostSales:
    """The least long-run average cost, and the policy that has it.

    Args:
        demand: a Poisson mean, the probabilities of 0, 1, 2, ... units, or a `Demand`.
        lead_time: periods until an order can be used, 1 or more.
        holding: cost of a unit left after demand, a period.
        penalty: cost of a unit of lost sales.
        tolerance: between the lower and the upper bound.
        full_search: try every order in every state, rather than walk along the convex function
            that the cost is of the order; the same answer, some times slower.

    Raises:
        InputError: a parameter out of range, or too many states.
    """
    law, lead_time = _checked(demand, lead_time, holding, penalty, tolerance)
    region = Region.of(lead_time, *_optimal_bounds(law, lead_time, holding, penalty))
    chain = _chain(law, region, holding, penalty)
    orders = np.zeros(region.num_states, np.int64)
    low, high = chain.settle(orders, FULL if full_search else WALK, tolerance, SWEEPS)
    return LostSales((low + high) / 2, low, high, chain.sweeps, law.step, region, orders)


def policy_cost(
    demand: float | ArrayLike | Demand,
    lead_time: int,
    policy: Policy,
    *,
    holding: float = 1.0,
    penalty: float,
    position: int,
    largest_order: int | None = None,
    tolerance: float = TOLERANCE,
) -> PolicyCost:
    """The long-run average cost of any stationary policy.

    Args:
        policy: stock on hand [M] and orders under way [M, L - 1] -> orders [M], whole numbers.
        position: units; the policy never orders to above it.
        largest_order: units; it never orders more. No limit if None.

    Raises:
        InputError: a parameter out of range, orders beyond the bounds, too many states.
    """
    law, lead_time = _checked(demand, lead_time, holding, penalty, tolerance)
    cap = position if largest_order is None else largest_order
    if position < 0 or cap < 0:
        raise InputError(f"position={position}, largest_order={cap}: from 0, whole units")
    region = Region.of(lead_time, position, [cap * k for k in range(1, lead_time + 1)])
    given = np.asarray(policy(region.on_hand, region.pipeline_of))
    orders = np.rint(given).astype(np.int64)
    room = position - region.on_hand - region.pipeline_of.sum(1)
    if orders.shape != room.shape or (orders != given).any():
        raise InputError(f"policy: whole orders of shape {room.shape} are needed, one a state")
    if (orders < 0).any() or (orders > np.minimum(room, cap)).any():
        raise InputError(
            f"policy: its orders are not all from 0 to {cap}, or lift the position above {position}"
        )
    chain = _chain(law, region, holding, penalty)
    low, high = chain.settle(orders, GIVEN, tolerance, SWEEPS)
    return PolicyCost((low + high) / 2, low, high)


def base_stock_cost(
    demand: float | ArrayLike | Demand,
    lead_time: int,
    level: int,
    *,
    holding: float = 1.0,
    penalty: float,
    cap: int | None = None,
    tolerance: float = TOLERANCE,
) -> PolicyCost:
    """The cost of ordering up to `level` units, at most `cap` of them at once.

    Raises:
        InputError: as `policy_cost`.
    """
    found = policy_cost(
        demand, lead_time, _order_up_to(level, cap), holding=holding, penalty=penalty,
        position=level, largest_order=cap, tolerance=tolerance,
    )  # fmt: skip
    return PolicyCost(found.cost, found.lower, found.upper, level, cap)


def best_base_stock(
    demand: float | ArrayLike | Demand,
    lead_time: int,
    *,
    holding: float = 1.0,
    penalty: float,
    tolerance: float = TOLERANCE,
) -> PolicyCost:
    """The best base-stock level, of all up to the one that is best where sales wait.

    That one is an upper bound of the best level, in which the cost is convex (Janakiraman & Roundy,
    "Lost-sales problems with stochastic lead times: convexity results for base-stock policies",
    2004).

    Raises:
        InputError: as `lost_sales`.
    """
    law, lead_time = _checked(demand, lead_time, holding, penalty, tolerance)
    top, _ = _optimal_bounds(law, lead_time, holding, penalty)
    region = Region.of(lead_time, top, [top] * lead_time)
    policies = ((level, None) for level in range(top, -1, -1))
    return _cheapest(_chain(law, region, holding, penalty), policies, tolerance)


def best_capped_base_stock(
    demand: float | ArrayLike | Demand,
    lead_time: int,
    *,
    holding: float = 1.0,
    penalty: float,
    tolerance: float = TOLERANCE,
) -> PolicyCost:
    """The best base-stock policy whose orders are capped (Xin, "Understanding the performance of
    capped base-stock policies in lost-sales inventory models", 2021).

    Of all levels and caps within the bounds that the optimal policy keeps to: its position's, and
    its single order's. Each is evaluated until its lower bound is above the best cost so far.

    Raises:
        InputError: as `lost_sales`.
    """
    law, lead_time = _checked(demand, lead_time, holding, penalty, tolerance)
    top, window = _optimal_bounds(law, lead_time, holding, penalty)
    caps = [window[0] * k for k in range(1, lead_time + 1)]
    region = Region.of(lead_time, top, caps)
    # The likely ones first: the rest is then soon seen to be dearer.
    policies = (
        (level, cap) for cap in range(window[0], -1, -1) for level in range(top, cap - 1, -1)
    )
    return _cheapest(_chain(law, region, holding, penalty), policies, tolerance)


def _cheapest(
    chain: Chain, policies: Iterator[tuple[int, int | None]], tolerance: float
) -> PolicyCost:
    """The best of base-stock levels and caps, on one region that holds them all."""
    best = PolicyCost(math.inf, math.inf, math.inf)
    for level, cap in policies:
        given = _order_up_to(level, cap)(chain.region.on_hand, chain.region.pipeline_of)
        low, high = chain.settle(np.asarray(given), GIVEN, tolerance, SWEEPS, best.upper)
        if low <= best.upper and high < best.upper:
            best = PolicyCost((low + high) / 2, low, high, level, cap)
    return best


def _order_up_to(level: int, cap: int | None) -> Policy:
    return lambda x, q: np.clip(level - x - q.sum(-1), 0, level if cap is None else cap)


def _optimal_bounds(
    law: Demand, lead_time: int, holding: float, penalty: float
) -> tuple[int, list[int]]:
    """Bounds of the optimal policy: the position's, and those of runs of 1 .. L orders."""
    share = penalty / (penalty + holding)
    levels = [law.over(k).quantile(share) for k in range(1, lead_time + 2)]
    return levels[-1], levels[:-1]


def _chain(law: Demand, region: Region, holding: float, penalty: float) -> Chain:
    return Chain(region, law.pmf, period_cost(law, region.position, holding, penalty))


def _checked(
    demand: float | ArrayLike | Demand,
    lead_time: int,
    holding: float,
    penalty: float,
    tolerance: float,
) -> tuple[Demand, int]:
    check_costs(holding, penalty)
    if not tolerance > 0:
        raise InputError(f"tolerance={tolerance}: a positive number is needed")
    return as_demand(demand), check_lead_time(lead_time)
