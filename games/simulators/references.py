"""What a game is worth at best, as far as that is known, and how far play is from it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from games.common.errors import InputError
from games.common.intervals import student


@dataclass(frozen=True)
class Reference:
    """A cost that a policy is held against.

    Raises:
        InputError: a value that is not positive, of which nothing can be a percentage.
    """

    value: float  # a period
    kind: Literal["optimum", "lower bound"]
    source: str  # one line: how it was found

    def __post_init__(self) -> None:
        if not 0 < self.value < math.inf:
            raise InputError(f"reference={self.value}: a gap in percent needs a positive cost")


@dataclass(frozen=True)
class Gap:
    """How far a cost lies above a reference, in percent of it, with a 95% interval."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:.2f}% ({self.low:.2f} to {self.high:.2f})"


def gap(cost: ArrayLike, reference: Reference | float) -> Gap:
    """The gap of the mean of independent traces, by Student's t.

    Args:
        cost: [R] cost a period of each of at least two traces.

    Raises:
        InputError: fewer traces, a cost that is no number, a reference that is not positive.
    """
    if not isinstance(reference, Reference):
        reference = Reference(float(reference), "lower bound", "given")
    traces = np.asarray(cost, np.float64)
    if traces.ndim != 1 or len(traces) < 2 or not np.isfinite(traces).all():
        raise InputError(f"cost: shape {traces.shape}; the finite costs of two traces or more")
    percent = 100 * (traces / reference.value - 1)
    return Gap(float(percent.mean()), *student(percent))
