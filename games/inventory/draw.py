"""Pictures of inventory games: stock, goods in transit, and backlog.

Also where the locations of a network stand in a picture, which `analysis.plots.inventory` shares.
"""

from __future__ import annotations

from collections import Counter
from functools import lru_cache
from typing import TYPE_CHECKING

import networkx as nx
import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection, PatchCollection
from matplotlib.figure import Figure
from matplotlib.patches import Polygon, Rectangle
from numpy.typing import NDArray

from games.finite.sequence_form import Float64
from games.inventory.arrays import NetworkArrays
from games.inventory.network import SupplyNetwork
from games.inventory.parameters import Parameters
from games.inventory.period import State
from games.simulators.simulator import take

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Of Okabe and Ito's colours, as all our pictures.
STOCK, ON_ITS_WAY, WAITING = "#0072B2", "#E69F00", "#D55E00"
BEYOND = "0.25"  # what points out of a gauge
WIDTH, DOTS = 7.2, 100  # of a picture, inches and dots an inch
SIDE = (1.1, 1.9)  # inches left and right of the network, for names and gauges
GAUGE = (0.62, 0.13)  # inches, wide and high
MOST_NAMES = 30  # locations of a picture with numbers beside the gauges
MOST_PERIODS = 6.0  # of its link's flow; a larger quantity is drawn like this one
KEY = 0.5  # inches below a picture, for what is what


def places(network: SupplyNetwork) -> dict[str, Float64]:
    """Where suppliers and locations stand: a column [0] and a row [1] by name.

    Columns 0, 1, 2, ... from left to right are the most links between a location and a supplier;
    who sends nothing on stands in the last one. Rows of the tallest column lie 1 apart, and shorter
    columns are spread evenly over its height; up to down in the network's own order, around 0.
    """
    graph = network.graph
    columns: dict[str, int] = {}
    for column, generation in enumerate(nx.topological_generations(graph)):
        columns |= dict.fromkeys(generation, column)
    last = max(columns.values())
    layers: dict[int, list[str]] = {column: [] for column in range(last + 1)}
    names = [*network.suppliers, *network.locations]
    for name in reversed(names):  # rows are counted upwards
        sends = name in network.suppliers or graph.out_degree(name)
        layers[columns[name] if sends else last].append(name)
    columns_of = [members for members in layers.values() if members]
    found = nx.multipartite_layout(graph, subset_key=dict(enumerate(columns_of)))
    # networkx fits them into a square; here columns are to be 1 apart, and then rows are.
    gap = found[columns_of[1][0]][0] - found[columns_of[0][0]][0]
    tallest = max(map(len, columns_of))
    spot = {}
    for k, members in enumerate(columns_of):
        middle = np.mean([found[name][1] for name in members])
        for name in members:
            up = (found[name][1] - middle) / gap
            spot[name] = np.array([k, up * tallest / len(members)])
    return {name: spot[name] for name in names}


def frame(simulator: Parameters, state: State, game: int = 0) -> NDArray[np.uint8]:
    """One game as a picture, uint8 [H, W, 3].

    A location is a gauge, filled by the stock on hand; red and from the right by customers who
    wait. It is full at what the location began with, or at what flows through it in its longest
    lead time and two periods more, if that is more. Goods on their way are discs on their link,
    as far along as they have travelled, with an area of their quantity over the link's mean flow,
    up to six periods of it. Who has more than a full gauge has an arrow beside it.

    What is said above: the period, costs so far, and of what was wanted the share that was not met
    at once; the latter two of the periods that count. Below stands what is what.
    """
    one = take(state, torch.tensor([game], device=state.on_hand.device))
    network, arrays = simulator.network, simulator.arrays
    spot = places(network)
    columns = max(x for x, _ in spot.values())
    rows = max(Counter(x for x, _ in spot.values()).values())
    row = min(0.62, max(0.19, 8.0 / rows))
    height = max(2.4, row * rows + 0.9)
    column = (WIDTH - sum(SIDE)) / columns
    at = {name: (SIDE[0] + x * column, height / 2 - 0.2 + y * row) for name, (x, y) in spot.items()}

    figure = Figure(figsize=(WIDTH, height), dpi=DOTS)
    ax = figure.add_axes((0, 0, 1, 1), xlim=(0, WIDTH), ylim=(0, height))  # data are inches
    ax.set_axis_off()
    wide, high = GAUGE[0], min(GAUGE[1], 0.7 * row)

    ends = np.array([[at[link.source], at[link.target]] for link in network.links])  # [E, 2, 2]
    ends[arrays.source >= 0, 0, 0] += wide  # goods leave at the right of a gauge
    ax.add_collection(LineCollection(list(ends), colors="0.8", linewidths=0.9, zorder=1))
    area = 40.0 if arrays.num_links <= 20 and arrays.pipeline <= 6 else 18.0
    _goods(ax, arrays, one, ends, area)

    on_hand = one.on_hand[0].detach().cpu().double().numpy()
    full = _full(arrays)
    share = np.clip(np.abs(on_hand) / full, 0, 1)
    corners = [(at[name][0], at[name][1] - high / 2) for name in arrays.names]
    boxes = [Rectangle(corner, wide, high) for corner in corners]
    bars = [
        Rectangle((x if units >= 0 else x + wide * (1 - part), y), wide * part, high)
        for (x, y), part, units in zip(corners, share, on_hand, strict=True)
    ]
    ax.add_collection(PatchCollection(boxes, facecolor="white", edgecolor="0.45", lw=0.8, zorder=3))
    colours = [STOCK if units >= 0 else WAITING for units in on_hand]
    ax.add_collection(PatchCollection(bars, facecolor=colours, edgecolor="none", zorder=4))
    for (x, y), units, most in zip(corners, on_hand, full, strict=True):
        if abs(units) > most:
            _arrow(ax, x + (wide if units > 0 else 0), y + high / 2, high, forward=units > 0)

    size = min(8.0, 55 * row)
    for name in network.suppliers:
        x, y = at[name]
        ax.plot(x, y, "s", color="0.45", ms=6, zorder=3)
        ax.text(x - 0.1, y, name.replace("_", " "), ha="right", va="center", size=size)
    few = len(arrays.names) <= MOST_NAMES
    last = columns
    for (x, y), name, units in zip(corners, arrays.names, on_hand, strict=True):
        text = f"{name.replace('_', ' ')}  {units:.3g}" if few else name.replace("_", " ")
        if spot[name][0] == last:
            ax.text(x + wide + 0.08, y + high / 2, text, ha="left", va="center", size=size)
        else:
            ax.text(
                x + wide / 2, y + high + 0.04, text, ha="center", va="bottom", size=8, zorder=5,
                bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 0.5},
            )  # fmt: skip
    ax.text(0.1, height - 0.1, _said(simulator, one), ha="left", va="top", size=9, color="0.25")
    return np.concatenate((_pixels(figure), _key(area)))


