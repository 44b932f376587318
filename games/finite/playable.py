"""The common interface of loaded games, and its implementation by finite games.

Finite games are played through adapters, which stand on torch: they are named here, and imported
when a game is played.
"""

from __future__ import annotations

from typing import Any, Protocol

from games.common.errors import InputError
from games.common.registry import attribute_of
from games.finite.game import Game


class Loaded(Game, Protocol):
    """A game as returned by `games.load`. What it cannot do raises a one-line InputError."""

    def vector(self, num_envs: int, device: Any = "cpu") -> Any:
        """A `games.simulators.vector.Vector` of B games; a simulator's is on that device."""

    def simulator(self) -> Any:
        """Its `games.simulators.simulator.Simulator`; InputError if it is not one."""

    def reference(self) -> Any:
        """The game's own `Reference`, an optimum or a bound; None if it has none."""

    def renderer(self) -> Any:
        """Its renderer, see `games.simulators.pictures.renderer`; None if it has none."""


class Playable:
    """Base of finite games, which can be sampled, but neither simulated nor drawn."""

    def vector(self: Any, num_envs: int, device: Any = "cpu") -> Any:
        """A vector of B sampled games, always on the CPU.

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
