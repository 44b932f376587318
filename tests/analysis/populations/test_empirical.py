"""Tables of payoffs between strategies against OpenSpiel's exact values."""

import itertools
import os
import subprocess
import sys

import numpy as np
import pytest
from open_spiel.python.algorithms.expected_game_score import policy_value
from open_spiel.python.policy import UniformRandomPolicy
from scipy.stats import binom

import games
from analysis.populations.alpharank import alpharank
from analysis.populations.empirical import empirical_game
from analysis.populations.evolution import replicator
from analysis.populations.sampled_play import BATCH
from games import InputError, NormalForm, Strategy
from tests.conftest import KUHN, LEDUC, form

GOOF3 = "goofspiel(num_cards=3,imp_info=True,points_order=random)"


def strategies(name, count=3):
    compiled = form(name)
    random = [Strategy.random(compiled, np.random.default_rng(k)) for k in range(count - 1)]
    return {"uniform": Strategy.uniform(compiled), **{f"r{k}": s for k, s in enumerate(random)}}


@pytest.mark.parametrize(
    "name",
    [KUHN, LEDUC, "kuhn_poker(players=3)", "first_sealed_auction(max_value=4)"],
)
def test_exact_tables(name):
    game = games.load(name)
    given = strategies(name)
    table = empirical_game(form(name), given)
    policies = [s.to_openspiel(game.openspiel) for s in given.values()]
    for cell in np.ndindex(table.episodes.shape):
        expected = policy_value(game.root(), [policies[k] for k in cell])
        np.testing.assert_allclose(table.payoffs[cell], expected, atol=1e-12)
    assert table.actions == (("uniform", "r0", "r1"),) * game.num_players
    assert not table.standard_errors.any()
    assert not table.episodes.any()
    np.testing.assert_array_equal(table.intervals[..., 0], table.payoffs)
    np.testing.assert_array_equal(table.normal_form.payoffs, table.payoffs)


def test_strategies_of_each_player():
    own = strategies(KUHN)
    table = empirical_game(form(KUHN), [own, {"only": own["r0"]}])
    shared = empirical_game(form(KUHN), own)
    assert table.payoffs.shape == (3, 1, 2)
    np.testing.assert_allclose(table.payoffs[:, 0], shared.payoffs[:, 1], atol=1e-15)
    frame = table.to_frame()
    assert list(frame["strategy of player 0"]) == ["uniform", "uniform", "r0", "r0", "r1", "r1"]
    assert set(frame["strategy of player 1"]) == {"only"}
    assert list(frame.player) == [0, 1] * 3
    np.testing.assert_array_equal(frame.payoff, table.payoffs.ravel())


def test_sampled_intervals_cover_the_exact_payoffs_as_often_as_they_say():
    """Player 0's payoffs of 9 combinations in 60 tables: 540 intervals, independent by seed."""
    exact = empirical_game(form(KUHN), strategies(KUHN)).payoffs
    game, covered, trials = games.load(KUHN), 0, 0
    for seed in range(60):
        table = empirical_game(game, strategies(KUHN), episodes=100, seed=seed, confidence=0.9)
        low, high = np.moveaxis(table.intervals[..., 0, :], -1, 0)
        covered += int(((low <= exact[..., 0]) & (exact[..., 0] <= high)).sum())
        trials += low.size
    # A correct sampler fails here for one choice of seeds in 10,000.
    assert binom.ppf(5e-5, trials, 0.9) <= covered <= binom.ppf(1 - 5e-5, trials, 0.9)


def test_many_episodes_come_close():
    exact = empirical_game(form(LEDUC), strategies(LEDUC, 2))
    table = empirical_game(games.load(LEDUC), strategies(LEDUC, 2), episodes=4_000)
    assert (table.episodes == 4_000).all()
    scores = (table.payoffs - exact.payoffs) / table.standard_errors
    assert 0.01 < np.abs(scores).max() < 4.0
    assert table.half_widths.max() < 0.25


