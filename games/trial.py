"""Doing something in a child process first: it may take all memory, never end, or crash.

OpenSpiel and Gambit are C++ that trusts its input. What a parameter of a billion does there no
Python code can stop or catch; a child process can be stopped, and its end seen.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import select
import signal
import sys
import time
from collections.abc import Callable

SECONDS = 5  # of computing
WAIT = 30.0  # seconds, where other work keeps the machine from computing
MEMORY = 2 << 30  # bytes, on top of what this process has
TOO_MUCH_MEMORY = "takes too much memory"

_DONE = b"="  # begins what a child says that got to the end


def attempt(
    work: Callable[[], str], *, seconds: int = SECONDS, memory: int = MEMORY, wait: float = WAIT
) -> str:
    """What is wrong with `work`, done in a child process under limits; "" if nothing is.

    The child is a fork: it knows all that this process knows, and changes nothing of it. Where
    there is no fork (Windows), `work` is not tried and nothing is said.

    Args:
        work: returns what it found to be wrong, or "".
        seconds: the most CPU time.
        memory: the most bytes of address space beyond what this process has; on Linux only.
        wait: the longest time on the clock, in seconds.
    """
    if not hasattr(os, "fork"):
        return ""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        _serve(work, writer, seconds, memory)
    os.close(writer)
    said, in_time = b"", False
    try:
        said, in_time = _all_of(reader, wait)
    finally:
        os.close(reader)
        if not in_time:
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
    if said.startswith(_DONE):
        return said.removeprefix(_DONE).decode(errors="replace")
    ended_by = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
    if not in_time or ended_by == signal.SIGXCPU:
        return f"takes longer than {seconds} s"
    if ended_by == signal.SIGKILL:
        return TOO_MUCH_MEMORY
    return f"crashes ({signal.strsignal(ended_by) if ended_by else 'ends the process'})"


def _all_of(reader: int, wait: float) -> tuple[bytes, bool]:
    """What a child said, and whether it came to its end in time."""
    said, until = b"", time.monotonic() + wait
    while (left := until - time.monotonic()) > 0:
        if select.select([reader], [], [], left)[0]:
            part = os.read(reader, 1 << 16)
            if not part:
                return said, True
            said += part
    return said, False


def _serve(work: Callable[[], str], writer: int, seconds: int, memory: int) -> None:
    """The child's life; it ends here, without the exit handlers of its parent."""
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to act upon
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        faulthandler.disable()  # a crash is what we are here to see
        _limit(seconds, memory)
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        try:
            said = work()
        except MemoryError:
            said = TOO_MUCH_MEMORY
        os.write(writer, _DONE + said.encode(errors="replace")[:4096])
    finally:
        os._exit(0)


def _limit(seconds: int, memory: int) -> None:
    import resource

    def at_most(kind: int, most: int) -> None:
        _, hard = resource.getrlimit(kind)
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(kind, (most if hard < 0 else min(most, hard), hard))

    at_most(resource.RLIMIT_CORE, 0)
    at_most(resource.RLIMIT_CPU, seconds)
    if sys.platform == "linux":
        with open("/proc/self/statm") as file:
            mapped = int(file.read().split()[0]) * resource.getpagesize()
        at_most(resource.RLIMIT_AS, mapped + memory)
