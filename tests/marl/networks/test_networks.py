"""Networks: what they may and may not depend on, and their parts against torch's and PyG's own."""

import pickle
from dataclasses import replace
from itertools import product

import gymnasium
import pytest
import torch
from torch import nn
from torch_geometric.nn import MessagePassing

from games import InputError
from games.common.settings import checked
from games.simulators.simulator import Observation, Role, Spec
from marl.networks.activations import Tanh
from marl.networks.categorical import MASKED
from marl.networks.graph_encoder import GroupMax, mean_and_max
from marl.networks.network import Network
from marl.networks.packing import Input, nodes_in_play, pack

torch.set_num_threads(1)
F, G = 5, 3
SPACES = {
    "discrete": gymnasium.spaces.Discrete(4),
    "multi": gymnasium.spaces.MultiDiscrete([3, 2]),
    "box": gymnasium.spaces.Box(-1, 1, (2,)),
}
OPTIONS = [
    dict(encoder=encoder, critic=critic, shared_encoder=share, memory=memory)
    for encoder, critic, share, memory in product(
        ("mlp", "attention", "convolution"), ("own", "central"), (False, True), (0, 6)
    )
]
FIELDS = ("parameters", "value", "memory")  # of Output
NAMES = ["-".join(str(value) for value in row.values()) for row in OPTIONS]


def spec_of(agents=4, extra=2, space="discrete", edge_features=G):
    role = Role("walker", SPACES[space], F)
    return Spec("test", (role,), (0,) * agents, agents + extra, edge_features)


def observed(spec, batch, seed=0, degree=2.0, act=0.7):
    """Random games: about `degree` edges a node, some nodes with none; some agents do not act."""
    generator = torch.Generator().manual_seed(seed)
    nodes = torch.randn(batch, spec.num_nodes, spec.features, generator=generator)
    chance = degree / spec.num_nodes
    linked = torch.rand(batch, spec.num_nodes, spec.num_nodes, generator=generator) < chance
    linked[:, :, -1] = linked[:, -1] = False  # the last node stands alone
    game, source, target = linked.nonzero(as_tuple=True)
    edges = torch.stack([source, target]) + game * spec.num_nodes
    acting = torch.rand(batch, spec.num_agents, generator=generator) < act
    mask = torch.rand(batch, spec.num_agents, spec.mask_width, generator=generator) < 0.7
    mask[..., :1] = True
    features = torch.randn(edges.shape[1], spec.edge_features, generator=generator)
    return Observation(nodes, edges, features, acting, mask)


def network_of(spec, seed=0, **options):
    options = dict(hidden=(8, 8), heads=2) | options
    return Network(**options).build(spec.roles[0], spec, seed)


def remembering(network, count, seed=1):
    """Random memory [count, M] for a network that has one."""
    generator = torch.Generator().manual_seed(seed)
    return (
        torch.randn(count, network.memory_width, generator=generator)
        if network.memory_width
        else None
    )


def asked(network, seen, deciding=None):
    deciding = seen.acting if deciding is None else deciding
    return pack(seen, deciding, network, remembering(network, int(deciding.sum())))


@pytest.mark.parametrize("options", OPTIONS, ids=NAMES)
@pytest.mark.parametrize(("space", "width"), [("discrete", 4), ("multi", 5), ("box", 4)])
def test_shapes_and_the_three_ways_to_ask(options, space, width):
    spec = spec_of(space=space)
    network, seen = network_of(spec, **options), observed(spec, 6)
    given, count = asked(network, seen), int(seen.acting.sum())
    found = network(given)
    assert found.parameters.shape == (count, width)
    assert found.value.shape == (count,)
    parameters, memory = network.policy(given)
    assert torch.equal(parameters, found.parameters)
    assert torch.equal(network.value(given), found.value)
    if options["memory"]:
        assert found.memory.shape == (count, network.memory_width)
        assert torch.equal(memory[:, :6], found.memory[:, :6])  # the policy's part
        assert memory.shape == found.memory.shape
    else:
        assert (found.memory, memory, network.memory_width) == (None, None, 0)
    if space != "box":
        allowed = seen.action_mask[seen.acting]
        assert torch.equal(found.parameters == MASKED, ~allowed)
        logits = found.parameters[allowed]
    else:
        logits = found.parameters[:, :2]
        assert (found.parameters[:, 2:] == -0.5).all()
    assert logits.abs().max() < 0.1  # untrained play is almost even


