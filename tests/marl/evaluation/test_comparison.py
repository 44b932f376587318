"""Tables of what players are worth in the same games; statistics are SciPy's."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from games import InputError
from games.common.intervals import interval, relative
from marl.evaluation.comparison import compare, table
from marl.evaluation.episodes import Played, evaluate
from marl.rules.navigation import Fixed, Heterogeneous
from tests.helpers.disc_games import SHORT, lively

ONE = {"fixed": Fixed(1.0)}


def played(seed, games=40, agents=3, shift=0.0):
    """Games made up, of which those of the same seed are alike but for a shift and some noise."""
    base, own = np.random.default_rng(7), np.random.default_rng(seed)
    info = {
        "spl": base.uniform(0.2, 0.9, games) + shift + own.normal(0, 0.05, games),
        "collisions": np.zeros(games),
        "all_arrived": (own.uniform(size=games) < 0.3).astype(float),
    }
    return Played(np.zeros((games, agents)), np.ones(games), np.full(games, -1), info)


def test_tables_against_scipy():
    mine, theirs = played(1, shift=0.2), played(2)
    frame = table({"mine": mine, "theirs": theirs}, to="theirs").set_index(["player", "metric"])
    assert (frame.agents == 3).all()
    assert (frame.games == 40).all()
    row, each, other = frame.loc[("mine", "spl")], mine.info["spl"], theirs.info["spl"]
    expected = stats.ttest_1samp(each, 0).confidence_interval(0.95)
    np.testing.assert_allclose(
        [row["mean"], row.low, row.high], [each.mean(), *expected], rtol=1e-12
    )
    np.testing.assert_allclose(row.standard_error, stats.sem(each), rtol=1e-12)
    assert [row.least, row.most] == [each.min(), each.max()]
    paired = stats.ttest_rel(each, other).confidence_interval(0.95)
    found = [row.difference, row.difference_low, row.difference_high]
    np.testing.assert_allclose(found, [(each - other).mean(), *paired], rtol=1e-12)
    assert row.difference_high - row.difference_low < (row.high - row.low) / 3  # pairs help
    assert frame.loc[("theirs", "spl"), ["difference_low", "difference_high"]].tolist() == [0, 0]
    assert np.isnan(frame.loc[("mine", "collisions"), "relative"])
    assert "difference" not in table({"mine": mine})


def test_relative_differences_against_the_bootstrap():
    def ratio(a, b, axis=-1):
        return a.mean(axis=axis) / b.mean(axis=axis) - 1

    mine, theirs = played(1, games=400, shift=0.2).info["spl"], played(2, games=400).info["spl"]
    drawn = stats.bootstrap(
        (mine, theirs), ratio, paired=True, vectorized=True, n_resamples=4000,
        method="percentile", rng=np.random.default_rng(0),
    ).confidence_interval  # fmt: skip
    found = relative(mine, theirs)
    assert found[0] == pytest.approx(mine.mean() / theirs.mean() - 1, rel=1e-12)
    np.testing.assert_allclose(found[1:], drawn, atol=0.1 * (drawn.high - drawn.low))


@pytest.mark.parametrize(("yes", "games"), [(0, 200), (13, 50), (64, 64)])
def test_shares_of_games_have_exact_intervals(yes, games):
    each = (np.arange(games) < yes).astype(float)
    low = stats.beta.ppf(0.025, yes, games - yes + 1) if yes else 0.0
    high = stats.beta.ppf(0.975, yes + 1, games - yes) if yes < games else 1.0
    np.testing.assert_allclose(interval(each, yes_or_no=True), (low, high), atol=1e-9)


def test_compare_plays_the_same_games():
    players = {"policy": lively(SHORT, "attention"), "fixed": Fixed(1.0), "drawn": Heterogeneous()}
    frame = compare(SHORT, players, episodes=5, seed=1, greedy=True, to="fixed")
    alone = {
        name: evaluate(player, SHORT, episodes=5, seed=1, greedy=True)
        for name, player in players.items()
    }
    pd.testing.assert_frame_equal(frame, table(alone, "fixed"))
    assert set(frame.player) == set(players)
    assert {"success", "all_arrived", "spl", "speed", "collisions", "closest"} <= set(frame.metric)
    assert {"deadlocked", "eased", "infeasible"} <= set(frame.metric)
    collisions = frame[frame.metric == "collisions"]
    assert (collisions["most"] == 0).all()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: compare(SHORT, {}), "no players to compare: give at least one"),
        (lambda: compare(SHORT, ONE, to="fixd"), "nobody is called 'fixd': did you mean fixed"),
        (lambda: compare(SHORT, {1: Fixed(1.0)}, to=2), "nobody is called 2: known: 1"),
        (lambda: compare(SHORT, ONE, to=["fixed"]), "nobody is called .'fixed'.: did you mean"),
        (lambda: compare(SHORT, {"a": "fixed"}), "player 'a' is 'fixed'; give a policy or a rule"),
        (lambda: compare(SHORT, {"a": Fixed}), "player 'a' is <class .*; give a policy or a rule"),
        (lambda: compare(SHORT, {"a": np.eye(2)}), "player 'a' is array"),
        (
            lambda: compare(SHORT, [Fixed(1.0)]),
            "are a list: give a dict, a policy or a rule by name",
        ),
        (lambda: compare(SHORT, Fixed(1.0)), "a Fixed: give a dict"),
        (lambda: compare(SHORT, ONE, episodes=1), "episodes is 1; give a whole number, at least 2"),
        (lambda: compare(SHORT, ONE, episodes=2.5), "episodes is 2.5; give a whole number"),
        (lambda: compare(SHORT, ONE, episodes=True), "episodes is True; give a whole number"),
        (lambda: compare(SHORT, ONE, episodes="9"), "episodes is '9'; give a whole number"),
        (lambda: table({"a": Fixed(1.0)}), "player 'a' is Fixed.*; give what `evaluate` returns"),
        (lambda: table([played(1)]), "are a list: give a dict, what `evaluate` returns by name"),
        (lambda: table({"a": played(1), "b": played(1, games=9)}), "the same 2 games or more"),
        (lambda: table({"a": played(1, games=1)}), "the same 2 games or more"),
    ],
)
def test_bad_input_says_what_to_do(wrong, message):
    with pytest.raises(InputError, match=message) as raised:
        wrong()
    assert "\n" not in str(raised.value)
