"""The run directory: what is in it, and how it is written so that a crash costs little.

scenario.toml    the scenario, every default written out
versions.json    what it ran on
metrics.csv      one row an evaluation, appended and flushed
checkpoint/      one file a method: solver state and history
strategy.npz     the answer (strategies/ where methods are compared)
result.json      the last table, once the run is done
*.png            pictures

Of a run that trains `scenarios.training.store` says the rest: its metrics and checkpoints are of
another kind, and its answer is policy.pt.
"""

from __future__ import annotations

import csv
import fcntl
import hashlib
import io
import json
import os
import platform
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from games import InputError
from games.common.storage import read_arrays, write_arrays, write_atomically
from marl.tabular import Evaluation, Solver
from marl.tabular.method import REGISTRY
from scenarios.solving.scenario import Experiment, Scenario, parse

SCENARIO, VERSIONS, METRICS, RESULT = "scenario.toml", "versions.json", "metrics.csv", "result.json"
STRATEGY, POLICY, BEST = "strategy.npz", "policy.pt", "best.pt"
COLUMNS = ("method", *Evaluation._fields)
_SOLVER = "solver."
Row = TypeVar("Row")


def require_free(path: Path) -> None:
    """Raises InputError unless a new run directory can be made there."""
    path = path.absolute()
    if path == Path.cwd():
        raise InputError(f"{path} is the current folder: choose one below it with --out")
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise InputError(
            f"{path} exists: choose another folder with --out, or go on with `schelling resume "
            f"{path}` if it holds a run"
        )


def create(path: Path, scenario: Experiment) -> None:
    """Make a new run directory, whole or not at all.

    Raises:
        InputError: something is there already, or the folder cannot be written to.
    """
    require_free(path)
    path = path.absolute()
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.mkdir(parents=True)
        write_atomically(temporary / SCENARIO, scenario.to_toml().encode())
        found = json.dumps(versions(scenario.packages), indent=2)
        write_atomically(temporary / VERSIONS, found.encode() + b"\n")
        if path.exists():
            path.rmdir()  # an empty folder that the user made for the run
        temporary.rename(path)
    except OSError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        reason = (error.strerror or str(error)).lower()
        raise InputError(f"cannot write to {path}: {reason}; choose a folder with --out") from None


def free_path(folder: Path, name: str) -> Path:
    """The first of name-1, name-2, ... that is not there yet."""
    number = 1
    while (path := folder / f"{name}-{number}").exists():
        number += 1
    return path


def read_scenario(path: Path) -> Experiment:
    """The scenario of a run directory; InputError if it is none."""
    return parse(read_scenario_text(path), str(path / SCENARIO))


def read_scenario_text(path: Path) -> str:
    file = path / SCENARIO
    if not file.is_file():
        raise InputError(f"{path} is not a run: it has no {SCENARIO}")
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise InputError(f"{file} is not text: put it back from a copy") from None


def write_scenario(path: Path, scenario: Experiment) -> None:
    write_atomically(path / SCENARIO, scenario.to_toml().encode())


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keep other processes from working on the same run; InputError if one does already."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise InputError(f"another process is working on {path}: wait for it to end") from None
    try:
        yield
    finally:
        os.close(descriptor)


def remove_leftovers(path: Path) -> None:
    """Remove half-written temporary files of a process that was killed; call while locked."""
    for leftover in list(path.rglob(".*.tmp")):
        if leftover.is_dir():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            leftover.unlink(missing_ok=True)


def slug(label: str) -> str:
    """A label as a file name: readable, and different for different labels."""
    name = re.sub(r"[^A-Za-z0-9_-]", "_", label.replace("+", "plus"))
    if label in REGISTRY:
        return name
    return f"{name}-{hashlib.sha256(label.encode()).hexdigest()[:8]}"


def checkpoint_file(path: Path, label: str) -> Path:
    return path / "checkpoint" / f"{slug(label)}.npz"


def save_checkpoint(
    path: Path, label: str, identity: str, solver: Solver, history: list[Evaluation], seconds: float
) -> None:
    """All that is needed to go on with one method, written whole or not at all."""
    arrays = {f"{_SOLVER}{name}": array for name, array in solver.state().items()}
    arrays["history"] = np.array(history, dtype=np.float64).reshape(-1, len(Evaluation._fields))
    arrays["seconds"] = np.array(seconds)
    arrays["identity"] = np.array(identity)
    write_arrays(checkpoint_file(path, label), arrays)


