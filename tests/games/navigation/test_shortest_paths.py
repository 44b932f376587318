"""Shortest paths among discs against closed forms, and against sampled rims with Dijkstra."""

import math

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.sparse.csgraph import dijkstra

from games import InputError
from games.navigation.navigation import Navigation
from games.navigation.shortest_paths import HAIR, shortest_paths


def length(start, goal, obstacle, radius):
    """One pair, in float64."""
    points = (torch.tensor(x, dtype=torch.float64).reshape(1, -1, 2) for x in (start, goal))
    discs = torch.tensor(np.asarray(obstacle), dtype=torch.float64).reshape(1, -1, 2)
    return shortest_paths(*points, discs, radius).item()


def crosses(tail, head, point, depth):
    """Whether segments come nearer than `depth` to a point; by areas and projections, not ours."""
    way = head - tail
    along = ((point - tail) * way).sum(-1)
    square = (way * way).sum(-1)
    across = way[..., 0] * (point - tail)[..., 1] - way[..., 1] * (point - tail)[..., 0]
    beside = (along > 0) & (along < square) & (np.abs(across) < depth * np.sqrt(square))
    at_end = np.hypot(*np.moveaxis(point - tail, -1, 0)) < depth
    return beside | at_end | (np.hypot(*np.moveaxis(point - head, -1, 0)) < depth)


def sampled(start, goal, obstacle, radius, samples=96):
    """Metres of the shortest path along chords of rims: allowed, so never too short."""
    angle = 2 * math.pi * np.arange(samples) / samples
    rim = 1.000001 * radius / math.cos(math.pi / samples)  # of the corners around the disc
    corners = rim * np.stack((np.cos(angle), np.sin(angle)), axis=-1)
    nodes = np.concatenate(
        ([start, goal], (np.asarray(obstacle)[:, None] + corners).reshape(-1, 2))
    )
    tail, head = nodes[:, None], nodes[None]
    free = ~np.any([crosses(tail, head, point, radius) for point in obstacle], axis=0)
    ways = np.where(free, np.linalg.norm(head - tail, axis=-1), 0)  # a dense 0 is no edge
    return dijkstra(ways, indices=0)[1]


def clear_points(rng, obstacle, radius, number, half=1.0):
    """Points in a square, none of them within 1.01 radii of an obstacle."""
    points = rng.uniform(-half, half, (200, 2))
    apart = np.linalg.norm(points[:, None] - obstacle[None], axis=-1)
    return points[(apart > 1.01 * radius).all(axis=1)][:number]


@pytest.mark.parametrize(
    ("from_centre", "to_centre", "angle"),
    [(1.0, 1.0, 180.0), (0.6, 1.7, 170.0), (0.5, 0.5, 120.0), (0.5001, 3.0, 150.0)],
)
def test_around_one_disc(from_centre, to_centre, angle):
    """A tangent, an arc, a tangent; in a frame that is turned and moved."""
    radius, middle, turn = 0.5, np.array([0.3, -1.2]), 0.7
    ends = [(from_centre, turn), (to_centre, turn + math.radians(angle))]
    start, goal = (middle + far * np.array([math.cos(a), math.sin(a)]) for far, a in ends)
    tangents = sum(math.sqrt(far**2 - radius**2) for far, _ in ends)
    arc = math.radians(angle) - sum(math.acos(radius / far) for far, _ in ends)
    assert arc > 0
    assert length(start, goal, middle, radius) == pytest.approx(
        tangents + radius * arc, abs=1e-9, rel=0
    )


def test_two_discs_on_the_line_are_passed_on_one_side():
    """Centres at x = +-1, ends at x = +-3: over both, along their common outer tangent."""
    radius = 0.6
    to_disc = math.sqrt(4 - radius**2)
    arc = radius * (math.pi / 2 - math.acos(radius / 2))
    expected = 2 * (to_disc + arc) + 2
    found = length((-3, 0), (3, 0), [(-1, 0), (1, 0)], radius)
    assert found == pytest.approx(expected, abs=1e-9, rel=0)


def test_two_discs_beside_the_line_are_passed_between():
    """Centres at (-a, -b) and (a, b) and ends at their outer sides: along a crossing tangent.

    With c the length of (a, b), the tangent from rim to rim is 2 sqrt(c^2 - r^2); by symmetry the
    path goes through the origin. Half of it is around one disc to that point.
    """
    radius, middle, start = 0.5, np.array([-0.8, 0.3]), np.array([-2.0, 0.35])
    ends = [np.zeros(2), start]
    far = [np.linalg.norm(point - middle) for point in ends]
    between = math.acos((ends[0] - middle) @ (ends[1] - middle) / (far[0] * far[1]))
    arc = between - sum(math.acos(radius / x) for x in far)
    assert arc > 0
    half = sum(math.sqrt(x * x - radius**2) for x in far) + radius * arc
    found = length(start, -start, [middle, -middle], radius)
    assert found == pytest.approx(2 * half, abs=1e-9, rel=0)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize(("discs", "radius"), [(4, 0.3), (7, 0.2), (7, 0.35)])
