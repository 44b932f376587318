"""Small random game trees of perfect recall, for oracles that enumerate everything."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np

from games import SequenceForm
from games.finite.enumerate import enumerate_game
from games.finite.game import CHANCE, TERMINAL
from games.finite.reduced import num_reduced


@dataclass(frozen=True)
class Rules:
    """Who moves at each depth, with how many actions, and who sees it."""

    movers: tuple[int, ...]
    actions: tuple[int, ...]
    seen: np.ndarray  # [depth, player]
    chance: tuple[np.ndarray, ...]
    payoffs: np.ndarray  # [actions..., players]


@dataclass(frozen=True)
class Node:
    rules: Rules
    moves: tuple[int, ...] = ()

    def current_player(self) -> int:
        return (
            self.rules.movers[len(self.moves)]
            if len(self.moves) < len(self.rules.movers)
            else TERMINAL
        )

    def chance_outcomes(self):
        return list(enumerate(self.rules.chance[len(self.moves)].tolist()))

    def legal_actions(self):
        return list(range(self.rules.actions[len(self.moves)]))

    def child(self, action: int) -> Node:
        return Node(self.rules, (*self.moves, action))

    def information_state_string(self, player: int) -> str:
        known = [
            str(m) if self.rules.seen[d, player] or self.rules.movers[d] == player else "?"
            for d, m in enumerate(self.moves)
        ]
        return f"{player}:{len(self.moves)}:{''.join(known)}"

    def action_to_string(self, player: int, action: int) -> str:
        return "abcdef"[action]

    def returns(self):
        return self.rules.payoffs[self.moves].tolist()


def random_tree(
    seed: int, *, players: int = 2, chance: bool = False, depth: int = 4, integers: bool = False
) -> SequenceForm:
    """Every play has `depth` moves; with chance it makes the first and perhaps later ones."""
    rng = np.random.default_rng(seed)
    movers = [int(m) for m in rng.permutation(np.arange(depth) % players)]
    if chance:
        movers[0] = CHANCE
    actions = tuple(int(n) for n in rng.integers(2, 4, depth))
    draw = (
        rng.integers(-2, 4, (*actions, players))
        if integers
        else rng.normal(size=(*actions, players))
    )
    seen = rng.random((depth, players)) < 0.5
    if chance:
        seen[0] = np.arange(players) == rng.integers(players)  # somebody sees what it did
    rules = Rules(
        movers=tuple(movers),
        actions=actions,
        seen=seen,
        chance=tuple(rng.dirichlet(np.ones(n)) for n in actions),
        payoffs=draw.astype(float),
    )
    return enumerate_game(Node(rules), f"random tree {seed}", players, 10_000)


@functools.cache
def small_tree(number: int, *, most: int, **options) -> SequenceForm:
    """The tree `number` among those whose normal form has 12 to `most` profiles."""
    seed, left = 0, number
    while True:
        compiled = random_tree(seed, integers=seed % 2 == 1, **options)
        seed += 1
        if 12 <= math.prod(num_reduced(p) for p in compiled.players) <= most:
            if left == 0:
                return compiled
            left -= 1
