"""Peers measured in turn, so that a slow moment of the machine does not decide a ratio."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

PAIRS = 3


def in_turn(calls: list[Callable[[], Any]]) -> list[list[float]]:
    """CPU seconds of each call, the calls taking turns."""
    seconds: list[list[float]] = [[] for _ in calls]
    for _ in range(PAIRS):
        for k, call in enumerate(calls):
            began = time.process_time()
            call()
            seconds[k].append(time.process_time() - began)
    return seconds


def compared(ours: np.ndarray, game: np.ndarray, none: np.ndarray) -> list[str]:
    """Median rates and median ratios of what was measured in turn."""
    mine, theirs, alone = (f"{np.median(rates):,.0f}" for rates in (ours, game, none))
    ratios = [f"**{np.median(ours / rates):.1f}**" for rates in (game, none)]
    return [mine, theirs, ratios[0], alone, ratios[1]]
