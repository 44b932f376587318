"""REINFORCE's learner: its loss on the whole of a trajectory."""

from __future__ import annotations

from ray.rllib.utils.annotations import override

from marl.learning.on_policy.reinforce import REINFORCE, Loss, loss
from marl.networks.packing import Output
from marl.rllib.on_policy import OnPolicyLearner
from marl.rollouts.decisions import Minibatch


class REINFORCELearner(OnPolicyLearner):
    """Learns every policy of a trajectory by REINFORCE; see `marl.learning.on_policy.reinforce`."""

    parts = Loss._fields

    @override(OnPolicyLearner)
    def loss(self, name: str, found: Output, minibatch: Minibatch, entropy: float) -> Loss:
        method = self.plan.method
        assert isinstance(method, REINFORCE)
        return loss(
            self.module[name].network.rule,
            found.parameters,
            found.value,
            actions=minibatch.actions,
            advantage=minibatch["advantage"],
            target=minibatch["target"],
            value_coefficient=method.value_coefficient,
            entropy_coefficient=entropy,
        )
