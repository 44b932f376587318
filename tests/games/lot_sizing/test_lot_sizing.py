"""Lot-sizing against a plain loop, steps by hand, enumeration, and its published ranges."""

import itertools
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from pettingzoo.test import parallel_api_test
from scipy.stats import binom

from games import InputError, check_simulator, parallel_env
from games.common.seeds import seeds
from games.load import simulator
from games.lot_sizing.instances import draw
from games.lot_sizing.lot_sizing import LotSizing, State
from games.simulators.legal_actions import random_actions
from games.simulators.post_decision import PostDecision
from games.simulators.simulator import take
from marl.evaluation.actors import Uniform
from marl.evaluation.episodes import evaluate
from marl.rules.lot_sizing.bound import Item, lagrangian_bound
from marl.rules.lot_sizing.plan import Program, known, perfect_information, plan_all
from marl.rules.lot_sizing.rules import (
    Idle,
    KeepSetup,
    Planned,
    Static,
    assignment,
    standing_cost,
)

PLANT = {
    "n_items": 2,
    "n_machines": 2,
    "machine_production": [[20, 2], [0, 30]],
    "setup_costs": [[15, 16], [17, 18]],
    "setup_loss": [[3, 3], [1, 1]],
    "lost_sales_costs": [0.1, 1.1],
    "holding_costs": [0.01, 0.01],
    "max_inventory_level": [100, 100],
    "demand_distribution": {"name": "binomial", "n": 20, "p": 0.4},
}
SIZES = [
    dict(),
    dict(items=2, machines=1, periods=4),
    dict(items=30, machines=15, periods=30),
    dict(items=4, machines=3, any_item=True, periods=9),
]


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def written(tmp_path, **changes):
    path = tmp_path / "plant.json"
    path.write_text(json.dumps({**PLANT, **changes}))
    return str(path)


def placed(stock, setup, period=0):
    return State(
        stock=torch.tensor([stock], dtype=torch.float32),
        setup=torch.tensor([setup]),
        period=torch.tensor([period]),
        paid=torch.zeros(1, 3),
    )


@pytest.mark.parametrize(
    ("stock", "setup", "told", "demand", "made", "change", "left", "paid"),
    [
        # No change: all of the production, no set-up; 10 + 20 - 8 = 22 left, 50 - 8 = 42.
        ([10, 50], [1, 2], [1, 0], [8, 8], [30, 50], 0.0, [22, 42], 0.64),
        # Machine 1 changes to item 2: 30 - 1 are made; item 1 lacks 6 at 0.1 each.
        ([2, 5], [1, 0], [0, 2], [8, 8], [2, 34], 18.0, [0, 26], 0.6 + 0.26),
        # What a set-up loses beyond what is made (2 - 3) takes nothing from stock.
        ([9, 9], [1, 2], [2, 2], [0, 10], [9, 39], 16.0, [9, 29], 0.38),
        # Both make item 2, and what is above capacity after demand is lost for nothing.
        ([0, 99], [2, 2], [2, 2], [3, 4], [0, 131], 0.0, [0, 100], 0.3 + 1.0),
        # Being idle loses the set-up, so the change back is paid.
        ([9, 9], [0, 0], [1, 0], [9, 9], [26, 9], 15.0, [17, 0], 0.17),
    ],
)
def test_periods_by_hand(tmp_path, stock, setup, told, demand, made, change, left, paid):
    game = LotSizing(items=2, machines=2, data=written(tmp_path))
    state = placed(stock, setup)
    decided, reward = game.decide(state, torch.tensor([[told]]))
    assert decided.stock.tolist() == [made]
    assert decided.setup.tolist() == [told]
    assert reward.tolist() == [[-change]]
    assert decided.period.item() == 0
    new, step = game.serve(decided, torch.tensor([demand], dtype=torch.float32))
    assert new.stock.tolist() == [left]
    assert step.reward.item() == pytest.approx(-paid, abs=1e-6)
    assert new.paid.sum().item() == pytest.approx(change + paid, abs=1e-5)
    assert new.period.item() == 1


