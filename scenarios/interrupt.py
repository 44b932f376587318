"""Stopping on SIGINT or SIGTERM without losing work."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(Exception):
    """A run was asked to stop and has saved its work; the message says where."""


@contextmanager
def stop_signals() -> Iterator[Callable[[], bool]]:
    """Note the first SIGINT or SIGTERM, so that work can be saved before stopping.

    A second one does what it did before. Python notices either between two of its own steps, so
    that one long call into compiled code (an iteration of MCCFR on a very large game) has to end
    first; SIGKILL does not wait. Outside the main thread signals are left as they are.
    """
    seen: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        if seen:
            signal.signal(number, before[signal.Signals(number)])
            signal.raise_signal(number)
        seen.append(number)

    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    before = {number: signal.signal(number, note) for number in SIGNALS}
    try:
        yield lambda: bool(seen)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
