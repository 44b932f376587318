"""REINFORCE with a learned baseline, for many agents: its config and its loss.

Williams (1992), "Simple statistical gradient-following algorithms for connectionist reinforcement
learning", Machine Learning 8, equation 5 with the baseline of section 6: the gradient of each
decision's log probability, times its return to go minus the critic's value. Unlike there an update
need not wait for games to end: rewards beyond the trajectory are estimated by the critic.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, NamedTuple

from pydantic import Field
from torch import Tensor

from marl.learning.method import RolloutMethod
from marl.learning.on_policy.advantages import Estimates, generalised
from marl.learning.schedule import Schedule
from marl.networks.distributions import Distribution
from marl.rollouts.trajectory import Trajectory


class REINFORCE(RolloutMethod):
    """REINFORCE with a critic as its baseline: one gradient step on each batch."""

    learner = "marl.rllib.reinforce:REINFORCELearner"
    metrics = (
        "loss", "policy_loss", "value_loss", "entropy", "gradient_norm", "learning_rate",
        "entropy_coefficient", "decisions", "explained_variance",
    )  # fmt: skip
    extras = frozenset({"value", "memory"})
    # What makes the on-policy learner's walk over a trajectory REINFORCE's.
    epochs: ClassVar[int] = 1
    minibatches: ClassVar[int] = 1

    name: Literal["reinforce"] = "reinforce"
    rollout_length: Annotated[int, Field(gt=0)] = 64
    """Steps of each game between two updates; at least the length of a game is best."""
    discount: Annotated[float, Field(ge=0, le=1)] = 0.99
    """Discount factor from one decision of an agent to its next."""
    value_coefficient: Annotated[float, Field(ge=0)] = 0.5
    """Weight of the value loss."""
    entropy: Schedule = 0.01
    """Weight of the entropy bonus."""
    normalise_advantages: bool = True
    """Whether advantages are scaled to mean 0 and standard deviation 1 over each update."""

    def estimate(self, trajectory: Trajectory) -> Estimates:
        """Returns to go minus the baseline: generalised advantages with lambda = 1."""
        return generalised(trajectory, self.discount, gae_lambda=1.0)


class Loss(NamedTuple):
    """The loss and its terms, each a mean over decisions; scalars."""

    total: Tensor
    policy: Tensor
    value: Tensor
    entropy: Tensor


def loss(
    distribution: Distribution,
    parameters: Tensor,
    value: Tensor,
    *,
    actions: Tensor,
    advantage: Tensor,
    target: Tensor,
    value_coefficient: float,
    entropy_coefficient: float,
) -> Loss:
    """Log probabilities weighted by advantages, the value's error and the entropy bonus.

    Args:
        parameters: [D, P] of the action distribution, which the actions were drawn from.
        value: [D] float32, the critic's values.
        actions: [D, W] as taken.
        advantage: [D] float32, the return to go minus the baseline.
        target: [D] float32, the return to go.
    """
    policy = -(advantage * distribution.logp(parameters, actions)).mean()
    error = (value - target).square().mean()
    entropy = distribution.entropy(parameters).mean()
    total = policy + value_coefficient * error - entropy_coefficient * entropy
    return Loss(total, policy, error, entropy)
