"""Compiled sweeps over a sequence form: the building blocks of all exact methods.

The compiled functions take arrays in the order of `KernelArrays`, over the S places of all players:
`plan` is a realization plan (the product of a player's own action probabilities down to each
sequence, 1 for the empty one), `behaviour` the probability of each action at its information set. A
version for another device has to fill the functions that are public here. The last functions
take and return arrays in the order of the SequenceForm, the players' sequences laid end to end.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit
from numba import uint64 as index

from games.finite.sequence_form import Float64, KernelArrays, SequenceForm

# NaN and infinity keep their meaning; only the order of additions is the compiler's to choose.
FAST: dict[str, Any] = {
    "cache": True,
    "error_model": "numpy",
    "fastmath": {"reassoc", "contract", "nsz", "arcp"},
}
INLINE = {**FAST, "forceinline": True}


@njit(**INLINE)
def payoff_gradient(leaves, player, plan, gradient):
    """gradient[s] = d(utility of `player`) / d(plan[s]), over the leaves that end at s alone.

    Writes the player's own stretch of `gradient` [S] and nothing else.
    """
    players, row, other, utility = leaves
    rivals = index(len(players) - 2)
    if rivals == 1:  # by far the commonest, and faster without the innermost loop
        for s in range(players[player], players[player + 1]):
            total = 0.0
            for leaf in range(index(row[s]), index(row[s + index(1)])):
                total += utility[leaf] * plan[index(other[leaf])]
            gradient[s] = total
        return
    for s in range(players[player], players[player + 1]):
        total = 0.0
        for leaf in range(index(row[s]), index(row[s + index(1)])):
            product = utility[leaf]
            for k in range(rivals):
                product *= plan[index(other[leaf * rivals + k])]
            total += product
        gradient[s] = total


@njit(**INLINE)
def block_of(blocks, g):
    """First information set, how many, first place and actions of block g.

    As four numbers and not a row of `blocks`, since a view is made and counted at run time.
    """
    return blocks[g, 0], blocks[g, 1], blocks[g, 2], blocks[g, 3]


@njit(**INLINE)
def _best_block(block, parent, value, best, highest):
    """Maximise over one block; adds each information set's value to its parent sequence."""
    first_set, count, first, actions = block
    for i in range(count):
        highest[i] = value[first + i]
    for k in range(index(1), actions):
        for i in range(count):
            highest[i] = max(highest[i], value[first + k * count + i])
    for i in range(count):
        chosen = False  # the first of equally good actions
        for k in range(actions):
            s = first + k * count + i
            choose = not chosen and value[s] == highest[i]
            best[s] = 1.0 if choose else 0.0
            chosen = chosen or choose
        value[index(parent[first_set + i])] += highest[i]


@njit(**FAST)
def best_responses(
    leaves, blocks, player_blocks, parent, plan, value, best, highest, response, current
):
    """Every player's best response to the others' plans.

    Writes value [S] (the best value from each sequence on), best [S] (a pure behaviour strategy),
    response [N] (each player's best-response value) and current [N] (its value under `plan`);
    highest is scratch, as long as the longest block.
    """
    players = leaves[0]
    for player in range(len(players) - 1):
        payoff_gradient(leaves, player, plan, value)
        total = 0.0
        for s in range(players[player], players[player + 1]):
            total += plan[s] * value[s]
        current[player] = total
        for g in range(player_blocks[player + 1] - 1, player_blocks[player] - 1, -1):
            _best_block(block_of(blocks, g), parent, value, best, highest)
        response[player] = value[players[player]]
        best[players[player]] = 1.0


@njit(**FAST)
def behaviour_to_plan(blocks, parent, behaviour, plan):
    """One sweep down: plan[s] = plan[parent of s] * behaviour[s]. Expects plan 1 at the roots."""
    for g in range(len(blocks)):
        first_set, count, first, actions = block_of(blocks, g)
        for k in range(actions):
            for i in range(count):
                s = first + k * count + i
                plan[s] = plan[index(parent[first_set + i])] * behaviour[s]


@njit(**FAST)
def plan_to_behaviour(blocks, plan, behaviour):
    """behaviour[s] = plan[s] over the sum of its siblings; uniform where that sum is zero."""
    for g in range(len(blocks)):
        _, count, first, actions = block_of(blocks, g)
        for i in range(count):
            total = 0.0
            for k in range(actions):
                total += plan[first + k * count + i]
            for k in range(actions):
                s = first + k * count + i
                behaviour[s] = plan[s] / total if total > 0 else 1.0 / actions


