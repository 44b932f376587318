"""The encoder of those who act along edges: against torch-geometric, and what it may depend on."""

from dataclasses import replace

import gymnasium
import numpy as np
import pytest
import torch
from torch import nn
from torch_geometric.nn import MessagePassing

from games import InputError
from games.common.settings import checked
from games.inventory.inventory import Inventory
from games.inventory.network import SupplyNetwork
from games.load import simulator
from games.navigation.navigation import Navigation
from games.simulators.simulator import Observation, Role, Spec
from games.simulators.vector import SimulatorVector
from marl.learning.pathwise.hdpo import Players, pathwise_gradient
from marl.networks.edge_encoder import Round, topology
from marl.networks.network import Network
from marl.networks.packing import pack
from marl.networks.policy import Policy
from tests.helpers.learned import sample

torch.set_num_threads(1)
BATCH = 5


def warehouses(stores=3, suppliers=1, warehouses=1, view="graph", lead_time=2, **options):
    """Warehouses that every other store can order from, the first of them all stores."""
    places = {
        f"store {k}": dict(holding=1 + 0.1 * k, penalty=9 - 0.3 * k, unmet="lost", stock=8.0)
        for k in range(stores)
    }
    links = []
    for w in range(warehouses):
        places[f"warehouse {w}"] = dict(holding=0.3, stock=20.0)
        supplier = f"supplier {w % suppliers}"
        links.append(dict(source=supplier, target=f"warehouse {w}", lead_time=3))
        links += [
            dict(source=f"warehouse {w}", target=f"store {k}", lead_time=lead_time, cost=0.1 * k)
            for k in range(stores)
            if not w or (w + k) % 2
        ]
    mean = [4 + 0.5 * k for k in range(stores)]
    network = SupplyNetwork.checked(
        dict(
            locations=places,
            links=links,
            suppliers=[f"supplier {s}" for s in range(suppliers)],
            demand=dict(kind="normal", mean=mean, sd=[0.3 * m for m in mean], correlation=0.5),
        ),
        "network",
    )
    return Inventory(network, name=f"warehouses of {stores}", view=view, **options)


def seen_by(game, batch=BATCH, seed=0, steps=3):
    """What is seen of games after some random orders."""
    generator = torch.Generator().manual_seed(seed)
    state = game.reset(batch, generator)
    for _ in range(steps):
        actions = torch.randn(batch, 1, game.spec.action_width, generator=generator)
        state, _ = game.step(state, actions, generator)
    return game.observe(state)


def network_of(game, seed=0, head=True, **options):
    options = dict(encoder="edges", hidden=(16, 16), activation="elu") | options
    network = Network(**options).build(game.spec.roles[0], game.spec, seed)
    if head:  # as if it had learned something
        weight = network.head.weight
        nn.init.normal_(weight, std=0.2, generator=torch.Generator().manual_seed(seed))
    return network


def answers(network, seen):
    return network(pack(seen, seen.acting, network))


class Hearing(MessagePassing):
    """torch-geometric's mean of what a node's edges say."""

    def __init__(self, flow):
        super().__init__(aggr="mean", flow=flow)

    def forward(self, links, edges, nodes):
        return self.propagate(edges, links=links, size=(nodes, nodes))

    def message(self, links):
        return links


@pytest.mark.parametrize("shape", [dict(stores=4), dict(stores=5, warehouses=3, suppliers=2)])
def test_a_round_is_torch_geometrics(shape):
    game, width = warehouses(**shape), 8
    seen = seen_by(game)
    graph = topology(seen.edges, seen.nodes.shape[0] * seen.nodes.shape[1], BATCH)
    module = Round(width, nn.ELU)
    for parameter in (module.node_constant, module.edge_constant):
        nn.init.normal_(parameter)
    generator = torch.Generator().manual_seed(1)
    v, e = seen.nodes.shape[1], game.arrays.num_links
    nodes = torch.randn(BATCH, v, width, generator=generator)
    links = torch.randn(BATCH, e, width, generator=generator)
    found = module(
        nodes.transpose(0, 1)[graph.nodes].contiguous(), links.transpose(0, 1).contiguous(), graph
    )

    rows, told, (source, target) = nodes.flatten(0, 1), links.flatten(0, 1), seen.edges
    into = Hearing("source_to_target")(told, seen.edges, len(rows))
    out_of = Hearing("target_to_source")(told, seen.edges, len(rows))
    joined = torch.cat([rows, into, out_of], dim=1)
    weight = torch.cat([module.own.weight, module.into.weight, module.out_of.weight], dim=1)
    rows = rows + module.node(nn.functional.elu(joined @ weight.T + module.node_constant))
    joined = torch.cat([told, rows[source], rows[target]], dim=1)
    weight = torch.cat([module.link.weight, module.source.weight, module.target.weight], dim=1)
    told = told + module.edge(nn.functional.elu(joined @ weight.T + module.edge_constant))
    expected = rows.view(BATCH, v, width).transpose(0, 1)[graph.nodes]
    torch.testing.assert_close(found[0], expected, rtol=0, atol=1e-5)
    torch.testing.assert_close(
        found[1], told.view(BATCH, e, width).transpose(0, 1), rtol=0, atol=1e-5
    )


