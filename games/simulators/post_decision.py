"""Simulators with post-decision states: a step divides into a deterministic and a random half.

The state between the two, s^x = f(s, a), is the post-decision state (Powell, "Approximate dynamic
programming", 2nd ed. 2011, section 4.6): a reward r = r^x(s, a) + r^w(s^x, W) and a transition
s' = g(s^x, W), whose noise W depends on the action only through s^x. So what is learned about
s^x is learned about every pair of state and action that leads there.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from games.simulators.simulator import Observation, Spec, State, Step


@runtime_checkable
class PostDecision(Protocol):
    """A `games.simulators.simulator.Simulator` with a post-decision state; `step` is `decide`, then
    `realise`.

    Post-decision states are of the same type as others, and `observe` shows both.
    """

    @property
    def spec(self) -> Spec: ...

    @property
    def differentiable(self) -> bool: ...

    def reset(self, batch: int, generator: torch.Generator) -> State: ...

    def step(
        self, state: State, actions: Tensor, generator: torch.Generator
    ) -> tuple[State, Step]: ...

    def observe(self, state: State) -> Observation: ...

    def decide(self, state: State, actions: Tensor) -> tuple[State, Tensor]:
        """The state s^x after actions [B, N, D], and the reward r^x [B, N] float32; no chance."""

    def realise(self, state: State, generator: torch.Generator) -> tuple[State, Step]:
        """What chance makes of s^x; the step's reward is r^w alone."""
