"""Players compared in the same games: figures against an oracle, folders, commands, mistakes."""

import json
import signal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from analysis.inventory.optima import lost_sales
from games.load import vector
from marl.evaluation.actors import Uniform
from marl.evaluation.episodes import evaluate
from marl.evaluation.players import player
from marl.networks.network import Network
from marl.networks.policy import Policy
from scenarios import Run, find
from scenarios.cli import _main
from scenarios.interrupt import Interrupted
from scenarios.kinds import KINDS
from scenarios.lookup import parse, split
from scenarios.playing.comparing import Comparison
from tests.conftest import last_json

STORE = (
    "inventory.lost_sales(lead_time=2,penalty=4,periods=150,ignore=50,view=planner,"
    "actions=quantities)"
)
RULES = ("base-stock(level=16)", "capped-base-stock(level=18,cap=6)")
TOML = f"""
game = "{STORE}"
players = {json.dumps(RULES)}
episodes = 12
seed = 3
"""
DISCS = "safe_navigation(agents=2,max_steps=15)"


def compared(capsys, *arguments: str) -> dict:
    assert _main(["play", *arguments, "--json"]) == 0
    out, error = capsys.readouterr()
    assert error == ""  # no progress where there is no terminal
    return last_json(out)


def row(found: dict, metric: str, who: str) -> dict:
    (one,) = [r for r in found["rows"] if (r["metric"], r["player"]) == (metric, who)]
    return one


def test_rules_in_one_table(capsys):
    """The figures of scipy over games that each rule plays alone."""
    options = ["--episodes", "12", "--seed", "3", "--players", ",".join(RULES)]
    found = compared(capsys, STORE, *options)
    assert (found["game"], found["episodes"], found["to"]) == (STORE, 12, RULES[0])
    cost = {
        rule: evaluate(player(rule, STORE), STORE, episodes=12, seed=3).info["cost"]
        for rule in RULES
    }
    best = lost_sales(5.0, 2, holding=1.0, penalty=4.0).cost
    assert found["reference"]["kind"] == "optimum"
    assert found["reference"]["value"] == pytest.approx(best, rel=1e-9)
    for rule, each in cost.items():
        told = row(found, "cost", rule)
        mean = stats.ttest_1samp(each, 0).confidence_interval(0.95)
        assert told["mean"] == pytest.approx(each.mean(), rel=1e-12)
        assert (told["low"], told["high"]) == pytest.approx((mean.low, mean.high), rel=1e-9)
        above = stats.ttest_1samp(100 * (each / best - 1), 0).confidence_interval(0.95)
        assert told["gap"] == pytest.approx(100 * (each.mean() / best - 1), rel=1e-9)
        assert (told["gap_low"], told["gap_high"]) == pytest.approx(above, rel=1e-9)
        assert told["better"] == "less"
    told = row(found, "cost", RULES[1])
    paired = stats.ttest_rel(cost[RULES[1]], cost[RULES[0]]).confidence_interval(0.95)
    assert told["difference"] == pytest.approx((cost[RULES[1]] - cost[RULES[0]]).mean(), rel=1e-9)
    assert (told["difference_low"], told["difference_high"]) == pytest.approx(paired, rel=1e-9)
    assert told["relative"] == pytest.approx(cost[RULES[1]].mean() / cost[RULES[0]].mean() - 1)
    assert row(found, "cost", RULES[0])["difference"] == 0
    assert row(found, "return", RULES[0])["better"] == "more"


def test_the_table_has_the_optimum(capsys):
    options = ["--episodes", "4", "--players", ",".join(RULES), "--to", RULES[1]]
    assert _main(["play", STORE, *options]) == 0
    out = capsys.readouterr().out
    assert f"4 games each, compared with {RULES[1]}\n" in out
    assert " difference " in out
    assert "gap to the optimum, %" in out
    assert "optimum in the long run by relative value iteration" in out
    best = lost_sales(5.0, 2, holding=1.0, penalty=4.0).cost
    assert [line for line in out.splitlines() if line.split() == ["optimum", f"{best:.4f}"]]
    assert _main(["play", DISCS, "--episodes", "2", "--players", "fixed(zeta=1)"]) == 0
    out = capsys.readouterr().out
    assert "gap" not in out
    assert "difference" not in out  # nobody to compare with


