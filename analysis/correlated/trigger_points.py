"""Triggers: where in its treeplex a player may leave correlated play, and what it replaces.

Extensive-form correlated equilibria: von Stengel & Forges (2008); the coarse ones: Farina, Bianchi
& Sandholm, "Coarse correlation in extensive-form games" (2020).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from games import SequenceForm
from games.finite.sequence_form import Treeplex

Trigger = Literal["efce", "efcce", "nfcce"]


@dataclass(frozen=True, eq=False)
class TriggerPoint:
    """Where a deviation starts, and what it replaces.

    A trigger is a recommendation (j, a) for "efce", the arrival at j before it is seen for "efcce",
    the start for "nfcce". From there on the player goes its own way, against the others' play as
    far as it is correlated with what was recommended up to the trigger.
    """

    recommended: int  # the last sequence that was recommended and followed
    treeplex: Treeplex  # the information sets that are replayed
    sequences: np.ndarray  # [S']  its sequences in the player's own numbers; -1 for none
    followed: np.ndarray  # the player's sequences there if it had followed


def leaves_at(
    form: SequenceForm, player: int, sequences: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The leaves that end at one of the player's `sequences` (sorted), and at which."""
    column = form.leaf_sequence[:, player]
    leaves = np.flatnonzero(np.isin(column, sequences))
    return leaves, np.searchsorted(sequences, column[leaves])


def best_total(own: Treeplex, gains: list[float], concept: Trigger) -> float:
    """The largest sum of gains, a trigger ruling out those below it; one sweep up."""
    if concept == "nfcce":
        return max(gains[0], 0.0)
    below = np.zeros(own.num_sequences)  # the best total at triggers that follow each sequence
    for j in reversed(range(len(own.information_sets))):
        first, count = int(own.first_sequence[j]), int(own.num_actions[j])
        after = below[first : first + count]
        if concept == "efce":  # a trigger for each recommendation
            total = np.maximum(gains[first - 1 : first - 1 + count], after).sum()
        else:
            total = max(gains[j], after.sum())
        below[own.parent_sequence[j]] += total
    return max(float(below[0]), 0.0)


def trigger_points(form: SequenceForm, player: int, concept: Trigger) -> list[TriggerPoint]:
    """All triggers of a player."""
    own = form.players[player]
    sets = len(own.information_sets)
    below: list[list[int]] = [[j] for j in range(sets)]
    follow_below: list[list[int]] = [[s] for s in range(own.num_sequences)]
    owner = np.repeat(np.arange(sets), own.num_actions)
    for j in reversed(range(sets)):  # parents have smaller numbers
        first, count = int(own.first_sequence[j]), int(own.num_actions[j])
        parent = int(own.parent_sequence[j])
        for s in range(first, first + count):
            follow_below[parent] += follow_below[s]
        if parent:
            below[owner[parent - 1]] += below[j]
    if concept == "nfcce":
        whole = np.arange(own.num_sequences)
        return [TriggerPoint(0, own, whole, whole)]
    found = []
    for j in range(sets):
        sub, sequences = _subtree(own, np.array(sorted(below[j])))
        first, count = int(own.first_sequence[j]), int(own.num_actions[j])
        actions = range(first, first + count)
        if concept == "efce":
            found += [
                TriggerPoint(s, sub, sequences, np.array(sorted(follow_below[s]))) for s in actions
            ]
        else:
            inside = sorted(np.concatenate([follow_below[s] for s in actions]))
            above = int(own.parent_sequence[j])
            found.append(TriggerPoint(above, sub, sequences, np.array(inside)))
    return found


def _subtree(own: Treeplex, sets: np.ndarray) -> tuple[Treeplex, np.ndarray]:
    """The treeplex of an information set and those below it, and the sequences [S'] it stands for.

    Its empty sequence stands for none (-1): leaves at which the player has not got to the trigger
    are not the deviation's to change.
    """
    first, count = own.first_sequence[sets], own.num_actions[sets]
    inside = [np.arange(f, f + n) for f, n in zip(first, count, strict=True)]
    sequences = np.concatenate([[-1], *inside])
    parent = np.searchsorted(sequences, own.parent_sequence[sets])
    parent[0] = 0  # the first set is the trigger's own; whatever led to it lies outside
    return (
        Treeplex(
            information_sets=tuple(own.information_sets[j] for j in sets),
            parent_sequence=parent.astype(np.int32),
            first_sequence=(1 + np.cumsum(count) - count).astype(np.int32),
            num_actions=count,
            actions=np.concatenate([[-1], own.actions[sequences[1:]]]).astype(np.int32),
            labels=("", *(own.labels[s] for s in sequences[1:])),
        ),
        sequences,
    )
