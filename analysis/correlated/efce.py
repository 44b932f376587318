"""Extensive-form correlated equilibria by linear programming.

von Stengel & Forges (2008), section 5, for EFCE; Farina, Bianchi & Sandholm, "Coarse correlation in
extensive-form games" (2020), for the coarse ones, EFCCE and NFCCE. Two players without chance have
a program of polynomial size, over correlation plans; every other game one over the combinations of
pure strategies, as long as these can be laid out.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from analysis.correlated.correlation_plan import CorrelationPlan, Pairs
from analysis.correlated.deviations import correlated_gains
from analysis.correlated.incentives import MOST_INCENTIVES, num_incentives
from analysis.correlated.normal_form import Objective, check_objective, maximised, objective_name
from analysis.correlated.plan_rows import (
    INTERIOR_ABOVE,
    Entries,
    add_incentives,
    add_plan,
    add_trigger,
)
from analysis.correlated.trigger_points import Trigger, trigger_points
from analysis.equilibria.equilibrium import Equilibrium, Joint, Unverified, verified
from analysis.equilibria.units import Units
from games import Game, GameError, InputError, NormalForm, SequenceForm, as_form
from games.common.programs import Program
from games.common.progress import Progress
from games.finite.normal_form import as_normal_form
from games.finite.reduced import num_reduced
from games.finite.sequence_form import has_chance

TOLERANCE = 1e-8
MOST_PAIRS = 50_000  # docs/reports/benchmarks.md has the time of 33,633
ENTRIES = 10_000_000  # combinations of pure strategies times leaves, of the program over these


def extensive_correlated_equilibrium(
    game: Game | SequenceForm,
    concept: Trigger = "efce",
    objective: Objective = "welfare",
    *,
    progress: Progress | None = None,
) -> Equilibrium:
    """The EFCE, EFCCE or NFCCE with the largest objective.

    Args:
        game: with perfect recall.
        concept: "efce", "efcce" or "nfcce"; each set of equilibria holds the one before.
        objective: as for `correlated_equilibrium`, but for entropy.
        progress: see `games.common.progress.Progress`.

    Raises:
        InputError: an objective that does not exist.
        GameError: chance or more than two players, and a normal form too large to lay out.
        Unverified: a measured gain is above 1e-8 of what is at stake for a player.
    """
    form = as_form(game)
    check_objective(objective, form)
    if objective == "entropy":
        raise InputError("entropy is an objective for ce and cce; choose welfare or egalitarian")
    if form.num_players != 2 or has_chance(form):
        return _by_profiles(game, form, concept, objective, progress)
    units = Units.of(form)
    pairs = Pairs.of(units.form)
    program = Program()
    xi = add_plan(program, pairs)
    for player in range(2):
        add_incentives(program, pairs, xi, player, concept)
    interior = len(pairs) > INTERIOR_ABOVE
    answer = maximised(
        program, objective, xi[pairs.leaves], units.form.leaf_utility, units,
        interior=interior, progress=progress,
    )  # fmt: skip
    plan = CorrelationPlan(pairs, np.maximum(answer.x[xi], 0.0))
    if (missed := plan.violation()) > TOLERANCE:
        raise Unverified(
            f"{form.game}: the correlation plan misses its constraints by {missed:.1e}"
        )
    found = Equilibrium(
        concept=concept,
        game=form.game,
        method="correlation-plan LP (HiGHS)",
        values=units.values(plan.values),
        gains=units.width * plan.gains(concept),
        plan=replace(plan, pairs=replace(pairs, form=form)),
        objective=answer.objective,
        bound=answer.bound,
        facts={"objective": objective_name(objective), "pairs": float(len(pairs))},
    )
    return verified(found, form, TOLERANCE)


def fits_program(game: Game | SequenceForm, concept: str) -> bool:
    """Whether the linear program for `concept` (also "cce") is small enough."""
    form = as_form(game)
    if concept != "cce" and form.num_players == 2 and not has_chance(form):
        return len(Pairs.of(form)) <= MOST_PAIRS
    try:
        table = _laid_out(game, form)
    except GameError:
        return False
    return concept != "cce" or num_incentives(table) <= MOST_INCENTIVES


def _laid_out(game: Game | SequenceForm, form: SequenceForm) -> NormalForm:
    """The normal form, if every combination can be followed to every leaf."""
    sizes = [num_reduced(player) for player in form.players]
    if math.prod(sizes) * len(form.leaf_utility) > ENTRIES:
        raise GameError(
            f"{form.game}: too many combinations of pure strategies for a program; use method "
            "dynamics"
        )
    return as_normal_form(game)


def _by_profiles(
    game: Game | SequenceForm,
    form: SequenceForm,
    concept: Trigger,
    objective: Objective,
    progress: Progress | None,
) -> Equilibrium:
    """The program whose variables are the probabilities of all combinations of pure strategies."""
    table, units = _laid_out(game, form), Units.of(form)
    program = Program()
    shape = table.num_actions
    p = program.variables(int(np.prod(shape)))
    program.rows(1, [(0, p, 1.0)], lower=1.0, upper=1.0)
    index = np.indices(shape).reshape(len(shape), -1)  # [N, profiles]
    reach = [plan[k] for plan, k in zip(table.plans, index, strict=True)]  # [profiles, Si] each
    followed_by_all = np.ones((len(p), len(form.leaf_utility)))  # [profiles, L]
    for i, own in enumerate(reach):
        followed_by_all *= own[:, form.leaf_sequence[:, i]]
    for player in range(form.num_players):
        others = np.ones((len(p), len(form.leaf_utility)))
        for i, own in enumerate(reach):
            if i != player:
                others *= own[:, form.leaf_sequence[:, i]]
        for trigger in trigger_points(form, player, concept):
            recommended = reach[player][:, trigger.recommended]

            def deviated(leaves: np.ndarray, recommended=recommended, others=others) -> Entries:
                return _entries(p, recommended[:, None] * others[:, leaves])

            def followed(leaves: np.ndarray) -> Entries:
                return _entries(p, followed_by_all[:, leaves])

            add_trigger(program, units.form, player, trigger, deviated, followed)
    payoffs = units.table(table).payoffs.reshape(len(p), -1)
    answer = maximised(program, objective, p, payoffs, units, progress=progress)
    probability = np.maximum(answer.x[p], 0.0)
    joint = Joint.from_tensor(table, (probability / probability.sum()).reshape(shape))
    unit = replace(joint, form=units.form)
    found = Equilibrium(
        concept=concept,
        game=form.game,
        method="LP over pure strategies (HiGHS)",
        values=units.values(unit.values),
        gains=units.width * correlated_gains(unit, concept),
        joint=joint,
        objective=answer.objective,
        bound=answer.bound,
        facts={"objective": objective_name(objective), "profiles": float(len(p))},
    )
    return verified(found, form, TOLERANCE)


def _entries(p: np.ndarray, weight: np.ndarray) -> Entries:
    """(leaf, variable, weight) of the nonzero entries of weight [profiles, leaves]."""
    profile, leaf = np.nonzero(weight)
    return leaf, p[profile], weight[profile, leaf]
