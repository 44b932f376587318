"""Reduced pure strategies of a sequence form: how many there are, their plans, payoffs and names.

A reduced strategy says nothing of information sets that its own earlier choices rule out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from games.finite.sequence_form import Float64, SequenceForm, Treeplex


def _children(player: Treeplex) -> list[list[int]]:
    """The information sets that follow each sequence, [S] lists."""
    children: list[list[int]] = [[] for _ in range(player.num_sequences)]
    for j, parent in enumerate(player.parent_sequence.tolist()):
        children[parent].append(j)
    return children


def num_reduced(player: Treeplex) -> int:
    """How many reduced pure strategies there are: a product over sets of a sum over actions."""
    below = [1] * player.num_sequences  # how many ways there are to go on from each sequence
    rows = zip(player.parent_sequence, player.first_sequence, player.num_actions, strict=True)
    for parent, first, count in reversed(list(rows)):
        below[parent] *= sum(below[first : first + count])
    return below[0]


def reduced_size(form: SequenceForm) -> int:
    """How many numbers the larger of the reduced normal form's tensor and its plans takes."""
    sizes = [num_reduced(p) for p in form.players]
    plans = [n * p.num_sequences for n, p in zip(sizes, form.players, strict=True)]
    return max(math.prod(sizes) * form.num_players, *plans)


def reduced_plans(player: Treeplex) -> NDArray[np.float64]:
    """All reduced pure strategies as realization plans, [K, S]."""
    children = _children(player)
    first, count = player.first_sequence.tolist(), player.num_actions.tolist()
    below: list[NDArray[np.bool_]] = [np.empty((0, 0), dtype=bool)] * player.num_sequences

    def combine(parts: list[NDArray[np.bool_]]) -> NDArray[np.bool_]:
        total = np.zeros((1, player.num_sequences), dtype=bool)
        for part in parts:
            total = (total[:, None] | part[None]).reshape(-1, player.num_sequences)
        return total

    for s in range(player.num_sequences - 1, -1, -1):  # children have larger numbers
        chosen = combine(
            [np.concatenate(below[first[j] : first[j] + count[j]]) for j in children[s]]
        )
        chosen[:, s] = True
        below[s] = chosen
    return below[0].astype(np.float64)


def reduced_payoffs(form: SequenceForm, pure: Sequence[Float64], utility: Float64) -> Float64:
    """One player's payoffs [A1, ..., AN]: the plans' products at every leaf, summed up."""
    if form.num_players == 2:
        size = (form.players[0].num_sequences, form.players[1].num_sequences)
        matrix = np.zeros(size)
        matrix[form.leaf_sequence[:, 0], form.leaf_sequence[:, 1]] = utility
        return pure[0] @ matrix @ pure[1].T
    reached = [p[:, form.leaf_sequence[:, i]] for i, p in enumerate(pure)]  # [Ai, L]
    letters = "abcdefghijklmnopqrstuvwxy"[: len(pure)]
    spec = ",".join(f"{c}z" for c in letters) + f",z->{letters}"
    return np.einsum(spec, *reached, utility, optimize=True)


def reduced_names(player: Treeplex, plans: Float64) -> tuple[str, ...]:
    """Pure strategies by their choices; where a player chooses once, by the action's name."""
    if len(player.information_sets) == 1:
        return player.labels[1:]
    owner = np.repeat(np.arange(len(player.information_sets)), player.num_actions)
    return tuple(
        ", ".join(
            f"{player.information_sets[owner[s - 1]]}: {player.labels[s]}"
            for s in np.flatnonzero(plan[1:] > 0) + 1
        )
        for plan in plans
    )
