"""Gambit's files: `.efg` and `.nfg`, read by pygambit.

Turocy, Gambit, https://gambitproject.org: the formats are documented there.
"""

from __future__ import annotations

import io
import math
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from games.common.errors import GameError, InputError, one_line
from games.common.extras import missing
from games.finite.enumerate import enumerate_game
from games.finite.gambit.depth import TOKEN, require_readable
from games.finite.gambit.text import efg_text, nfg_text
from games.finite.game import CHANCE, NODE_BUDGET, TERMINAL, Game
from games.finite.normal_form import NormalForm
from games.finite.playable import Playable
from games.finite.sequence_form import SequenceForm

STRING = r'"(?:[^"\\]|\\.)*"'
# A player's node up to its information set's label, and that; or any other string.
PERSONAL = re.compile(rf"(p\s*{STRING}\s*\d+\s+\d+\s*)({STRING})?|{STRING}", re.DOTALL)


def pygambit() -> Any:
    """Import pygambit; InputError with the install command if it is missing."""
    try:
        import pygambit as module
    except ImportError:
        raise missing("this needs Gambit", "gambit") from None
    return module


@dataclass(frozen=True, eq=False)
class GambitGame(Playable):
    """A game tree held by Gambit. Payoffs at inner nodes count for all plays through them."""

    name: str
    gambit: Any  # pygambit.Game, a tree

    @property
    def num_players(self) -> int:
        return len(self.gambit.players)

    def root(self) -> GambitState:
        return GambitState(self, self.gambit.root, (0.0,) * self.num_players)

    def sequence_form(self, *, node_budget: int = NODE_BUDGET, cached: bool = True) -> SequenceForm:
        """The compiled game; never kept on disk, since a file may change.

        Raises:
            UnenumerableGameError: more histories than `node_budget`.
            GameError: imperfect recall.
        """
        return enumerate_game(self.root(), self.name, self.num_players, node_budget)

    @cached_property
    def players(self) -> tuple[str, ...]:
        """Their names in the file, or their numbers."""
        return tuple(p.label or f"player {i}" for i, p in enumerate(self.gambit.players))

    @cached_property
    def information_sets(self) -> tuple[tuple[str, ...], ...]:
        """Of each player, by Gambit's number: the label if it is the only such, else the number."""
        names = []
        for player in self.gambit.players:
            labels = [infoset.label for infoset in player.infosets]
            unique = all(labels) and len(set(labels)) == len(labels)
            names.append(tuple(labels if unique else map(str, range(1, len(labels) + 1))))
        return tuple(names)

    def __repr__(self) -> str:
        return f"GambitGame({self.name}: {self.num_players} players)"


class GambitState:
    """A node of a Gambit tree: see `games.finite.game.State`."""

    __slots__ = ("_children", "_node", "_returns", "game")

    def __init__(self, game: GambitGame, node: Any, before: tuple[float, ...]) -> None:
        self.game = game
        self._node = node
        self._children = list(node.children)
        outcome = node.outcome
        if outcome:  # false where the node has none
            players = game.gambit.players
            paid = [float(outcome[player]) for player in players]
            before = tuple(a + b for a, b in zip(before, paid, strict=True))
        self._returns = before

    def current_player(self) -> int:
        if not self._children:
            return TERMINAL
        return CHANCE if self._node.player.is_chance else self._node.player.number

    def chance_outcomes(self) -> list[tuple[int, float]]:
        actions = self._node.infoset.actions
        return [(k, float(action.prob)) for k, action in enumerate(actions)]

    def legal_actions(self) -> list[int]:
        return list(range(len(self._children)))

    def child(self, action: int) -> GambitState:
        return GambitState(self.game, self._children[action], self._returns)

    def information_state_string(self, player: int) -> str:
        return self.game.information_sets[player][self._node.infoset.number]

    def action_to_string(self, player: int, action: int) -> str:
        return list(self._node.infoset.actions)[action].label or str(action)

    def returns(self) -> list[float]:
        return list(self._returns)


def read_efg(path: Path, name: str) -> GambitGame:
    """A game tree from an `.efg` file.

    Raises:
        InputError: no such file, one that Gambit cannot read, or a payoff beyond floats.
    """
    game = _read(_labelled_tree, path)
    if not len(game.players):
        raise InputError(f"{path}: a game without players; name them in the first line")
    try:
        for outcome in game.outcomes:
            for player in game.players:
                float(outcome[player])
    except OverflowError:
        raise _too_large(path) from None
    return GambitGame(name, game)


