"""Pictures of equilibria: the payoff region, the quantal path, best-response regions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from analysis.equilibrium import Equilibrium, require_two_players
from analysis.plot import COLOURS, new_axes, short_labels
from analysis.quantal import LogitPath
from analysis.region import payoff_region
from games import Game, InputError, NormalForm, SequenceForm

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MARKERS = "osD^vPX*"
MOST_LINES = 12
GRID = 241  # points along each side of a picture of a triangle


def payoffs(
    game: Game | SequenceForm,
    equilibria: Mapping[str, Equilibrium] | None = None,
    *,
    title: str = "",
    ax: Axes | None = None,
) -> Figure:
    """The payoffs that two players can get: of all play, of all CCE, of all CE, and of points.

    Args:
        game: two players; of a tree, its reduced normal form.
        equilibria: points by their names.
        title: of the picture.
        ax: where to draw; a new figure if not given.
    """
    figure, ax = new_axes(ax, (6.4, 4.6))
    shades = ((None, "all play", "0.90"), ("cce", "CCE", "#BBD9EE"), ("ce", "CE", "#5FA8D8"))
    for concept, label, colour in shades:
        corners = payoff_region(game, concept)  # type: ignore[arg-type]
        if len(corners) > 2:
            ax.fill(*corners.T, color=colour, label=label, zorder=1, linewidth=0)
        else:
            ax.plot(*corners.T, color=colour, label=label, zorder=1, linewidth=5, marker="o")
    for k, (name, found) in enumerate((equilibria or {}).items()):
        ax.plot(
            *found.values,
            marker=MARKERS[k % len(MARKERS)],
            color=COLOURS[k % len(COLOURS)],
            markeredgecolor="white",
            markersize=10,
            linestyle="",
            label=name,
            zorder=3,
            clip_on=False,
        )
    ax.set(xlabel="player 0's payoff", ylabel="player 1's payoff", title=title)
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def quantal_path(path: LogitPath, *, title: str = "", ax: Axes | None = None) -> Figure:
    """Probabilities along the principal branch, against precision.

    Args:
        path: of `logit_path`.
        title: of the picture.
        ax: where to draw; a new figure if not given. At most 12 actions are shown: those whose
            probability moves most.
    """
    figure, ax = new_axes(ax, (6.8, 4.2))
    form, start = path.form, 0
    names, columns = [], []
    for i, player in enumerate(form.players):
        sets = short_labels(player.information_sets)
        owner = np.repeat(np.arange(len(sets)), player.num_actions)
        # Of two actions one line says it all.
        alone = np.repeat(player.num_actions, player.num_actions) != 2
        second = np.arange(player.num_sequences - 1) - player.first_sequence[owner] + 1 == 1
        for s in 1 + np.flatnonzero(alone | second):
            where = f" at {sets[owner[s - 1]]}" if len(sets) > 1 else ""
            names.append(f"player {i}{where}: {player.labels[s]}")
            columns.append(path.behaviours[:, start + s])
        start += player.num_sequences
    moved = np.ptp(np.array(columns), axis=1)
    shown = np.sort(np.argsort(-moved, kind="stable")[:MOST_LINES])
    for k, line in enumerate(shown):
        ax.plot(
            path.precisions, columns[line], label=names[line], linewidth=1.6,
            color=COLOURS[k % len(COLOURS)], linestyle=("-", "--")[k // len(COLOURS)],
        )  # fmt: skip
    positive = path.precisions[path.precisions > 0]
    if len(positive):
        ax.set_xscale("symlog", linthresh=max(float(positive.min()), 1e-3))
        ax.set_xlim(0, float(positive.max()))
    left = f" ({len(shown)} of {len(names)} actions)" if len(shown) < len(names) else ""
    ax.set(xlabel="precision", ylabel=f"probability{left}", title=title, ylim=(-0.02, 1.02))
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=8)
    return figure


def best_response_regions(
    game: NormalForm,
    leader: int = 0,
    points: Mapping[str, Equilibrium] | None = None,
    *,
    title: str = "",
) -> Figure:
    """Which of the follower's actions is best where, over the leader's mixed strategies.

    For a leader of two actions the payoffs of both players, for one of three the triangle of its
    mixed strategies.

    Args:
        game: a matrix game for two, the leader with two or three actions.
        leader: 0 or 1.
        points: equilibria to mark, by name.
        title: of the picture.

    Raises:
        InputError: a leader with more actions.
    """
    require_two_players(game.form, "a picture of best responses")
    count = game.num_actions[leader]
    if count not in (2, 3):
        raise InputError(f"{game.name}: the leader has {count} actions; draw one with 2 or 3")
    own = np.moveaxis(game.payoffs[..., leader], leader, 0)  # [A, B]
    other = np.moveaxis(game.payoffs[..., 1 - leader], leader, 0)
    marks = {
        name: game.mixed(e.strategy)[leader] for name, e in (points or {}).items() if e.strategy
    }
    names, actions = game.actions[1 - leader], game.actions[leader]
    if count == 2:
        return _on_a_line(own, other, names, actions, marks, title)
    return _on_a_triangle(other, names, actions, marks, title)


def _on_a_line(
    own: np.ndarray,
    other: np.ndarray,
    names: tuple[str, ...],
    actions: tuple[str, ...],
    marks: Mapping[str, np.ndarray],
    title: str,
) -> Figure:
    figure = Figure(figsize=(7.2, 5.4), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    x = np.linspace(0.0, 1.0, 2001)
    mixed = np.stack([1 - x, x])  # the second action's probability grows to the right
    reply = np.argmax(other.T @ mixed, axis=0)
    edges = np.concatenate([[0], np.flatnonzero(np.diff(reply)) + 1, [len(x) - 1]])
    for ax, payoff, label in ((above, other, "follower's payoff"), (below, own, "leader's payoff")):
        for a, b in zip(edges[:-1], edges[1:], strict=True):
            ax.axvspan(x[a], x[b], color=COLOURS[1 + reply[a] % 7], alpha=0.12, linewidth=0)
        for k, name in enumerate(names):
            ax.plot(x, payoff[:, k] @ mixed, color=COLOURS[1 + k % 7], linewidth=0.9, label=name)
        best = np.take_along_axis(payoff.T @ mixed, reply[None], axis=0)[0]
        # A jump of the leader's payoff between two regions is not drawn as a slope.
        best = best.copy()
        if payoff is own:
            best[edges[1:-1]] = np.nan
        ax.plot(x, best, color="black", linewidth=2.2, label="under the best response")
        for k, (name, point) in enumerate(marks.items()):
            ax.axvline(
                point[1],
                color="0.25",
                linestyle=(":", "--", "-.")[k % 3],
                label=name,
                clip_on=False,
            )
        ax.set_ylabel(label)
        ax.spines[["top", "right"]].set_visible(False)
    above.set_title(title)
    below.set_xlabel(f"probability of {actions[1]} (else {actions[0]})")
    below.set_xlim(0, 1)
    handles, labels = above.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right center", frameon=False)
    return figure


def _on_a_triangle(
    other: np.ndarray,
    names: tuple[str, ...],
    actions: tuple[str, ...],
    marks: Mapping[str, np.ndarray],
    title: str,
) -> Figure:
    from matplotlib.colors import ListedColormap
    from matplotlib.patches import Patch

    corners = np.array([[0.0, 0.0], [1.0, 0.0], [0.5, np.sqrt(0.75)]])
    figure, ax = new_axes(None, (6.4, 4.6))
    u, v = np.meshgrid(np.linspace(0, 1, GRID), np.linspace(0, np.sqrt(0.75), GRID))
    third = v / np.sqrt(0.75)
    second = u - third / 2
    mixed = np.stack([1 - second - third, second, third])
    reply = np.argmax(np.einsum("ab,aij->bij", other, mixed), axis=0).astype(float)
    reply[np.any(mixed < -1e-9, axis=0)] = np.nan
    colours = [COLOURS[1 + k % 7] for k in range(len(names))]
    ax.pcolormesh(
        u, v, reply, cmap=ListedColormap(colours), vmin=-0.5, vmax=len(names) - 0.5, alpha=0.45,
        shading="nearest", linewidth=0, rasterized=True,
    )  # fmt: skip
    ax.plot(*corners[[0, 1, 2, 0]].T, color="0.3", linewidth=1)
    for k, (name, point) in enumerate(marks.items()):
        place = point @ corners
        ax.plot(
            *place, marker=MARKERS[k % len(MARKERS)], color="black", markeredgecolor="white",
            markersize=10, linestyle="", label=name, clip_on=False,
        )  # fmt: skip
    for corner, name, where in zip(corners, actions, ("right", "left", "center"), strict=True):
        ax.annotate(
            name, corner, ha=where, va="bottom" if where == "center" else "top",
            xytext=(0, 5 if where == "center" else -5), textcoords="offset points",
        )  # fmt: skip
    shown = np.unique(reply[~np.isnan(reply)]).astype(int)
    patches = [Patch(color=colours[k], alpha=0.45, label=f"best: {names[k]}") for k in shown]
    ax.legend(
        handles=[*patches, *ax.get_legend_handles_labels()[0]],
        frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5),
    )  # fmt: skip
    ax.set(aspect="equal")
    ax.set_title(title, pad=18)
    ax.axis("off")
    return figure
