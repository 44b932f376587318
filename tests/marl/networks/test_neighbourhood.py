"""What each agent has to know: on its own it does as it does among all, whatever its number."""

from dataclasses import fields, replace

import numpy as np
import pytest
import torch

from games import InputError
from games.load import simulator
from games.names import altered
from marl.evaluation.episodes import evaluate
from marl.evaluation.neighbourhood import alone, hops, neighbourhood
from marl.rules.navigation import Heterogeneous, Priority
from tests.helpers.disc_games import CROWD, SHORT, generator, lively, rollout


def seen_in(name, batch=2):
    return simulator(name).observe(simulator(name).reset(batch, generator()))


@pytest.mark.parametrize(
    ("encoder", "options"),
    [
        ("convolution", {}),
        ("attention", {}),
        ("attention", {"hidden": (16, 16, 16)}),
        ("convolution", {"memory": 8}),
        ("convolution", {"critic": "central"}),
        ("mlp", {}),
    ],
    ids=str,
)
def test_agents_on_their_own_do_as_all_together(encoder, options):
    """Each agent sees its neighbourhood, and remembers by itself, over a whole rollout."""
    policy = lively(CROWD, encoder, **options)
    far, agents = hops(policy), policy.spec.num_agents
    assert far == (0 if encoder == "mlp" else len(options.get("hidden", (16, 16))))
    own = {(b, i): alone(policy, i) for b in range(2) for i in range(agents)}
    for actor in own.values():
        actor.start(1)
    heard, said, nearer = [], [], 0.0
    for _, seen, actions in rollout(CROWD, Greedy(policy), 20, batch=2):
        for b in range(2):
            for i in range(agents):
                near = neighbourhood(seen, i, far, b)
                found = own[b, i].act(near, None)
                torch.testing.assert_close(found[0, 0], actions[b, i], rtol=0, atol=1e-6)
                heard.append(near.nodes.shape[1] / seen.nodes.shape[1])
                said.append(actions[b, i].numpy())
                if far and not policy.memory_width:
                    less = own[b, i].act(neighbourhood(seen, i, far - 1, b), None)
                    nearer = max(nearer, float((less - found).abs().max()))
    assert np.std(said, axis=0).min() > 0.03  # actions hang on what is seen
    assert np.mean(heard) < 0.8
    assert not far or policy.memory_width or nearer > 1e-3  # and the last hop counts


