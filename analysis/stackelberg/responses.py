"""Where each of the follower's actions is a best response: the linear programs of a commitment.

Conitzer & Sandholm, "Computing the optimal strategy to commit to" (2006); for the bounds by
Lagrangian duality see `upper_bounds`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import highspy
import numpy as np

from analysis.equilibria.equilibrium import require_two_players
from games import InputError, NormalForm
from games.common.programs import INFINITY, Program, run
from games.finite.sequence_form import Float64

Ties = Literal["strong", "weak"]
RESOLUTION = 1e-9  # of payoffs scaled to [0, 1]: smaller differences are beyond HiGHS
BISECTIONS = 8


def upper_bounds(leader: Float64, follower: Float64) -> Float64:
    """Upper bounds on the leader's payoff for each follower action b, [B].

    The follower's action has to be as good as each rival b' alone: by Lagrangian duality

        min over m >= 0 of max over a of  leader[a, b] + m (follower[a, b] - follower[a, b'])

    is a bound, and so is every m. The best m is searched by halving, for all rivals at once.

    Args:
        leader: payoffs [A, B].
        follower: payoffs [A, B].
    """
    actions = np.arange(leader.shape[1])
    bounds = leader.max(axis=0)
    for b in actions:
        advantage = follower[:, [b]] - follower  # [A, B]
        low, high = np.zeros(len(actions)), np.ones(len(actions))
        for _ in range(BISECTIONS):
            middle = (low + high) / 2
            weight = middle / (1 - middle)  # all of [0, infinity)
            relaxed = leader[:, [b]] + weight * advantage
            at = relaxed.argmax(axis=0)
            bounds[b] = min(bounds[b], relaxed[at, actions].min())
            falling = advantage[at, actions] < 0  # the maximum falls with m: the best m is larger
            low, high = np.where(falling, middle, low), np.where(falling, high, middle)
    return bounds


@dataclass(frozen=True, eq=False)
class Problem:
    """The game from the leader's side, each player's payoffs scaled to [0, 1]."""

    game: NormalForm
    player: int  # the leader
    ties: Ties
    leader: Float64  # [A, B]
    follower: Float64  # [A, B]
    offset: float
    scale: float

    @classmethod
    def of(cls, game: NormalForm, leader: int, ties: Ties) -> Problem:
        require_two_players(game.form, "commitment")
        if leader not in (0, 1):
            raise InputError(f"leader {leader}: the leader is player 0 or player 1")
        if ties not in ("strong", "weak"):
            raise InputError(f"ties {ties!r}: an indifferent follower's ties are strong or weak")
        payoffs = game.payoffs if leader == 0 else game.payoffs.transpose(1, 0, 2)
        own, other = payoffs[..., leader], payoffs[..., 1 - leader]
        offset, scale = _range(own)
        low, width = _range(other)
        return cls(game, leader, ties, (own - offset) / scale, (other - low) / width, offset, scale)

    def unscaled(self, value: float) -> float:
        return self.offset + self.scale * value

    def equal_to(self, action: int) -> np.ndarray:
        """Actions [K] that pay the follower the same whatever the leader does."""
        difference = np.abs(self.follower - self.follower[:, [action]]).max(axis=0)
        return np.flatnonzero(difference <= RESOLUTION)


def _range(payoffs: Float64) -> tuple[float, float]:
    width = float(payoffs.max() - payoffs.min())
    return float(payoffs.min()), width if width > 0 else 1.0


def _program(rewards: Float64) -> tuple[Program, np.ndarray, int]:
    """Mixed strategies x [A] and a number v, with rows [K] v - x @ rewards[:, k] >= 0."""
    count, rows = rewards.shape[0], np.arange(rewards.shape[1])
    program = Program()
    x = program.variables(count)
    v = program.variables(1, -INFINITY)[0]
    program.rows(len(rows), [(rows[:, None], x, -rewards.T), (rows, v, 1.0)], 0.0)
    program.rows(1, [(np.zeros(count, int), x, 1.0)], 1.0, 1.0)
    return program, x, v


def shared_model(follower: Float64) -> highspy.Highs:
    """The program in which no follower action pays more than v; a response attains v."""
    model = _program(follower)[0].model(maximise=True)
    # Presolve would forget the last basis, and with it two thirds of the speed.
    model.setOptionValue("presolve", "off")
    return model


def solve_shared(model: highspy.Highs, action: int, payoff: Float64) -> Float64:
    """Maximise x @ payoff where `action` attains v; leaves the rows as they were."""
    count = len(payoff)
    model.changeColsCost(count, np.arange(count, dtype=np.int32), np.ascontiguousarray(payoff))
    model.changeRowBounds(action, 0.0, 0.0)
    try:
        return run(model).x[:count]
    except RuntimeError:  # a basis from which HiGHS finds no way: begin afresh
        model.clearSolver()
        return run(model).x[:count]
    finally:
        model.changeRowBounds(action, 0.0, INFINITY)


def solve_worst(problem: Problem, action: int, equal: np.ndarray) -> Float64:
    """The same against the worst of several actions that are all one to the follower."""
    program, x, _ = _program(problem.follower)
    z = program.variables(1, -INFINITY, cost=1.0)
    rows = np.arange(len(equal))
    worst = problem.leader[:, equal].T
    program.rows(len(equal), [(rows[:, None], x, worst), (rows, z, -1.0)], 0.0)
    model = program.model(maximise=True)
    model.changeRowBounds(action, 0.0, 0.0)
    return run(model).x[: len(x)]


def strictest(
    problem: Problem, equal: np.ndarray, payoff: float | None = None
) -> tuple[Float64, float]:
    """The commitment to which the actions `equal` are better than all others by the most, and by
    how much; among those, if asked, that give the leader `payoff` from each of `equal`."""
    others = np.setdiff1d(np.arange(problem.follower.shape[1]), equal)
    if not len(others) and payoff is None:
        return np.eye(len(problem.leader))[0], 1.0
    advantage = problem.follower[:, [equal[0]]] - problem.follower[:, others]  # [A, others]
    program, x, deficit = _program(-advantage)
    if payoff is not None:
        rows = np.arange(len(equal))
        worst = problem.leader[:, equal].T
        program.rows(len(equal), [(rows[:, None], x, worst)], payoff)
    model = program.model()
    model.changeColCost(int(deficit), 1.0)
    model.changeColBounds(int(deficit), -1.0, INFINITY)
    answer = run(model)
    return answer.x[: len(x)], -answer.objective
