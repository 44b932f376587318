"""Short labels of information sets by game family: what the player knows, and the moves so far.

OpenSpiel's information state strings are made for programs. `LABELS` has a function for each family
of well-known games; all other games keep their strings, without what all of them share.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from games import SequenceForm
from games.common.registry import Registry

LONGEST_LABEL = 52
SUPERSCRIPTS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")
WRAPPER = "turn_based_simultaneous_game"  # what OpenSpiel makes of games with simultaneous moves


class Label(NamedTuple):
    """The label of an information set in pictures, and its round of the game."""

    round: int  # pictures show rounds in this order
    heading: str  # of the round; "" where the game has but one
    text: str


Labelled = Callable[[str, int, Mapping[str, Any]], Label]

LABELS: Registry[Labelled] = Registry(
    "family of labels",
    {
        "kuhn_poker": "analysis.plots.labels:kuhn_poker",
        "leduc_poker": "analysis.plots.labels:leduc_poker",
        "liars_dice": "analysis.plots.labels:liars_dice",
        "goofspiel": "analysis.plots.labels:goofspiel",
        "tic_tac_toe": "analysis.plots.labels:tic_tac_toe",
        "phantom_ttt": "analysis.plots.labels:phantom_ttt",
        "battleship": "analysis.plots.labels:battleship",
    },
)
"""By OpenSpiel's short name of a game: a function of an information state string, the player and
the game's parameters that returns a `Label`. Register one for another family."""


def labels(form: SequenceForm, player: int, sets: Sequence[int] | None = None) -> list[Label]:
    """Labels of a player's information sets, all different.

    Args:
        form: the game; its name says which family it is of.
        player: whose information sets they are.
        sets: their numbers; all of them if not given.
    """
    own = form.players[player].information_sets
    names = list(own) if sets is None else [own[j] for j in sets]
    family, parameters = _family(form.game)
    if family in LABELS:
        label = LABELS.load(family)
        try:
            found = [label(name, player, parameters) for name in names]
        except (ValueError, LookupError, AttributeError):  # a variant that writes other strings
            found = []
        if len({label.text for label in found}) == len(names) > 0:
            return found
    return [Label(k, "", text) for k, text in enumerate(short_labels(names))]  # in their order


def action_name(label: str) -> str:
    """OpenSpiel's name of an action without the player, whom the panel names: "Bid: 1"."""
    return re.sub(r"^(\[P\d+\]|Pl\d+: )(?=.)", "", label)


def short_labels(information_sets: Sequence[str]) -> list[str]:
    """Short names: the fields (bracketed groups or words) in which information sets differ.

    The middle of longer texts is left out, if their ends still differ.
    """
    fields = [re.findall(r"\[[^\]]*\]|[^\s\[]+", name) for name in information_sets]
    shared = set.intersection(*map(set, fields)) if len(fields) > 1 else set()
    texts = []
    for name, own in zip(information_sets, fields, strict=True):
        text = " ".join(f.strip("[]") for f in own if f not in shared) or " ".join(name.split())
        texts.append(text or "(empty)")
    return shortened(texts)


