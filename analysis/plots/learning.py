"""Learning curves: metrics of every update, and evaluations."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, FormatStrFormatter, MaxNLocator

from analysis.plots.base import COLOURS, NAMES, SHARES, mark_cut_off
from games import InputError
from games.common.intervals import around
from games.finite.sequence_form import Float64
from games.simulators.references import Reference

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

EVALUATED, AVERAGE = "eval_", "_average"  # parts of a metric's name
COUNTS = ("update", "steps", "games")  # no metrics
# The most important metrics, in this order; others that the game reports come after them.
FIRST = ("nash_conv", "cost", "gap", "return", "success", "spl", "all_arrived", "wins")
# How learning goes: those that are measured, or else the last.
LAST = ("entropy", "kl", "value", "error", "gradient_norm")
REFERENCES = ("optimum", "lower_bound", "upper_bound")  # lines, not panels
MOST_PANELS = 9
FEW_UPDATES = 200  # that are drawn as they are
FEW_POINTS = 30  # that are marked one by one
FEWEST_GAPS = 3  # that make a curve
WIDE = 0.25  # of shares: drawn from 0 to 1 if they vary more than this
START = 0.1  # share of a curve that counts as its start
FEWEST = 5  # points of a curve that has one
CORE = (0.01, 0.99)  # quantiles of the rest that are shown whatever else is cut off
FAR = 2.0  # what is farther away than so many times the rest's range is cut off
TRAINED, EVALUATION, AVERAGED, REFERENCE_LINE = COLOURS[1], COLOURS[2], COLOURS[4], COLOURS[3]


def learning(
    metrics: pd.DataFrame,
    *,
    title: str = "",
    target: Mapping[str, float] | None = None,
    names: Sequence[str] | None = None,
    reference: Reference | None = None,
    final: Mapping[str, float] | None = None,
    counts: str = "steps of all games",
) -> Figure:
    """Learning curves: metrics of updates as lines, evaluations as points.

    A panel a metric, at most nine. For more than 200 updates a running mean is drawn, and the
    updates themselves faint. Where the beginning is far from the rest, the panel shows the rest,
    and an arrow shows how far the beginning goes.

    A cost has the optimum (or the bound) as a line; how far evaluations are above it is a panel of
    its own if there are three or more. Left out, and named below the panels: metrics that never
    change, and those that are the same as one before. A return that is the cost with its sign
    turned is left out, too.

    Args:
        metrics: a row an update, with `steps`; `TrainingRun.metrics`. Names that begin with `eval_`
            are evaluations of the metric of that name, and drawn in its panel.
        title: of the picture.
        target: drawn as a horizontal line, by metric.
        names: metrics to draw, evaluations included. If not given: NashConv, the cost, the return,
            success and what else the game reports, then entropy and divergence, or values and their
            errors, or else the norm of the gradient.
        reference: what is drawn as a line in its metric's panel; if not given, the one that
            evaluations noted, of the cost a period.
        final: means of the evaluation that training ended with and their standard errors, NAME and
            NAME_error; drawn at the last step with its 95% interval. `TrainingResult.evaluation`.
        counts: what the steps are, in words.

    Raises:
        InputError: a name that is no metric.
    """
    target, final = target or {}, final or {}
    reference = reference or _noted(metrics)
    notes: list[str] = []
    if names is None:
        names, notes = _chosen(metrics, reference)
    if reference is not None and "gap" in final:
        notes.append(
            f"evaluation at the end: {final['gap']:.2f}% ({final['gap_low']:.2f} to "
            f"{final['gap_high']:.2f}) above the {reference.kind}"
        )
    shown = list(dict.fromkeys(name.removeprefix(EVALUATED) for name in names))
    for name in shown:
        if name not in metrics and EVALUATED + name not in metrics:
            known = ", ".join(n for n in metrics.columns if n not in COUNTS)
            raise InputError(f"there is no metric {name!r} to draw: there are {known}")
    columns = 2 if len(shown) == 4 else min(len(shown), 3) or 1
    rows = max(-(-len(shown) // columns), 1)
    figure = Figure(figsize=(3.7 * columns + 0.4, 2.5 * rows + 0.9), layout="constrained")
    figure.suptitle(title.replace("$", r"\$"))
    panels = list(np.ravel(figure.subplots(rows, columns, squeeze=False)))
    for ax, name in zip(panels, shown, strict=False):
        goals = [target[key] for key in (name, EVALUATED + name) if key in target]
        _panel(ax, name, metrics, goals, reference, final)
    for ax in panels[len(shown) :]:
        ax.remove()
    for ax in panels[max(len(shown) - columns, 0) : len(shown)]:
        ax.set_xlabel(counts, size=9)
    _legend(figure, panels[: len(shown)], notes)
    return figure


def _noted(metrics: pd.DataFrame) -> Reference | None:
    """The reference of the cost that evaluations recorded."""
    for kind in REFERENCES:
        if EVALUATED + kind in metrics:
            values = metrics[EVALUATED + kind].dropna()
            if len(values):
                return Reference(float(values.iloc[-1]), kind.replace("_", " "), "evaluation")  # type: ignore[arg-type]
    return None


def _chosen(metrics: pd.DataFrame, reference: Reference | None) -> tuple[list[str], list[str]]:
    """Metrics to draw, the most important first; and notes on those left out."""
    columns = list(metrics.columns)
    end = columns.index("loss") if "loss" in columns else len(columns)
    played = [name for name in columns[:end] if name not in COUNTS]
    exact = [name for name in columns if name == "nash_conv"]
    judged = [name.removeprefix(EVALUATED) for name in columns if name.startswith(EVALUATED)]
    every = dict.fromkeys(name.removeprefix(EVALUATED) for name in (*exact, *played, *judged))
    left_out = set(REFERENCES)
    if reference is not None and len(_series(metrics, EVALUATED + "gap")[1]) < FEWEST_GAPS:
        left_out.add("gap")
    if _is_mirrored(metrics, "return", "cost"):
        left_out.add("return")
    drawn: dict[str, Float64] = {}
    constant, alike = [], []
    for name in sorted(every, key=lambda n: FIRST.index(n) if n in FIRST else len(FIRST)):
        parts = [_series(metrics, n)[1] for n in (name, EVALUATED + name)]
        values = np.concatenate(parts)
        if name in left_out or name.endswith(AVERAGE) or not len(values):
            continue
        same = [n for n, other in drawn.items() if np.array_equal(values, other)]
        if max(map(len, parts)) > 1 and all(np.ptp(part) == 0 for part in parts if len(part)):
            numbers = dict.fromkeys(f"{part[0]:.4g}" for part in parts if len(part))
            constant.append(f"{_title(name)} {', evaluated '.join(numbers)}")
        elif len(values) > 1 and same:
            alike.append(f"{_title(name)}: as {_title(same[0])}")
        else:
            drawn[name] = values
    measured = [name for name in LAST if len(_series(metrics, name)[1])]
    last = [name for name in measured if name != LAST[-1]] or measured
    notes = [f"the same throughout: {', '.join(constant)}"] if constant else []
    return [*list(drawn)[: MOST_PANELS - len(last)], *last], notes + alike


def _is_mirrored(metrics: pd.DataFrame, one: str, other: str) -> bool:
    """Whether a metric is another one turned around, but for its unit."""
    if one not in metrics or other not in metrics:
        return False
    both = metrics[[one, other]].dropna().to_numpy(float)
    if not len(both) or not both.all():
        return False
    ratio = both[:, 0] / both[:, 1]
    return bool(ratio.max() < 0 and np.ptp(ratio) < 1e-3 * abs(ratio.mean()))


def _series(metrics: pd.DataFrame, name: str) -> tuple[Float64, Float64]:
    """Steps and values [K] where a metric was measured."""
    if name not in metrics:
        return np.empty(0), np.empty(0)
    known = metrics[["steps", name]].astype(float).dropna()
    return known["steps"].to_numpy(), known[name].to_numpy()


def _panel(
    ax: Axes,
    name: str,
    metrics: pd.DataFrame,
    targets: Sequence[float],
    reference: Reference | None,
    final: Mapping[str, float],
) -> None:
    trained, judged = _series(metrics, name), _series(metrics, EVALUATED + name)
    average = _series(metrics, name + AVERAGE)
    if len(trained[0]):
        _curve(ax, *trained, colour=TRAINED, label="training")
    if len(average[0]):
        _curve(ax, *average, colour=AVERAGED, label="average policy, training")
    point: dict[str, Any] = {"color": EVALUATION, "mec": "white", "mew": 0.6, "zorder": 4}
    if len(judged[0]):
        ax.plot(*judged, "o-", lw=0.8, ms=5, label="evaluation", **point)
    must = list(targets)
    if name in final and len(metrics):
        mean, (low, high) = final[name], _interval(name, final)
        ax.errorbar(
            metrics["steps"].iloc[-1], mean, yerr=[[mean - low], [high - mean]],
            fmt="D", ms=5, capsize=2.5, elinewidth=1.0, label="evaluation at the end, 95%", **point,
        )  # fmt: skip
        must += [low, high]
    for value in targets:
        ax.axhline(value, color="0.45", lw=1.0, ls=":", label="target")
    ax.set_title(_title(name, reference), size=10)
    if reference is not None and name == reference.metric:
        ax.axhline(
            reference.value, color=REFERENCE_LINE, lw=1.3, ls="--", zorder=3,
            label=f"{reference.kind} in the long run, {reference.value:.4g}",
        )  # fmt: skip
        must.append(reference.value)
    if name == "gap" and min([*must, *trained[1], *judged[1]], default=0.0) > 0:
        ax.set_yscale("log")
        ax.yaxis.set_major_formatter(FormatStrFormatter("%g"))
    else:
        if name == "gap":
            ax.axhline(0, color=REFERENCE_LINE, lw=1.3, ls="--", zorder=3)
            must.append(0.0)
        _frame(ax, name, [each for each in (trained, average, judged) if len(each[0])], must)
    ax.grid(True, color="0.92")
    ax.tick_params(labelsize=8)
    ax.xaxis.set_major_locator(MaxNLocator(5))
    ax.xaxis.set_major_formatter(EngFormatter(sep=""))
    ax.spines[["top", "right"]].set_visible(False)


def _curve(ax: Axes, steps: Float64, values: Float64, *, colour: str, label: str) -> None:
    """One number an update; a running mean where they are many."""
    if len(values) <= FEW_UPDATES:
        dot = "." if len(values) < FEW_POINTS else "none"
        ax.plot(steps, values, color=colour, lw=1.3, label=label, marker=dot, ms=4)
        return
    count = len(values) // 40
    total = np.concatenate(([0.0], np.cumsum(values)))
    first = np.maximum(np.arange(len(values)) + 1 - count, 0)
    last = np.arange(len(values)) + 1
    mean = (total[last] - total[first]) / (last - first)
    ax.plot(steps, values, color=colour, lw=0.8, alpha=0.3)
    ax.plot(steps, mean, color=colour, lw=1.6, label=f"{label}, mean of {count} updates")


def _interval(name: str, final: Mapping[str, float]) -> tuple[float, float]:
    """95% of the mean of an evaluation; the mean twice where its error is not known."""
    if f"{name}_low" in final:
        return final[f"{name}_low"], final[f"{name}_high"]
    return around(final[name], final.get(f"{name}_error", 0.0), final.get("episodes"))


def _frame(
    ax: Axes, name: str, curves: Sequence[tuple[Float64, Float64]], must: Sequence[float]
) -> None:
    """The range of values that is shown: not that of the start, if that is far off the rest."""
    shown = [value for value in must if math.isfinite(value)]
    values = np.concatenate([*(each for _, each in curves), shown])
    if not len(values):
        return
    least, most = float(values.min()), float(values.max())
    if name in SHARES:
        if most - least > WIDE and least >= 0 and most <= 1:
            ax.set_ylim(-0.03, 1.03)
        return
    starts = [math.ceil(START * len(each)) if len(each) >= FEWEST else 0 for _, each in curves]
    inner = np.array(
        [np.quantile(each[k:], CORE) for k, (_, each) in zip(starts, curves, strict=True)]
    )
    shown += [*inner.ravel(), *(each[-1] for _, each in curves)]
    low, high = min(shown), max(shown)
    # Far off is what would leave little room both to the curves and to all that is shown with them.
    far = max([FAR * np.ptp(each) for each in inner] + [(high - low) / FAR])
    cut_low, cut_high = least < low - far, most > high + far
    if high <= low or not (cut_low or cut_high):
        return
    low, high = (low if cut_low else min(least, low)), (high if cut_high else max(most, high))
    edge = 0.08 * (high - low)
    ax.set_ylim(low - edge, high + edge)
    mark_cut_off(ax, *np.concatenate(curves, axis=1))


def _title(name: str, reference: Reference | None = None) -> str:
    if reference is not None and name == reference.metric == "cost":
        return "cost a period"
    if reference is not None and name == "gap":
        return f"gap to the {reference.kind}, %"
    return NAMES.get(name, name.replace("_", " "))


def _legend(figure: Figure, panels: Sequence[Axes], notes: Sequence[str]) -> None:
    """One for all panels, each name once, below what else is to be said."""
    named: dict[str, Any] = {}
    for ax in panels:
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
            named.setdefault(label, handle)
    if named:
        figure.legend(
            named.values(), named.keys(), loc="outside lower center", ncols=min(len(named), 4),
            frameon=False, fontsize=8, title="\n".join(notes) or None, title_fontsize=8,
        )  # fmt: skip
