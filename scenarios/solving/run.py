"""A run of kind `solve`: methods one after the other, each with its own checkpoint."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NoReturn

from games import Game, InputError, SequenceForm, Strategy, load
from marl.tabular import Evaluation, Method, Solution, Solving
from scenarios.interrupt import Interrupted
from scenarios.runs import Progress, Run
from scenarios.solving import store
from scenarios.solving.scenario import Scenario
from scenarios.store import STRATEGY

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Result:
    """The results of one method of a run."""

    label: str
    method: str
    game: str
    values: list[float]  # [N] expected utilities
    values_standard_error: list[float] | None  # [N] where the values were sampled
    nash_conv: float | None  # None where the game is too large to enumerate
    exploitability: float | None
    iterations: int
    seconds: float

    @classmethod
    def of(cls, label: str, game: str, solution: Solution) -> Result:
        gap = None if math.isnan(solution.nash_conv) else solution.nash_conv
        error = solution.values_standard_error
        return cls(
            label=label,
            method=solution.method,
            game=game,
            values=solution.values.tolist(),
            values_standard_error=None if error is None else error.tolist(),
            nash_conv=gap,
            exploitability=None if gap is None else gap / len(solution.values),
            iterations=solution.iterations,
            seconds=solution.seconds,
        )

    def to_json(self) -> dict[str, Any]:
        """The fields, and `value`: the first player's (*the* value of a zero-sum game)."""
        return {"value": self.values[0], **vars(self)}

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> Result:
        return cls(**{name: row[name] for name in cls.__dataclass_fields__})


@dataclass(frozen=True)
class SolvingRun(Run[Scenario, Result]):
    """A run of a scenario that solves; created and loaded by `scenarios.Run`.

    `execute` calls `progress` at every pause with label, iteration, last evaluation and seconds.
    """

    answers = (STRATEGY, "strategies/*.npz")

    @property
    def metrics(self) -> pd.DataFrame:
        """A row a method and evaluation: method, iteration, seconds, nash_conv."""
        import pandas as pd

        rows = [(k, *row) for k, v in store.read_metrics(self.path).items() for row in v]
        return pd.DataFrame(rows, columns=list(store.COLUMNS))

    @cached_property
    def game(self) -> Game:
        return load(self.scenario.game)

    @property
    def histories(self) -> dict[str, pd.DataFrame]:
        """Label to a table with a row an evaluation: iteration, seconds, nash_conv."""
        import pandas as pd

        found = store.read_metrics(self.path)
        return {k: pd.DataFrame(v, columns=list(Evaluation._fields)) for k, v in found.items()}

    @property
    def strategies(self) -> dict[str, Strategy]:
        """Label to strategy, of the methods that are done."""
        files = {k: store.strategy_file(self.path, self.scenario, k) for k in self.scenario.methods}
        return {label: Strategy.load(file) for label, file in files.items() if file.exists()}

    @property
    def strategy(self) -> Strategy:
        """The strategy of a run with one method; InputError if there are several, or none yet."""
        found = self.strategies
        if len(found) != 1:
            raise InputError(f"{self.path} has {len(found)} strategies: see `run.strategies`")
        return next(iter(found.values()))

    def policy(self, best: bool = False) -> NoReturn:
        """Raises InputError: methods that solve give strategies."""
        raise InputError(
            f"{self.path} solved a game and has no policy: see `schelling show {self.path}`"
        )

    @staticmethod
    def _row(row: dict[str, Any]) -> Result:
        return Result.from_json(row)

    def _begin(
        self,
        ready: Game | SequenceForm | None,
        stack: ExitStack,
        tell: Callable[[str], object],
    ) -> _Work:
        game = self.scenario.prepare() if ready is None else ready
        return _Work(self, game)

    def _draw(self, form: SequenceForm) -> None:
        from analysis.plots import base as plot

        plot.convergence(
            self.histories, title=self.scenario.game, target=self.scenario.stop.target
        ).savefig(self.path / "convergence.png", dpi=150)
        if self.scenario.method is not None:
            title = f"{self.scenario.game}, {self.scenario.method.name}"
            picture = plot.strategy(form, self.strategy, title=title)
            picture.savefig(self.path / "strategy.png", dpi=150)


class _Work:
    """All methods of a run."""

    def __init__(self, run: SolvingRun, game: Game | SequenceForm) -> None:
        methods = run.scenario.methods.items()
        self.path, self.game, self.draw = run.path, run.scenario.game, run._draw
        self.legs = [_Leg(run, label, method, game) for label, method in methods]

    def run(self, stopped: Callable[[], bool], progress: Progress | None) -> list[Result]:
        store.start_metrics(self.path, {leg.label: leg.history for leg in self.legs})
        results = []
        for leg in self.legs:
            results.append(Result.of(leg.label, self.game, leg.run(stopped, progress)))
        form = self.legs[0].solver.form
        if form is not None:
            self.draw(form)
        return results


class _Leg:
    """One method's part of a run."""

    def __init__(
        self, run: SolvingRun, label: str, method: Method, game: Game | SequenceForm
    ) -> None:
        scenario = run.scenario
        self.path, self.scenario, self.label, self.method = run.path, scenario, label, method
        horizon = scenario.stop.iterations if method.scheduled else None
        self.identity = repr(
            (scenario.game, method.name, method.model_dump(), scenario.seed, horizon)
        )
        self.solving = Solving(game, method, scenario.stop, seed=scenario.seed)
        self.solver = self.solving.solver
        self.solving.history, self.solving.seconds = store.load_checkpoint(
            run.path, label, self.identity, self.solver
        )

    @property
    def history(self) -> list[Evaluation]:
        return self.solving.history

    def run(self, stopped: Callable[[], bool], progress: Progress | None) -> Solution:
        path, scenario = self.path, self.scenario
        saved = 0.0
        for point in self.solving:
            if not saved:  # what came before the first point was compilation
                saved = time.perf_counter()
            if point is not None:
                store.append_metrics(path, self.label, point)
            if progress is not None:
                last = self.history[-1] if self.history else None
                progress(self.label, self.solver.iteration, last, self.solving.seconds)
            if stopped():
                self.save()
                raise Interrupted(
                    f"interrupted at iteration {self.solver.iteration:,} of {self.label} and "
                    f"saved; go on with: schelling resume {path}"
                )
            if time.perf_counter() - saved >= scenario.checkpoint.seconds:
                self.save()
                saved = time.perf_counter()
        self.save()
        solution = self.solving.solution()
        solution.strategy.save(store.strategy_file(path, scenario, self.label))
        return solution

    def save(self) -> None:
        store.save_checkpoint(
            self.path, self.label, self.identity, self.solver, self.history, self.solving.seconds
        )
