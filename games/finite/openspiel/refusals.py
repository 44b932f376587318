"""Errors of OpenSpiel, turned into one-line messages."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import traceback
from collections.abc import Iterator
from typing import Any

import pyspiel

from games.common import trial
from games.common.errors import one_line

# What OpenSpiel raises: errors of its own, and those that pybind11 makes of C++'s.
REFUSALS = (
    pyspiel.SpielError,
    RuntimeError,
    ValueError,
    LookupError,
    ArithmeticError,
    MemoryError,
)
OPENSPIEL = ("pyspiel", "open_spiel")  # its modules


def is_openspiels(game: Any) -> bool:
    return type(game).__module__.split(".")[0] in OPENSPIEL


def raised_by_openspiel(error: Exception) -> bool:
    """Whether an error is from OpenSpiel's code and not from a user's Python game."""
    frames = traceback.walk_tb(error.__traceback__)
    called = [frame.f_globals["__name__"].split(".")[0] for frame, _ in frames]
    return next((name for name in called if name != "games"), "pyspiel") in OPENSPIEL


def reason(error: Exception) -> str:
    """OpenSpiel's message without the place in its source."""
    text = one_line(error)
    # What C++ says who asks for a vector of a billion, or of -1.
    if isinstance(error, MemoryError) or re.search(r"std::|vector::_M|^vector::|array::", text):
        return trial.TOO_MUCH_MEMORY
    return re.sub(r"^\S+\.(cc|h):\d+ ", "not accepted by OpenSpiel: ", text) or "cannot be loaded"


@contextlib.contextmanager
def silent_stderr() -> Iterator[None]:
    """OpenSpiel prints its errors to the process's stderr and raises them too; once is enough."""
    try:
        saved = os.dup(2)
    except OSError:  # there is no stderr
        yield
        return
    if sys.stderr is not None:
        sys.stderr.flush()
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
