"""Correlated and coarse correlated equilibria of the normal form, by linear programming.

Aumann, "Subjectivity and correlation in randomized strategies" (1974); Moulin & Vial (1978) for the
coarse ones. Of maximum entropy: Ortiz, Schapire & Kakade, "Maximum entropy correlated equilibria"
(2007), here as the dual program and a linear repair.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from analysis.equilibria.equilibrium import Equilibrium, Joint, verified
from analysis.equilibria.units import Units
from games import Game, GameError, InputError, NormalForm, SequenceForm, as_normal_form
from games.common.programs import INFINITY, Answer, Program
from games.common.progress import Progress
from games.finite.sequence_form import Float64

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

Concept = Literal["ce", "cce"]
Objective = Literal["welfare", "egalitarian", "entropy"] | int
"""The sum of utilities, the smallest of them, entropy, or one player's utility by its number."""

OBJECTIVES = ("welfare", "egalitarian", "entropy")
TOLERANCE = 1e-8
SLACK = 1e-9  # of an objective, as a share of the range of utilities, given up for welfare
# The dual is minimised until its gradient, a violated incentive over the largest of its kind, is
# below this; the repair does the rest.
DUAL_TOLERANCE = 1e-11
MOST_NEWTON_STEPS = 500
MOST_INCENTIVES = 20_000_000  # numbers in the matrix of a program; it takes minutes with these
DENSE = 20_000_000  # numbers in the matrix of the entropy objective


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
        p, reached, bound, method = _maximum_entropy(unit, concept, progress)
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
        facts={"objective": objective_name(objective), "entropy": _entropy(p)},
    )
    return verified(found, table.form, TOLERANCE)


def gains(game: NormalForm, p: Float64, concept: Concept) -> Float64:
    """The most that each player [N] could gain against correlated play p [A1, ..., AN].

    For "ce" the best reply to every recommendation, weighted by how likely it is; for "cce" the
    best single strategy.
    """
    best = np.empty(game.num_players)
    for i in range(game.num_players):
        swap = _swap_utilities(game, p, i)  # [told, played]
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


def _swap_utilities(game: NormalForm, p: Float64, player: int) -> Float64:
    """[told, played]: utility, times the probability of the first, of playing the second."""
    told = np.moveaxis(p, player, 0).reshape(p.shape[player], -1)
    pay = np.moveaxis(game.payoffs[..., player], player, 0).reshape(p.shape[player], -1)
    return told @ pay.T


def num_incentives(game: NormalForm) -> int:
    """How many numbers `incentives` has."""
    return math.prod(game.num_actions) * sum(n - 1 for n in game.num_actions)


def incentives(game: NormalForm, concept: Concept) -> csr_matrix:
    """Rows [deviations, profiles]: what each deviation gains at each profile.

    Raises:
        GameError: they are too many.
    """
    from scipy.sparse import csr_matrix

    if num_incentives(game) > MOST_INCENTIVES:
        raise GameError(
            f"{game.name}: the incentives of {' x '.join(map(str, game.num_actions))} pure "
            f"strategies are {num_incentives(game):,} numbers, more than {MOST_INCENTIVES:,}; "
            "choose efce, efcce or nfcce, which are found on the sequence form"
        )
    number = np.arange(game.payoffs[..., 0].size).reshape(game.num_actions)
    rows, columns, values, total = [], [], [], 0
    for i, count in enumerate(game.num_actions):
        profile = np.moveaxis(number, i, 0).reshape(count, -1)  # [own action, the others']
        pay = np.moveaxis(game.payoffs[..., i], i, 0).reshape(count, -1)
        told, played = np.nonzero(~np.eye(count, dtype=bool))
        row = told * (count - 1) + played - (played > told) if concept == "ce" else played
        rows.append(np.repeat(total + row, pay.shape[1]))
        columns.append(profile[told].ravel())
        values.append((pay[played] - pay[told]).ravel())
        total += count * (count - 1) if concept == "ce" else count
    shape = (total, number.size)
    entries = np.concatenate(values)
    return csr_matrix((entries, (np.concatenate(rows), np.concatenate(columns))), shape=shape)


def add_incentives(program: Program, p: np.ndarray, rows: csr_matrix) -> None:
    """Hold the variables p [profiles] to what leaves no deviation of `incentives` a gain."""
    entries = rows.tocoo()
    program.rows(rows.shape[0], [(entries.row, p[entries.col], entries.data)], upper=0.0)


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


