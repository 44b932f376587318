"""The sweeps over a sequence form that every exact method is made of, compiled for the CPU.

All arrays are those of `Layout`: the players' sequences laid end to end, S in all. `plan` [S] is a
realization plan (the product of a player's own action probabilities down to each sequence, 1 for
the empty one), `behaviour` [S] a probability of each action at its information set. A version for
another device has to fill the functions that are public here.

Sweeps run block by block: inside a block every information set has the same number of actions, so
that inner loops are of constant length.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numba import uint64 as index

from games.sequence_form import Float64, SequenceForm

# NaN and infinity keep their meaning; only the order of additions is the compiler's to choose.
FAST: dict[str, Any] = {
    "cache": True,
    "error_model": "numpy",
    "fastmath": {"reassoc", "contract", "nsz", "arcp"},
}
INLINE = {**FAST, "forceinline": True}


@njit(**INLINE)
def payoff_gradient(layout, player, plan, gradient):
    """gradient[s] = d(utility of `player`) / d(plan[s]), over the leaves that end at s alone.

    Writes the player's own stretch of `gradient` [S] and nothing else.
    """
    sequences, row, other, utility = layout
    rivals = index(len(sequences) - 2)
    for s in range(sequences[player], sequences[player + 1]):
        total = 0.0
        for leaf in range(index(row[s]), index(row[s + index(1)])):
            at = leaf * rivals
            product = utility[leaf]
            for k in range(rivals):
                product *= plan[index(other[at + k])]
            total += product
        gradient[s] = total


@njit(**INLINE)
def _best_block(block, parent, value, best):
    """Maximise bottom-up over one block; adds each set's value to its parent sequence."""
    actions = block[3]
    for i in range(block[1]):
        start = block[2] + i * actions
        choice: Any = index(0)
        for k in range(actions):
            if value[start + k] > value[start + choice]:
                choice = k
        for k in range(actions):
            best[start + k] = 1.0 if k == choice else 0.0
        value[index(parent[block[0] + i])] += value[start + choice]


@njit(**FAST)
def best_responses(layout, blocks, player_blocks, parent, plan, value, best, response, current):
    """Every player's best response to the others' plans.

    Writes value [S] (the best value from each sequence on), best [S] (a pure behaviour strategy),
    response [N] (each player's best-response value) and current [N] (its value under `plan`).
    """
    sequences = layout[0]
    for player in range(len(sequences) - 1):
        payoff_gradient(layout, player, plan, value)
        total = 0.0
        for s in range(sequences[player], sequences[player + 1]):
            total += plan[s] * value[s]
        current[player] = total
        for g in range(player_blocks[player + 1] - 1, player_blocks[player] - 1, -1):
            _best_block(blocks[g], parent, value, best)
        response[player] = value[sequences[player]]
        best[sequences[player]] = 1.0


@njit(**FAST)
def behaviour_to_plan(blocks, parent, behaviour, plan):
    """One sweep down: plan[s] = plan[parent of s] * behaviour[s]. Expects plan 1 at the roots."""
    for g in range(len(blocks)):
        actions = blocks[g, 3]
        for i in range(blocks[g, 1]):
            above = plan[index(parent[blocks[g, 0] + i])]
            start = blocks[g, 2] + i * actions
            for k in range(actions):
                plan[start + k] = above * behaviour[start + k]


@njit(**FAST)
def plan_to_behaviour(blocks, plan, behaviour):
    """behaviour[s] = plan[s] over the sum of its siblings; uniform where that sum is zero."""
    for g in range(len(blocks)):
        actions = blocks[g, 3]
        for i in range(blocks[g, 1]):
            start = blocks[g, 2] + i * actions
            total = 0.0
            for k in range(actions):
                total += plan[start + k]
            for k in range(actions):
                behaviour[start + k] = plan[start + k] / total if total > 0 else 1.0 / actions


def leaves(form: SequenceForm) -> tuple:
    """The part of a layout that `payoff_gradient` reads, as the kernels take it."""
    layout = form.layout
    return layout.sequences, layout.row, layout.other, layout.utility


def plans(form: SequenceForm, behaviour: Float64) -> Float64:
    """Realization plans [S] of all players from their behaviour strategies [S]."""
    layout = form.layout
    plan = np.ones(layout.num_sequences)
    behaviour_to_plan(layout.blocks, layout.parent, behaviour, plan)
    return plan


def behaviours(form: SequenceForm, plan: Float64) -> Float64:
    """Behaviour strategies [S] from (unnormalised) realization plans [S]."""
    behaviour = np.ones(form.layout.num_sequences)
    plan_to_behaviour(form.layout.blocks, plan, behaviour)
    return behaviour


def respond(form: SequenceForm, plan: Float64) -> tuple[Float64, Float64, Float64]:
    """Best responses to `plan` [S].

    Returns a pure best-response behaviour [S], its values [N] and the values [N] of `plan` itself.
    The sum of the differences of the last two is NashConv.
    """
    layout = form.layout
    value, best = np.empty(layout.num_sequences), np.empty(layout.num_sequences)
    response, current = np.empty(form.num_players), np.empty(form.num_players)
    best_responses(
        leaves(form), layout.blocks, layout.player_blocks, layout.parent,
        plan, value, best, response, current,
    )  # fmt: skip
    return best, response, current
