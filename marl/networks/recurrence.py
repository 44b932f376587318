"""Recurrent memory for agents that skip turns and start episodes at different times."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence


class Memory(nn.Module):
    """A gated recurrent unit (Cho et al. 2014) of one layer, from W inputs to M memory units.

    Decisions may come in any order, and agents may skip turns and start new episodes; the results
    do not depend on how decisions are divided among calls.
    """

    def __init__(self, features: int, width: int) -> None:
        super().__init__()
        self.width = width
        self.gru = nn.GRU(features, width)
        for name, parameter in self.gru.named_parameters():
            if name.startswith("bias"):
                nn.init.zeros_(parameter)
            else:  # three gates, each initialised separately
                for gate in parameter.data.chunk(3):
                    nn.init.orthogonal_(gate)

    def forward(
        self,
        x: Tensor,
        memory: Tensor | None,
        slot: Tensor | None,
        time: Tensor | None,
        fresh: Tensor | None,
    ) -> Tensor:
        """Memory [D, M] after each of D decisions.

        Args:
            x: [D, W] float32, the input at each.
            memory: [D, M] before each if `slot` is None, else [S, M] before S sequences; None: 0.
            slot: [D] int64, the sequence of each decision. time: [D] int64, its place there.
            fresh: [D] bool, where an episode starts and memory is reset to 0; None: nowhere.
        """
        if slot is None:
            before = x.new_zeros(len(x), self.width) if memory is None else memory
            if fresh is not None:
                before = before.masked_fill(fresh[:, None], 0.0)
            return torch.gru_cell(x, before, *self.gru.all_weights[0])
        if not len(x):
            return x.new_zeros(0, self.width)
        assert time is not None, "sequences of decisions need Input.time"
        plan = in_step(
            slot, time, torch.zeros_like(slot, dtype=torch.bool) if fresh is None else fresh
        )
        first = plan.first
        before = x.new_zeros(len(first), self.width) if memory is None else memory[slot[first]]
        if fresh is not None:
            before = before.masked_fill(fresh[first][:, None], 0.0)
        packed = PackedSequence(x.index_select(0, plan.order), plan.batch_sizes)
        return self.gru(packed, before[None])[0].data.index_select(0, plan.position)


class InStep(NamedTuple):
    """D decisions sorted into K uninterrupted runs, longest first, for `PackedSequence`."""

    order: Tensor  # [D] int64  the decision at each place: all runs' first, then all second ...
    position: Tensor  # [D] int64  the place of each decision
    batch_sizes: Tensor  # [T] int64 on the CPU  how many runs have a first, a second ... decision
    first: Tensor  # [K] int64  the first decision of each run


def in_step(slot: Tensor, time: Tensor, fresh: Tensor) -> InStep:
    """Cut sequences where episodes start, so that the GRU needs no mask.

    Args: slot, time: [D] int64. fresh: [D] bool. Returns: see `InStep`.
    """
    device, count = slot.device, len(slot)
    in_time = (slot * (time.max() + 1) + time).argsort()
    begins = fresh[in_time]
    begins[0] = True
    begins[1:] |= slot[in_time][1:] != slot[in_time][:-1]
    start = begins.nonzero()[:, 0]  # [K]
    run = begins.cumsum(0) - 1  # [D]
    rank = torch.arange(count, device=device) - start[run]  # [D] how many of its run came before
    length = torch.bincount(run)
    longest = length.argsort(descending=True, stable=True)
    place = torch.empty_like(longest)
    place[longest] = torch.arange(len(longest), device=device)
    sizes = torch.bincount(rank)
    spot = (sizes.cumsum(0) - sizes)[rank] + place[run]
    order, position = torch.empty_like(in_time), torch.empty_like(in_time)
    order[spot] = in_time
    position[in_time] = spot
    return InStep(order, position, sizes.cpu(), in_time[start[longest]])
