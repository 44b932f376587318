"""An equilibrium on the command line: options checked, solved, and reported."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any

from pydantic import Field

import analysis
from analysis.concepts import COVERAGE
from analysis.equilibria.equilibrium import Equilibrium
from analysis.equilibria.nash import nash
from analysis.solve import checked, fit, options_of, solve
from games import NODE_BUDGET, Game, InputError, SequenceForm, as_form, load
from games.common.progress import Progress
from games.finite.security import SecurityGame
from scenarios.lookup import value_of
from scenarios.solving import played

MOST_SHOWN = 40  # rows of what is played, on the screen
MOST_IN_JSON = 50_000

Whole = Annotated[int, Field(gt=0)]


@dataclass(frozen=True)
class Found:
    """A request for an equilibrium, and the answer."""

    game: Game
    concept: str
    equilibria: tuple[Equilibrium, ...]
    seconds: float
    options: dict[str, Any] = dataclasses.field(default_factory=dict)

    @cached_property
    def form(self) -> SequenceForm:
        return as_form(self.game)


def prepare(
    name: str, concept: str, settings: Sequence[str], given: dict[str, Any]
) -> tuple[Game, dict[str, Any]]:
    """The game, compiled, and the options of the concept, checked.

    Args:
        name: a game string or a file.
        concept: a key of `analysis.solve.CONCEPTS`.
        settings: "key=value" options of the concept; of any game also node_budget, of a security
            game resources.
        given: options from flags of their own; None where not given.

    Raises:
        InputError: an unknown game or option, or an option that the concept does not have.
    """
    options = {key: value for key, value in given.items() if value is not None}
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals:
            raise InputError(f"--set {setting}: write key=value, such as --set leader=1")
        options[key.strip()] = value_of(text.strip())
    node_budget = fit("node_budget", options.pop("node_budget", NODE_BUDGET), Whole)
    game = load(name)
    if isinstance(game, SecurityGame) and "resources" in options:
        resources = fit("resources", options.pop("resources"), Whole)
        game = dataclasses.replace(game, resources=resources)
    known = sorted(set(options_of(concept)) - {"progress"})
    for key in options:
        if key not in known:
            raise InputError(f"{concept} has no option {key!r}: it has {', '.join(known)}")
    options = checked(concept, options)
    if not is_guarded(game, concept):
        game.sequence_form(node_budget=node_budget)
    return game, options


def is_guarded(game: Game, concept: str) -> bool:
    """Whether the answer is the coverage of a security game, which needs no payoff table."""
    return isinstance(game, SecurityGame) and concept == "stackelberg"


def find(
    game: Game,
    concept: str,
    options: dict[str, Any],
    *,
    every: bool = False,
    progress: Progress | None = None,
) -> Found:
    """Solve what `prepare` returned; all Nash equilibria if `every`.

    Raises:
        InputError, Unverified, RuntimeError, TimeoutError: see `analysis.solve.solve`.
    """
    if every and concept != "nash":
        raise InputError("--all is for nash: choose --equilibrium nash, or leave --all out")
    began = time.perf_counter()
    if every:
        found = nash(game, "all", **options, progress=progress)
    else:
        found = (solve(game, concept, **options, progress=progress),)
    return Found(game, concept, found, time.perf_counter() - began, options)


def to_json(found: Found) -> dict[str, Any]:
    """JSON of the first equilibrium; if there are several, all of them in `equilibria`."""
    rows = [_row_json(found, e) for e in found.equilibria]
    line = {
        "game": found.game.name,
        "equilibrium": found.concept,
        **rows[0],
        "iterations": int(rows[0]["facts"].get("iterations", 0)),
        "seconds": found.seconds,
    }
    if len(rows) > 1:
        line["equilibria"] = rows
    return line


def summary(found: Found) -> list[dict[str, str]]:
    """Rows, one an equilibrium: method, values, welfare, regret, and bounds on optimality."""
    rows = []
    for e in found.equilibria:
        row = {"values": ", ".join(map(_fixed, e.values)), "welfare": _fixed(e.welfare)}
        if e.objective is not None:
            row["objective"] = _fixed(e.objective)
            row["at most"] = "" if e.bound is None else _fixed(e.bound)
        row["regret"] = f"{e.regret:.1e}"
        row["method"] = e.method + (" (approximate)" if e.approximate else "")
        rows.append(row)
    return rows


def facts(found: Found) -> list[str]:
    """Further facts that the method reports, a line each."""
    lines = []
    for key, value in found.equilibria[0].facts.items():
        if key == "seconds" or key.startswith(COVERAGE):
            continue  # said below, and in the table of the play
        shown = f"{value:,.6g}" if isinstance(value, float | int) else value
        lines.append(f"{key.replace('_', ' ')}: {shown}")
    lines.append(f"seconds: {found.seconds:.2f}")
    return lines


def play(found: Found, most: int = MOST_SHOWN) -> list[tuple[str, list[dict[str, str]], int]]:
    """Tables of the play: title, rows, and how many rows were left out."""
    tables = []
    for k, e in enumerate(found.equilibria):
        title = f"equilibrium {k + 1}" if len(found.equilibria) > 1 else "play"
        rows = played.words(found.game, e)
        left_out = max(len(rows) - most, 0) if rows else played.num_rows(found.game, e)
        tables.append((title, rows[:most], left_out))
    return tables


def _row_json(found: Found, e: Equilibrium) -> dict[str, Any]:
    count = played.num_rows(found.game, e)
    whole = count <= MOST_IN_JSON
    return {
        "method": e.method,
        "value": e.value,
        "values": e.values.tolist(),
        "welfare": e.welfare,
        "nash_conv": None if e.strategy is None else analysis.nash_conv(found.form, e.strategy),
        "regret": e.regret,
        "approximate": e.approximate,
        "gains": [None if math.isnan(g) else g for g in e.gains.tolist()],
        "objective": e.objective,
        "bound": e.bound,
        "facts": dict(e.facts),
        "play": played.table(found.game, e).to_dict("records") if whole else None,
        "play_rows": count,
    }


def _fixed(number: float) -> str:
    """With six decimals, and no -0."""
    return f"{round(float(number), 6) + 0.0:.6f}"
