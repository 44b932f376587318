"""Settings by name, demand from files, and OR-Gym's games against records of OR-Gym itself."""

import inspect
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import games
from games import InputError
from games.inventory.demand import Normal, Poisson, Season
from games.inventory.network import Link, Location, SupplyNetwork
from games.inventory.series import Series
from games.inventory.settings import network
from games.listing import list_simulators
from games.load import simulator, vector
from games.names import SIMULATORS

DATA = Path(__file__).parents[2] / "data"


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def weekly(tmp_path):
    """Forty weeks of two series, as a file."""
    table = np.random.default_rng(0).poisson(6, (40, 2))
    lines = [f"{week},{a},{b}" for week, (a, b) in enumerate(table)]
    path = tmp_path / "weekly.csv"
    path.write_text("\n".join(["week,north,south", *lines]) + "\n")
    return path, table


SETTINGS = [
    "inventory.lost_sales",
    "inventory.lost_sales(lead_time=1,look_back=3,start=2)",
    "inventory.lost_sales(traces=4,look_back=2)",
    "inventory.backlogged(lead_time=7)",
    "inventory.serial",
    "inventory.transshipment",
    "inventory.transshipment(stores=10,lead_time=6,correlation=0)",
    "inventory.one_warehouse(stores=3,instance=2)",
    "inventory.many_warehouses",
    "inventory.or_gym",
    "inventory.or_gym(version=1)",
    "inventory.or_gym(legacy=true)",
    "inventory.or_gym(legacy=true,version=1)",
    "inventory.or_gym_network",
    "inventory.or_gym_network(version=1,actions=shares)",
    "inventory.or_gym_network(legacy=true)",
]


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("view", ["planner", "graph", "locations"])
def test_settings_keep_what_simulators_promise(name, view):
    if "legacy" in name:
        if view != "planner":
            return
    else:
        name = f"{name}(view={view})" if ")" not in name else f"{name[:-1]},view={view})"
    game = simulator(name)
    games.check_simulator(game, steps=12)
    assert game.name == name.split("(")[0]
    vector(name, 2).reset(0)


def test_options_are_those_of_the_setting():
    game = simulator("inventory.lost_sales(lead_time=2,penalty=19,periods=7,start=.5)")
    assert (game.periods, game.start) == (7, 0.5)
    listed = {row["simulator"]: row["parameters"] for row in list_simulators()}
    assert listed["inventory.series"].startswith("file, lead_time=4")
    assert "look_back=0" in listed["inventory.SETTING"]


def test_drawn_parameters_follow_from_the_instance():
    small, again, large, other = (
        simulator(f"inventory.one_warehouse({given})").network
        for given in ("stores=3", "stores=3", "stores=50", "stores=3,instance=1")
    )
    assert small == again != other
    for name in small.stores:
        assert small.locations[name] == large.locations[name]
    assert small.links[:3] == large.links[:3]
    assert small.demand.mean == large.demand.mean[:3]
    many = [simulator(f"inventory.one_warehouse(stores=50,instance={i})").network for i in range(4)]
    means = np.array([network.demand.mean for network in many])
    variation = np.array([network.demand.sd for network in many]) / means
    stores = [network.locations[name] for network in many for name in network.stores]
    leads = [link.lead_time for network in many for link in network.links[:50]]
    for values, low, high in (
        (means, 2.5, 7.5),
        (variation, 0.25, 0.5),
        ([one.holding for one in stores], 0.7, 1.3),
        ([one.penalty for one in stores], 6.3, 11.7),
        (leads, 2, 3),
    ):
        assert np.min(values) >= low
        assert np.max(values) <= high
        # 200 draws: the mean of a uniform law within 4 standard errors.
        spread = np.std(values) / np.sqrt(200)
        assert abs(np.mean(values) - (low + high) / 2) < 4 * spread


def test_parameters_of_the_paper():
    serial = simulator("inventory.serial(lead_time=1)").network
    assert [link.lead_time for link in serial.links] == [1, 3, 4, 2]
    assert [one.holding for one in serial.locations.values()] == [1.0, 0.5, 0.2, 0.1]
    two = simulator("inventory.many_warehouses").network
    assert len(two.links) == 6 + 9 + 2
    assert [link.cost for link in two.links[-2:]] == [0.5, 1.5]
    centre = simulator("inventory.transshipment(stores=5)").network
    assert centre.stores == tuple(f"store_{k}" for k in range(1, 6))
    assert not centre.locations["centre"].holds
    assert not centre.demand.clip


