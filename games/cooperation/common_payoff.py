"""A simulator of games in which all agents are paid the same, in one stage or several.

A stage is a table of payoffs of joint choices; the joint choice also determines the next stage. All
agents choose at once, in every stage, and nothing is random.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import gymnasium
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from games.common.errors import InputError, one_line
from games.common.registry import attribute_of
from games.cooperation.tree import Node
from games.simulators.metrics import Metric
from games.simulators.references import Reference
from games.simulators.simulator import Observation, Role, Spec, Step, no_edges

DRAW = "games.cooperation.draw:frame"  # named, since it imports this module
MOST = 1_000_000  # payoffs of all stages together
LARGEST = 1e6  # of a payoff: networks learn from 32 bits
SAME = 1e-5  # returns that differ by less, relative to the best, count as equal
METRICS = (Metric("optimal", low=0, high=1, yes_or_no=True, form=".3f"),)


@dataclass(frozen=True)
class State:
    """B games of N agents, between two stages of S."""

    stage: Tensor  # [B] int64  the present stage; S: over
    chosen: Tensor  # [B, S, N] int64  what was chosen in each stage, -1 where it was not played
    paid: Tensor  # [B] float32  to each agent, so far


@dataclass(frozen=True, eq=False)
class CommonPayoff:
    """N agents with one payoff, who choose at once in each stage.

    Actions are Discrete(A), A the most choices of any agent; the mask shows how many it has. An
    agent sees its own node: the stage, one-hot [S], and its own number, one-hot [N], so that agents
    that share a network can differ. Nobody sees what others chose, other than by the next stage.

    The info at the end, [B] float32: `optimal`, whether the game paid the most that is possible.

    Raises:
        InputError: tables that are not numbers of one shape, or a stage that does not lead on.
    """

    name: str
    payoff: Any  # numbers [S, A1, ..., AN]
    following: Any  # [S, A1, ..., AN] the next stage, a later one; S: over
    titles: tuple[str, ...]  # of the S stages; those with one title are drawn as one table

    differentiable = False

    def __post_init__(self) -> None:
        shape, stages = self.payoffs.shape, len(self.payoffs)
        if self.next_stage.shape != shape or len(self.titles) != stages:
            raise InputError(
                f"{self.name}: payoffs of shape {shape}, next stages of shape "
                f"{self.next_stage.shape}, {len(self.titles)} titles; give one for each"
            )
        own = np.arange(stages).reshape(-1, *[1] * self.agents)
        if ((self.next_stage <= own) | (self.next_stage > stages)).any():
            raise InputError(
                f"{self.name}: a stage is followed by a later one, or by {stages} for the end"
            )

    @cached_property
    def payoffs(self) -> NDArray[np.float64]:
        """[S, A1, ..., AN] what each agent is paid."""
        return array_of(self.payoff, f"{self.name}: payoff", stages=True)

    @cached_property
    def next_stage(self) -> NDArray[np.int64]:
        """[S, A1, ..., AN] the stage that follows; S: none."""
        return np.asarray(self.following, np.int64)

    @property
    def choices(self) -> tuple[int, ...]:
        """How many choices each of the N agents has."""
        return self.payoffs.shape[1:]

    @property
    def agents(self) -> int:
        """N."""
        return len(self.choices)

    @property
    def stages(self) -> int:
        """S."""
        return len(self.payoffs)

    @cached_property
    def spec(self) -> Spec:
        role = Role("player", gymnasium.spaces.Discrete(max(self.choices)), self._width)
        return Spec(self.name, (role,), (0,) * self.agents, self.agents, metrics=METRICS)

    @property
    def _width(self) -> int:
        return self.stages + self.agents

    @cached_property
    def values(self) -> NDArray[np.float64]:
        """[S + 1] the most that can still be paid from each stage on, by backward induction."""
        found = np.zeros(self.stages + 1)
        for stage in reversed(range(self.stages)):
            found[stage] = self.joint_values(found, stage).max()
        return found

    def joint_values(self, after: NDArray[np.float64], stage: int) -> NDArray[np.float64]:
        """[A1, ..., AN] what a stage's joint choices pay, with `after` [S + 1] from the next on."""
        return self.payoffs[stage] + after[self.next_stage[stage]]

    def reference(self) -> Reference | None:
        """The best return; None if that is not positive, so that gaps in percent mean nothing."""
        best = float(self.values[0])
        source = "the best joint choices, by backward induction over all of them"
        return Reference(best, "optimum", source, "return", "more") if best > 0 else None

    def root(self) -> Node:
        """The game as a tree in which agents choose in turn, unseen by the others."""
        return Node(self)

    def frame(self, state: State, game: int = 0) -> NDArray[np.uint8]:
        """A picture of one game: the tables, with the joint choices that were played."""
        return attribute_of(DRAW, "picture")(self, state, game)

    def reset(self, batch: int, generator: torch.Generator) -> State:
        device = generator.device
        return State(
            stage=torch.zeros(batch, dtype=torch.int64, device=device),
            chosen=torch.full((batch, self.stages, self.agents), -1, device=device),
            paid=torch.zeros(batch, device=device),
        )

    def step(self, state: State, actions: Tensor, generator: torch.Generator) -> tuple[State, Step]:
        """All choose at once; actions [B, N, 1] int64."""
        playing = state.stage < self.stages
        stage = torch.where(playing, state.stage, 0)
        chosen = torch.where(playing[:, None], actions[..., 0], 0)  # [B, N]
        at = (stage, *chosen.unbind(1))
        reward = self._tensor(self.payoffs, torch.float32, stage)[at] * playing
        following = self._tensor(self.next_stage, torch.int64, stage)[at]
        rows = playing.nonzero()[:, 0]
        played = state.chosen.index_put((rows, stage[rows]), chosen[rows])
        new = State(
            stage=torch.where(playing, following, state.stage),
            chosen=played,
            paid=state.paid + reward,
        )
        over = (new.stage == self.stages)[:, None].expand(-1, self.agents)
        best = float(self.values[0])
        optimal = new.paid >= best - SAME * max(abs(best), 1.0)
        return new, Step(
            reward=reward[:, None].repeat(1, self.agents),
            terminated=over,
            truncated=torch.zeros_like(over),
            info={"optimal": optimal.float()},
        )

    def observe(self, state: State) -> Observation:
        batch, device = len(state.stage), state.stage.device
        stage = torch.nn.functional.one_hot(state.stage, self.stages + 1)[:, None, : self.stages]
        number = torch.eye(self.agents, device=device).expand(batch, -1, -1)
        nodes = torch.cat((stage.float().expand(-1, self.agents, -1), number), dim=2)
        choices = torch.tensor(self.choices, device=device)[:, None]
        legal = torch.arange(max(self.choices), device=device) < choices  # [N, A]
        return Observation(
            nodes=nodes,
            edges=no_edges(nodes)[0],
            edge_features=no_edges(nodes)[1],
            acting=(state.stage < self.stages)[:, None].repeat(1, self.agents),
            action_mask=legal.expand(batch, -1, -1),
        )

    def _tensor(self, table: NDArray[Any], dtype: torch.dtype, beside: Tensor) -> Tensor:
        return torch.as_tensor(table, dtype=dtype, device=beside.device)


def array_of(payoff: Any, what: str, stages: bool = False) -> NDArray[np.float64]:
    """Payoffs as an array [A1, ..., AN], or [S, A1, ..., AN] with `stages`.

    Raises:
        InputError: no table of finite numbers, or one that is too large; the line begins with
            `what`.
    """
    try:
        found = np.asarray(payoff, np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"{what}: {one_line(error)}; give numbers in rows of one length, such as "
            "[[1, 0], [0, 2]]"
        ) from None
    agents = found.ndim - stages
    if agents < 1 or found.size < 1:
        raise InputError(f"{what}: {payoff!r} is no table; give rows, such as [[1, 0], [0, 2]]")
    if found.size > MOST:
        raise InputError(f"{what}: {found.size:,} numbers; give at most {MOST:,}")
    if not (np.abs(found) <= LARGEST).all():
        raise InputError(f"{what}: every payoff must be a number of at most {LARGEST:,.0f} in size")
    return found
