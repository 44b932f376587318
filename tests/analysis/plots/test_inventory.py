"""Pictures of supply networks: what is drawn is what was played."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import networkx as nx
import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, Patch

import analysis
import scenarios
from analysis.inventory.history import KINDS, record
from analysis.plots import inventory as plot_inventory
from analysis.plots import learning as plot_learning
from analysis.plots import network as plot_network
from games import InputError
from games.inventory.draw import DOTS, KEY, ON_ITS_WAY, STOCK, WAITING, places
from games.inventory.network import SupplyNetwork
from games.load import simulator
from games.simulators.pictures import animate
from scenarios.training.result import TrainingResult
from scenarios.training.work import draw

NOTEBOOKS = Path(analysis.__file__).parent / "notebooks"
NAMES = [
    "inventory.lost_sales(lead_time=2,periods=20)",
    "inventory.backlogged(lead_time=7,periods=20)",
    "inventory.serial(periods=20)",
    "inventory.transshipment(stores=5,periods=20)",
    "inventory.one_warehouse(stores=10,periods=20)",
    "inventory.one_warehouse(stores=50,periods=5)",
    "inventory.many_warehouses(periods=20)",
    "inventory.many_warehouses(file='{file}',start=0,look_back=4,periods=5)",
    "inventory.or_gym(version=1)",
    "inventory.or_gym_network(periods=12)",
    "inventory.or_gym_network(version=1,legacy=True,periods=6)",
]


@pytest.fixture(scope="module")
def series(tmp_path_factory):
    """A file of 21 stores' demand."""
    path = tmp_path_factory.mktemp("demand") / "series.npy"
    np.save(path, np.random.default_rng(0).poisson(4.0, (6, 20, 21)).astype(np.float32))
    return path


@pytest.fixture(params=NAMES)
def game(request, series):
    return simulator(request.param.format(file=series))


def mean_orders(game):
    """Orders what flows on average."""
    flow = torch.tensor(game.arrays.link_flow, dtype=torch.float32)
    return lambda state: flow.expand(len(state.period), -1)


def played(game, **options):
    return record(game, mean_orders(game), **{"games": 8, "seed": 3, **options})


# --- what happened


def test_costs_are_those_of_the_game(game):
    """Against the rewards of `step`, which draws the same demand from the same seed."""
    history = played(game)
    asked = replace(game, actions="quantities", view="planner", discount=1.0)
    generator = torch.Generator().manual_seed(3)
    state = asked.reset(8, generator)
    for t in range(game.periods):
        state, step = asked.step(state, mean_orders(game)(state)[:, None], generator)
        # Sums of costs some of which are revenue: single precision of the largest.
        np.testing.assert_allclose(history.total[t], -step.reward[:, 0], rtol=1e-4, atol=2e-3)


def test_kinds_of_costs_of_one_store():
    """Holding, penalty and revenue of a loop over single units' worth of arithmetic."""
    history = played(simulator("inventory.lost_sales(lead_time=3,penalty=7,holding=2,periods=12)"))
    stock, way = history.on_hand[0, :, 0], list(history.pipeline[0, :, 0].T)
    for t in range(12):
        demand = history.demand[t, :, 0]
        left, lost = np.maximum(stock - demand, 0), np.maximum(demand - stock, 0)
        np.testing.assert_allclose(history.cost["holding"][t, :, 0], 2 * left, atol=1e-4)
        np.testing.assert_allclose(history.cost["penalty"][t, :, 0], 7 * lost, atol=1e-4)
        np.testing.assert_allclose(history.unmet[t, :, 0], lost, atol=1e-4)
        way.append(np.full(8, 5.0))
        stock = left + way.pop(0)
    assert not history.cost["links"].any()
    assert not history.cost["revenue"].any()
    assert history.visits(2).shape == (80, 3)
    np.testing.assert_array_equal(history.visits(2)[:8, 0], history.on_hand[2, :, 0])


