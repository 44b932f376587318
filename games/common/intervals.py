"""Confidence intervals of means over independent games, paired differences and ratios."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit
from scipy.stats import binomtest

CONFIDENCE = 0.95
Float64 = NDArray[np.float64]


def interval(each: Float64, yes_or_no: bool = False) -> tuple[float, float]:
    """The 95% confidence interval of a mean, from its values [E] in independent games.

    Student's t; of what is yes or no Clopper and Pearson's, so that 0 of 200 does not mean never.
    """
    if not yes_or_no:
        return student(each)
    found = binomtest(int(each.sum()), len(each)).proportion_ci(CONFIDENCE, method="exact")
    return float(found.low), float(found.high)


def student(each: Float64) -> tuple[float, float]:
    """The 95% confidence interval of the mean of independent [E], by Student's t."""
    return around(float(each.mean()), standard_error(each), len(each))


def around(mean: float, error: float, count: float | None = None) -> tuple[float, float]:
    """The 95% confidence interval of a mean whose standard error is known.

    Args:
        count: of the values that the error was estimated from, for Student's t; None: not known,
            so many that the normal distribution does.
    """
    half = float(errors_to_a_side(math.inf if count is None else count)) * error
    return mean - half, mean + half


def errors_to_a_side(count: Any, confidence: float = CONFIDENCE) -> Any:
    """How many standard errors lie to either side of a mean of so many values: Student's t.

    Args:
        count: a number, or an array of them; at least 2.
        confidence: between 0 and 1.
    """
    return stdtrit(count - 1, (1 + confidence) / 2)


def standard_error(each: Float64) -> float:
    """Of the mean of independent [E]; nan of one alone."""
    return float(each.std(ddof=1) / math.sqrt(len(each))) if len(each) > 1 else math.nan


def relative(each: Float64, other: Float64) -> tuple[float, float, float]:
    """By what share of the other's mean a mean is above it, and its 95% confidence interval.

    A ratio estimator on paired games (Cochran, "Sampling Techniques", 1977, section 6.4): to first
    order its error is the mean of (each - ratio other) / mean of other.
    """
    if not other.mean():
        return math.nan, math.nan, math.nan
    ratio = float(each.mean() / other.mean())
    low, high = student((each - ratio * other) / other.mean())
    return ratio - 1, ratio - 1 + low, ratio - 1 + high
