"""The learner of soft actor-critic: policies that are paid for their entropy."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from ray.rllib.utils.annotations import override
from torch import Tensor, nn

from games.simulators.simulator import Observation
from marl.learning.off_policy import masac
from marl.learning.off_policy.maddpg import mean_known
from marl.learning.off_policy.matd3 import critic_loss
from marl.networks.categorical import MASKED
from marl.networks.packing import pack
from marl.networks.squashed import SquashedGaussian
from marl.replay.batch import Batch, View
from marl.rllib.off_policy.actor_critic import ActorCriticLearner
from marl.rllib.off_policy.learner import Learned, OffPolicyLearner


class Temperatures(nn.Module):
    """The weights of the entropy, one for each policy, as logarithms [P]."""

    def __init__(self, policies: int, start: float) -> None:
        super().__init__()
        self.logs = nn.Parameter(torch.full((policies,), math.log(start)))


class SoftLearner(ActorCriticLearner):
    """Learns soft policies by twin critics; of choices, critics value each of them."""

    @override(OffPolicyLearner)
    def made_beside(self) -> nn.Module:
        found = super().made_beside()
        assert isinstance(found, nn.ModuleDict)
        found["temperatures"] = Temperatures(len(self.networks), self.method.temperature)
        return found

    @property
    def discrete(self) -> bool:
        return bool(self.spec.mask_width)

    def _temperatures(self) -> Tensor:
        """The logarithm of each agent's temperature [N]."""
        whose = torch.stack(self.mine).float().argmax(0)  # an agent without a policy: the first's
        return self.beside["temperatures"].logs[whose]

    @override(OffPolicyLearner)
    def gradient_step(self, batch: Batch, steps: int) -> Learned:
        known = batch.known & (batch.policy >= 0)
        logs = self._temperatures()
        temperature = logs.detach().exp()
        kind: Any = Choices if self.discrete else Numbers
        game = kind(self, batch)
        targets = game.targets(temperature)
        first, second = game.values()
        loss = critic_loss(first, second, targets, known, batch.weight)
        norm = self.descend(loss, self.optimiser_beside(steps))
        improved, entropy = game.improve(temperature, known)
        self.descend(improved, self.optimisers(steps))
        self.descend(game.adapt(logs, known), self.optimiser_beside(steps))
        errors = (targets - first.detach()).abs() * known
        entropies = [mean_known(entropy, known & mine) for mine in self.mine]
        return Learned(
            errors.sum(1) / known.sum(1).clamp(min=1),
            {
                "loss": loss, "gradient_norm": norm,
                "value": mean_known(first, known), "error": mean_known(errors, known),
                "temperature": self.beside["temperatures"].logs.detach().exp(),
                "entropy": torch.stack(entropies),
            },
        )  # fmt: skip


