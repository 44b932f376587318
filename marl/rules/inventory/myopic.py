"""The myopic policy: orders that minimise the cost of the period in which they arrive."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Self

import numpy as np
import torch
from scipy.stats import norm, poisson
from torch import Tensor
from torch.nn import functional as F

from games.common.errors import InputError
from games.finite.sequence_form import Float64
from games.inventory.demand import Normal, Poisson
from games.inventory.inventory import Inventory, State
from marl.rules.inventory import horizon
from marl.rules.inventory.rules import Rule

TAIL = 1e-9  # probability of demand that is left out
FINE = 8  # grid steps per standard deviation, where demand is not an integer


@dataclass(frozen=True, eq=False)
class Myopic(Rule):
    """Minimises the expected cost of the first period that an order can affect, given the pipeline.

    Where sales are lost: the smallest order q with P(D <= Y + q) >= penalty / (penalty + holding),
    Y the stock left for that period's demand D, whose distribution follows from units on hand and
    in transit by one convolution per period. Morton (1971), "The near-myopic nature of the lagged-
    proportional-cost inventory problem with lost sales"; Zipkin (2008), "Old and new methods for
    lost-sales inventory systems", section 3. Where customers wait, it is the newsvendor's
    base-stock policy. Stock between two points of the grid of demand is shared out between both.

    Raises:
        InputError: of `orders`: locations other than stores, lead times that vary, demand that is
            neither Poisson nor normal or has seasons.
    """

    name = "myopic"
    steep = True

    @classmethod
    def guess(cls, game: Inventory) -> Self:
        return cls()

    def asked(self, game: Inventory, state: State) -> Tensor:
        _require(game)
        arrays = game.arrays
        ratio = horizon.critical(game, state)
        waits = [one.unmet == "backlogged" for one in game.network.locations.values()]
        found = []
        level = torch.as_tensor(horizon.quantiles(game, ratio.double().cpu().numpy())).to(
            state.on_hand
        )
        for v in range(arrays.num_stores):
            (link,) = arrays.links_into[v]
            lead = len(game.network.links[link].lead_times) - 1
            coming = state.pipeline[:, link]
            if waits[v]:
                short = level[..., v] - state.on_hand[:, v] - coming.sum(dim=1)
                found.append((int(link), short.clamp_min(0)))
                continue
            chances, unit = _demand(game.network.demand, arrays.num_stores, v)
            left = _left(
                state.on_hand[:, v] / unit, coming / unit, lead, chances, arrays.before_demand
            )
            found.append((int(link), unit * _least(left, chances, ratio[..., v])))
        return torch.stack([order for _, order in sorted(found, key=lambda one: one[0])], dim=1)


def _left(
    on_hand: Tensor, coming: Tensor, lead: int, chances: Float64, arrives_first: bool
) -> Tensor:
    """Probabilities [B, M] of the stock left after `lead` periods, when the order arrives.

    Args:
        on_hand: [B] steps of the grid.
        coming: [B, P] steps.
        lead: periods.
        chances: [D] probabilities of demand, in steps.
        arrives_first: whether goods arrive before demand.
    """
    most = int((on_hand + coming.sum(dim=1)).max().clamp_min(0).ceil()) + 2
    serve = _served(chances.tobytes(), most).to(on_hand.device)
    stock = torch.zeros(len(on_hand), most, dtype=torch.float64, device=on_hand.device)
    stock[:, 0] = 1.0
    stock = _add(stock, on_hand.double())
    for j in range(lead):
        if arrives_first:
            stock = _add(stock, coming[:, j].double())
        stock = stock @ serve
        if not arrives_first and j < lead - 1:
            stock = _add(stock, coming[:, j].double())
    return stock


def _least(left: Tensor, chances: Float64, ratio: Tensor) -> Tensor:
    """The fewest steps q [B] with P(D <= Y + q) >= ratio, [] or [B]."""
    met = left @ _met(chances.tobytes(), left.shape[1]).to(left.device)  # [B, D]
    enough = met >= ratio.double().reshape(-1, 1) - 1e-9
    return enough.to(torch.uint8).argmax(dim=1).to(torch.float32)


def _add(stock: Tensor, units: Tensor) -> Tensor:
    """Shift probabilities [B, M] of stock by units [B], which need not be integers."""
    whole = units.floor()
    part = (units - whole)[:, None]
    first = stock.shape[1] - 1 - whole.long()[:, None]  # in rows padded with M - 1 zeros in front
    place = (first + torch.arange(stock.shape[1], device=stock.device)).clamp_min(0)
    longer = F.pad(stock, (stock.shape[1] - 1, 0))
    moved = longer.gather(1, place)
    if not part.any():
        return moved
    return (1 - part) * moved + part * longer.gather(1, (place - 1).clamp_min(0))


@lru_cache(maxsize=256)
def _served(chances: bytes, most: int) -> Tensor:
    """Transition matrix [M, M] float64 of stock by demand; shortages are lost."""
    demand = np.frombuffer(chances)
    found = np.zeros((most, most))
    for m in range(most):
        wanted = np.minimum(np.arange(len(demand)), m)
        np.add.at(found[m], m - wanted, demand)
    return torch.as_tensor(found)


@lru_cache(maxsize=256)
def _met(chances: bytes, most: int) -> Tensor:
    """Probabilities [M, D] float64 that stock y and an order q meet demand."""
    below = np.frombuffer(chances).cumsum()
    y, q = np.ogrid[:most, : len(below)]
    return torch.as_tensor(below[np.minimum(y + q, len(below) - 1)])


@lru_cache(maxsize=256)
def _demand(process: Poisson | Normal, stores: int, k: int) -> tuple[Float64, float]:
    """Probabilities [D] of a store's demand of 0, 1, 2, ... steps, and the units of a step."""
    mean = float(process.means(stores)[k])
    if isinstance(process, Poisson):
        chances = poisson.pmf(np.arange(int(poisson.isf(TAIL, mean)) + 1), mean)
        return chances / chances.sum(), 1.0
    deviation = max(float(process.deviations(stores)[k]), 1e-6)
    unit = deviation / FINE
    top = int(np.ceil((mean + norm.isf(TAIL) * deviation) / unit))
    bounds = np.arange(top + 1) + 0.5
    below = norm.cdf(bounds * unit, mean, deviation)
    return np.diff(below, prepend=0.0) / below[-1], unit  # the first step includes all below 0


def _require(game: Inventory) -> None:
    """Raise InputError for games outside the assumptions of the policy."""
    horizon.require_stores(game, Myopic.name)
    arrays, demand = game.arrays, game.network.demand
    if arrays.random_leads or any(len(links) != 1 for links in arrays.links_into):
        raise InputError(
            f"{game.name}: the myopic rule is for stores with one supplier and one lead time; use "
            "base-stock"
        )
    if not isinstance(demand, Poisson | Normal) or demand.season is not None:
        raise InputError(
            f"{game.name}: the myopic rule is for Poisson and normal demand without seasons; use "
            "quantile newsvendor"
        )
