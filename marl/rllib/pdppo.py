"""Post-decision PPO's learner: PPO's loss plus the error of the second critic."""

from __future__ import annotations

from typing import NamedTuple

from ray.rllib.utils.annotations import override
from torch import Tensor

from marl.networks.packing import Output
from marl.rllib.ppo import PPOLearner
from marl.rollouts.decisions import Minibatch
from marl.rollouts.trajectory import Trajectory


class Parts(NamedTuple):
    """The loss and its terms, each a mean over decisions; scalars."""

    total: Tensor
    policy: Tensor
    value: Tensor  # clipped, as is the next
    post_decision_loss: Tensor
    entropy: Tensor
    kl: Tensor


class PDPPOLearner(PPOLearner):
    """Learns every policy of a trajectory by post-decision PPO; see
    `marl.learning.on_policy.pdppo`."""

    parts = Parts._fields

    @override(PPOLearner)
    def beside(self, name: str, trajectory: Trajectory) -> dict[str, Tensor]:
        own = {key: trajectory.extras[key] for key in ("decided_nodes", "after_target")}
        return super().beside(name, trajectory) | own

    @override(PPOLearner)
    def loss(self, name: str, found: Output, minibatch: Minibatch, entropy: float) -> Parts:
        ppo = super().loss(name, found, minibatch, entropy)
        network = self.module[name].network
        judged = network.post_decision_value(minibatch["decided_nodes"])
        error = (judged - minibatch["after_target"]).square()
        error = error.clamp(max=self._method.value_clip).mean()
        total = ppo.total + self._method.value_coefficient * error
        return Parts(total, ppo.policy, ppo.value, error, ppo.entropy, ppo.kl)
