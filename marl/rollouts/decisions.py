"""One policy's decisions in a trajectory, divided into minibatches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from games.simulators.simulator import Observation
from marl.networks.network import PolicyNetwork
from marl.networks.packing import Input, pack
from marl.rollouts.trajectory import Trajectory


@dataclass(frozen=True)
class Minibatch:
    """D decisions to learn from; `minibatch["advantage"]` is an extra of each."""

    input: Input
    actions: Tensor  # [D, W]
    beside: Mapping[str, Tensor]  # [D, ...] each

    def __getitem__(self, name: str) -> Tensor:
        return self.beside[name]


class Decisions:
    """One policy's part of a trajectory, which it divides into minibatches.

    A minibatch consists of single decisions if the network sees one agent's node only, of whole
    steps of games if it sees a graph or all agents, and of whole games if it has a memory.
    """

    def __init__(
        self,
        trajectory: Trajectory,
        policy: int,
        network: PolicyNetwork,
        beside: Mapping[str, Tensor] | None = None,
    ) -> None:
        """
        Args:
            policy: its index in `trajectory.policy`.
            network: the one that learns; one with a memory needs the extra "memory".
            beside: [T, B, N, ...] by name, further data of each decision: advantages, targets,
                extras.
        """
        self.trajectory, self.network = trajectory, network
        steps, games = trajectory.nodes.shape[:2]
        self.deciding = (trajectory.policy == policy).flatten(0, 1)  # [T * B, N]
        self.count = int(self.deciding.sum())
        self._beside = dict(beside or {})
        row = trajectory.edge_row
        self._edge_start = torch.searchsorted(
            row, torch.arange(steps * games + 1, device=row.device)
        )
        if network.memory_width:
            self.units = self.deciding.view(steps, games, -1).any(dim=2).any(dim=0).nonzero()[:, 0]
        elif network.uses_graph or network.central:
            self.units = self.deciding.any(dim=1).nonzero()[:, 0]
        else:
            self._flat = self._minibatch(torch.arange(steps * games, device=self.deciding.device))
            self.units = torch.arange(self.count, device=self.deciding.device)

    def scale(self, name: str, mean: Tensor, deviation: Tensor) -> None:
        """Shift and scale the data of this name in all later minibatches."""
        self._beside[name] = (self._beside[name] - mean) / deviation
        if hasattr(self, "_flat"):
            beside = {**self._flat.beside, name: (self._flat[name] - mean) / deviation}
            self._flat = replace(self._flat, beside=beside)

    def __getitem__(self, name: str) -> Tensor:
        """The data [D, ...] of this name at all decisions."""
        return self.of(self._beside[name])

    def of(self, each: Tensor) -> Tensor:
        """Select the entries [D, ...] of all decisions from [T, B, N, ...]."""
        return each.flatten(0, 1)[self.deciding]

    def minibatches(self, number: int, generator: torch.Generator) -> Iterator[Minibatch | None]:
        """All decisions once, in `number` random minibatches; None for an empty one."""
        shuffled = self.units[
            torch.randperm(len(self.units), generator=generator).to(self.units.device)
        ]
        for part in torch.tensor_split(shuffled, number):
            if not len(part):
                yield None
            elif self.network.memory_width:
                yield self._sequences(part.sort().values)
            elif hasattr(self, "_flat"):
                yield self._decisions(part)
            else:
                yield self._minibatch(part.sort().values)

    def _decisions(self, index: Tensor) -> Minibatch:
        flat = self._flat
        whole = flat.input
        return Minibatch(
            input=replace(
                whole,
                x=whole.x[index],
                deciding=None,
                game=None,
                action_mask=whole.action_mask[index],
            ),
            actions=flat.actions[index],
            beside={name: each[index] for name, each in flat.beside.items()},
        )

    def _sequences(self, games: Tensor) -> Minibatch:
        """The minibatch of all steps of some games [K], in order of time."""
        steps, total = self.trajectory.nodes.shape[:2]
        time = torch.arange(steps, device=games.device)
        found = self._minibatch((time[:, None] * total + games).flatten())
        agents = self.deciding.shape[1]
        deciding = self.deciding.view(steps, total, agents)[:, games]  # [T, K, N]
        step, game, agent = deciding.nonzero(as_tuple=True)
        return replace(
            found,
            input=replace(
                found.input,
                memory=self._memory(games),
                slot=game * agents + agent,
                time=step,
                fresh=self.trajectory.fresh[:, games][deciding],
            ),
        )

    def _memory(self, games: Tensor) -> Tensor:
        memory = self.trajectory.extras["memory"][0]
        return memory[games].flatten(0, 1)[:, : self.network.memory_width]

    def _minibatch(self, rows: Tensor) -> Minibatch:
        """The minibatch of some steps of games; rows [K] are t * B + b, ascending."""
        role = self.network.role
        deciding = self.deciding[rows]

        def of(each: Tensor) -> Tensor:
            return each.flatten(0, 1)[rows][deciding]

        actions = of(self.trajectory.actions)[:, : role.action_width]
        return Minibatch(
            input=pack(self._observation(rows), deciding, self.network),
            actions=actions.to(torch.int64 if role.sizes else torch.float32),
            beside={name: of(each) for name, each in self._beside.items()},
        )

    def _observation(self, rows: Tensor) -> Observation:
        seen = self.trajectory
        nodes = seen.nodes.flatten(0, 1)[rows]
        start, count = self._edge_start[rows], self._edge_start[rows + 1] - self._edge_start[rows]
        if self.network.uses_graph:
            game = torch.repeat_interleave(torch.arange(len(rows), device=rows.device), count)
            first = count.cumsum(0) - count
            at = torch.arange(len(game), device=rows.device) - first[game] + start[game]
        else:
            game = at = rows[:0]
        return Observation(
            nodes=nodes,
            edges=seen.edges[:, at] + game * nodes.shape[1],
            edge_features=seen.edge_features[at],
            acting=seen.acting.flatten(0, 1)[rows],
            action_mask=seen.action_mask.flatten(0, 1)[rows],
        )
