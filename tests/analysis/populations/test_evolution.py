"""Replicator dynamics and alpha-rank against closed forms, OpenSpiel's egt and brute force."""

import math

import numpy as np
import pytest
from open_spiel.python.egt import alpharank as egt_alpharank
from open_spiel.python.egt import dynamics as egt
from scipy.integrate import solve_ivp
from scipy.sparse.csgraph import connected_components

import games
from analysis.populations.alpharank import alpharank
from analysis.populations.evolution import RATES, replicator
from games import InputError, NormalForm
from tests.conftest import KUHN

RPS = NormalForm.from_payoffs([[0, -1, 1], [1, 0, -1], [-1, 1, 0]], name="rps")
PENNIES = NormalForm.from_payoffs([[1, -1], [-1, 1]], name="pennies")
SEXES = NormalForm.from_payoffs([[3, 0], [0, 2]], [[2, 0], [0, 3]], name="sexes")


def symmetric(matrix) -> NormalForm:
    return NormalForm.from_payoffs(matrix, np.transpose(matrix))


def random_game(shape, seed) -> NormalForm:
    return NormalForm.from_payoffs(np.random.default_rng(seed).normal(size=(*shape, len(shape))))


def egt_tables(game):
    return np.ascontiguousarray(np.moveaxis(game.payoffs, -1, 0))


# Trajectories ------------------------------------------------------------------------------------


def test_rock_paper_scissors_conserves_the_product_of_shares():
    trajectory = replicator(RPS, [0.6, 0.3, 0.1], time=200.0)
    (x,) = trajectory.states
    np.testing.assert_allclose(x.sum(axis=1), 1.0, atol=1e-14)
    np.testing.assert_allclose(x.prod(axis=1), 0.6 * 0.3 * 0.1, rtol=1e-6)
    assert x.max() > 0.59  # it goes round and does not come to rest
    assert x[:, 0].min() < 0.2


def test_matching_pennies_conserves_the_product_of_all_shares():
    x, y = replicator(PENNIES, [[0.9, 0.1], [0.3, 0.7]], time=100.0).states
    np.testing.assert_allclose(x.prod(axis=1) * y.prod(axis=1), 0.9 * 0.1 * 0.3 * 0.7, rtol=1e-6)
    assert np.ptp(x[:, 0]) > 0.5


@pytest.mark.parametrize("offset", [0.0, -1e4])  # shares that are integrated leave the simplex here
def test_payoffs_that_do_not_depend_on_the_others(offset):
    """x_k(t) is proportional to x_k(0) exp(a_k t)."""
    a = np.array([0.3, -0.2, 1.0])
    start = np.array([0.7, 0.25, 0.05])
    game = symmetric(np.repeat(a[:, None], 3, axis=1) + offset)
    trajectory = replicator(game, start, time=8.0, points=17)
    expected = start * np.exp(a * trajectory.times[:, None])
    expected /= expected.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(trajectory.states[0], expected, rtol=1e-7)


@pytest.mark.parametrize(("share", "winner"), [(0.26, 0), (0.24, 1)])
def test_basins_of_a_coordination_game(share, winner):
    """diag(3, 1) has its boundary at 1/4: first strategy's payoff 3x, the second's 1 - x."""
    trajectory = replicator(symmetric([[3, 0], [0, 1]]), [share, 1 - share], time=60.0)
    assert trajectory.final[0][winner] == pytest.approx(1.0, abs=1e-12)
    assert trajectory.gains == pytest.approx([0.0, 0.0], abs=1e-9)


@pytest.mark.parametrize("start", [[0.99, 0.01], [0.001, 0.999]])
def test_hawks_and_doves_come_to_their_stable_mixture(start):
    value, cost = 1.0, 3.0
    game = symmetric([[(value - cost) / 2, value], [0, value / 2]])
    trajectory = replicator(game, start, time=200.0)
    assert trajectory.final[0][0] == pytest.approx(value / cost, abs=1e-9)
    assert trajectory.gains.max() < 1e-9
    assert trajectory.strategy.probabilities == pytest.approx([1 / 3, 2 / 3] * 2, abs=1e-9)


