"""Empirical games: the payoffs of strategies against each other, exact or by play.

The table between a few strategies of a large game is a small game of its own, a meta-game, whose
equilibria and dynamics say which of the strategies would survive: Wellman, "Methods for empirical
game-theoretic analysis" (2006); Tuyls et al., "A generalised method for empirical game theoretic
analysis" (2018). If no payoff of the table is off by more than d, an equilibrium of the table is
one of the true meta-game up to a regret of 2 d.
"""

from __future__ import annotations

import itertools
import logging
import math
import signal
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from games import Game, InputError, NormalForm, SequenceForm, Strategy, load
from games.errors import one_line
from games.game import CHANCE, TERMINAL, State
from games.kernels import plans
from games.sequence_form import Float64

if TYPE_CHECKING:
    import pandas as pd

    from analysis.program import Progress

Policy = Any
"""A `Strategy`; or `policy(state, player)`, or an object with
`policy.action_probabilities(state, player)` as OpenSpiel's have, that gives {action: probability}
at a state of `game.root()`."""

BATCH = 200  # episodes that are played with one seed, between two looks at progress
Cell = tuple[int, ...]  # each player's choice


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
        from scipy.special import stdtrit

        freedom = np.maximum(self.episodes - 1, 1).astype(np.float64)
        return stdtrit(freedom, (1 + self.confidence) / 2)[..., None] * self.standard_errors

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
                f"{empty} of {self.episodes.size} combinations of strategies were not played; let "
                "the table be filled first"
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
        progress: see `analysis.program.Progress`; what was played when it stops is kept.

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
    table = _Table(game, names, policies, symmetric, seed)
    goal = _Goal(episodes, precision, max(episodes, most_episodes), confidence)
    played = _fill(table, goal, workers or 1, progress)
    shape = (*map(len, names), game.num_players)
    payoffs, errors = np.full(shape, np.nan), np.full(shape, np.nan)
    count = np.zeros(shape[:-1], np.int64)
    for cell, batches in played.items():
        sample = _pooled(batches)
        for at, order in _copies(cell, symmetric):
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
    starts = form.layout.players[:-1].astype(int)
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


class _Sample(NamedTuple):
    """Returns of one combination: how many, their means [N], their sums of squares about them."""

    episodes: int
    mean: Float64
    squares: Float64

    @property
    def standard_error(self) -> Float64:
        return np.sqrt(self.squares / (self.episodes - 1) / self.episodes)


def _pooled(batches: Mapping[int, _Sample]) -> _Sample:
    """All batches as one, in their order, so that the sums come out the same to the last bit."""
    parts = [batches[b] for b in sorted(batches)]
    count = np.array([part.episodes for part in parts], dtype=np.float64)
    means = np.array([part.mean for part in parts])
    mean = count @ means / count.sum()
    squares = np.sum([part.squares for part in parts], axis=0) + count @ (means - mean) ** 2
    return _Sample(int(count.sum()), mean, squares)


def _copies(cell: Cell, symmetric: bool) -> Iterator[tuple[Cell, list[int]]]:
    """The combinations that are this one with the players in another order, and that order."""
    orders = itertools.permutations(range(len(cell))) if symmetric else [tuple(range(len(cell)))]
    for order in orders:
        yield tuple(cell[i] for i in order), list(order)


class _Job(NamedTuple):
    cell: Cell
    batch: int
    episodes: int


@dataclass(frozen=True, eq=False)
class _Table:
    """What is played: all that another process needs to know."""

    game: Any  # a Game; or its name, if another process has to load it anew
    names: tuple[tuple[str, ...], ...]
    policies: tuple[tuple[Policy, ...], ...]
    symmetric: bool
    seed: int

    def cells(self) -> list[Cell]:
        every = np.ndindex(*map(len, self.names))
        return [c for c in every if not self.symmetric or list(c) == sorted(c)]

    def play(self, job: _Job) -> _Sample:
        number = int(np.ravel_multi_index(job.cell, tuple(map(len, self.names))))
        seeds = np.random.SeedSequence(self.seed, spawn_key=(number, job.batch))
        generator = np.random.default_rng(seeds)
        seats = [_Seat(self.names[i][k], self.policies[i][k]) for i, k in enumerate(job.cell)]
        returns = np.array(
            [_episode(self.game.root(), seats, generator) for _ in range(job.episodes)],
            dtype=np.float64,
        )
        for seat in seats:
            seat.require_known(self.game.name)
        if self.symmetric:  # players who do the same have the same expectation
            for k in set(job.cell):
                same = [i for i, own in enumerate(job.cell) if own == k]
                returns[:, same] = returns[:, same].mean(axis=1, keepdims=True)
        mean = returns.mean(axis=0)
        return _Sample(job.episodes, mean, ((returns - mean) ** 2).sum(axis=0))


