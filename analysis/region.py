"""What two players can get: the payoffs of all plays, and of all correlated equilibria."""

from __future__ import annotations

import numpy as np

from analysis.correlated import Concept, add_incentives, incentives
from analysis.equilibrium import require_two_players
from analysis.program import Program, run
from games import Game, InputError, SequenceForm, as_normal_form
from games.sequence_form import Float64

DIRECTIONS = 72


def payoff_region(
    game: Game | SequenceForm, concept: Concept | None = None, *, directions: int = DIRECTIONS
) -> Float64:
    """Corners [K, 2] of a convex set of payoffs, counter-clockwise.

    Args:
        game: two players; of a tree, its reduced normal form.
        concept: "ce" or "cce" for the payoffs of all such equilibria; None for those of all
            correlated play.
        directions: the set is touched from that many sides; a corner that none of them sees is cut
            off (never one of the four extremes of a single player's payoff).

    Raises:
        InputError: not two players, or another concept.
        GameError: the normal form is too large.
    """
    if concept not in (None, "ce", "cce"):
        raise InputError(f"a region of 'ce', 'cce' or of all play (None), not {concept!r}")
    table = as_normal_form(game)
    require_two_players(table.form, "a picture of the payoffs")
    payoffs = table.payoffs.reshape(-1, 2)
    if concept is None:
        return _hull(payoffs)
    program = Program()
    p = program.variables(len(payoffs))
    program.rows(1, [(0, p, 1.0)], lower=1.0, upper=1.0)
    add_incentives(program, p, incentives(table, concept))
    model = program.model(maximise=True)
    touched = []
    for angle in np.arange(directions) * (2 * np.pi / directions):
        cost = payoffs @ [np.cos(angle), np.sin(angle)]
        # The last solution stays feasible: a few pivots lead to the next corner.
        model.changeColsCost(len(p), p.astype(np.int32), cost)
        touched.append(run(model).x[p] @ payoffs)
    return _hull(np.array(touched))


def _hull(points: Float64) -> Float64:
    """The corners of the convex hull, also where it is a segment or a point."""
    from scipy.spatial import ConvexHull, QhullError

    distinct = np.unique(np.round(points, 12), axis=0)
    try:
        return distinct[ConvexHull(distinct).vertices]
    except (QhullError, ValueError):  # on one line
        order = np.lexsort(distinct.T[::-1])
        return distinct[order[[0, -1]]] if len(distinct) > 1 else distinct
