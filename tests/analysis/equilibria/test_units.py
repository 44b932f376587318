"""Equilibria do not change when a player's payoffs are shifted or scaled; nor may the answers."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pygambit
import pytest

import analysis
from analysis.equilibria.units import Units
from games import NormalForm
from games.finite.bayesian import BayesianGame
from games.finite.enumerate import enumerate_game
from games.finite.gambit.reading import GambitGame
from games.finite.game import CHANCE, TERMINAL
from tests.helpers.random_tree import small_tree

# Shifts and factors of the two players; the digits that are left of payoffs between 0 and 1.
CHANGES = [
    ((1e6, 1e6), (1.0, 1.0), 1e-8),
    ((1e9, -1e9), (1.0, 1.0), 1e-5),
    ((0.0, 0.0), (1e9, 1.0), 1e-8),
    ((0.0, 0.0), (1e-8, 1e-8), 1e-8),
    ((5.0, -3e5), (1e-3, 1e7), 1e-8),
]


def payoffs(seed: int, size: int = 8) -> np.ndarray:
    return np.random.default_rng(seed).random((size, size, 2))


def changed(seed: int, shift, factor) -> tuple[NormalForm, NormalForm]:
    plain = payoffs(seed)
    return NormalForm.from_payoffs(plain), NormalForm.from_payoffs(plain * factor + np.array(shift))


def back(values, shift, factor) -> np.ndarray:
    return (np.asarray(values) - np.array(shift)) / np.array(factor)


@pytest.mark.parametrize(("shift", "factor", "digits"), CHANGES)
@pytest.mark.parametrize("seed", range(3))
def test_nash(seed, shift, factor, digits):
    plain, other = changed(seed, shift, factor)
    expected = sorted(tuple(e.values) for e in analysis.nash(plain, "all"))
    found = sorted(tuple(back(e.values, shift, factor)) for e in analysis.nash(other, "all"))
    assert np.array(found) == pytest.approx(np.array(expected), abs=10 * digits)
    one = analysis.nash(other)
    assert np.all(one.gains / np.array(factor) <= 1e-6 + 10 * digits)


@pytest.mark.parametrize(("shift", "factor", "digits"), CHANGES)
@pytest.mark.parametrize("concept", ["ce", "cce", "efce"])
def test_correlated(concept, shift, factor, digits):
    plain, other = changed(1, shift, factor)
    for player in (0, 1):
        expected = analysis.solve(plain, concept, objective=player)
        found = analysis.solve(other, concept, objective=player)
        value = back(found.values, shift, factor)[player]
        assert value == pytest.approx(expected.values[player], abs=10 * digits)
        assert np.all(found.gains / np.array(factor) <= 1e-8 + 10 * digits)
        assert found.objective == pytest.approx(found.values[player], rel=1e-9, abs=1e-12)


@pytest.mark.parametrize(("shift", "factor", "digits"), CHANGES)
@pytest.mark.parametrize("solve", [analysis.multiple_lps, analysis.commitment])
def test_commitment(solve, shift, factor, digits):
    plain, other = changed(2, shift, factor)
    expected, found = solve(plain, 0), solve(other, 0)
    value = back(found.values, shift, factor)[0]
    assert value == pytest.approx(expected.objective, abs=1e-6 + 10 * digits)
    assert found.gains[1] / factor[1] <= 1e-7 + 10 * digits


@pytest.mark.parametrize("shift", [1e3, 1e6, 1e9])
def test_zero_sum(shift):
    plain = np.random.default_rng(5).random((5, 6))
    expected = analysis.nash(NormalForm.from_payoffs(plain)).value
    game = NormalForm.from_payoffs(np.stack([plain + shift, -plain - shift], axis=-1))
    assert analysis.nash(game, method="lp").value - shift == pytest.approx(
        expected, abs=1e-15 * shift * 100 + 1e-9
    )


def test_quantal_response_does_not_see_a_shift():
    plain, other = changed(3, (1e6, -1e6), (1.0, 1.0))
    first, second = (analysis.logit(g, 4.0) for g in (plain, other))
    assert second.values - [1e6, -1e6] == pytest.approx(first.values, abs=1e-6)


def test_a_tree_with_large_payoffs():
    compiled = small_tree(3, most=300, depth=4)
    factor = np.array([1e8, 1e-4])
    other = replace(compiled, leaf_utility=compiled.leaf_utility * factor)
    for leader in (0, 1):
        expected = analysis.commitment(compiled, leader).objective * factor[leader]
        assert analysis.commitment(other, leader).objective == pytest.approx(expected, rel=1e-6)
    for concept in ("efce", "efcce"):
        expected = analysis.solve(compiled, concept, objective=1).objective * factor[1]
        assert analysis.solve(other, concept, objective=1).objective == pytest.approx(
            expected, rel=1e-6
        )


def test_the_follower_is_not_kinder_than_it_is_indifferent():
    """The reply that the leader wants is dominated, by little in the leader's units."""
    game = NormalForm.from_payoffs(
        np.array([[2, 4], [1, 3.0]]) * 1e6, np.array([[1, 0], [1, 0.0]]) * 1e-3
    )
    assert analysis.commitment(game).objective == pytest.approx(2e6)
    assert analysis.multiple_lps(game).objective == pytest.approx(2e6)


