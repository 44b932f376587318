"""Correlated equilibria of maximum entropy, by the dual program and a linear repair.

Ortiz, Schapire & Kakade, "Maximum entropy correlated equilibria" (2007).
"""

from __future__ import annotations

import math

import numpy as np

from analysis.correlated.incentives import Concept, incentives
from games import GameError, NormalForm
from games.common.programs import Program
from games.common.progress import Progress
from games.finite.sequence_form import Float64

# The dual is minimised until its gradient, a violated incentive over the largest of its kind, is
# below this; the repair does the rest.
DUAL_TOLERANCE = 1e-11
MOST_NEWTON_STEPS = 500
DENSE = 20_000_000  # numbers in the matrix of the entropy objective


def maximum_entropy(
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
    return whole, entropy_of(whole), bound, "entropy dual (Newton) and repair by LP (HiGHS)"


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


def entropy_of(p: Float64) -> float:
    """The entropy of a lottery [P], in nats."""
    positive = p[p > 0]
    return float(-(positive * np.log(positive)).sum())
