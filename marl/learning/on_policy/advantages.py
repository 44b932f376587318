"""Advantages of decisions, from what was paid after them: from the last step back to the first.

An agent need not act at every step: what it is paid between two of its decisions belongs to the
first of them, and the discount counts decisions. Where it is off turn at the end, nothing can be
said of its last decision yet: critics are asked about decisions alone, and what they would say
about somebody else's turn may be anything, such as the value for the one who is to move.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from marl.rollouts.trajectory import Trajectory


class Played(NamedTuple):
    """T steps of B games between N agents, and what a critic said of them."""

    reward: Tensor  # [T, B, N] float32  paid by the step after the decision
    value: Tensor  # [T, B, N] float32  at the decision
    deciding: Tensor  # [T, B, N] bool  where an agent acted
    terminated: Tensor  # [T, B, N] bool  over after the step: nothing follows
    truncated: Tensor  # [T, B, N] bool  cut off after the step: `final_value` follows
    final_value: Tensor  # [T, B, N] float32  of what was seen when a game was cut off
    next_value: Tensor  # [B, N] float32  of what is seen after the last step
    known: Tensor  # [B, N] bool  where that is a decision's


def played(trajectory: Trajectory) -> Played:
    """What a critic is held to, of a trajectory with the extra "value"."""
    seen, extras = trajectory, trajectory.extras
    return Played(
        seen.reward, extras["value"], seen.acting, seen.terminated, seen.truncated,
        extras["final_value"], extras["last_value"][0], extras["last_acting"][0],
    )  # fmt: skip


class Estimates(NamedTuple):
    """What a method makes of a trajectory before it learns; 0 where `found` is false."""

    advantage: Tensor  # [T, B, N] float32
    found: Tensor  # [T, B, N] bool  decisions of which something is known
    target: Tensor  # [T, B, N] float32  what the value should have been
    error: Tensor  # [T, B, N] float32  how far it was off
    beside: Mapping[str, Tensor] = {}  # [T, B, N] what else there is, by name


class Moment(NamedTuple):
    """A step t on the way back, and what is known there of what follows it; [B, N] each."""

    t: int
    ends: Tensor  # bool  where games ended after it
    acts: Tensor  # bool  where agents decided at it
    known: Tensor  # bool  where something is known of what follows
    found: Tensor  # bool  both
    paid: Tensor  # float32  from this step until the next decision


def backwards(reward: Tensor, deciding: Tensor, ends: Tensor, known: Tensor) -> Iterator[Moment]:
    """From the last step to the first, with what agents are paid until their next decisions.

    Args:
        reward: [T, B, N] float32, paid by each step.
        deciding, ends: [T, B, N] bool, where agents acted, and where it was over after a step.
        known: [B, N] bool, where what is seen after the last step is a decision's.
    """
    paid = torch.zeros_like(reward[0])
    for t in range(len(reward) - 1, -1, -1):
        paid = torch.where(ends[t], 0.0, paid) + reward[t]
        known = known | ends[t]
        acts = deciding[t]
        yield Moment(t, ends[t], acts, known, acts & known, paid)
        paid = torch.where(acts, 0.0, paid)
        known = known | acts


def advantages(played: Played, discount: float, gae_lambda: float) -> tuple[Tensor, Tensor]:
    """Generalised advantages of the decisions (arXiv 1506.02438, equation 16).

    Returns:
        advantages [T, B, N] float32, and which decisions [T, B, N] have one; 0 elsewhere.
    """
    p = played
    result, found = torch.zeros_like(p.value), torch.zeros_like(p.deciding)
    advantage, next_value = torch.zeros_like(p.next_value), p.next_value
    ends = p.terminated | p.truncated
    beyond = torch.where(p.terminated, 0.0, p.final_value)
    keep = discount * gae_lambda
    for now in backwards(p.reward, p.deciding, ends, p.known):
        t = now.t
        advantage = torch.where(now.ends, 0.0, advantage)
        next_value = torch.where(now.ends, beyond[t], next_value)
        new = now.paid + discount * next_value - p.value[t] + keep * advantage
        found[t], result[t] = now.found, torch.where(now.found, new, 0.0)
        advantage = torch.where(now.acts, result[t], advantage)
        next_value = torch.where(now.acts, p.value[t], next_value)
    return result, found


def generalised(trajectory: Trajectory, discount: float, gae_lambda: float) -> Estimates:
    """Generalised advantages, and values' targets: what they said and the advantage."""
    advantage, found = advantages(played(trajectory), discount, gae_lambda)
    return Estimates(advantage, found, trajectory.extras["value"] + advantage, advantage)
