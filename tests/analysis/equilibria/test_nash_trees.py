"""Nash equilibria of trees whose normal form is too large, against OpenSpiel and by brute force."""

from __future__ import annotations

import io

import numpy as np
import pygambit
import pytest
from open_spiel.python.algorithms import exploitability as openspiel

import analysis
import games
from analysis.equilibria.backward import ImperfectInformation, refuse_hidden_information
from analysis.equilibria.nash import nash
from analysis.equilibria.sharpen import regret, sharpened, with_support
from analysis.equilibria.units import Units
from games import NormalForm, Strategy
from games.finite.gambit.reading import GambitGame
from games.finite.game import CHANCE, TERMINAL
from scenarios.cli import _main
from tests.conftest import LD6, LEDUC, form, last_json
from tests.helpers.random_tree import small_tree

THREE = "kuhn_poker(players=3)"
SHIPS = (
    "battleship(board_width=2,board_height=2,ship_sizes=[2],ship_values=[2],num_shots={},"
    "allow_repeated_shots=False,loss_multiplier=2.0)"
)


@pytest.mark.parametrize(
    "name",
    [
        THREE,
        "first_sealed_auction(max_value=10)",
        "trade_comm(num_items=3)",
        SHIPS.format(2),
        pytest.param("kuhn_poker(players=4)", marks=pytest.mark.slow),
        pytest.param(SHIPS.format(3), marks=pytest.mark.slow),
        pytest.param("tiny_bridge_2p", marks=pytest.mark.slow),
    ],
)
def test_an_equilibrium_where_no_normal_form_can_be_laid_out(name):
    game = games.load(name)
    found = nash(game)
    assert not found.approximate
    assert found.regret <= 1e-9
    policy = found.strategy.to_openspiel(game.openspiel)
    assert openspiel.nash_conv(game.openspiel, policy) <= 1e-8


def chain_store(entrants: int) -> GambitGame:
    """An incumbent, strong or weak, meets entrants in turn; it is not known which (as Gambit's
    game `cs.efg`): to fight costs the weak, to share the strong one."""
    names = " ".join(f'"entrant {k + 1}"' for k in range(entrants))
    lines = [f'EFG 2 R "chain store" {{ "incumbent" {names} }}', '""']
    lines.append('c "" 1 "" { "strong" 1/2 "weak" 1/2 } 0')
    known: dict[tuple, int] = {}
    ends = 0

    def number(*key) -> int:
        return known.setdefault(key, 1 + sum(k[0] == key[0] for k in known))

    def play(strong: bool, before: tuple[str, ...], pays: list[float]) -> None:
        nonlocal ends
        k = len(before)
        if k == entrants:
            ends += 1
            lines.append(f't "" {ends} "" {{ {", ".join(map(str, pays))} }}')
            return
        lines.append(f'p "" {k + 2} {number(k + 1, before)} "" {{ "enter" "stay out" }} 0')
        lines.append(f'p "" 1 {number(0, strong, before)} "" {{ "fight" "share" }} 0')
        for answer, own, theirs in (("fight", not strong, -0.5), ("share", strong, 0.5)):
            after = [pays[0] - own, *pays[1:]]
            after[k + 1] += theirs
            play(strong, (*before, answer), after)
        play(strong, (*before, "stay out"), [pays[0] + 0.5, *pays[1:]])

    play(True, (), [0.0] * (entrants + 1))
    play(False, (), [0.0] * (entrants + 1))
    return GambitGame("chain", pygambit.read_efg(io.BytesIO("\n".join(lines).encode())))


def test_the_chain_store():
    game = chain_store(3)
    found = nash(game)
    assert found.regret <= 1e-9
    # Gambit's own measure, information set by information set.
    profile = game.gambit.mixed_behavior_profile()
    for player, infosets in zip(game.gambit.players, game.information_sets, strict=True):
        for infoset, name in zip(player.infosets, infosets, strict=True):
            own = found.strategy.action_probabilities(name, player=player.number)
            for action, probability in zip(infoset.actions, own.values(), strict=True):
                profile[action] = probability
    assert float(profile.agent_max_regret()) <= 1e-8


def test_play_that_is_only_near_an_equilibrium_says_so(capsys):
    compiled = form(THREE)
    found = nash(compiled, method="dynamics", progress=lambda message: True)
    assert found.approximate
    assert "approximate" in repr(found)
    assert found.regret > 1e-6
    measured = analysis.nash_conv(compiled, found.strategy)
    assert found.gains.sum() == pytest.approx(measured, abs=1e-12)
    line = ["solve", "goofspiel(num_cards=4,imp_info=True,returns_type=total_points)"]
    line += ["--equilibrium", "nash", "--seconds", "0.1"]
    assert _main([*line, "--json"]) == 0
    told = last_json(capsys.readouterr().out)
    assert told["approximate"] is True
    assert told["regret"] == pytest.approx(max(told["gains"]))
    assert _main(line) == 0
    printed = capsys.readouterr().out
    assert "(approximate)" in printed
    assert "of what is at stake for it" in printed


