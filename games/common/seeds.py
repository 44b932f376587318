"""Seeds: all randomness of a run follows from its one seed."""

from __future__ import annotations

import numpy as np


def seeds(seed: int, *path: int, count: int = 1) -> list[int]:
    """Independent seeds below 2**63 for a place in a run, derived from the run's seed."""
    words = np.random.SeedSequence(seed, spawn_key=path).generate_state(count, np.uint64)
    return [int(word >> np.uint64(1)) for word in words]
