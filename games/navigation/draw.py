"""Pictures and animations of discs that navigate, with and without barriers."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import matplotlib
import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.collections import EllipseCollection, LineCollection
from matplotlib.colors import ListedColormap, LogNorm
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from games.navigation.navigation import Navigation, State
from games.navigation.safe_navigation import PARAMETERS, SafeNavigation
from games.navigation.safe_navigation import State as SafeState
from games.simulators.simulator import take

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colorbar import Colorbar

# Okabe and Ito's colours, told apart by everybody; purple for their yellow, which is faint.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#6A3D9A", "#000000")
# Of zeta, from careful to bold; the map's yellow end would be faint on white.
ZETA_COLOURS = ListedColormap(matplotlib.colormaps["plasma"](np.linspace(0.03, 0.82, 256)), "zeta")
INCHES, DOTS = 4.8, 100  # side of a picture, and dots an inch
TOUCHED = "#E00000"
MOST_NUMBERED = 26  # agents
KEY = 0.28  # inches below it, for what is what
BAR = 0.5  # inches below that, for the scale of colours


@torch.no_grad()  # a picture may be one of a state with a gradient
def frame(
    simulator: Navigation,
    state: State,
    game: int = 0,
    trail: Tensor | None = None,
    zeta: Tensor | None = None,
) -> NDArray[np.uint8]:
    """One game as a picture, uint8 [H, W, 3].

    Discs are filled circles with a line of their speed; a ring of the disc's colour is its goal, as
    wide as the distance at which it has arrived. A disc that has touched something has a red rim.
    Grey circles are obstacles; thin lines join who sees whom. In safe navigation the filling says
    how large zeta is, and the rim has the disc's own colour. Below stands what is what.

    Args:
        trail: [T, N, 2] positions of that game so far, drawn as lines.
        zeta: [T, N] in 1/s, from each of these on; the lines have its colours then.
    """
    one = take(state, torch.tensor([game], device=state.position.device))
    scale = None
    if isinstance(simulator, SafeNavigation):
        scale = zeta_scale(simulator.zeta_least, simulator.zeta_most)
    figure = Figure(figsize=(INCHES, INCHES), dpi=DOTS)
    ax = figure.add_axes((0, 0, 1, 1))
    own = [COLOURS[i % len(COLOURS)] for i in range(simulator.agents)]
    position, obstacle = one.position[0].cpu().numpy(), one.obstacle[0].cpu().numpy()
    half = _area(ax, simulator, position, obstacle)
    edges = simulator.observe(one).edges.cpu().numpy()
    nodes = np.concatenate((position, obstacle))
    ax.add_collection(LineCollection(list(nodes[edges.T]), colors="0.6", linewidths=0.7, zorder=1))
    discs(ax, obstacle, simulator.obstacle_radius, facecolors="0.72", edgecolors="0.5", zorder=2)
    _goals(ax, simulator, one, own)
    if trail is not None:
        lines = trail.detach().cpu().numpy()
        colours: Any = own
        faint = 0.45
        if scale is None or zeta is None:
            lines = lines.swapaxes(0, 1)
        else:
            faint = 0.8  # or the colours would not be those of the scale
            lines = np.stack((lines[:-1], lines[1:]), axis=2).reshape(-1, 2, 2)
            colours = scale.to_rgba(zeta[: len(trail) - 1].flatten().cpu().numpy())
        ax.add_collection(
            LineCollection(list(lines), colors=colours, linewidths=1.6, alpha=faint, zorder=3)
        )
    _agents(ax, simulator, one, own, scale, numbered=simulator.radius / half > 0.03)
    ax.text(
        0.02, 0.985, f"{int(one.steps[0]) * simulator.dt:.1f} s   "
        f"arrived {int(one.arrived.sum())} of {simulator.agents}   "
        f"contacts {int(one.collisions[0])}",
        transform=ax.transAxes, ha="left", va="top", size=9, color="0.25",
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 2}, zorder=7,
    )  # fmt: skip
    parts = [_pixels(figure), _key(len(obstacle) > 0)]
    if isinstance(simulator, SafeNavigation):
        parts.append(_bar(simulator.zeta_least, simulator.zeta_most))
    return np.concatenate(parts)


def frames(
    simulator: Navigation, states: Sequence[State], first: int = 0
) -> list[NDArray[np.uint8]]:
    """Pictures of a game's states from number `first` on, each with the ways gone until then."""
    trail = torch.stack([state.position[0] for state in states])  # [T, N, 2]
    zeta = None
    if isinstance(states[0], SafeState):
        column = PARAMETERS.index("zeta")
        zeta = torch.stack([state.parameters[0, :, column] for state in states])  # type: ignore[attr-defined]
    return [
        frame(simulator, states[at], 0, trail[: at + 1], zeta) for at in range(first, len(states))
    ]


def _pixels(figure: Figure) -> NDArray[np.uint8]:
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


