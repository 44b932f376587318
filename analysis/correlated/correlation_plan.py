"""Correlation plans of two players: how likely each pair of sequences is recommended.

von Stengel & Forges, "Extensive-form correlated equilibrium: definition and computational
complexity" (2008), sections 3 and 4. A correlation plan gives every relevant pair of sequences the
probability that both are recommended. Without chance moves the linear constraints describe exactly
the plans that some lottery over pure strategies has; with them they describe more, an outer bound.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from analysis.correlated.trigger_points import Trigger, best_total, leaves_at, trigger_points
from games import SequenceForm
from games.finite.sequence_form import Float64, Treeplex

if TYPE_CHECKING:
    import pandas as pd


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
        """Expected utilities [2] when both players follow."""
        return self.probability[self.pairs.leaves] @ self.form.leaf_utility

    def violation(self) -> float:
        """The largest violation of the constraints of a correlation plan."""
        worst = abs(self.probability[self.pairs.number(0, 0, 0)] - 1.0)
        worst = max(worst, float(-self.probability.min(initial=0.0)))
        for player, j, partners in splits(self.pairs):
            own = self.form.players[player]
            first, count = own.first_sequence[j], own.num_actions[j]
            actions = np.arange(first, first + count)
            below = self.probability[self.pairs.number(player, actions[:, None], partners)].sum(0)
            above = self.probability[self.pairs.number(player, own.parent_sequence[j], partners)]
            worst = max(worst, float(np.abs(below - above).max(initial=0.0)))
        return float(worst)

    def gains(self, concept: Trigger) -> Float64:
        """The most that each player [2] gains by deviating, by a sweep over the plan itself.

        As in `analysis.correlated.deviations`: the best total over triggers none of which is below
        another.
        """
        players = enumerate(self.form.players)
        return np.array(
            [best_total(own, _trigger_gains(self, i, concept), concept) for i, own in players]
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


def _trigger_gains(plan: CorrelationPlan, player: int, concept: Trigger) -> list[float]:
    """The gain of the best deviation at each trigger."""
    form, pairs, paid = plan.form, plan.pairs, plan.form.leaf_utility[:, player]
    gains = []
    for trigger in trigger_points(form, player, concept):
        leaves, place = leaves_at(form, player, trigger.sequences)
        other = form.leaf_sequence[leaves, 1 - player]
        weight = plan.probability[pairs.number(player, trigger.recommended, other)]
        value = np.bincount(place, weight * paid[leaves], minlength=len(trigger.sequences))
        sub = trigger.treeplex
        for j in reversed(range(len(sub.information_sets))):
            first, count = sub.first_sequence[j], sub.num_actions[j]
            value[sub.parent_sequence[j]] += value[first : first + count].max()
        inside, _ = leaves_at(form, player, trigger.followed)
        follow = plan.probability[pairs.leaves[inside]] @ paid[inside]
        gains.append(float(value[0] - follow))
    return gains


def splits(pairs: Pairs) -> list[tuple[int, int, np.ndarray]]:
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
