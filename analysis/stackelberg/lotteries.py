"""Lotteries over allocations of guards that keep a coverage: systematic sampling, or a program.

Tsai et al., "Urban security: game-theoretic resource allocation in networked physical domains"
(2010); Korzhyk, Conitzer & Parr, "Complexity of computing optimal Stackelberg strategies in
security resource allocation games" (2010).
"""

from __future__ import annotations

import itertools
import math

import numpy as np

from games import InputError
from games.common.programs import Program
from games.finite.sequence_form import Float64

JOINT_BUDGET = 20_000  # ways to place all resources at once, for the check of schedules
ROUNDING = 1e-9  # of probabilities


def decompose(coverage: Float64, resources: int) -> tuple[tuple[float, tuple[int, ...]], ...]:
    """A lottery over at most T + 1 allocations, each of at most `resources` targets.

    Systematic sampling: lay the coverages end to end and let a comb with teeth at distance 1 fall
    on them at random; it picks each target at most once, and with its own probability. (Tsai et
    al., "Urban security", 2010, place resources so.)

    Args:
        coverage: [T] in [0, 1], with a sum of at most `resources`.
        resources: how many targets are covered at once.

    Returns:
        (probability, targets) pairs; the probabilities add up to 1.

    Raises:
        InputError: a coverage outside of [0, 1], or too much of it.
    """
    coverage = np.asarray(coverage, dtype=np.float64)
    if not np.all((coverage >= 0) & (coverage <= 1)):
        raise InputError("coverages are probabilities, from 0 to 1")
    if not coverage.sum() <= resources + ROUNDING:
        raise InputError(f"a coverage of {coverage.sum():.9g} in all needs more resources")
    ends = np.minimum(np.concatenate([[0.0], np.cumsum(coverage)]), resources)
    cuts = np.unique(np.concatenate([ends % 1.0, [0.0, 1.0]]))
    length = np.diff(cuts)
    real = length > 1e-15  # shorter ones are cuts that differ by rounding
    middle, length = (cuts[:-1] + length / 2)[real], length[real] / length[real].sum()
    lottery = []
    for first, probability in zip(middle, length, strict=True):
        teeth = np.arange(first, ends[-1])
        picked = np.searchsorted(ends, teeth, side="right") - 1
        lottery.append((float(probability), tuple(picked.tolist())))
    return tuple(lottery)


def lottery_over_schedules(
    coverage: Float64, resources: int, sets: list[np.ndarray], use: Float64
) -> tuple[tuple[tuple[float, tuple[int, ...]], ...], str]:
    """A lottery over what `resources` schedules cover together, and whether there is one.

    The comb serves where no two schedules of a target are drawn together; else a linear program
    over all combinations of schedules, which makes the least shortfall.
    """
    member = np.zeros((len(sets), len(coverage)), dtype=bool)
    for k, own in enumerate(sets):
        member[k, own] = True
    drawn = decompose(use, resources)
    covered = np.array([member[list(chosen)].any(axis=0) for _, chosen in drawn])
    weight = np.array([p for p, _ in drawn])
    if np.all(weight @ covered >= coverage - ROUNDING):
        return _trimmed(weight, covered, coverage), "yes"
    resources = min(resources, len(sets))
    if math.comb(len(sets), resources) > JOINT_BUDGET:
        return (), "unknown"
    joint = np.array(list(itertools.combinations(range(len(sets)), resources)))
    covered = member[joint].any(axis=1)
    program, rows = Program(), np.arange(len(coverage))
    p = program.variables(len(joint))
    short = program.variables(len(coverage), cost=1.0)
    program.rows(1, [(np.zeros(len(joint), int), p, 1.0)], 1.0, 1.0)
    program.rows(len(rows), [(rows[:, None], p, covered.T), (rows, short, 1.0)], coverage)
    answer = program.solve()
    if answer.objective > 10 * ROUNDING:
        return (), "no"
    weight = np.maximum(answer.x[p], 0.0)
    drawn = weight > 0
    return _trimmed(weight[drawn] / weight.sum(), covered[drawn], coverage), "yes"


def _trimmed(
    weight: Float64, covered: np.ndarray, coverage: Float64
) -> tuple[tuple[float, tuple[int, ...]], ...]:
    """Leave targets out so that each is covered as often as it should be, and no more often.

    Each target is kept in the first allocations until their probabilities add up to its coverage;
    one allocation is split where the sum falls into its middle.
    """
    for t, wanted in enumerate(coverage):
        reached = np.cumsum(weight * covered[:, t])
        before = reached - weight * covered[:, t]
        keep = np.clip(wanted - before, 0.0, weight)  # of each allocation's probability
        split = covered[:, t] & (keep > 0) & (keep < weight)
        rest = covered.copy()
        rest[:, t] &= keep >= weight
        rest[split, t] = False
        first = covered[split]
        weight = np.concatenate([np.where(split, weight - keep, weight), keep[split]])
        covered = np.concatenate([rest, first])
    real = weight > 1e-15
    return tuple(
        (float(p), tuple(np.flatnonzero(row).tolist()))
        for p, row in zip(weight[real] / weight[real].sum(), covered[real], strict=True)
    )
