"""PettingZoo environments as returned by `games.load`."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NoReturn

import torch

from games.adapters.pettingzoo.vector import PettingZooVector
from games.common.errors import GameError, InputError
from games.making import factory_of, make_game
from games.names import PETTINGZOO, altered, parse


@dataclass(frozen=True)
class PettingZooGame:
    """An environment that is made as often as there are games; see `Loaded`."""

    name: str
    make: Callable[[], Any]
    title: str  # what messages about its games call it

    @classmethod
    def of_module(cls, name: str) -> PettingZooGame:
        """Of a name that begins with `pettingzoo:`; InputError if there is no such module."""
        target, given = parse(name)
        module = target.removeprefix(PETTINGZOO)
        make, described = factory_of(module)
        return cls(name, partial(make_game, make, given, name, described), module)

    @property
    def num_agents(self) -> int:
        return self.vector(1).spec.num_agents

    @property
    def num_players(self) -> int:
        return self.num_agents

    def root(self) -> NoReturn:
        raise GameError(
            f"{self.name}: an environment's games cannot be listed, so it has no equilibria to "
            "find; train on it"
        )

    def sequence_form(self, *, node_budget: int = 0, cached: bool = True) -> NoReturn:
        self.root()

    def vector(self, num_envs: int, device: torch.device | str = "cpu") -> PettingZooVector:
        """B copies, stepped on the CPU, whatever `device` says.

        Raises:
            InputError: an environment that cannot be made, or whose spaces no policy takes.
        """
        return PettingZooVector(self.make, num_envs, self.title)

    def simulator(self) -> NoReturn:
        raise InputError(f"{self.name}: a PettingZoo environment is no simulator")

    def reference(self) -> None:
        return None

    def renderer(self) -> None:
        """None: an environment draws itself, see `PettingZooVector.picture`."""
        return None


def drawn(name: str) -> str:
    """The game's name with what makes an environment of PettingZoo's draw."""
    if not name.startswith(PETTINGZOO) or "render_mode" in name:
        return name
    os.environ.setdefault("SDL_VIDEODRIVER", "dummy")  # pygame draws without a screen
    return altered(name, {"render_mode": "rgb_array"})
