"""Views: observations of the locations of a supply network, or of its planner.

Units are shown in terms of the mean flow of their location or link, so that a network sees numbers
of the size of a few periods, whatever is sold.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import NamedTuple

import gymnasium
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from games.inventory.columns import by_game, joined
from games.inventory.parameters import GRAPH, LOCATIONS, PLANNER, Parameters
from games.inventory.period import State
from games.simulators.simulator import Observation, Role, Spec, no_edges


def of(game: Parameters) -> View:
    """The view that a game has."""
    kinds: dict[str, Callable[[Parameters], View]]
    kinds = {PLANNER: Planner, GRAPH: Graph, LOCATIONS: Locations}
    return kinds[game.view](game)


def _box(game: Parameters, links: int) -> gymnasium.spaces.Box:
    low = 0.0 if game.actions == "quantities" else -np.inf
    return gymnasium.spaces.Box(low, np.inf, (links,), np.float32)


class View(ABC):
    """One way to show a network; subclasses say which."""

    spec: Spec

    def __init__(self, game: Parameters) -> None:
        self.game, self.arrays = game, game.arrays
        self._cached: dict[tuple[str, torch.device], Tensor] = {}

    @abstractmethod
    def observe(self, state: State) -> Observation:
        """The state as its agents see it."""

    def by_link(self, actions: Tensor) -> Tensor:
        """Numbers [B, E] of actions [B, N, D]."""
        return actions[:, 0]

    def _seen(self, state: State, nodes: Tensor, edges: tuple[Tensor, Tensor]) -> Observation:
        shape = len(nodes), self.spec.num_agents
        return Observation(
            nodes=nodes,
            edges=edges[0],
            edge_features=edges[1],
            acting=torch.ones(shape, dtype=torch.bool, device=nodes.device),
            action_mask=torch.zeros((*shape, 0), dtype=torch.bool, device=nodes.device),
        )

    def _kept(self, name: str, like: Tensor, value: object) -> Tensor:
        """A constant on the device of `like`, in its dtype; made once."""
        key = f"{name} {like.dtype}", like.device
        if key not in self._cached:
            self._cached[key] = torch.as_tensor(
                np.asarray(value, np.float64), dtype=like.dtype, device=like.device
            )
        return self._cached[key]

    def _edges(self, name: str, state: State, pairs: np.ndarray, nodes: int) -> Tensor:
        """[2, B * pairs] int64 of pairs [2, n] of nodes of one game, game by game."""
        batch, device = len(state.period), state.period.device
        key = f"{name} {batch}", device
        if key not in self._cached:
            first = torch.arange(batch, device=device)[:, None] * nodes
            both = torch.as_tensor(pairs, device=device)[:, None, :] + first
            self._cached = {k: v for k, v in self._cached.items() if not k[0].startswith(name)}
            self._cached[key] = both.reshape(2, -1)
        return self._cached[key]

    def _season(self, state: State) -> Tensor:
        """[B, 2] where in the season a game is; [B, 0] without one."""
        season = self.game.network.demand.season
        if season is None:
            return state.on_hand.new_zeros(len(state.period), 0)
        turn = (state.offset + state.period).to(state.on_hand.dtype) * (2 * math.pi / season.period)
        return torch.stack((turn.sin(), turn.cos()), dim=1)


class Planner(View):
    """One agent, to whom the whole state is shown in one row.

    On hand [V], on the way [E, P], owed [E or 0], past demand [K, W], season [2 or 0]; what a unit
    of unmet demand costs [K], where that differs by game.
    """

    def __init__(self, game: Parameters) -> None:
        super().__init__(game)
        arrays = game.arrays
        link = arrays.link_flow
        scale = [
            arrays.flow,
            np.repeat(link, arrays.pipeline),
            link if arrays.owes else [],
            np.repeat(arrays.flow[: arrays.num_stores], game.look_back),
            [1.0, 1.0] if game.network.demand.season else [],
            np.full(arrays.num_stores, game.arrays.dearest) if _varies(game) else [],
        ]
        self.scale = 1 / np.maximum(np.concatenate(scale), 1e-9)  # [F]
        role = Role("planner", _box(game, arrays.num_links), len(self.scale))
        self.spec = Spec(name=game.name, roles=(role,), role_of=(0,), num_nodes=1)

    def observe(self, state: State) -> Observation:
        parts = [state.on_hand]
        if self.arrays.pipeline:
            parts.append(state.pipeline)
        if self.arrays.owes:
            parts.append(state.owed)
        if self.game.look_back:
            parts.append(state.past)
        if self.game.network.demand.season:
            parts.append(self._season(state))
        if _varies(self.game):
            parts.append(_unmet_cost(self.game, state))
        row = joined(*parts)
        nodes = by_game(row * self._kept("scale", row, self.scale))[:, None]
        return self._seen(state, nodes, no_edges(nodes))


class Features(NamedTuple):
    """Of nodes and edges of a network shown as a graph."""

    nodes: Tensor  # [B, V, F]
    links: Tensor  # [B, E, G]


def features(view: View, state: State) -> Features:
    """What the locations and the links of B games show.

    A location: on hand, past demand [W], season [2 or 0], and what it always is: holding cost, and
    cost of a unit of unmet demand (penalty and price), both over what that costs where it costs
    most; mean and standard deviation of its demand over its flow; whether it is a store. A link: on
    the way [P], owed [1 or 0], its mean lead time over the longest, its cost, whether it comes from
    outside.
    """
    game, arrays = view.game, view.arrays
    b, v = state.on_hand.shape
    rest = v - arrays.num_stores
    inverse = view._kept("inverse flow", state.on_hand, 1 / np.maximum(arrays.flow, 1e-9))
    nodes = [(state.on_hand * inverse)[..., None]]
    if game.look_back:
        past = state.past * inverse[: arrays.num_stores, None]
        nodes.append(F.pad(past, (0, 0, 0, rest)))
    if game.network.demand.season:
        nodes.append(view._season(state)[:, None].expand(-1, v, -1))
    constants = view._kept("location", state.on_hand, _location_constants(game)).expand(b, -1, -1)
    if _varies(game):
        unmet = F.pad(_unmet_cost(game, state) / game.arrays.dearest, (0, rest))[..., None]
        constants = torch.cat((constants[..., :1], unmet, constants[..., 2:]), dim=2)
    nodes.append(constants)
    flow = view._kept("inverse link flow", state.on_hand, 1 / np.maximum(arrays.link_flow, 1e-9))
    links = []
    if arrays.pipeline:
        links.append(state.pipeline * flow[:, None])
    if arrays.owes:
        links.append((state.owed * flow)[..., None])
    links.append(view._kept("link", state.on_hand, _link_constants(game)).expand(b, -1, -1))
    return Features(torch.cat(nodes, dim=2), torch.cat(links, dim=2))


def num_features(game: Parameters) -> tuple[int, int]:
    """How many a location and a link show."""
    season = 2 if game.network.demand.season else 0
    own = game.arrays.pipeline + game.arrays.owes
    return 1 + game.look_back + season + 5, own + 3


def _location_constants(game: Parameters) -> np.ndarray:
    """[V, 5]"""
    arrays, network = game.arrays, game.network
    k, v = arrays.num_stores, arrays.num_locations
    dearest = game.arrays.dearest
    found = np.zeros((v, 5))
    found[:, 0] = [one.holding / dearest for one in network.locations.values()]
    found[:, 1] = [(one.penalty + one.price) / dearest for one in network.locations.values()]
    flow = np.maximum(arrays.flow[:k], 1e-9)
    found[:k, 2] = network.demand.means(k) / flow
    found[:k, 3] = network.demand.deviations(k) / flow
    found[:k, 4] = 1
    return found


def _link_constants(game: Parameters) -> np.ndarray:
    """[E, 3]"""
    arrays, links = game.arrays, game.network.links
    mean = np.array([np.dot(range(len(link.lead_times)), link.lead_times) for link in links])
    cost = np.array([link.cost for link in links])
    lead = mean / max(arrays.longest, 1)
    return np.stack((lead, cost / game.arrays.dearest, arrays.source < 0), axis=1)


def _varies(game: Parameters) -> bool:
    """Whether a unit of unmet demand costs differently by game."""
    return game.arrays.own_penalty or game.arrays.own_price


def _unmet_cost(game: Parameters, state: State) -> Tensor:
    """[B, K] of a unit, where it varies: penalty, and revenue that does not come."""
    return game.penalty(state)[..., : game.arrays.num_stores] + game.price(state)


class Graph(View):
    """One agent, to whom the network is shown as a graph: for encoders with an action an edge.

    Node 0 is the planner, whose row is 0; then the locations, then the suppliers, whose rows are 0.
    Edge e of a game is link e, so that the e-th component of the planner's action is about it.
    """

    def __init__(self, game: Parameters) -> None:
        super().__init__(game)
        arrays = game.arrays
        width, edges = num_features(game)
        role = Role("planner", _box(game, arrays.num_links), width)
        self.suppliers = len(game.network.suppliers)
        total = 1 + arrays.num_locations + self.suppliers
        self.spec = Spec(
            name=game.name, roles=(role,), role_of=(0,), num_nodes=total, edge_features=edges
        )
        outside = arrays.num_locations - arrays.source  # 0 1 2 of suppliers are -1 -2 -3
        source = np.where(arrays.source < 0, outside, 1 + arrays.source)
        self.pairs = np.stack((source, 1 + arrays.target))

    def observe(self, state: State) -> Observation:
        shown = features(self, state)
        nodes = F.pad(shown.nodes, (0, 0, 1, self.suppliers))
        edges = self._edges("edges", state, self.pairs, self.spec.num_nodes)
        return self._seen(state, nodes, (edges, shown.links.flatten(0, 1)))


class Locations(View):
    """Every location is an agent, which sees its own row, and the graph around it.

    A row: what the location shows, then what each link into it shows, in the order of its links;
    empty where a role's other locations have more of them. Edges run both ways along every link
    between two locations, and show what the link shows and whether goods come this way.
    """

    def __init__(self, game: Parameters) -> None:
        super().__init__(game)
        arrays = game.arrays
        own, link = num_features(game)
        into = arrays.links_into
        locations = list(game.network.locations.values())
        kinds = [
            one.role or ("store" if v < arrays.num_stores else "warehouse")
            for v, one in enumerate(locations)
        ]
        most = {kind: max(len(into[v]) for v, k in enumerate(kinds) if k == kind) for kind in kinds}
        self.widest = max(most.values())
        self.spec = Spec(
            name=game.name,
            roles=tuple(Role(kind, _box(game, d), own + d * link) for kind, d in most.items()),
            role_of=tuple(list(most).index(kind) for kind in kinds),
            num_nodes=arrays.num_locations,
            edge_features=link + 1,
        )
        e = arrays.num_links
        slots = np.full((arrays.num_locations, self.widest), e)  # e: a link that is not there
        place = np.zeros(e, np.int64)
        for v, links in enumerate(into):
            slots[v, : len(links)] = links
            place[links] = v * self.widest + np.arange(len(links))
        self.slots, self.place = torch.as_tensor(slots.ravel()), torch.as_tensor(place)
        self.between = np.flatnonzero(arrays.source >= 0)
        source, target = arrays.source[self.between], arrays.target[self.between]
        self.pairs = np.concatenate(
            (np.stack((source, target)), np.stack((target, source))), axis=1
        )

    def by_link(self, actions: Tensor) -> Tensor:
        return actions.flatten(1)[:, self.place.to(actions.device)]

    def observe(self, state: State) -> Observation:
        shown = features(self, state)
        b, v, _ = shown.nodes.shape
        links = F.pad(shown.links, (0, 0, 0, 1))[:, self.slots.to(shown.links.device)]
        nodes = torch.cat((shown.nodes, links.view(b, v, -1)), dim=2)
        nodes = nodes[..., : self.spec.features]
        along = shown.links[:, torch.as_tensor(self.between, device=nodes.device)]
        both = torch.cat((F.pad(along, (0, 1), value=1.0), F.pad(along, (0, 1))), dim=1)
        edges = self._edges("edges", state, self.pairs, v)
        return self._seen(state, nodes, (edges, both.flatten(0, 1)))
