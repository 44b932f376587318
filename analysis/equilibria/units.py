"""Normalised games: every player's utilities between 0 and 1.

Equilibria do not change when a player's utilities are shifted and scaled, but tolerances do: those
of the solvers are absolute. So they are given this form of the game, and answers are put back.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from games import NormalForm, SequenceForm
from games.finite.kernels import respond
from games.finite.sequence_form import Float64, utility_ranges

EXTREME = 1e6  # utilities this much larger or smaller than 1, or than their differences


@dataclass(frozen=True, eq=False)
class Units:
    """The normalised form of a game of N players, and the way back."""

    form: SequenceForm  # every player's utilities between 0 and 1
    lowest: Float64  # [N]  the least that each player can get
    spread: Float64  # [N]  how much more it can get
    width: Float64  # [N]  the same, but 1 for a player who always gets the same
    rounding: Float64  # [N]  what the rounding of the game's own numbers may come to in these units

    @classmethod
    def of(cls, form: SequenceForm) -> Units:
        lowest, spread = utility_ranges(form)
        width = np.where(spread > 0, spread, 1.0)
        unit = (form.leaf_utility - form.leaf_chance[:, None] * lowest) / width
        largest = np.maximum(np.abs(lowest), np.abs(lowest + width))
        rounding = 16 * np.finfo(np.float64).eps * largest / width
        return cls(replace(form, leaf_utility=unit), lowest, spread, width, rounding)

    @property
    def extreme(self) -> bool:
        """Whether the game's own numbers are too large, too small or too close for most solvers."""
        varies = self.spread > 0
        lowest, spread = np.abs(self.lowest[varies]), self.spread[varies]
        return bool(
            np.any(np.maximum(np.abs(self.lowest), self.spread) > EXTREME)
            or np.any(spread < 1 / EXTREME)
            or np.any(lowest > EXTREME * spread)
            or spread.max(initial=0.0) > EXTREME * spread.min(initial=np.inf)
        )

    def table(self, table: NormalForm) -> NormalForm:
        """A normal form of the game, in these units."""
        return replace(table, payoffs=(table.payoffs - self.lowest) / self.width, form=self.form)

    def values(self, values: Float64) -> Float64:
        """Expected utilities [N] in the game's own units."""
        return self.lowest + self.width * values

    def measured(self, behaviour: Float64) -> tuple[Float64, Float64]:
        """What each player [N] gets by a behaviour [S], and its best response's gain, in own units.

        Measured in these units: a difference of two large numbers would be lost in rounding.
        """
        _, best, current = respond(self.form, behaviour)
        return self.values(current), self.width * (best - current)
