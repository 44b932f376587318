"""PPO's learner: its loss on minibatches of a trajectory, and the adaptive KL penalty."""

from __future__ import annotations

from typing import Any

from ray.rllib.utils.annotations import override
from torch import Tensor

from marl.learning.on_policy.ppo import PPO, Loss, loss
from marl.networks.packing import Output
from marl.rllib.on_policy import OnPolicyLearner
from marl.rollouts.decisions import Minibatch
from marl.rollouts.trajectory import Trajectory

KL_RANGE = 1e6  # largest factor between the KL coefficient and its initial value


class PPOLearner(OnPolicyLearner):
    """Learns every policy of a trajectory by PPO; see `marl.learning.on_policy.ppo`."""

    parts: tuple[str, ...] = Loss._fields

    @override(OnPolicyLearner)
    def build(self) -> None:
        super().build()
        self.kl_coefficient = dict.fromkeys(self.module.keys(), self._method.kl_coefficient)

    @property
    def _method(self) -> PPO:
        assert isinstance(self.plan.method, PPO)
        return self.plan.method

    @override(OnPolicyLearner)
    def beside(self, name: str, trajectory: Trajectory) -> dict[str, Tensor]:
        extras = trajectory.extras
        width = self.module[name].network.rule.num_parameters
        return {"logp": extras["logp"], "parameters": extras["parameters"][..., :width]}

    @override(OnPolicyLearner)
    def loss(self, name: str, found: Output, minibatch: Minibatch, entropy: float) -> Loss:
        method = self._method
        return loss(
            self.module[name].network.rule,
            found.parameters,
            found.value,
            actions=minibatch.actions,
            old_parameters=minibatch["parameters"],
            old_logp=minibatch["logp"],
            advantage=minibatch["advantage"],
            target=minibatch["target"],
            clip=method.clip,
            value_clip=method.value_clip,
            value_coefficient=method.value_coefficient,
            entropy_coefficient=entropy,
            kl_coefficient=self.kl_coefficient[name],
        )

    @override(OnPolicyLearner)
    def after(self, name: str, means: dict[str, float]) -> None:
        """Adapt the KL coefficient to reach the target divergence (arXiv 1707.06347, section 4).

        Unlike there, the coefficient stays within a factor of a million of its start: halved
        forever it would be 0 and never rise again, doubled forever not finite.
        """
        method = self._method
        coefficient = self.kl_coefficient[name]
        if means["kl"] > 1.5 * method.kl_target:
            coefficient = min(2 * coefficient, method.kl_coefficient * KL_RANGE)
        elif means["kl"] < method.kl_target / 1.5:
            coefficient = max(coefficient / 2, method.kl_coefficient / KL_RANGE)
        self.kl_coefficient[name] = coefficient

    @override(OnPolicyLearner)
    def own_state(self) -> dict[str, Any]:
        return super().own_state() | {"kl_coefficient": dict(self.kl_coefficient)}

    @override(OnPolicyLearner)
    def set_own_state(self, state: dict[str, Any]) -> None:
        super().set_own_state(state)
        self.kl_coefficient = dict(state["kl_coefficient"])
