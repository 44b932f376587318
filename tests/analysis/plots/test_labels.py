"""Labels of information sets against what OpenSpiel's states say of themselves."""

from __future__ import annotations

import re

import pyspiel
import pytest

import games
from analysis.plots import base as plot
from analysis.plots.labels import LABELS, Label, action_name, labels, short_labels
from games.finite.openspiel import OpenSpielGame

WALKED = (
    "kuhn_poker",
    "kuhn_poker(players=3)",
    "leduc_poker",
    "leduc_poker(suit_isomorphism=True)",
    "liars_dice(numdice=1,dice_sides=3)",
    "liars_dice(numdice=2,dice_sides=2)",
    "goofspiel(num_cards=3,imp_info=True)",
    "goofspiel(num_cards=4,imp_info=True,points_order=descending)",
    "goofspiel(num_cards=3)",
    "goofspiel(num_cards=3,players=3,imp_info=True,points_order=ascending)",
    "battleship(board_width=2,board_height=2,ship_sizes=[1;2],ship_values=[1;1],num_shots=2)",
)


def states_of(game: OpenSpielGame, most: int = 10**9) -> dict[tuple[int, str], pyspiel.State]:
    """A state of OpenSpiel's for each player and information set, of the first so many met."""
    found: dict[tuple[int, str], pyspiel.State] = {}
    stack = [game.openspiel.new_initial_state()]
    while stack and len(found) < most:
        state = stack.pop()
        if state.is_terminal():
            continue
        if not state.is_chance_node():
            player = state.current_player()
            found.setdefault((player, state.information_state_string(player)), state)
        stack.extend(state.child(action) for action in state.legal_actions())
    return found


def played(state: pyspiel.State, players: set[int] | None = None) -> list[str]:
    """Names of the actions so far, chance's left out, of all players or of some."""
    again, names = state.get_game().new_initial_state(), []
    for action in state.history():
        mover = again.current_player()
        if mover >= 0 and (players is None or mover in players):
            names.append(action_name(again.action_to_string(mover, action)).lower())
        again.apply_action(action)
    return names


def known_to_kuhn(state: pyspiel.State, player: int, text: str) -> bool:
    ranks = "JQK" if state.num_players() == 2 else "JQKA"
    card, _, moves = text.partition(": ")
    return ranks[int(str(state).split()[player])] == card and moves.split() == played(state)


