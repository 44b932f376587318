"""A sweep: many variants of a training scenario by Ray Tune, each as a separate run.

FOLDER/scenario.toml    the scenario, with its [sweep]
FOLDER/NUMBER-VARIANT/  a run each, like any other
FOLDER/results.csv      a row a run, the best first
FOLDER/tune/            Ray Tune's own records
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from games.common.errors import InputError, one_line
from games.common.settings import checked
from games.common.storage import write_atomically
from games.common.workers import WorkerError, running_ray
from games.load import vector
from games.simulators.metrics import EVALUATED, Metric, metric
from marl.learning.size import require_processes
from marl.rllib.resources import bundles
from scenarios import store
from scenarios.experiment import Experiment
from scenarios.interrupt import Interrupted
from scenarios.lookup import parse, set_key
from scenarios.runs import Run
from scenarios.training import store as training_store
from scenarios.training.scenario import TrainingScenario

RESULTS, TUNE, LONGEST_NAME = "results.csv", "tune", 80
MOST_RUNS = 10_000


@dataclass(frozen=True)
class Variant:
    """One run of a sweep."""

    name: str  # of its folder
    values: dict[str, Any]  # by dotted key, and the seed
    scenario: TrainingScenario


def variants(scenario: TrainingScenario) -> list[Variant]:
    """Every combination of the grid with every seed.

    Raises:
        InputError: a key that there is not, or a value that does not fit.
    """
    found: list[Variant] = []
    count = scenario.sweep.seeds * math.prod(len(row) for row in scenario.sweep.grid.values())
    if count > MOST_RUNS:
        raise InputError(f"a sweep of {count:,} runs; give at most {MOST_RUNS:,}")
    for combination in scenario.sweep.combinations():
        for k in range(scenario.sweep.seeds):
            data = scenario.model_dump(exclude_none=True, exclude={"sweep"})
            for key, value in combination.items():
                set_key(data, key, value, f"sweep: {key}")
            one = checked(TrainingScenario, data, f"sweep: {_words(combination) or 'seeds'}")
            assert isinstance(one, TrainingScenario)
            one = one.model_copy(update={"seed": one.seed + k})
            values = {**combination, "seed": one.seed}
            slug = re.sub(r"[^\w.=,-]+", "_", _words(values))[:LONGEST_NAME].strip("_.,")
            found.append(Variant(f"{len(found):03d}-{slug}", values, one))
    return found


def run_sweep(
    scenario: TrainingScenario, folder: Path, progress: Callable[[int, int], object]
) -> list[dict[str, Any]]:
    """Run a sweep, or continue one: finished runs stay, others are resumed.

    Args:
        scenario: with its sweep.
        folder: new, or of the same sweep.
        progress: called with the number of runs that are done, and of all.

    Returns:
        a row a run, the best by `checkpoint.best` first: its folder, its values, the metric of the
        run's best policy (or as it was measured last, of a run that is not done or looked for no
        best), updates, steps, seconds, and why it failed ("" if it did not).

    Raises:
        InputError: a grid that does not fit, a folder with something else in it, or a cluster that
            does not answer.
        Interrupted: by a signal; the runs keep their last checkpoints.
    """
    every = variants(scenario)
    for one in {v.scenario.model_copy(update={"seed": 0}).to_toml(): v for v in every}.values():
        one.scenario.check()
    metrics = {_metric(variant.scenario) for variant in every}
    if len(metrics) > 1:
        raise InputError(
            f"sweep: its runs would be compared by {' and by '.join(sorted(metrics))}: set "
            "checkpoint.best to one metric of all"
        )
    at_once = scenario.sweep.parallel or 1
    require_processes(scenario.resources, min(at_once, len(every)))
    folder = folder.absolute()
    _claim(folder, scenario)
    todo = [variant for variant in every if not _is_done(folder / variant.name)]
    said = _train(scenario, folder, todo, progress) if todo else {}
    rows = [_row(folder, variant, said.get(str(folder / variant.name), "")) for variant in every]
    _sort(rows, metric(metrics.pop(), vector(every[0].scenario.game, 1).spec.metrics))
    import pandas as pd

    write_atomically(folder / RESULTS, pd.DataFrame(rows).to_csv(index=False).encode())
    return rows


def _train(
    scenario: TrainingScenario,
    folder: Path,
    todo: list[Variant],
    progress: Callable[[int, int], object],
) -> dict[str, str]:
    """Train variants; returns the errors of those that failed, by their paths."""
    resources = scenario.resources
    claims = _bundles(scenario)
    cpus = math.ceil(sum(claim.get("CPU", 0.0) for claim in claims))
    at_once = scenario.sweep.parallel or max((os.cpu_count() or 1) // cpus, 1)
    at_once = min(at_once, len(todo))
    os.environ.update(
        TUNE_DISABLE_AUTO_CALLBACK_LOGGERS="1",  # every run has files of its own
        TUNE_DISABLE_SIGINT_HANDLER="1",
        RAY_AIR_NEW_OUTPUT="0",
        TUNE_WARN_THRESHOLD_S="100",
    )
    trials = [
        {"toml": v.scenario.to_toml(), "path": str(folder / v.name), "values": v.values}
        for v in todo
    ]
    with running_ray(cpus * at_once, resources.address, extra="learning"):
        from ray import tune

        class Count(tune.Callback):
            done = 0

            def on_trial_complete(self, *_: Any, **__: Any) -> None:
                self.done += 1
                progress(self.done, len(todo))

        progress(0, len(todo))
        tuner = tune.Tuner(
            tune.with_resources(_trial, tune.PlacementGroupFactory(claims)),
            param_space={"trial": tune.grid_search(trials)},
            tune_config=tune.TuneConfig(
                max_concurrent_trials=None if resources.address else at_once,
                trial_dirname_creator=lambda trial: trial.trial_id,
            ),
            run_config=tune.RunConfig(
                name=TUNE, storage_path=str(folder), verbose=0, callbacks=[Count()]
            ),
        )
        try:
            found = tuner.fit()
        except Interrupted:
            raise Interrupted(
                f"interrupted; go on with the same command and --out {folder}"
            ) from None
        return {
            one.config["trial"]["path"]: one_line(str(one.error or "").strip().split("\n")[-1])
            or (one.metrics or {}).get("failed", "")
            for one in (found[k] for k in range(len(found)))
            if one.config
        }


def _is_done(path: Path) -> bool:
    return (path / store.SCENARIO).exists() and Run.load(path).finished


def _trial(config: dict[str, Any]) -> None:
    """Train one variant, in a process of Ray Tune."""
    from ray import tune

    path = Path(config["trial"]["path"])
    last: dict[str, float] = {}

    def report(row: dict[str, float]) -> None:
        last.update(row)
        tune.report(dict(last))

    try:
        scenario = parse(config["trial"]["toml"], "sweep")
        assert isinstance(scenario, TrainingScenario)
        begun = (path / store.SCENARIO).exists()
        work = Run.load(path) if begun else Run.create(scenario, path)
        if begun:  # perhaps on other machines
            here = work.scenario.model_copy(update={"resources": scenario.resources})
            work = Run.of(path, here)
        work.execute(progress=report)
        tune.report({**last, "failed": ""})
    except (InputError, ArithmeticError, WorkerError) as error:
        tune.report({**last, "failed": one_line(error)})


def _bundles(scenario: TrainingScenario) -> list[dict[str, float]]:
    """The resources that Ray reserves for a run: its driver, env runners and learners."""
    own = scenario.resources
    head: dict[str, float] = {"CPU": 1.0}
    if not own.learners and own.gpus_per_learner:
        head["GPU"] = own.gpus_per_learner
    return [head, *bundles(own)]


def _claim(folder: Path, scenario: TrainingScenario) -> None:
    """Make the folder, or see that it is of this very sweep, wherever that ran."""
    file = folder / store.SCENARIO
    if not file.exists():
        store.require_free(folder)
        try:
            write_atomically(file, scenario.to_toml().encode())
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise InputError(
                f"cannot write to {folder}: {reason}; choose a folder with --out"
            ) from None
    elif _sweep_of(store.read_scenario(folder)) != _sweep_of(scenario):
        raise InputError(f"{folder} holds something else: choose another folder with --out")


def _sweep_of(scenario: Experiment) -> dict[str, Any]:
    """What a sweep cannot change when continued: all but its resources and parallelism."""
    return scenario.model_dump(exclude={"resources": True, "sweep": {"parallel"}})


def _metric(scenario: TrainingScenario) -> str:
    """The metric that runs are compared by."""
    return (scenario.chosen_by or "return").removeprefix(EVALUATED)


def _row(folder: Path, variant: Variant, failed: str) -> dict[str, Any]:
    metric, column = _metric(variant.scenario), variant.scenario.chosen_by or "return"
    row: dict[str, Any] = {"run": variant.name, **variant.values, metric: math.nan}
    row |= {"updates": 0, "steps": 0, "seconds": 0.0}
    try:
        work = Run.load(folder / variant.name)
        rows = training_store.read(work.path)
        values = [r[column] for r in rows if math.isfinite(r.get(column, math.nan))]
        row[metric] = values[-1] if values else math.nan
        if (results := work.results) and results[0].best:
            row[metric] = results[0].best["value"]
        if rows:
            row |= {"updates": int(rows[-1]["update"]), "steps": int(rows[-1]["steps"])}
            row["seconds"] = rows[-1].get("seconds", 0.0)
        row["failed"] = failed or ("" if work.finished else "not finished")
    except InputError as error:
        row["failed"] = failed or one_line(error)
    return row


def _sort(rows: list[dict[str, Any]], by: Metric) -> None:
    """The best first, those without a value last."""
    sign = 1 if by.better == "less" else -1

    def place(row: dict[str, Any]) -> tuple[bool, float]:
        value = row[by.name]
        return (value != value, sign * value if value == value else 0.0)

    rows.sort(key=place)


def _words(values: dict[str, Any]) -> str:
    """Keys without their tables, and values."""
    return ",".join(
        f"{key.rpartition('.')[2]}={v if isinstance(v, str) else json.dumps(v)}"
        for key, v in values.items()
    )
