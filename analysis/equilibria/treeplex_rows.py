"""Rows of linear programs over one player's treeplex: its realization plan, and the best value."""

from __future__ import annotations

import numpy as np

from games.common.programs import Program
from games.finite.sequence_form import Treeplex


def add_plan(program: Program, player: Treeplex, plan: np.ndarray) -> None:
    """The rows that make variables [S] a realization plan: the actions add up to their parent."""
    count = len(player.information_sets)
    program.rows(1, [(0, plan[0], 1.0)], lower=1.0, upper=1.0)
    if count:
        owner = np.repeat(np.arange(count), player.num_actions)
        program.rows(
            count,
            [(owner, plan[1:], 1.0), (np.arange(count), plan[player.parent_sequence], -1.0)],
            lower=0.0,
            upper=0.0,
        )


def best_value_rows(player: Treeplex, value: np.ndarray) -> list[tuple]:
    """Triples of a row a sequence: the values [J] that follow it, less the value of its own set.

    `value` [1 + J] holds the value of the whole first, then of each information set. A row's sum
    with the utility at the sequence itself is at least 0 (or at most, for one who maximises) where
    the values bound what the player can reach.
    """
    count = len(player.information_sets)
    owner = np.zeros(player.num_sequences, dtype=np.int64)
    owner[1:] = 1 + np.repeat(np.arange(count), player.num_actions)
    return [
        (np.arange(player.num_sequences), value[owner], -1.0),
        (player.parent_sequence, value[1:], 1.0),
    ]
