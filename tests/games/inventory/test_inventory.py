"""The inventory simulator against a plain loop, mass balances, closed forms, finite differences."""

import math
from dataclasses import replace

import networkx as nx
import numpy as np
import pytest
import torch
from pettingzoo.test import parallel_api_test, parallel_seed_test
from scipy import stats

import games
from games import InputError
from games.adapters.pettingzoo.parallel_env import parallel_env
from games.inventory.inventory import Inventory
from games.inventory.network import SupplyNetwork
from games.load import simulator
from games.simulators.simulator import Step, put, take
from marl.learning.pathwise.hdpo import play

SEEDS = range(40)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def random_network(seed):
    """Any directed acyclic network, with all that the fields of networks allow."""
    draw = np.random.default_rng(seed)
    pick = lambda low, high: round(float(draw.uniform(low, high)), 2)  # noqa: E731
    maybe = lambda value, chance=0.5: value if draw.random() < chance else None  # noqa: E731
    names = [f"place {v}" for v in range(draw.integers(1, 7))]
    early = bool(draw.random() < 0.5)
    links = []
    for v, name in enumerate(names):
        sources = [*names[:v], "here", "there"]
        for source in draw.permutation(sources)[: draw.integers(1, 4)]:
            lead = int(draw.integers(0 if early else 1, 5))
            if draw.random() < 0.3:
                chances = draw.dirichlet(np.ones(3))
                lead = (*([0.0] * int(not early)), *map(float, chances))
            links.append(
                {
                    "source": str(source),
                    "target": name,
                    "lead_time": lead,
                    "cost": maybe(pick(0, 2)) or 0.0,
                    "holding": maybe(pick(0, 0.3)) or 0.0,
                    "penalty": maybe(pick(0, 0.3), 0.2) or 0.0,
                    "capacity": maybe(pick(2, 12), 0.3),
                }
            )
    unmet = draw.choice(["lost", "backlogged", "either"])
    locations = {
        name: {
            "stock": pick(0, 30),
            "holding": pick(0, 2),
            "penalty": pick(0, 9),
            "price": maybe(pick(0, 9), 0.3) or 0.0,
            "unmet": draw.choice(["lost", "backlogged"]) if unmet == "either" else unmet,
            "capacity": maybe(pick(3, 15), 0.3),
            "yields": maybe(pick(0.5, 2), 0.3) or 1.0,
            "operating": maybe(pick(0, 1), 0.3) or 0.0,
            "customers": maybe(True, 0.3),
        }
        for name in names
    }
    return SupplyNetwork.checked(
        {
            "locations": locations,
            "links": links,
            "suppliers": ["here", "there"],
            "demand": {"kind": "poisson", "mean": 4.0},
            "internal": draw.choice(["lost", "backlogged"]),
            "receive": "before demand" if early else "before orders",
        },
        f"network {seed}",
    )


def passing_network(seed):
    """Such a network, some of whose locations that send goods on cannot keep any."""
    network = random_network(seed)
    draw = np.random.default_rng([seed, 2])
    given = network.model_dump()
    sources = sorted({link.source for link in network.links} - {"here", "there"})
    for name in sources:
        given["locations"][name]["holds"] = bool(draw.random() < 0.2)
    return SupplyNetwork.checked(given, f"passing network {seed}")


def played(game, seed, periods=15, batch=3):
    """Random orders, demand and lead times [B, T, ...] in float64, and what came of them."""
    draw = np.random.default_rng([seed, 1])
    e, k = game.arrays.num_links, game.arrays.num_stores
    orders = draw.gamma(1.0, 8.0, (batch, periods, e)) * (draw.random((batch, periods, e)) < 0.7)
    demand = draw.poisson(5.0, (batch, periods, k)).astype(float)
    lead = np.zeros((batch, periods, e), int)
    for i, link in enumerate(game.network.links):
        chances = link.lead_times
        lead[..., i] = draw.choice(len(chances), (batch, periods), p=chances)
    states, flows = [game.begin(batch, dtype=torch.float64)], []
    for t in range(periods):
        given = torch.from_numpy(lead[:, t]) if game.arrays.random_leads else None
        state, flow = game.advance(
            states[-1], torch.from_numpy(orders[:, t]), torch.from_numpy(demand[:, t]), given
        )
        states.append(state)
        flows.append(flow)
    return orders, demand, lead, states, flows


def passed_on(room, asked, flow, limits):
    """How `room` units that cannot be kept are divided among links."""
    weights = asked if sum(asked) else flow
    sent = [min(room * w / sum(weights), most) for w, most in zip(weights, limits, strict=True)]
    space = [min(most, room) - units for most, units in zip(limits, sent, strict=True)]
    left = room - sum(sent)
    if left > 0 and sum(space) > 0:
        sent = [u + more * min(left / sum(space), 1.0) for u, more in zip(sent, space, strict=True)]
    return sent


