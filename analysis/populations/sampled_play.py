"""Many episodes of every combination of strategies, played here or by Ray's processes.

Episodes are played in batches, each with its own seed, and batches in rounds; so the numbers
do not depend on which process plays what, or when.
"""

from __future__ import annotations

import itertools
import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from games import Game, InputError, load
from games.common.errors import one_line
from games.common.progress import Progress
from games.common.workers import running_ray
from games.finite.sampling import Policy, Seat, sampled_returns
from games.finite.sequence_form import Float64

BATCH = 200  # episodes that are played with one seed, between two calls of progress
Cell = tuple[int, ...]  # each player's choice


class Sample(NamedTuple):
    """Returns of one combination, summed up."""

    episodes: int
    mean: Float64  # [N]
    squares: Float64  # [N]  sums of squares about the means

    @property
    def standard_error(self) -> Float64:
        """Of the means, [N]."""
        return np.sqrt(self.squares / (self.episodes - 1) / self.episodes)


def pooled(batches: Mapping[int, Sample]) -> Sample:
    """All batches as one, in their order, so that the sums come out the same to the last bit."""
    parts = [batches[b] for b in sorted(batches)]
    count = np.array([part.episodes for part in parts], dtype=np.float64)
    means = np.array([part.mean for part in parts])
    mean = count @ means / count.sum()
    squares = np.sum([part.squares for part in parts], axis=0) + count @ (means - mean) ** 2
    return Sample(int(count.sum()), mean, squares)


class Job(NamedTuple):
    """One batch of a combination, to be played in one go."""

    cell: Cell
    batch: int  # its number, from 0: it decides the seed
    episodes: int


@dataclass(frozen=True, eq=False)
class Table:
    """Everything that another process needs to play."""

    game: Any  # a Game; or its name, if another process has to load it again
    names: tuple[tuple[str, ...], ...]  # N tuples
    policies: tuple[tuple[Policy, ...], ...]  # N tuples, in the order of the names
    symmetric: bool  # combinations that differ by who plays what are played once
    seed: int

    def cells(self) -> list[Cell]:
        """The combinations that are played."""
        every = np.ndindex(*map(len, self.names))
        return [c for c in every if not self.symmetric or list(c) == sorted(c)]

    def copies(self, cell: Cell) -> Iterator[tuple[Cell, list[int]]]:
        """The combinations that are this one with the players in another order, and that order."""
        players = range(len(cell))
        for order in itertools.permutations(players) if self.symmetric else [tuple(players)]:
            yield tuple(cell[i] for i in order), list(order)

    def play(self, job: Job) -> Sample:
        """Play a batch, with its own seed.

        Raises:
            InputError: a strategy for another game, no probabilities, or an illegal action.
        """
        number = int(np.ravel_multi_index(job.cell, tuple(map(len, self.names))))
        seeds = np.random.SeedSequence(self.seed, spawn_key=(number, job.batch))
        generator = np.random.default_rng(seeds)
        seats = [Seat(self.names[i][k], self.policies[i][k]) for i, k in enumerate(job.cell)]
        returns = sampled_returns(self.game, seats, generator, job.episodes)
        for seat in seats:
            seat.require_known(self.game.name)
        if self.symmetric:  # players who do the same have the same expectation
            for k in set(job.cell):
                same = [i for i, own in enumerate(job.cell) if own == k]
                returns[:, same] = returns[:, same].mean(axis=1, keepdims=True)
        mean = returns.mean(axis=0)
        return Sample(job.episodes, mean, ((returns - mean) ** 2).sum(axis=0))


class Goal(NamedTuple):
    """When a combination has been played often enough."""

    episodes: int  # to begin with
    precision: float | None  # half-width of every interval; None is content with `episodes`
    most: int  # episodes
    confidence: float  # of the intervals

    def missing(self, batches: Mapping[int, Sample]) -> int:
        """How many more episodes to play: at most as many again as there were so far."""
        from games.common.intervals import errors_to_a_side

        if not batches:
            return self.episodes
        if self.precision is None:
            return 0
        sample = pooled(batches)
        quantile = errors_to_a_side(sample.episodes, self.confidence)
        excess = quantile * sample.standard_error.max() / self.precision
        if excess <= 1:
            return 0
        growth = min(max(excess**2, 1.1), 2.0)  # a little more at least, not to creep
        wanted = min(math.ceil(sample.episodes * growth), self.most)
        return max(wanted - sample.episodes, 0)


def fill(
    table: Table, goal: Goal, workers: int, progress: Progress | None
) -> dict[Cell, dict[int, Sample]]:
    """Samples of every combination, by number of batch; fewer if `progress` stopped play.

    In rounds: what a round plays depends on whole rounds before, not on who came first.

    Raises:
        InputError: see `Table.play`; Ray is missing, or strategies cannot be sent to its processes.
    """
    played: dict[Cell, dict[int, Sample]] = defaultdict(dict)
    cells = table.cells()
    with _players(table, workers) as play:
        while jobs := [
            Job(cell, len(played[cell]) + k, min(BATCH, missing - k * BATCH))
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
def _players(table: Table, workers: int) -> Iterator[Callable[[list[Job]], Any]]:
    """A function that plays jobs, here or in Ray's processes."""
    if workers == 1:
        yield lambda jobs: ((job, table.play(job)) for job in jobs)
        return
    with running_ray(workers) as ray:
        try:
            shared = ray.put(replace(table, game=_portable(table.game)))
        except Exception as error:  # whatever the pickling of a user's object raises
            raise _not_portable(error) from None
        remote = ray.remote(num_cpus=1, max_retries=3)(_play_remotely)
        yield lambda jobs: _in_parallel(ray, remote, shared, jobs, workers)


def _portable(game: Game) -> Game | str:
    """The game's name if that says all about it and the game itself may not survive pickling:
    Gambit's never does, and OpenSpiel's Python games are not registered in a new process."""
    from games.finite.gambit.reading import GambitGame

    by_name = isinstance(game, GambitGame) or getattr(game, "cacheable", False)
    return game.name if by_name else game


def _not_portable(error: Exception) -> InputError:
    return InputError(
        f"a game or strategy cannot be sent to other processes ({one_line(error)[:200]}): use "
        "workers=None"
    )


def _in_parallel(
    ray: Any, remote: Any, shared: Any, jobs: list[Job], workers: int
) -> Iterator[tuple[Job, Sample]]:
    """Play jobs in Ray. If the caller stops, running batches end and their results are dropped:
    a task of Ray's that is cancelled by force can take the caller down with it."""
    waiting, size = iter(jobs), 1  # batches that go to a worker at once
    running: dict[Any, tuple[float, list[Job]]] = {}
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


_tables: dict[str, Table] = {}


def _play_remotely(shared: list[Any], jobs: list[Job]) -> list[Sample]:
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
