"""Triggers, where players may leave correlated play, and the values of leaving there.

A player who learns its part of a profile may stop following it, and then plays as it likes. A place
to leave is a trigger: in nfcce the beginning, in efcce an information set j, in efce a sequence
(j, a), recommended there; `analysis.correlated.deviations` says what these concepts are. With g_m
the payoff gradient against the others in profile m, w_m its weight and x_m the own plan, the value
of leaving at a trigger is

    max_y  sum_m w_m x_m(q) <g_m, y>  -  sum_m w_m <g_m, x_m>

over the continuations y below j, with q the empty sequence, the parent sequence of j, or (j, a);
the second sum runs over the sequences that are left, those at and below j, or (j, a). Both sums
grow profile by profile (`observe`); one sweep up the continuations then gives the maximum
(`leave`). Trigger deviations: Farina, Bianchi & Sandholm 2020 (efcce); Celli et al. 2020 and Farina
et al. 2022 (efce).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from games import InputError, SequenceForm
from games.common.errors import did_you_mean
from games.finite.kernels import FAST, INLINE, payoff_gradient
from games.finite.sequence_form import Float64

Index = NDArray[np.int64]

BUDGET = 50_000_000  # numbers: entries of the triggers, or of the pure plans of a player


@dataclass(frozen=True, eq=False)
class Forest:
    """All players' treeplexes as one, the sequences and information sets laid end to end."""

    root: Index  # [N]  the empty sequences
    parent: Index  # [J]  parent sequence of each information set; parents stand before children
    first: Index  # [J]  its first child sequence
    count: Index  # [J]  its actions
    player: Index  # [J]
    owner: Index  # [S]  information set of each sequence, -1 for the empty ones

    @property
    def arrays(self) -> tuple[Index, ...]:
        """The arrays that compiled functions take."""
        return self.parent, self.first, self.count


def forest(form: SequenceForm) -> Forest:
    """The information sets and sequences of all players."""
    root = form.arrays.players[:-1].astype(np.int64)
    shifted = list(zip(form.players, root, strict=True))
    count = np.concatenate([p.num_actions for p in form.players]).astype(np.int64)
    first = np.concatenate([p.first_sequence + r for p, r in shifted])
    owner = np.full(form.arrays.num_sequences, -1)
    owner[_runs(first, count)] = np.repeat(np.arange(len(count)), count)
    return Forest(
        root=root,
        parent=np.concatenate([p.parent_sequence + r for p, r in shifted]),
        first=first,
        count=count,
        player=np.repeat(np.arange(len(root)), [len(p.num_actions) for p in form.players]),
        owner=owner,
    )


@dataclass(frozen=True, eq=False)
class Triggers:
    """The T triggers of all players, each with its own copy of the continuations' treeplex.

    Sequences and information sets are numbered over all players, laid end to end. Trigger t has
    entries start[t] to start[t + 1]: first the place where its continuations begin, then their
    sequences. A unit is an information set there; units stand parents first.
    """

    trees: Forest
    player: Index  # [T]
    sequence: Index  # [T]  q: its probability is the trigger's
    parent: Index  # [T]  the next trigger above, -1 if none; parents stand before children
    left: Index  # [S]  the trigger that leaves this sequence, -1 where none begins to
    start: Index  # [T + 1]  entries
    first_unit: Index  # [T + 1]  units
    entry: Index  # [E]  sequence of each entry
    unit_set: Index  # [U]  information set
    unit_parent: Index  # [U]  entry of its parent sequence
    unit_first: Index  # [U]  entry of its first child sequence; the others follow
    unit_count: Index  # [U]  actions

    @property
    def arrays(self) -> tuple[Index, ...]:
        """The arrays that compiled functions take."""
        return (
            self.sequence, self.start, self.first_unit, self.entry,
            self.unit_parent, self.unit_first, self.unit_count,
        )  # fmt: skip


def triggers(form: SequenceForm, concept: str) -> Triggers:
    """The triggers of "nfcce" (or "cce"), "efcce" or "efce".

    Raises:
        InputError: another concept, or more than BUDGET entries.
    """
    trees = forest(form)
    sets, chosen = np.arange(len(trees.count)), np.flatnonzero(trees.owner >= 0)
    left = np.full(len(trees.owner), -1)
    # Pairs: a trigger, and an information set of its continuations.
    if concept in ("nfcce", "cce"):
        player, sequence = np.arange(len(trees.root)), trees.root
        parent = np.full(len(player), -1)
        on_top = chosen[np.isin(trees.parent[trees.owner[chosen]], trees.root)]
        left[on_top] = trees.player[trees.owner[on_top]]
        trigger, below = trees.player, sets
    elif concept == "efcce":
        player, sequence, parent = trees.player, trees.parent, trees.owner[trees.parent]
        left = trees.owner
        trigger, below = _descendants(form, trees, np.ones_like(sets))
    elif concept == "efce":
        player, sequence = trees.player[trees.owner[chosen]], chosen
        left[chosen] = np.arange(len(chosen))
        parent = left[trees.parent[trees.owner[chosen]]]
        above, below = _descendants(form, trees, trees.count)
        below = np.repeat(below, trees.count[above])
        trigger = _runs(left[trees.first[above]], trees.count[above])
    else:
        known = ("nfcce", "cce", "efcce", "efce")
        raise InputError(f"concept {concept!r} has no triggers: {did_you_mean(concept, known)}")

    order = np.lexsort((below, trigger))
    trigger, below = trigger[order], below[order]
    count = trees.count[below]
    first = np.cumsum(count) - count + trigger + 1
    sizes = 1 + np.bincount(trigger, count, len(player)).astype(np.int64)
    start = np.concatenate([[0], np.cumsum(sizes)])
    entry = np.repeat(sequence, sizes)
    entry[_runs(first, count)] = _runs(trees.first[below], count)
    # The entry of the parent sequence: inside the same continuations, or where they begin.
    key = trigger * len(sets) + below
    above = trees.owner[trees.parent[below]]
    at = np.searchsorted(key, trigger * len(sets) + above)
    inside = (above >= 0) & (key[at.clip(max=len(key) - 1)] == trigger * len(sets) + above)
    at = np.where(inside, at, 0)
    step = trees.parent[below] - trees.first[above]
    return Triggers(
        trees=trees,
        player=player,
        sequence=sequence,
        parent=parent,
        left=left,
        start=start,
        first_unit=np.searchsorted(trigger, np.arange(len(player) + 1)),
        entry=entry,
        unit_set=below,
        unit_parent=np.where(inside, first[at] + step, start[trigger]),
        unit_first=first,
        unit_count=count,
    )