class _Seat:
    """A player's policy during one batch."""

    def __init__(self, name: str, policy: Policy) -> None:
        self.name, self.policy = name, policy
        self.found = self.missed = 0
        self.of_state: Any = getattr(policy, "action_probabilities", policy)

    def probabilities(self, state: State, player: int) -> Mapping[int, float]:
        if not isinstance(self.policy, Strategy):
            return self.of_state(state, player)
        try:
            own = self.of_state(state.information_state_string(player), player)
        except KeyError:
            self.missed += 1
            legal = state.legal_actions()
            return dict.fromkeys(legal, 1.0 / len(legal))
        self.found += 1
        return own

    def require_known(self, game: str) -> None:
        if self.missed and not self.found:
            raise InputError(
                f"{self.name} is a strategy for {self.policy.game} that has none of the "
                f"information sets met in {game}: use it with its own game"
            )

    def draw(self, state: State, player: int, generator: np.random.Generator) -> int:
        own = self.probabilities(state, player)
        if not (min(own.values(), default=-1.0) >= 0 and abs(sum(own.values()) - 1) <= 1e-6):
            raise InputError(f"{self.name}: {_numbers(own)} are not probabilities that add up to 1")
        action = _draw(own.items(), generator)
        if action not in state.legal_actions():
            raise InputError(
                f"{self.name} chooses action {action}; legal for player {player} there are "
                f"{state.legal_actions()}"
            )
        return action


def _numbers(own: Mapping[int, float]) -> str:
    return one_line({action: float(p) for action, p in own.items()})


def _draw(weights: Any, generator: np.random.Generator) -> int:
    """A key of (key, probability) pairs whose probabilities add up to 1 but for rounding."""
    left = generator.random()
    for action, probability in weights:
        left -= probability
        if probability > 0:
            last = action
            if left < 0:
                break
    return last


def _episode(state: State, seats: list[_Seat], generator: np.random.Generator) -> list[float]:
    while (player := state.current_player()) != TERMINAL:
        if player == CHANCE:
            action = _draw(state.chance_outcomes(), generator)
        else:
            action = seats[player].draw(state, player, generator)
        state = state.child(action)
    return state.returns()


class _Goal(NamedTuple):
    """When a combination has been played often enough."""

    episodes: int
    precision: float | None
    most: int
    confidence: float

    def missing(self, batches: Mapping[int, _Sample]) -> int:
        """How many more episodes to play: at most as many again as there were so far."""
        from scipy.special import stdtrit

        if not batches:
            return self.episodes
        if self.precision is None:
            return 0
        sample = _pooled(batches)
        quantile = stdtrit(sample.episodes - 1, (1 + self.confidence) / 2)
        excess = quantile * sample.standard_error.max() / self.precision
        if excess <= 1:
            return 0
        growth = min(max(excess**2, 1.1), 2.0)  # a little more at least, not to creep
        wanted = min(math.ceil(sample.episodes * growth), self.most)
        return max(wanted - sample.episodes, 0)


