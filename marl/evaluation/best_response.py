"""How exploitable a policy is at the least: learners try to beat it, seat by seat.

A learned response is a response, so what it wins over the policy in the policy's own seat is a
lower bound on what a best response wins; how close it comes is the learner's matter. The
approximate best response of Timbers et al., "Approximate exploitability: learning a best response"
(2022), with PPO in the place of its search.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from games import InputError
from games.common.intervals import around, standard_error
from games.common.seeds import seeds
from games.common.workers import running_ray
from games.finite.sequence_form import Float64
from marl.evaluation.episodes import Played, evaluate
from marl.learning.on_policy.ppo import PPO
from marl.learning.plan import Plan, Resources
from marl.learning.trainer import train
from marl.networks.network import Network
from marl.networks.policy import Policy

RESPONDER = PPO(
    num_envs=128,
    rollout_length=32,
    learning_rate=1e-3,
    discount=1.0,  # returns are judged without a discount
    value_clip=1e6,  # nothing is known of their scale
)
CHOOSING = 1000  # games in which it is chosen how a responder plays


@dataclass(frozen=True, eq=False)
class LowerBound:
    """What learned responders win over a policy, each in one of N seats.

    Estimated on games that nothing was chosen by. A responder that is worse than the policy counts
    below 0, so that the estimate is not biased.
    """

    response: Float64  # [N] mean return of the responder in each seat, the policy in the others
    response_error: Float64  # [N] its standard error
    own: Float64  # [N] mean return of the policy in each seat
    own_error: Float64  # [N] its standard error
    own_sum_error: float  # standard error of the sum of `own`: 0 in a zero-sum game
    episodes: int  # games of each estimate
    updates: tuple[int, ...]  # [N] that each responder learned from

    @property
    def gain(self) -> Float64:
        """[N] what a responder wins over the policy."""
        return self.response - self.own

    @property
    def gain_error(self) -> Float64:
        """[N] its standard error: the two means are of independent games."""
        return np.hypot(self.response_error, self.own_error)

    @property
    def value(self) -> float:
        """The estimated lower bound on exploitability: the mean gain, that is NashConv / N."""
        return float(self.gain.mean())

    @property
    def standard_error(self) -> float:
        """Of `value`. The policy's own returns are of the same games in all seats."""
        variance = np.sum(self.response_error**2) + self.own_sum_error**2
        return float(np.sqrt(variance) / len(self.own))

    @property
    def interval(self) -> tuple[float, float]:
        """95%, by Student's t, of what these responders win.

        The exploitability itself may lie anywhere above the lower end.
        """
        return around(self.value, self.standard_error, self.episodes)


def exploitability_lower_bound(
    policy: Policy,
    *,
    updates: int = 100,
    seconds: float | None = None,
    episodes: int = 10_000,
    seed: int = 0,
    method: PPO = RESPONDER,
    network: Network | None = None,
    resources: Resources | None = None,
) -> LowerBound:
    """Train a responder for every seat against the frozen policy, then play it on fresh games.

    A responder plays the actions that it draws or its likeliest ones, whichever did better in
    games of their own; the games of the estimate are others.

    Args:
        policy: that plays all other seats; of any game that can be trained on.
        updates: of each responder.
        seconds: no update of a responder starts after this long; with it results depend on the
            clock.
        episodes: games in each seat, and as many of the policy alone.
        seed: of training and playing.
        method: how responders learn.
        network: of the responders; None: as the policy's own.
        resources: processes and devices.

    Raises:
        InputError: fewer than 2 episodes or 1 update; a game that breaks its rules.
        FloatingPointError: an update gave numbers that are not finite.
    """
    if updates < 1 or episodes < 2:
        raise InputError(
            f"{updates} updates and {episodes} episodes: a responder needs at least 1 update, and "
            "a standard error at least 2 episodes"
        )
    resources = resources or Resources()
    own = evaluate(policy, episodes=episodes, seed=seeds(seed, 0)[0])
    seats = range(policy.spec.num_agents)
    response, learned = [], []
    cpus = 1 + resources.env_runners + resources.learners
    with running_ray(cpus, resources.address, extra="learning"):
        for seat in seats:
            train_seed, choice_seed, play_seed = seeds(seed, 1, seat, count=3)
            plan = Plan(
                game=policy.game,
                method=method,
                network=network or policy.config,
                resources=resources,
                seed=train_seed,
            )
            responder, count = _trained(plan, policy, seat, updates, seconds)
            learned.append(count)
            greedy = _better_greedy(responder, policy, seat, choice_seed)
            response.append(
                evaluate(
                    responder, episodes=episodes, seed=play_seed, greedy=greedy, against=policy,
                    seat=seat,
                )
            )  # fmt: skip
    returns = own.returns
    return LowerBound(
        response=np.array([played.own.mean() for played in response]),
        response_error=np.array([played.standard_error() for played in response]),
        own=returns.mean(axis=0),
        own_error=np.array([standard_error(own) for own in returns.T]),
        own_sum_error=standard_error(returns.sum(axis=1)),
        episodes=episodes,
        updates=tuple(learned),
    )


def _trained(
    plan: Plan, policy: Policy, seat: int, updates: int, seconds: float | None
) -> tuple[Policy, int]:
    """A responder in one seat, and from how many updates it learned."""
    with train(plan, against=policy, seats=(seat,)) as training:
        began = time.perf_counter()
        while training.updates < updates:
            if seconds is not None and time.perf_counter() - began >= seconds:
                break
            training.step()
        return training.policy(), training.updates


def _better_greedy(responder: Policy, policy: Policy, seat: int, seed: int) -> bool:
    """Whether the responder's likeliest actions do better than drawn ones, on games apart."""

    def played(greedy: bool) -> Played:
        return evaluate(
            responder, episodes=CHOOSING, seed=seed, greedy=greedy, against=policy, seat=seat
        )

    return bool(played(True).own.mean() > played(False).own.mean())
