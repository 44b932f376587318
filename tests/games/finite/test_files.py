"""Games in Gambit's files: what is read is what Gambit reads, what is written comes back."""

from __future__ import annotations

import io
import itertools
import math
import re
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pandas as pd
import pygambit
import pytest

import analysis
import games
from games import NormalForm, Strategy
from games.finite.enumerate import enumerate_game
from games.finite.gambit.reading import to_gambit
from games.finite.gambit.text import efg_text, nfg_text, quoted, rational, write_efg, write_nfg
from games.finite.game import CHANCE, TERMINAL
from games.finite.sequence_form import check
from tests.conftest import CATALOGUE_FILES, KUHN, LEDUC, forgets, short

TREES = [p for p in CATALOGUE_FILES if p.suffix == ".efg" and not forgets(p)]
TABLES = [p for p in CATALOGUE_FILES if p.suffix == ".nfg"]


# ---- random trees ----

NAMES = ["plain", 'quo"ted', "two\nlines", "ü 漢字", "a  b ", "back\\slash\\", "%41|", "{1,2}", ""]
PAYOFFS = [0.0, 1.0, -2.0, 1 / 3, 0.1, -7 / 12, 1e-7, 12345678.9, math.pi, 1e15, -2 / 999_983]
CHANCES = [[1 / 3, 1 / 3, 1 / 3], [0.1, 0.2, 0.7], [0.5, 0.5], [1.0], [0.0, 1.0], [1 / 7] * 7]


@dataclass(frozen=True)
class Node:
    """A node of a tree that is laid out in full; it is a `games.finite.game.State`."""

    player: int
    name: str = ""  # of the information set
    weights: tuple[float, ...] = ()
    children: tuple[Node, ...] = ()
    payoffs: tuple[float, ...] = ()

    def current_player(self) -> int:
        return self.player

    def chance_outcomes(self) -> list[tuple[int, float]]:
        return list(enumerate(self.weights))

    def legal_actions(self) -> list[int]:
        return list(range(len(self.children)))

    def child(self, action: int) -> Node:
        return self.children[action]

    def information_state_string(self, player: int) -> str:
        assert player == self.player
        return self.name

    def action_to_string(self, player: int, action: int) -> str:
        # The file's reader numbers equal labels; so does the name of a repeated action here.
        return ["up", 'do"wn', "sîde", "5"][action] if player >= 0 else f"{action + 1}"

    def returns(self) -> list[float]:
        return list(self.payoffs)


@dataclass(frozen=True)
class Tree:
    name: str
    num_players: int
    start: Node

    def root(self) -> Node:
        return self.start

    def sequence_form(self, **_) -> games.SequenceForm:
        return enumerate_game(self.start, self.name, self.num_players, 100_000)


def random_tree(seed: int, depth: int = 5) -> Tree:
    """Two to four players and chance; an information set is what its player did and one signal."""
    rng = np.random.default_rng(seed)
    players = 2 + seed % 3
    widths: dict[tuple, int] = {}
    names: dict[tuple, str] = {}

    def payoff() -> float:
        return float(rng.normal()) if rng.random() < 0.3 else PAYOFFS[rng.integers(len(PAYOFFS))]

    def grow(depth: int, own: tuple[tuple, ...]) -> Node:
        if depth == 0 or rng.random() < 0.1:
            return Node(TERMINAL, payoffs=tuple(payoff() for _ in range(players)))
        player = int(rng.integers(-1, players))
        if player == CHANCE:
            weights = tuple(CHANCES[rng.integers(len(CHANCES) - (depth < 4))])
            children = tuple(grow(depth - 1, own) for _ in weights)
            return Node(CHANCE, weights=weights, children=children)
        key = (player, own[player], int(rng.integers(2)))
        width = widths.setdefault(key, int(rng.integers(1, 4)))
        if key not in names:
            first = NAMES[len(names) % len(NAMES)]
            names[key] = first if len(names) < len(NAMES) else f"{first}{len(names)}"
        children = []
        for action in range(width):
            after = (*own[:player], (*own[player], (key, action)), *own[player + 1 :])
            children.append(grow(depth - 1, after))
        return Node(player, names[key], children=tuple(children))

    return Tree(f"random tree {seed}", players, grow(depth, ((),) * players))


# ---- there and back ----