def test_against_somebody_who_draws(capsys):
    options = ["--players", "uniform", "--against", "random", "--episodes", "40"]
    found = compared(capsys, "tic_tac_toe", *options)
    spec = vector("tic_tac_toe", 1).spec
    played = evaluate(Uniform(spec), "tic_tac_toe", episodes=40, against=Uniform(spec))
    wins = played.own > 0
    told = row(found, "wins", "uniform")
    expected = stats.binomtest(int(wins.sum()), 40).proportion_ci(0.95, method="exact")
    assert told["mean"] == wins.mean()
    assert (told["low"], told["high"]) == pytest.approx((expected.low, expected.high))


def test_a_policy_and_a_rule(tmp_path, capsys):
    """What was trained, or not, is held against rules in its own game."""
    file = tmp_path / "policy.pt"
    policy = Policy.new(DISCS, vector(DISCS, 1).spec, Network(hidden=(4,)), "role", 2)
    policy.save(file)
    options = ["--players", "fixed(zeta=1)", "--episodes", "3", "--seed", "5"]
    found = compared(capsys, str(file), *options)
    assert [r["player"] for r in found["rows"][:2]] == [str(file), "fixed(zeta=1)"]
    assert found["game"] == DISCS
    for greedy in (False, True):
        more = ["--greedy"] if greedy else []
        alone = evaluate(policy, DISCS, episodes=3, seed=5, greedy=greedy)
        told = row(compared(capsys, str(file), *options, *more), "return", str(file))
        assert told["mean"] == pytest.approx(alone.own.mean(), rel=1e-12)
    larger = DISCS.replace("agents=2", "agents=3")
    found = compared(capsys, str(file), *options, "--game", larger)
    assert {r["agents"] for r in found["rows"]} == {3}
    listed = compared(capsys, DISCS, "--players", f"fixed(zeta=1),{file}", *options[2:])
    assert [r["player"] for r in listed["rows"][:2]] == ["fixed(zeta=1)", str(file)]


def test_the_first_is_drawn(tmp_path, capsys):
    from PIL import Image

    file = tmp_path / "one.gif"
    options = ["--players", "fixed(zeta=1),yielding", "--episodes", "2", "--render", str(file)]
    assert _main(["play", DISCS, *options]) == 0
    assert f"written: {file}" in capsys.readouterr().out
    with Image.open(file) as picture:
        assert picture.n_frames > 10