def test_large_whole_numbers():
    game = NormalForm.from_payoffs(
        np.array([[6, 2], [7, 0]]) * 1e9, np.array([[6, 7], [2, 0]]) * 1e9
    )
    assert len(analysis.nash(game, "all")) == 3
    assert analysis.nash(game).regret <= 1e3


def test_units_are_what_they_say():
    compiled = small_tree(0, most=300, depth=4)
    units = Units.of(compiled)
    reached = units.form.leaf_utility / units.form.leaf_chance[:, None]
    assert reached.min(axis=0) == pytest.approx(0.0, abs=1e-12)
    assert reached.max(axis=0) == pytest.approx(1.0, abs=1e-12)
    constant = NormalForm.from_payoffs(np.full((2, 2, 2), 7.0))
    assert Units.of(constant.form).values(np.zeros(2)) == pytest.approx([7.0, 7.0])
    assert analysis.nash(constant).values == pytest.approx([7.0, 7.0])


def test_bayesian_types_with_nothing_at_stake():
    leader = np.random.default_rng(0).random((2, 3, 3))
    follower = np.stack([np.full((3, 3), 1e6), np.random.default_rng(1).random((3, 3))])
    found = analysis.bayesian_stackelberg(BayesianGame(leader, follower, [0.5, 0.5]))
    tree = analysis.commitment(BayesianGame(leader, follower, [0.5, 0.5]))
    assert found.objective == pytest.approx(tree.objective, abs=1e-6)


ENTRY = """EFG 2 R "entry" { "entrant" "incumbent" }
p "" 1 1 "market" { "in" "out" } 0
p "" 2 1 "entered" { "fight" "share" } 0
c "" 1 "" { "good" 1/2 "bad" 1/2 } 0
t "" 1 "" { -2 -2 }
t "" 2 "" { 0 0 }
c "" 2 "" { "good" 1/2 "bad" 1/2 } 0
t "" 3 "" { 0 0 }
t "" 4 "" { 2 2 }
c "" 3 "" { "good" 1/2 "bad" 1/2 } 0
t "" 5 "" { 1 5 }
t "" 6 "" { -1 3 }
"""


def test_perfect_information_with_chance_at_the_end():
    """Nobody sees the last lottery, so that leaves merge; information is perfect."""
    game = GambitGame("entry", pygambit.read_efg(io.BytesIO(ENTRY.encode())))
    found = analysis.nash(game)
    assert "backward" in found.method
    assert found.values == pytest.approx([1.0, 1.0])