def assert_equal(ours: games.SequenceForm, other: games.SequenceForm, rename=lambda name: name):
    """Every array to the last bit, names and labels too, the first ones by `rename`."""
    assert (ours.num_players, ours.num_histories, ours.num_terminals) == (
        other.num_players, other.num_histories, other.num_terminals,
    )  # fmt: skip
    for mine, theirs in zip(ours.players, other.players, strict=True):
        assert tuple(map(rename, mine.information_sets)) == theirs.information_sets
        assert tuple(map(rename, mine.labels[1:])) == theirs.labels[1:]
        for key in ("parent_sequence", "first_sequence", "num_actions", "actions"):
            np.testing.assert_array_equal(getattr(mine, key), getattr(theirs, key))
    np.testing.assert_array_equal(ours.leaf_sequence, other.leaf_sequence)
    np.testing.assert_array_equal(ours.leaf_utility, other.leaf_utility)
    np.testing.assert_array_equal(ours.leaf_chance, other.leaf_chance)


@pytest.mark.parametrize("path", TREES, ids=short)
def test_catalogue_trees_come_back(path, tmp_path):
    game = games.load(str(path))
    write_efg(game, tmp_path / "again.efg")
    again = games.load(str(tmp_path / "again.efg"))
    assert_equal(game.sequence_form(), again.sequence_form())
    assert again.players == game.players
    write_efg(again, tmp_path / "twice.efg")
    body = lambda name: (tmp_path / name).read_text().split("\n", 1)[1]  # noqa: E731
    assert body("again.efg") == body("twice.efg")


@pytest.mark.parametrize("path", TABLES, ids=short)
def test_catalogue_tables_come_back(path, tmp_path):
    game = games.load(str(path))
    write_nfg(game, tmp_path / "again.nfg")
    again = games.load(str(tmp_path / "again.nfg"))
    assert_equal(game.form, again.form)
    assert again.actions == game.actions
    np.testing.assert_array_equal(again.payoffs, game.payoffs)


@pytest.mark.parametrize("seed", range(60))
def test_random_trees_come_back(seed, tmp_path):
    tree = random_tree(seed)
    compiled = tree.sequence_form()
    write_efg(tree, tmp_path / "tree.efg")
    again = games.load(str(tmp_path / "tree.efg")).sequence_form()
    check(again)
    moved = np.abs(again.leaf_chance - compiled.leaf_chance)
    # Chance is put right to the last bit in the file (seven sevenths): then payoffs move with it.
    assert moved.max() <= 1e-15
    if moved.any():
        np.testing.assert_allclose(again.leaf_utility, compiled.leaf_utility, rtol=1e-14)
        again = replace(again, leaf_utility=compiled.leaf_utility, leaf_chance=compiled.leaf_chance)
    assert_equal(compiled, again, quoted)


@pytest.mark.parametrize("seed", range(20))
def test_random_tables_come_back(seed, tmp_path):
    rng = np.random.default_rng(seed)
    shape = tuple(int(n) for n in rng.integers(1, 4, 2 + seed % 3))
    payoffs = rng.choice([*PAYOFFS, float(rng.normal())], (*shape, len(shape)))
    actions = [[f"{NAMES[(k + seed) % 8]}{k}" for k in range(n)] for n in shape]
    players = [f"{NAMES[(k + seed) % 8]} {k}" for k in range(len(shape))]
    game = NormalForm.from_payoffs(payoffs, actions=actions, players=players)
    write_nfg(game, tmp_path / "table.nfg")
    again = games.load(str(tmp_path / "table.nfg"))
    np.testing.assert_array_equal(again.payoffs, payoffs)
    assert_equal(game.form, again.form, quoted)


# Numbers that Gambit gives to those whose label it has not read yet.
@pytest.mark.parametrize(
    "names", [["2", "1", "3"], ["3", "1", "2"], ["1", "2", "3"], ["x", "x", ""]]
)
def test_labels_that_are_numbers_or_repeat(names, tmp_path):
    payoffs = np.arange(27.0 * 3).reshape(3, 3, 3, 3)
    players = [name or "3" for name in names] if len(set(names)) == 3 else None
    game = NormalForm.from_payoffs(payoffs, actions=[names] * 3, players=players)
    write_nfg(game, tmp_path / "table.nfg")
    again = games.load(str(tmp_path / "table.nfg"))
    np.testing.assert_array_equal(again.payoffs, payoffs)
    for own in again.actions:
        assert len(set(own)) == 3
        assert all(name in label for name, label in zip(names, own, strict=True))


