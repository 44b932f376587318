"""Supply networks: locations that hold stock, links that goods travel on, and customer demand.

Read from a TOML file or a networkx graph, or made in Python; errors are reported at once.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import networkx as nx
from pydantic import Field, field_validator, model_validator

from games.common.errors import InputError, did_you_mean, one_line
from games.inventory.demand import Normal, Part, Poisson
from games.inventory.series import Series, unreadable

LONGEST = 1000  # periods of a lead time: every one of them is kept in memory
Cost = Annotated[float, Field(ge=0)]
Demand = Poisson | Normal | Series


class Location(Part):
    """A place that holds stock; customers come to it if it is among the network's stores."""

    stock: Annotated[float, Field(ge=0)] = 0.0
    """Units on hand at the start of a game."""
    holding: Cost = 0.0
    """Holding cost per unit on hand at the end of a period."""
    penalty: Cost = 0.0
    """Cost per unit of lost demand, or per unit of backlog and period."""
    price: Cost = 0.0
    """Sales price per unit."""
    unmet: Literal["backlogged", "lost"] = "backlogged"
    """Whether unmet demand is lost or waits as backlog."""
    capacity: Annotated[float, Field(gt=0)] | None = None
    """Most units shipped to other locations in a period; None: no limit."""
    yields: Annotated[float, Field(gt=0)] = 1.0
    """Yield of production: units shipped for each unit taken from stock."""
    operating: Cost = 0.0
    """Cost per unit shipped to another location."""
    holds: bool = True
    """Whether it can hold stock; a transshipment centre cannot, and ships all it has."""
    customers: bool | None = None
    """Whether customers come, which makes it a store; None: if it sends nothing on."""
    role: str = ""
    """Locations of one role can share a policy; by default store or warehouse."""


class Link(Part):
    """A link, on which goods travel from `source` to `target`."""

    source: str
    target: str
    lead_time: (
        Annotated[int, Field(ge=0, le=LONGEST)] | tuple[Annotated[float, Field(ge=0)], ...]
    ) = 1
    """Periods from order to use, up to 1000; or the probabilities of 0, 1, 2, ... periods."""
    cost: Cost = 0.0
    """Price per unit shipped, paid by the target; to the source, if that is a location."""
    holding: Cost = 0.0
    """Cost to the target per unit in transit at the end of a period."""
    penalty: Cost = 0.0
    """Cost to the target per unit ordered but not shipped, in each period."""
    capacity: Annotated[float, Field(gt=0)] | None = None
    """Most units shipped in a period; None: no limit."""

    @field_validator("lead_time")
    @classmethod
    def _sums_to_one(cls, lead_time: Any) -> Any:
        if isinstance(lead_time, tuple) and len(lead_time) > LONGEST + 1:
            raise InputError(f"give probabilities of at most {LONGEST} periods")
        if isinstance(lead_time, tuple) and abs(sum(lead_time) - 1) > 1e-9:
            raise InputError(
                f"the probabilities of 0, 1, 2, ... periods sum to {sum(lead_time):g}; make it 1"
            )
        return lead_time

    @property
    def lead_times(self) -> tuple[float, ...]:
        """Probabilities of 0, 1, 2, ... periods, without zeros at the end."""
        if isinstance(self.lead_time, int):
            return (0.0,) * self.lead_time + (1.0,)
        found = list(self.lead_time)
        while not found[-1]:
            found.pop()
        return tuple(found)


