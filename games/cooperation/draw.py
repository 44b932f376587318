"""Pictures of common-payoff games: payoff tables, with the joint choices that were played."""

from __future__ import annotations

from collections import Counter
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap, TwoSlopeNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from games.cooperation.common_payoff import CommonPayoff, State

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito's vermilion for what costs, their blue for what pays.
COLOURS = LinearSegmentedColormap.from_list("payoff", ["#D55E00", "#FFFFFF", "#0072B2"])
FAINT = 0.6  # of these colours, so that numbers can be read on them
PLAYED, BEST = "#000000", "#009E73"
DOTS = 100  # an inch
CELL, BETWEEN, MARGIN, HEAD, FOOT = 0.62, 0.55, 0.42, 0.72, 0.36  # inches
LEAST_WIDTH = 3.9  # inches, for the words
MOST_CELLS = 24  # a side of a table that is drawn with numbers


def frame(game: CommonPayoff, state: State, which: int = 0) -> NDArray[np.uint8]:
    """One game as a picture, uint8 [H, W, 3].

    A table for each stage; stages with one title share theirs. Rows are the choices of agent 0,
    columns those of agent 1, or of all others together. Blue pays, orange costs; an arrow says
    where a joint choice leads. What was played has a black frame, thick if it was played last, and
    says how often it was, if more than once; green corners are what is best from there on.
    """
    titles = list(dict.fromkeys(game.titles))
    rows, columns = game.choices[0], int(np.prod(game.choices[1:]))
    wide = len(titles) * (columns * CELL + BETWEEN) + MARGIN
    high = rows * CELL + MARGIN + HEAD + FOOT
    figure = Figure(figsize=(max(wide, LEAST_WIDTH), high), dpi=DOTS)
    width = figure.get_figwidth()
    ax = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(high, 0))
    ax.set_axis_off()
    now = int(state.stage[which])
    left = (width - wide) / 2 + MARGIN
    for number, title in enumerate(titles):
        x = left + number * (columns * CELL + BETWEEN)
        _table(ax, game, state.chosen[which].cpu().numpy(), title, now, (x, HEAD + 0.3))
    steps = int((state.chosen[which, :, 0] >= 0).sum())
    done = "over" if now == game.stages else f"step {steps + 1}"
    ax.text(
        width / 2, 0.24, f"{done}   paid {float(state.paid[which]):g}   "
        f"at best {game.values[0]:g}", ha="center", va="center", size=10, color="0.2",
    )  # fmt: skip
    _key(ax, width / 2, high - 0.2)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _table(
    ax: Axes,
    game: CommonPayoff,
    chosen: NDArray[np.int64],
    title: str,
    now: int,
    corner: tuple[float, float],
) -> None:
    """The table of the stages with a title, its upper left corner in inches."""
    stages = [stage for stage, name in enumerate(game.titles) if name == title]
    here = now in stages
    shown = now if here else stages[0]
    payoff = game.payoffs[shown].reshape(game.choices[0], -1)
    leads = game.next_stage[shown].reshape(payoff.shape)
    total = game.joint_values(game.values, shown).reshape(payoff.shape)
    played = [tuple(chosen[stage]) for stage in stages if chosen[stage, 0] >= 0]
    often, last = Counter(played), played[-1] if played else None
    others = list(product(*(range(n) for n in game.choices[1:])))
    x, y = corner
    width = payoff.shape[1] * CELL
    ax.text(
        x + width / 2, y - 0.34, title + ("  (now)" if here else ""), ha="center", va="center",
        size=10, weight="bold" if here else "normal", color="0.1",
    )  # fmt: skip
    most = max(float(np.abs(game.payoffs).max()), 1e-9)
    colour = TwoSlopeNorm(0.0, -most, most)
    numbers = max(payoff.shape) <= MOST_CELLS
    for (row, column), paid in np.ndenumerate(payoff):
        at = (x + column * CELL, y + row * CELL)
        fill = 1 - FAINT * (1 - np.array(COLOURS(colour(paid))[:3]))
        ax.add_patch(Rectangle(at, CELL, CELL, fc=fill, ec="0.75", lw=0.8))
        if numbers:
            _numbers(ax, at, float(paid), _arrow(game, shown, int(leads[row, column]), title))
        if total[row, column] >= total.max() - 1e-9:
            ax.add_patch(Rectangle(at, 0.11, 0.11, fc=BEST, ec="none", zorder=2))
    for joint, times in often.items():
        at = (x + others.index(joint[1:]) * CELL, y + joint[0] * CELL)
        thick = 3.0 if joint == last else 1.4
        ax.add_patch(Rectangle(at, CELL, CELL, fc="none", ec=PLAYED, lw=thick, zorder=4))
        if times > 1:
            ax.text(
                at[0] + CELL - 0.06, at[1] + CELL - 0.05, f"×{times}", ha="right", va="bottom",
                size=7, color="0.2",
            )  # fmt: skip
    if numbers:
        style: dict[str, Any] = {"ha": "center", "va": "center", "size": 8, "color": "0.45"}
        for row in range(payoff.shape[0]):
            ax.text(x - 0.12, y + (row + 0.5) * CELL, str(row), **style)
        for column, joint in enumerate(others):
            name = " ".join(map(str, joint))
            ax.text(x + (column + 0.5) * CELL, y - 0.11, name, **style)


def _arrow(game: CommonPayoff, shown: int, following: int, title: str) -> str:
    """Where a joint choice leads, if to a stage of another title."""
    if following >= game.stages or game.titles[following] == title:
        return ""
    return f"→ {game.titles[following].removeprefix('state ')}"


def _numbers(ax: Axes, at: tuple[float, float], paid: float, leads: str) -> None:
    """A cell's payoff, and where it leads."""
    x, y = at[0] + CELL / 2, at[1] + CELL / 2
    lower = 0.1 if leads else 0.0
    ax.text(x, y - lower, f"{paid:g}", ha="center", va="center", size=12, color="0.1")
    if leads:
        ax.text(x, y + 0.15, leads, ha="center", va="center", size=8, color="0.35")


def _key(ax: Axes, middle: float, y: float) -> None:
    """What is what, below the tables."""
    ax.add_patch(Rectangle((middle - 1.72, y - 0.07), 0.14, 0.14, fc="white", ec=PLAYED, lw=2.4))
    ax.text(middle - 1.5, y, "played", ha="left", va="center", size=8, color="0.3")
    ax.add_patch(Rectangle((middle - 0.86, y - 0.055), 0.11, 0.11, fc=BEST, ec="none"))
    words = "best    rows: agent 0, columns: the others"
    ax.text(middle - 0.68, y, words, ha="left", va="center", size=8, color="0.3")