def test_tables_as_trees_come_back(tmp_path):
    game = NormalForm.from_payoffs([[1 / 3, 0.1], [2.0, -1.0]], [[0.0, 1.0], [0.2, 5.0]])
    write_efg(game, tmp_path / "tree.efg")
    assert_equal(game.form, games.load(str(tmp_path / "tree.efg")).sequence_form())


def test_names_become_labels_that_gambit_takes_and_stay_different():
    names = [
        *NAMES,
        "(empty",
        "a b",
        "a  b",
        " a b",
        "a b ",
        "two\n lines",
        "\t",
        '\\"',
        "é",
        "a\x00",
    ]
    labels = [quoted(name) for name in names]
    assert len(set(labels)) == len(names)
    assert all(quoted(label) == label for label in labels)
    assert quoted("two\nlines") == "two | lines"
    leaf = Node(TERMINAL, payoffs=(0.0,))
    node = leaf
    for name in reversed(names):  # a path: each follows from the one before
        node = Node(0, name, children=(node, leaf))
    game = pygambit.read_efg(io.BytesIO(efg_text(Tree("path", 1, node)).encode()))
    (player,) = game.players
    assert [infoset.label for infoset in player.infosets] == labels


def test_two_names_that_would_become_one_label():
    leaf = Node(TERMINAL, payoffs=(0.0,))
    below = [Node(0, name, children=(leaf,)) for name in ("a\nb", "a | b")]
    tree = Tree("twins", 1, Node(CHANCE, weights=(0.5, 0.5), children=tuple(below)))
    with pytest.raises(games.GameError, match=r"'a \| b' in the file"):
        efg_text(tree)


def test_written_numbers_are_exact():
    leaves = tuple(Node(TERMINAL, payoffs=(u, 0.1)) for u in (1 / 3, math.pi, 2.0))
    tree = Tree("numbers", 2, Node(CHANCE, weights=(1 / 3, 1 / 6, 0.5), children=leaves))
    text = efg_text(tree)
    assert '{ "1" 1/3 "2" 1/6 "3" 1/2 }' in text
    assert "{ 1/3, 1/10 }" in text
    assert f"{{ {Fraction(math.pi)}, 1/10 }}" in text
    assert "1/3 1/10" in nfg_text(NormalForm.from_payoffs([[1 / 3]], [[0.1]]))
    assert rational(0.1) == Fraction(1, 10)
    assert rational(math.pi) == Fraction(math.pi)
    for bad in (math.nan, math.inf):
        with pytest.raises(games.GameError, match="finite"):
            rational(bad)


@pytest.mark.parametrize("name", [KUHN, LEDUC, "liars_dice(numdice=1,dice_sides=3)"])
def test_written_probabilities_add_up_to_exactly_one(name):
    lines = [line for line in efg_text(games.load(name)).splitlines() if line.startswith("c ")]
    for line in lines:
        inside = re.sub(r'"[^"]*"', "", line[line.index("{") : line.index("}")]).strip("{ }")
        assert sum(map(Fraction, inside.split())) == 1
    assert lines


def test_probabilities_that_do_not_add_up_are_refused():
    leaf = Node(TERMINAL, payoffs=(0.0,))
    tree = Tree("leak", 1, Node(CHANCE, weights=(0.5, 0.4), children=(leaf, leaf)))
    with pytest.raises(games.GameError, match=r"add up to 0\.9"):
        efg_text(tree)


def test_a_tree_beyond_the_budget_is_not_written(tmp_path):
    with pytest.raises(games.UnenumerableGameError, match="more than 57 histories"):
        write_efg(games.load(KUHN), tmp_path / "kuhn.efg", node_budget=57)
    write_efg(games.load(KUHN), tmp_path / "kuhn.efg", node_budget=58)
    assert games.load(str(tmp_path / "kuhn.efg")).sequence_form().num_histories == 58


# ---- Gambit as the oracle ----


