"""Scenarios and the command: what is shipped, what is printed, and what is refused."""

import json
import os
from pathlib import Path

import pytest

import analysis
from marl import tabular
from scenarios import Run, find, list_scenarios
from scenarios.cli import _main
from scenarios.lookup import parse
from tests.conftest import KUHN, cli, form, last_json

SOLVING = [row["scenario"] for row in list_scenarios() if row["kind"] == "solve"]


@pytest.mark.parametrize("name", SOLVING)
def test_every_shipped_scenario_runs_as_it_promises(name, tmp_path):
    scenario = find(name)
    run = Run.create(scenario, tmp_path / "run")
    for result in run.execute():
        assert result.nash_conv is not None
        if scenario.stop.target is not None:
            assert result.nash_conv <= scenario.stop.target
        else:
            assert result.iterations == scenario.stop.iterations
    names = {path.name for path in run.path.iterdir()}
    assert {"scenario.toml", "versions.json", "metrics.csv", "checkpoint", "result.json"} <= names
    assert (run.path / "convergence.png").stat().st_size > 10_000
    again = Run.load(run.path)
    assert again.scenario == scenario
    assert again.finished
    compiled = form(scenario.game)
    for label, strategy in again.strategies.items():
        last = again.histories[label].nash_conv.iloc[-1]
        assert analysis.nash_conv(compiled, strategy) == last


def test_the_shipped_scenarios_are_the_promised_ones():
    shipped = {row["scenario"] for row in list_scenarios()}
    assert {"kuhn", "leduc", "liars_dice_5", "goofspiel_4", "kuhn_3", "compare"} <= shipped
    every_cfr = {name for name in tabular.method.REGISTRY if name not in ("mmd", "mccfr")}
    assert every_cfr <= set(find("compare").methods)


def test_scenario_to_toml_and_back():
    for row in list_scenarios():
        changed = "episodes=5" if row["kind"] == "play" else "stop.seconds=5"
        scenario = find(row["scenario"], [changed], seed=7)
        assert scenario.kind == row["kind"]
        assert parse(scenario.to_toml(), "again") == scenario


def test_settings():
    scenario = find("leduc", ["method.name=dcfr", "method.alpha=2", "stop.target=0.5"])
    assert scenario.method == tabular.find("dcfr", dict(alpha=2))
    assert scenario.stop.target == 0.5
    assert find("compare", ["compare.cfr+.averaging=next"]).methods["cfr+"].averaging == "next"
    assert parse('game="kuhn_poker"\nmethod="cfr"', "x", ["method.averaging=next"]).method


BAD_SCENARIOS = [
    ("game = ", "not valid TOML"),
    ('game = "kuhn_poker"', "give either [method] or [compare]"),
    ('method = "cfr"', "game: field required"),
    ('game = "kuhn_poker"\nmethod = "cfr"\nspeed = 1', "no key 'speed': did you mean seed"),
    ('game = "kuhn_poker"\nmethod = "cfr"\n[stop]\niteration = 5', "did you mean iterations"),
    (
        'game = "kuhn_poker"\nmethod = "cfr"\n[stop]\niterations = -5',
        "stop.iterations: input should",
    ),
    ('game = "kuhn_poker"\nmethod = "cfr"\n[stop]\niterations = "many"', "a valid integer"),
    ('game = "kuhn_poker"\nmethod = "pgo"', "unknown method 'pgo': did you mean ppo"),
    ('game = "kuhn_poker"\n[method]\nname="dcfr"\nalfa=1', "did you mean alpha"),
    ('game = "kuhn_poker"\n[compare]\na = 3', "compare"),
    ('game = "kuhn_poker"\nmethod = "cfr"\nseed = -1', "seed"),
    ('name = "../x"\ngame = "kuhn_poker"\nmethod = "cfr"', "name: string should match"),
    ('game = "kuhn_poker"\n[compare]\n"a\\u2028b" = {name="cfr"}', "cannot be a label"),
    ('game = "kuhn_poker"\n[method]\nname = [1]', "unknown method [1]"),
    ('game = "kuhn_poker"\n[method]\nname="mmd"\ntemperature = inf', "finite number"),
    ("a = " + "[" * 5000, "not valid TOML"),
]


