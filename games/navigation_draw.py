"""Pictures and animations of `games.navigation`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import EllipseCollection, LineCollection
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from games.errors import InputError
from games.navigation import Navigation, State
from games.simulator import take

# Okabe and Ito's colours, told apart by everybody; purple for their yellow, which is faint.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#6A3D9A", "#000000")
INCHES, DOTS = 4.8, 100  # side of a picture, and dots an inch


def frame(
    simulator: Navigation, state: State, game: int = 0, trail: Tensor | None = None
) -> NDArray[np.uint8]:
    """One game as a picture, uint8 [H, W, 3].

    Discs are filled circles with a line of their speed; a ring of the disc's colour is its goal, as
    wide as the distance at which it has arrived. A disc that has touched something has a red rim.
    Grey circles are obstacles; thin lines join who sees whom.

    Args:
        trail: [T, N, 2] positions of that game so far, drawn as lines.
    """
    one = take(state, torch.tensor([game], device=state.position.device))
    count = simulator.agents
    colours = [COLOURS[i % len(COLOURS)] for i in range(count)]
    position, goal, obstacle, velocity = (
        points[0].detach().cpu().numpy()
        for points in (one.position, one.goal, one.obstacle, one.velocity)
    )
    figure = Figure(figsize=(INCHES, INCHES), dpi=DOTS)
    ax = figure.add_axes((0, 0, 1, 1))
    # The area with a rim of a tenth; those who leave it, and a wall that does, stay in the picture.
    edge = float(np.abs(np.concatenate((position, obstacle))).max())
    half = max(0.55 * simulator.area, edge + 1.1 * max(simulator.radius, simulator.obstacle_radius))
    ax.set(xlim=(-half, half), ylim=(-half, half))
    ax.set_axis_off()
    side = simulator.area / 2
    ax.plot(
        [-side, side, side, -side, -side], [-side, -side, side, side, -side], color="0.85", lw=1
    )

    def discs(points: NDArray, radius: float, **style: Any) -> None:
        wide, style["offset_transform"] = np.full(len(points), 2 * radius), ax.transData
        none = np.zeros(len(points))
        ax.add_collection(EllipseCollection(wide, wide, none, units="xy", offsets=points, **style))

    edges = simulator.observe(one).edges.cpu().numpy()
    nodes = np.concatenate((position, obstacle))
    ax.add_collection(LineCollection(list(nodes[edges.T]), colors="0.6", linewidths=0.7, zorder=1))
    discs(obstacle, simulator.obstacle_radius, facecolors="0.72", edgecolors="0.5", zorder=2)
    at_goal = one.arrived[0].tolist()
    inside = [f"{c}{'55' if here else '1A'}" for c, here in zip(colours, at_goal, strict=True)]
    discs(
        goal, simulator.goal_radius, facecolors=inside, edgecolors=colours,
        linewidths=1.3, linestyles="--", zorder=2,
    )  # fmt: skip
    if trail is not None:
        lines = trail.detach().cpu().numpy().swapaxes(0, 1)
        ax.add_collection(
            LineCollection(list(lines), colors=colours, linewidths=1.6, alpha=0.45, zorder=3)
        )
    touched = one.collided[0].tolist()
    rims = ["#E00000" if t else "white" for t in touched]
    discs(
        position, simulator.radius, facecolors=colours, edgecolors=rims,
        linewidths=[2.2 if t else 0.8 for t in touched], zorder=4,
    )  # fmt: skip
    ahead = position + 0.3 * velocity  # where it will be in .3 s
    ax.add_collection(
        LineCollection(
            list(np.stack((position, ahead), 1)), colors="0.15", linewidths=1.2, zorder=5
        )
    )
    if count <= 26:
        for i, (x, y) in enumerate(goal):
            ax.text(x, y, str(i), color=colours[i], ha="center", va="center", size=8, zorder=2)
        if simulator.radius / half > 0.03:
            for i, (x, y) in enumerate(position):
                ax.text(
                    x, y, str(i), color="white", ha="center", va="center", size=7,
                    weight="bold", zorder=6,
                )  # fmt: skip
    ax.text(
        0.02, 0.985, f"{int(one.steps[0]) * simulator.dt:.1f} s   "
        f"arrived {sum(at_goal)} of {count}   contacts {int(one.collisions[0])}",
        transform=ax.transAxes, ha="left", va="top", size=9, color="0.25",
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 2}, zorder=7,
    )  # fmt: skip
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def animate(
    frames: Sequence[NDArray[np.uint8]], path: str | os.PathLike[str], seconds: float = 0.1
) -> None:
    """Write pictures [H, W, 3] of one size as an endless GIF, each shown for so many seconds.

    Raises:
        InputError: no pictures, pictures of several sizes, a path that does not end in .gif, or
            that cannot be written.
    """
    from PIL import Image

    path = Path(path)
    if path.suffix.lower() != ".gif":
        raise InputError(f"{path}: an animation is written as .gif; name it so")
    if not frames or len({picture.shape for picture in frames}) > 1:
        raise InputError(f"{path}: give one or more pictures of one size")
    images = [Image.fromarray(picture) for picture in frames]
    # One palette for all, or colours would flicker; the last picture has the most in it.
    palette = images[-1].quantize(128)
    shown = [image.quantize(palette=palette, dither=Image.Dither.NONE) for image in images]
    try:
        shown[0].save(
            path, save_all=True, append_images=shown[1:], duration=round(1000 * seconds), loop=0
        )
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}; choose a folder that can be written") from None
