"""Players who minimise regret over triggers, the profiles they played, and their payoffs."""

from __future__ import annotations

import numpy as np

from analysis.correlated.trigger_regret import POWERS, play_on
from analysis.correlated.triggers import best_leave, leave, observe_all, triggers
from analysis.equilibria.equilibrium import Equilibrium, Joint
from games import SequenceForm, Strategy
from games.finite.kernels import leaf_arrays, plans
from games.finite.sequence_form import Float64
from games.finite.strategy import uniform_behaviour


class RegretMinimiser:
    """All players as regret minimisers, and the record of their play."""

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
        """Sum the payoffs of the profiles kept; their gains are not measured yet."""
        self.seen = np.zeros((len(POWERS), len(self.table.entry)))
        self.followed = np.zeros((len(POWERS), len(self.plan)))
        for k, power in enumerate(POWERS):
            observe_all(
                leaf_arrays(self.form), self.form.arrays.place, self.table.arrays,
                weights_of(self.kept, power), self.profiles[: self.kept],
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
            self.kept = play_on(
                leaf_arrays(self.form), self.form.arrays.place, self.table.arrays,
                self.table.trees.arrays, self.table.left, self.sets, self.plan, self.answer,
                self.regret, self.leaving, self.iteration, until, self.stride,
                self.profiles, self.kept, self.seen, self.followed,
            )  # fmt: skip
            self.iteration = until

    def measure(self) -> None:
        """Note the gains of the mixtures so far, if one is the best."""
        for k, power in enumerate(POWERS):
            total = weights_of(self.kept, power).sum()
            followed = self.followed[k] / total
            gains = best_leave(self.table, leave(self.table, self.seen[k] / total, followed))
            if self.best is None or gains.max() <= self.gap:
                values = np.add.reduceat(followed, self.table.trees.root)
                self.best = power, self.kept, gains, values

    def equilibrium(self, seconds: float) -> Equilibrium:
        """The best answer measured."""
        assert self.best is not None
        power, kept, gains, values = self.best
        weights = weights_of(kept, power)
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


def weights_of(kept: int, power: int) -> Float64:
    """Of the profiles kept, [K]; not normalised, so that the next one changes no other."""
    return np.arange(1.0, kept + 1.0) ** power