def test_neighbourhoods_are_breadth_first_searches():
    """Against SciPy's distances along edges, turned round."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import shortest_path

    game = simulator(CROWD)
    seen = game.observe(game.reset(3, generator(2)))
    nodes, sizes = seen.nodes.shape[1], set()
    for b in range(3):
        inside = seen.edges[0] // nodes == b
        source, target = (seen.edges[:, inside] - b * nodes).numpy()
        graph = coo_array((np.ones(len(source)), (target, source)), shape=(nodes, nodes)).tocsr()
        away = shortest_path(graph, unweighted=True)
        for agent in range(game.agents):
            for far in range(4):
                found = neighbourhood(seen, agent, far, b)
                known = np.flatnonzero(away[agent] <= far)
                order = [agent, *known[known != agent]]
                assert torch.equal(found.nodes[0], seen.nodes[b, order])
                kept = away[agent][target] <= far - 1
                place = {node: k for k, node in enumerate(order)}
                expected = [[place[n] for n in ends[kept]] for ends in (source, target)]
                assert found.edges.tolist() == expected
                assert torch.equal(found.edge_features, seen.edge_features[inside][kept])
                sizes.add(len(order))
    assert len(sizes) > 3


@pytest.mark.parametrize("dynamics", ["single_integrator", "double_integrator"])
def test_an_agent_controls_itself_by_what_is_in_sight(dynamics):
    """Without all that it does not see, the barriers and the QP give the same control."""
    name = altered(CROWD, {"dynamics": dynamics})
    game, left_out = simulator(name), 0
    for state, *_ in rollout(name, Heterogeneous(), 12, batch=2):
        control, _, _ = game.control(state)
        near = state.clearance.transpose(1, 2) < game.communication - 2 * game.radius
        for b in range(2):
            for i in range(game.agents):
                discs = near[b, i, : game.agents].clone()
                discs[i] = True
                stones = near[b, i, game.agents :]
                left_out += int((~near[b, i]).sum()) - 1
                small = replace(game, agents=int(discs.sum()), obstacles=int(stones.sum()))
                found, _, _ = small.control(only(small, state, b, discs, stones))
                mine = int(discs[:i].sum())
                torch.testing.assert_close(found[0, mine], control[b, i], rtol=0, atol=1e-6)
    assert left_out > 500


def only(game, state, b, discs, stones):
    """The state of one game with these discs and obstacles alone."""
    one = {
        f.name: getattr(state, f.name)[b : b + 1, discs]
        for f in fields(state)
        if getattr(state, f.name).shape[1:2] == discs.shape and f.name != "clearance"
    }
    begun = game.start(one["position"], one["goal"], state.obstacle[b : b + 1, stones])
    return replace(begun, **one)


@pytest.mark.parametrize("encoder", ["convolution", "attention"])
def test_renumbered_agents_and_obstacles_do_the_same(encoder):
    game, policy = simulator(CROWD), lively(CROWD, encoder)
    own = np.random.default_rng(0)
    said = []
    for state, seen, actions in rollout(CROWD, Greedy(policy), 20, batch=2):
        agents = torch.from_numpy(own.permutation(game.agents))
        stones = torch.from_numpy(own.permutation(state.obstacle.shape[1]))
        other = renumbered(game, state, agents, stones)
        there = game.observe(other)
        order = torch.cat((agents, game.agents + stones))
        torch.testing.assert_close(there.nodes, seen.nodes[:, order], rtol=0, atol=0)
        actor = policy.for_game(CROWD, game.spec)
        actor.start(2)
        found = actor.act(there, None)
        torch.testing.assert_close(found, actions[:, agents], rtol=0, atol=1e-6)
        before, after = game.step(state, actions, generator()), game.step(other, found, generator())
        for name in ("position", "velocity", "parameters", "travelled"):
            there, here = getattr(after[0], name), getattr(before[0], name)[:, agents]
            torch.testing.assert_close(there, here, rtol=0, atol=1e-5)
        said.append(actions)
    assert torch.cat(said).std(dim=(0, 1)).min() > 0.03


def renumbered(game, state, agents, stones):
    found = {}
    for f in fields(state):
        value = getattr(state, f.name)
        found[f.name] = value[:, agents] if value.shape[1:2] == (game.agents,) else value
    order = torch.cat((agents, game.agents + stones))
    clearance = state.clearance[:, order][:, :, agents]
    return replace(state, **found | dict(clearance=clearance, obstacle=state.obstacle[:, stones]))


def test_central_agents_see_everybody_and_mind_who_is_near():
    everybody = altered(CROWD, {"central": True})
    game = simulator(everybody)
    n, v = game.agents, game.spec.num_nodes
    seen = game.observe(game.reset(2, generator()))
    pairs = {(b * v + j, b * v + i) for b in range(2) for i in range(n) for j in range(v) if i != j}
    assert set(map(tuple, seen.edges.T.tolist())) == pairs
    assert seen.edges.shape[1] == len(pairs)
    assert len(simulator(CROWD).observe(simulator(CROWD).reset(2, generator())).edges.T) < len(
        pairs
    )
    # Parameters that do not hang on what is seen lead to the same games.
    here, there = (evaluate(Priority(), name, episodes=3, seed=1) for name in (CROWD, everybody))
    for name, value in here.info.items():
        assert np.array_equal(value, there.info[name])
    policy = lively(everybody, "attention")  # who learned the one plays the other
    assert len(evaluate(policy, CROWD, episodes=2).steps) == 2


def test_a_neighbourhood_is_on_its_games_device():
    """What is made without a device would be on another here, and fit nothing."""
    seen = seen_in(CROWD)
    here = neighbourhood(seen, 3, 2, 1)
    with torch.device("meta"):
        there = neighbourhood(seen, 3, 2, 1)
    assert here.edges.shape[1] > 2
    assert here.text is there.text is None
    for field in (f for f in fields(here) if f.name != "text"):
        assert torch.equal(getattr(there, field.name), getattr(here, field.name))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: neighbourhood(seen_in(SHORT), 99, 2), "agent is 99; give one of 0 to 3"),
        (lambda: neighbourhood(seen_in(SHORT), 4, 2), "agent is 4; give one of 0 to 3"),
        (lambda: neighbourhood(seen_in(SHORT), -1, 2), "agent is -1; give one of 0 to 3"),
        (lambda: neighbourhood(seen_in(SHORT), 1.0, 2), "agent is 1.0; give one of 0 to 3"),
        (lambda: neighbourhood(seen_in(SHORT), 0, 2, 2), "game is 2; give one of 0 to 1"),
        (lambda: neighbourhood(seen_in(SHORT), 0, 2, -1), "game is -1; give one of 0 to 1"),
        (lambda: neighbourhood(seen_in(SHORT), 0, -1), "hops is -1; give 0 or more"),
        (lambda: neighbourhood(seen_in(SHORT), 0, 2.5), "hops is 2.5; give 0 or more"),
        (lambda: alone(lively(SHORT, "mlp"), 4), "agent is 4; give one of 0 to 3"),
        (lambda: alone(lively(SHORT, "mlp"), -1), "agent is -1; give one of 0 to 3"),
    ],
)
def test_bad_input_says_what_to_do(wrong, message):
    with pytest.raises(InputError, match=message) as raised:
        wrong()
    assert "\n" not in str(raised.value)


class Greedy:
    """A policy that plays its likeliest actions, as a player."""

    def __init__(self, policy):
        self.policy = policy

    def for_game(self, game, spec):
        actor = self.policy.for_game(game, spec)
        likeliest = actor.act
        actor.act = lambda seen, generator: likeliest(seen, None)
        return actor
