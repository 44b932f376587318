"""A game of your own: a simulator in one class; `schelling run` trains on it by its name."""

from dataclasses import dataclass

import torch
from gymnasium.spaces import Discrete

from games.simulators.simulator import Observation, Role, Spec, Step, no_edges


@dataclass(frozen=True)
class Lake:
    fish: torch.Tensor  # [B] share of what the lake can hold
    year: torch.Tensor  # [B]


@dataclass(frozen=True)
class Fishery:
    """Anglers take a share of what is left, up to all of it together; the rest grows again."""

    anglers: int = 3
    differentiable = False

    @property
    def spec(self):
        angler, seats = Role("angler", Discrete(4), features=1), (0,) * self.anglers
        return Spec("fishery", (angler,), seats, num_nodes=self.anglers)

    def reset(self, batch, generator):
        return Lake(torch.ones(batch), torch.zeros(batch, dtype=torch.int64))

    def step(self, state, actions, generator):
        catch = actions[..., 0] / (3 * self.anglers) * state.fish[:, None]  # [B, N]
        left = state.fish - catch.sum(dim=1)
        over = (state.year == 19)[:, None].expand(-1, self.anglers)
        return Lake(left * (3 - left) / 2, state.year + 1), Step(catch, over, over & False)

    def observe(self, state):
        nodes = state.fish[:, None, None].repeat(1, self.anglers, 1)
        return Observation(nodes, *no_edges(nodes), nodes[..., 0] >= 0, nodes.repeat(1, 1, 4) >= 0)
