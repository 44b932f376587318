"""Safe navigation against a plain controller in NumPy, finite differences, and hard play."""

import re
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from pettingzoo.test import parallel_api_test, parallel_seed_test

from games import InputError, check_simulator, parallel_env
from games.load import simulator
from games.navigation.navigation import Navigation
from games.navigation.safe_navigation import SafeNavigation

DYNAMICS = ("single_integrator", "double_integrator")
WIDE = dict(zeta_least=0.01, zeta_most=100.0, eta_least=0.2, eta_most=5.0)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def anything(game, batch, own):
    """Actions [B, N, 2], each at an end of its range as often as not."""
    actions = 2 * torch.rand(batch, game.agents, 2, generator=own) - 1
    extreme = torch.rand(actions.shape, generator=own) < 0.5
    return torch.where(extreme, actions.sign(), actions)


def placed(game, position, goal, obstacle=(), dtype=torch.float64):
    points = (torch.tensor(p, dtype=dtype).reshape(1, -1, 2) for p in (position, goal, obstacle))
    return game.start(*points)


def crossing(game, dtype=torch.float64):
    """Three discs that are in each other's way, near an obstacle."""
    position = [(-0.25, 0.0), (0.2, 0.05), (0.0, -0.3)]
    goal = [(0.7, 0.1), (-0.8, 0.0), (0.05, 0.9)]
    return placed(game, position, goal, [(0.0, 0.28), (0.6, 0.6)], dtype)


def same(one, other):
    return all(torch.equal(getattr(one, f.name), getattr(other, f.name)) for f in fields(one))


# What it promises.


@pytest.mark.parametrize(
    "settings",
    [
        dict(),
        dict(obstacles=3, hold=2, central=True, team=0.3),
        dict(layout="corridor", agents=3),
        dict(agents=1, obstacles=4),
        dict(dynamics="double_integrator", obstacles=2, layout="random"),
        dict(dynamics="double_integrator", responsibility="half", agents=3),
    ],
    ids=str,
)
def test_it_keeps_what_simulators_promise(settings):
    check_simulator(SafeNavigation(**settings), steps=12)


@pytest.mark.filterwarnings("error::UserWarning")
def test_pettingzoo_accepts_it(capsys):
    name = "safe_navigation(agents=3,layout=random,max_steps=60)"
    parallel_api_test(parallel_env(simulator(name)), num_cycles=30)
    assert "Passed" in capsys.readouterr().out
    parallel_seed_test(lambda: parallel_env(simulator(name)), num_cycles=8)


def test_spec_and_observation():
    game = simulator("safe_navigation(agents=5,obstacles=2,layout=random)")
    plain = Navigation(agents=5, obstacles=2, dynamics="single_integrator")
    assert game.spec.roles[0].features == plain.spec.roles[0].features + 2
    assert game.spec.num_nodes == 7
    own = generator(1)
    state = game.reset(6, own)
    assert not game.observe(state).nodes[..., 7:].any()  # in the middle, before the first action
    actions = anything(game, 6, own)
    state, _ = game.step(state, actions, own)
    seen, known = game.observe(state), plain.observe(state)
    for name in ("edges", "edge_features", "acting"):
        assert torch.equal(getattr(seen, name), getattr(known, name))
    assert torch.equal(seen.nodes[..., :7], known.nodes)
    torch.testing.assert_close(seen.nodes[:, :5, 7:], actions, atol=1e-6, rtol=0)
    assert not seen.nodes[:, 5:, 7:].any()