@pytest.mark.parametrize(("text", "says"), BAD_SCENARIOS)
def test_bad_scenarios_end_in_one_line_and_leave_nothing(text, says, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("mine.toml").write_text(text)
    assert _main(["run", "mine.toml"]) == 2
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1
    assert os.listdir() == ["mine.toml"]


BAD_COMMANDS = [
    (["solve", "leduc_pokr"], "did you mean leduc_poker"),
    (["solve", "leduc_poker(plyers=2)"], "did you mean players"),
    (["solve", KUHN, "--method", "cfr++"], "unknown method"),
    (["solve", KUHN, "--iterations", "-3"], "greater than or equal to 0"),
    (["solve", KUHN, "--iterations", "x"], "--iterations"),
    (["solve", KUHN, "--target", "-1"], "stop.target"),
    (["solve", KUHN, "--set", "method.alpha=1"], "no key 'alpha'"),
    (["solve", KUHN, "--set", "nonsense"], "key=value"),
    (["solve", KUHN, "--equilibrium", "best"], "nash"),
    (["solve"], "Missing argument"),
    (["run", "leduk"], "did you mean leduc"),
    (["run", "nowhere.toml"], "no such file"),
    (["run", "kuhn", "--set", "stop.iteration=3"], "did you mean iterations"),
    (["run", "kuhn", "--out", "/proc/nowhere"], "choose a folder with --out"),
    (["run", "kuhn", "--out", "file/below"], "choose a folder with --out"),
    (["run", "kuhn", "--out", "."], "choose one below it"),
    (["run", "kuhn", "--set", "compare=3", "--set", "game.x=1"], "game is a value"),
    (["solve", KUHN, "--method", "hs-pcfr+", "--target", "1e-9"], "--iterations"),
    (["solve", "coop_box_pushing", "--method", "mccfr"], "no information-state strings"),
    (["resume", "nowhere"], "is not a run"),
    (["show", "nowhere"], "is not a run"),
    (["frobnicate"], "No such command"),
    (["list", "everything"], "games"),
    (["run", "kuhn", "--faster"], "No such option"),
]


@pytest.mark.parametrize(("arguments", "says"), BAD_COMMANDS)
def test_bad_commands_end_in_one_line_and_status_2(arguments, says, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("")
    assert _main(arguments) == 2
    out, error = capfd.readouterr()
    assert out == ""
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert says in error
    assert os.listdir() == ["file"]


def test_solve_prints_one_json_object_last():
    done = cli("solve", KUHN, "--method", "pdcfr+", "--target", "1e-9", "--json")
    assert (done.returncode, done.stderr) == (0, "")  # no progress where there is no terminal
    answer = last_json(done.stdout)
    assert answer["value"] == pytest.approx(-1 / 18, abs=1e-9)
    assert answer["nash_conv"] <= 1e-9
    assert answer["exploitability"] == answer["nash_conv"] / 2
    assert (answer["game"], answer["method"]) == (KUHN, "pdcfr+")
    assert 0 < answer["iterations"] < 1000
    assert answer["seconds"] > 0


def test_solve_a_game_that_does_not_enumerate(capsys):
    assert _main(["solve", "phantom_ttt", "--method=mccfr", "--iterations=1", "--json"]) == 0
    answer = last_json(capsys.readouterr().out)
    assert answer["nash_conv"] is None
    assert len(answer["values_standard_error"]) == 2


def test_list(capsys):
    assert _main(["list", "--json"]) == 0
    found = last_json(capsys.readouterr().out)
    assert "leduc_poker" in {row["game"] for row in found["games"]}
    assert "python_kuhn_poker" in {row["game"] for row in found["games"]}
    assert {row["method"] for row in found["methods"]} == set(tabular.method.REGISTRY)
    assert _main(["list", "scenarios"]) == 0
    assert "liars_dice_5" in capsys.readouterr().out


def test_run_show_and_second_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for number in (1, 2):
        assert _main(["run", "kuhn", "--json"]) == 0
        answer = last_json(capsys.readouterr().out)
        assert answer["run"] == f"runs/kuhn-{number}"
    assert _main(["show", "runs/kuhn-1", "--json"]) == 0
    assert last_json(capsys.readouterr().out)["nash_conv"] == answer["nash_conv"]
    assert _main(["run", "kuhn", "--out", "runs/kuhn-1"]) == 2  # never over another run
    assert "schelling resume" in capsys.readouterr().err
    metrics = Path("runs/kuhn-1/metrics.csv").read_text()
    assert _main(["resume", "runs/kuhn-1", "--json"]) == 0  # nothing left to do
    assert last_json(capsys.readouterr().out)["iterations"] == answer["iterations"]
    assert Path("runs/kuhn-1/metrics.csv").read_text() == metrics


def test_a_solver_of_a_users_own(tmp_path, monkeypatch, capsys):
    """Its class says that it solves; it runs, stops, goes on and is shown like every solver."""
    source = (Path(__file__).parents[2] / "examples" / "own_method.py").read_text()
    (tmp_path / "fictitious.py").write_text(source)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    name = "fictitious:FictitiousPlay"
    (tmp_path / "own.toml").write_text(
        f'game = "{KUHN}"\nstop.iterations = 50\n[method]\nname = "{name}"\n'
    )
    assert find("own.toml").kind == "solve"
    for arguments in (
        ["run", "own.toml", "--out", "run"],
        ["resume", "run", "--set", "stop.iterations=100"],
        ["show", "run"],
        ["solve", KUHN, "--method", name, "--iterations", "100"],
    ):
        assert _main([*arguments, "--json"]) == 0
    resumed, shown, solved = (
        json.loads(line) for line in capsys.readouterr().out.splitlines()[-3:]
    )
    assert resumed["iterations"] == shown["iterations"] == solved["iterations"] == 100
    assert resumed["nash_conv"] == shown["nash_conv"] == solved["nash_conv"] < 0.05
    for wrong, said in (
        ("fictitious:Play", "subclass of neither marl.tabular.Method nor marl.LearningMethod"),
        ("fictitious:Fictitious", "did you mean FictitiousPlay"),
        ("nowhere:Method", "there is no module 'nowhere'"),
    ):
        assert _main(["solve", KUHN, "--method", wrong]) == 2
        assert said in capsys.readouterr().err
