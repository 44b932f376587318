"""Pictures of supply networks: costs over time, and what a store orders in each state."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Literal

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

from analysis.inventory.history import HOLDING, KINDS, LINKS, PENALTY, REVENUE, History
from analysis.inventory.lost_sales import LostSales
from analysis.plots.base import COLOURS, mark_cut_off, new_axes
from games import InputError
from games.finite.sequence_form import Float64

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Orders = Callable[[NDArray, NDArray], ArrayLike]
"""Units on hand [M] and on their way [M, L - 1], next to arrive first -> units ordered [M]."""

SHADE_OF = {  # lighter, so that lines are seen on them; opaque, so that they are the legend's
    kind: tuple(0.3 + 0.7 * np.array(to_rgb(COLOURS[k])))
    for kind, k in {HOLDING: 1, PENALTY: 2, LINKS: 6, REVENUE: 3}.items()
}
START = 0.1  # share of the periods that are the beginning, unless given
MOST_LOCATIONS = 60
BAND = (10, 90)  # percentiles of games
HELD = (0.99, 0.9, 0.5)  # shares of visits inside the contours
MOST_POINTS = 4000  # of visits that are drawn


def costs(history: History, *, ignore: int = 0, title: str = "") -> Figure:
    """Costs by period, of all locations; and by location, a period, on average.

    On the left kinds of costs are stacked, what is earned below 0; the line is their sum, and
    between the dashed ones lie the middle 80% of games. Where the beginning costs far more than the
    periods that count, these are what is shown, and an arrow says how far the rest goes. On the
    right one bar a location; at most 60 are shown, the dearest.

    Args:
        history: what happened.
        ignore: first periods that do not count on the right; they are marked on the left.
        title: of the picture.
    """
    arrays = history.game.arrays
    by_location = history.by_location(ignore)
    kinds = [kind for kind in KINDS if np.abs(history.cost[kind]).max() > 0]
    order = np.argsort(-sum(np.abs(by_location[kind]) for kind in kinds), kind="stable")
    shown = np.sort(order[:MOST_LOCATIONS])
    height = max(3.4, 1.0 + 0.17 * len(shown))
    figure = Figure(figsize=(9.6, height), layout="constrained")
    figure.suptitle(title)
    left, right = figure.subplots(1, 2, width_ratios=(1.5, 1))
    periods = np.arange(len(history.total))
    by_period = {kind: history.cost[kind].sum(axis=2).mean(axis=1) for kind in kinds}  # [T]
    edges = []  # of the areas, [T] each
    for kind, base, top in _stacked(by_period):
        left.fill_between(periods, base, top, color=SHADE_OF[kind], lw=0)
        edges += [base, top]
    total = history.total
    band = np.percentile(total, BAND, axis=1)
    left.plot(periods, band.T, color="black", lw=0.6, ls="--")
    left.plot(periods, total.mean(axis=1), color="black", lw=1.4)
    left.set(xlabel="period", ylabel="cost a period", xlim=(0, max(len(periods) - 1, 1)))
    drawn = np.stack((*band, total.mean(axis=1), *edges))
    _show_what_counts(left, periods, drawn, ignore or math.ceil(START * len(periods)))
    if ignore:
        left.axvline(ignore, color="0.35", lw=1.2, ls=":")
    left.xaxis.set_major_locator(MaxNLocator(integer=True))
    for kind, base, top in _stacked({kind: by_location[kind][shown] for kind in kinds}):
        right.barh(range(len(shown)), top - base, left=base, color=SHADE_OF[kind], height=0.75)
    right.axvline(0, color="0.4", lw=0.8)
    right.set_ylim(max(len(shown), 4) - 0.4, -0.6)
    right.tick_params(axis="y", length=0)
    names = [arrays.names[v].replace("_", " ").replace("$", r"\$") for v in shown]
    right.set_yticks(range(len(shown)), names)
    few = f" ({len(shown)} of {arrays.num_locations} locations)"
    right.set_xlabel(
        f"mean cost a period{few if len(shown) < arrays.num_locations else ''}"
        + (f", from period {ignore}" if ignore else "")
    )
    for ax in (left, right):
        ax.spines[["top", "right"]].set_visible(False)
        ax.tick_params(labelsize=8)
    right.spines["left"].set_visible(False)
    handles = [
        *(Patch(color=SHADE_OF[kind], label=kind) for kind in kinds),
        Line2D([], [], color="black", lw=1.4, label="all together"),
        Line2D([], [], color="black", lw=0.6, ls="--", label="80% of games"),
    ]
    if ignore:
        since = f"from period {ignore}: counted"
        handles.append(Line2D([], [], color="0.35", lw=1.2, ls=":", label=since))
    figure.legend(
        handles=handles, loc="outside lower center", ncols=len(handles), frameon=False, fontsize=8
    )
    return figure


def _show_what_counts(ax: Axes, periods: NDArray, lines: Float64, first: int) -> None:
    """Cut off what the periods before `first` have far beyond the lines [K, T] of all others."""
    rest = lines[:, min(first, len(periods) - 1) :]
    low, high = min(float(rest.min()), 0.0), max(float(rest.max()), 0.0)
    room = high - low
    if room <= 0 or (lines.max() <= high + room and lines.min() >= low - room):
        return
    ax.set_ylim(
        low - 0.1 * room if lines.min() < low - room else min(float(lines.min()), low),
        high + 0.2 * room if lines.max() > high + room else max(float(lines.max()), high),
    )
    mark_cut_off(ax, np.tile(periods, len(lines)), lines.ravel())


def _stacked(values: Mapping[str, Float64]) -> Iterator[tuple[str, Float64, Float64]]:
    """Lower and upper ends of each kind in a stack: positive ones above 0, negative ones below."""
    up = down = np.zeros(())
    for kind, value in values.items():
        more, less = value.clip(min=0), value.clip(max=0)
        if more.any():
            yield kind, up + np.zeros_like(more), up + more
        if less.any():
            yield kind, down + np.zeros_like(less), down + less
        up, down = up + more, down + less


def order_surface(
    policy: Orders,
    optimal: LostSales | Orders,
    visits: ArrayLike,
    *,
    against: Literal["total", "first"] = "total",
    names: tuple[str, str] = ("learned", "optimal"),
    title: str = "",
) -> Figure:
    """The orders of two policies, over stock on hand and on order, and their difference.

    Lines hold 99%, 90% and 50% of the visits. The difference printed is the mean over visits,
    in their own states; orders that are shown are those of whole states. The scale of differences
    is that of the states met: in others they can be larger, and then it ends in an arrow.

    Args:
        policy: the learned one.
        optimal: the best one; `analysis.lost_sales` finds it.
        visits: [M, L] states met in play, on hand and on its way, which also decide what is shown:
            `History.visits`. L >= 2.
        against: what is drawn upwards: all that is on its way, spread evenly over the periods, what
            is left over arriving first; or what arrives next, later orders being the visits'
            rounded mean.
        names: of the two policies.
        title: of the picture.

    Raises:
        InputError: visits of another shape, or of a lead time of 1.
    """
    states = _states(visits)
    later = states.shape[1] - 1
    if not later:
        raise InputError("at a lead time of 1 nothing is on its way; draw order_line")
    best = optimal.order if isinstance(optimal, LostSales) else optimal
    y = states[:, 1:].sum(axis=1) if against == "total" else states[:, 1]
    across, up = (np.arange(int(np.ceil(np.quantile(v, 0.9995))) + 2) for v in (states[:, 0], y))
    x, z = (grid.ravel() for grid in np.meshgrid(across, up))
    if against == "total":
        share, rest = np.divmod(z, later)
        pipeline = share[:, None] + (np.arange(later) < rest[:, None])
    else:
        others = np.rint(states[:, 2:].mean(axis=0)).astype(int)
        pipeline = np.column_stack([z, np.tile(others, (len(z), 1))])
    tables = [
        np.asarray(orders(x, pipeline), np.float64).reshape(len(up), len(across))
        for orders in (policy, best)
    ]
    met = [np.asarray(each(states[:, 0], states[:, 1:]), np.float64) for each in (policy, best)]
    off = met[0] - met[1]

    figure = Figure(figsize=(11, 3.7), layout="constrained")
    figure.suptitle(title)
    panels = figure.subplots(1, 3, sharex=True, sharey=True)
    top = max(table.max() for table in tables)
    # A difference in states never visited does not matter: the scale is that of the states shown.
    density = _density(states[:, 0], y, across, up)
    widest = max(float(np.abs((tables[0] - tables[1])[density > 0]).max(initial=0)), 1.0)
    shades = [
        (tables[0], names[0], "viridis", 0.0, top),
        (tables[1], names[1], "viridis", 0.0, top),
        (tables[0] - tables[1], f"{names[0]} less {names[1]}", "RdBu_r", -widest, widest),
    ]
    for ax, (table, name, colours, low, high) in zip(panels, shades, strict=True):
        image = ax.imshow(
            table, origin="lower", aspect="auto", cmap=colours, vmin=low, vmax=max(high, 1e-9),
            extent=(-0.5, len(across) - 0.5, -0.5, len(up) - 0.5), interpolation="nearest",
        )  # fmt: skip
        _contours(ax, density, across, up, "white" if colours == "viridis" else "0.2")
        ax.set_title(name, size=10)
        ax.set_xlabel("on hand, units")
        ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        ax.yaxis.set_major_locator(MaxNLocator(6, integer=True))
        if ax is not panels[0]:
            bar = figure.colorbar(image, ax=ax, pad=0.02, extend=_beyond(table, low, high))
            bar.set_label("units", size=8)
    panels[0].set_ylabel("on its way, units" if against == "total" else "arriving next, units")
    said = f"in the states met: {off.mean():+.2f} units on average, {np.abs(off).mean():.2f} apart"
    panels[2].set_title(f"{panels[2].get_title()}\n{said}", size=9)
    note = "lines hold 50%, 90% and 99% of the states met"
    if _beyond(tables[0] - tables[1], -widest, widest) != "neither":
        note += "; the darkest colour: differences beyond the scale, in other states"
    figure.supxlabel(note, size=8, color="0.35")
    return figure


def _beyond(table: Float64, low: float, high: float) -> Literal["neither", "min", "max", "both"]:
    """The ends of a scale of colours that something lies beyond."""
    under, over = bool(table.min() < low), bool(table.max() > high)
    return "both" if under and over else "min" if under else "max" if over else "neither"


def order_line(
    policy: Orders,
    level: float,
    visits: ArrayLike,
    *,
    cap: float | None = None,
    title: str = "",
    ax: Axes | None = None,
) -> Figure:
    """Orders in the states visited over the inventory position, with a base-stock policy.

    Args:
        policy: the learned one.
        level: units, the position up to which a base-stock policy orders: the best one, where
            customers wait (`analysis.backlogged`).
        visits: [M, L] states met in play, on hand and on its way: `History.visits`. At most 4,000
            of them are drawn, evenly spread.
        cap: units, the most that it orders at once.
        title: of the picture.
        ax: where to draw; a new figure if not given.

    Raises:
        InputError: visits of another shape.
    """
    states = _states(visits)
    states = states[:: -(-len(states) // MOST_POINTS)]
    position = states.sum(axis=1)
    ordered = np.asarray(policy(states[:, 0], states[:, 1:]), np.float64)
    line = np.clip(level - position, 0, cap)
    figure, ax = new_axes(ax, (5.6, 3.8))
    ax.plot(
        position,
        ordered,
        "o",
        ms=3.5,
        alpha=0.25,
        color=COLOURS[1],
        mew=0,
        label="in the states met",
    )
    low, high = min(position.min(), level - 1), max(position.max(), level + 1)
    bends = [level] if cap is None else [level - cap, level]
    x = np.unique(np.clip([low, *bends, high], low, high))
    name = f"base-stock, {level:.4g}" + ("" if cap is None else f", at most {cap:.4g}")
    ax.plot(x, np.clip(level - x, 0, cap), color=COLOURS[2], lw=1.6, label=name)
    apart = np.abs(ordered - line).mean()
    ax.set(xlabel="inventory position before the order, units", ylabel="order, units")
    ax.set_title(f"{title}\n{apart:.2f} units from the line on average".strip(), size=10)
    ax.legend(frameon=False)
    ax.spines[["top", "right"]].set_visible(False)
    return figure


def _states(visits: ArrayLike) -> Float64:
    found = np.asarray(visits, np.float64)
    if found.ndim != 2 or not found.size or not np.isfinite(found).all():
        raise InputError(
            f"visits: shape {found.shape}; states [M, L] are needed, on hand and on its way"
        )
    return found


def _density(x: Float64, y: Float64, across: NDArray, up: NDArray) -> Float64:
    """[Y, X] share of visits in each whole state."""
    edges = [np.append(values, values[-1] + 1) - 0.5 for values in (up, across)]
    counts, *_ = np.histogram2d(y, x, bins=edges)
    return counts / max(counts.sum(), 1)


def levels(density: Float64) -> Float64:
    """The densities above which 99%, 90% and 50% of all lie, the lowest first."""
    flat = np.sort(density.ravel())[::-1]
    held = np.cumsum(flat)
    return flat[np.minimum(np.searchsorted(held, np.array(HELD) - 1e-12), len(flat) - 1)]


def _contours(ax: Axes, density: Float64, across: NDArray, up: NDArray, colour: str) -> None:
    lines = np.unique(levels(density))
    lines = lines[(lines > 0) & (lines < density.max())]
    if len(lines) and min(density.shape) > 1:
        ax.contour(across, up, density, levels=lines, colors=colour, linewidths=(0.6, 0.9, 1.4))