@njit(**INLINE)
def _soften_block(
    block, parent, temperature, stepsize, rate, log_behaviour, log_magnet, behaviour, value
):
    """The mirror step at every information set of a block, given the values below it.

    With c = 1 + stepsize * temperature, the optimum at one information set is the softmax of
    u = (stepsize * value + log z_t + stepsize * temperature * log magnet) / c, and its optimal
    value, c * logsumexp(u) / stepsize, counts for the parent sequence.
    """
    pull = stepsize * temperature
    first_set, count, first, actions = block
    for i in range(count):
        highest = -math.inf
        for k in range(actions):
            s = first + k * count + i
            u = (stepsize * value[s] + log_behaviour[s] + pull * log_magnet[s]) / (1.0 + pull)
            log_behaviour[s] = u
            highest = max(highest, u)
        total = 0.0
        for k in range(actions):
            total += math.exp(log_behaviour[first + k * count + i] - highest)
        normaliser = highest + math.log(total)
        for k in range(actions):
            s = first + k * count + i
            log_behaviour[s] -= normaliser
            behaviour[s] = math.exp(log_behaviour[s])
            log_magnet[s] += rate * (log_behaviour[s] - log_magnet[s])
        value[index(parent[first_set + i])] += (1.0 + pull) * normaliser / stepsize


@njit(**FAST)
def descend(
    leaves, blocks, player_blocks, parent, iterations, temperature, stepsize, rate, alternating,
    log_behaviour, log_magnet, behaviour, plan, value,
):  # fmt: skip
    """The mirror steps of all players, `iterations` times; updates the iterate.

    temperature and stepsize are each player's, [N].
    """
    for _ in range(iterations):
        for player in range(len(player_blocks) - 1):
            payoff_gradient(leaves, player, plan, value)
            for g in range(player_blocks[player + 1] - 1, player_blocks[player] - 1, -1):
                _soften_block(
                    block_of(blocks, g), parent, temperature[player], stepsize[player], rate,
                    log_behaviour, log_magnet, behaviour, value,
                )  # fmt: skip
            if alternating:
                own = blocks[player_blocks[player] : player_blocks[player + 1]]
                behaviour_to_plan(own, parent, behaviour, plan)
        if not alternating:
            behaviour_to_plan(blocks, parent, behaviour, plan)


def leaf_arrays(form: SequenceForm) -> tuple:
    """The part of a layout that `payoff_gradient` reads, as the compiled functions take it."""
    arrays = form.arrays
    return arrays.players, arrays.row, arrays.other, arrays.utility


def plan_of(arrays: KernelArrays, behaviour: Float64) -> Float64:
    """Realization plans [S] from behaviour strategies [S], both in the order of the arrays."""
    plan = np.ones(arrays.num_sequences)
    behaviour_to_plan(arrays.blocks, arrays.parent, behaviour, plan)
    return plan


def plans(form: SequenceForm, behaviour: Float64) -> Float64:
    """Realization plans [S] of all players from their behaviour strategies [S]."""
    return plan_of(form.arrays, behaviour[form.arrays.sequence])[form.arrays.place]


def plans_to_behaviour(form: SequenceForm, plan: Float64) -> Float64:
    """The inverse of `plans`; uniform where a plan does not lead."""
    arrays = form.arrays
    behaviour = np.ones(arrays.num_sequences)
    plan_to_behaviour(arrays.blocks, plan[arrays.sequence], behaviour)
    return behaviour[arrays.place]


def gradients(form: SequenceForm, plan: Float64) -> Float64:
    """Each player's utility per unit of each of its sequences, [S], the others' plans [S] given.

    Of the leaves that end at a sequence alone, not of those below it.
    """
    arrays = form.arrays
    gradient = np.empty(arrays.num_sequences)
    placed = plan[arrays.sequence]
    for player in range(form.num_players):
        payoff_gradient(leaf_arrays(form), player, placed, gradient)
    return gradient[arrays.place]


def respond(form: SequenceForm, behaviour: Float64) -> tuple[Float64, Float64, Float64]:
    """Best responses to the behaviour strategies [S] of all players.

    Returns a pure best-response behaviour [S], its values [N] and the values [N] of the given
    behaviour. The sum of the differences of the last two is NashConv.
    """
    arrays = form.arrays
    plan = plan_of(arrays, behaviour[arrays.sequence])
    value, best = np.empty(arrays.num_sequences), np.empty(arrays.num_sequences)
    response, current = np.empty(form.num_players), np.empty(form.num_players)
    best_responses(
        leaf_arrays(form), arrays.blocks, arrays.player_blocks, arrays.parent,
        plan, value, best, np.empty(arrays.longest_block), response, current,
    )  # fmt: skip
    return best[arrays.place], response, current
