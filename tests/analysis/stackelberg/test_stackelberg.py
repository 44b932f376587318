"""Optimal commitment in matrix games and against followers of unknown type."""

import itertools
from fractions import Fraction

import numpy as np
import pyspiel
import pytest
from open_spiel.python.algorithms.stackelberg_lp import solve_stackelberg
from scipy.optimize import linprog

from analysis.equilibria.response import deviation_gains, expected_values
from analysis.stackelberg.bayesian import bayesian_stackelberg
from analysis.stackelberg.responses import upper_bounds
from analysis.stackelberg.tables import multiple_lps, pure_commitment
from games import InputError, NormalForm, as_normal_form
from games.finite.bayesian import BayesianGame
from games.finite.enumerate import enumerate_game
from games.finite.gambit.reading import to_gambit
from tests.conftest import KUHN, form


def random_payoffs(kind, shape, seed):
    """Leader's and follower's payoffs: independent, nearly opposed, opposed, or small integers."""
    generator = np.random.default_rng(seed)
    leader, follower = generator.random((2, *shape))
    if kind == "opposed":
        follower = 0.3 * follower + 0.7 * (1 - leader)
    elif kind == "zero sum":
        follower = -leader
    elif kind == "integers":
        leader, follower = generator.integers(-2, 3, (2, *shape)).astype(float)
    return leader, follower


def best_plan(game):
    """The value of a Bayesian game by one linear program for each plan of the follower."""
    best = -np.inf
    for plan in itertools.product(range(game.leader.shape[2]), repeat=len(game.prior)):
        types = list(enumerate(plan))
        payoff = sum(game.prior[t] * game.leader[t, :, b] for t, b in types)
        worse = np.concatenate([(game.follower[t] - game.follower[t][:, [b]]).T for t, b in types])
        answer = linprog(
            -payoff, worse, np.zeros(len(worse)), np.ones((1, len(payoff))), [1.0], method="highs"
        )
        best = max(best, -answer.fun) if answer.status == 0 else best
    return best


KINDS = ["independent", "opposed", "zero sum", "integers"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(2, 2), (3, 5), (6, 4), (8, 8), (1, 3), (3, 1)])
@pytest.mark.parametrize("leader", [0, 1])
def test_value_against_openspiel(kind, shape, leader):
    payoffs = random_payoffs(kind, shape, seed=sum(shape) + leader)
    game = NormalForm.from_payoffs(*payoffs)
    answer = multiple_lps(game, leader)
    oracle = solve_stackelberg(
        pyspiel.create_matrix_game(*[p.tolist() for p in payoffs]), is_first_leader=leader == 0
    )
    assert answer.values[leader] == pytest.approx(oracle[2 + leader], abs=1e-7)
    # The strategy is what the values say, and the follower's part is pure.
    np.testing.assert_allclose(
        expected_values(game.form, answer.strategy), answer.values, atol=1e-12
    )
    assert deviation_gains(game.form, answer.strategy)[1 - leader] <= 1e-9
    assert set(game.mixed(answer.strategy)[1 - leader]) <= {0.0, 1.0}
    assert np.isnan(answer.gains[leader])
    assert answer.gap == 0.0


