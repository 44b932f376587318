"""Trying risky work in a child process first: it may exhaust memory, never end, or crash.

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

from games.common.errors import one_line

SECONDS = 5  # of computing
WAIT = 30.0  # seconds, where other work keeps the machine from computing
MEMORY = 2 << 30  # bytes, on top of what this process has
LOOK = 1.0  # seconds between two checks of a silent child
TOO_MUCH_MEMORY = "takes too much memory"

_DONE = b"="  # begins the output of a child that finished
_END = b"\0"  # ends it


def attempt(
    work: Callable[[], str], *, seconds: int = SECONDS, memory: int = MEMORY, wait: float = WAIT
) -> str:
    """Run `work` in a child process under limits; returns what is wrong with it, or "".

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
    try:
        child = os.fork()
    except OSError:  # no process to be had: as where there is no fork
        os.close(reader)
        os.close(writer)
        return ""
    if child == 0:
        _serve(work, writer, seconds, memory)
    os.close(writer)
    said, in_time, status = b"", False, None
    try:
        said, in_time, status = _all_of(reader, child, wait)
    finally:
        os.close(reader)
        if status is None:
            if not in_time:
                with contextlib.suppress(ProcessLookupError):  # it ended just now
                    os.kill(child, signal.SIGKILL)
            status = _ended(child, wait=True) or 0
    if said.startswith(_DONE) and said.endswith(_END):
        return said[len(_DONE) : -len(_END)].decode(errors="replace")
    if not in_time:
        return f"has not ended after {wait:g} s"
    ended_by = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
    if ended_by == signal.SIGXCPU:
        return f"takes longer than {seconds} s"
    if ended_by == signal.SIGKILL:
        return TOO_MUCH_MEMORY
    return f"crashes ({signal.strsignal(ended_by) if ended_by else 'ends the process'})"


def _all_of(reader: int, child: int, wait: float) -> tuple[bytes, bool, int | None]:
    """What a child said, whether it came to its end in time, and its status if that is known.

    Its end shows in what it says or in its status, not in the pipe's being closed: a process that
    another thread started meanwhile may hold the pipe open.
    """
    said, until, status = b"", time.monotonic() + wait, None
    while (left := until - time.monotonic()) > 0:
        if select.select([reader], [], [], 0.0 if status is not None else min(left, LOOK))[0]:
            part = os.read(reader, 1 << 16)
            said += part
            if not part or said.endswith(_END):
                return said, True, status
        elif status is not None:  # ended, and all that it said is read
            return said, True, status
        else:
            status = _ended(child)
    return said, False, status


def _ended(child: int, *, wait: bool = False) -> int | None:
    """A child's status if it has ended; 0 where the system keeps none (SIGCHLD is ignored)."""
    try:
        pid, status = os.waitpid(child, 0 if wait else os.WNOHANG)
    except ChildProcessError:
        return 0
    return status if pid else None


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
        except Exception as error:
            said = f"{type(error).__name__}: {one_line(error)}"
        text = said.encode(errors="replace").replace(_END, b"")[:4000]
        os.write(writer, _DONE + text + _END)
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
