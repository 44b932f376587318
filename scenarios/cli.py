"""The command `schelling`.

Exit status: 0 done; 1 a run that failed; 2 bad input, said in one line; 130 interrupted, and saved
where there is a run to go on with.
"""

from __future__ import annotations

import io
import json
import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.exceptions import TyperException

from games.errors import InputError, one_line
from scenarios.interrupt import SIGNALS, Interrupted, stop_signals

if TYPE_CHECKING:
    from scenarios.run import Result, Run

FAILED, BAD_INPUT, INTERRUPTED = 1, 2, 130
EXPORTS = (".npz", ".csv", ".efg", ".nfg")
PICTURES = (".png", ".pdf", ".svg")
EXACT_FILES = (".efg", ".nfg", ".csv", ".npz", ".npy")
# Where only a target or a time is given to `solve`, iterations are bounded by this.
ENOUGH_ITERATIONS = 1_000_000

app = typer.Typer(
    help="Solve games, run scenarios, and look at what came out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Json = Annotated[bool, typer.Option("--json", help="One JSON object on the last line.")]
Seed = Annotated[int | None, typer.Option(help="Of everything random.")]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change a key, such as stop.iterations=500."),
]


class Kind(StrEnum):
    """What can be listed."""

    games = "games"
    methods = "methods"
    scenarios = "scenarios"


class Equilibrium(StrEnum):
    """What `solve` can look for: the keys of `analysis.solve.CONCEPTS`, known before it loads."""

    nash = "nash"
    qre = "qre"
    ce = "ce"
    cce = "cce"
    efce = "efce"
    efcce = "efcce"
    nfcce = "nfcce"
    stackelberg = "stackelberg"
    evolution = "evolution"


@app.command("list")
def list_command(
    kind: Annotated[Kind | None, typer.Argument(help="Only these.")] = None, as_json: Json = False
) -> None:
    """List games, methods or scenarios."""
    found = {wanted.value: _rows(wanted) for wanted in ([kind] if kind else Kind)}
    if as_json:
        print(json.dumps(found))
        return
    for name, rows in found.items():
        _print_table(name, rows)


@app.command()
def solve(
    game: Annotated[
        str,
        typer.Argument(
            help="An OpenSpiel game string, such as leduc_poker; or a file: .efg, .nfg, .csv, .npz."
        ),
    ],
    equilibrium: Annotated[
        Equilibrium | None,
        typer.Option(help="What to compute exactly (default for files: nash)."),
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(help="A method of `schelling list methods`, or of the equilibrium's own."),
    ] = None,
    iterations: Annotated[
        int | None, typer.Option(help="The most iterations (1000, if no other limit is given).")
    ] = None,
    target: Annotated[float | None, typer.Option(help="Stop at this NashConv, or gap.")] = None,
    seconds: Annotated[float | None, typer.Option(help="Stop after this long.")] = None,
    every: Annotated[bool, typer.Option("--all", help="All Nash equilibria.")] = False,
    objective: Annotated[
        str | None,
        typer.Option(help="Of ce, cce, efce, ...: welfare, egalitarian, entropy or a player."),
    ] = None,
    precision: Annotated[float | None, typer.Option(help="Of qre, in 1 / utility.")] = None,
    leader: Annotated[int | None, typer.Option(help="Who commits in stackelberg.")] = None,
    settings: Set = None,
    seed: Seed = None,
    export: Annotated[
        Path | None, typer.Option(help="Write it to a file: .npz, .csv, .efg or .nfg.")
    ] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw it: .png, .pdf or .svg.")] = None,
    as_json: Json = False,
) -> None:
    """Solve a game and print the result. Ctrl-C ends it early with the best answer so far.

    With --equilibrium it is computed exactly (of a file: always). Else an OpenSpiel game is
    iterated by a method of `schelling list methods`.
    """
    from marl.tabular.method import REGISTRY
    from scenarios.scenario import value_of

    limits = {"iterations": iterations, "target": target, "seconds": seconds}
    _check_paths(export, plot)
    iterated = method in REGISTRY or (
        equilibrium is None and not every and Path(game).suffix.lower() not in EXACT_FILES
        and {objective, precision, leader} == {None}
        and (method is None or method not in _exact_methods())
    )  # fmt: skip
    if iterated:
        if equilibrium not in (None, Equilibrium.nash):
            raise InputError(f"{method} looks for nash; leave --equilibrium {equilibrium} out")
        _iterate(game, method, limits, settings or [], seed, export, plot, as_json)
        return
    given = {
        **limits, "method": method, "precision": precision, "leader": leader, "seed": seed,
        "objective": None if objective is None else value_of(objective),
    }  # fmt: skip
    concept = (equilibrium or Equilibrium.nash).value
    _compute(game, concept, given, settings or [], every, export, plot, as_json)


