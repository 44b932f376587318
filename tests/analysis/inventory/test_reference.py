"""The reference that a game is held against: which answer is taken, and that it is one."""

import numpy as np
import pytest
from scipy import stats

from analysis import backlogged, lost_sales, serial, transshipment_bound
from analysis.inventory.optima import clipped_normal
from analysis.references import comparable_reference, reference
from games.load import simulator, vector
from marl.evaluation.episodes import Played
from marl.rules.inventory import compare, tune
from scenarios.figures import summary

ROWS = (
    # game, kind, the answer of the function that it stands for
    ("inventory.lost_sales(lead_time=2,penalty=4)", "optimum",
     lambda: lost_sales(5.0, 2, holding=1, penalty=4).cost),
    ("inventory.backlogged(lead_time=7,penalty=19)", "optimum",
     lambda: backlogged(clipped_normal(5, 1.6), 7, holding=1, penalty=19).cost),
    ("inventory.serial(lead_time=3,penalty=9)", "optimum",
     lambda: serial(clipped_normal(5, 2), [2, 4, 3, 3], holding=[.1, .2, .5, 1], penalty=9).cost),
)  # fmt: skip


@pytest.mark.parametrize(("game", "kind", "answer"), ROWS)
def test_settings_have_their_optimum(game, kind, answer):
    found = reference(game)
    assert (found.kind, found.value) == (kind, answer())


def test_a_centre_has_the_bound_of_its_own_demand():
    game = simulator("inventory.transshipment(stores=5,lead_time=6,penalty=9,correlation=0)")
    bound = transshipment_bound(
        game.network.demand.deviations(5),
        correlation=0.0,
        warehouse_lead_time=3,
        store_lead_time=6,
        holding=1.0,
        penalty=9.0,
    )
    assert reference(game).value == bound
    assert reference(game).kind == "lower bound"


@pytest.mark.parametrize(
    "game", ["inventory.one_warehouse(stores=3)", "inventory.many_warehouses(instance=1)"]
)
def test_a_bound_is_below_what_a_tuned_policy_costs(game):
    made = simulator(game)
    rule = tune(made, "echelon-stock", games=64, steps=50).rule
    paid = compare(made, {"rule": rule}, games=64, periods=300, ignore=100)["rule"]
    assert 0 < reference(made).value < paid.interval[0]


@pytest.mark.parametrize(
    "game",
    [
        "inventory.or_gym",  # revenue, capacities
        "inventory.or_gym_network",
        "inventory.lost_sales(lead_time=5,mean=20)",  # more states than fit
        "inventory.lost_sales(penalty=0)",
        "inventory.lost_sales(mean=0)",
        "inventory.backlogged(sd=0)",  # costs nothing
        "inventory.serial(sd=0)",
        "navigation",
        "leduc_poker",
    ],
)
def test_what_has_no_answer_has_none(game):
    assert reference(game) is None


@pytest.mark.parametrize(
    ("play", "held"),
    [
        ("periods=500,ignore=100", True),
        ("periods=2000", True),
        ("periods=50", False),  # over before its beginning is forgotten
        ("periods=500,ignore=10", False),
        ("periods=500,ignore=100,traces=4", False),  # not all demand
        ("periods=500,ignore=100,discount=0.9", False),
    ],
)
def test_only_long_games_of_all_demand_are_held_against_it(play, held):
    assert (comparable_reference(f"inventory.lost_sales({play})") is not None) == held


def test_a_report_has_the_gap_of_student():
    game = "inventory.lost_sales(periods=500,ignore=100)"
    costs = np.array([7.0, 7.5, 6.9])
    none = np.zeros(3)
    played = Played(none[:, None], none + 500, none.astype(int) - 1, {"cost": costs})
    found = summary(played, game, vector(game, 1).spec)
    percent = 100 * (costs / found["optimum"] - 1)
    low, high = stats.t.interval(0.95, 2, percent.mean(), stats.sem(percent))
    assert found["gap"] == pytest.approx(percent.mean(), rel=1e-9)
    assert (found["gap_low"], found["gap_high"]) == pytest.approx((low, high), rel=1e-9)
    assert "gap" not in summary(played, "inventory.lost_sales", vector(game, 1).spec)
