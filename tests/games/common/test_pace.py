"""Iterations in chunks, by a clock that the test turns."""

from __future__ import annotations

from itertools import pairwise
from types import SimpleNamespace

import pytest

from games.common import pace


@pytest.mark.parametrize(
    ("seconds_each", "longest"), [(1e-6, 32_768), (0.02, 5), (0.06, 1), (5, 1)]
)
def test_chunks_grow_until_they_last_a_tenth_of_a_second(monkeypatch, seconds_each, longest):
    now, taken = 0.0, []

    def step(count: int) -> None:
        nonlocal now
        now += count * seconds_each
        taken.append(count)

    monkeypatch.setattr(pace, "time", SimpleNamespace(perf_counter=lambda: now))
    steps = pace.Pace(step)
    for _ in range(16):
        steps.take(10**9)
    assert taken[0] == 1
    assert all(later <= 2 * earlier for earlier, later in pairwise(taken))
    assert max(taken) == pytest.approx(longest, abs=1)
    steps.take(1)
    assert taken[-1] == 1