def _runs(first: Index, count: Index) -> Index:
    """first, first + 1, ..., `count` numbers of each, end to end."""
    return np.repeat(first - np.cumsum(count) + count, count) + np.arange(count.sum())


def _descendants(form: SequenceForm, trees: Forest, weight: Index) -> tuple[Index, Index]:
    """All pairs of an information set and one at or below it.

    Raises:
        InputError: the pairs have too many sequences, each pair weighed by its upper set.
    """
    above = below = np.arange(len(trees.count))
    uppers, lowers, entries = [above[:0]], [below[:0]], 0  # where nobody moves: none
    while len(above):
        entries += int(np.sum(weight[above] * trees.count[below]))
        if entries > BUDGET:
            raise InputError(
                f"{form.game}: the deviations at all information sets take more than {BUDGET:,} "
                "numbers; choose a smaller game, or the concept nfcce"
            )
        uppers.append(above)
        lowers.append(below)
        above = trees.owner[trees.parent[above]]
        above, below = above[above >= 0], below[above >= 0]
    return np.concatenate(uppers), np.concatenate(lowers)


@njit(**INLINE)
def payoffs(leaves, place, plan, placed, scratch, gradient):
    """All players' payoff gradients [S] against `plan` [S], in the order of the SequenceForm."""
    for s in range(len(place)):
        placed[place[s]] = plan[s]
    for player in range(len(leaves[0]) - 1):
        payoff_gradient(leaves, player, placed, scratch)
    for s in range(len(place)):
        gradient[s] = scratch[place[s]]


@njit(**INLINE)
def observe(trigger_arrays, weight, plan, gradient, seen, followed):
    """Add one profile of the mixture to the sums that gains are made of.

    seen [E] is what each entry is worth to who left, followed [S] what each sequence pays to who
    stays; both are sums over profiles, of gradients times probabilities.
    """
    sequence, start, _, entry, _, _, _ = trigger_arrays
    for s in range(len(plan)):
        followed[s] += weight * plan[s] * gradient[s]
    for t in range(len(sequence)):
        reach = weight * plan[sequence[t]]
        if reach > 0.0:
            for e in range(start[t] + 1, start[t + 1]):
                seen[e] += reach * gradient[entry[e]]


@njit(**FAST)
def observe_all(leaves, place, trigger_arrays, weights, plans, seen, followed):
    """`observe` each profile of a mixture."""
    placed, scratch, gradient = np.empty((3, len(place)))
    for m in range(len(weights)):
        payoffs(leaves, place, plans[m], placed, scratch, gradient)
        observe(trigger_arrays, weights[m], plans[m], gradient, seen, followed)


@njit(**INLINE)
def paid_below(tree_arrays, paid):
    """Add to each sequence of paid [S] what the sequences below it pay."""
    parent, first, count = tree_arrays
    for j in range(len(parent) - 1, -1, -1):
        for k in range(first[j], first[j] + count[j]):
            paid[parent[j]] += paid[k]


@njit(**FAST)
def _leave(trigger_arrays, tree_arrays, left, seen, followed, gain):
    """gain[t]: the value of leaving at trigger t, from the sums that `observe` made."""
    sequence, start, first_unit, _, unit_parent, unit_first, unit_count = trigger_arrays
    value, paid = seen.copy(), followed.copy()
    for t in range(len(sequence)):
        for u in range(first_unit[t + 1] - 1, first_unit[t] - 1, -1):
            best = value[unit_first[u]]
            for e in range(unit_first[u] + 1, unit_first[u] + unit_count[u]):
                best = max(best, value[e])
            value[unit_parent[u]] += best
        gain[t] = value[start[t]]
    paid_below(tree_arrays, paid)
    for s in range(len(paid)):
        if left[s] >= 0:
            gain[left[s]] -= paid[s]


def leave(table: Triggers, seen: Float64, followed: Float64) -> Float64:
    """The value of leaving at each trigger, [T], from the sums that `observe` made."""
    gain = np.empty(len(table.player))
    _leave(table.arrays, table.trees.arrays, table.left, seen, followed, gain)
    return gain


def best_leave(table: Triggers, gain: Float64) -> Float64:
    """The most that each player gains [N] by leaving once, from the values of the triggers [T]."""
    total, below = np.zeros(len(table.trees.root)), np.zeros(len(gain))
    for t in range(len(gain) - 1, -1, -1):
        best = max(float(gain[t]), below[t])
        if table.parent[t] >= 0:
            below[table.parent[t]] += best
        else:
            total[table.player[t]] += best
    return total
