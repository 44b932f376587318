"""Payoff tables in files and arrays, and the games that files of numbers can be."""

from __future__ import annotations

import numpy as np
import pygambit
import pytest

import analysis
import games
from games import NormalForm
from games.finite.bayesian import BayesianGame
from games.finite.gambit.text import write_efg
from games.finite.security import SecurityGame
from tests.games.finite.test_files import behaviour

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