def test_stores_begin_with_up_to_a_periods_mean_in_each_place():
    game = simulator("inventory.one_warehouse(stores=3)")
    state = game.reset(20_000, generator())
    mean = np.array(game.network.demand.mean)
    np.testing.assert_allclose(state.on_hand[:, :3].mean(0), mean / 2, rtol=0.03)
    assert (state.on_hand[:, 3] == 0).all()
    for e, link in enumerate(game.network.links):
        places = link.lead_time - 1 if link.target != "warehouse" else 0
        assert (state.pipeline[:, e, places:] == 0).all()
        if places:
            np.testing.assert_allclose(
                state.pipeline[:, e, :places].mean(0), mean[e] / 2, rtol=0.03
            )
            assert state.pipeline[:, e].max() <= mean[e]


UNKNOWN = [
    ("inventory.lost_sale", "did you mean inventory.lost_sales"),
    ("inventory.lost_sales(lead=3)", "did you mean lead_time"),
    ("inventory.lost_sales(zzz=3)", "known: actions, discount, holding, ignore, lead_time"),
    ("inventory.lost_sales(lead_time=1.5)", "lead_time: input should be a valid integer"),
    ("inventory.lost_sales(view=grph)", "view: input should be 'planner', 'graph' or 'locations'"),
    ("inventory.lost_sales(start=nan)", "give start >= 0, finite"),
    ("inventory.lost_sales(start=1e999)", "give start >= 0, finite"),
    ("inventory.lost_sales(mean=1e999)", "demand.mean: input should be a finite number"),
    ("inventory.lost_sales(lead_time=1000000)", "lead_time: input should be less than or equal"),
    ("inventory.lost_sales(lead_time=-1)", "lead_time: input should be greater than or equal to 0"),
    ("inventory.lost_sales(penalty=-1)", "store.penalty: input should be greater"),
    ("inventory.lost_sales(periods=5,ignore=5)", "ignore = 5 of 5 periods leaves none"),
    ("inventory.lost_sales(discount=0)", "0 < discount <= 1"),
    ("inventory.lost_sales(look_back=-1)", "look_back is -1; give at least 0"),
    ("inventory.one_warehouse(stores=0)", "stores is 0"),
    ("inventory.transshipment(correlation=2)", "demand.correlation: input should be less"),
    ("inventory.or_gym(version=2)", "version: input should be 0 or 1"),
    ("inventory.or_gym(legacy=true,view=graph)", "legacy = true has view"),
    ("inventory.series", "file is missing: write file="),
    ("inventory.series(file='none.csv')", "cannot read demand none.csv: no such file"),
    ("inventory.network(file='none.toml')", "cannot read network none.toml: no such file"),
]


@pytest.mark.parametrize(("name", "message"), UNKNOWN)
def test_what_is_wrong_is_said_in_one_line(name, message):
    with pytest.raises(InputError, match=message) as caught:
        simulator(name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("inventory.lost_saless", r"unknown simulator .*: did you mean inventory\.lost_sales "),
        ("inventory.lost_saless(lead_time=4)", r"did you mean inventory\.lost_sales "),
        ("inventry.serial", r"did you mean inventory\.serial"),
        ("inventory.zzz", "unknown simulator 'inventory.zzz': did you mean "),
        ("mpe2.simple_spread_v3", r"write pettingzoo:mpe2\.simple_spread_v3"),
    ],
)
def test_misspelt_games_of_learners_get_the_nearest(name, message):
    with pytest.raises(InputError, match=message):
        vector(name, 2)


# Demand from files.


def test_each_column_is_a_trace_of_a_single_store(weekly):
    path, table = weekly
    game = simulator(f"inventory.series(file='{path}',periods=10,look_back=4,first=2,last=30)")
    assert game.network.demand.table.shape == (2, 28, 1)
    np.testing.assert_allclose(game.network.demand.means(1), table[2:30].mean())
    np.testing.assert_allclose(game.network.demand.deviations(1), table[2:30].std())
    state = game.reset(500, generator())
    assert set(state.trace.tolist()) == {0, 1}
    assert set(state.offset.tolist()) == set(range(4, 19))  # of 28 weeks: 4 before, 10 after
    starts = state
    for period in range(10):
        seen = state.past[:, 0].long().numpy()
        for b in range(0, 500, 50):
            first = 2 + int(starts.offset[b]) + period
            np.testing.assert_array_equal(seen[b], table[first - 4 : first, starts.trace[b]])
        state, step = game.step(state, torch.zeros(500, 1, 1), generator())
    assert step.truncated.all()


