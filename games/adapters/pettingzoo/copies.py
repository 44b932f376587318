"""One copy of a PettingZoo environment: its position, and errors when it breaks the rules."""

from __future__ import annotations

from collections.abc import Container, Set
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from games.adapters.pettingzoo.drivers import Parallel, Turns, said
from games.common.errors import InputError


@dataclass
class Copy:
    """An environment in play, and its position."""

    env: Parallel | Turns
    name: str  # what messages call it
    generator: np.random.Generator = field(default_factory=np.random.default_rng)  # of its seeds
    seed: int = 0
    steps: int = 0
    live: set[Any] = field(default_factory=set)  # in play
    joined: set[Any] = field(default_factory=set)  # in play now or before

    def broken(self, agent: Any, text: str) -> InputError:
        """The error of an environment that did something wrong to an agent, or to all (None)."""
        who = "" if agent is None else f"{agent}: "
        return InputError(
            f"{self.name}: {who}at step {self.steps} {text} (seed {self.seed}); fix the environment"
        )

    def raised(self, error: Exception) -> InputError:
        """The error of an environment that raised one."""
        return InputError(
            f"{self.name}: at step {self.steps} (seed {self.seed}) the environment raised "
            f"{said(error)}"
        )

    def require_known(self, what: str, agents: Set[Any], known: Container[Any]) -> None:
        """Raises InputError if something names an agent that possible_agents does not."""
        if unknown := [agent for agent in agents if agent not in known]:
            raise self.broken(min(unknown, key=str), f"{what} name it but possible_agents does not")
