"""Inventory rules by name, with given parameters or tuned for the game when seated.

Tuning is by `marl.rules.inventory.tuning.tune`, on separate sample paths, so that a rule is about
as good as its kind can be; it takes seconds for one store, a minute for a large network.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from games.common.errors import InputError
from games.inventory.inventory import QUANTITIES, Inventory
from games.inventory.views import PLANNER
from games.names import altered
from games.simulators.simulator import Observation, Spec
from marl.evaluation.actors import Actor, Memoryless
from marl.rules.inventory.oracle import perfect_information
from marl.rules.inventory.play import paths
from marl.rules.inventory.player import RulePlayer, require_planner
from marl.rules.inventory.tuning import RULES, tune
from marl.rules.suits import made_for, simulator_of

PLAYS = "inventory.SETTING(...)"
RULES_SEE: dict[str, Any] = {"view": PLANNER, "actions": QUANTITIES}
"""The view and the actions of rules, whichever learned policies have in the same games."""
Numbers = float | tuple[float, ...] | None
"""One number for all locations, or one for each; None: tuned."""


def in_quantities(game: Any) -> Any:
    """The same network and demand, in the view of one planner who orders quantities.

    Args:
        game: by name, or an `Inventory`; anything else is returned unchanged.
    """
    if isinstance(game, Inventory):
        return replace(game, **RULES_SEE)
    if isinstance(game, str) and simulator_of(game) is not None:
        return altered(game, RULES_SEE)
    return game


class ByName:
    """Base of named rules: frozen dataclasses of numbers, either all given or none."""

    kind: ClassVar[str]  # in marl.rules.inventory.tuning.RULES
    plays: ClassVar[str] = PLAYS
    made_for: ClassVar[type] = Inventory

    def shown(self, game: Any) -> Any:
        """The game as a rule sees it; see `in_quantities`."""
        return in_quantities(game)

    def for_game(self, game: Any, spec: Spec) -> Actor:
        """The rule in a game.

        Raises:
            InputError: another game or view; only some of the numbers, or too many; a game for
                which the rule cannot be tuned.
        """
        found = made_for(game, Inventory, self.kind, PLAYS)
        require_planner(found)
        numbers = {f.name: getattr(self, f.name) for f in fields(self)}  # type: ignore[arg-type]
        given = {name: value for name, value in numbers.items() if value is not None}
        if not given:
            return RulePlayer(found, tune(found, self.kind).rule)
        if missing := [name for name in numbers if name not in given]:
            raise InputError(
                f"{self.kind}: {missing[0]} is missing: give {' and '.join(numbers)}, or none of "
                "them to have the rule tuned"
            )
        first = RULES[self.kind].guess(found)
        count = found.arrays.num_stores if "quantile" in given else found.arrays.num_locations
        told = {name: self._each(name, value, count) for name, value in given.items()}
        return RulePlayer(found, first.but(told))

    def _each(self, name: str, value: Any, count: int) -> Tensor:
        each = torch.as_tensor(value, dtype=torch.float32)
        if each.dim() and len(each) != count:
            raise InputError(
                f"{self.kind}: {name} has {len(each)} numbers; give 1 for all, or {count}"
            )
        return each.expand(count).clone()


@dataclass(frozen=True)
class BaseStock(ByName):
    """Base stock: every location orders up to a level."""

    level: Numbers = None  # units
    kind: ClassVar[str] = "base-stock"


@dataclass(frozen=True)
class CappedBaseStock(ByName):
    """Capped base stock: order up to a level, but never more than a cap."""

    level: Numbers = None  # units
    cap: Numbers = None  # units a period
    kind: ClassVar[str] = "capped base-stock"


@dataclass(frozen=True)
class EchelonStock(ByName):
    """Echelon stock: order so that a location and all that it feeds reach a level together."""

    level: Numbers = None  # units
    kind: ClassVar[str] = "echelon-stock"


@dataclass(frozen=True)
class ReorderPoint(ByName):
    """(s, S): order up to `level` once the stock position is at or below `point`."""

    point: Numbers = None  # units
    level: Numbers = None  # units
    kind: ClassVar[str] = "(s, S)"


@dataclass(frozen=True)
class QuantileNewsvendor(ByName):
    """Newsvendor: stores order up to a quantile of demand until the next order could arrive."""

    quantile: Numbers = None  # between 0 and 1
    kind: ClassVar[str] = "quantile newsvendor"


@dataclass(frozen=True)
class Myopic(ByName):
    """Myopic: minimise the expected cost of the period in which the order arrives."""

    kind: ClassVar[str] = "myopic"


@dataclass(frozen=True)
class PerfectInformation:
    """Optimal orders with all demand known in advance: a lower bound on the cost of any policy."""

    plays: ClassVar[str] = PLAYS
    made_for: ClassVar[type] = Inventory

    def shown(self, game: Any) -> Any:
        """The game as a planner sees it; see `in_quantities`."""
        return in_quantities(game)

    def for_game(self, game: Any, spec: Spec) -> Foreseeing:
        """The planner in a game; raises InputError for another game or view."""
        found = made_for(game, Inventory, "perfect-information", PLAYS)
        require_planner(found)
        return Foreseeing(found)


class Foreseeing(Memoryless):
    """Plays games whose seed, and so all demand, it knows."""

    def __init__(self, game: Inventory) -> None:
        self.game = game
        self.seed: int | None = None
        self.units = torch.zeros(0)  # [B, T, E]
        self.period = 0

    def foresee(self, seed: int) -> None:
        self.seed = seed

    def start(self, num_envs: int) -> None:
        """Solve one linear program per game.

        Raises:
            InputError: the seed is not known; a network whose costs are not linear in its orders.
        """
        if self.seed is None:
            raise InputError(
                f"{self.game.name}: perfect information needs the games' seed; play it by "
                "marl.evaluation.episodes.evaluate"
            )
        on = paths(self.game, num_envs, seed=self.seed)
        self.units = perfect_information(self.game, on, ignore=self.game.ignore).units
        self.period = 0

    def act(self, seen: Observation, generator: torch.Generator | None) -> Tensor:
        now = self.units[:, min(self.period, self.units.shape[1] - 1)]
        self.period += 1
        return now.to(seen.nodes)[:, None]
