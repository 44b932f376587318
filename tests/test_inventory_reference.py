"""The reference that a game is held against: which answer is taken, and that it is one."""

import pytest

from analysis import backlogged, lost_sales, serial, transshipment_bound
from analysis.inventory import clipped_normal
from analysis.inventory_reference import reference
from games.vectors import simulator
from marl.inventory import compare, tune

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
        "inventory.lost_sales(discount=0.9)",
        "navigation",
        "leduc_poker",
    ],
)
def test_what_has_no_answer_has_none(game):
    assert reference(game) is None
