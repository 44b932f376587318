"""Inventory rules by name: with the numbers that are given, or tuned for the game when seated.

Tuning is `marl.rules.inventory.tuning.tune`'s, on paths of their own; a rule is so as good as rules
of its kind are, and takes its time (seconds for one store, a minute for a large network).
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
"""What rules are shown and do, whatever learned policies are and do in the same games."""
Numbers = float | tuple[float, ...] | None
"""Of all locations alike, or one for each; None: tuned."""


def in_quantities(game: Any) -> Any:
    """The same network and demand, shown to one planner who says quantities.

    Args:
        game: by name, or an `Inventory`; anything else stays what it is.
    """
    if isinstance(game, Inventory):
        return replace(game, **RULES_SEE)
    if isinstance(game, str) and simulator_of(game) is not None:
        return altered(game, RULES_SEE)
    return game


class ByName:
    """What named rules have in common: frozen dataclasses of numbers, all of them given or none."""

    kind: ClassVar[str]  # in marl.rules.inventory.tuning.RULES
    plays: ClassVar[str] = PLAYS
    made_for: ClassVar[type] = Inventory

    def shown(self, game: Any) -> Any:
        """The game as a rule sees it; see `in_quantities`."""
        return in_quantities(game)

    def for_game(self, game: Any, spec: Spec) -> Actor:
        """The rule in a game.

        Raises:
            InputError: another game or view; some of the numbers alone, or too many; a game for
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
                "them, and the rule is tuned"
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
    """Every location orders up to a level."""

    level: Numbers = None  # units
    kind: ClassVar[str] = "base-stock"


@dataclass(frozen=True)
class CappedBaseStock(ByName):
    """Order up to a level, but never more than a cap."""

    level: Numbers = None  # units
    cap: Numbers = None  # units a period
    kind: ClassVar[str] = "capped base-stock"


@dataclass(frozen=True)
class EchelonStock(ByName):
    """Every location orders so that it and all that it feeds are up to a level together."""

    level: Numbers = None  # units
    kind: ClassVar[str] = "echelon-stock"


@dataclass(frozen=True)
class ReorderPoint(ByName):
    """(s, S): order up to S, the level, once the position is at s, the point, or below it."""

    point: Numbers = None  # units
    level: Numbers = None  # units
    kind: ClassVar[str] = "(s, S)"


@dataclass(frozen=True)
class QuantileNewsvendor(ByName):
    """Stores order up to a quantile of what will be wanted until the next order could help."""

    quantile: Numbers = None  # between 0 and 1
    kind: ClassVar[str] = "quantile newsvendor"


@dataclass(frozen=True)
class Myopic(ByName):
    """Order what is best for the period in which the order arrives."""

    kind: ClassVar[str] = "myopic"


@dataclass(frozen=True)
class PerfectInformation:
    """Order in the knowledge of all demand that comes: no policy costs less on the same paths."""

    plays: ClassVar[str] = PLAYS
    made_for: ClassVar[type] = Inventory

    def shown(self, game: Any) -> Any:
        """The game as a planner sees it; see `in_quantities`."""
        return in_quantities(game)

    def for_game(self, game: Any, spec: Spec) -> Foreseeing:
        """Raises InputError of another game or view."""
        found = made_for(game, Inventory, "perfect-information", PLAYS)
        require_planner(found)
        return Foreseeing(found)


class Foreseeing(Memoryless):
    """Plays games whose seed it was told, so that it knows what will be wanted."""

    def __init__(self, game: Inventory) -> None:
        self.game = game
        self.seed: int | None = None
        self.units = torch.zeros(0)  # [B, T, E]
        self.period = 0

    def foresee(self, seed: int) -> None:
        self.seed = seed

    def start(self, num_envs: int) -> None:
        """Solve one program a game.

        Raises:
            InputError: nobody told the seed; a network whose costs are not linear in its orders.
        """
        if self.seed is None:
            raise InputError(
                f"{self.game.name}: perfect information has to know what comes; "
                "marl.evaluation.episodes.evaluate tells it"
            )
        on = paths(self.game, num_envs, seed=self.seed)
        self.units = perfect_information(self.game, on, ignore=self.game.ignore).units
        self.period = 0

    def act(self, seen: Observation, generator: torch.Generator | None) -> Tensor:
        now = self.units[:, min(self.period, self.units.shape[1] - 1)]
        self.period += 1
        return now.to(seen.nodes)[:, None]
