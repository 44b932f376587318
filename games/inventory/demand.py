"""Demand processes: what the customers of K stores want, period by period."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Annotated, Any, Literal, Self

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor

from games.errors import InputError, one_line
from games.sequence_form import Float64


class Part(BaseModel):
    """What networks are made of: typed, finite, frozen, without unknown keys."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True
    )

    @classmethod
    def checked(cls, given: Any, source: str) -> Self:
        """`given` as one of these; InputError of one line that begins with `source`."""
        try:
            return cls.model_validate(given)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(key) for key in first["loc"])
            cause = first.get("ctx", {}).get("error")
            said = str(cause) if isinstance(cause, InputError) else first["msg"]
            told = "" if isinstance(cause, InputError) else f" (given: {first['input']!r})"
            raise InputError(
                f"{source}: {f'{where}: ' if where else ''}{one_line(said)}{one_line(told)[:120]}"
            ) from None


Each = Annotated[float, Field(ge=0)] | tuple[Annotated[float, Field(ge=0)], ...]
"""One number for all stores, or one for each, in the order of the network's stores."""


class Season(Part):
    """Means that rise and fall: times 1 + amplitude * sin(2 pi (t + phase) / period)."""

    period: Annotated[int, Field(gt=1)]
    """Periods of a cycle."""
    amplitude: Annotated[float, Field(ge=0, le=1)]
    phase: float = 0.0
    """Periods; a game begins at a place in the cycle of its own, drawn from its generator."""

    def factor(self, t: Tensor) -> Tensor:
        """[B, 1] float32 of the times t [B] int64, the game's offset included."""
        turn = (t.to(torch.float32) + self.phase) * (2 * math.pi / self.period)
        return (1 + self.amplitude * turn.sin())[:, None]


class Process(Part):
    """What all processes have."""

    mean: Each = 5.0
    """Units a period, over all seasons."""
    season: Season | None = None
    """None: every period is alike."""

    def require_width(self, stores: tuple[str, ...]) -> None:
        """Raises InputError where a list has not one number a store."""
        for name, value in self:
            if isinstance(value, tuple) and len(value) != len(stores):
                raise InputError(
                    f"demand: {name} has {len(value)} numbers for {len(stores)} stores "
                    f"({', '.join(stores[:5])}{', ...' if len(stores) > 5 else ''})"
                )

    def means(self, stores: int) -> Float64:
        """[K] units a period."""
        return np.broadcast_to(np.asarray(self.mean, float), (stores,))

    def deviations(self, stores: int) -> Float64:
        """[K] standard deviations of a period's demand, without the season's part."""
        raise NotImplementedError

    def sampler(self, stores: int, device: torch.device) -> Sampler:
        """The process at work for K stores."""
        raise NotImplementedError


class Sampler(ABC):
    """Draws demand; its tensors are on one device."""

    def __init__(self, process: Process, stores: int, device: torch.device) -> None:
        self.stores, self.device, self.season = stores, device, process.season
        self.mean = torch.tensor(process.means(stores), dtype=torch.float32, device=device)  # [K]

    def begin(self, batch: int, periods: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """For games that begin: which trace each follows, and where in it or in the season [B]."""
        trace = torch.zeros(batch, dtype=torch.int64, device=self.device)
        if self.season is None:
            return trace, trace
        return trace, self._below(self.season.period, batch, generator)

    @abstractmethod
    def draw(self, trace: Tensor, t: Tensor, generator: torch.Generator) -> Tensor:
        """Demand [B, K] float32 of period t [B] int64, counted from the start of the trace."""

    def _below(self, bound: int, batch: int, generator: torch.Generator) -> Tensor:
        return torch.randint(bound, (batch,), generator=generator, device=self.device)

    def _means(self, t: Tensor) -> Tensor:
        """[B, K] of the season."""
        if self.season is None:
            return self.mean.expand(len(t), -1)
        return self.mean * self.season.factor(t)


class Poisson(Process):
    """Independent Poisson demand."""

    kind: Literal["poisson"] = "poisson"

    def deviations(self, stores: int) -> Float64:
        return np.sqrt(self.means(stores))

    def sampler(self, stores: int, device: torch.device) -> Sampler:
        return PoissonSampler(self, stores, device)


class PoissonSampler(Sampler):
    def draw(self, trace: Tensor, t: Tensor, generator: torch.Generator) -> Tensor:
        return torch.poisson(self._means(t), generator=generator)


class Normal(Process):
    """Normal demand, equally correlated between stores."""

    kind: Literal["normal"] = "normal"
    sd: Each = 1.6
    """Standard deviation."""
    correlation: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Between any two stores."""
    clip: bool = True
    """Demand below 0 counts as 0; else it is stock that customers bring back."""

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
        shape = len(t), self.stores + self.correlated
        z = torch.randn(shape, generator=generator, device=self.device)
        demand = torch.addcmul(self._means(t), self.own, z[:, : self.stores])
        if self.correlated:
            demand = torch.addcmul(demand, self.common, z[:, -1:])
        return demand.clamp_min(0) if self.clip else demand


class Traces(Sampler):
    """Demand that was written down: games follow it, each from a place of its own."""

    def __init__(self, process: Process, table: Tensor, anywhere: bool) -> None:
        """
        Args:
            table: [R, T, K] float32, R traces of T periods.
            anywhere: whether games begin anywhere in a trace, or at its start.
        """
        super().__init__(process, table.shape[2], table.device)
        self.table, self.anywhere = table, anywhere

    def begin(self, batch: int, periods: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        rows, length = self.table.shape[:2]
        if periods > length:
            raise InputError(
                f"demand: a game of {periods} periods needs as many, but traces have {length}; "
                "play fewer periods, or give longer traces"
            )
        trace = self._below(rows, batch, generator)
        if not self.anywhere:
            return trace, torch.zeros_like(trace)
        return trace, self._below(length - periods + 1, batch, generator)

    def draw(self, trace: Tensor, t: Tensor, generator: torch.Generator) -> Tensor:
        return self.table[trace, t]


Demand = Poisson | Normal
