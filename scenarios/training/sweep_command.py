"""The command `schelling sweep`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from games.common.errors import InputError
from scenarios.terminal import FAILED, Address, Json, Seed, Set, counting, number, print_table
from scenarios.training.kind import KIND


def sweep(
    scenario: Annotated[str, typer.Argument(help="A shipped scenario's name, or a .toml file.")],
    grid: Annotated[
        list[str] | None,
        typer.Option("--set-grid", metavar="KEY=A,B,C", help="Values to try, method.clip=0.1,0.2."),
    ] = None,
    seeds: Annotated[int | None, typer.Option(help="Runs of each, with consecutive seeds.")] = None,
    parallel: Annotated[int | None, typer.Option(help="Number of runs at once.")] = None,
    settings: Set = None,
    seed: Seed = None,
    out: Annotated[
        Path | None, typer.Option(help="The folder of all runs (default runs/NAME-sweep-1).")
    ] = None,
    address: Address = None,
    as_json: Json = False,
) -> None:
    """Train many variants of a scenario with Ray Tune, and list them, the best first.

    The grid is given here or in the scenario's [sweep]. The same command with --out continues a
    sweep that was stopped.
    """
    from scenarios import store
    from scenarios.lookup import find

    given = dict(_values(text) for text in grid or [])
    changes = {"grid": given or None, "seeds": seeds, "parallel": parallel}
    options = [
        f"sweep.{key}={json.dumps(value)}"
        for key, value in changes.items()
        if value is not None and key != "grid"
    ]
    found = find(scenario, [*(settings or []), *options], seed=seed)
    if found.kind != "train":
        raise InputError(
            f"{scenario} is of kind {found.kind}; only scenarios that train can be swept"
        )
    from scenarios.training.scenario import TrainingScenario
    from scenarios.training.sweep import run_sweep

    assert isinstance(found, TrainingScenario)
    found = KIND.at(found, address)
    if given:
        table = found.sweep.model_copy(update={"grid": given})
        found = found.model_copy(update={"sweep": table})
    folder = store.free_path(Path("runs"), f"{found.name}-sweep") if out is None else out
    with counting("runs done") as show:
        rows = run_sweep(found, folder, show)
    failed = any(row["failed"] for row in rows)
    if as_json:
        shown = [{k: number(v) if isinstance(v, float) else v for k, v in r.items()} for r in rows]
        print(json.dumps({"sweep": str(folder), "runs": shown}))
    else:
        print_table(f"{found.game}, {len(rows)} runs", [_shown(row, failed) for row in rows])
        print(f"sweep: {folder}")
    if failed:
        raise typer.Exit(FAILED)


def _values(text: str) -> tuple[str, tuple[Any, ...]]:
    """`key=a,b,c` as a key and its values, as in TOML or bare words."""
    from scenarios.lookup import split, value_of

    key, equals, rest = text.partition("=")
    parts = split(rest)
    if not equals or not key.strip() or not all(part.strip() for part in parts):
        raise InputError(f"--set-grid {text}: write key=a,b,c, such as method.clip=0.1,0.2")
    return key.strip(), tuple(value_of(part.strip()) for part in parts)


def _shown(row: dict[str, Any], failed: bool) -> dict[str, str]:
    cells = {}
    for key, value in row.items():
        if key == "failed" and not failed:
            continue
        is_number = isinstance(value, float) and key != "seconds"
        text = f"{value:.5g}" if is_number else f"{value:,.0f}" if key == "seconds" else str(value)
        cells[key] = "" if value != value else text
    return cells