def _fill(
    table: _Table, goal: _Goal, workers: int, progress: Progress | None
) -> dict[Cell, dict[int, _Sample]]:
    """Play in rounds: what a round plays depends on whole rounds before, not on who came first."""
    played: dict[Cell, dict[int, _Sample]] = defaultdict(dict)
    cells = table.cells()
    with _players(table, workers) as play:
        while jobs := [
            _Job(cell, len(played[cell]) + k, min(BATCH, missing - k * BATCH))
            for cell in cells
            for missing in [goal.missing(played[cell])]
            for k in range(-(-missing // BATCH))
        ]:
            jobs.sort(key=lambda job: job.batch)  # a table that is stopped early is filled evenly
            with closing(play(jobs)) as results:
                for done, (job, sample) in enumerate(results, start=1):
                    played[job.cell][job.batch] = sample
                    if progress is not None and progress(
                        f"{table.game.name}: {done:,} of {len(jobs):,} batches of episodes"
                    ):
                        return {cell: batches for cell, batches in played.items() if batches}
    return played


@contextmanager
def _players(table: _Table, workers: int) -> Iterator[Callable[[list[_Job]], Any]]:
    """A function that plays jobs, here or in Ray's processes."""
    if workers == 1:
        yield lambda jobs: ((job, table.play(job)) for job in jobs)
        return
    with _running_ray(workers) as ray:
        try:
            shared = ray.put(replace(table, game=_portable(table.game)))
        except Exception as error:  # whatever the pickling of a user's object raises
            raise _not_portable(error) from None
        remote = ray.remote(num_cpus=1, max_retries=3)(_play_remotely)
        yield lambda jobs: _in_parallel(ray, remote, shared, jobs, workers)


def _portable(game: Game) -> Game | str:
    """The game's name if that says all about it and the game itself may not survive pickling:
    Gambit's never does, and OpenSpiel's Python games are not registered in a new process."""
    from games.gambit import GambitGame

    by_name = isinstance(game, GambitGame) or getattr(game, "cacheable", False)
    return game.name if by_name else game


def _not_portable(error: Exception) -> InputError:
    return InputError(
        f"a game or strategy cannot be sent to other processes ({one_line(error)[:200]}): use "
        "workers=None"
    )


@contextmanager
def _running_ray(workers: int) -> Iterator[Any]:
    try:
        import ray
    except ImportError:
        raise InputError(
            "several workers need Ray: pip install -c constraints.txt 'schelling[parallel]'"
        ) from None
    if ray.is_initialized():
        yield ray
        return
    main = threading.current_thread() is threading.main_thread()
    terminate = signal.getsignal(signal.SIGTERM) if main else None
    ray.init(
        address="local", num_cpus=workers, include_dashboard=False, log_to_driver=False,
        logging_level=logging.ERROR, runtime_env={"env_vars": {"OMP_NUM_THREADS": "1"}},
    )  # fmt: skip
    try:
        if main:
            signal.signal(signal.SIGTERM, terminate)  # Ray puts a handler of its own there
        yield ray
    finally:
        ray.shutdown()


def _in_parallel(
    ray: Any, remote: Any, shared: Any, jobs: list[_Job], workers: int
) -> Iterator[tuple[_Job, _Sample]]:
    """Whoever stops listening leaves the batches that are running to end, and nobody looks at them:
    a task of Ray's that is cancelled by force can take the caller down with it."""
    waiting, size = iter(jobs), 1  # batches that go to a worker at once
    running: dict[Any, tuple[float, list[_Job]]] = {}
    while True:
        while len(running) < workers and (share := list(itertools.islice(waiting, size))):
            running[remote.remote([shared], share)] = time.monotonic(), share
        if not running:
            return
        (task,), _ = ray.wait(list(running))
        try:
            samples = ray.get(task)
        except ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, InputError):
                raise error.cause from None
            raise
        began, share = running.pop(task)
        yield from zip(share, samples, strict=True)
        quick = time.monotonic() - began < 0.2  # passing messages would be most of the work
        size = min(2 * size, 64) if quick else max(size // 2, 1)


_tables: dict[str, _Table] = {}


def _play_remotely(shared: list[Any], jobs: list[_Job]) -> list[_Sample]:
    """Runs in another process, which keeps the table between its jobs."""
    import ray

    (reference,) = shared
    key = reference.hex()
    if key not in _tables:
        try:
            table = ray.get(reference)
            game = load(table.game) if isinstance(table.game, str) else table.game
        except Exception as error:  # whatever a user's object raises when it is unpickled
            raise _not_portable(error) from None
        _tables.clear()
        _tables[key] = replace(table, game=game)
    return [_tables[key].play(job) for job in jobs]
