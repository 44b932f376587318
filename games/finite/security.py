"""Security games: targets, guards, and an attacker, as games.

Kiekintveld et al., "Computing optimal randomized resource allocations for massive security games"
(2009), section 2.
"""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from games.common.errors import GameError, InputError
from games.finite.game import NODE_BUDGET
from games.finite.normal_form import PROFILE_BUDGET, NormalForm, TableState
from games.finite.playable import Playable
from games.finite.rows import read_rows
from games.finite.sequence_form import Float64, SequenceForm

COLUMNS = ("defender_covered", "defender_uncovered", "attacker_covered", "attacker_uncovered")


@dataclass(frozen=True, eq=False)
class SecurityGame(Playable):
    """Payoffs of an attack on each of T targets, when it is covered and when it is not.

    Raises:
        InputError: lengths that differ, a number that is not finite, coverage that harms the
            defender or helps the attacker, or resources that are not between 1 and T - 1.
    """

    targets: tuple[str, ...]  # T names
    defender_covered: Float64  # [T]
    defender_uncovered: Float64  # [T]  no better than covered
    attacker_covered: Float64  # [T]
    attacker_uncovered: Float64  # [T]  no worse than covered
    resources: int
    name: str = "security"

    def __post_init__(self) -> None:
        object.__setattr__(self, "targets", tuple(map(str, self.targets)))
        count = len(self.targets)
        if len(set(self.targets)) < count or count < 2:
            raise InputError(f"{self.name}: two targets or more are needed, of different names")
        for column in COLUMNS:
            object.__setattr__(self, column, self._numbers(column))
        self._require(self.defender_covered >= self.defender_uncovered, "defender", "harms")
        self._require(self.attacker_covered <= self.attacker_uncovered, "attacker", "helps")
        whole = isinstance(self.resources, int | np.integer) and self.resources is not True
        if not whole or not 0 < self.resources < count:
            raise InputError(
                f"{self.name}: {self.resources} resources for {count} targets: give a whole "
                f"number from 1 to {count - 1}"
            )

    @classmethod
    def read(
        cls, path: str | os.PathLike[str], resources: int, name: str | None = None
    ) -> SecurityGame:
        """From a `.csv` file with the columns target and the four payoffs, in any order.

        Raises:
            InputError: no such file, a column that is missing, or a cell that is no number.
        """
        return cls.from_rows(read_rows(Path(path)), path, resources=resources, name=name)

    @classmethod
    def from_rows(
        cls,
        rows: Sequence[Sequence[str]],
        path: str | os.PathLike[str],
        *,
        resources: int,
        name: str | None = None,
    ) -> SecurityGame:
        """From the rows of such a file, the header first; `path` is for messages."""
        header, *rest = rows or [[]]
        missing = [column for column in ("target", *COLUMNS) if column not in header]
        if missing:
            needed = ", ".join(("target", *COLUMNS))
            raise InputError(f"{path}: the header lacks {missing[0]}; it needs {needed}")
        table = {column: [row[at] for row in rest] for at, column in enumerate(header)}
        payoffs = {}
        for column in COLUMNS:
            try:
                payoffs[column] = np.array([float(cell) for cell in table[column]])
            except ValueError as error:
                raise InputError(f"{path}: column {column}: {error}") from None
        return cls(tuple(table["target"]), **payoffs, resources=resources, name=name or str(path))

    def defender_values(self, coverage: Float64) -> Float64:
        """The defender's payoffs [T] if each target is attacked, given its coverage [T]."""
        return coverage * self.defender_covered + (1 - coverage) * self.defender_uncovered

    def attacker_values(self, coverage: Float64) -> Float64:
        """The attacker's payoffs [T] for attacking each target, given the coverage [T]."""
        return coverage * self.attacker_covered + (1 - coverage) * self.attacker_uncovered

    def _numbers(self, column: str) -> Float64:
        try:
            numbers = np.array(getattr(self, column), dtype=np.float64)
        except (TypeError, ValueError):
            raise InputError(f"{self.name}: {column} needs a number for each target") from None
        if numbers.shape != (len(self.targets),):
            raise InputError(
                f"{self.name}: {column} has shape {numbers.shape}; it needs one number for each "
                f"of {len(self.targets)} targets"
            )
        if not np.all(np.isfinite(numbers)):
            target = self.targets[int(np.argmin(np.isfinite(numbers)))]
            raise InputError(f"{self.name}: {column} of {target!r} is not a finite number")
        return numbers

    def _require(self, right: np.ndarray, player: str, verb: str) -> None:
        if not right.all():
            target = self.targets[int(np.argmin(right))]
            raise InputError(
                f"{self.name}: covering {target!r} {verb} the {player}: swap {player}_covered and "
                f"{player}_uncovered, if they are mixed up"
            )

    @property
    def num_players(self) -> int:
        """The defender is player 0, the attacker player 1."""
        return 2

    @property
    def players(self) -> tuple[str, str]:
        """Their names, which Gambit's files carry."""
        return ("defender", "attacker")

    @cached_property
    def normal_form(self) -> NormalForm:
        """The matrix game: the defender's actions are all sets of `resources` targets.

        Raises:
            GameError: too many of them to lay out.
        """
        count = len(self.targets)
        number = math.comb(count, self.resources)
        if number * count * 2 > PROFILE_BUDGET:
            raise GameError(
                f"{self.name}: {number:,} allocations are too many for a table; use origami or "
                "eraser"
            )
        sets = list(itertools.combinations(range(count), self.resources))
        covered = np.zeros((number, count))
        covered[np.arange(number)[:, None], np.array(sets)] = 1.0
        return NormalForm.from_payoffs(
            self.defender_values(covered),
            self.attacker_values(covered),
            name=self.name,
            actions=[[" + ".join(self.targets[t] for t in s) for s in sets], self.targets],
            players=self.players,
        )

    def root(self) -> TableState:
        """The first node of the matrix game."""
        return self.normal_form.root()

    def sequence_form(self, *, node_budget: int = NODE_BUDGET, cached: bool = True) -> SequenceForm:
        """The sequence form of the matrix game."""
        return self.normal_form.form