def plain(network, orders, demand, lead, flow=None):
    """One game as a plain loop: period by period stock, what is on its way and owed, and costs.

    Args:
        orders: [T, E]; demand: [T, K]; lead: [T, E].
        flow: [E] on average, needed where some location cannot keep anything.
    """
    places, links = network.locations, network.links
    early = network.receive == "before demand"
    stock = {name: place.stock for name, place in places.items()}
    travelling, owed = [], [0.0] * len(links)  # travelling: (period of arrival, link, units)
    for t, asked in enumerate(orders):
        cost = dict.fromkeys(places, 0.0)
        waiting, lost = {name: max(-units, 0.0) for name, units in stock.items()}, {}
        wanted = [asked[e] + owed[e] for e in range(len(links))]
        shipped = [
            units if link.capacity is None else min(units, link.capacity)
            for units, link in zip(wanted, links, strict=True)
        ]
        for name, place in places.items():
            mine = [e for e, link in enumerate(links) if link.source == name]
            room = max(stock[name], 0.0) * place.yields
            if place.capacity is not None:
                room = min(room, place.capacity)
            total = sum(shipped[e] for e in mine)
            if mine and not place.holds:
                limits = [
                    math.inf if links[e].capacity is None else links[e].capacity for e in mine
                ]
                sent = passed_on(room, [shipped[e] for e in mine], [flow[e] for e in mine], limits)
                for e, units in zip(mine, sent, strict=True):
                    shipped[e] = units
            for e in mine:
                if place.holds:
                    shipped[e] *= min(room / total, 1.0) if total else 1.0
                stock[name] -= shipped[e] / place.yields
                cost[name] += shipped[e] * (place.operating - links[e].cost)
        for e, link in enumerate(links):
            short = max(wanted[e] - shipped[e], 0.0)
            cost[link.target] += link.cost * shipped[e] + link.penalty * short
            if network.internal == "backlogged":
                owed[e] = short
            # What comes before orders is there at the end of the period before.
            travelling.append((t + lead[t][e] - (0 if early else 1), e, shipped[e]))
        comes = [(e, units) for when, e, units in travelling if when == t]
        travelling = [one for one in travelling if one[0] > t]
        for _, e, units in travelling:
            cost[links[e].target] += links[e].holding * units
        if early:
            for e, units in comes:
                stock[links[e].target] += units
        for name, units in zip(network.stores, demand[t], strict=True):
            stock[name] -= units
        for name, place in places.items():
            cost[name] += place.holding * max(stock[name], 0.0)
            cost[name] += place.penalty * max(-stock[name], 0.0)
            if place.unmet == "lost":
                lost[name] = max(-stock[name], 0.0)
                stock[name] = max(stock[name], 0.0)
        if not early:
            for e, units in comes:
                stock[links[e].target] += units
        for name, units in zip(network.stores, demand[t], strict=True):
            sold = units + waiting[name] - lost.get(name, 0.0) - max(-stock[name], 0.0)
            cost[name] -= places[name].price * sold
        yield dict(stock), list(travelling), list(owed), cost


@pytest.mark.parametrize("make", [random_network, passing_network])
@pytest.mark.parametrize("seed", SEEDS)
def test_any_network_is_played_as_a_plain_loop_plays_it(seed, make):
    network = make(seed)
    game = Inventory(network)
    orders, demand, lead, states, flows = played(game, seed)
    for b in range(3):
        told = plain(network, orders[b], demand[b], lead[b], game.arrays.link_flow)
        for t, (stock, travelling, owed, cost) in enumerate(told):
            after = states[t + 1]
            np.testing.assert_allclose(after.on_hand[b], list(stock.values()), atol=1e-9)
            np.testing.assert_allclose(flows[t].cost[b], list(cost.values()), atol=1e-8)
            pipeline = np.zeros(after.pipeline.shape[1:])
            for when, e, units in travelling:
                pipeline[e, when - t - 1] += units
            np.testing.assert_allclose(after.pipeline[b], pipeline, atol=1e-9)
            if game.arrays.owes:
                np.testing.assert_allclose(after.owed[b], owed, atol=1e-9)


def test_the_random_networks_have_everything():
    """So that the comparison above leaves nothing out."""
    layouts = [Inventory(random_network(seed)).arrays for seed in SEEDS]
    for what in (
        "has_inside", "owes", "all_lost", "all_wait", "before_demand", "link_capacity", "priced",
        "throughput", "shares_fit", "one_each", "sells", "pays_transit", "pays_short",
        "random_leads", "even_leads",
    ):  # fmt: skip
        assert {getattr(arrays, what) for arrays in layouts} == {True, False}, what
    assert {arrays.all_lost or arrays.all_wait for arrays in layouts} == {True, False}
    links = [link for arrays in layouts for link in arrays.network.links]
    assert any(link.lead_time == 0 for link in links)
    passing = [Inventory(passing_network(seed)).arrays for seed in SEEDS]
    passing = [arrays for arrays in passing if arrays.passes_on]
    for what in ("owes", "link_capacity", "throughput", "makes", "pays_short"):
        assert {getattr(arrays, what) for arrays in passing} == {True, False}, what


@pytest.mark.parametrize("seed", SEEDS)
def test_what_cannot_be_kept_stays_only_where_nothing_more_can_leave(seed):
    """Whatever is asked for: else every link out is full, or the location's capacity is."""
    game = Inventory(passing_network(seed))
    arrays, numbers = game.arrays, game.arrays.on("cpu", torch.float64)
    _, _, _, states, flows = played(game, seed)
    for before, flow in zip(states, flows, strict=False):
        for v, place in enumerate(game.network.locations.values()):
            out = arrays.source == v
            if place.holds or not out.any():
                continue
            there = before.on_hand[:, v].clamp_min(0) * place.yields
            most = torch.minimum(there, numbers.throughput[v])
            most = torch.minimum(most, numbers.capacity[out].sum())
            gone = flow.shipped[:, out]
            assert (gone <= numbers.capacity[out] + 1e-9).all()
            np.testing.assert_allclose(gone.sum(1), most, rtol=1e-12, atol=1e-9)


