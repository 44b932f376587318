"""Correlated equilibria against loops over deviations, scipy, a conic solver, the literature."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.optimize import linprog

import analysis
import games
from analysis import Joint, correlated_equilibrium, extensive_correlated_equilibrium
from analysis.correlated.correlation_plan import CorrelationPlan, Pairs
from analysis.correlated.deviations import correlated_gains
from analysis.correlated.normal_form import gains
from games import NormalForm
from games.finite.normal_form import as_normal_form
from games.finite.sequence_form import has_chance
from tests.conftest import CATALOGUE, KUHN, form
from tests.helpers.random_tree import small_tree

CHICKEN = NormalForm.from_payoffs([[6, 2], [7, 0]], [[6, 7], [2, 0]], name="chicken")


def random_game(seed: int) -> NormalForm:
    rng = np.random.default_rng(seed)
    shape = [(2, 2), (3, 3), (4, 3), (2, 3, 2), (5, 5)][seed % 5]
    draw = (
        rng.integers(0, 4, (*shape, len(shape))) if seed % 2 else rng.random((*shape, len(shape)))
    )
    return NormalForm.from_payoffs(draw)


def deviations(game: NormalForm, concept: str):
    """What each deviation gains at each profile, one loop at a time."""
    rows = []
    for i, count in enumerate(game.num_actions):
        tolds = range(count) if concept == "ce" else [None]
        for told, played in itertools.product(tolds, range(count)):
            row = np.zeros(game.num_actions)
            for profile in np.ndindex(game.num_actions):
                if told is None or profile[i] == told:
                    other = (*profile[:i], played, *profile[i + 1 :])
                    row[profile] = game.payoffs[other][i] - game.payoffs[profile][i]
            rows.append(row.ravel())
    return np.array(rows)


def best(game: NormalForm, concept: str, payoff: np.ndarray) -> float:
    """The largest expected `payoff` of any equilibrium, by scipy."""
    rows = deviations(game, concept)
    answer = linprog(
        -payoff.ravel(),
        A_ub=rows,
        b_ub=np.zeros(len(rows)),
        A_eq=np.ones((1, payoff.size)),
        b_eq=[1],
    )
    assert answer.status == 0
    return -answer.fun


@pytest.mark.parametrize("concept", ["ce", "cce"])
@pytest.mark.parametrize("seed", range(20))
def test_the_best_of_random_games(seed, concept):
    game = random_game(seed)
    welfare = correlated_equilibrium(game, concept)
    assert welfare.objective == pytest.approx(best(game, concept, game.payoffs.sum(-1)), abs=1e-8)
    first = correlated_equilibrium(game, concept, 0)
    assert first.value == pytest.approx(best(game, concept, game.payoffs[..., 0]), abs=1e-8)
    fair = correlated_equilibrium(game, concept, "egalitarian")
    assert fair.values.min() == pytest.approx(fair.objective, abs=1e-8)
    assert fair.objective >= welfare.values.min() - 1e-8
    for found in (welfare, first, fair):
        p = tensor(game, found)
        assert (deviations(game, concept) @ p.ravel()).max() <= 1e-8
        assert p.sum() == pytest.approx(1.0, abs=1e-12)
        assert found.regret <= 1e-8
        assert correlated_gains(found.joint, concept).max() <= 1e-8


def tensor(game: NormalForm, found) -> np.ndarray:
    """The probabilities [A1, ..., AN] of an equilibrium's joint play."""
    p = np.zeros(game.num_actions)
    starts = np.cumsum([0, *(plan.shape[1] for plan in game.plans)])
    for weight, row in zip(found.joint.weights, found.joint.plans, strict=True):
        at = tuple(
            int(np.flatnonzero((plan == row[a:b]).all(axis=1))[0])
            for plan, a, b in zip(game.plans, starts[:-1], starts[1:], strict=True)
        )
        p[at] += weight
    return p


