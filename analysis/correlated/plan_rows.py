"""Rows of linear programs over correlation plans: what makes one, and what leaves no incentive.

von Stengel & Forges, "Extensive-form correlated equilibrium: definition and computational
complexity" (2008), sections 3 to 5.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from analysis.correlated.correlation_plan import Pairs, splits
from analysis.correlated.trigger_points import Trigger, TriggerPoint, leaves_at, trigger_points
from analysis.equilibria.treeplex_rows import best_value_rows
from games import SequenceForm
from games.common.programs import INFINITY, Program

INTERIOR_ABOVE = 5_000  # pairs, from which an interior point is far ahead of the simplex
Entries = tuple[np.ndarray, np.ndarray, Any]  # (row, variable, factor) of a sparse matrix


def add_plan(program: Program, pairs: Pairs) -> np.ndarray:
    """Variables [P] that form a correlation plan."""
    xi = program.variables(len(pairs), upper=1.0)
    program.rows(1, [(0, xi[pairs.number(0, 0, 0)], 1.0)], lower=1.0, upper=1.0)
    for player, j, partners in splits(pairs):
        own = pairs.form.players[player]
        row = np.arange(len(partners))
        first, count = own.first_sequence[j], own.num_actions[j]
        actions = np.arange(first, first + count)
        program.rows(
            len(partners),
            [
                (row[None, :], xi[pairs.number(player, actions[:, None], partners)], 1.0),
                (row, xi[pairs.number(player, own.parent_sequence[j], partners)], -1.0),
            ],
            lower=0.0,
            upper=0.0,
        )
    return xi


def add_incentives(
    program: Program, pairs: Pairs, xi: np.ndarray, player: int, concept: Trigger
) -> None:
    """Rows that leave `player` nothing to gain at any trigger."""
    form = pairs.form
    for trigger in trigger_points(form, player, concept):

        def deviated(leaves: np.ndarray, recommended: int = trigger.recommended) -> Entries:
            other = form.leaf_sequence[leaves, 1 - player]
            return np.arange(len(leaves)), xi[pairs.number(player, recommended, other)], 1.0

        def followed(leaves: np.ndarray) -> Entries:
            return np.arange(len(leaves)), xi[pairs.leaves[leaves]], 1.0

        add_trigger(program, form, player, trigger, deviated, followed)


def add_trigger(
    program: Program,
    form: SequenceForm,
    player: int,
    trigger: TriggerPoint,
    deviated: Callable[[np.ndarray], Entries],
    followed: Callable[[np.ndarray], Entries],
) -> None:
    """Rows that leave `player` nothing to gain at one trigger, by the dual of its deviation.

    Args:
        program: to add to.
        form: the game.
        player: whose deviation it is.
        trigger: one of `trigger_points`.
        deviated: of leaves [K] the entries (number of the leaf, variable, factor) that make up the
            probability that it is reached when the player has followed up to the trigger and plays
            towards the leaf from there.
        followed: the same when it follows all along.
    """
    paid = form.leaf_utility[:, player]
    value = program.variables(1 + len(trigger.treeplex.information_sets), lower=-INFINITY)
    leaves, place = leaves_at(form, player, trigger.sequences)
    leaf, variable, factor = deviated(leaves)
    # The value of each set is at least what every action brings, and of the whole at most what
    # following brings.
    program.rows(
        len(trigger.sequences),
        [
            *best_value_rows(trigger.treeplex, value),
            (place[leaf], variable, factor * paid[leaves][leaf]),
        ],
        upper=0.0,
    )
    leaves, _ = leaves_at(form, player, trigger.followed)
    leaf, variable, factor = followed(leaves)
    program.rows(1, [(0, value[0], -1.0), (0, variable, factor * paid[leaves][leaf])], lower=0.0)