def read_nfg(path: Path, name: str) -> NormalForm:
    """A matrix game from an `.nfg` file.

    Raises:
        InputError: no such file, one that Gambit cannot read, or a payoff beyond floats.
    """
    try:
        return normal_form_of(_read(_table, path), name)
    except OverflowError:
        raise _too_large(path) from None


def normal_form_of(game: Any, name: str) -> NormalForm:
    """A matrix game from a `pygambit.Game` that is a table."""
    payoffs = np.zeros((*(len(p.strategies) for p in game.players), len(game.players)))
    try:
        payoffs[:] = np.stack([np.array(a, dtype=np.float64) for a in game.to_arrays()], axis=-1)
    except TypeError:  # a profile without an outcome, which pays nothing
        for profile in np.ndindex(payoffs.shape[:-1]):
            if outcome := game[profile]:
                payoffs[profile] = [float(outcome[player]) for player in game.players]
    actions = [[s.label or str(k) for k, s in enumerate(p.strategies)] for p in game.players]
    players = [player.label or f"player {i}" for i, player in enumerate(game.players)]
    return NormalForm.from_payoffs(payoffs, name=name, actions=actions, players=players)


def to_gambit(game: Game) -> Any:
    """A `pygambit.Game` of the same tree (or table), its numbers exact rationals."""
    if isinstance(game, GambitGame):
        return game.gambit
    if isinstance(game, NormalForm):
        return pygambit().read_nfg(io.BytesIO(nfg_text(game).encode()))
    try:
        return _labelled_tree(io.BytesIO(efg_text(game).encode()))
    except ValueError as error:
        raise GameError(f"{game.name}: Gambit cannot take it ({one_line(error)})") from None


def _labelled_tree(file: io.BytesIO) -> Any:
    """What `pygambit.read_efg` returns, in a hundredth of the time where there are many labels.

    Gambit's reader goes through the whole tree for every label that it sets, so that the labels of
    information sets are kept from it, and set when the tree stands.
    """
    labels: list[str | None] = []  # of each player's node, in the order of the file

    def keep(found: re.Match[str]) -> str:
        if found[1] is None:
            return found[0]
        labels.append(found[2])
        return found[1] + ('""' if found[2] else "")

    # Bytes one by one: Gambit says what is wrong with those that are not ASCII.
    text = PERSONAL.sub(keep, file.read().decode("latin-1"))
    require_readable(text)
    game = pygambit().read_efg(io.BytesIO(text.encode("latin-1")))
    nodes = (n for n in game.nodes if not n.is_terminal and not n.player.is_chance)
    for node, label in zip(nodes, labels, strict=True):
        if label and not node.infoset.label:
            node.infoset.label = label[1:-1].replace('\\"', '"')
    return game


def _table(file: io.BytesIO) -> Any:
    """What `pygambit.read_nfg` returns; it makes room for all payoffs before it looks for them."""
    text = file.read()
    if (profiles := _profiles(text.decode("latin-1"))) > len(text):
        raise ValueError(f"the head announces {profiles:,} profiles, more than the file holds")
    return pygambit().read_nfg(io.BytesIO(text))


def _profiles(text: str) -> int:
    """How many combinations of strategies the head of an `.nfg` file announces; 0 if none.

    After the players' names in braces come, in braces again, the numbers of their strategies, or
    for each player the strategies' names in braces.
    """
    groups, depth = 0, 0
    counts: list[int] = []
    for found in TOKEN.finditer(text):
        token = found[0]
        if token == "{":
            depth += 1
            groups += depth == 1
            if groups == 2 and depth == 2:
                counts.append(0)
        elif token == "}":
            depth -= 1
            if groups == 2 and depth == 0:
                return math.prod(counts)
        elif groups == 2 and depth == 1 and token.isdecimal():
            counts.append(int(token))
        elif groups == 2 and depth == 2:
            counts[-1] += 1
    return 0


def _read(reader: Any, path: Path) -> Any:
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    try:
        return reader(io.BytesIO(path.read_bytes()))
    except OSError as error:
        raise InputError(f"{path}: {one_line(error)}") from None
    except InputError:
        raise
    except Exception as error:  # pygambit's parser raises several kinds, C++ ones among them
        raise InputError(f"{path}: Gambit cannot read it ({one_line(error)})") from None


def _too_large(path: Path) -> InputError:
    return InputError(f"{path}: a payoff is too large for a float; scale the payoffs down")
