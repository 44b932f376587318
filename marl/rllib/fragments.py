"""Learning from what env runners played: a fragment in minibatches, for PPO and its kin."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch
from ray.rllib.utils.annotations import override
from torch import Tensor

from games.common.seeds import seeds
from marl.learning.method import at
from marl.networks.packing import Output
from marl.rllib.learner import BatchedLearner, Rows, exploded
from marl.rollouts.fragment import Decisions, Fragment, Minibatch

REPORTED = {"total": "loss", "policy": "policy_loss", "value": "value_loss"}
"""What a part of a loss is called in a row of metrics, if not by its own name."""


class FragmentLearner(BatchedLearner):
    """Learns every policy of a fragment.

    A fragment is turned into tensors once; a minibatch is an index into them. The method has
    `epochs`, `minibatches`, `entropy` and `normalise_advantages`.
    """

    parts: tuple[str, ...]
    """Fields of what `loss` returns: scalars, of which the first is what is minimised."""

    @override(BatchedLearner)
    def build(self) -> None:
        self.generator = torch.Generator()  # of the order of minibatches, seeded anew every update
        super().build()

    @abstractmethod
    def loss(
        self, name: str, found: Output, minibatch: Minibatch, entropy: float
    ) -> tuple[Tensor, ...]:
        """The parts of the loss of some decisions, by the current entropy coefficient."""

    def after(self, name: str, means: dict[str, float]) -> None:
        """Called after an update with the means of the loss's parts."""

    @override(BatchedLearner)
    def learn(self, batch: Fragment, steps: int) -> Rows:
        self.generator.manual_seed(seeds(self.plan.seed, 2, self.updates)[0])
        fragment = batch
        if self._device.type != "cpu":
            fragment = fragment.to(self._device)
        return {
            name: self._learn(name, Decisions(fragment, k, self.module[name].network), steps)
            for k, name in enumerate(self.module.keys())
        }

    def _learn(self, name: str, decisions: Decisions, steps: int) -> dict[str, float]:
        method: Any = self.plan.method
        optimiser, parameters = self.optimiser(name, steps)
        network = self.module[name].network
        entropy = at(method.entropy, steps)
        everywhere, mean, variance = self._moments(decisions)
        if everywhere < 2:
            return {}
        if method.normalise_advantages:
            deviation = variance[0].sqrt().clamp(min=1e-4)
            decisions.normalised(mean[0].float(), deviation.float())
        before = [p.detach().clone() for p in parameters]
        # Of the parts of the loss, and minibatches.
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
                    continue  # a step without a gradient would still go where the last ones went
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
        if targets > 1e-12 * float(mean[1]) ** 2:  # else they are all alike, but for rounding
            row["explained_variance"] = 1 - errors / targets
        return row

    def compute_loss_for_module(
        self, *, module_id: str, config: Any, batch: Any, fwd_out: Any
    ) -> Tensor:
        """Of a `Minibatch`, with the entropy coefficient of the start."""
        method: Any = self.plan.method
        return self.loss(module_id, fwd_out, batch, at(method.entropy, 0))[0]

    def _moments(self, decisions: Decisions) -> tuple[int, Tensor, Tensor]:
        """How many decisions all learners have; means and variances [3] float64.

        Of advantages, of the values' targets, and of how far the critic was off.
        """
        wide = torch.stack([decisions.advantage, decisions.target, decisions.error]).double()
        count = torch.full((1,), wide.shape[1], dtype=torch.float64, device=self._device)
        sums = torch.cat([count, wide.sum(dim=1), wide.square().sum(dim=1)])
        if self.shared:
            torch.distributed.all_reduce(sums)
        least = sums[0].clamp(min=1)
        mean, square = sums[1:4] / least, sums[4:] / least
        return int(sums[0]), mean, (square - mean.square()).clamp(min=0)
