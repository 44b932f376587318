"""Drawing in proportion to priorities, by a tree of sums."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Generator, Tensor

WIDTH = 16  # children of a node: 1,000,000 rows are 5 levels


class SumTree:
    """Priorities of C rows, of which a row is drawn with probability priority / sum.

    Each level holds the sums over `WIDTH` entries of the one below, the lowest the priorities.
    Reading or changing M rows takes M log(C) steps.
    """

    def __init__(self, rows: int) -> None:
        self.levels: list[Tensor] = []  # [K, WIDTH] float64 each, the lowest first
        for count in _sizes(rows):
            self.levels.append(torch.zeros((count, WIDTH), dtype=torch.float64))

    @property
    def total(self) -> float:
        return float(_sums(self.levels[-1]))

    def __getitem__(self, rows: Tensor) -> Tensor:
        """Priorities [M] float64 of rows [M]."""
        return self.levels[0].view(-1)[rows]

    def put(self, rows: Tensor, priorities: Tensor) -> None:
        """Set the priorities [M] of rows [M] int64; of a row that is named twice, either."""
        self.levels[0].view(-1)[rows] = priorities.double()
        for below, above in pairwise(self.levels):
            rows = rows // WIDTH
            # Sums are computed anew, not changed by differences: rounding does not add up.
            above.view(-1)[rows] = _sums(below[rows])

    def draw(self, count: int, generator: Generator) -> Tensor:
        """Rows [count] int64, drawn independently, with replacement."""
        left = torch.rand(count, dtype=torch.float64, generator=generator) * self.total
        node = torch.zeros(count, dtype=torch.int64)
        for level in reversed(self.levels):
            ends = torch.nn.functional.pad(level[node].cumsum(1), (1, 0))  # [count, 1 + WIDTH]
            # By rounding the remainder may reach the end of the last child that has a priority.
            left = left.minimum(ends[:, -1].nextafter(ends[:, 0]))
            child = (left[:, None] >= ends[:, 1:]).sum(1)
            left = left - ends.gather(1, child[:, None])[:, 0]
            node = node * WIDTH + child
        return node


def tree_bytes(rows: int) -> int:
    """The memory of a tree."""
    return 8 * WIDTH * sum(_sizes(rows))


def _sizes(rows: int) -> list[int]:
    """The number of nodes of each level whose children are in it, the lowest first."""
    found = [-(-rows // WIDTH)]
    while found[-1] > 1:
        found.append(-(-found[-1] // WIDTH))
    return found


def _sums(entries: Tensor) -> Tensor:
    """Sums [M] of entries [M, WIDTH], to the same bit however many there are at once."""
    while entries.shape[1] > 1:
        half = entries.shape[1] // 2
        entries = entries[:, :half] + entries[:, half:]
    return entries[:, 0]
