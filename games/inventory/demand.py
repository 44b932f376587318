"""Demand processes of K stores: Poisson, normal, or recorded traces."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Annotated, Any, Literal, Self

import numpy as np
import torch
from pydantic import Field, ValidationError
from scipy import stats
from torch import Tensor

from games.common.errors import InputError, did_you_mean, one_line
from games.common.settings import Typed, complaint, shortened
from games.finite.sequence_form import Float64
from games.inventory.columns import by_number

LONGEST_TABLE = 1000.0  # mean of a Poisson distribution that is inverted by looking it up
VARIANTS = ("int", "float", "constrained-int", "constrained-float")  # of a field, to pydantic


class Part(Typed):
    """Base of the parts of a network."""

    @classmethod
    def checked(cls, given: Any, source: str) -> Self:
        """`given` as one of these; InputError of one line that begins with `source`."""
        try:
            return cls.model_validate(given)
        except ValidationError as error:
            raise InputError(f"{source}: {_first(error)}") from None


def _first(error: ValidationError) -> str:
    """The first error: where it is, what is wrong, and the given value."""
    found = error.errors()
    above = found[0]["loc"][:-1]
    # Of the variants that a field can be, the one that fits best is wrong deepest inside.
    first = max((e for e in found if e["loc"][: len(above)] == above), key=lambda e: len(e["loc"]))
    path, message, what = complaint(first)
    if len(path) > 2 and path[0] == "demand":
        del path[1]  # the kind, which pydantic says, too
    path = [key for key in path if key not in VARIANTS and not key.startswith("tuple[")]
    cause = first.get("ctx", {}).get("error")
    if isinstance(cause, InputError):
        said = str(cause)
    elif first["type"].startswith("union_tag"):  # the kind of demand
        path.append("kind")
        found_kinds = (part.model_fields.get("kind") for part in _parts(Process))
        kinds = [field.default for field in found_kinds if field]
        given = first["ctx"].get("tag", "")
        said = f"there is no {given!r}" if given else "is missing"
        said = f"{said}: {did_you_mean(given, kinds)}"
    elif first["type"] == "missing":
        said = "is missing"
    elif first["type"] == "extra_forbidden":
        known = {name for part in _parts(Part) for name in part.model_fields}
        said = f"there is no such field: {did_you_mean(path[-1], known)}"
    else:
        said = f"{message[0].lower()}{message[1:]} (given: {shortened(what)})"
    return f"{'.'.join(path)}{': ' if path else ''}{one_line(said)[:300]}"


def counted(number: int, what: str) -> str:
    """`1 store`, `2 stores`."""
    return f"{number} {what}{'s' * (number != 1)}"


def _parts(kind: type[Part]) -> list[type[Part]]:
    return [kind, *(part for sub in kind.__subclasses__() for part in _parts(sub))]


Each = Annotated[float, Field(ge=0)] | tuple[Annotated[float, Field(ge=0)], ...]
"""One number for all stores, or one for each, in the order of the network's stores."""


class Season(Part):
    """Means that rise and fall: times 1 + amplitude * sin(2 pi (t + phase) / period)."""

    period: Annotated[int, Field(gt=1)]
    """Length of a cycle, in periods."""
    amplitude: Annotated[float, Field(ge=0, le=1)]
    phase: float = 0.0
    """Periods; a game begins at a place in the cycle of its own, drawn from its generator."""

    def factor(self, t: Tensor) -> Tensor:
        """[B, 1] float32 of the times t [B] int64, the game's offset included."""
        turn = (t.to(torch.float32) + self.phase) * (2 * math.pi / self.period)
        return (1 + self.amplitude * turn.sin())[:, None]


class Process(Part, ABC):
    """Base of demand processes."""

    season: Season | None = None
    """Seasonal variation; None: all periods are alike."""

    @abstractmethod
    def of(self, stores: tuple[str, ...]) -> Self:
        """The demand of these stores; raises InputError where it says nothing of one of them."""

    def require_periods(self, shown: int, played: int) -> None:
        """Raise InputError if there are fewer periods than games show and play."""

    def worth(self, kind: Literal["penalty", "price"], stores: int) -> Float64 | None:
        """[R, K] what a unit that is not met, or sold, costs by trace; None: traces are alike."""
        return None

    @abstractmethod
    def means(self, stores: int) -> Float64:
        """Mean demand [K], in units per period."""

    @abstractmethod
    def deviations(self, stores: int) -> Float64:
        """[K] standard deviations of a period's demand, without the season's part."""

    @abstractmethod
    def sampler(self, stores: int, device: torch.device) -> Sampler:
        """A sampler of the process for K stores."""


class Drawn(Process):
    """Base of processes that are drawn independently in each period."""

    mean: Each = 5.0
    """Mean demand in units per period, averaged over seasons."""

    def of(self, stores: tuple[str, ...]) -> Self:
        for name, value in self:
            if isinstance(value, tuple) and len(value) != len(stores):
                raise InputError(
                    f"demand: {name} has {counted(len(value), 'number')} for "
                    f"{counted(len(stores), 'store')} "
                    f"({', '.join(stores[:5])}{', ...' if len(stores) > 5 else ''})"
                )
        return self

    def means(self, stores: int) -> Float64:
        return np.broadcast_to(np.asarray(self.mean, float), (stores,))