@pytest.mark.parametrize("concept", ["ce", "cce"])
@pytest.mark.parametrize("seed", range(10))
def test_maximum_entropy_against_a_conic_solver(seed, concept):
    import cvxpy

    game = random_game(seed)
    found = correlated_equilibrium(game, concept, "entropy")
    p = cvxpy.Variable(game.payoffs[..., 0].size)
    constraints = [p >= 0, cvxpy.sum(p) == 1, deviations(game, concept) @ p <= 0]
    cvxpy.Problem(cvxpy.Maximize(cvxpy.sum(cvxpy.entr(p))), constraints).solve(solver="CLARABEL")
    expected = float(
        -np.sum(np.where(p.value > 1e-300, p.value * np.log(np.maximum(p.value, 1e-300)), 0))
    )
    assert found.objective == pytest.approx(expected, abs=1e-6)
    assert found.bound - found.objective <= 1e-7
    assert found.regret <= 1e-8


@pytest.mark.parametrize("seed", range(20))
def test_nash_in_ce_in_cce(seed):
    game = random_game(seed)
    point = analysis.nash(game)
    x = game.mixed(point.strategy)
    p = x[0]
    for own in x[1:]:
        p = np.multiply.outer(p, own)
    assert gains(game, p, "ce").max() <= 1e-6
    assert gains(game, p, "cce").max() <= 1e-6
    ce, cce = correlated_equilibrium(game, "ce"), correlated_equilibrium(game, "cce")
    assert point.welfare <= ce.welfare + 1e-6
    assert ce.welfare <= cce.welfare + 1e-8
    assert gains(game, tensor(game, ce), "cce").max() <= 1e-8  # a CE is a CCE


@pytest.mark.parametrize("unit", [1e-6, 1e6])
def test_the_unit_of_utility_does_not_matter(unit):
    for game in (random_game(1), random_game(3)):
        other = NormalForm.from_payoffs(game.payoffs * unit)
        for concept in ("ce", "cce"):
            ours = correlated_equilibrium(other, concept).objective / unit
            assert ours == pytest.approx(correlated_equilibrium(game, concept).objective, abs=1e-8)
        values = np.array([analysis.nash(g).values for g in (game, other)])
        assert values[1] / unit == pytest.approx(values[0], abs=1e-6)
        zero_sum = [
            NormalForm.from_payoffs(g.payoffs[..., 0]) for g in (game, other) if g.num_players == 2
        ]
        if zero_sum:
            first, second = (analysis.nash(g).value for g in zero_sum)
            assert second / unit == pytest.approx(first, abs=1e-9)
            first, second = (analysis.stackelberg(g).objective for g in (game, other))
            assert second / unit == pytest.approx(first, abs=1e-7)


def test_chicken():
    """Aumann (1974): half, a quarter, a quarter; each gets 5 1/4."""
    found = correlated_equilibrium(CHICKEN)
    assert found.values == pytest.approx([5.25, 5.25], abs=1e-9)
    assert tensor(CHICKEN, found) == pytest.approx(np.array([[0.5, 0.25], [0.25, 0.0]]), abs=1e-9)


def test_ties_go_to_welfare():
    """The second player does not care what it does, the first one does."""
    game = NormalForm.from_payoffs([[1, 2], [0, 0]], [[3, 3], [0, 0]])
    for concept in ("ce", "cce"):
        found = correlated_equilibrium(game, concept, 1)
        assert found.values == pytest.approx([2, 3], abs=1e-7)


def test_rock_paper_scissors_has_one_correlated_equilibrium():
    game = NormalForm.from_payoffs([[0, -1, 1], [1, 0, -1], [-1, 1, 0]])
    for objective in ("welfare", "entropy", 0):
        found = correlated_equilibrium(game, "ce", objective)
        assert tensor(game, found) == pytest.approx(np.full((3, 3), 1 / 9), abs=1e-8)


# --- on trees -----------------------------------------------------------------------------------


def continuations(player, at: int) -> list[set[int]]:
    """All ways to play from information set `at` on: sets of sequences."""
    first, count = int(player.first_sequence[at]), int(player.num_actions[at])
    ways = []
    for s in range(first, first + count):
        below = [j for j, parent in enumerate(player.parent_sequence) if parent == s]
        for parts in itertools.product(*(continuations(player, j) for j in below)):
            ways.append({s}.union(*parts))
    return ways


def below(player, at: int) -> set[int]:
    """All sequences from an information set on."""
    return set().union(*continuations(player, at))


