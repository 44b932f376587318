"""Answers in files: checked before the work, then exported or drawn."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import analysis
from analysis.concepts import CORRELATED, goes_to_dynamics
from analysis.correlated.dynamics import correlated_dynamics
from analysis.correlated.incentives import num_incentives
from analysis.equilibria.equilibrium import Equilibrium
from analysis.equilibria.response import deviation_gains
from games import Game, GameError, InputError, NormalForm, SequenceForm, as_form, as_normal_form
from games.common.storage import write_atomically
from games.finite.security import SecurityGame
from marl.tabular import Solution
from scenarios.solving import played
from scenarios.solving.equilibria import MOST_IN_JSON, Found, is_guarded
from scenarios.solving.files import Files

LOTTERIES = (*CORRELATED, "alpharank")  # concepts whose answer is no strategy
MOST_DRAWN = 500_000  # incentives of a game whose region of payoffs is drawn: some seconds
MOST_ROWS = 2_000_000  # of a table in a file: a few hundred megabytes


def check(files: Files, game: Game, concept: str, options: dict[str, Any]) -> None:
    """Raise InputError now for files that could not be written or drawn after the work."""
    if files.export is not None:
        _check_export(game, concept, options, files.export)
    if files.plot is not None and _picture(game, concept) == "payoffs":
        if game.num_players != 2:
            raise InputError(
                f"{files.plot}: correlated play is drawn for two players only; --export it as .csv"
            )
        try:
            table = as_normal_form(game)
        except GameError as error:
            raise InputError(f"{files.plot}: payoffs cannot be drawn: {error}") from None
        if num_incentives(table) > MOST_DRAWN:
            shape = " x ".join(map(str, table.num_actions))
            raise InputError(
                f"{files.plot}: the region of payoffs of {shape} pure strategies would take "
                "minutes; --export the answer instead"
            )


def check_sampled(files: Files, name: str) -> None:
    """The same for the strategy of a game that is too large to enumerate."""
    suffix = ".npz" if files.export is None else files.export.suffix.lower()
    if files.plot is not None or suffix != ".npz":
        raise InputError(f"{name} is too large to enumerate: --export the strategy as .npz")


def write(files: Files, found: Found) -> None:
    """Write the files that were asked for, each atomically."""
    if files.export is not None:
        export(found, files.export)
    if files.plot is not None:
        draw(found, files.plot)


def write_iterated(files: Files, game: Game, form: SequenceForm | None, solution: Solution) -> None:
    """Write the answer of a method of `marl.tabular`.

    Args:
        files: as `check` or `check_sampled` let through.
        game: that was solved.
        form: its sequence form; None where it is too large to enumerate.
        solution: what was found.
    """
    if form is None:
        if files.export is not None:
            solution.strategy.save(files.export)
        return
    equilibrium = Equilibrium(
        concept="nash",
        game=game.name,
        method=f"{solution.method}, {solution.iterations:,} iterations",
        values=solution.values,
        gains=deviation_gains(form, solution.strategy),
        strategy=solution.strategy,
    )
    write(files, Found(game, "nash", (equilibrium,), solution.seconds))


def export(found: Found, path: Path) -> None:
    """Write an answer to a file, atomically.

    `.npz`: the strategy (the first of several), as `Strategy.load` reads it. `.csv`: what is
    played, as a table (`scenarios.solving.played.table`). `.efg`, `.nfg`: the game for Gambit, with
    the first equilibrium in its comment.
    """
    first, suffix = found.equilibria[0], path.suffix.lower()
    if suffix == ".npz":
        assert first.strategy is not None
        first.strategy.save(path)
    elif suffix == ".csv":
        import pandas as pd

        frames = [played.table(found.game, e) for e in found.equilibria]
        if len(frames) > 1:
            for k, frame in enumerate(frames):
                frame.insert(0, "equilibrium", k + 1)
        write_atomically(path, pd.concat(frames).to_csv(index=False).encode())
    else:
        from games.finite.gambit.text import efg_text, nfg_text

        if suffix == ".efg":
            text = efg_text(found.game, comment=_comment(found))
        else:
            text = nfg_text(_as_table(found.game), comment=_comment(found))
        write_atomically(path, text.encode())


def draw(found: Found, path: Path) -> None:
    """Draw strategies by information set, or the payoff region of correlated play."""
    from analysis.plots import base as plot
    from analysis.plots import equilibria as plot_equilibria

    first = found.equilibria[0]
    title = f"{found.concept} of {found.game.name}"
    kind = _picture(found.game, found.concept)
    if kind == "path":
        method = found.options.get("method", "auto")
        trail = analysis.logit_path(
            found.game,
            max_precision=max(float(first.facts["precision"]), 1e-3),
            kind=str(first.facts["kind"]),
            method="branch" if method == "gambit" else method,  # which follows the same branch
        )
        figure = plot_equilibria.quantal_path(trail, title=title)
    elif kind == "coverage":
        rows = played.table(found.game, first)
        figure = plot.coverage(
            dict(zip(rows["target"], rows["coverage"], strict=True)),
            str(first.facts["attacked"]),
            title=title,
        )
    elif kind == "payoffs":
        points = {
            found.concept + (f" {k + 1}" if k else ""): e for k, e in enumerate(found.equilibria)
        }
        figure = plot_equilibria.payoffs(found.game, points, title=title)
    else:
        assert first.strategy is not None
        figure = plot.strategy(found.form, first.strategy, title=title)
    figure.savefig(path, dpi=150)


def _picture(game: Game, concept: str) -> str:
    if concept == "qre":
        return "path"
    if is_guarded(game, concept):
        return "coverage"
    if concept in LOTTERIES or (isinstance(game, NormalForm) and game.num_players == 2):
        return "payoffs"
    return "strategy"


def _check_export(game: Game, concept: str, options: dict[str, Any], path: Path) -> None:
    suffix = path.suffix.lower()
    if suffix == ".npz" and (concept in LOTTERIES or is_guarded(game, concept)):
        raise InputError(f"{concept} of {game.name} is not a strategy: export it as .csv")
    if suffix == ".nfg":
        if not isinstance(game, NormalForm | SecurityGame):
            raise InputError(f"{game.name} is not a matrix game: export it as .efg")
        _as_table(game)
    if suffix == ".efg" and isinstance(game, SecurityGame):
        _as_table(game)
    limited = bool({"iterations", "target"} & set(options))
    if (
        suffix == ".csv"
        and concept in CORRELATED
        and goes_to_dynamics(game, concept, options.get("method", "auto"), limited)
    ):
        default = inspect.signature(correlated_dynamics).parameters["iterations"].default
        profiles = options.get("iterations") or default
        actions = as_form(game).arrays.num_sequences - game.num_players
        if profiles * actions > MOST_ROWS:
            raise InputError(
                f"{path}: up to {profiles:,} profiles of {actions:,} actions are too many for a "
                f"table; ask for at most --iterations {max(MOST_ROWS // actions, 1)}, or leave "
                "--export out"
            )


def _as_table(game: Game) -> NormalForm:
    """A matrix game; GameError if a security game has too many allocations."""
    return game.normal_form if isinstance(game, SecurityGame) else as_normal_form(game)


def _comment(found: Found) -> str:
    """The first equilibrium as a comment, its numbers unrounded."""
    e = found.equilibria[0]
    head = f"{e.concept} by {e.method}: values {', '.join(map(repr, e.values.tolist()))}"
    if e.strategy is not None:
        rows = played.strategy_words(found.form, e.strategy)
    elif played.num_rows(found.game, e) > MOST_IN_JSON:
        return head
    else:
        rows = played.table(found.game, e).to_dict("records")
    return "; ".join([head, *(", ".join(f"{k} {v}" for k, v in row.items()) for row in rows)])
