"""Correlated equilibria from regret dynamics, in any game, with a gap that is measured.

Each player minimises the regret of not having left at any trigger (see
`analysis.correlated.triggers`). Its learner holds, for each trigger t, a continuation y_t that
predictive regret matching+ improves inside the treeplex below t, and a weight lambda_t, the clipped
sum of what leaving at t would have gained, likewise with the last gain expected again. The next
play x is the fixed point of "leave at t with weight lambda_t" (Gordon, Greenwald & Marks 2008):

    sum_t lambda_t (x with what is left at t replaced by x(q_t) y_t)  =  x sum_t lambda_t

It is found in one sweep down: once x is known above information set j, only triggers of j itself
(efce has one an action) still couple its actions, as a small Markov chain whose stationary
distribution is the play there. For efcce there are none, and for nfcce x is y: CFR. All players
move at once, and the answer is a mixture of the profiles that they played: with equal weights, for
which the gap provably falls as 1 / sqrt(T), or with weights t^2, usually far better, sometimes not,
and without a proof for general sum. Both are summed up while playing, for exactly the profiles that
are kept, and the one with the smaller gap is the answer.

Sources: Farina, Bianchi & Sandholm 2020 (efcce); Celli, Marchesi, Farina & Gatti 2020 and Farina et
al. 2022 (trigger regret, efce); Farina, Kroer & Sandholm 2021 (predictive regret matching+, t^2).
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
from numba import njit

from analysis.correlated.triggers import (
    best_leave,
    leave,
    observe,
    observe_all,
    paid_below,
    payoffs,
    triggers,
)
from analysis.equilibria.equilibrium import Equilibrium, Joint
from games import Game, InputError, SequenceForm, Strategy, as_form
from games.common.errors import did_you_mean
from games.common.progress import Progress
from games.finite.kernels import FAST, INLINE, leaf_arrays, plans
from games.finite.sequence_form import Float64
from games.finite.strategy import uniform_behaviour

MEMORY = 2**29  # bytes of profiles that are kept
POWERS = (0, 2)  # of t, in the weights of the mixtures that are measured


def correlated_dynamics(
    game: Game | SequenceForm,
    concept: Literal["nfcce", "efcce", "efce"],
    *,
    iterations: int = 10_000,
    target: float | None = None,
    seconds: float | None = None,
    progress: Progress | None = None,
    seed: int | None = None,
    memory: int = MEMORY,
) -> Equilibrium:
    """An approximate equilibrium of correlated play; `regret` says how good.

    The answer's `gains` [N] are those of `correlated_gains` on its joint play, which is a mixture
    of profiles that were played. All are kept until they fill `memory`; then every other one is
    dropped, and of the coming ones every other one passed over, and so on. What is dropped counts
    neither in the play nor in its gains, and the gap need not fall as 1 / sqrt(T) any more. In a
    two-player zero-sum game the players' averages, played independently, have a NashConv of at most
    the sum of the gains.

    Args:
        game: any game: players, chance and general sum as they come.
        concept: "nfcce" (the same as "cce"), "efcce" or "efce".
        iterations: how many at most.
        target: stop when no player gains more, in units of utility; nothing at all if None.
        seconds: stop after this time.
        progress: told now and then how far it is; it stops when that returns True.
        seed: start from a random profile; from the uniform one if None.
        memory: bytes for the profiles.

    Raises:
        InputError: no such concept, no iterations, or a game with too many deviations.
    """
    if concept not in ("nfcce", "efcce", "efce"):
        known = ("nfcce", "efcce", "efce")
        raise InputError(f"no dynamics for concept {concept!r}: {did_you_mean(concept, known)}")
    if iterations < 1:
        raise InputError(f"iterations={iterations}: at least 1 is needed")
    began, form = time.perf_counter(), as_form(game)
    learner = _Learner(
        form, concept, seed, min(iterations, max(2, memory // (8 * form.arrays.num_sequences)))
    )
    enough = 0.0 if target is None else target
    step, check = 1, 1
    while learner.iteration < iterations:
        chunk_began = time.perf_counter()
        learner.play(min(step, iterations - learner.iteration, check - learner.iteration))
        now = time.perf_counter()
        step = max(1, int(step * min(2.0, 0.1 / max(now - chunk_began, 1e-9))))
        late = seconds is not None and now - began >= seconds
        if learner.iteration == check or late or learner.iteration == iterations:
            learner.measure()
            check = max(check + 1, int(1.1 * check))
        told = f"{concept} dynamics: iteration {learner.iteration:,}, gap {learner.gap:.3g}"
        if learner.gap <= enough or late or (progress is not None and progress(told)):
            break
    learner.measure()
    return learner.equilibrium(time.perf_counter() - began)


def profiles_of_play(
    form: SequenceForm, looks: Sequence[int], progress: Progress | None = None
) -> Iterator[tuple[int, Float64, Float64]]:
    """The dynamics of nfcce at some iterations: which, the plans [S] played last, and on average.

    The averages have weights t^2. When `progress` says so the dynamics end, after a last look.
    """
    capacity = max(2, MEMORY // (8 * form.arrays.num_sequences))
    learner = _Learner(form, "nfcce", None, min(looks[-1], capacity))
    step, stop = 1, False
    for look in looks:
        while learner.iteration < look and not stop:
            began = time.perf_counter()
            learner.play(min(step, look - learner.iteration))
            spent = time.perf_counter() - began
            step = max(1, int(step * min(2.0, 0.1 / max(spent, 1e-9))))
            stop = progress is not None and progress(f"dynamics: iteration {learner.iteration:,}")
        weights = _weights(learner.kept, 2)
        played = learner.profiles[: learner.kept]
        yield learner.iteration, learner.plan, (weights / weights.sum()) @ played
        if stop:
            return


class _Learner:
    """All players' learners, and the record of their play."""

    def __init__(self, form: SequenceForm, concept: str, seed: int | None, capacity: int) -> None:
        self.form, self.concept = form, concept
        self.table = table = triggers(form, concept)
        units = np.argsort(table.unit_set, kind="stable")
        self.sets = (
            np.searchsorted(table.unit_set[units], np.arange(len(table.trees.count) + 1)),
            units,
            np.repeat(np.arange(len(table.player)), np.diff(table.first_unit))[units],
        )  # where each set's units begin [J + 1], the units set by set [U], their triggers [U]
        behaviour = uniform_behaviour(form)
        if seed is not None:
            behaviour = Strategy.random(form, np.random.default_rng(seed)).behaviour(form)
        self.plan = plans(form, behaviour)  # [S]  the next profile
        self.answer = behaviour[table.entry]  # [E]  behaviour of each trigger's continuation
        self.regret = np.zeros(len(table.entry))  # [E]
        self.leaving = np.zeros(len(table.player))  # [T]  regrets of not leaving
        self.iteration = 0
        self.stride = 1  # of so many iterations one is kept
        self.profiles = np.empty((capacity, len(self.plan)))  # [K, S]
        self.kept = 0
        self._recount()

    def _recount(self) -> None:
        """Sum up what the profiles kept pay; nothing is known of their gains yet."""
        self.seen = np.zeros((len(POWERS), len(self.table.entry)))
        self.followed = np.zeros((len(POWERS), len(self.plan)))
        for k, power in enumerate(POWERS):
            observe_all(
                leaf_arrays(self.form), self.form.arrays.place, self.table.arrays,
                _weights(self.kept, power), self.profiles[: self.kept],
                self.seen[k], self.followed[k],
            )  # fmt: skip
        # Of the best mixture measured: power, profiles, gains [N], values [N].
        self.best: tuple[int, int, Float64, Float64] | None = None

    @property
    def gap(self) -> float:
        """The largest gain in the best of the answers measured."""
        return float("inf") if self.best is None else float(self.best[2].max())

    def play(self, iterations: int) -> None:
        end = self.iteration + iterations
        while self.iteration < end:
            if self.kept == len(self.profiles):
                self.kept //= 2
                self.profiles[: self.kept] = self.profiles[1 : 2 * self.kept : 2]
                self.stride *= 2
                self._recount()
            until = min(end, self.stride * len(self.profiles))
            self.kept = _play(
                leaf_arrays(self.form), self.form.arrays.place, self.table.arrays,
                self.table.trees.arrays, self.table.left, self.sets, self.plan, self.answer,
                self.regret, self.leaving, self.iteration, until, self.stride,
                self.profiles, self.kept, self.seen, self.followed,
            )  # fmt: skip
            self.iteration = until

    def measure(self) -> None:
        """Note the gains of the mixtures so far, if one is the best."""
        for k, power in enumerate(POWERS):
            total = _weights(self.kept, power).sum()
            followed = self.followed[k] / total
            gains = best_leave(self.table, leave(self.table, self.seen[k] / total, followed))
            if self.best is None or gains.max() <= self.gap:
                values = np.add.reduceat(followed, self.table.trees.root)
                self.best = power, self.kept, gains, values

    def equilibrium(self, seconds: float) -> Equilibrium:
        """The best answer measured."""
        assert self.best is not None
        power, kept, gains, values = self.best
        weights = _weights(kept, power)
        return Equilibrium(
            concept=self.concept,
            game=self.form.game,
            method="trigger regret dynamics",
            values=values,
            gains=gains,
            joint=Joint(self.form, weights / weights.sum(), self.profiles[:kept]),
            facts={
                "iterations": self.iteration,
                "profiles": kept,
                "weights": "equal" if power == 0 else f"t^{power}",
                "seconds": seconds,
            },
        )


