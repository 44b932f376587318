"""Shared by all commands: options, tables of results, a progress line on stderr."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer

FAILED, BAD_INPUT, INTERRUPTED = 1, 2, 130  # exit statuses

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on the last line.")]
Seed = Annotated[int | None, typer.Option(help="Seed of everything random.")]
Address = Annotated[
    str | None, typer.Option(help="Address of a running Ray cluster, such as 10.0.0.1:6379.")
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change a key, such as stop.iterations=500."),
]


def print_table(title: str, rows: list[dict[str, Any]]) -> None:
    """Print rows (dicts with equal keys) as a table under a title."""
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


def print_gap(found: dict[str, float]) -> None:
    """Print the gap to the optimum or bound, in percent, with its 95% interval over games."""
    if "gap" in found:
        known = next(kind for kind in ("optimum", "lower_bound", "upper_bound") if kind in found)
        print(
            f"{known.replace('_', ' ')} {found[known]:.4f}, gap {found['gap']:.2f}% "
            f"(95%: {found['gap_low']:.2f} to {found['gap_high']:.2f})"
        )


@contextmanager
def counting(what: str, first: str = "starting Ray") -> Iterator[Callable[[int, int], None]]:
    """Show a counter on stderr if that is a terminal.

    Args:
        what: the things counted, such as "runs done".
        first: shown until the first count.
    """
    if sys.stderr is None or not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console

    with Console(stderr=True, highlight=False).status(first) as line:
        yield lambda done, total: line.update(f"{done:,} of {total:,} {what}")


@contextmanager
def solver_progress() -> Iterator[Callable[[str], bool]]:
    """Show a solver's progress messages on stderr; yields a `Progress` that never asks to stop."""
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
    """The number, or None for NaN, which JSON does not have."""
    return None if value != value else value


def say(text: str) -> None:
    """Print a line to stderr."""
    print(text, file=sys.stderr)
