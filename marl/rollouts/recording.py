"""Recording the play of any actor as a dataset to learn from."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor

from games.common.errors import InputError
from games.common.seeds import seeds
from games.simulators.simulator import Observation
from games.simulators.vector import Vector
from marl.rollouts.rollout import joined_edges
from marl.rollouts.trajectory import Trajectory


class Plays(Protocol):
    """A player of all seats of B games: an actor of `marl.evaluation`."""

    def start(self, num_envs: int) -> None: ...

    def act(self, seen: Observation, generator: torch.Generator | None) -> Tensor: ...

    def forget(self, over: Tensor) -> None: ...


def record(vector: Vector, actor: Plays, steps: int, *, seed: int = 0) -> Trajectory:
    """Have an actor play B games for some steps each; `Trajectory.save` writes it to a file.

    All decisions count as policy 0's. Actions are recorded as the game takes them: discrete choices
    equal a network's draws, bounded continuous actions do not, since networks scale them.

    Args:
        vector: the games, which are restarted.
        actor: plays all seats; `act` gives actions [B, N, D].
        steps: of each game, T.
        seed: of everything random.

    Raises:
        InputError: fewer than 1 step, or an action that is not legal.
    """
    if steps < 1:
        raise InputError(f"cannot record {steps} steps: give at least 1")
    game_seed, draw_seed = seeds(seed, count=2)
    seen = vector.reset(game_seed)
    generator = torch.Generator(seen.nodes.device).manual_seed(draw_seed)
    actor.start(vector.num_envs)
    fresh = torch.ones_like(seen.acting)
    rows: list[dict[str, Tensor]] = []
    edges: list[tuple[Tensor, Tensor]] = []
    for _ in range(steps):
        acting = seen.acting
        actions = torch.where(acting[..., None], actor.act(seen, generator), 0)
        row = {"nodes": seen.nodes, "acting": acting, "action_mask": seen.action_mask}
        edges.append((seen.edges, seen.edge_features))
        step, seen, _ = vector.step(actions)
        row |= {"fresh": fresh, "actions": actions, "policy": acting.long() - 1}
        row |= {name: getattr(step, name) for name in ("reward", "terminated", "truncated")}
        rows.append(row)
        fresh = (fresh & ~acting) | step.over[:, None]
        if step.over.any():
            actor.forget(step.over)
    place, both, features = joined_edges(edges, vector.num_envs, seen.nodes.shape[1])
    played: dict[str, Any] = {name: torch.stack([row[name] for row in rows]) for name in rows[0]}
    return Trajectory(**played, edges=both, edge_row=place, edge_features=features)