class SupplyNetwork(Part):
    """V locations, of which the first K are stores, and E links; no goods go in circles.

    Raises:
        ValidationError: pydantic's, of a link from or to nowhere, a cycle, a location that nothing
            is sent to. `checked`, `from_networkx` and `from_file` raise InputError.
    """

    locations: dict[str, Location]
    """The locations by name; stores are moved to the front."""
    links: tuple[Link, ...]
    """The links, in the order of the components of a planner's action."""
    demand: Annotated[Demand, Field(discriminator="kind")]
    """The demand process of all stores, in their order."""
    suppliers: tuple[str, ...] = ("supplier",)
    """Names of suppliers, which never run out of stock."""
    internal: Literal["lost", "backlogged"] = "lost"
    """Whether the part of an order that its source cannot ship is lost or owed. A source that has
    too little divides it in proportion to what was asked for."""
    receive: Literal["before orders", "before demand"] = "before orders"
    """When goods arrive: at the end of a period, so that they can be sent on in the next; or
    between orders and demand."""

    @property
    def stores(self) -> tuple[str, ...]:
        """[K] names."""
        return tuple(name for name in self.locations if self._sells(name))

    def _sells(self, name: str) -> bool:
        given = self.locations[name].customers
        return all(link.source != name for link in self.links) if given is None else given

    @property
    def graph(self) -> nx.DiGraph:
        """Suppliers and locations, with the links between them; what each is stands under `of`."""
        graph = nx.DiGraph()
        graph.add_nodes_from(self.suppliers)
        graph.add_nodes_from((name, {"of": one}) for name, one in self.locations.items())
        graph.add_edges_from((link.source, link.target, {"of": link}) for link in self.links)
        return graph

    @classmethod
    def from_networkx(cls, graph: nx.DiGraph, demand: Mapping[str, Any], **options: Any) -> Self:
        """A network whose nodes and edges carry the fields of `Location` and `Link` as attributes.

        Nodes that nothing is sent to are the suppliers; they have no fields of `Location`.

        Args:
            graph: its nodes are called by what `str` makes of them.
            demand: fields of a process, `kind` among them.
            options: other fields of a network.

        Raises:
            InputError: as of a network; a graph that is not directed; parallel edges; nodes of one
                name; a location, or a node without edges, that nothing is sent to.
        """
        if not graph.is_directed() or graph.is_multigraph():
            raise InputError("supply network: give a networkx.DiGraph")
        suppliers = [str(node) for node, degree in graph.in_degree() if not degree]
        _require_nodes(graph)
        locations = {
            str(n): dict(of) for n, of in graph.nodes(data=True) if str(n) not in suppliers
        }
        links = [{"source": str(a), "target": str(b), **of} for a, b, of in graph.edges(data=True)]
        made = {"locations": locations, "links": links, "suppliers": suppliers, "demand": demand}
        return cls.checked({**made, **options}, "supply network")

    @classmethod
    def from_file(cls, path: str | os.PathLike[str]) -> Self:
        """A network from a TOML file; relative paths in it start from its folder.

        Raises:
            InputError: it cannot be read, is not TOML, or is not a network.
        """
        try:
            given = tomllib.loads(Path(path).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(unreadable("network", path, error)) from None
        except (ValueError, RecursionError) as error:
            raise InputError(f"{path} is not valid TOML: {one_line(error)}") from None
        demand = given.get("demand")
        if isinstance(demand, dict) and isinstance(demand.get("file"), str):
            given["demand"] = {**demand, "file": str(Path(path).parent / demand["file"])}
        return cls.checked(given, str(path))

    @model_validator(mode="after")
    def _is_sound(self) -> Self:
        names = [*self.suppliers, *self.locations]
        if len(set(names)) < len(names) or not self.locations:
            raise InputError("give locations and suppliers names of their own, at least one each")
        pairs = set()
        for link in self.links:
            where = f"link {link.source} -> {link.target}"
            for end in (link.source, link.target):
                if end not in names:
                    raise InputError(f"{where}: there is no {end!r}: {did_you_mean(end, names)}")
            if link.target in self.suppliers:
                raise InputError(f"{where}: {link.target} is a supplier, nothing is sent to it")
            if (link.source, link.target) in pairs:
                raise InputError(f"{where} occurs twice: put a location between, or join them")
            pairs.add((link.source, link.target))
            if link.lead_times[0] and self.receive == "before orders":
                raise InputError(
                    f"{where}: what is there at once arrives before demand: write receive = "
                    '"before demand", or a lead time of at least 1'
                )
        for name in self.locations:
            if all(link.target != name for link in self.links):
                raise InputError(f"location {name} gets no goods: add a link to it")
        try:
            cycle = nx.find_cycle(self.graph)
        except nx.NetworkXNoCycle:
            pass
        else:
            around = " -> ".join([*(str(a) for a, *_ in cycle), str(cycle[0][0])])
            raise InputError(f"goods go in a circle, {around}: remove one of these links")
        if not self.stores:
            raise InputError("no location has customers: set customers = true for one")
        object.__setattr__(self, "demand", self.demand.of(self.stores))
        first = {name: self.locations[name] for name in self.stores}
        # Where stores come first, demand [B, K] meets stock [B, V] without an index.
        object.__setattr__(self, "locations", first | self.locations)
        return self


def _require_nodes(graph: nx.DiGraph) -> None:
    """Raises InputError for nodes of one name, and for those that could not be meant to supply."""
    known: dict[str, Any] = {}
    for node, of in graph.nodes(data=True):
        if (name := str(node)) in known:
            raise InputError(
                f"supply network: nodes {known[name]!r} and {node!r} are both called {name}; "
                "rename one"
            )
        known[name] = node
        if graph.in_degree(node):
            continue
        fields = [key for key in of if key in Location.model_fields]
        if fields:
            raise InputError(
                f"supply network: nothing is sent to {name}, which makes it a supplier, and a "
                f"supplier has no {fields[0]}: add an edge to it, or take that out"
            )
        if not graph.out_degree(node):
            raise InputError(f"supply network: {name} has no edges: add one, or remove it")
