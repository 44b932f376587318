"""Inventory heuristics: orders as functions of the state.

A rule's numbers are tensors, one a location or one a location of every game, so that a whole grid
of them is played at once, and gradients pass wherever the rule has them. All levels are of stock
*positions*: units on hand, in transit and owed, minus backlog.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Literal, Self

import torch
from torch import Tensor

from games.common.errors import InputError
from games.inventory.inventory import Inventory, State
from marl.rules.inventory import horizon
from marl.rules.inventory.allocation import pass_on
from marl.rules.inventory.position import by_link, echelon_position, position


class Rule(ABC):
    """Base of inventory rules; subclasses are frozen dataclasses of tensors."""

    name: ClassVar[str]
    steep: ClassVar[bool] = False  # whether gradients cannot improve it
    whole: ClassVar[tuple[str, ...]] = ()  # parameters for an exhaustive search

    @classmethod
    @abstractmethod
    def guess(cls, game: Inventory) -> Self:
        """A rule with reasonable initial parameters, from the known demand."""

    @abstractmethod
    def asked(self, game: Inventory, state: State) -> Tensor:
        """Orders [B, E] in units, from sources that may keep what is not ordered."""

    def orders(self, game: Inventory, state: State) -> Tensor:
        """Orders [B, E] in units, at least 0; locations that cannot keep stock pass on all.

        Args:
            game: gives the network; with quantities as actions excess orders are rationed.
            state: of B games.
        """
        return pass_on(game, state, self.asked(game, state).to(state.on_hand.dtype))

    @property
    def numbers(self) -> dict[str, Tensor]:
        """The rule's tunable tensors, by name."""
        return {name: value for name, value in vars(self).items() if isinstance(value, Tensor)}

    def but(self, numbers: Mapping[str, Tensor]) -> Self:
        """The rule with other numbers."""
        return replace(self, **numbers)  # type: ignore[type-var]

    def to(self, device: torch.device | str) -> Self:
        """The same rule on another device."""
        return self.but({name: value.to(device) for name, value in self.numbers.items()})

    def unit(self, game: Inventory) -> dict[str, Tensor]:
        """Scale of a tuning step for a parameter: by default the mean flow of a period."""
        flow = torch.as_tensor(game.arrays.flow, dtype=torch.float32)
        return dict.fromkeys(self.numbers, flow)


@dataclass(frozen=True, eq=False)
class BaseStock(Rule):
    """Every location orders up to a level: the optimum of a store whose customers wait.

    Karlin and Scarf (1958). Here by each location's own position, whatever feeds it.
    """

    level: Tensor  # [V] units, or [B, V]

    name = "base-stock"
    whole = ("level",)

    @classmethod
    def guess(cls, game: Inventory) -> Self:
        return cls(horizon.levels(game))

    def asked(self, game: Inventory, state: State) -> Tensor:
        return by_link(game, (self.level - position(game, state)).clamp_min(0))


@dataclass(frozen=True, eq=False)
class CappedBaseStock(Rule):
    """Order up to a level, but never more than a cap.

    Xin (2021), "Understanding the performance of capped base-stock policies in lost-sales inventory
    models", Operations Research 69.
    """

    level: Tensor  # [V] units, or [B, V]
    cap: Tensor  # [V] units a period, or [B, V]

    name = "capped base-stock"
    whole = ("level", "cap")

    @classmethod
    def guess(cls, game: Inventory) -> Self:
        flow = torch.as_tensor(game.arrays.flow, dtype=torch.float32)
        return cls(horizon.levels(game), 1.4 * flow)

    def asked(self, game: Inventory, state: State) -> Tensor:
        short = (self.level - position(game, state)).clamp_min(0)
        return by_link(game, torch.minimum(short, self.cap.clamp_min(0)))


@dataclass(frozen=True, eq=False)
class EchelonStock(Rule):
    """Echelon stock: order so that a location and all that it feeds reach a level together.

    Clark and Scarf (1960), "Optimal policies for a multi-echelon inventory problem": the optimum of
    a serial system. If several locations feed one, its stock is divided among their echelons by
    their mean shares in its supply.
    """

    level: Tensor  # [V] units, or [B, V]

    name = "echelon-stock"

    @classmethod
    def guess(cls, game: Inventory) -> Self:
        return cls(horizon.levels(game, echelon=True))

    def asked(self, game: Inventory, state: State) -> Tensor:
        return by_link(game, (self.level - echelon_position(game, state)).clamp_min(0))


@dataclass(frozen=True, eq=False)
class ReorderPoint(Rule):
    """(s, S): order up to S, once the position is at s or below it.

    Scarf (1960), "The optimality of (S, s) policies in the dynamic inventory problem".
    """

    point: Tensor  # [V] units, or [B, V]: s
    level: Tensor  # [V] units, or [B, V]: S

    name = "(s, S)"
    steep = True
    whole = ("point", "level")

    @classmethod
    def guess(cls, game: Inventory) -> Self:
        level = horizon.levels(game)
        return cls(level - torch.as_tensor(game.arrays.flow, dtype=torch.float32), level)

    def asked(self, game: Inventory, state: State) -> Tensor:
        now = position(game, state)
        short = torch.where(now <= self.point, self.level - now, torch.zeros_like(now))
        return by_link(game, short.clamp_min(0))


@dataclass(frozen=True, eq=False)
class QuantileNewsvendor(Rule):
    """Stores order up to a quantile of demand until the next order could arrive.

    That is demand over the lead time and one period more. Its distribution is the process's own,
    exact for Poisson demand of one mean and for normal demand; or a normal one with the mean and
    deviation of the past that the game shows, as where demand is a series from a file. The quantile
    is penalty / (penalty + holding), the newsvendor's, or is tuned ("fixed quantile" of arXiv
    2306.11246, section 5.4).
    """

    quantile: Tensor | None = None  # [K] between 0 and 1, or [B, K]; None: the newsvendor's
    source: Literal["process", "past"] = "process"

    name = "quantile newsvendor"

    def __post_init__(self) -> None:
        if self.source not in ("process", "past"):
            raise InputError(f"{self.name}: source is {self.source!r}; give process or past")

    @classmethod
    def guess(cls, game: Inventory) -> Self:
        ratio = torch.as_tensor(horizon.ratio(game), dtype=torch.float32)
        return cls(ratio[: game.arrays.num_stores], "past" if game.look_back > 1 else "process")

    def asked(self, game: Inventory, state: State) -> Tensor:
        horizon.require_stores(game, self.name)
        share = horizon.critical(game, state) if self.quantile is None else self.quantile
        share = share.clamp(1e-4, 1 - 1e-4)
        if self.source == "past":
            mean, deviation = horizon.of_past(game, state)
        elif game.network.demand.season is None and not share.requires_grad:
            found = horizon.quantiles(game, share.double().cpu().numpy())
            return self._up_to(game, state, torch.as_tensor(found).to(state.on_hand))
        else:
            mean, deviation = horizon.of_process(game, state)
        level = mean + torch.special.ndtri(share).to(mean.dtype) * deviation
        return self._up_to(game, state, level)

    def _up_to(self, game: Inventory, state: State, level: Tensor) -> Tensor:
        return by_link(game, (level - position(game, state)).clamp_min(0))

    def unit(self, game: Inventory) -> dict[str, Tensor]:
        return {"quantile": torch.full((game.arrays.num_stores,), 0.1)}
