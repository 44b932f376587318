"""Checks of free memory before large allocations."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from games.common.errors import InputError, one_line

GIB = 2**30
PROCESS = Path("/proc/self/statm")  # its first number: pages of address space in use
MACHINE = Path("/proc/meminfo")
GROUP = Path("/sys/fs/cgroup")
NO_ROOM = ("can't allocate memory", "not enough memory", "Storage size calculation overflowed")
"""What torch says in a RuntimeError where memory is short."""


def available() -> float:
    """Bytes that this process could still take: of the machine's, its container's, its own limit.

    Infinite where the system says nothing.
    """
    return min(_of_machine(), _of_group(), _of_process())


def require_memory(need: float, what: str, advice: str) -> None:
    """Raise InputError if `need` bytes, a lower bound, exceed the free memory.

    Args:
        need: bytes.
        what: what needs them; begins the message.
        advice: what to do about it.
    """
    there = available()
    if need > there:
        raise InputError(
            f"{what} needs at least {said(need)} of memory, and {said(there)} are free: {advice}"
        )


@contextmanager
def enough_for(what: str) -> Iterator[None]:
    """Turn running out of memory into an InputError that names what is too large."""
    try:
        yield
    except (MemoryError, OverflowError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not any(said in str(error) for said in NO_ROOM):
            raise
        said = one_line(error)[:100] or type(error).__name__
        raise InputError(f"{what}: too large for this machine ({said}): make it smaller") from None


def said(size: float) -> str:
    """Bytes as people read them."""
    return f"{size / GIB:,.1f} GiB" if size >= GIB / 10 else f"{size / 2**20:,.1f} MiB"


def _of_machine() -> float:
    for line in _text(MACHINE).splitlines():
        name, _, amount = line.partition(":")
        if name == "MemAvailable":
            return int(amount.split()[0]) * 1024
    return float("inf")


def _of_group() -> float:
    """Of a container (cgroup v2). What it keeps of files can be had back."""
    limit, used = _text(GROUP / "memory.max").strip(), _text(GROUP / "memory.current").strip()
    if not limit.isdigit() or not used.isdigit():
        return float("inf")
    files = 0
    for line in _text(GROUP / "memory.stat").splitlines():
        name, _, amount = line.partition(" ")
        if name in ("inactive_file", "active_file"):
            files += int(amount)
    return max(int(limit) - int(used) + files, 0)


def _of_process() -> float:
    try:
        import resource
    except ImportError:  # Windows
        return float("inf")
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    used = _text(PROCESS).split()
    if limit == resource.RLIM_INFINITY or not used:
        return float("inf")
    return max(limit - int(used[0]) * resource.getpagesize(), 0)


def _text(file: Path) -> str:
    try:
        return file.read_text()
    except OSError:
        return ""
