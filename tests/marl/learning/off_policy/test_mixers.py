"""Mixers: monotone in every agent's value, blind to agents that do not act, and to their order."""

from dataclasses import replace
from itertools import product

import gymnasium
import pytest
import torch
from torch.nn.functional import elu

from games import InputError
from games.simulators.simulator import Observation, Role, Spec
from marl.learning.off_policy.qmix import GraphMixer, Mixer
from marl.learning.off_policy.vdn import Sum
from marl.networks.network import Network
from marl.networks.packing import pack

ROWS, AGENTS, FEATURES, STATE = 60, 4, 5, 7
ENCODERS = ("mlp", "convolution", "attention")


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(3)


def spec_of(agents=AGENTS):
    space = gymnasium.spaces.Discrete(4)
    roles = Role("guard", space, FEATURES - 2), Role("walker", space, FEATURES)
    return Spec("test", roles, (0,) + (1,) * (agents - 1), agents + 1, 2)


def observed(rows, agents=AGENTS):
    """Random games of agents and one more node, with random edges."""
    count = agents + 1
    game, source, target = (torch.rand(rows, count, count) < 0.4).nonzero(as_tuple=True)
    edges = torch.stack([source, target]) + game * count
    present = torch.rand(rows, agents) < 0.7
    present[:, 0] = True
    mask = torch.ones(rows, agents, 4, dtype=torch.bool)
    nodes = torch.randn(rows, count, FEATURES)
    return Observation(nodes, edges, torch.randn(edges.shape[1], 2), present, mask)


def graph_mixer(encoder):
    memory = 0 if encoder == "edges" else 3  # left out by the mixer
    return GraphMixer(Network(encoder=encoder, hidden=(16, 16), memory=memory), spec_of(), 8)


def mixing(name):
    """A mixer as a function of values [M, N] and present [M, N], at random states."""
    if name == "sum":
        return lambda values, present: Sum()(values, None, present)
    if name == "state":
        mixer, state = Mixer(AGENTS, STATE, 8), 3 * torch.randn(ROWS, STATE)
        return lambda values, present: mixer(values, state, present)
    mixer, seen = graph_mixer(name), observed(ROWS)

    def mix(values, present):
        acting = torch.ones_like(values, dtype=torch.bool) if present is None else present
        return mixer(values, pack(seen, acting, mixer), present)

    return mix


@pytest.mark.parametrize("name", ["sum", "state", *ENCODERS])
def test_monotone(name):
    """No team value falls with any agent's value: derivatives by autograd at random states."""
    mix, least = mixing(name), []
    for scale in (0.1, 1.0, 10.0):
        values = (scale * torch.randn(ROWS, AGENTS)).requires_grad_(True)
        (slope,) = torch.autograd.grad(mix(values, None).sum(), values)
        least.append(slope.min())
        assert slope.mean() > 1e-3
    assert min(least) >= 0


@pytest.mark.parametrize("name", ["sum", "state", *ENCODERS])
def test_the_agents_best_choices_are_the_teams(name):
    """Rashid et al., equation 4, over all 3^4 joint choices of each row."""
    mix, values = mixing(name), torch.randn(ROWS, AGENTS, 3)
    joint = torch.tensor(list(product(range(3), repeat=AGENTS)))  # [81, N]
    every = torch.stack([mix(values.gather(2, c.expand(ROWS, -1)[..., None])[..., 0], None)
                         for c in joint])  # fmt: skip
    torch.testing.assert_close(every.amax(0), mix(values.amax(2), None), rtol=0, atol=1e-6)
    assert (every.amax(0) > every.amin(0) + 1e-3).all()


@pytest.mark.parametrize("name", ["sum", "state", *ENCODERS])
def test_agents_that_do_not_act_contribute_nothing(name):
    mix, values = mixing(name), torch.randn(ROWS, AGENTS)
    present = torch.rand(ROWS, AGENTS) < 0.6
    present[:, 0] |= ~present.any(1)  # somebody does
    given = values.masked_fill(~present, torch.nan).requires_grad_(True)
    found = mix(given, present)
    (slope,) = torch.autograd.grad(found.sum(), given)
    assert (slope[~present] == 0).all()
    assert (slope[present] >= 0).all()
    torch.testing.assert_close(found, mix(values.masked_fill(~present, 0.0), None))
    assert not torch.allclose(found, mix(values, None), atol=1e-3)


@pytest.mark.parametrize("encoder", ENCODERS)
def test_the_graph_mixer_by_its_formula(encoder):
    """|w2| . elu(sum_i |w1_i| Q_i + b1) + b2, one game and one agent at a time."""
    mixer, seen, values = graph_mixer(encoder), observed(6), torch.randn(6, AGENTS)
    found = mixer(values, pack(seen, seen.acting, mixer), seen.acting)
    for row in range(6):
        alone = one_game(seen, row)
        given = replace(pack(alone, torch.ones(1, AGENTS, dtype=torch.bool), mixer), deciding=None)
        known = mixer.trunk(given, None)
        pooled = torch.cat([known.mean(0), known.amax(0)])
        outer, hidden = mixer.outer, mixer.outer.hidden_bias(pooled)
        for agent in range(AGENTS):
            if seen.acting[row, agent]:
                hidden = hidden + mixer.agents(known[agent]).abs() * values[row, agent]
        expected = outer.weight(pooled).abs() @ elu(hidden) + outer.bias(pooled)[0]
        torch.testing.assert_close(found[row], expected, rtol=1e-5, atol=1e-5)


def one_game(seen, row):
    count = seen.nodes.shape[1]
    its = seen.edges[0] // count == row
    nodes, edges = seen.nodes[[row]], seen.edges[:, its] - row * count
    acting, mask = seen.acting[[row]], seen.action_mask[[row]]
    return Observation(nodes, edges, seen.edge_features[its], acting, mask)


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("agents", [2, AGENTS, 6])
def test_the_graph_mixer_does_not_depend_on_the_order_of_agents(encoder, agents):
    """Nor on their number: its weights were made for a game of four."""
    mixer, seen, values = graph_mixer(encoder), observed(20, agents), torch.randn(20, agents)
    order = torch.randperm(agents)
    places = torch.cat([order, torch.tensor([agents])])  # the last node stays
    count = agents + 1
    edges = places.argsort()[seen.edges % count] + seen.edges // count * count
    moved = Observation(
        seen.nodes[:, places], edges, seen.edge_features, seen.acting[:, order], seen.action_mask
    )
    first = mixer(values, pack(seen, seen.acting, mixer), seen.acting)
    second = mixer(values[:, order], pack(moved, moved.acting, mixer), moved.acting)
    torch.testing.assert_close(first, second, rtol=1e-5, atol=1e-5)
    other = replace(seen, nodes=seen.nodes + 1)
    assert not torch.allclose(first, mixer(values, pack(other, seen.acting, mixer), seen.acting))


def test_a_network_of_edges_is_no_mixer():
    with pytest.raises(InputError, match="is for one agent"):
        graph_mixer("edges")
