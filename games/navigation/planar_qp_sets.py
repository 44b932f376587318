"""Constraint sets of planar QPs: half-planes, a box and a disc, in batches.

Numbers of all problems lie side by side, the problem last: with a handful of constraints a problem
this is how an operation runs along memory.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from games.common.errors import InputError

TOLERANCE = {torch.float64: 1e-9, torch.float32: 2e-5}
"""By how much constraints may contradict each other and count as feasible; see `tolerance`."""
ROUNDING = {torch.float64: 2.0**-46, torch.float32: 2.0**-19}
"""By how much an answer may miss a constraint where they do not, relative to the numbers of the
problem: 64 and 16 units of rounding."""
FAR = {torch.float64: 1e100, torch.float32: 1e12}
"""Half-planes that begin further away begin here, so that squares stay finite."""


class Allowed(NamedTuple):
    """Where controls may be whatever else holds: a box, a disc, or what both have in common."""

    low: Tensor | None = None  # [Q, 2] or [2]
    high: Tensor | None = None  # [Q, 2] or [2]
    centre: Tensor | None = None  # [Q, 2] or [2]  of the disc
    radius: Tensor | float | None = None  # [Q] or a number


class Sets(NamedTuple):
    """Q sets, each of what L half-planes and a disc have in common."""

    lines: Tensor  # [3, L, Q]  normals' x and y, 1 long, and offsets: x u_x + y u_y >= offset
    blank: Tensor | None  # [L, Q] bool  no half-plane: its normal is 0, its offset -1
    disc: Tensor | None  # [3, Q]  its centre's x and y, its radius
    rows: int  # the first are the problem's half-planes; a box's four edges may come after

    def some(self, where: Tensor | slice) -> Sets:
        """Of some of the problems."""
        blank = None if self.blank is None else self.blank[:, where]
        disc = None if self.disc is None else self.disc[:, where]
        return Sets(self.lines[:, :, where], blank, disc, self.rows)

    def missed(self, u: Tensor) -> Tensor:
        """[L, Q] how far points [2, Q] are outside the half-planes; < 0: inside."""
        x, y, offset = self.lines
        return torch.addcmul(offset, x, u[0], value=-1).addcmul_(y, u[1], value=-1)

    def clamp(self, u: Tensor) -> Tensor:
        """The points of the box that are nearest to points [2, Q] or [2, N, Q]."""
        if self.lines.shape[1] == self.rows:
            return u
        low, high = self.lines[2, self.rows : -2], self.lines[2, -2:]
        return u.clamp(low, -high) if u.dim() == 2 else u.clamp(low[:, None], -high[:, None])

    def chord(
        self, lines: tuple[Tensor, Tensor, Tensor] | Tensor, widened: float = 1.0
    ) -> tuple[Tensor, Tensor]:
        """From where to where lines [3, L, Q] are in the disc, along (-y, x); nan if nowhere."""
        assert self.disc is not None
        (x, y, offset), (c_x, c_y, _) = lines, self.disc
        off = torch.addcmul(offset, x, c_x, value=-1).addcmul_(y, c_y, value=-1)
        middle = (x * c_y).addcmul_(y, c_x, value=-1)
        radius = self.radius(widened)
        half = (radius - off).mul_(radius + off).sqrt_()
        return middle - half, middle + half

    def radius(self, widened: float) -> Tensor:
        """[Q] the disc's, and so many times what answers may miss it by."""
        assert self.disc is not None
        slack = widened * ROUNDING[self.disc.dtype]
        return self.disc[2] + slack * (1 + self.disc.abs().sum(dim=0))


def tolerance(u: Tensor) -> Tensor:
    """[Q] the distance by which controls [2, Q] may miss a half-plane that counts as kept."""
    return TOLERANCE[u.dtype] + 4 * ROUNDING[u.dtype] * torch.hypot(u[0], u[1])


