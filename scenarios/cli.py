"""The command `schelling`.

Exit status: 0 done; 1 a run that failed; 2 bad input, said in one line; 130 interrupted, and saved
where there is a run to go on with.
"""

from __future__ import annotations

import errno
import io
import json
import os
import signal
import sys
from enum import StrEnum
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer
from typer.exceptions import TyperException

from games.common.errors import InputError, one_line
from games.common.workers import WorkerError
from scenarios.interrupt import SIGNALS, Interrupted
from scenarios.solving.command import solve
from scenarios.terminal import (
    BAD_INPUT,
    FAILED,
    INTERRUPTED,
    Address,
    Json,
    Seed,
    Set,
    number,
    print_results,
    print_table,
    progress,
    say,
)
from scenarios.training.commands import play
from scenarios.training.sweep_command import sweep

__all__ = ["app", "main"]

app = typer.Typer(
    help="Solve games, train policies, run scenarios, and look at what came out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


class Kind(StrEnum):
    """What can be listed."""

    games = "games"
    simulators = "simulators"
    methods = "methods"
    learners = "learners"
    equilibria = "equilibria"
    scenarios = "scenarios"


@app.command("list")
def list_command(
    kind: Annotated[Kind | None, typer.Argument(help="Only these.")] = None, as_json: Json = False
) -> None:
    """List games, simulators, methods, learners, equilibria or scenarios."""
    found = {wanted.value: _rows(wanted, bool(kind)) for wanted in ([kind] if kind else Kind)}
    if as_json:
        print(json.dumps(found))
        return
    for name, rows in found.items():
        print_table(name, rows)


app.command()(solve)


@app.command()
def run(
    scenario: Annotated[str, typer.Argument(help="A shipped scenario's name, or a .toml file.")],
    settings: Set = None,
    seed: Seed = None,
    out: Annotated[
        Path | None, typer.Option(help="The run's folder (default runs/NAME-1).")
    ] = None,
    address: Address = None,
    as_json: Json = False,
) -> None:
    """Run a scenario into a folder of its own: metrics, checkpoints, strategy or policy, pictures.

    A scenario that trains joins the Ray cluster at --address, or starts Ray on this machine.
    """
    from scenarios.solving.run import Run
    from scenarios.solving.scenario import Scenario, find

    found = find(scenario, settings or [], seed=seed)
    if not isinstance(found, Scenario):
        from scenarios.training.commands import train

        train(found, out, address, as_json)  # type: ignore[arg-type]
        return
    _refuse(address)
    with progress(found.stop.iterations) as show:
        playable = found.prepare()  # a game that does not compile leaves no folder behind
        work = Run.create(found, out)
        assert isinstance(work, Run)
        results = work.execute(playable, show)
    print_results(results, as_json, work)


@app.command()
def resume(
    folder: Annotated[Path, typer.Argument(help="A run's folder.", metavar="RUN")],
    settings: Set = None,
    address: Address = None,
    as_json: Json = False,
) -> None:
    """Go on with a run from its last checkpoint, to the last bit as if it had not stopped.

    With --set stop.iterations=N (or steps, target, seconds) also beyond where it was to end.
    Checkpoints of training are pickles, which run as they are read: resume your own runs only.
    """
    from scenarios import store
    from scenarios.solving.run import Run
    from scenarios.solving.scenario import Scenario, parse

    work = Run.load(folder)
    changed = None
    if settings:
        changed = parse(store.read_scenario_text(folder), str(folder / store.SCENARIO), settings)
    if not isinstance(work, Run):
        from scenarios.training.commands import go_on

        go_on(work, changed, address, as_json)
        return
    _refuse(address)
    if changed is not None:
        if not isinstance(changed, Scenario) or changed.model_dump(
            exclude={"stop", "checkpoint"}
        ) != work.scenario.model_dump(exclude={"stop", "checkpoint"}):
            raise InputError("resume can --set keys of stop and checkpoint only; start a new run")
        work = Run(folder, changed)
    with progress(work.scenario.stop.iterations) as show:
        results = work.execute(progress=show)
    print_results(results, as_json, work)


@app.command()
def show(
    folder: Annotated[Path, typer.Argument(help="A run's folder.", metavar="RUN")],
    as_json: Json = False,
) -> None:
    """Show what a run found, or how far it has come."""
    from scenarios import store
    from scenarios.solving.run import Run

    work = Run.load(folder)
    if not isinstance(work, Run):
        from scenarios.training.commands import show_training

        show_training(work, as_json)
        return
    results = work.results
    if results is not None:
        print_results(results, as_json, work)
        return
    last = {label: rows[-1] for label, rows in store.read_metrics(folder).items()}
    if as_json:
        known = [
            {"method": label, "iteration": row.iteration, "nash_conv": number(row.nash_conv)}
            for label, row in last.items()
        ]
        print(json.dumps({"run": str(folder), "finished": False, "progress": known}))
        return
    rows = [
        {"method": label, "iterations": f"{row.iteration:,}", "NashConv": f"{row.nash_conv:.3e}"}
        for label, row in last.items()
    ]
    print_table(f"{work.scenario.game}, not finished", rows)
    print(f"go on with: schelling resume {folder}")


app.command()(play)
app.command()(sweep)


def main() -> None:
    """Entry point: every error that the user can fix is one line and status 2."""
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(variable, "1")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that knows ASCII only
    for interruption in SIGNALS:
        signal.signal(interruption, _interrupted)
    sys.path.append(os.getcwd())  # last: games of the user's own are found, and hide nothing
    sys.exit(_main(sys.argv[1:]))


def _interrupted(number: int, frame: FrameType | None) -> None:
    """Ends a command outside of `stop_signals`; no KeyboardInterrupt, which typer would swallow."""
    raise Interrupted("interrupted: nothing new was saved")


def _main(arguments: list[str]) -> int:
    try:
        return app(arguments, standalone_mode=False) or 0
    except InputError as error:
        say(f"error: {one_line(error)}")
        return BAD_INPUT
    except TyperException as error:
        if message := one_line(error.format_message()):  # empty where the help was printed
            say(f"error: {message} (see `schelling --help`)")
        return BAD_INPUT
    except Interrupted as stopped:
        say(str(stopped))
        return INTERRUPTED
    except (OSError, MemoryError, ArithmeticError, WorkerError) as error:
        if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
            say(f"error: {str(error.filename)[:60]} ...: file name too long")
            return BAD_INPUT
        say(f"failed: {one_line(error) or type(error).__name__}")
        return FAILED


def _refuse(address: str | None) -> None:
    if address is not None:
        raise InputError("--address is for scenarios that train; this one solves a game")


def _rows(kind: Kind, asked: bool) -> list[dict[str, str]]:
    """Rows of a table; of what needs an extra none, where all are listed and it is missing."""
    if kind in (Kind.simulators, Kind.learners):
        from scenarios.training.learners import installed, list_learners

        try:
            if kind is Kind.learners:
                return list_learners()
            with installed():
                from games.vectors import list_simulators
            return list_simulators()
        except InputError:
            if asked:
                raise
            return []
    if kind is Kind.games:
        from games import list_games

        return list_games()
    if kind is Kind.methods:
        from marl.tabular import list_methods

        return list_methods()
    if kind is Kind.equilibria:
        from analysis.solve import list_concepts

        return list_concepts()
    from scenarios.solving.scenario import list_scenarios

    return list_scenarios()


if __name__ == "__main__":
    main()
