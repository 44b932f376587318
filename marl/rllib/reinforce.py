"""REINFORCE's learner: its loss on the whole of a fragment."""

from __future__ import annotations

from ray.rllib.utils.annotations import override

from marl.distributions import distribution
from marl.fragment import Minibatch
from marl.packing import Output
from marl.reinforce import REINFORCE, Loss, loss
from marl.rllib.fragments import FragmentLearner


class REINFORCELearner(FragmentLearner):
    """Learns every policy of a fragment by REINFORCE; see `marl.reinforce`."""

    parts = Loss._fields

    @override(FragmentLearner)
    def loss(self, name: str, found: Output, minibatch: Minibatch, entropy: float) -> Loss:
        method = self.plan.method
        assert isinstance(method, REINFORCE)
        return loss(
            distribution(self.module[name].network.role),
            found.parameters,
            found.value,
            actions=minibatch.actions,
            advantage=minibatch.advantage,
            target=minibatch.target,
            value_coefficient=method.value_coefficient,
            entropy_coefficient=entropy,
        )