@pytest.mark.parametrize("critic", ["own", "central"])
@pytest.mark.parametrize("share", [False, True])
@pytest.mark.parametrize("shape", [dict(stores=4), dict(stores=5, warehouses=3, suppliers=2)])
def test_renaming_locations_renames_orders(shape, share, critic):
    game = warehouses(**shape)
    network, seen = network_of(game, shared_encoder=share, critic=critic), seen_by(game)
    v, e = seen.nodes.shape[1], game.arrays.num_links
    generator = torch.Generator().manual_seed(2)
    order = torch.cat([torch.zeros(1, dtype=int), 1 + torch.randperm(v - 1, generator=generator)])
    links = torch.randperm(e, generator=generator)
    local = seen.edges[:, :e]  # of the first game
    edges = order.argsort()[local[:, links]][:, None] + v * torch.arange(BATCH)[:, None]
    features = seen.edge_features.view(BATCH, e, -1)[:, links].flatten(0, 1)
    moved = replace(
        seen, nodes=seen.nodes[:, order], edges=edges.reshape(2, -1), edge_features=features
    )
    found, expected = answers(network, moved), answers(network, seen)
    assert expected.parameters[:, :e].std() > 0.1
    for k in (0, e):  # means, then log standard deviations
        torch.testing.assert_close(
            found.parameters[:, k : k + e],
            expected.parameters[:, k : k + e][:, links],
            rtol=0,
            atol=1e-5,
        )
    torch.testing.assert_close(found.value, expected.value, rtol=0, atol=1e-5)


def test_stores_that_are_alike_get_the_same_and_others_do_not():
    game = warehouses(stores=2)
    network, seen = network_of(game), seen_by(game, steps=0)
    nodes = seen.nodes.clone()
    nodes[:, 2] = nodes[:, 1]  # the stores
    features = seen.edge_features.view(BATCH, 3, -1).clone()
    features[:, 2] = features[:, 1]
    same = replace(seen, nodes=nodes, edge_features=features.flatten(0, 1))
    orders = answers(network, same).parameters[:, :3]
    torch.testing.assert_close(orders[:, 1], orders[:, 2])
    nodes[:, 2, 0] += 1.0  # more on hand in the second one
    other = answers(network, same).parameters[:, :3]
    assert ((other - orders).abs() > 1e-3).all()  # the first one's order heard of it, too


def test_games_do_not_hear_of_each_other():
    game = warehouses(stores=3)
    network, many = network_of(game), seen_by(game)
    together = answers(network, many)
    e, v = game.arrays.num_links, many.nodes.shape[1]
    for b in range(BATCH):
        one = Observation(
            many.nodes[b : b + 1],
            many.edges[:, b * e : (b + 1) * e] - b * v,
            many.edge_features[b * e : (b + 1) * e],
            many.acting[b : b + 1],
            many.action_mask[b : b + 1],
        )
        alone = answers(network, one)
        torch.testing.assert_close(alone.parameters[0], together.parameters[b], atol=1e-5, rtol=0)
        torch.testing.assert_close(alone.value[0], together.value[b], atol=1e-5, rtol=0)
    acting = many.acting.clone()
    acting[1] = acting[3] = False  # whoever does not act is left out
    some = network(pack(many, acting, network))
    torch.testing.assert_close(some.parameters, together.parameters[[0, 2, 4]], atol=1e-5, rtol=0)


def test_every_way_to_ask_gives_the_same():
    game = warehouses(stores=3)
    network, seen = network_of(game), seen_by(game)
    given = pack(seen, seen.acting, network)
    parameters, memory = network.policy(given)
    found = network(given)
    assert torch.equal(parameters, found.parameters)
    assert torch.equal(network.value(given), found.value)
    assert (memory, found.memory) == (None, None)
    assert parameters.shape == (BATCH, 8)
    players = Players([network], [0], game.spec, BATCH)
    torch.testing.assert_close(players.act(seen)[:, 0], parameters[:, :4])