@pytest.mark.parametrize("seed", SEEDS)
def test_mass_is_kept(seed):
    """To 1e-9: of every location, of every link, and of what is owed, over all periods."""
    game = Inventory(random_network(seed))
    arrays = game.arrays
    orders, _, _, states, flows = played(game, seed)
    shipped, arrived, unmet, wanted = (
        torch.stack([getattr(flow, what) for flow in flows]).numpy()
        for what in ("shipped", "arrived", "unmet", "demand")
    )
    first, last = states[0], states[-1]
    # What was sent came, or is on its way.
    left = last.pipeline.sum(2).numpy()
    np.testing.assert_allclose(shipped.sum(0) - arrived.sum(0) - left, 0, atol=1e-9)
    assert (shipped >= 0).all()
    for v, (name, place) in enumerate(game.network.locations.items()):
        change = (last.on_hand - first.on_hand)[:, v].numpy()
        change = change - arrived[:, :, arrays.target == v].sum((0, 2))
        change = change + shipped[:, :, arrays.source == v].sum((0, 2)) / place.yields
        if name in game.network.stores:
            lost = unmet[:, :, v].sum(0) if place.unmet == "lost" else 0.0
            change = change + wanted[:, :, v].sum(0) - lost
        np.testing.assert_allclose(change, 0, atol=1e-9)
    if arrays.owes:
        gone = shipped.sum(0) + last.owed.numpy()
        np.testing.assert_allclose(orders.sum(1), gone, atol=1e-9)


# By hand.


def chain(**options):
    """One warehouse with 10 units, two stores that want 3 and 5."""
    locations = {
        "store": {"stock": 4, "holding": 1, "penalty": 9, "unmet": "lost"},
        "shop": {"stock": 2, "holding": 2, "penalty": 5, "price": 3},
        "depot": {"stock": 10, "holding": 0.5},
    }
    links = [
        {"source": "depot", "target": "store", "lead_time": 1},
        {"source": "depot", "target": "shop", "lead_time": 2, "cost": 0.25, "holding": 0.1},
        {"source": "supplier", "target": "depot", "lead_time": 3, "cost": 1},
    ]
    network = {"locations": locations, "links": links, "demand": {"mean": (3, 5)}}
    network["demand"]["kind"] = "poisson"
    return SupplyNetwork.checked({**network, **options}, "chain")


def numbers(*rows):
    return torch.tensor(rows, dtype=torch.float64)


def test_a_period_by_hand():
    game = Inventory(chain(), actions="quantities")
    state = game.begin(1, dtype=torch.float64)
    state, flow = game.advance(state, numbers([6, 9, 7]), numbers([3, 5]))
    # 15 are asked for of 10: 4 and 6 are sent. The store's come at once, the shop's are 1 away.
    np.testing.assert_allclose(flow.shipped, [[4, 6, 7]], atol=1e-12)
    np.testing.assert_allclose(state.on_hand, [[4 - 3 + 4, -3, 0]], atol=1e-12)
    np.testing.assert_allclose(state.pipeline, [[[0, 0], [6, 0], [0, 7]]], atol=1e-12)
    # Held; 3 late, 2 sold, 6 bought and on their way; 6 sold on, 7 bought.
    expected = [[1, 15 - 6 + 1.5 + 0.6, -1.5 + 7]]
    np.testing.assert_allclose(flow.cost, expected, atol=1e-12)
    np.testing.assert_allclose(flow.unmet, [[0, 3]], atol=1e-12)
    state, flow = game.advance(state, numbers([1, 1, 0]), numbers([7, 1]))
    # The depot has nothing; 2 are lost; the shop's 6 come after its demand, and 4 who waited pay.
    np.testing.assert_allclose(flow.shipped, [[0, 0, 0]], atol=1e-12)
    np.testing.assert_allclose(state.on_hand, [[0, 2, 0]], atol=1e-12)
    np.testing.assert_allclose(flow.cost, [[18, 20 - 12, 0]], atol=1e-12)
    np.testing.assert_allclose(state.tally, [[1 + 11.1 + 5.5 + 26, 3 + 2 + 1, 16]], atol=1e-12)


def test_orders_that_wait_by_hand():
    game = Inventory(chain(internal="backlogged"), actions="quantities")
    state = game.begin(1, dtype=torch.float64)
    state, _ = game.advance(state, numbers([6, 9, 0]), numbers([0, 0]))
    np.testing.assert_allclose(state.owed, [[2, 3, 0]], atol=1e-12)
    state, flow = game.advance(state, numbers([0, 1, 0]), numbers([0, 0]))
    np.testing.assert_allclose(flow.shipped, [[0, 0, 0]], atol=1e-12)
    np.testing.assert_allclose(state.owed, [[2, 4, 0]], atol=1e-12)


def test_shares_by_hand():
    game = Inventory(chain())
    state = game.begin(1, dtype=torch.float64)
    given = np.array([0.3, -0.2, 0.0])
    orders = game.orders(state, torch.from_numpy(given)[None])[0].numpy()
    both = np.exp(given[:2])
    np.testing.assert_allclose(orders[:2], 10 * both / (1 + both.sum()), rtol=1e-12)
    np.testing.assert_allclose(orders[2], 8, rtol=1e-12)  # 0 orders the mean flow
    game = Inventory(chain(locations={
        **{n: one.model_dump() for n, one in chain().locations.items()},
        "depot": {"stock": 10, "holds": False},
    }))  # fmt: skip
    orders = game.orders(game.begin(1, dtype=torch.float64), torch.from_numpy(given)[None])[0]
    np.testing.assert_allclose(orders[:2], 10 * both / both.sum(), rtol=1e-12)


