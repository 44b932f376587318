"""Strategies as tables, files and OpenSpiel policies."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from open_spiel.python.policy import TabularPolicy

import games
from analysis.plots import base as plot
from games import InputError, Strategy
from games.common.storage import pack_strings, unpack_strings
from tests.conftest import KUHN, LEDUC, form

GAMES = [KUHN, LEDUC, "kuhn_poker(players=3)", "matrix_rps", "python_kuhn_poker"]


def random_strategy(name: str) -> Strategy:
    return Strategy.random(form(name), np.random.default_rng(7))


@pytest.mark.parametrize("name", GAMES)
def test_there_and_back(name, tmp_path):
    strategy = random_strategy(name)
    strategy.save(tmp_path / "s.npz")
    game = games.load(name)
    copies = {
        "npz": Strategy.load(tmp_path / "s.npz"),
        "frame": Strategy.from_frame(name, strategy.to_frame()),
        "openspiel": Strategy.from_openspiel(form(name), strategy.to_openspiel(game.openspiel)),
    }
    for copy in copies.values():
        assert copy.information_sets == strategy.information_sets
        assert np.array_equal(copy.probabilities, strategy.probabilities)
        assert np.array_equal(copy.actions, strategy.actions)
        assert np.array_equal(copy.behaviour(form(name)), strategy.behaviour(form(name)))


def test_openspiel_policy_gives_the_same_probabilities():
    game = games.load(LEDUC)
    strategy = random_strategy(LEDUC)
    policy = strategy.to_openspiel(game.openspiel)
    state = game.openspiel.new_initial_state()
    while not state.is_terminal():
        if not state.is_chance_node():
            own = strategy.action_probabilities(state.information_state_string())
            assert policy.action_probabilities(state) == pytest.approx(own, abs=1e-15)
        state.apply_action(state.legal_actions()[-1])


def test_order_of_information_sets_does_not_matter():
    strategy = random_strategy(KUHN)
    backwards = strategy.to_frame().iloc[::-1]
    backwards = backwards.sort_values(["player", "information_set", "action"], ascending=False)
    backwards = backwards.groupby("information_set", sort=False, group_keys=False)[
        ["player", "information_set", "action", "probability"]
    ].apply(lambda rows: rows.sort_values("action"))
    shuffled = Strategy.from_frame(KUHN, backwards)
    assert shuffled.information_sets != strategy.information_sets
    assert np.array_equal(shuffled.behaviour(form(KUHN)), strategy.behaviour(form(KUHN)))


def test_order_of_actions_does_not_matter():
    strategy = random_strategy(KUHN)
    frame = strategy.to_frame()
    swapped = frame.iloc[[i ^ 1 for i in range(len(frame))]]  # both actions of every set
    copy = Strategy.from_frame(KUHN, swapped)
    assert copy.information_sets == strategy.information_sets
    assert np.array_equal(copy.behaviour(form(KUHN)), strategy.behaviour(form(KUHN)))


def test_a_part_leaves_the_rest_uniform():
    frame = random_strategy(KUHN).to_frame()
    part = Strategy.from_frame(KUHN, frame.query("player == 1"))
    whole = Strategy.from_behaviour(form(KUHN), part.behaviour(form(KUHN))).to_frame()
    assert (whole.query("player == 0").probability == 0.5).all()
    assert (whole.query("player == 1").probability == frame.query("player == 1").probability).all()
    assert len(plot.strategy(form(KUHN), part).axes) == 2


ALTERED = [
    (lambda frame: frame.assign(action=7), "this strategy has actions"),
    (lambda frame: frame.assign(player=1 - frame.player), "use the strategy with its own game"),
]


@pytest.mark.parametrize(("alter", "says"), ALTERED)
def test_strategy_that_does_not_fit_is_refused(alter, says):
    frame = random_strategy(KUHN).to_frame()
    with pytest.raises(InputError, match=says):
        Strategy.from_frame(KUHN, alter(frame)).behaviour(form(KUHN))


def test_same_names_but_other_actions_are_refused():
    pennies = Strategy.uniform(form("matrix_pd"))
    with pytest.raises(InputError, match="this strategy has actions"):
        pennies.behaviour(form("matrix_rps"))


def test_information_set_given_twice_is_refused():
    frame = random_strategy(KUHN).to_frame()
    with pytest.raises(InputError, match="more than once"):
        Strategy.from_frame(KUHN, pd.concat([frame, frame.iloc[:2]]))


def test_strategy_of_another_game_is_refused():
    with pytest.raises(InputError, match="use the strategy with its own game"):
        random_strategy(KUHN).behaviour(form(LEDUC))
    with pytest.raises(InputError, match="this strategy is for kuhn_poker"):
        random_strategy(KUHN).to_openspiel(games.load(LEDUC).openspiel)
    with pytest.raises(InputError, match="the policy has no information set"):
        Strategy.from_openspiel(form(LEDUC), TabularPolicy(games.load(KUHN).openspiel))


def test_damaged_or_foreign_file_is_refused(tmp_path):
    file = tmp_path / "s.npz"
    with pytest.raises(InputError, match="no such file"):
        Strategy.load(file)
    random_strategy(KUHN).save(file)
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(InputError, match="damaged"):
        Strategy.load(file)
    np.savez(file, x=np.zeros(3))
    with pytest.raises(InputError, match="damaged or was not written"):
        Strategy.load(file)


def test_probabilities_have_to_be_distributions():
    frame = random_strategy(KUHN).to_frame()
    frame.loc[3, "probability"] += 0.5
    with pytest.raises(InputError, match="not a distribution"):
        Strategy.from_frame(KUHN, frame)
    with pytest.raises(InputError, match="lacks the column action"):
        Strategy.from_frame(KUHN, frame.drop(columns="action"))


@given(st.lists(st.text()))
def test_any_strings_survive_packing(strings):
    assert unpack_strings(pack_strings(strings)) == strings
