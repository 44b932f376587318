"""The replay: trajectories go in, batches to learn from come out."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from games.simulators.simulator import Spec
from marl.replay.batch import Batch, View
from marl.replay.priorities import SumTree
from marl.replay.returns import Returns, returns
from marl.replay.ring import NONE, Ring
from marl.rollouts.trajectory import Trajectory

LEAST_ERROR = 1e-6  # added to errors, so that no step is never drawn again


@dataclass(frozen=True)
class Draws:
    """How batches are drawn."""

    n_step: int = 1
    """Decisions whose rewards a target adds up before it bootstraps."""
    discount: float = 0.99
    """From one decision to the next."""
    joint: bool = False
    """Whether agents decide together: one target a step of the game, from the mean reward."""
    priority: float = 0.0
    """Exponent of priorities (Schaul et al. 2016, arXiv 1511.05952, equation 1); 0: uniform."""
    sequence_length: int = 0
    """Steps of the sequences that networks with a memory learn from; 0: single steps."""
    memory_width: int = 0


class Replay:
    """The last steps of games, from which batches are drawn, uniformly or by priority.

    What is drawn is a step of a game; or, for networks with a memory, a game's part of a
    trajectory, with the memory that was there at its beginning (Kapturowski et al. 2019,
    "Recurrent experience replay in distributed reinforcement learning", "stored state").
    """

    def __init__(self, spec: Spec, capacity: int, draws: Draws = Draws()) -> None:
        """
        Args:
            spec: of the game.
            capacity: steps of games.
        """
        self.draws = draws
        self.saved = ""  # the name of what was last written to files, or read from them
        memory = (draws.sequence_length, draws.memory_width) if draws.sequence_length else None
        self.ring = Ring(spec, capacity, memory)
        self.tree = SumTree(capacity) if draws.priority else None
        self.highest = 1.0  # error so far; new steps get it, so that each is drawn soon
        self._units: Tensor | None = None  # what can be drawn

    def __len__(self) -> int:
        """Steps that are kept."""
        return self.ring.size

    def add(self, trajectory: Trajectory) -> None:
        """Append steps of games, with the extra "final", and "memory" for sequences.

        Raises:
            InputError: more steps than half the capacity.
        """
        waiting = self.ring.tail
        rows = self.ring.add(trajectory)
        self.forget_units()
        if self.tree is not None:
            self.tree.put(rows, torch.zeros(len(rows)))  # of those that were overwritten
            if self.draws.sequence_length:  # those of the trajectory before are whole now
                new = self.units
            else:  # and steps that waited for what comes next
                new = torch.cat([waiting, rows])
                new = new[self.ring["ready"][new]]
            new = new[self.tree[new] == 0]
            self.tree.put(new, torch.full((len(new),), self.highest**self.draws.priority))

    @property
    def units(self) -> Tensor:
        """Rows [U] int64 that can be drawn: steps, or beginnings of sequences."""
        if self._units is None:
            if self.draws.sequence_length:
                starts = self.ring.starts[self.ring.whole_starts()]
                self._units = starts % self.ring.capacity
            else:
                self._units = self.ring["ready"][: self.ring.size].nonzero()[:, 0]
        return self._units

    def forget_units(self) -> None:
        """Find anew what can be drawn."""
        self._units = None

    def draw(self, size: int, generator: Generator, correction: float = 1.0) -> Batch:
        """A batch of steps, drawn with replacement.

        Args:
            size: M steps; of sequences as many as have about M steps.
            correction: exponent of the weights that correct for priorities (arXiv 1511.05952,
                section 3.4): 1 corrects fully, 0 not at all.
        """
        length = self.draws.sequence_length
        count = max(size // length, 1) if length else size
        units = self.units
        if self.tree is None:
            index = units[torch.randint(len(units), (count,), generator=generator)]
            weight = torch.ones(count)
        else:
            index = self.tree.draw(count, generator)
            share = self.tree[index] / self.tree.total
            weights = (len(units) * share) ** -correction
            weight = (weights / weights.max()).float()
        return self._sequences(index, weight) if length else self._steps(index, weight)

    def _steps(self, index: Tensor, weight: Tensor) -> Batch:
        ring, found = self.ring, self._returns(index)
        # Agents of a step mostly bootstrap from the same row; who does not bootstrap needs none.
        own = torch.where(found.discount > 0, found.row, NONE)
        common = own.amax(1)
        common = torch.where(common == NONE, index, common)
        if bool(((own == common[:, None]) | (own == NONE)).all()):
            later = common
            where = torch.arange(len(index))[:, None].expand_as(own)
        else:
            rows = torch.where(own == NONE, common[:, None], own)
            later, where = rows.unique(return_inverse=True)
        return Batch(
            View(ring.observation(index)), ring["actions"][index], ring["policy"][index].long(),
            found.reward, found.discount, found.known,
            View(ring.observation(later)), where, index, weight,
        )  # fmt: skip

    def _sequences(self, index: Tensor, weight: Tensor) -> Batch:
        """Whole sequences: their steps, final observations, and the steps to bootstrap from."""
        ring = self.ring
        rows, sequence, time, left = self._followed(index)
        slots = ring["slot"][index]
        view = View(ring.observation(rows), sequence, time, ring["fresh"][rows], ring.memory[slots])
        found = self._returns(rows)
        learned = (left > 0)[:, None] & found.known
        # Where each row to bootstrap from stands among those of its own sequence.
        keys, order = (sequence * ring.capacity + rows).sort()
        wanted = sequence[:, None] * ring.capacity + found.row
        place = torch.searchsorted(keys, wanted).clamp(max=len(keys) - 1)
        known = learned & (keys[place] == wanted)
        policy = torch.where((left > 0)[:, None], ring["policy"][rows].long(), NONE)
        return Batch(
            view, ring["actions"][rows], policy,
            found.reward * known, found.discount * known, known,
            view, order[place], index[sequence], weight[sequence],
        )  # fmt: skip

    def _followed(self, index: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The rows [K] of sequences that begin at `index` [S], in order of time.

        Returns:
            rows; the sequence of each and its place there; and how many steps of the sequence it
            has left, 0 or less in the steps after it.
        """
        ring = self.ring
        found: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []
        here, sequence = index, torch.arange(len(index))
        left = torch.full_like(index, self.draws.sequence_length)
        while len(here):
            found.append((here, sequence, torch.full_like(here, len(found)), left))
            after = ring["after"][here]
            left = left - (~ring["cut"][here].any(dim=1)).long()
            going = (left > -self.draws.n_step) & (after != NONE)
            here, sequence, left = after[going], sequence[going], left[going]
        rows, sequence, time, left = (torch.cat(each) for each in zip(*found, strict=True))
        return rows, sequence, time, left

    def _returns(self, rows: Tensor) -> Returns:
        draws = self.draws
        return returns(self.ring, rows, draws.n_step, draws.discount, joint=draws.joint)

    def learned(self, index: Tensor, errors: Tensor) -> None:
        """Set priorities by the absolute errors [M] of values, of steps or sequences [M].

        What is named several times gets its largest error.
        """
        if self.tree is None:
            return
        units, which = index.unique(return_inverse=True)
        largest = torch.zeros(len(units)).scatter_reduce(0, which, errors.float(), "amax")
        self.highest = max(self.highest, float(largest.max()) + LEAST_ERROR)
        self.tree.put(units, (largest + LEAST_ERROR) ** self.draws.priority)
