"""Targets over n steps: the rewards until an agent's n-th next decision, and where that is."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from marl.replay.ring import NONE, Ring


class Returns(NamedTuple):
    """What followed M rows, for each of N agents; 0 where `known` is false."""

    reward: Tensor  # [M, N] float32  discounted sum of rewards until `row`, or until the end
    discount: Tensor  # [M, N] float32  of the value at `row`; 0 where the game ended
    row: Tensor  # [M, N] int64  where to bootstrap; the row itself where nothing is
    known: Tensor  # [M, N] bool


def returns(ring: Ring, rows: Tensor, n: int, discount: float, *, joint: bool) -> Returns:
    """Follow M rows [M] until the n-th next decision of each agent that decided there.

    Rewards between two decisions of an agent belong to the first; the discount counts decisions. A
    sum ends earlier, at the last decision that is known: where an agent was cut off, and at the
    newest rows. Decisions after which nothing is known have no target.

    Args:
        joint: all agents decide at every step, together: rewards are the mean over agents, and a
            game is cut off once it is over for all.
    """
    policy, reward = ring["policy"][rows], ring["reward"]
    open_ = (policy >= 0) if not joint else (policy >= 0).any(dim=1, keepdim=True).expand_as(policy)
    total = torch.zeros(policy.shape)
    factor = torch.ones(policy.shape)
    count = torch.zeros(policy.shape, dtype=torch.int64)
    found = Returns(
        torch.zeros_like(total), torch.zeros_like(total),
        rows[:, None].expand_as(policy).clone(), torch.zeros_like(open_),
    )  # fmt: skip
    here = rows
    while True:
        paid = reward[here]
        if joint:
            paid = paid.mean(dim=1, keepdim=True)
        total = total + torch.where(open_, factor * paid, 0.0)
        ended = ring["terminated"][here]
        if joint:
            ended = ended.all(dim=1, keepdim=True)
        over = open_ & ended
        found = _where(over, Returns(total, torch.zeros_like(total), found.row, over), found)
        after = ring["after"][here]
        open_ = open_ & ~ended & (after != NONE)[:, None]
        if not open_.any():
            return found
        here = torch.where(after == NONE, here, after)
        cut = ring["cut"][here]
        acts = open_ & ring["acting"][here]
        if joint:  # what is seen where some are cut off is seen again in the next row
            final, cut = cut.any(dim=1, keepdim=True), cut.all(dim=1, keepdim=True)
            acts = open_ & (~final | cut)
        count = count + acts
        factor = torch.where(acts, factor * discount, factor)
        there = here[:, None].expand_as(policy)
        found = _where(acts, Returns(total, factor, there, acts), found)
        open_ = open_ & ~cut & (count < n)
        if not open_.any():
            return found


def _where(chosen: Tensor, new: Returns, old: Returns) -> Returns:
    return Returns(*(torch.where(chosen, a, b) for a, b in zip(new, old, strict=True)))
