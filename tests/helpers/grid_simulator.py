"""A small simulator of our own, discrete and masked, whose agents leave one by one."""

from dataclasses import dataclass, replace
from functools import cached_property

import gymnasium
import torch
from torch import Tensor

from games.simulators.simulator import Observation, Role, Spec, Step, no_edges

MOVES = torch.tensor([[0, 0], [0, 1], [0, -1], [1, 0], [-1, 0]])  # stay, north, south, east, west


@dataclass(frozen=True)
class State:
    cell: Tensor  # [B, N, 2] int64
    exit: Tensor  # [B, N, 2] int64
    left: Tensor  # [B, N] bool  has reached its exit and is gone
    steps: Tensor  # [B] int64


@dataclass(frozen=True)
class Exits:
    """N agents on a grid; each is to walk to its own exit, where it leaves with a reward of 1.

    Every step costs 0.05; walls cannot be walked into. So the best return of an agent is known:
    1 - 0.05 max(1, d), d steps from its exit.
    """

    num_agents: int = 3
    size: int = 4
    max_steps: int = 20
    wind: float = 0.0  # chance that a move does not happen, so that a step draws

    differentiable = False

    @property
    def agents(self) -> tuple[int, ...]:
        return tuple(range(self.num_agents))

    @cached_property
    def spec(self) -> Spec:
        role = Role("walker", gymnasium.spaces.Discrete(5), features=4)
        return Spec("exits", (role,), (0,) * self.num_agents, self.num_agents)

    def reset(self, batch: int, generator: torch.Generator) -> State:
        places = torch.randint(self.size, (2, batch, self.num_agents, 2), generator=generator)
        nobody = torch.zeros(batch, self.num_agents, dtype=torch.bool)
        return State(places[0], places[1], nobody, torch.zeros(batch, dtype=torch.int64))

    def step(self, state: State, actions: Tensor, generator: torch.Generator) -> tuple[State, Step]:
        staying = state.left
        if self.wind:
            staying = staying | (torch.rand(state.left.shape, generator=generator) < self.wind)
        move = MOVES[torch.where(staying, 0, actions[..., 0])]
        cell = state.cell + move
        left = state.left | (cell == state.exit).all(dim=2)
        new = replace(state, cell=cell, left=left, steps=state.steps + 1)
        gain = (left & ~state.left).float() - 0.05 * (~state.left).float()
        late = (new.steps >= self.max_steps)[:, None].expand_as(left)
        return new, Step(gain, left, late, {"left": left.float().mean(dim=1)})

    def observe(self, state: State) -> Observation:
        nodes = torch.cat((state.cell, state.exit - state.cell), dim=2) / self.size
        target = state.cell[:, :, None] + MOVES
        inside = ((target >= 0) & (target < self.size)).all(dim=3)
        return Observation(nodes, *no_edges(nodes), ~state.left, inside)
