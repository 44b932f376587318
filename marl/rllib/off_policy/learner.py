"""The base of off-policy learners: target networks, and gradient steps on remembered batches."""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Iterable
from typing import Any, NamedTuple

import torch
from ray.rllib.utils.annotations import override
from torch import Tensor, nn

from games.common.seeds import seeds
from marl.learning.off_policy.base import OffPolicyMethod
from marl.learning.schedule import at
from marl.networks.network import PolicyNetwork
from marl.networks.policy import names
from marl.replay.batch import Batch
from marl.rllib.learner import BatchedLearner, Rows, exploded
from marl.rllib.off_policy.algorithm import ERRORS


class Learned(NamedTuple):
    """What a gradient step on a batch of M steps says."""

    errors: Tensor  # [M] absolute errors of values, for priorities
    metrics: dict[str, Tensor]  # scalars, or [P] with one number for each policy


class OffPolicyLearner(BatchedLearner):
    """Networks and their targets; subclasses take a gradient step on a batch.

    `beside` holds what learns but does not play: critics, a mixer. It has an optimiser of its own,
    and targets, but does not travel to env runners.
    """

    @override(BatchedLearner)
    def build(self) -> None:
        super().build()
        self.order = list(self.module.keys())
        self.networks: list[PolicyNetwork] = [self.module[name].network for name in self.order]
        self.spec = self.networks[0].spec
        of_agent = names(self.spec, self.plan.method.parameter_sharing)
        self.mine = [  # [N] bool each: whose decisions a network takes
            torch.tensor([name == own for own in of_agent], device=self._device)
            for name in self.order
        ]
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(self.plan.seed)
            self.beside: Any = self.made_beside().to(self._device)
        self.learned = nn.ModuleList([*self.networks, self.beside])
        self.targets = copy.deepcopy(self.learned).requires_grad_(False)
        self.target_networks: list[Any] = list(self.targets[:-1])
        self.target_beside: Any = self.targets[-1]
        self.adam: torch.optim.Optimizer | None = None
        if parameters := list(self.beside.parameters()):
            rate = at(self.method.learning_rate, 0)
            self.adam = torch.optim.Adam(parameters, lr=rate, eps=self.epsilon, fused=True)
        self.taken = 0  # gradient steps
        self.generator = torch.Generator(self._device)
        self._explore(0)

    @property
    def method(self) -> Any:
        assert isinstance(self.plan.method, OffPolicyMethod)
        return self.plan.method

    def made_beside(self) -> nn.Module:
        """What learns beside the networks that play."""
        return nn.ModuleDict()

    @abstractmethod
    def gradient_step(self, batch: Batch, steps: int) -> Learned:
        """Take a gradient step on a batch, by `descend`."""

    def _explore(self, steps: int) -> None:
        for network in self.networks:
            if network.exploration is not None:
                network.exploration.fill_(at(self.method.exploration, steps))

    @override(BatchedLearner)
    def learn(self, batch: Iterable[Batch], steps: int) -> Rows:
        method = self.method
        self._explore(steps)
        self.generator.manual_seed(seeds(self.plan.seed, 5, self.updates)[0])
        errors: list[tuple[Tensor, Tensor]] = []
        sums: dict[str, Tensor] = {}
        before = [p.detach().clone() for p in self.learned.parameters()]
        count = 0
        for one in batch:
            found = self.gradient_step(one.to(self._device), steps)
            if method.priority:
                errors.append((one.index, found.errors.cpu()))
            for name, value in found.metrics.items():
                sums[name] = sums[name] + value.detach() if name in sums else value.detach()
            count += 1
            self.taken += 1
            if self.taken % method.target_every == 0:
                self._follow(method.target_rate)
        means = {name: value / count for name, value in sums.items()}
        if not all(
            bool(each.isfinite().all()) for each in [*means.values(), *self.learned.parameters()]
        ):
            raise exploded(" and ".join(self.order), steps, list(self.learned.parameters()), before)
        row = {
            "learning_rate": at(method.learning_rate, steps),
            "exploration": at(method.exploration, steps),
            "gradient_steps": float(self.taken),
        }
        rows: Rows = {
            name: {key: float(each[k] if each.dim() else each) for key, each in means.items()} | row
            for k, name in enumerate(self.order)
        }
        return rows | {ERRORS: errors}

    def _follow(self, rate: float) -> None:
        """Move the target networks towards the learned ones."""
        with torch.no_grad():
            targets: list[Tensor] = [*self.targets.parameters()]
            learned: list[Tensor] = [*self.learned.parameters()]
            if rate == 1:
                torch._foreach_copy_(targets, learned)
            else:
                torch._foreach_lerp_(targets, learned, rate)

    def descend(self, loss: Tensor, optimisers: Iterable[torch.optim.Optimizer]) -> Tensor:
        """Take a step of some optimisers down a loss; returns the norm of the gradient [].

        No other parameters get a gradient; those that have none are left alone.
        """
        groups = list(optimisers)
        parameters = [p for one in groups for g in one.param_groups for p in g["params"]]
        for parameter in parameters:
            parameter.grad = None
        loss.backward(inputs=parameters)
        reached = [p for p in parameters if p.grad is not None] if not self.shared else parameters
        self.average(reached, 1.0)
        norm = nn.utils.clip_grad_norm_(reached, self.method.gradient_clip)
        for one in groups:
            one.step()
        return norm

    def optimisers(self, steps: int) -> list[torch.optim.Optimizer]:
        """The optimisers of all networks that play, at the current learning rate."""
        return [self.optimiser(name, steps)[0] for name in self.order]

    def optimiser_beside(self, steps: int) -> list[torch.optim.Optimizer]:
        """The optimiser of what learns beside them, at the current learning rate; or none."""
        if self.adam is None:
            return []
        for group in self.adam.param_groups:
            group["lr"] = at(self.method.learning_rate, steps)
        return [self.adam]

    @override(BatchedLearner)
    def own_state(self) -> dict[str, Any]:
        return super().own_state() | {
            "taken": self.taken,
            "beside": self.beside.state_dict(),
            "targets": self.targets.state_dict(),
            "adam": None if self.adam is None else self.adam.state_dict(),
        }

    @override(BatchedLearner)
    def set_own_state(self, state: dict[str, Any]) -> None:
        super().set_own_state(state)
        self.taken = state["taken"]
        self.beside.load_state_dict(state["beside"])
        self.targets.load_state_dict(state["targets"])
        if self.adam is not None:
            self.adam.load_state_dict(state["adam"])