def _exact_methods() -> Iterable[str]:
    from analysis.nash import METHODS

    return METHODS


def _check_paths(export: Path | None, plot: Path | None) -> None:
    """Raises InputError now for what would fail once the work is done."""
    for path, suffixes in ((export, EXPORTS), (plot, PICTURES)):
        if path is None:
            continue
        if path.suffix not in suffixes:
            raise InputError(f"{path}: end the name in {', '.join(suffixes)}")
        if not path.parent.is_dir():
            raise InputError(f"{path}: there is no folder {path.parent}")


def _compute(
    name: str,
    concept: str,
    given: dict[str, Any],
    settings: list[str],
    every: bool,
    export: Path | None,
    plot: Path | None,
    as_json: bool,
) -> None:
    """The part of `solve` that computes an equilibrium exactly."""
    with _telling() as tell:
        from scenarios import equilibria

        game, options = equilibria.prepare(name, concept, settings, given)
        equilibria.check_export(game, concept, export)
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
                _say(f"{'interrupted' if stopped() else 'failed'}: {one_line(error)}")
                raise typer.Exit(INTERRUPTED if stopped() else FAILED) from None
            interrupted = stopped()
    if export is not None:
        equilibria.export(found, export)
    if plot is not None:
        equilibria.draw(found, plot)
    if as_json:
        print(json.dumps(equilibria.to_json(found)))
    else:
        _print_table(f"{concept} of {game.name}", equilibria.summary(found))
        print("\n".join(f"  {line}" for line in equilibria.facts(found)))
        for title, rows, left_out in equilibria.play(found):
            if rows:
                print()
                _print_table(title, rows)
            if left_out:
                print(f"  ... and {left_out:,} more rows (--export all.csv has them)")
        for path in (export, plot):
            if path is not None:
                print(f"written: {path}")
    if interrupted:
        _say("interrupted: this is the answer so far")
        raise typer.Exit(INTERRUPTED)


def _iterate(
    game: str,
    method: str | None,
    limits: dict[str, Any],
    settings: list[str],
    seed: int | None,
    export: Path | None,
    plot: Path | None,
    as_json: bool,
) -> None:
    """The part of `solve` that runs a method of `marl.tabular`."""
    from marl.tabular import iterate
    from marl.tabular.solve import conclude
    from scenarios.run import Result
    from scenarios.scenario import parse

    # An option of this command is a key of a scenario: the same types, checks and messages.
    shorthand = [f"stop.{key}={value!r}" for key, value in limits.items() if value is not None]
    open_ended = limits["iterations"] is None and bool(shorthand)
    if open_ended:
        shorthand.append(f"stop.iterations={ENOUGH_ITERATIONS}")
    table: dict[str, Any] = {} if method is None else {"name": method}
    scenario = parse("", "solve", [*shorthand, *settings], game=game, method=table, seed=seed)
    chosen = next(iter(scenario.methods.values()))
    if chosen.scheduled and open_ended:
        raise InputError(f"{chosen.name} follows a schedule: say its length with --iterations")
    with _progress(scenario.stop.iterations) as show:
        playable = scenario.prepare()
        solver = chosen.start(
            playable, iterations=max(scenario.stop.iterations, 1), seed=scenario.seed
        )
        history = []
        with stop_signals() as stopped:
            for point in iterate(solver, scenario.stop):
                if point is not None:
                    history.append(point)
                last = history[-1]
                show(chosen.name, solver.iteration, last, last.seconds)
                if stopped():
                    break
        solution = conclude(solver, chosen.name, playable, tuple(history), scenario.seed)
    if export is not None or plot is not None:
        from scenarios.equilibria import iterated

        iterated(scenario.game, solution, export, plot)
    _print_results([Result.of(chosen.name, scenario.game, solution)], as_json)
    if stopped():
        _say("interrupted: this is the answer so far")
        raise typer.Exit(INTERRUPTED)