def _pixels(figure: Figure) -> NDArray[np.uint8]:
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _arrow(ax: Axes, x: float, y: float, high: float, forward: bool) -> None:
    """At the end of a gauge [inches] that cannot show all, pointing out of it."""
    tip = (0.07 if forward else -0.07) * high / GAUGE[1]
    corners = [(x, y - high / 2), (x + tip, y), (x, y + high / 2)]
    ax.add_patch(Polygon(corners, color=BEYOND, lw=0, zorder=5))


@lru_cache(maxsize=2)
def _key(area: float) -> NDArray[np.uint8]:
    """What is what, to go below a picture: the same for all of an animation.

    Args:
        area: points^2 of a disc of as much as flows in a period.
    """
    figure = Figure(figsize=(WIDTH, KEY), dpi=DOTS)
    ax = figure.add_axes((0, 0, 1, 1), xlim=(0, WIDTH), ylim=(0, KEY))
    ax.set_axis_off()
    wide, high = 0.45, GAUGE[1]
    above, below = 0.34, 0.13

    def gauge(x: float, share: float, colour: str) -> None:
        left = x if colour == STOCK else x + wide * (1 - share)
        ax.add_patch(Rectangle((left, above - high / 2), wide * share, high, color=colour, lw=0))
        corner = (x, above - high / 2)
        ax.add_patch(Rectangle(corner, wide, high, facecolor="none", edgecolor="0.45", lw=0.8))

    def say(x: float, y: float, text: str) -> None:
        ax.text(x, y, text, ha="left", va="center_baseline", size=8, color="0.25")

    gauge(0.1, 0.6, STOCK)
    say(0.63, above, "on hand")
    gauge(1.27, 0.6, WAITING)
    say(1.8, above, "customers who wait")
    _arrow(ax, 3.13, above, high, forward=True)
    say(3.27, above, "more than a full gauge")
    ax.plot(4.85, above, "s", color="0.45", ms=6)
    say(4.97, above, "supplier")
    ax.scatter(0.17, below, s=area, color=ON_ITS_WAY, lw=0)
    say(
        0.3,
        below,
        "on its way, as much as the link's mean flow of a period (area: quantity, up to 6)",
    )
    return _pixels(figure)


def _full(arrays: NetworkArrays) -> Float64:
    """[V] units of a full gauge."""
    stock = np.array([one.stock for one in arrays.network.locations.values()])
    longest = np.zeros(arrays.num_locations)
    leads = [len(link.lead_times) - 1 for link in arrays.network.links]
    np.maximum.at(longest, arrays.target, leads)
    return np.maximum(np.maximum(stock, arrays.flow * (longest + 2)), 1e-9)


def _goods(ax: Axes, arrays: NetworkArrays, one: State, ends: Float64, area: float) -> None:
    """Discs for what is on its way; `ends` [E, 2, 2] are points, `area` is that of a period."""
    pipeline = one.pipeline[0].detach().cpu().double().numpy()  # [E, P]
    link, slot = np.nonzero(pipeline > 1e-9)
    if not len(link):
        return
    leads = np.array([len(one.lead_times) - 1 for one in arrays.network.links])
    # What arrives next (slot 0) is a period from the end; less than one, if it does before demand.
    left = (slot + 1) / (leads[link] + arrays.before_demand)
    points = ends[link, 0] * left[:, None] + ends[link, 1] * (1 - left[:, None])
    periods = pipeline[link, slot] / np.maximum(arrays.link_flow[link], 1e-9)
    x, y = points.T
    ax.scatter(x, y, s=area * np.minimum(periods, MOST_PERIODS), color=ON_ITS_WAY, lw=0, zorder=2)


def _said(simulator: Parameters, one: State) -> str:
    cost, unmet, wanted = one.tally[0].tolist()
    period = int(one.period[0])
    words = [f"Period {period} of {simulator.periods}", f"cost so far {cost:,.1f}"]
    if wanted > 0:
        words.append(f"not met at once {unmet:,.4g} of {wanted:,.4g} ({unmet / wanted:.1%})")
    if simulator.look_back:
        words.append(f"demand {float(one.past[0, :, -1].sum()):.4g}")
    return "    ".join(words)
