"""Edges of remembered graphs: lists of any length, one for each row of a ring."""

from __future__ import annotations

import torch
from torch import Tensor

LEAST = 1024  # edges that there is room for at first


class EdgeRing:
    """The edges of C rows. Rows are overwritten in the order in which they were written.

    The edges of a row stand side by side in a ring, which grows when its rows have more edges than
    it holds.
    """

    def __init__(self, rows: int, features: int) -> None:
        self.start = torch.zeros(rows, dtype=torch.int64)  # [C]
        self.count = torch.zeros(rows, dtype=torch.int64)  # [C]
        self.ends = torch.zeros((LEAST, 2), dtype=torch.int32)  # [E, 2] source, target in the game
        self.features = torch.zeros((LEAST, features))  # [E, G]
        self.head = self.used = 0

    def add(self, rows: Tensor, count: Tensor, ends: Tensor, features: Tensor) -> None:
        """Replace the edges of some rows.

        Args:
            rows: [R] int64, the next ones in the order of the ring.
            count: [R] int64 edges of each.
            ends: [E, 2] source and target, sorted by row. features: [E, G].
        """
        self.used -= int(self.count[rows].sum())
        self.count[rows] = 0
        total = len(ends)
        if self.used + total > len(self.ends):
            self._grow(max(2 * len(self.ends), self.used + total))
        size = len(self.ends)
        place = (self.head + torch.arange(total)) % size
        self.ends[place] = ends.int()
        self.features[place] = features
        self.start[rows] = (self.head + count.cumsum(0) - count) % size
        self.count[rows] = count
        self.head = (self.head + total) % size
        self.used += total

    def fill(self, size: int, head: int, count: Tensor, ends: Tensor, features: Tensor) -> None:
        """Put in the edges of rows 0 to `size` - 1, of which `head` is the oldest.

        Args: count: [size]. ends: [E, 2] and features: [E, G], sorted by row.
        """
        self.head = self.used = 0
        self.count[:] = 0
        order = (torch.arange(size) + head) % size
        newer = int(count[:head].sum()) if head < size else 0
        self.add(order, count[order], ends.roll(-newer, 0), features.roll(-newer, 0))

    def _grow(self, size: int) -> None:
        """Move all edges in use to the beginning of a larger ring."""
        before = len(self.ends)
        first = (self.head - self.used) % before
        place = (first + torch.arange(self.used)) % before
        ends, features = (
            self.ends.new_zeros((size, 2)),
            self.features.new_zeros((size, *self.features.shape[1:])),
        )
        ends[: self.used], features[: self.used] = self.ends[place], self.features[place]
        self.ends, self.features = ends, features
        self.start = (self.start - first) % before
        self.head = self.used

    def of(self, rows: Tensor, num_nodes: int) -> tuple[Tensor, Tensor]:
        """Edges [2, E] and features [E, G] of rows [M], as an `Observation` of M games has them."""
        game, place = self._places(rows)
        return self.ends[place].long().T + game * num_nodes, self.features[place]

    def listed(self, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What `add` takes besides rows [M]: count, ends, features."""
        _, place = self._places(rows)
        return self.count[rows], self.ends[place], self.features[place]

    def _places(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """For each edge [E] of rows [M]: which of the rows has it, and its place in the ring."""
        count = self.count[rows]
        which = torch.repeat_interleave(torch.arange(len(rows)), count)
        # The first edge of a row has place `start`, and each one after it the next.
        first = self.start[rows] - (count.cumsum(0) - count)
        return which, (torch.arange(len(which)) + first[which]) % len(self.ends)
