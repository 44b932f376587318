"""What the commands share: options, tables of results, a line that follows the work."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from scenarios.solving.run import Result, Run

FAILED, BAD_INPUT, INTERRUPTED = 1, 2, 130  # exit statuses

FOLLOWED = (  # what the progress of training shows: name, metric, format
    ("return", "return", ".3f"),
    ("success", "eval_success", ".3f"),
    ("wins", "eval_wins", ".3f"),
    ("cost", "eval_cost", ".4f"),
    ("gap %", "eval_gap", ".2f"),
    ("NashConv", "nash_conv", ".4f"),
    ("entropy", "entropy", ".3f"),
    ("KL", "kl", ".4f"),
    ("steps/s", "steps_per_second", ",.0f"),
)

Json = Annotated[bool, typer.Option("--json", help="One JSON object on the last line.")]
Seed = Annotated[int | None, typer.Option(help="Of everything random.")]
Address = Annotated[
    str | None, typer.Option(help="Of a Ray cluster that runs already, such as 10.0.0.1:6379.")
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change a key, such as stop.iterations=500."),
]


def print_results(results: list[Result], as_json: bool, work: Run | None = None) -> None:
    """The table that a command ends with, or its JSON."""
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
    print_table(results[0].game, [_result_row(result) for result in results])
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


def print_table(title: str, rows: list[dict[str, Any]]) -> None:
    """Rows of equal keys under a title."""
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
def progress(iterations: int) -> Iterator[Callable[..., None]]:
    """A line on stderr that follows the solver; nothing where stderr is not a terminal."""
    if sys.stderr is None or not sys.stderr.isatty():
        yield lambda *_: None
        return
    from rich.console import Console

    with Console(stderr=True, highlight=False).status("loading the game") as line:

        def show(label: str, iteration: int, last: Any, seconds: float) -> None:
            known = last is not None and number(last.nash_conv) is not None
            gap = f"  NashConv {last.nash_conv:.3e}" if known else ""
            line.update(f"{label}  iteration {iteration:,}/{iterations:,}{gap}  {seconds:.1f} s")

        yield show


def followed(row: dict[str, float], key: str) -> float | None:
    """A metric; where it was not evaluated, as it was in training; None if it is unknown."""
    return row.get(key, row.get(key.removeprefix("eval_")))


@contextmanager
def training_progress(steps: int) -> Iterator[Callable[[dict[str, float]], None]]:
    """A line on stderr that follows training; nothing where stderr is not a terminal."""
    if sys.stderr is None or not sys.stderr.isatty():
        yield lambda row: None
        return
    from rich.console import Console

    with Console(stderr=True, highlight=False).status("starting Ray") as line:
        seen: dict[str, float] = {}

        def show(row: dict[str, float]) -> None:
            seen.update(row)
            parts = [f"update {row['update']:,.0f}", f"steps {row['steps']:,.0f}/{steps:,}"]
            for name, key, form in FOLLOWED:
                if (value := followed(seen, key)) is not None:
                    parts.append(f"{name} {value:{form}}")
            if seen["restarts"]:
                parts.append(f"restarts {seen['restarts']:.0f}")
            line.update("  ".join([*parts, f"{row['seconds']:,.0f} s"]))

        yield show


@contextmanager
def counting(what: str) -> Iterator[Callable[[int, int], None]]:
    """A line on stderr that counts; nothing where stderr is not a terminal."""
    if sys.stderr is None or not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console

    with Console(stderr=True, highlight=False).status("starting Ray") as line:
        yield lambda done, total: line.update(f"{done:,} of {total:,} {what}")


@contextmanager
def telling() -> Iterator[Callable[[str], bool]]:
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


def number(value: float) -> float | None:
    """None for NaN, which has no place in JSON."""
    return None if value != value else value


def say(text: str) -> None:
    """A line on stderr."""
    print(text, file=sys.stderr)