def brute_force(compiled, concept: str, payoff) -> float:
    """The largest expected `payoff` (of a [profiles, N] table), over mixtures of pure profiles.

    Every deviation is a trigger with a way to go on from there, its gain measured at every profile.
    """
    table = as_normal_form(compiled)
    spec = ",".join(f"{c}z" for c in "abc"[: compiled.num_players])
    spec += f",zn->{'abc'[: compiled.num_players]}n"

    def utilities(pure) -> np.ndarray:
        """[A1, ..., AN, N] of plans [Ai, Si]: added up leaf by leaf."""
        at_leaf = [p[:, compiled.leaf_sequence[:, i]] for i, p in enumerate(pure)]
        return np.einsum(spec, *at_leaf, compiled.leaf_utility, optimize=True)

    followed = utilities(table.plans)
    rows = []
    for i, player in enumerate(compiled.players):
        for j in range(len(player.information_sets)):
            first, count = int(player.first_sequence[j]), int(player.num_actions[j])
            recommendations = range(first, first + count) if concept == "efce" else [None]
            parent = int(player.parent_sequence[j])
            for told, way in itertools.product(recommendations, continuations(player, j)):
                plan = table.plans[i]
                hit = plan[:, parent if told is None else told] > 0
                changed = plan.copy()
                changed[np.ix_(hit, sorted(below(player, j)))] = 0.0
                changed[np.ix_(hit, sorted(way))] = 1.0
                pure = [*table.plans[:i], changed, *table.plans[i + 1 :]]
                rows.append((utilities(pure) - followed)[..., i].ravel())
    flat = followed.reshape(-1, compiled.num_players)
    answer = linprog(
        -payoff(flat), A_ub=np.array(rows), b_ub=np.zeros(len(rows)),
        A_eq=np.ones((1, len(flat))), b_eq=[1],
    )  # fmt: skip
    assert answer.status == 0
    return -answer.fun


@pytest.mark.parametrize("concept", ["efce", "efcce"])
@pytest.mark.parametrize("number", range(12))
def test_trees_without_chance_against_brute_force(number, concept):
    compiled = small_tree(number, most=1_500, depth=4)
    assert not has_chance(compiled)
    for objective, payoff in (("welfare", lambda u: u.sum(1)), (0, lambda u: u[:, 0])):
        found = extensive_correlated_equilibrium(compiled, concept, objective)
        assert "correlation-plan" in found.method
        assert found.objective == pytest.approx(brute_force(compiled, concept, payoff), abs=1e-7)
        assert found.regret <= 1e-8
        assert found.plan.violation() <= 1e-9


@pytest.mark.parametrize("number", range(8))
def test_gains_of_a_plan_are_those_of_the_mixture_that_it_comes_from(number):
    """A random mixture of pure profiles: measured profile by profile, and as a correlation plan."""
    compiled = small_tree(number, most=400, depth=4)
    table, pairs = as_normal_form(compiled), Pairs.of(compiled)
    weights = np.random.default_rng(number).dirichlet(np.full(table.payoffs[..., 0].size, 0.1))
    joint = Joint.from_tensor(table, weights.reshape(table.num_actions))
    split = compiled.players[0].num_sequences
    first, second = joint.plans[:, :split], joint.plans[:, split:]
    xi = joint.weights @ (first[:, pairs.first] * second[:, pairs.second])
    plan = CorrelationPlan(pairs, xi)
    assert plan.violation() <= 1e-12
    assert plan.values == pytest.approx(joint.values, abs=1e-12)
    for concept in ("efce", "efcce", "nfcce"):
        assert plan.gains(concept) == pytest.approx(correlated_gains(joint, concept), abs=1e-12)


@pytest.mark.parametrize("concept", ["efce", "efcce"])
@pytest.mark.parametrize(("number", "players"), [(0, 2), (1, 2), (2, 2), (0, 3), (1, 3)])
def test_trees_with_chance_or_three_players_against_brute_force(number, players, concept):
    compiled = small_tree(number, most=1_000, players=players, chance=players == 2, depth=4)
    found = extensive_correlated_equilibrium(compiled, concept)
    assert "pure strategies" in found.method
    expected = brute_force(compiled, concept, lambda u: u.sum(1))
    assert found.objective == pytest.approx(expected, abs=1e-7)
    assert found.regret <= 1e-8


