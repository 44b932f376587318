"""Common-payoff games as trees, for solvers: agents choose in turn, unseen by the others."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from games.finite.game import TERMINAL


class Stages(Protocol):
    """The tables of a game of S stages; see `games.cooperation.common_payoff.CommonPayoff`."""

    @property
    def titles(self) -> tuple[str, ...]: ...

    @property
    def payoffs(self) -> NDArray[np.float64]: ...

    @property
    def next_stage(self) -> NDArray[np.int64]: ...


@dataclass(frozen=True)
class Node:
    """A node of the tree; see `games.finite.game.State`.

    A player remembers the stages that it saw and its own choices in them.
    """

    game: Stages
    stage: int = 0
    chosen: tuple[int, ...] = ()  # in this stage, by the agents before the one to choose
    played: tuple[tuple[int, tuple[int, ...]], ...] = ()  # earlier stages and their joint choices
    paid: float = 0.0

    def current_player(self) -> int:
        return len(self.chosen) if self.stage < len(self.game.payoffs) else TERMINAL

    def chance_outcomes(self) -> list[tuple[int, float]]:
        return []

    def legal_actions(self) -> list[int]:
        return list(range(self.game.payoffs.shape[1 + len(self.chosen)]))

    def child(self, action: int) -> Node:
        chosen = (*self.chosen, action)
        if len(chosen) < self._agents:
            return replace(self, chosen=chosen)
        at = (self.stage, *chosen)
        return Node(
            self.game,
            stage=int(self.game.next_stage[at]),
            played=(*self.played, (self.stage, chosen)),
            paid=self.paid + float(self.game.payoffs[at]),
        )

    def information_state_string(self, player: int) -> str:
        past = [f"{self._title(stage)}: {joint[player]}" for stage, joint in self.played]
        return f"agent {player}, " + ", ".join([*past, self._title(self.stage)])

    def action_to_string(self, player: int, action: int) -> str:
        return str(action)

    def returns(self) -> list[float]:
        return [self.paid] * self._agents

    @property
    def _agents(self) -> int:
        return self.game.payoffs.ndim - 1

    def _title(self, stage: int) -> str:
        titles = self.game.titles
        alone = titles.count(titles[stage]) == 1
        return titles[stage] if alone else f"{titles[stage]} {stage}"