@app.command()
def run(
    scenario: Annotated[str, typer.Argument(help="A shipped scenario's name, or a .toml file.")],
    settings: Set = None,
    seed: Seed = None,
    out: Annotated[
        Path | None, typer.Option(help="The run's folder (default runs/NAME-1).")
    ] = None,
    as_json: Json = False,
) -> None:
    """Run a scenario into a folder of its own: metrics, checkpoints, strategy, pictures."""
    from scenarios.run import Run
    from scenarios.scenario import find

    found = find(scenario, settings or [], seed=seed)
    with _progress(found.stop.iterations) as show:
        playable = found.prepare()  # a game that does not compile leaves no folder behind
        work = Run.create(found, out)
        results = work.execute(playable, show)
    _print_results(results, as_json, work)


@app.command()
def resume(
    folder: Annotated[Path, typer.Argument(help="A run's folder.", metavar="RUN")],
    settings: Set = None,
    as_json: Json = False,
) -> None:
    """Go on with a run from its last checkpoint, to the last bit as if it had not stopped.

    With --set stop.iterations=N (or target, or seconds) also beyond where it was to end.
    """
    from scenarios import store
    from scenarios.run import Run
    from scenarios.scenario import parse

    work = Run.load(folder)
    if settings:
        changed = parse(store.read_scenario_text(folder), str(folder / store.SCENARIO), settings)
        if changed.model_dump(exclude={"stop", "checkpoint"}) != work.scenario.model_dump(
            exclude={"stop", "checkpoint"}
        ):
            raise InputError("resume can --set keys of stop and checkpoint only; start a new run")
        work = Run(folder, changed)
    with _progress(work.scenario.stop.iterations) as show:
        results = work.execute(progress=show)
    _print_results(results, as_json, work)


@app.command()
def show(
    folder: Annotated[Path, typer.Argument(help="A run's folder.", metavar="RUN")],
    as_json: Json = False,
) -> None:
    """Show what a run found, or how far it has come."""
    from scenarios import store
    from scenarios.run import Run

    work = Run.load(folder)
    results = work.results
    if results is not None:
        _print_results(results, as_json, work)
        return
    last = {label: rows[-1] for label, rows in store.read_metrics(folder).items()}
    if as_json:
        progress = [
            {"method": label, "iteration": row.iteration, "nash_conv": _number(row.nash_conv)}
            for label, row in last.items()
        ]
        print(json.dumps({"run": str(folder), "finished": False, "progress": progress}))
        return
    rows = [
        {"method": label, "iterations": f"{row.iteration:,}", "NashConv": f"{row.nash_conv:.3e}"}
        for label, row in last.items()
    ]
    _print_table(f"{work.scenario.game}, not finished", rows)
    print(f"go on with: schelling resume {folder}")


def main() -> None:
    """Entry point: every error that the user can mend is one line and status 2."""
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(variable, "1")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that knows ASCII only
    for number in SIGNALS:
        signal.signal(number, _interrupted)
    sys.exit(_main(sys.argv[1:]))


def _interrupted(number: int, frame: FrameType | None) -> None:
    """Ends a command outside of `stop_signals`; no KeyboardInterrupt, which typer would swallow."""
    raise Interrupted("interrupted: nothing new was saved")