@pytest.mark.parametrize("settings", SIZES, ids=str)
def test_a_plain_loop_plays_the_same(settings):
    """One game, one machine and one item after the other; and r = r^x + r^w to the last bit."""
    game = replace(LotSizing(**settings), periods=12)
    plant, own, choices = game.plant, generator(1), generator(2)
    state = game.reset(5, own)
    stocks, setups = state.stock.double().numpy(), state.setup.numpy().copy()
    totals = np.zeros((5, 3))
    for period in range(12):
        actions = random_actions(game.spec, game.observe(state), choices)
        before = own.get_state()
        again = generator()
        again.set_state(before)
        decided, sure = game.decide(state, actions)
        realised, chance = game.realise(decided, again)
        state, step = game.step(state, actions, own)
        for field in ("stock", "setup", "period", "paid"):
            assert torch.equal(getattr(state, field), getattr(realised, field))
        assert torch.equal(step.reward, sure + chance.reward)

        again.set_state(before)
        demand = game.demand(5, again).double().numpy()
        for b in range(5):
            cost = np.zeros(3)
            for m, told in enumerate(actions[b, 0].tolist()):
                if told:
                    loss = 0
                    if setups[b, m] != told:
                        cost[0] += plant.setup_cost[m, told - 1]
                        loss = plant.setup_loss[m, told - 1]
                    stocks[b, told - 1] += max(plant.production[m, told - 1] - loss, 0)
                setups[b, m] = told
            assert decided.stock[b].tolist() == stocks[b].tolist()
            for i in range(game.items):
                lost = max(demand[b, i] - stocks[b, i], 0)
                stocks[b, i] = min(max(stocks[b, i] - demand[b, i], 0), plant.capacity[i])
                cost[1] += lost * plant.lost_cost[i]
                cost[2] += stocks[b, i] * plant.holding_cost[i]
            assert sure[b, 0].item() == pytest.approx(-cost[0], abs=1e-3)
            assert step.reward[b, 0].item() == pytest.approx(-cost.sum(), rel=1e-5, abs=1e-4)
            totals[b] += cost
        np.testing.assert_array_equal(state.stock, stocks)
        np.testing.assert_array_equal(state.setup, setups)
        assert step.terminated.all().item() == (period == 11)
    for column, name in enumerate(("setup_cost", "lost_sales_cost", "holding_cost")):
        np.testing.assert_allclose(step.info[name], totals[:, column], rtol=1e-5)
    assert totals.min() > 0  # or nothing of it was tested


@pytest.mark.parametrize("settings", SIZES, ids=str)
def test_promises_are_kept(settings):
    game = LotSizing(**settings)
    assert isinstance(game, PostDecision)
    check_simulator(game)
    parallel_api_test(parallel_env(LotSizing(**{**settings, "periods": 7})), num_cycles=30)


class Apart(LotSizing):
    """Its step is right, whatever its `decide` says."""

    def step(self, state, actions, generator):
        after, reward = LotSizing.decide(self, state, actions)
        new, step = self.realise(after, generator)
        return new, replace(step, reward=reward + step.reward)


class Uncertain(Apart):
    def decide(self, state, actions):
        after, reward = super().decide(state, actions)
        return after, reward + torch.rand(reward.shape)


class Halfway(Apart):
    def decide(self, state, actions):
        after, reward = super().decide(state, actions)
        return after, reward[:, 0]


class Twofold(LotSizing):
    def step(self, state, actions, generator):
        new, step = super().step(state, actions, generator)
        return new, replace(step, reward=2 * step.reward)


@pytest.mark.parametrize(
    ("game", "message"),
    [
        (Uncertain, "step 1: decide gives something else the second time"),
        (Twofold, "step 1: step is not decide and then realise"),
        (Halfway, "step 1: decide: the reward has the shape"),
    ],
)
def test_halves_that_break_their_promises(game, message):
    with pytest.raises(InputError, match=message):
        check_simulator(game(items=3, machines=2))


def test_the_observation_shows_stock_setups_and_time(tmp_path):
    game = LotSizing(items=2, machines=2, data=written(tmp_path), periods=8)
    seen = game.observe(placed([50, 131], [2, 0], period=2))
    assert seen.nodes[0, 0].tolist() == pytest.approx([0.5, 1.31, 0, 0, 1, 1, 0, 0, 0.75], abs=1e-6)
    # Machine 0 makes both items, machine 1 the second alone; both may be idle.
    assert seen.action_mask[0, 0].tolist() == [True, True, True, True, False, True]
    anything = LotSizing(items=2, machines=2, data=written(tmp_path), any_item=True)
    assert anything.observe(placed([0, 0], [0, 0])).action_mask.all()


