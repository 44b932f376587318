"""Barriers against plain NumPy, finite differences, and motion simulated pair by pair."""

import numpy as np
import pytest
import torch

from games.navigation.barriers import (
    ROUNDING,
    Pairs,
    binding,
    class_k,
    double_integrator,
    safe_distances,
    single_integrator,
    widest,
)
from games.navigation.planar_qp import Allowed, nearest

DT, INNER, SPEED = 0.05, 10.0, 0.5
COUNT = 4000
DYNAMICS = ("single_integrator", "double_integrator", "by halves")  # the last: likewise double


def pairs(rng, count=COUNT, near=1.0, far=4.0, still=False):
    """Random pairs, `near` to `far` contacts apart; the node may be an obstacle."""
    contact = rng.uniform(0.08, 0.3, count)
    angle, share = rng.uniform(0, 2 * np.pi, count), np.full(count, 1.0 if still else 0.5)
    apart = (rng.uniform(near, far, count) * contact)[:, None] * direction(angle)
    velocity = [within(rng, count, SPEED), within(rng, count, 0.0 if still else SPEED)]
    return apart, velocity, contact, share


def direction(angle):
    return np.stack((np.cos(angle), np.sin(angle)), axis=-1)


def within(rng, count, radius):
    """[count, 2] in a disc, as often on its rim as not."""
    length = radius * np.minimum(1, 2 * rng.uniform(size=count))
    return length[:, None] * direction(rng.uniform(0, 2 * np.pi, count))


def as_pairs(apart, velocity, contact, share):
    parts = (apart, velocity[0] - velocity[1], contact, share, velocity[0])
    return Pairs(*(torch.as_tensor(part) for part in parts))


def both_sides(apart, velocity, contact, share):
    """As either of the two sees it."""
    return [
        as_pairs(apart, velocity, contact, share),
        as_pairs(-apart, velocity[::-1], contact, share),
    ]


def barrier(apart, moving, contact, share, dynamics, dt=DT):
    """The value as the module's docstring defines it, in plain NumPy."""
    square, closest = contact**2, contact**2
    if dynamics == "single_integrator":
        return (apart**2).sum(-1) / square - 1
    closest = square + (dt * SPEED / share) ** 2 / 4  # D^2
    h = ((apart**2).sum(-1) + dt**2 * (moving**2).sum(-1) / 4 - closest) / square
    return h + 2 * (apart * moving).sum(-1) / square / INNER


def barriers_of(found, dynamics, dt=DT):
    if dynamics == "single_integrator":
        return single_integrator(found)
    return double_integrator(found, dt, INNER, SPEED, halves=dynamics == "by halves")


def moved(apart, moving, control, dynamics, dt=DT):
    """The pair after a step with the relative control [count, 2]."""
    if dynamics == "single_integrator":
        return apart + dt * control, control
    return apart + dt * moving + dt**2 / 2 * control, moving + dt * control


def pushed(rng, rows, offsets, largest):
    """Controls [count, 2] on the edge of their half-plane, or by chance inside."""
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    normal = rows / length
    along = np.stack((-normal[:, 1], normal[:, 0]), axis=-1)
    inside = rng.choice([0.0, 1.0], len(rows)) * rng.exponential(largest, len(rows))
    return (
        offsets[:, None] / length * normal
        + rng.normal(size=(len(rows), 1)) * largest * along
        + inside[:, None] * normal
    )


