"""The memory that a replay takes, known before it is made."""

from __future__ import annotations

from games.simulators.simulator import Spec
from marl.replay.priorities import tree_bytes
from marl.replay.replay import Draws

NUMBER, COUNT, PLACE = 4, 8, 4  # bytes of a float32, an int64, and of one end of an edge
SMALL = 4 + 2  # bytes of an agent's truths (acting, fresh, terminated, cut) and of its policy


def replay_bytes(spec: Spec, capacity: int, draws: Draws) -> int:
    """Bytes of a replay of `capacity` steps of games, all but those of edges; see `edge_bytes`."""
    agents = spec.num_agents
    number = NUMBER if spec.action_dtype.is_floating_point else COUNT
    row = (
        spec.num_nodes * spec.features * NUMBER
        + agents * (SMALL + spec.mask_width + spec.action_width * number + NUMBER)
        + COUNT + 1  # what comes after, and whether it can be drawn
    )  # fmt: skip
    if spec.edge_features:
        row += 2 * COUNT  # where its edges begin, and how many they are
    need = capacity * row
    if draws.sequence_length:
        starts = -(-capacity // draws.sequence_length)
        need += capacity * COUNT + starts * (COUNT + agents * draws.memory_width * NUMBER)
    if draws.priority:
        need += tree_bytes(capacity)
    return need


def edge_bytes(spec: Spec, edges: float) -> int:
    """Bytes of so many edges. The ring that holds them has room for up to twice as many."""
    return int(edges * (2 * PLACE + spec.edge_features * NUMBER))
