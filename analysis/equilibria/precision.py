"""The precision that makes observed play likeliest, over the principal branch of logit equilibria.

McKelvey & Palfrey, "Quantal Response Equilibria for Normal Form Games" (1995).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from analysis.equilibria.equilibrium import Equilibrium
from analysis.equilibria.logit_branch import likeliest, logit_points
from games import Game, InputError, SequenceForm
from games.common.errors import did_you_mean
from games.common.progress import Progress
from games.finite.sequence_form import Float64

if TYPE_CHECKING:
    import pandas as pd
from analysis.equilibria.quantal import TOLERANCE, prepared, verified_logit

FALLEN = 10.0  # of the log likelihood: past its maximum, as likely as exp(-10)


@dataclass(frozen=True, eq=False)
class PrecisionFit:
    """The precision that makes observed play likeliest."""

    precision: float  # lambda, in 1 / utility
    standard_error: float  # 1 / sqrt of the expected information there; may be infinite
    log_likelihood: float  # the sum of counts times log probabilities
    equilibrium: Equilibrium  # at that precision


def fit_precision(
    game: Game | SequenceForm,
    counts: pd.DataFrame | Sequence[ArrayLike],
    *,
    max_precision: float | None = None,
    kind: str = "auto",
    method: str = "auto",
    tolerance: float = TOLERANCE,
    progress: Progress | None = None,
) -> PrecisionFit:
    """Maximum likelihood over the principal branch, of how often each action was seen.

    McKelvey & Palfrey (1995). The best point of a path is taken, then the maximum near it. By
    *mirror* the path ends once the log likelihood has fallen by 10 from its highest.

    Args:
        game: a tree, a matrix game or a sequence form.
        counts: a table with the columns player, information_set, action (its number or its name)
            and count, where rows may repeat and what was not seen may be missing; for games in
            which everybody chooses once, also N vectors of counts.
        max_precision: where the search ends; by default where play is within 1e-4 of Nash.
        kind: see `logit`.
        method: see `logit_path`.
        tolerance: of the equilibrium's residual.
        progress: when it returns True the search ends, with RuntimeError.

    Raises:
        InputError: counts that do not fit the game; or the likelihood rises up to the end of the
            search, so that there is no finite estimate.
        Unverified: see `logit`.
    """
    response, method = prepared(game, kind, method, path=True)
    seen = _counts(response.form, counts)[response.form.arrays.sequence]
    stopped = False

    def watch(message: str) -> bool:
        nonlocal stopped
        stopped = progress is not None and progress(message)
        return stopped

    points, highest = [], -math.inf
    for point in logit_points(response, method, max_precision, None, watch):
        points.append(point)
        likelihood = float(seen @ point.log_behaviour)
        highest = max(highest, likelihood)
        if method == "mirror" and likelihood < highest - FALLEN:
            break
    if stopped:
        raise RuntimeError("stopped before the likeliest precision was found")
    precision, found, slope = likeliest(response, method, seen, points)
    at_set = np.bincount(response.set_of, seen)[response.set_of]
    information = float(at_set @ (np.exp(found) * slope**2))
    return PrecisionFit(
        precision=precision,
        standard_error=1.0 / math.sqrt(information) if information > 0 else math.inf,
        log_likelihood=float(seen @ found),
        equilibrium=verified_logit(response, found, precision, method, tolerance),
    )


def _counts(form: SequenceForm, counts: pd.DataFrame | Sequence[ArrayLike]) -> Float64:
    """Counts [S] over the players' sequences laid end to end."""
    import pandas as pd

    total = np.zeros(form.arrays.num_sequences)
    starts = form.arrays.players.astype(int)
    if isinstance(counts, pd.DataFrame):
        needed = ["player", "information_set", "action", "count"]
        missing = [column for column in needed if column not in counts]
        if missing:
            raise InputError(f"the table lacks the column {missing[0]}; it needs {needed}")
        for owner, name, action, count in counts[needed].itertuples(index=False):
            if owner not in range(form.num_players):
                raise InputError(f"player {owner}: {form.game} has 0 to {form.num_players - 1}")
            player = form.players[owner]
            if name not in player.index:
                raise InputError(
                    f"player {owner} has no information set {name!r} in {form.game}; "
                    f"{did_you_mean(str(name), player.index)}"
                )
            j = player.index[name]
            first = int(player.first_sequence[j])
            legal = range(first, first + int(player.num_actions[j]))
            own = [s for s in legal if action in (player.actions[s], player.labels[s])]
            if not own:
                known = ", ".join(f"{player.actions[s]} ({player.labels[s]})" for s in legal)
                raise InputError(
                    f"no action {action!r} at information set {name!r}; known: {known}"
                )
            total[starts[owner] + own[0]] += count
    else:
        sizes = [p.num_sequences - 1 for p in form.players]
        vectors = [np.asarray(own, dtype=np.float64) for own in counts]
        fits = [vector.shape for vector in vectors] == [(n,) for n in sizes]
        if not fits or any(len(p.information_sets) != 1 for p in form.players):
            raise InputError(
                f"{form.game}: give a table with the columns player, information_set, action, "
                f"count, or, if everybody chooses once, vectors of lengths {sizes}"
            )
        for start, vector in zip(starts, vectors, strict=False):
            total[start + 1 : start + 1 + len(vector)] = vector
    if not (np.all(np.isfinite(total)) and np.all(total >= 0) and total.sum() > 0):
        raise InputError("counts have to be finite numbers of at least 0, with one above 0")
    return total