@pytest.mark.parametrize("still", [False, True], ids=["agents", "obstacle"])
@pytest.mark.parametrize("dynamics", DYNAMICS)
def test_any_controls_within_the_rows_keep_the_claim(dynamics, still):
    """Each of the pair on its own side: the value at the next sample is >= value - dt alpha."""
    rng = np.random.default_rng(0)
    apart, velocity, contact, share = pairs(rng, near=1.0, still=still)
    both = both_sides(apart, velocity, contact, share)
    found = [barriers_of(pair, dynamics) for pair in both]
    moving = velocity[0] - velocity[1]
    value = barrier(apart, moving, contact, share, dynamics)
    for one in found:
        np.testing.assert_allclose(one.value, value, atol=1e-12)
    zeta, eta = np.exp(rng.uniform(-3, 3, (2, COUNT))), rng.uniform(0.3, 3, (2, COUNT))
    controls, allowed = [], np.zeros(COUNT)
    for one, z, e in zip(found[: 1 if still else 2], zeta, eta, strict=False):
        alpha = class_k(one.value, torch.as_tensor(z), torch.as_tensor(e), DT)
        offsets = one.offsets(alpha).numpy()
        controls.append(pushed(rng, one.rows.numpy(), offsets, SPEED))
        allowed += share * alpha.numpy()
    control = controls[0] - (0 if still else controls[1])
    then, after = moved(apart, moving, control, dynamics)
    new = barrier(then, after, contact, share, dynamics)
    scale = 1 + np.abs(new) + np.abs(value)
    assert ((new - value + DT * allowed) / scale).min() >= -1e-12
    safe = value >= 0
    assert safe.sum() > COUNT / 8
    assert (new / scale)[safe].min() >= -1e-12
    if dynamics == "single_integrator":  # at all times in between, too
        for part in np.linspace(0, 1, 21):
            between = barrier(apart + part * DT * control, moving, contact, share, dynamics)
            assert (between / scale)[safe].min() >= -1e-12


@pytest.mark.parametrize("inner", [1.0, 10.0, 40.0])  # up to 2 / dt
def test_discs_stay_apart_while_the_value_is_not_negative(inner):
    """h' >= (1 - k) / (1 + k) h for k = inner dt / 2, whatever moved: the second order's claim."""
    rng = np.random.default_rng(1)
    apart, velocity, contact, _ = pairs(rng, near=0.9, far=2.0)
    moving, square = velocity[0] - velocity[1], contact**2
    control = rng.normal(size=(COUNT, 2)) * 5
    then, after = moved(apart, moving, control, "double_integrator")

    def both(p, v):
        h = ((p**2).sum(-1) + DT**2 / 4 * (v**2).sum(-1) - (DT * SPEED) ** 2) / square - 1
        return h, h + 2 * (p * v).sum(-1) / square / inner

    (h, g), (new_h, new_g) = both(apart, moving), both(then, after)
    k = inner * DT / 2
    np.testing.assert_allclose((1 + k) * new_h, (1 - k) * h + k * (g + new_g), atol=1e-11)
    # h >= 0 is at least the contact apart, at the speeds that there are.
    assert (np.linalg.norm(apart, axis=1) >= contact)[h >= 0].all()
    assert (h >= 0).any()


@pytest.mark.parametrize("still", [False, True], ids=["agents", "obstacle"])
@pytest.mark.parametrize("inner", [1.0, 10.0, 20.0])  # up to 1 / dt
def test_braking_keeps_all_rows(inner, still):
    """What each answers for its own motion can be done, whatever the others do."""
    rng = np.random.default_rng(7)
    apart, velocity, contact, share = pairs(rng, near=0.5, still=still)
    pair = as_pairs(apart, velocity, contact, share)
    one = double_integrator(pair, DT, inner, SPEED)
    brake = -2 / (2 / inner + DT) * pair.own
    left = (one.rows * brake).sum(-1) + one.drift
    assert (left / (1 + one.drift.abs())).min() >= -1e-12
    other = double_integrator(pair, DT, inner, SPEED, halves=True)
    assert still or ((other.rows * brake).sum(-1) + other.drift).min() < -0.1  # not so by halves


