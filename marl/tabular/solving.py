"""The loop that runs any tabular solver: its stopping rules, evaluations and solution."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, NamedTuple

import numpy as np
from pydantic import Field

from games import Game, SequenceForm, Strategy
from games.common.pace import Pace
from games.common.settings import Table
from games.finite.kernels import respond
from games.finite.sampling import sampled_values
from games.finite.sequence_form import Float64
from marl.tabular.method import Method, Solver

if TYPE_CHECKING:
    import pandas as pd


EVALUATIONS_PER_DECADE = 24


class Evaluation(NamedTuple):
    """The progress of a solver at one iteration."""

    iteration: int
    seconds: float  # of solving and evaluating, not of compiling the game
    nash_conv: float  # sum of the players' deviation gains; NaN where it was not computed


class Stop(Table):
    """Stopping rules: the first that is met ends the run."""

    iterations: Annotated[int, Field(ge=0)] = 1000
    """Most iterations; also the horizon of methods that follow a schedule."""
    target: Annotated[float, Field(ge=0)] | None = None
    """Stop once NashConv is at most this."""
    seconds: Annotated[float, Field(ge=0)] | None = None
    """Stop after so many seconds (per method, without compiling the game)."""


@dataclass(frozen=True, eq=False)
class Solution:
    """The result of a solver. `values` [N] are expected utilities, exact unless sampled."""

    method: str
    strategy: Strategy
    values: Float64  # [N]
    evaluations: tuple[Evaluation, ...]
    values_standard_error: Float64 | None = None  # [N] where `values` were sampled

    def __repr__(self) -> str:
        values = ", ".join(f"{v:.6g}" for v in self.values)
        return (
            f"Solution({self.method} on {self.strategy.game}: values {values}, NashConv "
            f"{self.nash_conv:.1e} after {self.iterations:,} iterations)"
        )

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
        """NashConv of `strategy`; NaN where the game is too large to enumerate."""
        return self.evaluations[-1].nash_conv

    @cached_property
    def history(self) -> pd.DataFrame:
        """The evaluations as a table: iteration, seconds, nash_conv."""
        import pandas as pd

        return pd.DataFrame(list(self.evaluations), columns=list(Evaluation._fields))


class Solving:
    """A running solver: iterating over it advances the solver until a stopping rule is met.

    There is a pause at least every 0.1 s (or iteration, if that takes longer): an evaluation where
    a new one is due, else None. At a pause a consumer may stop, save the solver, and continue later
    by iterating again. Where the pauses fall depends on the clock; what the solver computes and at
    which iterations it is evaluated does not.
    """

    def __init__(
        self, game: Game | SequenceForm, method: Method, stop: Stop, *, seed: int = 0
    ) -> None:
        """Start at iteration 0.

        Args:
            game: a sequence form; or a game, which a sampling method need not enumerate.
            method: the config; its schedule, if any, is as long as `stop` allows now.
            stop: stopping rules, which may be replaced at any pause.
            seed: of methods that sample.
        """
        self.game, self.method, self.stop, self.seed = game, method, stop, seed
        self.solver = method.start(game, iterations=max(stop.iterations, 1), seed=seed)
        self.history: list[Evaluation] = []
        self.seconds = 0.0  # of solving and evaluating; set with `history` where a run is resumed

    def __iter__(self) -> Iterator[Evaluation | None]:
        solver, pace = self.solver, Pace(self.solver.step)
        solver.step(0)  # compiles the kernels, or reads them from numba's cache, off the clock
        nash_conv(solver)
        began = time.perf_counter() - self.seconds
        while True:
            self.seconds = time.perf_counter() - began
            stop = self.stop
            ends = solver.iteration >= stop.iterations or self._late
            if ends or solver.iteration == _next_evaluation(solver.iteration - 1):
                gap = nash_conv(solver)
                self.seconds = time.perf_counter() - began
                yield self._noted(Evaluation(solver.iteration, self.seconds, gap))
                if ends or (stop.target is not None and gap <= stop.target):
                    return
            else:
                yield None
            goal = min(stop.iterations, _next_evaluation(solver.iteration))
            pace.take(goal - solver.iteration)

    @property
    def _late(self) -> bool:
        return self.stop.seconds is not None and self.seconds >= self.stop.seconds

    def _noted(self, point: Evaluation) -> Evaluation | None:
        """The evaluation, if it is new: a resumed run repeats its last one."""
        if self.history and self.history[-1].iteration >= point.iteration:
            return None
        self.history.append(point)
        return point

    def solution(self) -> Solution:
        """The solution so far; values are sampled where the game is not enumerated."""
        strategy, form = self.solver.strategy(), self.solver.form
        error = None
        if form is not None:
            _, _, values = respond(form, strategy.behaviour(form))
        else:
            assert isinstance(self.game, Game)
            rng = np.random.default_rng(self.seed)
            values, error = sampled_values(self.game, strategy, rng)
        return Solution(self.method.name, strategy, values, tuple(self.history), error)


def nash_conv(solver: Solver) -> float:
    """NashConv of a solver's present answer; NaN where the game is not enumerated.

    Raises:
        FloatingPointError: it is not finite although the game is: the solver overflowed.
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
