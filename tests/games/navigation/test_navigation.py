"""Navigation against closed forms, SciPy's distances and finite differences."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist

from games import InputError
from games.navigation.draw import frame
from games.navigation.navigation import Navigation
from games.simulators.pictures import animate
from games.simulators.simulator import take

SETTINGS = [
    dict(agents=1),
    dict(agents=5),
    dict(agents=5, obstacles=4),
    dict(agents=6, dynamics="single_integrator", obstacles=2),
    dict(agents=7, layout="swap"),
    dict(agents=8, layout="swap", obstacles=2, jitter=0.0),
    dict(agents=5, layout="corridor"),
    dict(agents=24, area=3.0, communication=0.3),
]


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def towards_goals(game, state):
    """A controller that brakes, and sees nobody."""
    way = state.goal - state.position
    if game.dynamics == "single_integrator":
        return (2 * way).clamp(-0.7, 0.7)
    return (2 * way - 2.5 * state.velocity).clamp(-1, 1)


def wander(game, steps, batch=4, seed=0):
    """States and steps of games with random actions, the first state without a step."""
    own = generator(seed)
    state = game.reset(batch, own)
    yield state, None, None
    for _ in range(steps):
        actions = 2 * torch.rand(batch, game.agents, 2, generator=own) - 1
        actions = 0.5 * actions + 0.5 * towards_goals(game, state)
        state, step = game.step(state, actions, own)
        yield state, step, actions


def placed(game, position, goal, obstacle=()):
    """One game at rest, in float64 so that closed forms can be compared with."""
    points = (torch.tensor(p, dtype=torch.float64).reshape(1, -1, 2) for p in (position, goal))
    return game.start(*points, torch.tensor(obstacle, dtype=torch.float64).reshape(1, -1, 2))


def roll(game, state, action, steps):
    actions = torch.tensor(action, dtype=torch.float64).expand_as(state.position)
    for _ in range(steps):
        state, step = game.step(state, actions, generator())
    return state, step


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_layouts_keep_their_distances(settings):
    game = Navigation(**settings)
    state = game.reset(32, generator(3))
    agents, room = game.agents, 2 * game.radius + game.margin - 1e-6
    for b in range(32):
        start, goal, obstacle = (
            points[b].double().numpy() for points in (state.position, state.goal, state.obstacle)
        )
        itself = np.diag(np.full(agents, 9.0))
        assert (cdist(start, start) + itself >= room).all()
        assert (cdist(goal, goal) + itself >= room).all()
        assert (np.linalg.norm(start - goal, axis=1) > game.goal_radius).all()
        if len(obstacle):
            beside = game.radius + game.obstacle_radius + game.margin - 1e-6
            assert cdist(obstacle, np.concatenate((start, goal))).min() >= beside
        inside = game.area / 2 - game.radius + 1e-6
        assert np.abs(np.concatenate((start, goal))).max() <= inside
    assert not state.collided.any()
    assert not state.arrived.any()
    assert state.obstacle.shape[1] == game.spec.num_nodes - agents


def test_swap_is_antipodal():
    state = Navigation(agents=6, layout="swap", jitter=0.0).reset(8, generator())
    torch.testing.assert_close(state.goal, -state.position)
    torch.testing.assert_close(state.goal, state.position.roll(3, dims=1))  # places are swapped
    assert state.position[:, 0].unique(dim=0).shape[0] == 8  # each circle is turned


def test_corridor_is_shut_but_for_the_gap():
    game = Navigation(agents=5, layout="corridor", gap=0.25)
    state = game.reset(8, generator())
    assert (state.position[:, :3, 0] < 0).all()
    assert (state.position[:, 3:, 0] > 0).all()
    assert (state.position[..., 0] * state.goal[..., 0] < 0).all()
    height = torch.linspace(-1, 1, 801)
    blocked = (
        (height[:, None] - state.obstacle[0, :, 1]).abs() <= game.obstacle_radius + 1e-6
    ).any(1)
    assert torch.equal(blocked, height.abs() >= 0.125)


def test_layouts_follow_from_the_generator():
    game = Navigation(agents=6, obstacles=3)
    first, again, other = (game.reset(4, generator(seed)).position for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize(
    ("dynamics", "action", "steps", "way", "speed"),
    [
        # x = a t^2 / 2 below the speed limit of 0.5 m/s, which 1 m/s^2 reaches after 0.5 s
        ("double_integrator", (1.0, 0.0), 4, (0.08, 0.0), (0.4, 0.0)),
        ("double_integrator", (1.0, 0.0), 5, (0.125, 0.0), (0.5, 0.0)),
        ("double_integrator", (1.0, 0.0), 15, (0.625, 0.0), (0.5, 0.0)),
        ("double_integrator", (0.3, -0.4), 10, (0.15, -0.2), (0.3, -0.4)),
        ("single_integrator", (0.0, 1.0), 8, (0.0, 0.4), (0.0, 0.5)),
        ("single_integrator", (0.3, -0.4), 10, (0.15, -0.2), (0.15, -0.2)),
        ("single_integrator", (1.0, 1.0), 10, (0.5**1.5, 0.5**1.5), (0.5**1.5, 0.5**1.5)),
    ],
)
def test_motion_in_closed_form(dynamics, action, steps, way, speed):
    game = Navigation(agents=1, dynamics=dynamics)
    state, _ = roll(game, placed(game, (-0.5, 0.2), (5.0, 5.0)), action, steps)
    np.testing.assert_allclose(state.position[0, 0] - torch.tensor((-0.5, 0.2)), way, atol=1e-8)
    np.testing.assert_allclose(state.velocity[0, 0], speed, atol=1e-12)


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_clearances_edges_and_contacts(settings):
    game = Navigation(**settings)
    n, v = game.agents, game.spec.num_nodes
    contacts, ever = np.zeros(4), np.zeros((4, n), dtype=bool)
    before = np.zeros((4, v, n), dtype=bool)
    for state, step, _ in wander(game, 40):
        seen = game.observe(state)
        edges = [[] for _ in range(4)]
        for (source, target), features in zip(
            seen.edges.T.tolist(), seen.edge_features.double().numpy(), strict=True
        ):
            edges[source // v].append((source % v, target % v, features))
        for b in range(4):
            discs, obstacles = state.position[b].numpy(), state.obstacle[b].numpy()
            nodes = np.concatenate((discs, obstacles)).astype(float)
            radii = np.repeat((game.radius, game.obstacle_radius), (n, v - n))
            free = cdist(nodes, nodes[:n]) - radii[:, None] - game.radius
            free[np.arange(n), np.arange(n)] = np.inf
            np.testing.assert_allclose(state.clearance[b], free, atol=1e-6)
            touching = free < 0
            ever[b] |= touching.any(axis=0)
            started = touching & ~before[b]
            contacts[b] += np.triu(started[:n]).sum() + started[n:].sum()
            before[b] = touching
            # Discs see each other within the radius of communication: SciPy's tree of pairs.
            pairs = cKDTree(nodes[:n]).query_pairs(game.communication)
            found = {(i, j) for i, j, _ in edges[b] if i < n}
            assert found == pairs | {(j, i) for i, j in pairs}
            within = game.communication - 2 * game.radius
            assert {(i, j) for i, j, _ in edges[b] if i >= n} == {
                (i + n, j) for i, j in np.argwhere(free[n:] < within).tolist()
            }
            speeds = np.concatenate((state.velocity[b].numpy(), np.zeros((v - n, 2))))
            for i, j, features in edges[b]:
                expected = np.concatenate(
                    (
                        (nodes[i] - nodes[j]) / game.communication,
                        (speeds[i] - speeds[j]) / game.max_speed,
                        [free[i, j] / game.communication],
                    )
                )
                np.testing.assert_allclose(features, expected, atol=2e-6)
        np.testing.assert_array_equal(state.collided, ever)
        np.testing.assert_array_equal(state.collisions, contacts)
        if step is not None:
            there = np.linalg.norm(state.goal - state.position, axis=2) < game.goal_radius
            np.testing.assert_allclose(step.info["arrived"], there.mean(1), atol=1e-6)
            np.testing.assert_allclose(step.info["safe"], 1 - ever.mean(1), atol=1e-6)
            np.testing.assert_allclose(step.info["success"], (there & ~ever).mean(1), atol=1e-6)
            np.testing.assert_array_equal(step.info["collisions"], contacts)
    if n > 1:
        assert contacts.sum() > 0  # or nothing of it was tested


def test_two_discs_that_cross_make_one_contact():
    game = Navigation(agents=2, dynamics="single_integrator", arrival_reward=0.0, away_cost=0.0)
    state = placed(game, [(-0.3, 0.0), (0.3, 0.0)], [(0.3, 0.0), (-0.3, 0.0)])
    actions = torch.tensor([[[1.0, 0.0], [-1.0, 0.0]]], dtype=torch.float64)
    total, closest = 0.0, []
    for _ in range(12):
        state, step = game.step(state, actions, generator())
        total += step.reward
        closest.append(float(state.clearance[0, 0, 1]))
        if step.over.all():
            break
    assert state.collisions.item() == 1
    assert step.terminated.all()
    assert {k: x.item() for k, x in step.info.items()} == {
        "success": 0.0, "arrived": 1.0, "safe": 0.0, "collisions": 1.0,
    }  # fmt: skip
    # What it cost: 10 a second in touch, rising linearly from a clearance of 0.05 m on.
    cost = sum(min(1.0, max(0.0, (0.05 - gap) / 0.05)) for gap in closest)
    assert min(closest) < 0
    progress = 0.6 - state.distance[0, 0].item()
    np.testing.assert_allclose(total[0], progress - cost, atol=1e-9)


def test_rewards_of_a_disc_that_goes_home():
    """Progress telescopes; arrival pays once, and leaving takes it back."""
    game = Navigation(agents=1, dynamics="single_integrator", max_steps=50)
    state, total, steps = placed(game, (0.0, 0.0), (0.6, 0.0)), 0.0, 0
    while True:
        state, step = game.step(state, torch.tensor([[[1.0, 0.0]]]).double(), generator())
        total, steps = total + step.reward.item(), steps + 1
        if step.over.item():
            break
    assert steps == 11  # 0.05 m a step: 0.1 m away after 10, which is not yet nearer than that
    assert total == pytest.approx(0.55 + 1 - 0.1 * 0.1 * 10, abs=1e-9)
    assert step.info["success"].item() == 1

    two = Navigation(agents=2, dynamics="single_integrator")
    state = placed(two, [(0.0, 0.0), (0.0, 0.5)], [(0.02, 0.0), (0.9, 0.9)])
    away = torch.tensor([[[-1.0, 0.0], [0.0, 0.0]]]).double()
    state, _ = two.step(state, away, generator())
    assert state.arrived.tolist() == [[True, False]]
    state, step = two.step(state, away, generator())
    assert state.arrived.tolist() == [[False, False]]
    assert step.reward[0, 0].item() == pytest.approx(-0.05 - 1 - 0.01, abs=1e-9)


def test_ends():
    game = Navigation(agents=3, area=3.0, max_steps=90, collision_cost=0.0)
    state = game.reset(16, generator(1))
    for number in range(1, 91):
        old = state
        state, step = game.step(state, towards_goals(game, state), generator())
        assert torch.equal(step.terminated.all(1), state.arrived.all(1))
        assert step.truncated.all().item() == (number == 90)
        done = old.arrived.all(1)  # nothing moves any more, and nothing is paid
        assert torch.equal(state.position[done], old.position[done])
        assert not step.reward[done].any()
        assert not game.observe(old).acting[done].any()
        assert game.observe(old).acting[~done].all()
    assert step.terminated.all()


def test_agents_see_themselves_and_nothing_of_the_map():
    """Moved, among more agents and in a larger area, the same is seen; in another order, too."""
    game = Navigation(agents=4, obstacles=2)
    *_, (state, _, _) = wander(game, 10, batch=1)
    seen = game.observe(state)
    moved = replace(
        game.start(state.position + 0.7, state.goal + 0.7, state.obstacle + 0.7),
        velocity=state.velocity,
    )
    again = replace(game, area=9.0).observe(moved)
    torch.testing.assert_close(seen.nodes, again.nodes, atol=1e-5, rtol=0)
    torch.testing.assert_close(seen.edge_features, again.edge_features, atol=1e-5, rtol=0)

    order = torch.tensor([2, 0, 3, 1])
    permuted = replace(
        game.start(state.position[:, order], state.goal[:, order], state.obstacle),
        velocity=state.velocity[:, order],
    )
    other = game.observe(permuted)
    assert torch.equal(other.nodes[:, :4], seen.nodes[:, order])
    inverse = torch.cat((order.argsort(), torch.tensor([4, 5])))

    def by_pair(edges, features):
        return {tuple(e): f for e, f in zip(edges.T.tolist(), features.tolist(), strict=True)}

    renamed = by_pair(inverse[seen.edges], seen.edge_features)
    assert renamed == by_pair(other.edges, other.edge_features)
    assert renamed

    far = torch.full((1, 3, 2), 50.0) + torch.arange(3.0)[None, :, None]
    more = Navigation(agents=7, obstacles=2).start(
        torch.cat((state.position, far), 1), torch.cat((state.goal, far), 1), state.obstacle
    )
    fewer = game.start(state.position, state.goal, state.obstacle)
    crowd, few = Navigation(agents=7, obstacles=2).observe(more), game.observe(fewer)
    torch.testing.assert_close(crowd.nodes[:, :4], few.nodes[:, :4])


def test_node_features():
    game = Navigation(agents=2, obstacles=1)
    state = placed(game, [(0.0, 0.0), (1.0, 1.0)], [(2.0, 0.0), (1.0, 0.96)], [(0.0, 0.8)])
    state = replace(state, velocity=torch.tensor([[[0.25, 0.0], [0.0, -0.5]]]).double())
    expected = [
        [0.5, 0.0, 1.0, 0.0, 2.0 / 2.5, 0.0, 0.0],
        [0.0, -1.0, 0.0, -0.08, 0.04 / 0.54, 1.0, 0.0],
        [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0],
    ]
    np.testing.assert_allclose(game.observe(state).nodes[0], expected, atol=1e-12)


@pytest.mark.parametrize("dynamics", ["double_integrator", "single_integrator"])
def test_gradients_are_those_of_finite_differences(dynamics):
    game = Navigation(agents=3, dynamics=dynamics, obstacles=2, communication=2.0)
    state = game.start(
        torch.tensor([[(-0.2, 0.0), (0.0, 0.13), (0.2, 0.0)]]).double(),
        torch.tensor([[(0.9, 0.1), (-0.9, 0.2), (0.1, -0.9)]]).double(),
        torch.tensor([[(0.0, -0.06), (0.6, 0.6)]]).double(),
    )

    def rewards_and_features(actions):
        now, total = state, 0.0
        for action in actions:
            now, step = game.step(now, action, generator())
            total = total + step.reward
        seen = game.observe(now)
        return total, seen.nodes, seen.edge_features

    actions = (torch.rand(5, 1, 3, 2, generator=generator(), dtype=torch.float64) - 0.5) * 0.8
    assert torch.autograd.gradcheck(rewards_and_features, actions.requires_grad_(), atol=1e-6)
    near = replace(game, progress_reward=0.0, away_cost=0.0)
    cost = near.step(state, actions[0], generator())[1].reward.sum()
    assert torch.autograd.grad(cost, actions)[0].any()  # nearness alone has a gradient


def test_gradients_are_finite_where_distances_are_zero():
    game = Navigation(agents=2)
    state = placed(game, [(0.0, 0.0), (0.0, 0.0)], [(0.0, 0.0), (1.0, 0.0)])
    actions = torch.zeros(1, 2, 2, dtype=torch.float64, requires_grad=True)
    new, step = game.step(state, actions, generator())
    seen = game.observe(new)
    total = step.reward.sum() + seen.nodes.sum() + seen.edge_features.sum()
    assert torch.autograd.grad(total, actions)[0].isfinite().all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (dict(dynamics="double_integrater"), "unknown dynamics 'double_integrater': did you mean"),
        (dict(layout="circle"), "unknown layout 'circle'"),
        (dict(agents=0), "agents is 0; give a whole number of at least 1"),
        (dict(agents=2.0), "agents is 2.0; give a whole number"),
        (dict(obstacles=-1), "obstacles is -1; give a whole number of at least 0"),
        (dict(dt=0.0), "dt is 0.0; give more than 0"),
        (dict(area=float("nan")), "area is nan; give a finite number"),
        (dict(radius="wide"), "radius is 'wide'; give a finite number"),
        (dict(away_cost=-1.0), "away_cost is -1.0; give 0 or more"),
        (dict(layout="swap", jitter=1.0), "jitter is 1.0; give less than 1"),
        (dict(communication=0.1), "touch before they see each other"),
        (dict(layout="corridor", obstacles=2), "the corridor makes its own obstacles"),
        (dict(layout="corridor", gap=0.1), "gap is 0.1; give more than 0.1"),
        (dict(layout="corridor", gap=2.0), "gap is 2; give more than 0.1"),
        (dict(agents=600), "no room for 600 agents and 0 obstacles"),
        (dict(agents=12, area=0.5), "no room for 12 agents"),
        (dict(agents=50, layout="swap"), "no room for 50 agents"),
        (dict(agents=40, layout="corridor", area=1.0), "no room for 40 agents"),
        (dict(obstacles=40), "no room for 4 agents and 40 obstacles"),
    ],
)
def test_parameters_out_of_range(settings, message):
    with pytest.raises(InputError, match=r"^navigation: ") as error:
        Navigation(**settings)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("value", [1.5, float("nan"), float("-inf")])
def test_an_action_outside_the_box_is_refused(value):
    game = Navigation()
    state = game.reset(3, generator())
    actions = torch.zeros(3, 4, 2)
    actions[1, 2, 1] = value
    with pytest.raises(InputError, match=r"agent 2: .* step 1 \(game 1\) is not in Box\(-1, 1\)"):
        game.step(state, actions, generator())
    with pytest.raises(InputError, match=r"shape \(3, 4\); give \(3, 4, 2\)"):
        game.step(state, actions[..., 0], generator())


def test_pictures(tmp_path):
    game = Navigation(agents=3, obstacles=1)
    states = [state for state, _, _ in wander(game, 3)]
    trail = torch.stack([state.position[1] for state in states])
    pictures = [frame(game, state, 1, trail[: t + 1]) for t, state in enumerate(states)]
    assert pictures[0].shape == (508, 480, 3)
    assert pictures[0].dtype == np.uint8
    # The middle of each disc has its colour, but for the number on it: look beside that.
    colours = {(0, 114, 178), (213, 94, 0), (0, 158, 115)}
    assert colours <= set(map(tuple, pictures[0].reshape(-1, 3).tolist()))
    assert not np.array_equal(pictures[0], pictures[3])
    alone = take(states[3], torch.tensor([1]))
    np.testing.assert_array_equal(game.frame(states[3], 1), game.frame(alone))
    animate(pictures, tmp_path / "play.gif", seconds=0.2)
    with Image.open(tmp_path / "play.gif") as shown:
        assert (shown.n_frames, shown.size, shown.info["duration"]) == (4, (480, 508), 200)


def test_a_picture_of_a_state_with_a_gradient():
    game = Navigation(agents=2, obstacles=1)
    state, actions = game.reset(1, generator()), torch.ones(1, 2, 2, requires_grad=True)
    after, _ = game.step(state, actions, generator())
    assert after.position.requires_grad
    trail = torch.stack((state.position[0], after.position[0]))
    plain = replace(after, **{name: value.detach() for name, value in vars(after).items()})
    np.testing.assert_array_equal(
        frame(game, after, 0, trail), frame(game, plain, 0, trail.detach())
    )


@pytest.mark.parametrize(
    ("pictures", "name", "message"),
    [
        ([np.zeros((4, 4, 3), np.uint8)], "play.mp4", "written as .gif"),
        ([], "play.gif", "one or more pictures"),
        ([np.zeros((4, 4, 3), np.uint8), np.zeros((4, 5, 3), np.uint8)], "a.gif", "of one size"),
        ([np.zeros((4, 4, 3), np.uint8)], "nowhere/a.gif", "No such file"),
    ],
)
def test_animations_that_cannot_be_written(tmp_path, pictures, name, message):
    with pytest.raises(InputError, match=message):
        animate(pictures, tmp_path / name)