@pytest.mark.parametrize("dynamics", DYNAMICS)
def test_rows_are_the_derivative_of_the_next_sample(dynamics):
    """By finite differences; of double integrators at no control, where the square is flat."""
    rng = np.random.default_rng(2)
    apart, velocity, contact, share = pairs(rng, 200)
    moving = velocity[0] - velocity[1]
    both = both_sides(apart, velocity, contact, share)
    one, other = (barriers_of(pair, dynamics) for pair in both)

    def rate(control):
        then, after = moved(apart, moving, control, dynamics)
        return (barrier(then, after, contact, share, dynamics) - one.value.numpy()) / DT

    drift = one.drift + other.drift
    np.testing.assert_allclose(drift, rate(np.zeros((200, 2))), rtol=1e-9, atol=1e-9)
    assert torch.equal(one.rows, -other.rows)
    for axis in range(2):
        step = 1e-5 * np.eye(2)[[axis]]
        slope = (rate(step) - rate(-step)) / 2e-5
        np.testing.assert_allclose(one.rows[:, axis], slope, rtol=1e-7, atol=1e-6)


@pytest.mark.parametrize("dynamics", DYNAMICS)
def test_the_limit_of_short_steps_is_the_barrier_condition(dynamics):
    """dt -> 0: d(value)/dt + alpha >= 0, with h1 = h + (dh/dt) / inner of second order."""
    rng = np.random.default_rng(3)
    apart, velocity, contact, share = pairs(rng, 200)
    moving, square, dt = velocity[0] - velocity[1], contact**2, 1e-7
    both = both_sides(apart, velocity, contact, share)
    one, other = (barriers_of(pair, dynamics, dt) for pair in both)
    control = rng.normal(size=(200, 2))
    lie = (one.rows.numpy() * control).sum(-1) + (one.drift + other.drift).numpy()
    distance = (apart**2).sum(-1) / square - 1
    if dynamics == "single_integrator":
        value, slope = distance, 2 * (apart * control).sum(-1) / square
    else:
        first = 2 * (apart * moving).sum(-1) / square
        second = 2 * ((moving**2).sum(-1) + (apart * control).sum(-1)) / square
        value, slope = distance + first / INNER, first + second / INNER
    np.testing.assert_allclose(one.value, value, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(lie, slope, rtol=1e-5, atol=1e-4)


def test_class_k():
    rng = np.random.default_rng(4)
    value = np.concatenate((rng.normal(size=500), np.logspace(-12, 2, 300), [0.0]))
    value = np.sort(np.concatenate((value, -value)))
    h = torch.tensor(value, requires_grad=True)
    for zeta, eta in ((0.1, 0.5), (10.0, 0.5), (1.0, 1.0), (3.0, 2.0), (100.0, 1.0)):
        z, e = (torch.full_like(h, x, requires_grad=True) for x in (zeta, eta))
        alpha = class_k(h, z, e, DT)
        assert (alpha.diff() >= 0).all()  # never falls
        assert (alpha.abs() <= h.abs() / DT).all()  # all that there is
        violated = value <= -ROUNDING
        assert (alpha <= widest(h, DT))[~violated].all()
        assert torch.equal(widest(h, DT)[violated], h[violated] / DT)  # at once
        expected = np.minimum(zeta * np.abs(value) ** eta, np.abs(value) / DT) * np.sign(value)
        expected[(value < 0) & ~violated] = 0
        np.testing.assert_allclose(alpha.detach(), expected, rtol=1e-12, atol=1e-20)
        for slope in torch.autograd.grad(alpha.sum(), (h, z, e)):
            assert slope.isfinite().all()
    assert class_k(torch.zeros(1), torch.ones(1), torch.ones(1), DT).item() == 0


def test_binding_rows_are_those_that_some_control_breaks():
    rng = np.random.default_rng(5)
    agents, count = 60, 400
    agent = torch.as_tensor(np.sort(rng.integers(0, agents - 1, count)))  # the last sees nobody
    rows, offsets = torch.tensor(rng.normal(size=(count, 2))), torch.tensor(rng.normal(size=count))
    reach = torch.linalg.vector_norm(rows, dim=1)  # of controls in the unit disc
    normals, ends = binding(rows, offsets, reach, agent, agents)
    # Brute force: the rim of the disc is where a row is broken most.
    rim = torch.as_tensor(direction(np.linspace(0, 2 * np.pi, 3601)))
    broken = ((rows @ rim.T) < offsets[:, None] - 1e-5).any(dim=1)
    assert 0 < broken.sum() < count
    assert normals.shape == (agents, int(torch.bincount(agent[broken]).max()), 2)
    for i in range(agents):
        mine = broken & (agent == i)
        wanted = torch.cat((rows[mine], offsets[mine, None]), dim=1)
        kept = torch.cat((normals[i], ends[i, :, None]), dim=1)
        assert torch.equal(kept[: len(wanted)], wanted)
        assert torch.equal(kept[len(wanted) :, :2], torch.zeros(len(kept) - len(wanted), 2))
        assert (kept[len(wanted) :, 2] == -1).all()
    # What is left out changes no answer.
    every, all_ends = torch.zeros(agents, 30, 2).double(), torch.full((agents, 30), -1.0).double()
    for place, i in enumerate(agent.tolist()):
        every[i, place % 30], all_ends[i, place % 30] = rows[place], offsets[place]
    aim = torch.tensor(rng.normal(size=(agents, 2)))
    disc = Allowed(centre=torch.zeros(2).double(), radius=1.0)
    some, whole = nearest(aim, normals, ends, disc), nearest(aim, every, all_ends, disc)
    assert torch.equal(some.feasible, whole.feasible)
    assert 0 < whole.feasible.sum() < agents
    where = whole.feasible
    torch.testing.assert_close(some.control[where], whole.control[where], atol=1e-9, rtol=0)


def test_binding_without_rows_or_agents():
    nothing = torch.zeros(0, dtype=torch.float64)
    nobody = torch.zeros(0, dtype=torch.int64)
    for agents in (0, 3):
        normals, ends = binding(torch.zeros(0, 2).double(), nothing, nothing, nobody, agents)
        assert normals.shape == (agents, 0, 2)
        assert ends.shape == (agents, 0)


def test_binding_has_the_gradients_of_its_rows():
    rng = np.random.default_rng(6)
    rows, offsets = torch.tensor(rng.normal(size=(9, 2))), torch.tensor(rng.normal(size=9))
    agent = torch.tensor([0, 0, 1, 1, 1, 3, 3, 3, 3])

    def padded(rows, offsets):
        return binding(rows, offsets, torch.full((9,), 0.3).double(), agent, 4)

    assert torch.autograd.gradcheck(padded, (rows.requires_grad_(), offsets.requires_grad_()))


@pytest.mark.parametrize("inner", [3.0, 10.0, 40.0])
def test_safe_distances_are_the_least(inner):
    """Against a search: at full speed, in any direction, and at rest."""
    contact = torch.tensor([0.1, 0.15, 0.02]).double()
    closing = torch.tensor([1.0, 0.5, 1.0]).double()  # of two, of one, of two small ones
    share = torch.tensor([0.5, 1.0, 0.5]).double()
    rest, first = safe_distances(contact, closing, DT, inner)

    def least(distance, place, speeds):
        angle = np.linspace(0, 2 * np.pi, 721)
        worst = np.inf
        for speed in speeds:
            moving = torch.as_tensor(speed * direction(angle))
            apart = torch.zeros_like(moving)
            apart[:, 0] = distance
            sizes = (x[place].expand(len(angle)) for x in (contact, share))
            pair = Pairs(apart, moving, *sizes, moving)
            found = double_integrator(pair, DT, inner, SPEED).value
            worst = min(worst, float(found.min()))
        return worst

    for i in range(3):
        everywhere = np.linspace(0, float(closing[i]), 41)
        assert least(float(first[i]), i, everywhere) >= -1e-9
        assert least(float(first[i]) * 0.999, i, everywhere) < 0
        assert least(float(rest[i]), i, [0.0]) == pytest.approx(0, abs=1e-9)
        assert first[i] >= rest[i]
