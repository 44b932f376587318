"""Control barrier functions between discs, exact at the samples: half-planes of safe controls.

Two discs are apart where h = |p|^2 / d^2 - 1 is at least 0: p is the way between their centres, d
the sum of their radii and a buffer. A control barrier function lets h fall no faster than
alpha(h) = zeta h^eta, a class-K function. Each agent has a zeta and an eta of its own, and grants
half of what a pair may do (an obstacle does nothing, and the agent grants all): agents i and j keep
dh/dt >= -(alpha_i(h) + alpha_j(h)) / 2 whatever parameters they have, without knowing the other's
(the setting of arXiv 2303.04313).

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
at least 0. And d^2 (g' - g) / dt is, but for a square that helps, the drift 2 p.v + c |v|^2 and
c (p + 1.5 dt v).u for the relative acceleration u and c = 2 / inner + dt.

The drift has to be answered for, too. By *halves* (responsibility 1/2 in arXiv 2401.14554) who
stands still has to get out of the way of everybody who comes: of several at once, which may be
impossible. By its *own* motion agent i answers for (2 p + 3 dt v).v_i and for half of
(2 / inner - 2 dt) |v|^2, which is as much in sum. Then braking, u_i = -2 v_i / c, keeps all rows at
once, whatever alpha is: there always is a safe control, if inner dt <= 1 and an acceleration of
2 (greatest |v_i|) / c can be had. Both ways are safe wherever they leave a control: at the samples,
that is. In between, discs that pass each other may be nearer by about dt^2 |v|^2 / (8 d).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

ROUNDING = 1e-4
"""An h below 0 by less is 0: positions are float32, and discs that touch all around could not move
apart. It is a few micrometres, which the buffer covers."""


class Pairs(NamedTuple):
    """P pairs of an agent and a node that it sees; all float64."""

    apart: Tensor  # [P, 2] m, from the node's centre to the agent's
    moving: Tensor  # [P, 2] m/s, the agent's velocity less the node's
    contact: Tensor  # [P] m between centres at which they count as touching, buffer included
    share: Tensor  # [P] of what a pair may do that the agent grants
    own: Tensor  # [P, 2] m/s, the agent's velocity


class Barriers(NamedTuple):
    """What agents' controls u have to keep: rows u + drift + share alpha(value) >= 0."""

    rows: Tensor  # [P, 2]
    drift: Tensor  # [P] 1/s, how the value changes without a control: the agent's part
    value: Tensor  # [P] h, or g of double integrators; safe where it is at least 0
    share: Tensor  # [P]

    def offsets(self, alpha: Tensor) -> Tensor:
        """[P] so that rows u >= offsets lets values fall by no more than alpha a second.

        Args:
            alpha: [P] of `class_k`, or `widest`.
        """
        return -(self.drift + self.share * alpha)

    def some(self, where: Tensor) -> Barriers:
        """Of some of the pairs."""
        return Barriers(*(part[where] for part in self))


def class_k(value: Tensor, zeta: Tensor, eta: Tensor, dt: float) -> Tensor:
    """zeta value^eta per second, at most value / dt; odd, so that what is violated recovers.

    Args:
        value: [P] of barriers.
        zeta, eta: [P] the agent's parameters: 1/s and a power.
        dt: s, for which a control is held.
    """
    size = value.abs().clamp_min(1e-12)  # the slope of a root at 0 is no number
    alpha = torch.minimum(zeta * size**eta, size / dt) * value.sign()
    return torch.where(value > -ROUNDING, alpha.clamp_min(0), alpha)


def widest(value: Tensor, dt: float) -> Tensor:
    """The largest alpha that is safe: value / dt, all that there is, within a step.

    Violated barriers must recover as fast, too: the next sample must be safe, or as near to it as
    can be.
    """
    return torch.where(value > -ROUNDING, (value / dt).clamp_min(0), value / dt)


def single_integrator(pairs: Pairs) -> Barriers:
    """Of controls that are velocities in m/s."""
    square = pairs.contact.square()
    h = dot(pairs.apart, pairs.apart) / square - 1
    return Barriers(2 * pairs.apart / square[:, None], torch.zeros_like(h), h, pairs.share)


def double_integrator(
    pairs: Pairs, dt: float, inner: float, max_speed: float, *, halves: bool = False
) -> Barriers:
    """Of controls that are accelerations in m/s^2.

    Args:
        dt: s, for which a control is held.
        inner: 1/s, how fast h may fall at most, for its size; at most 2 / dt.
        max_speed: m/s, of an agent.
        halves: agents answer for half of how a pair moves, not for their own motion.
    """
    square, share = pairs.contact.square(), pairs.share
    apart, moving, change = pairs.apart, pairs.moving, 2 / inner + dt
    closing, speed = dot(apart, moving), dot(moving, moving)  # m^2/s, m^2/s^2
    margin = (dt * max_speed / (2 * share)).square()  # both move, or one does
    h = (dot(apart, apart) + dt * dt / 4 * speed - margin) / square - 1
    if halves:
        drift = share * (2 * closing + change * speed)
    else:
        drift = dot(2 * apart + 3 * dt * moving, pairs.own) + share * (change - 3 * dt) * speed
    rows = change * (apart + 1.5 * dt * moving) / square[:, None]
    return Barriers(rows, drift / square, h + 2 * closing / (inner * square), share)


def safe_distances(
    contact: Tensor, closing: Tensor, dt: float, inner: float
) -> tuple[Tensor, Tensor]:
    """From how far apart double integrators are safe: m [V] at rest, and at any speed.

    Args:
        contact: [V] m.
        closing: [V] m/s, the greatest relative speed.
        dt, inner: as in `double_integrator`.
    """
    rest = torch.hypot(contact, dt / 2 * closing)  # h >= 0
    fall = closing / inner
    return rest, fall + torch.hypot(fall, contact)  # g >= 0 at full speed towards each other


def binding(
    rows: Tensor, offsets: Tensor, reach: Tensor, agent: Tensor, agents: int
) -> tuple[Tensor, Tensor]:
    """The half-planes that can bind at all, [Q, K, 2] and [Q, K]: K is the most that an agent has.

    Args:
        rows: [P, 2].
        offsets: [P].
        reach: [P] the furthest that a control can go against each row.
        agent: [P] int64, whose row it is, ascending.
        agents: Q.
    """
    kept = (offsets + reach > 0).nonzero()[:, 0]
    agent = agent[kept]
    many = torch.bincount(agent, minlength=agents)
    most = int(many.max()) if agents else 0
    place = torch.arange(len(kept), device=kept.device) - (many.cumsum(0) - many)[agent]
    place += agent * most
    normals = rows.new_zeros((agents * most, 2)).index_copy(0, place, rows[kept])
    ends = offsets.new_full((agents * most,), -1.0).index_copy(0, place, offsets[kept])
    return normals.view(agents, most, 2), ends.view(agents, most)


def dot(one: Tensor, other: Tensor) -> Tensor:
    """[P] of [P, 2] and [P, 2]; a sum over 2 numbers takes ten times as long."""
    return one[:, 0] * other[:, 0] + one[:, 1] * other[:, 1]
