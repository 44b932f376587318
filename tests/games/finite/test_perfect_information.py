"""Games of perfect information without information-state strings: histories name the sets."""

from __future__ import annotations

import functools

import numpy as np
import pyspiel
import pytest
from open_spiel.python.algorithms.expected_game_score import policy_value
from open_spiel.python.algorithms.minimax import expectiminimax

import analysis
import games
from analysis.equilibria.backward import backward_induction
from analysis.equilibria.zero_sum import sequence_form_lp
from benchmarks.export_sweep import check
from games import Strategy
from games.finite.openspiel import tabular_policy
from games.finite.sampling import sampled_values
from marl import tabular
from marl.evaluation.exact import InformationSets

PIG = "pig(winscore=3,diceoutcomes=2,horizon=8)"
# All that OpenSpiel has, with parameters that make them small where there are such.
REGISTERED = {
    "2048": None,
    "backgammon": None,
    "banqi": None,
    "breakthrough": "rows=4,columns=2",
    "catch": "rows=4,columns=3",
    "chinese_checkers": "max_moves=2",
    "einstein_wurfelt_nicht": None,
    "lines_of_action": "max_game_length=2",
    "maedn": None,
    "mancala": None,
    "morpion_solitaire": None,
    "oware": "num_houses_per_player=2,num_seeds_per_house=1",
    "pig": "winscore=3,diceoutcomes=2,horizon=8",
    "yacht": None,
}
SMALL = [f"{name}({given})" for name, given in REGISTERED.items() if given]
ZERO_SUM = [
    "breakthrough(rows=3,columns=2)",
    "breakthrough(rows=3,columns=3)",
    "chinese_checkers(max_moves=2)",
    "lines_of_action(max_game_length=2)",
    "misere(game=breakthrough(rows=3,columns=2))",
    "oware(num_houses_per_player=2,num_seeds_per_house=1)",
    PIG,
    "pig(winscore=2,diceoutcomes=3,horizon=6)",
]


@functools.cache
def form(name: str) -> games.SequenceForm:
    return games.load(name).sequence_form()


def test_the_list_is_whole():
    kind = pyspiel.GameType
    nameless = {
        k.short_name
        for k in pyspiel.registered_games()
        if k.information == kind.Information.PERFECT_INFORMATION
        and k.dynamics == kind.Dynamics.SEQUENTIAL
        and k.chance_mode != kind.ChanceMode.SAMPLED_STOCHASTIC
        and not k.provides_information_state_string
    }
    assert nameless == set(REGISTERED)


@pytest.mark.parametrize("name", [n for n in REGISTERED if n != "catch"])
def test_as_they_are_they_are_far_too_large(name):
    with pytest.raises(games.UnenumerableGameError, match="far more than 20,000,000") as error:
        games.load(name).sequence_form()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", SMALL)
def test_every_history_is_an_information_set(name):
    """As many as OpenSpiel's own states have decisions, each named by OpenSpiel's history."""
    names: list[set[str]] = [set() for _ in range(form(name).num_players)]
    histories, stack = 0, [games.load(name).openspiel.new_initial_state()]
    while stack:
        state = stack.pop()
        histories += 1
        if state.current_player() >= 0:
            names[state.current_player()].add(state.history_str() or "(start)")
        stack += [state.child(action) for action in state.legal_actions()]
    assert histories == form(name).num_histories
    assert [set(p.information_sets) for p in form(name).players] == names
    assert all(len(p.information_sets) == len(p.index) for p in form(name).players)


@pytest.mark.parametrize("name", ZERO_SUM)
def test_values_are_those_of_expectiminimax(name):
    game = games.load(name)
    expected, _ = expectiminimax(game.openspiel.new_initial_state(), 200, None, 0)
    found = backward_induction(game)
    assert found.value == pytest.approx(expected, abs=1e-9)
    assert sequence_form_lp(form(name)).value == pytest.approx(expected, abs=1e-9)
    assert found.regret <= 1e-9


@pytest.mark.parametrize("name", ["catch(rows=4,columns=3)", f"{PIG[:-1]},players=3)"])
def test_other_numbers_of_players(name):
    """One player's best is what OpenSpiel's search finds; of three the strategy's values are."""
    game = games.load(name)
    found = backward_induction(game)
    start = game.openspiel.new_initial_state()
    policy = found.strategy.to_openspiel(game.openspiel)
    expected = policy_value(start, [policy] * game.num_players)
    np.testing.assert_allclose(found.values, expected, atol=1e-12)
    if game.num_players == 1:
        assert found.value == pytest.approx(expectiminimax(start, 200, None, 0)[0], abs=1e-12)


@pytest.mark.parametrize("name", ["breakthrough(rows=3,columns=2)", PIG])
def test_strategies_go_to_openspiel_and_back(name):
    game = games.load(name)
    strategy = Strategy.random(form(name), np.random.default_rng(0))
    policy = strategy.to_openspiel(game.openspiel)
    again = Strategy.from_openspiel(form(name), policy)
    np.testing.assert_array_equal(again.probabilities, strategy.probabilities)
    expected = policy_value(game.openspiel.new_initial_state(), [policy] * 2)
    ours = analysis.expected_values(form(name), strategy)
    np.testing.assert_allclose(ours, expected, atol=1e-12)
    uniform = Strategy.from_openspiel(form(name), tabular_policy(game.openspiel))
    np.testing.assert_array_equal(uniform.probabilities, Strategy.uniform(form(name)).probabilities)


def test_iterated_solvers_files_play_and_networks_take_them(tmp_path):
    assert tabular.solve(form(PIG), "cfr+", iterations=200).nash_conv < 0.02
    row = check(PIG)  # out to Gambit's .efg and in again
    assert (row.histories, row.failure) == (4_916, "")
    strategy = Strategy.random(form(PIG), np.random.default_rng(1))
    strategy.save(tmp_path / "s.npz")
    again = Strategy.load(tmp_path / "s.npz")
    expected = analysis.expected_values(form(PIG), again)
    values, errors = sampled_values(games.load(PIG), again, np.random.default_rng(0))
    assert np.all(np.abs(values - expected) <= 5 * errors)
    sets = InformationSets(PIG)
    assert sets.features.shape[0] == len(form(PIG).information_sets)


def test_policies_are_handed_openspiels_own_states():
    game = games.load(PIG)

    def uniform(state, player):
        assert isinstance(state, pyspiel.State)
        return dict.fromkeys(state.legal_actions(), 1 / len(state.legal_actions()))

    ours = Strategy.uniform(form(PIG))
    table = analysis.empirical_game(game, {"theirs": uniform, "ours": ours}, episodes=400, seed=1)
    expected = analysis.expected_values(form(PIG), ours)
    assert np.all(np.abs(table.payoffs - expected) <= 5 * table.standard_errors)


def test_what_needs_openspiels_names_says_so():
    with pytest.raises(games.GameError, match=r"pig.* no information-state strings"):
        tabular.solve(games.load(PIG), "mccfr", iterations=1)
    with pytest.raises(games.GameError, match="imperfect information"):
        games.load("markov_soccer").sequence_form()
