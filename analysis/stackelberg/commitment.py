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

from dataclasses import replace

import numpy as np

from analysis.correlated.correlation_plan import CorrelationPlan, Pairs
from analysis.correlated.plan_rows import INTERIOR_ABOVE, add_incentives, add_plan
from analysis.equilibria.equilibrium import Equilibrium, require_two_players, verified
from analysis.equilibria.units import Units
from games import Game, InputError, SequenceForm, Strategy, as_form
from games.common.programs import Program
from games.common.progress import Progress
from games.finite.kernels import plans_to_behaviour, respond
from games.finite.sequence_form import Float64

TOLERANCE = 1e-7
RESOLUTION = 1e-9  # of what is at stake: a relaxation this near is tight
KINDNESS = 1e-8  # of the leader's utility, in the follower's choice among equally good replies


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
        seconds: the most that the search for whole numbers may take, after the relaxation has been
            solved; the best commitment by then is returned, with the bound that stands.
            `Equilibrium.gap` is 0 (up to rounding) where the search was completed.
        progress: see `games.common.progress.Progress`.

    Raises:
        InputError: not two players, or no such leader.
        RuntimeError: `progress` stopped it before the relaxation was solved.
        Unverified: the follower's reply is not a best one.
    """
    form = as_form(game)
    require_two_players(form, "a Stackelberg commitment")
    if leader not in (0, 1):
        raise InputError(f"leader {leader}: the players are 0 and 1")
    follower = 1 - leader
    units = Units.of(form)
    unit = units.form
    pairs = Pairs.of(unit)
    relaxed = _program(pairs, leader, binary=()).solve(
        maximise=True, interior=len(pairs) > INTERIOR_ABOVE, progress=progress
    )
    # What the leader does in the relaxation is a commitment too. Where the follower's reply to it
    # is worth as much as the relaxation, or the search ends without any other, it is the answer.
    plan = CorrelationPlan(pairs, np.maximum(relaxed.x[: len(pairs)], 0.0))
    behaviour = _replied(unit, plans_to_behaviour(unit, _own_plans(plan)), leader, pure)
    bound, method = relaxed.objective, "correlated relaxation (HiGHS), which is tight"
    if bound - _value(unit, behaviour, leader) > RESOLUTION:
        binary = (leader, follower) if pure else (follower,)
        method = "sequence-form MILP (HiGHS)"
        try:
            answer = _program(pairs, leader, binary).solve(
                maximise=True, seconds=seconds, progress=progress
            )
        except RuntimeError as stopped:
            method += f", stopped early ({stopped})"
        else:
            bound = min(bound, answer.bound)
            method += "" if answer.optimal else f", stopped early ({answer.reason})"
            plan = CorrelationPlan(pairs, np.maximum(answer.x[: len(pairs)], 0.0))
            other = _replied(unit, plans_to_behaviour(unit, _own_plans(plan)), leader, pure)
            behaviour = max(behaviour, other, key=lambda b: _value(unit, b, leader))
    values, gains = units.measured(behaviour)
    gains[leader] = np.nan
    own = units.lowest[leader], units.width[leader]
    found = Equilibrium(
        concept="stackelberg",
        game=form.game,
        method=method,
        values=values,
        gains=gains,
        strategy=Strategy.from_behaviour(form, behaviour),
        objective=float(values[leader]),
        bound=max(float(own[0] + own[1] * bound), float(values[leader])),
        facts={
            "leader": leader,
            "commitment": "pure" if pure else "mixed",
            "correlated_relaxation": float(own[0] + own[1] * relaxed.objective),
        },
    )
    return verified(found, form, TOLERANCE)


def _replied(form: SequenceForm, behaviour: Float64, leader: int, pure: bool) -> Float64:
    """The leader's part (its likeliest actions if `pure`) and the follower's best reply to it.

    Among best replies the one that is best for the leader: the follower cares for the leader's
    utility too, so little that it gives up nothing above the tolerance. Expects utilities in
    `Units`.
    """
    starts = form.arrays.players.astype(int)
    if pure:
        own, player = behaviour[starts[leader] : starts[leader + 1]], form.players[leader]
        for first, count in zip(player.first_sequence, player.num_actions, strict=True):
            chosen = int(np.argmax(own[first : first + count]))
            own[first : first + count] = np.arange(count) == chosen
    kind = form.leaf_utility.copy()
    kind[:, 1 - leader] += KINDNESS * form.leaf_utility[:, leader]
    reply, _, _ = respond(replace(form, leaf_utility=kind), behaviour)
    follower = slice(starts[1 - leader], starts[2 - leader])
    behaviour[follower] = reply[follower]
    return behaviour


def _value(form: SequenceForm, behaviour: Float64, player: int) -> float:
    """The expected utility of `player`."""
    return float(respond(form, behaviour)[2][player])


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


def _own_plans(plan: CorrelationPlan) -> Float64:
    """Both players' realization plans [S], end to end."""
    return np.concatenate(
        [
            plan.probability[plan.pairs.number(i, np.arange(player.num_sequences), 0)]
            for i, player in enumerate(plan.form.players)
        ]
    )
