"""A comparison of players as a table."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from scenarios.terminal import print_table

if TYPE_CHECKING:
    from scenarios.playing.comparing import Comparison


def print_comparison(found: Comparison, as_json: bool, where: dict[str, Any]) -> None:
    """Print the table of a comparison, or its JSON.

    Args:
        found: what players did.
        as_json: one object on one line.
        where: of a run what its JSON says besides, `run` the folder among it; empty if it has none.
    """
    if as_json:
        print(json.dumps(found.to_json() | where))
        return
    rows = []
    last, held = "", "" if found.reference is None else found.reference.metric
    for row in found.rows:
        if last and last == held != row["metric"]:
            rows += _reference(found)
        rows.append(_cells(row, found, row["metric"] != last))
        last = row["metric"]
    if last and last == held:
        rows += _reference(found)
    title = f"{found.game}, {found.episodes:,} games each"
    print_table(f"{title}, compared with {found.to}" if _are_several(found) else title, rows)
    if found.reference is not None:
        print(f"{found.reference.kind} in the long run by {found.reference.source}")
    if where:
        print(f"run: {where['run']} (pictures: comparison.png)")


def _cells(row: dict[str, Any], found: Comparison, begins: bool) -> dict[str, str]:
    form = row["form"]
    cells = {
        "": row["metric"].replace("_", " ") if begins else "",
        "player": row["player"],
        "mean": _shown(row["mean"], form),
        "95%": _interval(row, "", form),
    }
    other = row["player"] != found.to
    if _are_several(found):
        cells["difference"] = _shown(row["difference"], f"+{form}") if other else ""
        cells["95% of that"] = _interval(row, "difference_", f"+{form}") if other else ""
        # Shares of negative numbers are not shown: their sign would be reversed.
        share = row["relative"] if row["mean"] - row["difference"] > 0 else math.nan
        cells["relative"] = _shown(share, "+.2%") if other else ""
    if found.reference is not None:
        kind = found.reference.kind
        cells[f"gap to the {kind}, %"] = _shown(row.get("gap", math.nan), ".2f")
        cells["95% of it"] = _interval(row, "gap_", ".2f")
    return cells


def _are_several(found: Comparison) -> bool:
    return any(row["player"] != found.to for row in found.rows)


def _reference(found: Comparison) -> list[dict[str, str]]:
    """The row of a metric's optimum or bound."""
    if found.reference is None:
        return []
    row = next(row for row in found.rows if row["metric"] == found.reference.metric)
    blank = dict.fromkeys(_cells(row, found, True), "")
    value = f"{found.reference.value:{row['form']}}"
    return [blank | {"player": found.reference.kind, "mean": value}]


def _interval(row: dict[str, Any], of: str, form: str) -> str:
    low, high = row.get(f"{of}low", math.nan), row.get(f"{of}high", math.nan)
    return "" if low != low or high != high else f"{low:{form}} to {high:{form}}"


def _shown(value: float, form: str) -> str:
    return "" if value != value else f"{value:{form}}"
