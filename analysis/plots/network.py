"""Pictures of supply networks: links, lead times and flows."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import networkx as nx
import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike

from analysis.inventory.history import History
from analysis.plots.base import COLOURS
from games import InputError
from games.finite.sequence_form import Float64
from games.inventory.arrays import NetworkArrays
from games.inventory.draw import places
from games.inventory.inventory import Inventory
from games.inventory.network import Link, SupplyNetwork

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SUPPLIER, WAREHOUSE, STORE = "supplier", "warehouse", "store"
SHAPES = {SUPPLIER: "s", WAREHOUSE: "h", STORE: "o"}
GREY, LINE = "0.72", "0.55"
WIDEST, THINNEST = 8.0, 0.4  # points; the link on which most flows
SIDES, COLUMN, TOP, BOTTOM = (1.1, 1.7), (1.6, 2.3), 0.55, 0.45  # inches
LETTER = (0.62, 1.25)  # width and height of a letter in terms of its size


def network(
    of: SupplyNetwork | Inventory | History,
    flows: ArrayLike | None = None,
    stock: ArrayLike | None = None,
    *,
    ignore: int = 0,
    title: str = "",
) -> Figure:
    """Draw a supply network, from suppliers on the left to stores on the right.

    Every link says its lead time in periods. Its width is in proportion to what flows on it, but
    for the thinnest, which would not be seen; where nothing flows it is dotted.

    Args:
        of: a network, its game, or what happened in games; then flows and stock are its means.
        flows: [E] units a period; if not given all links have one width.
        stock: [V] units on hand, written next to the names; the colour of a location says for how
            many periods of what flows through it (of its links' flows, or else of the mean demand)
            they last.
        ignore: first periods of a history that do not count.
        title: of the picture.

    Raises:
        InputError: flows or stock of another shape.
    """
    if isinstance(of, History):
        flows = of.flows(ignore) if flows is None else flows
        stock = of.stock(ignore) if stock is None else stock
        of = of.game
    supply = of.network if isinstance(of, Inventory) else of
    arrays = NetworkArrays(supply)
    flow = _sized(flows, arrays.num_links, "flows", "links")
    units = _sized(stock, arrays.num_locations, "stock", "locations")

    spot = places(supply)
    rows = max(Counter(x for x, _ in spot.values()).values())
    row = 0.55 if rows <= 6 else 0.4 if rows <= 25 else 0.22
    last = max(x for x, _ in spot.values())
    bar = 0.0 if units is None else 1.0  # inches on the right
    column = min(COLUMN[1], max(COLUMN[0], 6.5 / last))
    size = (sum(SIDES) + column * last + bar, max(row * rows, 0.9) + TOP + BOTTOM)
    figure = Figure(figsize=size)
    ax = figure.add_axes((0, 0, 1, 1), xlim=(0, size[0]), ylim=(0, size[1]))  # data are inches
    ax.set_axis_off()
    middle = BOTTOM + (size[1] - TOP - BOTTOM) / 2
    at = {name: (SIDES[0] + x * column, middle + y * row) for name, (x, y) in spot.items()}

    shades = _shades(ax, arrays, flow, units, size)
    marks = _locations(ax, arrays, at, shades, 150.0 if row > 0.3 else 70.0)
    widths = np.full(arrays.num_links, 1.2)
    if flow is not None:
        widths = WIDEST * flow / max(flow.max(), 1e-9)
        widths = np.where(flow > 0, widths.clip(THINNEST), 0)
    _links(ax, supply, at, spot, widths, marks)
    small = 8 if row > 0.3 else 7
    taken: list[Float64] = []
    for name, (x, y) in at.items():
        text = name.replace("_", " ").replace("$", r"\$")
        if units is not None and name in arrays.names:
            text += f"  {units[arrays.names.index(name)]:.3g}"
        if spot[name][0] in (0, last):
            side = -1 if spot[name][0] == 0 else 1
            ax.text(x + 0.16 * side, y, text, ha="right" if side < 0 else "left", va="center",
                    size=small)  # fmt: skip
        else:
            ax.text(
                x, y + 0.14, text, ha="center", va="bottom", size=small, zorder=3,
                bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 0.6},
            )  # fmt: skip
            taken.append(_box(x, y + 0.14 + small / 144, text, small))
    _lead_times(ax, supply, at, spot, taken, small - 1)
    said = "numbers on links: lead time in periods"
    if flow is not None:
        said += f"; width: mean flow, {flow.max():.3g} units a period at the widest"
    ax.text(0.15, 0.12, said, size=7.5, color="0.35", va="bottom")
    ax.text(size[0] / 2, size[1] - 0.1, title, ha="center", va="top", size=11)
    kinds = [kind for kind in SHAPES if any(k == kind for k, _ in marks.values())]
    ax.legend(
        handles=[
            Line2D([], [], ls="", marker=SHAPES[k], color=GREY, mec=LINE, label=k) for k in kinds
        ],
        loc="upper left", frameon=False, fontsize=7.5, ncols=3, handletextpad=0.1,
        columnspacing=0.8,
    )  # fmt: skip
    return figure


def _sized(values: ArrayLike | None, count: int, name: str, what: str) -> Float64 | None:
    if values is None:
        return None
    found = np.asarray(values, np.float64)
    if found.shape != (count,) or not np.isfinite(found).all() or (found < 0).any():
        raise InputError(
            f"{name}: shape {found.shape}; one number, at least 0, for each of the {count} {what} "
            "is needed"
        )
    return found


def _shades(
    ax: Axes,
    arrays: NetworkArrays,
    flow: Float64 | None,
    units: Float64 | None,
    size: tuple[float, float],
) -> dict[str, object]:
    """A colour for each location, and the scale that explains it."""
    if units is None:
        return dict.fromkeys(arrays.names, GREY)
    through = arrays.flow
    if flow is not None:
        through = np.zeros(arrays.num_locations)
        np.add.at(through, arrays.target, flow)
    lasts = np.divide(units, through, out=np.zeros_like(units), where=through > 1e-9)
    scale = ScalarMappable(Normalize(0, max(lasts.max(), 1e-9)), "Blues")
    tall = min(0.7 * size[1], 2.2) / size[1]
    cax = ax.figure.add_axes((1 - 0.62 / size[0], 0.5 - tall / 2, 0.1 / size[0], tall))
    bar = ax.figure.colorbar(scale, cax=cax)
    bar.set_label("stock, periods of its flow", size=7.5)
    bar.ax.tick_params(labelsize=7)
    return dict(zip(arrays.names, scale.to_rgba(lasts), strict=True))


def _locations(
    ax: Axes, arrays: NetworkArrays, at: dict[str, tuple[float, float]], shades: dict, area: float
) -> dict[str, tuple[str, float]]:
    """Draw them; the kind and the area of each by name."""
    supply = arrays.network
    kind = dict.fromkeys(arrays.names, WAREHOUSE) | dict.fromkeys(supply.stores, STORE)
    kind |= dict.fromkeys(supply.suppliers, SUPPLIER)
    for one, shape in SHAPES.items():
        names = [name for name in at if kind[name] == one]
        if names:
            nx.draw_networkx_nodes(
                supply.graph, at, nodelist=names, node_shape=shape, ax=ax, node_size=area,
                node_color=[shades.get(name, GREY) for name in names], edgecolors=LINE,
                linewidths=1.0,
            ).set_zorder(4)  # fmt: skip
    return {name: (kind[name], area) for name in at}


def _links(
    ax: Axes,
    supply: SupplyNetwork,
    at: dict[str, tuple[float, float]],
    spot: dict[str, Float64],
    widths: Float64,
    marks: dict[str, tuple[str, float]],
) -> None:
    """Straight ones to the next column, and arcs around what lies between."""
    for link, width in zip(supply.links, widths, strict=True):
        idle = width <= 0
        drawn = nx.draw_networkx_edges(
            supply.graph, at, edgelist=[(link.source, link.target)], ax=ax,
            width=0.7 if idle else float(width), style=":" if idle else "-",
            edge_color=COLOURS[5] if not idle else "0.7", alpha=0.8, arrowstyle="-",
            node_size=marks[link.source][1],
            connectionstyle=f"arc3,rad={_bend(link, spot)}",
        )  # fmt: skip
        drawn[0].set(zorder=2, label=f"{link.source} -> {link.target}", capstyle="butt")


def _bend(link: Link, spot: dict[str, Float64]) -> float:
    (x0, _), (x1, _) = spot[link.source], spot[link.target]
    return 0.0 if x1 - x0 <= 1 else 0.25


def _lead_times(
    ax: Axes,
    supply: SupplyNetwork,
    at: dict[str, tuple[float, float]],
    spot: dict[str, Float64],
    taken: list[Float64],
    size: float,
) -> None:
    """Write a number on every link, without covering other numbers or names."""
    shares = np.concatenate((np.linspace(0.72, 0.9, 10), np.linspace(0.7, 0.15, 23)))
    for link in supply.links:
        leads = np.flatnonzero(link.lead_times)
        text = str(leads[0]) if len(leads) == 1 else f"{leads[0]}–{leads[-1]}"
        start, end = np.array(at[link.source]), np.array(at[link.target])
        across = end - start
        bend = _bend(link, spot) * np.array([across[1], -across[0]])  # of arc3's control point
        best, least = shares[0], np.inf
        for share in shares:
            x, y = start + share * across + 2 * share * (1 - share) * bend
            over = sum(_overlap(_box(x, y, text, size), other) for other in taken)
            if over < least:
                best, least = share, over
            if over <= 0:
                break
        x, y = start + best * across + 2 * best * (1 - best) * bend
        taken.append(_box(x, y, text, size))
        ax.text(
            x, y, text, size=size, ha="center", va="center", color="0.15", zorder=5,
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 0.6},
            gid="lead time",
        )  # fmt: skip


def _box(x: float, y: float, text: str, size: float) -> Float64:
    """[2, 2] the low and the high corner of a text around a point, inches."""
    half = np.array([LETTER[0] * len(text), LETTER[1]]) * size / 72 / 2
    middle = np.array([x, y])
    return np.stack((middle - half, middle + half))


def _overlap(a: Float64, b: Float64) -> float:
    """Area of two boxes' intersection."""
    return float(np.prod((np.minimum(a[1], b[1]) - np.maximum(a[0], b[0])).clip(0)))
