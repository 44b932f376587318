"""Compiling games: exact sizes, OpenSpiel's expected returns, errors, and the cache."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pyspiel
import pytest
from open_spiel.python.algorithms.expected_game_score import policy_value

import analysis
import games
from analysis.equilibria.equilibrium import is_constant_sum
from benchmarks.footprint import array_bytes
from games import Strategy
from games.finite import cache, sequence_form
from games.finite.game import CHANCE, TERMINAL
from games.finite.kernels import plans
from tests.conftest import BATTLESHIP, GOOF4, GOOF5, KUHN, LD4, LD5, LD6, LEDUC, form

GOOF3 = "goofspiel(num_cards=3,imp_info=True,points_order=random)"
GOOF5_DESCENDING = "goofspiel(num_cards=5,imp_info=True,points_order=descending)"

# Enumeration by OpenSpiel, from the literature's benchmark set: histories, terminals, information
# sets and sequences of each player. None where the reference gives no number.
SIZES = [
    (KUHN, 58, 30, (6, 6), (13, 13)),
    (LEDUC, 9_457, 5_520, (468, 468), (1_093, 1_093)),
    ("leduc_poker(suit_isomorphism=True)", None, 1_116, (144, 144), (337, 337)),
    ("liars_dice(numdice=1,dice_sides=3)", None, 567, (96, 96), (190, 190)),
    (LD4, 8_181, 4_080, (512, 512), (1_021, 1_021)),
    (LD5, 51_181, 25_575, (2_560, 2_560), (5_116, 5_116)),
    (LD6, 294_883, 147_420, (12_288, 12_288), (24_571, 24_571)),
    (GOOF3, None, 216, (45, 45), (94, 94)),
    (GOOF4, 26_773, 13_824, (1_804, 1_804), (3_737, 3_737)),
    (GOOF5_DESCENDING, 26_931, 14_400, (1_062, 1_062), (2_284, 2_284)),
    (BATTLESHIP, 10_069, 5_568, (1_413, 1_873), (2_965, 4_101)),
    pytest.param(
        GOOF5, 3_346_656, 1_728_000, (118_225,) * 2, (244_786,) * 2, marks=pytest.mark.slow
    ),
]


@pytest.mark.parametrize(("name", "histories", "terminals", "sets", "sequences"), SIZES)
def test_exact_sizes(name, histories, terminals, sets, sequences):
    compiled = form(name)
    sequence_form.check(compiled)
    assert histories in (None, compiled.num_histories)
    assert compiled.num_terminals == terminals
    assert tuple(len(p.information_sets) for p in compiled.players) == sets
    assert tuple(p.num_sequences for p in compiled.players) == sequences


MANY_KINDS = [
    "kuhn_poker(players=3)",
    "leduc_poker(suit_isomorphism=True)",
    "matrix_pd",
    "matching_pennies_3p",
    "tiny_bridge_2p",
    "first_sealed_auction(max_value=4)",
    "trade_comm(num_items=2)",
    "blotto(coins=3,fields=2,players=3)",
]


@pytest.mark.parametrize("name", MANY_KINDS)
def test_invariants_hold_for_many_kinds_of_games(name):
    compiled = form(name)
    sequence_form.check(compiled)
    assert compiled.num_players == games.load(name).num_players
    tuples = {tuple(row) for row in compiled.leaf_sequence.tolist()}
    assert len(tuples) == len(compiled.leaf_sequence)  # equal tuples are merged


def test_merging_adds_utilities_of_equal_tuples():
    name = "first_sealed_auction(max_value=4)"  # a tie is broken by a coin that nobody sees
    game, compiled = games.load(name), form(name)
    assert (compiled.num_terminals, len(compiled.leaf_sequence)) == (130, 100)
    uniform = Strategy.uniform(compiled)
    policy = uniform.to_openspiel(game.openspiel)
    expected = policy_value(game.openspiel.new_initial_state(), [policy] * 2)
    np.testing.assert_allclose(analysis.expected_values(compiled, uniform), expected, atol=1e-12)


def test_chance_of_a_leaf_in_kuhn_is_that_of_the_deal():
    assert form(KUHN).leaf_chance == pytest.approx(np.full(30, 1 / 6), abs=1e-15)


@pytest.mark.parametrize(
    "name",
    [
        "first_sealed_auction(max_value=4)",  # with leaves merged over chance
        "kuhn_poker(players=3)",
        LD4,
        LEDUC,
        "trade_comm(num_items=2)",
        "matching_pennies_3p",
    ],
)
def test_chance_times_all_plans_adds_up_to_one(name):
    compiled = form(name)
    starts = compiled.arrays.players.astype(int)
    for seed in range(3):
        strategy = Strategy.random(compiled, np.random.default_rng(seed))
        plan = plans(compiled, strategy.behaviour(compiled))
        reach = compiled.leaf_chance.copy()
        for i in range(compiled.num_players):
            reach *= plan[starts[i] + compiled.leaf_sequence[:, i]]
        assert reach.sum() == pytest.approx(1.0, abs=1e-12)


def test_chance_that_nobody_sees_is_merged_away():
    """A coin breaks ties in the auction: no leaf says how it fell."""
    compiled = form("first_sealed_auction(max_value=4)")
    walked: dict[tuple[str, ...], float] = {}
    stack = [(games.load(compiled.game).root(), 1.0, ())]
    while stack:
        state, chance, moves = stack.pop()
        player = state.current_player()
        if player == TERMINAL:
            walked[moves] = walked.get(moves, 0.0) + chance
        elif player == CHANCE:
            stack += [(state.child(a), chance * p, moves) for a, p in state.chance_outcomes()]
        else:
            own = (state.information_state_string(player),)
            stack += [(state.child(a), chance, (*moves, *own, a)) for a in state.legal_actions()]
    assert sorted(walked.values()) == pytest.approx(sorted(compiled.leaf_chance), abs=1e-15)
    assert len(walked) == len(compiled.leaf_chance) == 100


SCALES = [  # whether chance decides anything, and the largest range of a player's utilities
    (KUHN, True, 4.0),
    (LEDUC, True, 26.0),
    (LD4, True, 2.0),
    ("first_sealed_auction(max_value=4)", True, 3.0),
    ("matrix_pd", False, 10.0),
    ("matching_pennies_3p", False, 2.0),
    ("nim(pile_sizes=1;2;1)", False, 2.0),
]


@pytest.mark.parametrize(("name", "chance", "scale"), SCALES)
def test_chance_and_scale_are_those_of_the_game(name, chance, scale):
    assert sequence_form.has_chance(form(name)) == chance
    assert sequence_form.utility_scale(form(name)) == pytest.approx(scale, rel=1e-12)


@pytest.mark.parametrize(
    ("name", "bytes_a_leaf"),
    [(LD5, 45), (LD6, 44), pytest.param(GOOF5, 40, marks=pytest.mark.slow)],
)
def test_memory_a_leaf(name, bytes_a_leaf):
    compiled = games.load(name).sequence_form()  # on which nothing else has kept what it asked for
    kept = array_bytes([compiled, compiled.arrays, *compiled.players])
    assert kept <= bytes_a_leaf * len(compiled.leaf_sequence)


CODED = [
    np.repeat([0.1, -0.3, 1e-300, 1e300], 1000),
    np.arange(5000) % 700 / 7.0,
    np.concatenate([np.zeros(9000), [1.0], np.zeros(9000), [np.inf, -2.0]]),
    np.random.default_rng(0).random(1000),
    np.array([np.nan] + [1.0] * 99),
    np.array([0.5]),
    np.empty(0),
]


@pytest.mark.parametrize("values", CODED)
def test_codes_keep_every_bit(values):
    compiled = replace(form(KUHN), leaf_utility=values, leaf_chance=values[:, None])
    assert compiled.leaf_utility.dtype == np.float64
    np.testing.assert_array_equal(compiled.leaf_utility, values)
    np.testing.assert_array_equal(compiled.leaf_chance, values[:, None])


def with_paid(name: str, extra) -> games.SequenceForm:
    """The game in which the first player gets `extra` of the leaves' last sequences on top."""
    compiled = form(name)
    paid = compiled.leaf_chance * extra(compiled.leaf_sequence[:, 0])
    return replace(compiled, leaf_utility=compiled.leaf_utility + np.outer(paid, [1.0, 0.0]))


