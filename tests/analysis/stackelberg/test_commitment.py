"""Stackelberg commitment on trees against brute force over the follower's pure plans."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import linprog

import analysis
import games
from analysis import commitment
from games.finite.normal_form import as_normal_form
from games.finite.sequence_form import has_chance
from tests.conftest import KUHN, form
from tests.helpers.random_tree import random_tree, small_tree


def brute_force(compiled, leader: int) -> tuple[float, float]:
    """The leader's best value, mixed and pure: one linear program a pure plan of the follower."""
    table = as_normal_form(compiled)
    own = np.moveaxis(table.payoffs[..., leader], leader, 0)
    other = np.moveaxis(table.payoffs[..., 1 - leader], leader, 0)
    mixed = -np.inf
    for reply in range(own.shape[1]):
        better = (other - other[:, [reply]]).T
        answer = linprog(
            -own[:, reply], A_ub=better, b_ub=np.zeros(len(better)),
            A_eq=np.ones((1, len(own))), b_eq=[1],
        )  # fmt: skip
        if answer.status == 0:
            mixed = max(mixed, -answer.fun)
    replies = other >= other.max(axis=1, keepdims=True) - 1e-12
    return mixed, float(np.where(replies, own, -np.inf).max())


@pytest.mark.parametrize("leader", [0, 1])
@pytest.mark.parametrize("number", range(24))
def test_random_trees(number, leader):
    compiled = small_tree(number // 2, most=20_000, chance=number % 2 == 0, depth=4)
    assert has_chance(compiled) == (number % 2 == 0)
    mixed, pure = brute_force(compiled, leader)
    found, plain = commitment(compiled, leader), commitment(compiled, leader, pure=True)
    assert found.objective == pytest.approx(mixed, abs=1e-6)
    assert plain.objective == pytest.approx(pure, abs=1e-6)
    assert found.objective >= plain.objective - 1e-7
    assert found.bound == pytest.approx(found.objective, abs=1e-6)
    assert found.facts["correlated_relaxation"] >= found.objective - 1e-7
    # The reply is a best one, measured apart; and it is pure.
    gain = analysis.deviation_gains(compiled, found.strategy)[1 - leader]
    assert gain <= 1e-7
    follower = compiled.players[1 - leader].information_sets
    chances = [found.strategy.action_probabilities(name, 1 - leader).values() for name in follower]
    assert all(max(own) == pytest.approx(1.0) or len(set(own)) == 1 for own in chances)


@pytest.mark.parametrize("leader", [0, 1])
@pytest.mark.parametrize("seed", range(6))
def test_commitment_is_worth_at_least_any_equilibrium(seed, leader):
    compiled = small_tree(seed, most=300, depth=4)
    best = max(e.values[leader] for e in analysis.nash(compiled, "all"))
    assert commitment(compiled, leader).objective >= best - 1e-6


def test_zero_sum_commitment_is_the_value():
    for leader in (0, 1):
        found = commitment(form(KUHN), leader)
        assert found.value == pytest.approx(-1 / 18, abs=1e-8)


def test_a_matrix_game_is_the_case_of_one_move_each():
    rng = np.random.default_rng(0)
    for _ in range(8):
        game = games.NormalForm.from_payoffs(rng.random((4, 5)), rng.random((4, 5)))
        by_lps = analysis.stackelberg(game)
        assert "linear programs" in by_lps.method
        assert commitment(game).objective == pytest.approx(by_lps.objective, abs=1e-7)


def test_a_search_that_is_stopped_says_so_and_keeps_its_bound():
    """At whatever moment: nothing found yet, or an answer with a true bound on the best."""
    compiled = random_tree(9, depth=5)
    best = commitment(compiled).objective
    outcomes = [stopped_after(compiled, looks) for looks in (0, 30, 1_000, 3_000, 10**9)]
    assert outcomes[0] is None
    assert outcomes[-1] is not None
    for part in outcomes:
        if part is not None:
            assert part.objective <= best + 1e-7
            assert part.bound >= best - 1e-7
            assert "stopped early" in part.method or part.gap <= 1e-7


def stopped_after(compiled, looks: int):
    """The answer of a search that is told to stop at its next look; None if it had none."""
    told = []

    def stop(message: str) -> bool:
        told.append(message)
        return len(told) > looks

    try:
        return commitment(compiled, progress=stop)
    except RuntimeError:
        return None


def test_what_does_not_fit_is_refused():
    with pytest.raises(games.InputError, match="3 players"):
        commitment(form("kuhn_poker(players=3)"))
    with pytest.raises(games.InputError, match="leader 2"):
        commitment(form(KUHN), 2)
    with pytest.raises(games.InputError, match="weak ties"):
        analysis.stackelberg(form(KUHN), ties="weak")