def test_each_series_has_a_price_of_its_own(weekly):
    path, _ = weekly
    game = simulator(f"inventory.series(file='{path}',periods=10,look_back=0)")
    prices = game.network.demand.worth("price", 1)[:, 0]
    assert ((prices >= 6.3) & (prices <= 11.7)).all()
    assert prices[0] != prices[1]
    later = simulator(f"inventory.series(file='{path}',periods=10,look_back=0,first=20)")
    np.testing.assert_array_equal(later.network.demand.worth("price", 1)[:, 0], prices)
    state = game.begin(2, dtype=torch.float64)
    state = replace(
        state, trace=torch.tensor([0, 1]), on_hand=torch.tensor([[5.0], [5.0]]).double()
    )
    demand = torch.tensor([[3.0], [9.0]]).double()
    _, flow = game.advance(state, torch.zeros(2, 1).double(), demand)
    np.testing.assert_allclose(flow.cost[:, 0], [2 - 3 * prices[0], -5 * prices[1]], rtol=1e-6)
    nodes = game.observe(game.reset(6, generator(1))).nodes[:, 0]
    trace = game.reset(6, generator(1)).trace
    np.testing.assert_allclose(nodes[:, -1], prices[trace] / prices.max(), rtol=1e-6)
    cost = simulator(f"inventory.series(file='{path}',periods=10,look_back=0,objective=cost)")
    penalty = cost.network.demand.worth("penalty", 1)[:, 0]
    _, flow = cost.advance(state, torch.zeros(2, 1).double(), demand)
    np.testing.assert_allclose(flow.cost[:, 0], [2, 4 * penalty[1]], rtol=1e-6)


@pytest.mark.parametrize("view", ["planner", "graph", "locations"])
def test_series_in_every_view(weekly, view, tmp_path):
    path, _ = weekly
    game = simulator(f"inventory.series(file='{path}',periods=9,view={view})")
    games.check_simulator(game)
    state = game.reset(5, generator())
    prices = game.network.demand.worth("price", 1)[:, 0]
    # The last of a row; in a graph's: on hand, past demand, holding cost, and then this.
    node, place = {"planner": (0, -1), "graph": (1, 18), "locations": (0, 18)}[view]
    shown = game.observe(state).nodes[:, node, place]
    np.testing.assert_allclose(shown, prices[state.trace] / prices.max(), rtol=1e-6)
    array = np.random.default_rng(1).poisson(4, (3, 60, 21)).astype(float)
    np.save(tmp_path / "three.npy", array)
    given = f"file='{tmp_path}/three.npy',periods=20,view={view},look_back=16,start=0"
    game = simulator(f"inventory.many_warehouses({given})")
    games.check_simulator(game, steps=12)
    assert len(game.network.links) == 19 + 16 + 20 + 3
    fifth = [link.lead_time for link in game.network.links if link.target == "store_5"]
    assert fifth == [6, 1, 4]
    assert [link.cost for link in game.network.links[-3:]] == [0.5, 1.5, 0.7]
    np.testing.assert_allclose(game.arrays.flow[:21], array.mean((0, 1)), rtol=1e-6)


TWO_STORES = """
[locations.depot]
[locations.south]
holding = 1
penalty = 9
[locations.north]
holding = 1
penalty = 4
[[links]]
source = "supplier"
target = "depot"
[[links]]
source = "depot"
target = "north"
[[links]]
source = "depot"
target = "south"
[demand]
kind = "series"
file = "weekly.csv"
"""


def test_stores_meet_the_columns_of_their_names(weekly):
    path, table = weekly
    (path.parent / "two.toml").write_text(TWO_STORES)
    game = simulator(f"inventory.network(file='{path.parent / 'two.toml'}',periods=40)")
    assert game.network.stores == ("south", "north")
    demand = game.demand(3, 40, generator())
    np.testing.assert_array_equal(demand[1], table[:, ::-1])