def _maximum_entropy(
    game: NormalForm, concept: Concept, progress: Progress | None
) -> tuple[Float64, float, float, str]:
    """The dual: minimise the log of sum_a exp(-y . gains at a) over multipliers y >= 0.

    Its value bounds the entropy of every equilibrium from above. First the profiles are found that
    have probability in some equilibrium at all: on these the multipliers are finite. The primal p,
    proportional to the exponentials, is feasible up to the dual's tolerance; the nearest
    equilibrium in the sum of absolute differences is found by a linear program, and its entropy
    set against the bound.
    """
    from scipy.special import logsumexp

    sparse = incentives(game, concept)
    if math.prod(sparse.shape) > DENSE:
        raise GameError(
            f"{game.name}: {sparse.shape[0]:,} deviations at {sparse.shape[1]:,} profiles are too "
            "many for an equilibrium of maximum entropy; choose another objective"
        )
    rows = sparse.toarray()
    support = _largest_support(rows, progress)
    rows = rows[:, support]
    largest = np.abs(rows).max(axis=1, initial=0.0)
    rows = rows[largest > 0] / largest[largest > 0][:, None]
    y = _dual_multipliers(rows)
    exponent = -(y @ rows)
    bound = float(logsumexp(exponent))
    p = np.exp(exponent - bound)
    # p + more - less is an equilibrium; nothing goes below zero since less <= p.
    program = Program()
    more = program.variables(len(p), cost=1.0)
    less = program.variables(len(p), upper=p, cost=1.0)
    program.rows(1, [(0, more, 1.0), (0, less, -1.0)], lower=0.0, upper=0.0)
    deviation, profile = np.nonzero(rows)
    held = rows[deviation, profile]
    program.rows(
        len(rows),
        [(deviation, more[profile], held), (deviation, less[profile], -held)],
        upper=-(rows @ p),
    )
    change = program.solve(progress=progress).x
    p = np.maximum(p + change[more] - change[less], 0.0)
    whole = np.zeros(len(support))
    whole[support] = p / p.sum()
    return whole, _entropy(whole), bound, "entropy dual (Newton) and repair by LP (HiGHS)"


def _largest_support(rows: Float64, progress: Progress | None) -> np.ndarray:
    """Which profiles [P] have probability in some equilibrium, as a mask.

    Equilibria times any factor form a cone: as many profiles as possible get at least 1 in it.
    """
    program = Program()
    count = rows.shape[1]
    above = program.variables(count)
    upto = program.variables(count, upper=1.0, cost=1.0)
    deviation, profile = np.nonzero(rows)
    triples = [(deviation, v[profile], rows[deviation, profile]) for v in (above, upto)]
    program.rows(len(rows), triples, upper=0.0)
    return program.solve(maximise=True, progress=progress).x[upto] > 0.5


def _dual_multipliers(rows: Float64) -> Float64:
    """argmin over y >= 0 of logsumexp(-y rows): projected Newton (Bertsekas 1982).

    Multipliers at 0 with a positive gradient stay; the others take a regularised Newton step along
    a search that stops at the bounds.
    """
    from scipy.special import logsumexp

    def value(y: Float64) -> float:
        return float(logsumexp(-(y @ rows)))

    y = np.zeros(len(rows))
    best = value(y)
    for _ in range(MOST_NEWTON_STEPS):
        exponent = -(y @ rows)
        p = np.exp(exponent - logsumexp(exponent))
        mean = rows @ p
        free = (y > 0) | (mean > 0)  # the gradient is -mean
        if np.abs(mean[free]).max(initial=0.0) < DUAL_TOLERANCE:
            break
        inner = rows[free]
        hessian = (inner * p) @ inner.T - np.outer(mean[free], mean[free])
        damping = 1e-12 + 1e-3 * min(1.0, float(np.abs(mean[free]).max())) ** 2
        step = np.linalg.solve(hessian + damping * np.eye(len(inner)), mean[free])
        length = 1.0
        while length > 1e-12:
            trial = y.copy()
            trial[free] = np.maximum(y[free] + length * step, 0.0)
            if value(trial) <= best - 1e-4 * (mean[free] @ (trial[free] - y[free])):
                break
            length /= 2
        else:
            break
        y, best = trial, value(trial)
    return y


def _entropy(p: Float64) -> float:
    """In nats."""
    positive = p[p > 0]
    return float(-(positive * np.log(positive)).sum())
