"""Pictures of safe navigation games: paths, zeta over time, and who yielded to whom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FormatStrFormatter

from analysis.navigation.history import Trajectories, yielding
from analysis.plots.base import new_axes
from games import InputError
from games.navigation.draw import COLOURS as OWN
from games.navigation.draw import discs, zeta_bar, zeta_scale

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WAIT = 0.5  # s, the shortest that is drawn
RING = 60  # points^2 for a second of waiting
MOST_PANELS = 4  # side by side


def paths(
    played: Trajectories | Mapping[str, Trajectories], game: int = 0, *, title: str = ""
) -> Figure:
    """Paths of discs in one game, coloured by zeta; one panel a player.

    A dot a second: where they are close, a disc is slow. A ring is a wait, its area the time that
    it takes. Open circles with a number are goals, filled ones show discs where they are at the
    end; grey ones are obstacles.

    Args:
        played: what happened; or by name of the player, drawn in panels of one scale.
        game: which of the games.
        title: of the picture.

    Raises:
        InputError: no such game, or nothing to draw.
    """
    shown = _named(played)
    each = list(shown.values())
    scale = zeta_scale(min(p.game.zeta_least for p in each), max(p.game.zeta_most for p in each))
    columns = min(len(shown), MOST_PANELS)
    rows = -(-len(shown) // columns)
    figure = Figure(figsize=(3.9 * columns + 0.9, 4.25 * rows + 0.6), layout="constrained")
    figure.suptitle(title)
    panels = np.ravel(figure.subplots(rows, columns, squeeze=False))
    for ax, (name, one) in zip(panels, shown.items(), strict=False):
        _plane(ax, one, one.of(game), scale)
        last = one.length[game]
        there = int(one.arrived[last, game].sum())
        said = f"{there} of {one.game.agents} arrive, {last * one.game.dt:.4g} s"
        ax.set_title(f"{name}\n{said}" if name else said, size=9)
    for ax in panels[len(shown) :]:
        ax.remove()
    zeta_bar(figure, scale, ax=list(panels[: len(shown)]), shrink=0.7, pad=0.02)
    mark: dict[str, Any] = {"ls": "", "color": "0.2", "mfc": "none"}
    figure.legend(
        handles=[
            Line2D([], [], marker="x", ms=5, label="start", **mark),
            Line2D([], [], marker=".", ms=3, label="a second", **mark | {"mfc": "0.2"}),
            Line2D([], [], marker="o", ms=(RING * 3) ** 0.5, label="a wait of 3 s", **mark),
        ],
        loc="outside lower center", ncols=3, frameon=False, fontsize=8,
    )  # fmt: skip
    return figure


def _plane(ax: Axes, played: Trajectories, b: int, scale: Any) -> None:
    game, last = played.game, played.length[b]
    place, zeta = played.position[: last + 1, b], played.zeta[:last, b]
    discs(ax, played.obstacle[b], game.obstacle_radius, facecolors="0.82", edgecolors="0.6")
    own = [OWN[i % len(OWN)] for i in range(game.agents)]
    discs(
        ax, played.goal[b], game.goal_radius, facecolors="none", edgecolors=own,
        linewidths=1.1, linestyles="--", zorder=2,
    )  # fmt: skip
    second = max(round(1 / game.dt), 1)
    for i in range(game.agents):
        until = int(played.until[b, i])
        way = place[: until + 1, i]
        ax.add_collection(
            LineCollection(
                list(np.stack((way[:-1], way[1:]), axis=1)), colors=scale.to_rgba(zeta[:until, i]),
                linewidths=2.2, zorder=3, capstyle="round",
            )
        )  # fmt: skip
        ticks = np.arange(0, until + 1, second)
        ax.plot(*way[ticks].T, ".", ms=2.6, color="black", zorder=4)
        for first, end in waits(played.waiting[:last, b, i]):
            seconds = (end - first) * game.dt
            if seconds >= WAIT:
                x, y = place[first : end + 1, i].mean(axis=0)
                ax.scatter(
                    x, y, s=RING * seconds, facecolors="none", edgecolors=own[i], lw=1.1,
                    zorder=8,
                )  # fmt: skip
        ax.plot(*way[0], "x", ms=5, mew=1.4, color=own[i], zorder=5)
        if not played.arrived[last, b, i]:  # else its disc stands there, which says it, too
            x, y = played.goal[b, i]
            ax.text(x, y, str(i), color=own[i], ha="center", va="center", size=8, zorder=2)
    discs(ax, place[-1], game.radius, facecolors=own, edgecolors="white", linewidths=0.6, zorder=6)
    for i, (x, y) in enumerate(place[-1]):
        ax.text(
            x, y, str(i), color="white", ha="center", va="center", size=6, weight="bold", zorder=7
        )
    edges = (
        0.55 * game.area,
        np.abs(place).max() + 1.1 * game.radius,
        np.abs(played.obstacle[b]).max(initial=0) + game.obstacle_radius,
    )
    half = max(float(edge) for edge in edges)
    ax.set(xlim=(-half, half), ylim=(-half, half), aspect="equal", xticks=[], yticks=[])
    for spine in ax.spines.values():
        spine.set_color("0.85")


def waits(waiting: Sequence[bool] | np.ndarray) -> list[tuple[int, int]]:
    """Runs of steps [T] in which it holds, each from its first step to the one after its last."""
    padded = np.concatenate(([False], np.asarray(waiting, bool), [False]))
    turns = np.flatnonzero(padded[1:] != padded[:-1])
    return [(int(a), int(b)) for a, b in zip(turns[::2], turns[1::2], strict=True)]


def over_time(
    played: Trajectories, game: int = 0, *, title: str = "", ax: Axes | None = None
) -> Figure:
    """The zeta of every agent over time, until it has arrived; thin while it waits.

    A dot is where it arrives.

    Args:
        played: what happened.
        game: which of the games.
        title: of the picture.
        ax: where to draw; a new figure if not given.

    Raises:
        InputError: there is no such game.
    """
    b = played.of(game)
    simulator, last = played.game, int(played.length[b])
    figure, ax = new_axes(ax, (7.2, 3.2))
    for i in range(simulator.agents):
        until = int(played.until[b, i])
        time, zeta = played.time[: until + 1 if until else 0], played.zeta[:until, b, i]
        colour = OWN[i % len(OWN)]
        style: dict[str, Any] = {"color": colour, "drawstyle": "steps-post"}
        # Who has the same zeta is drawn on top of others, narrower.
        width = 1.8 + 2.4 * (simulator.agents - 1 - i) / max(simulator.agents - 1, 1)
        ax.plot(time, np.append(zeta, zeta[-1:]), lw=1.0, alpha=0.5, **style)
        moving = np.where(played.waiting[:until, b, i], np.nan, zeta)
        ax.plot(time, np.append(moving, moving[-1:]), lw=width, label=str(i), **style)
        if until and played.arrived[last, b, i]:
            ax.plot(
                time[-1], zeta[-1], "o", ms=6, color=colour, mec="white", mew=0.8, clip_on=False
            )
    low, high = simulator.zeta_least, simulator.zeta_most
    ax.set(yscale="log", ylim=(low / 1.15, high * 1.15), xlabel="time, s", ylabel="zeta, 1/s")
    ax.set_xlim(0, max(last * simulator.dt, simulator.dt))
    ax.set_title(title, size=10)
    ax.grid(True, color="0.93")
    ax.spines[["top", "right"]].set_visible(False)
    ax.yaxis.set_major_formatter(FormatStrFormatter("%g"))
    ax.legend(
        title="agent\n(thin: waits,\ndot: has arrived)", title_fontsize=8, fontsize=8,
        frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5),
    )  # fmt: skip
    return figure


def who_yields(
    played: Trajectories, game: int = 0, *, title: str = "", ax: Axes | None = None
) -> Figure:
    """`analysis.navigation.history.yielding` as a table of colours, in cm: rows yield to columns.

    Args:
        played: what happened.
        game: which of the games.
        title: of the picture.
        ax: where to draw; a new figure if not given.

    Raises:
        InputError: there is no such game.
    """
    table = 100 * yielding(played, game)
    agents = len(table)
    figure, ax = new_axes(ax, (1.4 + 0.55 * agents, 1.2 + 0.5 * agents))
    widest = max(float(np.abs(table).max()), 1e-9)
    ax.imshow(table, cmap="PuOr_r", vmin=-widest, vmax=widest)
    for i, row in enumerate(table):
        for j, value in enumerate(row):
            if value:  # else they did not meet
                strong = abs(value) > 0.6 * widest
                ax.text(
                    j, i, f"{value:+.0f}", ha="center", va="center", size=8,
                    color="white" if strong else "black",
                )  # fmt: skip
    ax.set_xticks(range(agents))
    ax.set_yticks(range(agents))
    ax.set(xlabel="yields to agent", ylabel="agent")
    ax.set_title(f"{title}\ncm that the row yields to the column".strip(), size=10)
    ax.tick_params(length=0)
    for spine in ax.spines.values():
        spine.set_visible(False)
    return figure


def _named(played: Trajectories | Mapping[str, Trajectories]) -> Mapping[str, Trajectories]:
    if isinstance(played, Trajectories):
        return {"": played}
    if not played:
        raise InputError("no trajectories to draw; give those of one player or more")
    return played
