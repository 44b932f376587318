"""The command `schelling solve`: exact equilibria, or a method that iterates."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from games.common.errors import InputError, one_line
from games.names import names_a_file
from scenarios.interrupt import stop_signals
from scenarios.solving.files import Files
from scenarios.solving.tables import print_results, progress
from scenarios.terminal import (
    FAILED,
    INTERRUPTED,
    Json,
    Seed,
    Set,
    print_table,
    say,
    solver_progress,
)

if TYPE_CHECKING:
    from scenarios.solving.equilibria import Found

# Where only a target or a time is given to a method that iterates, iterations are bounded by this.
ENOUGH_ITERATIONS = 1_000_000


# The concepts that `solve` knows: the keys of `analysis.solve.CONCEPTS`, known before it loads.
EQUILIBRIA = (
    "nash", "qre", "ce", "cce", "efce", "efcce", "nfcce", "stackelberg", "alpharank", "evolution",
)  # fmt: skip


def known_equilibrium(name: str | None) -> str | None:
    """A name of `EQUILIBRIA`, or a user-defined one in `CONCEPTS`.

    Raises:
        typer.BadParameter: there is none of that name.
    """
    if name is not None and name not in EQUILIBRIA:
        from analysis.solve import CONCEPTS

        if ":" not in name and name not in CONCEPTS:
            known = ", ".join(map(repr, CONCEPTS))
            raise typer.BadParameter(f"{name!r} is not one of {known}.")
        try:
            CONCEPTS.load(name)
        except InputError as error:
            raise typer.BadParameter(str(error)) from None
    return name


def solve(
    game: Annotated[
        str,
        typer.Argument(
            help="An OpenSpiel game string, such as leduc_poker; or a file: .efg, .nfg, .csv, .npz."
        ),
    ],
    equilibrium: Annotated[
        str | None,
        typer.Option(
            help="What to compute exactly (default for files: nash), or module:attribute.",
            metavar=f"[{'|'.join(EQUILIBRIA)}]",
            callback=known_equilibrium,
        ),
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(
            help="A method of `schelling list methods`, module:Class, or one for --equilibrium."
        ),
    ] = None,
    iterations: Annotated[
        int | None, typer.Option(help="Limit on iterations (1000 if no limit is given).")
    ] = None,
    target: Annotated[float | None, typer.Option(help="Stop at this NashConv or gap.")] = None,
    seconds: Annotated[float | None, typer.Option(help="Stop after so many seconds.")] = None,
    every: Annotated[bool, typer.Option("--all", help="All Nash equilibria.")] = False,
    objective: Annotated[
        str | None,
        typer.Option(help="For ce, cce, efce, ...: welfare, egalitarian, entropy or a player."),
    ] = None,
    precision: Annotated[
        float | None, typer.Option(help="For qre: its precision, in 1 / utility.")
    ] = None,
    leader: Annotated[
        int | None, typer.Option(help="For stackelberg: the player who commits.")
    ] = None,
    settings: Set = None,
    seed: Seed = None,
    export: Annotated[
        Path | None, typer.Option(help="Write the answer to a .npz, .csv, .efg or .nfg file.")
    ] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw the answer: .png, .pdf or .svg.")] = None,
    as_json: Json = False,
) -> None:
    """Solve a game and print the result. Ctrl-C ends it early with the best answer so far.

    With --equilibrium, and for files, the answer is computed exactly. Otherwise an OpenSpiel game
    is solved iteratively by a method of `schelling list methods`.
    """
    from marl.tabular.method import REGISTRY
    from scenarios.lookup import value_of

    limits = {"iterations": iterations, "target": target, "seconds": seconds}
    files = Files(export, plot)
    exact_only = {
        "--all": every or None, "--objective": objective, "--precision": precision,
        "--leader": leader,
    }  # fmt: skip
    asked = [flag for flag, value in exact_only.items() if value is not None]
    iterates = method is not None and (method in REGISTRY or ":" in method)
    if iterates:
        if equilibrium not in (None, "nash"):
            raise InputError(f"{method} looks for nash; leave --equilibrium {equilibrium} out")
        if asked:
            raise InputError(
                f"{method} iterates to one Nash equilibrium; leave {asked[0]} out, or --method"
            )
    if iterates or (
        equilibrium is None and not asked and not names_a_file(game)
        and (method is None or method not in _exact_methods())
    ):  # fmt: skip
        _iterate(game, method, limits, settings or [], seed, files, as_json)
        return
    given = {
        **limits, "method": method, "precision": precision, "leader": leader, "seed": seed,
        "objective": None if objective is None else value_of(objective),
    }  # fmt: skip
    _compute(game, equilibrium or "nash", given, settings or [], every, files, as_json)


def _exact_methods() -> Iterable[str]:
    from analysis.equilibria.nash import METHODS

    return METHODS


def _compute(
    name: str,
    concept: str,
    given: dict[str, Any],
    settings: list[str],
    every: bool,
    files: Files,
    as_json: bool,
) -> None:
    """The part of `solve` that computes an equilibrium exactly."""
    from scenarios.solving import equilibria, writing

    with solver_progress() as tell:
        game, options = equilibria.prepare(name, concept, settings, given)
        writing.check(files, game, concept, options)
        with stop_signals() as stopped:
            try:
                found = equilibria.find(
                    game,
                    concept,
                    options,
                    every=every,
                    progress=lambda message: tell(message) or stopped(),
                )
            except (RuntimeError, TimeoutError) as error:
                say(f"{'interrupted' if stopped() else 'failed'}: {one_line(error)}")
                raise typer.Exit(INTERRUPTED if stopped() else FAILED) from None
            interrupted = stopped()
    # The answer comes first: it is not lost if a file cannot be written.
    if as_json:
        print(json.dumps(equilibria.to_json(found)), flush=True)
    else:
        _print_found(found)
    writing.write(files, found)
    if not as_json:
        for path in files.wanted:
            print(f"written: {path}")
    if interrupted:
        say("interrupted: this is the answer so far")
        raise typer.Exit(INTERRUPTED)


def _print_found(found: Found) -> None:
    from scenarios.solving import equilibria

    print_table(f"{found.concept} of {found.game.name}", equilibria.summary(found))
    print("\n".join(f"  {line}" for line in equilibria.facts(found)))
    for title, rows, left_out in equilibria.play(found):
        if rows:
            print()
            print_table(title, rows)
        if left_out:
            print(f"  ... and {left_out:,} more rows (--export all.csv has them)")


def _iterate(
    game: str,
    method: str | None,
    limits: dict[str, Any],
    settings: list[str],
    seed: int | None,
    files: Files,
    as_json: bool,
) -> None:
    """The part of `solve` that runs a method of `marl.tabular`."""
    from games import load
    from marl.tabular import Solving
    from scenarios.lookup import parse
    from scenarios.solving.run import Result

    # An option of this command is a key of a scenario: the same types, checks and messages.
    shorthand = [f"stop.{key}={value!r}" for key, value in limits.items() if value is not None]
    open_ended = limits["iterations"] is None and bool(shorthand)
    if open_ended:
        shorthand.append(f"stop.iterations={ENOUGH_ITERATIONS}")
    table: dict[str, Any] = {} if method is None else {"name": method}
    scenario = parse("", "solve", [*shorthand, *settings], game=game, method=table, seed=seed)
    if scenario.kind != "solve":
        raise InputError(
            f"{method} trains: write a scenario with this game and method, and `schelling run` it"
        )
    chosen = next(iter(scenario.methods.values()))
    if chosen.scheduled and open_ended:
        raise InputError(f"{chosen.name} follows a schedule: give its length with --iterations")
    with progress(scenario.stop.iterations) as show:
        playable = scenario.prepare()
        solving = Solving(playable, chosen, scenario.stop, seed=scenario.seed)
        solver = solving.solver
        if files.wanted:
            from scenarios.solving import writing

            if solver.form is None:
                writing.check_sampled(files, scenario.game)
            else:
                writing.check(files, load(scenario.game), "nash", {})
        with stop_signals() as stopped:
            for _ in solving:
                show(chosen.name, solver.iteration, solving.history[-1], solving.seconds)
                if stopped():
                    break
        solution = solving.solution()
    print_results([Result.of(chosen.name, scenario.game, solution)], as_json)
    if files.wanted:
        writing.write_iterated(files, load(scenario.game), solver.form, solution)
    if stopped():
        say("interrupted: this is the answer so far")
        raise typer.Exit(INTERRUPTED)