def test_demand_is_binomial():
    game = LotSizing(items=10)
    demand = game.demand(20_000, generator()).flatten().numpy()
    counts = np.bincount(demand.astype(int), minlength=21) / len(demand)
    # 200,000 draws: frequencies within 5 standard errors, at most 5 * sqrt(.18 * .82 / 2e5)
    np.testing.assert_allclose(counts, binom.pmf(np.arange(21), 20, 0.4), atol=0.0043)


def test_plants_are_drawn_as_published():
    """Each number its range's least as often as published, else uniform over the rest."""
    plants = [draw(30, 15, seed) for seed in range(40)]
    for name, least, greatest, likely in (
        ("production", 0, 40, 0.4),
        ("setup_cost", 15, 30, 0.2),
        ("setup_loss", 1, 3, 0.7),
    ):
        found = np.concatenate([getattr(plant, name).ravel() for plant in plants])  # 18,000
        assert (found.min(), found.max()) == (least, greatest)
        assert (found == least).mean() == pytest.approx(likely, abs=0.02)  # 5 standard errors
        rest = np.bincount(found[found > least].astype(int) - least - 1)
        even = rest.sum() / (greatest - least)
        np.testing.assert_allclose(rest, even, atol=5 * np.sqrt(even))
    costs = np.concatenate([plant.lost_cost for plant in plants])
    assert set(costs.tolist()) == {np.float32(0.1).item(), np.float32(1.1).item()}
    assert np.array_equal(draw(4, 3, 1).production, draw(4, 3, 1).production)
    assert not np.array_equal(draw(4, 3, 1).production, draw(4, 3, 2).production)


def test_games_begin_at_random_and_of_use():
    game = LotSizing(items=6, machines=4)
    state = game.reset(20_000, generator())
    assert (state.stock.min().item(), state.stock.max().item()) == (0, 99)
    assert state.stock.mean().item() == pytest.approx(49.5, abs=0.42)  # 5 standard errors
    for m in range(4):
        makes = np.flatnonzero(game.plant.production[m] > 0) + 1
        share = np.bincount(state.setup[:, m], minlength=7) / 20_000
        assert set(np.flatnonzero(share)) == set(makes)
        np.testing.assert_allclose(share[makes], 1 / len(makes), atol=0.018)


def test_what_a_standing_production_costs(tmp_path):
    """Against play: machine 0 makes 20 of item 1 for ever, machine 1 makes 30 of item 2."""
    costs = {"lost_sales_costs": [0.5, 0.7]}
    game = LotSizing(items=2, machines=2, data=written(tmp_path, **costs), periods=20)
    for told, made in (([1, 2], (20, 30)), ([0, 0], (0, 0)), ([2, 0], (0, 2))):
        state = replace(game.reset(4000, generator(3)), setup=torch.tensor(told).expand(4000, 2))
        own, total = generator(4), 0.0
        for _ in range(20):
            state, step = game.step(state, torch.tensor(told).expand(4000, 1, 2), own)
            total = total - step.reward.double()
        exact = sum(standing_cost(game.plant, i, 20)[q] for i, q in enumerate(made))
        error = total.std().item() / 4000**0.5
        assert total.mean().item() == pytest.approx(exact, abs=4 * error)


@pytest.mark.parametrize("seed", range(4))
def test_the_best_assignment_is_that_of_enumeration(seed):
    game = LotSizing(items=3, machines=3, seed=seed, periods=40)
    plant = game.plant
    costs = [standing_cost(plant, i, game.periods) for i in range(3)]
    chance = 1 / (plant.production > 0).sum(axis=1)

    def cost(told):
        made = np.zeros(3, dtype=int)
        total = 0.0
        for m, item in enumerate(told):
            if item:
                made[item - 1] += int(plant.production[m, item - 1])
                total += plant.setup_cost[m, item - 1] * (1 - chance[m])
        return total + sum(c[min(q, len(c) - 1)] for c, q in zip(costs, made, strict=True))

    choices = [[0, *(np.flatnonzero(row > 0) + 1)] for row in plant.production]
    best = min(cost(told) for told in itertools.product(*choices))
    assert cost(assignment(game)) == pytest.approx(best, abs=1e-4)


