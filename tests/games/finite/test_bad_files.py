"""Files and requests that cannot be used: one line with the fix, status 2, no traceback."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import numpy as np
import pytest

import games
from games.finite.security import COLUMNS
from scenarios.cli import _main

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
