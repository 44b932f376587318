"""Records of supply network games, period by period, for pictures and tables."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from games import InputError
from games.finite.sequence_form import Float64
from games.inventory.inventory import Inventory
from games.inventory.period import Flow, State

HOLDING, PENALTY, LINKS, REVENUE = KINDS = ("holding", "penalty", "links", "revenue")


@dataclass(frozen=True, eq=False)
class History:
    """R games of T periods; V locations, K stores, E links."""

    game: Inventory
    on_hand: Float64  # [T, R, V] units when orders are placed
    pipeline: Float64  # [T, R, E, P] units on their way then, the first arrives next
    shipped: Float64  # [T, R, E] units
    demand: Float64  # [T, R, K] units
    unmet: Float64  # [T, R, K] units lost, or waiting after the period
    cost: dict[str, Float64]  # by kind, [T, R, V]
    """Costs of holding, of unmet demand, of links and production (and all else); and revenue,
    which is negative."""

    @property
    def total(self) -> Float64:
        """[T, R] cost of all locations together."""
        return np.sum([each.sum(axis=2) for each in self.cost.values()], axis=0)

    def flows(self, ignore: int = 0) -> Float64:
        """[E] mean units shipped a period, from period `ignore` on."""
        return self.shipped[self._counts(ignore) :].mean(axis=(0, 1))

    def stock(self, ignore: int = 0) -> Float64:
        """[V] mean units on hand when orders are placed; those who wait do not count."""
        return self.on_hand[self._counts(ignore) :].clip(0).mean(axis=(0, 1))

    def by_location(self, ignore: int = 0) -> dict[str, Float64]:
        """[V] mean costs a period by kind."""
        first = self._counts(ignore)
        return {kind: each[first:].mean(axis=(0, 1)) for kind, each in self.cost.items()}

    def visits(self, ignore: int = 0) -> Float64:
        """[M, L] states of a network's only store: on hand, and on its way, next to arrive first.

        Raises:
            InputError: a network of more than one link.
        """
        if self.pipeline.shape[2] != 1:
            raise InputError(
                f"{self.game.name}: has {self.pipeline.shape[2]} links; visits are listed of one "
                "store behind one link"
            )
        first = self._counts(ignore)
        rows = np.concatenate((self.on_hand[first:], self.pipeline[first:, :, 0]), axis=2)
        return rows.reshape(-1, rows.shape[2])

    def _counts(self, ignore: int) -> int:
        if not 0 <= ignore < len(self.shipped):
            raise InputError(
                f"ignore = {ignore} of {len(self.shipped)} periods leaves none that counts; give "
                "less, and at least 0"
            )
        return ignore


@torch.no_grad()
def record(
    game: Inventory,
    orders: Callable[[State], Tensor],
    *,
    games: int = 256,
    periods: int | None = None,
    seed: int = 0,
) -> History:
    """Play games and record them.

    Args:
        game: to be played.
        orders: from a state of B games to the units [B, E] that every link is asked for.
        games: R.
        periods: T; None: the game's own.
        seed: of what is drawn; equal seeds give equal demand, whatever is ordered.

    Raises:
        InputError: as of the game's `reset`; orders of another shape.
    """
    periods = game.periods if periods is None else periods
    game = replace(game, periods=periods, ignore=0, actions="quantities")
    generator = torch.Generator().manual_seed(seed)
    sampler = game.sampler(generator.device)
    state = game.reset(games, generator)
    rows: dict[str, list[np.ndarray]] = {}
    for t in range(periods):
        demand = sampler.draw(state.trace, state.offset + t, generator)
        lead = game._lead(games, generator) if game.arrays.random_leads else None
        asked = orders(state)
        if asked.shape != (games, game.arrays.num_links):
            raise InputError(
                f"orders: shape {tuple(asked.shape)}; {(games, game.arrays.num_links)} is needed, "
                "units by game and link"
            )
        after, flow = game.advance(state, game.orders(state, asked), demand, lead)
        seen = {
            "on_hand": state.on_hand,
            "pipeline": state.pipeline,
            "shipped": flow.shipped,
            "demand": flow.demand,
            "unmet": flow.unmet,
        }
        for name, value in (seen | _kinds(game, state, after, flow)).items():
            rows.setdefault(name, []).append(value.double().numpy())
        state = after
    found = {name: np.stack(each) for name, each in rows.items()}
    return History(game=game, cost={kind: found.pop(kind) for kind in KINDS}, **found)


def _kinds(game: Inventory, state: State, after: State, flow: Flow) -> dict[str, Tensor]:
    """[R, V] of each kind, which sum to the cost."""
    arrays, k = game.arrays, game.arrays.num_stores
    numbers = arrays.on(flow.cost.device, flow.cost.dtype)
    rest = arrays.num_locations - k
    left = after.on_hand
    if not arrays.before_demand:  # what came after demand was not there to be paid for
        left = left - flow.arrived @ numbers.to_target
    holding = numbers.holding * left.clamp_min(0)
    penalty = game.penalty(state) * F.pad(flow.unmet, (0, rest))
    revenue = -game.revenue(state, flow.demand, flow.unmet, after.on_hand)
    links = flow.cost - holding - penalty - revenue
    if not arrays.priced:  # nothing but rounding
        links = torch.zeros_like(links)
    return {HOLDING: holding, PENALTY: penalty, LINKS: links, REVENUE: revenue}
