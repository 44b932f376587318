"""Proximal policy optimisation for many agents: its config and its loss.

Schulman, Wolski, Dhariwal, Radford and Klimov (2017), "Proximal policy optimization algorithms",
arXiv 1707.06347, equations 7 and 9, with generalised advantage estimation (Schulman et al. 2016,
arXiv 1506.02438, equation 16; see `marl.learning.on_policy.advantages`).
`loss` equals RLlib's own term by term, which the tests check.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor

from marl.learning.method import RolloutMethod
from marl.learning.on_policy.advantages import Estimates, generalised
from marl.learning.schedule import Schedule
from marl.networks.distributions import Distribution
from marl.rollouts.trajectory import Trajectory


class PPO(RolloutMethod):
    """Proximal policy optimisation (PPO), with one policy per role or per agent."""

    learner = "marl.rllib.ppo:PPOLearner"
    metrics: ClassVar[tuple[str, ...]] = (
        "loss", "policy_loss", "value_loss", "entropy", "kl", "gradient_norm", "learning_rate",
        "entropy_coefficient", "decisions", "explained_variance",
    )  # fmt: skip
    extras: ClassVar[frozenset[str]] = frozenset({"logp", "parameters", "value", "memory"})

    name: Literal["ppo"] = "ppo"
    rollout_length: Annotated[int, Field(gt=0)] = 64
    """Steps of each game between two updates; in turn-based games at least a few rounds."""
    epochs: Annotated[int, Field(gt=0, le=1000)] = 4
    """Passes over each batch of experience."""
    minibatches: Annotated[int, Field(gt=0, le=100_000)] = 8
    """Gradient steps in each pass."""
    discount: Annotated[float, Field(ge=0, le=1)] = 0.99
    """Discount factor from one decision of an agent to its next."""
    gae_lambda: Annotated[float, Field(ge=0, le=1)] = 0.95
    """Lambda of generalised advantage estimation: 1 uses whole returns, 0 one step."""
    clip: Annotated[float, Field(gt=0)] = 0.2
    """Largest deviation of the probability ratio from 1 that still increases the objective."""
    value_clip: Annotated[float, Field(gt=0)] = 1000.0
    """Cap on the squared error of the value: errors beyond its root give no gradient, so set it
    well above the square of the largest return."""
    value_coefficient: Annotated[float, Field(ge=0)] = 0.5
    """Weight of the value loss."""
    entropy: Schedule = 0.01
    """Weight of the entropy bonus."""
    kl_coefficient: Annotated[float, Field(ge=0)] = 0.0
    """Initial weight of the penalty on the KL divergence from the policy that collected the data;
    adapted to `kl_target`."""
    kl_target: Annotated[float, Field(gt=0)] = 0.01
    """Mean KL divergence per update that `kl_coefficient` is adapted to."""
    normalise_advantages: bool = True
    """Whether advantages are scaled to mean 0 and standard deviation 1 over each update."""

    def estimate(self, trajectory: Trajectory) -> Estimates:
        """Advantages of the decisions, and targets for the critic."""
        return generalised(trajectory, self.discount, self.gae_lambda)


class Loss(NamedTuple):
    """The loss and its terms, each a mean over decisions; scalars."""

    total: Tensor
    policy: Tensor
    value: Tensor  # clipped
    entropy: Tensor
    kl: Tensor  # KL(policy that collected the data || policy that learns)


def loss(
    distribution: Distribution,
    parameters: Tensor,
    value: Tensor,
    *,
    actions: Tensor,
    old_parameters: Tensor,
    old_logp: Tensor,
    advantage: Tensor,
    target: Tensor,
    clip: float,
    value_clip: float,
    value_coefficient: float,
    entropy_coefficient: float,
    kl_coefficient: float,
) -> Loss:
    """The clipped surrogate, the value's error and the entropy bonus (arXiv 1707.06347, eq. 7, 9).

    Args:
        parameters: [D, P] of the action distribution of the policy that learns.
        value: [D] float32, the critic's present values.
        actions: [D, W] as taken.
        old_parameters: [D, P] of the distribution that the actions were drawn from.
        old_logp: [D] the actions' log probabilities then.
        advantage: [D] float32.
        target: [D] float32, targets of the value.
    """
    ratio = torch.exp(distribution.logp(parameters, actions) - old_logp)
    surrogate = torch.min(advantage * ratio, advantage * ratio.clamp(1 - clip, 1 + clip)).mean()
    error = (value - target).square().clamp(max=value_clip).mean()
    entropy = distribution.entropy(parameters).mean()
    kl = distribution.kl(old_parameters, parameters).mean()
    total = -surrogate + value_coefficient * error - entropy_coefficient * entropy
    if kl_coefficient:
        total = total + kl_coefficient * kl
    return Loss(total, -surrogate, error, entropy, kl)
