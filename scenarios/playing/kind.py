"""The kind `play`, as commands use it."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from games.common.errors import InputError
from games.common.extras import learning
from scenarios.playing.scenario import PlayingScenario
from scenarios.terminal import counting

if TYPE_CHECKING:
    from scenarios.playing.comparing import Comparison
    from scenarios.playing.run import PlayingRun


class Playing:
    """Rules, planners and policies that are compared in the same games."""

    changeable = ()
    methods: Collection[str] = ()

    def takes(self, method: Any) -> bool:
        return False

    def contents(self, data: Mapping[str, Any]) -> list[str]:
        return list(data["players"])

    def model(self) -> type[PlayingScenario]:
        return PlayingScenario

    def run(self) -> type[PlayingRun]:
        with learning():
            from scenarios.playing.run import PlayingRun

        return PlayingRun

    def at(self, scenario: PlayingScenario, address: str | None) -> PlayingScenario:
        if address is not None:
            raise InputError("--address is for scenarios that train; this one compares players")
        return scenario

    def ready(self, scenario: PlayingScenario) -> AbstractContextManager[Any]:
        with learning():
            from scenarios.playing.comparing import seated

            return nullcontext(seated(scenario))

    def progress(self, scenario: PlayingScenario) -> AbstractContextManager[Callable[..., object]]:
        return counting("players done", "loading the game")

    def print(self, work: PlayingRun, results: list[Comparison], as_json: bool) -> None:
        from scenarios.playing.tables import print_comparison

        where = {"run": str(work.path), "scenario": work.scenario.name, "finished": True}
        print_comparison(results[0], as_json, where)

    def print_unfinished(self, work: PlayingRun, as_json: bool) -> None:
        if as_json:
            print(json.dumps({"run": str(work.path), "finished": False, "progress": {}}))
            return
        print(f"{work.scenario.game}, not finished")
        print(f"play it with: schelling resume {work.path}")


KIND = Playing()