def test_the_game_is_compiled_once():
    """Whatever solvers are tried: of a user's game in Python it is a slow walk."""

    class Counted:
        def __init__(self, game):
            self.game, self.compiled = game, 0
            self.name, self.num_players, self.root = game.name, game.num_players, game.root

        def sequence_form(self):
            self.compiled += 1
            return self.game.sequence_form()

    counted = Counted(games.load(THREE))
    assert not nash(counted).approximate
    assert counted.compiled == 1


def test_the_time_limit_holds_for_trees_too():
    found = nash(games.load(THREE), method="branch", seconds=0.0)
    assert found.approximate
    assert "stopped" in found.facts["approximate"]


@pytest.mark.parametrize("seed", range(8))
def test_our_own_solvers_on_small_trees(seed):
    """Against the best of all pure deviations, in the normal form."""
    compiled = small_tree(seed, most=300, depth=4)
    table = NormalForm.reduced(compiled)
    for method in ("branch", "dynamics"):
        found = nash(compiled, method=method)
        mixed = table.mixed(found.strategy)
        for i in range(table.num_players):
            gain = table.against(mixed, i).max() - table.values(mixed)[i]
            assert found.gains[i] == pytest.approx(gain, abs=1e-9)
            assert gain <= 1e-6 * np.ptp(table.payoffs[..., i]) or found.approximate
        assert not found.approximate or method == "dynamics"  # which come near one only


def test_sharpening_goes_from_near_to_exact():
    """An equilibrium of Kuhn poker for three, disturbed by 1e-3, is found again."""
    compiled = Units.of(form(THREE)).form
    exact = nash(form(THREE)).strategy.behaviour(compiled)
    noise = np.random.default_rng(0).random(len(exact))
    near = np.where(exact > 0.01, exact + 1e-3 * noise, exact)
    assert regret(compiled, sharpened(compiled, near)) <= 1e-12
    assert with_support(compiled, near, np.zeros(len(near), dtype=bool)) is None


@pytest.mark.parametrize(
    "name", ["catch(rows=4,columns=3)", "cliff_walking(height=2,width=3,horizon=4)"]
)
def test_a_single_player(name):
    compiled = games.load(name).sequence_form(node_budget=100_000)
    found = nash(compiled, method="dynamics")
    best = analysis.best_response(compiled, Strategy.uniform(compiled), 0)
    assert found.value == pytest.approx(best.value, abs=1e-6)


# Perfect information -----------------------------------------------------------------------------


def minimax(state) -> np.ndarray:
    """Values of a node under the best play of all, by brute force."""
    player = state.current_player()
    if player == TERMINAL:
        return np.array(state.returns())
    if player == CHANCE:
        return sum(p * minimax(state.child(a)) for a, p in state.chance_outcomes())
    return max((minimax(state.child(a)) for a in state.legal_actions()), key=lambda v: v[player])


def nodes(state):
    yield state
    if state.current_player() == CHANCE:
        for action, _ in state.chance_outcomes():
            yield from nodes(state.child(action))
    elif state.current_player() != TERMINAL:
        for action in state.legal_actions():
            yield from nodes(state.child(action))


def played(state, strategy) -> np.ndarray:
    """Values of a node under a strategy."""
    player = state.current_player()
    if player == TERMINAL:
        return np.array(state.returns())
    if player == CHANCE:
        return sum(p * played(state.child(a), strategy) for a, p in state.chance_outcomes())
    chosen = strategy.action_probabilities(state.information_state_string(player), player=player)
    return sum(p * played(state.child(a), strategy) for a, p in chosen.items() if p > 0)


@pytest.mark.parametrize("name", ["nim(pile_sizes=1;2;3)", "nim(pile_sizes=2;2,is_misere=False)"])
def test_zero_sum_games_of_perfect_information_are_solved_at_every_node(name):
    game = games.load(name)
    found = nash(game)
    assert "subgame perfect" in found.method
    count = 0
    for state in nodes(game.root()):
        count += 1
        np.testing.assert_allclose(played(state, found.strategy), minimax(state), atol=1e-12)
    assert count == game.sequence_form().num_histories


@pytest.mark.parametrize("name", [LD6, LEDUC, "phantom_ttt", THREE])
def test_hidden_information_is_seen_at_once(name):
    """Within the nodes of some random plays, however large the game."""
    with pytest.raises(ImperfectInformation, match="several histories"):
        refuse_hidden_information(games.load(name))


def test_nothing_is_hidden_in_nim():
    refuse_hidden_information(games.load("nim(pile_sizes=1;2;3)"))
