"""The kind `train`, as commands use it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from games.common.extras import learning
from marl.learning.method import METHODS, LearningMethod
from scenarios.terminal import say

if TYPE_CHECKING:
    from scenarios.training.result import TrainingResult
    from scenarios.training.run import TrainingRun
    from scenarios.training.scenario import TrainingScenario


class Training:
    """Policies that learn to play a game."""

    changeable = ("stop", "checkpoint", "evaluation", "resources")
    methods: Collection[str] = METHODS

    def takes(self, method: Any) -> bool:
        return isinstance(method, type) and issubclass(method, LearningMethod)

    def contents(self, data: Mapping[str, Any]) -> list[str]:
        method = data["method"]
        return [method["name"] if isinstance(method, Mapping) else method]

    def model(self) -> type[TrainingScenario]:
        with learning("training needs torch and Ray"):
            from scenarios.training.scenario import TrainingScenario

        return TrainingScenario

    def run(self) -> type[TrainingRun]:
        from scenarios.training.run import TrainingRun

        return TrainingRun

    def at(self, scenario: TrainingScenario, address: str | None) -> TrainingScenario:
        """On another cluster ("local": on this machine); unchanged if None."""
        if address is None:
            return scenario
        where = None if address == "local" else address
        resources = scenario.resources.model_copy(update={"address": where})
        return scenario.model_copy(update={"resources": resources})

    def ready(self, scenario: TrainingScenario) -> AbstractContextManager[Any]:
        return scenario.start(tell=say)

    def progress(self, scenario: TrainingScenario) -> AbstractContextManager[Callable[..., object]]:
        from scenarios.training.tables import training_progress

        return training_progress(scenario)

    def print(self, work: TrainingRun, results: list[TrainingResult], as_json: bool) -> None:
        from scenarios.training.tables import print_training

        print_training(work, results, as_json)

    def print_unfinished(self, work: TrainingRun, as_json: bool) -> None:
        from scenarios.training.tables import print_unfinished

        print_unfinished(work, as_json)


KIND = Training()
