"""Games in files: what is read is what Gambit reads, what is written comes back, what is bad is
refused in one line."""

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
from games.bayesian import BayesianGame
from games.enumerate import enumerate_game
from games.gambit import to_gambit
from games.gambit_text import efg_text, nfg_text, quoted, rational, write_efg, write_nfg
from games.game import CHANCE, TERMINAL
from games.security import COLUMNS, SecurityGame
from games.sequence_form import check
from scenarios.cli import _main
from tests.conftest import KUHN, LEDUC

CATALOGUE = Path(pygambit.__file__).parent / "catalog_data"
FORGETFUL = (
    "fig5_12.efg", "fig10.7.efg", "gilboa1997/fig1.efg", "gilboa1997/fig2.efg", "wichardt2008.efg"
)  # fmt: skip
TREES = [p for p in sorted(CATALOGUE.rglob("*.efg")) if not str(p).endswith(FORGETFUL)]
TABLES = sorted(CATALOGUE.rglob("*.nfg"))


def short(path: Path) -> str:
    return str(path.relative_to(CATALOGUE))


# ---- random trees ----

NAMES = ["plain", 'quo"ted', "two\nlines", "ü 漢字", "a  b ", "back\\slash\\", "%41|", "{1,2}", ""]
PAYOFFS = [0.0, 1.0, -2.0, 1 / 3, 0.1, -7 / 12, 1e-7, 12345678.9, math.pi, 1e15, -2 / 999_983]
CHANCES = [[1 / 3, 1 / 3, 1 / 3], [0.1, 0.2, 0.7], [0.5, 0.5], [1.0], [0.0, 1.0], [1 / 7] * 7]


@dataclass(frozen=True)
class Node:
    """A node of a tree that is laid out in full; it is a `games.game.State`."""

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


# ---- tables ----

