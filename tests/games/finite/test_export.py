"""OpenSpiel's games through Gambit's files and back: see benchmarks/export_sweep.py."""

from __future__ import annotations

import io
import time
from dataclasses import replace

import numpy as np
import pygambit
import pyspiel
import pytest
from open_spiel.python.algorithms.expected_game_score import policy_value

import games
from benchmarks import export_sweep
from benchmarks.export_sweep import MOST_HISTORIES, assert_same, attempt, check, two_player_games
from games import Strategy
from games.finite.gambit.text import efg_text, quoted
from tests.conftest import BATTLESHIP, KUHN, LEDUC, form

# Zero-sum: game, histories, and a value known from the literature or by hand.
VALUES = [
    (KUHN, 58, -1 / 18),
    (LEDUC, 9_457, -0.085606424078),
    ("liars_dice(numdice=1,dice_sides=3)", 1_147, 1 / 9),
    ("liars_dice(numdice=1,dice_sides=4)", 8_181, 1 / 16),
    ("nim(pile_sizes=1;2;3)", 447, -1.0),  # a nim sum of 0 loses, in misere too
    ("matrix_rps", 13, 0.0),
    ("goofspiel(num_cards=3,imp_info=True)", 418, 0.0),  # symmetric
    ("hex(board_size=2)", 53, 1.0),  # the first player wins hex
    (BATTLESHIP, 10_069, 0.625),
]
GENERAL = [
    "matrix_pd",
    "tiny_hanabi",
    "first_sealed_auction(max_value=4)",
    "bargaining(max_turns=2,max_num_instances=10)",
    "sheriff(max_bribe=2,max_items=2,num_rounds=3)",
    "trade_comm(num_items=2)",
]


@pytest.mark.parametrize(("name", "histories", "value"), VALUES)
def test_zero_sum_games_keep_their_value(name, histories, value):
    row = check(name)
    assert (row.histories, row.failure) == (histories, "")
    assert row.value == pytest.approx(value, abs=1e-9)


@pytest.mark.parametrize("name", GENERAL)
def test_general_sum_games_keep_their_values(name):
    """The random strategy's values in the file are those of OpenSpiel's own walk of the game."""
    row = check(name)
    game = games.load(name)
    strategy = Strategy.random(form(name), np.random.default_rng(0))
    policy = strategy.to_openspiel(game.openspiel)
    theirs = policy_value(game.openspiel.new_initial_state(), [policy] * 2)
    np.testing.assert_allclose(row.values, theirs, atol=1e-9)


@pytest.mark.parametrize("name", [KUHN, LEDUC, *GENERAL])
def test_gambit_evaluates_the_file_as_openspiel_the_game(name):
    game = games.load(name)
    strategy = Strategy.random(form(name), np.random.default_rng(1))
    source = pygambit.read_efg(io.BytesIO(efg_text(game).encode()))
    profile = source.mixed_behavior_profile()
    for i, player in enumerate(source.players):
        infosets = {infoset.label: infoset for infoset in player.infosets}
        for row, owner in zip(strategy.information_sets, strategy.player, strict=True):
            if owner == i:
                chances = strategy.action_probabilities(row, i).values()
                for action, p in zip(infosets[quoted(row)].actions, chances, strict=True):
                    profile[action] = p
    ours = [float(profile.payoff(player)) for player in source.players]
    policy = strategy.to_openspiel(game.openspiel)
    theirs = policy_value(game.openspiel.new_initial_state(), [policy] * 2)
    np.testing.assert_allclose(ours, theirs, atol=1e-9)


def test_a_changed_game_does_not_pass():
    same = form(KUHN)
    assert_same(same, same)  # its names are such as they are in the file
    utility, sequence = same.leaf_utility.copy(), same.leaf_sequence.copy()
    utility[3] += 1e-9
    sequence[[0, 1]] = sequence[[1, 0]]
    first, second = same.players
    wrong = [
        replace(same, leaf_utility=utility),
        replace(same, leaf_sequence=sequence),
        replace(same, num_histories=57),
        replace(same, players=(second, first)),
    ]
    for other in wrong:
        with pytest.raises(AssertionError):
            assert_same(same, other)


def test_a_game_that_cannot_be_written_says_why(monkeypatch):
    assert "imperfect recall" in attempt("dark_hex_ir(board_size=2)").failure
    assert "information-state strings" in attempt("markov_soccer").failure
    assert "more than 100,000 histories" in attempt("tic_tac_toe").failure
    monkeypatch.setattr(export_sweep, "check", lambda name: time.sleep(60))
    assert attempt(KUHN, seconds=0.2).failure == "not done within 0 s"
    monkeypatch.setattr(export_sweep, "check", lambda name: __import__("os")._exit(1))
    assert "ended the process" in attempt(KUHN).failure


def test_every_two_player_game_is_tried():
    tried = {name.split("(")[0] for name in two_player_games()}
    for kind in pyspiel.registered_games():
        if kind.min_num_players <= 2 <= kind.max_num_players and kind.default_loadable:
            mean_field = kind.dynamics == pyspiel.GameType.Dynamics.MEAN_FIELD
            assert mean_field or kind.short_name in tried


# Games without which the sweep would not be one; all with parameters that keep them small.
PASSES = {
    "bargaining", "battleship", "blotto", "clobber", "connect_four", "dark_hex", "dots_and_boxes",
    "first_sealed_auction", "go", "go_fish", "goofspiel", "havannah", "hex", "kuhn_poker",
    "leduc_poker", "liars_dice", "mnk", "nim", "oshi_zumo", "python_liars_poker",
    "repeated_leduc_poker", "sheriff", "tiny_hanabi", "trade_comm", "universal_poker", "y",
}  # fmt: skip


@pytest.mark.slow
def test_sweep():
    rows = [attempt(name) for name in two_player_games()]
    passed = {row.game.split("(")[0] for row in rows if not row.failure}
    assert passed >= PASSES
    assert all(row.histories <= MOST_HISTORIES for row in rows)
    known = {group for _, group in export_sweep.REASONS}
    assert {export_sweep.reason(row.failure) for row in rows if row.failure} <= known
