"""Post-decision PPO: PPO with a second critic, for the state after a decision.

Felizardo, Fadda, Brandimarte, Del-Moral-Hernandez and Nascimento, "A reinforcement learning method
for environments with stochastic variables: post-decision proximal policy optimization with dual
critic networks" (arXiv 2504.05150). A decision takes s to s^x and pays r^x, for certain; chance
takes s^x to s' and pays r^w (`games.simulators.post_decision`). The loss is PPO's, with the squared
error of the second critic beside that of the first; what differs is the advantage. There are two
forms.

*Published*, as in the code that was released. With R^w and R^x the discounted sums of r^w and of
r^x from a decision on:

    V(s) -> R^w,    V^x(s^x) -> R^x,    A = max(R^w - V(s), R^x - V^x(s^x)).

Neither critic learns the whole return of a decision, and V^x predicts a reward that is paid before
the state that it sees. The maximum follows the gradient of no return: an action that saves a set-up
is reinforced however much it loses in sales.

*Corrected*. V(s) is the expected return, V^x(s^x) its part after the decision, so that

    Q(s, a) = r^x(s, a) + V^x(s^x),    V^x(s^x) = E[r^w + discount V(s')],

and the advantage is generalised advantage estimation (arXiv 1506.02438, equation 16) on the chain
s, s^x, s', s'^x, ... in which each half-step has its own error:

    A_t   = Q(s_t, a_t) - V(s_t) + lambda A^x_t,
    A^x_t = r^w_t + discount V(s_t+1) - V^x(s^x_t) + discount lambda A_t+1.

The targets are V + A and V^x + A^x. lambda = 0 is Q - V alone, without any noise of chance;
lambda = 1 is the return minus V, as in PPO: in between, the noise of chance is traded for the
second critic's error.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor

from games.common.errors import InputError
from games.listing import suited, suiting
from games.names import called
from games.simulators.post_decision import PostDecision
from games.simulators.simulator import Simulator
from marl.learning.on_policy.advantages import Estimates, backwards, played
from marl.learning.on_policy.ppo import PPO
from marl.rollouts.trajectory import Trajectory

if TYPE_CHECKING:
    from marl.learning.plan import Plan


class PDPPO(PPO):
    """Post-decision PPO: a second critic values the state after a decision and before chance."""

    learner = "marl.rllib.pdppo:PDPPOLearner"
    metrics = (*PPO.metrics, "post_decision_loss")
    extras = PPO.extras | {"post_decision"}
    network: ClassVar[Mapping[str, Any]] = {"post_decision": True}

    name: Literal["pdppo"] = "pdppo"  # type: ignore[assignment]
    form: Literal["corrected", "published"] = "corrected"
    """How advantages are computed: "corrected", Q(s, a) - V(s) estimated along half-steps;
    "published", the paper's maximum."""
    gae_lambda: Annotated[float, Field(ge=0, le=1)] = 0.95
    """Lambda of generalised advantage estimation, per half-step: 1 uses whole returns, 0 only the
    two critics; the published form always uses whole returns."""

    def require(self, plan: Plan) -> None:
        require_post_decision(plan.game)
        network = plan.network
        for key, plain in (("encoder", "mlp"), ("critic", "own"), ("memory", 0)):
            if (given := getattr(network, key)) != plain:
                raise InputError(
                    f"method pdppo: its second critic sees only the agent's own node: set "
                    f"network.{key} = {plain!r} instead of {given!r}"
                )

    def estimate(self, trajectory: Trajectory) -> Estimates:
        halves = Halves.of(trajectory)
        if self.form == "published":
            found = published(halves, self.discount)
        else:
            found = corrected(halves, self.discount, self.gae_lambda)
        error = found.target - halves.value
        beside = {"after_target": found.after_target}
        return Estimates(found.advantage, found.found, found.target, error, beside)


class Halves(NamedTuple):
    """T steps of B games between N agents, in half-steps; see
    `marl.learning.on_policy.advantages.Played`."""

    reward: Tensor  # [T, B, N] float32  of the whole step
    sure: Tensor  # [T, B, N] float32  r^x, its part for the decision; 0 where none was taken
    value: Tensor  # [T, B, N] float32  V at the decision
    after: Tensor  # [T, B, N] float32  V^x after it
    deciding: Tensor  # [T, B, N] bool  where an agent acted
    terminated: Tensor  # [T, B, N] bool  over after the step: nothing follows
    truncated: Tensor  # [T, B, N] bool  cut off after the step: `final_value` follows
    final_value: Tensor  # [T, B, N] float32  V of what was seen when a game was cut off
    next_value: Tensor  # [B, N] float32  V of what is seen after the last step
    known: Tensor  # [B, N] bool  where that is a decision's

    @classmethod
    def of(cls, trajectory: Trajectory) -> Halves:
        """The half-steps of a trajectory with the extras "value" and "post_decision"."""
        extras = trajectory.extras
        return cls(
            sure=extras["decided_reward"],
            after=extras["decided_value"],
            **played(trajectory)._asdict(),
        )


