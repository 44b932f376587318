"""Compiled iterations of regret matching over a sequence form, for every rule of the CFR family."""

from __future__ import annotations

from numba import njit
from numba import uint64 as index

from games.finite.kernels import (
    FAST,
    INLINE,
    block_of,
    payoff_gradient,
)

POSITIVE, NEGATIVE, NEXT_POSITIVE, KEEP = range(4)


@njit(**INLINE)
def _match_block(
    block, parent, positive, negative, ahead, clip, predictive, tie, regret, behaviour, value,
    expected, total,
):  # fmt: skip
    """Values, regrets and the next behaviour of one block, given the values below it."""
    first_set, count, first, actions = block
    for i in range(count):
        expected[i] = behaviour[first + i] * value[first + i]
    for k in range(index(1), actions):
        column = first + k * count
        for i in range(count):
            expected[i] += behaviour[column + i] * value[column + i]
    for i in range(count):
        value[index(parent[first_set + i])] += expected[i]
    for i in range(count):
        total[i] = 0.0
    for k in range(actions):
        column = first + k * count
        for i in range(count):
            instant = value[column + i] - expected[i]
            r = regret[column + i]
            r = r * (positive if r > 0 else negative) + instant
            size = r if clip else abs(r)
            r = r if size > tie else 0.0
            regret[column + i] = r
            if predictive:
                r = r * ahead + instant
            r = r if r > tie else 0.0
            behaviour[column + i] = r
            total[i] += r
    # Uniform play where no regret is positive: by a factor and a summand, which replace total and
    # expected, and not by a branch, which a processor could not predict.
    uniform = 1.0 / actions
    for i in range(count):
        sum_of_positive = total[i]
        expected[i] = 0.0 if sum_of_positive > 0 else uniform
        total[i] = 1.0 / sum_of_positive if sum_of_positive > 0 else 0.0
    for k in range(actions):
        column = first + k * count
        for i in range(count):
            behaviour[column + i] = behaviour[column + i] * total[i] + expected[i]


@njit(**INLINE)
def _carry_down(blocks, start, stop, parent, keep, average_next, behaviour, plan, average, above):
    """Carry the plan down blocks start to stop and add it to the average."""
    for g in range(start, stop):
        first_set, count, first, actions = block_of(blocks, g)
        for i in range(count):
            above[i] = plan[index(parent[first_set + i])]
        for k in range(actions):
            column = first + k * count
            for i in range(count):
                new = above[i] * behaviour[column + i]
                added = new if average_next else plan[column + i]
                average[column + i] = keep * average[column + i] + added
                plan[column + i] = new


@njit(**FAST)
def minimise_regret(
    leaves, blocks, player_blocks, parent, schedule, clip, predictive, alternating, average_next,
    tie, regret, average, behaviour, plan, value, expected, total,
):  # fmt: skip
    """One iteration for each row of `schedule`; updates regret, average, behaviour and plan.

    Regrets of a player up to its `tie` [N] count as zero. value [S], expected and total (each as
    long as the longest block) are scratch.
    """
    players = len(player_blocks) - 1
    for t in range(len(schedule)):
        positive, negative = schedule[t, POSITIVE], schedule[t, NEGATIVE]
        ahead, keep = schedule[t, NEXT_POSITIVE], schedule[t, KEEP]
        for player in range(players):
            payoff_gradient(leaves, player, plan, value)
            start, stop = player_blocks[player], player_blocks[player + 1]
            for g in range(stop - 1, start - 1, -1):
                _match_block(
                    block_of(blocks, g), parent, positive, negative, ahead, clip, predictive,
                    tie[player], regret, behaviour, value, expected, total,
                )  # fmt: skip
            if not alternating:  # all plans at once, after the last player
                start, stop = 0, (len(blocks) if player == players - 1 else 0)
            _carry_down(
                blocks, start, stop, parent, keep, average_next, behaviour, plan, average, total
            )
