"""What players of a matrix game gain by deviating from a lottery over profiles: a sparse matrix.

Aumann, "Subjectivity and correlation in randomized strategies" (1974); Moulin & Vial (1978) for the
coarse ones.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import numpy as np

from games import GameError, NormalForm
from games.common.programs import Program
from games.finite.sequence_form import Float64

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix


Concept = Literal["ce", "cce"]
MOST_INCENTIVES = 20_000_000  # numbers in the matrix of a program; it takes minutes with these


def swap_utilities(game: NormalForm, p: Float64, player: int) -> Float64:
    """[drawn, played]: utility, times the probability of the first, of playing the second."""
    drawn = np.moveaxis(p, player, 0).reshape(p.shape[player], -1)
    pay = np.moveaxis(game.payoffs[..., player], player, 0).reshape(p.shape[player], -1)
    return drawn @ pay.T


def num_incentives(game: NormalForm) -> int:
    """How many numbers `incentives` has."""
    return math.prod(game.num_actions) * sum(n - 1 for n in game.num_actions)


def incentives(game: NormalForm, concept: Concept) -> csr_matrix:
    """Rows [deviations, profiles]: what each deviation gains at each profile.

    Raises:
        GameError: they are too many.
    """
    from scipy.sparse import csr_matrix

    if num_incentives(game) > MOST_INCENTIVES:
        raise GameError(
            f"{game.name}: the incentives of {' x '.join(map(str, game.num_actions))} pure "
            f"strategies are {num_incentives(game):,} numbers, more than {MOST_INCENTIVES:,}; "
            "choose efce, efcce or nfcce, which are found on the sequence form"
        )
    number = np.arange(game.payoffs[..., 0].size).reshape(game.num_actions)
    rows, columns, values, total = [], [], [], 0
    for i, count in enumerate(game.num_actions):
        profile = np.moveaxis(number, i, 0).reshape(count, -1)  # [own action, the others']
        pay = np.moveaxis(game.payoffs[..., i], i, 0).reshape(count, -1)
        drawn, played = np.nonzero(~np.eye(count, dtype=bool))
        row = drawn * (count - 1) + played - (played > drawn) if concept == "ce" else played
        rows.append(np.repeat(total + row, pay.shape[1]))
        columns.append(profile[drawn].ravel())
        values.append((pay[played] - pay[drawn]).ravel())
        total += count * (count - 1) if concept == "ce" else count
    shape = (total, number.size)
    entries = np.concatenate(values)
    return csr_matrix((entries, (np.concatenate(rows), np.concatenate(columns))), shape=shape)


def add_incentives(program: Program, p: np.ndarray, rows: csr_matrix) -> None:
    """Hold the variables p [profiles] to what leaves no deviation of `incentives` a gain."""
    entries = rows.tocoo()
    program.rows(rows.shape[0], [(entries.row, p[entries.col], entries.data)], upper=0.0)
