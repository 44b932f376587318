"""What was played: T steps of B games as tensors, and the minibatches that learners make of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from itertools import pairwise

import torch
from torch import Tensor

from games.simulators.simulator import Observation
from marl.networks.distributions import distribution
from marl.networks.network import PolicyNetwork
from marl.networks.packing import Input, pack


@dataclass(frozen=True)
class Fragment:
    """T steps of B games between N agents.

    Everything about an agent that did not decide is 0. `policy` says whose decision it was: an
    index among the policies that learn, or -1 where nobody learns from it.
    """

    nodes: Tensor  # [T, B, V, F] float32
    edges: Tensor  # [2, E] int64  source and target node, each 0..V-1
    edge_row: Tensor  # [E] int64  t * B + b, ascending
    edge_features: Tensor  # [E, G] float32
    acting: Tensor  # [T, B, N] bool
    action_mask: Tensor  # [T, B, N, A] bool
    policy: Tensor  # [T, B, N] int64
    fresh: Tensor  # [T, B, N] bool  the agent's first decision of a game
    actions: Tensor  # [T, B, N, D]
    parameters: Tensor  # [T, B, N, P] float32  of the distribution that the action was drawn from
    logp: Tensor  # [T, B, N] float32
    value: Tensor  # [T, B, N] float32
    advantage: Tensor  # [T, B, N] float32
    memory: Tensor  # [B, N, M] float32  before the first step
    # Where decisions were judged before chance came (`marl.learning.on_policy.pdppo`); None
    # elsewhere.
    after: Tensor | None = None  # [T, B, N, F] float32  agents' nodes after their decisions
    after_target: Tensor | None = None  # [T, B, N] float32  what is to be said of them
    target: Tensor | None = None  # [T, B, N] float32  of the value, if not value + advantage

    @property
    def num_envs(self) -> int:
        return self.nodes.shape[1]

    @property
    def num_steps(self) -> int:
        """Of all games together."""
        return self.nodes.shape[0] * self.nodes.shape[1]

    def to(self, device: torch.device | str) -> Fragment:
        found = {f.name: getattr(self, f.name) for f in fields(self)}
        return replace(self, **{k: x.to(device) for k, x in found.items() if x is not None})

    def split(self, parts: int) -> list[Fragment]:
        """Into fragments of equally many games, or one fewer."""
        bounds = [len(self.memory) * k // parts for k in range(parts + 1)]
        return [self._games(lo, hi) for lo, hi in pairwise(bounds)]

    @property
    def _by_step(self) -> tuple[str, ...]:
        return _BY_STEP if self.after is None else _BY_STEP + _AFTER

    def _games(self, low: int, high: int) -> Fragment:
        total, width = self.num_envs, high - low
        step, game = self.edge_row // total, self.edge_row % total
        inside = (game >= low) & (game < high)
        part = {name: getattr(self, name)[:, low:high] for name in self._by_step}
        return Fragment(
            **part,
            edges=self.edges[:, inside],
            edge_row=(step * width + game - low)[inside],
            edge_features=self.edge_features[inside],
            memory=self.memory[low:high],
        )

    @classmethod
    def join(cls, parts: Sequence[Fragment]) -> Fragment:
        """The games of several fragments of as many steps, as one."""
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
            **{
                name: torch.cat([getattr(p, name) for p in parts], dim=1)
                for name in parts[0]._by_step
            },
            edges=torch.cat([part.edges for part in parts], dim=1)[:, order],
            edge_row=row,
            edge_features=torch.cat([part.edge_features for part in parts])[order],
            memory=torch.cat([part.memory for part in parts]),
        )


_BY_STEP = (
    "nodes", "acting", "action_mask", "policy", "fresh", "actions", "parameters", "logp", "value",
    "advantage",
)  # fmt: skip
_AFTER = ("after", "after_target", "target")


@dataclass(frozen=True)
class Minibatch:
    """D decisions to learn from."""

    input: Input
    actions: Tensor  # [D, W]
    old_parameters: Tensor  # [D, P]
    old_logp: Tensor  # [D]
    advantage: Tensor  # [D]
    target: Tensor  # [D] float32  what the value should have been
    after: Tensor | None = None  # [D, F] float32  the agents' nodes after their decisions
    after_target: Tensor | None = None  # [D] float32


class Decisions:
    """One policy's part of a fragment, in minibatches.

    A minibatch is made of decisions where a network sees nothing else, of whole steps of games
    where it sees their graph or all their agents, and of whole games where it has a memory.
    """

    def __init__(self, fragment: Fragment, policy: int, network: PolicyNetwork) -> None:
        """
        Args:
            policy: its index in `fragment.policy`.
            network: that is to learn.
        """
        self.fragment, self.network = fragment, network
        steps, games = fragment.nodes.shape[:2]
        self.deciding = (fragment.policy == policy).flatten(0, 1)  # [T * B, N]
        self.count = int(self.deciding.sum())
        self.width = distribution(network.role).num_parameters
        own = fragment.target
        self._target = fragment.value + fragment.advantage if own is None else own
        self._edge_start = torch.searchsorted(
            fragment.edge_row, torch.arange(steps * games + 1, device=fragment.edge_row.device)
        )
        if network.memory_width:
            self.units = self.deciding.view(steps, games, -1).any(dim=2).any(dim=0).nonzero()[:, 0]
        elif network.uses_graph or network.central:
            self.units = self.deciding.any(dim=1).nonzero()[:, 0]
        else:
            self._flat = self._minibatch(torch.arange(steps * games, device=self.deciding.device))
            self.units = torch.arange(self.count, device=self.deciding.device)

    def normalised(self, mean: Tensor, deviation: Tensor) -> None:
        """Shift and scale the advantages that minibatches have from now on."""
        advantage = (self.fragment.advantage - mean) / deviation
        self.fragment = replace(self.fragment, advantage=advantage)
        if hasattr(self, "_flat"):
            self._flat = replace(self._flat, advantage=(self._flat.advantage - mean) / deviation)

    @property
    def advantage(self) -> Tensor:
        """[D] float32 of all decisions."""
        return self.fragment.advantage.flatten(0, 1)[self.deciding]

    @property
    def target(self) -> Tensor:
        """[D] float32 of all decisions: what their values should have been."""
        return self._target.flatten(0, 1)[self.deciding]

    @property
    def error(self) -> Tensor:
        """[D] float32 of all decisions: how far their values were off."""
        if self.fragment.target is None:
            return self.advantage
        return self.target - self.fragment.value.flatten(0, 1)[self.deciding]

    def minibatches(self, number: int, generator: torch.Generator) -> Iterator[Minibatch | None]:
        """Every decision once, in `number` parts of random order; None where a part is empty."""
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
            old_parameters=flat.old_parameters[index],
            old_logp=flat.old_logp[index],
            advantage=flat.advantage[index],
            target=flat.target[index],
            after=None if flat.after is None else flat.after[index],
            after_target=None if flat.after_target is None else flat.after_target[index],
        )

    def _sequences(self, games: Tensor) -> Minibatch:
        """All steps of some games [K], in order of time."""
        steps, total = self.fragment.nodes.shape[:2]
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
                fresh=self.fragment.fresh[:, games][deciding],
            ),
        )

    def _memory(self, games: Tensor) -> Tensor:
        return self.fragment.memory[games].flatten(0, 1)[:, : self.network.memory_width]

    def _minibatch(self, rows: Tensor) -> Minibatch:
        """The decisions of some steps of games; rows [K] are t * B + b, ascending."""
        f, role = self.fragment, self.network.role
        deciding = self.deciding[rows]

        def of(field: Tensor) -> Tensor:
            return field.flatten(0, 1)[rows][deciding]

        actions = of(f.actions)[:, : role.action_width]
        return Minibatch(
            input=pack(self._observation(rows), deciding, self.network),
            actions=actions.to(torch.int64 if role.sizes else torch.float32),
            old_parameters=of(f.parameters)[:, : self.width],
            old_logp=of(f.logp),
            advantage=of(f.advantage),
            target=of(self._target),
            after=None if f.after is None else of(f.after),
            after_target=None if f.after_target is None else of(f.after_target),
        )

    def _observation(self, rows: Tensor) -> Observation:
        f = self.fragment
        nodes = f.nodes.flatten(0, 1)[rows]
        start, count = self._edge_start[rows], self._edge_start[rows + 1] - self._edge_start[rows]
        if self.network.uses_graph:
            game = torch.repeat_interleave(torch.arange(len(rows), device=rows.device), count)
            first = count.cumsum(0) - count
            at = torch.arange(len(game), device=rows.device) - first[game] + start[game]
        else:
            game = at = rows[:0]
        return Observation(
            nodes=nodes,
            edges=f.edges[:, at] + game * nodes.shape[1],
            edge_features=f.edge_features[at],
            acting=f.acting.flatten(0, 1)[rows],
            action_mask=f.action_mask.flatten(0, 1)[rows],
        )