def test_central_edges_are_all():
    game = SafeNavigation(agents=5, obstacles=2, layout="random", central=True)
    near = replace(game, central=False)
    state, own = game.reset(3, generator(2)), generator()
    seen, some = game.observe(state), near.observe(state)
    expected = {
        (7 * b + i, 7 * b + j) for b in range(3) for i in range(7) for j in range(5) if i != j
    }
    assert set(map(tuple, seen.edges.T.tolist())) == expected
    assert seen.edges.shape[1] == len(expected) > some.edges.shape[1]
    assert set(map(tuple, some.edges.T.tolist())) < expected
    free = state.clearance[seen.edges[0] // 7, seen.edges[0] % 7, seen.edges[1] % 7]
    torch.testing.assert_close(seen.edge_features[:, 4], free / game.communication)
    # What policies see is all that differs.
    actions = anything(game, 3, own)
    assert same(game.step(state, actions, own)[0], near.step(state, actions, own)[0])


def test_parameters_and_actions_are_inverse():
    game = SafeNavigation(zeta_least=0.2, zeta_most=5.0, eta_least=0.5, eta_most=3.0)
    ends = torch.tensor([[-1.0, -1.0], [1.0, 1.0], [0.0, 0.0]]).double()
    expected = [[0.2, 0.5], [5.0, 3.0], [1.0, 1.5**0.5]]  # halfway is the geometric mean
    np.testing.assert_allclose(game.parameters(ends), expected, rtol=1e-12)
    actions = 2 * torch.rand(50, 2, generator=generator(), dtype=torch.float64) - 1
    torch.testing.assert_close(game.actions(game.parameters(actions)), actions)
    fixed = SafeNavigation(eta_least=1.0, eta_most=1.0)
    assert (fixed.parameters(ends)[:, 1] == 1).all()
    assert fixed.actions(fixed.parameters(ends)).isfinite().all()


# One control step, in plain NumPy.


def disc_or_box(game, velocity):
    """The controls there are: half-planes (n, o) with n u >= o, and a disc (centre, radius)."""
    if game.dynamics == "single_integrator":
        return [], (np.zeros(2), game.max_speed)
    a = game.max_acceleration
    box = [(np.array(n), -a) for n in ((1.0, 0.0), (0.0, 1.0), (-1.0, 0.0), (0.0, -1.0))]
    return box, (-velocity / game.dt, game.max_speed / game.dt)


def brute_force(aim, rows, disc):
    """The point nearest to `aim` within half-planes and a disc, or None: all candidates, tried."""
    centre, radius = disc
    lines = [(n / np.linalg.norm(n), o / np.linalg.norm(n)) for n, o in rows]
    out = aim - centre
    points = [aim, centre + radius * out / max(np.linalg.norm(out), 1e-300)]
    for i, (n, o) in enumerate(lines):
        points.append(aim + (o - n @ aim) * n)
        off = o - n @ centre
        if abs(off) <= radius:
            half = np.sqrt(radius**2 - off**2) * np.array([-n[1], n[0]])
            points += [centre + off * n + half, centre + off * n - half]
        for m, p in lines[:i]:
            if abs(n[0] * m[1] - n[1] * m[0]) > 1e-12:
                points.append(np.linalg.solve(np.stack((n, m)), (o, p)))
    points = np.array(points)
    kept = np.linalg.norm(points - centre, axis=1) <= radius + 1e-9
    for n, o in lines:
        kept &= points @ n >= o - 1e-9
    if not kept.any():
        return None
    return points[kept][np.linalg.norm(points[kept] - aim, axis=1).argmin()]


def plain_control(game, state, b, i, own):
    """Rows of agent i of game b by the docstring of `games.navigation.barriers`, and the nearest
    control.

    Returns None where there is none. `own`: by its own parameters, or by the widest that are safe.
    """
    x, v = state.position[b].numpy(), state.velocity[b].numpy()
    obstacle, dt, single = state.obstacle[b].numpy(), game.dt, game.dynamics == DYNAMICS[0]
    nodes = [(x[j], v[j], game.radius, 0.5) for j in range(game.agents) if j != i]
    nodes += [(o, np.zeros(2), game.obstacle_radius, 1.0) for o in obstacle]
    zeta, eta = state.parameters[b, i].double().numpy()
    rows, disc = disc_or_box(game, v[i])
    for place, moving, radius, share in nodes:
        p, w, touch = x[i] - place, v[i] - moving, game.radius + radius
        if np.linalg.norm(p) - touch >= game.communication - 2 * game.radius:
            continue
        d2 = (touch + game.buffer) ** 2
        if single:
            value, drift, row = p @ p / d2 - 1, 0.0, 2 * p / d2
        else:
            fastest = game.max_speed / share
            h = (p @ p + dt**2 / 4 * (w @ w) - dt**2 / 4 * fastest**2) / d2 - 1
            value = h + 2 * p @ w / d2 / game.inner
            change = 2 / game.inner + dt
            row = change * (p + 1.5 * dt * w) / d2
            if game.responsibility == "half":
                drift = share * (change * w @ w + 2 * p @ w) / d2
            else:
                drift = ((2 * p + 3 * dt * w) @ v[i] + share * (change - 3 * dt) * w @ w) / d2
        size = min(zeta * abs(value) ** eta, abs(value) / dt) if own else abs(value) / dt
        if value > -1e-4:
            size = size if value > 0 else 0.0
        rows.append((row, -drift - share * np.sign(value) * size))
    way = state.goal[b, i].numpy() - x[i]
    wish = game.gain * way * min(1, game.max_speed / max(np.linalg.norm(game.gain * way), 1e-300))
    if not single:
        wish = (wish - v[i]) / (2 * dt)
        wish *= min(1, game.max_acceleration / max(np.linalg.norm(wish), 1e-300))
    return brute_force(wish, rows, disc)


@pytest.mark.parametrize("kind", [*DYNAMICS, "by halves"])
def test_controls_and_what_is_told_of_a_game(kind):
    """Controls and all of the info, in plain NumPy, game by game and agent by agent."""
    halves, dynamics = kind not in DYNAMICS, kind if kind in DYNAMICS else DYNAMICS[1]
    game = SafeNavigation(
        agents=4, obstacles=3, dynamics=dynamics, area=1.5, hold=2, **WIDE,
        max_acceleration=2.0 if halves else 4.0, responsibility="half" if halves else "own",
    )  # fmt: skip
    own = generator(5)
    unit = game.max_speed if dynamics == DYNAMICS[0] else game.max_acceleration
    drawn = Navigation(agents=4, obstacles=3, layout="swap", area=1.5).reset(3, own)
    state = game.start(*(p.double() for p in (drawn.position, drawn.goal, drawn.obstacle)))
    shortest = state.shortest.numpy()
    travelled, underway, still, eased, unsafe = np.zeros((5, 3, 4))
    closest, steps, changed = state.clearance.amin((1, 2)).numpy(), np.zeros(3), 0
    for _ in range(90):
        actions = anything(game, 3, own).double()
        now = game.tuned(state, actions)
        for _ in range(game.hold):
            control, gave_up, nothing = game.control(now)
            before, there = now, now.arrived.numpy()
            now, _ = game.advance(now, own)
            for b in range(3):
                if there[b].all():
                    continue
                steps[b] += 1
                for i in range(4):
                    found = plain_control(game, before, b, i, own=True)
                    assert gave_up[b, i].item() == (found is None)
                    if found is None:
                        eased[b, i] += 1
                        found = plain_control(game, before, b, i, own=False)
                        assert nothing[b, i].item() == (found is None)
                    if found is None:
                        unsafe[b, i] += 1
                        continue
                    np.testing.assert_allclose(control[b, i] * unit, found, atol=1e-7)
                    changed += 1
            went = np.linalg.norm(now.position - before.position, axis=2)
            travelled += went * ~there
            underway += game.dt * ~there
            slow = ~there & (went < 0.05 * game.max_speed * game.dt)
            still = np.where(slow, still + game.dt, 0)
            closest = np.minimum(closest, now.clearance.amin((1, 2)).numpy())
        state, step = game.step(state, actions, own)
        assert same(state, now)
    arrived = np.linalg.norm(state.goal - state.position, axis=2) < game.goal_radius
    success = arrived & ~state.collided.numpy()
    expected = {
        "success": success.mean(1),
        "arrived": arrived.mean(1),
        "all_arrived": success.all(1),
        "spl": (success * shortest / np.maximum(travelled, shortest)).mean(1),
        "speed": (travelled / underway / game.max_speed).mean(1),
        "deadlocked": (~arrived & (still >= 2.0)).mean(1),
        "eased": eased.mean(1) / steps,
        "infeasible": unsafe.mean(1) / steps,
        "closest": closest,
    }
    for name, value in expected.items():
        np.testing.assert_allclose(step.info[name], value, atol=1e-6, err_msg=name)
    assert {"safe", "collisions", *expected} == set(step.info)
    assert changed > 300
    assert arrived.any()
    if halves:
        assert eased.sum() > 10
        assert unsafe.sum() > 0
    else:  # 4 m/s^2 is the least acceleration with which braking keeps all barriers
        assert not eased.any()


def test_lengths_and_speeds_of_a_disc_that_is_alone():
    """Straight to the goal: the shortest path, at full speed until gain slows it down."""
    game = SafeNavigation(agents=1, max_steps=200)
    state = placed(game, [(-0.5, 0.0)], [(0.5, 0.0)])
    for _ in range(10):
        state, step = game.step(state, torch.zeros(1, 1, 2).double(), generator())
        if step.over.item():
            break
    # 0.75 m at 0.5 m/s in 30 steps; then what is left shrinks by a tenth a step, until < 0.1 m.
    left = 0.25 * 0.9 ** np.arange(20)
    after = int((left >= 0.1).sum())
    went = 1 - left[after]
    assert state.underway.item() == pytest.approx((30 + after) * 0.05)
    assert state.travelled.item() == pytest.approx(went)
    assert step.info["speed"].item() == pytest.approx(went / ((30 + after) * 0.05 * 0.5))
    assert step.info["spl"].item() == pytest.approx(0.9 / went)
    assert step.info["deadlocked"].item() == 0


@pytest.mark.parametrize("off", [0.0, 0.05], ids=["on it", "near it"])
def test_who_begins_at_its_goal(off):
    """It has gone the shortest path, which is none; the other one has 0.9 m to go, undisturbed."""
    game = SafeNavigation(agents=2, max_steps=200)
    begin, actions = [(-0.5, 0.9), (-0.5, 0.0)], torch.zeros(1, 2, 2).double()
    state = placed(game, begin, [(-0.5 + off, 0.9), (-0.5, off)])
    state, step = game.step(state, actions, generator())
    found = {name: value.item() for name, value in step.info.items()}
    for name in ("success", "arrived", "safe", "all_arrived", "spl"):
        assert found[name] == 1, name
    for name in ("deadlocked", "eased", "infeasible", "collisions"):
        assert found[name] == 0, name
    state = placed(game, begin, [(-0.5 + off, 0.9), (0.5, 0.0)])
    while not step.over.all() or not state.steps.any():
        state, step = game.step(state, actions, generator())
    ratio = 0.9 / (1 - (0.5 - state.position[0, 1, 0].item()))
    assert ratio < 1
    assert step.info["spl"].item() == pytest.approx((1 + ratio) / 2)
    assert step.info["success"].item() == 1


@pytest.mark.parametrize("layout", ["random", "swap", "corridor"])
def test_no_obstacle_hides_a_goal_from_its_rim(layout):
    """So that what `State.shortest` says of the rim holds; 0.1 m, and 0.15 m of radii."""
    game = SafeNavigation(layout=layout, obstacles=0 if layout == "corridor" else 6)
    state = game.reset(200, generator(3))
    apart = torch.cdist(state.goal.double(), state.obstacle.double())
    assert apart.min() > np.hypot(0.1, 0.15)


def test_two_that_face_each_other_are_deadlocked():
    game = SafeNavigation(agents=2, max_steps=300)
    state = placed(game, [(-0.5, 0.0), (0.5, 0.0)], [(0.8, 0.0), (-0.8, 0.0)])
    actions = torch.zeros(1, 2, 2).double()
    for number in range(1, 61):
        state, step = game.step(state, actions, generator())
        assert step.over.item() == (number == 60)
    assert {name: step.info[name].item() for name in ("deadlocked", "success", "spl")} == {
        "deadlocked": 1.0, "success": 0.0, "spl": 0.0,
    }  # fmt: skip
    assert step.info["closest"].item() == pytest.approx(game.buffer, abs=1e-6)


# What an action does.


def test_an_action_held_is_the_same_action_again():
    for dynamics in DYNAMICS:
        held = SafeNavigation(agents=5, obstacles=2, dynamics=dynamics, hold=4)
        once = replace(held, hold=1)
        state = alone = held.reset(8, generator(3))
        own = generator(4)
        for _ in range(15):
            actions, total = anything(held, 8, own), 0.0
            state, step = held.step(state, actions, own)
            for _ in range(4):
                alone, each = once.step(alone, actions, own)
                total = total + each.reward
            assert same(state, alone)
            torch.testing.assert_close(step.reward, total)
            for name in step.info:
                torch.testing.assert_close(step.info[name], each.info[name])


def test_games_that_are_over_stand_still():
    game = SafeNavigation(agents=2, layout="random")
    first = placed(game, [(-0.3, 0.0), (0.3, 0.5)], [(-0.3, 0.05), (0.3, 0.55)], (), torch.float32)
    actions = torch.full((1, 2, 2), torch.nan)  # nobody asks
    after, step = game.step(first, actions, generator())
    assert same(first, after)
    assert step.terminated.all()
    assert not step.reward.any()
    assert not game.observe(after).acting.any()


def test_a_team_shares_its_rewards():
    alone = SafeNavigation(agents=4)
    state, own = alone.reset(6, generator(1)), generator(2)
    for _ in range(6):
        actions = anything(alone, 6, own)
        state, _ = alone.step(state, actions, own)
    own_reward = alone.step(state, actions, own)[1].reward
    mean = own_reward.mean(dim=1, keepdim=True).expand_as(own_reward)
    assert not torch.allclose(own_reward, mean)
    for team, expected in ((1.0, mean), (0.25, 0.75 * own_reward + 0.25 * mean)):
        shared = replace(alone, team=team).step(state, actions, own)[1].reward
        torch.testing.assert_close(shared, expected)


def test_who_is_out_of_sight_makes_no_difference():
    """A control depends on the agent itself, and on what is near it."""
    for dynamics in DYNAMICS:
        few = SafeNavigation(agents=3, obstacles=2, dynamics=dynamics)
        many = SafeNavigation(agents=5, obstacles=2, dynamics=dynamics)
        state = crossing(few)
        far = torch.tensor([[(9.0, 9.0), (9.2, 9.0)]]).double()
        crowd = many.start(
            torch.cat((state.position, far), 1), torch.cat((state.goal, -far), 1), state.obstacle
        )
        for _ in range(40):
            control, wanted = few.control(state)[0], many.control(crowd)[0]
            torch.testing.assert_close(wanted[:, :3], control, atol=1e-12, rtol=0)
            state, _ = few.advance(state, generator())
            crowd, _ = many.advance(crowd, generator())
        assert (state.closest < 0.05).all()  # they met


@pytest.mark.parametrize("dynamics", DYNAMICS)
def test_gradients_are_those_of_finite_differences(dynamics):
    game = SafeNavigation(
        agents=3, obstacles=2, layout="random", dynamics=dynamics, hold=3, collision_cost=1.0
    )
    own = generator(1)
    state, drawn = crossing(game), torch.rand(4, 1, 3, 2, generator=own, dtype=torch.float64)

    def played(actions):
        now, total = state, 0.0
        for action in actions:
            now, step = game.step(now, action, own)
            total = total + step.reward
        return total, now.position, game.observe(now).nodes

    actions = (1.2 * drawn - 0.6).requires_grad_()
    assert torch.autograd.gradcheck(played, actions, eps=1e-7, atol=1e-5)
    slopes = torch.autograd.grad(played(actions)[1].sum(), actions)[0]
    assert (slopes.abs() > 1e-4).any(dim=-1).sum() >= 6  # or nothing of it was tested


# Safety.


def play_hard(game, games, actions_of, seed):
    """State at the end of `games` games, whose actions are drawn by actions_of(generator)."""
    own = generator(seed)
    state = game.reset(games, own)
    with torch.no_grad():
        while True:
            state, step = game.step(state, actions_of(own), own)
            if step.over.all() or step.truncated.all():
                return state


KINDS = [
    dict(dynamics="single_integrator"),
    dict(dynamics="double_integrator"),
    dict(dynamics="double_integrator", responsibility="half"),
]


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize(
    "settings",
    [
        dict(agents=2, layout="swap", obstacles=6),
        dict(agents=4, layout="swap"),
        dict(agents=8, layout="swap", obstacles=4),
        dict(agents=5, layout="corridor"),
        dict(agents=8, layout="random", obstacles=5),
        dict(agents=3, layout="random", area=0.8),
    ],
    ids=str,
)
def test_nobody_touches_whatever_the_actions(settings, kind):
    """Extreme parameters, drawn anew at every control step: 360 games in all of these tests."""
    game = SafeNavigation(max_steps=150, hold=1, **settings, **kind, **WIDE)
    state = play_hard(game, 20, lambda own: anything(game, 20, own), seed=6)
    feasible = state.infeasible.sum(dim=1) == 0
    assert feasible.any()
    assert (state.collisions[feasible] == 0).all()
    assert (state.closest[feasible] > 0).all()
    assert (state.closest < 0.03).any()  # they met
    if "responsibility" not in kind:
        assert feasible.all()
        assert not state.eased.any()
        assert (state.closest > game.buffer / 2).all()


@pytest.mark.parametrize(
    "settings",
    [
        # 0.1 m of two radii, 0.002 m of buffer and 0.05 m that two close in on each other in a step
        dict(dynamics="single_integrator", communication=0.1521),
        dict(dynamics="double_integrator", communication=0.2929),
        dict(dynamics="double_integrator", communication=0.2137, inner=20.0),
        dict(dynamics="double_integrator", communication=0.4746, inner=5.0, max_acceleration=2.3),
    ],
    ids=str,
)
def test_nobody_touches_who_sees_just_far_enough(settings):
    game = SafeNavigation(agents=6, layout="random", max_steps=150, hold=1, **settings, **WIDE)
    with pytest.raises(InputError, match="too late"):
        replace(game, communication=game.communication - 0.0002)
    state = play_hard(game, 20, lambda own: anything(game, 20, own), seed=7)
    assert not state.collisions.any()
    assert not state.infeasible.any()
    assert not state.eased.any()
    assert (state.closest < 0.03).any()


THOUSANDS = [(4, kind) for kind in KINDS] + [(8, kind) for kind in KINDS[:2]]


@pytest.mark.slow
@pytest.mark.parametrize(("agents", "kind"), THOUSANDS, ids=str)
@pytest.mark.parametrize("parameters", [(0.3, 1.0), (1.0, 1.0), (8.0, 1.0), (10.0, 0.5), None])
def test_nobody_touches_in_a_thousand_games(parameters, agents, kind):
    game = SafeNavigation(agents=agents, obstacles=6, **kind)

    def actions_of(own):
        if parameters is None:
            return anything(game, 1000, own)
        return game.actions(torch.tensor(parameters)).expand(1000, agents, 2)

    state = play_hard(game, 1000, actions_of, seed=1000)
    feasible = state.infeasible.sum(dim=1) == 0
    print(
        f"{[*kind.values()]}, {agents} agents, {parameters}: {int((~feasible).sum())} games with "
        f"an infeasible step, in which {int((state.collisions[~feasible] > 0).sum())} collided; "
        f"{int((state.collisions[feasible] > 0).sum())} of the others; least clearance there "
        f"{float(state.closest[feasible].min()) * 1000:.2f} mm"
    )
    assert (state.collisions[feasible] == 0).all()
    if "responsibility" not in kind:
        assert feasible.all()


# Bad input.


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (dict(zeta_least=0.0), "zeta_least is 0.0 and zeta_most 10.0; give 0 < zeta_least <="),
        (dict(zeta_most=0.05), "zeta_least is 0.1 and zeta_most 0.05; give 0 < zeta_least <="),
        (dict(eta_least=3.0), "eta_least is 3.0 and eta_most 2.0; give 0 < eta_least <= eta_most"),
        (dict(eta_most=float("inf")), "eta_most is inf; give a finite number"),
        (dict(zeta_most="much"), "zeta_most is 'much'; give a finite number"),
        (dict(hold=0), "hold is 0; give a whole number of at least 1"),
        (dict(hold=2.5), "hold is 2.5; give a whole number of at least 1"),
        (dict(team=1.5), "team is 1.5; give a share from 0 to 1"),
        (dict(team=-0.5), "team is -0.5; give 0 or more"),
        (dict(central="yes"), "central is 'yes'; give True or False"),
        (dict(gain=0.0), "gain is 0.0; give more than 0 and at most 20 with dt=0.05"),
        (dict(gain=21.0), "gain is 21.0; give more than 0 and at most 20 with dt=0.05"),
        (
            dict(dynamics=DYNAMICS[1], inner=0.0),
            "inner is 0.0; give more than 0 and at most 20 (or 40 with responsibility=half)",
        ),
        (
            dict(dynamics=DYNAMICS[1], inner=20.5),
            "inner is 20.5; give more than 0 and at most 20 (or 40 with responsibility=half)",
        ),
        (
            dict(dynamics=DYNAMICS[1], inner=41.0, responsibility="half"),
            "inner is 41.0; give more than 0 and at most 40 with dt=0.05",
        ),
        (  # 2 max_speed / (2 / inner + dt) = 1 / 0.25, and 1 where inner = 2 / 0.95
            dict(dynamics=DYNAMICS[1], max_acceleration=1.0),
            "max_acceleration is 1.0, too little to brake in time; make it at least 4, inner at "
            "most 2.1, or responsibility=half",
        ),
        (dict(buffer=0.0), "buffer is 0.0; give at least 1.01e-05, of rounding"),
        (dict(buffer=0.06), "discs may begin 0.05 m apart, where barriers already forbid to be"),
        (dict(dynamics=DYNAMICS[1], margin=0.003), "make margin at least 0.005"),
        (
            dict(communication=0.151),
            "see each other too late to be safe; make communication larger",
        ),
        (dict(max_speed=20.0), "see each other too late to be safe; make communication larger by"),
        (dict(dynamics=DYNAMICS[1], inner=1.0), "or inner larger"),
        (dict(responsibility="owm"), "unknown responsibility 'owm': did you mean own?"),
        (dict(agents=0), "agents is 0; give a whole number of at least 1"),
    ],
)
def test_parameters_out_of_range(settings, message):
    with pytest.raises(InputError, match=r"^(safe_)?navigation: ") as error:
        SafeNavigation(**settings)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_mends_mend():
    """What a message says to do is enough, and not much more than is needed."""

    def number(settings, before):
        with pytest.raises(InputError) as error:
            SafeNavigation(**settings)
        return float(re.search(before + r" ([\d.e-]+)", str(error.value))[1])

    double = dict(dynamics=DYNAMICS[1])
    late = double | dict(inner=4.0)
    more = number(late, "larger by")
    SafeNavigation(**late, communication=0.5 + more)
    with pytest.raises(InputError, match="too late"):
        SafeNavigation(**late, communication=0.5 + 0.98 * more)
    weak = double | dict(max_acceleration=2.9, communication=1.0, dt=0.07)
    hard = double | dict(dt=0.07, inner=30.0, margin=0.1)
    for settings, name, before, off in (
        (double | dict(margin=0.001), "margin", "make margin at least", 0.98),
        (dict(buffer=0.0), "buffer", "give at least", 0.98),
        (weak, "max_acceleration", "make it at least", 0.98),
        (weak, "inner", "inner at most", 1.02),
        (hard, "inner", "at most", 1.02),
        (hard | dict(responsibility="half"), "inner", "at most", 1.02),
        (dict(dt=0.07, gain=15.0), "gain", "at most", 1.02),
    ):
        fix = number(settings, before)
        SafeNavigation(**settings | {name: fix})
        with pytest.raises(InputError, match=before):
            SafeNavigation(**settings | {name: off * fix})
    SafeNavigation(**weak, responsibility="half")


