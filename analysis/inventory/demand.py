"""Demand of one period as probabilities on a lattice, and expected costs of a period.

Periods are independent and alike. Integer demand stands on the lattice of whole units as it is. A
normal demand, clipped at 0 as most simulators do, is rounded to a lattice of `step` units; the sum
over n periods is then its exact n-fold convolution, and not a normal distribution with the same
moments.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.fft import irfft, next_fast_len, rfft
from scipy.special import gammaln, ndtr, ndtri

from games import InputError
from games.finite.sequence_form import Float64

STEP = 2.0**-9  # units; costs on the lattice of a normal demand are then right to about 1e-7
TAIL = 1e-16  # probability beyond which a distribution is cut off


@dataclass(frozen=True, eq=False)
class Demand:
    """Demand of one period: k * step units with probability pmf[k].

    Raises:
        InputError: no step, probabilities that are negative or do not sum to 1.
    """

    pmf: Float64  # [n]
    step: float = 1.0  # units
    name: str = "a given distribution"

    def __post_init__(self) -> None:
        pmf = np.atleast_1d(np.asarray(self.pmf, np.float64))
        if pmf.ndim != 1 or not len(pmf) or not np.isfinite(pmf).all() or (pmf < 0).any():
            raise InputError(
                "demand: probabilities of 0, 1, 2, ... units are needed, none negative"
            )
        if not abs(pmf.sum() - 1) < 1e-6:
            raise InputError(
                f"demand: its probabilities sum to {pmf.sum():.6g}; divide by their sum"
            )
        if not 0 < self.step < math.inf:
            raise InputError(f"demand: step={self.step}, a positive number of units is needed")
        object.__setattr__(self, "pmf", np.trim_zeros(pmf / pmf.sum(), "b"))

    @property
    def mean(self) -> float:
        """Units a period."""
        return self.step * float(self.pmf @ np.arange(len(self.pmf)))

    def over(self, periods: int) -> Demand:
        """The sum over so many periods."""
        if periods == 0:
            return Demand(np.ones(1), self.step, self.name)
        size = periods * (len(self.pmf) - 1) + 1
        if periods == 1 or size == 1:
            return self
        if size <= 4096:  # exact in every digit, and as fast
            pmf = self.pmf
            for _ in range(periods - 1):
                pmf = np.convolve(pmf, self.pmf)
        else:
            fast = next_fast_len(size, real=True)
            pmf = np.maximum(irfft(rfft(self.pmf, fast) ** periods, fast)[:size], 0.0)
        pmf = np.where(pmf < TAIL, 0.0, pmf)
        return Demand(pmf / pmf.sum(), self.step, self.name)

    def quantile(self, share: float) -> int:
        """The first point k with P(demand <= k * step) >= share."""
        reached = np.cumsum(self.pmf) >= share - 1e-12  # a share met but for rounding is met
        return int(np.argmax(reached)) if reached[-1] else len(self.pmf) - 1

    def left(self, top: int) -> Float64:
        """Expected units left, E (k * step - demand)^+, for k = 0 .. top; [top + 1]."""
        below = np.cumsum(self.pmf)[:top]
        below = np.pad(below, (0, top - len(below)), constant_values=1.0)
        return self.step * np.concatenate([[0.0], np.cumsum(below)])


def period_cost(demand: Demand, top: int, holding: float, penalty: float) -> Float64:
    """holding E (x - D)^+ + penalty E (D - x)^+ at x = 0, step, .., top * step; [top + 1]."""
    left = demand.left(top)
    return holding * left + penalty * (demand.mean - demand.step * np.arange(top + 1) + left)


def poisson(mean: float) -> Demand:
    """Poisson demand, cut off where less than 1e-16 remains.

    Raises:
        InputError: a negative mean.
    """
    if not 0 <= mean < math.inf:
        raise InputError(f"demand: a Poisson mean of {mean}, a number from 0 is needed")
    if mean == 0:
        return Demand(np.ones(1), name="no demand")
    k = np.arange(int(mean + 12 * math.sqrt(mean) + 30))
    pmf = np.exp(k * math.log(mean) - mean - gammaln(k + 1))
    pmf = np.where(pmf < TAIL, 0.0, pmf)
    return Demand(pmf / pmf.sum(), name=f"Poisson({mean:g})")


def clipped_normal(mean: float, sd: float, step: float = STEP) -> Demand:
    """max(0, N(mean, sd)), each outcome moved to the nearest point of the lattice.

    Raises:
        InputError: a negative standard deviation, or a lattice without end.
    """
    _check_normal(mean, sd)
    if sd == 0:
        return Demand(
            np.eye(1, round(max(mean, 0) / step) + 1, round(max(mean, 0) / step))[0], step
        )
    top = max(0, math.ceil((mean + sd * -ndtri(TAIL)) / step)) + 1
    edges = (np.arange(top + 1) + 0.5) * step
    # Above the mean, masses are differences of upper tails, which keep their digits.
    below, above = ndtr((edges - mean) / sd), ndtr((mean - edges) / sd)
    mass = np.where(edges[1:] < mean, np.diff(below), -np.diff(above))
    pmf = np.concatenate([below[:1], mass])
    return Demand(pmf / pmf.sum(), step, f"N({mean:g}, {sd:g}) clipped at 0")


def normal_below(mean: float, sd: float, step: float) -> Demand:
    """A demand on the lattice that costs at most as much to serve as max(0, N(mean, sd)).

    The outcomes are cut into intervals, and within each the demand is replaced by the two points of
    the lattice around its mean there, with that mean. An interval is made just so long that this is
    smaller in convex order: for all a, E (D - a)^+ does not grow (Strassen 1965: the new demand is
    then the old one averaged over something, D' = E[D | D']). Where costs are convex in decisions
    and demands together, any policy for D can be averaged in the same way, and costs no more on D'
    by Jensen's inequality; `analysis.inventory.bounds` uses this.

    Raises:
        InputError: as `clipped_normal`, or a standard deviation or a step that is not positive.
    """
    _check_normal(mean, sd)
    if not (sd > 0 and step > 0):
        raise InputError(f"sd={sd}, step={step}: both are to be positive")

    def mass_above(a: float) -> float:
        return float(ndtr((mean - a) / sd))

    def excess(a: float) -> float:
        """E (N - a)^+."""
        z = (a - mean) / sd
        return sd * math.exp(-z * z / 2) / math.sqrt(2 * math.pi) - (a - mean) * mass_above(a)

    def two_points(a: float, b: float) -> tuple[int, float, float] | None:
        """The lower point and the masses of both, for outcomes in (a, b); None if too short."""
        mass = mass_above(a) - mass_above(b)
        total = excess(a) - excess(b) + a * mass_above(a) - b * mass_above(b)
        low = math.floor(total / mass / step)
        upper = total / step - low * mass  # mass of the upper point
        # E (D - x)^+ of the two points is a line from low to low + 1. The normal's own, convex, is
        # nearest to it, or furthest below, where as much lies above x as at the upper point.
        top = mass_above(b)
        x = mean + sd * float(-ndtri(min(upper + top, 1.0)))
        x = min(max(x, low * step), (low + 1) * step)
        own = excess(x) - excess(b) - (b - x) * top
        fits = own >= upper * ((low + 1) * step - x) - 1e-15
        return (low, mass - upper, upper) if fits else None

    end = max(mean - sd * float(ndtri(TAIL)), 4 * step)
    pmf = np.zeros(math.ceil(end / step) + 2)
    cells: list[tuple[float, tuple[int, float, float]]] = []  # where each begins, and its points
    a, b = 0.0, step
    while b < end:
        b += step / 16
        points = two_points(a, b)
        if points:
            cells.append((a, points))
            a = b
    while not (last := two_points(a, end)):  # what is left is too short: with those before it
        a, _ = cells.pop()
    for low, lower, upper in [points for _, points in cells] + [last]:
        pmf[low] += lower
        pmf[low + 1] += upper
    pmf[0] += mass_above(-math.inf) - mass_above(0.0)
    return Demand(pmf / pmf.sum(), step, f"N({mean:g}, {sd:g}) clipped at 0, averaged")


def as_demand(demand: float | ArrayLike | Demand) -> Demand:
    """A number is a Poisson mean, an array the probabilities of 0, 1, 2, ... units.

    Raises:
        InputError: neither.
    """
    if isinstance(demand, Demand):
        return demand
    try:
        numbers = np.asarray(demand, np.float64)
    except (TypeError, ValueError):
        raise InputError(f"demand={demand!r}: a Poisson mean or probabilities are needed") from None
    return poisson(float(numbers)) if numbers.ndim == 0 else Demand(numbers)


def check_costs(holding: float, penalty: float) -> None:
    """Raise InputError unless stock and unmet demand both cost something."""
    if not 0 < holding < math.inf:
        raise InputError(
            f"holding={holding}: a positive cost is needed, else unlimited stock is best"
        )
    if not 0 < penalty < math.inf:
        raise InputError(f"penalty={penalty}: a positive cost is needed, else no stock is best")


def check_lead_time(lead_time: float, name: str = "lead_time", least: int = 1) -> int:
    """`lead_time` as an int; InputError unless it is a whole number of periods, from `least`."""
    try:
        whole = int(lead_time) == lead_time
    except (TypeError, ValueError, OverflowError):
        whole = False
    if not whole or lead_time < least:
        raise InputError(
            f"{name}={lead_time}: a whole number of periods is needed, {least} or more"
        )
    return int(lead_time)


def _check_normal(mean: float, sd: float) -> None:
    if not (math.isfinite(mean) and 0 <= sd < math.inf):
        raise InputError(
            f"demand N({mean}, {sd}): a mean and a standard deviation from 0 are needed"
        )
