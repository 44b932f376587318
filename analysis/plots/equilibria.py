"""Pictures of equilibria: the payoff region, the quantal path, best-response regions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from analysis.correlated.region import payoff_region
from analysis.equilibria.equilibrium import Equilibrium, require_two_players
from analysis.equilibria.quantal import LogitPath
from analysis.plots.base import COLOURS, new_axes
from analysis.plots.labels import labels as labels_of
from games import Game, InputError, NormalForm, SequenceForm

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MARKERS = "osD^vPX*"
SHADES = ((None, "all play", "0.92"), ("cce", "CCE", "#D6E7F3"), ("ce", "CE", "#A3CAE6"))
# Of points: no colour of the family of the shades that they may lie on.
POINTS = tuple(c for c in COLOURS if c != "#56B4E9")
MOST_LINES = 12
SMOOTH = 20  # points drawn between two of a path's
EDGE = 1e-9  # of the follower's payoffs: what is this near to being best counts as best


def payoffs(
    game: Game | SequenceForm,
    equilibria: Mapping[str, Equilibrium] | None = None,
    *,
    title: str = "",
    ax: Axes | None = None,
) -> Figure:
    """Payoff regions of two players: of all play, of all CCE, of all CE, and single points.

    Args:
        game: two players; of a tree, its reduced normal form.
        equilibria: points by their names.
        title: of the picture.
        ax: where to draw; a new figure if not given.
    """
    figure, ax = new_axes(ax, (6.4, 4.6))
    for concept, label, colour in SHADES:
        corners = payoff_region(game, concept)  # type: ignore[arg-type]
        if len(corners) > 2:
            ax.fill(*corners.T, color=colour, label=label, zorder=1, linewidth=0)
        elif len(corners) == 2:
            ax.plot(*corners.T, color=colour, label=label, zorder=1, linewidth=6)
        else:  # wide enough to be seen around a point on top of it
            ax.plot(*corners.T, "o", color=colour, label=label, zorder=1, markersize=17)
    for k, (name, place) in enumerate(_together(equilibria or {}, lambda e: e.values)):
        _mark(ax, k, name, place, POINTS[k % len(POINTS)])
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
        sets = [label.text for label in labels_of(form, i)]
        owner = np.repeat(np.arange(len(sets)), player.num_actions)
        # Of two actions one line says it all.
        alone = np.repeat(player.num_actions, player.num_actions) != 2
        second = np.arange(player.num_sequences - 1) - player.first_sequence[owner] + 1 == 1
        for s in 1 + np.flatnonzero(alone | second):
            where = f" at {sets[owner[s - 1]]}" if len(sets) > 1 else ""
            names.append(f"player {i}{where}: {player.labels[s]}".replace("$", r"\$"))
            columns.append(path.behaviours[:, start + s])
        start += player.num_sequences
    moved = np.ptp(np.array(columns), axis=1)
    shown = np.sort(np.argsort(-moved, kind="stable")[:MOST_LINES])
    drawn = _smooth(path.precisions, np.array(columns)[shown])
    for k, line in enumerate(shown):
        ax.plot(
            drawn[0], drawn[1 + k], label=names[line], linewidth=1.6,
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
    """Regions of the leader's mixed strategies by the follower's best response.

    For a leader of two actions the payoffs of both players, an indifferent follower doing what the
    leader likes; for one of three the triangle of its mixed strategies.

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
    marks = _together(
        {name: e for name, e in (points or {}).items() if e.strategy is not None},
        lambda e: game.mixed(e.strategy)[leader],  # type: ignore[arg-type]
    )
    names, actions = game.actions[1 - leader], game.actions[leader]
    if count == 2:
        return _on_a_line(own, other, names, actions, marks, title)
    return _on_a_triangle(other, names, actions, marks, title)


