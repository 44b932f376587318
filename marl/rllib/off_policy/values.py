"""The learner of values of choices: DQN, independent Q-learning, VDN and QMIX."""

from __future__ import annotations

from typing import Any

import torch
from ray.rllib.utils.annotations import override
from torch import Tensor, nn

from marl.learning.off_policy.dqn import best, chosen, dueled, td_loss
from marl.learning.off_policy.maddpg import mean_known
from marl.networks.categorical import MASKED
from marl.networks.network import PolicyNetwork
from marl.replay.batch import Batch, View
from marl.rllib.off_policy.learner import Learned, OffPolicyLearner


class ValueLearner(OffPolicyLearner):
    """Learns values of choices: each agent's own, or mixed into one of all agents together.

    The method has `dueling`, `double`, and `mixer(spec, network)`, which is None where agents learn
    alone.
    """

    @override(OffPolicyLearner)
    def made_beside(self) -> nn.Module:
        mixer = self.method.mixer(self.spec, self.plan.network)
        return nn.ModuleDict({} if mixer is None else {"mixer": mixer})

    @override(OffPolicyLearner)
    def gradient_step(self, batch: Batch, steps: int) -> Learned:
        now = self._values(self.networks, batch.now)
        present = batch.now.seen.acting
        values = torch.zeros(present.shape, device=self._device)
        for mask, each in now:
            values[mask] = chosen(each, batch.actions[mask][:, :1].long())
        with torch.no_grad():
            later = self._best(batch.later, now if batch.later is batch.now else None)
        mixed = "mixer" in self.beside
        if mixed:
            values = mix(self.beside["mixer"], values, batch.now)
            with torch.no_grad():
                later = mix(self.target_beside["mixer"], later, batch.later)
        columns = slice(1) if mixed else slice(None)
        ahead = later.gather(0, batch.where[:, columns])
        target = batch.reward[:, columns] + batch.discount[:, columns] * ahead
        known = batch.known[:, columns]
        if not mixed:
            known = known & present & (batch.policy >= 0)
        weight = batch.weight[:, None].expand_as(known)[known]
        loss, errors = self.loss(values[known], target[known], weight)
        norm = self.descend(loss, [*self.optimisers(steps), *self.optimiser_beside(steps)])
        apart = torch.zeros(known.shape, device=self._device)
        apart[known] = errors.abs()
        return Learned(
            apart.sum(1) / known.sum(1).clamp(min=1),
            {
                "loss": loss, "gradient_norm": norm,
                "value": mean_known(values, known), "error": mean_known(apart, known),
            },
        )  # fmt: skip

    def loss(self, values: Tensor, targets: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        """The loss and the errors [D] of values [D], whose weights are [D]; a subclass has its own.

        Of agents that learn together, D counts teams.
        """
        return td_loss(values, targets, weight, huber=self.method.huber)

    def _best(self, view: View, online: list[tuple[Tensor, Tensor]] | None) -> Tensor:
        """Values [K, N] of the best choices by the target networks; 0 where nobody acts."""
        found = torch.zeros(view.seen.acting.shape, device=self._device)
        selectors: list[Tensor | None] = [None] * len(self.networks)
        if self.method.double:
            online = online if online is not None else self._values(self.networks, view)
            selectors = [values for _, values in online]
        for (mask, values), selector in zip(
            self._values(self.target_networks, view), selectors, strict=True
        ):
            found[mask] = best(values, selector)
        return found

    def _values(self, networks: list[PolicyNetwork], view: View) -> list[tuple[Tensor, Tensor]]:
        """For each network: where it decides [K, N], and its values [D, A] of the choices."""
        found = []
        for network, mine in zip(networks, self.mine, strict=True):
            mask = view.seen.acting & mine
            given = view.input(mask, network, network.memory_width)
            if self.method.dueling:
                output = network(given)
                values = output.parameters[:, :-1]
                values = dueled(output.value, values, values > MASKED)
            else:
                values = network.policy(given)[0][:, :-1]
            found.append((mask, values))
        return found


def mix(mixer: Any, values: Tensor, view: View) -> Tensor:
    """Team values [K, 1] of agents' values [K, N]."""
    seen = view.seen
    return mixer(values, mixer.state(seen, seen.acting), seen.acting)[:, None]
