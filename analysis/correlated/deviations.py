"""How far correlated play is from the correlated equilibria of a game.

Play is a `Joint`: a profile is drawn and each player learns its part of it. What a player could
gain by not following depends on what it knows when it leaves, which defines the concept. It knows

    nfcce, cce   nothing: it leaves before the game begins (Moulin & Vial 1978)
    efcce        at each information set, after it has decided whether to follow there; so it leaves
                 knowing the recommendations that it followed on the way
                 (Farina, Bianchi & Sandholm 2020)
    efce         at each information set, before it decides (von Stengel & Forges 2008)
    ce           its whole pure plan, before the game begins (Aumann 1974)

After leaving, a player learns nothing more and plays as it likes: `analysis.correlated.triggers`
has the places to leave, and the values of leaving there. A player may watch several triggers if it
leaves once, so its gain is the largest sum over triggers none of which is below another, and at
least 0. (Leaving at one trigger only, the best one, is the epsilon of Celli et al. 2020 and Farina
et al. 2022: `trigger_gains` has it. The equilibria are the same.)

This is what OpenSpiel's distances measure, for each player apart, and it makes them grow with what
a player knows: nfcce <= efcce <= efce <= ce. (Leaving before the game begins is no trigger of its
own in efcce: it is leaving at whichever first information set comes.)
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from analysis.correlated.triggers import (
    BUDGET,
    Index,
    Triggers,
    best_leave,
    leave,
    observe_all,
    triggers,
)
from analysis.equilibria.equilibrium import Joint
from games import InputError, SequenceForm
from games.common.errors import did_you_mean
from games.finite.kernels import gradients, leaf_arrays
from games.finite.sequence_form import Float64

Concept = Literal["nfcce", "cce", "efcce", "efce", "ce"]


def _observed(joint: Joint, table: Triggers) -> Float64:
    form = joint.form
    seen, followed = np.zeros(len(table.entry)), np.zeros(form.arrays.num_sequences)
    plans = np.ascontiguousarray(joint.plans, dtype=np.float64)
    observe_all(
        leaf_arrays(form), form.arrays.place, table.arrays,
        np.asarray(joint.weights, dtype=np.float64), plans, seen, followed,
    )  # fmt: skip
    return leave(table, seen, followed)


def trigger_gains(joint: Joint, concept: Concept) -> tuple[Float64, ...]:
    """The largest gain of each player from deviating at a single trigger.

    Args:
        joint: the play.
        concept: "nfcce" (or "cce"), "efcce" or "efce".

    Returns:
        For each player [1], [J] by information sets, or [S - 1] by sequences from 1 on. In units
        of utility, weighed by the probability that the trigger comes; negative where staying is
        better.

    Raises:
        InputError: another concept, or a game with too many deviations.
    """
    table = triggers(joint.form, concept)
    gain = _observed(joint, table)
    return tuple(gain[table.player == i] for i in range(joint.form.num_players))


def correlated_gains(joint: Joint, concept: Concept) -> Float64:
    """What each player [N] gains by its best deviation of a concept: all 0 in an equilibrium.

    Their sum is OpenSpiel's distance: `cce_dist`; `ce_dist` of pure profiles, except that it takes
    pure plans that differ only where they do not lead for two; and, as its C++ defines them,
    `EFCCEDist` and `EFCEDist`. Profiles may be mixed: their players' draws are their own, so that a
    mixed plan recommends what it draws.

    Raises:
        InputError: no such concept, or more deviations than BUDGET.
    """
    if concept not in get_args(Concept):
        raise InputError(f"no concept {concept!r}: {did_you_mean(concept, get_args(Concept))}")
    if concept == "ce":
        return _swap_gains(joint)
    table = triggers(joint.form, concept)
    return best_leave(table, _observed(joint, table))


def distances(
    joint: Joint, concepts: Iterable[Concept] = ("ce", "efce", "efcce", "cce")
) -> dict[str, Float64]:
    """`correlated_gains` of several concepts, each [N]; from left to right they do not grow.

    Raises:
        InputError: see `correlated_gains`; where pure plans are too many, leave "ce" out.
    """
    return {concept: correlated_gains(joint, concept) for concept in concepts}


def _swap_gains(joint: Joint) -> Float64:
    """The gains of a player who learns its whole pure plan and may swap it for another."""
    form, gains = joint.form, np.zeros(joint.form.num_players)
    starts = form.arrays.players.astype(int)
    drawn = [
        _drawn(form, i, joint.plans[:, starts[i] : starts[i + 1]]) for i in range(form.num_players)
    ]
    worth = [np.zeros(pure.shape) for pure, _, _, _ in drawn]
    ends = [
        np.searchsorted(profile, np.arange(len(joint.weights) + 1)) for _, profile, _, _ in drawn
    ]
    for m, weight in enumerate(joint.weights):
        gradient = gradients(form, joint.plans[m])
        for i, (_, _, row, probability) in enumerate(drawn):
            own = slice(ends[i][m], ends[i][m + 1])  # its rows are different ones
            worth[i][row[own]] += (
                weight * probability[own, None] * gradient[starts[i] : starts[i + 1]]
            )
    for i, player in enumerate(form.players):
        value = worth[i]
        followed = np.sum(drawn[i][0] * value, axis=1)
        sets = (player.parent_sequence, player.first_sequence, player.num_actions)
        for parent, first, count in reversed(list(zip(*sets, strict=True))):
            value[:, parent] += value[:, first : first + count].max(axis=1)
        gains[i] = np.maximum(value[:, 0] - followed, 0.0).sum()
    return gains


def _drawn(form: SequenceForm, i: int, plans: Float64) -> tuple[Float64, Index, Index, Float64]:
    """The pure plans [P, S] that player i draws in any profile; and, draw by draw in order of the
    profiles, the profile [D], the plan's row [D] and its probability [D].

    Raises:
        InputError: more than BUDGET numbers.
    """
    player = form.players[i]
    sets = (player.parent_sequence, player.first_sequence, player.num_actions)
    rows = list(zip(*(a.tolist() for a in sets), strict=True))
    ways, behaviour = (plans > 0).astype(np.float64), np.ones(plans.shape)
    for parent, first, count in reversed(rows):
        own = slice(first, first + count)
        ways[:, parent] *= ways[:, own].sum(axis=1)
        total = np.maximum(plans[:, parent, None], np.finfo(float).tiny)
        behaviour[:, own] = plans[:, own] / total
    if ways[:, 0].sum() * player.num_sequences > BUDGET:
        raise InputError(
            f"{form.game}: player {i} draws {ways[:, 0].sum():,.0f} pure plans, more than can be "
            f"laid out (at most {BUDGET:,} numbers); choose a concept other than ce"
        )
    followers: list[list[tuple[int, int]]] = [[] for _ in range(player.num_sequences)]
    for parent, first, count in rows:
        followers[parent].append((first, count))
    pure = [_support(followers, plan) for plan in plans]
    profile = np.repeat(np.arange(len(plans)), [len(p) for p in pure])
    draws = np.concatenate(pure)
    probability = np.prod(np.where(draws, behaviour[profile], 1.0), axis=1)
    _, first_draw, row = np.unique(
        np.packbits(draws, axis=1), axis=0, return_index=True, return_inverse=True
    )
    return draws[first_draw].astype(np.float64), profile, row.ravel(), probability


def _support(followers: list[list[tuple[int, int]]], plan: Float64) -> NDArray[np.bool_]:
    """The reduced pure plans [K, S] that `plan` [S] draws; followers: the information sets after
    each sequence, as first child and number of actions."""
    if np.all((plan == 0) | (plan == 1)):
        return (plan > 0)[None]
    size = len(plan)
    below: dict[int, NDArray[np.bool_]] = {}
    for s in range(size - 1, -1, -1):  # children have larger numbers
        if plan[s] > 0:
            chosen = np.zeros((1, size), dtype=bool)
            for first, count in followers[s]:
                part = np.concatenate(
                    [below.pop(k) for k in range(first, first + count) if k in below]
                )
                chosen = (chosen[:, None] | part[None]).reshape(-1, size)
            chosen[:, s] = True
            below[s] = chosen
    return below[0]
