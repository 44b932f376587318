"""A supply network as arrays, prepared once so that a period is a few matrix products."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple

import networkx as nx
import numpy as np
import torch
from torch import Tensor

from games.finite.sequence_form import Float64
from games.inventory.network import SupplyNetwork

INDICES = ("outer", "slot", "later")  # of whole numbers


class Numbers(NamedTuple):
    """Tensors of one device and dtype; V locations, K stores, E links."""

    stock: Tensor  # [V] at the start
    mean: Tensor  # [K] demand a period
    holding: Tensor  # [V]
    penalty: Tensor  # [V]
    waits: Tensor  # [V] 1 where demand that is not met is backlogged
    price: Tensor  # [K]
    inside: Tensor  # [E] 1 where the source is a location
    outside: Tensor  # [E] 1 where it is a supplier
    at_source: Tensor  # [V, E] 1 where a link leaves a location: stock @ it is [E]
    from_source: Tensor  # [E, V] the same, the other way round: sums over links that leave
    to_target: Tensor  # [E, V] 1 where a link ends at a location
    sends: Tensor  # [V, S] 1 where a location is one of the S from which links leave
    leaves: Tensor  # [E, S] 1 where a link leaves it
    sender_throughput: Tensor  # [S]
    sender_yields: Tensor  # [S]
    outer: Tensor  # [O] int64 links that leave a supplier
    outer_place: Tensor  # [O, E] 1 where they are among the links
    outer_scale: Tensor  # [O] mean flow over softplus(1)
    taken: Tensor  # [E, V] units of a location's stock for a unit that leaves
    earned: Tensor  # [E, V] of a source for a unit that leaves, its operating cost taken off
    same_source: Tensor  # [E, E] 1 where two links leave the same location
    keeps: Tensor  # [S] 1 where a sender can keep stock
    passes: Tensor  # [E] 1 where it cannot
    flow: Tensor  # [V] mean units a period that pass through
    link_flow: Tensor  # [E]
    capacity: Tensor  # [E]
    throughput: Tensor  # [V]
    yields: Tensor  # [V]
    link_cost: Tensor  # [E]
    transit: Tensor  # [E] holding cost on the way
    link_penalty: Tensor  # [E] of units that were asked for and are not shipped
    trace_penalty: Tensor  # [R, V] where penalties differ by trace; R = 0 if they do not
    trace_price: Tensor  # [R, K] the same of prices
    begins: Tensor  # [E, P] mean flow, where a store's pipeline has a place for it; else 0
    place: Tensor  # [E, P + 1] 1 where what is shipped goes in the pipeline
    slot: Tensor  # [E] int64 the same as an index into E * (P + 1), where lead times are known
    later: Tensor  # [E] int64 as an index into E * P, where nothing arrives at once
    lead_chances: Tensor  # [E, ...] of 0, 1, 2, ... periods


@dataclass(frozen=True, eq=False)
class NetworkArrays:
    """Constants of a network, computed before play."""

    network: SupplyNetwork

    @cached_property
    def names(self) -> tuple[str, ...]:
        """[V] of the locations, stores first."""
        return tuple(self.network.locations)

    @property
    def num_locations(self) -> int:
        return len(self.names)

    @cached_property
    def num_stores(self) -> int:
        return len(self.network.stores)

    @property
    def num_links(self) -> int:
        return len(self.network.links)

    @cached_property
    def source(self) -> np.ndarray:
        """[E] int64 index of a location, or -1 - that of a supplier."""
        place = {name: i for i, name in enumerate(self.names)}
        place |= {name: -1 - i for i, name in enumerate(self.network.suppliers)}
        return np.array([place[link.source] for link in self.network.links])

    @cached_property
    def target(self) -> np.ndarray:
        """[E] int64 index of a location."""
        place = {name: i for i, name in enumerate(self.names)}
        return np.array([place[link.target] for link in self.network.links])

    @cached_property
    def links_into(self) -> tuple[np.ndarray, ...]:
        """[V] arrays of links, in their order."""
        return tuple(np.flatnonzero(self.target == v) for v in range(self.num_locations))

    # What can be left out of a period, because it would change nothing.

    @cached_property
    def has_inside(self) -> bool:
        return bool((self.source >= 0).any())

    @cached_property
    def has_outside(self) -> bool:
        return bool((self.source < 0).any())

    @cached_property
    def passes_on(self) -> bool:
        """Whether some location that sends goods on cannot keep any."""
        return any(
            not self.network.locations[link.source].holds
            for link in self.network.links
            if link.source in self.network.locations
        )

    @cached_property
    def owes(self) -> bool:
        """Whether an order can be left waiting at its source."""
        short = self.has_inside or self.link_capacity
        return self.network.internal == "backlogged" and short

    @cached_property
    def all_lost(self) -> bool:
        return all(self._stores("unmet") == "lost")

    @cached_property
    def all_wait(self) -> bool:
        return all(self._of("unmet") == "backlogged")

    @cached_property
    def before_demand(self) -> bool:
        return self.network.receive == "before demand"

    @cached_property
    def link_capacity(self) -> bool:
        return any(link.capacity is not None for link in self.network.links)

    @cached_property
    def throughput(self) -> bool:
        return any(one.capacity is not None for one in self.network.locations.values())

    @cached_property
    def shares_fit(self) -> bool:
        """Whether shares of stock can always be shipped."""
        full = self.passes_on and self.link_capacity  # what one link cannot take, others do
        return not (self.throughput or self.owes or full)

    @cached_property
    def makes(self) -> bool:
        """Whether some location makes more or less than a unit of a unit."""
        return bool((self._of("yields") != 1).any())

    @cached_property
    def one_each(self) -> bool:
        """Whether link i ends at location i, and there are no others."""
        return bool(np.array_equal(self.target, np.arange(self.num_locations)))

    @cached_property
    def priced(self) -> bool:
        """Whether goods cost something: to order, to make, to have on the way, to be short of."""
        links = any(link.cost or link.holding or link.penalty for link in self.network.links)
        return links or bool((self._of("operating") > 0).any())

    @cached_property
    def sells(self) -> bool:
        return self.own_price or any(self._stores("price") > 0)

    @cached_property
    def pays_transit(self) -> bool:
        return any(link.holding for link in self.network.links)

    @cached_property
    def pays_short(self) -> bool:
        return any(link.penalty for link in self.network.links)

    @cached_property
    def own_penalty(self) -> bool:
        """Whether every trace of demand has penalties of its own."""
        return self.network.demand.worth("penalty", self.num_stores) is not None

    @cached_property
    def own_price(self) -> bool:
        return self.network.demand.worth("price", self.num_stores) is not None

    @cached_property
    def dearest(self) -> float:
        """What a unit of unmet demand costs, penalty and price, where most; 1 if nothing."""
        penalty = self._worth("penalty") if self.own_penalty else self._stores("penalty")[None]
        price = self._worth("price") if self.own_price else self._stores("price")[None]
        return float((penalty.max(axis=0) + price.max(axis=0)).max()) or 1.0

    @cached_property
    def random_leads(self) -> bool:
        return any(max(link.lead_times) < 1 for link in self.network.links)

    @cached_property
    def at_once(self) -> bool:
        """Whether something may arrive in the period in which it is shipped."""
        return any(any(link.lead_times[: self.first_lead + 1]) for link in self.network.links)

    @cached_property
    def longest(self) -> int:
        """Periods of the longest lead time."""
        return max(len(link.lead_times) - 1 for link in self.network.links)

    @cached_property
    def first_lead(self) -> int:
        """The lead time of what arrives in the period in which it is shipped."""
        return 0 if self.before_demand else 1

    @property
    def pipeline(self) -> int:
        """P."""
        return max(self.longest - self.first_lead, 0)

    @cached_property
    def even_leads(self) -> bool:
        """Whether every order takes the longest lead time."""
        return all(link.lead_times[-1] == 1 for link in self.network.links) and all(
            len(link.lead_times) - 1 == self.longest for link in self.network.links
        )

    @cached_property
    def flow(self) -> Float64:
        """[V] mean units a period that pass through each location, shared evenly by its links."""
        graph = self.network.graph
        flow = dict.fromkeys(graph, 0.0)
        means = self.network.demand.means(self.num_stores)
        flow |= dict(zip(self.names, map(float, means), strict=False))
        for name in reversed(list(nx.topological_sort(graph))):
            for source in graph.predecessors(name):
                of = self.network.locations.get(source)
                flow[source] += flow[name] / graph.in_degree(name) / (of.yields if of else 1.0)
        return np.array([flow[name] for name in self.names])

    @cached_property
    def link_flow(self) -> Float64:
        """[E] mean units a period."""
        degree = np.bincount(self.target, minlength=self.num_locations)
        return (self.flow / degree)[self.target]

    def on(self, device: torch.device | str, dtype: torch.dtype) -> Numbers:
        """The numbers there."""
        key = torch.device(device), dtype
        if key not in self._numbers:
            tensors = {
                name: torch.tensor(
                    np.array(value), dtype=torch.int64 if name in INDICES else dtype, device=device
                )
                for name, value in self._arrays.items()
            }
            self._numbers[key] = Numbers(**tensors)
        return self._numbers[key]

    @cached_property
    def _numbers(self) -> dict[tuple[torch.device, torch.dtype], Numbers]:
        return {}

    def _of(self, name: str) -> np.ndarray:
        return np.array([getattr(one, name) for one in self.network.locations.values()])

    def _stores(self, name: str) -> np.ndarray:
        return self._of(name)[: self.num_stores]

    def _worth(self, kind: Literal["penalty", "price"]) -> np.ndarray:
        """[R, K] of each trace; R = 0 where traces are alike."""
        found = self.network.demand.worth(kind, self.num_stores)
        return np.zeros((0, self.num_stores)) if found is None else found

    @cached_property
    def _arrays(self) -> dict[str, Any]:
        v, e, k = self.num_locations, self.num_links, self.num_stores
        links = self.network.links
        inside = self.source >= 0
        from_source, to_target = np.zeros((e, v)), np.zeros((e, v))
        from_source[np.flatnonzero(inside), self.source[inside]] = 1
        to_target[np.arange(e), self.target] = 1
        cost = np.array([link.cost for link in links])
        lead = np.zeros((e, self.longest + 1))
        for row, link in zip(lead, links, strict=True):
            row[: len(link.lead_times)] = link.lead_times
        place = lead[:, self.first_lead :].copy()
        penalty, price = self._worth("penalty"), self._worth("price")
        senders = np.flatnonzero(from_source.any(axis=0))
        slot = place.argmax(axis=1)
        throughput = np.array(
            [
                np.inf if one.capacity is None else one.capacity
                for one in self.network.locations.values()
            ]
        )
        periods = np.array([len(link.lead_times) - 1 - self.first_lead for link in links])
        filled = (np.arange(self.pipeline) < periods[:, None]) & (self.target < k)[:, None]
        return {
            "stock": self._of("stock"),
            "mean": self.network.demand.means(self.num_stores),
            "holding": self._of("holding"),
            "penalty": self._of("penalty"),
            "waits": self._of("unmet") == "backlogged",
            "price": self._stores("price"),
            "inside": inside,
            "outside": ~inside,
            "at_source": from_source.T,
            "from_source": from_source,
            "to_target": to_target,
            "sends": np.eye(v)[:, senders],
            "leaves": from_source[:, senders],
            "outer": np.flatnonzero(~inside),
            "outer_place": np.eye(e)[~inside],
            "outer_scale": self.link_flow[~inside] / np.log1p(np.e),
            "taken": from_source / self._of("yields"),
            "earned": from_source * (cost[:, None] - self._of("operating")),
            "same_source": from_source @ from_source.T,
            "keeps": self._of("holds")[senders],
            "passes": from_source @ ~self._of("holds"),
            "flow": self.flow,
            "link_flow": self.link_flow,
            "capacity": [np.inf if link.capacity is None else link.capacity for link in links],
            "throughput": throughput,
            "sender_throughput": throughput[senders],
            "sender_yields": self._of("yields")[senders],
            "yields": self._of("yields"),
            "link_cost": cost,
            "transit": np.array([link.holding for link in links]),
            "link_penalty": np.array([link.penalty for link in links]),
            "trace_penalty": np.pad(penalty, ((0, 0), (0, v - k))),
            "trace_price": price,
            "begins": filled * self.link_flow[:, None],
            "place": place,
            "slot": slot + np.arange(e) * (self.pipeline + 1),
            "later": slot - 1 + np.arange(e) * self.pipeline,
            "lead_chances": lead,
        }
