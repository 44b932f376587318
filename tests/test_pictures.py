"""Pictures of equilibria: what is drawn is what was computed."""

from __future__ import annotations

import numpy as np
import pytest

import analysis
import games
from analysis import plot, plot_equilibria
from analysis.region import payoff_region
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


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(games.InputError, match="4 actions"):
        plot_equilibria.best_response_regions(NormalForm.from_payoffs(np.eye(4)))
    with pytest.raises(games.InputError, match="3 players"):
        plot_equilibria.payoffs(NormalForm.from_payoffs(np.zeros((2, 2, 2, 3))))
    with pytest.raises(games.InputError, match="'ce', 'cce'"):
        payoff_region(CHICKEN, "efce")