def test_customers_who_waited_pay_for_what_comes_after_demand():
    network = SupplyNetwork.checked(
        {
            "locations": {"store": {"price": 10.0, "penalty": 1.0}},
            "links": [{"source": "supplier", "target": "store"}],
            "demand": {"kind": "poisson", "mean": 3.0},
        },
        "test",
    )
    game = Inventory(network, actions="quantities")
    state, earned = game.begin(1, dtype=torch.float64), []
    for orders, demand in ((3.0, 5.0), (4.0, 0.0), (0.0, 1.0)):
        state, flow = game.advance(
            state, torch.tensor([[orders]]).double(), torch.tensor([[demand]]).double()
        )
        earned.append(flow.unmet.item() - flow.cost.item())
    assert earned == [30.0, 20.0, 10.0]  # 3 of 5, the other 2, and 1 from stock


def test_shares_are_of_what_stock_is_made_into():
    """10 on hand, of each of which 3 are made: 30 leave a place that keeps nothing."""
    places = {n: one.model_dump() for n, one in chain().locations.items()}
    given = torch.tensor([[0.3, -0.2, 0.0]]).double()
    both = given[0, :2].exp()
    for holds, kept in ((False, 0.0), (True, 1.0)):
        places["depot"] = {"stock": 10, "yields": 3.0, "holds": holds}
        network = chain(locations=places)
        game = Inventory(network)
        assert game.arrays.shares_fit
        state = game.begin(1, dtype=torch.float64)
        orders = game.orders(state, given)
        torch.testing.assert_close(orders[0, :2], 30 * both / (both.sum() + kept))
        demand = torch.tensor([[3.0, 5.0]]).double()
        lead = np.array([[link.lead_time for link in network.links]])
        told = next(plain(network, orders.numpy(), demand.numpy(), lead, game.arrays.link_flow))
        for fits in (False, True):
            after, flow = game.advance(state, orders, demand, fits=fits)
            np.testing.assert_allclose(after.on_hand[0], list(told[0].values()), atol=1e-12)
            np.testing.assert_allclose(flow.cost[0], list(told[3].values()), atol=1e-12)
        np.testing.assert_allclose(after.on_hand[0, 2], 10 * kept / (both.sum() + kept), atol=1e-12)


def test_a_centre_keeps_nothing_whatever_is_asked():
    """Neither through actions nor by those who advance it with orders of their own."""
    game = simulator("inventory.transshipment(actions=quantities)")
    own, centre = generator(), 3
    state = game.reset(50, own)
    for t in range(12):
        asked = torch.rand(50, 4, generator=own) * (0.0, 1.0, 100.0)[t % 3]
        asked[:, 3] = 15.0  # of the supplier
        demand = torch.zeros(50, 3)
        after, flow = game.advance(state, asked, demand)
        np.testing.assert_allclose(flow.shipped[:, :3].sum(1), state.on_hand[:, centre], rtol=1e-5)
        np.testing.assert_allclose(after.on_hand[:, centre], flow.arrived[:, 3], atol=1e-4)
        if t % 3:  # in proportion
            ratio = asked[:, :3] / asked[:, :3].sum(1, keepdim=True)
            expected = ratio * state.on_hand[:, centre:]
            np.testing.assert_allclose(flow.shipped[:, :3], expected, rtol=1e-4, atol=1e-5)
        state, _ = game.step(state, asked[:, None], own)
    assert (state.on_hand[:, centre] > 14).all()


def test_whole_orders_are_rounded_and_gradients_are_not():
    plain, whole = (Inventory(chain(), whole=one) for one in (False, True))
    state = plain.begin(1, dtype=torch.float64)
    given = numbers([0.3, -0.2, 0.1])
    own = [given.clone().requires_grad_() for _ in range(2)]
    asked, rounded = plain.orders(state, own[0]), whole.orders(state, own[1])
    assert asked[0].tolist() != rounded[0].tolist()
    expected = [*asked[0, :2].floor(), asked[0, 2].round()]
    assert rounded[0].tolist() == expected
    asked.sum().backward()
    rounded.sum().backward()
    torch.testing.assert_close(own[0].grad, own[1].grad)


def test_what_cannot_be_kept_goes_to_those_who_ask():
    stores = {name: {"penalty": 1.0} for name in ("a", "b")}
    network = SupplyNetwork.checked(
        {
            "locations": stores | {"centre": {"stock": 12.0, "holds": False}},
            "links": [
                {"source": "centre", "target": "a"},
                {"source": "centre", "target": "b"},
                {"source": "supplier", "target": "centre"},
            ],
            "demand": {"kind": "poisson", "mean": [1.0, 3.0]},
        },
        "test",
    )
    game = Inventory(network, actions="quantities")
    state = game.begin(2)
    asked = torch.tensor([[1.0, 5.0, 7.0], [0.0, 0.0, 7.0]])
    expected = torch.tensor([[2.0, 10.0, 7.0], [3.0, 9.0, 7.0]])
    _, flow = game.advance(state, game.orders(state, asked), torch.zeros(2, 2))
    torch.testing.assert_close(flow.shipped, expected)


@pytest.mark.parametrize("seed", SEEDS)
def test_shares_ask_for_no_more_than_there_is(seed):
    """Hence rationing can be left out, which changes nothing but the time that it takes."""
    game = Inventory(random_network(seed))
    arrays, own = game.arrays, generator(seed)
    state = game.begin(4, dtype=torch.float64)
    for t in range(8):
        given = 3 * torch.randn(4, arrays.num_links, generator=own, dtype=torch.float64)
        orders = game.orders(state, given)
        assert (orders >= 0).all()
        for v in range(arrays.num_locations):
            there = state.on_hand[:, v].clamp_min(0) * float(
                arrays.on("cpu", given.dtype).yields[v]
            )
            assert (orders[:, arrays.source == v].sum(1) <= there + 1e-9).all()
        demand = torch.poisson(torch.full((4, arrays.num_stores), 5.0), generator=own).double()
        lead = game._lead(4, own) if arrays.random_leads else None
        after, _ = game.advance(state, orders, demand, lead, fits=arrays.shares_fit)
        same, _ = game.advance(state, orders, demand, lead)
        torch.testing.assert_close(after.on_hand, same.on_hand, rtol=0, atol=1e-9)
        torch.testing.assert_close(after.tally, same.tally, rtol=0, atol=1e-9)
        state = after
        assert (state.period == t + 1).all()


