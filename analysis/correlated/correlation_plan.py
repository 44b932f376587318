"""The polytope of correlation plans of two players, and the deviations it can express.

von Stengel & Forges, "Extensive-form correlated equilibrium: definition and computational
complexity" (2008), sections 3 and 4. A correlation plan gives every relevant pair of sequences the
probability that both are recommended. Without chance moves the linear constraints describe exactly
the plans that some lottery over pure strategies has; with them they describe more, an outer bound.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from analysis.equilibria.zero_sum import best_value_rows
from games import SequenceForm
from games.common.programs import INFINITY, Program
from games.finite.sequence_form import Float64, Treeplex

if TYPE_CHECKING:
    import pandas as pd

INTERIOR_ABOVE = 5_000  # pairs, from which an interior point is far ahead of the simplex
Trigger = Literal["efce", "efcce", "nfcce"]
Entries = tuple[np.ndarray, np.ndarray, Any]  # (row, variable, factor) of a sparse matrix


@dataclass(frozen=True, eq=False)
class Pairs:
    """The P relevant pairs of sequences of a two-player game, and their number by pair.

    A pair is relevant if one of the two is empty or their information sets lie on one path.
    """

    form: SequenceForm
    first: np.ndarray  # [P]  the first player's sequence
    second: np.ndarray  # [P]
    connected: tuple[tuple[np.ndarray, ...], tuple[np.ndarray, ...]]
    """For each player, of each of its information sets, the other's sequences that go with it."""

    @classmethod
    def of(cls, form: SequenceForm) -> Pairs:
        """All relevant pairs, from the paths of the leaves."""
        above = [_sets_above(player) for player in form.players]
        meets: set[tuple[int, int]] = set()
        for s, t in form.leaf_sequence.tolist():
            meets.update((j, k) for j in above[0][s] for k in above[1][t])
        counts = [len(player.information_sets) for player in form.players]
        beside: list[list[list[int]]] = [[[] for _ in range(n)] for n in counts]
        for j, k in sorted(meets):
            beside[0][j].append(k)
            beside[1][k].append(j)

        def sequences(player: Treeplex, sets: list[int]) -> np.ndarray:
            own = [
                np.arange(
                    player.first_sequence[k], player.first_sequence[k] + player.num_actions[k]
                )
                for k in sets
            ]
            return np.concatenate([np.zeros(1, dtype=np.int64), *own])

        connected = (
            tuple(sequences(form.players[1], sets) for sets in beside[0]),
            tuple(sequences(form.players[0], sets) for sets in beside[1]),
        )
        one, two = form.players
        everything = np.arange(two.num_sequences)
        first, second = [np.zeros(two.num_sequences, np.int64)], [everything]
        for j, partners in enumerate(connected[0]):
            for s in range(one.first_sequence[j], one.first_sequence[j] + one.num_actions[j]):
                first.append(np.full(len(partners), s))
                second.append(partners)
        return cls(form, np.concatenate(first), np.concatenate(second), connected)

    @cached_property
    def _number(self) -> dict[int, int]:
        width = self.form.players[1].num_sequences
        return {key: k for k, key in enumerate((self.first * width + self.second).tolist())}

    def number(self, player: int, own: np.ndarray | int, other: np.ndarray | int) -> np.ndarray:
        """Numbers of the pairs of `player`'s sequences with the other's."""
        own, other = np.broadcast_arrays(own, other)
        s, t = (own, other) if player == 0 else (other, own)
        keys = s.astype(np.int64) * self.form.players[1].num_sequences + t
        return np.array([self._number[key] for key in keys.ravel().tolist()]).reshape(keys.shape)

    @cached_property
    def leaves(self) -> np.ndarray:
        """[L] the pair of every leaf."""
        return self.number(0, self.form.leaf_sequence[:, 0], self.form.leaf_sequence[:, 1])

    def __len__(self) -> int:
        return len(self.first)


@dataclass(frozen=True, eq=False)
class CorrelationPlan:
    """Correlated play of two players: how likely each relevant pair of sequences is recommended."""

    pairs: Pairs
    probability: Float64  # [P]

    @property
    def form(self) -> SequenceForm:
        return self.pairs.form

    @property
    def values(self) -> Float64:
        """Expected utilities [2] when both follow."""
        return self.probability[self.pairs.leaves] @ self.form.leaf_utility

    def violation(self) -> float:
        """By how much the constraints of `add_plan` are missed, the most of all."""
        worst = abs(self.probability[self.pairs.number(0, 0, 0)] - 1.0)
        worst = max(worst, float(-self.probability.min(initial=0.0)))
        for player, j, partners in _splits(self.pairs):
            own = self.form.players[player]
            first, count = own.first_sequence[j], own.num_actions[j]
            actions = np.arange(first, first + count)
            below = self.probability[self.pairs.number(player, actions[:, None], partners)].sum(0)
            above = self.probability[self.pairs.number(player, own.parent_sequence[j], partners)]
            worst = max(worst, float(np.abs(below - above).max(initial=0.0)))
        return float(worst)

    def gains(self, concept: Trigger) -> Float64:
        """The most that each player [2] gains by deviating, by a sweep over the plan itself.

        As in `analysis.correlated.deviations`: the best total over triggers of which none is below
        another.
        """
        players = enumerate(self.form.players)
        return np.array(
            [_best_total(own, _trigger_gains(self, i, concept), concept) for i, own in players]
        )

    def to_frame(self) -> pd.DataFrame:
        """One row a leaf that is reached: each player's last action, and its probability."""
        import pandas as pd

        reached = np.flatnonzero(self.probability[self.pairs.leaves] > 1e-9)
        columns: dict[str, Sequence[object] | np.ndarray] = {
            f"player {i}": [
                path(self.form.players[i], s) for s in self.form.leaf_sequence[reached, i]
            ]
            for i in range(2)
        }
        columns["probability"] = self.probability[self.pairs.leaves[reached]]
        return pd.DataFrame(columns)


