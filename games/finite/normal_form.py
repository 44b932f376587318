"""The normal form: payoffs of every combination of pure strategies, as one dense tensor."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from games.common.errors import GameError, InputError
from games.finite.game import NODE_BUDGET, TERMINAL, Game, as_form
from games.finite.kernels import plans_to_behaviour
from games.finite.playable import Playable
from games.finite.reduced import (
    num_reduced,
    reduced_names,
    reduced_payoffs,
    reduced_plans,
    reduced_size,
)
from games.finite.sequence_form import Float64, SequenceForm, Treeplex
from games.finite.strategy import Strategy

LARGEST = 1e100  # of payoffs: products of their differences stay finite
PROFILE_BUDGET = 2_000_000
SAME = 1e-12  # payoffs that differ by less, relative to the largest one, count as equal


@dataclass(frozen=True, eq=False)
class NormalForm(Playable):
    """N players choose at once; strategy k of player i is called `actions[i][k]`.

    It is a game of its own (a matrix game), or the reduced normal form of a sequence form, in which
    a pure strategy chooses only where its own earlier choices lead. Either way `plans` says what
    each pure strategy does on `form`.
    """

    name: str
    payoffs: Float64  # [A1, ..., AN, N]
    actions: tuple[tuple[str, ...], ...]  # N tuples
    form: SequenceForm
    plans: tuple[Float64, ...]  # N arrays [Ai, Si]: realization plans of 0 and 1

    @property
    def num_players(self) -> int:
        return len(self.actions)

    @property
    def num_actions(self) -> tuple[int, ...]:
        return self.payoffs.shape[:-1]

    def sequence_form(self, *, node_budget: int = NODE_BUDGET, cached: bool = True) -> SequenceForm:
        """The game that the pure strategies play; for a matrix game, its own."""
        return self.form

    def root(self) -> TableState:
        """The players' choices in turn, each unseen by the next."""
        return TableState(self, ())

    def strategy(self, mixed: Sequence[ArrayLike]) -> Strategy:
        """The behaviour strategy of N mixed strategies [Ai] (by Kuhn's theorem)."""
        plan = np.concatenate([np.asarray(x) @ p for x, p in zip(mixed, self.plans, strict=True)])
        return Strategy.from_behaviour(self.form, plans_to_behaviour(self.form, plan))

    def mixed(self, strategy: Strategy) -> tuple[Float64, ...]:
        """A mixed strategy [Ai] of each player that plays like `strategy`.

        Every choice of a pure strategy is made on its own, as a behaviour strategy makes it.
        """
        behaviour = strategy.behaviour(self.form)
        starts = self.form.arrays.players.astype(int)
        return tuple(
            np.prod(np.where(p > 0, behaviour[starts[i] : starts[i] + p.shape[1]], 1.0), axis=1)
            for i, p in enumerate(self.plans)
        )

    def values(self, mixed: Sequence[ArrayLike]) -> Float64:
        """Expected payoffs [N] of N mixed strategies [Ai]."""
        expected = self.payoffs
        for x in mixed:
            expected = np.tensordot(np.asarray(x), expected, axes=1)
        return expected

    def against(self, mixed: Sequence[ArrayLike], player: int, free: Sequence[int] = ()) -> Float64:
        """Payoffs of a player's own pure strategies against the others' mixed strategies.

        Args:
            mixed: N mixed strategies [Ai]; those of `player` and of `free` are not looked at.
            player: whose payoffs.
            free: other players, in increasing order, who have not chosen yet.

        Returns:
            [Ai], or [Ai, Aj, ...] with an axis for each of the free players.
        """
        expected = self.payoffs[..., player]
        for j in reversed(range(self.num_players)):
            if j != player and j not in free:
                expected = np.tensordot(expected, np.asarray(mixed[j]), axes=(j, 0))
        return np.moveaxis(expected, sorted((player, *free)).index(player), 0)

    @property
    def is_symmetric(self) -> bool:
        """Whether exchanging players, with their strategies, exchanges their payoffs and no more.

        Strategies are matched by their numbers; rounding is forgiven.
        """
        if len(set(self.num_actions)) > 1:
            return False
        largest = max(float(np.abs(self.payoffs).max()), 1e-300)
        for i in range(1, self.num_players):  # the exchanges with player 0 generate all others
            order = list(range(self.num_players))
            order[0], order[i] = i, 0
            exchanged = np.swapaxes(self.payoffs, 0, i)[..., order]
            if np.abs(exchanged - self.payoffs).max() > SAME * largest:
                return False
        return True

    @classmethod
    def from_payoffs(
        cls,
        *payoffs: ArrayLike,
        name: str = "table",
        actions: Sequence[Sequence[str]] | None = None,
        players: Sequence[str] | None = None,
    ) -> NormalForm:
        """A matrix game.

        Args:
            payoffs: one tensor [A1, ..., AN, N]; or one array [A1, ..., AN] a player; or a single
                matrix [A1, A2], the payoffs to the first player of a zero-sum game.
            name: for messages.
            actions: names of the strategies of each player; their numbers if not given.
            players: names of the players; "player 0" and so on if not given.

        Raises:
            InputError: shapes that do not fit together, or a payoff that is not a finite number.
        """
        tensor = _tensor(payoffs)
        shape = tensor.shape[:-1]
        names = actions or [[str(k) for k in range(n)] for n in shape]
        if tuple(len(own) for own in names) != shape:
            raise InputError(f"{name}: the names of the strategies do not fit the shape {shape}")
        players = players or [f"player {i}" for i in range(len(shape))]
        if len(set(players)) < len(players) or len(players) != len(shape):
            raise InputError(f"{name}: {len(shape)} different names of players are needed")
        plans = tuple(np.hstack([np.ones((n, 1)), np.eye(n)]) for n in shape)
        form = SequenceForm(
            game=name,
            players=tuple(_one_choice(p, a) for p, a in zip(players, names, strict=True)),
            leaf_sequence=1 + np.indices(shape, np.int32).reshape(len(shape), -1).T.copy(),
            leaf_utility=tensor.reshape(-1, len(shape)).copy(),
            leaf_chance=np.ones(math.prod(shape)),
            num_histories=sum(math.prod(shape[:i]) for i in range(len(shape) + 1)),
            num_terminals=math.prod(shape),
        )
        return cls(name, tensor, tuple(map(tuple, names)), form, plans)

    @classmethod
    def reduced(cls, form: SequenceForm, *, budget: int = PROFILE_BUDGET) -> NormalForm:
        """The reduced normal form of a sequence form.

        Raises:
            GameError: more than `budget` numbers in the tensor or in the plans.
        """
        sizes = [num_reduced(p) for p in form.players]
        if reduced_size(form) > budget:
            raise GameError(
                f"{form.game}: its normal form has {' x '.join(map(_counted, sizes))} pure "
                f"strategies, more than can be laid out (at most {budget:,} numbers); choose a "
                "smaller game, or an equilibrium that is found on the sequence form"
            )
        pure = tuple(reduced_plans(p) for p in form.players)
        payoffs = np.empty((*sizes, form.num_players))
        for i in range(form.num_players):
            payoffs[..., i] = reduced_payoffs(form, pure, form.leaf_utility[:, i])
        return cls(form.game, payoffs, tuple(map(reduced_names, form.players, pure)), form, pure)

    def __repr__(self) -> str:
        shape = " x ".join(map(str, self.num_actions))
        return f"NormalForm({self.name}: {self.num_players} players, {shape})"


