"""NashConv, best responses and expected values against OpenSpiel's tree walks."""

import numpy as np
import pyspiel
import pytest
from open_spiel.python.algorithms import exploitability as openspiel_exploitability
from open_spiel.python.algorithms.best_response import BestResponsePolicy
from open_spiel.python.algorithms.expected_game_score import policy_value

import analysis
import games
from games import Strategy
from tests.conftest import BATTLESHIP, KUHN, LD4, LD6, LEDUC, form

# Two and more players, zero and general sum, sequential and simultaneous, C++ and Python games.
GAMES = [
    KUHN,
    LEDUC,
    LD4,
    BATTLESHIP,
    "leduc_poker(suit_isomorphism=True)",
    "kuhn_poker(players=3)",
    "kuhn_poker(players=4)",
    "goofspiel(num_cards=3,imp_info=True,points_order=random)",
    "goofspiel(players=3,num_cards=3,imp_info=True,points_order=descending)",
    "matrix_rps",
    "matrix_pd",
    "matching_pennies_3p",
    "blotto(coins=3,fields=2,players=3)",
    "first_sealed_auction(max_value=4)",
    "tiny_bridge_2p",
    "python_kuhn_poker",
    "trade_comm(num_items=2)",
    "oshi_zumo(coins=4,size=1,horizon=3)",
    "cliff_walking(height=2,width=3,horizon=4)",  # one player
    "sheriff(item_penalty=1.0,item_value=5.0,max_bribe=2,max_items=3,num_rounds=1,"
    "sheriff_penalty=1.0)",
]


@pytest.mark.parametrize("name", GAMES)
@pytest.mark.parametrize("seed", [0, 1])
def test_nash_conv_of_random_strategies(name, seed):
    game, compiled = games.load(name), form(name)
    strategy = Strategy.random(compiled, np.random.default_rng(seed))
    policy = strategy.to_openspiel(game.openspiel)
    expected = openspiel_exploitability.nash_conv(game.openspiel, policy)
    assert analysis.nash_conv(compiled, strategy) == pytest.approx(expected, abs=1e-10)
    values = policy_value(game.openspiel.new_initial_state(), [policy] * game.num_players)
    np.testing.assert_allclose(analysis.expected_values(compiled, strategy), values, atol=1e-10)


def test_nash_conv_on_a_game_of_300_000_histories():
    game, compiled = games.load(LD6), form(LD6)
    strategy = Strategy.random(compiled, np.random.default_rng(2))
    policy = {
        name: list(strategy.action_probabilities(name).items())
        for name in strategy.information_sets
    }
    expected = pyspiel.nash_conv(game.openspiel, policy)
    assert analysis.nash_conv(compiled, strategy) == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize(
    "name", [KUHN, "kuhn_poker(players=3)", "first_sealed_auction(max_value=4)"]
)
def test_best_response(name):
    game, compiled = games.load(name), form(name)
    strategy = Strategy.random(compiled, np.random.default_rng(3))
    policy = strategy.to_openspiel(game.openspiel)
    gains = []
    for player in range(game.num_players):
        response = analysis.best_response(compiled, strategy, player)
        oracle = BestResponsePolicy(game.openspiel, player, policy)
        expected = oracle.value(game.openspiel.new_initial_state())
        assert response.value == pytest.approx(expected, abs=1e-12)
        # The strategy that comes back attains the value, and is pure for this player only.
        achieved = analysis.expected_values(compiled, response.strategy)[player]
        assert achieved == pytest.approx(response.value, abs=1e-12)
        table = response.strategy.to_frame()
        assert set(table[table.player == player].probability) == {0.0, 1.0}
        others = strategy.to_frame().player != player
        assert (table[others].probability == strategy.to_frame()[others].probability).all()
        gains.append(response.gain)
    assert sum(gains) == pytest.approx(analysis.nash_conv(compiled, strategy), abs=1e-12)


def test_exploitability_is_nash_conv_per_player():
    game, compiled = games.load(LEDUC), form(LEDUC)
    uniform = Strategy.uniform(compiled)
    policy = uniform.to_openspiel(game.openspiel)
    expected = openspiel_exploitability.exploitability(game.openspiel, policy)
    assert analysis.exploitability(compiled, uniform) == pytest.approx(expected, abs=1e-12)
    assert analysis.nash_conv(compiled, uniform) == pytest.approx(2 * expected, abs=1e-12)


def test_kuhn_equilibrium_in_closed_form():
    """Kuhn (1950): with a = 1/5 the first player bluffs a jack with a and bets a king with 3a."""
    a = 1 / 5
    bet = {
        "0": a, "1": 0.0, "2": 3 * a, "0pb": 0.0, "1pb": a + 1 / 3, "2pb": 1.0,
        "0p": 1 / 3, "1p": 0.0, "2p": 1.0, "0b": 0.0, "1b": 1 / 3, "2b": 1.0,
    }  # fmt: skip
    compiled = form(KUHN)
    frame = Strategy.uniform(compiled).to_frame()
    frame["probability"] = [
        bet[s] if action == 1 else 1 - bet[s]
        for s, action in zip(frame.information_set, frame.action, strict=True)
    ]
    equilibrium = Strategy.from_frame(KUHN, frame)
    assert analysis.nash_conv(compiled, equilibrium) == pytest.approx(0.0, abs=1e-15)
    assert analysis.expected_values(compiled, equilibrium)[0] == pytest.approx(-1 / 18, abs=1e-15)


def test_no_such_player():
    with pytest.raises(games.InputError, match="players 0 to 1"):
        analysis.best_response(form(KUHN), Strategy.uniform(form(KUHN)), 2)


def test_a_matrix_game_goes_where_a_sequence_form_goes():
    game = games.NormalForm.from_payoffs([[3, 0], [5, 1]], [[3, 5], [0, 1]])
    both_cooperate = game.strategy([[1, 0], [1, 0]])
    assert analysis.expected_values(game, both_cooperate).tolist() == [3, 3]
    assert analysis.nash_conv(game, both_cooperate) == 4
    assert analysis.exploitability(game, both_cooperate) == 2
    assert analysis.best_response(game, both_cooperate, 1).value == 5
    assert analysis.nash_conv(game, game.strategy([[0, 1], [0, 1]])) == 0
