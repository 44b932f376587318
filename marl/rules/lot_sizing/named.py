"""Lot-sizing's rules by name: made for the game once they are seated."""

from __future__ import annotations

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


class ByName:
    """What named rules have in common."""

    name: ClassVar[str]
    plays: ClassVar[str] = PLAYS
    made_for: ClassVar[type] = LotSizing

    def for_game(self, game: Any, spec: Spec) -> Actor:
        """The rule in a game; raises InputError of another one."""
        return self.seated(made_for(game, LotSizing, self.name, PLAYS))

    def seated(self, game: LotSizing) -> Actor:
        raise NotImplementedError


@dataclass(frozen=True)
class Idle(ByName):
    """No machine makes anything."""

    name: ClassVar[str] = "idle"

    def seated(self, game: LotSizing) -> Actor:
        return rules.Idle(game)


@dataclass(frozen=True)
class KeepSetup(ByName):
    """Every machine makes what it is set up for, for ever: no set-up is paid."""

    name: ClassVar[str] = "keep-setup"

    def seated(self, game: LotSizing) -> Actor:
        return rules.KeepSetup(game)


@dataclass(frozen=True)
class Static(ByName):
    """Every machine makes one item, or nothing, for ever: the best such assignment."""

    name: ClassVar[str] = "static"

    def seated(self, game: LotSizing) -> Actor:
        return rules.Static(game)


@dataclass(frozen=True)
class Plan(ByName):
    """Play in the knowledge of all demand, by plans that were made before each game."""

    seconds: float = 60.0  # for each program
    window: int | None = None  # periods of a program; None: all of them, or 12 of a long game
    keep: int = 5  # periods of each window that are kept
    name: ClassVar[str] = "plan"

    def seated(self, game: LotSizing) -> Actor:
        return Foreseeing(game, self)


class Foreseeing(Memoryless):
    """Plays games whose seed it was told, so that it knows what will be wanted."""

    def __init__(self, game: LotSizing, options: Plan) -> None:
        self.game, self.options = game, options
        self.seed: int | None = None
        self.planned: rules.Planned | None = None

    def foresee(self, seed: int) -> None:
        self.seed = seed

    def start(self, num_envs: int) -> None:
        """Make a plan for every game; raises InputError where nobody told the seed."""
        if self.seed is None:
            raise InputError(
                f"{self.game.spec.name}: plan has to know what comes; "
                "marl.evaluation.episodes.evaluate tells it"
            )
        options = asdict(self.options)
        if self.options.window is None and self.game.periods > LONGEST:
            options["window"] = WINDOW
        self.planned, _ = plan.plan_all(self.game, num_envs, self.seed, **options)

    def act(self, seen: Observation, generator: torch.Generator | None) -> Tensor:
        assert self.planned is not None, "start comes first"
        return self.planned.act(seen, generator)
