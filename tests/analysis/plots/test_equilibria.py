"""Pictures of equilibria: what is drawn is what was computed."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb
from scipy import stats

import analysis
import games
from analysis.correlated.region import payoff_region
from analysis.plots import base as plot
from analysis.plots import equilibria as plot_equilibria
from analysis.plots import learning as plot_learning
from games import NormalForm
from tests.conftest import KUHN, form

CHICKEN = NormalForm.from_payoffs(
    [[6, 2], [7, 0]], [[6, 7], [2, 0]], name="chicken", actions=[["yield", "go"]] * 2
)


def inside(points: np.ndarray, corners: np.ndarray) -> bool:
    """Whether points lie in a convex polygon with its corners counter-clockwise."""
    edges = np.roll(corners, -1, axis=0) - corners
    for point in points:
        offset = point - corners
        if np.any(edges[:, 0] * offset[:, 1] - edges[:, 1] * offset[:, 0] < -1e-7):
            return False
    return True


def test_the_correlated_payoffs_of_chicken():
    """Aumann (1974): from the pure equilibria up to 5 1/4 each, and down to 3 3/5."""
    corners = payoff_region(CHICKEN, "ce")
    expected = {(2.0, 7.0), (7.0, 2.0), (5.25, 5.25), (3.6, 3.6)}
    assert {tuple(c) for c in np.round(corners, 6) + 0.0} == expected


@pytest.mark.parametrize("seed", range(6))
def test_regions_are_nested_and_touch_the_best_equilibria(seed):
    rng = np.random.default_rng(seed)
    game = NormalForm.from_payoffs(rng.random((3, 4)), rng.random((3, 4)))
    everything, coarse = payoff_region(game), payoff_region(game, "cce")
    assert len(everything) > 2
    assert inside(coarse, everything)
    for concept in ("ce", "cce"):
        corners = payoff_region(game, concept)
        if len(coarse) > 2:
            assert inside(corners, coarse)
        for objective, value in (
            (0, corners[:, 0]),
            (1, corners[:, 1]),
            ("welfare", corners.sum(1)),
        ):
            best = analysis.correlated_equilibrium(game, concept, objective).objective
            assert value.max() == pytest.approx(best, abs=1e-7)


def test_a_single_equilibrium_is_a_point():
    dilemma = NormalForm.from_payoffs([[3, 0], [5, 1]], [[3, 5], [0, 1]])
    assert payoff_region(dilemma, "ce") == pytest.approx(np.array([[1.0, 1.0]]))


def labels(figure) -> list[str]:
    legends = [*figure.legends, *(ax.get_legend() for ax in figure.axes)]
    return [t.get_text() for legend in legends if legend for t in legend.get_texts()]


def test_pictures_name_what_they_show(tmp_path):
    points = {name: analysis.solve(CHICKEN, name) for name in ("nash", "ce", "stackelberg")}
    figure = plot_equilibria.payoffs(CHICKEN, points, title="chicken")
    text = " ".join(labels(figure))
    assert all(name in text for name in ("nash", "ce", "stackelberg", "CCE", "CE"))
    path = analysis.logit_path(form(KUHN), max_precision=3.0)
    figure = plot_equilibria.quantal_path(path)
    lines = [line for line in figure.axes[0].get_lines() if len(line.get_xdata()) > 2]
    assert len(lines) == 12
    for line in lines:
        assert np.all((np.asarray(line.get_ydata()) >= 0) & (np.asarray(line.get_ydata()) <= 1))
    for game in (CHICKEN, NormalForm.from_payoffs(np.eye(3), np.eye(3)[::-1])):
        figure = plot_equilibria.best_response_regions(game, 0, {"nash": analysis.nash(game)})
        figure.savefig(tmp_path / "p.png")
        assert (tmp_path / "p.png").stat().st_size > 5_000


def test_strategies_are_drawn_by_the_names_of_their_actions():
    leduc = form("leduc_poker")
    figure = plot.strategy(leduc, games.Strategy.uniform(leduc))
    assert labels(figure) == ["Fold", "Call", "Raise"]
    own = [["up", "down"], ["down", "left", "up"]]
    table = NormalForm.from_payoffs(np.zeros((2, 3)), actions=own)
    mixed = table.strategy([[0.25, 0.75], [0.5, 0.2, 0.3]])
    figure = plot.strategy(table.form, mixed)
    assert sorted(labels(figure)) == ["down", "left", "up"]
    (legend,) = figure.legends
    patches = zip(labels(figure), legend.get_patches(), strict=True)
    colours = {name: patch.get_facecolor() for name, patch in patches}
    for ax, names, widths in zip(figure.axes, own, ([0.25, 0.75], [0.5, 0.2, 0.3]), strict=True):
        bars = ax.patches
        assert [bar.get_width() for bar in bars] == pytest.approx(widths)
        assert [bar.get_facecolor() for bar in bars] == [colours[name] for name in names]


def test_coverage_is_a_bar_a_target():
    figure = plot.coverage({"a": 0.25, "b": 0.75, "c": 0.0}, "a")
    (ax,) = figure.axes
    assert [t.get_text() for t in ax.get_yticklabels()] == ["b", "a", "c"]
    assert [bar.get_width() for bar in ax.patches] == [0.75, 0.25, 0.0]
    odd = [bar.get_facecolor() for bar in ax.patches]
    assert odd[0] == odd[2] != odd[1]
    many = {f"t{k}": 1 - k / 100 for k in range(100)}
    (ax,) = plot.coverage(many, "t99").axes
    assert ax.get_yticklabels()[-1].get_text() == "t99"
    assert "61 of 100 targets" in ax.get_xlabel()


def test_shades_are_the_legends():
    """Where an action is best there is one colour, opaque, under the lines, and it is named."""
    figure = plot_equilibria.best_response_regions(CHICKEN, 0)
    names = {text.get_text(): patch for text, patch in zip(
        figure.legends[0].get_texts(), figure.legends[0].legend_handles, strict=True
    )}  # fmt: skip
    shades = {tuple(patch.get_facecolor()) for ax in figure.axes for patch in ax.patches}
    told = {tuple(names[f"where {name} is best"].get_facecolor()) for name in ("yield", "go")}
    assert shades == told
    assert {shade[3] for shade in shades} == {1.0}
    assert {patch.get_zorder() for ax in figure.axes for patch in ax.patches} == {0}


def test_axes_of_strategies_say_what_they_are():
    figure = plot.strategy(form(KUHN), games.Strategy.uniform(form(KUHN)))
    assert [ax.get_xlabel() for ax in figure.axes] == ["probability", "probability"]
    leduc = form("leduc_poker")
    figure = plot.strategy(leduc, games.Strategy.uniform(leduc), most=5)
    assert figure.axes[0].get_xlabel() == "probability (5 of 468 information sets)"


# --- learning


def updates(count, every, **metrics):
    """Metrics of so many updates, evaluated after every so many: functions of the update."""
    rows = []
    for k in range(1, count + 1):
        row = {"update": k, "steps": 100 * k, "games": 2 * k}
        row |= {name: f(k) for name, f in metrics.items()}
        row |= {"loss": 1 / k, "entropy": 2 - k / count, "kl": 0.01 / k, "seconds": float(k)}
        if k % every == 0:
            row |= {f"eval_{name}": f(k) + 0.05 for name, f in metrics.items()}
        rows.append(row)
    return pd.DataFrame(rows)


def panels(figure):
    return {ax.get_title(): ax for ax in figure.axes}


def drawn(ax):
    """Points [K, 2] of each line, by the name that the legend has for it."""
    handles, names = ax.get_legend_handles_labels()
    return {
        name: np.column_stack([handle.get_xdata(), handle.get_ydata()])
        for name, handle in zip(names, handles, strict=True)
        if hasattr(handle, "get_xdata")
    }


def test_every_update_is_drawn_and_evaluations_are_marked_in_the_same_panel():
    """80 updates, two evaluations: nothing that every update measures is shown as two points."""
    metrics = updates(
        80, 40, **{"return": lambda k: k / 8, "spl": lambda k: k / 100, "success": lambda k: k / 90,
        "collisions": lambda k: 0.0, "arrived": lambda k: k / 90},
    )  # fmt: skip
    metrics["eval_collisions"] = metrics["eval_collisions"] * 0
    figure = plot_learning.learning(metrics, title="cbf")
    assert list(panels(figure)) == [
        "return a game", "success", "SPL",
        "entropy of actions, nats", "divergence of an update, nats",
    ]  # fmt: skip
    for name, title in {"return": "return a game", "success": "success", "spl": "SPL"}.items():
        ax = panels(figure)[title]
        lines = drawn(ax)
        np.testing.assert_array_equal(lines["training"], metrics[["steps", name]])
        judged = metrics[["steps", f"eval_{name}"]].dropna()
        np.testing.assert_array_equal(lines["evaluation"], judged)
        (marked,) = [line for line in ax.get_lines() if line.get_label() == "evaluation"]
        assert marked.get_marker() == "o"
    assert labels(figure) == ["training", "evaluation"]
    said = figure.legends[0].get_title().get_text().split("\n")
    assert said == ["the same throughout: contacts a game 0", "agents that arrive: as success"]
    assert panels(figure)["SPL"].get_ylim() == (-0.03, 1.03)  # a share that varies widely
    bottom = {ax.get_xlabel() for ax in figure.axes[-3:]}
    assert bottom == {"steps of all games"}


def test_what_is_only_evaluated_and_what_only_now_and_then():
    metrics = updates(40, 10, **{"return": lambda k: 0.1 * k})
    metrics["eval_wins"] = np.where(metrics["update"] % 10 == 0, metrics["update"] / 50, np.nan)
    metrics["nash_conv"] = np.where(metrics["update"] % 5 == 0, 1 / metrics["update"], np.nan)
    metrics["nash_conv_average"] = metrics["nash_conv"] / 2
    figure = plot_learning.learning(metrics, target={"nash_conv": 0.1})
    assert list(panels(figure))[:3] == ["NashConv", "return a game", "games won"]
    lines = drawn(panels(figure)["NashConv"])
    assert len(lines["training"]) == len(lines["average policy, training"]) == 8
    np.testing.assert_allclose(lines["target"][:, 1], 0.1)
    assert len(drawn(panels(figure)["games won"])["evaluation"]) == 4


def test_many_updates_have_a_running_mean():
    metrics = updates(400, 500, **{"return": lambda k: float(k % 10)})
    (faint, mean, *_) = plot_learning.learning(metrics, names=["return"]).axes[0].get_lines()
    np.testing.assert_array_equal(faint.get_ydata(), metrics["return"])
    assert (faint.get_alpha(), mean.get_label()) == (0.3, "training, mean of 10 updates")
    expected = metrics["return"].rolling(10, min_periods=1).mean()
    np.testing.assert_allclose(mean.get_ydata(), expected, atol=1e-12)


def cut_off(ax):
    return [text.get_text() for text in ax.texts if text.get_gid() == "cut off"]


def test_the_start_is_cut_off_if_it_hides_the_rest():
    metrics = updates(100, 200, **{
        "falls": lambda k: 5 + math.cos(k) + (2000 / k**3),
        "rises": lambda k: -900 / k**3 + k / 100,
        "slow": lambda k: 100.0 - k,
    })  # fmt: skip
    metrics = metrics.drop(columns=["entropy", "kl"])
    falls, rises, slow = plot_learning.learning(metrics).axes
    assert cut_off(falls) == ["▲ up to 2,006"]
    assert 3.5 < falls.get_ylim()[0] < 4.1
    assert 6 < falls.get_ylim()[1] < 12
    assert cut_off(rises) == ["▼ down to -900"]
    assert rises.get_ylim()[0] > -3
    assert cut_off(slow) == []
    assert slow.get_ylim()[0] < 0
    assert slow.get_ylim()[1] > 99
    collapsed = metrics.assign(rises=np.where(metrics["update"] == 100, -50, metrics["rises"]))
    assert plot_learning.learning(collapsed, names=["rises"]).axes[0].get_ylim()[0] < -50
    short = plot_learning.learning(metrics[:1], names=["falls"])  # one update has no rest
    assert cut_off(short.axes[0]) == []


def test_the_evaluation_at_the_end_has_an_interval():
    metrics = updates(40, 50, **{"return": lambda k: 0.1 * k})
    final = {"return": 4.2, "return_error": 0.1}
    ax = plot_learning.learning(metrics, names=["return"], final=final).axes[0]
    (container,) = ax.containers
    point, _, (bar,) = container
    assert (point.get_xdata()[0], point.get_ydata()[0]) == (4000, 4.2)
    half = 0.1 * stats.norm.ppf(0.975)
    np.testing.assert_allclose(bar.get_segments()[0][:, 1], [4.2 - half, 4.2 + half])
    assert container.get_label() == "evaluation at the end, 95%"


def test_a_metric_that_is_not_there():
    metrics = updates(4, 2, **{"return": float})
    with pytest.raises(
        games.InputError, match=r"^there is no metric 'cost' to draw: there are ret"
    ):
        plot_learning.learning(metrics, names=["return", "cost"])
    assert plot_learning.learning(metrics[:0]).axes == []


def test_a_target_is_seen():
    history = pd.DataFrame({"iteration": [1, 10], "nash_conv": [1.0, 0.1], "seconds": [0.1, 0.2]})
    ax = plot.convergence({"cfr": history}, target=0.01).axes[0]
    (line,) = [line for line in ax.get_lines() if line.get_label() == "target 0.01"]
    assert max(to_rgb(line.get_color())) < 0.5  # the grid's lines are 0.9


def test_pictures_of_the_documentation_are_made_by_a_command():
    root = Path(__file__).parents[3]
    pictures = [file.relative_to(root).as_posix() for file in (root / "docs/images").iterdir()]
    rules = (root / "Makefile").read_text(encoding="utf-8").split("\npictures: ")[1]
    assert pictures
    assert all(f" {picture}\n" in rules for picture in pictures)


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(games.InputError, match="4 actions"):
        plot_equilibria.best_response_regions(NormalForm.from_payoffs(np.eye(4)))
    with pytest.raises(games.InputError, match="3 players"):
        plot_equilibria.payoffs(NormalForm.from_payoffs(np.zeros((2, 2, 2, 3))))
    with pytest.raises(games.InputError, match="'ce', 'cce'"):
        payoff_region(CHICKEN, "efce")