class HalfEstimates(NamedTuple):
    """Advantages and targets of the decisions that `found` marks; 0 elsewhere."""

    advantage: Tensor  # [T, B, N] float32
    found: Tensor  # [T, B, N] bool
    target: Tensor  # [T, B, N] float32, targets of V
    after_target: Tensor  # [T, B, N] float32, targets of V^x


def corrected(played: Halves, discount: float, gae_lambda: float) -> HalfEstimates:
    """Generalised advantages along half-steps; the equations stand at the top of this file.

    Rewards between two decisions of an agent count as chance's, after the first of them.
    """
    p, result = played, _nothing(played)
    ends = p.terminated | p.truncated
    beyond = torch.where(p.terminated, 0.0, p.final_value)
    advantage, next_value = torch.zeros_like(p.next_value), p.next_value
    for now in backwards(p.reward - p.sure, p.deciding, ends, p.known):
        t, found = now.t, now.found
        advantage = torch.where(now.ends, 0.0, advantage)
        next_value = torch.where(now.ends, beyond[t], next_value)
        second = now.paid + discount * next_value - p.after[t] + discount * gae_lambda * advantage
        first = p.sure[t] + p.after[t] - p.value[t] + gae_lambda * second
        result.found[t] = found
        result.advantage[t] = torch.where(found, first, 0.0)
        result.target[t] = torch.where(found, p.value[t] + first, 0.0)
        result.after_target[t] = torch.where(found, p.after[t] + second, 0.0)
        advantage = torch.where(now.acts, result.advantage[t], advantage)
        next_value = torch.where(now.acts, p.value[t], next_value)
    return result


def published(played: Halves, discount: float) -> HalfEstimates:
    """The paper's advantages: the larger of the errors in chance's and in decisions' rewards.

    Unlike in the released code a trajectory may end within a game: what chance pays from there on
    is what V says of it; of what decisions pay, V^x says it at the last of them.
    """
    p, result = played, _nothing(played)
    ends = p.terminated | p.truncated
    beyond = torch.where(p.terminated, 0.0, p.final_value)
    by_chance, by_decisions = p.next_value, torch.zeros_like(p.next_value)
    followed = torch.zeros_like(p.known)  # whether what decisions pay later is known
    for now in backwards(p.reward - p.sure, p.deciding, ends, p.known):
        t, found, acts = now.t, now.found, now.acts
        by_chance = torch.where(now.ends, beyond[t], by_chance)
        by_decisions = torch.where(now.ends, 0.0, by_decisions)
        followed = torch.where(now.ends, p.terminated[t], followed)
        pre = now.paid + discount * by_chance
        post = torch.where(followed, p.sure[t] + discount * by_decisions, p.after[t])
        result.found[t] = found
        greater = torch.maximum(pre - p.value[t], post - p.after[t])
        result.advantage[t] = torch.where(found, greater, 0.0)
        result.target[t] = torch.where(found, pre, 0.0)
        result.after_target[t] = torch.where(found, post, 0.0)
        # A decision of which nothing is known yet is as the end of the trajectory.
        by_chance = torch.where(acts, torch.where(now.known, pre, p.value[t]), by_chance)
        by_decisions = torch.where(acts, post, by_decisions)
        followed = followed | acts
    return result


def _nothing(p: Halves) -> HalfEstimates:
    """Estimates of no decisions: all 0."""
    zero = torch.zeros_like(p.value)
    return HalfEstimates(zero, torch.zeros_like(p.deciding), zero.clone(), zero.clone())


def require_post_decision(game: Any) -> PostDecision:
    """The simulator of a game, InputError if it has no post-decision states."""
    made, name = suited(game, _halves), called(game)
    if made is None:
        raise InputError(
            f"method pdppo: {name} has no post-decision states: use {suiting(_halves)}, or a "
            "simulator of your own with decide and realise (games.simulators.post_decision)"
        )
    assert isinstance(made, PostDecision)
    return made


def _halves(simulator: Simulator) -> bool:
    return isinstance(simulator, PostDecision)
