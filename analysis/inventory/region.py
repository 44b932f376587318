"""The states of one store with lost sales that a sensible policy visits, and a sweep over them.

A state, before ordering, is the stock on hand x and the orders under way q_1, .., q_{L-1}, next to
arrive first; an order q_L = a placed now can be used L periods on. With demand D,

    x' = (x - D)^+ + q_1,    q' = (q_2, .., q_{L-1}, a)

(L = 1: x' = (x - D)^+ + a). A region holds the states with q_i + .. + q_{i+k-1} <= window[k] for
every run of k orders, and x + q_1 + .. + q_{L-1} <= position; it is closed under the orders that
keep to both bounds.

For the optimum: no order is to lift a run of the last k orders, itself included, above the quantile
h / (h + p) counts as too likely left over after k periods, nor the position above that of L + 1
(Morton 1969; Zipkin, "Old and new methods for lost-sales inventory systems", Operations Research
56(5), 2008). At a lead time of 4 and a Poisson demand of 5 this leaves 25,000 states, not millions.

All arrays are flat: states of the same pipeline stand together, in the order of the stock on hand,
so that the expectation over demand runs along contiguous numbers. It depends on the order through
the next pipeline alone, and next pipelines of successive orders stand one after the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numba import njit
from numpy.typing import NDArray

from games import InputError
from games.finite.kernels import FAST, INLINE
from games.finite.sequence_form import Float64

Int64 = NDArray[np.int64]

STATE_LIMIT = 20_000_000
GIVEN, WALK, FULL = 0, 1, 2  # how a sweep finds orders: given; from the last state's; all of them


@dataclass(frozen=True, eq=False)
class Region:
    """I pipelines and M states, x = 0 .. position - sum(q) for each pipeline."""

    lead_time: int
    position: int  # units, the largest position after ordering
    window: tuple[int, ...]  # units, window[k - 1] for runs of k = 1 .. L orders
    pipelines: Int64  # [I, L - 1]  units, lexicographic

    @classmethod
    def of(cls, lead_time: int, position: int, window: Sequence[int]) -> Region:
        """List the pipelines.

        Raises:
            InputError: too many states.
        """
        window = tuple(min(int(w), position) for w in window)
        rows = np.zeros((1, 0), np.int64)
        for length in range(lead_time):
            # Any pipeline can go on with orders of nothing, so there are at least these states.
            states = int((position + 1 - rows.sum(1)).sum())
            if states > STATE_LIMIT:
                raise InputError(
                    f"lead_time={lead_time}: {states:,} states or more, of at most "
                    f"{STATE_LIMIT:,}; take a shorter lead time, less demand, or coarser units"
                )
            if length == lead_time - 1:
                break
            most = position - rows.sum(1)
            for k in range(1, length + 2):
                run = rows[:, length + 1 - k :].sum(1)
                most = np.minimum(most, window[k - 1] - run)
            size = int((most + 1).sum())
            first = np.repeat(np.cumsum(most + 1) - (most + 1), most + 1)
            added = np.arange(size) - first
            rows = np.column_stack([np.repeat(rows, most + 1, axis=0), added])
        return cls(lead_time, position, window, rows)

    @cached_property
    def start(self) -> Int64:
        """[I + 1] the place of each pipeline's first state."""
        return np.concatenate([[0], np.cumsum(self.position + 1 - self.pipelines.sum(1))])

    @property
    def num_states(self) -> int:
        return int(self.start[-1])

    @cached_property
    def on_hand(self) -> Int64:
        """[M] units."""
        return np.arange(self.num_states) - np.repeat(self.start[:-1], np.diff(self.start))

    @cached_property
    def pipeline_of(self) -> Int64:
        """[M, L - 1] units under way in each state."""
        return np.repeat(self.pipelines, np.diff(self.start), axis=0)

    @cached_property
    def most(self) -> Int64:
        """[I] the largest order that keeps to the windows."""
        return self.largest_order(self.pipelines)

    def largest_order(self, pipeline: Int64) -> Int64:
        """[..., L - 1] -> [...]: what the windows leave for an order, 0 if nothing."""
        most = np.full(pipeline.shape[:-1], self.window[0])
        for k in range(2, self.lead_time + 1):
            most = np.minimum(
                most, self.window[k - 1] - pipeline[..., self.lead_time - k :].sum(-1)
            )
        return np.maximum(most, 0)

    def index(self, pipeline: Int64) -> Int64:
        """[..., L - 1] -> [...]: the place of pipelines that are in the region."""
        base = (self.window[0] + 1) ** np.arange(self.lead_time - 1)[::-1]
        return np.searchsorted(self.pipelines @ base, pipeline @ base)

    @cached_property
    def tables(self) -> tuple[Int64, ...]:
        """For the sweep: start [I + 1], most [I], what arrives next [I], and the pipeline after an
        order of nothing [I]; those after larger orders follow it. The last two are empty if L = 1.
        """
        if self.lead_time == 1:
            none = np.zeros(0, np.int64)
            return self.start, self.most, none, none
        last = np.zeros((len(self.pipelines), 1), np.int64)
        following = self.index(np.hstack([self.pipelines[:, 1:], last]))
        return self.start, self.most, self.pipelines[:, 0].copy(), following


