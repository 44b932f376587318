"""What off-policy actor-critic learners share: critics of actions, and what agents would do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from ray.rllib.utils.annotations import override
from torch import Tensor, nn

from games.simulators.simulator import Observation
from marl.networks.critic import ActionCritic, acted
from marl.networks.network import PolicyNetwork
from marl.networks.packing import pack
from marl.rllib.off_policy.learner import OffPolicyLearner

Critics = Sequence[Any]
"""Lists of critics, one critic for each policy."""


class ActorCriticLearner(OffPolicyLearner):
    """Policies, and critics for each of them: one, or two of which the smaller value counts."""

    @override(OffPolicyLearner)
    def made_beside(self) -> nn.Module:
        """Under "critics": one or two lists with a critic for every policy."""
        lists = [
            nn.ModuleList(self._critic(network) for network in self.networks)
            for _ in range(1 + self.method.twin)
        ]
        return nn.ModuleDict({"critics": nn.ModuleList(lists)})

    @property
    def critics(self) -> Any:
        return self.beside["critics"]

    @property
    def target_critics(self) -> Any:
        return self.target_beside["critics"]

    def _critic(self, network: PolicyNetwork) -> ActionCritic:
        choices = network.role.mask_width
        return ActionCritic(
            self.plan.network, network.role, self.spec,
            actions=0 if choices else self.spec.action_width, outputs=choices or 1,
            central=self.method.critic == "central",
        )  # fmt: skip

    def judged(self, critics: Critics, seen: Observation, actions: Tensor) -> list[Tensor]:
        """Values [K, N] of all agents' actions [K, N, W] in K games, by each list of critics.

        They are 0 where nobody acts.
        """
        seen = acted(seen, actions)
        found = [torch.zeros(seen.acting.shape, device=self._device) for _ in critics]
        for k, mine in enumerate(self.mine):
            mask = seen.acting & mine
            given = pack(seen, mask, critics[0][k])  # the same for all lists
            for c, of_policies in enumerate(critics):
                found[c] = found[c].masked_scatter(mask, of_policies[k](given)[:, 0])
        return found

    def judged_alone(
        self, critics: Critics, seen: Observation, actions: Tensor, others: Tensor
    ) -> list[Tensor]:
        """Values [M, N] of each agent's own action [M, N, W], while the others do `others`.

        Of a critic that sees one agent alone this is `judged`; else every agent gets a game of its
        own, in which its action alone is replaced, so that it answers for nothing else.
        """
        agents = actions.shape[1]
        if self.method.critic == "own" or agents == 1:
            return self.judged(critics, seen, actions)
        own = torch.eye(agents, dtype=torch.bool, device=self._device)
        each = torch.where(own[:, :, None], actions[:, None], others[:, None])  # [M, N, N, W]
        games = repeated(seen, agents)
        acting = (games.acting.unflatten(0, (-1, agents)) & own).flatten(0, 1)
        values = self.judged(critics, replace(games, acting=acting), each.flatten(0, 1))
        return [one.unflatten(0, (-1, agents)).diagonal(dim1=1, dim2=2) for one in values]


def repeated(seen: Observation, times: int) -> Observation:
    """Each of K games so many times, one after the other: K * times games."""
    num_nodes = seen.nodes.shape[1]
    game, place = seen.edges // num_nodes, seen.edges % num_nodes
    copies = torch.arange(times, device=seen.edges.device)
    edges = (game[:, :, None] * times + copies) * num_nodes + place[:, :, None]  # [2, E, times]
    row = edges[0].flatten()
    order = (row // num_nodes).argsort(stable=True)
    return Observation(
        seen.nodes.repeat_interleave(times, dim=0),
        edges.flatten(1)[:, order],
        seen.edge_features.repeat_interleave(times, dim=0)[order],
        seen.acting.repeat_interleave(times, dim=0),
        seen.action_mask.repeat_interleave(times, dim=0),
    )
