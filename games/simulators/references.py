"""Reference values of games (optima or bounds), and gaps of policies to them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from games.common.errors import InputError
from games.common.intervals import student


@dataclass(frozen=True)
class Reference:
    """A reference value of a metric, which policies are compared with.

    An "optimum", a "lower bound" of a metric to minimise (a cost), or an "upper bound" of one to
    maximise (a return). An optimum of a metric to maximise needs `better="more"`.

    Raises:
        InputError: a value that is not positive, of which nothing can be a percentage.
    """

    value: float
    kind: Literal["optimum", "lower bound", "upper bound"]
    source: str  # one line: how it was found
    metric: str = "cost"  # of which; a name of `Spec.metrics`, or "return"
    better: Literal["less", "more"] = "less"

    def __post_init__(self) -> None:
        if not 0 < self.value < math.inf:
            raise InputError(
                f"reference={self.value}: a gap in percent needs a positive {self.metric}"
            )
        if self.kind == "upper bound":
            object.__setattr__(self, "better", "more")

    def shortfall(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """How much worse than the reference each value is, in percent of it."""
        percent = 100 * (values / self.value - 1)
        return -percent if self.better == "more" else percent


@dataclass(frozen=True)
class Gap:
    """How much worse than a reference a mean is, in percent of it, with a 95% interval."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:.2f}% ({self.low:.2f} to {self.high:.2f})"


def gap(values: ArrayLike, reference: Reference | float) -> Gap:
    """The gap of the mean of independent games to a reference, by Student's t.

    Args:
        values: [R] the reference's metric in each of at least two games.
        reference: a number stands for a lower bound of a cost.

    Raises:
        InputError: fewer games, a value that is no number, a reference that is not positive.
    """
    if not isinstance(reference, Reference):
        reference = Reference(float(reference), "lower bound", "given")
    traces = np.asarray(values, np.float64)
    if traces.ndim != 1 or len(traces) < 2 or not np.isfinite(traces).all():
        raise InputError(
            f"{reference.metric}: shape {traces.shape}; the finite values of two traces or more"
        )
    percent = reference.shortfall(traces)
    return Gap(float(percent.mean()), *student(percent))
