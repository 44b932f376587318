"""Extensive-form correlated equilibria of two players without chance, by linear programming.

von Stengel & Forges (2008), section 5, for EFCE; Farina, Bianchi & Sandholm, "Coarse correlation in
extensive-form games" (2020), for the coarse ones, EFCCE and NFCCE.
"""

from __future__ import annotations

import numpy as np

from analysis.correlated import Objective, add_objective, check_objective, objective_name
from analysis.correlation_plan import (
    CorrelationPlan,
    Pairs,
    Trigger,
    add_incentives,
    add_plan,
)
from analysis.equilibrium import Equilibrium, Unverified, require_two_players, verified
from analysis.program import Program, Progress
from games import Game, InputError, SequenceForm, as_form
from games.sequence_form import has_chance

TOLERANCE = 1e-8


def extensive_correlated_equilibrium(
    game: Game | SequenceForm,
    concept: Trigger = "efce",
    objective: Objective = "welfare",
    *,
    progress: Progress | None = None,
) -> Equilibrium:
    """The best EFCE, EFCCE or NFCCE of a two-player game without chance.

    Args:
        game: two players, perfect recall, no chance move that anybody could notice.
        concept: "efce", "efcce" or "nfcce"; each set of equilibria holds the one before.
        objective: as for `correlated_equilibrium`, but for entropy.
        progress: see `analysis.program.Progress`.

    Raises:
        InputError: more players, chance, or an objective that does not exist.
        Unverified: a measured gain is above 1e-8 of the largest utility.
    """
    form = as_form(game)
    check_objective(objective, form)
    if objective == "entropy":
        raise InputError("entropy is an objective for ce and cce; choose welfare or egalitarian")
    require_two_players(form, f"the linear program of {concept}")
    if has_chance(form):
        raise InputError(
            f"{form.game} has chance moves, which the linear program of {concept} does not allow; "
            "use efcce or nfcce by regret dynamics"
        )
    pairs = Pairs.of(form)
    program = Program()
    xi = add_plan(program, pairs)
    for player in range(2):
        add_incentives(program, pairs, xi, player, concept)
    add_objective(program, objective, xi[pairs.leaves], form.leaf_utility)
    answer = program.solve(maximise=True, progress=progress)
    plan = CorrelationPlan(pairs, np.maximum(answer.x[xi], 0.0))
    if (missed := plan.violation()) > TOLERANCE:
        raise Unverified(f"{form.game}: the correlation plan misses its constraints by {missed:.1e}")
    found = Equilibrium(
        concept=concept,
        game=form.game,
        method="correlation-plan LP (HiGHS)",
        values=plan.values,
        gains=plan.gains(concept),
        plan=plan,
        objective=answer.objective,
        bound=answer.bound,
        facts={"objective": objective_name(objective), "pairs": float(len(pairs))},
    )
    return verified(found, form, TOLERANCE)