SUMS = [
    (form(KUHN), True),
    (with_paid(KUHN, lambda own: 3.0), True),
    (with_paid(KUHN, lambda own: 3.0 + 1e-6 * (own == 1)), False),
    (form(LD4), True),
    (form("matrix_pd"), False),
    (form("kuhn_poker(players=3)"), False),  # zero-sum, but for three
]


@pytest.mark.parametrize(("compiled", "constant"), SUMS)
def test_constant_sum_is_told_leaf_by_leaf(compiled, constant):
    assert is_constant_sum(compiled) == constant


def test_a_lottery_on_top_is_not_a_constant_sum():
    """On average over the first player's card the sum is 0, at the leaves it is 1, 0 or -1."""
    player = form(KUHN).players[0]
    card = np.array([int(player.information_sets[s // 2][0]) for s in range(12)])
    lottery = with_paid(KUHN, lambda own: card[own - 1] - 1.0)
    uniform = Strategy.uniform(lottery)
    assert analysis.expected_values(lottery, uniform).sum() == pytest.approx(0.0, abs=1e-15)
    assert not is_constant_sum(lottery)


BROKEN = [
    ("leaf_chance", lambda a: a[:-1], "for each leaf"),
    ("leaf_chance", lambda a: 2 * a, "add up to 2"),
    ("leaf_chance", lambda a: -a, "outside of 0 to 1"),
    ("leaf_chance", lambda a: np.where(np.arange(len(a)) == 0, np.nan, a), "outside of 0 to 1"),
    ("leaf_chance", lambda a: np.where(np.arange(len(a)) == 0, 0.0, a), "chance never leads"),
    ("leaf_sequence", lambda a: a[:, ::-1], "add up to"),  # the players' columns exchanged
    ("leaf_utility", lambda a: a / 0.0, "not finite"),
]


@pytest.mark.parametrize(("field", "change", "says"), BROKEN)
def test_check_names_what_is_broken(field, change, says):
    with np.errstate(divide="ignore"):
        broken = replace(form(KUHN), **{field: change(getattr(form(KUHN), field))})
    with pytest.raises(ValueError, match=says):
        sequence_form.check(broken)


BAD_GAMES = [
    ("leduc_pokr", "did you mean leduc_poker"),
    ("leduc_poker(plyers=2)", "did you mean players"),
    ("leduc_poker(players=99)", "leduc_poker(players=99)"),
    ("leduc_poker(players=two)", "Wrong type for parameter players"),
    ("kuhn_poker(", "write a game as"),
    ("", "OpenSpiel string"),
    ("mfg_garnet", "mean-field"),
    ("liars_dice_ir(numdice=1,dice_sides=3)", "imperfect recall"),
    ("chess", "far more than 20,000,000 histories"),
    ("coop_box_pushing", "no information-state strings"),
    ("kuhn_poker(players=2)x", "write a game as"),
    ("misere(game=nope())", "unknown game 'nope'"),
    ("nfg_game", "nfg_game: "),
    ("liars_dice(numdice=0)", "liars_dice(numdice=0): "),
    ("goofspiel(num_cards=0)", "goofspiel(num_cards=0): "),
    ("stones_and_gems", "samples its chance events"),
]


@pytest.mark.parametrize(("name", "says"), BAD_GAMES)
def test_bad_games_end_in_one_clear_line(name, says, capfd):
    with pytest.raises(games.GameError) as caught:
        games.load(name).sequence_form()
    message = str(caught.value)
    assert says in message
    assert "\n" not in message
    assert capfd.readouterr().err == ""  # OpenSpiel's own copy of the message is held back


def test_node_budget_says_how_far_it_got():
    with pytest.raises(games.UnenumerableGameError, match=r"more than 5,000 histories.*terminals"):
        games.load(LEDUC).sequence_form(node_budget=5_000, cached=False)
    # Kept on disk or not: the budget is the caller's wish.
    form(LEDUC)
    with pytest.raises(games.UnenumerableGameError):
        games.load(LEDUC).sequence_form(node_budget=5_000)
    assert games.load(LEDUC).sequence_form(node_budget=9_457).num_histories == 9_457


def same(a: games.SequenceForm, b: games.SequenceForm) -> bool:
    pairs = [(getattr(a, f), getattr(b, f)) for f in cache._LEAVES]
    for p, q in zip(a.players, b.players, strict=True):
        pairs += [(getattr(p, f), getattr(q, f)) for f in cache._TREEPLEX]
    strings = [p.information_sets for p in a.players] == [p.information_sets for p in b.players]
    return strings and all(np.array_equal(x, y) for x, y in pairs)


DAMAGES = [
    ("cut", lambda content: content[: len(content) // 2]),
    ("empty", lambda content: b""),
    ("text", lambda content: b"not an archive"),
]


@pytest.mark.parametrize(("kind", "damage"), DAMAGES)
def test_damaged_cache_is_rebuilt(kind, damage, tmp_path, monkeypatch):
    monkeypatch.setenv("SCHELLING_CACHE", str(tmp_path))
    game = games.load(KUHN)
    fresh = game.sequence_form()
    (file,) = tmp_path.iterdir()
    whole = file.read_bytes()
    file.write_bytes(damage(whole))
    assert cache.load(str(game.openspiel), KUHN) is None
    assert same(game.sequence_form(), fresh)
    assert file.read_bytes() == whole


def test_no_changed_byte_is_trusted(tmp_path, monkeypatch):
    monkeypatch.setenv("SCHELLING_CACHE", str(tmp_path))
    game = games.load(KUHN)
    fresh = game.sequence_form()
    (file,) = tmp_path.iterdir()
    whole = file.read_bytes()
    refused = 0
    for at in range(0, len(whole), 23):
        file.write_bytes(whole[:at] + bytes([whole[at] ^ 0x10]) + whole[at + 1 :])
        found = cache.load(str(game.openspiel), KUHN)
        refused += found is None
        assert found is None or same(found, fresh)  # a byte that nothing depends on, a date say
    assert refused > len(whole) // 23 // 2


def test_cache_is_used_and_keyed_by_game(tmp_path, monkeypatch):
    monkeypatch.setenv("SCHELLING_CACHE", str(tmp_path))
    first = games.load("kuhn_poker").sequence_form()
    monkeypatch.setattr(
        "games.finite.openspiel.game.enumerate_game", None
    )  # from here on only the cache works
    assert same(games.load("kuhn_poker()").sequence_form(), first)
    with pytest.raises(TypeError):
        games.load("kuhn_poker(players=3)").sequence_form()


def test_unwritable_cache_costs_nothing_but_time(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SCHELLING_CACHE", str(tmp_path / "file" / "below"))
    assert games.load(KUHN).sequence_form().num_histories == 58


@pytest.mark.parametrize("name", [LEDUC, GOOF4, "python_iterated_prisoners_dilemma", "blotto"])
def test_games_that_openspiel_ships_are_cached(name):
    """Simultaneous ones too, though they are wrapped to be played in turns."""
    assert games.load(name).cacheable


def test_game_of_your_own_is_compiled_and_never_cached(tmp_path, monkeypatch):
    """Its rules may change between two runs under the same name."""
    from tests.helpers.coin_game import register

    register("coins_under_test", prize=1.0)
    monkeypatch.setenv("SCHELLING_CACHE", str(tmp_path))
    compiled = games.load("coins_under_test").sequence_form()
    assert compiled.num_terminals == 4
    assert not games.load("misere(game=coins_under_test())").cacheable
    assert not list(tmp_path.iterdir())


def test_loading_prints_nothing():
    code = "import games; games.load('leduc_poker').sequence_form(cached=False)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert done.stdout == done.stderr == b""


def test_turn_based_game_is_the_one_openspiel_understands():
    game = games.load("matrix_rps")
    assert game.openspiel.get_type().dynamics == pyspiel.GameType.Dynamics.SEQUENTIAL
    policy = Strategy.uniform(game.sequence_form()).to_openspiel(game.openspiel)
    assert pyspiel.nash_conv(game.openspiel, policy.to_dict()) == pytest.approx(0.0, abs=1e-12)