@pytest.mark.parametrize("seed", range(6))
def test_perfect_information_is_the_best_of_all_plans(seed, tmp_path):
    """2 items, 1 machine, 4 periods: all 81 plans; a small capacity, so that stock is spilled."""
    changes = dict(
        n_machines=1, machine_production=[[20, 9]], setup_costs=[[4, 2]], setup_loss=[[3, 1]],
        max_inventory_level=[12, 100], holding_costs=[0.5, 0.01], lost_sales_costs=[0.9, 1.1],
    )  # fmt: skip
    game = LotSizing(items=2, machines=1, periods=4, data=written(tmp_path, **changes))
    state, demand = known(game, 1, seed)

    def pays(plan):
        now, total = state, 0.0
        for told, units in zip(plan, demand, strict=True):
            now, sure = game.decide(now, torch.tensor([[[told]]]))
            now, step = game.serve(now, units)
            total += sure.item() + step.reward.item()
        return total

    best = max(pays(plan) for plan in itertools.product(range(3), repeat=4))
    found = perfect_information(game, state, demand[:, 0])
    assert found.solved
    assert found.reward == pytest.approx(best, abs=1e-4)
    assert found.bound == pytest.approx(best, abs=1e-3)
    windows = perfect_information(game, state, demand[:, 0], window=3, keep=1)
    assert windows.reward <= best + 1e-4
    assert windows.bound >= best - 1e-4


@pytest.mark.parametrize(("periods", "window"), [(8, None), (30, 8)])
def test_rules_in_order(periods, window):
    """On paired games: bound >= perfect information >= static >= keep-setup, idle and uniform.

    The first two game by game, whose demand is thereby known for what is played; the others in the
    mean, for long enough that the assignment is worth its set-ups.
    """
    name = f"lot_sizing(items=4,machines=3,seed=1,periods={periods})"
    game, episodes = simulator(name), 6
    options = dict(seconds=2.0 if window else 60.0, window=window, keep=4)
    rule, found = plan_all(game, episodes, seeds(7, 0, count=2)[0], **options)
    rules = [rule, Static(game), KeepSetup(game), Idle(game), Uniform(game.spec)]
    own = [evaluate(rule, name, episodes=episodes, seed=7).own for rule in rules]
    np.testing.assert_allclose(own[0], [one.reward for one in found], atol=1e-2)
    assert all(one.bound >= one.reward - 1e-3 for one in found)
    assert all(one.solved == (window is None) for one in found)
    for other in own[1:] if window is None else own[1:2]:
        assert (own[0] >= other - 1e-3).all()
    if periods == 30:
        means = [one.mean() for one in own]
        assert means[1] > max(means[2:])


@pytest.mark.parametrize("seed", range(4))
def test_an_item_for_itself_is_planned_exactly(seed, tmp_path):
    """1 item, 2 machines at prices, 4 periods: all 256 plans."""
    changes = dict(
        n_items=1, machine_production=[[9], [5]], setup_costs=[[4], [2]], setup_loss=[[3], [1]],
        max_inventory_level=[12], holding_costs=[0.5], lost_sales_costs=[0.9],
    )  # fmt: skip
    game = LotSizing(items=1, machines=2, periods=4, data=written(tmp_path, **changes))
    state, demand = known(game, 1, seed)
    price = np.random.default_rng(seed).uniform(0, 3, (4, 2))
    costs = {}
    for plan in itertools.product((0, 1), repeat=8):
        now, total = state, (price * np.reshape(plan, (4, 2))).sum()
        for t in range(4):
            now, sure = game.decide(now, torch.tensor([[plan[2 * t : 2 * t + 2]]]))
            now, step = game.serve(now, demand[t])
            total -= sure.item() + step.reward.item()
        costs[plan] = total
    units = demand[:, 0].numpy().astype(int)
    setup = state.setup[0].numpy()
    item = Item(game.plant, 0, int(state.stock[0, 0]), setup == 1, units[:, 0])
    cost, made = item.plan(price)
    assert cost == pytest.approx(min(costs.values()), abs=1e-4)
    assert costs[tuple(made.flatten().astype(int))] == pytest.approx(cost, abs=1e-4)


