"""Long loops in chunks, so that they can be observed, stopped or saved in between."""

from __future__ import annotations

import time
from collections.abc import Callable

PAUSE = 0.1  # seconds between two pauses, if an iteration does not take longer


class Pace:
    """Takes iterations in chunks of about a tenth of a second; the first chunk is one iteration."""

    def __init__(self, step: Callable[[int], object]) -> None:
        """`step(n)` takes n iterations."""
        self.step = step
        self.size = 1

    def take(self, most: int) -> None:
        """The next chunk, of at most that many iterations."""
        size = min(self.size, most)
        before = time.perf_counter()
        self.step(size)
        took = max(time.perf_counter() - before, 1e-6)
        self.size = max(1, min(2 * self.size, int(size * PAUSE / took)))
