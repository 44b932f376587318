"""MADDPG: deterministic policies, each with a critic that sees everything while training.

Lowe et al. (2017), "Multi-agent actor-critic for mixed cooperative-competitive environments",
arXiv 1706.02275. With policies mu_i(o_i) and centralised critics Q_i(x, a_1 .. a_N), where x is
what all agents see, r_i the reward of agent i and g the discount (0 where the game ended):

    critic: loss = mean (y_i - Q_i(x, a_1 .. a_N))^2                                  equation 6
            y_i = r_i + g Q_i-(x', mu_1-(o_1') .. mu_N-(o_N'))
    actor:  maximise mean Q_i(x, a_1 .. mu_i(o_i) .. a_N) with respect to mu_i        equation 5

Minus signs mark delayed (target) networks. Targets are `marl.learning.off_policy.dqn.target`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field
from torch import Tensor

from games.common.errors import InputError
from games.simulators.action_sets import Box
from games.simulators.simulator import Role
from marl.learning.off_policy.base import OffPolicyMethod
from marl.learning.schedule import Schedule


class ActorCriticMethod(OffPolicyMethod):
    """Base of the off-policy methods that learn policies beside critics of actions."""

    twin: ClassVar[bool] = True
    """Whether there are two critics, of which the smaller value counts."""
    no_critic = "set method.critic"

    learning_rate: Schedule = 3e-4
    """Adam's learning rate."""
    critic: Literal["central", "own"] = "central"
    """What critics see: "central", all agents' observations and actions; "own", the agent's."""

    def require_role(self, role: Role) -> None:
        super().require_role(role)
        box = role.actions
        if isinstance(box, Box) and not all(map(math.isfinite, (*box.low, *box.high))):
            raise InputError(
                f"method {self.name} learns actions between bounds, and those of {role.name!r} "
                "have none: use ppo or mappo"
            )


class DeterministicMethod(ActorCriticMethod):
    """Base of the methods with deterministic policies, which explore by noise."""

    learner = "marl.rllib.off_policy.deterministic:DeterministicLearner"
    network: ClassVar[Mapping[str, Any]] = {"policy": "deterministic", "shared_encoder": True}
    takes = "numbers"
    instead = "masac, qmix, vdn or mappo"

    exploration: Schedule = ((0, 0.5), (50_000, 0.1))
    """Standard deviation of the noise on actions while training, where bounds are -1 and 1."""
    policy_every: Annotated[int, Field(gt=0)] = 1
    """Gradient steps of the critics between two of the policies."""
    smoothing: Annotated[float, Field(ge=0)] = 0.0
    """Standard deviation of the noise on the actions that targets are computed with."""
    smoothing_clip: Annotated[float, Field(gt=0)] = 0.5
    """Largest such noise."""


class MADDPG(DeterministicMethod):
    """Deterministic policies, each with a critic that sees all agents while training."""

    twin: ClassVar[bool] = False

    name: Literal["maddpg"] = "maddpg"


def mean_known(each: Tensor, known: Tensor) -> Tensor:
    """The mean, a scalar, of `each` [M, N] float32 where `known` [M, N] bool; 0 if that is nowhere.

    Other entries have no influence and get no gradient, whatever they are.
    """
    return each.masked_fill(~known, 0.0).sum() / known.sum().clamp(min=1)


def squared(values: Tensor, targets: Tensor, known: Tensor) -> Tensor:
    """Squared errors [M, N] float32, 0 where not `known`. Targets get no gradient."""
    # Masked before squaring: the gradient of the square of what is no number is none either.
    return (values - targets.detach()).masked_fill(~known, 0.0).square()


def critic_loss(
    values: Tensor, targets: Tensor, known: Tensor, weight: Tensor | None = None
) -> Tensor:
    """The mean squared error of a critic (equation 6), a scalar.

    Args:
        values: [M, N] float32, Q_i. targets: [M, N] float32, y_i; they get no gradient.
        known: [M, N] bool, the entries that count.
        weight: [M] float32 of prioritised sampling, the largest of them 1; None: all 1.
    """
    each = squared(values, targets, known)
    return mean_known(each if weight is None else each * weight[:, None], known)


def actor_loss(values: Tensor, known: Tensor) -> Tensor:
    """Minus the mean value of what the policies do (equation 5), a scalar.

    Its gradient is meant for the policies alone: leave the critic's weights out of it.

    Args:
        values: [M, N] float32, Q_i with the action of policy i, computed from its weights.
        known: [M, N] bool, the entries that count.
    """
    return -mean_known(values, known)