def test_arrays_as_demand(tmp_path):
    array = np.arange(24.0).reshape(2, 12)
    np.savez(tmp_path / "one.npz", demand=array)
    game = simulator(f"inventory.series(file='{tmp_path / 'one.npz'}',periods=12,look_back=0)")
    state = game.reset(64, generator())
    sampler = game.sampler(torch.device("cpu"))
    drawn = torch.stack(
        [sampler.draw(state.trace, state.offset + t, generator()) for t in range(12)]
    )
    np.testing.assert_array_equal(drawn[..., 0].T, array[state.trace])


FILES = [
    ("week,a\n1,3\n2,\n3,4\n", "series 'a' has a gap in period 1 \\(line 3\\)"),
    ("a\n3\n\n4\n", "series 'a' has a gap in period 1 \\(line 3\\)"),
    ("a,b\n3,1\n4\n", "series 'b' has a gap in period 1"),
    ("a,b\n3,1\n4,many\n", "series 'b' has 'many' in period 1 \\(line 3\\); write a number"),
    ("a,b\n3,1\n4,true\n", "series 'b' has 'true' in period 1"),
    ("a\ntrue\nfalse\n", "series 'a' has 'True' in period 0"),
    ("a,b\n3,-1\n4,2\n", "series 'b' has a negative number in period 0 \\(line 2\\)"),
    ("a\n3\ninf\n", "series 'a' has a gap in period 1"),
    ("3,4\n4,5\n", "its first line has numbers"),
    ("a\n", "it holds no demand"),
    ("week\n1\n2\n", "it holds no demand"),
    ("", "cannot read demand .*No columns"),
    ("a\n3\n4,5\n", r"period 1 \(line 3\) has 2 numbers for 1 column; .* write 3\.5, not 3,5"),
    ("a,b\n3,5,4,5\n1,5,2,5\n", r"period 0 \(line 2\) has 4 numbers for 2 columns"),
    ("week;a\n1;3,5\n", r"period 0 \(line 2\) has 2 numbers for 1 column"),
    ("week;a\n1;3\n", "series 'week;a' has '1;3' in period 0"),
    ("a\n3\n4\n5\n", "a game of 5 periods needs 5 of them, but there are 3"),
]


@pytest.mark.parametrize(("text", "message"), FILES)
def test_files_with_mistakes(tmp_path, text, message):
    path = tmp_path / "demand.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        simulator(f"inventory.series(file='{path}',periods=5,look_back=0)")
    assert "\n" not in str(caught.value)


def test_more_mistakes_with_files(weekly):
    path, _ = weekly
    for given, message in (
        ("first=30", "with look_back = 16 needs 66 of them, but there are 10"),
        ("first=40", "periods 40 to 40 are asked for, but there are 40"),
        ("last=50", "periods 0 to 50 are asked for, but there are 40"),
        ("periods=10,traces=3", "the file's own traces are played"),
    ):
        with pytest.raises(InputError, match=message):
            simulator(f"inventory.series(file='{path}',{given})")
    (path.parent / "two.toml").write_text(TWO_STORES.replace("north", "nroth"))
    with pytest.raises(InputError, match="there is no series of 'nroth': did you mean north"):
        SupplyNetwork.from_file(path.parent / "two.toml")
    changed = TWO_STORES.replace("weekly.csv", "weekly.npy")
    (path.parent / "two.toml").write_text(changed)
    np.save(path.parent / "weekly.npy", np.ones((2, 3)))
    with pytest.raises(InputError, match=r"an array \[2, 3\] is no demand of 2 stores"):
        SupplyNetwork.from_file(path.parent / "two.toml")


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.array([["a"]]), "not demand; give numbers"),
        (np.array([[1, np.nan]]), "series 0 has a gap in period 1"),
        (np.array([[1, 2.0], [-2, 1]]), "series 1 has a negative number in period 0"),
        (np.ones(4), r"an array \[4\] is no demand of 1 store; give"),
    ],
)
def test_arrays_with_mistakes(tmp_path, array, message):
    np.save(tmp_path / "demand.npy", array)
    with pytest.raises(InputError, match=message):
        simulator(f"inventory.series(file='{tmp_path}/demand.npy',periods=1,look_back=0)")


