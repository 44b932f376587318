"""Inventory rules, their tuning and perfect information, by hand and against closed forms."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats

from analysis.inventory.backlogged import serial
from analysis.inventory.bounds import transshipment_bound
from analysis.inventory.demand import clipped_normal
from analysis.inventory.lost_sales import base_stock_cost, best_base_stock, best_capped_base_stock
from games import InputError
from games.inventory.inventory import Inventory
from games.inventory.network import SupplyNetwork
from games.load import simulator
from marl.evaluation.episodes import evaluate
from marl.networks.network import Network
from marl.networks.policy import Policy
from marl.rules.inventory import (
    RULES,
    BaseStock,
    CappedBaseStock,
    Costs,
    EchelonStock,
    Myopic,
    Paths,
    QuantileNewsvendor,
    ReorderPoint,
    RulePlayer,
    compare,
    costs,
    paths,
    perfect_information,
    search,
    tune,
)
from marl.rules.inventory.allocation import levelled
from marl.rules.inventory.player import state_of
from marl.rules.inventory.position import echelon_position, position
from marl.rules.inventory.tuning import descend

OPTIMUM = 6.836  # lost sales, L = 4, p = 9, Poisson(5): Zipkin (2008)


def game_of(locations, links, demand=None, name="test", **options):
    network = {k: options.pop(k) for k in ("internal", "receive") if k in options}
    made = {
        "locations": locations,
        "links": [
            dict(zip(("source", "target", "lead_time"), link, strict=False)) for link in links
        ]
        if isinstance(links[0], tuple)
        else links,
        "demand": demand or {"kind": "poisson", "mean": 5.0},
    }
    options.setdefault("actions", "quantities")
    return Inventory(SupplyNetwork.checked(made | network, name), **options)


def one_store(lead=4, penalty=9.0, unmet="lost", demand=None, **options):
    store = {"holding": 1.0, "penalty": penalty, "unmet": unmet}
    links = [("supplier", "store", lead)]
    return game_of({"store": store}, links, demand, **options)


def warehouse(**options):
    """Two stores, 2 and 1 periods from a warehouse that is 3 from its supplier."""
    stores = {name: {"holding": 1.0, "penalty": 9.0} for name in ("a", "b")}
    place = {"w": {"holding": options.pop("holding", 0.3), "holds": options.pop("holds", True)}}
    links = [("w", "a", 2), ("w", "b", 1), ("supplier", "w", 3)]
    demand = {"kind": "normal", "mean": [4.0, 6.0], "sd": [1.0, 2.0]}
    return game_of(stores | place, links, demand, **options)


def state(game, on_hand, pipeline, dtype=torch.float64, **others):
    start = game.begin(1, dtype=dtype)
    given = {"on_hand": on_hand, "pipeline": pipeline, **others}
    made = {
        name: torch.tensor(value, dtype=dtype).reshape(getattr(start, name).shape)
        for name, value in given.items()
    }
    return replace(start, **made)


def numbers(*values):
    return torch.tensor(values, dtype=torch.float64)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(
    ("rule", "on_hand", "pipeline", "expected"),
    [
        (BaseStock(numbers(30)), 4, [5, 6, 7], 8),
        (BaseStock(numbers(30)), -4, [5, 6, 7], 16),  # 4 wait
        (BaseStock(numbers(30)), 20, [5, 6, 7], 0),
        (BaseStock(numbers(20.5)), 0, [0, 0, 0], 20.5),
        (CappedBaseStock(numbers(30), numbers(6)), 4, [5, 6, 7], 6),
        (CappedBaseStock(numbers(30), numbers(6)), 10, [5, 6, 7], 2),
        (EchelonStock(numbers(30)), 4, [5, 6, 7], 8),
        (ReorderPoint(numbers(22), numbers(30)), 4, [5, 6, 7], 8),  # at s: order
        (ReorderPoint(numbers(21), numbers(30)), 4, [5, 6, 7], 0),
        (ReorderPoint(numbers(30), numbers(30)), 4, [5, 6, 7], 8),
        (QuantileNewsvendor(numbers(0.9)), 4, [5, 6, 7], stats.poisson.ppf(0.9, 25) - 22),
        (QuantileNewsvendor(), 4, [5, 6, 7], stats.poisson.ppf(0.9, 25) - 22),  # p / (p + h) = 0.9
    ],
)
def test_rules_of_one_store_by_hand(rule, on_hand, pipeline, expected):
    game = one_store(unmet="backlogged")
    asked = rule.orders(game, state(game, on_hand, pipeline))
    assert asked.shape == (1, 1)
    assert asked.item() == pytest.approx(expected, abs=1e-9)


def test_positions_by_hand():
    game = warehouse(internal="backlogged")  # stores first; links w-a, w-b, supplier-w; P = 2
    now = state(game, [3.0, -1.0, 10.0], [[1, 0], [2, 0], [4, 5]], owed=[7.0, 0.5, 0.0])
    assert position(game, now).tolist() == [[11.0, 1.5, 19.0]]
    # What is owed to a and b is in the warehouse: 3 - 1 + 10, on the way 1 + 2 + 9.
    assert echelon_position(game, now).tolist() == [[11.0, 1.5, 24.0]]
    orders = EchelonStock(numbers(12, 1, 30)).orders(game, now)
    assert orders.tolist() == [[1.0, 0.0, 6.0]]
    orders = BaseStock(numbers(12, 1, 30)).orders(game, now)
    assert orders.tolist() == [[1.0, 0.0, 11.0]]


def test_two_sources_share_a_location_and_its_echelon():
    locations = {"a": {"holding": 1.0}, "v": {}, "w": {}}
    links = [("v", "a", 2), ("w", "a", 3), ("supplier", "v", 1), ("supplier", "w", 1)]
    game = game_of(locations, links)
    now = state(game, [8.0, 5.0, 6.0], [[2, 0], [3, 4], [0, 0], [0, 0]])
    assert position(game, now).tolist() == [[17.0, 5.0, 6.0]]
    # Half of a's stock is of either echelon; what is on a link, of the one that it came through.
    assert echelon_position(game, now).tolist() == [[17.0, 5 + 4 + 2, 6 + 4 + 7.0]]
    assert BaseStock(numbers(21, 5, 6)).orders(game, now).tolist() == [[2.0, 2.0, 0.0, 0.0]]


def test_an_echelon_rule_of_a_line_counts_all_below():
    game = simulator("inventory.serial(actions=quantities)")
    made = torch.rand(5, 4, generator=seeded()), torch.rand(5, 4, 3, generator=seeded(1))
    now = replace(game.begin(5), on_hand=made[0], pipeline=made[1])
    own = made[0] + made[1].sum(2)  # links stand in the order of the locations, store first
    torch.testing.assert_close(echelon_position(game, now), own.cumsum(1))


@pytest.mark.parametrize("seed", range(5))
def test_allocation_levels_all_that_it_can(seed):
    draw = np.random.default_rng(seed)
    above, width, units = draw.normal(0, 3, 6), draw.uniform(0.5, 2, 6), draw.uniform(0, 20)
    found = levelled(*(torch.as_tensor(np.atleast_1d(x)) for x in (above[None], width, units)))[0]
    low, high = -50.0, 50.0  # the height, by bisection
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (
            (low, middle) if np.maximum(middle * width - above, 0).sum() > units else (middle, high)
        )
    np.testing.assert_allclose(found, np.maximum(low * width - above, 0), atol=1e-9)
    assert found.sum().item() == pytest.approx(units, abs=1e-9)


def test_a_centre_that_keeps_nothing_passes_on_all():
    game = simulator("inventory.transshipment(actions=quantities)")
    on = paths(game, 16, 40, seed=3)
    now = on.start
    for own in ("base-stock", "capped base-stock", "(s, S)"):
        with pytest.raises(InputError, match="some here keep none; use echelon-stock"):
            tune(game, own)
    rule = EchelonStock.guess(game)
    for t in range(on.periods):
        orders = rule.orders(game, now)
        assert (orders >= 0).all()
        torch.testing.assert_close(orders[:, :3].sum(1), now.on_hand[:, 3].clamp_min(0))
        now, flow = game.advance(now, orders, on.demand[:, t])
        torch.testing.assert_close(flow.shipped[:, :3], orders[:, :3])


def least_myopic_order(on_hand, pipeline, lead, mean, ratio):
    """By enumeration of demand, period by period, as the definition says."""
    chances = stats.poisson.pmf(np.arange(25), mean)
    stock = {on_hand: 1.0}
    for j in range(lead):
        after = {}
        for units, chance in stock.items():
            for d, p in enumerate(chances):
                left = max(units - d, 0) + (pipeline[j] if j < lead - 1 else 0)
                after[left] = after.get(left, 0.0) + chance * p
        stock = after

    def cost(order):
        each = (
            chance * p * ((1 - ratio) * max(s + order - d, 0) + ratio * max(d - s - order, 0))
            for s, chance in stock.items()
            for d, p in enumerate(chances)
        )
        return sum(each)

    return min(range(15), key=cost)


def test_myopic_orders_minimise_the_cost_of_the_period_in_which_they_arrive():
    game = one_store(lead=3, penalty=4.0, demand={"kind": "poisson", "mean": 1.5})
    draw = np.random.default_rng(0)
    rows = np.concatenate((draw.integers(0, 5, (20, 1)), draw.integers(0, 4, (20, 2))), axis=1)
    now = replace(
        game.begin(20),
        on_hand=torch.tensor(rows[:, :1]).float(),
        pipeline=torch.tensor(rows[:, None, 1:]).float(),
    )
    found = Myopic().orders(game, now)[:, 0].tolist()
    expected = [least_myopic_order(int(a), (b, c), 3, 1.5, 0.8) for a, b, c in rows.tolist()]
    assert found == expected
    assert len(set(expected)) > 2


def test_myopic_orders_of_normal_demand_agree_with_sampled_demand():
    demand = {"kind": "normal", "mean": 5.0, "sd": 1.6}
    game = one_store(lead=3, demand=demand)
    now = state(game, 6.3, [4.2, 5.9])
    drawn = np.random.default_rng(0).normal(5, 1.6, (400_000, 4)).clip(0)
    stock = np.full(400_000, 6.3)
    for t, coming in enumerate((4.2, 5.9, 0.0)):
        stock = (stock - drawn[:, t]).clip(0) + coming
    expected = np.quantile(drawn[:, 3] - stock, 0.9)
    assert Myopic().orders(game, now).item() == pytest.approx(expected, abs=0.2)  # a step: 0.2


def test_myopic_is_the_newsvendor_where_customers_wait():
    game = one_store(unmet="backlogged")
    now = state(game, -3.0, [4, 5, 6])
    assert Myopic().orders(game, now).item() == stats.poisson.ppf(0.9, 25) - 12


def test_quantiles_of_the_past_and_of_a_season():
    past = [3.0, 6.0, 4.0, 7.0]
    game = one_store(look_back=4)
    level = 5 * np.mean(past) + stats.norm.ppf(0.8) * math.sqrt(5 * np.var(past, ddof=1))
    orders = QuantileNewsvendor(numbers(0.8), "past").orders(
        game, state(game, 2, [1, 1, 1], past=past)
    )
    assert orders.item() == pytest.approx(level - 5, rel=1e-9)
    season = {"period": 12, "amplitude": 0.5}
    game = one_store(demand={"kind": "normal", "mean": 5.0, "sd": 1.0, "season": season})
    now = replace(state(game, 0, [0, 0, 0]), offset=torch.tensor([4]))
    means = [5 * (1 + 0.5 * math.sin(2 * math.pi * t / 12)) for t in range(4, 9)]
    level = sum(means) + stats.norm.ppf(0.9) * math.sqrt(5)
    assert QuantileNewsvendor().orders(game, now).item() == pytest.approx(level, rel=1e-5)


@pytest.mark.parametrize(("unmet", "ratio"), [("lost", 8 / 9), ("backlogged", 4 / 5)])
def test_a_lost_sale_costs_its_margin_too(unmet, ratio):
    store = {"holding": 1.0, "penalty": 4.0, "price": 5.0, "unmet": unmet}
    link = {"source": "supplier", "target": "store", "lead_time": 4, "cost": 1.0}
    game = game_of({"store": store}, [link])
    orders = QuantileNewsvendor().orders(game, game.begin(1))
    assert orders.item() == stats.poisson.ppf(ratio, 25)


def test_the_newsvendors_ratio_is_each_series_own(tmp_path):
    np.save(tmp_path / "series.npy", np.random.default_rng(0).poisson(5, (6, 80)).astype(float))
    demand = {"kind": "series", "file": str(tmp_path / "series.npy"), "penalty": [1, 20]}
    game = one_store(penalty=0.0, demand=demand, look_back=8, periods=20)
    on = paths(game, 32, seed=1)
    found = QuantileNewsvendor(source="past").orders(game, on.start)[:, 0]
    penalty = game.penalty(on.start)[:, 0]
    past = on.start.past[:, 0]
    z = torch.tensor(stats.norm.ppf((penalty / (penalty + 1)).numpy()))
    level = 5 * past.mean(1) + z * (5 * past.var(1)).sqrt()
    have = on.start.on_hand[:, 0] + on.start.pipeline.sum((1, 2))
    torch.testing.assert_close(
        found.double(), (level - have).clamp_min(0).double(), rtol=1e-4, atol=1e-4
    )
    assert len(penalty.unique()) == 6


def test_costs_are_what_the_game_says():
    """Paths are what a game of the same seed meets, random lead times included."""
    game = one_store(lead=[0.0, 0.3, 0.3, 0.4], periods=30, ignore=10)
    rule = BaseStock(numbers(20).float())
    generator = seeded(7)
    now = game.reset(8, generator)
    for _ in range(30):
        now, step = game.step(now, rule.orders(game, now)[:, None], generator)
    found = costs(game, rule, paths(game, 8, seed=7), ignore=10)
    np.testing.assert_allclose(found.by_path, step.info["cost"], rtol=1e-5)


@pytest.mark.parametrize("view", ["planner", "graph", "locations"])
@pytest.mark.parametrize("actions", ["shares", "quantities"])
def test_networks_are_played_as_they_were_trained(view, actions):
    name = f"inventory.one_warehouse(stores=3,view={view},actions={actions},periods=12)"
    game = simulator(name)
    policy = Policy.new(name, game.spec, Network(hidden=(8,)))
    generator = seeded(2)
    now = game.reset(4, generator)
    for _ in range(12):
        moves = policy.for_game(name, game.spec).act(game.observe(now), None)
        now, step = game.step(now, moves, generator)
    other = simulator("inventory.one_warehouse(stores=3)")  # told to play the same paths
    found = costs(other, policy, paths(other, 4, 12, seed=2))
    np.testing.assert_allclose(found.by_path, step.info["cost"], rtol=1e-4)


def test_all_policies_meet_the_same_paths_which_follow_from_the_seed():
    game = one_store()
    rule = BaseStock(numbers(28).float())
    plays = {
        "a": rule,
        "b": lambda now: rule.orders(game, now),
        "c": BaseStock(numbers(29).float()),
    }
    found = compare(game, plays, games=50, periods=60, ignore=20, seed=4)
    assert np.array_equal(found["a"].by_path, found["b"].by_path)
    again = compare(game, plays, games=50, periods=60, ignore=20, seed=4)
    other = compare(game, plays, games=50, periods=60, ignore=20, seed=5)
    assert np.array_equal(found["c"].by_path, again["c"].by_path)
    assert not np.isclose(found["c"].by_path, other["c"].by_path).any()
    paired = found["c"] - found["a"]
    assert paired.standard_error < found["a"].standard_error / 3  # what common paths are for
    assert paired.mean == pytest.approx(found["c"].mean - found["a"].mean, abs=1e-12)


def test_intervals_and_gaps():
    values = np.array([1.0, 2.0, 4.0, 7.0, 3.0])
    one = Costs(values)
    half = stats.t.ppf(0.975, len(values) - 1) * stats.sem(values)
    np.testing.assert_allclose(one.interval, (values.mean() - half, values.mean() + half))
    np.testing.assert_allclose(one.over(2.0).by_path, values / 2 - 1)
    assert one.over(Costs(values - 1)).mean == pytest.approx(1 / (values.mean() - 1))


def test_order_up_to_the_newsvendors_level_costs_what_the_closed_form_says():
    demand = {"kind": "normal", "mean": 5.0, "sd": 1.6, "clip": False}
    game = one_store(unmet="backlogged", demand=demand)
    sigma, z = 1.6 * math.sqrt(5), stats.norm.ppf(0.9)
    level = 25 + z * sigma
    assert BaseStock.guess(game).level.item() == pytest.approx(level, rel=1e-6)
    found = costs(game, BaseStock(numbers(level)), paths(game, 512, 600), ignore=100)
    assert abs(found.mean - 10 * stats.norm.pdf(z) * sigma) < 4 * found.standard_error
    assert found.standard_error < 0.02


def test_echelon_stock_at_clark_and_scarfs_levels_costs_what_they_say():
    exact = serial(clipped_normal(5, 2), [2, 4, 3, 4], holding=[0.1, 0.2, 0.5, 1.0], penalty=9.0)
    game = simulator("inventory.serial")
    rule = EchelonStock(torch.tensor(exact.levels[::-1]))
    found = costs(game, rule, paths(game, 512, 1000), ignore=200)
    assert abs(found.mean - exact.cost) < 4 * found.standard_error
    assert found.standard_error < 0.01 * exact.cost
    higher = costs(game, EchelonStock(rule.level + 3), paths(game, 512, 1000), ignore=200)
    assert (higher - found).interval[0] > 0


def test_transshipment_is_near_its_lower_bound():
    game = simulator("inventory.transshipment")
    demand = game.network.demand
    bound = transshipment_bound(
        demand.sd, correlation=0.5, warehouse_lead_time=3, store_lead_time=2, penalty=4.0
    )
    mean, sd = np.array(demand.mean), np.array(demand.sd)
    pooled = 0.5 * (sd**2).sum() + 0.5 * sd.sum() ** 2
    level = 6 * mean.sum() + stats.norm.ppf(0.8) * math.sqrt(3 * pooled + 3 * sd.sum() ** 2)
    rule = EchelonStock(torch.cat((BaseStock.guess(game).level[:3], torch.tensor([level]))))
    gap = costs(game, rule, paths(game, 512, 800), ignore=200).over(bound)
    assert gap.mean > -4 * gap.standard_error
    assert gap.interval[1] < 0.01


def test_a_reorder_point_just_below_the_level_is_base_stock():
    game = one_store()
    on = paths(game, 32, 100)
    levels = numbers(28)
    base = costs(game, BaseStock(levels), on).by_path
    assert np.array_equal(costs(game, ReorderPoint(levels - 1, levels), on).by_path, base)
    assert np.array_equal(costs(game, ReorderPoint(levels, levels), on).by_path, base)
    assert not np.array_equal(costs(game, ReorderPoint(levels - 3, levels), on).by_path, base)


def test_search_finds_the_exact_best_policies():
    """Against the average cost of the Markov chain under each policy."""
    game = one_store(lead=2, penalty=9.0)
    level = tune(game, "base-stock").rule.level.item()
    exact = base_stock_cost(5.0, 2, int(level), penalty=9.0).cost
    assert exact <= 1.001 * best_base_stock(5.0, 2, penalty=9.0).cost
    found = tune(game, "capped base-stock").rule
    level, cap = found.level.item(), found.cap.item()
    exact = base_stock_cost(5.0, 2, int(level), penalty=9.0, cap=int(cap)).cost
    assert exact <= 1.001 * best_capped_base_stock(5.0, 2, penalty=9.0).cost
    found = search(game, "(s, S)", games=64).rule
    assert found.point >= found.level - 1  # no order costs anything: base-stock is best


def test_the_published_gaps_of_base_stock_and_capped_base_stock():
    """Of lost sales with L = 4 and p = 9: about 6.3% and 1.0% above the optimum."""
    game = simulator("inventory.lost_sales")
    rules = {kind: tune(game, kind, seed=3).rule for kind in ("base-stock", "capped base-stock")}
    found = compare(game, rules, games=1024, periods=1000, ignore=200, seed=8)
    base, capped = (found[kind].over(OPTIMUM) for kind in rules)
    assert abs(base.mean - 0.063) < 0.002 + 2 * base.standard_error
    assert abs(capped.mean - 0.0102) < 0.001 + 2 * capped.standard_error
    assert (found["base-stock"] - found["capped base-stock"]).interval[0] > 0


def test_gradients_find_the_newsvendors_level():
    demand = {"kind": "normal", "mean": 5.0, "sd": 1.6}
    game = one_store(lead=2, unmet="backlogged", demand=demand, start=1.0)
    size = dict(games=128, periods=30, ignore=10, steps=120)
    first = BaseStock(torch.tensor([14.0]))
    best = 15 + stats.norm.ppf(0.9) * 1.6 * math.sqrt(3)
    found = descend(game, first, **size).rule.level.item()
    assert found == pytest.approx(best, abs=0.1)
    assert found == descend(game, first, **size).rule.level.item()
    first = QuantileNewsvendor(torch.tensor([0.7]))
    found = descend(game, first, **size).rule.quantile.item()
    assert found == pytest.approx(0.9, abs=0.02)


def brute_force(game, on, most):
    """The least cost of whole orders [T, E] from 0 to `most`, all of which are tried."""
    every = np.array(list(itertools.product(*(range(m + 1) for m in np.ravel(most)))))
    orders = torch.tensor(every.reshape(len(every), *np.shape(most)), dtype=torch.float64)
    return costs(game, lambda now: orders[:, now.period[0]], on.times(len(every))).by_path.min()


@pytest.mark.parametrize("unmet", ["lost", "backlogged"])
@pytest.mark.parametrize("seed", range(3))
def test_perfect_information_against_all_whole_orders(unmet, seed):
    """Of so few units that all of them can be tried; later orders come too late for anybody."""
    draw = np.random.default_rng(seed)
    single = one_store(lead=2, unmet=unmet, penalty=2.0)
    locations = {
        "a": {"holding": 1.0, "penalty": 3.0, "unmet": unmet, "stock": 1},
        "w": {"holding": 0.4, "stock": 2, "operating": 0.1},
    }
    links = [
        {"source": "w", "target": "a", "lead_time": 1, "cost": 0.3, "capacity": 2},
        {"source": "supplier", "target": "w", "lead_time": 1, "cost": 1.2},
    ]
    games = [
        (single, [[9], [9], [9], [0], [0]]),
        (game_of(locations, links), [[2, 6], [2, 6], [2, 0], [2, 0]]),
    ]
    for game, most in games:
        demand = torch.tensor(draw.integers(0, 4, (1, len(most), 1)), dtype=torch.float64)
        on = Paths(game.begin(1, dtype=torch.float64), demand)
        found = perfect_information(game, on)
        assert found.costs.mean == pytest.approx(brute_force(game, on, most), abs=1e-9)


def random_network(seed):
    """A network of up to three stores and three warehouses, with all that costs and limits."""
    draw = np.random.default_rng(seed)
    stores, houses = int(draw.integers(1, 4)), int(draw.integers(0, 4))
    first = bool(draw.integers(2))
    least = 0 if first else 1
    names = [f"s{i}" for i in range(stores)], [f"w{i}" for i in range(houses)]

    def number(low, high):
        return float(draw.uniform(low, high))

    locations = {}
    for name in names[0]:
        lost = bool(draw.integers(2))
        paid = lost and draw.integers(2)
        locations[name] = {
            "stock": number(0, 10), "holding": number(0.1, 2), "penalty": number(1, 9),
            "unmet": "lost" if lost else "backlogged", "price": number(0, 5) if paid else 0.0,
        }  # fmt: skip
    for name in names[1]:
        locations[name] = {
            "stock": number(0, 10), "holding": number(0.1, 0.5), "yields": number(0.7, 1.4),
            "operating": number(0, 0.5), "holds": bool(draw.integers(4)),
        } | ({"capacity": number(2, 12)} if draw.integers(2) else {})  # fmt: skip
        if not locations[name]["holds"]:
            locations[name].pop("capacity", None)  # it could not pass on all that it has
    links = []
    for i, name in enumerate([*names[1], *names[0]]):
        sources = [w for w in names[1][: min(i, houses)] if draw.integers(2)]
        sources += ["supplier"] if not sources or draw.integers(2) else []
        for source in sources:
            lead = int(draw.integers(least, 4))
            chances = [0.0] * least + draw.dirichlet(np.ones(3)).tolist()
            chances[-1] += 1 - sum(chances)
            holds = source == "supplier" or locations[source]["holds"]
            links.append(
                {
                    "source": source, "target": name, "cost": number(0, 1),
                    "lead_time": chances if draw.integers(3) == 0 else lead,
                    "holding": number(0, 0.2) if draw.integers(2) else 0.0,
                }
                | ({"capacity": number(2, 9)} if holds and draw.integers(3) == 0 else {})
            )  # fmt: skip
    # A warehouse that sends to nobody would be a store.
    used = {link["source"] for link in links}
    for name in names[1]:
        if name not in used:
            links.append({"source": name, "target": "s0", "lead_time": 2})
    options = {
        "receive": "before demand" if first else "before orders",
        "internal": "backlogged" if draw.integers(2) else "lost",
        "demand": {"kind": "poisson", "mean": 4.0},
        "start": 1.0,
    }
    return game_of(locations, links, **options)


@pytest.mark.parametrize("seed", range(30))
def test_replayed_orders_cost_what_the_program_says(seed):
    game = random_network(seed)
    on = paths(game, 3, 25, seed=seed).to(torch.float64)
    found = perfect_information(game, on)
    replayed = costs(game, found, on)
    np.testing.assert_allclose(replayed.by_path, found.costs.by_path, rtol=0, atol=1e-6)
    for rule in (BaseStock, CappedBaseStock, EchelonStock, ReorderPoint):
        dearer = costs(game, rule.guess(game), on) - found.costs
        assert dearer.by_path.min() > -1e-9
    if game.arrays.sells and not game.arrays.all_lost:
        return
    late = perfect_information(game, on, ignore=10)  # may be a bound that nothing reaches
    for policy in (late, found, BaseStock.guess(game)):
        assert (costs(game, policy, on, ignore=10) - late.costs).by_path.min() > -1e-5


@pytest.mark.parametrize(
    "name",
    [
        "inventory.lost_sales",
        "inventory.backlogged",
        "inventory.serial",
        "inventory.transshipment",
        "inventory.one_warehouse(stores=5)",
        "inventory.many_warehouses",
        "inventory.or_gym(version=0)",
        "inventory.or_gym(version=1)",
        "inventory.or_gym_network(version=0)",
        "inventory.or_gym_network(version=1)",
    ],
)
def test_nobody_betters_perfect_information_in_the_settings(name):
    game = simulator(name)
    on = paths(game, 2, 50).to(torch.float64)
    found = perfect_information(game, on)
    np.testing.assert_allclose(costs(game, found, on).by_path, found.costs.by_path, atol=1e-6)
    played = {kind: costs(game, RULES[kind].guess(game), on) for kind in _fitting(game)}
    assert all((cost - found.costs).by_path.min() > -1e-9 for cost in played.values())
    if name not in ("inventory.lost_sales", "inventory.backlogged"):
        assert played["echelon-stock"].mean < played["base-stock"].mean + 1e-9 or "or_gym" in name


def _fitting(game):
    kinds = ["base-stock", "capped base-stock", "echelon-stock", "(s, S)"]
    single = game.arrays.num_locations == 1
    return [*kinds, "quantile newsvendor", "myopic"] if single else kinds


def test_perfect_information_with_periods_that_do_not_count():
    """Where supply has no limit, orders in time cost nothing but their freight."""
    game = simulator("inventory.many_warehouses")
    on = paths(game, 2, 60).to(torch.float64)
    found = perfect_information(game, on, ignore=30)
    np.testing.assert_allclose(
        costs(game, found, on, ignore=30).by_path, found.costs.by_path, atol=1e-6
    )
    assert (found.costs.by_path > 0).all()
    assert (costs(game, EchelonStock.guess(game), on, ignore=30) - found.costs).by_path.min() > 0


def test_periods_that_do_not_count_are_free():
    """A store that will want 8 a period of a link of 5 holds 3 more before that costs anything."""
    store = {"holding": 1.0, "penalty": 0.5, "unmet": "lost"}
    link = {"source": "supplier", "target": "store", "lead_time": 1, "capacity": 5}
    game = game_of({"store": store}, [link])
    demand = torch.tensor([0.0] * 10 + [8.0] * 4, dtype=torch.float64)
    on = Paths(game.begin(1, dtype=torch.float64), demand[None, :, None])
    found = perfect_information(game, on, ignore=10)
    assert found.costs.mean == pytest.approx(3 * 3 * 0.5 / 4, abs=1e-9)  # later ones lack 3
    assert costs(game, found, on, ignore=10).mean == pytest.approx(found.costs.mean, abs=1e-9)
    assert perfect_information(game, on).costs.mean == pytest.approx(4 * 3 * 0.5 / 14, abs=1e-9)


def test_a_rule_is_an_actor():
    season = {"period": 7, "amplitude": 0.3}
    demand = {"kind": "poisson", "mean": [4.0, 5.0], "season": season}
    locations = {"a": {"holding": 1.0, "penalty": 4.0}, "b": {"holding": 1.0, "penalty": 4.0}}
    locations |= {"w": {"stock": 5}}
    links = [("w", "a", 2), ("w", "b", 2), ("supplier", "w", 3)]
    game = game_of(locations, links, demand, internal="backlogged", look_back=3, start=1.0)
    now = game.reset(6, seeded())
    for _ in range(9):
        now, _ = game.step(now, BaseStock.guess(game).orders(game, now)[:, None], seeded(1))
    seen = state_of(game, game.observe(now))
    for name in ("on_hand", "pipeline", "owed", "past"):
        torch.testing.assert_close(getattr(seen, name), getattr(now, name), rtol=1e-5, atol=1e-4)
    assert torch.equal(seen.offset, (now.offset + now.period) % 7)
    name = "inventory.lost_sales(actions=quantities,periods=40,ignore=10)"
    game = simulator(name)
    rule = BaseStock(torch.tensor([28.0]))
    played = evaluate(RulePlayer(game, rule), name, episodes=200)
    own = compare(game, {"rule": rule}, games=200, periods=40, ignore=10)["rule"]
    error = math.hypot(own.standard_error, stats.sem(played.info["cost"]))
    assert abs(played.info["cost"].mean() - own.mean) < 4 * error


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: tune(one_store(), "base-stok"), "did you mean base-stock"),
        (lambda: tune(warehouse(), "(s, S)"), "give `search` a grid"),
        (lambda: search(one_store(), "base-stock", {"levels": [3]}), "did you mean level"),
        (lambda: search(one_store(), "myopic"), "give search a grid"),
        (lambda: descend(one_store(), ReorderPoint.guess(one_store())), "has no gradient"),
        (lambda: paths(one_store(), 0), "at least one game"),
        (lambda: costs(one_store(), Myopic(), paths(one_store(), 2, 5), ignore=5), "ignore = 5"),
        (lambda: Costs(np.zeros(3)) - Costs(np.zeros(2)), "on the same paths"),
        (lambda: costs(warehouse(), Myopic(), paths(warehouse(), 2, 5)), "use echelon-stock"),
        (lambda: QuantileNewsvendor(source="future"), "give process or past"),
        (
            lambda: QuantileNewsvendor(source="past").orders(one_store(), one_store().begin(1)),
            "look_back",
        ),
        (lambda: RulePlayer(one_store(view="graph"), Myopic()), "view=planner"),
        (lambda: perfect_information(one_store(), paths(one_store(), 1, 5), ignore=7), "ignore"),
        (
            lambda: perfect_information(
                simulator("inventory.or_gym"), paths(simulator("inventory.or_gym"), 1), ignore=3
            ),
            "pay once they are served",
        ),
        (
            lambda: costs(
                one_store(lead=6),
                Policy.new(
                    "inventory.lost_sales",
                    simulator("inventory.lost_sales").spec,
                    Network(hidden=(8,)),
                ),
                paths(one_store(lead=6), 2, 5),
            ),
            "has other observations or actions",
        ),
    ],
)
def test_what_does_not_fit_is_said_in_one_line(call, said):
    with pytest.raises(InputError, match=said.replace("(", r"\(").replace(")", r"\)")) as error:
        call()
    assert "\n" not in str(error.value)
