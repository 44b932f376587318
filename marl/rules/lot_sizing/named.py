"""Lot-sizing rules by name, made for a game when they are seated in it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from games.common.errors import InputError
from games.lot_sizing.lot_sizing import LotSizing
from games.simulators.simulator import Observation, Spec
from marl.evaluation.actors import Actor, Memoryless
from marl.rules.lot_sizing import plan, rules
from marl.rules.suits import made_for

PLAYS = "lot_sizing(...)"
LONGEST, WINDOW = 20, 12
"""Periods that one program can hold, and those of a window of longer games."""


class ByName(ABC):
    """Base of named rules."""

    name: ClassVar[str]
    plays: ClassVar[str] = PLAYS
    made_for: ClassVar[type] = LotSizing

    def for_game(self, game: Any, spec: Spec) -> Actor:
        """The rule in a game; raises InputError for a game other than lot_sizing."""
        return self.seated(made_for(game, LotSizing, self.name, PLAYS))

    @abstractmethod
    def seated(self, game: LotSizing) -> Actor:
        """The rule's actor in this game."""


@dataclass(frozen=True)
class Idle(ByName):
    """Idle: no machine produces anything."""

    name: ClassVar[str] = "idle"

    def seated(self, game: LotSizing) -> Actor:
        return rules.Idle(game)


@dataclass(frozen=True)
class KeepSetup(ByName):
    """Every machine always makes what it is set up for, without any set-up."""

    name: ClassVar[str] = "keep-setup"

    def seated(self, game: LotSizing) -> Actor:
        return rules.KeepSetup(game)


@dataclass(frozen=True)
class Static(ByName):
    """Every machine always makes the same item, or nothing: the best such assignment."""

    name: ClassVar[str] = "static"

    def seated(self, game: LotSizing) -> Actor:
        return rules.Static(game)


@dataclass(frozen=True)
class Plan(ByName):
    """Optimised plans with all demand known in advance, made before each game."""

    seconds: float = 60.0  # for each program
    window: int | None = None  # periods of a program; None: all of them, or 12 of a long game
    keep: int = 5  # periods of each window that are kept
    name: ClassVar[str] = "plan"

    def seated(self, game: LotSizing) -> Actor:
        return Foreseeing(game, self)


class Foreseeing(Memoryless):
    """Plays games whose seed, and so all demand, it knows."""

    def __init__(self, game: LotSizing, options: Plan) -> None:
        self.game, self.options = game, options
        self.seed: int | None = None
        self.planned: rules.Planned | None = None

    def foresee(self, seed: int) -> None:
        self.seed = seed

    def start(self, num_envs: int) -> None:
        """Make a plan for every game; raises InputError if the seed is not known."""
        if self.seed is None:
            raise InputError(
                f"{self.game.spec.name}: plan needs the games' seed; play it by "
                "marl.evaluation.episodes.evaluate"
            )
        options = asdict(self.options)
        if self.options.window is None and self.game.periods > LONGEST:
            options["window"] = WINDOW
        self.planned, _ = plan.plan_all(self.game, num_envs, self.seed, **options)

    def act(self, seen: Observation, generator: torch.Generator | None) -> Tensor:
        assert self.planned is not None, "start comes first"
        return self.planned.act(seen, generator)
