"""Optimal commitment against a follower of unknown type: Bayesian Stackelberg games.

Paruchuri et al., "Playing games for security: an efficient exact algorithm for solving Bayesian
Stackelberg games" (2008): DOBSS, one mixed-integer program over all types at once, which never
multiplies them out to one follower with an action for every plan (Harsanyi's transformation).
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import highspy
import numpy as np

from analysis.equilibrium import Equilibrium, verified
from analysis.program import Program, Progress, run
from analysis.stackelberg import upper_bounds
from games import NODE_BUDGET, InputError, SequenceForm, Strategy, Treeplex
from games.errors import one_line
from games.game import CHANCE, TERMINAL
from games.kernels import respond
from games.sequence_form import Float64

TINY = np.finfo(np.float64).tiny  # in place of a width of 0
TIE = 1e-12  # of the size of the payoffs: actions this close are equally good to a follower


@dataclass(frozen=True, eq=False)
class BayesianGame:
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
        return cls(arrays["leader"], arrays["follower"], arrays["prior"], name=Path(path).name)

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
            num_histories=1 + types * (1 + rows * (1 + columns)),
            num_terminals=types * rows * columns,
        )

    def __repr__(self) -> str:
        types, rows, columns = self.leader.shape
        return f"BayesianGame({self.name}: {types} types, {rows} x {columns})"


@dataclass(frozen=True)
class BayesianState:
    """A Bayesian game as a tree: see `games.game.State`."""

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


def bayesian_stackelberg(
    game: BayesianGame,
    *,
    seconds: float | None = None,
    tolerance: float = 1e-7,
    progress: Progress | None = None,
) -> Equilibrium:
    """The leader's best commitment when every type does its will among equally good actions.

    Variables are the mixture x [A], the type's choice q [T, B] of 0 and 1, and their product
    z [T, A, B]. DOBSS says by a large constant that the chosen action is a best response; here it
    is said on z, without one:

        sum over a of  (follower[t, a, b] - follower[t, a, b']) z[t, a, b]  >=  0

    for all t, b and b', which holds for b that are not chosen because their z is 0 (Casorrán et
    al., "A study of general and security Stackelberg game formulations", 2019). The relaxation is
    tighter, for a single type exact, and no tolerance is multiplied by a constant.

    Args:
        game: the types and their payoffs.
        seconds: when to stop; the best commitment by then is returned with its `bound`.
        tolerance: the largest gain of the follower, times the size of the payoffs.
        progress: told how far it is; stops the search by returning True.

    Returns:
        Equilibrium: `strategy` has the leader's mixture and each type's pure response; `gap` is
        above 0 only if the search was stopped; `facts` has the best "pure commitment".

    Raises:
        Unverified: the follower's choices are not best responses.
    """
    shift, scale = float(game.leader.min()), float(np.ptp(game.leader)) or 1.0
    mixed, plan = _pure(game)
    pure_value = _value(game, mixed, plan)
    model, x, q = _model(game, (game.leader - shift) / scale)
    _start_from(model, mixed, np.eye(game.leader.shape[2])[plan])
    bound = _bound(game)
    try:
        answer = run(model, seconds=seconds, progress=progress)
    except RuntimeError as stopped:  # before HiGHS had looked at the commitment it was given
        reason = one_line(stopped)
    else:
        bound, reason = min(bound, shift + scale * answer.bound), answer.reason
        found = np.maximum(answer.x[x], 0.0)
        mixed, plan = found / found.sum(), answer.x[q].argmax(axis=1)
    values, gains, strategy = _measured(game, mixed, plan)
    equilibrium = Equilibrium(
        concept="stackelberg",
        game=game.name,
        method="DOBSS, a mixed-integer program over all types",
        values=values,
        gains=gains,
        strategy=strategy,
        objective=float(values[0]),
        bound=max(bound, float(values[0])),
        facts={"pure commitment": pure_value, "search": reason},
    )
    return verified(equilibrium, game.sequence_form(), tolerance)


def _model(game: BayesianGame, leader: Float64) -> tuple[highspy.Highs, np.ndarray, np.ndarray]:
    """The program in HiGHS, and its variables x [A] and q [T, B]."""
    types, rows, columns = leader.shape
    program = Program()
    x = program.variables(rows, 0.0, 1.0)
    cost = game.prior[:, None, None] * leader
    z = program.variables(leader.size, 0.0, 1.0, cost.ravel()).reshape(leader.shape)
    q = program.variables(types * columns, 0.0, 1.0, integer=True).reshape(types, columns)
    program.rows(1, [(np.zeros(rows, int), x, 1.0)], 1.0, 1.0)
    program.rows(types, [(np.arange(types)[:, None], q, 1.0)], 1.0, 1.0)
    row = np.arange(types * rows).reshape(types, rows)  # z[t, a, :] adds up to x[a]
    program.rows(row.size, [(row[:, :, None], z, 1.0), (row, x, -1.0)], 0.0, 0.0)
    row = np.arange(types * columns).reshape(types, columns)  # z[t, :, b] adds up to q[t, b]
    program.rows(row.size, [(row[:, None, :], z, 1.0), (row, q, -1.0)], 0.0, 0.0)
    size = np.maximum(np.ptp(game.follower, axis=(1, 2)), TINY)[:, None, None]
    scaled = game.follower / size
    advantage = scaled[:, :, :, None] - scaled[:, :, None, :]  # [T, A, B, B]
    pair = np.arange(types * columns**2).reshape(types, 1, columns, columns)
    program.rows(pair.size, [(pair, z[:, :, :, None], advantage)], 0.0)
    return program.model(maximise=True), x, q


def _start_from(model: highspy.Highs, mixed: Float64, chosen: Float64) -> None:
    """Give HiGHS a mixture [A] and choices [T, B] to begin with, in `_model`'s order."""
    start = highspy.HighsSolution()
    product = mixed[None, :, None] * chosen[:, None, :]
    start.col_value = np.concatenate([mixed, product.ravel(), chosen.ravel()]).tolist()
    model.setSolution(start)


def _pure(game: BayesianGame) -> tuple[Float64, np.ndarray]:
    """The best commitment to one action: the leader's mixture [A] and the types' responses [T]."""
    size = np.abs(game.follower).max(axis=(1, 2), keepdims=True)
    best = game.follower >= game.follower.max(axis=2, keepdims=True) - TIE * size
    payoff = np.where(best, game.leader, -np.inf)
    action = int((game.prior @ payoff.max(axis=2)).argmax())
    return np.eye(game.leader.shape[1])[action], payoff[:, action].argmax(axis=1)


def _bound(game: BayesianGame) -> float:
    """No commitment is better: the sum of bounds for every type on its own."""
    size = np.maximum(np.ptp(game.follower, axis=(1, 2)), TINY)
    bounds = [
        upper_bounds(own, other / width).max()
        for own, other, width in zip(game.leader, game.follower, size, strict=True)
    ]
    return float(game.prior @ bounds)


def _value(game: BayesianGame, mixed: Float64, plan: np.ndarray) -> float:
    kinds = np.arange(len(plan))
    return float(game.prior @ game.leader[kinds, :, plan] @ mixed)


def _measured(
    game: BayesianGame, mixed: Float64, plan: np.ndarray
) -> tuple[Float64, Float64, Strategy]:
    """Values [2], the follower's gain and the strategy, on the game's sequence form."""
    form = game.sequence_form()
    chosen = np.eye(game.leader.shape[2])[plan]
    behaviour = np.concatenate([[1.0], mixed, [1.0], chosen.ravel()])
    _, best, values = respond(form, behaviour)
    return values, np.array([np.nan, best[1] - values[1]]), Strategy.from_behaviour(form, behaviour)


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
