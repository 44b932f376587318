"""The logit response to a profile, and its derivatives, as sparse matrices over the sequence form.

A player answers what the others do by taking an action with probability in proportion to
exp(precision * utility). The utility is, of kind agent, what the information set itself expects if
it is reached and the player's own later play is given (McKelvey & Palfrey 1998); of kind normal,
the soft counterfactual value, which is what a softmax over the reduced normal form comes to (Ling,
Fang & Kolter 2018). A fixed point is a logit equilibrium: see `analysis.equilibria.quantal`.
"""

from __future__ import annotations

import itertools
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np

from analysis.equilibria.units import Units
from games import SequenceForm
from games.finite.sequence_form import Float64, utility_ranges
from games.finite.strategy import uniform_behaviour


class LogitResponse:
    """The logit response of one kind, "agent" or "normal", and its derivatives.

    Vectors are log probabilities [S] at the places of the form's arrays, 0 at empty sequences;
    precisions are in 1 / utility. E = N * L pairs of a player and a leaf are its *ends*.
    """

    def __init__(self, form: SequenceForm, kind: str) -> None:
        from scipy.sparse import csr_matrix

        self.form, self.kind = form, kind
        arrays, n = form.arrays, form.num_players
        size = arrays.num_sequences
        starts = arrays.players.astype(np.int64)
        self.blocks = arrays.blocks.astype(np.int64)
        self.parent = arrays.parent.astype(np.int64)
        leaf = arrays.place[form.leaf_sequence + starts[:-1]]  # [L, N]
        self.own = leaf.T.ravel()  # [E]  each end's last own place
        self.other = np.concatenate([np.delete(leaf, i, axis=1) for i in range(n)])  # [E, N - 1]
        # The response is to differences of utilities: counted from the lowest they keep their
        # digits.
        lowest, _ = utility_ranges(form)
        shifted = form.leaf_utility - form.leaf_chance[:, None] * lowest
        self.shifted = replace(form, leaf_utility=shifted)
        self.utility = shifted.T.ravel()  # [E]  times chance
        self.chance = np.tile(form.leaf_chance, n)  # [E]
        # Information sets of places, empty sequences being sets of their own; and their ancestors.
        self.set_of = np.empty(size, np.int64)
        self.set_of[starts[:-1]] = len(self.parent) + np.arange(n)
        above: list[Any] = [[]] * size
        for first_set, count, first, actions in self.blocks:
            for i in range(count):
                for s in range(first + i, first + count * actions, count):
                    self.set_of[s] = first_set + i
                    above[s] = [*above[self.parent[first_set + i]], s]
        rows = np.repeat(np.arange(size), [len(a) for a in above])
        columns = np.fromiter(itertools.chain.from_iterable(above), np.int64, len(rows))
        self.ancestors = csr_matrix((np.ones(len(rows)), (rows, columns)), shape=(size, size))
        self.sets = csr_matrix((np.ones(size), (np.arange(size), self.set_of)))  # [S, J + N]
        self.uniform = np.log(uniform_behaviour(form)[arrays.sequence])
        self.origin = self.to(self.uniform, 0.0)  # the equilibrium at precision 0

    @cached_property
    def below(self) -> tuple[np.ndarray, np.ndarray]:
        """Pairs (place, end) in which the end follows the place, [K] and [K]."""
        pairs = self.ancestors[self.own].tocoo()
        return pairs.col.astype(np.int64), pairs.row.astype(np.int64)

    def behaviour(self, log_behaviour: Float64) -> Float64:
        """Probabilities [S] in the order of the form."""
        return np.exp(log_behaviour)[self.form.arrays.place]

    def regret(self, log_behaviour: Float64) -> float:
        """The most that a player could gain by its best response."""
        return float(Units.of(self.form).measured(self.behaviour(log_behaviour))[1].max())

    def residual(self, log_behaviour: Float64, precision: float) -> float:
        """The largest difference of a probability from the logit response's."""
        answer = self.to(log_behaviour, precision)
        return float(np.abs(np.exp(log_behaviour) - np.exp(answer)).max())

    def to(self, log_behaviour: Float64, precision: float) -> Float64:
        """The log probabilities of the logit response."""
        if self.kind == "agent":
            return self._softmax(precision * self._conditional(log_behaviour)[0], soft=False)
        plan = self.ancestors @ log_behaviour
        weight = self.utility * np.exp(plan[self.other].sum(axis=1))
        gradient = np.bincount(self.own, weight, len(plan)).astype(np.float64)
        return self._softmax(precision * gradient, soft=True)

    def derivatives(self, log_behaviour: Float64, precision: float) -> tuple[Float64, Any, Float64]:
        """The response, and its derivatives by the log probabilities [S, S] and the precision [S].

        A softmax moves with the difference from the mean that it has itself as weights.
        """
        from scipy.sparse import diags, identity

        if self.kind == "agent":
            value, gain, weight, share = self._conditional(log_behaviour)
            answer = self._softmax(precision * value, soft=False)
            slope = self._conditional_slope(value, gain, weight, share)
        else:
            answer = self.to(log_behaviour, precision)
            value, slope = self._soft(log_behaviour, answer)
        mean = self.sets @ (diags(np.exp(answer)) @ self.sets).T
        is_action = diags((self.set_of < len(self.parent)).astype(float))
        centre = is_action @ (identity(len(answer)) - mean)
        return answer, precision * (centre @ slope @ self.ancestors), centre @ value

    def _softmax(self, value: Float64, *, soft: bool) -> Float64:
        """At every set; `soft` adds the set's log sum to its parent's value first (normal kind)."""
        log_behaviour = np.zeros_like(value)
        for first_set, count, first, actions in self.blocks[::-1]:
            at = slice(first, first + count * actions)
            choices = value[at].reshape(actions, count)
            highest = choices.max(axis=0)
            total = highest + np.log(np.exp(choices - highest).sum(axis=0))
            log_behaviour[at] = (choices - total).ravel()
            if soft:
                np.add.at(value, self.parent[first_set : first_set + count], total)
        return log_behaviour

    def _soft(self, log_behaviour: Float64, answer: Float64) -> tuple[Float64, Any]:
        """Counterfactual values [S] under the response below; the slopes [S, S] of the soft ones.

        By the logarithms of plans; the slope by the precision, of precision times soft values, is
        the first of the two.
        """
        place, end = self.below
        plan, below = self.ancestors @ log_behaviour, self.ancestors @ answer
        reach = plan[self.other].sum(axis=1)[end] + below[self.own[end]] - below[place]
        gain = self.utility[end] * np.exp(reach)
        value = np.bincount(place, gain, len(plan)).astype(np.float64)
        return value, _gather(place, self.other[end], gain, (len(plan), len(plan)))

    def _conditional(self, log_behaviour: Float64) -> tuple[Float64, Float64, Float64, Float64]:
        """Conditional expected utilities [S], and what they are made of.

        Which is: a gain [K] and a reach [K] for each pair of `below`, and what a set's gains are
        multiplied by [S]. Reaches are relative to the set's largest one, so that a set that is
        reached with probability 1e-1000 still has its utilities. A set that chance excludes
        has zeros.
        """
        place, end = self.below
        last, possible, chooser = self.own[end], self.chance[end] > 0, self.set_of[place]
        size = len(log_behaviour)
        plan, uniform = self.ancestors @ log_behaviour, self.ancestors @ self.uniform
        others = plan[self.other].sum(axis=1)[end]
        largest = np.full(self.sets.shape[1], -np.inf)
        np.maximum.at(largest, chooser[possible], others[possible])
        others = np.where(possible, others - largest[chooser], -np.inf)
        # The others' reach of a set does not depend on what its owner does from there: uniform.
        before = uniform[place] - self.uniform[place]
        weight = self.chance[end] * np.exp(others + uniform[last] - before)
        reach = np.bincount(chooser, weight, len(largest))[self.set_of]
        share = np.divide(1.0, reach, out=np.zeros(size), where=reach > 0)
        gain = self.utility[end] * np.exp(others + plan[last] - plan[place])
        value = np.bincount(place, gain, size).astype(np.float64) * share
        return value, gain, weight, share

    def _conditional_slope(
        self, value: Float64, gain: Float64, weight: Float64, share: Float64
    ) -> Any:
        """Slopes [S, S] of the conditional utilities by the logarithms of plans."""
        from scipy.sparse import diags

        place, end = self.below
        size, last = len(value), self.own[end, None]
        others = self.other[end]
        slope = _gather(place, np.hstack([others, last]), gain, (size, size))
        reach = _gather(self.set_of[place], others, weight, (self.sets.shape[1], size))
        return diags(share) @ slope - diags(value) - diags(value * share) @ self.sets @ reach


def _gather(row: np.ndarray, columns: np.ndarray, weight: Float64, shape: tuple[int, int]) -> Any:
    """The sparse matrix that adds weight [K] at (row [K], each of columns [K, C])."""
    from scipy.sparse import csr_matrix

    each = columns.shape[1]
    at = (np.repeat(row, each), columns.ravel())
    return csr_matrix((np.repeat(weight, each), at), shape=shape)
