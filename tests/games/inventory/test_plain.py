"""Games and pathwise gradients against the same computation, plainly written down in PyTorch."""

from dataclasses import replace

import pytest
import torch

from benchmarks.inventory.plain_torch import Plain, drawn
from games.load import simulator
from marl.learning.pathwise.hdpo import Players, pathwise_gradient
from marl.networks.linear import Linear
from marl.networks.network import Network

torch.set_num_threads(1)

GAMES = {
    "one store": "inventory.lost_sales(periods=20)",
    "even lead times": "inventory.one_warehouse(stores=1,instance=2,periods=20)",
    "ten stores": "inventory.one_warehouse(stores=10,periods=20)",
}


def network_of(game, hidden=(16, 16), seed=0):
    (role,) = game.spec.roles
    network = Network(hidden=hidden, activation="elu").build(role, game.spec, seed)
    generator = torch.Generator().manual_seed(seed)
    for parameter in network.parameters():  # away from the start, where all orders are alike
        parameter.data += 0.1 * torch.randn(parameter.shape, generator=generator)
    return network


def double(state):
    return replace(
        state,
        **{
            name: value.double()
            for name, value in vars(state).items()
            if value.dtype == torch.float32
        },
    )


@pytest.mark.parametrize("name", GAMES)
def test_costs_and_gradients_are_those_of_the_plain_computation(name):
    """In float64, on the same demand: all that there is, to 1e-12."""
    game = simulator(GAMES[name])
    network = network_of(game).double()
    start, demand = drawn(game, 64, seed=3)
    start, demand = double(start), demand.double()

    plain = Plain(game, torch.float64)
    policy = plain.policy(network)
    expected = plain.loss(policy, start, demand)
    expected.backward()

    players, state, total = Players([network], [0], game.spec, 64), start, 0.0
    for wanted in demand:
        actions = game.shown.by_link(players.act(game.observe(state)))
        state, flow = game.advance(state, game.orders(state, actions), wanted, fits=True)
        total = total + flow.cost.sum()
    found = total / (64 * game.periods)
    found.backward()

    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    ours = [p for part in (network.actor, network.head) for p in part.parameters()]
    for one, other in zip(ours, policy.parameters(), strict=True):
        assert other.grad.abs().max() > 1e-3
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", GAMES)
def test_what_hdpo_plays_is_the_plain_computation(name):
    """In float32, from the seed on: to what rounding leaves after twenty periods."""
    game = simulator(GAMES[name])
    network = network_of(game)
    loss, (gradients,) = pathwise_gradient(game, [network], 512, seed=5)
    plain = Plain(game)
    policy = plain.policy(network)
    expected = plain.loss(policy, *drawn(game, 512, seed=5))
    expected.backward()
    torch.testing.assert_close(loss, expected.detach(), rtol=1e-5, atol=0)
    for one, other in zip(gradients.values(), policy.parameters(), strict=True):
        torch.testing.assert_close(one, other.grad, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", GAMES)
def test_orders_that_ask_for_too_much(name):
    """Quantities, shared in proportion where there is too little, in float64."""
    game = simulator(GAMES[name].replace(")", ",actions=quantities)"))
    start, demand = drawn(game, 64, seed=3)
    state, demand = double(start), demand.double()
    stock, pipeline = state.on_hand, state.pipeline
    plain, generator = Plain(game, torch.float64), torch.Generator().manual_seed(1)
    for wanted in demand:
        asked = 10 * torch.rand(64, game.arrays.num_links, generator=generator).double()
        state, flow = game.advance(state, asked, wanted)
        orders = plain.rationed(asked, stock)
        cost, stock, pipeline = plain.step(orders, stock, pipeline, wanted)
        torch.testing.assert_close(flow.shipped, orders, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(flow.cost.sum(1), cost, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(state.pipeline, pipeline, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("shape", [(4096, 33, 64), (4096, 64, 11), (2, 2048, 40, 40)])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("turned", [True, False])
def test_a_linear_layer_is_torchs(shape, bias, turned):
    """Forward and back, in any arrays, against torch's in float64."""
    *rows, inputs, outputs = shape
    torch.manual_seed(0)
    layer = Linear(inputs, outputs, bias=bias)
    exact = torch.nn.Linear(inputs, outputs, bias=bias, dtype=torch.float64)
    exact.load_state_dict(layer.state_dict())
    x = torch.randn(*rows, inputs)
    if turned:
        x = x.movedim(-1, 0).contiguous().movedim(0, -1)
    x.requires_grad_()
    x64 = x.detach().double().requires_grad_()
    weight = torch.randn(*rows, outputs)
    found, expected = layer(x), exact(x64)
    (found * weight).sum().backward()
    (expected * weight).sum().backward()
    with torch.no_grad():
        assert torch.equal(layer(x), found)
    torch.testing.assert_close(found.double(), expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(x.grad.double(), x64.grad, atol=1e-5, rtol=0)
    for one, other in zip(layer.parameters(), exact.parameters(), strict=True):
        torch.testing.assert_close(one.grad.double(), other.grad, atol=1e-3, rtol=0)
