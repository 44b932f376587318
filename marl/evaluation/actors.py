"""Who plays: what a game shows goes in, actions for all seats come out, memory is its own affair.

A `Player` plays any game that suits it: a policy, a rule, a planner, a strategy, a person. Seated
in one game it is an `Actor`, which is asked for the actions of all agents of B games jointly. A
player that has to be shown a game in a view of its own, with the same rules and the same chance,
has `shown(game)`, which gives that game.

What an actor may have besides, each by its name:

- `can_be_greedy = True`: it knows its likeliest action, which generator None asks for; all others
  are always given a generator.
- `reads_text = True`: it needs `Observation.text`, which games that can give it then do.
- `foresee(seed)`: is told the seed of the games before `start`, so that a planner may know what
  chance will bring. Only `games.simulators.vector.SimulatorVector.reset` says what follows from it.
"""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor

from games.simulators.legal_actions import random_actions
from games.simulators.simulator import Observation, Spec


class Actor(Protocol):
    """Plays all agents of B games of one kind."""

    def start(self, num_envs: int) -> None:
        """B games begin: remember nothing of others."""

    def act(self, seen: Observation, generator: torch.Generator | None) -> Tensor:
        """Actions [B, N, D]; those of agents that do not act are ignored.

        Args:
            seen: by B games, as many as `start` was told.
            generator: of what is drawn; None: play what is likeliest (see `can_be_greedy` above).
        """

    def forget(self, over: Tensor) -> None:
        """The games where `over` [B] bool is true have ended and begun anew."""


class Player(Protocol):
    """Who plays any game that suits."""

    def for_game(self, game: Any, spec: Spec) -> Actor:
        """The player seated in a game.

        Args:
            game: by name, or the game itself.
            spec: of the game.

        Raises:
            InputError: the player does not suit the game; one line says why.
        """


def shown(player: Player, game: Any) -> Any:
    """A game, by name or itself, in the view that a player needs."""
    own = getattr(player, "shown", None)
    return game if own is None else own(game)


class Memoryless:
    """What actors that remember nothing have in common."""

    def start(self, num_envs: int) -> None:
        """There is nothing to be prepared."""

    def forget(self, over: Tensor) -> None:
        """There is nothing to be forgotten."""


class Uniform(Memoryless):
    """Every legal action is equally likely; continuous ones as `random_actions` draws them."""

    def __init__(self, spec: Spec | None = None) -> None:
        """
        Args:
            spec: of the game that is played; None: `for_game` says it.
        """
        self.spec = spec

    def act(self, seen: Observation, generator: torch.Generator | None) -> Tensor:
        assert self.spec is not None, "for_game says what is played"
        return random_actions(self.spec, seen, generator)

    def for_game(self, game: Any, spec: Spec) -> Uniform:
        """The same in another game."""
        return Uniform(spec)
