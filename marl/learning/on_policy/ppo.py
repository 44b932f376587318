"""Proximal policy optimisation, for many agents: advantages, the loss, and its parameters.

Schulman, Wolski, Dhariwal, Radford and Klimov (2017), "Proximal policy optimization algorithms",
arXiv 1707.06347, equations 7 and 9, with generalised advantage estimation (Schulman et al. 2016,
arXiv 1506.02438, equation 16). `loss` is term for term RLlib's own, which the tests hold it to.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor

from marl.learning.method import LearningMethod, Schedule
from marl.networks.distributions import Distribution


class PPO(LearningMethod):
    """Proximal policy optimisation with one policy a role, or one an agent."""

    learner = "marl.rllib.ppo:PPOLearner"
    metrics: ClassVar[tuple[str, ...]] = (
        "loss", "policy_loss", "value_loss", "entropy", "kl", "gradient_norm", "learning_rate",
        "entropy_coefficient", "decisions", "explained_variance",
    )  # fmt: skip

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


def advantages(
    reward: Tensor,
    value: Tensor,
    deciding: Tensor,
    terminated: Tensor,
    truncated: Tensor,
    final_value: Tensor,
    next_value: Tensor,
    known: Tensor,
    discount: float,
    gae_lambda: float,
) -> tuple[Tensor, Tensor]:
    """Generalised advantages of the decisions (arXiv 1506.02438, equation 16).

    An agent need not act at every step: what it is paid between two of its decisions belongs to the
    first of them, and the discount counts decisions. Where it is off turn at the end, nothing can
    be said of its last decision yet: critics are asked about decisions alone, and what they would
    say about somebody else's turn may be anything, such as the value for the one who is to move.

    Args:
        reward: [T, B, N] float32, paid by the step after the decision.
        value: [T, B, N] float32, at the decision.
        deciding: [T, B, N] bool, where an agent acted.
        terminated: [T, B, N] bool, over after the step: nothing follows.
        truncated: [T, B, N] bool, cut off after the step: `final_value` follows.
        final_value: [T, B, N] float32, of what was seen when a game was cut off.
        next_value: [B, N] float32, of what is seen after the last step.
        known: [B, N] bool, where that is a decision's.

    Returns:
        advantages [T, B, N] float32, and which decisions [T, B, N] have one; 0 elsewhere.
    """
    result, found = torch.zeros_like(value), torch.zeros_like(deciding)
    advantage, paid = torch.zeros_like(next_value), torch.zeros_like(next_value)
    keep = discount * gae_lambda
    ends = terminated | truncated
    beyond = torch.where(terminated, 0.0, final_value)
    for t in range(len(reward) - 1, -1, -1):
        advantage = torch.where(ends[t], 0.0, advantage)
        next_value = torch.where(ends[t], beyond[t], next_value)
        paid = torch.where(ends[t], 0.0, paid) + reward[t]
        known = known | ends[t]
        acts = deciding[t]
        found[t] = acts & known
        new = paid + discount * next_value - value[t] + keep * advantage
        result[t] = torch.where(found[t], new, 0.0)
        advantage = torch.where(acts, result[t], advantage)
        next_value = torch.where(acts, value[t], next_value)
        paid = torch.where(acts, 0.0, paid)
        known = known | acts
    return result, found


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
