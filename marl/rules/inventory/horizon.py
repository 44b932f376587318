"""Demand until the next order could arrive: over the lead time and one period more.

An order of period t can be used in period t + L, and the next one a period later: so what is on
hand or in transit once the first is placed has to cover the demand of L + 1 periods.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import networkx as nx
import numpy as np
import torch
from scipy.stats import norm, poisson
from torch import Tensor

from games.common.errors import InputError
from games.finite.sequence_form import Float64
from games.inventory.arrays import NetworkArrays
from games.inventory.demand import Poisson
from games.inventory.inventory import Inventory, State
from marl.rules.inventory.position import echelon, shares


class Lead(NamedTuple):
    """Lead times into each location, the same for all its links."""

    mean: Float64  # [V] periods
    variance: Float64  # [V]
    below: Float64  # [V] mean periods from there to the customers


@lru_cache(maxsize=64)
def leads(arrays: NetworkArrays) -> Lead:
    """The lead times of a network."""
    each = np.arange(arrays.longest + 1)
    chances = np.zeros((arrays.num_links, len(each)))
    for row, link in zip(chances, arrays.network.links, strict=True):
        row[: len(link.lead_times)] = link.lead_times
    mean, square = np.zeros((2, arrays.num_locations))
    for v, links in enumerate(arrays.links_into):
        mean[v] = (chances[links] @ each).mean()
        square[v] = (chances[links] @ each**2).mean()
    below = np.zeros(arrays.num_locations)
    place = {name: v for v, name in enumerate(arrays.names)}
    for name in reversed(list(nx.topological_sort(arrays.network.graph))):
        out = np.flatnonzero(arrays.source == place.get(name, arrays.num_locations))
        if len(out):
            way = chances[out] @ each + below[arrays.target[out]]
            below[place[name]] = np.average(way, weights=np.maximum(arrays.link_flow[out], 1e-9))
    return Lead(mean, square - mean**2, below)


def ratio(game: Inventory) -> Float64:
    """[V] the newsvendor's critical ratio of each store, see `critical`, the mean of all traces.

    A warehouse gets the mean of the locations that it feeds.
    """
    arrays = game.arrays
    k, numbers = arrays.num_stores, arrays.on("cpu", torch.float64)
    penalty = numbers.trace_penalty.mean(0) if arrays.own_penalty else numbers.penalty
    price = numbers.trace_price.mean(0) if arrays.own_price else numbers.price
    found = np.ones(arrays.num_locations)
    found[:k] = _critical(arrays, penalty[:k], price).numpy()
    through = echelon(arrays)[:, :k] * arrays.network.demand.means(k)
    fed = through @ found[:k] / np.maximum(through.sum(axis=1), 1e-12)
    found[k:] = fed[k:]
    return found


def critical(game: Inventory, state: State) -> Tensor:
    """The critical ratio of each store, [K], or [B, K] where it differs by trace.

    Underage over underage and overage. Underage is the penalty, and where sales are lost the margin
    too; overage is the holding cost.
    """
    k = game.arrays.num_stores
    return _critical(game.arrays, game.penalty(state)[..., :k], game.price(state))


def _critical(arrays: NetworkArrays, penalty: Tensor, price: Tensor) -> Tensor:
    k, numbers = arrays.num_stores, arrays.on(penalty.device, penalty.dtype)
    cost = torch.as_tensor(shares(arrays), device=penalty.device).to(penalty) @ numbers.link_cost
    margin = (1 - numbers.waits[:k]) * (price - cost[:k]).clamp_min(0)
    under = penalty + margin
    return (under / (under + numbers.holding[:k]).clamp_min(1e-12)).clamp(1e-3, 1 - 1e-3)


def moments(arrays: NetworkArrays, *, whole: bool = False) -> tuple[Float64, Float64]:
    """Mean and standard deviation [V] of the demand through each location, over the horizon.

    Args:
        arrays: of the network, with its demand over all seasons.
        whole: whether the horizon extends to the customers, as an echelon's does.
    """
    k, demand = arrays.num_stores, arrays.network.demand
    lead = leads(arrays)
    deviation = demand.deviations(k)
    common = getattr(demand, "correlation", 0.0)
    covariance = np.outer(deviation, deviation) * common
    np.fill_diagonal(covariance, deviation**2)
    through = echelon(arrays)[:, :k]
    mean = through @ demand.means(k)
    variance = ((through @ covariance) * through).sum(axis=1)
    periods = lead.mean + 1 + (lead.below if whole else 0)
    return periods * mean, np.sqrt(periods * variance + lead.variance * mean**2)


def levels(game: Inventory, *, echelon: bool = False) -> Tensor:
    """Newsvendor levels [V] float32, of each location's own position or its echelon's."""
    mean, deviation = moments(game.arrays, whole=echelon)
    found = mean + norm.ppf(ratio(game)) * deviation
    return torch.as_tensor(found, dtype=torch.float32)


def of_network(game: Inventory, like: Tensor) -> tuple[Tensor, Tensor]:
    """`moments` as tensors on the device and of the dtype of another."""
    return _moments(game.arrays, like.device, like.dtype)


def of_process(game: Inventory, state: State) -> tuple[Tensor, Tensor]:
    """Mean and deviation of each store's demand over the horizon: [K], in a season [B, K]."""
    k, like = game.arrays.num_stores, state.on_hand
    mean, deviation = (value[:k] for value in of_network(game, like))
    season = game.network.demand.season
    if season is None:
        return mean, deviation
    now = state.offset + state.period
    lead = torch.as_tensor(leads(game.arrays).mean[:k], device=now.device).to(like.dtype)
    factor = torch.zeros_like(like[:, :k])
    for ahead in range(game.arrays.longest + 1):
        counts = (lead + 1 - ahead).clamp(0, 1)  # weight of this period, in a horizon of L + 1
        factor = factor + counts * season.factor(now + ahead).to(like.dtype)
    factor = factor / (lead + 1)
    if isinstance(game.network.demand, Poisson):
        return mean * factor, deviation * factor.sqrt()
    return mean * factor, deviation.expand_as(factor)


