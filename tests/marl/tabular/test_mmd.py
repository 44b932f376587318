"""Magnetic mirror descent against OpenSpiel's, and quantal response by brute force."""

import dataclasses
import itertools

import numpy as np
import pyspiel
import pytest
from open_spiel.python.algorithms.mmd_dilated import MMDDilatedEnt

import analysis
import games
from games import Strategy
from marl import tabular
from tests.conftest import BATTLESHIP, KUHN, LD4, LEDUC, form


@pytest.mark.parametrize(
    ("name", "temperature", "stepsize", "iterations"),
    [(KUHN, 0.1, 0.5, 40), (KUHN, 1.0, 2.0, 40), (LEDUC, 0.05, 1.0, 3)],
)
def test_every_iterate_equals_openspiel(name, temperature, stepsize, iterations):
    oracle = MMDDilatedEnt(pyspiel.load_game(name), temperature, stepsize)
    config = tabular.find(
        "mmd",
        dict(magnet="none", temperature=temperature, stepsize=stepsize, alternating=False),
    )
    solver = config.start(form(name), iterations=iterations, seed=0)
    for _ in range(iterations):
        oracle.update_sequences()
        solver.step()
        expected = Strategy.from_openspiel(form(name), oracle.get_policies())
        np.testing.assert_allclose(
            solver.strategy().probabilities, expected.probabilities, atol=1e-10
        )


def pure_plans(form: games.SequenceForm, player: int):
    """Every pure strategy of the reduced normal form as a 0/1 realization plan, [P, S]."""
    treeplex = form.players[player]
    plans = []

    def extend(plan, j):
        if j == len(treeplex.information_sets):
            plans.append(plan)
        elif plan[treeplex.parent_sequence[j]] == 0:
            extend(plan, j + 1)  # unreachable: no choice to make
        else:
            for k in range(treeplex.num_actions[j]):
                chosen = plan.copy()
                chosen[treeplex.first_sequence[j] + k] = 1.0
                extend(chosen, j + 1)

    start = np.zeros(treeplex.num_sequences)
    start[0] = 1.0
    extend(start, 0)
    return np.array(plans)


@pytest.mark.parametrize("temperature", [0.1, 0.5, 2.0])
def test_limit_is_the_logit_equilibrium_of_the_reduced_normal_form(temperature):
    """Each player's plan is the softmax of its plans' payoffs, weighed over all pure plans."""
    kuhn = form(KUHN)
    payoff = np.zeros([p.num_sequences for p in kuhn.players])
    payoff[tuple(kuhn.leaf_sequence.T)] = kuhn.leaf_utility[:, 0]
    solution = tabular.solve(
        kuhn, "mmd", iterations=20_000, magnet="none", temperature=temperature, stepsize=0.5
    )
    behaviour = solution.strategy.behaviour(kuhn)
    starts = kuhn.arrays.players.astype(int)
    own = [behaviour[starts[i] : starts[i + 1]] for i in range(2)]
    plan = []
    for treeplex, probabilities in zip(kuhn.players, own, strict=True):
        x = np.ones_like(probabilities)
        for j, parent in enumerate(treeplex.parent_sequence):
            children = slice(
                treeplex.first_sequence[j], treeplex.first_sequence[j] + treeplex.num_actions[j]
            )
            x[children] = x[parent] * probabilities[children]
        plan.append(x)
    gradients = payoff @ plan[1], -payoff.T @ plan[0]
    for player, gradient in enumerate(gradients):
        pure = pure_plans(kuhn, player)
        weight = np.exp(pure @ gradient / temperature)
        expected = weight @ pure / weight.sum()
        np.testing.assert_allclose(plan[player], expected, atol=1e-9)


@pytest.mark.parametrize(
    ("name", "bound"), [(KUHN, 1e-12), (LD4, 1e-3), (LEDUC, 0.5), (BATTLESHIP, 1e-4)]
)
def test_last_iterate_approaches_nash(name, bound):
    solution = tabular.solve(form(name), "mmd", iterations=1500)
    assert solution.nash_conv < bound
    assert analysis.nash_conv(form(name), solution.strategy) == solution.nash_conv


UNITS = [  # what each player's utilities are multiplied by, and what is added
    ("matrix_brps", (100.0, 100.0), (0.0, 0.0)),
    (KUHN, (100.0, 100.0), (0.0, 0.0)),
    (KUHN, (1.0, 1.0), (1000.0, 1000.0)),
    (KUHN, (1e-6, 1e3), (0.0, -7.0)),
    ("first_sealed_auction(max_value=4)", (1.0, 50.0), (3.0, 0.0)),
    ("kuhn_poker(players=3)", (1.0, 0.01, 10.0), (0.0, 5.0, 0.0)),
]


@pytest.mark.parametrize(("name", "factor", "constant"), UNITS)
def test_play_does_not_depend_on_the_units_of_utility(name, factor, constant):
    """Neither factors nor constants change what anybody prefers."""
    compiled = form(name)
    added = compiled.leaf_chance[:, None] * np.array(constant)
    other = dataclasses.replace(compiled, leaf_utility=compiled.leaf_utility * factor + added)
    expected = tabular.solve(compiled, "mmd", iterations=500).strategy.probabilities
    found = tabular.solve(other, "mmd", iterations=500).strategy.probabilities
    np.testing.assert_allclose(found, expected, atol=1e-8)


def test_large_payoffs_are_solved_all_the_same():
    """Rock-paper-scissors for 100 and more: the equilibrium is as in OpenSpiel's matrix_brps."""
    compiled = form("matrix_brps")
    large = dataclasses.replace(compiled, leaf_utility=100 * compiled.leaf_utility)
    solution = tabular.solve(large, "mmd", iterations=2000)
    assert solution.nash_conv < 1e-6
    expected = [1 / 16, 10 / 16, 5 / 16] * 2
    np.testing.assert_allclose(solution.strategy.probabilities, expected, atol=1e-6)


def test_rock_paper_scissors_with_a_temperature():
    """Symmetry: the quantal equilibrium of plain rock-paper-scissors is uniform."""
    solution = tabular.solve(
        form("matrix_rps"), "mmd", iterations=500, magnet="none", temperature=0.3, stepsize=0.2
    )
    np.testing.assert_allclose(solution.strategy.probabilities, 1 / 3, atol=1e-12)


def test_quantal_play_of_the_prisoners_dilemma():
    """Closed form: each defects with odds exp(gain / temperature), the gain linear in the other."""
    temperature = 2.0
    solution = tabular.solve(
        form("matrix_pd"), "mmd", iterations=5000, magnet="none", temperature=temperature,
        stepsize=0.1,
    )  # fmt: skip
    game = pyspiel.load_matrix_game("matrix_pd")
    rows = np.array(game.row_utilities())
    cooperate = solution.strategy.to_frame().query("action == 0").probability.to_numpy()
    for own, other in itertools.permutations(range(2)):
        payoffs = rows @ [cooperate[other], 1 - cooperate[other]]
        odds = np.exp((payoffs[1] - payoffs[0]) / temperature)
        assert 1 / (1 + odds) == pytest.approx(cooperate[own], abs=1e-9)
