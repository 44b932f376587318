"""Drawing in proportion to priorities, by a tree of sums."""

from __future__ import annotations

import torch
from torch import Generator, Tensor


class SumTree:
    """Priorities of C rows, of which a row is drawn with probability priority / sum.

    A binary tree in one array: node k has the children 2 k and 2 k + 1, the rows are its leaves.
    Reading or changing M rows takes M log2(C) steps.
    """

    def __init__(self, rows: int) -> None:
        self.depth = max(rows - 1, 1).bit_length()
        self.nodes = torch.zeros(2 << self.depth, dtype=torch.float64)
        self.first = 1 << self.depth  # the first leaf

    @property
    def total(self) -> float:
        return float(self.nodes[1])

    def __getitem__(self, rows: Tensor) -> Tensor:
        """Priorities [M] float64 of rows [M]."""
        return self.nodes[self.first + rows]

    def put(self, rows: Tensor, priorities: Tensor) -> None:
        """Set the priorities [M] of rows [M] int64; of a row that is named twice, either."""
        node = self.first + rows
        self.nodes[node] = priorities.double()
        for _ in range(self.depth):
            node = node // 2
            # Sums are computed anew, not changed by differences: rounding does not add up.
            self.nodes[node] = self.nodes[2 * node] + self.nodes[2 * node + 1]

    def draw(self, count: int, generator: Generator) -> Tensor:
        """Rows [count] int64, drawn independently, with replacement."""
        left = torch.rand(count, dtype=torch.float64, generator=generator) * self.nodes[1]
        node = torch.ones(count, dtype=torch.int64)
        for _ in range(self.depth):
            node = 2 * node
            below = self.nodes[node]
            # By rounding the remainder may reach past the last row with a priority: a branch
            # whose sum is 0 is never taken.
            right = (left >= below) & (self.nodes[node + 1] > 0)
            left = torch.where(right, left - below, left)
            node = node + right
        return node - self.first