def test_a_hundred_actions():
    game = NormalForm.from_payoffs(*random_payoffs("opposed", (100, 100), seed=0))
    answer = multiple_lps(game)
    leader, follower = game.payoffs[..., 0], game.payoffs[..., 1]
    values = []
    for b in range(100):  # nothing left out, nothing shared between programs
        worse = (follower - follower[:, [b]]).T
        oracle = linprog(-leader[:, b], worse, np.zeros(100), np.ones((1, 100)), [1.0])
        values.append(-oracle.fun if oracle.status == 0 else -np.inf)
    assert answer.value == pytest.approx(max(values), abs=1e-7)
    assert np.all(upper_bounds(leader, follower) >= np.array(values) - 1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_units_do_not_matter(seed):
    leader, follower = random_payoffs("independent", (5, 6), seed)
    plain = multiple_lps(NormalForm.from_payoffs(leader, follower))
    scaled = multiple_lps(NormalForm.from_payoffs(1e6 * leader - 3e5, 1e-6 * follower + 5))
    assert scaled.value == pytest.approx(1e6 * plain.value - 3e5, abs=1e-2)


def test_a_textbook_commitment():
    """Conitzer & Sandholm 2006: 2 in equilibrium, 3 by a pure commitment, 3.5."""
    game = NormalForm.from_payoffs([[2, 4], [1, 3]], [[1, 0], [0, 1]])
    assert pure_commitment(game).value == 3.0
    assert multiple_lps(game).value == pytest.approx(3.5, abs=1e-9)
    assert multiple_lps(game).facts["pure commitment"] == 3.0
    np.testing.assert_allclose(game.mixed(multiple_lps(game).strategy)[0], [0.5, 0.5], atol=1e-9)


def test_zero_sum_commitment_is_the_value():
    """With opposed interests it does not matter that the follower sees the mixture."""
    answer = multiple_lps(as_normal_form(form(KUHN)))
    assert answer.value == pytest.approx(-1 / 18, abs=1e-9)
    assert multiple_lps(as_normal_form(form(KUHN)), 1).values[1] == pytest.approx(1 / 18, abs=1e-9)


def supremum(leader, follower):
    """What two actions of the leader can be sure of nearby, in fractions: the weak-ties value.

    Between two neighbouring points of indifference the follower's best responses are the same
    throughout, and the leader's worst of them is concave with kinks where two are equal.
    """

    def payoff(table, b, p):
        return (1 - p) * int(table[0, b]) + p * int(table[1, b])

    def crossings(table):
        for b, c in itertools.combinations(range(table.shape[1]), 2):
            at_0, at_1 = payoff(table, b, 0) - payoff(table, c, 0), 0
            at_1 = payoff(table, b, 1) - payoff(table, c, 1)
            if at_0 != at_1 and 0 <= Fraction(at_0, at_0 - at_1) <= 1:
                yield Fraction(at_0, at_0 - at_1)

    actions = range(leader.shape[1])
    cuts = sorted({Fraction(0), Fraction(1), *crossings(follower)})
    kinks = set(crossings(leader))
    best = Fraction(-(10**9))
    for low, high in itertools.pairwise(cuts):
        middle = (low + high) / 2
        most = max(payoff(follower, b, middle) for b in actions)
        responses = [b for b in actions if payoff(follower, b, middle) == most]
        for p in {low, high, *(k for k in kinks if low < k < high)}:
            best = max(best, min(payoff(leader, b, p) for b in responses))
    return best


def test_weak_ties_in_fractions():
    differs = missed = 0
    for seed in range(150):
        generator = np.random.default_rng(seed)
        leader, follower = generator.integers(-2, 3, (2, 2, int(generator.integers(1, 6))))
        if seed % 3 == 0:  # actions that are the same to the follower
            follower[:, -1] = follower[:, 0]
        game = NormalForm.from_payoffs(leader, follower)
        weak = multiple_lps(game, ties="weak")
        assert weak.value == pytest.approx(float(supremum(leader, follower)), abs=1e-8), seed
        assert weak.value <= multiple_lps(game).value + 1e-9
        # "yes" is a promise about the commitment itself.
        mixed, _ = game.mixed(weak.strategy)
        worth = mixed @ follower
        sure = (mixed @ leader)[worth >= worth.max() - 1e-8].min()
        if weak.facts["attained"] == "yes":
            assert sure == pytest.approx(weak.value, abs=1e-6), seed
        else:
            assert sure < weak.value - 1e-6
            missed += 1
        differs += weak.value < multiple_lps(game).value - 1e-6
    assert differs > 10
    assert missed > 10


@pytest.mark.parametrize("seed", range(10))
def test_weak_ties_are_strong_ones_in_a_generic_game(seed):
    game = NormalForm.from_payoffs(*random_payoffs("opposed", (4, 4), seed))
    assert multiple_lps(game, ties="weak").value == pytest.approx(
        multiple_lps(game).value, abs=1e-9
    )


@pytest.mark.parametrize("ties", ["strong", "weak"])
def test_pure_commitment(ties):
    for seed in range(20):
        leader, follower = random_payoffs("integers", (4, 3), seed)
        rows = [
            (max if ties == "strong" else min)(leader[a][follower[a] == follower[a].max()])
            for a in range(4)
        ]
        game = NormalForm.from_payoffs(leader, follower)
        answer = pure_commitment(game, ties=ties)
        assert answer.value == pytest.approx(max(rows), abs=1e-12)
        assert answer.value <= multiple_lps(game, ties=ties).value + 1e-9


def test_stopped_early():
    game = NormalForm.from_payoffs(*random_payoffs("opposed", (20, 20), seed=1))
    said = []
    answer = multiple_lps(game, progress=lambda text: said.append(text) or len(said) == 3)
    full = multiple_lps(game)
    assert answer.facts["programs"] == 2
    assert answer.objective <= full.value <= answer.bound
    assert answer.gap > 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"leader": 2}, "player 0 or player 1"), ({"ties": "nice"}, "strong or weak")],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(InputError, match=message):
        multiple_lps(NormalForm.from_payoffs(np.eye(2)), **arguments)


def test_three_players():
    with pytest.raises(InputError, match="3 players"):
        multiple_lps(NormalForm.from_payoffs(np.zeros((2, 2, 2, 3))))