class Nobody:
    """A game that chance plays alone."""

    name, num_players = "nobody", 2

    def __init__(self, ended=None):
        self.ended = ended

    def root(self):
        return self

    def sequence_form(self, *, node_budget=0, cached=True):
        return enumerate_game(self, "nobody", 2, 10)

    def current_player(self):
        return CHANCE if self.ended is None else TERMINAL

    def chance_outcomes(self):
        return [(0, 0.25), (1, 0.75)]

    def child(self, action):
        return Nobody(action)

    def returns(self):
        return [float(self.ended), -1.0]


@pytest.mark.parametrize("concept", ["nash", "ce", "cce", "efce", "efcce", "nfcce", "stackelberg"])
def test_a_game_that_nobody_plays(concept):
    found = analysis.solve(Nobody(), concept)
    assert found.values == pytest.approx([0.75, -1.0])
    if found.joint is not None:
        assert all(g.max() == 0 for g in analysis.distances(found.joint).values())


# Of 120 games of either shape those at which HiGHS's own rows drifted away from the variables, and
# their neighbours.
@pytest.mark.parametrize(
    ("shape", "seeds"),
    [((3, 2, 4, 2, 3), range(1000, 1010)), ((3, 3, 3, 3, 3), range(1014, 1020))],
)
def test_egalitarian_equilibria_of_five_players_at_mixed_scales(shape, seeds):
    for seed in seeds:
        rng = np.random.default_rng(seed)
        payoffs = rng.normal(size=(*shape, 5)) * 10.0 ** rng.integers(-9, 10, 5)
        found = analysis.correlated_equilibrium(
            NormalForm.from_payoffs(payoffs), "ce", "egalitarian"
        )
        probabilities = np.zeros(shape)
        for weight, plan in zip(found.joint.weights, found.joint.plans, strict=True):
            starts = np.cumsum([0, *(1 + n for n in shape)])[:-1]
            at = [plan[s + 1 : s + 1 + n].argmax() for s, n in zip(starts, shape, strict=True)]
            probabilities[tuple(at)] += weight
        for i, count in enumerate(shape):  # every swap of one strategy for another
            told = np.moveaxis(probabilities, i, 0).reshape(count, -1)
            pay = np.moveaxis(payoffs[..., i], i, 0).reshape(count, -1)
            gain = (told @ pay.T) - (told * pay).sum(axis=1)[:, None]
            assert gain.max() <= 1e-8 * np.ptp(pay)


def test_a_player_with_nothing_at_stake_does_not_drown_the_others():
    payoffs = np.zeros((2, 2, 2, 3))
    payoffs[0, 0, :, :2], payoffs[1, 1, :, :2] = 1e-10, 2e-10
    game = NormalForm.from_payoffs(payoffs)
    for concept in ("ce", "cce", "efce"):
        assert analysis.solve(game, concept).objective == pytest.approx(4e-10, rel=1e-6)


@pytest.mark.parametrize("level", [0.0, 1e6, -1e6, 1e9])
def test_egalitarian_at_different_levels(level):
    """The third player's payoffs lie elsewhere; where above, only the first two count."""
    rng = np.random.default_rng(4)
    payoffs = rng.random((3, 3, 2, 3))
    plain = analysis.correlated_equilibrium(NormalForm.from_payoffs(payoffs), "cce", 2)
    lone = analysis.correlated_equilibrium(
        NormalForm.from_payoffs(payoffs + np.array([50.0, 0.0, 100.0])), "cce", "egalitarian"
    )
    second = analysis.correlated_equilibrium(NormalForm.from_payoffs(payoffs), "cce", 1)
    assert lone.objective == pytest.approx(second.objective, abs=1e-8)
    moved = NormalForm.from_payoffs(payoffs + np.array([0.0, 0.0, level]))
    found = analysis.correlated_equilibrium(moved, "cce", "egalitarian")
    if level < 0:  # the third player is always the worst off
        assert found.objective - level == pytest.approx(plain.objective, abs=1e-8)
    elif level > 0:
        two = analysis.correlated_equilibrium(
            NormalForm.from_payoffs(payoffs + np.array([0.0, 0.0, 10.0])), "cce", "egalitarian"
        )
        assert found.objective == pytest.approx(two.objective, abs=1e-7)
