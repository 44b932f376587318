"""Critics of actions: what an action is worth, given what the agent, or what everybody, does."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from games.simulators.simulator import Observation, Role, Spec
from marl.networks.activations import ACTIVATIONS
from marl.networks.linear import Linear
from marl.networks.network import Network, Trunk, initialise, mlp, with_all
from marl.networks.packing import Input


class ActionCritic(nn.Module):
    """Values of actions for one role: from the agent's own node, its graph, or all agents.

    Actions are more features of the agents' nodes, so that the encoders of policies serve, and
    weights do not depend on the number of agents. It has no memory.

    Args:
        config: the network of the policy: encoder, widths, activation.
        role: of the agents whose actions are judged.
        spec: of the game.
        actions: U, the numbers of an action that are joined to each node; 0 if only observations
            are, and values are those of all choices.
        outputs: values of each decision.
        central: whether the critic sees all agents, with their actions.
    """

    def __init__(
        self, config: Network, role: Role, spec: Spec, *, actions: int, outputs: int, central: bool
    ) -> None:
        super().__init__()
        config = config.model_copy(update={"memory": 0})
        activation = ACTIVATIONS[config.activation]
        wider = replace(spec, roles=tuple(_wider(one, actions) for one in spec.roles))
        self.actions, self.central = actions, central
        self.trunk = Trunk(config, _wider(role, actions), wider)
        self.uses_graph = self.trunk.graph
        width = self.trunk.width
        self.others: nn.Module | None = None
        if central:
            self.others = mlp(wider.features, config.hidden, activation)
            heard = 2 * (config.hidden or (wider.features,))[-1]
            self.joint = nn.Sequential(Linear(width + heard, width), activation())
            initialise(self.others)
            initialise(self.joint)
        self.worth = nn.Linear(width, outputs)
        initialise(self.worth, gain=1.0)

    def forward(self, given: Input) -> Tensor:
        """Values [D, outputs] of decisions in an observation that `acted` made."""
        judged = self.trunk(given, None)
        if self.others is not None:
            judged = self.joint(with_all(judged, self.others(given.x), given))
        return self.worth(judged)


def acted(seen: Observation, actions: Tensor) -> Observation:
    """The observation of K games with agents' actions [K, N, U] joined to their nodes, in front."""
    others = seen.nodes.shape[1] - actions.shape[1]
    before = nn.functional.pad(actions, (0, 0, 0, others))
    return replace(seen, nodes=torch.cat([before, seen.nodes], dim=2))


def _wider(role: Role, actions: int) -> Role:
    return replace(role, features=role.features + actions)