PAYOFFS_A, PAYOFFS_B = np.array([[3.0, 0.5], [5.0, 1 / 3]]), np.array([[3.0, 5.0], [-1.0, 1.0]])
TABLE_FILES = [
    ("grid.csv", ",left,right\nup,3 3,0.5;5\ndown,5/-1,(0.3333333333333333 1)\n"),
    (
        "list.csv",
        "Ann,Bob,a,b\n\nup,left,3,3\nup,right,0.5,5\n"
        "down,right,0.3333333333333333,1\ndown,left,5,-1\n",
    ),
    ("bom.csv", "\ufeff,left,right\r\nup,3 3,0.5 5\r\ndown,5 -1,0.3333333333333333 1\r\n"),
    (
        "table.nfg",
        'NFG 1 R "g" { "Ann" "Bob" }\n{ { "up" "down" } { "left" "right" } }\n""\n'
        "3 3 5 -1 1/2 5 1/3 1\n",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("name", "text"), TABLE_FILES)
def test_tables_in_text(name, text, tmp_path):
    (tmp_path / name).write_text(text, encoding="utf-8")
    game = games.load(str(tmp_path / name))
    assert game.actions == (("up", "down"), ("left", "right"))
    np.testing.assert_array_equal(game.payoffs, np.stack([PAYOFFS_A, PAYOFFS_B], axis=-1))
    if name in ("list.csv", "table.nfg"):
        assert game.form.information_sets == ("Ann", "Bob")


def test_zero_sum_grid(tmp_path):
    (tmp_path / "g.csv").write_text(",l,r\nu,1,-2\nd,0,4\n")
    game = games.load(str(tmp_path / "g.csv"))
    np.testing.assert_array_equal(game.payoffs[..., 0], [[1, -2], [0, 4]])
    np.testing.assert_array_equal(game.payoffs.sum(axis=-1), 0)


def test_a_list_of_three_players(tmp_path):
    rng = np.random.default_rng(0)
    payoffs = rng.normal(size=(2, 3, 2, 3))
    rows = [[*map(str, at), *map(repr, payoffs[at].tolist())] for at in np.ndindex(2, 3, 2)]
    rng.shuffle(rows)
    rows.sort(key=lambda row: row[:3] != ["0", "0", "0"])  # strategies are numbered as they come
    order = [list(dict.fromkeys(row[i] for row in rows)) for i in range(3)]
    text = "\n".join(",".join(row) for row in [["p", "q", "r", "u", "v", "w"], *rows])
    (tmp_path / "g.csv").write_text(text)
    game = games.load(str(tmp_path / "g.csv"))
    assert [list(own) for own in game.actions] == order
    np.testing.assert_array_equal(
        game.payoffs, payoffs[np.ix_(*[list(map(int, o)) for o in order])]
    )


def test_arrays_in_files_and_out_of_them(tmp_path):
    both = np.stack([PAYOFFS_A, PAYOFFS_B], axis=-1)
    np.savez(tmp_path / "a.npz", A=PAYOFFS_A, B=PAYOFFS_B)
    np.savez(tmp_path / "b.npz", payoffs=both, note=np.ones(3))
    np.save(tmp_path / "c.npy", both)
    np.save(tmp_path / "d.npy", both.astype(np.float32).astype(int))
    np.save(tmp_path / "e.npy", PAYOFFS_A)
    for name, expected in [
        ("a.npz", both),
        ("b.npz", both),
        ("c.npy", both),
        ("d.npy", both.astype(int)),
    ]:
        np.testing.assert_array_equal(games.load(str(tmp_path / name)).payoffs, expected)
    zero_sum = np.stack([PAYOFFS_A, -PAYOFFS_A], axis=-1)
    np.testing.assert_array_equal(games.load(str(tmp_path / "e.npy")).payoffs, zero_sum)
    np.testing.assert_array_equal(NormalForm.from_payoffs(PAYOFFS_A, PAYOFFS_B).payoffs, both)
    np.testing.assert_array_equal(NormalForm.from_payoffs(both.tolist()).payoffs, both)


def test_bayesian_and_security_games(tmp_path):
    rng = np.random.default_rng(1)
    leader, follower = rng.normal(size=(2, 3, 2, 4))
    np.savez(tmp_path / "b.npz", leader=leader, follower=follower, prior=[0.2, 0.3, 0.5])
    game = games.load(str(tmp_path / "b.npz"))
    assert isinstance(game, BayesianGame)
    np.testing.assert_array_equal(game.follower, follower)
    # Gambit's words on the same game, told as a tree.
    write_efg(game, tmp_path / "b.efg")
    source = pygambit.read_efg(tmp_path / "b.efg")
    profile, strategy = behaviour(source, game.sequence_form(), rng)
    theirs = [float(profile.payoff(player)) for player in source.players]
    np.testing.assert_allclose(
        analysis.expected_values(game.sequence_form(), strategy), theirs, atol=1e-13
    )
    (tmp_path / "s.csv").write_text(
        "target,attacker_covered,attacker_uncovered,defender_covered,defender_uncovered\n"
        "gate,-1,2,0.5,-3\nwall,0,1,0,-1\nwell,-2,4,1,-2\n"
    )
    guarded = games.load(str(tmp_path / "s.csv"))
    assert isinstance(guarded, SecurityGame)
    assert (guarded.targets, guarded.resources) == (("gate", "wall", "well"), 1)
    expected = np.where(np.eye(3, dtype=bool), [0.5, 0, 1], [-3, -1, -2])
    np.testing.assert_array_equal(guarded.normal_form.payoffs[..., 0], expected)


# ---- what is refused ----

HEAD = 'EFG 2 R "g" { "a" "b" }\n""\n'
TWO = 't "" 1 "" { 1, 2 }\nt "" 2 "" { 0, 1 }\n'
ONCE = 'p "" 1 1 "s" { "l" "r" } 0\n'
NFG = 'NFG 1 R "g" { "a" "b" }\n{ 2 2 }\n\n'
CUBE = np.zeros((1, 2, 2))
BAD_FILES = [
    ("empty.efg", "", "Gambit cannot read it"),
    ("head.efg", "EFG 2 R", "title missing"),
    ("table.efg", NFG + "1 2 3 4 5 6 7 8", "Expecting EFG"),
    ("binary.efg", bytes(range(256)) * 8, "Gambit cannot read it"),
    ("short.efg", HEAD + 'p "" 1 1 "" { "l" "r" } 0\nt "" 0\n', "Gambit cannot read it"),
    ("nan.efg", HEAD + 't "" 1 "" { nan, 1 }\n', "numerical payoff"),
    ("infinite.efg", HEAD + 't "" 1 "" { 1, -1e999 }\n', "too large"),
    ("zero.efg", HEAD + 't "" 1 "" { 1, 1/0 }\n', "division by zero"),
    ("chance.efg", HEAD + 'c "" 1 "" { "x" 1/2 "y" 1/3 } 0\n' + TWO, "sum to exactly one"),
    ("third.efg", HEAD + 'p "" 3 1 "" { "l" "r" } 0\n' + TWO, "Gambit cannot read it"),
    ("twice.efg", HEAD + ONCE + ONCE.replace("1 1", "1 2") + TWO + TWO, "be unique"),
    ("accent.efg", HEAD + 'p "" 1 1 "é" { "l" "r" } 0\n' + TWO, "ascii"),
    ("nobody.efg", 'EFG 2 R "g" { }\n""\nt "" 0\n', "without players"),
    ("forgets.efg", HEAD + ONCE + ONCE + TWO + 't "" 0\n', "imperfect recall"),
    ("missing.efg", None, "no such file"),
    ("folder.efg", ..., "a folder, not a file"),
    ("empty.nfg", "", "Gambit cannot read it"),
    ("short.nfg", NFG + "1 2 3 4 5 6 7", "numerical payoff"),
    ("long.nfg", NFG + "1 2 3 4 5 6 7 8 9", "end-of-file"),
    ("nan.nfg", NFG + "1 2 3 4 5 6 7 nan", "numerical payoff"),
    ("infinite.nfg", NFG + "1 2 3 4 5 6 7 1e999", "too large"),
    ("huge.nfg", NFG.replace("2 2", "99999 99999") + "1 2 3", "9,999,800,001 profiles"),
    ("tree.nfg", HEAD + 't "" 0\n', "Expecting NFG"),
    ("missing.nfg", None, "no such file"),
    ("folder.nfg", ..., "a folder, not a file"),
    ("empty.csv", "", "a header and at least one row"),
    ("header.csv", ",l,r\n", "a header and at least one row"),
    ("ragged.csv", ",l,r\nu,1 1,2 2\nd,3 3\n", "row 3 has 2 cells, the header 3"),
    ("word.csv", ",l,r\nu,1 1,2 two\n", "row 2: 'two' is not a number"),
    ("nan.csv", ",l,r\nu,1 1,nan 2\n", "not a finite number"),
    ("infinite.csv", ",l,r\nu,1 1,2 -inf\n", "not a finite number"),
    ("mixed.csv", ",l,r\nu,1 1,2\n", "two payoffs"),
    ("three.csv", ",l,r\nu,1 1 1,2 2 2\n", "two payoffs"),
    ("column.csv", ",l,l\nu,1 1,2 2\n", "'l' stands twice"),
    ("row.csv", ",l,r\nu,1 1,2 2\nu,1 1,2 2\n", "'u' stands twice"),
    ("comma.csv", ";l;r\nu;1 1;2 2\n", "separate cells by commas"),
    ("tabs.csv", "p\tq\tu\tv\na\tc\t1\t2\n", "separate cells by commas"),
    ("europe.csv", ";l;r\nu;1,5 1;2 2\n", "separate cells by commas"),
    ("fraction.csv", ",l,r\nu,1/2,1\n", "write fractions as decimals"),
    ("half.csv", ",l,r\nu,1/2 1,2 2\n", "write fractions as decimals"),
    ("listed.csv", "p,q,u,v\na,c,1/2,1\n", "row 2: '1/2' is not a number; write fractions"),
    ("missing.csv", None, "no such file"),
    ("folder.csv", ..., "a folder, not a file"),
    ("binary.csv", b"\xff\xfe\x00\x01", "cannot be read"),
    ("absent.csv", "p,q,u,v\na,c,1,2\na,d,1,2\nb,c,3,4\n", "b, d is missing"),
    ("repeated.csv", "p,q,u,v\na,c,1,2\na,d,1,2\nb,c,3,4\nb,c,3,4\n", "row 5 repeats"),
    ("again.csv", "p,q,u,v\na,c,1,2\na,c,1,2\n", "stands twice"),
    ("words.csv", "p,q,u,v\na,c,1,one\n", "row 2: 'one' is not a number"),
    ("odd.csv", "p,q,u\na,c,1\n", "the header has 3 columns"),
    ("namesakes.csv", "p,p,u,v\na,c,1,2\n", "different names of players"),
    ("guard.csv", "target," + ",".join(COLUMNS) + "\na,1,0,0,x\nb,1,0,0,1\n", COLUMNS[-1]),
    ("missing.npz", None, "no such file"),
    ("folder.npz", ..., "a folder, not a file"),
    ("empty.npz", "", "cannot be read"),
    ("empty.npy", "", "cannot be read"),
    ("text.npz", "payoffs", "cannot be read"),
    ("nothing.npz", {}, "no payoffs"),
    ("shape.npz", dict(payoffs=np.zeros((2, 2, 3))), "payoffs of shape (2, 2, 3)"),
    ("line.npz", dict(payoffs=np.zeros(3)), "payoffs of shape (3,)"),
    ("number.npz", dict(payoffs=np.array(3.0)), "payoffs of shape ()"),
    ("none.npz", dict(payoffs=np.zeros((0, 2))), "payoffs of shape (0, 2)"),
    ("unequal.npz", dict(A=np.zeros((2, 2)), B=np.zeros((2, 3))), "one shape"),
    ("extra.npz", dict(A=np.zeros((2, 2)), B=np.zeros((2, 2)), C=np.zeros((2, 2))), "3 dimensions"),
    ("object.npz", dict(payoffs=np.array([[1, None]], dtype=object)), "Object arrays"),
    ("words.npz", dict(payoffs=np.array([["a", "b"]])), "real numbers"),
    ("complex.npz", dict(payoffs=np.array([[1 + 2j]])), "real numbers"),
    ("dates.npz", dict(payoffs=np.zeros((2, 2), dtype="M8[s]")), "real numbers"),
    ("nan.npz", dict(payoffs=np.array([[1.0, np.nan]])), "is not a finite number"),
    ("infinite.npz", dict(payoffs=np.array([[1.0, -np.inf]])), "is not a finite number"),
    ("prior.npz", dict(prior=np.ones(1)), "no array 'leader'"),
    ("half.npz", dict(leader=CUBE, follower=CUBE, prior=np.array([0.5])), "adds up to 0.5"),
    ("types.npz", dict(leader=CUBE, follower=np.zeros((2, 2, 2)), prior=np.ones(1)), "of shapes"),
]  # fmt: skip


def put(path: Path, content) -> None:
    if content is ...:
        path.mkdir()
    elif isinstance(content, dict):
        np.savez(path, **content)
    elif isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        path.write_text(content)


def assert_refused(arguments: list[str], says: str, capfd) -> None:
    """Exit status 2, nothing printed, and one line that says what is wrong."""
    assert _main(arguments) == 2
    out, error = capfd.readouterr()
    assert out == ""
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert says in error


@pytest.mark.parametrize(("name", "content", "says"), BAD_FILES, ids=[row[0] for row in BAD_FILES])
def test_bad_files(name, content, says, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    put(Path(name), content)
    with pytest.raises(games.InputError, match=re.escape(says)) as error:
        games.load(name).sequence_form()
    assert "\n" not in str(error.value)
    assert str(error.value).count(name) == 1
    assert_refused(["solve", name], says, capfd)


BAD_REQUESTS = [
    ("three.csv", ["--equilibrium", "stackelberg"], "players"),
    ("three.csv", ["--method", "lp"], "players"),
    ("three.csv", ["--equilibrium", "cce", "--method", "nonsense"], "nonsense"),
    ("pd.csv", ["--method", "lp"], "not zero-sum"),
    ("pd.csv", ["--method", "simplex"], "simplex"),
    ("pd.csv", ["--equilibrium", "best"], "nash"),
    ("pd.csv", ["--equilibrium", "stackelberg", "--leader", "2"], "leader"),
    ("pd.csv", ["--equilibrium", "ce", "--objective", "greed"], "greed"),
    ("pd.csv", ["--equilibrium", "ce", "--set", "colour=red"], "colour"),
    ("pd.csv", ["--export", "pd.txt"], ".efg"),
    ("pd.csv", ["--export", "nowhere/pd.nfg"], "no folder"),
    ("pd.csv", ["--speed", "3"], "No such option"),
    ("pd.doc", [], "unknown suffix .doc; games are read from .efg, .nfg, .csv"),
]


@pytest.mark.parametrize(("name", "options", "says"), BAD_REQUESTS)
def test_bad_requests(name, options, says, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    Path("pd.csv").write_text(",c,d\nc,3 3,0 5\nd,5 0,1 1\n")
    cells = [",".join([*at, *map(str, range(3))]) for at in itertools.product("ab", "cd", "ef")]
    Path("three.csv").write_text("\n".join(["p,q,r,u,v,w", *cells]))
    before = sorted(path.name for path in tmp_path.iterdir())
    assert_refused(["solve", name, *options], says, capfd)
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_payoffs_that_would_overflow_are_refused():
    with pytest.raises(games.InputError, match="scale the payoffs down"):
        games.NormalForm.from_payoffs([[1e308, -1e308], [0.0, 1.0]])
