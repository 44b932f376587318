"""Atomic checkpoint folders for trainers: written completely or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from games.common.errors import InputError
from games.common.storage import digest_of_folder
from games.simulators.simulator import Spec
from marl.learning.plan import Plan
from marl.networks.policy import Policy

POLICY = "policy.pt"


@contextmanager
def whole_folder(
    path: str | os.PathLike[str], record: Callable[[str], object] = lambda digest: None
) -> Iterator[Path]:
    """A folder to write into, put in place when the block ends without an exception.

    Args:
        path: of the folder.
        record: called with the folder's digest just before it is put in place.
    """
    path = Path(path).absolute()
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        temporary.mkdir(parents=True)
        yield temporary
        _flush(temporary)
        record(digest_of_folder(temporary))
        replaced = path.with_name(f".{path.name}.{os.getpid()}.old.tmp")
        if path.exists():
            path.rename(replaced)
        temporary.rename(path)
        shutil.rmtree(replaced, ignore_errors=True)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def saved_policy(path: Path, plan: Plan, spec: Spec) -> Policy:
    """Load the policy of a checkpoint.

    Raises:
        InputError: there is none, it is damaged, or it belongs to another game or network.
    """
    saved = Policy.load(path / POLICY)
    if saved.spec != spec or saved.config != plan.network:
        what = "game" if saved.spec != spec else "network"
        raise InputError(
            f"{path} was made with another {what} than the scenario says: put that back, or "
            "start a new run"
        )
    return saved


def _flush(folder: Path) -> None:
    """Flush a folder to disk before it gets its final name."""
    for file in folder.rglob("*"):
        if file.is_file():
            descriptor = os.open(file, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