def _main(arguments: list[str]) -> int:
    try:
        return app(arguments, standalone_mode=False) or 0
    except InputError as error:
        _say(f"error: {one_line(error)}")
        return BAD_INPUT
    except TyperException as error:
        if message := one_line(error.format_message()):  # empty where the help was printed
            _say(f"error: {message} (see `schelling --help`)")
        return BAD_INPUT
    except Interrupted as stopped:
        _say(str(stopped))
        return INTERRUPTED
    except (OSError, MemoryError, ArithmeticError) as error:
        _say(f"failed: {one_line(error) or type(error).__name__}")
        return FAILED


def _rows(kind: Kind) -> list[dict[str, str]]:
    if kind is Kind.games:
        from games import list_games

        return list_games()
    if kind is Kind.methods:
        from marl.tabular import list_methods

        return list_methods()
    from scenarios.scenario import list_scenarios

    return list_scenarios()


def _print_results(results: list[Result], as_json: bool, work: Run | None = None) -> None:
    if as_json:
        # The best of several methods speaks for the run; the rows of all stand beside it.
        best = min(results, key=lambda r: float("inf") if r.nash_conv is None else r.nash_conv)
        line = best.to_json()
        if work is not None:
            line |= {"run": str(work.path), "scenario": work.scenario.name, "finished": True}
        if len(results) > 1:
            line["results"] = [result.to_json() for result in results]
        print(json.dumps(line))
        return
    _print_table(results[0].game, [_result_row(result) for result in results])
    if work is not None:
        pictures = sorted(path.name for path in work.path.glob("*.png"))
        print(f"run: {work.path}" + (f" (pictures: {', '.join(pictures)})" if pictures else ""))


def _result_row(result: Result) -> dict[str, str]:
    values = [f"{value:.6f}" for value in result.values]
    if result.values_standard_error is not None:
        pairs = zip(values, result.values_standard_error, strict=True)
        values = [f"{value} ± {error:.4f}" for value, error in pairs]
    if len(values) == 2 and abs(sum(result.values)) < 1e-9:
        values = values[:1]  # zero-sum: the first player's says it all
    gap, exploitability = result.nash_conv, result.exploitability
    return {
        "method": result.label,
        "value" if len(values) == 1 else "values": ", ".join(values),
        "NashConv": "not measured" if gap is None else f"{gap:.3e}",
        "exploitability": "not measured" if exploitability is None else f"{exploitability:.3e}",
        "iterations": f"{result.iterations:,}",
        "seconds": f"{result.seconds:.2f}",
    }


def _print_table(title: str, rows: list[dict[str, Any]]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, show_edge=False)
    for column in rows[0] if rows else ():
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(str(cell) for cell in row.values()))
    # Into a pipe or a file: as wide as the table needs, so that no cell is folded.
    console = Console(width=None if sys.stdout.isatty() else 200, markup=False, highlight=False)
    console.print(title, style="bold")
    console.print(table)


@contextmanager
def _progress(iterations: int) -> Iterator[Callable[..., None]]:
    """A line on stderr that follows the solver; nothing where stderr is not a terminal."""
    if sys.stderr is None or not sys.stderr.isatty():
        yield lambda *_: None
        return
    from rich.console import Console

    with Console(stderr=True, highlight=False).status("loading the game") as line:

        def show(label: str, iteration: int, last: Any, seconds: float) -> None:
            known = last is not None and _number(last.nash_conv) is not None
            gap = f"  NashConv {last.nash_conv:.3e}" if known else ""
            line.update(f"{label}  iteration {iteration:,}/{iterations:,}{gap}  {seconds:.1f} s")

        yield show


@contextmanager
def _telling() -> Iterator[Callable[[str], bool]]:
    """A line on stderr with what a solver says; returns False: it asks for no stop."""
    if sys.stderr is None or not sys.stderr.isatty():
        yield lambda message: False
        return
    from rich.console import Console

    with Console(stderr=True, highlight=False).status("loading the game") as line:

        def tell(message: str) -> bool:
            line.update(message)
            return False

        yield tell


def _number(value: float) -> float | None:
    return None if value != value else value  # NaN has no place in JSON


def _say(text: str) -> None:
    print(text, file=sys.stderr)


if __name__ == "__main__":
    main()