def _weights(kept: int, power: int) -> Float64:
    """Of the profiles kept, [K]; not normalised, so that the next one changes no other."""
    return np.arange(1.0, kept + 1.0) ** power


@njit(**INLINE)
def _improve(trigger_arrays, t, reach, gradient, answer, regret, value):
    """Predictive regret matching+ below trigger t; returns what its continuation was worth."""
    _, start, first_unit, entry, unit_parent, unit_first, unit_count = trigger_arrays
    value[start[t]] = 0.0
    for e in range(start[t] + 1, start[t + 1]):
        value[e] = reach * gradient[entry[e]]
    for u in range(first_unit[t + 1] - 1, first_unit[t] - 1, -1):
        first, end = unit_first[u], unit_first[u] + unit_count[u]
        expected, total = 0.0, 0.0
        for e in range(first, end):
            expected += answer[e] * value[e]
        value[unit_parent[u]] += expected
        for e in range(first, end):
            instant = value[e] - expected
            regret[e] = max(regret[e] + instant, 0.0)
            answer[e] = max(regret[e] + instant, 0.0)
            total += answer[e]
        for e in range(first, end):
            answer[e] = answer[e] / total if total > 0.0 else 1.0 / unit_count[u]
    return value[start[t]]


@njit(**INLINE)
def _stationary(rate, actions, share):
    """The stationary distribution of a Markov chain from its rates, which are used up.

    Grassmann, Taksar & Heyman (1985): states are taken out one by one, without a subtraction.
    """
    last = 0
    for k in range(actions - 1, 0, -1):
        out = 0.0
        for i in range(k):
            out += rate[k, i]
        if out <= 0.0:  # nothing leads from here to the states that remain
            last = k
            break
        for i in range(k):
            rate[i, k] /= out
            for h in range(k):
                rate[i, h] += rate[i, k] * rate[k, h]
    share[:last] = 0.0
    share[last] = total = 1.0
    for k in range(last + 1, actions):
        share[k] = 0.0
        for i in range(last, k):
            share[k] += share[i] * rate[i, k]
        total += share[k]
    for k in range(actions):
        share[k] /= total


