"""Gambit's files: `.efg` and `.nfg`, read by pygambit and written with exact rationals.

Turocy, Gambit, https://gambitproject.org: the formats are documented there.
"""

from __future__ import annotations

import io
import itertools
import math
import os
import re
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from games.enumerate import enumerate_game
from games.errors import GameError, InputError, UnenumerableGameError, one_line
from games.game import CHANCE, NODE_BUDGET, TERMINAL, Game, State
from games.normal_form import NormalForm
from games.sequence_form import SequenceForm
from games.storage import write_atomically

LARGEST_DENOMINATOR = 10**6
ROUNDING = 1e-9  # of probabilities that are floats and have to add up to one
# What Gambit takes as a label; but no backslash where its reader takes it for something else.
LABEL = re.compile(r"(?! )(?!.*(?:  | $|\\\\|\\\"|\\$))[ -~]+")
STRING = r'"(?:[^"\\]|\\.)*"'
# A player's node up to its information set's label, and that; or any other string.
PERSONAL = re.compile(rf"(p\s*{STRING}\s*\d+\s+\d+\s*)({STRING})?|{STRING}", re.DOTALL)
# A table's head, up to how many strategies each player has.
COUNTS = re.compile(rf"\s*NFG\s+1\s+[RD]\s+{STRING}\s*{{[^}}]*}}\s*{{([\d\s]+)}}", re.DOTALL)
SAFE = "".join(c for c in map(chr, range(32, 127)) if c not in "%|\\")  # in a label beside others


def pygambit() -> Any:
    """The module, or one line that says what to install."""
    try:
        import pygambit as module
    except ImportError:
        raise InputError(
            "this needs Gambit: pip install -c constraints.txt 'schelling[gambit]'"
        ) from None
    return module


@dataclass(frozen=True, eq=False)
class GambitGame:
    """A game tree that Gambit holds. Payoffs at inner nodes count for all plays through them."""

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
    """A node of a Gambit tree: see `games.game.State`."""

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
    payoffs = np.stack([np.array(a, dtype=np.float64) for a in game.to_arrays()], axis=-1)
    actions = [[s.label or str(k) for k, s in enumerate(p.strategies)] for p in game.players]
    players = [player.label or f"player {i}" for i, player in enumerate(game.players)]
    return NormalForm.from_payoffs(payoffs, name=name, actions=actions, players=players)


def to_gambit(game: Game) -> Any:
    """A `pygambit.Game` of the same tree (or table), its numbers exact rationals."""
    if isinstance(game, GambitGame):
        return game.gambit
    if isinstance(game, NormalForm):
        return pygambit().read_nfg(io.BytesIO(nfg_text(game).encode()))
    return _labelled_tree(io.BytesIO(efg_text(game).encode()))


def write_efg(
    game: Game,
    path: str | os.PathLike[str],
    *,
    labels: bool = True,
    node_budget: int = 1_000_000,
) -> None:
    """Write a game tree as an `.efg` file, whole or not at all; see `efg_text`."""
    text = efg_text(game, labels=labels, node_budget=node_budget)
    write_atomically(Path(path), text.encode())


def write_nfg(game: NormalForm, path: str | os.PathLike[str]) -> None:
    """Write a matrix game as an `.nfg` file, whole or not at all."""
    write_atomically(Path(path), nfg_text(game).encode())


def efg_text(
    game: Game, *, comment: str = "", labels: bool = True, node_budget: int = 1_000_000
) -> str:
    """A game tree in Gambit's extensive format.

    Every number is a rational: the simplest one that is equal to the float, if there is one with a
    denominator of at most a million, and else the float itself; the probabilities at a chance node
    add up to exactly one. Information sets carry their names as labels, see `quoted`, unless
    `labels` is false: Gambit's own reader (not `read_efg`) takes time in proportion to histories
    times labels, 40 s for Liar's Dice with five sides.

    Raises:
        UnenumerableGameError: more than `node_budget` histories.
        GameError: the tree has a node that is neither a player's nor chance's, information sets
            that do not fit together, or numbers that cannot be written.
    """
    players = game.players if isinstance(game, GambitGame) else _numbered(game.num_players)
    names = " ".join(map(_quoted, players))
    lines = [f"EFG 2 R {_quoted(game.name)} {{ {names} }}", _quoted(comment)]
    known: list[dict[str, tuple[list[int], str]]] = [{} for _ in players]
    given: list[set[str]] = [set() for _ in players]
    outcomes: dict[str, int] = {}  # terminals that pay the same share one: Gambit reads that faster
    chances = itertools.count(1)
    histories = 0
    stack: list[State] = [game.root()]
    while stack:
        histories += 1
        if histories > node_budget:
            raise UnenumerableGameError(
                f"{game.name}: more than {node_budget:,} histories, too many to write; choose "
                "smaller parameters, or raise node_budget"
            )
        state = stack.pop()
        player = state.current_player()
        if player == TERMINAL:
            payoffs = ", ".join(str(rational(u)) for u in state.returns())
            outcome = outcomes.setdefault(payoffs, len(outcomes) + 1)
            lines.append(f't "" {outcome} "" {{ {payoffs} }}')
            continue
        if player == CHANCE:
            moves = state.chance_outcomes()
            actions = [action for action, _ in moves]
            weights = _probabilities([p for _, p in moves], game.name)
            own = _labels(state, player, actions)
            inside = " ".join(f"{a} {w}" for a, w in zip(own, weights, strict=True))
            lines.append(f'c "" {next(chances)} "" {{ {inside} }} 0')
        elif player >= 0:
            actions = state.legal_actions()
            name = state.information_state_string(player)
            if name not in known[player]:
                label, number = quoted(name), len(known[player]) + 1
                if label in given[player]:
                    raise GameError(
                        f"{game.name}: two information sets of player {player} would both be "
                        f"called {label!r} in the file; rename one of them"
                    )
                given[player].add(label)
                shown = _escaped(label) if labels else ""
                inside = " ".join(_labels(state, player, actions))
                rest = f'{player + 1} {number} "{shown}" {{ {inside} }} 0'
                known[player][name] = (actions, rest)
            legal, rest = known[player][name]
            if actions != legal:
                raise GameError(
                    f"{game.name}: information set {name!r} of player {player} has different legal "
                    "actions at different histories; the game's information states are at fault"
                )
            lines.append(f'p "" {rest}')
        else:
            raise GameError(f"{game.name}: has a node of player {player}, which .efg cannot say")
        stack.extend(state.child(action) for action in reversed(actions))
    return "\n".join(lines) + "\n"


