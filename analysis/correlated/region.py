"""Payoff regions of two players: of all play, and of all correlated equilibria."""

from __future__ import annotations

import numpy as np

from analysis.correlated.normal_form import Concept, add_incentives, incentives
from analysis.equilibria.equilibrium import require_two_players
from analysis.equilibria.units import Units
from games import Game, InputError, SequenceForm, as_normal_form
from games.common.programs import Program, run
from games.finite.sequence_form import Float64

SAME = 1e-9  # of the range of utilities: corners nearer than that are one


def payoff_region(game: Game | SequenceForm, concept: Concept | None = None) -> Float64:
    """Corners [K, 2] of a convex set of payoffs, counter-clockwise; a point or two if it is flat.

    Args:
        game: two players; of a tree, its reduced normal form.
        concept: "ce" or "cce" for the payoffs of all such equilibria; None for those of all
            correlated play.

    Raises:
        InputError: not two players, or another concept.
        GameError: the normal form is too large.
    """
    if concept not in (None, "ce", "cce"):
        raise InputError(f"a region of 'ce', 'cce' or of all play (None), not {concept!r}")
    table = as_normal_form(game)
    require_two_players(table.form, "a picture of the payoffs")
    units = Units.of(table.form)
    unit = units.table(table)
    payoffs = unit.payoffs.reshape(-1, 2)
    if concept is None:
        return units.values(_hull(payoffs))
    program = Program()
    p = program.variables(len(payoffs))
    program.rows(1, [(0, p, 1.0)], lower=1.0, upper=1.0)
    add_incentives(program, p, incentives(unit, concept))
    model = program.model(maximise=True)

    def furthest(direction: Float64) -> Float64:
        # The last solution stays feasible: a few pivots lead to the next corner.
        model.changeColsCost(len(p), p.astype(np.int32), payoffs @ direction)
        return run(model).x[p] @ payoffs

    def between(a: Float64, b: Float64) -> list[Float64]:
        """The corners beyond the edge from a to b, which has the set on its left."""
        edge = b - a
        length = float(np.hypot(*edge))
        if length <= SAME:
            return []
        outward = np.array([edge[1], -edge[0]]) / length
        corner = furthest(outward)
        if outward @ (corner - a) <= SAME:
            return []
        return [*between(a, corner), corner, *between(corner, b)]

    left, right = furthest(np.array([-1.0, 0.0])), furthest(np.array([1.0, 0.0]))
    corners = _hull(np.array([left, *between(left, right), right, *between(right, left)]))
    return units.values(corners)


def _hull(points: Float64) -> Float64:
    """The corners of the convex hull, also where it is a segment or a point."""
    from scipy.spatial import ConvexHull, QhullError

    distinct = np.unique(np.round(points, 10), axis=0)
    try:
        return distinct[ConvexHull(distinct).vertices]
    except (QhullError, ValueError):  # on one line
        order = np.lexsort(distinct.T[::-1])
        return distinct[order[[0, -1]]] if len(distinct) > 1 else distinct
