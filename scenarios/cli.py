"""The command `schelling`.

Exit status: 0 done; 1 a run that failed; 2 bad input, reported in one line; 130 interrupted, with
the work of a run saved.
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
from scenarios.experiment import Experiment
from scenarios.interrupt import SIGNALS, Interrupted
from scenarios.kinds import KINDS, Kind
from scenarios.playing.command import play
from scenarios.solving.command import solve
from scenarios.terminal import (
    BAD_INPUT,
    FAILED,
    INTERRUPTED,
    Address,
    Json,
    Seed,
    Set,
    print_table,
    say,
)
from scenarios.training.sweep_command import sweep

__all__ = ["app", "main"]

app = typer.Typer(
    help="Solve games, train policies, run scenarios, and compare players.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


class Listed(StrEnum):
    """What `schelling list` can show."""

    games = "games"
    simulators = "simulators"
    methods = "methods"
    learners = "learners"
    rules = "rules"
    equilibria = "equilibria"
    scenarios = "scenarios"


@app.command("list")
def list_command(
    kind: Annotated[Listed | None, typer.Argument(help="Show only this part.")] = None,
    as_json: Json = False,
) -> None:
    """List games, simulators, methods, learners, rules, equilibria or scenarios."""
    found = {wanted.value: _rows(wanted, bool(kind)) for wanted in ([kind] if kind else Listed)}
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
    """Run a scenario in a new folder: metrics, checkpoints, strategy or policy, pictures.

    A scenario that trains joins the Ray cluster at --address, or starts Ray on this machine.
    """
    from scenarios import store
    from scenarios.lookup import find
    from scenarios.runs import Run

    found = find(scenario, settings or [], seed=seed)
    kind = KINDS.load(found.kind)
    found = kind.at(found, address)
    if out is not None:
        store.require_free(out)
    with kind.progress(found) as show, kind.ready(found) as ready:
        work = Run.create(found, out)  # a failure here leaves no folder behind
        results = work.execute(ready, show, say)
    kind.print(work, results, as_json)


@app.command()
def resume(
    folder: Annotated[Path, typer.Argument(help="A run's folder.", metavar="RUN")],
    settings: Set = None,
    address: Address = None,
    as_json: Json = False,
) -> None:
    """Continue a run from its last checkpoint; the result is the same as without interruption.

    --set stop.iterations=N (or steps, target, seconds) extends a run beyond its first limit.
    Checkpoints of training are pickles, which run code when loaded: resume only your own runs.
    """
    from scenarios import store
    from scenarios.lookup import parse
    from scenarios.runs import Run

    work = Run.load(folder)
    kind, scenario = work.kind, work.scenario
    if settings:
        text = store.read_scenario_text(folder)
        changed = parse(text, str(folder / store.SCENARIO), settings)
        _require_same(changed, scenario, kind)
        scenario = changed
    work = Run.of(folder, kind.at(scenario, address))
    with kind.progress(scenario) as show:
        results = work.execute(None, show, say)
    kind.print(work, results, as_json)


@app.command()
def show(
    folder: Annotated[Path, typer.Argument(help="A run's folder.", metavar="RUN")],
    as_json: Json = False,
) -> None:
    """Show the results of a run, or its progress so far."""
    from scenarios.runs import Run

    work = Run.load(folder)
    results = work.results
    if results is None:
        work.kind.print_unfinished(work, as_json)
    else:
        work.kind.print(work, results, as_json)


app.command()(play)
app.command()(sweep)


def main() -> None:
    """Entry point of `schelling`: errors that the user can fix are one line, with exit status 2."""
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(variable, "1")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that knows ASCII only
    for interruption in SIGNALS:
        signal.signal(interruption, _interrupted)
    sys.path.append(os.getcwd())  # last: user-defined games are found, and hide no package
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
    except ModuleNotFoundError as error:  # a package, not of an extra
        say(f"error: {error.name} is missing: pip install -c constraints.txt . in the checkout")
        return BAD_INPUT
    except (OSError, MemoryError, ArithmeticError, WorkerError) as error:
        if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
            say(f"error: {str(error.filename)[:60]} ...: file name too long")
            return BAD_INPUT
        say(f"failed: {one_line(error) or type(error).__name__}")
        return FAILED


def _require_same(changed: Experiment, scenario: Experiment, kind: Kind) -> None:
    """Raises InputError unless a run can go on with its scenario changed."""
    if changed.kind == scenario.kind:
        without = set(kind.changeable)
        if changed.model_dump(exclude=without) == scenario.model_dump(exclude=without):
            return
    if not kind.changeable:
        raise InputError("resume cannot change keys of such a run; start a new run")
    *some, last = kind.changeable
    raise InputError(f"resume can --set keys of {', '.join(some)} and {last} only; start a new run")


def _rows(kind: Listed, asked: bool) -> list[dict[str, str]]:
    """Rows of one table; empty if its extra is missing and all tables are listed."""
    if kind in (Listed.simulators, Listed.learners, Listed.rules):
        from games.common.extras import learning

        try:
            with learning():
                if kind is Listed.learners:
                    from scenarios.training.learners import list_learners

                    return list_learners()
                if kind is Listed.rules:
                    from marl.evaluation.players import list_rules

                    return list_rules()
                from games.listing import list_simulators

                return list_simulators()
        except InputError:
            if asked:
                raise
            return []
    if kind is Listed.games:
        from games import list_games

        return list_games()
    if kind is Listed.methods:
        from marl.tabular import list_methods

        return list_methods()
    if kind is Listed.equilibria:
        from analysis.solve import list_concepts

        return list_concepts()
    from scenarios.lookup import list_scenarios

    return list_scenarios()


if __name__ == "__main__":
    main()
