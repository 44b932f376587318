"""Stackelberg commitment in extensive form: a leader's plan, and the follower's best reply to it.

Bosansky & Cermak, "Sequence-form algorithm for computing Stackelberg equilibria in extensive-form
games" (2015), for the mixed-integer program with a binary variable for each of the follower's
sequences; Cermak, Bosansky, Durkota, Lisy & Kiekintveld, "Using correlated strategies for computing
Stackelberg equilibria in extensive-form games" (2016), for the relaxation: the follower's play is
recommended together with the leader's, and only the follower has to be kept from deviating.

The two are one program here. Its variables are a correlation plan; where the follower's own plan is
pure, the constraints leave nothing but the product of both players' plans (with chance moves too),
so that the integers alone turn the relaxation into the commitment.
"""

from __future__ import annotations

import numpy as np

from analysis.correlation_plan import CorrelationPlan, Pairs, add_incentives, add_plan
from analysis.equilibrium import Equilibrium, Progress, require_two_players, verified
from analysis.program import Program
from games import Game, InputError, SequenceForm, Strategy, as_form
from games.kernels import plans_to_behaviour, respond

TOLERANCE = 1e-7
INTERIOR_ABOVE = 5_000  # pairs from which the relaxation is solved by an interior point


def commitment(
    game: Game | SequenceForm,
    leader: int = 0,
    *,
    pure: bool = False,
    seconds: float | None = None,
    progress: Progress | None = None,
) -> Equilibrium:
    """A strong Stackelberg equilibrium: the leader commits, the follower replies in its favour.

    Args:
        game: two players, perfect recall, any utilities, chance or not.
        leader: who commits, 0 or 1.
        pure: the leader commits to a pure strategy.
        seconds: the most that the search may take; the best commitment by then is returned, with
            the bound that stands. `Equilibrium.gap` is 0 where the search was completed.
        progress: see `analysis.equilibrium.Progress`.

    Raises:
        InputError: not two players, or no such leader.
        RuntimeError: time ran out before there was any commitment.
        Unverified: the follower's reply is not a best one.
    """
    form = as_form(game)
    require_two_players(form, "a Stackelberg commitment")
    if leader not in (0, 1):
        raise InputError(f"leader {leader}: the players are 0 and 1")
    follower = 1 - leader
    pairs = Pairs.of(form)
    relaxed = _program(pairs, leader, binary=()).solve(
        maximise=True, interior=len(pairs) > INTERIOR_ABOVE, progress=progress
    )
    binary = (leader, follower) if pure else (follower,)
    answer = _program(pairs, leader, binary).solve(
        maximise=True, seconds=seconds, progress=progress
    )
    plan = CorrelationPlan(pairs, np.maximum(answer.x[: len(pairs)], 0.0))
    behaviour = plans_to_behaviour(form, _own_plans(plan, follower))
    _, best, current = respond(form, behaviour)
    gains = np.full(2, np.nan)
    gains[follower] = best[follower] - current[follower]
    bound = min(answer.bound, relaxed.objective)
    found = Equilibrium(
        concept="stackelberg",
        game=form.game,
        method=f"sequence-form MILP (HiGHS), {'pure ' if pure else ''}leader {leader}"
        + ("" if answer.optimal else f", stopped early: {answer.reason}"),
        values=current,
        gains=gains,
        strategy=Strategy.from_behaviour(form, behaviour),
        objective=float(current[leader]),
        bound=max(bound, float(current[leader])),
        facts={"leader": float(leader), "correlated_relaxation": relaxed.objective},
    )
    return verified(found, form, TOLERANCE)


def _program(pairs: Pairs, leader: int, binary: tuple[int, ...]) -> Program:
    """The correlated relaxation, with integers for the own plans of the players in `binary`.

    Variables [P] of the correlation plan come first.
    """
    program = Program()
    xi = add_plan(program, pairs)
    for player in binary:
        own = pairs.number(player, np.arange(pairs.form.players[player].num_sequences), 0)
        program.make_integer(xi[own])
    add_incentives(program, pairs, xi, 1 - leader, "efce")
    program.add_cost(xi[pairs.leaves], pairs.form.leaf_utility[:, leader])
    return program


def _own_plans(plan: CorrelationPlan, follower: int) -> np.ndarray:
    """Both players' realization plans [S] end to end; the follower's rounded to 0 and 1."""
    parts = []
    for player in range(2):
        sequences = np.arange(plan.form.players[player].num_sequences)
        own = plan.probability[plan.pairs.number(player, sequences, 0)]
        parts.append(np.round(own) if player == follower else own)
    return np.concatenate(parts)
