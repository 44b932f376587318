"""The page: a table and learning curves of each scenario, from the points of its runs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.page import table
from benchmarks.standard.tasks import METHODS, SIDES, TASKS, Method, Side
from games.common.intervals import around, errors_to_a_side, standard_error

Float64 = NDArray[np.float64]
LAST = 3  # evaluations whose mean is a run's final return
NAMES: dict[Side, str] = {"ours": "ours", "benchmarl": "BenchMARL"}
COLOURS: dict[Side, str] = {"ours": "#c1272d", "benchmarl": "#3b6ea5"}


@dataclass(frozen=True, eq=False)
class Curves:
    """S runs of one side, evaluated at the same E steps."""

    steps: Float64  # [E] of all games together
    returns: Float64  # [S, E] mean over games and agents
    rates: Float64  # [T] environment steps per second of processor time
    wall_rates: Float64  # [T] the same per second

    @property
    def final(self) -> Float64:
        """[S] mean return of the last evaluations."""
        return self.returns[:, -LAST:].mean(axis=1)


def curves(
    runs: Sequence[Sequence[Mapping[str, Any]]],
    short: Sequence[Sequence[Mapping[str, Any]]] = (),
) -> Curves:
    """Runs as arrays; rates are those of short runs, if there are any.

    A rate leaves out what lies before the first evaluation, which follows the first update, as
    everything is slower once.
    """
    timed = short or runs

    def rate(points: Sequence[Mapping[str, Any]], clock: str) -> float:
        first, last = points[0], points[-1]
        spent = last[clock] - first[clock]
        return (last["steps"] - first["steps"]) / spent if spent > 0 else math.nan

    return Curves(
        steps=np.array([point["steps"] for point in runs[0]], dtype=float),
        returns=np.array([[np.mean(point["returns"]) for point in points] for points in runs]),
        rates=np.array([rate(points, "cpu_seconds") for points in timed]),
        wall_rates=np.array([rate(points, "seconds") for points in timed]),
    )


def compared(ours: Float64, theirs: Float64) -> tuple[float, float, float]:
    """Our mean less theirs, over independent runs [S] and [T], with its 95% interval.

    Student's t with S + T - 2 degrees of freedom; infinitely wide if a side has one run alone.
    """
    difference = float(ours.mean() - theirs.mean())
    error = math.hypot(standard_error(ours), standard_error(theirs))
    if math.isnan(error):
        return difference, -math.inf, math.inf
    return (difference, *around(difference, error, len(ours) + len(theirs) - 1))


def verdict(low: float, high: float) -> str:
    """What the interval of a difference says of ours."""
    if math.isinf(low):
        return "one seed"
    if high < 0:
        return "**below**"
    return "above" if low > 0 else "at"


def spread(each: Float64) -> str:
    """A mean, and half of its 95% interval."""
    if len(each) < 2:
        return f"{each.mean():.2f}"
    half = float(errors_to_a_side(len(each))) * standard_error(each)
    return f"{each.mean():.2f} ± {half:.2f}"


def row(method: Method, ours: Curves, theirs: Curves) -> list[str]:
    """A method's row in its scenario's table."""
    difference, low, high = compared(ours.final, theirs.final)
    interval = "" if math.isinf(low) else f" ({low:+.2f} to {high:+.2f})"
    mine, other = float(np.median(ours.rates)), float(np.median(theirs.rates))
    wall = float(np.median(ours.wall_rates) / np.median(theirs.wall_rates))
    name = method.name if method.name == method.peer else f"{method.name} / {method.peer}"
    return [
        name,
        f"{ours.steps[-1]:,.0f}",
        spread(ours.final),
        spread(theirs.final),
        f"{difference:+.2f}{interval}",
        verdict(low, high),
        f"{mine:,.0f}",
        f"{other:,.0f}",
        f"**{mine / other:.1f}**",
        f"{wall:.1f}",
    ]


COLUMNS = (
    "method / of BenchMARL", "steps", "ours", "BenchMARL", "ours less theirs (95%)", "ours is",
    "ours, steps/s", "BenchMARL, steps/s", "ratio", "ratio, wall",
)  # fmt: skip


Found = Mapping[tuple[str, str], Mapping[Side, Curves]]
"""By scenario and method of ours: the curves of each side that has runs."""


def section(task: str, found: Found, image: str) -> list[str]:
    """A scenario's table, curves and parameters."""
    known = TASKS[task]
    both = [
        row(METHODS[name], sides["ours"], sides["benchmarl"])
        for name in METHODS
        if set(sides := found.get((task, name), {})) == set(SIDES)
    ]
    alone = [
        f"{name} ({', '.join(NAMES[side] for side in sides)} alone)"
        for name in METHODS
        if (sides := found.get((task, name), {})) and len(sides) < len(SIDES)
    ]
    lines = [f"`{known.game.format(continuous='...')}`", ""]
    lines += table(COLUMNS, both) if both else []
    if alone:
        lines += [f"Not on both sides: {', '.join(alone)}.", ""]
    lines += [f"![Learning curves of {task}]({image})", ""]
    for remark in known.remarks:
        lines += [remark, ""]
    for family, method in (("PPO", METHODS["mappo"]), ("The others", METHODS["maddpg"])):
        shared = known.shared(method)
        lines += [f"{family}: " + ", ".join(f"{key} {shown(shared[key])}" for key in shared) + "."]
        lines += [""]
    return lines[:-1]


def shown(value: Any) -> str:
    return str(value) if isinstance(value, list) else f"{value:,}"


def draw(task: str, found: Found, path: Path) -> None:
    """Learning curves: means over seeds, with a band from the lowest to the highest seed."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    names = [name for name in METHODS if (task, name) in found]
    across = min(len(names), 4)
    down = -(-len(names) // across)
    figure, panels = plt.subplots(down, across, figsize=(3 * across, 2.5 * down), squeeze=False)
    for panel in panels.flat[len(names) :]:
        panel.axis("off")
    for panel, name in zip(panels.flat, names, strict=False):
        for side, line in found[task, name].items():
            colour, mean = COLOURS[side], line.returns.mean(axis=0)
            panel.plot(line.steps / 1000, mean, color=colour, label=NAMES[side])
            panel.fill_between(
                line.steps / 1000,
                line.returns.min(axis=0),
                line.returns.max(axis=0),
                color=colour,
                alpha=0.2,
                linewidth=0,
            )
        peer = METHODS[name].peer
        panel.set_title(name if peer == name else f"{name} / {peer}", fontsize=10)
        panel.grid(alpha=0.3)
    for panel in panels[:, 0]:
        panel.set_ylabel("return")
    for panel in panels[-1]:
        panel.set_xlabel("1,000 environment steps")
    panels[0, 0].legend(fontsize=8)
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def summary(found: Found, methods: Iterable[str] = METHODS) -> list[str]:
    """Methods by scenarios: what ours is, and the ratio of speeds."""
    tasks = list(dict.fromkeys(task for task, _ in found))
    rows = []
    for name in methods:
        cells = []
        for task in tasks:
            sides = found.get((task, name), {})
            if len(sides) < len(SIDES):
                cells.append("")
                continue
            ours, theirs = sides["ours"], sides["benchmarl"]
            _, low, high = compared(ours.final, theirs.final)
            ratio = np.median(ours.rates) / np.median(theirs.rates)
            cells.append(f"{verdict(low, high)}, {ratio:.1f}x")
        if any(cells):
            rows.append([name, *cells])
    return table(["method", *tasks], rows) if rows else []