def test_standard_errors_are_those_of_all_episodes_together():
    """Returns of 1 and -1 say by their mean what their spread is, also across batches."""
    table = empirical_game(
        games.load("matrix_mp"), {"even": lambda state, player: {0: 0.5, 1: 0.5}},
        episodes=2 * BATCH + 37,
    )  # fmt: skip
    n, mean = 2 * BATCH + 37, table.payoffs[0, 0, 0]
    assert table.episodes[0, 0] == n
    expected = np.sqrt((1 - mean**2) * n / (n - 1) / n)
    np.testing.assert_allclose(table.standard_errors[0, 0], expected, rtol=1e-12)
    # Student's 97.5 % quantile at 436 degrees of freedom, from tables: 1.9654.
    assert table.half_widths[0, 0, 0] == pytest.approx(1.9654 * expected, rel=1e-4)


def test_policies_of_all_kinds_play_alike():
    game = games.load(GOOF3)
    uniform = Strategy.uniform(form(GOOF3))

    def function(state, player):
        legal = state.legal_actions()
        return {action: 1 / len(legal) for action in legal}

    theirs = [UniformRandomPolicy(game.openspiel), uniform.to_openspiel(game.openspiel)]
    kinds = [uniform, function, *theirs]
    tables = [empirical_game(game, {"uniform": kind}, episodes=300) for kind in kinds]
    for table in tables[1:]:
        np.testing.assert_array_equal(table.payoffs, tables[0].payoffs)


def test_a_game_too_large_to_enumerate():
    """Hex on 5 x 5: nothing asks for its information sets."""
    game = games.load("hex(board_size=5)")

    def first(state, player):
        return {state.legal_actions()[0]: 1.0}

    def last(state, player):
        return {state.legal_actions()[-1]: 1.0}

    table = empirical_game(game, {"first": first, "last": last}, episodes=2)
    for cell in itertools.product(range(2), repeat=2):  # pure play: every episode is the same
        state = game.root()
        while not state.is_terminal():
            state.apply_action(state.legal_actions()[-cell[state.current_player()]])
        assert list(table.payoffs[cell]) == state.returns()
    assert not table.standard_errors.any()


def test_precision():
    game, given = games.load(KUHN), strategies(KUHN, 2)
    table = empirical_game(game, given, episodes=100, precision=0.1)
    assert table.half_widths.max() <= 0.1
    assert len(set(table.episodes.ravel())) > 1  # each combination as long as it needs
    capped = empirical_game(game, given, episodes=100, precision=1e-3, most_episodes=500)
    assert (capped.episodes == 500).all()
    # The first episodes are the same whatever comes after them.
    start = empirical_game(game, given, episodes=500)
    np.testing.assert_allclose(start.payoffs.sum(), 0.0, atol=1e-12)
    assert start.half_widths.max() > 0.1


SYMMETRIC = NormalForm.from_payoffs(
    np.stack([np.arange(9.0).reshape(3, 3), np.arange(9.0).reshape(3, 3).T], axis=-1)
)
PURE = {
    f"always {k}": (lambda state, player, k=k: {k: 1.0}) for k in range(3)
}  # fmt: skip
MIXED = {"mixed": lambda state, player: {0: 0.2, 1: 0.3, 2: 0.5}, **PURE}


def test_symmetric_tables():
    table = empirical_game(SYMMETRIC, PURE, episodes=2, symmetric=True)
    np.testing.assert_array_equal(table.payoffs, SYMMETRIC.payoffs)
    sampled = empirical_game(SYMMETRIC, MIXED, episodes=150, symmetric=True, seed=3)
    assert sampled.normal_form.is_symmetric
    np.testing.assert_array_equal(
        sampled.standard_errors, np.swapaxes(sampled.standard_errors, 0, 1)[..., ::-1]
    )
    full = empirical_game(SYMMETRIC, MIXED, episodes=150, seed=3)
    assert not full.normal_form.is_symmetric  # two samples of the same thing
    np.testing.assert_array_equal(full.payoffs[0, 1], sampled.payoffs[0, 1])


