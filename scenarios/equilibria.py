"""An equilibrium on the command line: found, shown as tables, exported, drawn."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import analysis
from analysis.equilibrium import Equilibrium, Progress
from analysis.nash import nash
from analysis.plot import short_labels
from analysis.response import deviation_gains
from analysis.solve import options_of, solve
from games import NODE_BUDGET, Game, InputError, NormalForm, SequenceForm, as_form, load
from games.security import SecurityGame
from games.storage import write_atomically
from marl.tabular import Solution
from scenarios.scenario import value_of

MOST_ROWS = 40  # of a table of strategies
LEAST_SHOWN = 5e-7  # probabilities below are left out of the tables, not of the files
PLAYED = 1e-9
CORRELATED = ("ce", "cce", "efce", "efcce", "nfcce")


@dataclass(frozen=True)
class Found:
    """What was asked for, and what came out."""

    game: Game
    concept: str
    equilibria: tuple[Equilibrium, ...]
    seconds: float

    @property
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
    node_budget = options.pop("node_budget", NODE_BUDGET)
    game = load(name)
    guards = isinstance(game, SecurityGame) and concept == "stackelberg"
    if isinstance(game, SecurityGame) and "resources" in options:
        game = dataclasses.replace(game, resources=options.pop("resources"))
    known = sorted(set(options_of(concept)) - {"progress"})
    for key, value in options.items():
        if key not in known:
            raise InputError(f"{concept} has no option {key!r}: it has {', '.join(known)}")
        wanted = options_of(concept)[key]
        if wanted is not None and not _fits(value, wanted):
            raise InputError(f"{key}={value!r}: {concept} takes a {type(wanted).__name__} there")
    if not guards:
        game.sequence_form(node_budget=node_budget)
    return game, options


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
    if "progress" in options_of(concept):
        options = {**options, "progress": progress}
    began = time.perf_counter()
    if every:
        if concept != "nash":
            raise InputError("--all is for nash: choose --equilibrium nash, or leave --all out")
        found = nash(game, "all", **options)
    elif isinstance(game, SecurityGame) and concept == "stackelberg":
        found = (_guarded(game, options),)
    else:
        found = (solve(game, concept, **options),)
    return Found(game, concept, found, time.perf_counter() - began)


def _fits(value: Any, default: Any) -> bool:
    """Whether a value is of the kind of an option's default."""
    if isinstance(default, bool):
        return isinstance(value, bool)
    if isinstance(default, int | float):
        return isinstance(value, int | float) and not isinstance(value, bool)
    return isinstance(value, str) or default == "welfare"  # an objective may be a player's number


def iterated(name: str, solution: Solution, export_to: Path | None, draw_to: Path | None) -> None:
    """Export and draw what a method of `marl.tabular` found.

    Raises:
        InputError: the game is too large to enumerate, and more than the strategy was asked for.
    """
    game = load(name)
    if math.isnan(solution.nash_conv):
        if draw_to is not None or (export_to is not None and export_to.suffix != ".npz"):
            raise InputError(f"{name} is too large to enumerate: export the strategy as .npz")
        assert export_to is not None
        solution.strategy.save(export_to)
        return
    form = as_form(game)
    found = Equilibrium(
        concept="nash",
        game=name,
        method=f"{solution.method}, {solution.iterations:,} iterations",
        values=solution.values,
        gains=deviation_gains(form, solution.strategy),
        strategy=solution.strategy,
    )
    whole = Found(game, "nash", (found,), solution.seconds)
    if export_to is not None:
        export(whole, export_to)
    if draw_to is not None:
        draw(whole, draw_to)


def to_json(found: Found) -> dict[str, Any]:
    """One object: the first equilibrium's figures; if several, all of them in `equilibria`."""
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
    """A row an equilibrium: method, values, welfare, regret, and what is known of optimality."""
    rows = []
    for e in found.equilibria:
        row = {"values": ", ".join(map(_fixed, e.values)), "welfare": _fixed(e.welfare)}
        if e.objective is not None:
            row["objective"] = _fixed(e.objective)
            row["at most"] = "" if e.bound is None else _fixed(e.bound)
        row["regret"] = f"{e.regret:.1e}"
        row["method"] = e.method
        rows.append(row)
    return rows


