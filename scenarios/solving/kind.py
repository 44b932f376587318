"""The kind `solve`, as commands use it."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from games.common.errors import InputError
from marl.tabular.method import DEFAULT, REGISTRY, Method
from scenarios.solving.tables import print_results, progress
from scenarios.terminal import number, print_table

if TYPE_CHECKING:
    from scenarios.solving.run import Result, SolvingRun
    from scenarios.solving.scenario import Scenario


class Solving:
    """Games that are solved by one method, or by several to compare them."""

    changeable = ("stop", "checkpoint")
    methods: Collection[str] = REGISTRY

    def takes(self, method: Any) -> bool:
        return isinstance(method, type) and issubclass(method, Method)

    def contents(self, data: Mapping[str, Any]) -> list[str]:
        method = data.get("method", DEFAULT)
        name = method.get("name", DEFAULT) if isinstance(method, Mapping) else method
        return list(data["compare"]) if "compare" in data else [name]

    def model(self) -> type[Scenario]:
        from scenarios.solving.scenario import Scenario

        return Scenario

    def run(self) -> type[SolvingRun]:
        from scenarios.solving.run import SolvingRun

        return SolvingRun

    def at(self, scenario: Scenario, address: str | None) -> Scenario:
        if address is not None:
            raise InputError("--address is for scenarios that train; this one solves a game")
        return scenario

    def ready(self, scenario: Scenario) -> AbstractContextManager[Any]:
        return nullcontext(scenario.prepare())

    def progress(self, scenario: Scenario) -> AbstractContextManager[Callable[..., object]]:
        return progress(scenario.stop.iterations)

    def print(self, work: SolvingRun, results: list[Result], as_json: bool) -> None:
        print_results(results, as_json, work)

    def print_unfinished(self, work: SolvingRun, as_json: bool) -> None:
        from scenarios.solving import store

        last = {label: rows[-1] for label, rows in store.read_metrics(work.path).items()}
        if as_json:
            known = [
                {"method": label, "iteration": row.iteration, "nash_conv": number(row.nash_conv)}
                for label, row in last.items()
            ]
            print(json.dumps({"run": str(work.path), "finished": False, "progress": known}))
            return
        rows = [
            {"method": k, "iterations": f"{row.iteration:,}", "NashConv": f"{row.nash_conv:.3e}"}
            for k, row in last.items()
        ]
        print_table(f"{work.scenario.game}, not finished", rows)
        print(f"go on with: schelling resume {work.path}")


KIND = Solving()
