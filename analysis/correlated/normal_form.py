"""Correlated and coarse correlated equilibria of the normal form, by linear programming.

Aumann, "Subjectivity and correlation in randomized strategies" (1974); Moulin & Vial (1978) for the
coarse ones.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np

from analysis.correlated.entropy import entropy_of, maximum_entropy
from analysis.correlated.incentives import Concept, add_incentives, incentives, swap_utilities
from analysis.equilibria.equilibrium import Equilibrium, Joint, verified
from analysis.equilibria.units import Units
from games import Game, InputError, NormalForm, SequenceForm, as_normal_form
from games.common.programs import INFINITY, Answer, Program
from games.common.progress import Progress
from games.finite.sequence_form import Float64

Objective = Literal["welfare", "egalitarian", "entropy"] | int
"""The sum of utilities, the smallest of them, entropy, or one player's utility by its number."""

OBJECTIVES = ("welfare", "egalitarian", "entropy")
TOLERANCE = 1e-8
SLACK = 1e-9  # of an objective, as a share of the range of utilities, given up for welfare


def correlated_equilibrium(
    game: Game | SequenceForm,
    concept: Concept = "ce",
    objective: Objective = "welfare",
    *,
    progress: Progress | None = None,
) -> Equilibrium:
    """The (coarse) correlated equilibrium of the normal form with the largest objective.

    Args:
        game: N players; of a tree, its reduced normal form is used.
        concept: "ce", where a player may deviate once it knows its own pure strategy, or "cce",
            where it has to commit to following or to one strategy beforehand.
        objective: what is maximised among all of them. `Equilibrium.bound` is the certificate.
        progress: see `games.common.progress.Progress`.

    Raises:
        InputError: an unknown objective or player.
        GameError: the normal form is too large.
        Unverified: the measured gain of a deviation is above 1e-8 of what is at stake for a player.
    """
    check_objective(objective, game)
    if concept not in ("ce", "cce"):
        raise InputError(f"concept is 'ce' or 'cce', not {concept!r}")
    table = as_normal_form(game)
    units = Units.of(table.form)
    unit = units.table(table)
    if objective == "entropy":
        p, reached, bound, method = maximum_entropy(unit, concept, progress)
    else:
        p, reached, bound, method = _linear(unit, units, concept, objective, progress)
    p = np.maximum(p, 0.0).reshape(table.num_actions)
    p /= p.sum()
    found = Equilibrium(
        concept=concept,
        game=table.name,
        method=method,
        values=units.values(np.tensordot(p, unit.payoffs, axes=table.num_players)),
        gains=units.width * gains(unit, p, concept),
        joint=Joint.from_tensor(table, p),
        objective=reached,
        bound=bound,
        facts={"objective": objective_name(objective), "entropy": entropy_of(p)},
    )
    return verified(found, table.form, TOLERANCE)


def gains(game: NormalForm, p: Float64, concept: Concept) -> Float64:
    """The most that each player [N] could gain against correlated play p [A1, ..., AN].

    For "ce" the best reply to every recommendation, weighted by how likely it is; for "cce" the
    best single strategy.
    """
    best = np.empty(game.num_players)
    for i in range(game.num_players):
        swap = swap_utilities(game, p, i)  # [drawn, played]
        followed = np.diagonal(swap)
        if concept == "ce":
            best[i] = (swap.max(axis=1) - followed).sum()
        else:
            best[i] = swap.sum(axis=0).max() - followed.sum()
    return np.maximum(best, 0.0)


def check_objective(objective: Objective, game: Game | SequenceForm) -> None:
    """Raises InputError unless it is a name of `OBJECTIVES` or the number of a player."""
    if isinstance(objective, int):
        if not 0 <= objective < game.num_players:
            raise InputError(f"objective {objective}: the players are 0 to {game.num_players - 1}")
    elif objective not in OBJECTIVES:
        raise InputError(
            f"no objective {objective!r}: choose {', '.join(OBJECTIVES)}, or a player's number"
        )


def objective_name(objective: Objective) -> str:
    return f"player {objective}" if isinstance(objective, int) else objective


def maximised(
    program: Program,
    objective: Objective,
    p: np.ndarray,
    payoffs: Float64,
    units: Units,
    *,
    interior: bool = False,
    progress: Progress | None = None,
) -> Answer:
    """Solve `program` for an objective over payoffs [P, N], in `units`, at the variables p [P].

    Among those with the largest one that has the largest welfare too, up to `SLACK`. The answer's
    objective and bound are in the game's own units.
    """
    size = float(units.spread.max()) or 1.0
    base = float(units.lowest.sum())
    welfare = payoffs @ (units.spread / size)
    if objective == "welfare":
        program.add_cost(p, welfare)
        answer = program.solve(maximise=True, interior=interior, progress=progress)
        return replace(
            answer, objective=base + size * answer.objective, bound=base + size * answer.bound
        )
    if objective == "egalitarian":
        # Nobody's smallest utility can be above the lowest of the players' best: who always gets
        # more does not count, however much it is.
        top = float((units.lowest + units.spread).min())
        counts = (units.lowest < top) | (units.lowest + units.spread <= top)
        base = float(units.lowest[counts].min())
        size = top - base or 1.0
        held = payoffs[:, counts] * (units.spread[counts] / size)
        start = (units.lowest[counts] - base) / size
    else:
        player = int(objective)
        base, size = float(units.lowest[player]), float(units.width[player])
        held, start = payoffs[:, [player]], np.zeros(1)
    reached = program.variables(1, lower=-INFINITY, cost=1.0)
    for column, least in zip(held.T, start, strict=True):
        program.rows(1, [(0, p, column), (0, reached, -1.0)], lower=-least)
    first = program.solve(maximise=True, interior=interior, progress=progress)
    program.rows(1, [(0, reached, 1.0)], lower=first.objective - SLACK)
    program.add_cost(reached, -1.0)
    program.add_cost(p, welfare)
    second = program.solve(maximise=True, interior=interior, progress=progress)
    least = float((start + held.T @ second.x[p]).min())
    return replace(second, objective=base + size * least, bound=base + size * first.bound)


def _linear(
    game: NormalForm,
    units: Units,
    concept: Concept,
    objective: Objective,
    progress: Progress | None,
) -> tuple[Float64, float, float, str]:
    program = Program()
    p = program.variables(int(np.prod(game.num_actions)))
    program.rows(1, [(0, p, 1.0)], lower=1.0, upper=1.0)
    add_incentives(program, p, incentives(game, concept))
    payoffs = game.payoffs.reshape(len(p), -1)
    answer = maximised(program, objective, p, payoffs, units, progress=progress)
    return answer.x[p], answer.objective, answer.bound, "LP (HiGHS)"
