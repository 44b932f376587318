"""Pictures of convergence, strategies and coverage; helpers that all pictures share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import ArrayLike

from analysis.plots import bars
from analysis.plots.labels import action_name, labels, shortened
from games import SequenceForm, Strategy
from games.finite.kernels import plans

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

# Okabe and Ito's colours, for all kinds of colour vision; purple for their yellow, which is faint.
COLOURS = ("#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#6A3D9A")
STYLES = ("-", "--")
MOST_ACTIONS = 16  # with names in a legend
MOST_TARGETS = 60
# What metrics are called in pictures, with their units; all others by their own names.
NAMES = {
    "nash_conv": "NashConv",
    "return": "return a game",
    "episode_steps": "steps a game",
    "cost": "cost",
    "gap": "gap, %",
    "fill_rate": "fill rate",
    "wins": "games won",
    "success": "success",
    "arrived": "agents that arrive",
    "all_arrived": "games in which all arrive",
    "spl": "SPL",
    "safe": "agents that never touch",
    "speed": "speed, share of the greatest",
    "collisions": "contacts a game",
    "closest": "least clearance, m",
    "deadlocked": "agents dead-locked",
    "eased": "steps with parameters given up",
    "infeasible": "steps without safe control",
    "entropy": "entropy of actions, nats",
    "kl": "divergence of an update, nats",
    "value": "mean value of what was done",
    "error": "mean error of values",
}
# Metrics that are shares, on one scale from 0 to 1 in all pictures.
SHARES = (
    "fill_rate", "wins", "success", "arrived", "all_arrived", "spl", "safe", "speed", "deadlocked",
    "eased", "infeasible",
)  # fmt: skip


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
        ax.axhline(target, color="0.35", linewidth=1.2, linestyle=":", label=f"target {target:g}")
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

    Information sets are labelled by what the player knows and what was played (see
    `analysis.plots.labels`), and grouped by the rounds of the game. Actions have the names that the
    game gives them; equal names have one colour.

    Args:
        form: the game, for what is reached and how often.
        profile: the strategy.
        most: information sets a panel, those first that the player's own actions lead to most; what
            is left out is noted below the panel. (Chance and the others do not count: a sequence
            form keeps their part only inside the utilities.)
        title: of the picture.
    """
    behaviour = profile.behaviour(form)
    profile = Strategy.from_behaviour(form, behaviour)  # in the form's own order, and whole
    plan = plans(form, behaviour)
    panels, start, root = [], 0, 0
    for i, player in enumerate(form.players):
        reached = plan[root + player.parent_sequence]  # [J] the own probability of playing there
        sets = np.sort(np.argsort(-reached, kind="stable")[:most])
        panels.append((start + sets, labels(form, i, sets.tolist())))
        start, root = start + len(player.information_sets), root + player.num_sequences
    names = [action_name(label) for player in form.players for label in player.labels[1:]]
    rows = np.concatenate([own for own, _ in panels])
    looks = bars.action_styles(profile, rows, names, COLOURS)
    lines = max(bars.height(bars.in_rounds(own)) for _, own in panels)
    widest = max((len(label.text) for _, own in panels for label in own), default=0)
    wide = (4.2 + 0.075 * max(widest, 18)) * len(panels) + 0.8
    figure = Figure(figsize=(wide, 1.5 + 0.25 * lines), layout="constrained")
    figure.suptitle(title)
    axes = np.atleast_1d(figure.subplots(1, len(panels)))
    for i, ((own, texts), ax) in enumerate(zip(panels, axes, strict=True)):
        bars.draw(ax, profile, own.tolist(), texts, names, looks)
        total = len(form.players[i].information_sets)
        left = f" ({len(own)} of {total:,} information sets)" if total > len(own) else ""
        ax.set(title=f"player {i}", xlabel=f"probability{left}")
    if 1 < len(looks) <= MOST_ACTIONS:
        written = [name.replace("$", r"\$") for name in shortened(list(looks))]
        figure.legend(
            handles=[Patch(**look.style) for look in looks.values()],
            labels=written,
            loc="outside lower center",
            frameon=False,
            ncols=max(1, min(len(looks), 8, int(wide / (0.8 + 0.08 * max(map(len, written)))))),
        )
    return figure


def coverage(
    covered: Mapping[str, float], attacked: str, *, title: str = "", ax: Axes | None = None
) -> Figure:
    """How likely each target of a security game is guarded: a bar a target, the likeliest first.

    Args:
        covered: probabilities by target.
        attacked: the target that is attacked, drawn in another colour.
        title: of the picture.
        ax: where to draw; a new figure if not given. At most 60 targets are shown: those covered
            most, and the one attacked.
    """
    order = sorted(covered, key=lambda target: -covered[target])
    shown = [t for k, t in enumerate(order) if k < MOST_TARGETS or t == attacked]
    figure, ax = new_axes(ax, (6.4, 1.2 + 0.22 * len(shown)))
    colours = [COLOURS[2] if target == attacked else COLOURS[1] for target in shown]
    ax.barh(range(len(shown)), [covered[target] for target in shown], color=colours, height=0.8)
    ax.set_yticks(range(len(shown)), [target.replace("$", r"\$") for target in shown])
    ax.get_yticklabels()[shown.index(attacked)].set_fontweight("bold")
    left = f" ({len(shown)} of {len(order)} targets)" if len(shown) < len(order) else ""
    where = attacked.replace("$", r"\$")
    ax.set(title=title, xlabel=f"coverage{left}; attacked: {where}", xlim=(0, 1))
    ax.set_ylim(len(shown) - 0.5, -0.5)
    ax.spines[["top", "right", "left"]].set_visible(False)
    ax.tick_params(axis="y", length=0)
    return figure


def mark_cut_off(ax: Axes, x: ArrayLike, y: ArrayLike) -> None:
    """Say how far values [K] go that lie beyond the range of an axis, where the farthest does."""
    across, values = np.asarray(x, np.float64), np.asarray(y, np.float64)
    low, high = ax.get_ylim()
    middle = np.mean(ax.get_xlim())
    box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1}
    for beyond, farthest, arrow, edge, side in (
        (values > high, np.argmax(values), "▲ up to", 0.985, "top"),
        (values < low, np.argmin(values), "▼ down to", 0.015, "bottom"),
    ):
        if beyond.any():
            at, value = across[farthest], values[farthest]
            number = f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
            ax.text(
                at, edge, f"{arrow} {number}", transform=ax.get_xaxis_transform(),
                ha="left" if at < middle else "right", va=side, size=8, color="0.2", zorder=6,
                gid="cut off", bbox=box,
            )  # fmt: skip


def new_axes(ax: Axes | None, size: tuple[float, float]) -> tuple[Figure, Axes]:
    """The axes given and their figure, or new ones of this size in inches."""
    if ax is not None:
        figure = ax.get_figure()
        assert isinstance(figure, Figure)
        return figure, ax
    figure = Figure(figsize=size, layout="constrained")
    return figure, figure.subplots()
