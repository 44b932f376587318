"""Strategies of finite games as players: probabilities at information sets become actions."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from games.common.errors import InputError
from games.finite.strategy import UNKNOWN_PLAYER, Strategy
from games.simulators.simulator import Observation, Spec
from marl.evaluation.actors import Memoryless


class StrategyPlayer:
    """Plays what a strategy says at every information set, in the game that it is for."""

    def __init__(self, strategy: Strategy) -> None:
        self.strategy = strategy
        self.game = strategy.game

    def for_game(self, game: Any, spec: Spec) -> StrategyActor:
        """The strategy in a game, whose information sets it has to know.

        Raises:
            InputError: a game in which actions are not one choice of several.
        """
        if any(len(role.sizes) != 1 for role in spec.roles):
            raise InputError(
                f"{spec.name}: a strategy chooses one action of several; play it in the finite "
                f"game that it is for, {self.strategy.game}"
            )
        return StrategyActor(self.strategy, spec)


class StrategyActor(Memoryless):
    """A strategy at play; it reads the information set of whoever is to move in what is shown.

    Where a strategy that was found by sampling lacks an information set, it plays uniformly.
    """

    can_be_greedy = True
    reads_text = True

    def __init__(self, strategy: Strategy, spec: Spec) -> None:
        self.strategy, self.spec = strategy, spec
        self.sampled = bool((strategy.player == UNKNOWN_PLAYER).any())

    def act(self, seen: Observation, generator: torch.Generator | None) -> Tensor:
        """Actions [B, N, 1] of those who are to move.

        Raises:
            InputError: a game that does not say its information sets, or has others.
        """
        if seen.text is None:
            raise InputError(
                f"{self.spec.name}: does not say its information sets, by which a strategy plays"
            )
        actions = torch.zeros((*seen.acting.shape, 1), dtype=torch.int64)
        for b, i in seen.acting.nonzero().tolist():
            legal = seen.action_mask[b, i].nonzero()[:, 0].tolist()
            own = self._at(seen.text[b][i], i, legal)
            chances = np.array(list(own.values()))
            if generator is None:
                chosen = int(chances.argmax())
            else:
                draw = float(torch.rand((), generator=generator, dtype=torch.float64))
                below = chances.cumsum() <= draw * chances.sum()
                chosen = min(int(below.sum()), int(chances.nonzero()[0][-1]))
            actions[b, i, 0] = list(own)[chosen]
        return actions

    def _at(self, name: str, player: int, legal: list[int]) -> dict[int, float]:
        try:
            own = self.strategy.action_probabilities(name, player)
        except KeyError:
            if self.sampled:
                return dict.fromkeys(legal, 1.0)
            raise InputError(
                f"{self.spec.name}: information set {name!r} is none of this strategy's, which is "
                f"for {self.strategy.game}"
            ) from None
        if not set(own) <= set(legal):
            raise InputError(
                f"{self.spec.name}: at {name!r} this strategy for {self.strategy.game} has the "
                f"actions {list(own)}; {legal} are legal"
            )
        return own
