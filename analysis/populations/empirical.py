"""Empirical games: the payoffs of strategies against each other, exact or by play.

The table between a few strategies of a large game is itself a small game, a meta-game, whose
equilibria and dynamics say which of the strategies would survive: Wellman, "Methods for empirical
game-theoretic analysis" (2006); Tuyls et al., "A generalised method for empirical game theoretic
analysis" (2018). If no payoff of the table is off by more than d, an equilibrium of the table is
one of the true meta-game up to a regret of 2 d.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from analysis.populations.sampled_play import Goal, Table, fill, pooled
from games import Game, InputError, NormalForm, SequenceForm, Strategy
from games.common.progress import Progress
from games.finite.kernels import plans
from games.finite.sampling import Policy
from games.finite.sequence_form import Float64

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class EmpiricalGame:
    """Estimated payoffs of every combination of the players' strategies.

    Payoffs of combinations that were not played, since play was stopped, are NaN.
    """

    game: str
    actions: tuple[tuple[str, ...], ...]  # N tuples: the names of each player's strategies
    payoffs: Float64  # [A1, ..., AN, N]
    standard_errors: Float64  # [A1, ..., AN, N]; 0 where payoffs are exact
    episodes: NDArray[np.int64]  # [A1, ..., AN]; 0 where payoffs are exact
    confidence: float  # of each interval on its own, not of all together

    @cached_property
    def half_widths(self) -> Float64:
        """Of the intervals, [A1, ..., AN, N]: Student's, as the returns' spread is estimated."""
        from games.common.intervals import errors_to_a_side

        count = np.maximum(self.episodes, 2).astype(np.float64)
        return errors_to_a_side(count, self.confidence)[..., None] * self.standard_errors

    @property
    def intervals(self) -> Float64:
        """Confidence intervals, low and high, [A1, ..., AN, N, 2]."""
        return np.stack([self.payoffs - self.half_widths, self.payoffs + self.half_widths], axis=-1)

    @cached_property
    def normal_form(self) -> NormalForm:
        """The meta-game, for solvers and dynamics.

        Raises:
            InputError: play was stopped before every combination had its turn.
        """
        empty = int(np.isnan(self.payoffs).any(axis=-1).sum())
        if empty:
            raise InputError(
                f"{empty} of {self.episodes.size} combinations of strategies were not played; "
                "fill the table first"
            )
        return NormalForm.from_payoffs(
            self.payoffs, name=f"empirical {self.game}", actions=self.actions
        )

    def to_frame(self) -> pd.DataFrame:
        """One row a combination and player: the strategies, player, payoff, standard_error, low,
        high, episodes."""
        import pandas as pd

        *shape, players = self.payoffs.shape
        at = np.indices((*shape, players)).reshape(players + 1, -1)
        columns: dict[str, Any] = {
            f"strategy of player {i}": np.array(names, dtype=object)[at[i]]
            for i, names in enumerate(self.actions)
        }
        columns |= {
            "player": at[-1],
            "payoff": self.payoffs.ravel(),
            "standard_error": self.standard_errors.ravel(),
            "low": self.intervals[..., 0].ravel(),
            "high": self.intervals[..., 1].ravel(),
            "episodes": np.repeat(self.episodes.ravel(), players),
        }
        return pd.DataFrame(columns)

    def __repr__(self) -> str:
        shape = " x ".join(map(str, self.episodes.shape))
        widest = np.nanmax(self.half_widths, initial=0.0)
        return f"EmpiricalGame({self.game}: {shape}, payoffs within {widest:.3g})"


def empirical_game(
    game: Game | SequenceForm,
    strategies: Mapping[str, Policy] | Sequence[Mapping[str, Policy]],
    *,
    episodes: int = 1_000,
    precision: float | None = None,
    most_episodes: int = 1_000_000,
    symmetric: bool = False,
    confidence: float = 0.95,
    seed: int = 0,
    workers: int | None = None,
    progress: Progress | None = None,
) -> EmpiricalGame:
    """The table of payoffs between strategies.

    A sequence form gives exact payoffs, with no episodes. Any other game is played, from its root.
    A `Strategy` plays uniformly where it lacks an information set. The numbers depend on the seed
    and not on the workers: every 200 episodes of every combination have a seed of their own.

    Args:
        game: what is played. A sequence form takes strategies only, and no other policies.
        strategies: by name; one mapping for all players, or one for each.
        episodes: of each combination; at first, if `precision` is given.
        precision: play on until every interval's half-width is at most this. (The intervals of a
            table that was stopped by its own width are slightly too narrow, the less so the more
            episodes there were at first: Chow & Robbins 1965.)
        most_episodes: of each combination, when there is a precision to be reached.
        symmetric: the game is the same for all players, they share one mapping, and each strategy
            does the same in every seat: combinations that differ by who plays what are played
            once. With a sequence form this is checked.
        confidence: of each interval, between 0 and 1.
        seed: a whole number, 0 at least.
        workers: processes of Ray's to play in parallel; in this process if None or 1. A Ray that
            is running already is used and left running.
        progress: see `games.common.progress.Progress`; what was played when it stops is kept.

    Raises:
        InputError: a strategy for another game, probabilities that are none, an action that is not
            legal, a number out of range, Ray that is not installed, or strategies that cannot be
            sent to other processes.
    """
    for name, number, least in (
        ("episodes", episodes, 2), ("most_episodes", most_episodes, 2), ("seed", seed, 0),
        ("workers", 1 if workers is None else workers, 1),
    ):  # fmt: skip
        if number != int(number) or number < least:
            raise InputError(f"{name}={number}: a whole number, {least} at least, is needed")
    if not 0 < confidence < 1:
        raise InputError(f"confidence={confidence}: a number between 0 and 1 is needed")
    if precision is not None and not precision > 0:
        raise InputError(f"precision={precision}: a positive half-width is needed")
    by_player = _by_player(game, strategies, symmetric)
    names = tuple(tuple(own) for own in by_player)
    policies = tuple(tuple(own.values()) for own in by_player)
    if isinstance(game, SequenceForm):
        payoffs = _exact(game, names, policies, progress)
        if symmetric:
            _require_symmetric(game, payoffs)
        errors = np.where(np.isnan(payoffs), np.nan, 0.0)
        none = np.zeros(payoffs.shape[:-1], np.int64)
        return EmpiricalGame(game.game, names, payoffs, errors, none, confidence)
    table = Table(game, names, policies, symmetric, seed)
    goal = Goal(episodes, precision, max(episodes, most_episodes), confidence)
    played = fill(table, goal, workers or 1, progress)
    shape = (*map(len, names), game.num_players)
    payoffs, errors = np.full(shape, np.nan), np.full(shape, np.nan)
    count = np.zeros(shape[:-1], np.int64)
    for cell, batches in played.items():
        sample = pooled(batches)
        for at, order in table.copies(cell):
            payoffs[at], errors[at] = sample.mean[order], sample.standard_error[order]
            count[at] = sample.episodes
    return EmpiricalGame(game.name, names, payoffs, errors, count, confidence)


def _by_player(
    game: Game | SequenceForm, strategies: Any, symmetric: bool
) -> list[Mapping[str, Policy]]:
    if isinstance(strategies, Mapping):
        by_player = [strategies] * game.num_players
    elif symmetric:
        raise InputError("symmetric: give one mapping of strategies, which all players share")
    else:
        by_player = list(strategies)
    if len(by_player) != game.num_players or not all(isinstance(s, Mapping) for s in by_player):
        raise InputError(
            f"strategies: one mapping from names to strategies is needed, or {game.num_players}, "
            "one for each player"
        )
    if not all(by_player):
        raise InputError("strategies: every player needs one at least")
    for name, policy in itertools.chain.from_iterable(own.items() for own in by_player):
        known = isinstance(policy, Strategy)
        if isinstance(game, SequenceForm) and not known:
            raise InputError(
                f"{name}: a sequence form takes strategies (games.Strategy) only; give the game "
                "itself to play with other policies"
            )
        if not (known or callable(policy) or hasattr(policy, "action_probabilities")):
            raise InputError(
                f"{name}: neither a strategy, nor a function of state and player, nor an object "
                "with action_probabilities(state, player)"
            )
    return by_player


def _exact(
    form: SequenceForm, names: Any, policies: Sequence[Sequence[Strategy]], progress: Any
) -> Float64:
    """Payoffs [A1, ..., AN, N]: at every leaf the product of the players' plans."""
    starts = form.arrays.players[:-1].astype(int)
    known: dict[int, Float64] = {}
    for strategy in itertools.chain.from_iterable(policies):
        if id(strategy) not in known:
            known[id(strategy)] = plans(form, strategy.behaviour(form))
    reach = [
        np.array([known[id(s)][start + form.leaf_sequence[:, i]] for s in own])  # [Ai, L]
        for i, (own, start) in enumerate(zip(policies, starts, strict=True))
    ]
    payoffs = np.full((*map(len, names), form.num_players), np.nan)
    for cell in np.ndindex(payoffs.shape[:-2]):
        together = np.ones(len(form.leaf_utility))
        for own, k in zip(reach, cell, strict=False):
            together = together * own[k]
        payoffs[cell] = reach[-1] @ (together[:, None] * form.leaf_utility)
        if progress is not None and progress(f"{form.game}: combination {cell}"):
            break
    return payoffs


def _require_symmetric(form: SequenceForm, payoffs: Float64) -> None:
    for i in range(1, form.num_players):
        order = list(range(form.num_players))
        order[0], order[i] = i, 0
        difference = np.abs(np.swapaxes(payoffs, 0, i)[..., order] - payoffs)
        if np.nanmax(difference, initial=0.0) > 1e-9 * max(1.0, np.nanmax(np.abs(payoffs))):
            raise InputError(
                f"{form.game}: these payoffs change when players change places, so the game or a "
                "strategy is not the same for all of them; leave symmetric out"
            )
