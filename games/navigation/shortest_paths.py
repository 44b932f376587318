"""Shortest paths of a point around equal discs in the plane: exact, for batches of games.

A shortest path among discs is made of segments that touch discs and of arcs on their rims (Chang,
Choi, Kwon, Park, Yap, "Shortest path amidst disc obstacles is computable", SoCG 2005). Two discs
share at most four tangents. The tangents that no disc blocks, and the arcs between their ends,
are a graph, in which Dijkstra's algorithm finds the way. That graph depends on the discs alone; a
start or a goal enters it by its own tangents.

Within, points are complex numbers x + iy, in metres, and angles are in radians.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import csgraph_from_dense, dijkstra
from torch import Tensor

from games.common.errors import InputError

Floats = NDArray[np.float64]
Points = NDArray[np.complex128]

HAIR = 1e-5  # m inside a disc that still counts as on its rim: float32 rounds by less within 80 m
SLACK = 1e-9  # radii or radians by which float64 may be off; never makes a path longer
AT_ONCE = 512  # pairs of start and goal, so that memory stays bounded
SENSES = np.array([1.0, -1.0])  # anticlockwise, clockwise


def shortest_paths(start: Tensor, goal: Tensor, obstacle: Tensor, radius: float) -> Tensor:
    """Metres [B, N] of the shortest path of a point that stays out of open discs.

    Its own start and goal are all that an agent has to mind: neither the other agents nor the edge
    of an area is in its way. So no path of an agent's centre is shorter, if the radius is the sum
    of the agent's and the obstacle's. Where no path leads, the length is inf. Discs that just touch
    are passed between. A start or goal up to `HAIR` inside a disc is on its rim; a disc that holds
    one deeper inside is left out for that pair, which can only make the path shorter.

    Args:
        start, goal: [B, N, 2] float, m; on any device, on which the answer is. No gradient flows.
        obstacle: [B, M, 2] float, m, centres of the discs, which may overlap.
        radius: m, of every disc.

    Raises:
        InputError: shapes that do not fit one another, or a radius that is not a positive number.
    """
    _check(start, goal, obstacle, radius)
    begin, end, centre = (_complex(points) for points in (start, goal, obstacle))
    length = np.abs(end - begin)  # [B, N]
    middle = centre[:, None]  # [B, 1, M]
    nearest = np.minimum(np.abs(middle - begin[..., None]), np.abs(middle - end[..., None]))
    present = nearest >= radius - HAIR  # [B, N, M]
    apart = _from_segment(begin[..., None], end[..., None], middle)
    blocked = present & (apart < np.minimum(nearest, radius) - SLACK * radius)
    pairs: dict[bytes, list[tuple[int, int]]] = {}  # by the discs around them
    for game, agent in np.argwhere(blocked.any(axis=2)):
        pairs.setdefault(centre[game, present[game, agent]].tobytes(), []).append((game, agent))
    for discs, among in pairs.items():
        roads = _roads(discs, float(radius))
        for first in range(0, len(among), AT_ONCE):
            here = tuple(np.array(among[first : first + AT_ONCE]).T)
            length[here] = roads.lengths(begin[here], end[here])
    return torch.from_numpy(length).to(start.device, start.dtype)


@dataclass(frozen=True)
class Roads:
    """The ways among M discs: V points at which free tangents touch them, the nodes of a graph.

    On the rim of each disc are at most K marks: nodes, and walls, which are the points deepest in
    another disc. An arc is free if there is no wall on it: its ends are in no disc.
    """

    centre: Points  # [M]  m
    radius: float  # m
    graph: csr_array  # [V + 1, V + 1]  m of edges; node V is nowhere, and no edge leads to it
    node: NDArray[np.intp]  # [M, K]  V at a wall, and where a disc has fewer marks
    angle: Floats  # [M, K]  of the mark; inf where a disc has fewer
    wall: NDArray[np.bool_]  # [M, K]

    def lengths(self, start: Points, goal: Points) -> Floats:
        """Metres [P] from each start [P] to its goal [P], where the straight way is blocked."""
        begin, end = self._approach(start), self._approach(goal)
        # Around one disc: what is a goal's tangent anticlockwise is reached clockwise.
        arc = _ahead(SENSES[:, None] * (end.angle[:, ::-1] - begin.angle))  # [P, 2, M]
        around = begin.tangent + self.radius * arc + end.tangent[:, ::-1]
        length = np.where(arc <= begin.to_wall, around, np.inf).min(axis=(1, 2))
        # By way of nodes: Dijkstra's algorithm runs from those only that some start comes to.
        leave, arrive = (side.tangent + self.radius * side.to_mark for side in (begin, end))
        comes = np.isfinite(leave) & (begin.mark < self.graph.shape[0] - 1)  # [P, 2, M], C true
        if comes.any():
            sources, row = np.unique(begin.mark[comes], return_inverse=True)
            reach = dijkstra(self.graph, indices=sources)  # [sources, V + 1]
            pair = comes.nonzero()[0]  # [C]
            onward = (reach[row[:, None, None], end.mark[pair]] + arrive[pair]).min(axis=(1, 2))
            np.minimum.at(length, pair, leave[comes] + onward)
        return length

    def _approach(self, point: Points) -> _Approach:
        """The tangents from points [P], as if travelled from there."""
        away = point[:, None] - self.centre  # [P, M]
        distance = np.abs(away)
        tangent = np.sqrt(np.maximum(distance**2 - self.radius**2, 0))
        turn = SENSES[:, None] * np.arctan2(tangent, self.radius)[:, None]  # [P, 2, M]
        angle = np.angle(away)[:, None] + turn
        tip = self.centre + self.radius * np.exp(1j * angle)
        # One that is a hair inside is at the rim as it is: moved there, it might be in another.
        tip = np.where(distance[:, None] < self.radius, point[:, None, None], tip)
        apart = _from_segment(point[:, None, None, None], tip[..., None], self.centre)
        least = np.minimum(distance, self.radius) - SLACK * self.radius
        free = (apart >= least[:, None, None]).all(axis=3)  # [P, 2, M]

        there = np.isfinite(self.angle)
        ahead = np.where(there, self.angle, 0) - angle[..., None]  # [P, 2, M, K]
        ahead = np.where(there, _ahead(SENSES[:, None, None] * ahead), np.inf)
        first = ahead.argmin(axis=3)
        return _Approach(
            tangent=np.where(free, tangent[:, None], np.inf),
            angle=angle,
            mark=self.node[np.arange(len(self.centre)), first],
            to_mark=np.take_along_axis(ahead, first[..., None], axis=3)[..., 0],
            to_wall=np.where(self.wall, ahead, np.inf).min(axis=3),
        )


@dataclass(frozen=True)
class _Approach:
    """Of P points, the tangents to M discs, to go on around them in each of the two senses."""

    tangent: Floats  # [P, 2, M]  m, length; inf if it is blocked
    angle: Floats  # [P, 2, M]  at which it touches, as seen from the disc's centre
    mark: NDArray[np.intp]  # [P, 2, M]  the node that comes next
    to_mark: Floats  # [P, 2, M]  radians from there; inf if there is none
    to_wall: Floats  # [P, 2, M]  radians to the first wall


@lru_cache(maxsize=256)
def _roads(discs: bytes, radius: float) -> Roads:
    """The roads among discs, given as complex128; in a layout that is fixed, built once."""
    centre = np.unique(np.frombuffer(discs, np.complex128))
    disc, angle, length, overlap = _tangents(centre, radius)
    # Nodes that are one but for rounding are joined; sorted by disc, then by angle.
    _, kept, joined = np.unique(disc + 1j * angle.round(12), return_index=True, return_inverse=True)
    nodes, (tail, head) = len(kept), joined.reshape(2, -1)
    disc = np.concatenate((disc[kept], overlap[0]))
    angle = np.concatenate((angle[kept], overlap[1]))
    node = np.minimum(np.arange(len(disc)), nodes)

    order = np.lexsort((angle, disc))
    disc, angle, node = disc[order], angle[order], node[order]
    count = np.bincount(disc, minlength=len(centre))
    rank = np.arange(len(disc)) - (np.cumsum(count) - count)[disc]
    shape = (len(centre), max(1, count.max(initial=0)))
    marks, angles, wall = np.full(shape, nodes), np.full(shape, np.inf), np.zeros(shape, bool)
    marks[disc, rank], angles[disc, rank], wall[disc, rank] = node, angle, node == nodes

    way = np.full((nodes + 1, nodes + 1), np.inf)  # a dense table: of two ways, the shorter counts
    np.minimum.at(way, (tail, head), length)
    following = (rank + 1) % count[disc]
    arc = radius * _ahead(angles[disc, following] - angle)
    np.minimum.at(way, (node, marks[disc, following]), arc)
    way[nodes], way[:, nodes] = np.inf, np.inf
    graph = csgraph_from_dense(np.minimum(way, way.T), null_value=np.inf)
    return Roads(centre, radius, graph, marks, angles, wall)


def _tangents(
    centre: Points, radius: float
) -> tuple[NDArray[np.intp], Floats, Floats, tuple[NDArray[np.intp], Floats]]:
    """The free tangents of two discs, of M.

    Returns:
        The disc and the angle [2T] of the T tangents' first ends, then their second; their lengths
        [T], m; and the disc and the angle of each point that is deepest in another disc.
    """
    one, two = np.triu_indices(len(centre), 1)
    apart, along = np.abs(centre[two] - centre[one]), np.angle(centre[two] - centre[one])
    # Tangents that cross between the two. If the discs overlap, these end in them: not free below.
    lean = np.arccos(np.minimum(2 * radius / apart, 1))
    quarter = np.full_like(lean, math.pi / 2)
    first = along + np.stack((quarter, -quarter, lean, -lean))  # [4, pairs]
    second = first + np.array([0, 0, math.pi, math.pi])[:, None]
    tail, head = (
        centre[at] + radius * np.exp(1j * angle) for at, angle in ((one, first), (two, second))
    )
    separate = apart >= 2 * radius * (1 - SLACK)
    nearest = _from_segment(tail[..., None], head[..., None], centre).min(axis=2, initial=np.inf)
    free = nearest >= radius * (1 - SLACK)

    def at_both_ends(first: NDArray, second: NDArray, where: NDArray[np.bool_]) -> NDArray:
        return np.concatenate([np.broadcast_to(x, where.shape)[where] for x in (first, second)])

    return (
        at_both_ends(one, two, free),
        at_both_ends(first, second, free) % (2 * math.pi),
        np.abs(head - tail)[free],
        (
            at_both_ends(one, two, ~separate),
            at_both_ends(along, along + math.pi, ~separate) % (2 * math.pi),
        ),
    )


def _from_segment(tail: Points, head: Points, point: Points) -> Floats:
    """Metres of a point from the nearest one of a segment; shapes broadcast."""
    way, there = head - tail, point - tail
    square = np.maximum((way * way.conj()).real, 1e-300)  # of a segment that is a point
    share = np.clip((there * way.conj()).real / square, 0, 1)
    return np.abs(there - share * way)


def _ahead(turn: Floats) -> Floats:
    """The turn in [0, 2 pi), where what is behind by rounding only is no full turn ahead."""
    return np.maximum((turn + SLACK) % (2 * math.pi) - SLACK, 0)


def _complex(points: Tensor) -> Points:
    """Points [..., 2] as complex numbers [...]."""
    return np.ascontiguousarray(points.detach().cpu().double().numpy()).view(np.complex128)[..., 0]


def _check(start: Tensor, goal: Tensor, obstacle: Tensor, radius: float) -> None:
    shapes = [tuple(points.shape) for points in (start, goal, obstacle)]
    ends, discs = shapes[0], shapes[2]
    fits = shapes[1] == ends and len(ends) == len(discs) == 3
    if not fits or (ends[0], 2, 2) != (discs[0], ends[2], discs[2]):
        raise InputError(
            f"shortest paths: start, goal and obstacle have the shapes "
            f"{', '.join(map(str, shapes))}; give [B, N, 2], [B, N, 2] and [B, M, 2]"
        )
    if not (radius > 0 and math.isfinite(radius)):
        raise InputError(f"shortest paths: radius is {radius!r}; give a number of more than 0")