def test_a_folder_of_its_own(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("rules.toml").write_text(TOML)
    assert _main(["run", "rules.toml", "--json"]) == 0
    answer = last_json(capsys.readouterr().out)
    folder = Path("runs/rules-1")
    assert (answer["run"], answer["finished"]) == (str(folder), True)
    names = {path.name for path in folder.iterdir()}
    assert names == {
        "scenario.toml", "versions.json", "result.json", "comparison.csv", "comparison.png"
    }  # fmt: skip
    run = Run.load(folder)
    assert run.finished
    (result,) = run.results
    assert isinstance(result, Comparison)
    assert json.loads(json.dumps(result.to_json())) == {k: answer[k] for k in result.to_json()}
    table = pd.read_csv(folder / "comparison.csv")
    assert np.allclose(table["mean"], run.metrics["mean"])
    before = {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in folder.iterdir()}
    assert _main(["resume", str(folder), "--json"]) == 0  # nothing left to do
    assert last_json(capsys.readouterr().out) == answer
    assert _main(["show", str(folder), "--json"]) == 0
    assert last_json(capsys.readouterr().out) == answer
    assert {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in folder.iterdir()} == before
    direct = ["--players", ",".join(RULES), "--episodes", "12", "--seed", "3", "--out", "other"]
    assert compared(capsys, STORE, *direct)["rows"] == answer["rows"]
    assert Run.load("other").results[0].rows == result.rows
    (folder / "result.json").write_text("{")
    assert _main(["show", str(folder)]) == 2
    assert "result.json is damaged: `schelling resume" in capsys.readouterr().err


def test_interrupted_and_played_again(tmp_path, capsys):
    run = Run.create(parse(TOML, "x"), tmp_path / "run")

    def stop(done, total):
        if done == 1:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(Interrupted, match="play again with: schelling resume"):
        run.execute(progress=stop)
    assert not run.finished
    assert _main(["show", str(run.path)]) == 0
    assert "not finished" in capsys.readouterr().out
    assert run.metrics.empty
    found = run.execute()
    whole = Run.create(parse(TOML, "x"), tmp_path / "whole").execute()
    assert found[0].rows == whole[0].rows


@pytest.mark.parametrize("name", ["careful", "order-rules"])
def test_shipped_comparisons(name, tmp_path, capsys):
    settings = ["--set", "episodes=2", "--out", str(tmp_path / "run"), "--json"]
    if name == "order-rules":  # levels are tuned in games of their own, of any length
        settings += ["--set", 'players=["base-stock(level=50)","myopic"]', "--set", 'to="myopic"']
    assert _main(["run", name, *settings]) == 0
    found = last_json(capsys.readouterr().out)
    assert len({r["player"] for r in found["rows"]}) == (5 if name == "careful" else 2)
    assert (found["reference"] is None) == (name == "careful")
    assert (tmp_path / "run/comparison.png").stat().st_size > 10_000
    assert find(name).kind == "play"


def test_labels_and_texts():
    named = parse(f'game = "{STORE}"\nplayers = {{a = "{RULES[0]}", b = "{RULES[1]}"}}', "x")
    assert list(named.players) == ["a", "b"]
    assert named.first == "a"
    assert parse(named.to_toml(), "again") == named
    texts = "fixed(zeta=1,eta=2),runs/x-1,(s,S)(point=1,level=2)"
    assert split(texts) == ["fixed(zeta=1,eta=2)", "runs/x-1", "(s,S)(point=1,level=2)"]


SCENARIOS = [
    ("players = []", "give at least one"),
    ('players = ["uniform", "uniform"]', "uniform is given twice"),
    ("players = [3]", "3 is not a text"),
    ('players = {" " = "uniform"}', "cannot be a label"),
    ('players = {a = ""}', "a plays nothing"),
    ('players = ["uniform"]\nto = "unifrom"', "did you mean uniform"),
    ('players = ["uniform"]\nepisodes = 1', "greater than 1"),
    ('players = ["uniform"]\n[stop]\niterations = 3', "no key 'stop'"),
    ('players = ["unform"]', "did you mean uniform"),
    ('players = ["fixed(zeta=1)"]', "fixed plays only safe_navigation"),
    ('players = ["uniform"]\nagainst = "god"', "against"),
    ('kind = "plya"\nplayers = ["uniform"]', "did you mean play"),
    ('kind = "play"\nmethod = "cfr"\nplayers = ["uniform"]', "no key 'method'"),
    ('kind = "play"', "players: field required"),
    ('kind = "train"\nmethod = "cfr"', "cfr"),
    ('kind = "solve"\nmethod = "ppo"', "ppo"),
    ("kind = 3", "unknown kind of scenario 3"),
]


@pytest.mark.parametrize(("text", "says"), SCENARIOS)
def test_bad_scenarios_end_in_one_line(text, says, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("mine.toml").write_text(f'game = "kuhn_poker"\n{text}')
    assert _main(["run", "mine.toml"]) == 2
    out, error = capsys.readouterr()
    assert out == ""
    assert says in error
    assert error.count("\n") == 1
    assert [path.name for path in Path().iterdir()] == ["mine.toml"]


COMMANDS = [
    (["kuhn_pokr", "--players", "uniform"], "did you mean"),
    (["kuhn_poker"], "--players uniform"),
    (["kuhn_poker", "--players", "nobody"], "nobody"),
    (["kuhn_poker", "--players", ""], "a name is missing"),
    (["kuhn_poker", "--players", "uniform,,"], "a name is missing"),
    (["kuhn_poker", "--players", "uniform,uniform"], "given twice"),
    (["kuhn_poker", "--players", "uniform", "--to", "me"], "no player is called 'me'"),
    (["kuhn_poker", "--players", "uniform", "--episodes", "1"], "episodes"),
    (["kuhn_poker", "--players", "uniform", "--game", "leduc_poker"], "--game is for runs"),
    (["kuhn_poker", "--players", "uniform", "--best"], "--best is for one run"),
    (["kuhn_poker", "--players", "uniform", "--render", "a.mp4"], "end the name in .gif"),
    (["kuhn_poker", "--players", "uniform", "--out", "."], "choose one below it"),
    (["kuhn_poker", "--to", "uniform"], "--to needs --players"),
    (["solved", "--out", "x"], "--out needs --players"),
    (["solved"], "solved a game"),
    ([DISCS, "--players", "fixed(zeta=-1)"], "zeta"),
    ([DISCS, "--players", "fixed(zta=1)"], "did you mean zeta"),
    ([DISCS, "--players", "base-stock"], "base-stock plays only inventory"),
    (["file.pt", "--players", "uniform"], "is not a saved policy"),
    (["kuhn_poker", "--players", "missing.pt"], "missing.pt"),
]


@pytest.mark.parametrize(("arguments", "says"), COMMANDS)
def test_bad_commands_end_in_one_line(arguments, says, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    Path("file.pt").write_text("x")
    Run.create(find("kuhn"), "solved")
    before = sorted(Path().rglob("*"))
    assert _main(["play", *arguments]) == 2
    out, error = capfd.readouterr()
    assert out == ""
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert says in error
    assert sorted(Path().rglob("*")) == before


def test_resume_changes_nothing_of_a_comparison(tmp_path, capsys):
    run = Run.create(parse(TOML, "x"), tmp_path / "run")
    assert _main(["resume", str(run.path), "--set", "episodes=3"]) == 2
    assert "resume cannot change keys of such a run" in capsys.readouterr().err
    assert _main(["resume", str(run.path), "--address", "auto"]) == 2
    assert "--address is for scenarios that train" in capsys.readouterr().err


OWN = """
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Literal

from scenarios.experiment import Experiment
from scenarios.kinds import KINDS
from scenarios.runs import Run


class Counting(Experiment):
    kind: Literal["count"] = "count"
    most: int = 3


@dataclass(frozen=True)
class Counted:
    total: int

    def to_json(self):
        return vars(self)


class CountingRun(Run):
    @staticmethod
    def _row(row):
        return Counted(**row)

    def _begin(self, ready, stack, tell):
        return self

    def run(self, stopped, progress):
        return [Counted(sum(range(self.scenario.most)))]


@KINDS.register("count")
class Kind:
    changeable = ("most",)
    methods = ()
    takes = staticmethod(lambda method: False)
    contents = staticmethod(lambda data: ["nobody"])
    model = staticmethod(lambda: Counting)
    run = staticmethod(lambda: CountingRun)
    at = staticmethod(lambda scenario, address: scenario)
    ready = staticmethod(lambda scenario: nullcontext())
    progress = staticmethod(lambda scenario: nullcontext())
    print = staticmethod(lambda work, results, as_json: print("counted", results[0].total))
    print_unfinished = staticmethod(lambda work, as_json: print("counting"))
"""


def test_a_kind_of_a_users_own(tmp_path, monkeypatch, capsys):
    """A module and a name: run, show and resume take it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    Path("own_kind_of_scenario.py").write_text(OWN)
    monkeypatch.setenv("SCHELLING_IMPORT", "own_kind_of_scenario")
    Path("mine.toml").write_text('kind = "count"\ngame = "none"\nmost = 5\n')
    for command in (["run", "mine.toml"], ["show", "runs/mine-1"], ["resume", "runs/mine-1"]):
        assert _main(command) == 0
        assert capsys.readouterr().out == "counted 10\n"
    assert _main(["resume", "runs/mine-1", "--set", "most=2"]) == 0
    assert capsys.readouterr().out == "counted 1\n"
    KINDS._entries.pop("count")