def behaviour(source, compiled: games.SequenceForm, rng: np.random.Generator):
    """A random mixed behaviour profile of Gambit's, and the same as a Strategy."""
    profile = source.mixed_behavior_profile()
    rows = []
    for i, player in enumerate(source.players):
        labelled = all(infoset.label for infoset in player.infosets)
        for infoset in player.infosets:
            drawn = rng.dirichlet(np.ones(len(infoset.actions)))
            for k, action in enumerate(infoset.actions):
                profile[action] = float(drawn[k])
                name = infoset.label if labelled else str(infoset.number + 1)
                rows.append((i, name, k, drawn[k]))
    frame = pd.DataFrame(rows, columns=["player", "information_set", "action", "probability"])
    return profile, Strategy.from_frame(compiled.game, frame)


def assert_values_agree(source, compiled: games.SequenceForm, seed: int) -> None:
    profile, strategy = behaviour(source, compiled, np.random.default_rng(seed))
    theirs = [float(profile.payoff(player)) for player in source.players]
    scale = max(1.0, float(np.abs(compiled.leaf_utility).max()))
    ours = analysis.expected_values(compiled, strategy)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-12 * scale)


@pytest.mark.parametrize("path", TREES, ids=short)
def test_expected_values_on_the_catalogue(path):
    for seed in range(3):
        assert_values_agree(pygambit.read_efg(path), games.load(str(path)).sequence_form(), seed)


@pytest.mark.parametrize("seed", range(20))
def test_expected_values_on_random_trees(seed, tmp_path):
    write_efg(random_tree(seed), tmp_path / "tree.efg")
    source = pygambit.read_efg(tmp_path / "tree.efg")
    assert_values_agree(source, games.load(str(tmp_path / "tree.efg")).sequence_form(), seed)


@pytest.mark.parametrize("path", TABLES, ids=short)
def test_tables_are_gambits(path):
    source, game = pygambit.read_nfg(path), games.load(str(path))
    theirs = np.stack([np.array(a, dtype=float) for a in source.to_arrays()], axis=-1)
    np.testing.assert_array_equal(game.payoffs, theirs)
    assert [list(own) for own in game.actions] == [
        [s.label for s in p.strategies] for p in source.players
    ]


@pytest.mark.parametrize("name", [KUHN, "kuhn_poker(players=3)", LEDUC, *map(str, TREES)])
def test_labels_that_we_set_are_those_that_gambit_reads(name):
    """The labels are kept from Gambit's reader for speed, and set afterwards."""
    ours = to_gambit(games.load(name))
    text = Path(name).read_text() if name.endswith(".efg") else efg_text(games.load(name))
    assert ours.to_efg() == pygambit.read_efg(io.BytesIO(text.encode())).to_efg()


INTERIOR = """EFG 2 R "paid on the way" { "A" "B" }
""
p "" 1 1 "start" { "l" "r" } 1 "entry" { 1/2, -1 }
c "" 1 "" { "x" 1/4 "y" 3/4 } 2 "" { 10, 20 }
p "" 2 1 "" { "u" "d" } 0
t "" 3 "" { 1, 1 }
t "" 4 "" { 2, 0 }
p "" 2 1 0
t "" 5 "" { -4, 0 }
t "" 0
t "" 6 "" { 7, 7 }
"""


def test_payoffs_at_inner_nodes_count_for_all_plays_through_them(tmp_path):
    path = tmp_path / "interior.efg"
    path.write_text(INTERIOR)
    compiled = games.load(str(path)).sequence_form()
    ends = map(tuple, compiled.leaf_sequence.tolist())
    paid = dict(zip(ends, compiled.leaf_utility.tolist(), strict=True))
    left = 10.5, 19.0
    assert paid == {
        (1, 1): [
            0.25 * (left[0] + 1) + 0.75 * (left[0] - 4),
            0.25 * (left[1] + 1) + 0.75 * left[1],
        ],
        (1, 2): [0.25 * (left[0] + 2) + 0.75 * left[0], left[1]],
        (2, 0): [7.5, 6.0],
    }
    # One player has labels, the other none and goes by numbers.
    assert [p.information_sets for p in compiled.players] == [("start",), ("1",)]
    for seed in range(5):
        assert_values_agree(pygambit.read_efg(path), compiled, seed)
    write_efg(games.load(str(path)), tmp_path / "again.efg")
    assert_equal(compiled, games.load(str(tmp_path / "again.efg")).sequence_form())


