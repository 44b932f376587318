"""Actors: they turn observations into actions for all seats, and manage their own memory.

A `Player` plays any game that suits it: a policy, a rule, a planner, a strategy, a person. Seated
in one game it is an `Actor`, which chooses the actions of all agents of B games jointly. A player
that needs a particular view of a game, with the same rules and the same chance, has
`shown(game)`, which returns that view.

Optional members of an actor:

- `can_be_greedy = True`: with generator None it plays its likeliest action; all other actors
  always get a generator.
- `reads_text = True`: it needs `Observation.text`, which games that have it then provide.
- `foresee(seed)`: gets the seed of the games before `start`, so that a planner may know future
  chance outcomes. Only `games.simulators.vector.SimulatorVector.reset` defines what it implies.
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
        """Start `num_envs` new games with empty memory."""

    def act(self, seen: Observation, generator: torch.Generator | None) -> Tensor:
        """Actions [B, N, D]; those of agents that do not act are ignored.

        Args:
            seen: the observation of B games, as many as given to `start`.
            generator: to sample actions with; None: the likeliest ones (see `can_be_greedy` above).
        """

    def forget(self, over: Tensor) -> None:
        """Clear the memory of games that ended and restarted, where `over` [B] bool is true."""


class Player(Protocol):
    """A player of any game that suits it, before it is seated in one."""

    def for_game(self, game: Any, spec: Spec) -> Actor:
        """The player seated in a game.

        Args:
            game: by name, or the game itself.
            spec: of the game.

        Raises:
            InputError: the player does not suit the game; one line says why.
        """


def shown(player: Player, game: Any) -> Any:
    """A game (or the game of a name) in the view that a player needs."""
    own = getattr(player, "shown", None)
    return game if own is None else own(game)


class Memoryless:
    """Base of actors without memory."""

    def start(self, num_envs: int) -> None:
        """Does nothing."""

    def forget(self, over: Tensor) -> None:
        """Does nothing."""


class Uniform(Memoryless):
    """Plays uniformly random legal actions; continuous ones as in `random_actions`."""

    def __init__(self, spec: Spec | None = None) -> None:
        """
        Args:
            spec: of the game; None: it is set by `for_game`.
        """
        self.spec = spec

    def act(self, seen: Observation, generator: torch.Generator | None) -> Tensor:
        assert self.spec is not None, "for_game says what is played"
        return random_actions(self.spec, seen, generator)

    def for_game(self, game: Any, spec: Spec) -> Uniform:
        """The uniform player in another game."""
        return Uniform(spec)
