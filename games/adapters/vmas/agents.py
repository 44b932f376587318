"""Agents of VMAS as a spec, and their observations and infos as tensors."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium
import numpy as np
import torch
from torch import Tensor

from games.adapters.pettingzoo.spaces import agent_of, roles_of
from games.common.errors import InputError, one_line
from games.simulators.simulator import Spec


def spec_of(name: str, environment: Any) -> Spec:
    """The spec of an environment's games.

    Raises:
        InputError: an action space that no policy takes.
    """
    seen, done = environment.observation_space.spaces, environment.action_space.spaces
    agents = []
    for agent, own, acts in zip(environment.agents, seen, done, strict=True):
        box = gymnasium.spaces.Box(-np.inf, np.inf, (_width(own),), np.float32)
        agents.append(agent_of(agent.name, box, _space(acts, f"{name}: {agent.name}"), name))
    roles, role_of = roles_of(agents)
    return Spec(name=name, roles=roles, role_of=role_of, num_nodes=len(agents))


def nodes_of(seen: Sequence[Any], features: int) -> Tensor:
    """Observations of all agents, each [B, ...] or a dictionary of those, as [B, N, features]."""
    rows = []
    for own in seen:
        row = _flat(own)
        short = features - row.shape[1]
        rows.append(torch.nn.functional.pad(row, (0, short)) if short else row)
    return torch.stack(rows, dim=1).float()


def reported(infos: Sequence[Mapping[str, Any]], batch: int) -> dict[str, Tensor]:
    """Infos of all agents, as [B, N] float32 if all have it, else [B], the mean of those who do.

    What is not one number for each game is left out.
    """
    found: dict[str, Tensor] = {}
    for key in dict.fromkeys(key for info in infos for key in info):
        values = [info[key] for info in infos if key in info]
        if all(
            isinstance(value, Tensor) and value.shape in ((batch,), (batch, 1)) for value in values
        ):
            rows = torch.stack([value.detach().reshape(batch) for value in values], dim=1).float()
            found[key] = rows if len(values) == len(infos) else rows.mean(dim=1)
    return found


def _flat(own: Any) -> Tensor:
    """[B, F] an observation's numbers side by side."""
    if isinstance(own, Mapping):
        return torch.cat([_flat(part) for part in own.values()], dim=1)
    return own if own.dim() == 2 else own.reshape(len(own), -1)


def _width(space: Any) -> int:
    parts = getattr(space, "spaces", None)
    return math.prod(space.shape) if parts is None else sum(map(_width, parts.values()))


def _space(space: Any, where: str) -> gymnasium.Space[Any]:
    """Gym's space as gymnasium's."""
    match type(space).__name__:
        case "Box":
            return gymnasium.spaces.Box(space.low, space.high, dtype=np.float32)
        case "Discrete":
            return gymnasium.spaces.Discrete(int(space.n))
        case "MultiDiscrete":
            return gymnasium.spaces.MultiDiscrete(np.asarray(space.nvec))
    raise InputError(f"{where}: actions {one_line(space)} are none that policies here have")
