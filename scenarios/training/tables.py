"""Results of training as a table, and its progress line."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from games.common.errors import InputError
from games.load import vector
from games.simulators.metrics import EVALUATED
from marl.learning.method import LearningMethod
from scenarios.terminal import print_gap, print_table

if TYPE_CHECKING:
    from scenarios.training.result import TrainingResult
    from scenarios.training.run import TrainingRun
    from scenarios.training.scenario import TrainingScenario

Column = tuple[str, str, str]  # name, metric, format
FIRST: tuple[Column, ...] = (("return", "return", ".3f"),)
LAST: tuple[Column, ...] = (
    ("wins", "eval_wins", ".3f"),
    ("gap %", "eval_gap", ".2f"),
    ("NashConv", "nash_conv", ".4f"),
    ("entropy", "entropy", ".3f"),
    ("KL", "kl", ".4f"),
    ("steps/s", "steps_per_second", ",.0f"),
)


def columns(scenario: TrainingScenario) -> tuple[Column, ...]:
    """Columns shown of training, where measured: of the game's own metrics the first, and those
    that end the run or choose its best policy."""
    try:
        known = vector(scenario.game, 1).spec.metrics
    except InputError:  # a game that is no longer there; the run's figures are
        known = ()
    named = [scenario.checkpoint.best or "", *scenario.stop.target]
    wanted = {name.removeprefix(EVALUATED) for name in named}
    own = [one for k, one in enumerate(known) if k == 0 or one.name in wanted]
    shown = [
        (one.name.replace("_", " "), EVALUATED + one.name, ".3f" if one.high == 1 else one.form)
        for one in own
    ]
    return (*FIRST, *shown, *LAST)


def counts(scenario: TrainingScenario) -> str:
    """What the method's steps are, in words; of environments just "steps"."""
    counted = scenario.method.counts
    return "steps" if counted == LearningMethod.counts else counted


def followed(row: dict[str, float], key: str) -> float | None:
    """A metric of evaluations, or else of training; None if neither was measured."""
    return row.get(key, row.get(key.removeprefix(EVALUATED)))


@contextmanager
def training_progress(scenario: TrainingScenario) -> Iterator[Callable[[dict[str, float]], None]]:
    """Show the progress of training on stderr, if that is a terminal."""
    if sys.stderr is None or not sys.stderr.isatty():
        yield lambda row: None
        return
    from rich.console import Console

    with Console(stderr=True, highlight=False).status("starting Ray") as line:
        seen: dict[str, float] = {}
        steps, counted, shown = scenario.stop.steps, counts(scenario), columns(scenario)

        def show(row: dict[str, float]) -> None:
            seen.update(row)
            parts = [f"update {row['update']:,.0f}", f"{counted} {row['steps']:,.0f}/{steps:,}"]
            for name, key, form in shown:
                if (value := followed(seen, key)) is not None:
                    parts.append(f"{name} {value:{form}}")
            if seen["restarts"]:
                parts.append(f"restarts {seen['restarts']:.0f}")
            line.update("  ".join([*parts, f"{row['seconds']:,.0f} s"]))

        yield show


def print_training(work: TrainingRun, results: list[TrainingResult], as_json: bool) -> None:
    """Print the results of training, as a table or JSON."""
    (result,) = results
    if as_json:
        where = {"run": str(work.path), "scenario": work.scenario.name, "finished": True}
        print(json.dumps(result.to_json() | where))
        return
    row = {
        "method": result.method,
        "updates": f"{result.updates:,}",
        **_figures(work.scenario, result.metrics, result.evaluation),
        "seconds": f"{result.seconds:,.0f}",
    }
    print_table(result.game, [row])
    print_gap(result.evaluation)
    if result.best:
        from scenarios.training.best import best_line

        print(best_line(result.best, result.updates))
    print(f"run: {work.path} (play it: schelling play {work.path})")


def print_unfinished(work: TrainingRun, as_json: bool) -> None:
    """Print the progress of an unfinished training run."""
    from scenarios.training import store

    last: dict[str, float] = {}
    for row in store.read(work.path):
        last |= {key: value for key, value in row.items() if value == value}
    if as_json:
        print(json.dumps({"run": str(work.path), "finished": False, "progress": last}))
        return
    rows = (
        [{"updates": f"{last['update']:,.0f}", **_figures(work.scenario, last, {})}] if last else []
    )
    print_table(f"{work.scenario.game}, not finished", rows)
    print(f"go on with: schelling resume {work.path}")


def _figures(
    scenario: TrainingScenario, last: dict[str, float], evaluation: dict[str, float]
) -> dict[str, str]:
    """The main metrics by column; for those of evaluations also the standard error."""
    row = {counts(scenario): f"{last['steps']:,.0f}"} if "steps" in last else {}
    for name, key, form in columns(scenario):
        plain = key.removeprefix(EVALUATED)
        if plain in evaluation:
            row[name] = f"{evaluation[plain]:{form}}"
            if (error := evaluation.get(f"{plain}_error")) is not None:
                row[name] += f" ± {error:{form}}"
        elif (value := followed(last, key)) is not None:
            row[name] = f"{value:{form}}"
    return row