@pytest.mark.parametrize("options", OPTIONS, ids=NAMES)
def test_renaming_agents_renames_outputs(options):
    spec = spec_of(agents=5, extra=3)
    network, seen = network_of(spec, **options), observed(spec, 4)
    generator = torch.Generator().manual_seed(5)
    agents = torch.stack([torch.randperm(5, generator=generator) for _ in range(4)])
    others = torch.stack([5 + torch.randperm(3, generator=generator) for _ in range(4)])
    order = torch.cat([agents, others], dim=1)  # the node that comes to each place
    place = order.argsort(dim=1)
    flat = (place + 8 * torch.arange(4)[:, None]).flatten()
    edges = flat[seen.edges]
    by_game = torch.argsort(
        edges[0] // 8 * 1000 + torch.randint(1000, edges[0].shape, generator=generator)
    )
    moved = Observation(
        seen.nodes.gather(1, order[..., None].expand_as(seen.nodes)),
        edges[:, by_game],
        seen.edge_features[by_game],
        seen.acting.gather(1, agents),
        seen.action_mask.gather(1, agents[..., None].expand_as(seen.action_mask)),
    )
    memory = remembering(network, 20)
    memory = None if memory is None else memory.view(4, 5, -1)

    def answers(observation, memory):
        rows = None if memory is None else memory[observation.acting]
        found = network(pack(observation, observation.acting, network, rows))
        parts = [found.parameters, found.value[:, None]]
        parts += [] if found.memory is None else [found.memory]
        full = torch.zeros(4, 5, sum(part.shape[1] for part in parts))
        full[observation.acting] = torch.cat(parts, dim=1)
        return full

    first = answers(seen, memory)
    index = agents[..., None]
    second = answers(moved, None if memory is None else memory.gather(1, index.expand_as(memory)))
    torch.testing.assert_close(
        second, first.gather(1, index.expand_as(first)), atol=1e-5, rtol=1e-5
    )


@pytest.mark.parametrize("options", OPTIONS, ids=NAMES)
def test_games_do_not_see_each_other(options):
    """A batch of B is B batches of one."""
    spec = spec_of()
    network, seen = network_of(spec, **options), observed(spec, 5)
    whole = network(pack(seen, seen.acting, network))
    parts = []
    for b in range(5):
        inside = seen.edges[0] // spec.num_nodes == b
        one = Observation(
            seen.nodes[b : b + 1],
            seen.edges[:, inside] - b * spec.num_nodes,
            seen.edge_features[inside],
            seen.acting[b : b + 1],
            seen.action_mask[b : b + 1],
        )
        parts.append(network(pack(one, one.acting, network)))
    close = dict(atol=1e-6, rtol=1e-5)
    for name in ("parameters", "value") + (("memory",) if options["memory"] else ()):
        joined = torch.cat([getattr(part, name) for part in parts])
        torch.testing.assert_close(getattr(whole, name), joined, **close)


@pytest.mark.parametrize("options", OPTIONS, ids=NAMES)
def test_trained_among_n_runs_among_m(options):
    few, many = spec_of(agents=3, extra=0), spec_of(agents=11, extra=4)
    network, other = network_of(few, **options), network_of(many, seed=1, **options)
    other.load_state_dict(network.state_dict())
    seen = observed(many, 3)
    given = asked(network, seen)
    assert torch.equal(network(given).parameters, other(given).parameters)
    assert torch.equal(network(given).value, other(given).value)


