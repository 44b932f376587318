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

import highspy
import numpy as np

from analysis.equilibria.equilibrium import Equilibrium, Unverified, verified
from analysis.equilibria.units import Units
from analysis.stackelberg.responses import (
    RESOLUTION,
    Problem,
    Ties,
    shared_model,
    solve_shared,
    solve_worst,
    strictest,
    upper_bounds,
)
from games import NormalForm
from games.common.programs import Infeasible
from games.common.progress import Progress
from games.finite.sequence_form import Float64

INTERIOR = 1e-7  # a best-response region in which no point is strict by this much has no interior


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
        progress: called before each program; stops the search by returning True, and the best
            commitment so far is returned with its bound.

    Returns:
        Equilibrium: the follower's part of `strategy` is pure; `gains` is NaN for the leader;
        `facts` counts programs solved and actions left out, and has "pure commitment", the
        leader's best value without randomising.

    Raises:
        InputError: not two players, or no such leader.
        Unverified: the follower's action is not a best response, or the value does not add up.
    """
    problem = Problem.of(game, leader, ties)
    best = _best_pure(problem)
    pure_value = best.value
    bounds = upper_bounds(problem.leader, problem.follower)
    model = shared_model(problem.follower)
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
    problem = Problem.of(game, leader, ties)
    best = _best_pure(problem)
    method = f"the best pure commitment, {ties} ties"
    return _equilibrium(problem, best, method, 0.0, {}, tolerance)


@dataclass(frozen=True, eq=False)
class Commitment:
    mixed: Float64  # [A]
    response: int
    value: float  # the leader's, scaled


def _best_pure(problem: Problem) -> Commitment:
    best = problem.follower >= problem.follower.max(axis=1, keepdims=True) - RESOLUTION  # [A, B]
    if problem.ties == "strong":
        chosen = np.where(best, problem.leader, -np.inf).argmax(axis=1)
    else:
        chosen = np.where(best, problem.leader, np.inf).argmin(axis=1)
    values = problem.leader[np.arange(len(chosen)), chosen]
    action = int(values.argmax())
    return Commitment(np.eye(len(chosen))[action], int(chosen[action]), float(values[action]))


def _best_commitment(
    problem: Problem, model: highspy.Highs, action: int, best: Commitment
) -> Commitment:
    """The best commitment to which `action` is a best response, if it is better than `best`."""
    equal = problem.equal_to(action) if problem.ties == "weak" else np.array([action])
    try:
        if len(equal) == 1:
            mixed = solve_shared(model, action, problem.leader[:, action])
        else:
            mixed = solve_worst(problem, action, equal)
    except Infeasible:
        return best
    commitment = _against(problem, mixed, equal)
    if commitment.value <= best.value + RESOLUTION:
        return best
    if problem.ties == "weak" and not strictest(problem, equal)[1] > INTERIOR:
        return best
    return commitment


def _against(problem: Problem, mixed: Float64, equal: np.ndarray) -> Commitment:
    """A solver's commitment, free of its rounding, and the worst of the responses `equal`."""
    mixed = np.maximum(mixed, 0.0)
    mixed /= mixed.sum()
    payoffs = mixed @ problem.leader[:, equal]
    return Commitment(mixed, int(equal[payoffs.argmin()]), float(payoffs.min()))


def _secured(problem: Problem, commitment: Commitment) -> tuple[Commitment, bool]:
    """A commitment with the same value against every tie-breaking of the follower; else
    the given one and False."""
    worth = commitment.mixed @ problem.follower
    best = worth >= worth.max() - INTERIOR
    if (commitment.mixed @ problem.leader)[best].min() >= commitment.value - INTERIOR:
        return commitment, True
    equal = problem.equal_to(commitment.response)
    try:
        mixed, margin = strictest(problem, equal, commitment.value)
    except Infeasible:  # by rounding: the value itself is the edge of what is feasible
        return commitment, False
    return (_against(problem, mixed, equal), True) if margin > INTERIOR else (commitment, False)


def _equilibrium(
    problem: Problem,
    commitment: Commitment,
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
