"""Control barrier functions between discs, exact at the samples: half-planes of safe controls.

Two discs are apart where h = |p|^2 / d^2 - 1 is at least 0: p is the way between their centres, d
the sum of their radii and a buffer. A control barrier function lets h fall no faster than
alpha(h) = zeta h^eta, a class-K function. Each agent has a zeta and an eta of its own, and answers
for half of what a pair may do (an obstacle does nothing, and the agent answers for all): agents i
and j keep dh/dt >= -(alpha_i(h) + alpha_j(h)) / 2 whatever parameters they have, without knowing
the other's (the setting of arXiv 2303.04313; responsibility 1/2 as in arXiv 2401.14554).

Controls are held for a step of dt seconds, so that a condition on the derivative is not enough. The
rows here are conditions on the next sample, linear in the control since what is left out is convex:

*Single integrators*, u a velocity. |p + dt w|^2 >= |p|^2 + 2 dt p.w for the relative velocity w, so
2 p.w >= -d^2 alpha(h) keeps h at the next sample, and at all times before it, above
h - dt alpha(h), which is at least 0 if alpha(h) <= h / dt. That is how alpha is cut.

*Double integrators*, u an acceleration. A barrier of second order (h1 of arXiv 2401.14554): what
falls no faster than alpha is g = h + (dh/dt) / inner. With velocities v, v' at two samples the
trapezoid's identity is |p'|^2 - |p|^2 = dt (p.v + p'.v') - dt^2 (|v'|^2 - |v|^2) / 4. Let
h = (|p|^2 + dt^2 |v|^2 / 4 - D^2) / d^2 with D^2 = d^2 + dt^2 (greatest |v|)^2 / 4, so that h >= 0
means |p| >= d. If g >= 0 at both samples, then (1 + inner dt/2) h' >= (1 - inner dt/2) h: h stays
at least 0. And g' is at least a linear function of the acceleration, up to a square that helps.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

ROUNDING = 1e-4
"""An h below 0 by less is 0: positions are float32, and discs that touch all around could not move
apart. It is a few micrometres, which the buffer covers."""


class Pairs(NamedTuple):
    """Where V nodes are, as N agents see them; all float64."""

    apart: Tensor  # [B, N, V, 2] m, from the node's centre to the agent's
    moving: Tensor  # [B, N, V, 2] m/s, the agent's velocity less the node's
    contact: Tensor  # [N, V] m between centres at which they count as touching, buffer included
    share: Tensor  # [V] of what a pair may do that the agent answers for


class Barriers(NamedTuple):
    """What agents' controls u have to keep: rows u + share (drift + alpha(value)) >= 0."""

    rows: Tensor  # [B, N, V, 2]
    drift: Tensor  # [B, N, V] 1/s, how fast the value changes without a control
    value: Tensor  # [B, N, V] h, or g of double integrators; safe where it is at least 0
    share: Tensor  # [V]

    def offsets(self, alpha: Tensor) -> Tensor:
        """[B, N, V] so that rows u >= offsets lets values fall by no more than alpha a second.

        Args:
            alpha: [B, N, V] of `class_k`, or `widest`.
        """
        return -self.share * (self.drift + alpha)


def class_k(value: Tensor, zeta: Tensor, eta: Tensor, dt: float) -> Tensor:
    """zeta value^eta per second, at most value / dt; odd, so that what is violated recovers.

    Args:
        value: [B, N, V] of barriers.
        zeta, eta: [B, N] each agent's parameters: 1/s and a power.
        dt: s, for which a control is held.
    """
    size = value.abs().clamp_min(1e-12)  # the slope of a root at 0 is no number
    alpha = torch.minimum(zeta[..., None] * size ** eta[..., None], size / dt) * value.sign()
    return torch.where(value > -ROUNDING, alpha.clamp_min(0), alpha)


def widest(value: Tensor, dt: float) -> Tensor:
    """The largest alpha that is safe: value / dt, all that there is, within a step."""
    return torch.where(value > -ROUNDING, (value / dt).clamp_min(0), value / dt)


def single_integrator(pairs: Pairs) -> Barriers:
    """Of controls that are velocities in m/s."""
    square = pairs.contact.square()
    h = pairs.apart.square().sum(-1) / square - 1
    return Barriers(2 * pairs.apart / square[..., None], torch.zeros_like(h), h, pairs.share)


def double_integrator(pairs: Pairs, dt: float, inner: float, max_speed: float) -> Barriers:
    """Of controls that are accelerations in m/s^2.

    Args:
        dt: s, for which a control is held.
        inner: 1/s, how fast h may fall at most, for its size; at most 2 / dt.
        max_speed: m/s, of an agent.
    """
    square = pairs.contact.square()
    apart, moving = pairs.apart, pairs.moving
    closing = (apart * moving).sum(-1)  # m^2/s
    speed = moving.square().sum(-1)
    margin = (dt * max_speed / (2 * pairs.share)).square()  # both move, or one does
    h = (apart.square().sum(-1) + dt * dt / 4 * speed - margin) / square - 1
    drift = ((2 / inner + dt) * speed + 2 * closing) / square
    rows = (2 / inner + dt) * (apart + 1.5 * dt * moving) / square[..., None]
    return Barriers(rows, drift, h + 2 * closing / (inner * square), pairs.share)


def binding(rows: Tensor, offsets: Tensor, reach: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
    """The half-planes that can bind at all, [Q, K, 2] and [Q, K]: K is the most that a problem has.

    Args:
        rows: [Q, V, 2].
        offsets: [Q, V].
        reach: [Q, V] the furthest that a control can go against each row.
        seen: [Q, V] bool, which rows there are.
    """
    with torch.no_grad():
        tight = torch.where(seen, offsets + reach, -torch.inf)
        count = int((tight > 0).sum(dim=1).max()) if tight.numel() else 0
        score, order = tight.topk(count, dim=1)
        kept = score > 0
    rows = rows.gather(1, order[..., None].expand(-1, -1, 2))
    offsets = offsets.gather(1, order)
    return torch.where(kept[..., None], rows, 0.0), torch.where(kept, offsets, -1.0)
