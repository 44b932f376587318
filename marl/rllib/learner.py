"""RLlib's torch learner, learning from fragments by PPO.

RLlib's own learner makes a minibatch by slicing a dictionary of arrays, which graphs of different
sizes do not allow, and logs some thirty values for each. Here a fragment is turned into tensors
once; a minibatch is an index into them.
"""

from __future__ import annotations

from typing import Any

import torch
from ray.rllib.core.learner.torch.torch_learner import TorchLearner
from ray.rllib.utils.annotations import override
from ray.rllib.utils.metrics import NUM_ENV_STEPS_SAMPLED_LIFETIME
from torch import Tensor

from games.simulator import seeds
from marl.distributions import distribution
from marl.fragment import Decisions, Fragment, Minibatch
from marl.network import Output
from marl.plan import Plan
from marl.ppo import Loss, at, loss

OWN = "schelling"
KL_RANGE = 1e6  # how far the coefficient of the divergence may get from where it started


class BatchedLearner(TorchLearner):
    """Learns every policy of a fragment; with several learners, gradients are averaged."""

    @override(TorchLearner)
    def build(self) -> None:
        self.plan: Plan = self.config.env_config["plan"]
        torch.set_num_threads(self.plan.resources.torch_threads)
        self.generator = torch.Generator()  # of the order of minibatches, seeded anew every update
        self.updates = 0
        super().build()
        self.kl_coefficient = dict.fromkeys(self.module.keys(), self.plan.method.kl_coefficient)

    @override(TorchLearner)
    def _make_modules_ddp_if_necessary(self) -> None:
        """Nothing: a shard without decisions of some policy would leave DDP waiting for ever."""

    @override(TorchLearner)
    def configure_optimizers_for_module(self, module_id: str, config: Any = None) -> None:
        parameters = list(self.module[module_id].parameters())
        rate = at(self.plan.method.learning_rate, 0)
        optimiser = torch.optim.Adam(parameters, lr=rate, eps=1e-5, fused=True)
        self.register_optimizer(
            module_id=module_id,
            optimizer=optimiser,
            params=parameters,
            lr_or_lr_schedule=rate,
        )

    @override(TorchLearner)
    def update(self, *, training_data: Any, timesteps: Any = None, **_: Any) -> dict[str, Any]:
        """Learn from `training_data.batch`, a Fragment; returns means by policy.

        Raises:
            FloatingPointError: an update gave numbers that are not finite; the policy's weights are
                those that it played with.
        """
        self._check_is_built()
        self._weights_seq_no += 1
        self.updates += 1
        self.generator.manual_seed(seeds(self.plan.seed, 2, self.updates)[0])
        fragment: Fragment = training_data.batch
        if self._device.type != "cpu":
            fragment = fragment.to(self._device)
        steps = int((timesteps or {}).get(NUM_ENV_STEPS_SAMPLED_LIFETIME, 0))
        return {
            name: self._learn(name, Decisions(fragment, k, self.module[name].network), steps)
            for k, name in enumerate(self.module.keys())
        }

    def _learn(self, name: str, decisions: Decisions, steps: int) -> dict[str, float]:
        method = self.plan.method
        (optimiser,) = self.get_optimizers_for_module(name)
        optimiser = optimiser[1]
        for group in optimiser.param_groups:
            group["lr"] = at(method.learning_rate, steps)
        parameters = [p for group in optimiser.param_groups for p in group["params"]]
        network = self.module[name].network
        entropy = at(method.entropy, steps)
        everywhere, mean, variance = self._moments(decisions)
        if everywhere < 2:
            return {}
        if method.normalise_advantages:
            deviation = variance[0].sqrt().clamp(min=1e-4)
            decisions.normalised(mean[0].float(), deviation.float())
        before = [p.detach().clone() for p in parameters]
        sums = torch.zeros(6, device=self._device)  # of the parts of the loss, and minibatches
        norms, steps_taken = torch.zeros((), device=self._device), 0
        for _ in range(method.epochs):
            for minibatch in decisions.minibatches(method.minibatches, self.generator):
                optimiser.zero_grad(set_to_none=False)
                if minibatch is not None:
                    found = network(minibatch.input)
                    parts = self._loss(name, found, minibatch, entropy)
                    parts.total.backward()
                    sums[:5] += torch.stack(parts).detach()
                    sums[5] += 1
                if not self._average(parameters, minibatch is not None):
                    continue  # a step without a gradient would still go where the last ones went
                norm = torch.nn.utils.clip_grad_norm_(parameters, method.gradient_clip)
                norms += norm
                if not torch.isfinite(norm):
                    raise _exploded(name, steps, parameters, before)
                optimiser.step()
                steps_taken += 1
        if not all(p.isfinite().all() for p in parameters):
            raise _exploded(name, steps, parameters, before)
        if self._shared:
            torch.distributed.all_reduce(sums)
        total, policy, value, spread, kl = (sums[:5] / sums[5]).tolist()
        self._adapt(name, kl)
        row = {
            "loss": total,
            "policy_loss": policy,
            "value_loss": value,
            "entropy": spread,
            "kl": kl,
            "gradient_norm": float(norms) / steps_taken,
            "learning_rate": at(method.learning_rate, steps),
            "entropy_coefficient": entropy,
            "decisions": float(everywhere),
        }
        errors, targets = variance.tolist()
        if targets > 1e-12 * float(mean[1]) ** 2:  # else they are all alike, but for rounding
            row["explained_variance"] = 1 - errors / targets
        return row

    def _loss(self, name: str, found: Output, minibatch: Minibatch, entropy: float) -> Loss:
        method = self.plan.method
        return loss(
            distribution(self.module[name].network.role),
            found.parameters,
            found.value,
            actions=minibatch.actions,
            old_parameters=minibatch.old_parameters,
            old_logp=minibatch.old_logp,
            advantage=minibatch.advantage,
            target=minibatch.target,
            clip=method.clip,
            value_clip=method.value_clip,
            value_coefficient=method.value_coefficient,
            entropy_coefficient=entropy,
            kl_coefficient=self.kl_coefficient[name],
        )

    @override(TorchLearner)
    def compute_loss_for_module(
        self, *, module_id: str, config: Any, batch: Any, fwd_out: Any
    ) -> Tensor:
        """PPO's loss of a `Minibatch`, with the entropy coefficient of the start."""
        return self._loss(module_id, fwd_out, batch, at(self.plan.method.entropy, 0)).total

    def _moments(self, decisions: Decisions) -> tuple[int, Tensor, Tensor]:
        """How many decisions all learners have; means and variances [2] float64.

        Of advantages, which are also how far the critic was off, and of the values' targets.
        """
        wide = torch.stack([decisions.advantage, decisions.target]).double()
        count = torch.full((1,), wide.shape[1], dtype=torch.float64, device=self._device)
        sums = torch.cat([count, wide.sum(dim=1), wide.square().sum(dim=1)])
        if self._shared:
            torch.distributed.all_reduce(sums)
        least = sums[0].clamp(min=1)
        mean, square = sums[1:3] / least, sums[3:] / least
        return int(sums[0]), mean, (square - mean.square()).clamp(min=0)

    @property
    def _shared(self) -> bool:
        return self.config.num_learners > 1

    def _average(self, parameters: list[Any], mine: bool) -> bool:
        """Average the gradients of the learners that had decisions; returns whether any had."""
        if not self._shared:
            return mine
        flat = torch.cat(
            [(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in parameters]
            + [torch.full((1,), float(mine), device=self._device)]
        )
        torch.distributed.all_reduce(flat)
        if not flat[-1]:
            return False
        flat = flat / flat[-1]
        start = 0
        for p in parameters:
            p.grad = flat[start : start + p.numel()].view_as(p)
            start += p.numel()
        return True

    def _adapt(self, name: str, kl: float) -> None:
        """Steer the divergence of an update towards its target (arXiv 1707.06347, section 4).

        Unlike there, the coefficient stays within a factor of a million of its start: halved for
        ever it would be 0 and never rise again, doubled for ever not finite.
        """
        method = self.plan.method
        coefficient = self.kl_coefficient[name]
        if kl > 1.5 * method.kl_target:
            coefficient = min(2 * coefficient, method.kl_coefficient * KL_RANGE)
        elif kl < method.kl_target / 1.5:
            coefficient = max(coefficient / 2, method.kl_coefficient / KL_RANGE)
        self.kl_coefficient[name] = coefficient

    @override(TorchLearner)
    def get_state(self, components: Any = None, **options: Any) -> dict[str, Any]:
        state = super().get_state(components, **options)
        if components is None:
            state[OWN] = {
                "updates": self.updates, "kl_coefficient": dict(self.kl_coefficient)
            }  # fmt: skip
        return state

    @override(TorchLearner)
    def set_state(self, state: dict[str, Any]) -> None:
        super().set_state(state)
        if OWN in state:
            self.updates = state[OWN]["updates"]
            self.kl_coefficient = dict(state[OWN]["kl_coefficient"])


def _exploded(
    name: str, steps: int, parameters: list[torch.nn.Parameter], before: list[Tensor]
) -> FloatingPointError:
    """What to raise, once the weights are what they were."""
    with torch.no_grad():
        for parameter, value in zip(parameters, before, strict=True):
            parameter.copy_(value)
    return FloatingPointError(
        f"policy {name}: an update gave numbers that are not finite after {steps:,} steps; lower "
        "method.learning_rate, or scale the rewards down"
    )
