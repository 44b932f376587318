"""Rules for common-payoff games: the best joint choices, and those of agents who doubt the others.

An agent that learns while the others still explore learns what is best against them on average,
which need not be a part of what is best together: relative overgeneralisation (Wiegand, "An
analysis of cooperative coevolutionary algorithms", 2003; Panait, Luke and Wiegand 2006).
`BestOnAverage` plays so.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from games.cooperation.common_payoff import CommonPayoff
from games.simulators.simulator import Observation, Spec
from marl.evaluation.actors import Memoryless
from marl.rules.suits import made_for

PLAYS = "cooperation.matrix(...) and cooperation.two_step"


class Rule(ABC):
    """Base of rules that choose by the stage alone."""

    name: ClassVar[str]
    plays: ClassVar[str] = PLAYS
    made_for: ClassVar[type] = CommonPayoff

    def for_game(self, game: Any, spec: Spec) -> ByStage:
        """The rule in a game; InputError for a game of another kind."""
        found = made_for(game, CommonPayoff, self.name, PLAYS)
        after, chosen = np.zeros(found.stages + 1), np.zeros((found.stages, found.agents), np.int64)
        for stage in reversed(range(found.stages)):
            pays = found.joint_values(after, stage)
            joint = self.choose(pays)
            chosen[stage], after[stage] = joint, pays[joint]
        return ByStage(found, chosen)

    @abstractmethod
    def choose(self, pays: NDArray[np.float64]) -> tuple[int, ...]:
        """The joint choice, given what each one pays until the end [A1, ..., AN]."""


@dataclass(frozen=True)
class Optimal(Rule):
    """The best joint choices, which all agents agree on; the first of several."""

    name: ClassVar[str] = "optimal"

    def choose(self, pays: NDArray[np.float64]) -> tuple[int, ...]:
        return tuple(int(k) for k in np.unravel_index(pays.argmax(), pays.shape))


@dataclass(frozen=True)
class BestOnAverage(Rule):
    """Every agent's best choice if all others chose at random: the trap of climbing games."""

    name: ClassVar[str] = "best-on-average"

    def choose(self, pays: NDArray[np.float64]) -> tuple[int, ...]:
        agents = range(pays.ndim)
        means = (pays.mean(axis=tuple(j for j in agents if j != i)) for i in agents)
        return tuple(int(mean.argmax()) for mean in means)


class ByStage(Memoryless):
    """Plays joint choices [S, N] of the stages."""

    def __init__(self, game: CommonPayoff, chosen: NDArray[np.int64]) -> None:
        self.game, self.chosen = game, torch.as_tensor(chosen)

    def act(self, seen: Observation, generator: torch.Generator | None) -> Tensor:
        stage = seen.nodes[:, 0, : self.game.stages].argmax(dim=1)
        return self.chosen.to(stage.device)[stage][..., None]
