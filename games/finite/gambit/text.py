"""Writing Gambit's files: `.efg` and `.nfg` with exact rationals, and labels that Gambit takes.

Turocy, Gambit, https://gambitproject.org: the formats are documented there.
"""

from __future__ import annotations

import itertools
import math
import os
import re
from fractions import Fraction
from pathlib import Path
from urllib.parse import quote

from games.common.errors import GameError, UnenumerableGameError
from games.common.storage import write_atomically
from games.finite.game import CHANCE, TERMINAL, Game, State
from games.finite.normal_form import NormalForm

LARGEST_DENOMINATOR = 10**6
ROUNDING = 1e-9  # of probabilities that are floats and have to add up to one
# What Gambit takes as a label; but no backslash where its reader takes it for something else.
LABEL = re.compile(r"(?! )(?!.*(?:  | $|\\\\|\\\"|\\$))[ -~]+")
SAFE = "".join(c for c in map(chr, range(32, 127)) if c not in "%|\\")  # in a label beside others


def write_efg(
    game: Game,
    path: str | os.PathLike[str],
    *,
    labels: bool = True,
    node_budget: int = 1_000_000,
) -> None:
    """Write a game tree atomically as an `.efg` file; see `efg_text`."""
    text = efg_text(game, labels=labels, node_budget=node_budget)
    write_atomically(Path(path), text.encode())


def write_nfg(game: NormalForm, path: str | os.PathLike[str]) -> None:
    """Write a matrix game atomically as an `.nfg` file."""
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
    # A file names its players; other games number them.
    players = getattr(game, "players", None) or _numbered(game.num_players)
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
    """Unique labels: repeated, empty or conflicting ones get their number."""
    labels = [quoted(t) if t else "" for t in names]
    unfit = len(set(labels)) < len(labels) or not all(labels) or _in_the_way(labels)
    return [f"{k} {t}".strip() for k, t in enumerate(labels)] if unfit else labels


def _in_the_way(labels: list[str]) -> bool:
    """Whether one is the number of a later one, which Gambit has until it gets its own label."""
    return any(t in map(str, range(k + 2, len(labels) + 1)) for k, t in enumerate(labels))


def _numbered(count: int) -> list[str]:
    return [f"player {i}" for i in range(count)]
