"""Lower bounds on a policy's exploitability: best responses learned against it, seat by seat.

The gain of any learned response over the policy in its own seat is a lower bound on the gain of a
best response; how tight it is depends on the learning. The method is that of Timbers et
al., "Approximate exploitability: learning a best response" (2022), with PPO in place of its search.
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
    discount=1.0,  # returns are measured without a discount
    value_clip=1e6,  # the scale of returns is unknown
)
CHOOSING = 1000  # games to choose between a responder's sampled and likeliest actions


@dataclass(frozen=True, eq=False)
class LowerBound:
    """Gains of learned responders over a policy, each in one of N seats.

    Estimated on fresh games, on which nothing was chosen. The gain of a responder that is worse
    than the policy counts as negative, so that the estimate is unbiased.
    """

    response: Float64  # [N] mean return of the responder in each seat, the policy in the others
    response_error: Float64  # [N] its standard error
    own: Float64  # [N] mean return of the policy in each seat
    own_error: Float64  # [N] its standard error
    own_sum_error: float  # standard error of the sum of `own`: 0 in a zero-sum game
    episodes: int  # games of each estimate
    updates: tuple[int, ...]  # [N] training updates of each responder

    @property
    def gain(self) -> Float64:
        """[N] gain of each responder over the policy."""
        return self.response - self.own

    @property
    def gain_error(self) -> Float64:
        """[N] standard error of the gains: the two means are of independent games."""
        return np.hypot(self.response_error, self.own_error)

    @property
    def value(self) -> float:
        """The estimated lower bound on exploitability: the mean gain, that is NashConv / N."""
        return float(self.gain.mean())

    @property
    def standard_error(self) -> float:
        """Standard error of `value`; the policy's returns in all seats are of the same games."""
        variance = np.sum(self.response_error**2) + self.own_sum_error**2
        return float(np.sqrt(variance) / len(self.own))

    @property
    def interval(self) -> tuple[float, float]:
        """95% interval of these responders' mean gain, by Student's t.

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

    A responder plays sampled or likeliest actions, whichever did better in separate games, which
    the estimate does not use.

    Args:
        policy: plays all other seats; of any game that can be trained on.
        updates: of each responder.
        seconds: no update of a responder starts after this long; with it results depend on the
            clock.
        episodes: games per seat, and as many of the policy against itself.
        seed: of training and playing.
        method: the learning method of responders.
        network: of the responders; None: like the policy's.
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
    # Of the policy's network only what suits the responders' method, whoever trained it.
    like = policy.config.model_copy(update={"policy": "stochastic"} | dict(method.network))
    response, learned = [], []
    cpus = 1 + resources.env_runners + resources.learners
    with running_ray(cpus, resources.address, extra="learning"):
        for seat in seats:
            train_seed, choice_seed, play_seed = seeds(seed, 1, seat, count=3)
            plan = Plan(
                game=policy.game,
                method=method,
                network=network or like,
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
    """Train a responder in one seat; returns it with its number of updates."""
    with train(plan, against=policy, seats=(seat,)) as training:
        began = time.perf_counter()
        while training.updates < updates:
            if seconds is not None and time.perf_counter() - began >= seconds:
                break
            training.step()
        return training.policy(), training.updates


def _better_greedy(responder: Policy, policy: Policy, seat: int, seed: int) -> bool:
    """Whether the responder's likeliest actions do better than sampled ones, in separate games."""

    def played(greedy: bool) -> Played:
        return evaluate(
            responder, episodes=CHOOSING, seed=seed, greedy=greedy, against=policy, seat=seat
        )

    return bool(played(True).own.mean() > played(False).own.mean())