@njit(**INLINE)
def _fixed_point(trigger_arrays, tree_arrays, sets, weights, answer, going_on, plan, flow, rate):
    """The plan [S] that leaving at the triggers with these weights [T] maps to itself.

    Writes also the continuations as plans, going_on [E]. flow and rate are scratch.
    """
    sequence, start, first_unit, _, unit_parent, unit_first, unit_count = trigger_arrays
    parent, first, count = tree_arrays
    set_start, units, unit_trigger = sets
    for t in range(len(sequence)):
        going_on[start[t]] = 1.0
        for u in range(first_unit[t], first_unit[t + 1]):
            for e in range(unit_first[u], unit_first[u] + unit_count[u]):
                going_on[e] = going_on[unit_parent[u]] * answer[e]
    for j in range(len(parent)):
        above, actions = plan[parent[j]], count[j]
        own = plan[first[j] : first[j] + actions]
        own[:] = 0.0
        if above == 0.0:
            continue
        # Rates from action to action: by triggers above, the same from all; by its own, in efce.
        flow[:actions] = 0.0
        rate[:actions, :actions] = 0.0
        coupled = 0.0
        for i in range(set_start[j], set_start[j + 1]):
            t, e = unit_trigger[i], unit_first[units[i]]
            weight = weights[t]
            q = sequence[t]
            if first[j] <= q < first[j] + actions:
                coupled += weight
                for k in range(actions):
                    rate[q - first[j], k] += weight * going_on[e + k]
            else:
                weight *= plan[q] / above
                for k in range(actions):
                    flow[k] += weight * going_on[e + k]
        total = flow[:actions].sum()
        if coupled > 0.0:
            for i in range(actions):
                for k in range(actions):
                    rate[i, k] += flow[k]
            _stationary(rate, actions, own)
            for k in range(actions):
                own[k] *= above
        elif total > 0.0:
            for k in range(actions):
                own[k] = above * flow[k] / total
        else:  # nobody wishes to leave, and any play will do: that of the lowest trigger
            e = unit_first[units[set_start[j + 1] - 1]]
            for k in range(actions):
                own[k] = above * answer[e + k]


