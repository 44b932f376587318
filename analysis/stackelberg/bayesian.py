"""Optimal commitment against a follower of unknown type: Bayesian Stackelberg games.

Paruchuri et al., "Playing games for security: an efficient exact algorithm for solving Bayesian
Stackelberg games" (2008): DOBSS, one mixed-integer program over all types at once, which never
multiplies them out to one follower with an action for every plan (Harsanyi's transformation).
"""

from __future__ import annotations

import highspy
import numpy as np

from analysis.equilibria.equilibrium import Equilibrium, verified
from analysis.equilibria.units import Units
from analysis.stackelberg.responses import upper_bounds
from games import Strategy
from games.common.errors import one_line
from games.common.programs import Program, run
from games.common.progress import Progress
from games.finite.bayesian import BayesianGame
from games.finite.sequence_form import Float64

TIE = 1e-12  # of the range of the payoffs: actions this close are equally good to a follower


def bayesian_stackelberg(
    game: BayesianGame,
    *,
    seconds: float | None = None,
    tolerance: float = 1e-7,
    progress: Progress | None = None,
) -> Equilibrium:
    """The leader's best commitment if every type breaks ties in the leader's favour.

    Variables are the mixture x [A], the type's choice q [T, B] of 0 and 1, and their product
    z [T, A, B]. DOBSS says by a large constant that the chosen action is a best response; here it
    is said on z, without one:

        sum over a of  (follower[t, a, b] - follower[t, a, b']) z[t, a, b]  >=  0

    for all t, b and b', which holds for b that are not chosen because their z is 0 (Casorrán et
    al., "A study of general and security Stackelberg game formulations", 2019). The relaxation is
    tighter, for a single type exact, and no tolerance is multiplied by a constant.

    Args:
        game: the types and their payoffs.
        seconds: when to stop; the best commitment by then is returned with its `bound`.
        tolerance: the largest gain of the follower, times the size of the payoffs.
        progress: called with a message on how far it is; stops the search by returning True.

    Returns:
        Equilibrium: `strategy` has the leader's mixture and each type's pure response; `gap` is
        above 0 only if the search was stopped; `facts` has the best "pure commitment".

    Raises:
        Unverified: the follower's choices are not best responses.
    """
    shift, scale = float(game.leader.min()), float(np.ptp(game.leader)) or 1.0
    mixed, plan = _pure(game)
    pure_value = _value(game, mixed, plan)
    model, x, q = _model(game, (game.leader - shift) / scale)
    _start_from(model, mixed, np.eye(game.leader.shape[2])[plan])
    bound = _bound(game)
    try:
        answer = run(model, seconds=seconds, progress=progress)
    except RuntimeError as stopped:  # before HiGHS had looked at the commitment it was given
        reason = one_line(stopped)
    else:
        bound, reason = min(bound, shift + scale * answer.bound), answer.reason
        found = np.maximum(answer.x[x], 0.0)
        mixed, plan = found / found.sum(), answer.x[q].argmax(axis=1)
    values, gains, strategy = _measured(game, mixed, plan)
    equilibrium = Equilibrium(
        concept="stackelberg",
        game=game.name,
        method="DOBSS, a mixed-integer program over all types",
        values=values,
        gains=gains,
        strategy=strategy,
        objective=float(values[0]),
        bound=max(bound, float(values[0])),
        facts={"pure commitment": pure_value, "search": reason},
    )
    return verified(equilibrium, game.sequence_form(), tolerance)


def _model(game: BayesianGame, leader: Float64) -> tuple[highspy.Highs, np.ndarray, np.ndarray]:
    """The program in HiGHS, and its variables x [A] and q [T, B]."""
    types, rows, columns = leader.shape
    program = Program()
    x = program.variables(rows, 0.0, 1.0)
    cost = game.prior[:, None, None] * leader
    z = program.variables(leader.size, 0.0, 1.0, cost.ravel()).reshape(leader.shape)
    q = program.variables(types * columns, 0.0, 1.0).reshape(types, columns)
    program.make_integer(q.ravel())
    program.rows(1, [(np.zeros(rows, int), x, 1.0)], 1.0, 1.0)
    program.rows(types, [(np.arange(types)[:, None], q, 1.0)], 1.0, 1.0)
    row = np.arange(types * rows).reshape(types, rows)  # z[t, a, :] adds up to x[a]
    program.rows(row.size, [(row[:, :, None], z, 1.0), (row, x, -1.0)], 0.0, 0.0)
    row = np.arange(types * columns).reshape(types, columns)  # z[t, :, b] adds up to q[t, b]
    program.rows(row.size, [(row[:, None, :], z, 1.0), (row, q, -1.0)], 0.0, 0.0)
    scaled = _scaled(game.follower)
    advantage = scaled[:, :, :, None] - scaled[:, :, None, :]  # [T, A, B, B]
    pair = np.arange(types * columns**2).reshape(types, 1, columns, columns)
    program.rows(pair.size, [(pair, z[:, :, :, None], advantage)], 0.0)
    return program.model(maximise=True), x, q


def _start_from(model: highspy.Highs, mixed: Float64, chosen: Float64) -> None:
    """Give HiGHS a mixture [A] and choices [T, B] to begin with, in `_model`'s order."""
    start = highspy.HighsSolution()
    product = mixed[None, :, None] * chosen[:, None, :]
    start.col_value = np.concatenate([mixed, product.ravel(), chosen.ravel()]).tolist()
    model.setSolution(start)


def _pure(game: BayesianGame) -> tuple[Float64, np.ndarray]:
    """The best commitment to one action: the leader's mixture [A] and the types' responses [T]."""
    scaled = _scaled(game.follower)
    best = scaled >= scaled.max(axis=2, keepdims=True) - TIE
    payoff = np.where(best, game.leader, -np.inf)
    action = int((game.prior @ payoff.max(axis=2)).argmax())
    return np.eye(game.leader.shape[1])[action], payoff[:, action].argmax(axis=1)


def _bound(game: BayesianGame) -> float:
    """An upper bound on commitments: the sum of bounds for every type separately."""
    pairs = zip(game.leader, _scaled(game.follower), strict=True)
    return float(game.prior @ [upper_bounds(own, other).max() for own, other in pairs])


def _scaled(payoffs: Float64) -> Float64:
    """Payoffs [T, A, B] of each type between 0 and 1."""
    lowest = payoffs.min(axis=(1, 2), keepdims=True)
    width = np.ptp(payoffs, axis=(1, 2), keepdims=True)
    return (payoffs - lowest) / np.where(width > 0, width, 1.0)


def _value(game: BayesianGame, mixed: Float64, plan: np.ndarray) -> float:
    kinds = np.arange(len(plan))
    return float(game.prior @ game.leader[kinds, :, plan] @ mixed)


def _measured(
    game: BayesianGame, mixed: Float64, plan: np.ndarray
) -> tuple[Float64, Float64, Strategy]:
    """Values [2], the follower's gain and the strategy, on the game's sequence form."""
    form = game.sequence_form()
    chosen = np.eye(game.leader.shape[2])[plan]
    behaviour = np.concatenate([[1.0], mixed, [1.0], chosen.ravel()])
    values, gains = Units.of(form).measured(behaviour)
    gains[0] = np.nan
    return values, gains, Strategy.from_behaviour(form, behaviour)