def test_rewards_and_what_is_told_at_the_end():
    """Of a planner, of locations on their own and as a team; discounted; without first periods."""
    options = dict(actions="quantities", periods=4, ignore=2, discount=0.9)
    views = {
        "planner": Inventory(chain(), **options),
        "alone": Inventory(chain(), view="locations", **options),
        "team": Inventory(chain(), view="locations", team=True, **options),
    }
    asked = torch.tensor([2.0, 3.0, 4.0])
    found, ends = {}, {}
    for name, game in views.items():
        state, own, found[name] = game.reset(5, generator()), generator(1), []
        actions = asked.expand(5, 1, 3) if name == "planner" else asked[:, None].expand(5, 3, 1)
        for t in range(4):
            state, step = game.step(state, actions, own)
            assert step.truncated.all() == (t == 3)
            assert not step.terminated.any()
            found[name].append(step.reward)
        ends[name] = step.info
    for planner, alone, team in zip(*found.values(), strict=True):
        torch.testing.assert_close(alone.sum(1, keepdim=True), planner)
        torch.testing.assert_close(team, (planner / 3).expand(-1, 3))
    last = -(found["planner"][2] / 0.9**2 + found["planner"][3] / 0.9**3)[:, 0] / 2
    torch.testing.assert_close(ends["planner"]["cost"], last)


def test_fill_rate_by_hand():
    game = Inventory(chain(), actions="quantities", periods=1)
    state = game.begin(1)
    after, _ = game.advance(state, torch.zeros(1, 3), torch.tensor([[6.0, 3.0]]))
    np.testing.assert_allclose(after.tally[:, 1:], [[2 + 1, 9]])
    # What customers bring back is no demand, and meets none.
    after, _ = game.advance(state, torch.zeros(1, 3), torch.tensor([[6.0, -3.0]]))
    np.testing.assert_allclose(after.tally[:, 1:], [[2, 6]])


def test_fill_rates_are_shares_of_demand_that_is_not_clipped():
    given = {"kind": "normal", "mean": (1.0, 1.0), "sd": 4.0, "clip": False}
    game = Inventory(chain(demand=given), periods=10)
    own = generator()
    state = game.reset(300, own)
    for _ in range(10):
        state, step = game.step(state, torch.full((300, 1, 3), -5.0), own)
    rate = step.info["fill_rate"]
    assert (rate >= 0).all()
    assert (rate <= 1).all()
    assert rate.std() > 0.1


# Demand.


def test_poisson_demand():
    demand = simulator("inventory.lost_sales").demand(4000, 25, generator()).flatten().numpy()
    counts = np.bincount(demand.astype(int), minlength=18)[:18]
    law = stats.poisson(5).pmf(np.arange(18)) * len(demand)
    assert stats.chisquare(counts[:14], law[:14] * counts[:14].sum() / law[:14].sum()).pvalue > 1e-4


@pytest.mark.parametrize("correlation", [0.0, 0.5, 1.0])
def test_normal_demand(correlation):
    given = {"kind": "normal", "mean": (8.0, 5.0), "sd": (2.0, 1.0), "correlation": correlation}
    game = Inventory(chain(demand={**given, "clip": False}))
    demand = game.demand(20_000, 5, generator()).flatten(0, 1).numpy()
    np.testing.assert_allclose(demand.mean(0), [8, 5], atol=4 * 2 / np.sqrt(1e5))
    np.testing.assert_allclose(demand.std(0), [2, 1], rtol=0.02)
    np.testing.assert_allclose(np.corrcoef(demand.T)[0, 1], correlation, atol=0.015)
    clipped = Inventory(chain(demand={**given, "mean": (1.0, 0.5)})).demand(50, 50, generator())
    assert clipped.min() == 0


def test_seasons():
    season = {"period": 6, "amplitude": 0.5, "phase": 1.5}
    game = Inventory(chain(demand={"kind": "poisson", "mean": (3.0, 5.0), "season": season}))
    state = game.reset(30_000, generator())
    assert set(state.offset.tolist()) == set(range(6))
    sampler = game.sampler(torch.device("cpu"))
    drawn = sampler.draw(state.trace, state.offset + 4, generator(1)).numpy()
    for offset in range(6):
        factor = 1 + 0.5 * np.sin(2 * np.pi * (offset + 4 + 1.5) / 6)
        here = drawn[state.offset.numpy() == offset]
        bound = 4 * np.sqrt(5 * factor / len(here))
        np.testing.assert_allclose(here.mean(0), [3 * factor, 5 * factor], atol=bound)
    seen = game.observe(state).nodes[:, 0, -2:]
    turn = 2 * np.pi * state.offset.numpy() / 6
    np.testing.assert_allclose(seen, np.stack((np.sin(turn), np.cos(turn)), 1), atol=1e-6)