def test_prices_of_a_chain():
    """OR-Gym's chain: each stage pays its link's price, which the next one earns, and for asking
    for more than it gets."""
    game = simulator("inventory.or_gym(version=1,periods=12)")
    history = played(game)
    bought = history.shipped * np.array([1.5, 1.0, 0.5])  # [T, R, 3]
    short = (20.0 - history.shipped) * np.array([0.075, 0.05, 0.025])
    expected = bought + short
    expected[..., 1:] -= bought[..., :-1]
    np.testing.assert_allclose(history.cost["links"], expected, atol=1e-3)
    sold = history.demand[..., 0] - history.unmet[..., 0]
    np.testing.assert_allclose(history.cost["revenue"][..., 0], -2.0 * sold, atol=1e-3)


# --- the network


def test_where_locations_stand():
    network = simulator("inventory.or_gym_network()").network
    found = {name: (round(float(x), 9), round(float(y), 9)) for name, (x, y) in
             places(network).items()}  # fmt: skip
    assert found == {
        "source_7": (0, 0.75), "source_8": (0, -0.75),
        "factory_4": (1, 1), "factory_5": (1, 0), "factory_6": (1, -1),
        "distributor_2": (2, 0.75), "distributor_3": (2, -0.75), "retailer": (3, 0),
    }  # fmt: skip


def test_columns_are_distances_from_suppliers(game):
    graph, spot = game.network.graph, places(game.network)
    assert len({tuple(np.round(point, 6)) for point in spot.values()}) == len(graph)
    last = nx.dag_longest_path_length(graph, weight=None, default_weight=1)
    for name, (x, _) in spot.items():
        ways = [nx.dag_longest_path_length(graph.subgraph(nx.ancestors(graph, name) | {name}))]
        assert x == (last if not graph.out_degree(name) else max(ways))


