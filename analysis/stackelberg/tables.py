"""Optimal commitment in a two-player normal form: multiple linear programs.

A leader commits to a mixed strategy; the follower sees it and plays a pure best response. For each
of the follower's actions one linear program finds the best commitment among those that make the
action a best response; the best of them all is optimal (Conitzer & Sandholm, "Computing the
optimal strategy to commit to", 2006).

Ties. A follower who is indifferent does the leader's will ("strong", the usual assumption), or the
opposite ("weak"). Commitments nearby decide the second case: von Stengel & Zamir, "Leadership games
with convex strategy sets" (2010), where it is the least payoff that a leader has in equilibrium.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import highspy
import numpy as np

from analysis.equilibria.equilibrium import Equilibrium, Unverified, require_two_players, verified
from analysis.equilibria.units import Units
from games import InputError, NormalForm
from games.common.programs import INFINITY, Infeasible, Program, run
from games.common.progress import Progress
from games.finite.sequence_form import Float64

Ties = Literal["strong", "weak"]

RESOLUTION = 1e-9  # of payoffs scaled to [0, 1]: smaller differences are beyond HiGHS
INTERIOR = 1e-7  # a best-response region in which no point is strict by this much has no interior
BISECTIONS = 8


def multiple_lps(
    game: NormalForm,
    leader: int = 0,
    *,
    ties: Ties = "strong",
    tolerance: float = 1e-7,
    progress: Progress | None = None,
) -> Equilibrium:
    """The leader's best commitment, one linear program for each action of the follower.

    The programs share one matrix, and each starts where the last one ended. Actions come in the
    order of an upper bound on what the leader can get from them; once no bound is above the best
    commitment found, the rest is left out.

    With weak ties the value is the supremum of what the leader can be sure of: the best over those
    actions whose region of commitments has an interior, and, among actions that are equal to the
    follower everywhere, the worst for the leader. Where `facts["attained"]` is "no" the commitment
    is a limit: an indifferent follower would do harm there, and commitments near it get near the
    value.

    Args:
        game: for two players.
        leader: 0 or 1.
        ties: what an indifferent follower does.
        tolerance: the largest gain of the follower, times the size of the payoffs.
        progress: told which program it is at; stops the search by returning True, and the best
            commitment so far is returned with its bound.

    Returns:
        Equilibrium: the follower's part of `strategy` is pure; `gains` is NaN for the leader;
        `facts` counts programs solved and actions left out, and has "pure commitment", the
        leader's best value without randomising.

    Raises:
        InputError: not two players, or no such leader.
        Unverified: the follower's action is not a best response, or the value does not add up.
    """
    problem = _Problem.of(game, leader, ties)
    best = _best_pure(problem)
    pure_value = best.value
    bounds = upper_bounds(problem.leader, problem.follower)
    model = _model(problem.follower)
    solved = 0
    headroom = 0.0  # above the best, when the search is stopped
    for action in np.argsort(-bounds, kind="stable").tolist():
        if bounds[action] <= best.value + RESOLUTION:
            break
        if progress is not None and progress(
            f"program {solved + 1} of at most {len(bounds)}, "
            f"best for the leader {problem.unscaled(best.value):.6g}"
        ):
            headroom = float(bounds[action]) - best.value
            break
        solved += 1
        best = _best_commitment(problem, model, action, best)
    facts: dict[str, float | str] = {
        "programs": solved,
        "actions left out": len(bounds) - solved,
        "pure commitment": problem.unscaled(pure_value),
    }
    method = f"multiple linear programs, {ties} ties"
    return _equilibrium(problem, best, method, headroom, facts, tolerance)


def pure_commitment(
    game: NormalForm, leader: int = 0, *, ties: Ties = "strong", tolerance: float = 1e-7
) -> Equilibrium:
    """The leader's best commitment to an action, without randomising: for comparison.

    Args, Raises: as `multiple_lps`.
    """
    problem = _Problem.of(game, leader, ties)
    best = _best_pure(problem)
    method = f"the best pure commitment, {ties} ties"
    return _equilibrium(problem, best, method, 0.0, {}, tolerance)


def upper_bounds(leader: Float64, follower: Float64) -> Float64:
    """What the leader gets at most from each follower action b, [B].

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
class _Problem:
    """The game from the leader's side, each player's payoffs scaled to [0, 1]."""

    game: NormalForm
    player: int  # the leader
    ties: Ties
    leader: Float64  # [A, B]
    follower: Float64  # [A, B]
    offset: float
    scale: float

    @classmethod
    def of(cls, game: NormalForm, leader: int, ties: Ties) -> _Problem:
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
        """The actions that are worth the same to the follower whatever the leader does, [K]."""
        difference = np.abs(self.follower - self.follower[:, [action]]).max(axis=0)
        return np.flatnonzero(difference <= RESOLUTION)


@dataclass(frozen=True, eq=False)
class _Commitment:
    mixed: Float64  # [A]
    response: int
    value: float  # the leader's, scaled


def _range(payoffs: Float64) -> tuple[float, float]:
    width = float(payoffs.max() - payoffs.min())
    return float(payoffs.min()), width if width > 0 else 1.0