def load_checkpoint(
    path: Path, label: str, identity: str, solver: Solver
) -> tuple[list[Evaluation], float]:
    """Restore a solver in place; returns its history and the seconds spent. Empty if there is none.

    Raises:
        InputError: the file is damaged, or belongs to another game or method.
    """
    file = checkpoint_file(path, label)
    if not file.exists():
        return [], 0.0
    fix = f"put it back from a copy, or delete it to start {label} over"
    try:
        arrays = read_arrays(file)
    except InputError as error:
        raise InputError(f"{error}: {fix}") from None
    if str(arrays.get("identity")) != identity:
        raise InputError(
            f"{file} was made by another game, method or seed (or number of iterations, where a "
            f"method follows a schedule) than {path / SCENARIO} says: put that back, or start a "
            "new run"
        )
    try:
        solver.restore(
            {k.removeprefix(_SOLVER): v for k, v in arrays.items() if k.startswith(_SOLVER)}
        )
    except (KeyError, ValueError) as error:
        raise InputError(f"{file} does not fit this version of {label} ({error}): {fix}") from None
    return history(arrays["history"]), float(arrays["seconds"])


def history(rows: np.ndarray) -> list[Evaluation]:
    return [Evaluation(int(row[0]), float(row[1]), float(row[2])) for row in rows]


def start_metrics(path: Path, histories: Mapping[str, list[Evaluation]]) -> None:
    """Write metrics.csv anew from what the checkpoints hold, so that no row stands twice."""
    lines = [",".join(COLUMNS) + "\n"]
    for label, rows in histories.items():
        lines += [_line(label, row) for row in rows]
    write_atomically(path / METRICS, "".join(lines).encode())


def append_metrics(path: Path, label: str, row: Evaluation) -> None:
    with (path / METRICS).open("a", encoding="utf-8", newline="") as file:
        file.write(_line(label, row))


def read_metrics(path: Path) -> dict[str, list[Evaluation]]:
    """Histories by label. A last row that a crash cut short is left out.

    Raises:
        InputError: another row is not one that was written here.
    """
    histories: dict[str, list[Evaluation]] = {}
    file = path / METRICS
    if not file.exists():
        return histories
    try:
        text = file.read_text(encoding="utf-8")
        whole = io.StringIO(text[: text.rfind("\n") + 1], newline="")
        for label, iteration, seconds, nash_conv in list(csv.reader(whole))[1:]:
            row = Evaluation(int(iteration), float(seconds), float(nash_conv))
            histories.setdefault(label, []).append(row)
    except ValueError:  # cells that are too few, too many, no numbers, no text
        raise _damaged(file, path) from None
    return histories


def strategy_file(path: Path, scenario: Scenario, label: str) -> Path:
    if scenario.method is not None:
        return path / STRATEGY
    return path / "strategies" / f"{slug(label)}.npz"


def versions(packages: Sequence[str]) -> dict[str, str]:
    """The versions that a result depends on."""
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:  # run from a source tree that is not installed
            found[package] = "not installed"
    return found


def write_result(path: Path, rows: list[dict[str, Any]]) -> None:
    """The last table, a row a method: its being there says that the run is done."""
    content = json.dumps({"results": rows}, indent=2, allow_nan=False)
    write_atomically(path / RESULT, content.encode() + b"\n")


def read_result(path: Path, row: Callable[[dict[str, Any]], Row]) -> list[Row] | None:
    """The rows of the last table, or None while the run is not done.

    Raises:
        InputError: the file is damaged.
    """
    file = path / RESULT
    if not file.exists():
        return None
    try:
        rows = [row(table) for table in json.loads(file.read_text(encoding="utf-8"))["results"]]
        if not rows:
            raise ValueError
    except (ValueError, KeyError, TypeError, AttributeError):
        raise _damaged(file, path) from None
    return rows


def remove_answers(path: Path) -> None:
    """Remove what only a run that is done has: it is about to be computed anew."""
    single = [path / name for name in (RESULT, STRATEGY, POLICY, BEST)]
    for answer in [*single, *path.glob("strategies/*.npz")]:
        answer.unlink(missing_ok=True)
    for picture in path.glob("*.png"):
        picture.unlink()


def _damaged(file: Path, run: Path) -> InputError:
    return InputError(f"{file} is damaged: `schelling resume {run}` writes it anew")


def _line(label: str, row: Evaluation) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow([label, *row])
    return line.getvalue()
