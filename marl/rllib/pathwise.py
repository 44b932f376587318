"""HDPO on RLlib: learners simulate their own games, on their own devices, and follow the gradient
through them; so there are no env runners, and no weights to send."""

from __future__ import annotations

from typing import Any

import torch
from ray.rllib.utils.annotations import override
from torch import Tensor, nn

from games.simulators.simulator import Simulator
from marl.learning.pathwise.hdpo import HDPO, Draw, Players, loss, play, require_differentiable
from marl.learning.schedule import at
from marl.networks.network import PolicyNetwork
from marl.networks.policy import names
from marl.rllib.algorithm import BatchedAlgorithm
from marl.rllib.learner import EPISODES, BatchedLearner, Rows, exploded
from marl.rollouts.episodes import Episodes

CERTAIN = -30.0
"""The log standard deviation of trained policies, which do not explore: sampled actions are the
likeliest ones, up to rounding."""
NO_PART = ("judge.", "others.", "joint.", "worth.", "second.", "log_std")
"""Name prefixes of parameters without effect on the likeliest actions: the critics'."""


class PathwiseAlgorithm(BatchedAlgorithm):
    """Assign games to the learners, and count the steps they played."""

    @override(BatchedAlgorithm)
    def prepare(self, learners: int) -> tuple[list[Any], Episodes]:
        method = self.plan.method
        assert isinstance(method, HDPO)
        return method.shards(self.plan, self.iteration, learners), Episodes()

    @override(BatchedAlgorithm)
    def finish(self, ended: Episodes) -> None:
        self.steps += int(ended.steps)


class PathwiseLearner(BatchedLearner):
    """Learns all policies at once from games that all of them play; see
    `marl.learning.pathwise.hdpo`."""

    epsilon = 1e-8

    @override(BatchedLearner)
    def build(self) -> None:
        super().build()
        self.simulator: Simulator = require_differentiable(self.plan.game)
        self.generator = torch.Generator(self._device)
        spec = self.simulator.spec
        mine = names(spec, self.plan.method.parameter_sharing)
        order = list(self.module.keys())
        self.of_agent = [order.index(name) for name in mine]
        self.networks: list[PolicyNetwork] = [self.module[name].network for name in order]
        for network in self.networks:
            if network.log_std is not None:
                network.log_std.data.fill_(CERTAIN)

    @override(BatchedLearner)
    def trained(self, network: PolicyNetwork) -> list[nn.Parameter]:
        return [p for name, p in network.named_parameters() if not name.startswith(NO_PART)]

    @override(BatchedLearner)
    def learn(self, batch: Draw, steps: int) -> Rows:
        """Take a gradient step for every seed, all at the current learning rate."""
        method = self.plan.method
        assert isinstance(method, HDPO)
        policies = list(self.module.keys())
        optimisers, groups = zip(*(self.optimiser(name, steps) for name in policies), strict=True)
        parameters = [p for group in groups for p in group]
        before = [p.detach().clone() for p in parameters]
        total = torch.zeros((), dtype=torch.float64, device=self._device)
        norms = torch.zeros(len(policies), device=self._device)
        ended = Episodes()
        for seed in batch.seeds:
            self.generator.manual_seed(seed)
            players = Players(self.networks, self.of_agent, self.simulator.spec, batch.games)
            played = play(self.simulator, players, self.generator)
            found = loss(played, method.discount, method.warm_up)
            for optimiser in optimisers:
                optimiser.zero_grad()
            found.backward()
            self.average(parameters, batch.games)
            norm = torch.stack([_clip(group, method.gradient_clip) for group in groups])
            if not torch.isfinite(norm).all():
                name = policies[int((~torch.isfinite(norm)).nonzero()[0])]
                raise exploded(name, steps, parameters, before)
            for optimiser in optimisers:
                optimiser.step()
            total += found.detach()
            norms += norm
            ended = ended.add(played.episodes)
        if not all(p.isfinite().all() for p in parameters):
            raise exploded(" and ".join(policies), steps, parameters, before)
        taken = len(batch.seeds)
        mean = self._everywhere(total / taken, batch.games)
        rows: Rows = {
            name: {
                "loss": mean,
                "gradient_norm": float(norms[k]) / taken,
                "learning_rate": at(method.learning_rate, steps),
            }
            for k, name in enumerate(policies)
        }
        return rows | {EPISODES: ended}

    def _everywhere(self, value: Tensor, games: int) -> float:
        """The mean over all learners' games, given the mean `value` over those here."""
        sums = torch.stack([value * games, torch.full_like(value, games)])
        if self.shared:
            torch.distributed.all_reduce(sums)
        return float(sums[0] / sums[1])


def _clip(parameters: list[nn.Parameter], largest: float) -> Tensor:
    """The norm of a gradient before it is clipped to `largest`, if that is not 0."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    norm = nn.utils.get_total_norm(gradients)
    if largest:
        nn.utils.clip_grads_with_norm_(parameters, largest, norm)
    return norm
