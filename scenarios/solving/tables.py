"""Results of solvers as a table, and their progress line."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from scenarios.terminal import number, print_table

if TYPE_CHECKING:
    from scenarios.solving.run import Result, SolvingRun


def print_results(results: list[Result], as_json: bool, work: SolvingRun | None = None) -> None:
    """Print the results, as a table or JSON."""
    if as_json:
        # The best of several methods represents the run; all rows are given, too.
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


@contextmanager
def progress(iterations: int) -> Iterator[Callable[..., None]]:
    """Show a solver's progress on stderr, if that is a terminal."""
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
