"""Deep Q-learning: learn what each choice is worth, and play the best one.

Mnih et al. (2015), "Human-level control through deep reinforcement learning", Nature 518; in the
notation here, for a decision in s with choice a, whose n-step reward is r, and which is followed
by s' with discount g (gamma^n; 0 where the game ended):

    loss = mean (y - Q(s, a))^2,   y = r + g max_a' Q-(s', a')                 Mnih et al., Methods

Q- is the delayed (target) network. Three extensions:

- double: y = r + g Q-(s', argmax_a' Q(s', a')); van Hasselt, Guez and Silver (2016),
  arXiv 1509.06461, equation 4 with the roles of the networks as in their section "Double DQN";
- dueling: Q(s, a) = V(s) + A(s, a) - mean_a' A(s, a'); Wang et al. (2016), arXiv 1511.06581,
  equation 9, with the mean over legal choices;
- prioritised: the squares are weighted by (K P(i))^-beta, over its maximum; Schaul, Quan,
  Antonoglou and Silver (2016), arXiv 1511.05952, section 3.4 and algorithm 1.

Mnih et al. clip the error of a step to [-1, 1]; with `huber` the loss has just this gradient.
Illegal choices have value `MASKED`, the least there is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import huber_loss, mse_loss

from games.common.errors import InputError
from games.load import vector
from marl.learning.off_policy.base import OffPolicyMethod
from marl.learning.schedule import highest
from marl.networks.categorical import MASKED
from marl.networks.distributions import require_single_choice

if TYPE_CHECKING:
    from games.simulators.simulator import Role, Spec
    from marl.networks.network import Network


class ValueMethod(OffPolicyMethod):
    """Base of the methods that learn values of choices."""

    learner = "marl.rllib.off_policy.values:ValueLearner"
    network: ClassVar[Mapping[str, Any]] = {"policy": "values", "shared_encoder": True}
    takes = "choices"
    instead = "masac, matd3, mappo or ppo"

    double: bool = True
    """Whether the network that learns says what is best, and the delayed one what it is worth."""
    dueling: bool = False
    """Whether a choice's value is the state's value plus an advantage."""
    huber: bool = False
    """Whether errors beyond 1 count by their size, not by their square: steadier, but where
    outcomes of chance differ by more than 1, as in poker, values are then no longer means."""

    def mixer(self, spec: Spec, network: Network) -> nn.Module | None:
        """What makes one value of all agents' values; None if they learn alone."""
        return None

    def require(self, plan: Any) -> None:
        super().require(plan)
        share = highest(self.exploration)
        if share > 1:
            raise InputError(
                f"method.exploration: {share:g} is no share of random choices: give 0 to 1"
            )

    def require_role(self, role: Role) -> None:
        super().require_role(role)
        require_single_choice(role)


class DQN(ValueMethod):
    """Deep Q-learning for one agent, with double, dueling and n-step targets."""

    name: Literal["dqn"] = "dqn"

    def require(self, plan: Any) -> None:
        agents = vector(plan.game, 1).spec.num_agents
        if agents > 1:
            raise InputError(
                f"method dqn is for one agent, and this game has {agents}: use iql, where each "
                "learns on its own, or vdn or qmix, where they learn together"
            )
        super().require(plan)


class IQL(ValueMethod):
    """Independent Q-learning: each agent learns by DQN, as if the others were part of the game."""

    name: Literal["iql"] = "iql"


def chosen(values: Tensor, actions: Tensor) -> Tensor:
    """Values [D] float32 of the choices taken: Q(s, a).

    Args:
        values: [D, A] float32 of all choices. actions: [D, 1] int64.
    """
    return values.gather(1, actions)[:, 0]


def best(values: Tensor, selector: Tensor | None = None) -> Tensor:
    """Values [D] float32 of the best choices; `MASKED` where none is legal.

    Args:
        values: [D, A] float32 of all choices, illegal ones `MASKED`.
        selector: [D, A] float32 of another network, which says what is best: double Q-learning
            (van Hasselt et al., equation 4). None: `values` does.
    """
    if selector is None:
        return values.amax(1)
    return chosen(values, selector.argmax(1, keepdim=True))


def dueled(state_value: Tensor, advantages: Tensor, legal: Tensor) -> Tensor:
    """Values [D, A] float32 of choices, V + A - mean A; illegal ones are `MASKED`.

    The mean is over legal choices, so that illegal ones have no influence (Wang et al., equation 9,
    which knows of none).

    Args:
        state_value: [D] float32, V. advantages: [D, A] float32. legal: [D, A] bool.
    """
    counted = advantages.masked_fill(~legal, 0.0)
    mean = counted.sum(1, keepdim=True) / legal.sum(1, keepdim=True).clamp(min=1)
    return (state_value[:, None] + counted - mean).masked_fill(~legal, MASKED)


@torch.no_grad()
def target(reward: Tensor, discount: Tensor, value: Tensor) -> Tensor:
    """What values should become, r + g Q-(s', a'), of any shape and without a gradient.

    Args:
        reward: n-step sums. discount: gamma^n, 0 where the game ended. value: of what follows;
            `MASKED` will do where the discount is 0.
    """
    return reward + discount * value


def td_loss(
    values: Tensor, targets: Tensor, weight: Tensor | None = None, *, huber: bool = False
) -> tuple[Tensor, Tensor]:
    """The loss and the temporal-difference errors of D values.

    Args:
        values: [D] float32, Q(s, a). targets: [D] float32; they get no gradient.
        weight: [D] float32 of prioritised sampling, the largest of them 1; None: all 1. The mean
            is over D, not over the sum of weights (Schaul et al., algorithm 1).
        huber: square only errors up to 1: half the square, and beyond that |error| - 1/2.

    Returns:
        the mean loss, a scalar, 0 for D = 0; and the errors targets - values [D] float32, detached.
    """
    targets = targets.detach()
    distance = huber_loss if huber else mse_loss
    each = distance(values, targets, reduction="none")
    if weight is not None:
        each = each * weight
    return each.sum() / max(len(each), 1), (targets - values).detach()