def test_symmetric_tables_of_three_players():
    payoffs = np.zeros((2, 2, 2, 3))
    for profile in np.ndindex(2, 2, 2):  # those who choose 1 share 6
        payoffs[profile] = [6 / sum(profile) if k else 1.0 for k in profile]
    game = NormalForm.from_payoffs(payoffs)
    pure = {str(k): (lambda state, player, k=k: {k: 1.0}) for k in range(2)}
    table = empirical_game(game, pure, episodes=2, symmetric=True)
    np.testing.assert_array_equal(table.payoffs, payoffs)


def test_a_sequence_form_is_checked_for_symmetry():
    mixtures = np.random.default_rng(0).dirichlet(np.ones(3), size=4)
    choices = {str(k): SYMMETRIC.strategy([x, x]) for k, x in enumerate(mixtures)}
    table = empirical_game(SYMMETRIC.form, choices, symmetric=True)
    expected = mixtures @ SYMMETRIC.payoffs[..., 0] @ mixtures.T
    np.testing.assert_allclose(table.payoffs[..., 0], expected, rtol=1e-14)
    assert table.normal_form.is_symmetric
    lopsided = {"one": SYMMETRIC.strategy(mixtures[:2]), **choices}
    with pytest.raises(InputError, match="change places"):
        empirical_game(SYMMETRIC.form, lopsided, symmetric=True)
    with pytest.raises(InputError, match="change places"):
        empirical_game(form(KUHN), strategies(KUHN), symmetric=True)


def test_progress_stops_and_keeps_what_was_played():
    told = []

    def after(count):
        told.clear()
        return lambda words: told.append(words) or len(told) == count

    game, given = games.load(KUHN), strategies(KUHN)
    half = empirical_game(game, given, episodes=2 * BATCH, progress=after(4))
    assert len(told) == 4
    assert half.episodes.ravel().tolist() == [BATCH] * 4 + [0] * 5
    with pytest.raises(InputError, match="5 of 9 combinations"):
        _ = half.normal_form
    whole = empirical_game(game, given, episodes=2 * BATCH)
    evenly = empirical_game(game, given, episodes=2 * BATCH, progress=after(9))
    assert (evenly.episodes == BATCH).all()
    assert evenly.half_widths.min() > whole.half_widths.max() * 0.9
    exact = empirical_game(form(KUHN), given, progress=after(1))
    assert np.isnan(exact.payoffs[1:]).all()
    assert not np.isnan(exact.payoffs[0]).any()


def test_the_meta_game_is_a_game():
    """Rock, paper and scissors as policies: the meta-game is the game."""
    game = games.load("matrix_rps")
    table = empirical_game(game, PURE, episodes=2).normal_form
    assert alpharank(table).masses == pytest.approx([1 / 3] * 3)
    shares = replicator(table, [0.5, 0.3, 0.2], time=10.0).states[0]
    np.testing.assert_allclose(shares.prod(axis=1), 0.03, rtol=1e-6)
    assert table.sequence_form().num_players == 2


def illegal(state, player):
    return {99: 1.0}


def improper(state, player):
    return {0: 0.7, 1: 0.7}


@pytest.mark.parametrize(
    ("game", "given", "options", "message"),
    [
        (KUHN, {"a": illegal}, {}, "a chooses action 99"),
        (KUHN, {"a": improper}, {}, "not probabilities"),
        (KUHN, {"a": 3}, {}, "a: neither a strategy"),
        (KUHN, {}, {}, "one at least"),
        (KUHN, [{"a": improper}], {}, "or 2, one for each"),
        (KUHN, {"a": improper}, {"episodes": 1}, "2 at least"),
        (KUHN, {"a": improper}, {"episodes": 2.5}, "whole number"),
        (KUHN, {"a": improper}, {"seed": -1}, "0 at least"),
        (KUHN, {"a": improper}, {"workers": 0}, "1 at least"),
        (KUHN, {"a": improper}, {"precision": 0.0}, "positive half-width"),
        (KUHN, {"a": improper}, {"confidence": 95}, "between 0 and 1"),
        (KUHN, [{"a": improper}] * 2, {"symmetric": True}, "all players share"),
    ],
)
def test_bad_requests(game, given, options, message):
    with pytest.raises(InputError, match=message) as caught:
        empirical_game(games.load(game), given, **options)
    assert "\n" not in str(caught.value)


