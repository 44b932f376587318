"""One Nash equilibrium of any game: along quantal responses, until Newton's method can take over.

The logit equilibria of growing precision lead to a Nash equilibrium (McKelvey & Palfrey 1995, 1998;
Turocy 2005, 2010). Long before they are there they show which actions have probability in it: that
of the others falls faster than the precision grows. With these actions given,
`analysis.equilibria.sharpen` finds the equilibrium itself.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from analysis.equilibria.equilibrium import Unverified
from analysis.equilibria.logit_branch import LogitPoint, logit_points
from analysis.equilibria.logit_response import LogitResponse
from analysis.equilibria.sharpen import regret, with_support
from games import SequenceForm
from games.common.progress import Progress
from games.finite.sequence_form import Float64

# Regrets, as shares of the utility range, at which the support is tried: the first, and each next.
FIRST_TRY, NEXT_TRY = 1e-2, 0.5
FADING = -0.5  # d log probability / d log precision: below, an action has none in the limit


def quantal_limit(
    form: SequenceForm, tolerance: float, progress: Progress | None = None
) -> tuple[Float64, bool, str]:
    """The equilibrium that the principal branch leads to, or the play nearest to one on the way.

    Args:
        form: normalised, see `analysis.equilibria.units`; any number of players.
        tolerance: the regret at which the branch ends, if no support was right before.
        progress: see `games.common.progress.Progress`.

    Returns:
        Behaviour [S]; whether it was sharpened; why it ended before its time, if it did.
    """
    best, least = np.zeros(0), np.inf
    next_try = FIRST_TRY
    try:
        for behaviour, used in _approaching(form, tolerance, progress):
            now = regret(form, behaviour)
            if now < least:
                best, least = behaviour, now
            if used is None or now > next_try:
                continue
            next_try = NEXT_TRY * now
            found = with_support(form, behaviour, used, progress)
            if found is not None:
                return found, True, ""
    except Unverified:  # the branch is lost
        return best, False, "the branch was lost"
    return best, False, "" if least <= tolerance else "it was stopped"


def _approaching(
    form: SequenceForm, tolerance: float, progress: Progress | None
) -> Iterator[tuple[Float64, np.ndarray | None]]:
    """Behaviours [S] ever nearer to an equilibrium; which actions [S] do not fade, where known."""
    response = LogitResponse(form, "agent")
    last: LogitPoint | None = None
    for point in logit_points(response, "branch", None, tolerance, progress):
        used = None
        if last is not None and 0 < last.precision != point.precision:
            growth = np.log(point.precision / last.precision)
            slope = (point.log_behaviour - last.log_behaviour) / growth
            used = (slope > FADING)[form.arrays.place]
        yield response.behaviour(point.log_behaviour), used
        last = point