@pytest.mark.parametrize("number", range(12))
def test_inclusions_on_trees(number):
    """Nash in CE in EFCE in EFCCE in NFCCE = CCE, by the welfare of the best of each."""
    compiled = small_tree(number, most=400, depth=4)
    table = as_normal_form(compiled)
    order = [
        analysis.nash(table).welfare,
        correlated_equilibrium(table, "ce").objective,
        extensive_correlated_equilibrium(compiled, "efce").objective,
        extensive_correlated_equilibrium(compiled, "efcce").objective,
        extensive_correlated_equilibrium(compiled, "nfcce").objective,
        correlated_equilibrium(table, "cce").objective,
    ]
    assert all(a <= b + 1e-6 for a, b in itertools.pairwise(order))
    assert order[-1] == pytest.approx(order[-2], abs=1e-7)


def test_one_information_set_each_is_the_normal_form():
    for concept, of_tables in (("efce", "ce"), ("efcce", "cce"), ("nfcce", "cce")):
        found = extensive_correlated_equilibrium(CHICKEN, concept)
        assert found.objective == pytest.approx(
            correlated_equilibrium(CHICKEN, of_tables).objective, abs=1e-9
        )


def test_the_job_market_of_von_stengel_and_forges():
    """Their section 2 and figure 1: a good student is hired only if recommendations come late.

    Every Nash equilibrium and every correlated equilibrium of the normal form pays (0, 6). In an
    extensive-form one a good student signals as told and is hired: (3.5, 6.5).
    """
    game = games.load(str(CATALOGUE / "journals/mor/vonstengelforges2008/fig1.efg"))
    assert all(e.values == pytest.approx([0, 6], abs=1e-9) for e in analysis.nash(game, "all"))
    assert correlated_equilibrium(game, "ce").values == pytest.approx([0, 6], abs=1e-8)
    assert extensive_correlated_equilibrium(game, "efce", 1).values == pytest.approx(
        [3.5, 6.5], abs=1e-8
    )


SHERIFF = (
    "sheriff(item_penalty=1.0,item_value=5.0,sheriff_penalty=1.0,max_items=10,max_bribe={},"
    "num_rounds={})"
)


def test_the_sheriff_bargains_longer_for_more():
    """Farina, Ling, Fang & Sandholm (2019): rounds of bargaining that bind nobody raise both
    players' payoffs, and so does a larger bribe."""
    points = {
        (bribe, rounds): extensive_correlated_equilibrium(
            form(SHERIFF.format(bribe, rounds)), "efce"
        )
        for bribe, rounds in ((2, 1), (2, 2), (3, 2))
    }
    for few, more in (((2, 1), (2, 2)), ((2, 2), (3, 2))):
        assert np.all(points[more].values > points[few].values + 0.5)
    assert points[3, 2].values == pytest.approx([12.0, 3.0], abs=1e-7)


@pytest.mark.slow
def test_the_sheriff_of_three_rounds():
    """Payoffs stop at 4 : 1, where the full bribe is always paid."""
    found = extensive_correlated_equilibrium(form(SHERIFF.format(2, 3)), "efce")
    assert found.values == pytest.approx([8.0, 2.0], abs=1e-6)


def test_a_zero_sum_game_has_one_value():
    for concept in ("efce", "efcce", "nfcce"):
        found = extensive_correlated_equilibrium(form(KUHN), concept, 0)
        assert found.value == pytest.approx(-1 / 18, abs=1e-8)


def test_what_does_not_fit_is_refused():
    with pytest.raises(games.InputError, match="no objective 'happiness'"):
        correlated_equilibrium(CHICKEN, "ce", "happiness")
    with pytest.raises(games.InputError, match="players are 0 to 1"):
        correlated_equilibrium(CHICKEN, "ce", 2)
    with pytest.raises(games.InputError, match="'ce' or 'cce'"):
        correlated_equilibrium(CHICKEN, "efce")
    with pytest.raises(games.InputError, match="entropy"):
        extensive_correlated_equilibrium(CHICKEN, "efce", "entropy")
    with pytest.raises(games.GameError, match="choose efce"):
        correlated_equilibrium(form("liars_dice(numdice=1,dice_sides=2)"))
    with pytest.raises(games.GameError, match="dynamics"):
        extensive_correlated_equilibrium(form("leduc_poker"), "efce")
