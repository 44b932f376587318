"""Playing a game out by sampling, for games that are too large to enumerate."""

from __future__ import annotations

import numpy as np

from games.game import CHANCE, TERMINAL, Game
from games.sequence_form import Float64
from games.strategy import Strategy

EPISODES = 2_000


def sampled_values(
    game: Game, strategy: Strategy, generator: np.random.Generator, episodes: int = EPISODES
) -> tuple[Float64, Float64]:
    """Mean returns [N] of a strategy against itself, and their standard errors [N].

    Where the strategy lacks an information set, legal actions are equally likely.
    """
    returns = np.array(
        [_episode(game, strategy, generator) for _ in range(episodes)], dtype=np.float64
    )
    return returns.mean(axis=0), returns.std(axis=0, ddof=1) / np.sqrt(episodes)


def _episode(game: Game, strategy: Strategy, generator: np.random.Generator) -> list[float]:
    state = game.root()
    while (player := state.current_player()) != TERMINAL:
        if player == CHANCE:
            moves, weights = zip(*state.chance_outcomes(), strict=True)
        else:
            try:
                own = strategy.action_probabilities(state.information_state_string(player), player)
                moves, weights = tuple(own), tuple(own.values())
            except KeyError:
                moves = tuple(state.legal_actions())
                weights = (1.0,) * len(moves)
        at = generator.random() * sum(weights)
        state = state.child(
            moves[min(int(np.searchsorted(np.cumsum(weights), at)), len(moves) - 1)]
        )
    return state.returns()