def test_traces_show_the_season_that_they_were_drawn_with():
    """Without noise, so that demand is the season's mean at the place that is shown."""
    season = {"period": 12, "amplitude": 0.9, "phase": 2.5}
    given = {"kind": "normal", "mean": (3.0, 5.0), "sd": 0.0, "season": season}
    game = Inventory(chain(demand=given), periods=20, look_back=3, traces=8)
    own, place = generator(), 2 * np.pi * 2.5 / 12
    state = game.reset(64, own)
    places = set()
    for _ in range(20):
        sin, cos = game.observe(state).nodes[:, 0, -2:].T.double().numpy()
        now = np.arctan2(sin, cos)
        before, state = state, game.step(state, torch.zeros(64, 1, 3), own)[0]
        wanted = np.outer(1 + 0.9 * np.sin(now + place), [3, 5])
        np.testing.assert_allclose(state.past[:, :, -1], wanted, atol=1e-4)
        for w in range(1, 4):
            wanted = np.outer(1 + 0.9 * np.sin(now - 2 * np.pi * w / 12 + place), [3, 5])
            np.testing.assert_allclose(before.past[:, :, -w], wanted, atol=1e-4)
        places |= set(np.round(now * 12 / (2 * np.pi)) % 12)
    assert len(places) == 12
    assert len(torch.unique(state.offset)) > 3  # traces have places of their own


def test_traces_come_again():
    game = simulator("inventory.one_warehouse(stores=3,traces=4,periods=6,look_back=2)")
    demand = game.demand(200, 6, generator(1))
    assert len(torch.unique(demand, dim=0)) == 4
    other = simulator("inventory.one_warehouse(stores=3,traces=4,periods=6,look_back=2)")
    state, again = game.reset(9, generator(2)), other.reset(9, generator(2))
    torch.testing.assert_close(state.past, again.past, rtol=0, atol=0)
    assert (state.offset == 2).all()
    changed = replace(game, trace_seed=1).reset(9, generator(2))
    assert not torch.equal(changed.past, state.past)


def test_random_lead_times_come_as_often_as_they_should():
    network = {
        "locations": {"store": {"unmet": "lost"}},
        "links": [{"source": "supplier", "target": "store", "lead_time": (0, 0.2, 0, 0.5, 0.3)}],
        "demand": {"kind": "poisson", "mean": 5},
    }
    game = Inventory(SupplyNetwork.checked(network, "random"), actions="quantities")
    assert game.arrays.pipeline == 3
    state, _ = game.step(game.reset(20_000, generator()), torch.ones(20_000, 1, 1), generator(1))
    came = torch.cat((state.on_hand[..., None], state.pipeline), dim=2)[:, 0]
    np.testing.assert_allclose(came.sum(1), 1)
    np.testing.assert_allclose(came.mean(0), [0.2, 0, 0.5, 0.3], atol=4 * 0.5 / np.sqrt(20_000))


# Closed form.


@pytest.mark.parametrize(("lead", "penalty"), [(1, 4), (4, 9), (7, 39)])
def test_base_stock_costs_what_the_newsvendor_says(lead, penalty):
    """Poisson demand, backlogged, order up to S: h E(S - D)+ + p E(D - S)+ of L + 1 periods."""
    network = {
        "locations": {"store": {"holding": 1, "penalty": penalty}},
        "links": [{"source": "supplier", "target": "store", "lead_time": lead}],
        "demand": {"kind": "poisson", "mean": 5},
    }
    periods = 60
    game = Inventory(SupplyNetwork.checked(network, "one"), actions="quantities", periods=periods)
    law = stats.poisson(5 * (lead + 1))
    level = law.ppf(penalty / (1 + penalty))
    units = np.arange(200)
    expected = (np.maximum(level - units, 0) + penalty * np.maximum(units - level, 0)) @ law.pmf(
        units
    )
    own, costs = generator(lead), []
    state = game.reset(4000, own)
    for t in range(periods):
        position = state.on_hand[:, 0] + state.pipeline.sum((1, 2))
        state, step = game.step(state, (level - position).clamp_min(0)[:, None, None], own)
        if t > lead:
            costs.append(-step.reward[:, 0])
    found = torch.stack(costs).mean(0).double().numpy()  # [B], each of its own
    assert abs(found.mean() - expected) < 4 * found.std() / np.sqrt(len(found))


# Gradients.


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("actions", ["shares", "quantities"])
@pytest.mark.parametrize("make", [random_network, passing_network])
def test_gradients_are_finite_differences(seed, actions, make):
    """Of all costs to all actions, with the same demand and lead times: to 1e-3 and better."""
    network = make(seed)
    game = Inventory(network, actions=actions)
    draw = np.random.default_rng(seed)
    e, k = game.arrays.num_links, game.arrays.num_stores
    given = torch.from_numpy(draw.normal(size=(8, e)))
    given = given if actions == "shares" else 3 + given.abs()
    demand = torch.from_numpy(draw.gamma(4.0, 1.0, (8, k)))
    lead = torch.stack(
        [
            torch.from_numpy(draw.choice(len(link.lead_times), 8, p=link.lead_times))
            for link in network.links
        ],
        dim=1,
    )

    def total(actions):
        """[B] of actions [B, T, E]."""
        b = len(actions)
        state, cost = game.begin(b, dtype=torch.float64), 0.0
        for t in range(8):
            orders = game.orders(state, actions[:, t])
            here = lead[t].expand(b, -1) if game.arrays.random_leads else None
            state, flow = game.advance(state, orders, demand[t].expand(b, -1), here)
            cost = cost + flow.cost.sum(1)
        return cost

    leaf = given[None].clone().requires_grad_()
    (slope,) = torch.autograd.grad(total(leaf).sum(), leaf)
    step = 1e-6
    changes = step * torch.eye(given.numel()).double().view(-1, *given.shape)
    found = (total(given + changes) - total(given - changes)) / (2 * step)
    np.testing.assert_allclose(slope.flatten(), found, rtol=1e-3, atol=1e-6)
    assert slope.abs().sum() > 0


