"""Stock positions: stock on hand and on order minus backlog."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import networkx as nx
import numpy as np
import torch
from torch import Tensor

from games.finite.sequence_form import Float64
from games.inventory.arrays import NetworkArrays
from games.inventory.inventory import Inventory, State


def position(game: Inventory, state: State) -> Tensor:
    """Positions [B, V]: units on hand, in transit and owed to each location, minus backlog."""
    coming = _coming(game, state)
    if game.arrays.one_each:
        return state.on_hand + coming
    return state.on_hand + coming @ game.arrays.on(coming.device, coming.dtype).to_target


def echelon_position(game: Inventory, state: State) -> Tensor:
    """Echelon positions [B, V]: of each location and all that it feeds, together.

    Units owed within an echelon count once, where they are on hand. Units in transit came through
    the location at the start of their link; units on hand through the feeding locations, in their
    shares.
    """
    passed = constant("echelon", game.arrays, state.on_hand)  # [V, V]: of u's stock, through v
    along = constant("echelon of links", game.arrays, state.on_hand)  # [E, V]
    into = game.arrays.on(state.on_hand.device, state.on_hand.dtype).to_target
    found = state.on_hand @ passed.T + _coming(game, state) @ into
    if game.arrays.pipeline:
        found = found + state.pipeline.sum(dim=2) @ along
    return found


def by_link(game: Inventory, units: Tensor) -> Tensor:
    """Orders [B, E] on links, from locations' orders [B, V]: split evenly among their sources."""
    if game.arrays.one_each:
        return units
    return units @ constant("shares", game.arrays, units)


def constant(name: str, arrays: NetworkArrays, like: Tensor) -> Tensor:
    """An array of the network on the device of `like`, in its dtype; made once."""
    return _on(name, arrays, like.device, like.dtype)


@lru_cache(maxsize=64)
def _on(name: str, arrays: NetworkArrays, device: torch.device, dtype: torch.dtype) -> Tensor:
    return torch.tensor(_MADE[name](arrays), dtype=dtype, device=device)


def shares(arrays: NetworkArrays) -> Float64:
    """Share [V, E] of each link in a location's order."""
    found = np.zeros((arrays.num_locations, arrays.num_links))
    for v, links in enumerate(arrays.links_into):
        found[v, links] = 1 / max(len(links), 1)
    return found


@lru_cache(maxsize=64)
def echelon(arrays: NetworkArrays) -> Float64:
    """Share [V, V] of the goods arriving at u (second index) that passed through v."""
    found = np.eye(arrays.num_locations)
    place = {name: v for v, name in enumerate(arrays.names)}
    for name in nx.topological_sort(arrays.network.graph):
        if name not in place:
            continue
        u = place[name]
        sources = arrays.source[arrays.links_into[u]]
        for source in sources[sources >= 0]:
            found[:, u] += found[:, source] / len(sources)
    return found


def echelon_of_links(arrays: NetworkArrays) -> Float64:
    """Share [E, V] of the goods on a link that passed through v."""
    inside = arrays.source >= 0
    found = np.zeros((arrays.num_links, arrays.num_locations))
    found[inside] = echelon(arrays)[:, arrays.source[inside]].T
    return found


_MADE: dict[str, Callable[[NetworkArrays], Float64]] = {
    "shares": shares,
    "echelon": echelon,
    "echelon of links": echelon_of_links,
}


def _coming(game: Inventory, state: State) -> Tensor:
    """Units [B, E] in transit or owed."""
    if not game.arrays.pipeline:
        return state.owed if game.arrays.owes else torch.zeros_like(state.pipeline[..., :0].sum(2))
    coming = state.pipeline.sum(dim=2)
    return coming + state.owed if game.arrays.owes else coming