def path(player: Treeplex, sequence: int) -> str:
    """A sequence by the names of its actions, from the first one on."""
    names = []
    while sequence:
        names.append(player.labels[sequence])
        owner = int(np.searchsorted(player.first_sequence, sequence, side="right")) - 1
        sequence = int(player.parent_sequence[owner])
    return ", ".join(reversed(names)) or "-"


def add_plan(program: Program, pairs: Pairs) -> np.ndarray:
    """Variables [P] that form a correlation plan."""
    xi = program.variables(len(pairs), upper=1.0)
    program.rows(1, [(0, xi[pairs.number(0, 0, 0)], 1.0)], lower=1.0, upper=1.0)
    for player, j, partners in _splits(pairs):
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

        def deviated(leaves: np.ndarray, told: int = trigger.told) -> Entries:
            other = form.leaf_sequence[leaves, 1 - player]
            return np.arange(len(leaves)), xi[pairs.number(player, told, other)], 1.0

        def followed(leaves: np.ndarray) -> Entries:
            return np.arange(len(leaves)), xi[pairs.leaves[leaves]], 1.0

        add_trigger(program, form, player, trigger, deviated, followed)


@dataclass(frozen=True, eq=False)
class TriggerPoint:
    """Where a deviation starts, and what it replaces.

    A trigger is a recommendation (j, a) for "efce", the arrival at j before it is seen for "efcce",
    the start for "nfcce". From there on the player goes its own way, against the others' play as
    far as it is correlated with what was recommended up to the trigger.
    """

    told: int  # the last sequence that had been recommended and followed
    treeplex: Treeplex  # the information sets that are played anew
    sequences: np.ndarray  # [S']  its sequences in the player's own numbers; -1 for none
    followed: np.ndarray  # the player's sequences there if it had followed


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
    leaves, place = _leaves_at(form, player, trigger.sequences)
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
    leaves, _ = _leaves_at(form, player, trigger.followed)
    leaf, variable, factor = followed(leaves)
    program.rows(1, [(0, value[0], -1.0), (0, variable, factor * paid[leaves][leaf])], lower=0.0)


def _leaves_at(
    form: SequenceForm, player: int, sequences: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The leaves that end at one of the player's `sequences` (sorted), and at which."""
    column = form.leaf_sequence[:, player]
    leaves = np.flatnonzero(np.isin(column, sequences))
    return leaves, np.searchsorted(sequences, column[leaves])


def _trigger_gains(plan: CorrelationPlan, player: int, concept: Trigger) -> list[float]:
    """What the best deviation at each trigger gains."""
    form, pairs, paid = plan.form, plan.pairs, plan.form.leaf_utility[:, player]
    gains = []
    for trigger in trigger_points(form, player, concept):
        leaves, place = _leaves_at(form, player, trigger.sequences)
        other = form.leaf_sequence[leaves, 1 - player]
        weight = plan.probability[pairs.number(player, trigger.told, other)]
        value = np.bincount(place, weight * paid[leaves], minlength=len(trigger.sequences))
        sub = trigger.treeplex
        for j in reversed(range(len(sub.information_sets))):
            first, count = sub.first_sequence[j], sub.num_actions[j]
            value[sub.parent_sequence[j]] += value[first : first + count].max()
        inside, _ = _leaves_at(form, player, trigger.followed)
        follow = plan.probability[pairs.leaves[inside]] @ paid[inside]
        gains.append(float(value[0] - follow))
    return gains


def _best_total(own: Treeplex, gains: list[float], concept: Trigger) -> float:
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
        recommended = range(first, first + count)
        if concept == "efce":
            found += [
                TriggerPoint(s, sub, sequences, np.array(sorted(follow_below[s])))
                for s in recommended
            ]
        else:
            inside = sorted(np.concatenate([follow_below[s] for s in recommended]))
            told = int(own.parent_sequence[j])
            found.append(TriggerPoint(told, sub, sequences, np.array(inside)))
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


def _splits(pairs: Pairs) -> list[tuple[int, int, np.ndarray]]:
    """(player, information set, the other's sequences): where a plan splits up."""
    return [
        (player, j, partners)
        for player in range(2)
        for j, partners in enumerate(pairs.connected[player])
    ]


def _sets_above(player: Treeplex) -> list[list[int]]:
    """The player's information sets on the way to each sequence, [S] lists."""
    above: list[list[int]] = [[] for _ in range(player.num_sequences)]
    rows = zip(player.parent_sequence, player.first_sequence, player.num_actions, strict=True)
    for j, (parent, first, count) in enumerate(rows):
        for s in range(first, first + count):
            above[s] = [*above[parent], j]
    return above