# Views.


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("view", ["planner", "graph", "locations"])
def test_any_network_keeps_what_simulators_promise(seed, view):
    game = Inventory(random_network(seed), view=view, look_back=seed % 3, start=seed % 2)
    games.check_simulator(game, steps=8, batch=2)


@pytest.mark.parametrize("actions", ["shares", "quantities"])
def test_views_play_the_same_game(actions):
    """The same orders, by whomever they are placed, bring the same costs."""
    network = random_network(7)
    planner, graph, locations = (
        Inventory(network, view=view, actions=actions, look_back=2)
        for view in ("planner", "graph", "locations")
    )
    draw = torch.randn(6, 4, planner.arrays.num_links, generator=generator()).abs()
    into = planner.arrays.links_into
    ends = []
    for game in (planner, graph, locations):
        state, own = game.reset(4, generator(3)), generator(4)
        for given in draw:
            shaped = given[:, None]
            if game is locations:
                shaped = torch.zeros(4, len(into), game.spec.action_width)
                for v, links in enumerate(into):
                    shaped[:, v, : len(links)] = given[:, links]
            state, step = game.step(state, shaped, own)
        ends.append((state.on_hand, step.reward.sum(1)))
    for other in ends[1:]:
        torch.testing.assert_close(other, ends[0])


def test_the_planner_sees_the_state_in_mean_flows():
    game = Inventory(chain(), look_back=2)
    state = game.begin(2)
    state = replace(state, pipeline=torch.rand(2, 3, 2), past=torch.rand(2, 2, 2))
    flow = np.array([3, 5, 8.0])
    expected = np.concatenate(
        (
            state.on_hand.numpy() / flow,
            (state.pipeline.numpy() / flow[:, None]).reshape(2, -1),
            (state.past.numpy() / flow[:2, None]).reshape(2, -1),
        ),
        axis=1,
    )
    np.testing.assert_allclose(game.observe(state).nodes[:, 0], expected, rtol=1e-6)


def test_flow_is_what_customers_want():
    game = Inventory(chain())
    np.testing.assert_allclose(game.arrays.flow, [3, 5, 8])
    yields = {n: one.model_dump() for n, one in chain().locations.items()}
    yields["depot"]["yields"] = 0.5
    np.testing.assert_allclose(Inventory(chain(locations=yields)).arrays.flow, [3, 5, 16])


@pytest.mark.filterwarnings("error::UserWarning")
def test_pettingzoo_accepts_the_locations(capsys):
    name = "inventory.one_warehouse(stores=3,view=locations,periods=10)"
    parallel_api_test(parallel_env(simulator(name)), num_cycles=30)
    assert "Passed" in capsys.readouterr().out
    parallel_seed_test(lambda: parallel_env(simulator(name)), num_cycles=15)


def test_learners_know_when_games_are_over_without_a_look():
    """`marl.learning.pathwise.hdpo` takes the game's own `horizon`, and plays each to its end."""

    class Unasked(Step):
        over = property(lambda self: pytest.fail("nobody has to ask"))

    class Watched(Inventory):
        def step(self, state, actions, generator):
            after, step = super().step(state, actions, generator)
            return after, Unasked(**vars(step))

    class Zeros:
        games = 5

        def act(self, seen):
            return torch.zeros(5, 1, 3)

    game = Watched(chain(), periods=7)
    assert game.horizon == 7
    found = play(game, Zeros(), generator())
    assert found.reward.shape == (7, 5, 1)
    assert found.playing is None
    paid = found.reward.sum().item()
    np.testing.assert_allclose(found.episodes.info["cost"], -paid / 7, rtol=1e-5)


def test_states_are_divided_and_joined():
    game = simulator("inventory.one_warehouse(stores=3,look_back=2)")
    state = game.reset(6, generator())
    index = torch.tensor([1, 4])
    torch.testing.assert_close(put(state, index, take(state, index)).pipeline, state.pipeline)


# Networks from graphs and files, and what is wrong with them.


def test_networks_from_networkx():
    graph = nx.DiGraph()
    graph.add_node("depot", holding=0.5)
    graph.add_node("store", holding=1.0, penalty=9.0, unmet="lost")
    graph.add_edge("factory", "depot", lead_time=3)
    graph.add_edge("depot", "store", lead_time=(0, 0.5, 0.5))
    network = SupplyNetwork.from_networkx(graph, demand={"kind": "poisson", "mean": 4})
    assert network.suppliers == ("factory",)
    assert network.stores == ("store",)
    leads = {link.target: link.lead_times for link in network.links}
    assert leads == {"depot": (0, 0, 0, 1), "store": (0, 0.5, 0.5)}
    assert nx.utils.graphs_equal(
        nx.DiGraph(network.graph.edges), nx.DiGraph([("factory", "depot"), ("depot", "store")])
    )
    for wrong in (nx.Graph(graph), nx.MultiDiGraph(graph)):
        with pytest.raises(InputError, match=r"give a networkx\.DiGraph"):
            SupplyNetwork.from_networkx(wrong, demand={"kind": "poisson"})


