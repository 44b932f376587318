"""Allocation of the stock of locations that cannot keep any: all is sent, balancing risks."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from games.inventory.arrays import NetworkArrays
from games.inventory.inventory import Inventory, State
from marl.rules.inventory import horizon
from marl.rules.inventory.position import position


def pass_on(game: Inventory, state: State, asked: Tensor) -> Tensor:
    """Orders [B, E] in units, where locations that cannot keep stock send all that they have.

    Their stock is divided so that every target's position comes to the same number of standard
    deviations above its mean demand until the next order could arrive; a target already above that
    gets nothing. Eppen and Schrage (1981), "Centralized ordering policies in a multi-warehouse
    system with lead times and random demand"; Federgruen and Zipkin (1984), "Approximations of
    dynamic, multilocation production and inventory problems".
    """
    groups = _leaving(game.arrays)
    if not groups:
        return asked
    now, orders = position(game, state), asked.clone()
    mean, deviation = horizon.of_network(game, now)  # [V]
    for v, links in groups:
        target = torch.as_tensor(game.arrays.target[links], device=now.device)
        above = now[:, target] - mean[target]
        there = state.on_hand[:, v].clamp_min(0)
        orders[:, links] = levelled(above, deviation[target].clamp_min(1e-6), there)
    return orders


def levelled(above: Tensor, width: Tensor, units: Tensor) -> Tensor:
    """Units [B, n] that raise the lowest to one height: above + units = height * width.

    Args:
        above: [B, n] present levels.
        width: [n] above 0.
        units: [B] to divide.
    """
    order = (above / width).argsort(dim=1)
    wide = width.expand_as(above).gather(1, order).cumsum(dim=1)
    filled = (units[:, None] + above.gather(1, order).cumsum(dim=1)) / wide
    # The smallest height over all k lowest filled up: those above it would have to give back.
    common = filled.min(dim=1, keepdim=True).values
    return (common * width - above).clamp_min(0)


@lru_cache(maxsize=64)
def _leaving(arrays: NetworkArrays) -> tuple[tuple[int, np.ndarray], ...]:
    """Locations that cannot keep stock, and their outgoing links."""
    return tuple(
        (v, links)
        for v, one in enumerate(arrays.network.locations.values())
        if not one.holds and len(links := np.flatnonzero(arrays.source == v))
    )