def test_two_populations_of_hawks_and_doves_part():
    game = symmetric([[-1, 1], [0, 0.5]])
    first, second = replicator(game, [[0.4, 0.6], [0.3, 0.7]], populations="each", time=200).final
    assert first == pytest.approx([1, 0], abs=1e-9)
    assert second == pytest.approx([0, 1], abs=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_boltzmann_q_learning_rests_at_a_logit_equilibrium(seed):
    game = random_game((3, 4), seed)
    x, y = replicator(game, dynamics="boltzmannq", temperature=2.0, seed=seed).final
    for shares, fitness in [(x, game.payoffs[..., 0] @ y), (y, x @ game.payoffs[..., 1])]:
        logit = np.exp(fitness / 2.0)
        np.testing.assert_allclose(shares, logit / logit.sum(), rtol=1e-7)


@pytest.mark.parametrize("dynamics", list(RATES))
@pytest.mark.parametrize("shape", [(3, 2), (2, 3, 4), (2, 2, 2, 3)])
def test_follows_openspiels_derivative(dynamics, shape):
    game = random_game(shape, 7)
    trajectory = replicator(game, dynamics=dynamics, time=3.0, points=4, seed=1)
    field = egt.MultiPopulationDynamics(egt_tables(game), getattr(egt, dynamics))
    start = np.concatenate([x[0] for x in trajectory.states])
    oracle = solve_ivp(
        lambda t, x: field(x), (0, 3), start, "DOP853", trajectory.times, rtol=1e-11, atol=1e-13
    )
    np.testing.assert_allclose(np.hstack(trajectory.states), oracle.y.T, atol=1e-7)


@pytest.mark.parametrize("dynamics", list(RATES))
def test_follows_openspiels_derivative_in_one_population(dynamics):
    game = symmetric(np.random.default_rng(3).normal(size=(4, 4)))
    (shares,) = replicator(game, dynamics=dynamics, time=4.0, points=5).states
    field = egt.SinglePopulationDynamics(egt_tables(game), getattr(egt, dynamics))
    times = np.linspace(0, 4, 5)
    oracle = solve_ivp(
        lambda t, x: field(x), (0, 4), shares[0], "DOP853", times, rtol=1e-11, atol=1e-13
    )
    np.testing.assert_allclose(shares, oracle.y.T, atol=1e-7)


def test_one_population_of_a_symmetric_game_for_three():
    """Everybody wants to be alone in going out: x (1 - x)² against staying at home for 1/8."""
    payoffs = np.zeros((2, 2, 2, 3))
    for profile in np.ndindex(2, 2, 2):
        payoffs[profile] = [1 / 8 if k else float(sum(profile) == 2) for k in profile]
    game = NormalForm.from_payoffs(payoffs)
    assert game.is_symmetric
    x = replicator(game, [0.2, 0.8], populations="one", time=200.0).final[0][0]
    assert (1 - x) ** 2 == pytest.approx(1 / 8, abs=1e-9)  # alone if both others stay
    assert len(replicator(game, time=1.0).states) == 3


def test_what_has_died_out_stays_so():
    trajectory = replicator(RPS, [0.5, 0.5, 0.0], time=60.0)
    assert (trajectory.states[0][:, 2] == 0).all()
    assert trajectory.final[0] == pytest.approx([0, 1, 0], abs=1e-9)
    assert trajectory.gains == pytest.approx([1.0, 1.0], abs=1e-9)  # at rest, and no equilibrium


def test_an_extensive_game_plays_its_normal_form():
    trajectory = replicator(games.load(KUHN), time=5.0, points=3)
    assert [x.shape for x in trajectory.states] == [(3, 27), (3, 64)]
    frame = trajectory.to_frame()
    assert frame.groupby(["time", "population"]).share.sum().to_numpy() == pytest.approx(np.ones(6))
    assert list(frame.columns) == ["time", "population", "strategy", "share"]
    assert (frame.strategy[:27] == list(trajectory.game.actions[0])).all()


def test_the_seed_decides_the_start_and_progress_may_end_it():
    first, again, other = (replicator(RPS, time=1.0, seed=s).states[0] for s in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0.01
    told = []
    stopped = replicator(RPS, time=1e5, progress=lambda words: told.append(words) or True)
    assert len(told) == 1
    assert len(stopped.times) == len(stopped.states[0]) < 201


@pytest.mark.parametrize(
    ("game", "options", "message"),
    [
        (RPS, {"start": [0.5, 0.5]}, "needs an array of 3 shares"),
        (RPS, {"start": [0.5, 0.6, -0.1]}, "add up to 1"),
        (RPS, {"start": "even"}, "has to be an array"),
        (PENNIES, {"start": [0.5, 0.5]}, r"needs arrays of \(2, 2\) shares"),
        (PENNIES, {"populations": "one"}, "populations='each'"),
        (PENNIES, {"populations": "two"}, "auto, one or each"),
        (RPS, {"dynamics": "replicate"}, "did you mean replicator"),
        (RPS, {"time": -1.0}, "positive"),
        (RPS, {"points": 1}, "points=1"),
        (RPS, {"dynamics": "boltzmannq", "start": [0.5, 0.5, 0.0]}, "every strategy"),
    ],
)
def test_bad_requests_for_a_trajectory(game, options, message):
    with pytest.raises(InputError, match=message) as caught:
        replicator(game, **options)
    assert "\n" not in str(caught.value)


# alpha-rank --------------------------------------------------------------------------------------


def by_profile(rank, game) -> np.ndarray:
    """Masses in the order of OpenSpiel's, the last player's strategy running fastest."""
    names = game.actions[: len(rank.profiles[0])]
    masses = np.zeros([len(own) for own in names])
    for profile, mass in zip(rank.profiles, rank.masses, strict=True):
        masses[tuple(own.index(name) for own, name in zip(names, profile, strict=True))] = mass
    return masses.ravel()


@pytest.mark.parametrize("alpha", [0.01, 0.1, 0.7])
@pytest.mark.parametrize("shape", [(2, 2), (3, 4), (2, 3, 2), (4, 1, 2)])
def test_masses_of_several_populations(shape, alpha):
    game = random_game(shape, 5)
    oracle = egt_alpharank.compute(list(egt_tables(game)), m=20, alpha=alpha)[2]
    rank = alpharank(game, alpha=alpha, population=20)
    np.testing.assert_allclose(by_profile(rank, game), oracle, atol=1e-9)
    assert (np.diff(rank.masses) <= 0).all()


@pytest.mark.parametrize("local", [True, False])
@pytest.mark.parametrize("alpha", [0.01, 0.1, 0.7])
@pytest.mark.parametrize("constant_sum", [True, False])  # OpenSpiel has a short cut for it
def test_masses_of_one_population(local, alpha, constant_sum):
    matrix = np.random.default_rng(2).normal(size=(4, 4))
    if constant_sum:
        matrix = matrix - matrix.T + 0.5
    game = symmetric(matrix)
    table = np.ascontiguousarray(game.payoffs[..., 0])
    oracle = egt_alpharank.compute(
        [table], m=15, alpha=alpha, use_local_selection_model=local
    )[2]  # fmt: skip
    rank = alpharank(game, alpha=alpha, population=15, local=local)
    np.testing.assert_allclose(by_profile(rank, game), oracle, atol=1e-9)


def test_the_chain_of_individuals_by_brute_force():
    """Simulate nothing: the whole birth-death chain of m individuals, mutations made very rare.

    A Moran process with Fermi's rule, whose states are the numbers of individuals with each of two
    strategies; the masses are where it stays as the rate of mutation goes to 0.
    """
    m, alpha, rate = 6, 0.8, 1e-7
    matrix = np.array([[1.0, 0.3], [0.9, 0.5]])
    chain = np.zeros((m + 1, m + 1))
    for p in range(m + 1):  # individuals with the first strategy
        if p in (0, m):
            chain[p, 1 if p == 0 else m - 1] = rate
        else:
            first = ((p - 1) * matrix[0, 0] + (m - p) * matrix[0, 1]) / (m - 1)
            second = (p * matrix[1, 0] + (m - p - 1) * matrix[1, 1]) / (m - 1)
            up = 1 / (1 + np.exp(-alpha * (first - second)))
            meet = p * (m - p) / (m * (m - 1))
            chain[p, p + 1], chain[p, p - 1] = meet * up, meet * (1 - up)
        chain[p, p] = 1 - chain[p].sum()
    equations = np.vstack([chain.T - np.eye(m + 1), np.ones(m + 1)])
    stationary = np.linalg.lstsq(equations, np.append(np.zeros(m + 1), 1.0), rcond=None)[0]
    game = symmetric(matrix)
    masses = by_profile(alpharank(game, alpha=alpha, population=m, local=False), game)
    assert masses == pytest.approx([stationary[m], stationary[0]], abs=1e-5)


@pytest.mark.parametrize(
    ("game", "expected"),
    [
        (RPS, [1 / 3, 1 / 3, 1 / 3]),
        (PENNIES, [1 / 4] * 4),
        (SEXES, [1 / 2, 0, 0, 1 / 2]),
        # Both are sinks, and a step away from (3, 2) costs twice as much at least.
        (NormalForm.from_payoffs([[3, 0], [0, 1]], [[2, 0], [0, 1]]), [1, 0, 0, 0]),
        (symmetric([[2, 0], [3, 1]]), [0, 1]),  # the prisoners' dilemma
        # The first two tie, and either beats the third.
        (symmetric([[1, 1, 1], [1, 1, 1], [0, 0, 0]]), [1 / 2, 1 / 2, 0]),
        (NormalForm.from_payoffs([[5.0]], [[1.0]]), [1]),
    ],
)
def test_the_limit_of_strong_selection(game, expected):
    rank = alpharank(game)
    assert rank.alpha == math.inf
    np.testing.assert_allclose(by_profile(rank, game), expected, atol=1e-12)


@pytest.mark.parametrize("shape", [(3, 3), (4, 4), (2, 3, 3)])
@pytest.mark.parametrize("seed", range(5))
def test_large_alpha_comes_to_the_limit(shape, seed):
    """Payoffs are small whole numbers, so that there are ties and several sinks."""
    payoffs = np.random.default_rng(seed).integers(0, 4, size=(*shape, len(shape)))
    game = NormalForm.from_payoffs(payoffs.astype(float))
    limit = by_profile(alpharank(game, population=10), game)
    finite = by_profile(alpharank(game, population=10, alpha=40.0), game)
    np.testing.assert_allclose(finite, limit, atol=1e-12)


def test_in_the_limit_all_mass_is_in_sinks_of_the_response_graph():
    """The graph leads from a profile to each that one player changes and does not lose by."""
    profiles = list(np.ndindex(3, 4, 2))
    num_left = []
    for seed in range(10):
        game = random_game((3, 4, 2), seed)
        leads = np.zeros((24, 24), dtype=bool)
        for s, here in enumerate(profiles):
            for r, there in enumerate(profiles):
                changed = [i for i in range(3) if here[i] != there[i]]
                if len(changed) == 1:
                    (i,) = changed
                    leads[s, r] = game.payoffs[(*there, i)] >= game.payoffs[(*here, i)]
        _, component = connected_components(leads, connection="strong")
        left = {component[s] for s, r in np.argwhere(leads) if component[s] != component[r]}
        masses = by_profile(alpharank(game), game)
        assert masses[np.isin(component, list(left))].sum() == 0
        assert (masses[~np.isin(component, list(left))] > 0).any()
        assert masses.sum() == pytest.approx(1.0, abs=1e-12)
        num_left.append(len(left))
    assert sum(n > 0 for n in num_left) >= 5  # the games are not all of one piece


@pytest.mark.parametrize("local", [True, False])
def test_large_alpha_comes_to_the_limit_in_one_population(local):
    for seed in range(5):
        matrix = np.random.default_rng(seed).integers(0, 3, size=(4, 4)).astype(float)
        game = symmetric(matrix)
        limit = by_profile(alpharank(game, population=9, local=local), game)
        finite = by_profile(alpharank(game, population=9, local=local, alpha=300.0), game)
        np.testing.assert_allclose(finite, limit, atol=1e-12)


def test_infinite_alpha_against_openspiels_on_a_cycle():
    """Where the response graph has one sink, a cycle, its noise of size epsilon has no say."""
    matrix = np.array([[0, -1, 1, 1], [1, 0, -1, 1], [-1, 1, 0, 1], [-1, -1, -1, 0]], dtype=float)
    game = symmetric(matrix)
    oracle = egt_alpharank.compute([matrix], use_inf_alpha=True, inf_alpha_eps=1e-9)[2]
    np.testing.assert_allclose(by_profile(alpharank(game), game), oracle, atol=1e-8)


def test_infinite_alpha_is_the_limit_where_openspiels_is_not():
    """With ties OpenSpiel's `use_inf_alpha` is a graph with noise, and not the limit of its alphas.

    The first player is indifferent against the second strategy, the second against the second: a
    neutral mutant takes over with probability 1 / m, which that graph does not know.
    """
    a, b = np.array([[2.0, 0.0], [0.0, 0.0]]), np.array([[1.0, 2.0], [1.0, 0.0]])
    game = NormalForm.from_payoffs(a, b)
    ours = by_profile(alpharank(game, population=10), game)
    growing = [egt_alpharank.compute([a, b], m=10, alpha=alpha)[2] for alpha in (1, 3, 10)]
    off = [np.abs(masses - ours).max() for masses in growing]
    assert off[0] > off[1] > off[2]
    assert off[2] <= 1e-5  # of the order of exp(-10)
    theirs = egt_alpharank.compute([a, b], m=10, use_inf_alpha=True)[2]
    assert np.abs(theirs - ours).max() > 0.2


def test_tiny_masses_keep_their_digits():
    """Two strategies: the masses are as the chances to take over, exp(-alpha (m - 1) F)."""
    game = symmetric([[1.0, 1.0], [0.0, 0.0]])
    rank = alpharank(game, alpha=4.0, population=50)
    assert rank.profiles == (("0",), ("1",))
    assert rank.masses[1] == pytest.approx(math.exp(-4.0 * 49), rel=1e-12)


def test_dominated_strategies_get_next_to_nothing():
    payoffs = np.random.default_rng(0).uniform(size=(4, 4, 2))
    payoffs[2, :, 0] = payoffs[1, :, 0] - 0.5
    rank = alpharank(NormalForm.from_payoffs(payoffs), alpha=10.0)
    frame = rank.to_frame()
    assert frame[frame["strategy of player 0"] == "2"].mass.sum() < 1e-6
    assert frame.mass.sum() == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize(
    ("game", "options", "message"),
    [
        (RPS, {"alpha": 0.0}, "positive"),
        (RPS, {"alpha": math.nan}, "positive"),
        (RPS, {"alpha": 1e308}, "too large"),
        (RPS, {"population": 1}, "two individuals"),
        (SEXES, {"populations": "one"}, "populations='each'"),
        (NormalForm.from_payoffs(np.zeros((2, 2, 2, 3))), {"populations": "one"}, "is for two"),
        (NormalForm.from_payoffs(np.eye(50)), {"populations": "each"}, "2,500 profiles"),
    ],
)
def test_bad_requests_for_a_ranking(game, options, message):
    with pytest.raises(InputError, match=message) as caught:
        alpharank(game, **options)
    assert "\n" not in str(caught.value)
