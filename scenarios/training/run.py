"""A run of kind `train`: its metrics, policies and strategy, and how it is resumed."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from games import Strategy
from games.common.errors import InputError
from games.load import vector
from marl.learning.trainer import Trainer
from marl.networks.policy import Policy
from scenarios.runs import Run
from scenarios.store import RESULT, STRATEGY, read_scenario
from scenarios.training import store
from scenarios.training.result import TrainingResult
from scenarios.training.scenario import SECONDS, TrainingScenario
from scenarios.training.store import BEST, PICTURE, POLICY
from scenarios.training.work import Work

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class TrainingRun(Run[TrainingScenario, TrainingResult]):
    """A run of a scenario that trains; created and loaded by `scenarios.Run`.

    `execute` takes `scenario.start()` as its `ready`, and calls `progress` after every update
    with its row. A game that breaks its rules and checkpoints that are all damaged are InputErrors.
    """

    answers = (STRATEGY, POLICY, BEST)

    @property
    def metrics(self) -> pd.DataFrame:
        """A row an update; NaN where a metric was not measured. docs/guides/training.md explains
        them."""
        return store.table(self.path)

    def policy(self, best: bool = False) -> Policy:
        """The last policy, or the best by the scenario's `checkpoint.best`.

        Until a run is done, the best is the one that did best in the development games so far.

        Raises:
            InputError: there is none yet, or its file is damaged.
        """
        if best:
            files = [self.path / BEST, *store.candidates(self.path)]
        else:
            last = store.checkpoints(self.path)
            files = [self.path / POLICY, *(folder / POLICY for folder in last)]
        for file in files:
            if file.exists():
                return Policy.load(file)
        fix = f"`schelling resume {self.path}`"
        if best:
            fix = "play it without --best; with evaluation.every a run keeps its best policy"
        raise InputError(f"{self.path} has no {'best ' if best else ''}policy yet: {fix}")

    @property
    def strategy(self) -> Strategy:
        """The average strategy over a run's evaluations, which `[exact] average` asks for.

        Raises:
            InputError: it was not asked for, or the run is not done.
        """
        file = self.path / STRATEGY
        if not file.exists():
            raise InputError(
                f"{self.path} has no average strategy: set exact.average = true and finish the run"
            )
        return Strategy.load(file)

    @staticmethod
    def _row(row: dict[str, Any]) -> TrainingResult:
        return TrainingResult.from_json(row)

    def _done_already(self) -> list[TrainingResult] | None:
        store.require_same(self.path, self.scenario.identity(store.steps_at_first(self.path)))
        rows = store.read(self.path)  # damage is reported before anything starts
        files = [self.path / name for name in (RESULT, POLICY, PICTURE)]
        if not rows or not all(file.exists() for file in files):
            return None
        if read_scenario(self.path) != self.scenario:
            return None
        try:
            results = self.results
        except InputError:  # damaged, and about to be written again
            return None
        if results and results[0].best and not (self.path / BEST).exists():
            return None
        known = vector(self.scenario.game, 1).spec.metrics
        over = self.scenario.is_done(rows[-1], rows[-1].get(SECONDS, 0.0), known)
        return results if over else None

    def _begin(
        self, ready: Trainer | None, stack: ExitStack, tell: Callable[[str], object]
    ) -> Work:
        store.require_checkpoint(self.path)
        if ready is None:
            steps = store.steps_at_first(self.path)
            ready = stack.enter_context(self.scenario.start(steps, tell))
        if self._selection_before() != self.scenario.selection:
            store.forget_candidates(self.path)  # they did well in other games
        work = Work(self.path, self.scenario, ready, tell)
        stack.callback(work.close)
        return work

    def _selection_before(self) -> tuple[Any, ...]:
        """How the run has chosen its best policy until now."""
        scenario = read_scenario(self.path)
        return scenario.selection if isinstance(scenario, TrainingScenario) else ()
