"""Supply networks as a simulator: stock, orders on their way, demand, and what all of it costs.

A period, as in Alvo, Russo and Kanoria, "Deep reinforcement learning for inventory networks"
(arXiv 2306.11246): the state is seen; every link ships; demand is met from stock; costs are
counted; goods whose lead time is over arrive. So an order placed in period t with lead time L can
be used in period t + L. Everything is a sum, a minimum or a product of tensors, so that the
gradient of the cost reaches every order.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from games.errors import InputError, did_you_mean
from games.inventory import views
from games.inventory.demand import Sampler, Traces
from games.inventory.layout import Layout
from games.inventory.network import SupplyNetwork
from games.simulator import Observation, Spec, Step

SHARES, QUANTITIES = ACTIONS = ("shares", "quantities")
TALLY = 3  # cost, units not met, units wanted


@dataclass(frozen=True)
class State:
    """B games of V locations, the first K of them stores, and E links.

    P is the number of orders on their way that a link can have when orders are placed: the longest
    lead time less 1, or that lead time itself where goods arrive before demand.
    """

    on_hand: Tensor  # [B, V] float32 units before orders; below 0: customers who wait
    pipeline: Tensor  # [B, E, P] float32 units on their way; the first arrives next
    owed: Tensor  # [B, E] float32 units of orders that wait at their source; E = 0 if none can
    past: Tensor  # [B, K, W] float32 units wanted in the last W periods, the latest last
    tally: Tensor  # [B, 3] float32 cost, units not met and units wanted, of periods that count
    trace: Tensor  # [B] int64 which trace of demand the game follows
    offset: Tensor  # [B] int64 where in it, or in the season, the game began
    period: Tensor  # [B] int64


class Flow(NamedTuple):
    """What happened in a period."""

    shipped: Tensor  # [B, E] units that left their source
    arrived: Tensor  # [B, E] units that came to their target
    demand: Tensor  # [B, K] units wanted
    unmet: Tensor  # [B, K] units lost in the period, or waiting after it
    cost: Tensor  # [B, V] of each location, revenue taken off


@dataclass(frozen=True, eq=False)
class Inventory:
    """Locations that order goods of each other, for customers whose demand is not known.

    Actions: one real number a link, either a *quantity* asked for, or a *share*, which is made a
    quantity so that any number is a fair order: of what an outside supplier has,
    mean flow * softplus(x + 1) / softplus(1), so that 0 orders what flows on average; of what a
    location has, exp(x) / (1 + sum of exp) of its stock on hand over all links that leave it, the 1
    being what it keeps (and missing where it cannot keep anything).

    The rewards of a period are its costs, negative; revenue counts the other way. A game is
    truncated after `periods`. The info at its end, [B] float32 each: `cost`, a period, all
    locations together, and `fill_rate`, the share of demand that was met at once; both over the
    periods from `ignore` on.

    Raises:
        InputError: a parameter out of its range.
    """

    network: SupplyNetwork
    name: str = "inventory"
    periods: int = 50
    ignore: int = 0  # periods at the start that do not count in the info
    view: Literal["planner", "graph", "locations"] = "planner"
    """Who acts: one planner, to whom everything is shown in one row or as a graph; or every
    location, for the links that lead to it."""
    actions: Literal["shares", "quantities"] = "shares"
    look_back: int = 0  # W periods of past demand that are shown
    start: float = 0.0  # stores begin with up to so many periods' mean demand, drawn evenly, more
    traces: int | None = None  # play this many traces of demand again and again; None: ever new
    trace_seed: int = 0
    team: bool = False  # whether every location is paid the mean of all costs, or its own
    discount: float = 1.0  # of a period's rewards from one to the next
    options: dict = field(default_factory=dict)  # of the setting, for those who look up its answer

    def __post_init__(self) -> None:
        for name, known in (("view", views.VIEWS), ("actions", ACTIONS)):
            given = getattr(self, name)
            if given not in known:
                raise InputError(
                    f"{self.name}: unknown {name} {given!r}: {did_you_mean(str(given), known)}"
                )
        for name, least in (("periods", 1), ("ignore", 0), ("look_back", 0), ("traces", 1)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise InputError(f"{self.name}: {name} is {value}; give at least {least}")
        if self.ignore >= self.periods:
            raise InputError(
                f"{self.name}: ignore = {self.ignore} of {self.periods} periods leaves none that "
                "counts; give less"
            )
        if self.start < 0 or not 0 < self.discount <= 1:
            raise InputError(f"{self.name}: give start >= 0 and 0 < discount <= 1")

    @cached_property
    def spec(self) -> Spec:
        return views.spec(self)

    @property
    def differentiable(self) -> bool:
        return True

    @cached_property
    def layout(self) -> Layout:
        """The network as arrays."""
        return Layout.of(self.network)

    def reset(self, batch: int, generator: torch.Generator) -> State:
        """New games, on the generator's device.

        Raises:
            InputError: traces that are shorter than a game.
        """
        trace, offset = self.sampler(generator.device).begin(batch, self.periods, generator)
        state = self.begin(batch, device=generator.device)
        state = replace(state, trace=trace, offset=offset)
        if self.start:
            numbers = self.layout.on(generator.device, torch.float32)
            k = self.layout.num_stores
            share = torch.rand(batch, k, generator=generator, device=generator.device)
            more = F.pad(share * numbers.mean * self.start, (0, self.layout.num_locations - k))
            state = replace(state, on_hand=state.on_hand + more)
        if self.look_back:
            state = replace(state, past=self._before(batch, generator))
        return state

    def begin(
        self,
        batch: int,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> State:
        """Games with the network's stock on hand and nothing on its way."""
        layout = self.layout
        zero = torch.zeros((), dtype=dtype, device=device)
        whole = torch.zeros(batch, dtype=torch.int64, device=device)
        return State(
            on_hand=layout.on(device, dtype).stock.expand(batch, -1),
            pipeline=zero.expand(batch, layout.num_links, layout.pipeline),
            owed=zero.expand(batch, layout.num_links if layout.owes else 0),
            past=zero.expand(batch, layout.num_stores, self.look_back),
            tally=zero.expand(batch, TALLY),
            trace=whole,
            offset=whole,
            period=whole,
        )

    def step(self, state: State, actions: Tensor, generator: torch.Generator) -> tuple[State, Step]:
        """Play actions [B, N, D]: [B, 1, E] of a planner; of locations, links in their order."""
        sampler = self.sampler(generator.device)
        demand = sampler.draw(state.trace, state.offset + state.period, generator)
        lead = self._lead(len(demand), generator) if self.layout.random_leads else None
        orders = self.orders(state, views.by_link(self, actions))
        after, flow = self.advance(state, orders, demand, lead)
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
        return views.observe(self, state)

    def orders(self, state: State, actions: Tensor) -> Tensor:
        """Quantities [B, E] asked for, of actions [B, E]; see the class's docstring."""
        if self.actions == QUANTITIES:
            return actions.clamp_min(0)
        layout, numbers = self.layout, self.layout.on(actions.device, actions.dtype)
        outside = None
        if layout.has_outside:
            outside = F.softplus(actions + 1) * numbers.order_scale  # 0 where the source is inside
            if not layout.has_inside:
                return outside
        weight = actions.clamp(-20, 20).exp() * numbers.inside
        rivals = torch.addmm(numbers.keeps, weight, numbers.same_source)
        inside = weight / rivals * (state.on_hand.clamp_min(0) @ numbers.at_source)
        return inside if outside is None else inside + outside

    def advance(
        self, state: State, orders: Tensor, demand: Tensor, lead: Tensor | None = None
    ) -> tuple[State, Flow]:
        """One period, in the dtype of the state.

        Args:
            orders: [B, E] units asked for, at least 0.
            demand: [B, K] units.
            lead: [B, E] int64 periods that what is shipped now takes; None: as the network says,
                where it says one number.
        """
        layout = self.layout
        numbers = layout.on(orders.device, orders.dtype)
        asked = orders + state.owed if layout.owes else orders
        shipped = self._ship(state, asked)
        stock = state.on_hand
        if layout.has_inside:
            stock = stock - shipped @ numbers.taken
        arrived, pipeline = self._travel(state.pipeline, shipped, lead)
        if layout.before_demand:
            stock = stock + self._into(arrived, numbers.to_target)
        rest = layout.num_locations - layout.num_stores
        net = stock - (F.pad(demand, (0, rest)) if rest else demand)
        over = net.clamp_min(0)
        short = over - net  # [B, V], 0 but at stores
        cost = numbers.holding * over + numbers.penalty * short
        unmet = short[:, : layout.num_stores] if rest else short
        if layout.priced:
            cost = cost + self._prices(state, demand, unmet, shipped, pipeline)
        on_hand = (
            over if layout.all_lost else net if layout.all_wait else over - numbers.waits * short
        )
        if not layout.before_demand:
            on_hand = on_hand + self._into(arrived, numbers.to_target)
        past = state.past
        if self.look_back:
            past = torch.cat((past[..., 1:], demand[..., None]), dim=2)
        with torch.no_grad():
            late = torch.minimum(unmet, demand)  # not what has waited for longer
            row = torch.stack((cost.sum(1), late.sum(1), demand.sum(1)), dim=1)
            if self.ignore:
                row = row * (state.period >= self.ignore)[:, None]
            tally = state.tally + row
        after = State(
            on_hand=on_hand,
            pipeline=pipeline,
            owed=asked - shipped if layout.owes else state.owed,
            past=past,
            tally=tally,
            trace=state.trace,
            offset=state.offset,
            period=state.period + 1,
        )
        return after, Flow(shipped, arrived, demand, unmet, cost)

    def sampler(self, device: torch.device) -> Sampler:
        """What draws demand there."""
        if device not in self._samplers:
            made = self.network.demand.sampler(self.layout.num_stores, device)
            if self.traces is not None:
                made = Traces(self.network.demand, self._table(self.traces).to(device), False)
            self._samplers[device] = made
        return self._samplers[device]

    @cached_property
    def _samplers(self) -> dict[torch.device, Sampler]:
        return {}

    def demand(self, batch: int, periods: int, generator: torch.Generator) -> Tensor:
        """Traces of demand [B, T, K] float32, as games of that many periods would meet it."""
        sampler = self.sampler(generator.device)
        trace, offset = sampler.begin(batch, periods, generator)
        return torch.stack(
            [sampler.draw(trace, offset + t, generator) for t in range(periods)], dim=1
        )

    def _table(self, count: int) -> Tensor:
        """[R, T, K] traces, the same on every device."""
        fresh = replace(self, traces=None)
        return fresh.demand(count, self.periods, torch.Generator().manual_seed(self.trace_seed))

    def _before(self, batch: int, generator: torch.Generator) -> Tensor:
        """[B, K, W] demand before the first period, as if the same process had been at work."""
        return self.demand(batch, self.look_back, generator).transpose(1, 2)

    def _ship(self, state: State, asked: Tensor) -> Tensor:
        """[B, E] units that leave, no more than there are and than links and locations take."""
        layout, numbers = self.layout, self.layout.on(asked.device, asked.dtype)
        if layout.link_capacity:
            asked = torch.minimum(asked, numbers.capacity)
        if not layout.has_inside or (self.actions == SHARES and layout.shares_fit):
            return asked
        there = numbers.yields * state.on_hand.clamp_min(0)
        if layout.throughput:
            there = torch.minimum(there, numbers.throughput)
        wanted = (asked * numbers.inside) @ numbers.from_source  # [B, V]
        share = (there / wanted.clamp_min(1e-30)).clamp_max(1)
        return asked * (share @ numbers.at_source + numbers.outside)

    def _travel(
        self, pipeline: Tensor, shipped: Tensor, lead: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """What arrives [B, E], and what is on its way then [B, E, P]."""
        layout = self.layout
        if layout.even_leads:  # all orders take the longest lead time: a queue
            if not layout.pipeline:
                return shipped, pipeline
            return pipeline[..., 0], torch.cat((pipeline[..., 1:], shipped[..., None]), dim=2)
        if lead is None:
            place = layout.on(shipped.device, shipped.dtype).place  # [E, P + 1]
        else:
            place = F.one_hot(lead - layout.first_lead, layout.pipeline + 1).to(shipped.dtype)
        row = F.pad(pipeline, (0, 1)) + shipped[..., None] * place
        return row[..., 0], row[..., 1:]

    def _into(self, arrived: Tensor, to_target: Tensor) -> Tensor:
        """[B, V] of what arrives [B, E]."""
        return arrived if self.layout.one_each else arrived @ to_target

    def _prices(
        self, state: State, demand: Tensor, unmet: Tensor, shipped: Tensor, pipeline: Tensor
    ) -> Tensor:
        """[B, V] costs of links and of making goods, less revenue."""
        layout, numbers = self.layout, self.layout.on(shipped.device, shipped.dtype)
        cost = (shipped * numbers.link_cost) @ numbers.to_target - shipped @ numbers.earned
        if layout.pays_transit:
            cost = cost + (pipeline.sum(2) * numbers.transit) @ numbers.to_target
        if layout.sells:
            waiting = (-state.on_hand[:, : layout.num_stores]).clamp_min(0)
            sold = demand + waiting - unmet  # customers who waited pay once they are served
            revenue = sold * numbers.price
            cost = cost - F.pad(revenue, (0, layout.num_locations - layout.num_stores))
        return cost

    def _lead(self, batch: int, generator: torch.Generator) -> Tensor:
        """[B, E] int64 lead times of what is shipped now; orders may overtake each other."""
        chances = self.layout.on(generator.device, torch.float32).lead_chances  # [E, ...]
        drawn = torch.multinomial(chances, batch, replacement=True, generator=generator)
        return drawn.T
