"""OR-Gym's supply chains exactly as released, to compare with published results.

Hubbs et al., "OR-Gym: a reinforcement learning library for operations research problems" (arXiv
2008.06319), version 0.5.0, InvManagement and NetworkManagement. Rewards, stock and observations are
those of the release, step for step, and so are its defects:

- an order is cut (InvManagement) or rounded (NetworkManagement) to whole units;
- InvManagement shows what was asked for in the last periods, not what was shipped;
- NetworkManagement shows a demand that is always 0 and, for each link, all that was on its way at
  the start of each of the last periods, not when it arrives. Each of a factory's customers can have
  all of its stock and of its capacity, so that stock can go below 0, costs less then, and is
  ordered back.

The settings `inventory.or_gym` and `inventory.or_gym_network` are without these; `legacy=true` asks
for the classes here. The last observation of a NetworkManagement game is that of its end; OR-Gym
repeats the one before it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from games.common.errors import InputError
from games.inventory.inventory import Inventory
from games.inventory.parameters import PLANNER, QUANTITIES
from games.inventory.period import Flow, State
from games.simulators.simulator import Observation, Role, Spec


@dataclass(frozen=True)
class Logged(State):
    """A state that also knows what OR-Gym shows."""

    log: Tensor  # [B, H, E] of the last H periods: units asked for, or on the way; the latest last


@dataclass(frozen=True, eq=False)
class Legacy(Inventory, ABC):
    """What both games have in common: whole orders of one planner, to whom a log is shown."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.view != PLANNER or self.actions != QUANTITIES or self.look_back:
            raise InputError(
                f'{self.name}: legacy = true has view = "{PLANNER}", actions = "{QUANTITIES}" and '
                "no look_back, as OR-Gym has"
            )

    @cached_property
    def spec(self) -> Spec:
        role = self.shown.spec.roles[0]
        width = self.row(self.begin(1)).shape[1]
        shown = Role(role.name, role.action_space, width)
        return Spec(name=self.name, roles=(shown,), role_of=(0,), num_nodes=1)

    @property
    def differentiable(self) -> bool:
        return False

    def begin(
        self, batch: int, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
    ) -> Logged:
        state = super().begin(batch, device, dtype)
        log = state.on_hand.new_zeros(batch, self.arrays.longest, self.arrays.num_links)
        return Logged(**vars(state), log=log)

    def advance(
        self, state: State, orders: Tensor, *rest: Any, **options: Any
    ) -> tuple[State, Flow]:
        assert isinstance(state, Logged)
        after, flow = super().advance(state, orders, *rest, **options)
        log = torch.cat((state.log[:, 1:], self.entry(state, orders)[:, None]), dim=1)
        return Logged(**{**vars(after), "log": log}), flow

    def observe(self, state: State) -> Observation:
        seen = self.shown.observe(state)
        return replace(seen, nodes=self.row(state)[:, None])

    @abstractmethod
    def entry(self, state: State, orders: Tensor) -> Tensor:
        """[B, E] for the log, of a period that begins with these orders."""

    @abstractmethod
    def row(self, state: State) -> Tensor:
        """[B, F] that OR-Gym shows."""

    def stock(self, state: State) -> Tensor:
        """[B, V] on hand, without customers who wait."""
        k = self.arrays.num_stores
        return torch.cat((state.on_hand[:, :k].clamp_min(0), state.on_hand[:, k:]), dim=1)


class InvManagement(Legacy):
    """A chain; shows stock, then the orders of the last periods, the latest last."""

    def orders(self, state: State, actions: Tensor) -> Tensor:
        return actions.clamp_min(0).trunc()

    def entry(self, state: State, orders: Tensor) -> Tensor:
        return orders

    def row(self, state: State) -> Tensor:
        assert isinstance(state, Logged)
        return torch.cat((self.stock(state), state.log.flatten(1)), dim=1)


class NetworkManagement(Legacy):
    """A network; shows a 0, stock, and of each link all that was on its way in each of as many past
    periods as it has of lead time."""

    def orders(self, state: State, actions: Tensor) -> Tensor:
        return actions.clamp_min(0).round()

    def entry(self, state: State, orders: Tensor) -> Tensor:
        return state.pipeline.sum(dim=2)

    def row(self, state: State) -> Tensor:
        assert isinstance(state, Logged)
        stock = self.stock(state)
        leads = [len(link.lead_times) - 1 for link in self.network.links]
        longest = self.arrays.longest
        ways = [state.log[:, longest - lead :, e] for e, lead in enumerate(leads)]
        return torch.cat((torch.zeros_like(stock[:, :1]), stock, *ways), dim=1)

    def advance(
        self, state: State, orders: Tensor, *rest: Any, **options: Any
    ) -> tuple[State, Flow]:
        after, flow = super().advance(state, orders, *rest, **options)
        k, numbers = self.arrays.num_stores, self.arrays.on(orders.device, orders.dtype)
        change = flow.arrived @ numbers.to_target - flow.shipped @ numbers.taken
        others = (state.on_hand + change)[:, k:]
        saved = F.pad(numbers.holding[k:] * (-others).clamp_min(0), (k, 0))  # on stock below 0
        tally = after.tally - F.pad(saved.sum(1, keepdim=True), (0, 2))
        on_hand = torch.cat((after.on_hand[:, :k], others), dim=1)
        after = replace(after, on_hand=on_hand, tally=tally)
        return after, flow._replace(cost=flow.cost - saved)

    def _ship(self, state: State, asked: Tensor, fits: bool) -> Tensor:
        numbers = self.arrays.on(asked.device, asked.dtype)
        there = torch.minimum(numbers.yields * state.on_hand, numbers.throughput)
        inside = torch.minimum(asked, there @ numbers.at_source)
        return torch.where(numbers.inside > 0, inside, asked)