def facts(found: Found) -> list[str]:
    """What the method has to say beside the figures, a line each."""
    lines = []
    for key, value in found.equilibria[0].facts.items():
        if key == "seconds":
            continue
        shown = f"{value:,.6g}" if isinstance(value, float | int) else value
        lines.append(f"{key.replace('_', ' ')}: {shown}")
    lines.append(f"seconds: {found.seconds:.2f}")
    return lines


def play(found: Found, most: int = MOST_ROWS) -> list[tuple[str, list[dict[str, str]], int]]:
    """Tables (title, rows, how many rows were left out) of what is played."""
    tables = []
    for k, e in enumerate(found.equilibria):
        title = f"equilibrium {k + 1}" if len(found.equilibria) > 1 else "play"
        rows = _rows(found, e)
        tables.append((title, rows[:most], max(len(rows) - most, 0)))
    return tables


def check_export(game: Game, concept: str, path: Path | None) -> None:
    """Raises InputError now for what `export` could not write once the work is done."""
    if path is None:
        return
    if path.suffix == ".npz" and (concept in CORRELATED or isinstance(game, SecurityGame)):
        raise InputError(f"{concept} of {game.name} is no strategy: export it as .csv")
    if path.suffix == ".nfg" and not isinstance(game, NormalForm):
        raise InputError(f"{game.name} is no matrix game: export it as .efg")


def export(found: Found, path: Path) -> None:
    """Write what was found, whole or not at all.

    `.npz`: the strategy (the first of several), as `Strategy.load` reads it. `.csv`: what is
    played, as a table. `.efg`, `.nfg`: the game for Gambit, with the equilibrium in its comment.
    """
    first = found.equilibria[0]
    if path.suffix == ".npz":
        assert first.strategy is not None
        first.strategy.save(path)
        return
    rows = [
        {"equilibrium": k + 1, **row} if len(found.equilibria) > 1 else row
        for k, e in enumerate(found.equilibria)
        for row in _rows(found, e)
    ]
    if path.suffix == ".csv":
        import pandas as pd

        write_atomically(path, pd.DataFrame(rows).to_csv(index=False).encode())
        return
    from games.gambit_text import efg_text, nfg_text

    comment = f"{first.concept} by {first.method}: " + "; ".join(
        ", ".join(f"{key} {value}" for key, value in row.items()) for row in rows
    )
    if path.suffix == ".efg":
        text = efg_text(found.game, comment=comment)
    else:
        assert isinstance(found.game, NormalForm)
        text = nfg_text(found.game, comment=comment)
    write_atomically(path, text.encode())


def draw(found: Found, path: Path) -> None:
    """A picture: strategies by information set; for correlated play, the region of payoffs."""
    from analysis import plot, plot_equilibria

    first = found.equilibria[0]
    title = f"{found.concept} of {found.game.name}"
    if found.concept == "qre":
        precision = float(first.facts["precision"])
        trail = analysis.logit_path(found.game, max_precision=max(precision, 1e-3))
        figure = plot_equilibria.quantal_path(trail, title=title)
    elif first.strategy is not None and not isinstance(found.game, NormalForm):
        figure = plot.strategy(found.form, first.strategy, title=title)
    elif found.game.num_players == 2:
        points = {
            found.concept + (f" {k + 1}" if k else ""): e for k, e in enumerate(found.equilibria)
        }
        figure = plot_equilibria.payoffs(found.game, points, title=title)
    elif first.strategy is not None:
        figure = plot.strategy(found.form, first.strategy, title=title)
    else:
        raise InputError("correlated play is drawn for two players only; export it as .csv")
    figure.savefig(path, dpi=150)


