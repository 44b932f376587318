"""A differentiable simulator of our own: one store, backlogged, with a lead time, whose best
policy is known."""

from dataclasses import dataclass
from functools import cached_property

import gymnasium
import numpy as np
import torch
from torch import Tensor

from games.simulators.simulator import Observation, Role, Spec, Step, no_edges


@dataclass(frozen=True)
class State:
    on_hand: Tensor  # [B, 1]  below 0: backlogged
    pipeline: Tensor  # [B, L - 1]  what arrives after the next period, the one after it, ...
    period: Tensor  # [B] int64


@dataclass(frozen=True)
class OneStore:
    """Orders of any size, also below 0, arrive after `lead_time` periods of normal demand.

    So the best policy orders up to a level, and the newsvendor's formula over L + 1 periods is what
    it costs.
    """

    lead_time: int = 2
    mean: float = 5.0
    deviation: float = 1.6
    holding: float = 1.0  # for a unit that is left at the end of a period
    penalty: float = 9.0  # for a unit that is backlogged then
    periods: int = 30
    double: bool = False  # whether numbers are float64
    fixed: bool = True  # whether it says that all games are as long

    differentiable = True

    @cached_property
    def spec(self) -> Spec:
        box = gymnasium.spaces.Box(-np.inf, np.inf, (1,), np.float32)
        return Spec("one store", (Role("store", box, self.lead_time),), (0,), 1)

    def __getattr__(self, name):
        if name == "horizon" and self.fixed:
            return self.periods
        raise AttributeError(name)

    def reset(self, batch: int, generator: torch.Generator) -> State:
        kind = dict(dtype=torch.float64 if self.double else torch.float32, device=generator.device)
        first = torch.rand(batch, self.lead_time, generator=generator, **kind) * self.mean
        steps = torch.zeros(batch, dtype=torch.int64, device=generator.device)
        return State(first[:, :1], first[:, 1:], steps)

    def step(self, state: State, actions: Tensor, generator: torch.Generator) -> tuple[State, Step]:
        draw = torch.randn(state.on_hand.shape, generator=generator, device=generator.device,
                           dtype=state.on_hand.dtype)  # fmt: skip
        left = state.on_hand - (self.mean + self.deviation * draw)
        cost = self.holding * left.relu() + self.penalty * (-left).relu()
        coming = torch.cat((state.pipeline, actions[:, 0]), dim=1)
        new = State(left + coming[:, :1], coming[:, 1:], state.period + 1)
        late = (new.period >= self.periods)[:, None]
        return new, Step(-cost, torch.zeros_like(late), late, {"left": left[:, 0]})

    def observe(self, state: State) -> Observation:
        nodes = torch.cat((state.on_hand, state.pipeline), dim=1)[:, None] / self.mean
        none = torch.zeros(len(nodes), 1, 0, dtype=torch.bool, device=nodes.device)
        acting = torch.ones(len(nodes), 1, dtype=torch.bool, device=nodes.device)
        return Observation(nodes, *no_edges(nodes), acting, none)
