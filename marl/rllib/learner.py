"""RLlib's torch learner without its batches: what the learners of every method have in common.

RLlib's own learner makes a minibatch by slicing a dictionary of arrays, which graphs of different
sizes do not allow, and logs some thirty values for each. Those here are handed a batch of their
own, take their steps and return a row of means a policy.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch
from ray.rllib.core.learner.torch.torch_learner import TorchLearner
from ray.rllib.utils.annotations import override
from ray.rllib.utils.metrics import NUM_ENV_STEPS_SAMPLED_LIFETIME
from torch import Tensor, nn

from marl.learning.plan import Plan
from marl.learning.schedule import at
from marl.networks.network import PolicyNetwork

OWN = "schelling"
Rows = dict[str, Any]
"""By policy, what was measured; under `EPISODES`, what a learner played itself."""
EPISODES = "learner:episodes"  # no policy's name, since no role's has a colon


class BatchedLearner(TorchLearner):
    """Networks, their optimisers, and gradients averaged over learners; a method does the rest."""

    epsilon = 1e-5  # of Adam

    @override(TorchLearner)
    def build(self) -> None:
        self.plan: Plan = self.config.env_config["plan"]
        torch.set_num_threads(self.plan.resources.torch_threads)
        self.updates = 0
        super().build()

    @override(TorchLearner)
    def _make_modules_ddp_if_necessary(self) -> None:
        """Nothing: a shard without decisions of some policy would leave DDP waiting for ever."""

    def trained(self, network: PolicyNetwork) -> list[nn.Parameter]:
        """The parameters that the optimiser is given."""
        return list(network.parameters())

    @override(TorchLearner)
    def configure_optimizers_for_module(self, module_id: str, config: Any = None) -> None:
        parameters = self.trained(self.module[module_id].network)
        rate = at(self.plan.method.learning_rate, 0)
        optimiser = torch.optim.Adam(parameters, lr=rate, eps=self.epsilon, fused=True)
        self.register_optimizer(
            module_id=module_id,
            optimizer=optimiser,
            params=parameters,
            lr_or_lr_schedule=rate,
        )

    @override(TorchLearner)
    def update(self, *, training_data: Any, timesteps: Any = None, **_: Any) -> Rows:
        """Learn from `training_data.batch`.

        Raises:
            FloatingPointError: an update gave numbers that are not finite; the policy's weights are
                those that it had before.
        """
        self._check_is_built()
        self._weights_seq_no += 1
        self.updates += 1
        steps = int((timesteps or {}).get(NUM_ENV_STEPS_SAMPLED_LIFETIME, 0))
        return self.learn(training_data.batch, steps)

    @abstractmethod
    def learn(self, batch: Any, steps: int) -> Rows:
        """One update from this learner's part of it, after so many steps of all games."""

    def optimiser(self, name: str, steps: int) -> tuple[torch.optim.Optimizer, list[nn.Parameter]]:
        """A policy's, with the current learning rate, and the parameters that it moves."""
        ((_, optimiser),) = self.get_optimizers_for_module(name)
        for group in optimiser.param_groups:
            group["lr"] = at(self.plan.method.learning_rate, steps)
        return optimiser, [p for group in optimiser.param_groups for p in group["params"]]

    @property
    def shared(self) -> bool:
        return self.config.num_learners > 1

    def average(self, parameters: list[nn.Parameter], weight: float) -> bool:
        """Average the gradients of all learners, each by its weight; returns whether any has one.

        In one message, in which a learner without anything to learn from takes part as well.
        """
        if not self.shared:
            return weight > 0
        flat = torch.cat(
            [(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in parameters]
            + [torch.ones(1, device=self._device)]
        )
        flat *= weight
        torch.distributed.all_reduce(flat)
        if not flat[-1]:
            return False
        flat = flat / flat[-1]
        start = 0
        for p in parameters:
            p.grad = flat[start : start + p.numel()].view_as(p)
            start += p.numel()
        return True

    @override(TorchLearner)
    def compute_loss_for_module(
        self, *, module_id: str, config: Any, batch: Any, fwd_out: Any
    ) -> Tensor:
        """RLlib's hook, which nothing here calls: losses are the methods' own functions."""
        raise AssertionError("the losses are those of `learn`")

    @override(TorchLearner)
    def get_state(self, components: Any = None, **options: Any) -> dict[str, Any]:
        state = super().get_state(components, **options)
        if components is None:
            state[OWN] = self.own_state()
        return state

    @override(TorchLearner)
    def set_state(self, state: dict[str, Any]) -> None:
        super().set_state(state)
        if OWN in state:
            self.set_own_state(state[OWN])

    def own_state(self) -> dict[str, Any]:
        """What a checkpoint has to keep beside weights and optimisers."""
        return {"updates": self.updates}

    def set_own_state(self, state: dict[str, Any]) -> None:
        self.updates = state["updates"]


def exploded(
    name: str, steps: int, parameters: list[nn.Parameter], before: list[Tensor]
) -> FloatingPointError:
    """What to raise, once the weights are what they were."""
    with torch.no_grad():
        for parameter, value in zip(parameters, before, strict=True):
            parameter.copy_(value)
    return FloatingPointError(
        f"policy {name}: an update gave numbers that are not finite after {steps:,} steps; lower "
        "method.learning_rate, or scale the rewards down"
    )
