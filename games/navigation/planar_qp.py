"""Planar quadratic programs: the control nearest to a reference under half-planes, in batches.

    minimise |u - reference|^2  subject to  normals u >= offsets,  low <= u <= high,
                                            |u - centre| <= radius

Of a problem with two unknowns the active set is small: nothing, the circle, or a line with at most
one more constraint. On each line the others leave an interval, whose point nearest to the foot of
the reference is found in closed form; the answer is the nearest of these points. That is quadratic
in the number of half-planes, has no iterations and no branches, and runs wherever torch does.

Intervals are some units of rounding wider than they are. Otherwise two equal half-planes, scaled
differently, would cross somewhere and hide each other's best point.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from games.navigation.planar_qp_least import least_violation
from games.navigation.planar_qp_sets import (
    ROUNDING,
    Allowed,
    Sets,
    check_not_empty,
    pack,
    tolerance,
)

__all__ = ["FREE", "Allowed", "Answer", "kkt_residual", "nearest"]

FREE = -1  # an active set's place where nothing is active
ANYWHERE = Allowed()
PARALLEL = {torch.float64: (1e-160, 1e300), torch.float32: (1e-19, 1e37)}
"""What a slope of 0 becomes, and by what even that is multiplied to lie beyond any bound."""
AT_ONCE = 1 << 17  # numbers of one tensor: about as many as stay in a cache


@dataclass(frozen=True)
class Answer:
    """Of Q problems with M half-planes."""

    control: Tensor  # [Q, 2]
    feasible: Tensor  # [Q] bool
    violation: Tensor  # [Q]  distance to the half-plane that is missed most; 0 where feasible
    active: Tensor  # [Q, 2] int64
    """Constraints that hold with equality and keep the control from the reference: a half-plane's
    number, M to M + 3 for low x, low y, high x, high y, after them one for the circle; or FREE."""


def nearest(
    reference: Tensor, normals: Tensor, offsets: Tensor, allowed: Allowed = ANYWHERE
) -> Answer:
    """The nearest controls that keep all constraints; where there is none, that miss them least.

    Where the constraints contradict each other the answer is the control, among the allowed ones,
    whose distance to the half-plane that it misses most is least, and of those the nearest to the
    reference. A problem is feasible if that distance is at most 1e-9, 2e-5 in float32, give or take
    the rounding of the control: less than that cannot be told. A half-plane whose normal is 0 says
    nothing if its offset is at most 0 (padding is made so); otherwise it makes its problem
    infeasible, and changes neither control nor violation.

    First derivatives reach all arguments through the active set, which is taken as it is; at an
    infeasible problem they are 0.

    Args:
        reference: [Q, 2].
        normals: [Q, M, 2], M may be 0.
        offsets: [Q, M].
        allowed: not empty.

    Raises:
        InputError: shapes that do not fit, numbers that are not finite, or an empty set of allowed
            controls.
    """
    with torch.no_grad():
        sets = pack(reference, normals, offsets, allowed)
        aim = reference.T.contiguous()
        u, active, feasible = _closest(sets, aim)
        violation = torch.zeros_like(aim[0])
        where = (~feasible).nonzero()[:, 0]
        if len(where):
            check_not_empty(allowed)
            u[:, where], active[where], violation[where] = _ease(sets.some(where), aim[:, where])
            feasible |= violation <= tolerance(u)
            violation.masked_fill_(feasible, 0)
        control = sets.clamp(u).T.contiguous()
        if sets.blank is not None:
            lost = sets.blank[: sets.rows] & (offsets.T > 0)
            feasible = feasible & ~lost.any(dim=0)
    parts = (reference, normals, offsets, *allowed)
    if torch.is_grad_enabled() and any(
        isinstance(part, Tensor) and part.requires_grad for part in parts
    ):
        control = _differentiable(
            control, reference, normals, offsets, allowed, active, feasible[:, None]
        )
    return Answer(control, feasible, violation, active)


def _closest(sets: Sets, aim: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Controls [2, Q], active sets [Q, 2], and whether there is one [Q], for references [2, Q]."""
    count, num_lines = aim.shape[1], sets.lines.shape[1]
    active = torch.full((count, 2), FREE, device=aim.device)
    found = torch.ones(count, dtype=torch.bool, device=aim.device)
    u = aim.clone()
    if sets.disc is not None:
        centre, radius = sets.disc[:2], sets.disc[2]
        out = aim - centre
        length = torch.hypot(out[0], out[1])
        outside = length > radius
        u = torch.where(outside, torch.addcmul(centre, out, radius / length), aim)
        active[:, 0].masked_fill_(outside, num_lines)
    if num_lines:
        left = (sets.missed(u).amax(dim=0) > 0).nonzero()[:, 0]
        for part in left.split(max(1, AT_ONCE // num_lines**2)) if len(left) else ():
            u[:, part], active[part], found[part] = _on_lines(
                sets.some(part), aim[:, part], u[:, part]
            )
    return u, active, found


def _on_lines(sets: Sets, aim: Tensor, near: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """What `_closest` returns, where a line is active.

    Args:
        near: [2, Q] references moved into the disc, which are about as far from 0 as the answer.
    """
    x, y, offset = sets.lines
    size = 1 + sets.clamp(near).abs().amax(dim=0)
    wide = torch.add(offset, offset.abs() + size, alpha=-ROUNDING[x.dtype])
    # At t (-y_i, x_i) from line i's point nearest to 0, row j is kept where t cross_ij >= rest_ij.
    cross = (x[:, None] * y).addcmul_(y[:, None], x, value=-1)  # [i, j, Q]
    # No slope divides as by +0, what bounds nothing is as good as inf: faster than masks by half.
    tiny, huge = PARALLEL[x.dtype]
    cross += tiny
    rest = (x[:, None] * x).addcmul_(y[:, None], y)
    rest = torch.addcmul(wide, rest, offset[:, None], value=-1)
    rest.diagonal().fill_(-torch.inf)
    bound, far = rest.div_(cross), cross.mul_(huge)
    lows, highs = bound.minimum(far), bound.maximum(far)
    low, high = row_low, row_high = lows.amax(dim=1), highs.amin(dim=1)
    if sets.disc is not None:
        enters, leaves = sets.chord(sets.lines)
        low, high = low.maximum(enters), high.minimum(leaves)
    foot = (x * aim[1]).addcmul_(y, aim[0], value=-1)
    t = foot.clamp(low, high)
    cost = sets.missed(aim).square_().add_((t - foot).square_())
    kept = low <= high  # nowhere where the disc's chord is nan
    # So far away that rounding is as large as the problem, opposite rows seem to cross.
    kept &= t.abs() * ROUNDING[x.dtype] < size + offset.abs()
    if sets.blank is not None:
        kept &= ~sets.blank
    cost, best = torch.where(kept, cost, torch.inf).min(dim=0, keepdim=True)
    (x,), (y,), (offset,) = sets.lines.gather(1, best.expand(3, -1, -1))
    (t,), (foot,) = t.gather(0, best), foot.gather(0, best)
    # What ends the interval at t, if t is not the foot.
    row = best[None].expand(1, len(lows), -1)
    up = t > foot
    (ends,) = torch.where(up, lows.gather(0, row), highs.gather(0, row))
    other = (ends - t).abs_().min(dim=0).indices  # argmin takes 8 times as long
    if sets.disc is not None:
        (end,) = torch.where(up, row_low.gather(0, best), row_high.gather(0, best))
        other.masked_fill_(end != t, len(lows))
    other.masked_fill_(t == foot, FREE)
    u = torch.stack((torch.addcmul(offset * x, t, y, value=-1), torch.addcmul(offset * y, t, x)))
    return u, torch.stack((best[0], other), dim=1), cost[0].isfinite()


def _ease(sets: Sets, aim: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Controls [2, Q] that miss the rows least, active sets [Q, 2], violations [Q]."""
    # As all rows may be eased alike, start where none asks for more than 0: no digits are lost.
    lines, rows = sets.lines.clone(), sets.lines[2, : sets.rows]
    top = rows.amax(dim=0) if sets.rows else torch.zeros_like(aim[0])
    lines[2, : sets.rows] -= top
    least, least_u = least_violation(sets._replace(lines=lines), aim)
    least = least.maximum(-top)
    # So much less asked for, it can be done; of all who do it, the nearest.
    lines[2, : sets.rows] -= least
    u, active, found = _closest(sets._replace(lines=lines), aim)
    return torch.where(found, u, least_u), active, top + least


def kkt_residual(
    control: Tensor,
    reference: Tensor,
    normals: Tensor,
    offsets: Tensor,
    allowed: Allowed = ANYWHERE,
) -> Tensor:
    """How far controls [Q, 2] are from optimal: [Q], 0 at the optimum.

    The largest of what constraints are missed by, of the part of control - reference that no
    multipliers of at least 0 explain, and of multipliers times slack, for the two constraints that
    explain it best. Lengths are in units of the control, half-planes scaled to normals of length 1.

    Raises:
        InputError: as `nearest`, but for an empty set of allowed controls.
    """
    sets = pack(reference, normals, offsets, allowed)
    u, (moved_x, moved_y) = control.T, (control - reference).T
    x, y, slack = *sets.lines[:2], -sets.missed(u)
    if sets.disc is not None:
        out_x, out_y = u - sets.disc[:2]
        length = torch.hypot(out_x, out_y)
        scale = -length.clamp_min(torch.finfo(x.dtype).tiny)
        x, y = torch.cat((x, (out_x / scale)[None])), torch.cat((y, (out_y / scale)[None]))
        slack = torch.cat((slack, (sets.disc[2] - length)[None]))
    nothing = u.new_zeros((1, len(control)))  # so that one or no constraint is a pair, too
    x, y, slack = torch.cat((x, nothing)), torch.cat((y, nothing)), torch.cat((slack, nothing))
    area = x[:, None] * y - y[:, None] * x
    crossed = moved_x * y - moved_y * x
    both = torch.where(area == 0, 0.0, crossed / area)  # [L, L, Q] the first one's multiplier
    alone = (x * moved_x + y * moved_y)[:, None].expand_as(both)
    found = []
    for one, other in ((both, both.transpose(0, 1)), (alone, torch.zeros_like(both))):
        one, other = one.clamp_min(0), other.clamp_min(0)
        left_x = moved_x - one * x[:, None] - other * x
        left_y = moved_y - one * y[:, None] - other * y
        loose = (one * slack[:, None].abs()).maximum(other * slack.abs())
        found.append(torch.hypot(left_x, left_y).maximum(loose).flatten(0, 1).amin(0))
    return torch.minimum(*found).maximum((-slack).amax(dim=0))


def _differentiable(
    found: Tensor,
    reference: Tensor,
    normals: Tensor,
    offsets: Tensor,
    allowed: Allowed,
    active: Tensor,
    feasible: Tensor,
) -> Tensor:
    """`found`, with the first derivatives of the control by all that it depends on.

    With one constraint active the control is the reference's projection. With two it solves
    gap(control) = 0, whose derivatives are those of one step of Newton's method.
    """
    rows, wanted = normals, offsets
    if allowed.low is not None and allowed.high is not None:
        eye = torch.eye(2).to(reference)
        rows = torch.cat((rows, torch.cat((eye, -eye)).expand(len(rows), -1, -1)), dim=1)
        corners = allowed.low.expand_as(reference), -allowed.high.expand_as(reference)
        wanted = torch.cat((wanted, *corners), dim=1)
    circle = rows.shape[1]
    on_circle = active == circle
    projected, gap = reference, torch.zeros_like(found)  # [Q, 2], of both active constraints
    normal = gap[..., None].expand(-1, -1, 2)
    if circle:
        place = active.clamp(0, circle - 1)
        normal = rows.gather(1, place[..., None].expand(-1, -1, 2))  # [Q, 2, 2]
        offset, first = wanted.gather(1, place), normal[:, 0]
        gap = offset - (normal * found[:, None]).sum(-1)
        share = offset[:, :1] - (first * reference).sum(-1, keepdim=True)
        moved = reference + share / _not_0(first.square().sum(-1)) * first
        projected = torch.where(active[:, :1] == FREE, reference, moved)
    if allowed.centre is not None and allowed.radius is not None:
        centre = allowed.centre.expand_as(reference)
        radius = torch.as_tensor(allowed.radius).to(reference).expand(len(reference))[:, None]
        out, there = reference - centre, found - centre
        length = _not_0(out.square().sum(-1)).sqrt()
        projected = torch.where(on_circle[:, :1], centre + radius * out / length, projected)
        length = _not_0(there.square().sum(-1)).sqrt()
        normal = torch.where(on_circle[..., None], -(there / length)[:, None], normal)
        gap = torch.where(on_circle, length - radius, gap)
    n = normal.detach()
    area = n[:, 0, 0] * n[:, 1, 1] - n[:, 0, 1] * n[:, 1, 0]
    step_x = gap[:, 0] * n[:, 1, 1] - gap[:, 1] * n[:, 0, 1]
    step_y = gap[:, 1] * n[:, 0, 0] - gap[:, 0] * n[:, 1, 0]
    newton = torch.stack((step_x, step_y), dim=-1) / _not_0(area)
    moves = torch.where(active[:, 1:] == FREE, projected, newton)
    return found + torch.where(feasible, moves - moves.detach(), 0.0)


def _not_0(numbers: Tensor) -> Tensor:
    """[Q, 1] with 1 for 0, where the quotient is not used."""
    return torch.where(numbers == 0, 1.0, numbers)[:, None]