class Numbers:
    """A batch whose actions are bounded numbers: they are drawn, with a gradient."""

    def __init__(self, learner: SoftLearner, batch: Batch) -> None:
        self.learner, self.batch = learner, batch
        self.done = batch.actions.clamp(-1.0, 1.0)

    def _would(self, view: View) -> tuple[Tensor, Tensor]:
        """Actions [K, N, W] of the policies, and their log probabilities [K, N]."""
        learner = self.learner
        acting, width = view.seen.acting, learner.spec.action_width
        actions = torch.zeros((*acting.shape, width), device=acting.device)
        logp = torch.zeros(acting.shape, device=acting.device)
        for network, mine in zip(learner.networks, learner.mine, strict=True):
            mask = acting & mine
            parameters, _ = network.policy(view.input(mask, network, network.memory_width))
            assert isinstance(network.rule, SquashedGaussian)
            drawn, its_logp = network.rule.rsample(parameters, learner.generator)
            wide = nn.functional.pad(drawn, (0, width - drawn.shape[1]))
            actions = actions.masked_scatter(mask[..., None], wide)
            logp = logp.masked_scatter(mask, its_logp)
        return actions, logp

    @torch.no_grad()
    def targets(self, temperature: Tensor) -> Tensor:
        batch, learner = self.batch, self.learner
        actions, logp = self._would(batch.later)
        judged = learner.judged(learner.target_critics, batch.later.seen, actions)
        first, second = (values.gather(0, batch.where) for values in judged)
        ahead = logp.gather(0, batch.where)
        return masac.target(batch.reward, batch.discount, first, second, ahead, temperature)

    def values(self) -> tuple[Tensor, Tensor]:
        """Both critics' values [M, N] of what was done."""
        learner = self.learner
        first, second = learner.judged(learner.critics, self.batch.now.seen, self.done)
        return first, second

    def improve(self, temperature: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
        """The policies' loss, and their entropies [M, N]."""
        actions, self.logp = self._would(self.batch.now)
        learner, seen = self.learner, self.batch.now.seen
        first, second = learner.judged_alone(learner.critics, seen, actions, self.done)
        return masac.actor_loss(first, second, self.logp, temperature, known), -self.logp.detach()

    def adapt(self, logs: Tensor, known: Tensor) -> Tensor:
        """The loss of the temperatures, after `improve`."""
        learner = self.learner
        wanted = learner.method.target_entropy
        if wanted is None:
            widths = [learner.spec.roles[k].action_width for k in learner.spec.role_of]
            wanted = -torch.tensor(widths, dtype=torch.float32, device=logs.device)
        return masac.temperature_loss(logs, self.logp, wanted, known)


class Choices:
    """A batch whose actions are choices, over which expectations are exact."""

    def __init__(self, learner: SoftLearner, batch: Batch) -> None:
        self.learner, self.batch = learner, batch

    def _logp(self, view: View) -> Tensor:
        """Log probabilities [K, N, A] of choices, `MASKED` where they are illegal."""
        learner, seen = self.learner, view.seen
        found = torch.full(seen.action_mask.shape, MASKED, device=seen.nodes.device)
        for network, mine in zip(learner.networks, learner.mine, strict=True):
            mask = seen.acting & mine
            parameters, _ = network.policy(view.input(mask, network, network.memory_width))
            wide = self._wide(parameters.log_softmax(1), MASKED)
            found = found.masked_scatter(mask[..., None], wide)
        return found.masked_fill(~seen.action_mask, MASKED)

    def _judged(self, critics: Iterable[Any], seen: Observation) -> Tensor:
        """Values [K, N, A] of all choices; 0 where nobody acts."""
        found = torch.zeros(seen.action_mask.shape, device=seen.nodes.device)
        for critic, mine in zip(critics, self.learner.mine, strict=True):
            mask = seen.acting & mine
            wide = self._wide(critic(pack(seen, mask, critic)), 0.0)
            found = found.masked_scatter(mask[..., None], wide)
        return found

    def _wide(self, values: Tensor, fill: float) -> Tensor:
        """Values [D, a] of a role's choices beside `fill` for those that others have: [D, A]."""
        more = self.learner.spec.mask_width - values.shape[1]
        return nn.functional.pad(values, (0, more), value=fill)

    @torch.no_grad()
    def targets(self, temperature: Tensor) -> Tensor:
        batch, learner = self.batch, self.learner
        later = batch.later
        place = batch.where[..., None].expand(-1, -1, learner.spec.mask_width)
        first, second = (
            self._judged(critic, later.seen).gather(0, place) for critic in learner.target_critics
        )
        ahead = self._logp(later).gather(0, place)
        return masac.discrete_target(
            batch.reward, batch.discount, first, second, ahead, temperature
        )

    def values(self) -> tuple[Tensor, Tensor]:
        """Both critics' values [M, N] of what was done."""
        self.all = [self._judged(critic, self.batch.now.seen) for critic in self.learner.critics]
        done = self.batch.actions[..., :1].long()
        first, second = (each.gather(2, done)[..., 0] for each in self.all)
        return first, second

    def improve(self, temperature: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
        """The policies' loss, and their entropies [M, N]."""
        self.logp = self._logp(self.batch.now)
        first, second = self.all
        loss = masac.discrete_actor_loss(first, second, self.logp, temperature, known)
        logp = self.logp.detach()
        return loss, -(logp.exp() * logp.clamp(min=masac.LEAST)).sum(-1)

    def adapt(self, logs: Tensor, known: Tensor) -> Tensor:
        """The loss of the temperatures, after `improve`."""
        method = self.learner.method
        wanted = method.target_entropy
        if wanted is None:
            legal = self.batch.now.seen.action_mask.sum(2).clamp(min=1)
            wanted = method.target_share * legal.float().log()
        return masac.discrete_temperature_loss(logs, self.logp, wanted, known)