def test_two_arrays_of_a_file_name_it_once(tmp_path):
    np.savez(tmp_path / "two.npz", a=np.ones((1, 3)), b=np.ones((1, 3)))
    with pytest.raises(InputError, match="it holds 2 arrays; give one") as caught:
        simulator(f"inventory.series(file='{tmp_path}/two.npz',periods=1,look_back=0)")
    assert str(caught.value).count("two.npz") == 1


def test_files_that_are_not_here_are_said_to_be_looked_for_here(tmp_path, monkeypatch):
    """As when a run that named them is resumed in another folder."""
    (tmp_path / "two.toml").write_text(TWO_STORES)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    here = re.escape(str(tmp_path / "elsewhere"))
    for name in ("network(file='two.toml')", "series(file='two.csv')"):
        with pytest.raises(InputError, match=f"two.* in {here}; go to the folder .* full path"):
            simulator(f"inventory.{name}")
    (tmp_path / "elsewhere/text.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="not a text file"):
        SupplyNetwork.from_file("text.toml")


# OR-Gym. The records were made by tests/data/record_or_gym.py with or-gym 0.5.0.

RECORDS = ["or_gym_0", "or_gym_1", "or_gym_network_0", "or_gym_network_1"]


def recorded(record):
    text = json.loads((DATA / f"{record}.json").read_text())
    return [{k: np.array(v) for k, v in game.items()} for game in text["games"]]


def of_record(record, legacy):
    kind, version = record[:-2], record[-1]
    return simulator(f"inventory.{kind}(version={version},legacy={legacy})")


@pytest.mark.parametrize("record", RECORDS)
def test_legacy_is_or_gym_step_for_step(record):
    game, records = of_record(record, True), recorded(record)
    state = game.begin(2, dtype=torch.float64)
    for t in range(30):
        seen = np.stack([one["seen"][t] for one in records])
        np.testing.assert_allclose(game.observe(state).nodes[:, 0], seen, atol=1e-9)
        stock = np.stack([one["stock"][t] for one in records])
        np.testing.assert_allclose(game.stock(state), stock, atol=1e-9)
        actions, demand, rewards = (
            torch.tensor(np.stack([one[what][t] for one in records]), dtype=torch.float64)
            for what in ("actions", "demand", "rewards")
        )
        state, flow = game.advance(state, game.orders(state, actions), demand[:, None])
        paid = -flow.cost.sum(1) * game.discount**t
        np.testing.assert_allclose(paid, rewards, atol=1e-9)
    np.testing.assert_allclose(
        game.stock(state), np.stack([one["stock"][30] for one in records]), atol=1e-9
    )
    if "network" in record:  # the records have the defect that factories ship what they lack
        assert min(one["stock"].min() for one in records) < 0


@pytest.mark.parametrize("record", RECORDS)
def test_legacy_is_or_gym_in_single_precision(record, tmp_path):
    """Through `step`, with the recorded demand as a file."""
    records = recorded(record)
    for one in records:
        np.save(tmp_path / "demand.npy", one["demand"][None].astype(float))
        game = of_record(record, True)
        network = SupplyNetwork.model_validate(
            game.network.model_dump()
            | {"demand": {"kind": "series", "file": str(tmp_path / "demand.npy")}}
        )
        game = replace(game, network=network)
        state = game.reset(1, generator())
        for t in range(30):
            seen = game.observe(state).nodes[0, 0]
            np.testing.assert_allclose(seen, one["seen"][t], rtol=1e-4, atol=1e-4)
            action = torch.tensor(one["actions"][t], dtype=torch.float32)[None, None]
            state, step = game.step(state, action, generator())
            np.testing.assert_allclose(step.reward[0, 0], one["rewards"][t], rtol=1e-4, atol=1e-3)
        assert step.truncated.all()
        total = (one["rewards"] / game.discount ** np.arange(30)).sum() / 30
        np.testing.assert_allclose(step.info["cost"][0], -total, rtol=1e-4)


@pytest.mark.parametrize("record", RECORDS[:2])
def test_corrected_shows_what_was_shipped(record):
    """The chain's rewards are OR-Gym's; the pipeline seen holds what arrives, and when."""
    game, records = of_record(record, False), recorded(record)
    state = game.begin(2, dtype=torch.float64)
    due = [[] for _ in range(31)]
    for t in range(30):
        pipeline = game.observe(state).nodes[:, 0, 3:33].unflatten(1, (3, 10)) * 20
        for e, lead in enumerate((3, 5, 10)):
            for p in range(lead):  # shipped in period t - lead + p, arrives in period t + p
                sent = due[t - lead + p][0][:, e] if t - lead + p >= 0 else torch.zeros(2)
                np.testing.assert_allclose(pipeline[:, e, p], sent, atol=1e-4)
        orders, demand, rewards = (
            torch.tensor(np.stack([one[what][t] for one in records]), dtype=torch.float64)
            for what in ("actions", "demand", "rewards")
        )
        state, flow = game.advance(state, orders.trunc(), demand[:, None])
        due[t].append(flow.shipped)
        np.testing.assert_allclose(-flow.cost.sum(1) * game.discount**t, rewards, atol=1e-9)


def test_corrected_network_ships_no_more_than_there_is():
    records = recorded("or_gym_network_1")
    game = of_record("or_gym_network_1", False)
    state = game.begin(2, dtype=torch.float64)
    source = torch.as_tensor(game.arrays.source)
    for t in range(30):
        orders = torch.tensor(np.stack([one["actions"][t] for one in records])).double()
        demand = torch.tensor(np.stack([one["demand"][t] for one in records])).double()
        stock = state.on_hand
        state, flow = game.advance(state, orders, demand[:, None])
        for v in range(6):
            gone = flow.shipped[:, source == v].sum(1)
            assert (gone <= stock[:, v] + 1e-9).all()
        for v, capacity in ((3, 90), (4, 90), (5, 80)):
            assert (flow.shipped[:, source == v].sum(1) <= capacity + 1e-9).all()
        assert (state.on_hand >= -1e-9).all()


# The page.

PAGE = (Path(__file__).parents[3] / "docs/guides/inventory-networks.md").read_text(encoding="utf-8")


def test_the_networks_of_the_page(tmp_path):
    first, second = re.findall(r"```toml\n(.*?)```", PAGE, flags=re.DOTALL)
    (tmp_path / "depot.toml").write_text(first)
    games.check_simulator(simulator(f"inventory.network(file='{tmp_path}/depot.toml')"))
    table = np.random.default_rng(0).poisson(5, (130, 2))
    np.savetxt(tmp_path / "weekly.csv", table, "%d", ",", header="south,north", comments="")
    (tmp_path / "series.toml").write_text(first.split("[demand]")[0] + second)
    game = simulator(f"inventory.network(file='{tmp_path}/series.toml')")
    np.testing.assert_array_equal(game.network.demand.table[0], table[:120, ::-1])


def test_the_page_has_every_key():
    for part in (SupplyNetwork, Location, Link, Poisson, Normal, Season, Series):
        for name in part.model_fields:
            assert f"`{name}`" in PAGE or f"\n{name} = " in PAGE or f"`{name} = " in PAGE, name
    shown = {name for name in SIMULATORS if name.startswith("inventory.")}
    assert shown <= set(re.findall(r"`(inventory\.\w+)`", PAGE))
    keys = inspect.signature(network).parameters
    assert set(keys) - {"file"} <= set(re.findall(r"`(\w+)`", PAGE))


# --- the authors' own instances

# config_files/settings of MatiasAlvo/Neural_inventory_control; the network of two warehouses as in
# minuk302/Neural_inventory_control, n_warehouse_10_2_lost_demand.yml (commit ad4870a03c).
EDGE_LEAD_TIMES = [[0, 0, 6, 6, 6, 0, 6, 5, 6, 0], [2, 1, 2, 2, 1, 2, 0, 2, 2, 2]]
EDGES = [[0, 0, 1, 1, 1, 0, 1, 1, 1, 0], [1, 1, 1, 1, 1, 1, 0, 1, 1, 1]]
# many_warehouses_real_data_lost_demand.yml (commit 3b3dd560d4): a row a store, from each warehouse.
REAL_EDGES = [
    [1, 1, 1, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 1, 1, 1, 1, 1, 1],
    [1, 1, 1, 1, 1, 0, 1, 1, 1, 1, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1],
    [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1],
]
REAL_LEAD_TIMES = [
    [6, 1, 5], [6, 1, 5], [6, 1, 5], [6, 1, 5], [6, 1, 4], [5, 2, 6], [5, 2, 5],
    [5, 2, 5], [5, 1, 5], [5, 2, 5], [5, 2, 5], [5, 2, 6], [5, 2, 5], [5, 2, 6],
    [6, 1, 5], [6, 1, 5], [6, 1, 5], [6, 1, 5], [6, 1, 5], [5, 1, 4], [5, 2, 5],
]  # fmt: skip


def lead_times(network, warehouses):
    """A row a warehouse, a column a store; 0 where no link is."""
    by_ends = {(link.source, link.target): link.lead_time for link in network.links}
    return [
        [by_ends.get((f"warehouse_{w}", store), 0) for store in network.stores]
        for w in range(1, warehouses + 1)
    ]


def authors_draws(stores):
    """As their data_handling.py draws them from the seeds in all of their files."""

    def seeded(seed):  # what numpy.random draws after numpy.random.seed
        return np.random.RandomState(seed)

    mean = seeded(33).uniform(2.5, 7.5, stores).round(3)
    sd = (mean * seeded(92).uniform(0.25, 0.5, stores)).round(3)
    holding = seeded(73).uniform(0.7, 1.3, stores)
    penalty = seeded(28).uniform(6.3, 11.7, stores)
    return mean, sd, holding, penalty, seeded(41).randint(2, 4, stores)


def require_draws(network, worth="penalty"):
    mean, sd, holding, penalty, _ = authors_draws(len(network.stores))
    stores = [network.locations[name] for name in network.stores]
    assert [one.holding for one in stores] == holding.tolist()
    assert [getattr(one, worth) for one in stores] == penalty.tolist()
    if worth == "penalty":
        assert network.demand.mean == tuple(mean)
        assert network.demand.sd == tuple(sd)


@pytest.mark.parametrize("stores", [3, 5, 10, 20, 30, 50])
def test_the_authors_warehouses(stores):
    network = simulator(f"inventory.one_warehouse(stores={stores},instance=published)").network
    require_draws(network)
    *leads, last = [link.lead_time for link in network.links]
    assert leads == authors_draws(stores)[4].tolist()
    assert (last, network.locations["warehouse"].holding) == (3, 0.3)


def test_the_authors_transshipment_centre():
    network = simulator("inventory.transshipment(stores=10,instance=published)").network
    mean, sd, *_ = authors_draws(10)
    assert (network.demand.mean, network.demand.sd) == (tuple(mean), tuple(sd))


@pytest.mark.parametrize("instance", ["0", "published", "superseded"])
def test_the_authors_two_warehouses(instance):
    network = simulator(f"inventory.many_warehouses(instance={instance})").network
    found = lead_times(network, 2)
    holding = [network.locations[f"warehouse_{w}"].holding for w in (1, 2)]
    if instance == "superseded":
        leads = authors_draws(10)[4].tolist()
        assert found == [[a * b for a, b in zip(row, leads, strict=True)] for row in EDGES]
        assert holding == [0.3, 0.35]
    else:
        assert found == EDGE_LEAD_TIMES
        assert holding == [0.3, 0.4]
    if instance != "0":
        require_draws(network)
    costs = [(link.target, link.lead_time, link.cost) for link in network.links[-2:]]
    assert costs == [("warehouse_1", 3, 0.5), ("warehouse_2", 3, 1.5)]
    assert network.demand.correlation == 0.5


def test_the_authors_three_warehouses(tmp_path):
    np.save(tmp_path / "demand.npy", np.full((2, 60, 21), 5.0))
    file = f"file='{tmp_path}/demand.npy',periods=20"
    network = simulator(f"inventory.many_warehouses({file},instance=published)").network
    expected = [
        [edge * REAL_LEAD_TIMES[k][w] for k, edge in enumerate(row)]
        for w, row in enumerate(REAL_EDGES)
    ]
    assert lead_times(network, 3) == expected
    require_draws(network, worth="price")
    assert [network.locations[f"warehouse_{w}"].holding for w in (1, 2, 3)] == [0.3, 0.4, 0.2]
    assert [link.cost for link in network.links[-3:]] == [0.5, 1.5, 0.7]
    with pytest.raises(InputError, match='instance = "superseded" is of two warehouses'):
        simulator(f"inventory.many_warehouses({file},instance=superseded)")


def test_instances_that_there_are_not():
    with pytest.raises(InputError, match="instance") as raised:
        simulator("inventory.one_warehouse(instance=latest)")
    assert "\n" not in str(raised.value)