def pack(reference: Tensor, normals: Tensor, offsets: Tensor, allowed: Allowed) -> Sets:
    """The sets of problems.

    Raises:
        InputError: shapes or types that do not fit, or numbers that are not finite or not a radius.
    """
    _check_form(reference, normals, offsets, allowed)
    dtype, (count, m) = reference.dtype, offsets.shape
    box = allowed.low is not None
    line = reference.new_empty((3, m + 4 * box, count))
    line[:2, :m] = normals.permute(2, 1, 0)
    line[2, :m] = offsets.T
    if allowed.low is not None and allowed.high is not None:
        line[:2, m:] = _edges(dtype, reference.device)
        line[2, m : m + 2] = allowed.low.expand(count, 2).T
        line[2, m + 2 :] = -allowed.high.expand(count, 2).T
    total, disc = line.sum() + reference.sum(), None
    if allowed.centre is not None and allowed.radius is not None:
        disc = reference.new_empty((3, count))
        disc[:2] = allowed.centre.expand(count, 2).T
        disc[2] = allowed.radius
        total += disc.sum()
        if (disc[2] < 0).any():
            raise InputError("planar QP: the disc is empty: a radius is less than 0")
    # One number shows whether all are finite; it may also overflow.
    if not total.isfinite() and not all(
        torch.as_tensor(part).isfinite().all()
        for part in (reference, normals, offsets, *allowed)
        if part is not None
    ):
        raise InputError("planar QP: a number is not finite; an absent wall has normal 0")
    # Not a root of squares, which of short normals are 0.
    length = torch.hypot(line[0], line[1])
    none = length == 0
    blank = none if none.any() else None
    line /= length if blank is None else length.masked_fill_(blank, 1)
    line[2].clamp_(-FAR[dtype], FAR[dtype])
    if blank is not None:
        line[2].masked_fill_(blank, -1)
    return Sets(line, blank, disc, m)


@lru_cache
def _edges(dtype: torch.dtype, device: torch.device) -> Tensor:
    """[2, 4, 1] the normals of a box: low x, low y, high x, high y."""
    normals = [[[1], [0], [-1], [0]], [[0], [1], [0], [-1]]]
    return torch.tensor(normals, dtype=dtype, device=device)


def _check_form(reference: Tensor, normals: Tensor, offsets: Tensor, allowed: Allowed) -> None:
    count, m = offsets.shape if offsets.dim() == 2 else (-1, -1)
    if tuple(reference.shape) != (count, 2) or tuple(normals.shape) != (count, m, 2):
        raise InputError(
            f"planar QP: references {tuple(reference.shape)}, normals {tuple(normals.shape)} and "
            f"offsets {tuple(offsets.shape)} do not fit; give [Q, 2], [Q, M, 2] and [Q, M]"
        )
    if reference.dtype not in TOLERANCE:
        raise InputError(f"planar QP: numbers are {reference.dtype}; give float32 or float64")
    if (allowed.low is None) != (allowed.high is None):
        raise InputError("planar QP: a box has a low and a high corner; give both or none")
    if (allowed.centre is None) != (allowed.radius is None):
        raise InputError("planar QP: a disc has a centre and a radius; give both or none")
    corners = [part for part in allowed[:3] if part is not None]
    fits = all(tuple(part.shape) in ((2,), (count, 2)) for part in corners)
    if isinstance(allowed.radius, Tensor):
        fits &= tuple(allowed.radius.shape) in ((), (count,))
    if not fits:
        raise InputError(
            "planar QP: the allowed set does not fit; corners and centre are [2] or "
            f"[{count}, 2], the radius is a number or [{count}]"
        )


def check_not_empty(allowed: Allowed) -> None:
    """Raises InputError if a set of allowed controls is empty."""
    low, high, centre, radius = allowed
    if low is not None and high is not None and (low > high).any():
        raise InputError("planar QP: the box is empty: a low corner lies above its high one")
    if low is not None and high is not None and centre is not None and radius is not None:
        away = torch.linalg.vector_norm(torch.clamp(centre, low, high) - centre, dim=-1)
        if (away > radius + TOLERANCE[away.dtype] * (1 + centre.abs().amax(dim=-1))).any():
            raise InputError("planar QP: box and disc have nothing in common; let them overlap")