def _guarded(game: SecurityGame, options: dict[str, Any]) -> Equilibrium:
    """A security game's best coverage in the clothes of an Equilibrium."""
    from analysis.security import origami

    if extra := set(options) - {"leader", "ties", "seconds", "progress"}:
        raise InputError(f"a security game has no option {sorted(extra)[0]!r}: it has resources")
    if options.get("leader", 0) != 0 or options.get("ties", "strong") != "strong":
        raise InputError("in a security game the defender leads, and ties go its way")
    answer = origami(game)
    attacker = game.attacker_values(answer.coverage)
    return Equilibrium(
        concept="stackelberg",
        game=game.name,
        method=answer.method,
        values=answer.values,
        gains=np.array([math.nan, float(attacker.max() - attacker[answer.attacked])]),
        objective=float(answer.values[0]),
        bound=answer.bound,
        facts={
            "resources": game.resources,
            "attacked": game.targets[answer.attacked],
            **{
                f"coverage of {t}": float(c)
                for t, c in zip(game.targets, answer.coverage, strict=True)
            },
        },
    )


def _row_json(found: Found, e: Equilibrium) -> dict[str, Any]:
    gap = None
    if e.strategy is not None:
        gap = analysis.nash_conv(found.form, e.strategy)
    return {
        "method": e.method,
        "value": e.value,
        "values": e.values.tolist(),
        "welfare": e.welfare,
        "nash_conv": gap,
        "regret": e.regret,
        "gains": [None if math.isnan(g) else g for g in e.gains.tolist()],
        "objective": e.objective,
        "bound": e.bound,
        "facts": dict(e.facts),
        "play": _rows(found, e),
    }


def _rows(found: Found, e: Equilibrium) -> list[dict[str, Any]]:
    """What is played: a row an information set, a profile, or a pair of sequences."""
    if e.strategy is not None:
        return _strategy_rows(found.form, e)
    if e.joint is not None:
        return _joint_rows(found, e)
    if e.plan is not None:
        frame = e.plan.to_frame()
        frame["probability"] = [_shown(p) for p in frame["probability"]]
        return frame.to_dict("records")
    return []


def _strategy_rows(form: SequenceForm, e: Equilibrium) -> list[dict[str, str]]:
    """Information sets in the order of their players, those first that play gets to."""
    from games.kernels import plans

    assert e.strategy is not None
    behaviour = e.strategy.behaviour(form)
    plan = plans(form, behaviour)
    rows, start = [], 0
    for i, player in enumerate(form.players):
        reached = plan[start + player.parent_sequence] > PLAYED
        for j in np.argsort(~reached, kind="stable").tolist():
            first, count = int(player.first_sequence[j]), int(player.num_actions[j])
            row = {
                "player": str(i),
                "information set": " ".join(player.information_sets[j].split()) or "(empty)",
                "plays": ", ".join(
                    f"{player.labels[s]} {_shown(behaviour[start + s])}"
                    for s in range(first, first + count)
                    if behaviour[start + s] > LEAST_SHOWN
                ),
            }
            if not reached.all():
                row["reached by own play"] = "yes" if reached[j] else "no"
            rows.append(row)
        start += player.num_sequences
    columns = {key: None for row in rows for key in row}
    return [{key: row.get(key, "yes") for key in columns} for row in rows]


def _joint_rows(found: Found, e: Equilibrium) -> list[dict[str, str]]:
    """Profiles by probability, the largest first; pure strategies by their actions' names."""
    assert e.joint is not None
    form, joint = e.joint.form, e.joint
    if not np.all((joint.plans == 0) | (joint.plans == 1)):
        return []  # the average of regret dynamics: thousands of mixed profiles
    rows = []
    for m in np.argsort(-joint.weights, kind="stable"):
        if joint.weights[m] <= LEAST_SHOWN:
            break
        start, row = 0, {}
        for i, player in enumerate(form.players):
            own = joint.plans[m, start : start + player.num_sequences]
            sets = short_labels(player.information_sets)
            owner = np.repeat(np.arange(len(sets)), player.num_actions)
            row[f"player {i}"] = "; ".join(
                (f"{sets[owner[s - 1]]}: " if len(sets) > 1 else "") + player.labels[s]
                for s in np.flatnonzero(own > 0)
                if s > 0
            )
            start += player.num_sequences
        row["probability"] = _shown(joint.weights[m])
        rows.append(row)
    return rows


def _fixed(number: float) -> str:
    """With six decimals, and no -0."""
    return f"{round(float(number), 6) + 0.0:.6f}"


def _shown(probability: float) -> str:
    return f"{probability:.6f}".rstrip("0").rstrip(".")
