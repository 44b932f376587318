"""Lower bounds on the long-run average cost a period of distribution networks.

Both bounds relax the network: they leave something out that a policy has to cope with, so that its
cost stays possible and only more does. Demand is independent from period to period, and may be
correlated between the stores. Order of events and lead times as in `inventory_lost_sales`; a
warehouse ships at most what it has on hand when stores order.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri

from analysis.inventory.demand import check_costs, check_lead_time, normal_below
from analysis.inventory.lost_sales import lost_sales
from games import InputError
from games.finite.sequence_form import Float64

STEPS = 10  # lattice points to the mean, for the stores' own problems


def transshipment_bound(
    sd: Sequence[float] | Float64,
    *,
    correlation: float = 0.0,
    warehouse_lead_time: int,
    store_lead_time: int,
    holding: float = 1.0,
    penalty: float,
) -> float:
    """K stores behind a centre that keeps no stock; unmet demand waits; normal demand.

    What the centre orders at t arrives at t + L_w, is shipped at once to the stores, and can be
    used there at t + L_w + L_s. Let the centre ship negative amounts too, that is, bring stores
    level (Eppen & Schrage 1981). Then the cost of period t + L_w + L_s depends on the past through
    the position Y of all after the order at t, less the demand of L_w periods, and it is least
    where all stores are as likely to run out over their L_s + 1 periods. Stores then act as one
    whose demand has the standard deviation sqrt(L_s + 1) sum_j sd_j, and with Y at its best

        (h + p) phi(z) sqrt(L_w Var(sum_j D_j) + (L_s + 1) (sum_j sd_j)^2)

    with z = Phi^-1(p / (p + h)).

    Args:
        sd: [K] units, of each store's demand in a period.
        correlation: between any two stores.

    Raises:
        InputError: a parameter out of range.
    """
    check_costs(holding, penalty)
    upper = check_lead_time(warehouse_lead_time, "warehouse_lead_time", 0)
    lower = check_lead_time(store_lead_time, "store_lead_time", 0)
    spread = np.asarray(sd, np.float64)
    if spread.ndim != 1 or not len(spread) or not (spread >= 0).all():
        raise InputError(f"sd={sd}: one standard deviation a store is needed, none negative")
    least = -1 / (len(spread) - 1) if len(spread) > 1 else -1.0
    if not least <= correlation <= 1:
        raise InputError(
            f"correlation={correlation}: from {least:.3g} to 1 for {len(spread)} stores"
        )
    own, together = float((spread**2).sum()), float(spread.sum() ** 2)
    pooled = own + correlation * (together - own)
    z = float(ndtri(penalty / (penalty + holding)))
    density = math.exp(-z * z / 2) / math.sqrt(2 * math.pi)
    return (holding + penalty) * density * math.sqrt(upper * pooled + (lower + 1) * together)


def warehouse_bound(
    mean: Sequence[float] | Float64,
    sd: Sequence[float] | Float64,
    *,
    lead_time: ArrayLike,
    holding: ArrayLike,
    penalty: ArrayLike,
    steps: int = STEPS,
) -> float:
    """K stores behind warehouses, lost sales, normal demand clipped at 0.

    Let every warehouse always have enough, at no cost. Then the stores part: a store's own orders
    are all that matters to it, and what is known of others says nothing of its demand to come. Any
    policy of the network costs at least the sum of the stores' optima, each with lost sales and its
    own lead time from the nearest warehouse.

    A store's optimum is bounded from below on a lattice. Write its problem as a multistage program
    in which a store may decline to sell: sales <= stock, sales <= demand, linear dynamics and
    costs. Declining never pays (a unit kept back saves at most one later penalty, and costs one now
    and its holding), so the program has the same optimum, and its cost is convex in decisions and
    demands together. By Jensen's inequality it costs no more under demand smaller in convex order,
    which `normal_below` puts on a lattice; there whole orders are optimal, and value iteration's
    lower bound is taken.

    Args:
        mean: [K] units, of each store's demand in a period before it is clipped.
        sd: [K] units.
        lead_time, holding, penalty: [K], or one for all: of the stores.
        steps: lattice points to a store's mean; more come closer, and take longer.

    Raises:
        InputError: a parameter out of range, or too many states.
    """
    given = (mean, sd, lead_time, holding, penalty)
    try:
        columns = np.broadcast_arrays(*(np.asarray(x, np.float64) for x in given))
    except ValueError:
        raise InputError(
            "mean, sd, lead_time, holding, penalty: one number a store, or one for all"
        ) from None
    if columns[0].ndim != 1 or not columns[0].size:
        raise InputError("mean: one number a store is needed")
    if steps < 1:
        raise InputError(f"steps={steps}: 1 or more")
    return sum(
        _store_bound(float(m), float(s), check_lead_time(lead), float(h), float(p), steps)
        for m, s, lead, h, p in zip(*columns, strict=True)
    )


def _store_bound(
    mean: float, sd: float, lead_time: int, holding: float, penalty: float, steps: int
) -> float:
    """A lower bound on the cost of one store with lost sales and clipped normal demand."""
    if not mean > 0:
        raise InputError(f"mean={mean}: a positive number is needed")
    check_costs(holding, penalty)
    if sd == 0:
        return 0.0  # what is sold is ordered, always
    law = normal_below(mean, sd, mean / steps)
    return lost_sales(law, lead_time, holding=holding, penalty=penalty).lower