def test_minibatches_say_again_what_was_played():
    game = warehouses(stores=3, periods=5)
    network = network_of(game)
    played = sample(SimulatorVector(game, 6), [network], [0], 1, 7, 0.99, 0.95, seed=0)
    count = 0
    for part in played.decisions(0, network).minibatches(3, torch.Generator().manual_seed(0)):
        found = network(part.input)
        torch.testing.assert_close(found.parameters, part["parameters"], rtol=0, atol=1e-5)
        torch.testing.assert_close(
            found.value, part["target"] - part["advantage"], rtol=1e-4, atol=1e-3 * game.periods
        )
        count += len(found.value)
    assert count == 6 * 7


def test_few_stores_teach_many(tmp_path):
    few, many = warehouses(stores=3), warehouses(stores=10)
    config = Network(encoder="edges", hidden=(16, 16))
    policy = Policy.new("few", few.spec, config)
    trained = policy.networks["planner"]
    nn.init.normal_(trained.head.weight)
    larger = config.build(many.spec.roles[0], many.spec, seed=1)
    larger.load_state_dict(trained.state_dict())  # the same names and shapes
    seen = seen_by(many)
    expected = answers(larger, seen).parameters[:, :11]

    elsewhere = policy.fitted("many", many.spec)
    actions = elsewhere.for_game("many", many.spec).act(seen, None)
    assert actions.shape == (BATCH, 1, 11)
    torch.testing.assert_close(actions[:, 0], expected)
    drawn = policy.for_game("many", many.spec).act(seen, torch.Generator().manual_seed(0))
    assert 0.3 < (drawn[:, 0] - expected).std() / torch.tensor(-0.5).exp() < 1.7
    assert elsewhere.networks["planner"].head.weight is trained.head.weight
    assert policy.networks["planner"].role == few.spec.roles[0]  # as it was

    for kept, name in ((policy, "few.pt"), (elsewhere, "many.pt")):
        kept.save(tmp_path / name)
        again = Policy.load(tmp_path / name).for_game("many", many.spec)
        torch.testing.assert_close(again.act(seen, None), actions)


@pytest.mark.parametrize(
    ("options", "other"),
    [
        (dict(encoder="edges"), dict(lead_time=4)),
        (dict(encoder="edges"), dict(actions="quantities")),
        (dict(encoder="edges"), dict(look_back=2)),
        (dict(encoder="mlp"), dict(stores=4, view="planner")),
    ],
)
def test_networks_that_a_policy_cannot_play(options, other):
    config = Network(hidden=(8,), **options)
    view = "graph" if config.encoder == "edges" else "planner"
    here, there = warehouses(view=view), warehouses(**other)
    policy = Policy.new("here", here.spec, config)
    with pytest.raises(
        InputError, match="there has other observations or actions for 'planner' than here"
    ):
        policy.for_game("there", there.spec)


@pytest.mark.parametrize(
    ("view", "options"),
    [
        ("planner", dict(encoder="mlp", hidden=(32, 32, 32))),
        ("planner", dict(encoder="mlp", hidden=(512, 512, 512))),
        ("graph", dict(encoder="edges", hidden=(32, 32))),
    ],
)
def test_untrained_orders_are_the_mean_flow(view, options):
    game = warehouses(stores=3, view=view)
    network = network_of(game, head=False, **options)
    state = game.reset(64, torch.Generator().manual_seed(0))
    actions = Players([network], [0], game.spec, 64).act(game.observe(state))[:, 0]
    assert actions.abs().max() < 0.2
    orders = game.orders(state, actions)
    torch.testing.assert_close(orders[:, 0], torch.full((64,), 13.5), rtol=0.1, atol=0)
    # Of a warehouse's stock of 20, three stores and what it keeps get a quarter each.
    torch.testing.assert_close(orders[:, 1:], torch.full((64, 3), 5.0), rtol=0.1, atol=0)


def test_gradients_are_finite_differences():
    game = warehouses(stores=2)
    network = network_of(game, hidden=(3, 3)).double()
    given = pack(seen_by(game, batch=2), torch.ones(2, 1, dtype=torch.bool), network)
    names = [name for name, _ in network.named_parameters() if name.startswith(("actor", "head"))]
    values = [network.get_parameter(name) for name in names]
    shown = [given.x.double().requires_grad_(), given.edge_features.double().requires_grad_()]

    def means(x, edge_features, *parameters):
        seen = replace(given, x=x, edge_features=edge_features)
        found = torch.func.functional_call(
            network, dict(zip(names, parameters, strict=True)), (seen,)
        )
        return found.parameters[:, :3]

    assert torch.autograd.gradcheck(means, (*shown, *values), eps=1e-6, rtol=1e-5, atol=1e-8)