def test_within_one_per_cent_of_sampled_rims(seed, discs, radius):
    """Discs overlap in many of these; the sampled way is allowed and hardly longer."""
    rng = np.random.default_rng([seed, discs])
    obstacle = rng.uniform(-0.8, 0.8, (discs, 2))
    points = clear_points(rng, obstacle, radius, 2, half=1.4)
    found, above = length(*points, obstacle, radius), sampled(*points, obstacle, radius)
    assert np.linalg.norm(points[1] - points[0]) - 1e-12 <= found <= above + 1e-9
    assert found >= 0.99 * above


def test_sampled_rims_tell_a_detour():
    """The oracle above is worth something: in some of its cases the way is far from straight."""
    obstacle = np.array([[0, y] for y in np.arange(-1, 1.01, 0.4)])
    assert sampled([-1, 0], [1, 0], obstacle, 0.3) > 2.5
    assert length([-1, 0], [1, 0], obstacle, 0.3) > 2.5


def test_a_wall_with_a_gap():
    """The corridor: through its gap, and around the rims of the two discs beside it.

    Agents begin beside the wall at y = .5, so that the way is around the upper disc of the gap.
    """
    game = Navigation(agents=2, layout="corridor", gap=0.3)
    wall = game.reset(1, torch.Generator().manual_seed(0)).obstacle.double()
    radius = game.radius + game.obstacle_radius
    height = (wall[..., 1]).abs().min().item()  # of the centres beside the gap
    assert height == pytest.approx(0.25, abs=1e-6)
    far = math.hypot(0.6, 0.5 - height)
    under = math.pi / 2 + math.atan2(0.5 - height, 0.6)  # from the end to straight below
    half = math.sqrt(far**2 - radius**2) + radius * (under - math.acos(radius / far))
    assert length((-0.6, 0.5), (0.6, 0.5), wall, radius) == pytest.approx(2 * half, abs=1e-6, rel=0)
    closed = torch.cat((wall, torch.zeros(1, 1, 2)), dim=1)
    top = wall[..., 1].max().item()
    around = length((-0.6, 0.5), (0.6, 0.5), closed, radius)
    assert around == pytest.approx(
        sampled([-0.6, 0.5], [0.6, 0.5], closed[0].numpy(), radius), rel=1e-3
    )
    assert around > 2 * (top - 0.5)


@pytest.mark.parametrize("gap", [-1e-4, 0.0, 1e-4])
def test_a_ring_lets_nothing_out_unless_its_discs_are_apart(gap):
    """Six discs at the corners of a hexagon of side 2 r + gap; between two that touch is a way."""
    radius = 0.4
    angle = np.arange(6) * math.pi / 3
    ring = (2 * radius + gap) * np.stack((np.cos(angle), np.sin(angle)), axis=-1)
    out = length((0, 0.05), (2, 0.3), ring, radius)
    assert math.isinf(out) if gap < 0 else 2 < out < 3
    back = length((2, 0.3), (0, 0.05), ring, radius)
    assert back == out or back == pytest.approx(out, abs=1e-9)
    assert length((0, 0.05), (0.1, -0.2), ring, radius) == pytest.approx(math.hypot(0.1, 0.25))


@pytest.mark.parametrize("deep", [0.0, HAIR / 2, -HAIR / 2])
def test_an_end_at_the_rim(deep):
    """Half around, from rim to rim, for ends just outside, on and just inside."""
    radius = 0.5
    ends = (-radius + deep, 0.0), (radius - deep, 0.0)
    assert length(*ends, (0, 0), radius) == pytest.approx(math.pi * radius, abs=5 * HAIR)


@pytest.mark.parametrize("half", [0.3, 0.45])
def test_an_end_in_the_corner_of_two_discs(half):
    """From where two rims meet: away around either of them, but not through the other.

    The centres are at x = +-half; if far apart, what moves out of one is more in the other.
    """
    radius = 0.5
    corner = math.sqrt(radius**2 - half**2)
    for depth in (0, 1e-7, HAIR / 2):
        found = length((0, corner - depth), (1.5, 0), [(-half, 0), (half, 0)], radius)
        far = 1.5 - half
        begin = math.pi - math.acos(half / radius)  # angle of the corner around the right disc
        arc = begin - math.acos(radius / far)
        expected = radius * arc + math.sqrt(far**2 - radius**2)
        assert found == pytest.approx(expected, abs=3 * HAIR)
    assert length((0, corner), (0, -corner), [(-half, 0), (half, 0)], radius) == pytest.approx(
        2 * radius * (math.pi - math.acos(half / radius)), abs=1e-9
    )


