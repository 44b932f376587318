"""Files of runs that solve: checkpoints of each method, metrics.csv.

metrics.csv      one row an evaluation, appended and flushed
checkpoint/      one file a method: solver state and history
strategy.npz     the answer (strategies/ where methods are compared)
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from games.common.errors import InputError
from games.common.storage import read_arrays, write_arrays, write_atomically
from marl.tabular import Evaluation, Solver
from marl.tabular.method import REGISTRY
from scenarios.solving.scenario import Scenario
from scenarios.store import METRICS, SCENARIO, STRATEGY, damaged

COLUMNS = ("method", *Evaluation._fields)
_SOLVER = "solver."


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
    """Write a checkpoint of one method, atomically."""
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
    """Rewrite metrics.csv from the checkpoints, so that no row appears twice."""
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
        raise damaged(file, path) from None
    return histories


def strategy_file(path: Path, scenario: Scenario, label: str) -> Path:
    if scenario.method is not None:
        return path / STRATEGY
    return path / "strategies" / f"{slug(label)}.npz"


def _line(label: str, row: Evaluation) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow([label, *row])
    return line.getvalue()
