"""The uniformly random rule, which plays any game."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from games.simulators.simulator import Spec
from marl.evaluation.actors import Actor
from marl.evaluation.actors import Uniform as AtRandom


@dataclass(frozen=True)
class Uniform:
    """Plays uniformly random legal actions."""

    plays: ClassVar[str] = "any game"

    def for_game(self, game: Any, spec: Spec) -> Actor:
        return AtRandom(spec)
