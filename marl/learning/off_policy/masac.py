"""MASAC: soft actor-critic with centralised critics, for continuous and for discrete actions.

Haarnoja et al. (2018), "Soft actor-critic algorithms and applications", arXiv 1812.05905, with
critics that see all agents' observations and actions while training, as in MADDPG. The return of a
policy pi includes its entropy, at a temperature t:

    y = r + g (min(Q1-(x', a'), Q2-(x', a')) - t log pi(a' | o'))            equations 3, 5 and 6
    critics: loss = mean (y - Q1(x, a))^2 + mean (y - Q2(x, a))^2
    actor: loss = mean t log pi(a | o) - min(Q1(x, a), Q2(x, a)),  a ~ pi drawn with a gradient
                                                                                      equation 9
    temperature: loss = - log t (mean log pi(a | o) + H),  H the wanted entropy      equation 18

Two deviations, both common: equation 5 halves the critics' squares; and equation 18 has t in front
where we have log t. Both losses of the temperature have the same root; with log t the step of
log t does not shrink with t.

For discrete actions (Christodoulou 2019, "Soft actor-critic for discrete action settings",
arXiv 1910.07207) draws are replaced by exact expectations over choices, with values [.., A]:

    y = r + g sum_a' pi(a' | o') (min(Q1-, Q2-)(x', a') - t log pi(a' | o'))          equation 10
    actor: loss = mean sum_a pi(a | o) (t log pi(a | o) - min(Q1, Q2)(x, a))          equation 12
    temperature: loss = - log t mean sum_a pi(a | o) (log pi(a | o) + H)              equation 11

The critics' loss is `marl.learning.off_policy.matd3.critic_loss`. Temperatures may be one number or
[N], one of each agent.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from games.common.errors import InputError
from games.load import vector
from games.simulators.simulator import Role
from marl.learning.off_policy.maddpg import ActorCriticMethod, mean_known
from marl.learning.schedule import Schedule, highest
from marl.networks.distributions import require_single_choice


class MASAC(ActorCriticMethod):
    """Soft actor-critic with centralised critics, for continuous and discrete actions."""

    learner = "marl.rllib.off_policy.soft:SoftLearner"
    network: ClassVar[Mapping[str, Any]] = {"policy": "squashed", "shared_encoder": True}
    metrics: ClassVar[tuple[str, ...]] = (
        *ActorCriticMethod.metrics, "temperature", "entropy",
    )  # fmt: skip

    name: Literal["masac"] = "masac"
    exploration: Schedule = 0.0
    """Not used: policies explore by their own entropy."""
    temperature: Annotated[float, Field(gt=0)] = 0.2
    """Weight of the entropy at first; it is learned."""
    target_entropy: float | None = None
    """Entropy in nats that the temperature is adapted to; None: minus the number of an action's
    components, or a share of the most that choices allow."""
    target_share: Annotated[float, Field(gt=0, le=1)] = 0.6
    """That share of the logarithm of the number of legal choices."""

    def require(self, plan: Any) -> None:
        super().require(plan)
        if highest(self.exploration) > 0:
            raise InputError(
                "method masac explores by its entropy: remove method.exploration, or set "
                "method.target_entropy"
            )
        kinds = {bool(role.sizes) for role in vector(plan.game, 1).spec.roles}
        if len(kinds) > 1:
            raise InputError(
                "method masac learns games whose actions are all choices or all numbers, and this "
                "one has both: use mappo or ppo"
            )

    def require_role(self, role: Role) -> None:
        super().require_role(role)
        if role.sizes:
            require_single_choice(role)


LEAST = -104.0
"""Below it exp is 0 in float32. Log probabilities of illegal choices are lifted to it: unlifted, a
temperature above 1 makes them infinite, and 0 times that is no number."""


@torch.no_grad()
def target(
    reward: Tensor,
    discount: Tensor,
    first: Tensor,
    second: Tensor,
    logp: Tensor,
    temperature: Tensor,
) -> Tensor:
    """Soft targets [M, N] float32 (equations 3, 5 and 6), without a gradient.

    Args:
        reward, discount: [M, N] float32; discount 0 where the game ended.
        first, second: [M, N] float32, delayed critics' values of drawn actions.
        logp: [M, N] float32 of those actions. temperature: scalar or [N].
    """
    return reward + discount * (torch.minimum(first, second) - temperature * logp)


def actor_loss(
    first: Tensor, second: Tensor, logp: Tensor, temperature: Tensor, known: Tensor
) -> Tensor:
    """The policies' loss (equation 9), a scalar; its gradient is not meant for the critics.

    Args:
        first, second: [M, N] float32, values of actions drawn with a gradient (`rsample`).
        logp: [M, N] float32 of those actions. temperature: scalar or [N]; it gets no gradient.
        known: [M, N] bool, the entries that count.
    """
    return mean_known(temperature.detach() * logp - torch.minimum(first, second), known)


def temperature_loss(
    log_temperature: Tensor, logp: Tensor, target_entropy: Tensor | float, known: Tensor
) -> Tensor:
    """The loss of the temperature (equation 18 with its logarithm in front), a scalar.

    Args:
        log_temperature: scalar or [N] float32, what is learned.
        logp: [M, N] float32 of drawn actions; it gets no gradient.
        target_entropy: in nats, that the mean of -logp should have; usually minus the number of
            an action's components. known: [M, N] bool, the entries that count.
    """
    return mean_known(-log_temperature * (logp.detach() + target_entropy), known)


def soft_value(first: Tensor, second: Tensor, logp: Tensor, temperature: Tensor) -> Tensor:
    """Expected values plus entropy of discrete policies [M, N]; arguments as below."""
    certain = logp.clamp(min=LEAST)
    if temperature.dim():
        temperature = temperature[:, None]
    return (logp.exp() * (torch.minimum(first, second) - temperature * certain)).sum(-1)


@torch.no_grad()
def discrete_target(
    reward: Tensor,
    discount: Tensor,
    first: Tensor,
    second: Tensor,
    logp: Tensor,
    temperature: Tensor,
) -> Tensor:
    """`target` [M, N] of discrete actions (Christodoulou, equation 10), without a gradient.

    Args:
        reward, discount: [M, N] float32.
        first, second: [M, N, A] float32, delayed critics' values of all choices; finite.
        logp: [M, N, A] float32 of all choices; `MASKED`, or so, of illegal ones.
        temperature: scalar or [N].
    """
    return reward + discount * soft_value(first, second, logp, temperature)


def discrete_actor_loss(
    first: Tensor, second: Tensor, logp: Tensor, temperature: Tensor, known: Tensor
) -> Tensor:
    """`actor_loss` of discrete actions (Christodoulou, equation 12), a scalar.

    Args:
        first, second: [M, N, A] float32; they get no gradient, since all choices are counted.
        logp: [M, N, A] float32. temperature: scalar or [N]; it gets no gradient.
        known: [M, N] bool, the entries that count.
    """
    # Masked first: where logp is no number, the gradient of its exponential is none either.
    logp = logp.masked_fill(~known[..., None], 0.0)
    value = soft_value(first.detach(), second.detach(), logp, temperature.detach())
    return -mean_known(value, known)


def discrete_temperature_loss(
    log_temperature: Tensor, logp: Tensor, target_entropy: Tensor | float, known: Tensor
) -> Tensor:
    """`temperature_loss` of discrete actions (Christodoulou, equation 11), a scalar.

    Args:
        log_temperature: scalar or [N] float32, what is learned.
        logp: [M, N, A] float32 of all choices; it gets no gradient.
        target_entropy: in nats, a number or [M, N]; usually 0.98 times the logarithm of the number
            of legal choices. known: [M, N] bool, the entries that count.
    """
    mean_logp = (logp.exp() * logp.clamp(min=LEAST)).sum(-1)
    return temperature_loss(log_temperature, mean_logp, target_entropy, known)
