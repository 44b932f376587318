"""A run: a scenario carried out in its own directory, and picked up again from there."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from games import Game, InputError, SequenceForm, Strategy, load
from marl.tabular import Evaluation, Method, Solution, iterate
from marl.tabular.solve import conclude
from scenarios import store
from scenarios.interrupt import Interrupted, stop_signals
from scenarios.solving.scenario import Experiment, Scenario

if TYPE_CHECKING:
    import pandas as pd

    from scenarios.training.run import TrainingRun

Progress = Callable[[str, int, Evaluation | None, float], None]  # label, iteration, last, seconds


@dataclass(frozen=True)
class Result:
    """One method's row of the table that a run ends with."""

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
        """The fields, and `value`: the first player's, which in a zero-sum game says it all."""
        return {"value": self.values[0], **vars(self)}

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> Result:
        return cls(**{name: row[name] for name in cls.__dataclass_fields__})


@dataclass(frozen=True)
class Run:
    """A run directory. `Run.load(path)` rebuilds all that the run found."""

    path: Path
    scenario: Scenario

    @staticmethod
    def create(
        scenario: Experiment, path: str | os.PathLike[str] | None = None
    ) -> Run | TrainingRun:
        """A new run directory of the scenario's kind; `runs/NAME-1` and so on if no path is given.

        Raises:
            InputError: something is there already, or the folder cannot be written to.
        """
        where = store.free_path(Path("runs"), scenario.name) if path is None else Path(path)
        store.create(where, scenario)
        return Run.of(where, scenario)

    @staticmethod
    def load(path: str | os.PathLike[str]) -> Run | TrainingRun:
        """An existing run, of its scenario's kind; InputError if there is none."""
        return Run.of(Path(path), store.read_scenario(Path(path)))

    @staticmethod
    def of(path: Path, scenario: Experiment) -> Run | TrainingRun:
        """The run of a scenario in a folder that is there."""
        if isinstance(scenario, Scenario):
            return Run(path, scenario)
        from scenarios.training.run import TrainingRun

        return TrainingRun(path, scenario)  # type: ignore[arg-type]

    @property
    def finished(self) -> bool:
        return self.results is not None

    @property
    def results(self) -> list[Result] | None:
        """The rows of the last table, or None while the run is not done."""
        return store.read_result(self.path, Result.from_json)

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

    def execute(
        self, game: Game | SequenceForm | None = None, progress: Progress | None = None
    ) -> list[Result]:
        """Carry the scenario out, or go on from the last checkpoint; ends with files and pictures.

        Args:
            game: `scenario.prepare()`, if that was done already.
            progress: called at every pause with label, iteration, last evaluation and seconds.

        Raises:
            Interrupted: by SIGINT or SIGTERM, after a checkpoint.
            InputError: a checkpoint that is damaged or does not fit, or a run that another process
                is working on.
        """
        game = self.scenario.prepare() if game is None else game
        with store.locked(self.path):
            store.remove_leftovers(self.path)
            # Every checkpoint is read before anything is touched: a bad one costs nothing.
            methods = self.scenario.methods.items()
            legs = [_Leg(self, label, method, game) for label, method in methods]
            store.write_scenario(self.path, self.scenario)  # its limits may be new
            store.remove_answers(self.path)
            store.start_metrics(self.path, {leg.label: leg.history for leg in legs})
            results = []
            with stop_signals() as stopped:
                for leg in legs:
                    solution = leg.run(stopped, progress)
                    results.append(Result.of(leg.label, self.scenario.game, solution))
                form = legs[0].solver.form
                if form is not None:
                    self._draw(form)
                store.write_result(self.path, [result.to_json() for result in results])
        return results

    def _draw(self, form: SequenceForm) -> None:
        from analysis.plots import base as plot

        plot.convergence(
            self.histories, title=self.scenario.game, target=self.scenario.stop.target
        ).savefig(self.path / "convergence.png", dpi=150)
        if self.scenario.method is not None:
            title = f"{self.scenario.game}, {self.scenario.method.name}"
            picture = plot.strategy(form, self.strategy, title=title)
            picture.savefig(self.path / "strategy.png", dpi=150)


class _Leg:
    """One method's part of a run."""

    def __init__(self, run: Run, label: str, method: Method, game: Game | SequenceForm) -> None:
        scenario = run.scenario
        self.path, self.scenario, self.label, self.method = run.path, scenario, label, method
        self.game = game
        horizon = scenario.stop.iterations if method.scheduled else None
        self.identity = repr(
            (scenario.game, method.name, method.model_dump(), scenario.seed, horizon)
        )
        self.solver = method.start(
            game, iterations=max(scenario.stop.iterations, 1), seed=scenario.seed
        )
        self.history, self.seconds = store.load_checkpoint(
            run.path, label, self.identity, self.solver
        )

    def run(self, stopped: Callable[[], bool], progress: Progress | None) -> Solution:
        path, scenario = self.path, self.scenario
        began = saved = 0.0
        spent = self.seconds
        for point in iterate(self.solver, scenario.stop, spent):
            if not began:  # what came before the first point was compilation
                began = saved = time.perf_counter()
            self.seconds = spent + time.perf_counter() - began
            new = point is not None and (
                not self.history or self.history[-1].iteration < point.iteration
            )
            if new and point is not None:
                self.history.append(point)
                store.append_metrics(path, self.label, point)
            if progress is not None:
                last = self.history[-1] if self.history else None
                progress(self.label, self.solver.iteration, last, self.seconds)
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
        solution = conclude(
            self.solver, self.method.name, self.game, tuple(self.history), scenario.seed
        )
        solution.strategy.save(store.strategy_file(path, scenario, self.label))
        return solution

    def save(self) -> None:
        store.save_checkpoint(
            self.path, self.label, self.identity, self.solver, self.history, self.seconds
        )