def test_the_network_with_its_flows(game):
    history = played(game)
    figure = plot_network.network(history, title="flows")
    arrays, links = game.arrays, game.network.links
    drawn = {
        patch.get_label(): patch.get_linewidth()
        for patch in figure.axes[0].patches
        if isinstance(patch, FancyArrowPatch)
    }
    assert list(drawn) == [f"{link.source} -> {link.target}" for link in links]
    widths, flows = np.array(list(drawn.values())), history.shipped.mean(axis=(0, 1))
    assert flows.max() > 0
    expected = np.maximum(plot_network.WIDEST * flows / flows.max(), plot_network.THINNEST)
    np.testing.assert_allclose(widths[flows > 0], expected[flows > 0], rtol=1e-9)

    said = [text for text in figure.axes[0].texts if text.get_text() != "flows"]
    stock = history.on_hand.clip(0).mean(axis=(0, 1))
    named = {text.get_text() for text in said}
    for name, units in zip(arrays.names, stock, strict=True):
        assert f"{name.replace('_', ' ')}  {units:.3g}" in named
    assert {name.replace("_", " ") for name in game.network.suppliers} <= named
    leads = [text for text in said if text.get_gid() == "lead time"]
    assert [text.get_text() for text in leads] == [str(link.lead_time) for link in links]

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    boxes = np.array([t.get_window_extent(canvas.get_renderer()).extents for t in said])
    low = np.maximum(boxes[:, None, :2], boxes[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    over = (high - low).clip(0).prod(axis=2)
    np.fill_diagonal(over, 0)
    covered = [(said[i].get_text(), said[j].get_text()) for i, j in np.argwhere(over)]
    assert not covered
    page = figure.bbox.extents
    assert (boxes[:, :2] >= page[:2]).all()
    assert (boxes[:, 2:] <= page[2:]).all()


def test_colours_say_how_long_stock_lasts():
    """Two periods of its flow at the warehouse, one at the first store, none at the second."""
    network = simulator("inventory.one_warehouse(stores=2)").network
    figure = plot_network.network(network, flows=[3.0, 1.0, 4.0], stock=[3.0, 0.0, 8.0])
    bar = figure.axes[1]
    assert bar.get_ylabel() == "stock, periods of its flow"
    assert bar.get_ylim() == (0, 2)
    shades = [mark.get_facecolor() for mark in figure.axes[0].collections]
    warehouse, stores = shades[1], shades[2]
    depth = 3 - np.concatenate((warehouse, stores))[:, :3].sum(axis=1)
    assert depth[0] > depth[1] > depth[2]


def test_a_network_alone_and_random_lead_times():
    network = SupplyNetwork.model_validate(
        {
            "locations": {"a": {"customers": True}, "b": {}},
            "links": [
                {"source": "supplier", "target": "a", "lead_time": (0, 0.5, 0, 0.5)},
                {"source": "a", "target": "b"},
                {"source": "supplier", "target": "b", "lead_time": 9},
            ],
            "demand": {"kind": "poisson", "mean": 3},
        }
    )
    figure = plot_network.network(network)
    leads = [text.get_text() for text in figure.axes[0].texts if text.get_gid() == "lead time"]
    assert leads == ["1–3", "1", "9"]
    assert len(figure.axes) == 1  # no scale of colours that says nothing
    ways = [p for p in figure.axes[0].patches if isinstance(p, FancyArrowPatch)]
    assert [way.get_connectionstyle().rad != 0 for way in ways] == [False, False, True]


# --- costs


def test_bars_are_means(game):
    history = played(game)
    figure = plot_inventory.costs(history, ignore=2, title="costs")
    left, right = figure.axes
    names = [name.replace("_", " ") for name in game.arrays.names]
    assert [label.get_text() for label in right.get_yticklabels()] == names
    sums = np.zeros(len(names))
    for bar in right.patches:
        sums[round(bar.get_y() + bar.get_height() / 2)] += bar.get_width()
    expected = sum(history.cost[kind][2:].mean(axis=(0, 1)) for kind in KINDS)
    np.testing.assert_allclose(sums, expected, atol=1e-9)
    assert len(left.get_lines()) == 4
    *_, line, since = left.get_lines()
    np.testing.assert_allclose(line.get_ydata(), history.total.mean(axis=1))
    assert list(since.get_xdata()) == [2, 2]
    kinds = [kind for kind in KINDS if history.cost[kind].any()]
    shown = [text.get_text() for text in figure.legends[0].get_texts()]
    assert shown == [*kinds, "all together", "80% of games", "from period 2: counted"]


def test_stacks_end_at_the_sum_and_bands_hold_four_fifths():
    history = played(simulator("inventory.or_gym(periods=12)"), games=50)
    figure = plot_inventory.costs(history)
    left, _ = figure.axes
    areas = left.collections
    ends = np.zeros(12)
    for area in areas:
        (path,) = area.get_paths()
        for t in range(12):
            heights = path.vertices[path.vertices[:, 0] == t, 1]
            far = heights[np.argmax(np.abs(heights))]
            near = heights[np.argmin(np.abs(heights))]
            ends[t] += far - near
    np.testing.assert_allclose(ends, history.total.mean(axis=1), rtol=1e-9)
    low, high = (line.get_ydata() for line in left.get_lines()[:2])
    total = history.total.T
    inside = (total >= low) & (total <= high)
    assert set(inside.sum(axis=0)) <= {40, 41, 42}  # of 50; more where games are as dear
    # Nothing tints the areas: each is opaque, of the colour that the legend gives its kind.
    handles = figure.legends[0].legend_handles
    legend = [handle.get_facecolor() for handle in handles if isinstance(handle, Patch)]
    assert {tuple(c) for area in areas for c in area.get_facecolor()} == {tuple(c) for c in legend}
    assert {color[3] for color in legend} == {1.0}


def cut_off(ax):
    return [text.get_text() for text in ax.texts if text.get_gid() == "cut off"]


def test_costs_of_the_beginning_do_not_squash_the_rest():
    """Ten stores that begin with next to nothing: the periods that count fill the picture."""
    history = played(simulator("inventory.one_warehouse(stores=10,periods=40)"))
    left, _ = plot_inventory.costs(history, ignore=20).axes
    low, high = left.get_ylim()
    dear = np.percentile(history.total, 90, axis=1)
    assert dear.max() > 2 * dear[20:].max()
    assert low <= 0
    assert dear[20:].max() < high < 1.5 * dear[20:].max()
    assert cut_off(left) == [f"▲ up to {dear.max():,.0f}"]
    # Not said from when on: the first tenth is the beginning. A calm game is shown whole.
    calm = played(simulator("inventory.or_gym(periods=30)"))
    left, _ = plot_inventory.costs(calm).axes
    assert cut_off(left) == []
    assert left.get_ylim()[1] > calm.total.mean(axis=1).max()


def test_many_locations_are_cut():
    history = played(simulator("inventory.one_warehouse(stores=70,periods=4)"), games=2)
    dear = sum(each.mean(axis=(0, 1)) for each in history.cost.values())
    _, right = plot_inventory.costs(history).axes
    assert "60 of 71 locations" in right.get_xlabel()
    dearest = history.game.arrays.names[int(np.argmax(dear))]
    assert dearest.replace("_", " ") in [t.get_text() for t in right.get_yticklabels()]


# --- orders

LEAD = 3
BEST = analysis.lost_sales(5.0, LEAD, penalty=9)


def capped(on_hand, pipeline):
    return np.clip(24 - on_hand - pipeline.sum(-1), 0, 7)


def visits(count=4000):
    rng = np.random.default_rng(1)
    return np.column_stack([rng.poisson(8, count), *rng.poisson(5, (LEAD - 1, count))])


@pytest.mark.parametrize("against", ["total", "first"])
def test_surfaces_are_the_policies(against):
    states = visits()
    figure = plot_inventory.order_surface(capped, BEST, states, against=against, title="L = 3")
    panels = [ax for ax in figure.axes if ax.get_xlabel()]
    tables = [np.asarray(ax.images[0].get_array()) for ax in panels]
    assert tables[0].shape[0] > 8
    for y, row in enumerate(tables[0]):
        first, second = (y, 5) if against == "first" else ((y + 1) // 2, y // 2)
        for x, order in enumerate(row):
            assert order == capped(np.array(x), np.array([first, second]))
            assert tables[1][y, x] == BEST.order(x, [first, second])
    np.testing.assert_array_equal(tables[2], tables[0] - tables[1])
    off = capped(states[:, 0], states[:, 1:]) - BEST.order(states[:, 0], states[:, 1:])
    said = f"{off.mean():+.2f} units on average, {np.abs(off).mean():.2f} apart"
    assert panels[2].get_title().endswith(said)
    assert [panels[0].get_title(), panels[1].get_title()] == ["learned", "optimal"]
    assert all(len(ax.collections) == 1 for ax in panels)  # the contours


def scales(figure):
    """What the ends of its scales of colours say, from left to right."""
    bars = [ax._colorbar for ax in figure.axes if hasattr(ax, "_colorbar")]
    return [bar.extend for bar in bars]


@pytest.mark.parametrize(
    ("rare", "extend"), [(9, "max"), (-9, "min"), (0, "neither")], ids=["more", "less", "as much"]
)
def test_scales_that_saturate_say_so(rare, extend):
    """Where nobody comes the difference is larger than the scale, which is that of the visits."""

    def away(on_hand, pipeline):
        nobody = (on_hand == 0) & (pipeline.sum(-1) == 0)
        return BEST.order(on_hand, pipeline) + np.where(nobody, rare, 0)

    states = visits()
    assert (states.sum(axis=1) > 0).all()
    figure = plot_inventory.order_surface(away, BEST, states)
    assert scales(figure) == ["neither", extend]
    assert ("beyond the scale" in figure.get_supxlabel()) == (extend != "neither")
    assert figure.get_supxlabel().startswith("lines hold 50%, 90% and 99% of the states met")


def test_contours_hold_the_visits():
    rng = np.random.default_rng(0)
    density = rng.dirichlet(np.full(400, 0.3)).reshape(20, 20)
    for level, held in zip(plot_inventory.levels(density), (0.99, 0.9, 0.5), strict=True):
        assert density[density >= level].sum() >= held > density[density > level].sum()


def test_the_line_of_a_base_stock_policy():
    states = visits(500)
    figure = plot_inventory.order_line(capped, 24, states, cap=7)
    points, line = figure.axes[0].get_lines()
    position = states.sum(axis=1)
    np.testing.assert_array_equal(points.get_xdata(), position)
    np.testing.assert_allclose(
        np.interp(position, line.get_xdata(), line.get_ydata()), points.get_ydata(), atol=1e-9
    )
    assert "0.00 units from the line" in figure.axes[0].get_title()
    figure = plot_inventory.order_line(capped, 25, states)
    expected = np.abs(capped(states[:, 0], states[:, 1:]) - np.maximum(25 - position, 0)).mean()
    assert f"{expected:.2f} units from the line" in figure.axes[0].get_title()


# --- frames


def painted(picture, colour):
    """[2, n] rows and columns of the pixels of a colour."""
    wanted = np.round(255 * np.array(to_rgba(colour)[:3]))
    return np.argwhere((np.abs(picture.astype(int) - wanted) <= 2).all(axis=2)).T


def without_key(picture):
    return picture[: -round(DOTS * KEY)]


def test_frames_say_what_is_what(game):
    """Below every frame stand all colours that it may have, the same ones in all of a game."""
    first, later = (game.frame(game.reset(1, torch.Generator().manual_seed(k))) for k in (0, 1))
    key = first[-round(DOTS * KEY) :]
    np.testing.assert_array_equal(key, later[-round(DOTS * KEY) :])
    assert min(len(painted(key, colour)[0]) for colour in (STOCK, WAITING, ON_ITS_WAY)) > 10
    assert len(painted(key, "black")[0]) + len(painted(key, "0.25")[0]) > 100  # and words


def test_the_disc_of_the_key_is_a_periods_flow():
    game = simulator("inventory.lost_sales(lead_time=4)")
    pipeline = torch.zeros(1, 1, 3)
    pipeline[0, 0, 1] = 5.0  # the mean demand
    picture = game.frame(replace(game.begin(1), pipeline=pipeline))
    disc, key = (len(painted(part, ON_ITS_WAY)[0]) for part in np.split(picture, [-50]))
    assert key == pytest.approx(disc, rel=0.15)
    pipeline[0, 0, 1] = 5.0 * 99  # as at most six periods' flow
    more = without_key(game.frame(replace(game.begin(1), pipeline=pipeline)))
    assert len(painted(more, ON_ITS_WAY)[0]) == pytest.approx(6 * disc, rel=0.25)


def test_more_than_a_full_gauge_is_marked():
    """A gauge of 5 units * 6 periods is full at 30; beyond, an arrow points out of its end."""
    game = simulator("inventory.backlogged(lead_time=4)")

    def outside(units, columns):
        on_hand = torch.tensor([[units]])
        picture = without_key(game.frame(replace(game.begin(1), on_hand=on_hand)))
        return int((picture[60:180, columns].max(axis=2) < 120).sum())

    right, left = slice(594, 597), slice(524, 529)  # pixels beside the gauge
    assert outside(29.0, right) == outside(29.0, left) == outside(-29.0, left) == 0
    assert outside(31.0, right) > 5
    assert outside(31.0, left) == outside(-31.0, right) == 0
    assert outside(-31.0, left) > 5


def test_frames_of_all_settings(game, tmp_path):
    generator = torch.Generator().manual_seed(0)
    state = game.reset(2, generator)
    frames = [game.frame(state, 1)]
    for _ in range(4):
        actions = mean_orders(game)(state)[:, None] if game.actions == "quantities" else (
            torch.zeros(2, 1, game.arrays.num_links)
        )  # fmt: skip
        state, _ = game.step(state, actions, generator)
        frames.append(game.frame(state, 1))
    assert {frame.shape for frame in frames} == {frames[0].shape}
    assert all(frame.dtype == np.uint8 for frame in frames)
    assert (frames[0] != frames[4]).any()
    animate(frames, tmp_path / "game.gif")


def test_gauges_say_what_is_on_hand():
    """A gauge of one store with lead time 4 is full at 5 units * 6 periods."""
    game = simulator("inventory.backlogged(lead_time=4)")
    state = game.begin(1)

    def pixels(units, colour):
        frame = without_key(game.frame(replace(state, on_hand=torch.tensor([[units]]))))
        return len(painted(frame, colour)[0])

    full = pixels(30.0, STOCK)
    assert full > 400
    assert pixels(15.0, STOCK) == pytest.approx(full / 2, rel=0.05)
    assert pixels(99.0, STOCK) == full
    assert pixels(-15.0, WAITING) == pytest.approx(full / 2, rel=0.05)
    assert pixels(-15.0, STOCK) == pixels(15.0, WAITING) == 0
    left, right = 530, 592  # pixels, the gauge's ends
    for units, colour, end in ((15.0, STOCK, left), (-15.0, WAITING, right)):
        frame = without_key(game.frame(replace(state, on_hand=torch.tensor([[units]]))))
        assert painted(frame, colour)[1].mean() == pytest.approx((end + 561) / 2, abs=2)


def test_goods_travel_along_their_link():
    """With a lead time of 4, orders of 1, 2 and 3 periods ago are 1/4, 2/4 and 3/4 of the way."""
    game = simulator("inventory.lost_sales(lead_time=4)")
    middle, areas = [], []
    for slot in (2, 1, 0):
        pipeline = torch.zeros(1, 1, 3)
        pipeline[0, 0, slot] = 5.0 * (slot + 1)
        frame = without_key(game.frame(replace(game.begin(1), pipeline=pipeline)))
        rows, columns = painted(frame, ON_ITS_WAY)
        middle.append(columns.mean())
        areas.append(len(rows))
    start, end = 110, 530  # pixels, the supplier and the store's gauge
    np.testing.assert_allclose(middle, start + (end - start) * np.array([0.25, 0.5, 0.75]), atol=1)
    np.testing.assert_allclose(np.array(areas) / areas[2], [3, 2, 1], rtol=0.2)


# --- learning


def rows_of_a_run(**more):
    rows = [
        {
            "update": k, "steps": 100 * k, "games": 2 * k, "return": -450 / k,
            "episode_steps": 50.0, "cost": 9.0 / k, "fill_rate": 1 - 0.5 / k, "loss": 0.2 / k,
            "gradient_norm": 1.0 / k, "learn_seconds": 0.1,
        }
        for k in range(1, 6)
    ]  # fmt: skip
    return [row | {name: f(row["update"]) for name, f in more.items()} for row in rows]


def named(ax):
    handles, names = ax.get_legend_handles_labels()
    return dict(zip(names, handles, strict=True))


def test_learning_curves_of_an_inventory_run():
    """The cost with its optimum, and the gap in percent; not the return, its mirror image, nor a
    length that all games share, nor how fast it went."""
    rows = rows_of_a_run(
        eval_cost=lambda k: 6 + 2 / k, eval_optimum=lambda k: 6.0, eval_gap=lambda k: 100 / (3 * k),
        eval_return=lambda k: -5000 * (6 + 2 / k), eval_episode_steps=lambda k: 1500.0,
    )  # fmt: skip
    figure = plot_learning.learning(pd.DataFrame(rows), target={"eval_gap": 0.5})
    panels = {ax.get_title(): ax for ax in figure.axes}
    assert list(panels) == [
        "cost a period", "gap to the optimum, %", "fill rate", "gradient norm",
    ]  # fmt: skip
    cost = named(panels["cost a period"])
    assert list(cost) == ["training", "evaluation", "optimum in the long run, 6"]
    np.testing.assert_allclose(cost["training"].get_ydata(), [9 / k for k in range(1, 6)])
    np.testing.assert_allclose(cost["evaluation"].get_ydata(), [6 + 2 / k for k in range(1, 6)])
    assert list(cost["optimum in the long run, 6"].get_ydata()) == [6, 6]
    low, high = panels["cost a period"].get_ylim()
    assert low < 6 < high
    gap = named(panels["gap to the optimum, %"])
    np.testing.assert_allclose(gap["evaluation"].get_ydata(), [100 / (3 * k) for k in range(1, 6)])
    assert list(gap["target"].get_ydata()) == [0.5, 0.5]
    assert panels["gap to the optimum, %"].get_yscale() == "log"
    said = figure.legends[0].get_title().get_text()
    assert said == "the same throughout: steps a game 50, evaluated 1500"
    rows[2]["episode_steps"] = 40.0
    titles = [ax.get_title() for ax in plot_learning.learning(pd.DataFrame(rows)).axes]
    assert "steps a game" in titles


def test_a_return_that_is_no_mirror_of_the_cost_is_shown():
    """Of others' games, in which a cost is something else."""
    rows = rows_of_a_run()
    rows[3]["return"] = -1.0
    titles = [ax.get_title() for ax in plot_learning.learning(pd.DataFrame(rows)).axes]
    assert titles[:2] == ["cost", "return a game"]  # and nothing is said to be a period's


def test_two_evaluations_make_no_panel_of_the_gap():
    rows = rows_of_a_run()
    for k in (1, 3):
        rows[k] |= {"eval_cost": 7.0, "eval_lower_bound": 5.0, "eval_gap": 40.0}
    final = {"cost": 6.0, "cost_error": 0.1, "gap": 20.0, "gap_low": 16.0, "gap_high": 24.0}
    figure = plot_learning.learning(pd.DataFrame(rows), final=final)
    assert [ax.get_title() for ax in figure.axes] == ["cost a period", "fill rate", "gradient norm"]
    assert "lower bound in the long run, 5" in named(figure.axes[0])
    said = figure.legends[0].get_title().get_text().split("\n")
    assert said[-1] == "evaluation at the end: 20.00% (16.00 to 24.00) above the lower bound"


def test_a_gap_within_its_error_is_on_a_plain_axis():
    """Below 0 there are no logarithms; the first gap is cut off all the same."""
    rows = rows_of_a_run(
        eval_cost=lambda k: 6.0, eval_optimum=lambda k: 6.0, eval_gap=lambda k: 900 / k**4 - 2
    )
    final = {"gap": 0.1, "gap_low": -0.2, "gap_high": 0.4}
    figure = plot_learning.learning(pd.DataFrame(rows), names=["gap"], final=final)
    (ax,) = figure.axes
    assert (ax.get_yscale(), cut_off(ax)) == ("linear", ["▲ up to 898"])
    assert ax.get_ylim()[0] < -0.56 < 54.25 < ax.get_ylim()[1] < 100


def test_a_run_is_drawn_with_its_optimum_and_last_evaluation(tmp_path, monkeypatch):
    """learning.png of lost sales, L = 4, p = 9: Zipkin (2008) has 6.84 as its optimum."""
    scenario = scenarios.find("lost-sales")
    pd.DataFrame(rows_of_a_run(seconds=float)).to_csv(tmp_path / "metrics.csv", index=False)
    result = TrainingResult(
        scenario.game, "hdpo", 5, 500, 1.0, {}, {}, {"cost": 6.9, "cost_error": 0.01}
    )
    figures = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, path, dpi: figures.append((figure, path)))
    draw(tmp_path, scenario, result)
    ((figure, path),) = figures
    assert path == tmp_path / "learning.png"
    cost = named(figure.axes[0])
    assert list(cost) == [
        "training",
        "optimum in the long run, 6.836",
        "evaluation at the end, 95%",
    ]
    assert cost["optimum in the long run, 6.836"].get_ydata()[0] == pytest.approx(6.84, abs=0.005)


@pytest.mark.parametrize("file", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda file: file.stem)
def test_two_axes_of_a_notebook_have_a_legend(file):
    cells = ["".join(cell["source"]) for cell in json.loads(file.read_text())["cells"]]
    bare = [cell for cell in cells if "twinx()" in cell and ".legend(" not in cell]
    assert not bare


# --- what is refused


def test_what_is_refused():
    game = simulator("inventory.one_warehouse(stores=3,periods=4)")
    history = played(game)
    with pytest.raises(InputError, match=r"^flows: shape \(2,\); one number, at least 0, for each"):
        plot_network.network(game, flows=[1.0, 2.0])
    with pytest.raises(InputError, match=r"^stock: shape \(4,\); one number, at least 0"):
        plot_network.network(game, stock=[1.0, 2.0, 3.0, -1.0])
    with pytest.raises(InputError, match=r"has 4 links; visits are listed of one store"):
        history.visits()
    with pytest.raises(InputError, match=r"^ignore = 4 of 4 periods leaves none that counts"):
        plot_inventory.costs(history, ignore=4)
    with pytest.raises(InputError, match=r"^orders: shape \(8, 1\); \(8, 4\) is needed"):
        record(game, lambda state: torch.zeros(8, 1), games=8)
    with pytest.raises(InputError, match=r"^at a lead time of 1 nothing is on its way"):
        plot_inventory.order_surface(capped, capped, np.ones((5, 1)))
    with pytest.raises(InputError, match=r"^visits: shape \(5,\); states \[M, L\] are needed"):
        plot_inventory.order_line(capped, 3.0, np.ones(5))