def _best_pure(problem: _Problem) -> _Commitment:
    best = problem.follower >= problem.follower.max(axis=1, keepdims=True) - RESOLUTION  # [A, B]
    if problem.ties == "strong":
        chosen = np.where(best, problem.leader, -np.inf).argmax(axis=1)
    else:
        chosen = np.where(best, problem.leader, np.inf).argmin(axis=1)
    values = problem.leader[np.arange(len(chosen)), chosen]
    action = int(values.argmax())
    return _Commitment(np.eye(len(chosen))[action], int(chosen[action]), float(values[action]))


def _best_commitment(
    problem: _Problem, model: highspy.Highs, action: int, best: _Commitment
) -> _Commitment:
    """The best commitment to which `action` is a best response, if it is better than `best`."""
    equal = problem.equal_to(action) if problem.ties == "weak" else np.array([action])
    try:
        if len(equal) == 1:
            mixed = _solve_shared(model, action, problem.leader[:, action])
        else:
            mixed = _solve_worst(problem, action, equal)
    except Infeasible:
        return best
    commitment = _against(problem, mixed, equal)
    if commitment.value <= best.value + RESOLUTION:
        return best
    if problem.ties == "weak" and not _strictest(problem, equal)[1] > INTERIOR:
        return best
    return commitment


def _against(problem: _Problem, mixed: Float64, equal: np.ndarray) -> _Commitment:
    """A solver's commitment, free of its rounding, and the worst of the responses `equal`."""
    mixed = np.maximum(mixed, 0.0)
    mixed /= mixed.sum()
    payoffs = mixed @ problem.leader[:, equal]
    return _Commitment(mixed, int(equal[payoffs.argmin()]), float(payoffs.min()))


def _program(rewards: Float64) -> tuple[Program, np.ndarray, int]:
    """Mixed strategies x [A] and a number v, with rows [K] v - x @ rewards[:, k] >= 0."""
    count, rows = rewards.shape[0], np.arange(rewards.shape[1])
    program = Program()
    x = program.variables(count)
    v = program.variables(1, -INFINITY)[0]
    program.rows(len(rows), [(rows[:, None], x, -rewards.T), (rows, v, 1.0)], 0.0)
    program.rows(1, [(np.zeros(count, int), x, 1.0)], 1.0, 1.0)
    return program, x, v


def _model(follower: Float64) -> highspy.Highs:
    """No action of the follower is worth more than v; to respond with one is to attain v."""
    model = _program(follower)[0].model(maximise=True)
    # Presolve would forget the last basis, and with it two thirds of the speed.
    model.setOptionValue("presolve", "off")
    return model


def _solve_shared(model: highspy.Highs, action: int, payoff: Float64) -> Float64:
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


def _solve_worst(problem: _Problem, action: int, equal: np.ndarray) -> Float64:
    """The same against the worst of several actions that are all one to the follower."""
    program, x, _ = _program(problem.follower)
    z = program.variables(1, -INFINITY, cost=1.0)
    rows = np.arange(len(equal))
    worst = problem.leader[:, equal].T
    program.rows(len(equal), [(rows[:, None], x, worst), (rows, z, -1.0)], 0.0)
    model = program.model(maximise=True)
    model.changeRowBounds(action, 0.0, 0.0)
    return run(model).x[: len(x)]


def _strictest(
    problem: _Problem, equal: np.ndarray, payoff: float | None = None
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


def _secured(problem: _Problem, commitment: _Commitment) -> tuple[_Commitment, bool]:
    """A commitment of the same value that reaches it whatever an indifferent follower does; else
    the given one and False."""
    worth = commitment.mixed @ problem.follower
    best = worth >= worth.max() - INTERIOR
    if (commitment.mixed @ problem.leader)[best].min() >= commitment.value - INTERIOR:
        return commitment, True
    equal = problem.equal_to(commitment.response)
    try:
        mixed, margin = _strictest(problem, equal, commitment.value)
    except Infeasible:  # by rounding: the value itself is the edge of what is feasible
        return commitment, False
    return (_against(problem, mixed, equal), True) if margin > INTERIOR else (commitment, False)


def _equilibrium(
    problem: _Problem,
    commitment: _Commitment,
    method: str,
    headroom: float,
    facts: dict[str, float | str],
    tolerance: float,
) -> Equilibrium:
    """The answer in the game's own units, measured on the game itself."""
    game, leader = problem.game, problem.player
    if problem.ties == "weak":
        commitment, attained = _secured(problem, commitment)
        facts = {**facts, "attained": "yes" if attained else "no"}
    both = (commitment.mixed, np.eye(problem.leader.shape[1])[commitment.response])
    strategy = game.strategy(both if leader == 0 else both[::-1])
    units = Units.of(game.form)
    values, gains = units.measured(strategy.behaviour(game.form))
    gains[leader] = np.nan
    value, claimed = float(values[leader]), problem.unscaled(commitment.value)
    if not abs(value - claimed) <= ((tolerance + units.rounding[leader]) * units.width[leader]):
        raise Unverified(f"{game.name}: the leader gets {value:.9g}, not {claimed:.9g}")
    equilibrium = Equilibrium(
        concept="stackelberg",
        game=game.name,
        method=method,
        values=values,
        gains=gains,
        strategy=strategy,
        objective=value,
        bound=value + problem.scale * headroom,
        facts=facts,
    )
    return verified(equilibrium, game.form, tolerance)