def nfg_text(game: NormalForm, *, comment: str = "") -> str:
    """A matrix game in Gambit's strategic format, its payoffs exact rationals."""
    names = [quoted(p.information_sets[0]) for p in game.form.players if p.information_sets]
    # Not so for the reduced normal form of a tree.
    if len(set(names)) < game.num_players or _in_the_way(names):
        names = _numbered(game.num_players)
    players = " ".join(map(_quoted, names))
    actions = "\n".join(
        "{ " + " ".join(map(_quoted, _different(own))) + " }" for own in game.actions
    )
    # The first player's strategies change fastest.
    payoffs = game.payoffs.reshape(-1, game.num_players, order="F")
    rows = " ".join(str(rational(u)) for u in payoffs.ravel().tolist())
    head = f"NFG 1 R {_quoted(game.name)} {{ {players} }}\n\n{{ {actions}\n}}\n{_quoted(comment)}"
    return f"{head}\n\n{rows}\n"


def rational(number: float) -> Fraction:
    """The simplest fraction that is equal to a float; the float's own if none is simple."""
    if not math.isfinite(number):
        raise GameError(f"a payoff of {number} cannot be written; payoffs have to be finite")
    exact = Fraction(number)
    simple = exact.limit_denominator(LARGEST_DENOMINATOR)
    return simple if float(simple) == number else exact


def quoted(text: str) -> str:
    """A name as Gambit's files can hold it: ASCII, no line breaks, no two spaces in a row.

    A name that is so already stays as it is. In others a line break becomes a bar, and what else
    Gambit refuses is written as in a web address (%C3%BC), so that different names stay different.
    """
    if LABEL.fullmatch(text):
        return text
    if not text:
        return "(empty)"
    lines = [quote(line, safe=SAFE) for line in text.split("\n")]
    return re.sub(r"(?<= ) |^ | $", "%20", " | ".join(lines))


def _quoted(text: str) -> str:
    return f'"{_escaped(quoted(text))}"' if text else '""'


def _escaped(label: str) -> str:
    return label.replace('"', '\\"')


def _probabilities(weights: list[float], name: str) -> list[Fraction]:
    """Fractions that add up to exactly one."""
    fractions = [rational(w) for w in weights]
    excess = sum(fractions, Fraction(-1))
    if abs(excess) > ROUNDING:
        raise GameError(
            f"{name}: probabilities at a chance node add up to {float(1 + excess):.9g}, not to 1"
        )
    if excess:
        # Floats of thirds and the like: rounding of about 1e-16, put on the largest.
        largest = fractions.index(max(fractions))
        fractions[largest] -= excess
    return fractions


def _labels(state: State, player: int, actions: list[int]) -> list[str]:
    return [_quoted(t) for t in _different([state.action_to_string(player, a) for a in actions])]


def _different(names: list[str] | tuple[str, ...]) -> list[str]:
    """Labels of their own: repeated or empty ones, or ones in Gambit's way, get their number."""
    labels = [quoted(t) if t else "" for t in names]
    unfit = len(set(labels)) < len(labels) or not all(labels) or _in_the_way(labels)
    return [f"{k} {t}".strip() for k, t in enumerate(labels)] if unfit else labels


def _in_the_way(labels: list[str]) -> bool:
    """Whether one is the number of a later one, which Gambit has until it gets its own label."""
    return any(t in map(str, range(k + 2, len(labels) + 1)) for k, t in enumerate(labels))


def _numbered(count: int) -> list[str]:
    return [f"player {i}" for i in range(count)]


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
    game = pygambit().read_efg(io.BytesIO(text.encode("latin-1")))
    nodes = (n for n in game.nodes if not n.is_terminal and not n.player.is_chance)
    for node, label in zip(nodes, labels, strict=True):
        if label and not node.infoset.label:
            node.infoset.label = label[1:-1].replace('\\"', '"')
    return game


def _table(file: io.BytesIO) -> Any:
    """What `pygambit.read_nfg` returns; it makes room for all payoffs before it looks for them."""
    text = file.read()
    counts = COUNTS.match(text.decode("latin-1"))
    if counts and (profiles := math.prod(map(int, counts[1].split()))) > len(text):
        raise ValueError(f"the head announces {profiles:,} profiles, more than the file holds")
    return pygambit().read_nfg(io.BytesIO(text))


def _read(reader: Any, path: Path) -> Any:
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    try:
        return reader(io.BytesIO(path.read_bytes()))
    except OSError as error:
        raise InputError(f"{path}: {one_line(error)}") from None
    except Exception as error:  # pygambit's parser raises several kinds, C++ ones among them
        raise InputError(f"{path}: Gambit cannot read it ({one_line(error)})") from None


def _too_large(path: Path) -> InputError:
    return InputError(f"{path}: a payoff is too large for a float; scale the payoffs down")