@pytest.mark.parametrize("options", OPTIONS, ids=NAMES)
def test_who_is_asked_does_not_matter(options):
    """One agent gets the answer that it gets among others; nobody may ask, and edges may lack."""
    spec = spec_of()
    network, seen = network_of(spec, **options), observed(spec, 4, act=1.0)
    whole = network(pack(seen, seen.acting, network))
    one = torch.zeros_like(seen.acting)
    one[1, 2] = one[3, 0] = True
    found = network(pack(seen, one, network))
    at = one[seen.acting]
    torch.testing.assert_close(found.parameters, whole.parameters[at], atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(found.value, whole.value[at], atol=1e-6, rtol=1e-5)
    nobody = network(pack(seen, torch.zeros_like(one), network))
    assert (len(nobody.parameters), len(nobody.value)) == (0, 0)
    alone = replace(seen, edges=seen.edges[:, :0], edge_features=seen.edge_features[:0])
    for part in network(pack(alone, alone.acting, network))[:2]:
        assert torch.isfinite(part).all()


@pytest.mark.parametrize("options", OPTIONS, ids=NAMES)
def test_the_seed_decides_and_nothing_else(options):
    spec = spec_of()
    state = torch.random.get_rng_state()
    first = network_of(spec, seed=7, **options).state_dict()
    assert torch.equal(state, torch.random.get_rng_state())
    torch.rand(3)
    second = network_of(spec, seed=7, **options).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    other = network_of(spec, seed=8, **options).state_dict()
    assert not any(torch.equal(first[k], other[k]) for k in first if first[k].dim() > 1)
    again = pickle.loads(pickle.dumps(network_of(spec, seed=7, **options)))
    given = asked(again, observed(spec, 3))
    assert torch.equal(again(given).value, network_of(spec, seed=7, **options)(given).value)


@pytest.mark.parametrize("options", OPTIONS, ids=NAMES)
@pytest.mark.parametrize("space", ["discrete", "box"])
def test_gradients_reach_every_parameter(options, space):
    spec = spec_of(space=space)
    network, seen = network_of(spec, **options), observed(spec, 8, degree=4.0)
    found = network(asked(network, seen))
    parameters = found.parameters[found.parameters != MASKED]
    ((parameters**2).sum() + (found.value**2).sum()).backward()
    for name, parameter in network.named_parameters():
        assert torch.isfinite(parameter.grad).all(), name
        # A bias of all keys shifts all scores of a target alike, which its softmax takes out.
        if not name.endswith("lin_key.bias"):
            assert parameter.grad.abs().max() > 1e-9, name


def episodes(spec, network, batch, steps, seed=0):
    """Steps of agents that skip turns and start anew, one by one: what was asked and answered."""
    generator = torch.Generator().manual_seed(seed)
    slots = batch * spec.num_agents
    memory = start = torch.randn(slots, network.memory_width, generator=generator)
    rows = []
    for t in range(steps):
        seen = observed(spec, batch, seed=100 + t, act=0.6)
        slot = seen.acting.flatten().nonzero()[:, 0]
        fresh = torch.rand(len(slot), generator=generator) < 0.2
        given = pack(seen, seen.acting, network, memory[slot])
        found = network(replace(given, fresh=fresh))
        memory = memory.index_copy(0, slot, found.memory)
        rows.append((given, slot, torch.full_like(slot, t), fresh, found))
    return start, rows


@pytest.mark.parametrize("share", [False, True])
@pytest.mark.parametrize("critic", ["own", "central"])
def test_a_sequence_is_its_steps(share, critic):
    """Numbers and gradients, for decisions in any order."""
    spec = spec_of(agents=3, extra=0)
    network = network_of(spec, memory=6, shared_encoder=share, critic=critic)
    start, rows = episodes(spec, network, batch=4, steps=9)
    stepwise = [torch.cat([getattr(row[-1], name) for row in rows]) for name in FIELDS]
    count = len(stepwise[1])
    weights = torch.randn(count, generator=torch.Generator().manual_seed(9))
    loss = (stepwise[1] * weights).sum() + (stepwise[2].sum(1) * weights).sum()
    expected = torch.autograd.grad(loss, network.parameters(), allow_unused=True)

    nodes = [row[0].x for row in rows]
    first = torch.tensor([0, *(len(x) for x in nodes)]).cumsum(0)
    positions = [
        low + (torch.arange(len(x)) if row[0].deciding is None else row[0].deciding)
        for low, x, row in zip(first, nodes, rows, strict=False)
    ]
    games = [None if row[0].game is None else row[0].game + 4 * t for t, row in enumerate(rows)]
    order = torch.randperm(count, generator=torch.Generator().manual_seed(2))
    whole = Input(
        x=torch.cat(nodes),
        edges=torch.zeros(2, 0, dtype=torch.int64),
        edge_features=torch.zeros(0, G),
        deciding=torch.cat(positions)[order],
        game=None if games[0] is None else torch.cat(games),
        num_envs=4 * len(rows),
        action_mask=torch.cat([row[0].action_mask for row in rows])[order],
        memory=start,
        slot=torch.cat([row[1] for row in rows])[order],
        time=torch.cat([row[2] for row in rows])[order],
        fresh=torch.cat([row[3] for row in rows])[order],
    )
    found = network(whole)
    for name, steps in zip(FIELDS, stepwise, strict=True):
        torch.testing.assert_close(getattr(found, name), steps[order], atol=1e-6, rtol=0)
    loss = (found.value * weights[order]).sum() + (found.memory.sum(1) * weights[order]).sum()
    gradients = torch.autograd.grad(loss, network.parameters(), allow_unused=True)
    for ours, theirs in zip(gradients, expected, strict=True):
        if theirs is None:
            assert ours is None
        else:
            torch.testing.assert_close(ours, theirs, atol=2e-5, rtol=1e-4)


def test_memory_is_a_gru_cell():
    """One step is torch's own GRUCell with the same weights; fresh starts at 0."""
    spec = spec_of()
    network, seen = network_of(spec, memory=6, shared_encoder=True), observed(spec, 3)
    count = int(seen.acting.sum())
    cell = nn.GRUCell(8, 6)
    cell.load_state_dict(
        {name.removesuffix("_l0"): w for name, w in network.actor.memory.gru.state_dict().items()}
    )
    memory, fresh = remembering(network, count), torch.arange(count) % 2 == 0
    given = replace(pack(seen, seen.acting, network, memory), fresh=fresh)
    expected = cell(network.actor.encoder(given.x), memory * ~fresh[:, None])
    torch.testing.assert_close(network(given).memory, expected, atol=1e-6, rtol=0)


def test_a_plain_network_is_a_plain_sequence_of_layers():
    """And the features of other roles that lie behind its own are not looked at."""
    small, large = Role("small", SPACES["discrete"], 2), Role("large", SPACES["multi"], F)
    spec = Spec("test", (small, large), (0, 1, 0), 3)
    network = Network().build(small, spec, 0)
    seen = observed(spec, 4)
    deciding = seen.acting & torch.tensor([True, False, True])
    found = network(pack(seen, deciding, network))
    x = seen.nodes[deciding][:, :2]
    layers = [m for m in network.actor.encoder if isinstance(m, nn.Linear)]
    expected = x
    for layer in layers:
        expected = torch.tanh(layer(expected))
    allowed = seen.action_mask[deciding][:, :4]
    assert len(layers) == 2
    torch.testing.assert_close(
        found.parameters[allowed], network.head(expected)[allowed], atol=1e-6, rtol=0
    )
    assert found.parameters.shape[1] == 4
    no_layers = Network(hidden=(), critic="central").build(large, spec, 0)
    assert no_layers(pack(seen, seen.acting, no_layers)).parameters.shape[1] == 5


def test_tanh_is_tanh():
    x = torch.linspace(-12, 12, 4801, requires_grad=True)
    x64 = x.detach().double().requires_grad_()
    ours, exact = Tanh()(x), torch.tanh(x64)
    torch.testing.assert_close(ours.double(), exact, atol=2e-7, rtol=0)
    ours.sum().backward()
    exact.sum().backward()
    torch.testing.assert_close(x.grad.double(), x64.grad, atol=4e-7, rtol=0)


class Reference(MessagePassing):
    """The convolution as PyG's own gathering and aggregation compute it."""

    def __init__(self, ours):
        super().__init__(aggr=["mean", "max"])
        self.ours = ours

    def forward(self, x, edges, edge_features):
        heard = self.propagate(edges, x=x, edge_features=edge_features)
        return self.ours.own(x) + self.ours.heard(heard)

    def message(self, x_i, x_j, edge_features):
        joined = self.ours.target(x_i) + self.ours.source(x_j) + self.ours.edge(edge_features)
        return joined.relu()


def test_convolution_against_torch_geometric():
    spec = spec_of(agents=6, extra=3)
    seen = observed(spec, 10, degree=3.0)
    encoder = network_of(spec, encoder="convolution").actor.encoder
    ours, x = encoder.rounds[0], encoder.embed(seen.nodes.flatten(0, 1))
    found, expected = (
        layer(x, seen.edges, seen.edge_features) for layer in (ours, Reference(ours))
    )
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("encoder", ["attention", "convolution"])
@pytest.mark.parametrize("edge_features", [0, G])
def test_what_travels_along_an_edge(encoder, edge_features):
    """From source to target, one edge a round; not from anywhere else."""
    spec = spec_of(agents=5, extra=0, edge_features=edge_features)
    network = network_of(spec, encoder=encoder)
    edges = torch.tensor([[0, 1, 2, 1], [1, 2, 3, 0]])  # 0 <-> 1 -> 2 -> 3, and 4 alone
    seen = replace(
        observed(spec, 1, act=1.0), edges=edges, edge_features=torch.ones(4, edge_features)
    )
    hears = {0: {0, 1}, 1: {0, 1}, 2: {0, 1, 2}, 3: {1, 2, 3}, 4: {4}}  # in two rounds
    every = torch.ones(1, 5, dtype=torch.bool)
    before = network(pack(seen, every, network)).value
    for told in range(5):
        nodes = seen.nodes.clone()
        nodes[0, told] += 1
        after = network(pack(replace(seen, nodes=nodes), every, network)).value
        changed = {k for k in range(5) if (after - before)[k].abs() > 1e-5}
        assert changed == {k for k in range(5) if told in hears[k]}
    if edge_features:
        moved = replace(seen, edge_features=torch.zeros(4, G))
        after = network(pack(moved, every, network)).value
        assert ((after - before).abs() > 1e-5).tolist() == [True, True, True, True, False]


@pytest.mark.parametrize("encoder", ["mlp", "attention", "convolution"])
def test_a_central_critic_sees_the_game_and_a_policy_does_not(encoder):
    spec = spec_of(agents=3, extra=0)
    network = network_of(spec, encoder=encoder, critic="central")
    seen = observed(spec, 2, act=1.0)
    seen = replace(seen, edges=seen.edges[:, :0], edge_features=seen.edge_features[:0])
    nodes = seen.nodes.clone()
    nodes[0, 2] += 1
    before, after = (
        network(pack(s, s.acting, network)) for s in (seen, replace(seen, nodes=nodes))
    )
    changed = (after.value - before.value).abs() > 1e-5
    assert changed.tolist() == [True, True, True, False, False, False]
    moved = (after.parameters != before.parameters).any(dim=1)
    assert moved.tolist() == [False, False, True, False, False, False]


# Two games of three agents and a goal each (nodes 0-3 and 4-7); agent 1 of the first game decides.
@pytest.mark.parametrize(
    ("graph", "central", "rows", "deciding"),
    [
        (False, False, [1], None),
        (False, True, [0, 1, 2], [1]),  # all agents
        (True, False, [1, 2, 3], [0]),  # an edge from 3 to 2, none to 1
        (True, True, [0, 1, 2, 3], [1]),
    ],
)
def test_only_nodes_in_play_are_worked_on(graph, central, rows, deciding):
    spec = spec_of(agents=3, extra=1)
    seen = replace(
        observed(spec, 2),
        edges=torch.tensor([[3, 5], [2, 4]]),
        edge_features=torch.arange(2.0 * G).view(2, G),
        acting=torch.tensor([[True, True, False], [True, True, True]]),
    )
    who = torch.tensor([[False, True, False], [False, False, False]])
    found, positions = nodes_in_play(seen, who, graph=graph, central=central)
    assert found.tolist() == rows
    assert (None if positions is None else positions.tolist()) == deciding
    options = dict(
        encoder="convolution" if graph else "mlp", critic="central" if central else "own"
    )
    given = pack(seen, who, network_of(spec, **options))
    assert torch.equal(given.x, seen.nodes.flatten(0, 1)[rows])
    expected = [[rows.index(3)], [rows.index(2)]] if graph else [[], []]
    assert given.edges.tolist() == expected
    assert torch.equal(given.edge_features, seen.edge_features[: len(expected[0])])


def test_mean_and_max_with_ties_and_empty_groups():
    """Against scatter_reduce, whose gradient shares among equals."""
    generator = torch.Generator().manual_seed(0)
    values = torch.randint(-2, 3, (60, 4), generator=generator).double().requires_grad_()
    group = torch.randint(0, 11, (60,), generator=generator)
    weights = torch.randn(11, 4, generator=generator, dtype=torch.float64)
    assert len(group.unique()) == 11

    def theirs(reduce):
        # Starts below all values: its gradient counts what it started from among the equals.
        start = torch.full((11, 4), -9.0, dtype=torch.float64)
        return start.scatter_reduce(
            0, group[:, None].expand_as(values), values, reduce, include_self=False
        )

    found = mean_and_max(values, group, 14)
    assert (found[11:] == 0).all()  # groups that have no row
    torch.testing.assert_close(found[:11], torch.cat([theirs("mean"), theirs("amax")], dim=1))
    ours = torch.autograd.grad((GroupMax.apply(values, group, 11) * weights).sum(), values)[0]
    expected = torch.autograd.grad((theirs("amax") * weights).sum(), values)[0]
    torch.testing.assert_close(ours, expected)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"encoder": "attention", "hidden": [64, 30]}, "heads = 4 does not divide"),
        ({"encoder": "convolution", "hidden": []}, "give hidden at least one width"),
        ({"hidden": [0]}, "hidden.0"),
        ({"encoder": "gcn"}, "encoder: input should be 'mlp', 'attention', 'convolution' or"),
        ({"width": 3}, "there is no key 'width'"),
    ],
)
def test_networks_that_cannot_be(options, message):
    with pytest.raises(InputError, match=r"^network: ") as caught:
        checked(Network, options, "network")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
