"""Bayesian games between a leader and a follower of unknown type."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from games.common.errors import InputError, one_line
from games.finite.game import CHANCE, NODE_BUDGET, TERMINAL
from games.finite.playable import Playable
from games.finite.sequence_form import Float64, SequenceForm, Treeplex


@dataclass(frozen=True, eq=False)
class BayesianGame(Playable):
    """A leader with A actions meets one of T types of a follower with B actions.

    Chance draws the type; the follower alone sees it, and does not see the leader's action (though
    it knows the mixture). The leader is player 0, the follower, of whatever type, player 1.

    Raises:
        InputError: shapes that do not fit together, a payoff that is not a finite number, or a
            prior that is not a distribution over types that all occur.
    """

    leader: Float64  # [T, A, B]  the leader's payoffs
    follower: Float64  # [T, A, B]
    prior: Float64  # [T]  probabilities of the types
    name: str = "bayesian"
    num_players: int = field(default=2, init=False)

    def __post_init__(self) -> None:
        for key in ("leader", "follower", "prior"):
            object.__setattr__(self, key, _numbers(getattr(self, key), f"{self.name}: {key}"))
        shape = self.leader.shape
        if self.follower.shape != shape or len(shape) != 3 or 0 in shape:
            raise InputError(
                f"{self.name}: payoffs of shapes {shape} and {self.follower.shape}: the leader and "
                "the follower need one array [types, leader's actions, follower's actions] each"
            )
        if self.prior.shape != shape[:1]:
            raise InputError(
                f"{self.name}: a prior of shape {self.prior.shape}: give {shape[0]} "
                "probabilities, one for each type"
            )
        if np.any(self.prior <= 0):
            at = int(np.argmax(self.prior <= 0))
            raise InputError(f"{self.name}: type {at} never occurs: leave it out")
        if abs(self.prior.sum() - 1.0) > 1e-9:
            raise InputError(
                f"{self.name}: the prior adds up to {self.prior.sum():.9g}: divide it by its sum"
            )

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> BayesianGame:
        """From an `.npz` file with the arrays `leader`, `follower` and `prior`.

        Raises:
            InputError: no such file, an array that is missing, or one that does not fit.
        """
        try:
            with np.load(path, allow_pickle=False) as stored:
                arrays: Mapping[str, np.ndarray] = {key: stored[key] for key in stored.files}
        except (
            OSError, ValueError, EOFError, AttributeError, TypeError, zipfile.BadZipFile,
            RuntimeError,
        ) as error:  # fmt: skip
            raise InputError(f"{path}: cannot be read as arrays ({one_line(error)})") from None
        missing = [key for key in ("leader", "follower", "prior") if key not in arrays]
        if missing:
            raise InputError(
                f"{path}: has no array {missing[0]!r}; leader, follower and prior are needed"
            )
        return cls(arrays["leader"], arrays["follower"], arrays["prior"], name=str(path))

    def root(self) -> BayesianState:
        """Chance draws the type, then the leader chooses, then the follower."""
        return BayesianState(self, ())

    def sequence_form(self, *, node_budget: int = NODE_BUDGET, cached: bool = True) -> SequenceForm:
        """One information set of the leader, one of the follower for each type."""
        return self._form

    @cached_property
    def _form(self) -> SequenceForm:
        types, rows, columns = self.leader.shape
        row, kind, column = np.indices((rows, types, columns)).reshape(3, -1)
        weight = self.prior[kind]
        utility = np.stack(
            [weight * self.leader[kind, row, column], weight * self.follower[kind, row, column]],
            axis=1,
        )
        sequence = np.stack([1 + row, 1 + kind * columns + column], axis=1)
        return SequenceForm(
            game=self.name,
            players=(_treeplex(["leader"], rows), _treeplex(_types(types), columns)),
            leaf_sequence=sequence.astype(np.int32),
            leaf_utility=utility,
            leaf_chance=weight,
            num_histories=1 + types * (1 + rows * (1 + columns)),
            num_terminals=types * rows * columns,
        )

    def __repr__(self) -> str:
        types, rows, columns = self.leader.shape
        return f"BayesianGame({self.name}: {types} types, {rows} x {columns})"


@dataclass(frozen=True)
class BayesianState:
    """A Bayesian game as a tree: see `games.finite.game.State`."""

    game: BayesianGame
    history: tuple[int, ...]  # type, leader's action, follower's action

    def current_player(self) -> int:
        return (CHANCE, 0, 1, TERMINAL)[len(self.history)]

    def chance_outcomes(self) -> list[tuple[int, float]]:
        return list(enumerate(self.game.prior.tolist()))

    def legal_actions(self) -> list[int]:
        return list(range(self.game.leader.shape[len(self.history)]))

    def child(self, action: int) -> BayesianState:
        return BayesianState(self.game, (*self.history, action))

    def information_state_string(self, player: int) -> str:
        return "leader" if player == 0 else f"type {self.history[0]}"

    def action_to_string(self, player: int, action: int) -> str:
        return f"type {action}" if player == CHANCE else str(action)

    def returns(self) -> list[float]:
        return [float(self.game.leader[self.history]), float(self.game.follower[self.history])]


def _numbers(given: Any, what: str) -> Float64:
    try:
        numbers = np.array(given, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(f"{what}: numbers are needed, in an array without gaps") from None
    if not np.all(np.isfinite(numbers)):
        at = tuple(np.argwhere(~np.isfinite(numbers))[0].tolist())
        raise InputError(f"{what}: the entry at {at} is not a finite number")
    return numbers


def _types(count: int) -> list[str]:
    return [f"type {t}" for t in range(count)]


def _treeplex(names: list[str], actions: int) -> Treeplex:
    """A player who chooses once, at one of several information sets."""
    ids = np.tile(np.arange(actions, dtype=np.int32), len(names))
    return Treeplex(
        information_sets=tuple(names),
        parent_sequence=np.zeros(len(names), np.int32),
        first_sequence=1 + actions * np.arange(len(names), dtype=np.int32),
        num_actions=np.full(len(names), actions, np.int32),
        actions=np.concatenate([np.array([-1], np.int32), ids]),
        labels=("", *map(str, ids.tolist())),
    )
