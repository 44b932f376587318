"""The memory that a replay takes, known before it is made."""

from __future__ import annotations

from games.simulators.simulator import Spec

NUMBER, COUNT = 4, 8  # bytes of a float32 and of an int64


def replay_bytes(spec: Spec, capacity: int, memory_width: int = 0, sequence_length: int = 0) -> int:
    """Bytes of a full replay of `capacity` steps, without edges, whose number games decide."""
    agents = spec.num_agents
    number = NUMBER if spec.action_dtype.is_floating_point else COUNT
    row = (
        spec.num_nodes * spec.features * NUMBER
        + agents * (3 + spec.mask_width + spec.action_width * number + 2 + NUMBER)
        + COUNT + 2
    )  # fmt: skip
    remembered = agents * memory_width * NUMBER // sequence_length if sequence_length else 0
    return capacity * (row + remembered)
