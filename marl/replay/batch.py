"""What one gradient step learns from: remembered steps of games, and what followed them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from games.simulators.simulator import Observation
from marl.networks.packing import Input, Needs, pack


@dataclass(frozen=True)
class View:
    """Observations of K steps of games, ready for networks.

    For networks with a memory they are whole sequences, in order of time.
    """

    seen: Observation  # of K games
    sequence: Tensor | None = None  # [K] int64  the sequence of each
    time: Tensor | None = None  # [K] int64  and its place there
    fresh: Tensor | None = None  # [K, N] bool  an agent's first decision of a game
    memory: Tensor | None = None  # [S, N, M] float32  before each sequence

    def input(self, deciding: Tensor, network: Needs, width: int = 0) -> Input:
        """The input of a network for the agents [K, N] that decide.

        Args:
            width: of the network's memory; 0: it has none, and looks at each step alone.
        """
        packed = pack(self.seen, deciding, network)
        if not width or self.sequence is None:
            return packed
        assert self.time is not None, "sequences need View.time"
        assert self.fresh is not None, "sequences need View.fresh"
        assert self.memory is not None, "sequences need View.memory"
        row, agent = deciding.nonzero(as_tuple=True)
        return replace(
            packed,
            memory=self.memory.flatten(0, 1)[:, :width],
            slot=self.sequence[row] * deciding.shape[1] + agent,
            time=self.time[row],
            fresh=self.fresh[deciding],
        )

    def to(self, device: torch.device | str) -> View:
        found = {k: None if v is None else v.to(device) for k, v in vars(self).items()}
        return View(**found)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Batch:
    """M steps of games in which somebody decided, and what followed, for each of N agents."""

    now: View  # of M steps
    actions: Tensor  # [M, N, W]  as they were drawn
    policy: Tensor  # [M, N] int64  whose decision, or -1
    reward: Tensor  # [M, N] float32  discounted sum over n decisions
    discount: Tensor  # [M, N] float32  of the value at `where`; 0 where the game ended
    known: Tensor  # [M, N] bool  decisions whose target is known; the others are left out
    later: View  # of K steps; of sequences the same as `now`
    where: Tensor  # [M, N] int64  each decision's row in `later`
    index: Tensor  # [M] int64  in the replay
    weight: Tensor  # [M] float32  of its error, which corrects for priorities

    def to(self, device: torch.device | str) -> Batch:
        found: dict[str, Any] = {name: value.to(device) for name, value in vars(self).items()}
        if self.later is self.now:
            found["later"] = found["now"]
        return Batch(**found)
