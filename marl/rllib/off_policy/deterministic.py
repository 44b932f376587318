"""The learner of deterministic policies: MADDPG and MATD3."""

from __future__ import annotations

import torch
from ray.rllib.utils.annotations import override
from torch import Tensor

from marl.learning.off_policy.dqn import target
from marl.learning.off_policy.maddpg import actor_loss, critic_loss, mean_known
from marl.learning.off_policy.matd3 import critic_loss as twin_critic_loss
from marl.learning.off_policy.matd3 import smoothed, twin_target
from marl.networks.network import PolicyNetwork
from marl.replay.batch import Batch, View
from marl.rllib.off_policy.actor_critic import ActorCriticLearner
from marl.rllib.off_policy.learner import Learned, OffPolicyLearner


class DeterministicLearner(ActorCriticLearner):
    """Learns deterministic policies by critics of their actions."""

    @override(OffPolicyLearner)
    def gradient_step(self, batch: Batch, steps: int) -> Learned:
        seen, done = batch.now.seen, batch.actions.clamp(-1.0, 1.0)
        known = batch.known & (batch.policy >= 0)
        targets = self._targets(batch)
        values = self.judged(self.critics, seen, done)
        if len(values) == 2:
            loss = twin_critic_loss(values[0], values[1], targets, known, batch.weight)
        else:
            loss = critic_loss(values[0], targets, known, batch.weight)
        norm = self.descend(loss, self.optimiser_beside(steps))
        if self.taken % self.method.policy_every == 0:
            self._improve(batch, done, known, steps)
        errors = (targets - values[0].detach()).abs() * known
        return Learned(
            errors.sum(1) / known.sum(1).clamp(min=1),
            {
                "loss": loss, "gradient_norm": norm,
                "value": mean_known(values[0], known), "error": mean_known(errors, known),
            },
        )  # fmt: skip

    def _improve(self, batch: Batch, done: Tensor, known: Tensor, steps: int) -> None:
        """Take the policies' gradient step: each answers for its own action alone."""
        would = self._actions(self.networks, batch.now)
        (values,) = self.judged_alone(self.critics[:1], batch.now.seen, would, done)
        self.descend(actor_loss(values, known), self.optimisers(steps))

    @torch.no_grad()
    def _targets(self, batch: Batch) -> Tensor:
        """Targets [M, N] by the target networks, with noise on their actions."""
        method, later = self.method, batch.later
        actions = self._actions(self.target_networks, later)
        if method.smoothing:
            noise = torch.empty_like(actions).normal_(generator=self.generator)
            actions = smoothed(actions, noise, method.smoothing, method.smoothing_clip)
        judged = self.judged(self.target_critics, later.seen, actions)
        ahead = [values.gather(0, batch.where) for values in judged]
        if len(ahead) == 2:
            return twin_target(batch.reward, batch.discount, ahead[0], ahead[1])
        return target(batch.reward, batch.discount, ahead[0])

    def _actions(self, networks: list[PolicyNetwork], view: View) -> Tensor:
        """What policies would do [K, N, W], in [-1, 1]; 0 where nobody acts."""
        shape = *view.seen.acting.shape, self.spec.action_width
        found = torch.zeros(shape, device=self._device)
        for network, mine in zip(networks, self.mine, strict=True):
            mask = view.seen.acting & mine
            parameters, _ = network.policy(view.input(mask, network, network.memory_width))
            mean = network.rule.mode(parameters)
            wide = torch.nn.functional.pad(mean, (0, shape[-1] - mean.shape[1]))
            found = found.masked_scatter(mask[..., None], wide)
        return found