class Sampler(ABC):
    """Draws demand; its tensors are on one device."""

    @property
    def steady(self) -> bool:
        """Whether every period is alike, whatever the time."""
        return self.season is None

    def __init__(self, process: Process, stores: int, device: torch.device) -> None:
        self.stores, self.device, self.season = stores, device, process.season
        self.mean = torch.tensor(process.means(stores), dtype=torch.float32, device=device)  # [K]

    def begin(
        self, batch: int, periods: int, generator: torch.Generator, shown: int = 0
    ) -> tuple[Tensor, Tensor]:
        """For games that begin: which trace each follows, and where in it or in the season [B].

        Args:
            shown: periods before the first one of which the demand will be asked for.
        """
        trace = torch.zeros(batch, dtype=torch.int64, device=self.device)
        if self.season is None:
            return trace, trace
        return trace, self._below(self.season.period, batch, generator)

    @abstractmethod
    def draw(self, trace: Tensor, t: Tensor, generator: torch.Generator) -> Tensor:
        """Demand [B, K] float32 of period t [B] int64, as `begin` counts."""

    def _below(self, bound: int, batch: int, generator: torch.Generator) -> Tensor:
        return torch.randint(bound, (batch,), generator=generator, device=self.device)

    def _means(self, t: Tensor) -> Tensor:
        """[B, K] of the season."""
        if self.season is None:
            return self.mean.expand(len(t), -1)
        return self.mean * self.season.factor(t)


class Poisson(Drawn):
    """Independent Poisson demand."""

    kind: Literal["poisson"] = "poisson"

    def deviations(self, stores: int) -> Float64:
        return np.sqrt(self.means(stores))

    def sampler(self, stores: int, device: torch.device) -> Sampler:
        return PoissonSampler(self, stores, device)


class PoissonSampler(Sampler):
    """Where the mean stays as it is, by inversion: torch's own Poisson takes four times as long."""

    def __init__(self, process: Poisson, stores: int, device: torch.device) -> None:
        super().__init__(process, stores, device)
        self.chances: Tensor | None = None  # [K, M] float64 of no more than 0, 1, 2, ... units
        means = process.means(stores)
        if self.season is None and means.min() > 0 and means.max() <= LONGEST_TABLE:
            most = int(means.max() + 12 * math.sqrt(means.max()) + 20)
            table = stats.poisson.cdf(np.arange(most), means[:, None])
            self.chances = torch.tensor(table, dtype=torch.float64, device=device)

    def draw(self, trace: Tensor, t: Tensor, generator: torch.Generator) -> Tensor:
        if self.chances is None:
            return torch.poisson(self._means(t), generator=generator)
        u = torch.rand(
            (self.stores, len(t)), generator=generator, device=self.device, dtype=torch.float64
        )
        return torch.searchsorted(self.chances, u, right=True).to(torch.float32).t()


class Normal(Drawn):
    """Normal demand, equally correlated between stores."""

    kind: Literal["normal"] = "normal"
    sd: Each = 1.6
    """Standard deviation of a period's demand, in units."""
    correlation: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Correlation of demand between any two stores."""
    clip: bool = True
    """Whether negative demand counts as 0; else customers return stock."""

    def deviations(self, stores: int) -> Float64:
        return np.broadcast_to(np.asarray(self.sd, float), (stores,))

    def sampler(self, stores: int, device: torch.device) -> Sampler:
        return NormalSampler(self, stores, device)


class NormalSampler(Sampler):
    def __init__(self, process: Normal, stores: int, device: torch.device) -> None:
        super().__init__(process, stores, device)
        deviation = torch.tensor(process.deviations(stores), dtype=torch.float32, device=device)
        self.common = deviation * math.sqrt(process.correlation)  # [K]
        self.own = deviation * math.sqrt(1 - process.correlation)  # [K]
        self.correlated, self.clip = process.correlation > 0, process.clip

    def draw(self, trace: Tensor, t: Tensor, generator: torch.Generator) -> Tensor:
        shape = self.stores + self.correlated, len(t)
        z = torch.randn(shape, generator=generator, device=self.device).t()
        demand = torch.addcmul(self._means(t), self.own, z[:, : self.stores])
        if self.correlated:
            demand = torch.addcmul(demand, self.common, z[:, -1:])
        return demand.clamp_min_(0) if self.clip else demand


class Traces(Sampler):
    """Recorded demand, which each game follows from its own starting point."""

    @property
    def steady(self) -> bool:
        return False

    def __init__(
        self, process: Process, table: Tensor, first: Tensor, device: torch.device, anywhere: bool
    ) -> None:
        """
        Args:
            table: [R, T, K] float32, R traces of T periods.
            first: [R] int64 the time of each trace's first period, which is its place in the
                season, so that games on it show the season that it was drawn with.
            anywhere: whether games begin anywhere in a trace, or as early as they can.
        """
        super().__init__(process, table.shape[2], device)
        self.table, self.first, self.anywhere = table.to(device), first.to(device), anywhere

    def begin(
        self, batch: int, periods: int, generator: torch.Generator, shown: int = 0
    ) -> tuple[Tensor, Tensor]:
        rows, length = self.table.shape[:2]
        if shown + periods > length:
            raise InputError(too_short(length, shown, periods))
        trace = self._below(rows, batch, generator)
        offset = self.first[trace] + shown
        if self.anywhere:
            offset = offset + self._below(length - shown - periods + 1, batch, generator)
        return trace, offset

    def draw(self, trace: Tensor, t: Tensor, generator: torch.Generator) -> Tensor:
        return by_number(self.table[trace, t - self.first[trace]])


def too_short(length: int, shown: int, played: int) -> str:
    before = f" with look_back = {shown}" if shown else ""
    return (
        f"demand: a game of {played} periods{before} needs {shown + played} of them, but there are "
        f"{length}; play fewer periods, or give longer traces"
    )