@njit(**INLINE)
def expected(chain, value, i, x, a):
    """E value[next state], with x on hand, pipeline i, and an order of a."""
    start, _, arrival, following, _, reversed_pmf, at_least = chain
    # At a lead time of 1 it is the order itself that arrives, and the pipeline stays empty.
    place = start[following[i] + a] + arrival[i] if len(arrival) else a
    total = at_least[x] * value[place]
    shift = len(reversed_pmf) - 1 - x  # reversed_pmf[shift + left] = P(D = x - left)
    for left in range(max(1, -shift), x + 1):
        total += reversed_pmf[shift + left] * value[place + left]
    return total


@njit(**FAST)
def sweep(chain, value, backed, orders, search):
    """backed[s] = cost of the period + E value[next state], with the orders given or the best.

    Writes `backed` [M] and, unless they are given, `orders` [M]. `search` is GIVEN, FULL, or WALK:
    from the order of the state with one unit less on hand down or else up, which finds the least
    since the expectation is convex in the order (Zipkin, "On the structure of lost-sales inventory
    models", 2008: L-natural-convex). Returns the least and largest change of value, between which
    the average cost of the best (or the given) policy lies (MacQueen 1966).
    """
    start, most, _, _, cost, _, _ = chain
    low, high = np.inf, -np.inf
    for i in range(len(start) - 1):
        first = start[i]
        length = start[i + 1] - first
        a = orders[first]
        for x in range(length):
            limit = min(most[i], length - 1 - x)
            if search == GIVEN:
                a = orders[first + x]
            elif search == FULL:
                a = 0
            else:
                a = min(a, limit)
            best = expected(chain, value, i, x, a)
            if search == FULL:
                for b in range(1, limit + 1):
                    other = expected(chain, value, i, x, b)
                    if other < best:
                        best, a = other, b
            elif search == WALK:
                begin = a
                while a > 0:
                    other = expected(chain, value, i, x, a - 1)
                    if other > best:
                        break
                    best, a = other, a - 1
                while begin <= a < limit:  # not if it went down
                    other = expected(chain, value, i, x, a + 1)
                    if other >= best:
                        break
                    best, a = other, a + 1
            orders[first + x] = a
            best += cost[x]
            backed[first + x] = best
            change = best - value[first + x]
            low = min(low, change)
            high = max(high, change)
    return low, high


class Chain:
    """Relative value iteration on a region; values are kept from one policy to the next."""

    def __init__(self, region: Region, pmf: Float64, cost: Float64) -> None:
        """`cost` [position + 1]: of a period, by the stock on hand before demand."""
        self.region = region
        self.sweeps = 0
        self.value = cost[region.on_hand]
        self._backed = np.empty_like(self.value)
        # Where no period is without demand, the chain could be periodic and values go round.
        self._share = 1.0 if pmf[0] > 0 else 0.5
        none_left = np.concatenate([[1.0], 1.0 - np.cumsum(pmf)])
        at_least = np.zeros(region.position + 1)
        at_least[: len(none_left)] = np.maximum(none_left, 0.0)[: region.position + 1]
        width = region.position + 1
        self._chain = (*region.tables, cost[:width].copy(), pmf[::-1].copy(), at_least)

    def settle(
        self, orders: Int64, search: int, tolerance: float, limit: int, enough: float = np.inf
    ) -> tuple[float, float]:
        """Bounds of the average cost, at most `tolerance` apart; orders [M] are read or written.

        Stops early where the lower bound says that the cost is above `enough`.

        Raises:
            InputError: the bounds do not meet within `limit` sweeps.
        """
        low, high = -np.inf, np.inf
        for _ in range(limit):
            self.sweeps += 1
            now = sweep(self._chain, self.value, self._backed, orders, search)
            low, high = max(low, now[0]), min(high, now[1])
            if self._share == 1.0:
                self.value, self._backed = self._backed, self.value
            else:
                self.value += self._share * (self._backed - self.value)
            self.value -= self.value[0]
            if high - low <= tolerance or low > enough:
                return low, high
        raise InputError(
            f"the average cost is between {low:.6g} and {high:.6g} after {limit:,} sweeps; "
            "take a larger tolerance or more of them"
        )