def test_an_action_outside_the_box_is_refused():
    game = SafeNavigation()
    state, actions = game.reset(3, generator()), torch.zeros(3, 4, 2)
    actions[1, 2, 0] = torch.nan
    with pytest.raises(InputError, match=r"agent 2: .* step 1 \(game 1\) is not in Box\(-1, 1\)"):
        game.step(state, actions, generator())
    with pytest.raises(InputError, match=r"shape \(3, 4\); give \(3, 4, 2\)"):
        game.step(state, actions[..., 0], generator())


# Far from where coordinates begin.


def moved(state, game, by):
    """The same games elsewhere: as they begin, `by` metres away, in float32."""
    return game.start(*(p + torch.tensor(by) for p in (state.position, state.goal, state.obstacle)))


@pytest.mark.parametrize("dynamics", DYNAMICS)
def test_discs_50_km_away_do_not_touch(dynamics):
    """float32 tells 4 mm apart there, twice the buffer; yet nobody touches, whatever they do."""
    game = SafeNavigation(dynamics=dynamics, agents=8, max_steps=100)
    own = generator()
    state = moved(game.reset(40, own), game, (50_000.0, -50_000.0))
    for _ in range(game.max_steps // game.hold):
        state, _ = game.step(state, anything(game, 40, own), own)
    assert state.closest.min() > 0
    assert not state.collisions.any()
    assert not state.infeasible.any()


@pytest.mark.parametrize("kind", [Navigation, SafeNavigation])
def test_a_game_is_the_same_anywhere(kind):
    """Places that float32 has at 50 km, too, and a way that is a multiple of 64 m: bit by bit."""
    game = kind(agents=4, obstacles=2, max_steps=50, layout="random")
    here = game.reset(20, generator())
    points = [(p * 256).round() / 256 for p in (here.position, here.goal, here.obstacle)]
    near = game.start(*points)
    away = torch.tensor([781 * 64.0, -500 * 64.0])
    far = game.start(*(p + away for p in points))
    assert torch.equal(far.origin - near.origin, away.double().expand(20, 2))
    assert not near.origin.any()
    own = generator(1)
    for _ in range(5):
        actions = anything(game, 20, own)
        (near, one), (far, other) = (game.step(s, actions, own) for s in (near, far))
        assert torch.equal(one.reward, other.reward)
        for name in ("position", "velocity", "goal", "clearance", "collided"):
            assert torch.equal(getattr(near, name), getattr(far, name))
        seen, there = game.observe(near), game.observe(far)
        assert torch.equal(seen.nodes, there.nodes)
        assert torch.equal(seen.edge_features, there.edge_features)


def test_a_game_too_wide_for_its_numbers_is_refused():
    game = SafeNavigation(agents=2)
    for wide in (20_000.0, float("nan")):
        with pytest.raises(InputError, match=r"safe_navigation: a game reaches .*keep it within"):
            placed(game, [(0, 0), (wide, 0)], [(1, 0), (1, 1)], dtype=torch.float32)
    placed(game, [(0, 0), (20_000, 0)], [(1, 0), (1, 1)])  # in float64 it may be
    with pytest.raises(InputError, match=r"reaches 2e\+04 m from its middle, too far for float32"):
        SafeNavigation(area=40_000.0)