@njit(**FAST)
def _play(
    leaves, place, trigger_arrays, tree_arrays, left, sets, plan, answer, regret, leaving,
    iteration, end, stride, profiles, kept, seen, followed,
):  # fmt: skip
    """Iterations up to `end`; updates all arrays and returns how many profiles are kept now."""
    sequence, count = trigger_arrays[0], tree_arrays[2]
    placed, scratch, gradient, paid = np.empty((4, len(plan)))
    value, going_on = np.empty((2, len(regret)))
    worth = np.empty(len(sequence))
    flow, rate = np.empty(count.max()), np.empty((count.max(), count.max()))
    for t in range(iteration + 1, end + 1):
        payoffs(leaves, place, plan, placed, scratch, gradient)
        if t % stride == 0:
            profiles[kept] = plan
            kept += 1
            for k in range(len(POWERS)):
                weight = float(kept) ** POWERS[k]
                observe(trigger_arrays, weight, plan, gradient, seen[k], followed[k])
        for s in range(len(plan)):
            paid[s] = plan[s] * gradient[s]
        paid_below(tree_arrays, paid)
        for k in range(len(sequence)):
            reach = plan[sequence[k]]
            worth[k] = 0.0
            if reach > 0.0:
                worth[k] = _improve(trigger_arrays, k, reach, gradient, answer, regret, value)
        for s in range(len(plan)):
            if left[s] >= 0:
                worth[left[s]] -= paid[s]
        for k in range(len(sequence)):
            leaving[k] = max(leaving[k] + worth[k], 0.0)
            worth[k] = max(leaving[k] + worth[k], 0.0)  # the weight, expecting the same again
        _fixed_point(trigger_arrays, tree_arrays, sets, worth, answer, going_on, plan, flow, rate)
    return kept
