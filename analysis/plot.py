"""Pictures: how solvers converge, and what a strategy does."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from games import SequenceForm, Strategy
from games.kernels import plans

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

# Okabe and Ito's colours, told apart by everybody; purple for their yellow, which is faint.
COLOURS = ("#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#6A3D9A")
STYLES = ("-", "--")
LONGEST_LABEL = 52


def convergence(
    histories: Mapping[str, pd.DataFrame],
    *,
    title: str = "",
    x: str = "iteration",
    target: float | None = None,
    ax: Axes | None = None,
) -> Figure:
    """NashConv against iterations (or seconds), on logarithmic axes, a line a method.

    Args:
        histories: `Solution.history` by name of the method.
        title: of the picture.
        x: "iteration" or "seconds".
        target: drawn as a horizontal line.
        ax: where to draw; a new figure if not given.
    """
    figure, ax = new_axes(ax, (7.2, 4.4))
    for k, (name, history) in enumerate(histories.items()):
        shown = history[(history[x] > 0) & (history["nash_conv"] > 0)]
        ax.plot(
            shown[x],
            shown["nash_conv"],
            label=name,
            color=COLOURS[k % len(COLOURS)],
            linestyle=STYLES[k // len(COLOURS) % len(STYLES)],
            linewidth=1.6,
        )
    ax.set(title=title, ylabel="NashConv")
    if any(np.size(line.get_xdata()) for line in ax.get_lines()):
        ax.set(xscale="log", yscale="log")
    else:  # an equilibrium from the start: nothing that a logarithm could show
        ax.text(0.5, 0.5, "NashConv is 0", transform=ax.transAxes, ha="center", va="center")
    if target is not None and target > 0:
        ax.axhline(target, color="0.6", linewidth=0.9, linestyle=":", label=f"target {target:g}")
    ax.set_xlabel("iterations" if x == "iteration" else x)
    ax.grid(True, which="major", color="0.9")
    ax.spines[["top", "right"]].set_visible(False)
    if len(histories) > 1 or target is not None:
        ax.legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def strategy(
    form: SequenceForm,
    profile: Strategy,
    *,
    most: int = 24,
    title: str = "",
) -> Figure:
    """Action probabilities by information set: a panel a player, a bar an information set.

    Args:
        form: the game, for what is reached and how often.
        profile: the strategy.
        most: information sets a panel, those first that the player's own actions lead to most; what
            is left out is said below the panel. (Chance and the others do not count: a sequence
            form keeps their part only inside the utilities.)
        title: of the picture.
    """
    behaviour = profile.behaviour(form)
    profile = Strategy.from_behaviour(form, behaviour)  # in the form's own order, and whole
    plan = plans(form, behaviour)
    starts = form.layout.players.astype(int)
    reached = np.concatenate(  # [J] the owner's own probability of playing to each
        [plan[p.parent_sequence + start] for p, start in zip(form.players, starts, strict=False)]
    )
    rows, start = [], 0
    for player in form.players:
        size = len(player.information_sets)
        order = np.argsort(-reached[start : start + size], kind="stable")[:most]
        rows.append(start + np.sort(order))
        start += size
    tallest = max(len(r) for r in rows)
    figure = Figure(figsize=(5.6 * len(rows) + 0.8, 1.5 + 0.25 * tallest), layout="constrained")
    figure.suptitle(title)
    for i, (panel, ax) in enumerate(
        zip(rows, np.atleast_1d(figure.subplots(1, len(rows))), strict=True)
    ):
        _bars(ax, profile, panel)
        total = len(form.players[i].information_sets)
        left = f"{len(panel)} of {total:,} information sets" if total > len(panel) else ""
        ax.set(title=f"player {i}", xlabel=left)
    handles: dict[str, Artist] = {}
    for ax in figure.axes:
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    names = sorted(handles, key=lambda name: int(name.split()[-1]))
    if 1 < len(names) <= 16:
        figure.legend(
            handles=[handles[name] for name in names],
            labels=names,
            loc="outside lower center",
            frameon=False,
            ncols=min(len(names), 8),
        )
    return figure


def _bars(ax: Axes, profile: Strategy, rows: np.ndarray) -> None:
    drawn = set()
    for y, row in enumerate(rows):
        left = 0.0
        for at in range(profile.first_action[row], profile.first_action[row + 1]):
            action, width = int(profile.actions[at]), float(profile.probabilities[at])
            label = None if action in drawn else f"action {action}"
            drawn.add(action)
            colour = COLOURS[(action + 1) % len(COLOURS)]
            ax.barh(y, width, left=left, color=colour, label=label, height=0.8)
            left += width
    labels = short_labels([profile.information_sets[row] for row in rows])
    ax.set_yticks(range(len(rows)), labels)
    ax.tick_params(axis="y", labelsize=7, length=0)
    ax.set(xlim=(0, 1), ylim=(max(len(rows), 1) - 0.5, -0.5))
    ax.spines[["top", "right", "left"]].set_visible(False)


def short_labels(information_sets: Sequence[str]) -> list[str]:
    """Short names: the fields (bracketed groups or words) in which information sets differ."""
    fields = [re.findall(r"\[[^\]]*\]|[^\s\[]+", name) for name in information_sets]
    shared = set.intersection(*map(set, fields)) if len(fields) > 1 else set()
    labels = []
    for name, own in zip(information_sets, fields, strict=True):
        text = " ".join(f.strip("[]") for f in own if f not in shared) or " ".join(name.split())
        text = (text or "(empty)").replace("$", r"\$")
        if len(text) > LONGEST_LABEL:
            half = LONGEST_LABEL // 2
            text = f"{text[:half]} … {text[-half:]}"
        labels.append(text)
    return labels


def new_axes(ax: Axes | None, size: tuple[float, float]) -> tuple[Figure, Axes]:
    """The axes given and their figure, or new ones of this size in inches."""
    if ax is not None:
        figure = ax.get_figure()
        assert isinstance(figure, Figure)
        return figure, ax
    figure = Figure(figsize=size, layout="constrained")
    return figure, figure.subplots()
