"""MATD3: MADDPG with twin critics, delayed policies and smoothed targets.

Ackermann, Gabler, Osa and Sugiyama (2019), "Reducing overestimation bias in multi-agent domains
using double centralized critics", arXiv 1910.01465, which applies to MADDPG what Fujimoto, van Hoof
and Meger (2018), arXiv 1802.09477, found for one agent (TD3, algorithm 1):

    a_i' = clip(mu_i-(o_i') + clip(e, -c, c), -1, 1),   e ~ N(0, std^2)    TD3, equations 14 and 15
    y_i = r_i + g min(Q_i1-(x', a'), Q_i2-(x', a'))                            TD3, equation 10
    critics: loss = mean (y_i - Q_i1(x, a))^2 + mean (y_i - Q_i2(x, a))^2
    actor:  maximise mean Q_i1(x, a_1 .. mu_i(o_i) .. a_N), once in several updates of the critics

Minus signs mark delayed (target) networks. The policies' loss is
`marl.learning.off_policy.maddpg.actor_loss` of the first critic's values.
"""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from marl.learning.off_policy.maddpg import DeterministicMethod
from marl.learning.off_policy.maddpg import critic_loss as one_critic_loss


class MATD3(DeterministicMethod):
    """MADDPG with twin critics, delayed policies and smoothed targets."""

    name: Literal["matd3"] = "matd3"
    policy_every: Annotated[int, Field(gt=0)] = 2
    """Gradient steps of the critics between two of the policies."""
    smoothing: Annotated[float, Field(ge=0)] = 0.2
    """Standard deviation of the noise on the actions that targets are computed with."""


@torch.no_grad()
def smoothed(actions: Tensor, noise: Tensor, std: float, clip: float) -> Tensor:
    """Actions [..., W] float32 in [-1, 1] with clipped noise (TD3, equations 14 and 15).

    Args:
        actions: [..., W] float32 in [-1, 1], of delayed policies.
        noise: [..., W] float32, standard normal draws.
        std: of the noise added (TD3: 0.2). clip: its largest absolute value (TD3: 0.5).
    """
    return (actions + (noise * std).clamp(-clip, clip)).clamp(-1.0, 1.0)


@torch.no_grad()
def twin_target(reward: Tensor, discount: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """Targets r + g min(Q1-, Q2-) (TD3, equation 10), all [M, N] float32, without a gradient."""
    return reward + discount * torch.minimum(first, second)


def critic_loss(
    first: Tensor, second: Tensor, targets: Tensor, known: Tensor, weight: Tensor | None = None
) -> Tensor:
    """The sum, a scalar, of both critics' mean squared errors: each learns as if it were alone.

    Args:
        first, second: [M, N] float32, the critics' values of what was done.
        targets: [M, N] float32; they get no gradient.
        known: [M, N] bool, the entries that count.
        weight: [M] float32 of prioritised sampling, the largest of them 1; None: all 1.
    """
    return sum(
        (one_critic_loss(values, targets, known, weight) for values in (first, second)),
        start=targets.new_zeros(()),
    )