def known_to_leduc(state: pyspiel.State, player: int, text: str) -> bool:
    merged = state.get_game().get_parameters()["suit_isomorphism"]
    public, *private = map(int, re.search(r"Cards \(.*\): ([\d -]+)", str(state))[1].split())
    cards = [private[player], *([public] if public >= 0 else [])]
    names = ["JQK"[k] if merged else "JQK"[k // 2] + "♠♥"[k % 2] for k in cards]
    rounds = re.findall(r"Round \d sequence: (.*)\n", str(state) + "\n")
    bets = [" ".join(own.lower().replace(",", "").split()) for own in rounds[: len(cards)]]
    told, _, moves = text.partition(": ")
    return told == " | ".join(names) and [m.strip() for m in moves.split("/")] == bets


def known_to_liars_dice(state: pyspiel.State, player: int, text: str) -> bool:
    rolls = str(state).split()[: state.num_players()]
    dice, _, bids = text.removeprefix("dice ").partition(": ")
    return dice.replace(" ", "") == rolls[player] and bids.split(", ") == (played(state) or [""])


def known_to_goofspiel(state: pyspiel.State, player: int, text: str) -> bool:
    cards = re.search(r"Point card sequence: (.*)\n", str(state))[1].split()
    if re.findall(r"(\d+): ", text) != cards or not text.split(";")[0].endswith(": now"):
        return False
    bids = [name.removeprefix("bid: ") for name in played(state, {player})]
    hidden = "action sequence" in state.information_state_string(player)
    if hidden and re.findall(r"bid (\d+)", text) != bids:
        return False
    hands = dict(re.findall(r"P(\d) hand: (.*)\n", state.information_state_string(player)))
    return hidden or len(cards) == 1 or f"hands {hands[str(player)].strip()} against" in text


def known_to_battleship(state: pyspiel.State, player: int, text: str) -> bool:
    own = played(state, {player})
    cells = [re.search(r"\((\d+), (\d+)\)", name) for name in own]
    return all(f"{cell[1]},{cell[2]}" in text for cell in cells)


ORACLES = {
    "kuhn_poker": known_to_kuhn,
    "leduc_poker": known_to_leduc,
    "liars_dice": known_to_liars_dice,
    "goofspiel": known_to_goofspiel,
    "battleship": known_to_battleship,
}


@pytest.mark.parametrize("name", WALKED)
def test_labels_say_what_openspiels_states_say_and_are_all_different(name):
    game = games.load(name)
    form = game.sequence_form()
    states = states_of(game)
    knows = ORACLES[name.partition("(")[0]]
    for i, player in enumerate(form.players):
        found = labels(form, i)
        assert len({label.text for label in found}) == len(player.information_sets)
        for raw, label in zip(player.information_sets, found, strict=True):
            assert knows(states[i, raw], i, label.text), (raw, label)


@pytest.mark.parametrize("name", ["tic_tac_toe", "phantom_ttt"])
def test_boards_are_those_of_openspiel(name):
    label = LABELS.load(name)
    states = states_of(games.load(name), most=5_000)
    found = {(i, raw): label(raw, i, {}) for i, raw in states}
    for (i, raw), state in states.items():
        rows = found[i, raw].text.translate(str.maketrans("·", ".", "⁰¹²³⁴⁵⁶⁷⁸⁹ "))
        seen = state.observation_string(i)
        assert rows == seen.strip().replace("\n", "/")
    for player in (0, 1):
        own = [told.text for (i, _), told in found.items() if i == player]
        assert len(set(own)) == len(own) > 500


def test_rounds_are_the_games_own():
    leduc = games.load("leduc_poker").sequence_form()
    found = zip(leduc.players[0].information_sets, labels(leduc, 0), strict=True)
    assert all(f"[Round {label.round}]" in raw for raw, label in found)
    dice = games.load("liars_dice(numdice=1,dice_sides=3)").sequence_form()
    found = zip(dice.players[1].information_sets, labels(dice, 1), strict=True)
    assert all(label.round == len(raw.split()) - 1 for raw, label in found)


def drawn(ax) -> list[str]:
    return [tick.get_text() for tick in ax.get_yticklabels()]


def test_the_picture_has_these_labels_and_headings():
    kuhn = games.load("kuhn_poker").sequence_form()
    first, second = plot.strategy(kuhn, games.Strategy.uniform(kuhn)).axes
    assert drawn(first) == ["J", "J: pass bet", "Q", "Q: pass bet", "K", "K: pass bet"]
    assert drawn(second) == ["J: bet", "J: pass", "Q: bet", "Q: pass", "K: bet", "K: pass"]
    leduc = games.load("leduc_poker(suit_isomorphism=True)").sequence_form()
    (ax, _) = plot.strategy(leduc, games.Strategy.uniform(leduc), most=10**3).axes
    headings = {text.get_text(): text.get_position()[1] for text in ax.texts}
    assert list(headings) == ["round 1", "round 2"]
    in_order = sorted(labels(leduc, 0))
    ticks = dict(zip(drawn(ax), ax.get_yticks(), strict=True))
    assert set(ticks) == {label.text for label in in_order}
    for label in in_order:
        after = [round for round, y in headings.items() if y < ticks[label.text]]
        assert after[-1] == label.heading
    assert len(ax.patches) == int(leduc.players[0].num_actions.sum())


def test_bars_stand_beside_their_labels():
    """Each information set plays its first action with a probability of its own."""
    kuhn = games.load("kuhn_poker").sequence_form()
    behaviour = games.Strategy.uniform(kuhn).behaviour(kuhn)
    shares = [0.1, 0.2, 0.3, 0.4, 0.6, 0.7]
    player = kuhn.players[0]
    for first, share in zip(player.first_sequence, shares, strict=True):
        behaviour[first : first + 2] = share, 1 - share
    profile = games.Strategy.from_behaviour(kuhn, behaviour)
    (ax, _) = plot.strategy(kuhn, profile).axes
    expected = {label.text: share for label, share in zip(labels(kuhn, 0), shares, strict=True)}
    widths = {
        round(bar.get_y() + bar.get_height() / 2): bar.get_width()
        for bar in ax.patches
        if bar.get_x() == 0
    }
    for text, y in zip(drawn(ax), ax.get_yticks(), strict=True):
        assert widths[y] == pytest.approx(expected[text])


def test_actions_beyond_the_palette_are_hatched():
    dice = games.load("liars_dice(numdice=1,dice_sides=5)").sequence_form()
    figure = plot.strategy(dice, games.Strategy.uniform(dice), most=6)
    (legend,) = figure.legends
    looks = [(patch.get_facecolor(), patch.get_hatch()) for patch in legend.get_patches()]
    assert len(looks) == len(set(looks)) == 11


def test_other_games_keep_their_strings_where_these_differ():
    sheriff = games.load("sheriff(num_rounds=2,max_items=2)").sequence_form()
    for i, player in enumerate(sheriff.players):
        found = [label.text for label in labels(sheriff, i)]
        assert len(set(found)) == len(found)
        assert found == short_labels(player.information_sets)
    alike = [f"{'a' * 30}{k:03}{'b' * 30}" for k in range(100)]
    assert len(set(short_labels(alike))) == 100
    apart = [f"{k:03}{'b' * 80}" for k in range(100)]
    assert len(set(short_labels(apart))) == 100
    assert max(map(len, short_labels(apart))) < 60


def test_a_family_of_ones_own(monkeypatch):
    monkeypatch.setattr(LABELS, "_entries", dict(LABELS._entries))

    @LABELS.register("matrix_pd")
    def prisoners(state, player, parameters):
        return Label(0, "", f"prisoner {player + 1}")

    form = games.load("matrix_pd").sequence_form()
    assert [labels(form, i)[0].text for i in range(2)] == ["prisoner 1", "prisoner 2"]
