"""Proximal policy optimisation, for many agents: the loss, and its parameters.

Schulman, Wolski, Dhariwal, Radford and Klimov (2017), "Proximal policy optimization algorithms",
arXiv 1707.06347, equations 7 and 9, with generalised advantage estimation (Schulman et al. 2016,
arXiv 1506.02438, equation 16; see `marl.learning.on_policy.advantages`).
`loss` is term for term RLlib's own, which the tests hold it to.
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
    """Proximal policy optimisation with one policy a role, or one an agent."""

    learner = "marl.rllib.ppo:PPOLearner"
    metrics: ClassVar[tuple[str, ...]] = (
        "loss", "policy_loss", "value_loss", "entropy", "kl", "gradient_norm", "learning_rate",
        "entropy_coefficient", "decisions", "explained_variance",
    )  # fmt: skip
    extras: ClassVar[frozenset[str]] = frozenset({"logp", "parameters", "value", "memory"})

    name: Literal["ppo"] = "ppo"
    rollout_length: Annotated[int, Field(gt=0)] = 64
    """Steps of each game between two updates; in a game of turns at least a few rounds."""
    epochs: Annotated[int, Field(gt=0, le=1000)] = 4
    """Passes over what was played."""
    minibatches: Annotated[int, Field(gt=0, le=100_000)] = 8
    """Gradient steps a pass."""
    discount: Annotated[float, Field(ge=0, le=1)] = 0.99
    """From one decision of an agent to its next."""
    gae_lambda: Annotated[float, Field(ge=0, le=1)] = 0.95
    """Of generalised advantage estimation: 1 looks at returns alone, 0 at one step."""
    clip: Annotated[float, Field(gt=0)] = 0.2
    """How far from 1 the probability ratio is rewarded."""
    value_clip: Annotated[float, Field(gt=0)] = 1000.0
    """The squared error of the value counts up to this: an error beyond its root teaches nothing,
    so it belongs well above the square of the largest return."""
    value_coefficient: Annotated[float, Field(ge=0)] = 0.5
    """Of the value loss."""
    entropy: Schedule = 0.01
    """Of the entropy bonus."""
    kl_coefficient: Annotated[float, Field(ge=0)] = 0.0
    """Of the penalty on the divergence from the policy that played; adapted to `kl_target`."""
    kl_target: Annotated[float, Field(gt=0)] = 0.01
    """The mean divergence of an update that `kl_coefficient` is adapted to."""
    normalise_advantages: bool = True
    """To mean 0 and standard deviation 1, over an update."""

    def estimate(self, trajectory: Trajectory) -> Estimates:
        """What was better or worse than expected, and what the critic is to say."""
        return generalised(trajectory, self.discount, self.gae_lambda)


class Loss(NamedTuple):
    """The loss and its parts, each a mean over decisions; scalars."""

    total: Tensor
    policy: Tensor
    value: Tensor  # clipped
    entropy: Tensor
    kl: Tensor  # of the policy that played from the one that learns


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
        parameters: [D, P] of the action distribution that learns.
        value: [D] float32, as the critic has it now.
        actions: [D, W] that were taken.
        old_parameters: [D, P] of the distribution that they were drawn from.
        old_logp: [D] log probability that they had then.
        advantage: [D] float32.
        target: [D] float32, that the value should have.
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