def shortened(texts: list[str]) -> list[str]:
    """The texts, long ones shortened to their two ends, unless these no longer differ."""
    for head in range(LONGEST_LABEL // 2, LONGEST_LABEL - 3, 4):
        for front in (head, LONGEST_LABEL - head):
            back = LONGEST_LABEL - front
            cut = [t if len(t) <= LONGEST_LABEL else f"{t[:front]} … {t[-back:]}" for t in texts]
            if len(set(cut)) == len(set(texts)):
                return cut
    return texts


def _family(game: str) -> tuple[str, Mapping[str, Any]]:
    """OpenSpiel's short name of the game and its parameters, defaults included."""
    import pyspiel

    name = re.match(r"\w*", game)
    if name is None or name[0] not in (*LABELS, WRAPPER):
        return "", {}
    try:
        parameters = pyspiel.load_game(game).get_parameters()
    except (pyspiel.SpielError, RuntimeError):  # a file of that name, or a game of a user's
        return "", {}
    if name[0] == WRAPPER:
        parameters = parameters["game"]
        return parameters["name"], parameters
    return name[0], parameters


def card_names(ranks: int) -> Sequence[str]:
    """Ranks of a small deck from the lowest: J Q K, with more of them an ace, then downwards."""
    if ranks <= 4:
        return ("J", "Q", "K", "A")[:ranks]
    return "23456789TJQKA"[-ranks:] if ranks <= 13 else [str(k) for k in range(ranks)]


def kuhn_poker(state: str, player: int, parameters: Mapping[str, Any]) -> Label:
    """The card and the moves so far: "J: pass bet"."""
    card, moves = _matched(r"(\d+)([pb]*)", state)
    played = " ".join({"p": "pass", "b": "bet"}[move] for move in moves)
    held = card_names(int(parameters["players"]) + 1)[int(card)]
    return Label(0, "", f"{held}: {played}" if played else held)


def leduc_poker(state: str, player: int, parameters: Mapping[str, Any]) -> Label:
    """The cards, the player's own and the public one, and the bets of each round.

    "K♠: call raise" in the first round, "K♠ | Q♥: call raise call / raise" in the second. There are
    no suits where the game has merged them.
    """
    fields = dict(re.findall(r"\[(\w+): ([^\]]*)\]", state))
    number = int(_matched(r".*\[Round (\d)\].*", state)[0])
    ranks = card_names(int(parameters["players"]) + 1)
    merged = parameters["suit_isomorphism"]

    def card(key: str) -> str:
        k = int(fields[key])
        return ranks[k] if merged else ranks[k // 2] + "♠♥"[k % 2]

    def bets(key: str) -> str:
        return " ".join(("fold", "call", "raise")[int(k)] for k in fields[key].split())

    if number == 1:
        text, played = card("Private"), bets("Round1")
    else:
        text, played = f"{card('Private')} | {card('Public')}", f"{bets('Round1')} /"
        played = f"{played} {bets('Round2')}".strip()
    return Label(number, f"round {number}", f"{text}: {played}" if played else text)


def liars_dice(state: str, player: int, parameters: Mapping[str, Any]) -> Label:
    """The player's own dice and the bids so far: "dice 3: 1-2, 1-4"."""
    dice, *bids = state.split()
    if not dice.isdigit() or not all(re.fullmatch(r"\d+-\d+|Liar", bid) for bid in bids):
        raise ValueError(state)
    shown = " ".join(dice) if int(parameters["dice_sides"]) < 10 else dice
    heading = f"after {len(bids)} bid{'s' if len(bids) > 1 else ''}" if bids else "first bid"
    return Label(len(bids), heading, f"dice {shown}" + (f": {', '.join(bids)}" if bids else ""))


def goofspiel(state: str, player: int, parameters: Mapping[str, Any]) -> Label:
    """What happened to each point card, and the one that is bid for now.

    "3: bid 1, lost | 2: now" where bids are hidden; else the hands that are left, one's own first.
    """
    fields = dict(re.findall(r"(.+?): ?(.*)\n", state))
    cards, winners = fields["Point card sequence"].split(), fields["Win sequence"].split()
    if len(cards) != len(winners) + 1:
        raise ValueError(state)
    outcomes = [_outcome(int(winner), player, int(parameters["players"])) for winner in winners]
    own = fields.get(f"P{player} action sequence")
    if own is None:
        bids = [""] * len(winners)
        order = [player, *(i for i in range(int(parameters["players"])) if i != player)]
        hands = "; hands " + " against ".join(fields[f"P{i} hand"].strip() for i in order)
    else:
        bids, hands = [f"bid {int(bid) + 1}, " for bid in own.split()], ""
    past = zip(cards[:-1], bids, outcomes, strict=True)
    text = " | ".join([*(f"{card}: {bid}{won}" for card, bid, won in past), f"{cards[-1]}: now"])
    return Label(len(cards), f"round {len(cards)}", text + (hands if winners else ""))


def _outcome(winner: int, player: int, players: int) -> str:
    if not 0 <= winner < players:
        return "tied"
    if winner == player:
        return "won"
    return "lost" if players == 2 else f"won by player {winner}"


def tic_tac_toe(state: str, player: int, parameters: Mapping[str, Any]) -> Label:
    """The rows of the board, each mark with the number of its move: "x¹ · · / · o² · / · · ·"."""
    cells = [int(cell) for cell in state.replace(",", " ").split()]
    if not all(0 <= cell < 9 for cell in cells) or len(set(cells)) < len(cells):
        raise ValueError(state)
    marks = {cell: ("xo"[k % 2], k + 1) for k, cell in enumerate(cells)}
    return _board(marks, len(cells) + 1)


def phantom_ttt(state: str, player: int, parameters: Mapping[str, Any]) -> Label:
    """The rows of the board as far as the player knows it; marks have the number of its attempt."""
    *rows, tried = state.split("\n")
    board = "".join(rows)
    if len(board) != 9 or not set(board) <= set("xo."):
        raise ValueError(state)
    cells = [int(_matched(rf"{player},(\d)", attempt)[0]) for attempt in tried.split()]
    marks = {cell: (board[cell], k + 1) for k, cell in enumerate(cells)}
    return _board(marks, len(cells) + 1)


def _board(marks: Mapping[int, tuple[str, int]], move: int) -> Label:
    """Nine cells in three rows, and the move that is next."""
    shown = [
        f"{marks[k][0]}{marks[k][1]}".translate(SUPERSCRIPTS) if k in marks else "·"
        for k in range(9)
    ]
    rows = [" ".join(shown[k : k + 3]) for k in (0, 3, 6)]
    return Label(move, f"move {move}", " / ".join(rows))


def battleship(state: str, player: int, parameters: Mapping[str, Any]) -> Label:
    """Where the player's ships are, and the shots in their order: "→0,1 ↓1,0 | 1,0 miss, at 0,0".

    Arrows point along a ship from its first cell, row and column; "at" is the other's shot.
    """
    words = {"W": "miss", "H": "hit", "S": "sunk"}
    ships, shots, own = [], [], 0
    for part in _matched(r"T=\d+ ?(.*)", state)[0].split("/")[1:]:
        kind, row, column, _, outcome = _matched(r"(h|v|shot|oppshot)_(\d+)_(\d+)(:([WHS]))?", part)
        if kind in "hv":
            ships.append(f"{'→' if kind == 'h' else '↓'}{row},{column}")
        elif kind == "shot":
            own += 1
            shots.append(f"{row},{column} {words[outcome]}")
        else:
            shots.append(f"at {row},{column}")
    fleet = len(str(parameters["ship_sizes"]).strip("[]").split(";"))
    if len(ships) < fleet:
        return Label(len(ships) - fleet, f"ship {len(ships) + 1}", " ".join(ships) or "no ship yet")
    text = " ".join(ships) + (f" | {', '.join(shots)}" if shots else "")
    return Label(own, f"shot {own + 1}", text)


def _matched(pattern: str, text: str) -> tuple[str, ...]:
    """The groups of a pattern that fits a whole text; ValueError if it does not."""
    found = re.fullmatch(pattern, text, flags=re.DOTALL)
    if found is None:
        raise ValueError(text)
    return found.groups()
