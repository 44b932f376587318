"""External sampling behind the common interface: OpenSpiel's solver, unchanged."""

import numpy as np
import pyspiel
import pytest

import games
from marl import tabular
from tests.conftest import KUHN, LEDUC, form


@pytest.mark.parametrize(
    ("average", "kind"),
    [("simple", pyspiel.MCCFRAverageType.SIMPLE), ("full", pyspiel.MCCFRAverageType.FULL)],
)
def test_average_policy_is_openspiels(average, kind):
    seed = 5
    solver = tabular.find("mccfr", dict(average=average)).start(
        form(LEDUC), iterations=1, seed=seed
    )
    solver.step(200)
    oracle = pyspiel.ExternalSamplingMCCFRSolver(
        pyspiel.load_game(LEDUC),
        seed=int(np.random.SeedSequence(seed).generate_state(1)[0] >> 1),
        avg_type=kind,
    )
    for _ in range(200):
        oracle.run_iteration()
    policy = oracle.average_policy()
    compared = 0
    strategy = solver.strategy()
    for name in strategy.information_sets:
        try:
            expected = policy.action_probabilities(name)
        except pyspiel.SpielError:  # not visited yet: ours is uniform there
            continue
        assert strategy.action_probabilities(name) == pytest.approx(expected, abs=1e-12)
        compared += 1
    assert compared > 100


def test_approaches_equilibrium_and_follows_the_seed():
    solution = tabular.solve(form(KUHN), "mccfr", iterations=30_000, seed=1)
    assert solution.nash_conv < 0.05
    again = tabular.solve(form(KUHN), "mccfr", iterations=30_000, seed=1)
    other = tabular.solve(form(KUHN), "mccfr", iterations=30_000, seed=2)
    assert np.array_equal(again.strategy.probabilities, solution.strategy.probabilities)
    assert not np.array_equal(other.strategy.probabilities, solution.strategy.probabilities)


def test_game_that_does_not_enumerate():
    """Phantom tic-tac-toe has over 20 million histories; values come from sampled play."""
    game = games.load("phantom_ttt")
    solution = tabular.solve(game, "mccfr", iterations=2, seed=0)
    assert np.isnan(solution.nash_conv)
    assert solution.history.iteration.tolist() == [0, 1, 2]
    assert len(solution.strategy.information_sets) > 100
    assert solution.values.sum() == pytest.approx(0.0, abs=1e-12)
    assert (solution.values_standard_error > 0).all()
    with pytest.raises(games.UnenumerableGameError):
        tabular.solve(games.load("chess"), "cfr+", iterations=1)


def test_game_without_information_states_is_refused():
    with pytest.raises(games.GameError, match="no information-state strings"):
        tabular.solve(games.load("coop_box_pushing"), "mccfr", iterations=1)


def test_game_of_imperfect_recall_runs():
    game = games.load("liars_dice_ir(numdice=1,dice_sides=3)")
    solution = tabular.solve(game, "mccfr", iterations=100)
    assert np.isnan(solution.nash_conv)
    assert len(solution.strategy.information_sets) > 10
