"""Strategies of finite games as players, which sample an action at each information set."""

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
    """Plays a strategy of a finite game, in that game."""

    def __init__(self, strategy: Strategy) -> None:
        self.strategy = strategy
        self.game = strategy.game

    def for_game(self, game: Any, spec: Spec) -> StrategyActor:
        """The strategy as an actor in a game, whose information sets it has to contain.

        Raises:
            InputError: a game in which actions are not one choice of several.
        """
        if any(len(role.sizes) != 1 for role in spec.roles):
            raise InputError(
                f"{spec.name}: strategies choose one of several actions; play this one in its "
                f"game, {self.strategy.game}"
            )
        return StrategyActor(self.strategy, spec)


class StrategyActor(Memoryless):
    """A strategy playing; it reads the mover's information set from the observation.

    At information sets that a sampled strategy lacks it plays uniformly.
    """

    can_be_greedy = True
    reads_text = True

    def __init__(self, strategy: Strategy, spec: Spec) -> None:
        self.strategy, self.spec = strategy, spec
        self.sampled = bool((strategy.player == UNKNOWN_PLAYER).any())

    def act(self, seen: Observation, generator: torch.Generator | None) -> Tensor:
        """Actions [B, N, 1] of the agents to move.

        Raises:
            InputError: a game that does not name its information sets, or has others.
        """
        if seen.text is None:
            raise InputError(
                f"{self.spec.name}: does not name its information sets, which a strategy needs"
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
                f"{self.spec.name}: this strategy, for {self.strategy.game}, lacks the "
                f"information set {name!r}"
            ) from None
        if not set(own) <= set(legal):
            raise InputError(
                f"{self.spec.name}: at {name!r} this strategy for {self.strategy.game} has the "
                f"actions {list(own)}; {legal} are legal"
            )
        return own