def bayesian(seed, *, integers=False):
    generator = np.random.default_rng(seed)
    shape = generator.integers([1, 1, 1], [5, 5, 4])
    payoffs = random_payoffs("integers" if integers else "opposed", tuple(shape), seed)
    return BayesianGame(*payoffs, generator.dirichlet(np.ones(shape[0])))


@pytest.mark.parametrize("integers", [False, True])
@pytest.mark.parametrize("seed", range(15))
def test_bayesian_value(seed, integers):
    game = bayesian(seed, integers=integers)
    answer = bayesian_stackelberg(game)
    assert answer.value == pytest.approx(best_plan(game), abs=1e-7)
    harsanyi = multiple_lps(as_normal_form(game.sequence_form()))
    assert answer.value == pytest.approx(harsanyi.value, abs=1e-7)
    assert answer.gap == pytest.approx(0.0, abs=1e-8)
    assert answer.value >= answer.facts["pure commitment"] - 1e-9
    np.testing.assert_allclose(
        expected_values(game.sequence_form(), answer.strategy), answer.values, atol=1e-12
    )


def test_one_type_is_the_plain_game():
    leader, follower = random_payoffs("opposed", (6, 6), seed=4)
    answer = bayesian_stackelberg(BayesianGame(leader[None], follower[None], [1.0]))
    plain = multiple_lps(NormalForm.from_payoffs(leader, follower))
    assert answer.value == pytest.approx(plain.value, abs=1e-7)


@pytest.mark.parametrize("seed", range(5))
def test_bayesian_stopped_at_once(seed):
    game = bayesian(seed)
    stopped = bayesian_stackelberg(game, seconds=0.0)
    assert stopped.objective - 1e-9 <= best_plan(game) <= stopped.bound + 1e-9


def test_bayesian_game_is_a_game():
    game = BayesianGame(*random_payoffs("independent", (3, 2, 4), seed=0), [0.5, 0.25, 0.25])
    own, walked = game.sequence_form(), enumerate_game(game.root(), game.name, 2, 10**6)
    assert own.information_sets == walked.information_sets
    assert repr(own) == repr(walked)
    np.testing.assert_array_equal(own.leaf_sequence, walked.leaf_sequence)
    np.testing.assert_allclose(own.leaf_utility, walked.leaf_utility, atol=1e-15)
    for mine, theirs in zip(own.players, walked.players, strict=True):
        assert mine.labels == theirs.labels
        for key in ("parent_sequence", "first_sequence", "num_actions", "actions"):
            np.testing.assert_array_equal(getattr(mine, key), getattr(theirs, key))
    tree = to_gambit(game)
    assert [len(player.infosets) for player in tree.players] == [1, 3]


def test_bayesian_game_from_a_file(tmp_path):
    game = bayesian(3)
    np.savez(tmp_path / "g.npz", leader=game.leader, follower=game.follower, prior=game.prior)
    read = BayesianGame.read(tmp_path / "g.npz")
    assert read.name == str(tmp_path / "g.npz")
    np.testing.assert_array_equal(read.follower, game.follower)
    np.savez(tmp_path / "bad.npz", leader=game.leader, prior=game.prior)
    with pytest.raises(InputError, match="no array 'follower'"):
        BayesianGame.read(tmp_path / "bad.npz")
    (tmp_path / "text.npz").write_text("leader")
    for name in ("text.npz", "absent.npz"):
        with pytest.raises(InputError, match="cannot be read"):
            BayesianGame.read(tmp_path / name)
    np.save(tmp_path / "one.npy", game.leader)
    with pytest.raises(InputError, match="cannot be read"):
        BayesianGame.read(tmp_path / "one.npy")


@pytest.mark.parametrize(
    ("leader", "follower", "prior", "message"),
    [
        (np.zeros((2, 2, 2)), np.zeros((2, 2, 3)), [0.5, 0.5], "one array"),
        (np.zeros((2, 2)), np.zeros((2, 2)), [0.5, 0.5], "one array"),
        (np.zeros((2, 2, 2)), np.zeros((2, 2, 2)), [1.0], "2 probabilities"),
        (np.zeros((2, 2, 2)), np.zeros((2, 2, 2)), [1.0, 0.0], "type 1 never occurs"),
        (np.zeros((2, 2, 2)), np.zeros((2, 2, 2)), [0.5, 0.6], "adds up to 1.1"),
        (np.full((1, 1, 1), np.nan), np.zeros((1, 1, 1)), [1.0], "not a finite number"),
        ([[["a"]]], np.zeros((1, 1, 1)), [1.0], "numbers are needed"),
    ],
)
def test_bad_bayesian_games(leader, follower, prior, message):
    with pytest.raises(InputError, match=message) as raised:
        BayesianGame(leader, follower, prior)
    assert "\n" not in str(raised.value)
