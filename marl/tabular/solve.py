"""One call for every method: iterate until a target, a number of iterations, or time."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import numpy as np
from pydantic import Field

from games import Game, InputError, SequenceForm, Strategy
from games.common.settings import Table, checked
from games.finite.kernels import respond
from games.finite.sampling import sampled_values
from games.finite.sequence_form import Float64
from marl.tabular.method import DEFAULT, Method, Solver, find

if TYPE_CHECKING:
    import pandas as pd

EVALUATIONS_PER_DECADE = 24
LONGEST_CHUNK = 0.1  # seconds between two chances to stop


class Evaluation(NamedTuple):
    """How far a solver has come."""

    iteration: int
    seconds: float  # of solving and evaluating, not of compiling the game
    nash_conv: float  # sum of the players' deviation gains; NaN where it was not computed


class Stop(Table):
    """When to stop: at the first of these that is reached."""

    iterations: Annotated[int, Field(ge=0)] = 1000
    """At most this many; also the horizon of methods that follow a schedule."""
    target: Annotated[float, Field(ge=0)] | None = None
    """Once NashConv is at most this."""
    seconds: Annotated[float, Field(ge=0)] | None = None
    """After this long (for each method, compiling the game not counted)."""


@dataclass(frozen=True, eq=False)
class Solution:
    """What a solver found. `values` [N] are expected utilities, exact unless sampled."""

    method: str
    strategy: Strategy
    values: Float64  # [N]
    evaluations: tuple[Evaluation, ...]
    values_standard_error: Float64 | None = None  # [N] where `values` were sampled

    @property
    def value(self) -> float:
        """The first player's expected utility: in a two-player zero-sum game, *the* value."""
        return float(self.values[0])

    @property
    def iterations(self) -> int:
        return self.evaluations[-1].iteration

    @property
    def seconds(self) -> float:
        return self.evaluations[-1].seconds

    @property
    def nash_conv(self) -> float:
        """Of `strategy`; NaN where the game is too large to enumerate."""
        return self.evaluations[-1].nash_conv

    @cached_property
    def history(self) -> pd.DataFrame:
        """One row an evaluation: iteration, seconds, nash_conv."""
        import pandas as pd

        return pd.DataFrame(list(self.evaluations), columns=list(Evaluation._fields))


def solve(
    game: SequenceForm | Game,
    method: str | Method = DEFAULT,
    *,
    iterations: int | None = None,
    target: float | None = None,
    seconds: float | None = None,
    seed: int = 0,
    callback: Callable[[Evaluation], object] | None = None,
    **options: Any,
) -> Solution:
    """Run a method on a game.

    Args:
        game: a sequence form; or a game, which a sampling method need not enumerate.
        method: a name of `list_methods()`, with its parameters as `options`, or a config.
        iterations: the most iterations (1000 if not given); also the horizon of scheduled methods.
        target: stop once NashConv is at most this, looked at about 24 times a decade.
        seconds: stop after this long.
        seed: of methods that sample.
        callback: called with every evaluation.

    Raises:
        InputError: an unknown method or option, or a negative limit.
        FloatingPointError: the method's numbers overflowed.
    """
    limits = {"iterations": iterations, "target": target, "seconds": seconds}
    given = {name: limit for name, limit in limits.items() if limit is not None}
    stop = checked(Stop, given, "stop")
    if options and not isinstance(method, str):
        raise InputError(f"{next(iter(options))}: parameters go into the config that was given")
    config = find(method, options) if isinstance(method, str) else method
    solver = config.start(game, iterations=max(stop.iterations, 1), seed=seed)
    history: list[Evaluation] = []
    for point in iterate(solver, stop):
        if point is not None:
            history.append(point)
            if callback is not None:
                callback(point)
    return conclude(solver, config.name, game, tuple(history), seed)


def iterate(solver: Solver, stop: Stop, seconds: float = 0.0) -> Iterator[Evaluation | None]:
    """Advance a solver; yields its evaluations, and None at pauses in between.

    There is a pause at least every 0.1 s (or iteration, if that takes longer), at which a consumer
    may leave, save the solver, and go on later. Where the pauses fall depends on the clock; what
    the solver computes and at which iterations it is evaluated does not. The last thing yielded is
    an evaluation.

    Args:
        solver: a new or restored solver; it is advanced in place.
        stop: when to end.
        seconds: time spent before this call.
    """
    solver.step(0)  # compiles the kernels, or reads them from numba's cache, off the clock
    nash_conv(solver)
    began = time.perf_counter() - seconds
    chunk = 1
    while True:
        ends = _ends(solver, stop, time.perf_counter() - began)
        due = ends or solver.iteration == _next_evaluation(solver.iteration - 1)
        if due:
            gap = nash_conv(solver)
            yield Evaluation(solver.iteration, time.perf_counter() - began, gap)
            if ends or (stop.target is not None and gap <= stop.target):
                return
        else:
            yield None
        goal = min(stop.iterations, _next_evaluation(solver.iteration))
        size = min(chunk, goal - solver.iteration)
        before = time.perf_counter()
        solver.step(size)
        took = max(time.perf_counter() - before, 1e-6)
        chunk = max(1, min(2 * chunk, int(size * LONGEST_CHUNK / took)))


def nash_conv(solver: Solver) -> float:
    """NashConv of a solver's answer as it stands; NaN where the game is not enumerated.

    Raises:
        FloatingPointError: it is not a number although the game is: the solver overflowed.
    """
    if solver.form is None:
        return math.nan
    behaviour = solver.strategy().behaviour(solver.form)
    _, response, current = respond(solver.form, behaviour)
    gap = float(np.sum(response - current))
    if not math.isfinite(gap):
        raise FloatingPointError(
            f"the method's numbers overflowed by iteration {solver.iteration:,}: choose milder "
            "parameters"
        )
    return gap


def conclude(
    solver: Solver,
    method: str,
    game: SequenceForm | Game,
    history: tuple[Evaluation, ...],
    seed: int,
) -> Solution:
    """The Solution of a solver that has stopped."""
    strategy = solver.strategy()
    if solver.form is not None:
        _, _, values = respond(solver.form, strategy.behaviour(solver.form))
        return Solution(method, strategy, values, history)
    assert isinstance(game, Game)
    values, error = sampled_values(game, strategy, np.random.default_rng(seed))
    return Solution(method, strategy, values, history, error)


def _ends(solver: Solver, stop: Stop, seconds: float) -> bool:
    out_of_time = stop.seconds is not None and seconds >= stop.seconds
    return solver.iteration >= stop.iterations or out_of_time


def _next_evaluation(iteration: int) -> int:
    """The first evaluation after `iteration`: a fixed grid, the same however a run was cut."""
    if iteration < 1:
        return iteration + 1
    exponent = math.floor(math.log10(iteration) * EVALUATIONS_PER_DECADE)
    while True:
        exponent += 1
        point = math.floor(10 ** (exponent / EVALUATIONS_PER_DECADE))
        if point > iteration:
            return point
