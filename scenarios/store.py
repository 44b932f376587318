"""The run directory: what every run has in it, and how it is written so that a crash costs little.

scenario.toml    the scenario, every default written out
versions.json    what it ran on
result.json      the last table, once the run is done
*.png            pictures

The rest is said where it is written: `scenarios.solving.store`, `scenarios.training.store` and
`scenarios.playing.run`.
"""

from __future__ import annotations

import fcntl
import json
import os
import platform
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeVar

from games.common.errors import InputError
from games.common.storage import write_atomically
from scenarios.experiment import Experiment
from scenarios.lookup import parse

SCENARIO, VERSIONS, METRICS, RESULT = "scenario.toml", "versions.json", "metrics.csv", "result.json"
STRATEGY = "strategy.npz"
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
    """The first of name-1, name-2, ... that does not exist yet."""
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
    """Lock a run against other processes; InputError if another one is working on it."""
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


def versions(packages: Sequence[str]) -> dict[str, str]:
    """Versions of Python and of the packages that a result depends on."""
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:  # run from a source tree that is not installed
            found[package] = "not installed"
    return found


def write_result(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write the results; a run with this file is complete."""
    content = json.dumps({"results": rows}, indent=2, allow_nan=False)
    write_atomically(path / RESULT, content.encode() + b"\n")


def read_result(path: Path, row: Callable[[dict[str, Any]], Row]) -> list[Row] | None:
    """The rows of the results, or None while the run is not done.

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
        raise damaged(file, path) from None
    return rows


def remove_answers(path: Path, others: Sequence[str] = ()) -> None:
    """Remove files that only a finished run has, before they are computed again.

    Args:
        path: of the run.
        others: patterns of files that such a run has besides its result and its pictures.
    """
    for pattern in (RESULT, "*.png", *others):
        for answer in path.glob(pattern):
            answer.unlink(missing_ok=True)


def damaged(file: Path, run: Path) -> InputError:
    """The error for a damaged file, with what to do about it."""
    return InputError(f"{file} is damaged: `schelling resume {run}` writes it again")