def test_strategies_of_another_game():
    other = {"leduc": Strategy.uniform(form(LEDUC))}
    with pytest.raises(InputError, match="none of the information sets"):
        empirical_game(games.load(KUHN), other)
    with pytest.raises(InputError, match="use the strategy with its own game"):
        empirical_game(form(KUHN), other)
    with pytest.raises(InputError, match="give the game itself"):
        empirical_game(form(KUHN), {"a": improper})


IN_PARALLEL = """
import os, signal, threading
import numpy as np
import games, ray
from analysis.populations.empirical import empirical_game
from games import InputError, Strategy
from tests.analysis.populations.test_empirical import improper

def handler(*_): pass
signal.signal(signal.SIGTERM, handler)
kuhn = games.load("kuhn_poker")
form = kuhn.sequence_form()
given = {str(k): Strategy.random(form, np.random.default_rng(k)) for k in range(2)}
here = os.getpid()
def even(state, player):
    assert os.getpid() == here or os.environ["OMP_NUM_THREADS"] == "1"
    return dict.fromkeys(state.legal_actions(), 1 / len(state.legal_actions()))
given["even"] = even
options = dict(episodes=450, precision=0.08, seed=5)
alone = empirical_game(kuhn, given, **options)
both = empirical_game(kuhn, given, workers=2, **options)
for field in ("payoffs", "standard_errors", "episodes"):
    np.testing.assert_array_equal(getattr(alone, field), getattr(both, field))
assert not ray.is_initialized() and signal.getsignal(signal.SIGTERM) is handler

os.environ["OMP_NUM_THREADS"] = "1"
ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
for name in ("python_iterated_prisoners_dilemma(max_game_length=3)", EFG_FILE):
    game = games.load(name)
    alone = empirical_game(game, {"even": even}, episodes=300)
    both = empirical_game(game, {"even": even}, episodes=300, workers=2)
    np.testing.assert_array_equal(alone.payoffs, both.payoffs)
few = empirical_game(kuhn, given, episodes=4000, workers=2, progress=lambda words: True)
assert 0 < few.episodes.sum() < 4000
lock = threading.Lock()
def locked(state, player):
    with lock:
        return even(state, player)
for wrong, words in ((improper, "not probabilities"), (locked, "workers=None")):
    try:
        empirical_game(kuhn, {"wrong": wrong}, workers=2)
    except InputError as error:
        assert words in str(error) and "\\n" not in str(error), error
    else:
        raise AssertionError(words)
assert ray.is_initialized()
"""

EFG = """EFG 2 R "choice" { "a" "b" }
p "" 1 1 "one" { "l" "r" } 0
p "" 2 1 "two" { "l" "r" } 0
t "" 1 "" { 1, 2 }
t "" 2 "" { 3, 0 }
t "" 3 "" { 2, 2 }
"""


def test_workers_change_nothing(tmp_path):
    """In a process of its own, since Ray keeps threads and handlers of signals."""
    pytest.importorskip("ray")
    (tmp_path / "choice.efg").write_text(EFG)
    script = IN_PARALLEL.replace("EFG_FILE", repr(str(tmp_path / "choice.efg")))
    ran = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True,
        env={**os.environ, "OMP_NUM_THREADS": "2"},
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr[-3000:]


def test_without_ray():
    script = (
        "import sys; sys.modules['ray'] = None\n"
        "import games\n"
        "from analysis.populations.empirical import empirical_game\n"
        "from tests.analysis.populations.test_empirical import improper\n"
        "empirical_game(games.load('kuhn_poker'), {'a': improper}, workers=2)"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert "InputError: several processes need Ray" in ran.stderr