def as_normal_form(game: Game | SequenceForm, *, budget: int = PROFILE_BUDGET) -> NormalForm:
    """The game itself if it is a matrix game, else its reduced normal form.

    Raises:
        GameError: the normal form is too large.
    """
    return (
        game if isinstance(game, NormalForm) else NormalForm.reduced(as_form(game), budget=budget)
    )


@dataclass(frozen=True)
class TableState:
    """A matrix game as a tree: see `games.finite.game.State`."""

    game: NormalForm
    chosen: tuple[int, ...]

    def current_player(self) -> int:
        return len(self.chosen) if len(self.chosen) < self.game.num_players else TERMINAL

    def chance_outcomes(self) -> list[tuple[int, float]]:
        return []

    def legal_actions(self) -> list[int]:
        return list(range(self.game.num_actions[len(self.chosen)]))

    def child(self, action: int) -> TableState:
        return TableState(self.game, (*self.chosen, action))

    def information_state_string(self, player: int) -> str:
        return self.game.form.players[player].information_sets[0]

    def action_to_string(self, player: int, action: int) -> str:
        return self.game.actions[player][action]

    def returns(self) -> list[float]:
        return self.game.payoffs[self.chosen].tolist()


def _tensor(payoffs: Sequence[ArrayLike]) -> Float64:
    try:
        arrays = [np.asarray(a, dtype=np.float64) for a in payoffs]
    except (TypeError, ValueError):
        raise InputError("payoffs have to be numbers, in arrays without gaps") from None
    if not arrays:
        raise InputError("no payoffs were given")
    first = arrays[0]
    if len(arrays) > 1:
        if any(a.shape != first.shape for a in arrays) or first.ndim != len(arrays):
            shapes = ", ".join(str(a.shape) for a in arrays)
            raise InputError(
                f"payoffs of shapes {shapes}: {len(arrays)} players need {len(arrays)} arrays of "
                f"one shape with {len(arrays)} dimensions"
            )
        tensor = np.stack(arrays, axis=-1)
    elif first.ndim == 2:
        tensor = np.stack([first, -first], axis=-1)
    else:
        tensor = first
    if tensor.ndim < 2 or tensor.ndim - 1 != tensor.shape[-1] or 0 in tensor.shape:
        raise InputError(
            f"payoffs of shape {first.shape}: give a tensor [A1, ..., AN, N], an array "
            "[A1, ..., AN] for each of the N players, or one matrix of a zero-sum game"
        )
    if not np.all(np.isfinite(tensor)):
        at = np.argwhere(~np.isfinite(tensor))[0]
        raise InputError(
            f"the payoff to player {at[-1]} at {tuple(at[:-1].tolist())} is not a finite number"
        )
    if np.abs(tensor).max() > LARGEST:
        raise InputError(f"a payoff is larger than {LARGEST:g}: scale the payoffs down")
    return np.ascontiguousarray(tensor)


def _one_choice(name: str, labels: Sequence[str]) -> Treeplex:
    """The treeplex of a player who chooses once."""
    count = len(labels)
    return Treeplex(
        information_sets=(name,),
        parent_sequence=np.zeros(1, np.int32),
        first_sequence=np.ones(1, np.int32),
        num_actions=np.array([count], np.int32),
        actions=np.arange(-1, count, dtype=np.int32),
        labels=("", *labels),
    )


def _counted(number: int) -> str:
    """A number in full, or its order of magnitude if it is huge."""
    return f"{number:,}" if number < 10**9 else f"10^{len(str(number)) - 1}"