def test_a_disc_around_an_end_is_left_out_for_it_alone():
    """The path is as short as without that disc; another pair of the game still goes around it."""
    discs = torch.tensor([[[0.0, 0.0], [2.0, 0.0]]])
    start = torch.tensor([[[-0.2, 0.0], [-1.0, 0.0]]])
    goal = torch.tensor([[[4.0, 0.0], [4.0, 0.0]]])
    found = shortest_paths(start, goal, discs, 0.5)[0]
    alone = shortest_paths(start, goal, discs[:, 1:], 0.5)[0]
    assert found[0] == alone[0] > 4.2
    # Over both: each rim is left for its end, at distances 1 and 2 from the centre.
    over = sum(
        math.sqrt(far**2 - 0.25) + 0.5 * (math.pi / 2 - math.acos(0.5 / far)) for far in (1, 2)
    )
    assert found[1].item() == pytest.approx(over + 2, abs=1e-6)
    assert found[1] > alone[1] + 0.05


def test_no_discs():
    start, goal = torch.rand(2, 3, 5, 2, generator=torch.Generator().manual_seed(0))
    found = shortest_paths(start, goal, torch.zeros(3, 0, 2), 0.1)
    assert torch.allclose(found, torch.linalg.vector_norm(goal - start, dim=-1), atol=1e-7, rtol=0)
    assert found.shape == (3, 5)
    assert found.dtype == torch.float32
    assert shortest_paths(start[:0], goal[:0], torch.zeros(0, 2, 2), 0.1).shape == (0, 5)


@pytest.mark.parametrize("layout", ["random", "corridor"])
def test_a_batch_is_its_games_one_by_one(layout):
    given = dict(obstacles=5) if layout == "random" else {}
    game = Navigation(agents=4, layout=layout, area=2.4, **given)
    state = game.reset(16, torch.Generator().manual_seed(1))
    parts = state.position, state.goal, state.obstacle
    radius = game.radius + game.obstacle_radius
    together = shortest_paths(*parts, radius)
    alone = [shortest_paths(*(part[b : b + 1] for part in parts), radius) for b in range(16)]
    assert torch.equal(together, torch.cat(alone))
    straight = torch.linalg.vector_norm(state.goal - state.position, dim=-1)
    assert (together >= straight - 1e-6).all()
    assert (together > straight + 0.01).sum() >= 3  # not all ways are straight


scenes = st.integers(0, 2**32 - 1).map(np.random.default_rng)


@given(scenes, st.integers(1, 6), st.floats(0.1, 0.5), st.floats(0, 2 * math.pi))
@settings(max_examples=60, deadline=None)
def test_lengths_are_a_metric_that_motions_keep(rng, number, radius, turn):
    """Symmetry, the triangle's inequality, longer with one disc more; turned, moved and scaled."""
    discs = rng.uniform(-1, 1, (number, 2))
    points = clear_points(rng, discs, radius, 3, half=1.5)
    assume(len(points) == 3)
    a, b, c = points
    ab = length(a, b, discs, radius)
    assert length(b, a, discs, radius) == pytest.approx(ab, abs=1e-9)
    assert length(a, c, discs, radius) <= ab + length(b, c, discs, radius) + 1e-9
    assert length(a, b, discs[1:], radius) <= ab + 1e-9
    rotation = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    moved = [3 * points @ rotation.T + np.array([4.0, -7.0]) for points in (a, b, discs)]
    assert length(*moved, 3 * radius) == pytest.approx(3 * ab, abs=1e-7)


@pytest.mark.parametrize(
    ("shapes", "radius", "message"),
    [
        (((2, 3, 2), (2, 3, 2), (1, 4, 2)), 0.1, "shapes"),
        (((2, 3, 2), (2, 2, 2), (2, 4, 2)), 0.1, "shapes"),
        (((2, 3, 3), (2, 3, 3), (2, 4, 2)), 0.1, "shapes"),
        (((3, 2), (3, 2), (4, 2)), 0.1, "shapes"),
        (((2, 3, 2), (2, 3, 2), (2, 4, 2)), 0.0, "radius is 0.0"),
        (((2, 3, 2), (2, 3, 2), (2, 4, 2)), math.nan, "radius is nan"),
    ],
)
def test_bad_input_is_refused_in_one_line(shapes, radius, message):
    with pytest.raises(InputError, match=message) as refused:
        shortest_paths(*(torch.zeros(shape) for shape in shapes), radius)
    assert "\n" not in str(refused.value)