@lru_cache(maxsize=2)
def _key(obstacles: bool) -> NDArray[np.uint8]:
    """What is what, to go below a picture: the same for all of an animation."""
    figure = Figure(figsize=(INCHES, KEY), dpi=DOTS)
    ax = figure.add_axes((0, 0, 1, 1), xlim=(0, INCHES), ylim=(0, KEY))
    ax.set_axis_off()
    y = KEY / 2
    around: dict[str, Any] = {"ls": "", "marker": "o", "ms": 9}
    discs(ax, np.array([[0.2, y]]), 0.08, facecolors="none", edgecolors="0.3", linestyles="--")
    ax.plot([0.76, 0.96], [y, y], color="0.15", lw=1.2)
    ax.plot([1.92, 2.12], [y, y], color="0.6", lw=0.7)
    ax.plot(2.68, y, mfc="white", mec=TOUCHED, mew=2.2, **around | {"ms": 7})
    words = [(0.34, "goal"), (1.02, "way of 0.3 s"), (2.18, "sees"), (2.8, "has touched")]
    if obstacles:
        ax.plot(3.8, y, mfc="0.72", mec="0.5", **around)
        words.append((3.93, "obstacle"))
    for x, word in words:
        ax.text(x, y, word, ha="left", va="center_baseline", size=8, color="0.25")
    return _pixels(figure)


@lru_cache(maxsize=16)
def _bar(low: float, high: float) -> NDArray[np.uint8]:
    """The scale of colours, to go below a picture: the same for all of an animation."""
    figure = Figure(figsize=(INCHES, BAR), dpi=DOTS)
    where = figure.add_axes((0.34, 0.74, 0.6, 0.18))
    zeta_bar(figure, zeta_scale(low, high), cax=where, orientation="horizontal")
    return _pixels(figure)


def zeta_scale(low: float, high: float) -> ScalarMappable:
    """Colours of zeta, on a scale of logarithms between the least and the most."""
    return ScalarMappable(LogNorm(low, high if high > low else 1.01 * low), ZETA_COLOURS)


def zeta_bar(figure: Figure, scale: ScalarMappable, **where: Any) -> Colorbar:
    """The scale of these colours as a bar; `where` goes to `Figure.colorbar`."""
    bar = figure.colorbar(scale, **where)
    low, high = (float(end) for end in scale.get_clim())
    round_numbers = [m * 10.0**e for e in range(-9, 10) for m in (1, 3)]
    ticks = [t for t in round_numbers if 0.999 * low <= t <= 1.001 * high] or [low, high]
    bar.set_ticks(ticks, labels=[f"{tick:g}" for tick in ticks])
    bar.ax.minorticks_off()
    bar.ax.tick_params(labelsize=8)
    bar.outline.set_visible(False)
    name = "zeta, 1/s (low: careful)"
    if bar.orientation == "horizontal":
        bar.ax.text(-0.04, 0.5, name, transform=bar.ax.transAxes, ha="right", va="center", size=8)
    else:
        bar.set_label(name, size=8)
    return bar


def discs(ax: Axes, points: NDArray, radius: float, **style: Any) -> None:
    """Circles of a radius in m around points [K, 2]; `style` goes to `EllipseCollection`."""
    wide, none = np.full(len(points), 2 * radius), np.zeros(len(points))
    style["offset_transform"] = ax.transData
    ax.add_collection(EllipseCollection(wide, wide, none, units="xy", offsets=points, **style))


def _area(ax: Axes, simulator: Navigation, position: NDArray, obstacle: NDArray) -> float:
    """Lay out the picture; half its side, in m."""
    # The area with a rim of a tenth; those who leave it, and a wall that does, stay in the picture.
    edge = float(np.abs(np.concatenate((position, obstacle))).max())
    half = max(0.55 * simulator.area, edge + 1.1 * max(simulator.radius, simulator.obstacle_radius))
    ax.set(xlim=(-half, half), ylim=(-half, half))
    ax.set_axis_off()
    side = simulator.area / 2
    ax.plot(
        [-side, side, side, -side, -side], [-side, -side, side, side, -side], color="0.85", lw=1
    )
    return half


def _goals(ax: Axes, simulator: Navigation, one: State, own: Sequence[str]) -> None:
    goal, at_goal = one.goal[0].cpu().numpy(), one.arrived[0].tolist()
    inside = [f"{c}{'55' if here else '1A'}" for c, here in zip(own, at_goal, strict=True)]
    discs(
        ax, goal, simulator.goal_radius, facecolors=inside, edgecolors=own,
        linewidths=1.3, linestyles="--", zorder=2,
    )  # fmt: skip
    if simulator.agents <= MOST_NUMBERED:
        for i, (x, y) in enumerate(goal):
            ax.text(x, y, str(i), color=own[i], ha="center", va="center", size=8, zorder=2)


def _agents(
    ax: Axes,
    simulator: Navigation,
    one: State,
    own: Sequence[str],
    scale: ScalarMappable | None,
    numbered: bool,
) -> None:
    """The discs, with where they will be in 0.3 s."""
    position, velocity = one.position[0].cpu().numpy(), one.velocity[0].cpu().numpy()
    touched = one.collided[0].tolist()
    inside: Any = own
    rims, width = ["white"] * len(own), 0.8
    if scale is not None and isinstance(one, SafeState):
        zeta = one.parameters[0, :, PARAMETERS.index("zeta")]
        inside, rims, width = scale.to_rgba(zeta.cpu().numpy()), list(own), 1.6
    discs(
        ax, position, simulator.radius, facecolors=inside,
        edgecolors=[TOUCHED if t else rim for t, rim in zip(touched, rims, strict=True)],
        linewidths=[2.2 if t else width for t in touched], zorder=4,
    )  # fmt: skip
    ahead = list(np.stack((position, position + 0.3 * velocity), axis=1))
    ax.add_collection(LineCollection(ahead, colors="0.15", linewidths=1.2, zorder=5))
    if numbered and simulator.agents <= MOST_NUMBERED:
        for i, (x, y) in enumerate(position):
            ax.text(
                x, y, str(i), color="white", ha="center", va="center", size=7,
                weight="bold", zorder=6,
            )  # fmt: skip