def test_graphs_with_mistakes():
    def graph(*nodes, edges=(("factory", "store"),)):
        made = nx.DiGraph(edges)
        made.add_nodes_from(nodes)
        return made

    for wrong, message in (
        (graph(("depot", {"holding": 1.0})), "nothing is sent to depot, .* has no holding: add an"),
        (graph(("factory", {"stock": 3})), "nothing is sent to factory, .* has no stock"),
        (graph("depot"), "depot has no edges: add one, or remove it"),
        (graph(edges=[(0, 1), (0, "1")]), "nodes 1 and '1' are both called 1; rename one"),
    ):
        with pytest.raises(InputError, match=message):
            SupplyNetwork.from_networkx(wrong, demand={"kind": "poisson", "mean": 4})
    drawn = graph(("factory", {"pos": (0, 1)}))  # of no concern to us
    assert SupplyNetwork.from_networkx(drawn, demand=POISSON).suppliers == ("factory",)


STORE = {"store": {"holding": 1.0}}
LINK = {"source": "supplier", "target": "store"}
POISSON = {"kind": "poisson"}
WRONG = [
    (dict(locations={}), "give locations and suppliers names of their own, at least one each"),
    (dict(links=[]), "location store gets no goods: add a link to it"),
    (dict(links=[{**LINK, "lead_time": -1}]), "links.0.lead_time: input should be greater than or"),
    (dict(links=[{**LINK, "lead_time": 0}]), "what is there at once arrives before demand"),
    (dict(links=[{**LINK, "lead_time": (0.5, 0.5)}]), "there at once arrives before demand"),
    (dict(links=[{**LINK, "lead_time": (0, 0.5)}]), r"of 0, 1, 2, \.\.\. periods sum to 0\.5"),
    (dict(links=[{**LINK, "lead_time": (0, 2, -1)}]), "lead_time.2: input should be greater than"),
    (dict(links=[{**LINK, "cost": -1}]), "links.0.cost: input should be greater"),
    (dict(links=[{**LINK, "capacity": 0}]), "links.0.capacity: input should be greater than 0"),
    (dict(links=[{**LINK, "source": "suplier"}]), "there is no 'suplier': did you mean supplier"),
    (dict(links=[LINK, LINK]), "supplier -> store occurs twice"),
    (dict(links=[LINK, {"source": "store", "target": "supplier"}]), "supplier is a supplier"),
    (dict(links=[LINK, {**LINK, "source": "store"}]), "goods go in a circle, store -> store"),
    (dict(links=[{"target": "store"}]), "links.0.source: is missing"),
    (dict(locations={"store": {"holding": -1}}), "store.holding: input should be greater"),
    (dict(locations={"store": {"hoding": 1}}), "no such field: did you mean holding"),
    (dict(locations={"store": {"unmet": "gone"}}), "unmet: input should be 'backlogged' or 'lost'"),
    (dict(locations={"store": {"holding": float("nan")}}), "input should be a finite number"),
    (dict(locations={"store": {"customers": False}}), "no location has customers"),
    (dict(locations={"supplier": {}}), "names of their own"),
    (dict(demand={"kind": "gamma"}), "demand.kind: there is no 'gamma': known: normal, poisson, s"),
    (dict(demand={"kind": "poison"}), r"kind: there is no 'poison': did you mean poisson\?$"),
    (dict(demand={"mean": 3}), "demand.kind: is missing: known: normal, poisson, series"),
    (dict(demand={"kind": "poisson", "mean": (1, 2)}), r"mean has 2 numbers for 1 store \("),
    (dict(links=[{**LINK, "lead_time": 1001}]), "lead_time: input should be less than or equal"),
    (dict(links=[{**LINK, "lead_time": (0,) * 1001 + (1,)}]), "at most 1000 periods"),
    (dict(links=[{**LINK, "lead_time": (0, math.nan)}]), "lead_time.1: input should be a finite"),
    (dict(demand={"kind": "poisson", "mean": -1}), "demand.mean: input should be greater than"),
    (dict(demand={"kind": "normal", "sd": -1}), "demand.sd: input should be greater than"),
    (dict(demand={**POISSON, "season": {"period": 1, "amplitude": 0}}), "season.period: input"),
    (dict(rationing="in order"), "rationing: there is no such field"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "message"), WRONG, ids=[message for _, message in WRONG])
def test_networks_with_mistakes(change, message):
    given = {"locations": STORE, "links": [LINK], "demand": POISSON}
    with pytest.raises(InputError, match=message) as caught:
        SupplyNetwork.checked({**given, **change}, "network")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (dict(view="grph"), "unknown view 'grph': did you mean graph"),
        (dict(actions="share"), "unknown actions 'share': did you mean shares"),
        (dict(periods=0), "periods is 0; give at least 1"),
        (dict(traces=0), "traces is 0; give at least 1"),
        (dict(start=-1), "give start >= 0"),
        (dict(start=math.nan), "give start >= 0, finite"),
        (dict(start=math.inf), "give start >= 0, finite"),
        (dict(discount=math.nan), "0 < discount <= 1"),
    ],
)
def test_games_with_mistakes(given, message):
    with pytest.raises(InputError, match=message):
        Inventory(chain(), **given)


def test_a_circle_of_three_is_named():
    places = {name: {} for name in "abc"} | STORE
    around = [("a", "b"), ("b", "c"), ("c", "a"), ("supplier", "a"), ("c", "store")]
    links = [{"source": source, "target": target} for source, target in around]
    with pytest.raises(InputError, match=r"circle, . -> . -> . -> .: remove one"):
        SupplyNetwork.checked({"locations": places, "links": links, "demand": POISSON}, "network")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("locations = 3", "locations: input should be"),
        ("[locations", "is not valid TOML"),
        ("[locations.a]", "links: is missing"),
    ],
)
def test_files_of_networks_with_mistakes(tmp_path, text, message):
    path = tmp_path / "network.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        SupplyNetwork.from_file(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)
