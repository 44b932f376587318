"""Advantages of decisions from the rewards after them, computed backwards in time.

An agent need not act at every step: its rewards between two of its decisions belong to the first
of them, and the discount counts decisions. Where another agent is to move after the last step, the
last decision has no advantage yet: critics are only trained on an agent's own decisions, and their
values at other agents' turns mean nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from marl.rollouts.trajectory import Trajectory


class Played(NamedTuple):
    """Rewards, decisions and values of T steps of B games between N agents."""

    reward: Tensor  # [T, B, N] float32  paid by the step after the decision
    value: Tensor  # [T, B, N] float32  at the decision
    deciding: Tensor  # [T, B, N] bool  where an agent acted
    terminated: Tensor  # [T, B, N] bool  the game ended after the step
    truncated: Tensor  # [T, B, N] bool  cut off after the step: `final_value` follows
    final_value: Tensor  # [T, B, N] float32  of the observation where a game was cut off
    next_value: Tensor  # [B, N] float32  of the observation after the last step
    known: Tensor  # [B, N] bool  where `next_value` is at a decision


def played(trajectory: Trajectory) -> Played:
    """The parts of a trajectory with the extra "value" that advantages need."""
    seen, extras = trajectory, trajectory.extras
    return Played(
        seen.reward, extras["value"], seen.acting, seen.terminated, seen.truncated,
        extras["final_value"], extras["last_value"][0], extras["last_acting"][0],
    )  # fmt: skip


class Estimates(NamedTuple):
    """Advantages and value targets of a trajectory; 0 where `found` is false."""

    advantage: Tensor  # [T, B, N] float32
    found: Tensor  # [T, B, N] bool  decisions that have an advantage
    target: Tensor  # [T, B, N] float32  of the value
    error: Tensor  # [T, B, N] float32  target minus value
    beside: Mapping[str, Tensor] = {}  # [T, B, N] further estimates, by name


class Moment(NamedTuple):
    """A step t of the backward pass, and what is known there of later steps; [B, N] each."""

    t: int
    ends: Tensor  # bool  where games ended after it
    acts: Tensor  # bool  where agents decided at it
    known: Tensor  # bool  where the value of what follows is known
    found: Tensor  # bool  both
    paid: Tensor  # float32  from this step until the next decision


def backwards(reward: Tensor, deciding: Tensor, ends: Tensor, known: Tensor) -> Iterator[Moment]:
    """Steps from last to first, with each agent's rewards until its next decision.

    Args:
        reward: [T, B, N] float32, rewards of each step.
        deciding, ends: [T, B, N] bool, where agents acted, and where the game ended after a step.
        known: [B, N] bool, where agents act on the observation after the last step.
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
    """Generalised advantages, and the targets of values: value plus advantage."""
    advantage, found = advantages(played(trajectory), discount, gae_lambda)
    return Estimates(advantage, found, trajectory.extras["value"] + advantage, advantage)