def test_repeated_labels_of_actions_keep_apart(tmp_path):
    path = tmp_path / "repeated.efg"
    path.write_text(
        'EFG 2 R "g" { "a" }\n""\np "p 1 2 \\"q\\"" 1 1 "say x or \\"y\\"" { "x" "x" "" } 0\n'
        't "" 1 "" { 1 }\nt "" 2 "" { 2 }\nt "" 3 "" { 3 }\n'
    )
    (player,) = games.load(str(path)).sequence_form().players
    assert player.information_sets == ('say x or "y"',)
    assert len(set(player.labels)) == 4
    write_efg(games.load(str(path)), tmp_path / "again.efg")
    assert_equal(
        games.load(str(path)).sequence_form(),
        games.load(str(tmp_path / "again.efg")).sequence_form(),
    )


# ---- reduced normal forms ----


def evaluate(node: Node, chosen: list[dict[str, int]]) -> np.ndarray:
    """Payoffs of pure strategies by a walk."""
    if node.player == TERMINAL:
        return np.array(node.payoffs)
    if node.player == CHANCE:
        return sum(
            w * evaluate(c, chosen) for w, c in zip(node.weights, node.children, strict=True)
        )
    return evaluate(node.children[chosen[node.player][node.name]], chosen)


@pytest.mark.parametrize("seed", range(40))
def test_reduced_normal_form_by_brute_force(seed):
    tree = random_tree(seed, depth=4)
    compiled = tree.sequence_form()
    table = NormalForm.reduced(compiled)
    scale = max(1.0, float(np.abs(compiled.leaf_utility).max()))
    everything = [
        [
            dict(zip(p.information_sets, pick, strict=True))
            for pick in itertools.product(*map(range, p.num_actions))
        ]
        for p in compiled.players
    ]
    rng = np.random.default_rng(seed)
    rows = [
        own if len(own) <= 12 else list(rng.choice(own, 12, replace=False)) for own in everything
    ]
    for profile in itertools.product(
        *(own[:12] if compiled.num_players < 4 else own[:4] for own in rows)
    ):
        at = tuple(index_of(table, i, own) for i, own in enumerate(profile))
        np.testing.assert_allclose(
            table.payoffs[at], evaluate(tree.start, list(profile)), rtol=0, atol=1e-13 * scale
        )
    # No two rows choose alike, and each is chosen by some pure strategy.
    for i, own in enumerate(everything):
        if len(own) <= 5_000:
            assert {index_of(table, i, pick) for pick in own} == set(range(table.num_actions[i]))


def index_of(table: NormalForm, i: int, pick: dict[str, int]) -> int:
    """The one reduced strategy that chooses like the pure one wherever it gets."""
    player, plans = table.form.players[i], table.plans[i]
    sequence = [
        f + pick[name]
        for name, f in zip(player.information_sets, player.first_sequence, strict=True)
    ]
    plan = np.zeros(player.num_sequences)
    plan[0] = 1
    for parent, chosen in zip(player.parent_sequence, sequence, strict=True):
        plan[chosen] = plan[parent]
    (found,) = np.flatnonzero((plans == plan).all(axis=1))
    return int(found)


@pytest.mark.parametrize("path", TREES, ids=short)
def test_reduced_normal_form_is_gambits(path):
    """Gambit calls a reduced strategy by its actions' numbers, with * where it does not get."""
    source, table = (
        pygambit.read_efg(path),
        NormalForm.reduced(games.load(str(path)).sequence_form()),
    )
    theirs = np.stack([np.array(a, dtype=float) for a in source.to_arrays()], axis=-1)
    order = []
    for player, form_of, plans in zip(source.players, table.form.players, table.plans, strict=True):
        labelled = all(infoset.label for infoset in player.infosets)
        names = [s.label if labelled else str(s.number + 1) for s in player.infosets]
        ours = []
        for plan in plans:
            first = [int(form_of.first_sequence[form_of.index[name]]) for name in names]
            count = [int(form_of.num_actions[form_of.index[name]]) for name in names]
            picks = [np.flatnonzero(plan[f : f + n]) for f, n in zip(first, count, strict=True)]
            ours.append("".join(str(p[0] + 1) if len(p) else "*" for p in picks))
        labels = [strategy.label for strategy in player.strategies]
        assert sorted(ours) == sorted(labels) or not names
        order.append([labels.index(own) for own in ours] if names else [0])
    np.testing.assert_allclose(table.payoffs, theirs[np.ix_(*order)], rtol=0, atol=1e-12)
