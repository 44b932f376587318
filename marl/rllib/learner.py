"""The base of all methods' learners: RLlib's torch learner with batches of our own.

RLlib's own learner makes a minibatch by slicing a dictionary of arrays, which graphs of different
sizes do not allow, and logs some thirty values for each. Those here get a batch of their own
type, take their steps and return a row of means per policy.
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
"""Metrics by policy; under `EPISODES`, the episodes that a learner played itself."""
EPISODES = "learner:episodes"  # not a policy's name, since roles' names have no colon


class BatchedLearner(TorchLearner):
    """Networks, their optimisers, and gradients averaged over learners; subclasses add the loss."""

    epsilon = 1e-5  # of Adam

    @override(TorchLearner)
    def build(self) -> None:
        self.plan: Plan = self.config.env_config["plan"]
        torch.set_num_threads(self.plan.resources.torch_threads)
        self.updates = 0
        super().build()

    @override(TorchLearner)
    def _make_modules_ddp_if_necessary(self) -> None:
        """Does nothing: DDP would wait forever on a shard without decisions of some policy."""

    def trained(self, network: PolicyNetwork) -> list[nn.Parameter]:
        """The parameters that the optimiser updates."""
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
                restored.
        """
        self._check_is_built()
        self._weights_seq_no += 1
        self.updates += 1
        steps = int((timesteps or {}).get(NUM_ENV_STEPS_SAMPLED_LIFETIME, 0))
        return self.learn(training_data.batch, steps)

    @abstractmethod
    def learn(self, batch: Any, steps: int) -> Rows:
        """Make one update from this learner's part of the data; `steps` are those of all games."""

    def optimiser(self, name: str, steps: int) -> tuple[torch.optim.Optimizer, list[nn.Parameter]]:
        """A policy's optimiser at the current learning rate, and the parameters it updates."""
        ((_, optimiser),) = self.get_optimizers_for_module(name)
        for group in optimiser.param_groups:
            group["lr"] = at(self.plan.method.learning_rate, steps)
        return optimiser, [p for group in optimiser.param_groups for p in group["params"]]

    @property
    def shared(self) -> bool:
        return self.config.num_learners > 1

    def average(self, parameters: list[nn.Parameter], weight: float) -> bool:
        """Average the gradients of all learners by their weights; returns whether there are any.

        Uses one message, in which learners without data take part as well.
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
        """RLlib's hook, never called here: losses are functions of the methods."""
        raise AssertionError("losses are computed by `learn`")

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
        """State that checkpoints keep in addition to weights and optimisers."""
        return {"updates": self.updates}

    def set_own_state(self, state: dict[str, Any]) -> None:
        self.updates = state["updates"]


def exploded(
    name: str, steps: int, parameters: list[nn.Parameter], before: list[Tensor]
) -> FloatingPointError:
    """Restore the weights; returns the FloatingPointError to raise."""
    with torch.no_grad():
        for parameter, value in zip(parameters, before, strict=True):
            parameter.copy_(value)
    return FloatingPointError(
        f"policy {name}: an update gave numbers that are not finite after {steps:,} steps; lower "
        "method.learning_rate, or scale the rewards down"
    )
