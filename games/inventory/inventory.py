"""The inventory simulator: agents, observations, rewards, and starts and ends of games."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from games.inventory import views
from games.inventory.columns import by_number, padded, times
from games.inventory.demand import Sampler, Traces
from games.inventory.parameters import QUANTITIES, SHARES, Parameters
from games.inventory.period import TALLY, State
from games.simulators.metrics import Metric
from games.simulators.simulator import Observation, Spec, Step

METRICS = (
    Metric("cost", "less", label="cost a period"),
    Metric("fill_rate", low=0, high=1),
)


@dataclass(frozen=True, eq=False)
class Inventory(Parameters):
    """Locations that order goods from each other, for customers with random demand.

    Actions: one real number a link, either a *quantity* asked for, or a *share*, which is made a
    quantity so that any number is a fair order: of what an outside supplier has,
    mean flow * softplus(x + 1) / softplus(1), so that 0 orders what flows on average; of what a
    location has or makes of it, exp(x) / (1 + sum of exp) over all links that leave it, the 1 being
    what it keeps (and missing where it cannot keep anything).

    The rewards of a period are its costs, negative; revenue counts the other way. A game is
    truncated after `periods`. The info at its end, [B] float32 each: `cost`, a period, all
    locations together, and `fill_rate`, the share of demand that was met at once; both over the
    periods from `ignore` on.

    Raises:
        InputError: a parameter out of its range.
    """

    @cached_property
    def spec(self) -> Spec:
        return replace(self.shown.spec, metrics=METRICS)

    @cached_property
    def shown(self) -> views.View:
        """Who sees what of it."""
        return views.of(self)

    @property
    def differentiable(self) -> bool:
        return True

    @property
    def horizon(self) -> int:
        """Steps of every game."""
        return self.periods

    def reset(self, batch: int, generator: torch.Generator) -> State:
        """New games, on the generator's device.

        Raises:
            InputError: traces that are shorter than a game.
        """
        sampler = self.sampler(generator.device)
        trace, offset = sampler.begin(batch, self.periods, generator, self.look_back)
        state = self.begin(batch, device=generator.device)
        state = replace(state, trace=trace, offset=offset)
        if self.start:
            numbers = self.arrays.on(generator.device, torch.float32)
            v, k, p = self.arrays.num_locations, self.arrays.num_stores, self.arrays.pipeline
            width = k + self.arrays.num_links * p
            share = torch.rand(width, batch, generator=generator, device=generator.device).t()
            more = padded(share[:, :k] * (self.start * numbers.mean), v - k)
            sent = share[:, k:].unflatten(1, numbers.begins.shape) * (self.start * numbers.begins)
            state = replace(state, on_hand=state.on_hand + more, pipeline=sent)
        if self.look_back:
            back = [
                sampler.draw(trace, offset - w, generator) for w in range(self.look_back, 0, -1)
            ]
            lines = torch.stack([demand.t() for demand in back], dim=1)  # [K, W, B]
            state = replace(state, past=lines.permute(2, 0, 1))
        return state

    def begin(
        self,
        batch: int,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> State:
        """Games with the network's stock on hand and nothing on its way."""
        arrays = self.arrays
        zero = torch.zeros((), dtype=dtype, device=device)
        whole = torch.zeros(batch, dtype=torch.int64, device=device)
        return State(
            on_hand=arrays.on(device, dtype).stock.expand(batch, -1),
            pipeline=zero.expand(batch, arrays.num_links, arrays.pipeline),
            owed=zero.expand(batch, arrays.num_links if arrays.owes else 0),
            past=zero.expand(batch, arrays.num_stores, self.look_back),
            tally=zero.expand(batch, TALLY),
            trace=whole,
            offset=whole,
            period=whole,
        )

    def step(self, state: State, actions: Tensor, generator: torch.Generator) -> tuple[State, Step]:
        """Play actions [B, N, D]: [B, 1, E] of a planner; of locations, links in their order."""
        sampler = self.sampler(generator.device)
        t = state.period if sampler.steady else state.offset + state.period
        demand = sampler.draw(state.trace, t, generator)
        lead = self._lead(len(demand), generator) if self.arrays.random_leads else None
        orders = self.orders(state, by_number(self.shown.by_link(actions)))
        fits = self.actions == SHARES and self.arrays.shares_fit
        after, flow = self.advance(state, orders, demand, lead, fits)
        cost = flow.cost
        if self.discount < 1:
            cost = cost * (self.discount**state.period)[:, None]
        if self.view != "locations":
            reward = -cost.sum(dim=1, keepdim=True)
        else:
            reward = -cost.mean(dim=1, keepdim=True).expand_as(cost) if self.team else -cost
        over = (after.period >= self.periods)[:, None].expand_as(reward)
        tally = after.tally
        return after, Step(
            reward=reward,
            terminated=torch.zeros_like(over),
            truncated=over,
            info={
                "cost": tally[:, 0] / (self.periods - self.ignore),
                "fill_rate": 1 - tally[:, 1] / tally[:, 2].clamp_min(1e-9),
            },
        )

    def observe(self, state: State) -> Observation:
        return self.shown.observe(state)

    def frame(self, state: State, game: int = 0) -> np.ndarray:
        """A picture of one game, uint8 [H, W, 3]; see `games.inventory.draw.frame`."""
        from games.inventory.draw import frame

        return frame(self, state, game)

    def orders(self, state: State, actions: Tensor) -> Tensor:
        """Quantities [B, E] asked for, of actions [B, E]; see the class's docstring."""
        asked = self._asked(state, actions)
        if not self.whole:
            return asked
        numbers = self.arrays.on(actions.device, actions.dtype)
        slack = 0.5 - (0.5 - 1e-4) * numbers.inside  # down, but for rounding
        return asked + ((asked + slack).floor() - asked).detach()

    def _asked(self, state: State, actions: Tensor) -> Tensor:
        """Before rounding."""
        arrays, numbers = self.arrays, self.arrays.on(actions.device, actions.dtype)
        if self.actions == QUANTITIES:
            return actions.clamp_min(0)
        outer = actions
        if arrays.has_inside:
            outer = actions.t().index_select(0, numbers.outer).t()  # [B, O]
        outside = F.softplus(outer + 1) * numbers.outer_scale
        if not arrays.has_inside:
            return outside
        weight = actions.clamp(-20, 20).exp()
        rivals = times(weight, numbers.leaves, plus=numbers.keeps)  # [B, S]
        inside = weight * times(self.sendable(state) / rivals, numbers.leaves.t())
        if not arrays.has_outside:
            return inside
        return times(outside, numbers.outer_place, plus=inside)

    def sampler(self, device: torch.device) -> Sampler:
        """What draws demand there."""
        if device not in self._samplers:
            made = self.network.demand.sampler(self.arrays.num_stores, device)
            if self.traces is not None:
                made = Traces(self.network.demand, *self._table(self.traces), device, False)
            self._samplers[device] = made
        return self._samplers[device]

    @cached_property
    def _samplers(self) -> dict[torch.device, Sampler]:
        return {}

    def demand(self, batch: int, periods: int, generator: torch.Generator) -> Tensor:
        """Traces of demand [B, T, K] float32, as games of that many periods would meet it."""
        sampler = self.sampler(generator.device)
        return _drawn(sampler, batch, periods, generator, self.look_back)[0]

    def _table(self, count: int) -> tuple[Tensor, Tensor]:
        """[R, W + T, K] traces, the same on every device, with the periods that are looked back;
        and where in the season each of them begins [R] int64."""
        own = torch.Generator().manual_seed(self.trace_seed)
        sampler = self.network.demand.sampler(self.arrays.num_stores, own.device)
        return _drawn(sampler, count, self.look_back + self.periods, own, self.look_back)

    def _lead(self, batch: int, generator: torch.Generator) -> Tensor:
        """[B, E] int64 lead times of what is shipped now; orders may overtake each other."""
        chances = self.arrays.on(generator.device, torch.float32).lead_chances  # [E, ...]
        drawn = torch.multinomial(chances, batch, replacement=True, generator=generator)
        return drawn.T


def _drawn(
    sampler: Sampler, batch: int, periods: int, generator: torch.Generator, shown: int
) -> tuple[Tensor, Tensor]:
    """Demand [B, T, K] float32 of games that begin, and their offsets [B] int64."""
    trace, offset = sampler.begin(batch, periods, generator, shown)
    demand = [sampler.draw(trace, offset + t, generator) for t in range(periods)]
    return torch.stack(demand, dim=1), offset
