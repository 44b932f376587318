"""Playing a game out by sampling, for games that are too large to enumerate."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from games.common.errors import InputError, one_line
from games.finite.game import CHANCE, TERMINAL, Game, State
from games.finite.sequence_form import Float64
from games.finite.strategy import Strategy

EPISODES = 2_000

Policy = Any
"""A `Strategy`; or `policy(state, player)`, or an object with
`policy.action_probabilities(state, player)` as OpenSpiel's have, that gives {action: probability}
at a state of `game.root()`."""


class Seat:
    """A policy that plays: a `Strategy` uniformly where it lacks an information set."""

    def __init__(self, name: str, policy: Policy) -> None:
        self.name, self.policy = name, policy
        self.found = self.missed = 0  # information sets met that a strategy has, or lacks
        self.of_state: Any = getattr(policy, "action_probabilities", policy)

    def probabilities(self, state: State, player: int) -> Mapping[int, float]:
        """The policy's probabilities of the actions at a state."""
        if not isinstance(self.policy, Strategy):
            # OpenSpiel's own policies take none but OpenSpiel's own states.
            return self.of_state(getattr(state, "openspiel", state), player)
        try:
            own = self.of_state(state.information_state_string(player), player)
        except KeyError:
            self.missed += 1
            legal = state.legal_actions()
            return dict.fromkeys(legal, 1.0 / len(legal))
        self.found += 1
        return own

    def require_known(self, game: str) -> None:
        """Raise InputError if a strategy has none of the information sets that it met."""
        if self.missed and not self.found:
            raise InputError(
                f"{self.name} is a strategy for {self.policy.game} that has none of the "
                f"information sets met in {game}: use it with its own game"
            )

    def draw(self, state: State, player: int, generator: np.random.Generator) -> int:
        """Sample an action.

        Raises:
            InputError: the policy gave no probabilities, or an action that is not legal.
        """
        own = self.probabilities(state, player)
        if not (min(own.values(), default=-1.0) >= 0 and abs(sum(own.values()) - 1) <= 1e-6):
            given = one_line({action: float(p) for action, p in own.items()})
            raise InputError(f"{self.name}: {given} are not probabilities that add up to 1")
        action = draw(own.items(), generator)
        if action not in state.legal_actions():
            raise InputError(
                f"{self.name} chooses action {action}; legal for player {player} there are "
                f"{state.legal_actions()}"
            )
        return action


def sampled_returns(
    game: Game, seats: Sequence[Seat], generator: np.random.Generator, episodes: int
) -> Float64:
    """Sampled returns [episodes, N] of one policy per player.

    Raises:
        InputError: a policy gave no probabilities, or an action that is not legal.
    """
    played = [_episode(game.root(), seats, generator) for _ in range(episodes)]
    return np.array(played, dtype=np.float64)


def sampled_values(
    game: Game, strategy: Strategy, generator: np.random.Generator, episodes: int = EPISODES
) -> tuple[Float64, Float64]:
    """Mean returns [N] of a strategy against itself, and their standard errors [N].

    Where the strategy lacks an information set, legal actions are equally likely.
    """
    seats = [Seat("the strategy", strategy)] * game.num_players
    returns = sampled_returns(game, seats, generator, episodes)
    return returns.mean(axis=0), returns.std(axis=0, ddof=1) / np.sqrt(episodes)


def _episode(
    state: State, seats: Sequence[Seat], generator: np.random.Generator
) -> Sequence[float]:
    while (player := state.current_player()) != TERMINAL:
        if player == CHANCE:
            action = draw(state.chance_outcomes(), generator)
        else:
            action = seats[player].draw(state, player, generator)
        state = state.child(action)
    return state.returns()


def draw(weights: Iterable[tuple[int, float]], generator: np.random.Generator) -> int:
    """A key of (key, probability) pairs whose probabilities add up to 1 but for rounding."""
    left = generator.random()
    for action, probability in weights:
        left -= probability
        if probability > 0:
            last = action
            if left < 0:
                break
    return last
