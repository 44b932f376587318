"""Parameters of inventory games in addition to the network, with their ranges."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from games.common.errors import InputError, did_you_mean
from games.common.memory import require_memory
from games.inventory.network import SupplyNetwork
from games.inventory.period import Period
from games.inventory.series import Series

PLANNER, GRAPH, LOCATIONS = VIEWS = ("planner", "graph", "locations")
SHARES, QUANTITIES = ACTIONS = ("shares", "quantities")
LONGEST_LOOK = 10_000  # periods
NUMBER = 4  # bytes of a float32
DRAW = 300  # bytes of a tensor beside its numbers


@dataclass(frozen=True, eq=False)
class Parameters(Period):
    """A network and its game: agents, actions, length, and observations.

    Raises:
        InputError: a parameter out of its range.
    """

    network: SupplyNetwork
    name: str = "inventory"
    periods: int = 50
    ignore: int = 0  # first periods, which do not count in the info
    view: Literal["planner", "graph", "locations"] = "planner"
    """Who acts: one planner, to whom everything is shown in one row or as a graph; or every
    location, for the links that lead to it."""
    actions: Literal["shares", "quantities"] = "shares"
    look_back: int = 0  # W periods of past demand shown
    start: float = 0.0
    """Stores begin with more than their `stock`: on hand, and in each period of what is on its way
    to them, up to so many periods' mean, drawn evenly."""
    traces: int | None = None  # replay this many fixed traces of demand; None: new demand
    trace_seed: int = 0
    whole: bool = False
    """Whether orders are rounded to whole units (of a location's stock: down). Gradients pass as if
    they were not."""
    team: bool = False  # whether every location is paid the mean of all costs, or its own
    discount: float = 1.0  # of a period's rewards from one to the next

    def __post_init__(self) -> None:
        for name, known in (("view", VIEWS), ("actions", ACTIONS)):
            given = getattr(self, name)
            if given not in known:
                raise InputError(
                    f"{self.name}: unknown {name} {given!r}: {did_you_mean(str(given), known)}"
                )
        for name, least in (("periods", 1), ("ignore", 0), ("look_back", 0), ("traces", 1)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise InputError(f"{self.name}: {name} is {value}; give at least {least}")
        stores = len(self.network.stores)
        if self.look_back > LONGEST_LOOK:
            raise InputError(
                f"{self.name}: look_back is {self.look_back:,}; give at most {LONGEST_LOOK:,}"
            )
        if self.traces is not None:
            require_memory(
                (DRAW + 2 * NUMBER * stores * self.traces) * (self.look_back + self.periods),
                f"{self.name}: traces = {self.traces:,} of {self.periods:,} periods",
                "give fewer, or None for always new demand",
            )
        if self.ignore >= self.periods:
            raise InputError(
                f"{self.name}: ignore = {self.ignore} of {self.periods} periods leaves none that "
                "counts; give less"
            )
        if not 0 <= self.start < math.inf or not 0 < self.discount <= 1:
            raise InputError(f"{self.name}: give start >= 0, finite, and 0 < discount <= 1")
        if self.traces is not None and isinstance(self.network.demand, Series):
            raise InputError(
                f"{self.name}: the file's own traces are played; leave `traces` out, or narrow the "
                "window with first and last"
            )
        try:
            self.network.demand.require_periods(self.look_back, self.periods)
        except InputError as error:
            raise InputError(f"{self.name}: {error}") from None
