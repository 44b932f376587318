"""Strategy: behaviour probabilities at information sets, for exact analysis, tables and files."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from games.common.errors import InputError, one_line
from games.common.storage import pack_strings, read_arrays, unpack_strings, write_arrays
from games.finite.sequence_form import Float64, Int32, SequenceForm

if TYPE_CHECKING:
    import pandas as pd

UNKNOWN_PLAYER = -1


@dataclass(frozen=True, eq=False)
class Strategy:
    """Behaviour probabilities at J information sets with A actions in all.

    A strategy over a SequenceForm lists its information sets in the form's own order, player by
    player. One that a sampling method found in a game too large to enumerate lists those it
    visited, and `player` is -1, since OpenSpiel's solver keeps the strings only.
    """

    game: str
    player: Int32  # [J]
    information_sets: tuple[str, ...]  # J of them
    first_action: Int32  # [J + 1]  where each information set's actions begin
    actions: Int32  # [A]  the game's own action ids
    probabilities: Float64  # [A]

    @classmethod
    def from_behaviour(cls, form: SequenceForm, behaviour: Float64) -> Strategy:
        """From probabilities [S] over all players' sequences laid end to end."""
        player, first_action, actions, is_action = form.rows
        return cls(
            game=form.game,
            player=player,
            information_sets=form.information_sets,
            first_action=first_action,
            actions=actions,
            probabilities=behaviour[is_action],
        )

    @classmethod
    def uniform(cls, form: SequenceForm) -> Strategy:
        """Every legal action with equal probability."""
        return cls.from_behaviour(form, uniform_behaviour(form))

    @classmethod
    def random(cls, form: SequenceForm, generator: np.random.Generator) -> Strategy:
        """At every information set a point drawn uniformly from the simplex."""
        weight = generator.standard_exponential(form.arrays.num_sequences)
        return cls.from_behaviour(form, _normalised(form, weight))

    @classmethod
    def from_openspiel(cls, form: SequenceForm, policy: Any) -> Strategy:
        """From an OpenSpiel `TabularPolicy` of the same game, or of its turn-based form.

        Where OpenSpiel has no information-state strings: from
        `games.finite.openspiel.tabular_policy`.

        Raises:
            InputError: the policy does not cover an information set of the form.
        """
        behaviour = np.ones(form.arrays.num_sequences)
        start = 0
        for player in form.players:
            for j, name in enumerate(player.information_sets):
                row = policy.state_lookup.get(name)
                if row is None:
                    raise InputError(
                        f"the policy has no information set {name!r} of {form.game}: build it by "
                        "games.finite.openspiel.tabular_policy(game.openspiel), the turn-based "
                        "form of the game"
                    )
                first = int(player.first_sequence[j])
                legal = player.actions[first : first + int(player.num_actions[j])]
                behaviour[start + first : start + first + len(legal)] = (
                    policy.action_probability_array[row][legal]
                )
            start += player.num_sequences
        return cls.from_behaviour(form, behaviour)

    def to_openspiel(self, game: Any) -> Any:
        """An OpenSpiel `TabularPolicy` of `game`, the turn-based `pyspiel.Game` of this strategy.

        Raises:
            InputError: an information set of the strategy is not one of the game's.
        """
        from games.finite.openspiel import tabular_policy

        policy = tabular_policy(game)
        for j, name in enumerate(self.information_sets):
            row = policy.state_lookup.get(name)
            if row is None:
                raise InputError(
                    f"{game} has no information set {name!r}: this strategy is for {self.game}"
                )
            at = slice(self.first_action[j], self.first_action[j + 1])
            policy.action_probability_array[row] = 0.0
            policy.action_probability_array[row][self.actions[at]] = self.probabilities[at]
        return policy

    def behaviour(self, form: SequenceForm) -> Float64:
        """Probabilities [S] over the form's sequences; uniform where the strategy says nothing.

        Raises:
            InputError: the strategy has an information set or an action that the form lacks.
        """
        if self._lists_all_of(form):
            behaviour = np.ones(form.arrays.num_sequences)
            behaviour[form.rows[3]] = self.probabilities
            return behaviour
        behaviour = uniform_behaviour(form)
        own_sets = [(i, p, int(form.arrays.players[i])) for i, p in enumerate(form.players)]
        for j, name in enumerate(self.information_sets):
            at = slice(self.first_action[j], self.first_action[j + 1])
            holders = [
                (player, start)
                for i, player, start in own_sets
                if self.player[j] in (i, UNKNOWN_PLAYER) and name in player.index
            ]
            if len(holders) != 1:
                raise InputError(
                    f"information set {name!r} of this strategy for {self.game} is not one of "
                    f"{form.game}: use the strategy with its own game"
                )
            player, start = holders[0]
            number = player.index[name]
            first = int(player.first_sequence[number])
            legal = player.actions[first : first + int(player.num_actions[number])]
            order = np.argsort(self.actions[at], kind="stable")
            legal_order = np.argsort(legal, kind="stable")
            if not np.array_equal(self.actions[at][order], legal[legal_order]):
                raise InputError(
                    f"information set {name!r}: this strategy has actions "
                    f"{self.actions[at].tolist()}, {form.game} has {legal.tolist()}"
                )
            behaviour[start + first + legal_order] = self.probabilities[at][order]
        return behaviour

    def _lists_all_of(self, form: SequenceForm) -> bool:
        """Whether the rows are the form's own, in its order."""
        if self.actions is form.rows[2]:  # made by `from_behaviour` on this very form
            return True
        own = (self.player, self.first_action, self.actions)
        return self.information_sets == form.information_sets and all(
            np.array_equal(mine, theirs) for mine, theirs in zip(own, form.rows, strict=False)
        )

    def action_probabilities(self, information_set: str, player: int | None = None) -> dict:
        """{action id: probability} at one information set; KeyError if the strategy lacks it."""
        for j in self._rows.get(information_set, ()):
            if player is None or self.player[j] in (player, UNKNOWN_PLAYER):
                at = slice(self.first_action[j], self.first_action[j + 1])
                pairs = zip(self.actions[at].tolist(), self.probabilities[at].tolist(), strict=True)
                return dict(pairs)
        raise KeyError(information_set)

    @cached_property
    def _rows(self) -> dict[str, list[int]]:
        rows: dict[str, list[int]] = {}
        for j, name in enumerate(self.information_sets):
            rows.setdefault(name, []).append(j)
        return rows

    def to_frame(self) -> pd.DataFrame:
        """One row an action: player, information_set, action, probability."""
        import pandas as pd

        count = np.diff(self.first_action)
        return pd.DataFrame(
            {
                "player": np.repeat(self.player, count),
                "information_set": np.repeat(np.array(self.information_sets, dtype=object), count),
                "action": self.actions,
                "probability": self.probabilities,
            }
        )

    @classmethod
    def from_frame(cls, game: str, frame: pd.DataFrame) -> Strategy:
        """From the rows of `to_frame`; the rows of one information set have to be adjacent."""
        needed = ["player", "information_set", "action", "probability"]
        missing = [column for column in needed if column not in frame]
        if missing:
            raise InputError(f"the table lacks the column {missing[0]}; it needs {needed}")
        player = frame["player"].to_numpy(dtype=np.int32)
        names = frame["information_set"].to_numpy(dtype=object)
        new = np.concatenate([[True], (player[1:] != player[:-1]) | (names[1:] != names[:-1])])
        starts = np.flatnonzero(new[: len(frame)])
        strategy = cls(
            game=game,
            player=player[starts],
            information_sets=tuple(names[starts]),
            first_action=np.append(starts, len(frame)).astype(np.int32),
            actions=frame["action"].to_numpy(dtype=np.int32),
            probabilities=frame["probability"].to_numpy(dtype=np.float64),
        )
        strategy.check()
        return strategy

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the strategy to an `.npz` file, whole or not at all."""
        write_arrays(
            Path(path),
            {
                "game": np.array(self.game),
                "player": self.player,
                "information_sets": pack_strings(self.information_sets),
                "first_action": self.first_action,
                "actions": self.actions,
                "probabilities": self.probabilities,
            },
        )

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Strategy:
        """Read a strategy that `save` wrote.

        Raises:
            InputError: the file is missing, damaged, or no strategy.
        """
        arrays = read_arrays(Path(path))
        try:
            strategy = cls(
                game=str(arrays["game"]),
                player=arrays["player"],
                information_sets=tuple(unpack_strings(arrays["information_sets"])),
                first_action=arrays["first_action"],
                actions=arrays["actions"],
                probabilities=arrays["probabilities"],
            )
            strategy.check()
        except (KeyError, ValueError) as error:
            raise InputError(f"{path} is not a saved strategy ({one_line(error)})") from None
        return strategy

    def check(self) -> None:
        """Raises InputError unless every information set has a probability distribution."""
        if len(self.first_action) != len(self.information_sets) + 1:
            raise InputError("the strategy's arrays do not fit together")
        if not len(self.actions):
            return
        keys = list(zip(self.player.tolist(), self.information_sets, strict=True))
        if len(set(keys)) < len(keys):
            twice = next(name for (_, name), n in Counter(keys).items() if n > 1)
            raise InputError(f"information set {twice!r} is given more than once")
        total = np.add.reduceat(self.probabilities, self.first_action[:-1])
        bad = np.flatnonzero(~(np.abs(total - 1.0) <= 1e-6))
        if len(bad) or np.any(self.probabilities < 0):
            at = int(bad[0]) if len(bad) else 0
            raise InputError(
                f"the probabilities at information set {self.information_sets[at]!r} are not a "
                f"distribution (sum {total[at]:g})"
            )


def uniform_behaviour(form: SequenceForm) -> Float64:
    """Equal probabilities at every information set, [S] over all players' sequences."""
    return _normalised(form, np.ones(form.arrays.num_sequences))


def _normalised(form: SequenceForm, weight: Float64) -> Float64:
    behaviour = np.ones_like(weight)
    for player, start in zip(form.players, form.arrays.players.astype(int), strict=False):
        own = weight[start + 1 : start + player.num_sequences]
        if len(own):
            total = np.add.reduceat(own, player.first_sequence - 1)
            behaviour[start + 1 : start + len(own) + 1] = own / np.repeat(total, player.num_actions)
    return behaviour
