"""Memory layouts of batched numbers: by game or by number.

A tensor [B, n] has one number n of B games after the other in memory here (strides 1 and B), though
its shape says otherwise: what is added up, multiplied and cut out along n is then whole runs of B
numbers. A few numbers of each game, side by side, would take three to five times as long. A network
of neurons likes it the other way; `by_number` and `by_game` go from one to the other, and so do
their gradients.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def by_number(x: Tensor) -> Tensor:
    """[B, n] the same numbers, a number's games next to each other in memory."""
    return _ByNumber.apply(x) if x.requires_grad else x.t().contiguous().t()


def by_game(x: Tensor) -> Tensor:
    """[B, n] the same numbers, a game's numbers next to each other in memory."""
    return _ByGame.apply(x) if x.requires_grad else x.contiguous()


def times(
    x: Tensor, matrix: Tensor, plus: Tensor | None = None, less_than: Tensor | None = None
) -> Tensor:
    """[B, m] x @ matrix, for x [B, n] and matrix [n, m]; a number's games next to each other.

    Args:
        plus: [m] or [B, m] to which the product is added.
        less_than: [B, m] from which it is taken.
    """
    if less_than is not None:
        return torch.addmm(less_than.t(), matrix.t(), x.t(), alpha=-1).t()
    if plus is not None:
        return torch.addmm(plus.t() if plus.dim() > 1 else plus[:, None], matrix.t(), x.t()).t()
    return (matrix.t() @ x.t()).t()


def pushed(queue: Tensor, last: Tensor) -> tuple[Tensor, Tensor]:
    """The first [B, n] of a queue [B, n, P], and the others [B, n, P] with `last` [B, n] behind."""
    first, others = queue.permute(1, 2, 0).split((1, queue.shape[2] - 1), dim=1)
    after = torch.cat((others, last.t()[:, None]), dim=1)
    return first[:, 0].t(), after.permute(2, 0, 1)


def joined(*parts: Tensor) -> Tensor:
    """[B, sum of n] of parts [B, n] or [B, n, P], one behind the other."""
    lines = [part.movedim(0, -1).flatten(0, -2) for part in parts]
    return torch.cat(lines).t() if len(lines) > 1 else lines[0].t()


def padded(x: Tensor, rest: int) -> Tensor:
    """[B, n + rest] with zeros behind."""
    return torch.cat((x.t(), x.new_zeros(rest, len(x)))).t() if rest else x


class _ByNumber(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.t().contiguous().t()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return by_game(gradient)


class _ByGame(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.contiguous()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return by_number(gradient)