@pytest.mark.parametrize("seed", range(3))
def test_prices_of_machines_bound_all_plans_and_better_than_shares(seed):
    """Against the solved program, from below in reward; the linear relaxation is further off."""
    game = LotSizing(items=3, machines=2, periods=8, seed=seed)
    state, demand = known(game, 1, seed)
    best = perfect_information(game, state, demand[:, 0])
    assert best.solved
    stock, units = state.stock[0].numpy().astype(int), demand[:, 0].numpy().astype(int)
    bound = -lagrangian_bound(game.plant, stock, state.setup[0].numpy(), units, -best.reward, 60)
    windows = perfect_information(game, state, demand[:, 0], window=4, keep=2, prices=60)
    relaxed = Program(
        game.plant, stock.astype(float), state.setup[0].numpy(), units.astype(float), exact=False
    ).relaxed()
    assert best.reward - 1e-3 <= bound < relaxed
    assert best.reward - 1e-3 <= windows.bound <= bound + 1e-9
    assert windows.reward <= best.reward + 1e-3


def test_rules_play_the_game_that_they_are_made_for():
    game = LotSizing(items=3, machines=2)
    with pytest.raises(InputError, match="not the lot_sizing game that this rule was made for"):
        evaluate(Idle(game), "lot_sizing(items=4,machines=2)", episodes=1)
    with pytest.raises(InputError, match="3 plans cannot be played in 2 games"):
        Planned(game, torch.zeros(3, 100, 2, dtype=torch.int64)).start(2)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (dict(items=0), "items is 0; give a whole number of at least 1"),
        (dict(machines=1.0), "machines is 1.0; give a whole number of at least 1"),
        (dict(periods=True), "periods is True; give a whole number"),
        (dict(seed=-1), "seed is -1; give a whole number of at least 0"),
        (dict(items=200, machines=1), "no plant was found in which 1 machines make all of 200"),
        (dict(data="nowhere.json"), "nowhere.json: no such file"),
    ],
)
def test_parameters_out_of_range(settings, message):
    with pytest.raises(InputError) as error:
        LotSizing(**settings)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(n_items=3), "has 3 items and 2 machines; give items=3,machines=2"),
        (dict(machine_production=[[1, 2]]), "machine_production is not a table of (2, 2) numbers"),
        (dict(machine_production=[[1.5, 2], [3, 4]]), "machine_production counts units"),
        (dict(machine_production=[[0, 0], [3, 4]]), "machine 0 (from 0) makes nothing"),
        (dict(setup_costs=[[-1, 2], [3, 4]]), "setup_costs has numbers that are below 0"),
        (dict(lost_sales_costs=["a", "b"]), "lost_sales_costs is not a table"),
        (dict(max_inventory_level=[0, 100]), "max_inventory_level has numbers below 1"),
        (dict(demand_distribution={"name": "normal"}), "only a binomial is known"),
        (dict(demand_distribution={"name": "binomial", "n": 4, "p": 2}), "p is 2; give one of 0"),
        (
            dict(demand_distribution={"name": "binomial", "n": 0.5, "p": 1}),
            "n is 0.5; give a whole",
        ),
    ],
)
def test_files_that_are_no_plants(tmp_path, changes, message):
    with pytest.raises(InputError) as error:
        LotSizing(items=2, machines=2, data=written(tmp_path, **changes))
    assert message in str(error.value)


@pytest.mark.parametrize("text", ["", "{", "[1]", "{}"])
def test_files_that_are_no_objects(tmp_path, text):
    path = tmp_path / "plant.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"is not JSON|is not a plant"):
        LotSizing(items=2, machines=2, data=str(path))


def test_an_action_that_a_machine_may_not_be_told(tmp_path):
    game = LotSizing(items=2, machines=2, data=written(tmp_path))
    state = game.reset(3, generator())
    for told in ([0, 1], [3, 0], [-1, 0]):
        actions = torch.zeros(3, 1, 2, dtype=torch.int64)
        actions[1, 0] = torch.tensor(told)
        with pytest.raises(InputError, match=r"machine \d cannot make item -?\d \(game 1\)"):
            game.decide(state, actions)
    with pytest.raises(InputError, match=r"shape \(3, 2\); give \(3, 1, 2\)"):
        game.decide(state, torch.zeros(3, 2, dtype=torch.int64))
    over = take(replace(state, period=torch.full((3,), 100)), torch.tensor([0]))
    after, step = game.step(over, torch.tensor([[[1, 2]]]), generator())
    assert torch.equal(after.stock, over.stock)
    assert step.reward.item() == 0
    assert step.terminated.all()
