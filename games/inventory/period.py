"""The events of a period in a supply network: shipments, sales, costs and arrivals.

As in Alvo, Russo and Kanoria, "Deep reinforcement learning for inventory networks"
(arXiv 2306.11246): the state is seen; every link ships; demand is met from stock; costs are
counted; goods whose lead time is over arrive. So an order placed in period t with lead time L can
be used in period t + L. Everything is a sum, a minimum or a product of tensors, so that the
gradient of the cost reaches every order. In memory, a number's games lie next to each other: see
`games.inventory.columns`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from games.inventory.arrays import NetworkArrays
from games.inventory.columns import padded, pushed, times
from games.inventory.network import SupplyNetwork

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


class Period:
    """The rules of a period; a subclass says of which network, and what is looked back at."""

    network: SupplyNetwork
    look_back: int
    ignore: int

    @cached_property
    def arrays(self) -> NetworkArrays:
        """The network as arrays."""
        return NetworkArrays(self.network)

    def advance(
        self,
        state: State,
        orders: Tensor,
        demand: Tensor,
        lead: Tensor | None = None,
        fits: bool = False,
    ) -> tuple[State, Flow]:
        """One period, in the dtype of the state.

        Args:
            orders: [B, E] units asked for, at least 0. What a location cannot keep is sent on,
                whatever they say.
            demand: [B, K] units.
            lead: [B, E] int64 periods that what is shipped now takes; None: as the network says,
                where it says one number.
            fits: whether no more is asked of any location than it has.
        """
        arrays = self.arrays
        numbers = arrays.on(orders.device, orders.dtype)
        asked = orders + state.owed if arrays.owes else orders
        shipped = self._ship(state, asked, fits)
        stock = state.on_hand
        if arrays.has_inside:
            stock = times(shipped, numbers.taken, less_than=stock)
        arrived, pipeline = self._travel(state.pipeline, shipped, lead)
        if arrays.before_demand:
            stock = stock + self._into(arrived, numbers.to_target)
        rest = arrays.num_locations - arrays.num_stores
        net = stock - padded(demand, rest)
        over = net.clamp_min(0)
        short = over - net  # [B, V], 0 but at stores
        cost = numbers.holding * over + self.penalty(state) * short
        unmet = short[:, : arrays.num_stores] if rest else short
        on_hand = (
            over if arrays.all_lost else net if arrays.all_wait else over - numbers.waits * short
        )
        if not arrays.before_demand:
            on_hand = on_hand + self._into(arrived, numbers.to_target)
        if arrays.priced:
            cost = cost + self._prices(asked, shipped, pipeline)
        if arrays.sells:
            cost = cost - self.revenue(state, demand, unmet, on_hand)
        past = state.past
        if self.look_back:
            past = pushed(past, demand)[1]
        wanted = demand.clamp_min(0)  # what is brought back is no demand
        late = unmet.detach()
        if not arrays.all_lost:
            late = torch.minimum(late, wanted)  # not what has waited for longer
        counted = torch.stack((cost.detach().sum(1), late.sum(1), wanted.sum(1))).t()
        if self.ignore:
            counted = counted * (state.period >= self.ignore)[:, None]
        after = State(
            on_hand=on_hand,
            pipeline=pipeline,
            owed=self._left(asked, shipped) if arrays.owes else state.owed,
            past=past,
            tally=state.tally + counted,
            trace=state.trace,
            offset=state.offset,
            period=state.period + 1,
        )
        return after, Flow(shipped, arrived, demand, unmet, cost)

    def penalty(self, state: State) -> Tensor:
        """Of a unit that is not met: [V], or [B, V] where every trace has its own."""
        numbers = self.arrays.on(state.on_hand.device, state.on_hand.dtype)
        return numbers.trace_penalty[state.trace] if self.arrays.own_penalty else numbers.penalty

    def price(self, state: State) -> Tensor:
        """Of a unit that is sold: [K], or [B, K] where every trace has its own."""
        numbers = self.arrays.on(state.on_hand.device, state.on_hand.dtype)
        return numbers.trace_price[state.trace] if self.arrays.own_price else numbers.price

    def _ship(self, state: State, asked: Tensor, fits: bool) -> Tensor:
        """[B, E] units that leave, no more than there are and than links and locations take."""
        arrays, numbers = self.arrays, self.arrays.on(asked.device, asked.dtype)
        if arrays.link_capacity:
            asked = torch.minimum(asked, numbers.capacity)
        if fits or not arrays.has_inside:
            return asked
        there = self.sendable(state)
        if arrays.throughput:
            there = torch.minimum(there, numbers.sender_throughput)
        wanted = times(asked, numbers.leaves)  # [B, S]
        share = (there / wanted.clamp_min(1e-30)).clamp_max(1)
        shipped = asked * times(share, numbers.leaves.t(), plus=numbers.outside)
        if not arrays.passes_on:
            return shipped
        return torch.where(numbers.passes > 0, self._pass_on(there, asked), shipped)

    def sendable(self, state: State) -> Tensor:
        """[B, S] units that each location from which links leave has, or makes of what it has."""
        arrays, numbers = self.arrays, self.arrays.on(state.on_hand.device, state.on_hand.dtype)
        there = times(state.on_hand, numbers.sends)
        if not arrays.all_lost:  # else nobody waits, and nothing is below 0
            there = there.clamp_min(0)
        return there * numbers.sender_yields if arrays.makes else there

    def _pass_on(self, there: Tensor, asked: Tensor) -> Tensor:
        """[B, E] all that is there [B, S], where it cannot be kept; 0 where it can.

        In proportion to what is asked for, by mean flow if nobody asks. What is more than a link
        takes goes to the source's others, in proportion to the room that they have.
        """
        arrays, numbers = self.arrays, self.arrays.on(asked.device, asked.dtype)
        alike = numbers.same_source
        weight = asked * numbers.passes
        nobody = times(weight, alike) < 1e-30
        weight = torch.where(nobody, numbers.link_flow.clamp_min(1e-9) * numbers.passes, weight)
        here = times(there, numbers.leaves.t())
        sent = weight / times(weight, alike).clamp_min(1e-30) * here
        if arrays.link_capacity:
            most = torch.minimum(numbers.capacity, here) * numbers.passes
            sent = torch.minimum(sent, most)
            room, left = most - sent, here - times(sent, alike)
            sent = sent + room * (left / times(room, alike).clamp_min(1e-30)).clamp(0, 1)
        return sent

    def _left(self, asked: Tensor, shipped: Tensor) -> Tensor:
        """[B, E] units that were asked for and are not shipped."""
        left = asked - shipped
        return left.clamp_min(0) if self.arrays.passes_on else left  # more than asked is sent on

    def _travel(
        self, pipeline: Tensor, shipped: Tensor, lead: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """What arrives [B, E], and what is on its way then [B, E, P]."""
        arrays = self.arrays
        if arrays.even_leads:  # all orders take the longest lead time: a queue
            if not arrays.pipeline:
                return shipped, pipeline
            return pushed(pipeline, shipped)
        if not (arrays.at_once or arrays.random_leads):
            first, others = pipeline.permute(1, 2, 0).split((1, arrays.pipeline - 1), dim=1)
            lines = torch.cat((others, torch.zeros_like(first)), dim=1)
            slot = arrays.on(shipped.device, shipped.dtype).later
            lines = lines.flatten(0, 1).index_add(0, slot, shipped.t()).view_as(lines)
            return first[:, 0].t(), lines.permute(2, 0, 1)
        lines = F.pad(pipeline.permute(1, 2, 0), (0, 0, 0, 1))  # [E, P + 1, B], a copy
        row = lines.permute(2, 0, 1)
        numbers = arrays.on(shipped.device, shipped.dtype)
        if not arrays.random_leads:
            lines.flatten(0, 1).index_add_(0, numbers.slot, shipped.t())
        elif lead is None:
            row = row + shipped[..., None] * numbers.place
        else:
            place = F.one_hot(lead - arrays.first_lead, arrays.pipeline + 1)
            row = row + shipped[..., None] * place
        return row[..., 0], row[..., 1:]

    def _into(self, arrived: Tensor, to_target: Tensor) -> Tensor:
        """[B, V] of what arrives [B, E]."""
        return arrived if self.arrays.one_each else times(arrived, to_target)

    def _prices(self, asked: Tensor, shipped: Tensor, pipeline: Tensor) -> Tensor:
        """[B, V] costs of links and of making goods, less what locations pay each other."""
        arrays, numbers = self.arrays, self.arrays.on(shipped.device, shipped.dtype)
        cost = times(shipped * numbers.link_cost, numbers.to_target)
        cost = cost - times(shipped, numbers.earned)
        if arrays.pays_transit:
            cost = cost + times(pipeline.sum(2) * numbers.transit, numbers.to_target)
        if arrays.pays_short:
            left = self._left(asked, shipped)
            cost = cost + times(left * numbers.link_penalty, numbers.to_target)
        return cost

    def revenue(self, state: State, demand: Tensor, unmet: Tensor, after: Tensor) -> Tensor:
        """[B, V] paid by customers, by those who waited once they are served.

        Args:
            unmet: [B, K] after demand.
            after: [B, V] on hand, once goods have arrived.
        """
        arrays, numbers = self.arrays, self.arrays.on(demand.device, demand.dtype)
        k = arrays.num_stores
        before, waiting = (-stock[:, :k].clamp_max(0) for stock in (state.on_hand, after))
        lost = unmet * (1 - numbers.waits[:k])
        revenue = (demand + before - waiting - lost) * self.price(state)
        return padded(revenue, arrays.num_locations - k)
