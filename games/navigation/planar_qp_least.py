"""Infeasible planar programs: the control that violates the half-planes least, in batches.

The distance to the half-plane that is missed most is the largest of some linear functions of the
control. Over a convex set that is least at one of finitely many points, all of which are tried:

- where the lines of equal distance from two half-planes meet a third's, or the rim of the set;
- at a corner of the set;
- at the point of its circle that is furthest along one normal.
"""

from __future__ import annotations

import torch
from torch import Tensor

from games.navigation.planar_qp_sets import ROUNDING, Sets

AT_ONCE = 1 << 21  # numbers of one tensor
RIM = 0.25  # by which discs are widened: less than where the answer is found, which so is there


def least_violation(sets: Sets, aim: Tensor) -> tuple[Tensor, Tensor]:
    """[Q] the least distance to the row that is missed most, and [2, Q] who misses it so little.

    Args:
        sets: rows may leave room, too; then the distance is less than 0.
        aim: [2, Q] references, which only say what to try where two opposite half-planes are
            missed alike all along a line.
    """
    step = max(1, AT_ONCE // max(1, sets.lines.shape[1] ** 3))
    parts = [
        _least(sets.some(slice(at, at + step)), aim[:, at : at + step])
        for at in range(0, aim.shape[1], step)
    ]
    least, u = zip(*parts, strict=True)
    return torch.cat(least), torch.cat(u, dim=1)


def _least(sets: Sets, aim: Tensor) -> tuple[Tensor, Tensor]:
    m = sets.rows
    u = sets.clamp(torch.cat((aim[:, None], *_rim(sets), *_ties(sets, aim)), dim=1))  # [2, N, Q]
    worst = torch.zeros_like(u[0])
    if m:
        x, y, offset = sets.lines[:, None, :m]
        worst = (offset - x * u[0][:, None] - y * u[1][:, None]).amax(dim=1)
    inside = worst.isfinite()
    if sets.disc is not None:
        out_x, out_y = u - sets.disc[:2, None]
        inside &= torch.hypot(out_x, out_y) <= sets.radius(0.5)
    least, best = torch.where(inside, worst, torch.inf).min(dim=0, keepdim=True)
    return least[0], u.gather(1, best.expand(2, 1, -1))[:, 0]


def _rim(sets: Sets) -> list[Tensor]:
    """Points [2, N, Q] of the allowed set: its corners, and the extreme ones of its circle."""
    m, points = sets.rows, []
    if sets.lines.shape[1] > m:
        low_x, low_y, high_x, high_y = sets.lines[2, m:]
        x = torch.stack((low_x, low_x, -high_x, -high_x))
        points.append(torch.stack((x, torch.stack((low_y, -high_y, low_y, -high_y)))))
    if sets.disc is not None:
        centre, radius = sets.disc[:2], sets.disc[2]
        points.append(centre[:, None] + radius * sets.lines[:2, :m])
        points.append(sets.clamp(centre)[:, None])  # in both, however little they share
        x, y, offset = edges = sets.lines[:, m:]
        for t in sets.chord(edges, RIM):
            points.append(torch.stack((offset * x - t * y, offset * y + t * x)))
    return points


def _ties(sets: Sets, aim: Tensor) -> list[Tensor]:
    """Points [2, P, Q] where two rows are missed alike: the ends of where no other is more."""
    m = sets.rows
    if m < 2:
        return []
    one, two = torch.triu_indices(m, m, 1, device=aim.device)
    x, y, offset = sets.lines
    tie_x, tie_y, tie = x[two] - x[one], y[two] - y[one], offset[two] - offset[one]
    length = torch.hypot(tie_x, tie_y)
    flat = 4 * ROUNDING[x.dtype]  # lines at a smaller angle do not end each other
    alike = length < flat
    length.masked_fill_(alike, 1)
    tie_x, tie_y, tie = tie_x / length, tie_y / length, tie / length
    # Row k is missed no more than row one; the box's edges are kept.
    eases = torch.zeros_like(x[:, :1])
    eases[:m] = 1
    k_x, k_y = x - eases * x[one][:, None], y - eases * y[one][:, None]  # [P, k, Q]
    k = offset - eases * offset[one][:, None]
    slope = k_y * tie_x[:, None] - k_x * tie_y[:, None]  # per length along (-tie_y, tie_x)
    dot = k_x * tie_x[:, None] + k_y * tie_y[:, None]
    bound = (k - dot * tie[:, None]) / slope
    low = bound.masked_fill(slope < flat, -torch.inf).amax(dim=1)
    high = bound.masked_fill_(slope > -flat, torch.inf).amin(dim=1)
    if sets.disc is not None:
        enters, leaves = sets.chord((tie_x, tie_y, tie), RIM)
        low, high = low.maximum(enters), high.minimum(leaves)
    foot = torch.clamp(tie_x * aim[1] - tie_y * aim[0], low, high)
    return [
        torch.stack((tie * tie_x - t * tie_y, tie * tie_y + t * tie_x)).masked_fill_(
            alike, torch.nan
        )
        for t in (low, high, foot)
    ]
