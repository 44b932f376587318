"""Trajectories: T steps of B games as tensors, in memory or in a file."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from games.common.errors import InputError
from games.common.storage import read_arrays, write_arrays

EXTRA = "extra."  # before the names of extras in a file


@dataclass(frozen=True)
class Trajectory:
    """T steps of B games between N agents: observations, actions, rewards, and ends of games.

    All entries of agents that did not decide are 0. Further data that a learning method needs is in
    `extras` by name (`marl.rollouts.extras` lists them): [T, B, ...] if there is one per step,
    [1, B, ...] if there is one per game, so that games are always the second dimension. Where
    trajectories are joined, other dimensions are padded with 0 to the longest.
    """

    nodes: Tensor  # [T, B, V, F] float32
    edges: Tensor  # [2, E] int64  source and target node, each 0..V-1
    edge_row: Tensor  # [E] int64  t * B + b, ascending
    edge_features: Tensor  # [E, G] float32
    acting: Tensor  # [T, B, N] bool
    action_mask: Tensor  # [T, B, N, A] bool
    fresh: Tensor  # [T, B, N] bool  the agent's first decision of a game
    actions: Tensor  # [T, B, N, D]  as they were drawn: before `Distribution.to_game`
    policy: Tensor  # [T, B, N] int64  whose decision: an index of a policy that learns, or -1
    reward: Tensor  # [T, B, N] float32  of the step
    terminated: Tensor  # [T, B, N] bool  the game ended after the step
    truncated: Tensor  # [T, B, N] bool  cut off after the step
    extras: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def num_envs(self) -> int:
        return self.nodes.shape[1]

    @property
    def num_steps(self) -> int:
        """Steps of all games together."""
        return self.nodes.shape[0] * self.nodes.shape[1]

    def to(self, device: torch.device | str) -> Trajectory:
        found: dict[str, Any] = {name: getattr(self, name).to(device) for name in _TENSORS}
        return Trajectory(**found, extras={k: x.to(device) for k, x in self.extras.items()})

    def split(self, parts: int) -> list[Trajectory]:
        """Split into trajectories of equally many games, or one fewer."""
        bounds = [self.num_envs * k // parts for k in range(parts + 1)]
        return [self._games(lo, hi) for lo, hi in pairwise(bounds)]

    def _games(self, low: int, high: int) -> Trajectory:
        total, width = self.num_envs, high - low
        step, game = self.edge_row // total, self.edge_row % total
        inside = (game >= low) & (game < high)
        return replace(
            self,
            **{name: getattr(self, name)[:, low:high] for name in _BY_GAME},
            edges=self.edges[:, inside],
            edge_row=(step * width + game - low)[inside],
            edge_features=self.edge_features[inside],
            extras={name: each[:, low:high] for name, each in self.extras.items()},
        )

    @classmethod
    def join(cls, parts: Sequence[Trajectory]) -> Trajectory:
        """Join the games of several trajectories with equally many steps and the same extras."""
        if len(parts) == 1:
            return parts[0]
        total = sum(part.num_envs for part in parts)
        rows, low = [], 0
        for part in parts:
            step, game = part.edge_row // part.num_envs, part.edge_row % part.num_envs
            rows.append(step * total + game + low)
            low += part.num_envs
        row, order = torch.sort(torch.cat(rows), stable=True)
        return cls(
            **{name: torch.cat([getattr(p, name) for p in parts], dim=1) for name in _BY_GAME},
            edges=torch.cat([part.edges for part in parts], dim=1)[:, order],
            edge_row=row,
            edge_features=torch.cat([part.edge_features for part in parts])[order],
            extras={
                name: _joined([part.extras[name] for part in parts]) for name in parts[0].extras
            },
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write it atomically to one file, an `.npz` of arrays with a digest."""
        arrays = {name: getattr(self, name) for name in _TENSORS}
        arrays |= {f"{EXTRA}{name}": each for name, each in self.extras.items()}
        write_arrays(Path(path), {name: each.cpu().numpy() for name, each in arrays.items()})

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Trajectory:
        """Read a trajectory written by `save`.

        Raises:
            InputError: there is no such file, or it is damaged or not a trajectory.
        """
        found = {name: torch.from_numpy(a) for name, a in read_arrays(Path(path)).items()}
        extras = {name.removeprefix(EXTRA): found.pop(name) for name in [*found] if EXTRA in name}
        if set(found) != set(_TENSORS):
            raise InputError(f"{path} is not a saved trajectory: record one with marl.rollouts")
        return cls(**found, extras=extras)


def _joined(parts: Sequence[Tensor]) -> Tensor:
    """Tensors [K, B, ...] joined along B, padded with 0 to the longest in all other dimensions."""
    sizes = [max(sizes) for sizes in zip(*(part.shape for part in parts), strict=True)]
    padded = []
    for part in parts:
        if part.shape[0] != sizes[0] or part.shape[2:] != tuple(sizes[2:]):
            whole = part.new_zeros((sizes[0], part.shape[1], *sizes[2:]))
            whole[tuple(slice(size) for size in part.shape)] = part
            part = whole
        padded.append(part)
    return torch.cat(padded, dim=1)


_TENSORS = tuple(f.name for f in fields(Trajectory) if f.name != "extras")
_BY_GAME = tuple(name for name in _TENSORS if not name.startswith("edge"))