@pytest.fixture(scope="module")
def series_file(tmp_path_factory):
    """Twelve series of 80 weeks, of different levels and with a season."""
    generator = np.random.default_rng(0)
    level = generator.uniform(3, 8, 12) * (1 + 0.5 * np.sin(np.arange(80) / 5))[:, None]
    path = tmp_path_factory.mktemp("series") / "weekly.csv"
    header = ",".join(f"item {k}" for k in range(12))
    np.savetxt(path, generator.poisson(level), "%d", ",", header=header, comments="")
    return path


@pytest.mark.parametrize(
    ("game", "options", "falls"),
    [
        ("inventory.series(file='{file}',look_back=16,periods=15)", dict(hidden=(64, 64)), 0.15),
        ("inventory.one_warehouse(stores=3,view=graph,periods=15)", dict(encoder="edges"), 0.15),
    ],
    ids=["data-driven", "one warehouse"],
)
def test_supply_networks_learn(game, options, falls, series_file):
    """Cost falls on demand that the policy was not trained on; profit, if it sells, rises."""
    game = simulator(game.format(file=series_file))
    options = dict(encoder="mlp", hidden=(32, 32), activation="elu") | options
    network = Network(**options).build(game.spec.roles[0], game.spec, 0)
    before, _ = pathwise_gradient(game, [network], 128, seed=1000)
    named = dict(network.named_parameters())
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-2)
    for step in range(20):
        _, (gradients,) = pathwise_gradient(game, [network], 32, seed=step)
        for name, gradient in gradients.items():
            named[name].grad = gradient
        optimiser.step()
    after, _ = pathwise_gradient(game, [network], 128, seed=1000)
    assert all(name in gradients for name in named if name.startswith(("actor", "head")))
    assert after < before - falls * before.abs()


def spec_of(space, agents=1, edge_features=2):
    return Spec("game", (Role("walker", space, 3),), (0,) * agents, 4, edge_features)


BOX = gymnasium.spaces.Box(-1, 1, (2,))


@pytest.mark.parametrize(
    "spec",
    [
        warehouses(view="planner").spec,
        warehouses(view="locations").spec,
        Navigation(agents=2).spec,
        spec_of(gymnasium.spaces.Discrete(3)),
        spec_of(gymnasium.spaces.Box(torch.tensor([0.0, 1.0]).numpy(), 2.0)),
        spec_of(BOX, edge_features=0),
    ],
    ids=["planner", "locations", "navigation", "discrete", "bounds", "no edges"],
)
def test_games_without_edges_to_act_along(spec):
    with pytest.raises(InputError) as caught:
        Network(encoder="edges").build(spec.roles[0], spec, 0)
    assert str(caught.value) == (
        f'{spec.name}: encoder "edges" is for one agent that sees a graph and acts on every '
        'edge of it, as in inventory games with view = "graph"; use another encoder'
    )


def test_games_with_other_edges():
    spec = spec_of(BOX)
    network = Network(encoder="edges", hidden=(8,)).build(spec.roles[0], spec, 0)

    def seen(edges):
        nodes, edges = torch.randn(2, 4, 3), torch.tensor(edges).T
        return Observation(
            nodes,
            edges,
            torch.randn(edges.shape[1], 2),
            torch.ones(2, 1, dtype=torch.bool),
            torch.ones(2, 1, 0, dtype=torch.bool),
        )

    assert answers(network, seen([[0, 1], [1, 2], [4, 5], [5, 6]])).parameters.shape == (2, 4)
    for edges in ([[0, 1], [1, 2], [4, 5], [6, 5]], [[0, 1], [1, 2], [4, 5]]):
        with pytest.raises(InputError, match="needs games that all have the same edges"):
            answers(network, seen(edges))
    with pytest.raises(InputError, match="acts on each of 1 edges, but an action of walker h"):
        answers(network, seen([[0, 1], [4, 5]]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hidden": [32, 16]}, "give hidden equal widths, not [32, 16]"),
        ({"hidden": []}, "give hidden at least one width"),
        ({"memory": 4}, "encoder edges has no memory: set memory = 0"),
    ],
)
def test_encoders_that_cannot_be(options, message):
    with pytest.raises(InputError, match=r"^network: ") as caught:
        checked(Network, {"encoder": "edges"} | options, "network")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
