"""One Nash equilibrium of a tree of any size, or play near one, by regret dynamics.

Players who minimise regret come to a coarse correlated equilibrium
(`analysis.correlated.dynamics`). Of two-player zero-sum games their averages, played independently,
are a Nash equilibrium; of others they often are, or come near, so that they are measured, and so is
the last profile. On their support Newton's method may find the equilibrium itself
(`analysis.equilibria.sharpen`).
"""

from __future__ import annotations

import numpy as np

from analysis.correlated.dynamics import profiles_of_play
from analysis.equilibria.sharpen import regret, with_support
from games import SequenceForm
from games.common.progress import Progress
from games.finite.kernels import plans_to_behaviour
from games.finite.sequence_form import Float64

LOOKS = (30, 100, 300, 1_000, 3_000, 10_000)  # iterations after which play is measured
# The support is tried from this regret on, in games of so many sequences of all players: in larger
# ones Newton's steps take longer than the dynamics. An action is taken to be used if its average
# probability is above one of these.
FIRST_TRY, SHARPENED_UP_TO, SUPPORTS = 1e-2, 3_000, (1e-3, 1e-2)


def average_play(
    form: SequenceForm, tolerance: float, progress: Progress | None = None
) -> tuple[Float64, bool, str]:
    """Regret dynamics; returns the last or average play that is nearest to an equilibrium.

    Args:
        form: normalised, see `analysis.equilibria.units`; any number of players.
        tolerance: the regret that is good enough.
        progress: see `games.common.progress.Progress`.

    Returns:
        Behaviour [S]; whether it was sharpened; how long the dynamics ran.
    """
    best, least, ended = np.zeros(0), np.inf, ""
    for iterations, plan, average in profiles_of_play(form, LOOKS, progress):
        ended = f"after {iterations:,} iterations"
        mean = plans_to_behaviour(form, average)
        for behaviour in (plans_to_behaviour(form, plan), mean):
            now = regret(form, behaviour)
            if now < least:
                best, least = behaviour, now
        if least <= tolerance:
            break
        if least > FIRST_TRY or len(mean) > SHARPENED_UP_TO:
            continue
        for used in (mean > share for share in SUPPORTS):
            found = with_support(form, mean, used, progress)
            if found is not None:
                return found, True, ""
    return best, False, ended