def of_past(game: Inventory, state: State) -> tuple[Tensor, Tensor]:
    """The same [B, K], from the mean and deviation of the last W periods shown by the state."""
    if game.look_back < 2:
        raise InputError(f"{game.name}: a rule based on past demand needs look_back of 2 or more")
    lead = leads(game.arrays)
    like, k = state.past, game.arrays.num_stores
    periods = torch.as_tensor(lead.mean[:k] + 1, device=like.device).to(like.dtype)
    spread = torch.as_tensor(lead.variance[:k], device=like.device).to(like.dtype)
    mean = like.mean(dim=2)
    variance = periods * like.var(dim=2) + spread * mean**2
    return periods * mean, variance.clamp_min(1e-12).sqrt()


def quantiles(game: Inventory, share: Float64) -> Float64:
    """The quantile `share` [..., K] of each store's demand over its horizon.

    Exact for independent Poisson demand of one mean, and lead times that do not vary.
    """
    k = game.arrays.num_stores
    mean, deviation = (value[:k] for value in moments(game.arrays))
    demand = game.network.demand
    steady = demand.season is None and not game.arrays.random_leads
    if isinstance(demand, Poisson) and steady:
        return poisson.ppf(share, mean)
    return mean + norm.ppf(share) * deviation


def require_stores(game: Inventory, rule: str) -> None:
    """Raise InputError unless every location is a store fed by a supplier."""
    arrays = game.arrays
    if arrays.num_stores < arrays.num_locations or arrays.has_inside:
        raise InputError(
            f"{game.name}: {rule} is a rule for stores fed by suppliers; use echelon-stock "
            "where locations send to each other"
        )


def require_kept(game: Inventory, rule: str) -> None:
    """Raise InputError if a location that sends goods on cannot keep stock.

    Its own position never sees demand, so that a rule based on it orders the same forever.
    """
    if game.arrays.passes_on:
        raise InputError(
            f"{game.name}: {rule} orders by each location's own stock, but some here keep none; "
            "use echelon-stock"
        )


@lru_cache(maxsize=64)
def _moments(
    arrays: NetworkArrays, device: torch.device, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    mean, deviation = moments(arrays)
    return (
        torch.tensor(mean, dtype=dtype, device=device),
        torch.tensor(deviation, dtype=dtype, device=device),
    )
