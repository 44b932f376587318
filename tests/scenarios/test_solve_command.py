"""`schelling solve --equilibrium`: tables, JSON, files, pictures, bad input, Ctrl-C."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pygambit
import pytest
from matplotlib.figure import Figure

import analysis
import games
from analysis.plots import equilibria as plot_equilibria
from analysis.solve import CONCEPTS
from scenarios.cli import _main
from scenarios.solving.command import EQUILIBRIA
from tests.conftest import KUHN, cli, form, last_json

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
    assert set(EQUILIBRIA) == set(CONCEPTS)


@pytest.mark.parametrize("concept", list(CONCEPTS))
@pytest.mark.parametrize("game", ["battle.csv", KUHN])
def test_every_concept(folder, capsys, concept, game):
    if concept == "alpharank" and game == KUHN:
        game = "matrix_rps"  # Kuhn has 1,728 profiles, too many for a test
    line = solved(capsys, game, "--equilibrium", concept)
    assert {"game", "method", "value", "nash_conv", "iterations", "seconds"} <= set(line)
    assert line["equilibrium"] == concept
    assert line["welfare"] == pytest.approx(sum(line["values"]))
    if concept not in ("qre", "evolution", "alpharank"):
        assert line["regret"] <= (1e-2 if line["iterations"] else 1e-6)
    if game == KUHN and concept in ("nash", "ce", "efce", "stackelberg"):
        assert line["value"] == pytest.approx(-1 / 18, abs=1e-6)
    assert _main(["solve", game, "--equilibrium", concept]) == 0
    printed = capsys.readouterr().out
    assert f"{concept} of {game}" in printed
    assert "welfare" in printed


def test_alpha_rank_of_rock_paper_scissors(folder, capsys):
    line = solved(capsys, "matrix_rps", "--equilibrium", "alpharank")
    assert line["values"] == pytest.approx([0.0, 0.0], abs=1e-9)
    assert sum(row["probability"] for row in line["play"]) == pytest.approx(1.0)


def test_what_is_too_large_for_a_program_goes_to_dynamics(folder, capsys):
    line = solved(
        capsys, "liars_dice(numdice=1,dice_sides=2)", "--equilibrium", "cce",
        "--target", "0.05", "--seconds", "60",
    )  # fmt: skip
    assert line["iterations"] > 0
    assert line["regret"] < 0.1


def test_a_limit_of_iterations_means_dynamics(folder, capsys):
    line = solved(capsys, "battle.csv", "--equilibrium", "cce", "--iterations", "50")
    assert line["iterations"] == 50


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
    assert rows[0] == "equilibrium,player,information_set,action,label,probability,reached"
    assert len(rows) == 1 + 3 * 2 * 2
    assert _main(["solve", "battle.csv", "--export", "b.nfg"]) == 0
    assert np.array_equal(games.load("b.nfg").payoffs, games.load("battle.csv").payoffs)
    assert _main(["solve", "battle.csv", "--equilibrium", "ce", "--export", "ce.csv"]) == 0
    assert (folder / "ce.csv").read_text().startswith("player 0,player 1,probability")
    assert _main(["solve", KUHN, "--method", "cfr+", "--export", "cfr.npz"]) == 0
    assert 0 < analysis.nash_conv(compiled, games.Strategy.load("cfr.npz")) < 1e-2


def test_tables_hold_every_probability_to_the_last_bit(folder, capsys):
    """Read back, a strategy has the values and the regret that were printed."""
    line = solved(capsys, "leduc_poker", "--equilibrium", "nash", "--export", "l.CSV")
    frame = pd.read_csv("l.CSV", dtype={"information_set": str}, keep_default_na=False)
    compiled = form("leduc_poker")
    back = games.Strategy.from_frame("leduc_poker", frame)
    assert analysis.nash_conv(compiled, back) == line["nash_conv"]
    assert line["play_rows"] == len(line["play"]) == len(frame) == len(back.actions)
    assert [row["probability"] for row in line["play"]] == frame["probability"].tolist()
    assert set(frame["label"]) == {"Fold", "Call", "Raise"}


def test_a_strategy_is_played_in_full_however_small(folder, capsys):
    """Nothing is dropped: at precision 20 the losing action of a dilemma has e^-20 or less."""
    (folder / "pd.csv").write_text(",c,d\nc,3 3,0 5\nd,5 0,1 1\n")
    line = solved(capsys, "pd.csv", "--equilibrium", "qre", "--precision", "20")
    assert [row["label"] for row in line["play"]] == ["c", "d", "c", "d"]
    assert all(0 < row["probability"] < 1e-7 for row in line["play"][::2])


SHERIFF = (
    "sheriff(item_penalty=2.0,item_value=1.0,sheriff_penalty=2.0,max_bribe=2,max_items=2,"
    "num_rounds=1)"
)
LOTTERIES = [
    ("battle.csv", "ce", []),
    ("battle.csv", "efce", []),
    (KUHN, "efcce", []),
    (SHERIFF, "efce", []),
    (KUHN, "efce", ["--method", "dynamics", "--iterations", "300"]),
    ("battle.csv", "cce", ["--method", "dynamics", "--iterations", "200"]),
]


@pytest.mark.parametrize(("game", "concept", "options"), LOTTERIES)
def test_tables_of_correlated_play_add_up(folder, capsys, game, concept, options):
    line = solved(
        capsys, game, "--equilibrium", concept, *options, "--export", "c.csv",
    )  # fmt: skip
    frame = pd.read_csv("c.csv", keep_default_na=False)
    assert len(frame) == len(line["play"]) == line["play_rows"] > 0
    assert [row["probability"] for row in line["play"]] == frame["probability"].tolist()
    assert frame["probability"].min() > 0
    if options:  # a mixture: of every profile all that it plays
        weights = frame.groupby("profile")["weight"].first()
        assert len(weights) == line["facts"]["profiles"]
        assert weights.sum() == pytest.approx(1.0, abs=1e-12)
        there = frame.groupby(["profile", "player", "information_set"])["probability"].sum()
        assert there.to_numpy() == pytest.approx(1.0, abs=1e-9)
    elif concept == "efce":  # a plan: the pair of empty sequences, and each pair once
        assert frame["probability"][0] == pytest.approx(1.0, abs=1e-9)
        assert (frame["player 0"][0], frame["player 1"][0]) == ("-", "-")
        assert not frame.duplicated(["player 0", "player 1"]).any()
    else:
        assert frame["probability"].sum() == pytest.approx(1.0, abs=1e-12)


def test_a_security_game_has_a_row_a_target(folder, capsys):
    line = solved(
        capsys,
        "targets.csv",
        "--equilibrium",
        "stackelberg",
        "--export",
        "t.csv",
        "--plot",
        "t.png",
    )
    frame = pd.read_csv("t.csv")
    assert frame["target"].tolist() == ["airport", "harbour", "station"]
    assert frame["coverage"].sum() == pytest.approx(1.0)
    assert line["play"] == frame.to_dict("records")
    (struck,) = np.flatnonzero(frame["attacked"])
    assert frame.loc[struck, ["defender", "attacker"]].tolist() == line["values"]
    assert line["facts"]["attacked"] == frame["target"][struck]
    assert (folder / "t.png").read_bytes()[:4] == b"\x89PNG"
    by_program = solved(capsys, "targets.csv", "--equilibrium", "stackelberg", "--method", "eraser")
    assert by_program["values"] == pytest.approx(line["values"], abs=1e-7)
    for name, read in (("t.efg", pygambit.read_efg), ("t.nfg", pygambit.read_nfg)):
        assert (
            _main(["solve", "targets.csv", "--equilibrium", "stackelberg", "--export", name]) == 0
        )
        again = read(name)
        assert [player.label for player in again.players] == ["defender", "attacker"]
        assert "airport" in again.description


def test_suffixes_in_capitals(folder, capsys):
    (folder / "B.CSV").write_text(BATTLE)
    line = solved(capsys, "B.CSV", "--export", "B.NFG", "--plot", "P.PNG")
    assert line["equilibrium"] == "nash"
    assert np.array_equal(games.load("B.NFG").payoffs, games.load("B.CSV").payoffs)
    assert (folder / "P.PNG").read_bytes()[:4] == b"\x89PNG"


def test_the_picture_of_a_quantal_equilibrium_ends_there(folder, capsys, monkeypatch):
    """Of the kind that was asked for: agent and normal form differ on a tree."""
    drawn = []
    monkeypatch.setattr(plot_equilibria, "quantal_path", lambda p, **_: drawn.append(p) or Figure())
    for options in (["--set", "kind=normal"], ["--method", "mirror"], ["--method", "gambit"], []):
        line = solved(
            capsys, KUHN, "--equilibrium", "qre", "--precision", "2", *options, "--plot", "q.png"
        )
        last = drawn[-1].strategy(-1).to_frame()["probability"].to_numpy()
        printed = [row["probability"] for row in line["play"]]
        assert drawn[-1].precisions[-1] == 2.0
        assert printed == pytest.approx(last, abs=1e-6)
    kinds = [path.kind for path in drawn]
    assert kinds == ["normal", "normal", "agent", "agent"]
    ends = [path.behaviours[-1] for path in drawn]
    assert np.abs(ends[0] - ends[3]).max() > 1e-3


def test_the_answer_is_printed_before_files_are_written(folder, capsys, monkeypatch):
    def broken(*_, **__):
        raise OSError("disk full")

    monkeypatch.setattr("scenarios.solving.writing.export", broken)
    assert _main(["solve", "battle.csv", "--export", "b.csv", "--json"]) == 1
    said = capsys.readouterr()
    assert last_json(said.out)["regret"] <= 1e-9
    assert "disk full" in said.err


@pytest.mark.parametrize(
    "arguments",
    [
        ["battle.csv", "--all"], ["battle.csv", "--equilibrium", "ce"], [KUHN, "--method", "dcfr"],
        ["battle.csv", "--equilibrium", "qre", "--precision", "3"], [KUHN, "--equilibrium", "nash"],
        ["battle.csv", "--equilibrium", "alpharank"],
        ["battle.csv", "--equilibrium", "stackelberg"], [KUHN, "--equilibrium", "efcce"],
        ["targets.csv", "--equilibrium", "nash"], ["targets.csv", "--equilibrium", "efce"],
        [KUHN, "--equilibrium", "stackelberg"], ["kuhn_poker(players=3)", "--method", "cfr+"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_pictures(folder, arguments):
    assert _main(["solve", *arguments, "--plot", "p.png"]) == 0
    assert (folder / "p.png").read_bytes()[:4] == b"\x89PNG"


LD2 = "liars_dice(numdice=1,dice_sides=2)"  # 100 x 900 pure strategies
BAD = [
    (["battle.csv", "--equilibrium", "alpharank", "--export", "a.npz"], "export it as .csv"),
    ([LD2, "--equilibrium", "ce"], "choose efce"),
    ([LD2, "--equilibrium", "efce", "--iterations", "9", "--plot", "x.png"], "take minutes"),
    (["battle.csv", "--equilibrium", "ce", "--iterations", "5"], "takes no iterations"),
    (["battle.csv", "--equilibrium", "efce", "--method", "lp", "--target", "1"], "dynamics"),
    (["battle.csv", "--method", "lp"], "not zero-sum"),
    (["battle.csv", "--equilibrium", "ce", "--objective", "joy"], "objective='joy'"),
    (["battle.csv", "--equilibrium", "ce", "--objective", "true"], "'entropy', or a valid integer"),
    (["battle.csv", "--equilibrium", "ce", "--objective", "7"], "players are 0 to 1"),
    (["battle.csv", "--equilibrium", "best"], "is not one of"),
    (["battle.csv", "--equilibrium", "ce", "--set", "foo=1"], "no option 'foo'"),
    (["battle.csv", "--equilibrium", "ce", "--set", "objective=[1]"], "objective=[1]"),
    (["battle.csv", "--equilibrium", "qre", "--precision", "-1"], "at least 0"),
    (["battle.csv", "--equilibrium", "stackelberg", "--set", "leader=yes"], "a valid integer"),
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
    (["targets.csv", "--equilibrium", "stackelberg", "--set", "resources=1.5"], "valid integer"),
    (["targets.csv", "--equilibrium", "stackelberg", "--set", "ties=weak"], "ties go its way"),
    (["targets.csv", "--equilibrium", "stackelberg", "--export", "t.npz"], "export it as .csv"),
    (["battle.csv", "--equilibrium", "stackelberg", "--method", "eraser"], "security games"),
    ([KUHN, "--iterations", "5", "--export", "x.nfg"], "export it as .efg"),
    ([KUHN, "--method", "cfr+", "--all"], "leave --all out"),
    ([KUHN, "--method", "cfr+", "--objective", "welfare"], "leave --objective out"),
    ([KUHN, "--method", "cfr+", "--precision", "0"], "leave --precision out"),
    ([KUHN, "--method", "cfr+", "--leader", "0"], "leave --leader out"),
    ([KUHN, "--seconds", "nan"], "finite"),
    ([KUHN, "--seconds", "-1"], "greater than or equal to 0"),
    (["battle.csv", "--seconds", "nan"], "a finite number"),
    (["battle.csv", "--seconds", "-1"], "greater than or equal to 0"),
    (["battle.csv", "--equilibrium", "efce", "--target", "-1"], "greater than or equal to 0"),
    (["battle.csv", "--equilibrium", "evolution", "--seed", "-1"], "greater than or equal to 0"),
    (["battle.csv", "--equilibrium", "evolution", "--method", "best"], "'replicator'"),
    (
        [KUHN, "--equilibrium", "efcce", "--method", "dynamics", "--set", "iterations=1.5"],
        "integer",
    ),
    ([KUHN, "--equilibrium", "efcce", "--iterations", "0"], "greater than or equal to 1"),
    ([KUHN, "--equilibrium", "efcce", "--set", "target=abc"], "a valid number"),
    (["battle.csv", "--equilibrium", "ce", "--set", "progress=x"], "no option 'progress'"),
    (["battle.csv", "--set", "node_budget=abc"], "a valid integer"),
    (["battle.csv", "--set", "node_budget=0"], "greater than 0"),
    (
        [
            "kuhn_poker(players=3)",
            "--equilibrium",
            "efcce",
            "--method",
            "dynamics",
            "--plot",
            "k.png",
        ],
        "for two players only",
    ),
    (["leduc_poker", "--equilibrium", "efcce", "--plot", "l.png"], "payoffs cannot be drawn"),
    (["leduc_poker", "--equilibrium", "efcce", "--export", "l.csv"], "at most --iterations"),
    (["phantom_ttt", "--method", "mccfr", "--export", "p.csv"], "the strategy as .npz"),
    (["phantom_ttt", "--method", "mccfr", "--plot", "p.png"], "the strategy as .npz"),
    (["nosuch.xyz"], "unknown suffix .xyz; games are read from .efg"),
    (["games/nosuch"], "without a suffix; games are read from .efg"),
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


def test_without_gambit_the_line_says_what_to_install(folder, capsys, monkeypatch):
    assert _main(["solve", KUHN, "--equilibrium", "nash", "--export", "k.efg"]) == 0
    monkeypatch.setitem(sys.modules, "pygambit", None)
    capsys.readouterr()
    for arguments in (["battle.csv", "--method", "lcp"], ["battle.csv", "--all"], ["k.efg"]):
        assert _main(["solve", *arguments]) == 2
        said = capsys.readouterr().err
        assert said.startswith("error: this needs Gambit")
        assert "'.[gambit]'" in said
    assert _main(["solve", "battle.csv"]) == 0  # one equilibrium, by solvers of our own
    assert _main(["solve", "battle.csv", "--equilibrium", "ce"]) == 0


OWN_EQUILIBRIUM = '''
import numpy as np
from analysis import Equilibrium, expected_values
from analysis.solve import CONCEPTS
from games import Strategy, as_form


@CONCEPTS.register("uniform-play")
def uniform_play(game, *, seconds: float = 1.0) -> Equilibrium:
    """Everybody plays at random."""
    form = as_form(game)
    strategy = Strategy.uniform(form)
    values = expected_values(form, strategy)
    return Equilibrium("uniform-play", form.game, f"{seconds:g}", values, 0 * values, strategy)
'''


def test_an_equilibrium_of_ones_own_is_found_by_name_and_by_its_place(tmp_path):
    (tmp_path / "mine.py").write_text(OWN_EQUILIBRIUM)
    for name, plugins in (("uniform-play", "mine"), ("mine:uniform_play", "")):
        env = {**os.environ, "PYTHONPATH": f"{tmp_path}:{Path.cwd()}", "SCHELLING_IMPORT": plugins}
        line = cli("solve", KUHN, "--equilibrium", name, "--seconds", "2", "--json", env=env)
        found = last_json(line.stdout)
        assert found["value"] == pytest.approx(0.125), line.stderr
        assert found["method"] == "2"
    listed = cli("list", "equilibria", "--json", env={**env, "SCHELLING_IMPORT": "mine"}).stdout
    assert {"equilibrium": "uniform-play", "what": "Everybody plays at random"} in json.loads(
        listed
    )["equilibria"]
    unknown = cli("solve", KUHN, "--equilibrium", "uniform_play", env=env)
    assert unknown.returncode == 2
    assert "'uniform_play' is not one of" in unknown.stderr
