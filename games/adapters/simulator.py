"""Simulators as returned by `games.load`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from games.common.errors import GameError
from games.finite.enumerate import enumerate_game
from games.finite.game import NODE_BUDGET, State
from games.finite.sequence_form import SequenceForm
from games.simulators.pictures import Renderer, renderer
from games.simulators.references import Reference
from games.simulators.simulator import Simulator, Spec
from games.simulators.vector import SimulatorVector


@dataclass(frozen=True)
class SimulatorGame:
    """A shipped or user-defined simulator; see `games.finite.playable.Loaded`.

    A simulator whose game is finite may say so by a method `root()`, which gives the root of its
    tree (`games.finite.game.State`): then it can be solved.
    """

    name: str
    made: Simulator

    @property
    def spec(self) -> Spec:
        return self.made.spec

    @property
    def num_agents(self) -> int:
        return self.spec.num_agents

    @property
    def num_players(self) -> int:
        return self.spec.num_agents

    def root(self) -> State:
        """The root of its tree; GameError if the simulator has none."""
        make = getattr(self.made, "root", None)
        if not callable(make):
            raise GameError(
                f"{self.name}: a simulator's games cannot be listed, so it has no equilibria to "
                "find; train on it, or give it root() -> games.finite.game.State if it is finite"
            )
        return make()

    def sequence_form(self, *, node_budget: int = NODE_BUDGET, cached: bool = True) -> SequenceForm:
        """The compiled game; never kept on disk, since a simulator's code may change.

        Raises:
            UnenumerableGameError: more histories than `node_budget`.
            GameError: a simulator without `root`, or imperfect recall.
        """
        return enumerate_game(self.root(), self.name, self.num_players, node_budget)

    def vector(self, num_envs: int, device: torch.device | str = "cpu") -> SimulatorVector:
        """B games at work on a device."""
        return SimulatorVector(self.made, num_envs, device)

    def simulator(self) -> Simulator:
        return self.made

    def reference(self) -> Reference | None:
        """What the simulator's own `reference()` says; None if it has none."""
        own: Any = getattr(self.made, "reference", None)
        return own() if callable(own) else None

    def renderer(self) -> Renderer | None:
        return renderer(self.made)
