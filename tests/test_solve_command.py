"""`schelling solve --equilibrium`: tables, JSON, files, pictures, bad input, Ctrl-C."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pygambit
import pytest

import analysis
import games
from analysis.solve import CONCEPTS
from scenarios.cli import Equilibrium, _main
from tests.conftest import KUHN, cli, last_json

BATTLE = "row,column,row's payoff,column's payoff\nU,L,2,1\nU,R,0,0\nD,L,0,0\nD,R,1,2\n"
TARGETS = (
    "target,defender_covered,defender_uncovered,attacker_covered,attacker_uncovered\n"
    "airport,2,-5,-3,6\nharbour,1,-3,-2,4\nstation,1,-2,-1,3\n"
)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "battle.csv").write_text(BATTLE)
    (tmp_path / "targets.csv").write_text(TARGETS)
    return tmp_path


def solved(capsys, *arguments: str) -> dict:
    assert _main(["solve", *arguments, "--json"]) == 0
    return last_json(capsys.readouterr().out)


def test_the_command_knows_every_concept():
    assert {e.value for e in Equilibrium} == set(CONCEPTS)


@pytest.mark.parametrize("concept", list(CONCEPTS))
@pytest.mark.parametrize("game", ["battle.csv", KUHN])
def test_every_concept(folder, capsys, concept, game):
    line = solved(capsys, game, "--equilibrium", concept)
    assert {"game", "method", "value", "nash_conv", "iterations", "seconds"} <= set(line)
    assert line["equilibrium"] == concept
    assert line["welfare"] == pytest.approx(sum(line["values"]))
    if concept not in ("qre", "evolution"):
        assert line["regret"] <= 1e-2 if line["iterations"] else 1e-6
    if game == KUHN and concept in ("nash", "ce", "efce", "stackelberg"):
        assert line["value"] == pytest.approx(-1 / 18, abs=1e-6)
    assert _main(["solve", game, "--equilibrium", concept]) == 0
    printed = capsys.readouterr().out
    assert f"{concept} of {game}" in printed
    assert "welfare" in printed


def test_all_equilibria(folder, capsys):
    line = solved(capsys, "battle.csv", "--all")
    assert sorted(tuple(np.round(e["values"], 6)) for e in line["equilibria"]) == [
        (0.666667, 0.666667), (1.0, 2.0), (2.0, 1.0),
    ]  # fmt: skip


def test_options_reach_the_solver(folder, capsys):
    fair = solved(capsys, "battle.csv", "--equilibrium", "ce", "--objective", "egalitarian")
    assert fair["values"] == pytest.approx([1.5, 1.5])
    second = solved(capsys, "battle.csv", "--equilibrium", "ce", "--objective", "1")
    assert second["values"] == pytest.approx([1.0, 2.0])
    quantal = solved(capsys, "battle.csv", "--equilibrium", "qre", "--precision", "0")
    assert quantal["values"] == pytest.approx([0.75, 0.75])
    led = solved(capsys, "battle.csv", "--equilibrium", "stackelberg", "--leader", "1")
    assert led["values"] == pytest.approx([1.0, 2.0])
    guarded = solved(capsys, "targets.csv", "--equilibrium", "stackelberg", "--set", "resources=2")
    assert guarded["facts"]["resources"] == 2
    cover = [v for k, v in guarded["facts"].items() if k.startswith("coverage")]
    assert sum(cover) == pytest.approx(2.0)


def test_exports_are_what_was_found(folder, capsys):
    assert _main(["solve", KUHN, "--equilibrium", "nash", "--export", "s.npz"]) == 0
    compiled = games.load(KUHN).sequence_form()
    assert analysis.nash_conv(compiled, games.Strategy.load("s.npz")) <= 1e-9
    assert _main(["solve", KUHN, "--equilibrium", "nash", "--export", "k.efg"]) == 0
    assert "Pass 1" in pygambit.read_efg("k.efg").description
    again = solved(capsys, "k.efg")
    assert again["value"] == pytest.approx(-1 / 18, abs=1e-9)
    assert _main(["solve", "battle.csv", "--all", "--export", "all.csv"]) == 0
    rows = (folder / "all.csv").read_text().splitlines()
    assert rows[0] == "equilibrium,player,information set,plays"
    assert len(rows) == 1 + 3 * 2
    assert _main(["solve", "battle.csv", "--export", "b.nfg"]) == 0
    assert np.array_equal(games.load("b.nfg").payoffs, games.load("battle.csv").payoffs)
    assert _main(["solve", "battle.csv", "--equilibrium", "ce", "--export", "ce.csv"]) == 0
    assert (folder / "ce.csv").read_text().startswith("player 0,player 1,probability")
    assert _main(["solve", KUHN, "--method", "cfr+", "--export", "cfr.npz"]) == 0
    assert 0 < analysis.nash_conv(compiled, games.Strategy.load("cfr.npz")) < 1e-2


@pytest.mark.parametrize(
    "arguments",
    [
        ["battle.csv", "--all"], ["battle.csv", "--equilibrium", "ce"], [KUHN, "--method", "dcfr"],
        ["battle.csv", "--equilibrium", "qre", "--precision", "3"], [KUHN, "--equilibrium", "nash"],
        ["battle.csv", "--equilibrium", "stackelberg"], [KUHN, "--equilibrium", "efcce"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_pictures(folder, arguments):
    assert _main(["solve", *arguments, "--plot", "p.png"]) == 0
    assert (folder / "p.png").read_bytes()[:4] == b"\x89PNG"


BAD = [
    (["battle.csv", "--method", "lp"], "not zero-sum"),
    (["battle.csv", "--equilibrium", "ce", "--objective", "joy"], "no objective 'joy'"),
    (["battle.csv", "--equilibrium", "ce", "--objective", "7"], "players are 0 to 1"),
    (["battle.csv", "--equilibrium", "best"], "is not one of"),
    (["battle.csv", "--equilibrium", "ce", "--set", "foo=1"], "no option 'foo'"),
    (["battle.csv", "--equilibrium", "ce", "--set", "objective=[1]"], "no objective"),
    (["battle.csv", "--equilibrium", "qre", "--precision", "-1"], "at least 0"),
    (["battle.csv", "--equilibrium", "stackelberg", "--set", "leader=yes"], "takes a int"),
    (["battle.csv", "--equilibrium", "stackelberg", "--leader", "5"], "leader"),
    (["battle.csv", "--equilibrium", "efce", "--all"], "--all is for nash"),
    (["battle.csv", "--equilibrium", "nash", "--method", "cfr++"], "no Nash method"),
    (["battle.csv", "--equilibrium", "ce", "--export", "ce.npz"], "export it as .csv"),
    ([KUHN, "--equilibrium", "nash", "--export", "k.nfg"], "export it as .efg"),
    ([KUHN, "--export", "x.txt"], "end the name in"),
    ([KUHN, "--plot", "nowhere/x.png"], "no folder nowhere"),
    ([KUHN, "--equilibrium", "ce", "--method", "cfr"], "looks for nash"),
    (["kuhn_poker(players=3)", "--equilibrium", "stackelberg"], "3 players"),
    (["leduc_poker", "--equilibrium", "ce"], "10^"),
    (["leduc_poker", "--equilibrium", "nash", "--set", "node_budget=100"], "more than 100"),
    (["targets.csv", "--equilibrium", "stackelberg", "--set", "resources=3"], "from 1 to 2"),
    (["missing.efg"], "no such file"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD, ids=lambda v: " ".join(v)[:60])
def test_bad_input_is_one_line_and_status_2(folder, capsys, arguments, message):
    before = sorted(folder.iterdir())
    assert _main(["solve", *arguments]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert message in said.err
    assert sorted(folder.iterdir()) == before


def interrupted(arguments: list[str], seconds: float, folder) -> subprocess.CompletedProcess:
    """Send SIGINT once it has worked for some seconds."""
    child = subprocess.Popen(
        [sys.executable, "-m", "scenarios.cli", "solve", *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=folder,
    )  # fmt: skip
    time.sleep(seconds)
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=60)
    return subprocess.CompletedProcess(arguments, child.returncode, out, err)


def test_ctrl_c_keeps_the_best_answer_so_far(folder):
    endless = ["leduc_poker", "--equilibrium", "nfcce", "--iterations", "100000000", "--json"]
    done = interrupted(endless, 15.0, folder)
    assert done.returncode == 130
    assert "answer so far" in done.stderr
    line = json.loads(done.stdout)
    assert 0 < line["iterations"] < 100_000_000
    assert 0 <= line["regret"] < 1.0


def test_ctrl_c_ends_a_solver_of_gambits(folder):
    """A game with a continuum of equilibria, on which enumpoly does not end."""
    path = next(p for p in GAMBIT if p.name == "sec6.nfg")
    done = interrupted([str(path), "--all"], 8.0, folder)
    assert done.returncode == 130
    assert "before it had found any" in done.stderr
    assert "Traceback" not in done.stderr


GAMBIT = sorted(Path(pygambit.__file__).parent.rglob("*.nfg"))


def test_a_fresh_process(folder):
    done = cli("solve", "battle.csv", "--equilibrium", "ce", "--json", cwd=folder)
    assert done.returncode == 0
    assert done.stderr == ""
    assert last_json(done.stdout)["welfare"] == pytest.approx(3.0)
