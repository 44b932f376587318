"""The result that every equilibrium solver returns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from analysis.equilibria.units import Units
from games import Game, InputError, NormalForm, SequenceForm, Strategy, as_form
from games.finite.kernels import plans
from games.finite.sequence_form import Float64, utilities

if TYPE_CHECKING:
    from analysis.correlated.correlation_plan import CorrelationPlan

CHUNK = 2**20  # probabilities, of profiles and leaves, that are held at once


class Unverified(ArithmeticError):
    """A solver's answer has a measured regret above the tolerance."""


@dataclass(frozen=True, eq=False)
class Joint:
    """Correlated play: one of M profiles is drawn, and each player learns only its own part.

    Inside a profile the players randomise on their own, so that a profile may be pure or mixed.
    """

    form: SequenceForm
    weights: Float64  # [M]  probabilities
    plans: Float64  # [M, S]  realization plans, the players' sequences laid end to end

    @classmethod
    def of(
        cls, game: Game | SequenceForm, profiles: Sequence[Strategy], weights: Sequence[float]
    ) -> Joint:
        """From strategies, drawn with `weights`.

        Raises:
            InputError: as many weights as profiles are needed, none negative, with sum 1.
        """
        drawn = np.asarray(weights, dtype=np.float64)
        if len(drawn) != len(profiles) or np.any(drawn < 0) or abs(drawn.sum() - 1.0) > 1e-6:
            raise InputError("a probability for each profile is needed; they have to add up to 1")
        form = as_form(game)
        rows = [plans(form, profile.behaviour(form)) for profile in profiles]
        return cls(form, drawn, np.array(rows))

    @classmethod
    def from_tensor(cls, game: NormalForm, probabilities: Float64) -> Joint:
        """From the probability [A1, ..., AN] of every combination of pure strategies."""
        drawn = np.argwhere(probabilities > 0)
        rows = [np.hstack([p[k] for p, k in zip(game.plans, row, strict=True)]) for row in drawn]
        return cls(game.form, probabilities[tuple(drawn.T)], np.array(rows))

    @property
    def values(self) -> Float64:
        """Expected utilities [N] when everybody follows."""
        starts = self.form.arrays.players[:-1].astype(int)
        reached = np.zeros(len(self.form.leaf_utility))  # [L]  by any of the profiles
        size = max(1, CHUNK // max(1, len(reached)))
        for m in range(0, len(self.weights), size):
            reach = np.ones((len(self.weights[m : m + size]), len(reached)))
            for i, start in enumerate(starts):
                reach *= self.plans[m : m + size, start + self.form.leaf_sequence[:, i]]
            reached += self.weights[m : m + size] @ reach
        return reached @ self.form.leaf_utility


@dataclass(frozen=True, eq=False)
class Equilibrium:
    """An equilibrium, verified before it was returned; or, if `approximate`, play near one.

    `gains` is the most that each player could gain by the deviations that the concept considers,
    measured on the answer itself by a sweep of ours, not taken from the solver.
    """

    concept: str  # a key of `analysis.solve.CONCEPTS`
    game: str
    method: str  # description of the algorithm
    values: Float64  # [N]  expected utilities
    gains: Float64  # [N]  NaN for a player whom the concept does not hold to anything
    strategy: Strategy | None = None  # where players randomise on their own
    joint: Joint | None = None  # where their play is correlated
    plan: CorrelationPlan | None = None  # the same of two players, by pairs of sequences
    objective: float | None = None  # what was maximised, if anything
    bound: float | None = None  # no equilibrium of this kind has a larger objective
    facts: Mapping[str, float | str] = field(default_factory=dict)  # more that the method knows
    approximate: bool = False  # its `regret` is above the concept's tolerance: the nearest found

    @property
    def value(self) -> float:
        """The first player's expected utility: in a two-player zero-sum game, *the* value."""
        return float(self.values[0])

    @property
    def welfare(self) -> float:
        """The sum of the players' expected utilities."""
        return float(self.values.sum())

    @property
    def regret(self) -> float:
        """The largest of `gains`: 0 up to rounding, where `verified` has let the answer through.

        Of what is `approximate`, and of dynamics that were stopped, it is how far the play is
        from an equilibrium, which need not be near 0.
        """
        return float(np.nanmax(self.gains, initial=0.0))

    @property
    def gap(self) -> float:
        """How much better than `objective` an equilibrium of this kind could still be."""
        if self.objective is None or self.bound is None:
            return 0.0
        return max(self.bound - self.objective, 0.0)

    def __repr__(self) -> str:
        values = ", ".join(f"{v:.6g}" for v in self.values)
        worth_saying = self.gap > 1e-7 * (1.0 + abs(self.objective or 0.0))
        gap = f", within {self.gap:.3g} of the best" if worth_saying else ""
        near = ", approximate" if self.approximate else ""
        return (
            f"Equilibrium({self.concept} of {self.game} by {self.method}: values {values}, "
            f"regret {self.regret:.1e}{gap}{near})"
        )


def verified(equilibrium: Equilibrium, form: SequenceForm, tolerance: float) -> Equilibrium:
    """The same equilibrium, if no gain is above `tolerance` times the range of its own utilities.

    What the rounding of the game's own numbers may come to is allowed on top.

    Raises:
        Unverified: one is; the message says by how much.
    """
    units = Units.of(form)
    gains = equilibrium.gains / units.width
    excess = np.nan_to_num(gains - units.rounding, nan=0.0 if _exempt(equilibrium) else np.inf)
    if not excess.max(initial=0.0) <= tolerance:
        player = int(excess.argmax())
        raise Unverified(
            f"{equilibrium.game}: the answer of {equilibrium.method} is no equilibrium: player "
            f"{player} could gain {equilibrium.gains[player]:.2e}, which is {gains[player]:.2e} of "
            f"what is at stake for it, and {tolerance:.0e} was allowed"
        )
    return equilibrium


def _exempt(equilibrium: Equilibrium) -> bool:
    """Which players are not checked: a leader need not play a best response, its gain is NaN."""
    return equilibrium.concept == "stackelberg"


def require_two_players(form: SequenceForm, what: str) -> None:
    """Raises InputError unless there are two players."""
    if form.num_players != 2:
        raise InputError(f"{form.game} has {form.num_players} players; {what} is for two")


def is_constant_sum(form: SequenceForm) -> bool:
    """Whether there are two players whose utilities add up to the same at every leaf.

    A game in which they do so on average over chance only, a lottery that players can see being
    paid on top of a zero-sum game, does not count.
    """
    if form.num_players != 2:
        return False
    units = Units.of(form)
    total = utilities(form)[form.leaf_chance > 0].sum(axis=1)
    allowed = (1e-10 + units.rounding) @ units.width
    return bool(np.ptp(total) <= allowed)
