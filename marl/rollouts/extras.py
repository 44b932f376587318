"""Extras of trajectories: further data that rollouts record if a learning method asks for it.

The name of each extra, and what it adds to `Trajectory.extras`:

logp           `logp` [T, B, N], the log probability of each action
parameters     `parameters` [T, B, N, P] of the distribution that actions were drawn from
value          `value`, `final_value` [T, B, N], critics' values at decisions, and of observations
               where games were cut off; `last_value`, `last_acting` [1, B, N], after the last
               step
memory         `memory` [1, B, N, M], before the first step
next           `next_nodes` [T, B, V, F], `next_acting` [T, B, N], `next_action_mask` [T, B, N, A]:
               observations after each step; of a game that was cut off, before its restart
post_decision  `decided_nodes` [T, B, N, F], the agents' own nodes in post-decision states;
               `decided_reward`, `decided_value` [T, B, N], rewards of the decisions, and
               values by the network's post-decision value head

A new extra is a `Recorder`, named in `EXTRAS` or as "module:Class".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, NamedTuple, Protocol

import torch
from torch import Tensor

from games.common.registry import Registry
from games.simulators.simulator import Observation, Step
from games.simulators.vector import Vector
from marl.networks.distributions import Distribution
from marl.networks.network import PolicyNetwork
from marl.networks.policy import put_rows


class Playing(Protocol):
    """The parts of a rollout that recorders may use; see `marl.rollouts.rollout.Rollout`."""

    vector: Vector
    networks: Sequence[PolicyNetwork]
    rules: list[Distribution]
    num_learning: int
    seen: Observation
    assignment: Tensor  # [B, N] int64  index of the network that plays
    memory: Tensor  # [B, N, M] float32

    def values(self, seen: Observation, wanted: Tensor) -> Tensor:
        """Values [B, N] by the networks that learn, 0 where `wanted` [B, N] is false."""


class Choice(NamedTuple):
    """The decisions of one learning network at one step."""

    step: int  # t
    network: int  # its index
    deciding: Tensor  # [B, N] bool, D of them true
    parameters: Tensor  # [D, P]
    value: Tensor | None  # [D], if a recorder wants values
    actions: Tensor  # [D, W] as they were drawn


class Recorder:
    """Base of recorders of an extra in one trajectory; hooks do nothing unless overridden."""

    values: ClassVar[bool] = False
    """Whether networks have to compute values while they play."""

    def __init__(self, playing: Playing, steps: int) -> None:
        self.playing, self.steps = playing, steps
        self.found: dict[str, Tensor] = {}

    def empty(self, *more: int) -> Tensor:
        """Zeros [T, B, N, *more] float32."""
        assignment = self.playing.assignment
        return torch.zeros((self.steps, *assignment.shape, *more), device=assignment.device)

    def decided(self, choice: Choice) -> None:
        """Called after a learning network has decided."""

    def stepped(self, t: int, step: Step, seen: Observation, final: Observation | None) -> None:
        """Called after a step; see `games.simulators.vector.Vector.step`."""

    def result(self) -> dict[str, Tensor]:
        """Called after the last step."""
        return self.found


class LogProbability(Recorder):
    """Records log probabilities of the actions."""

    def __init__(self, playing: Playing, steps: int) -> None:
        super().__init__(playing, steps)
        self.found["logp"] = self.empty()

    def decided(self, choice: Choice) -> None:
        logp = self.playing.rules[choice.network].logp(choice.parameters, choice.actions)
        into = self.found["logp"][choice.step].unsqueeze(-1)
        put_rows(into, choice.deciding, logp[:, None])


class Parameters(Recorder):
    """Records parameters of the distributions that actions were drawn from."""

    def __init__(self, playing: Playing, steps: int) -> None:
        super().__init__(playing, steps)
        width = max(rule.num_parameters for rule in playing.rules)
        self.found["parameters"] = self.empty(width)

    def decided(self, choice: Choice) -> None:
        put_rows(self.found["parameters"][choice.step], choice.deciding, choice.parameters)


class Values(Recorder):
    """Records values at decisions, where games were cut off, and after the last step."""

    values = True

    def __init__(self, playing: Playing, steps: int) -> None:
        super().__init__(playing, steps)
        self.found |= {"value": self.empty(), "final_value": self.empty()}

    def decided(self, choice: Choice) -> None:
        assert choice.value is not None
        into = self.found["value"][choice.step].unsqueeze(-1)
        put_rows(into, choice.deciding, choice.value[:, None])

    def stepped(self, t: int, step: Step, seen: Observation, final: Observation | None) -> None:
        if final is not None:
            wanted = step.truncated & ~step.terminated
            self.found["final_value"][t] = self.playing.values(final, wanted)

    def result(self) -> dict[str, Tensor]:
        playing = self.playing
        acting = playing.seen.acting
        learning = playing.assignment < playing.num_learning
        last = playing.values(playing.seen, acting & learning)
        return {**self.found, "last_value": last[None], "last_acting": acting[None]}


class Memories(Recorder):
    """Records networks' memories before the first step."""

    def __init__(self, playing: Playing, steps: int) -> None:
        super().__init__(playing, steps)
        self.found["memory"] = playing.memory.clone()[None]


class Next(Recorder):
    """Records the observation after each step, as off-policy methods need it."""

    def __init__(self, playing: Playing, steps: int) -> None:
        super().__init__(playing, steps)
        for name in ("nodes", "acting", "action_mask"):
            now = getattr(playing.seen, name)
            self.found[f"next_{name}"] = now.new_zeros((steps, *now.shape))

    def stepped(self, t: int, step: Step, seen: Observation, final: Observation | None) -> None:
        cut = (step.truncated & ~step.terminated).any(dim=1)
        for name in ("nodes", "acting", "action_mask"):
            after = getattr(seen, name)
            if final is not None:
                where = cut.view(-1, *[1] * (after.dim() - 1))
                after = torch.where(where, getattr(final, name), after)
            self.found[f"next_{name}"][t] = after


class PostDecision(Recorder):
    """Records post-decision states, with their rewards and values; steps the vector in halves."""

    def __init__(self, playing: Playing, steps: int) -> None:
        super().__init__(playing, steps)
        playing.vector.halves = True  # type: ignore[attr-defined]
        self.found["decided_nodes"] = self.empty(playing.vector.spec.features)
        self.found |= {"decided_reward": self.empty(), "decided_value": self.empty()}
        self._mine: list[tuple[PolicyNetwork, Tensor]] = []  # networks that decided, and where

    def decided(self, choice: Choice) -> None:
        self._mine.append((self.playing.networks[choice.network], choice.deciding))

    def stepped(self, t: int, step: Step, seen: Observation, final: Observation | None) -> None:
        assert step.decided is not None, "the vector does not say what was decided"
        nodes = step.decided.seen.nodes[:, : self.playing.assignment.shape[1]]
        self.found["decided_nodes"][t] = nodes
        self.found["decided_reward"][t] = step.decided.reward
        for network, mine in self._mine:
            self.found["decided_value"][t][mine] = network.post_decision_value(nodes[mine])
        self._mine = []


EXTRAS: Registry[type[Recorder]] = Registry(
    "extra of rollouts",
    {
        "logp": "marl.rollouts.extras:LogProbability",
        "parameters": "marl.rollouts.extras:Parameters",
        "value": "marl.rollouts.extras:Values",
        "memory": "marl.rollouts.extras:Memories",
        "next": "marl.rollouts.extras:Next",
        "post_decision": "marl.rollouts.extras:PostDecision",
    },
)
