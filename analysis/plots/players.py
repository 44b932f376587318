"""Pictures that compare players: by metric, by team size, and by a fixed zeta."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FormatStrFormatter, NullLocator

from analysis.plots.base import COLOURS, NAMES, SHARES, STYLES
from games import InputError
from games.simulators.references import Reference

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

ASIDE = 0.015  # from player to player, as a share of the axis


MOST_PANELS = 9  # of a comparison


def comparison(
    measured: pd.DataFrame,
    metrics: Sequence[str] | None = None,
    *,
    references: Mapping[str, Reference] | None = None,
    title: str = "",
) -> Figure:
    """Players in the same games: means with 95% intervals, a panel a metric.

    Args:
        measured: a row a player and metric: `player`, `metric`, `mean`, and the interval's ends,
            `low` and `high`; `marl.evaluation.comparison.compare`.
        metrics: to draw; None: the first nine of those in which players differ.
        references: optimum or bound by metric, a line across its panel.
        title: of the picture.

    Raises:
        InputError: a column is missing, or a metric has no row.
    """
    _needs(measured, ("player", "metric", "mean", "low", "high"))
    players = list(dict.fromkeys(measured["player"]))
    references = references or {}
    if metrics is None:
        metrics = _differing(measured)
    columns = min(len(metrics), 3)
    rows = -(-len(metrics) // columns)
    high = 0.28 * len(players) + 1.0
    figure = Figure(figsize=(3.4 * columns + 1.2, high * rows + 0.6), layout="constrained")
    figure.suptitle(title.replace("$", r"\$"))
    panels = list(figure.subplots(rows, columns, squeeze=False, sharey=True).ravel())
    for ax, metric in zip(panels, metrics, strict=False):
        own = _of_metric(measured, metric).set_index("player").loc[players]
        for k, (_, row) in enumerate(own.iterrows()):
            ends = [[row["mean"] - row["low"]], [row["high"] - row["mean"]]]
            ax.errorbar(
                row["mean"], k, xerr=np.abs(ends), color=COLOURS[k % len(COLOURS)], marker="o",
                ms=5, capsize=3, elinewidth=1.4,
            )  # fmt: skip
        if metric in references:
            known = references[metric]
            ax.axvline(
                known.value, color="0.3", lw=1.3, ls="--",
                label=f"{known.kind} in the long run, {known.value:.4g}",
            )  # fmt: skip
        ax.set_title(NAMES.get(metric, metric.replace("_", " ")), size=10)
        ax.set_yticks(range(len(players)), players)
        ax.set_ylim(len(players) - 0.5, -0.5)  # the first at the top
        ax.grid(True, color="0.93")
        ax.tick_params(labelsize=8)
        ax.spines[["top", "right"]].set_visible(False)
    for ax in panels[len(metrics) :]:
        ax.remove()
    named = [pair for ax in panels for pair in zip(*ax.get_legend_handles_labels(), strict=True)]
    handles, labels = ([pair[k] for pair in named] for k in (0, 1))
    figure.legend(
        handles, labels, loc="outside lower center", frameon=False, fontsize=8,
        title="means of whole games, bars: 95% intervals", title_fontsize=8,
    )  # fmt: skip
    return figure


def _differing(measured: pd.DataFrame) -> list[str]:
    """Metrics in which players differ; all metrics if there are none."""
    spread = measured.groupby("metric", sort=False)["mean"].agg(lambda each: np.ptp(each))
    found = [str(name) for name in spread.index if spread[name] > 0] or [*map(str, spread.index)]
    return found[:MOST_PANELS]


def team_size(
    measured: pd.DataFrame, metrics: Sequence[str] = ("spl", "all_arrived", "speed"), *,
    title: str = "",
) -> Figure:  # fmt: skip
    """Metrics against the number of agents, a panel each, with 95% intervals; a line a player.

    Args:
        measured: a row a player, number of agents and metric: `player`, `agents`, `metric`, `mean`,
            and the interval's ends, `low` and `high`; `marl.evaluation.comparison.compare`.
        metrics: to draw.
        title: of the picture.

    Raises:
        InputError: a column is missing, or a metric has no row.
    """
    _needs(measured, ("player", "agents", "metric", "mean", "low", "high"))
    for metric in metrics:
        _of_metric(measured, metric)
    players = list(dict.fromkeys(measured["player"]))
    sizes = sorted(set(measured["agents"]))
    span = max(sizes[-1] / sizes[0], 2)

    def draw(ax: Axes, metric: str) -> None:
        rows = _of_metric(measured, metric)
        for k, player in enumerate(players):
            own = rows[rows["player"] == player].sort_values("agents")
            aside = ASIDE * (k - (len(players) - 1) / 2)  # so that intervals stand side by side
            _line(ax, own["agents"] * span**aside, own, k, player)
        ax.set_xscale("log")
        ax.set_xticks(sizes, [str(size) for size in sizes])
        ax.xaxis.set_minor_locator(NullLocator())
        ax.set_xlabel("agents")

    return _panels(metrics, title, draw)


def sweep(
    measured: pd.DataFrame,
    metrics: Sequence[str] = ("spl", "all_arrived", "speed"),
    *,
    against: pd.DataFrame | None = None,
    title: str = "",
) -> Figure:
    """Metrics of fixed parameters against zeta, with 95% intervals; others as horizontal bands.

    Args:
        measured: a row a parameter: `zeta` in 1/s, `eta`, and of each metric the mean by its name,
            the ends of its interval as NAME_low and NAME_high; `marl.rules.navigation.sweep`. A
            line for each eta.
        metrics: to draw, a panel each.
        against: others, a row a player and metric; see `team_size`.
        title: of the picture.

    Raises:
        InputError: a column is missing, or `against` has no row of a metric.
    """
    ends = ("", "_low", "_high")
    _needs(measured, ("zeta", "eta", *(name + end for name in metrics for end in ends)))
    if against is not None:
        _needs(against, ("player", "metric", "mean", "low", "high"))
    etas = sorted(set(measured["eta"]))

    def draw(ax: Axes, metric: str) -> None:
        rows = measured.rename(
            columns={metric: "mean", f"{metric}_low": "low", f"{metric}_high": "high"}
        )
        for k, eta in enumerate(etas):
            own = rows[rows["eta"] == eta].sort_values("zeta")
            _line(ax, own["zeta"], own, k, "fixed" if len(etas) == 1 else f"fixed, eta = {eta:g}")
        if against is not None:
            others = _of_metric(against, metric)
            for k, other in enumerate(others.to_dict("records"), start=len(etas)):
                colour = COLOURS[k % len(COLOURS)]
                ax.axhspan(other["low"], other["high"], color=colour, alpha=0.15, lw=0)
                ax.axhline(other["mean"], color=colour, label=other["player"], lw=1.6, ls="--")
        ax.set(xscale="log", xlabel="zeta, 1/s")
        ax.xaxis.set_major_formatter(FormatStrFormatter("%g"))

    return _panels(metrics, title, draw)


def _panels(metrics: Sequence[str], title: str, draw: Callable[[Axes, str], None]) -> Figure:
    """A panel for each metric, side by side, and one legend for all."""
    figure = Figure(figsize=(3.4 * len(metrics) + 0.3, 3.4), layout="constrained")
    figure.suptitle(title)
    for ax, metric in zip(figure.subplots(1, len(metrics), squeeze=False)[0], metrics, strict=True):
        draw(ax, metric)
        _dress(ax, metric)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside lower center", ncols=min(len(labels), 5), frameon=False,
        fontsize=8, title="bars and bands: 95% intervals", title_fontsize=8,
    )  # fmt: skip
    return figure


def _line(ax: Axes, x: pd.Series, rows: pd.DataFrame, k: int, name: str) -> None:
    ends = np.abs(rows[["low", "high"]].to_numpy(float).T - rows["mean"].to_numpy(float))
    ax.errorbar(
        x, rows["mean"], yerr=ends, label=name, color=COLOURS[k % len(COLOURS)],
        ls=STYLES[k // len(COLOURS) % len(STYLES)], lw=1.5, marker="o", ms=4, capsize=2.5,
        elinewidth=1.0,
    )  # fmt: skip


def _dress(ax: Axes, metric: str) -> None:
    ax.set_title(NAMES.get(metric, metric.replace("_", " ")), size=10)
    if metric in SHARES:
        ax.set_ylim(-0.03, max(1.03, ax.get_ylim()[1]))
    ax.grid(True, color="0.93")
    ax.tick_params(labelsize=8)
    ax.spines[["top", "right"]].set_visible(False)


def _of_metric(measured: pd.DataFrame, metric: str) -> pd.DataFrame:
    rows = measured[measured["metric"] == metric]
    if rows.empty:
        known = ", ".join(sorted(set(measured["metric"])))
        raise InputError(f"no rows of the metric {metric!r}: there are those of {known}")
    return rows


def _needs(measured: pd.DataFrame, columns: Sequence[str]) -> None:
    lacking = [name for name in columns if name not in measured]
    if lacking:
        raise InputError(
            f"no column {lacking[0]!r} in what was measured; give {', '.join(columns)}"
        )
