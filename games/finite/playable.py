"""What every game that `games.load` gives can do, as finite games do it.

Finite games are played through adapters, which stand on torch: they are named here, and imported
when a game is played.
"""

from __future__ import annotations

from typing import Any, Protocol

from games.common.errors import InputError
from games.common.registry import attribute_of
from games.finite.game import Game


class Loaded(Game, Protocol):
    """A game as `games.load` gives it. What it cannot do, it refuses in one line."""

    def vector(self, num_envs: int, device: Any = "cpu") -> Any:
        """B games at work, a `games.simulators.vector.Vector`; a simulator's on that device."""

    def simulator(self) -> Any:
        """The `games.simulators.simulator.Simulator` that it is; InputError if it is none."""

    def reference(self) -> Any:
        """What it costs at best as far as the game itself says, a `Reference`; else None."""

    def renderer(self) -> Any:
        """What draws its states, see `games.simulators.pictures.renderer`; None if nothing does."""


class Playable:
    """Base of finite games: sampled by learners, and neither simulated nor drawn."""

    def vector(self: Any, num_envs: int, device: Any = "cpu") -> Any:
        """B games of it, sampled; on the CPU, whatever `device` says.

        Raises:
            InputError: no games; a game that is too large to be seen by a network.
        """
        return attribute_of("games.adapters.tree:vector_of", "adapter")(self, num_envs)

    def simulator(self: Any) -> Any:
        raise InputError(f"{self.name}: a finite game is no simulator; play it by its vector")

    def reference(self) -> None:
        return None

    def renderer(self) -> None:
        return None
