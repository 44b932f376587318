"""The base of on-policy learners: minibatches of a trajectory, for PPO and related methods."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace
from typing import Any

import torch
from ray.rllib.utils.annotations import override
from torch import Tensor

from games.common.seeds import seeds
from marl.learning.schedule import at
from marl.networks.packing import Output
from marl.rllib.learner import BatchedLearner, Rows, exploded
from marl.rollouts.decisions import Decisions, Minibatch
from marl.rollouts.trajectory import Trajectory

REPORTED = {"total": "loss", "policy": "policy_loss", "value": "value_loss"}
"""Names of the loss's parts in metrics, where they differ from the fields' names."""


class OnPolicyLearner(BatchedLearner):
    """Learns every policy of a trajectory.

    The data is turned into tensors once; a minibatch indexes them. The method has `estimate`,
    `epochs`, `minibatches`, `entropy` and `normalise_advantages`.
    """

    parts: tuple[str, ...]
    """Fields of what `loss` returns: scalars, the first of them is minimised."""

    @override(BatchedLearner)
    def build(self) -> None:
        self.generator = torch.Generator()  # orders minibatches; reseeded every update
        super().build()

    @abstractmethod
    def loss(
        self, name: str, found: Output, minibatch: Minibatch, entropy: float
    ) -> tuple[Tensor, ...]:
        """The parts of the loss over some decisions, at the current entropy coefficient."""

    def after(self, name: str, means: dict[str, float]) -> None:
        """Called after an update with the means of the loss's parts."""

    def beside(self, name: str, trajectory: Trajectory) -> dict[str, Tensor]:
        """Extras [T, B, N, ...] that the loss needs in addition to advantage and target."""
        return {}

    @override(BatchedLearner)
    def learn(self, batch: Trajectory, steps: int) -> Rows:
        self.generator.manual_seed(seeds(self.plan.seed, 2, self.updates)[0])
        played = self.estimated(batch)
        if self._device.type != "cpu":
            played = played.to(self._device)
        return {
            name: self._learn(name, self.decisions(name, k, played), played.extras["error"], steps)
            for k, name in enumerate(self.module.keys())
        }

    def estimated(self, batch: Trajectory) -> Trajectory:
        """Add the method's estimates as extras; decisions without an estimate are dropped.

        Games do not depend on each other, so learners may have some games each.
        """
        method: Any = self.plan.method
        found = method.estimate(batch)
        known = {"advantage": found.advantage, "target": found.target, "error": found.error}
        return replace(
            batch,
            policy=torch.where(found.found, batch.policy, -1),
            extras={**batch.extras, **known, **found.beside},
        )

    def decisions(self, name: str, index: int, played: Trajectory) -> Decisions:
        """A policy's decisions to learn from, out of what `estimated` returned."""
        beside = {key: played.extras[key] for key in ("advantage", "target")}
        network = self.module[name].network
        return Decisions(played, index, network, beside | self.beside(name, played))

    def _learn(
        self, name: str, decisions: Decisions, error: Tensor, steps: int
    ) -> dict[str, float]:
        method: Any = self.plan.method
        optimiser, parameters = self.optimiser(name, steps)
        network = self.module[name].network
        entropy = at(method.entropy, steps)
        everywhere, mean, variance = self._moments(decisions, error)
        if everywhere < 2:
            return {}
        if method.normalise_advantages:
            deviation = variance[0].sqrt().clamp(min=1e-4)
            decisions.scale("advantage", mean[0].float(), deviation.float())
        before = [p.detach().clone() for p in parameters]
        # Sums of the parts of the loss, and the number of minibatches.
        sums = torch.zeros(len(self.parts) + 1, device=self._device)
        norms, steps_taken = torch.zeros((), device=self._device), 0
        for _ in range(method.epochs):
            for minibatch in decisions.minibatches(method.minibatches, self.generator):
                optimiser.zero_grad(set_to_none=False)
                if minibatch is not None:
                    parts = self.loss(name, network(minibatch.input), minibatch, entropy)
                    parts[0].backward()
                    sums[:-1] += torch.stack(parts).detach()
                    sums[-1] += 1
                if not self.average(parameters, float(minibatch is not None)):
                    continue  # without a gradient Adam would still step, by momentum
                norm = torch.nn.utils.clip_grad_norm_(parameters, method.gradient_clip)
                norms += norm
                if not torch.isfinite(norm):
                    raise exploded(name, steps, parameters, before)
                optimiser.step()
                steps_taken += 1
        if not all(p.isfinite().all() for p in parameters):
            raise exploded(name, steps, parameters, before)
        if self.shared:
            torch.distributed.all_reduce(sums)
        means = dict(zip(self.parts, (sums[:-1] / sums[-1]).tolist(), strict=True))
        self.after(name, means)
        row = {REPORTED.get(part, part): value for part, value in means.items()} | {
            "gradient_norm": float(norms) / steps_taken,
            "learning_rate": at(method.learning_rate, steps),
            "entropy_coefficient": entropy,
            "decisions": float(everywhere),
        }
        _, targets, errors = variance.tolist()
        if targets > 1e-12 * float(mean[1]) ** 2:  # else all are equal, up to rounding
            row["explained_variance"] = 1 - errors / targets
        return row

    def compute_loss_for_module(
        self, *, module_id: str, config: Any, batch: Any, fwd_out: Any
    ) -> Tensor:
        """The loss of a `Minibatch`, with the initial entropy coefficient."""
        method: Any = self.plan.method
        return self.loss(module_id, fwd_out, batch, at(method.entropy, 0))[0]

    def _moments(self, decisions: Decisions, error: Tensor) -> tuple[int, Tensor, Tensor]:
        """The number of decisions over all learners; means and variances [3] float64.

        The three are advantages, value targets, and the critic's errors.
        """
        wide = torch.stack(
            [decisions["advantage"], decisions["target"], decisions.of(error)]
        ).double()
        count = torch.full((1,), wide.shape[1], dtype=torch.float64, device=self._device)
        sums = torch.cat([count, wide.sum(dim=1), wide.square().sum(dim=1)])
        if self.shared:
            torch.distributed.all_reduce(sums)
        least = sums[0].clamp(min=1)
        mean, square = sums[1:4] / least, sums[4:] / least
        return int(sums[0]), mean, (square - mean.square()).clamp(min=0)