def _on_a_line(
    own: np.ndarray,
    other: np.ndarray,
    names: tuple[str, ...],
    actions: tuple[str, ...],
    marks: Sequence[tuple[str, np.ndarray]],
    title: str,
) -> Figure:
    figure = Figure(figsize=(7.2, 5.4), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    x = np.linspace(0.0, 1.0, 2001)
    mixed = np.stack([1 - x, x])  # the second action's probability grows to the right
    worth = other.T @ mixed
    best = worth >= worth.max(axis=0) - EDGE * np.ptp(other)
    reply = np.argmax(np.where(best, own.T @ mixed, -np.inf), axis=0)
    edges = np.concatenate([[0], np.flatnonzero(np.diff(reply)) + 1, [len(x) - 1]])
    for ax, payoff, label in ((above, other, "follower's payoff"), (below, own, "leader's payoff")):
        for a, b in pairwise(edges):
            ax.axvspan(x[a], x[b], color=_tint(reply[a]), zorder=0, linewidth=0)
        for k, name in enumerate(names):
            ax.plot(x, payoff[:, k] @ mixed, color=COLOURS[1 + k % 7], linewidth=0.9, label=name)
        got = np.take_along_axis(payoff.T @ mixed, reply[None], axis=0)[0].copy()
        if payoff is own:  # a jump between two regions is not drawn as a slope
            jumps = edges[1:-1]
            got[jumps[np.abs(got[jumps] - got[jumps - 1]) > 1e-2 * np.ptp(own)]] = np.nan
        ax.plot(x, got, color="black", linewidth=2.2, label="under the best response")
        for k, (name, point) in enumerate(marks):
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
    for k in sorted({int(reply[a]) for a in edges[:-1]}):
        handles.append(Patch(color=_tint(k)))
        labels.append(f"where {names[k]} is best")
    figure.legend(handles, labels, loc="outside right center", frameon=False)
    return figure


def _tint(action: int) -> tuple[float, float, float]:
    """A light shade of the colour of an action's line."""
    red, green, blue = (0.86 + 0.14 * part for part in to_rgb(COLOURS[1 + action % 7]))
    return red, green, blue


def _on_a_triangle(
    other: np.ndarray,
    names: tuple[str, ...],
    actions: tuple[str, ...],
    marks: Sequence[tuple[str, np.ndarray]],
    title: str,
) -> Figure:
    corners = np.array([[0.0, 0.0], [1.0, 0.0], [0.5, np.sqrt(0.75)]])
    figure, ax = new_axes(None, (6.4, 4.6))
    ax.plot(*corners[[0, 1, 2, 0]].T, color="0.3", linewidth=1)
    columns = [tuple(column) for column in other.T]
    for k, column in enumerate(columns):
        if column in columns[:k]:
            continue  # as good as an earlier one everywhere, and drawn with it
        alike = [name for name, c in zip(names, columns, strict=True) if c == column]
        region = _best_region(other, k) @ corners
        colour, label = COLOURS[1 + k % 7], f"best: {' or '.join(alike)}"
        if len(region) == 0:
            continue
        if _area(region) > 1e-6:
            ax.fill(*region.T, color=colour, alpha=0.45, linewidth=0, label=label)
        else:  # best on a line or at a point only: its ends are the farthest apart
            far = np.linalg.norm(region[:, None] - region[None], axis=2)
            ends = region[list(np.unravel_index(np.argmax(far), far.shape))]
            ax.plot(
                *ends.T, color=colour, linewidth=5, solid_capstyle="round", label=label, zorder=2
            )
    for k, (name, point) in enumerate(marks):
        _mark(ax, k, name, point @ corners, "black")
    for corner, name, where in zip(corners, actions, ("right", "left", "center"), strict=True):
        side = {"right": -5, "left": 5, "center": 0}[where]
        ax.annotate(
            name, corner, ha=where, va="bottom" if where == "center" else "top",
            xytext=(side, 9 if where == "center" else -7), textcoords="offset points",
        )  # fmt: skip
    ax.legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    ax.set(aspect="equal")
    ax.set_title(title, pad=22)
    ax.axis("off")
    return figure


def _best_region(other: np.ndarray, action: int) -> np.ndarray:
    """The corners [K, 3] of the mixtures to which `action` is a best response, in order.

    The triangle is cut along every line on which another action is as good (Sutherland & Hodgman
    1974).
    """
    corners = np.eye(3)
    scale = max(float(np.ptp(other)), 1e-300)
    for advantage in ((other[:, [action]] - other) / scale).T:
        ahead = corners @ advantage + EDGE
        kept = []
        for at in range(len(corners)):
            if ahead[at] >= 0:
                kept.append(corners[at])
            after = (at + 1) % len(corners)
            if ahead[at] * ahead[after] < 0:
                share = ahead[at] / (ahead[at] - ahead[after])
                kept.append((1 - share) * corners[at] + share * corners[after])
        corners = np.array(kept).reshape(-1, 3)
    return corners


def _area(polygon: np.ndarray) -> float:
    x, y = polygon.T
    return float(abs(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2)


def _together(
    equilibria: Mapping[str, Equilibrium], place: Callable[[Equilibrium], np.ndarray]
) -> list[tuple[str, np.ndarray]]:
    """Names and places; those at the same place as one, for one mark would hide the other."""
    found: list[tuple[str, np.ndarray]] = []
    for name, equilibrium in equilibria.items():
        here = place(equilibrium)
        for k, (names, there) in enumerate(found):
            if np.allclose(here, there, rtol=0, atol=1e-6 * max(1.0, np.abs(there).max())):
                found[k] = f"{names} = {name}", there
                break
        else:
            found.append((name, here))
    return found


def _mark(ax: Axes, k: int, name: str, place: np.ndarray, colour: str) -> None:
    """The k-th point of a picture."""
    marker = MARKERS[k % len(MARKERS)]
    ax.plot(
        *place, marker=marker, color=colour, markeredgecolor="white", linestyle="", label=name,
        markersize=14 if marker == "*" else 10, clip_on=False, zorder=3,
    )  # fmt: skip


def _smooth(precisions: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """A path's precisions [K] and probabilities [M, K] with points in between, [1 + M, ...].

    Piecewise cubic and monotone between the points that were computed, along the length of the
    path, since precision may fall where the branch folds back.
    """
    from scipy.interpolate import PchipInterpolator

    if len(precisions) < 3:
        return np.vstack([precisions, probabilities])
    unit = max(float(precisions[1]), 1e-3)
    points = np.vstack([np.log1p(precisions / unit), probabilities])
    length = np.cumsum(np.linalg.norm(np.diff(points, axis=1, prepend=points[:, :1]), axis=0))
    moved = np.append(True, np.diff(length) > 0)
    curve = PchipInterpolator(length[moved], points[:, moved], axis=1)
    fine = np.interp(
        np.linspace(0, moved.sum() - 1, SMOOTH * (moved.sum() - 1) + 1),
        np.arange(moved.sum()),
        length[moved],
    )
    drawn = curve(fine)
    drawn[0] = unit * np.expm1(drawn[0])
    return drawn
