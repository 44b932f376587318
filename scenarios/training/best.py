"""The best policy of a run: candidates between updates, and a paired comparison at the end.

All evaluations between updates use the same development games (common random numbers), and the
candidate is the policy that did best in them; of equals, the later. Being the best of many is
partly luck. So at the end the candidate and the last policy both play the same held-out games, and
the candidate is the best only if the 95% interval of their paired difference is on its side.
Otherwise the last policy is: it has learned from the most data.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from games.common.intervals import student
from games.finite.sequence_form import Float64
from games.simulators.metrics import EVALUATED, Metric, metric

Best = dict[str, Any]
"""The best policy: metric, value and update. Where a candidate was compared with the last policy
also candidate, its update; last, the last one's value; ahead, by how much the candidate is better;
and if games were played, their number `games`, and the 95% interval ahead_low to ahead_high."""


def exact_verdict(candidate: Best, update: int, value: float) -> Best:
    """The better of a candidate and the last policy, by exact values.

    Args:
        candidate: its metric, value and update.
        update: of the last policy.
        value: the last policy's.
    """
    ahead = candidate["value"] - value
    ahead = ahead if metric(candidate["metric"]).better == "more" else -ahead
    return _verdict(candidate, update, value, ahead > 0) | {"ahead": ahead}


def verdict(
    candidate: Best, update: int, own: Float64, last: Float64, known: Sequence[Metric] = ()
) -> Best:
    """The better of a candidate and the last policy, by the same games.

    Args:
        candidate: its metric and update.
        update: of the last policy.
        own: [E] the metric in games of the candidate.
        last: [E] in the same games of the last policy.
        known: the game's metrics.
    """
    more = metric(candidate["metric"], known).better == "more"
    ahead = own - last if more else last - own
    low, high = student(ahead)
    candidate = candidate | {"value": float(own.mean())}
    found = _verdict(candidate, update, float(last.mean()), low > 0)
    interval = {"ahead_low": low, "ahead_high": high, "games": len(ahead)}
    return found | {"ahead": float(ahead.mean())} | interval


def _verdict(candidate: Best, update: int, last: float, is_ahead: bool) -> Best:
    found = {"metric": candidate["metric"], "value": last, "update": update}
    if is_ahead:
        found |= {"value": candidate["value"], "update": candidate["update"]}
    return found | {"candidate": candidate["update"], "last": last}


def best_line(best: Best, updates: int) -> str:
    """One line on which policy is the best, and by how much.

    Args:
        best: of a run that is done.
        updates: of that run.
    """
    head = f"best {best['metric']}: {best['value']:.4f} (update {best['update']:,}"
    if "ahead" not in best:
        # Earlier versions kept whatever was ahead at some update.
        return f"{head}, the last)" if best["update"] == updates else f"{head} of {updates:,})"
    by: float = best["ahead"]
    low, high = (best.get(f"ahead_{end}", by) for end in ("low", "high"))

    def difference(by: float, low: float, high: float) -> str:
        games = best.get("games")
        return f"{by:.4f}" + (f" (95%: {low:.4f} to {high:.4f}, {games:,} games)" if games else "")

    candidate = f"update {best['candidate']:,}"
    if best["update"] == best["candidate"]:
        return f"{head}), better than the last by {difference(by, low, high)}"
    if high < 0:
        return f"{head}, the last), better than {candidate} by {difference(-by, -high, -low)}"
    return f"{head}, the last); {candidate} is not certainly better: by {difference(by, low, high)}"


class Candidates:
    """The best evaluation so far, updated row by row."""

    def __init__(self, column: str | None, known: Sequence[Metric] = ()) -> None:
        """
        Args:
            column: of metrics.csv, by which the best is chosen; None: no candidates.
            known: the game's metrics.
        """
        self.column, self.known = column, known
        self.metric = None if column is None else column.removeprefix(EVALUATED)
        self.best: Best = {}

    def note(self, row: dict[str, float]) -> bool:
        """Take a row of metrics.csv; returns whether it makes a new candidate."""
        value = math.nan if self.column is None else row.get(self.column, math.nan)
        if self.column is None or not math.isfinite(value):
            return False
        judged = metric(self.column, self.known)
        if self.best and judged.is_better(self.best["value"], value):
            return False
        self.best = {"metric": self.metric, "value": value, "update": int(row["update"])}
        return True
