"""Steps of games in a ring of flat tensors; the oldest make room for new ones.

A row is a step of a game: what was seen, done and paid. `after` leads from a row to the next one of
its game. Where an agent was cut off, what was seen then is a row of its own in between, a final
observation, in which nobody decides. So targets over n steps and whole sequences are found by
following `after`, and know no other case.

Rows are also counted through, from the first ever written: row k stands at place k modulo the size
of the ring until row k + size overwrites it. Where nothing else is said, rows are places.
"""

from __future__ import annotations

import torch
from torch import Tensor

from games.common.errors import InputError
from games.simulators.simulator import Observation, Spec
from marl.replay.edges import EdgeRing
from marl.rollouts.trajectory import Trajectory

CHUNK = 1 << 14  # rows that are written to one file
NONE = -1  # the row after one whose next step is not known (yet)


class Ring:
    """At most C steps of games, as rows of tensors; see the module."""

    def __init__(self, spec: Spec, capacity: int, memory: tuple[int, int] | None = None) -> None:
        """
        Args:
            spec: of the game.
            capacity: C, rows; final observations of games that were cut off take one each.
            memory: for networks with one: steps of a trajectory, and the width M of the memory
                before the first of them, which is kept.
        """
        self.spec, self.capacity = spec, capacity
        agents = spec.num_agents

        def column(*more: int, dtype: torch.dtype = torch.bool) -> Tensor:
            return torch.zeros((capacity, *more), dtype=dtype)

        self.columns = {
            "nodes": column(spec.num_nodes, spec.features, dtype=torch.float32),
            "acting": column(agents),
            "action_mask": column(agents, spec.mask_width),
            "fresh": column(agents),
            "actions": column(agents, spec.action_width, dtype=spec.action_dtype),
            "policy": column(agents, dtype=torch.int16) + NONE,
            "reward": column(agents, dtype=torch.float32),
            "terminated": column(agents),
            "after": column(dtype=torch.int64) + NONE,
            "cut": column(agents),  # in final observations: agents whose part had ended there
            "ready": column(),  # somebody decided, and what came of it is known
        }
        self.edges = EdgeRing(capacity, spec.edge_features) if spec.edge_features else None
        # [chunks] int64, raised when rows of a chunk change
        self.versions = torch.zeros(-(-capacity // CHUNK), dtype=torch.int64)
        self.written = self.newest = 0  # rows that were ever written, and those added last
        self.tail = self.stream = torch.zeros(0, dtype=torch.int64)  # [B] rows that wait, and whose
        self.starts, self.memory, self.start_head = self.stream, torch.zeros(0), 0
        if memory is not None:
            steps, width = memory
            slots = -(-capacity // steps)  # there are never more starts whose rows are still there
            # [S] rows, counted through, at which a game's part of a trajectory began
            self.starts = torch.full((slots,), NONE)
            self.memory = torch.zeros((slots, agents, width))
            self.columns["slot"] = column(dtype=torch.int64)  # of a start, in those two

    @property
    def size(self) -> int:
        """Rows that are there."""
        return min(self.written, self.capacity)

    @property
    def head(self) -> int:
        """The place of the next row."""
        return self.written % self.capacity

    def whole_starts(self) -> Tensor:
        """Slots [U] of the starts of which all rows are there, and what came after them."""
        first = max(self.written - self.capacity, 0)
        there = (self.starts >= first) & (self.starts < self.written - self.newest)
        return there.nonzero()[:, 0]

    def __getitem__(self, name: str) -> Tensor:
        return self.columns[name]

    def add(self, trajectory: Trajectory) -> Tensor:
        """Append T steps of B games with the extra "final"; the oldest rows make room.

        Returns:
            the new rows [R] int64: step by step, then final observations.

        Raises:
            InputError: more rows than fit with those that are to be followed by them.
        """
        steps, games = trajectory.acting.shape[:2]
        extras = trajectory.extras
        which, game = (extras["final_step"] > 0).nonzero(as_tuple=True)  # K, B -> F
        step = extras["final_step"][which, game] - 1
        total, finals = steps * games, len(game)
        if 2 * (total + finals) > self.capacity:
            raise InputError(
                f"a replay of {self.capacity:,} steps is too small for trajectories of "
                f"{total + finals:,}: set method.replay to twice as many at least"
            )
        rows = (self.head + torch.arange(total + finals)) % self.capacity
        over = (trajectory.terminated | trajectory.truncated)[step, game]  # [F, N]
        for name in ("nodes", "acting", "action_mask"):
            last = extras[f"final_{name}"][which, game]
            if name == "acting":  # in a game that goes on, the others act in the next row
                last = last & over
            self._write(name, torch.cat([getattr(trajectory, name).flatten(0, 1), last]))
        for name in ("actions", "policy", "reward"):
            self._write(name, getattr(trajectory, name).flatten(0, 1), finals)
        still = (trajectory.fresh & ~trajectory.acting)[step, game]  # cut off before they decided
        self._write("fresh", torch.cat([trajectory.fresh.flatten(0, 1), still]))
        self._write("terminated", _ended(trajectory, step, game).flatten(0, 1), finals)
        self._write("cut", torch.cat([torch.zeros((total, over.shape[1]), dtype=torch.bool), over]))
        if self.edges is not None:
            self._add_edges(self.edges, trajectory, rows, which, game)
        self._link(rows, trajectory, step, game, extras["stream"][0])
        if len(self.starts):
            self._add_starts(rows[:games], extras["memory"][0])
        self.newest = len(rows)
        self.written += len(rows)
        return rows

    def _write(self, name: str, values: Tensor, blank: int = 0) -> None:
        """Write a column's next values, and after them so many blank ones."""
        column = self.columns[name]
        if blank:
            fill = values.new_full((blank, *values.shape[1:]), NONE if name == "policy" else 0)
            values = torch.cat([values, fill])
        fits = min(self.capacity - self.head, len(values))
        column[self.head : self.head + fits] = values[:fits]
        column[: len(values) - fits] = values[fits:]

    def _add_edges(
        self, ring: EdgeRing, trajectory: Trajectory, rows: Tensor, which: Tensor, game: Tensor
    ) -> None:
        finals, total = len(game), trajectory.num_steps
        ends = trajectory.extras["final_edges"][which, game] - 1  # [F, E, 2]
        there = ends[..., 0] >= 0
        count = torch.cat([torch.bincount(trajectory.edge_row, minlength=total), there.sum(1)])
        assert len(count) == total + finals
        features = trajectory.extras["final_edge_features"][which, game][there]
        ring.add(
            rows,
            count,
            torch.cat([trajectory.edges.T, ends[there]]),
            torch.cat([trajectory.edge_features, features]),
        )

    def _link(
        self, rows: Tensor, trajectory: Trajectory, step: Tensor, game: Tensor, stream: Tensor
    ) -> None:
        """Say what comes after the new rows, and after those that waited for them."""
        steps, games = trajectory.acting.shape[:2]
        played, finals = rows[: steps * games].view(steps, games), rows[steps * games :]
        after = torch.full((steps, games), NONE)
        after[:-1] = played[1:]
        after_final = after[step, game]
        after[step, game] = finals
        self.columns["after"][rows] = torch.cat([after.flatten(), after_final])
        tail = played[-1].clone()
        ends = step == steps - 1
        tail[game[ends]] = finals[ends]
        if torch.equal(stream, self.stream):
            before, now = self.tail, played[0]
        else:  # an env runner died or came back
            same = (stream[:, None] == self.stream).nonzero()
            before, now = self.tail[same[:, 1]], played[0][same[:, 0]]
        self.columns["after"][before] = now
        self.tail, self.stream = tail, stream.clone()
        changed = torch.cat([rows, before])
        c = self.columns
        decided = (c["policy"][changed] >= 0).any(dim=1)
        known = (c["after"][changed] >= 0) | c["terminated"][changed].all(dim=1)
        c["ready"][changed] = decided & known
        self.versions[(changed // CHUNK).unique()] += 1

    def _add_starts(self, rows: Tensor, memory: Tensor) -> None:
        slots = (self.start_head + torch.arange(len(rows))) % len(self.starts)
        self.starts[slots] = self.written + torch.arange(len(rows))
        self.columns["slot"][rows] = slots
        self.memory[slots] = memory[..., : self.memory.shape[2]]
        self.start_head = (self.start_head + len(rows)) % len(self.starts)

    def observation(self, rows: Tensor) -> Observation:
        """What was seen at rows [M], as an observation of M games."""
        c = self.columns
        nodes = c["nodes"][rows]
        if self.edges is None:
            edges, features = torch.zeros((2, 0), dtype=torch.int64), torch.zeros((0, 0))
        else:
            edges, features = self.edges.of(rows, nodes.shape[1])
        return Observation(nodes, edges, features, c["acting"][rows], c["action_mask"][rows])


def _ended(trajectory: Trajectory, step: Tensor, game: Tensor) -> Tensor:
    """For which agents [T, B, N] nothing follows a step.

    Of all, where a game is over without a final observation [F]: the last of them terminated then,
    and others had been cut off before.
    """
    over = (trajectory.terminated | trajectory.truncated).all(dim=2)
    over[step, game] = False
    return trajectory.terminated | over[:, :, None]
