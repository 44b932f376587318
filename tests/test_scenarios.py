"""Scenarios and runs: what is written, what is refused, and what a crash costs."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import analysis
from games import InputError
from marl import tabular
from scenarios import Run, find, list_scenarios
from scenarios.cli import _main
from scenarios.scenario import parse
from tests.conftest import KUHN, form

LONG = """
game = "leduc_poker"
[method]
name = "pdcfr+"
[stop]
iterations = 2000000
[checkpoint]
seconds = 0.2
"""


def cli(*arguments: str, **options) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "scenarios.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


def last_json(text: str) -> dict:
    return json.loads(text.strip().splitlines()[-1])


@pytest.mark.parametrize("name", [row["scenario"] for row in list_scenarios()])
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
        scenario = find(row["scenario"], ["stop.seconds=5"], seed=7)
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
    ('game = "kuhn_poker"\nmethod = "ppo"', "unknown method 'ppo'"),
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


def iterations_and_gaps(run: Run) -> list[tuple[int, float]]:
    (history,) = run.histories.values()
    return list(zip(history.iteration, history.nash_conv, strict=True))


def test_extending_a_run_equals_a_longer_one(tmp_path):
    settings = ["stop.iterations=300", "stop.target=0"]
    short = Run.create(find("leduc", settings), tmp_path / "short")
    short.execute()
    assert _main(["resume", str(short.path), "--set", "stop.iterations=700"]) == 0
    long = Run.create(find("leduc", ["stop.iterations=700", "stop.target=0"]), tmp_path / "long")
    long.execute()
    longer = Run.load(short.path)
    assert np.array_equal(longer.strategy.probabilities, long.strategy.probabilities)
    # The shorter run was evaluated at its end too, and stays so.
    extra = {300}
    assert [p for p in iterations_and_gaps(longer) if p[0] not in extra] == [
        p for p in iterations_and_gaps(long) if p[0] not in extra
    ]
    assert _main(["resume", str(short.path), "--set", "seed=3"]) == 2


def start_long_run(folder: Path) -> subprocess.Popen:
    folder.parent.joinpath("long.toml").write_text(LONG)
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "scenarios.cli",
            "run",
            str(folder.parent / "long.toml"),
            "--out",
            folder,
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while not list(folder.glob("checkpoint/*.npz")) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert process.poll() is None
    return process


def finish_and_compare(folder: Path, reached: int) -> None:
    """Resume to a little past `reached`; the answer is the uninterrupted one to the last bit."""
    iterations = reached + 1000
    done = cli("resume", str(folder), "--set", f"stop.iterations={iterations}", "--json")
    assert done.returncode == 0, done.stderr
    answer = last_json(done.stdout)
    assert answer["iterations"] == iterations
    whole = tabular.solve(form("leduc_poker"), "pdcfr+", iterations=iterations)
    run = Run.load(folder)
    assert np.array_equal(run.strategy.probabilities, whole.strategy.probabilities)
    history = whole.history
    assert iterations_and_gaps(run) == list(zip(history.iteration, history.nash_conv, strict=True))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupt_saves_and_says_how_to_resume(number, tmp_path):
    folder = tmp_path / "run"
    process = start_long_run(folder)
    process.send_signal(number)
    out, error = process.communicate(timeout=30)
    assert process.returncode == 130
    assert out == ""
    assert f"schelling resume {folder}" in error
    assert error.count("\n") == 1
    reached = int(error.split("iteration ")[1].split()[0].replace(",", ""))
    # What was saved is exactly what had been reached.
    with np.load(next(folder.glob("checkpoint/*.npz"))) as saved:
        assert int(saved["solver.iteration"]) == reached
    shown = cli("show", str(folder))
    assert "not finished" in shown.stdout
    finish_and_compare(folder, reached)


def test_kill_loses_no_more_than_since_the_last_checkpoint(tmp_path):
    folder = tmp_path / "run"
    process = start_long_run(folder)
    time.sleep(0.5)
    process.kill()
    process.communicate(timeout=30)
    with np.load(next(folder.glob("checkpoint/*.npz"))) as saved:
        reached = int(saved["solver.iteration"])
    assert reached > 0
    metrics = folder / "metrics.csv"
    metrics.write_text(metrics.read_text() + "pdcfr+,123,0.")  # a row cut by the crash
    finish_and_compare(folder, reached)
    assert not list(folder.rglob("*.tmp"))


def test_damaged_checkpoint_is_refused_and_can_be_deleted(tmp_path, capsys):
    run = Run.create(find("kuhn"), tmp_path / "run")
    run.execute()
    file = next(run.path.glob("checkpoint/*.npz"))
    before = (run.path / "metrics.csv").read_text()
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    assert _main(["resume", str(run.path)]) == 2
    error = capsys.readouterr().err
    assert "damaged" in error
    assert "delete it to start pdcfr+ over" in error
    assert error.count("\n") == 1
    assert (run.path / "metrics.csv").read_text() == before  # nothing was lost by trying
    assert Run.load(run.path).finished
    file.unlink()
    assert _main(["resume", str(run.path)]) == 0
    assert Run.load(run.path).strategy.probabilities is not None


DAMAGED_FILES = [
    ("metrics.csv", b"method,iteration,seconds,nash_conv\njunk\n"),
    ("metrics.csv", b"method,iteration,seconds,nash_conv\nx,abc,1,2\n"),
    ("metrics.csv", b"\xff\xfe\n"),
    ("result.json", b"{}"),
    ("result.json", b"[]"),
    ("result.json", b'{"results": []}'),
    ("result.json", b'{"results": [{"label": 1}]}'),
    ("result.json", b'{"resul'),
]


@pytest.mark.parametrize(("name", "content"), DAMAGED_FILES)
def test_damaged_files_of_a_run_are_said_and_mended(name, content, tmp_path, capsys):
    run = Run.create(find("kuhn"), tmp_path / "run")
    before = run.execute()
    (run.path / name).write_bytes(content)
    if name == "metrics.csv":
        with pytest.raises(InputError, match="schelling resume"):
            _ = run.histories
        (run.path / "result.json").unlink()  # what it says comes first
    assert _main(["show", str(run.path)]) == 2
    error = capsys.readouterr().err
    assert f"{name} is damaged: `schelling resume" in error
    assert error.count("\n") == 1
    assert _main(["resume", str(run.path)]) == 0
    assert run.results[0].nash_conv == before[0].nash_conv


def test_scenario_of_a_run_that_is_no_text(tmp_path, capsys):
    run = Run.create(find("kuhn"), tmp_path / "run")
    (run.path / "scenario.toml").write_bytes(b"\xff")
    assert _main(["resume", str(run.path)]) == 2
    assert "is not text" in capsys.readouterr().err


def test_refused_resume_changes_nothing(tmp_path, capsys):
    run = Run.create(find("kuhn"), tmp_path / "run")
    run.execute()
    files = {p: p.read_bytes() for p in run.path.rglob("*") if p.is_file()}
    file = next(run.path.glob("checkpoint/*.npz"))
    file.write_bytes(b"")
    assert _main(["resume", str(run.path), "--set", "stop.iterations=9"]) == 2
    assert {p: p.read_bytes() for p in files if p != file} == {
        p: content for p, content in files.items() if p != file
    }


def test_answers_of_a_run_that_goes_on_are_gone(tmp_path):
    run = Run.create(find("kuhn", ["stop.iterations=20"]), tmp_path / "run")
    run.execute()
    longer = Run(run.path, find("kuhn", ["stop.iterations=1000000", "stop.target=0"]))

    def stop(*_):
        raise RuntimeError

    with pytest.raises(RuntimeError):
        longer.execute(progress=stop)
    again = Run.load(run.path)
    assert not again.finished
    assert again.strategies == {}


def test_labels_that_look_alike_keep_apart(tmp_path):
    text = 'game="kuhn_poker"\n[compare]\n"cfr+"={}\ncfrplus={name="cfr"}\n"a/"={name="cfr"}\n'
    scenario = parse(text + '"a?" = {name="dcfr"}', "x", ["stop.iterations=10"])
    run = Run.create(scenario, tmp_path / "run")
    run.execute()
    assert len(list(run.path.glob("strategies/*.npz"))) == 4
    assert set(run.strategies) == set(run.histories) == {"cfr+", "cfrplus", "a/", "a?"}


@pytest.mark.parametrize(
    ("game", "method", "iterations"),
    [("matrix_rps", "cfr", 50), (KUHN, "cfr+", 0), (KUHN, "mccfr", 50)],
)
def test_runs_of_every_kind_end_with_a_picture(game, method, iterations, tmp_path):
    scenario = parse(f'game="{game}"\nmethod="{method}"', "x", [f"stop.iterations={iterations}"])
    run = Run.create(scenario, tmp_path / "run")
    run.execute()
    assert (run.path / "convergence.png").exists()
    assert (run.path / "strategy.png").exists()


def test_scheduled_method_is_not_extended(tmp_path, capsys):
    settings = ["method.name=hs-pcfr+", "stop.iterations=100", "stop.target=0"]
    run = Run.create(find("kuhn", settings), tmp_path / "run")
    run.execute()
    assert _main(["resume", str(run.path), "--set", "stop.iterations=200"]) == 2
    assert "follows a schedule" in capsys.readouterr().err


def test_interrupt_before_the_first_iteration_is_said(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-m", "scenarios.cli", "solve", "phantom_ttt"],
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
    )
    time.sleep(4)  # it compiles for most of a minute
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=30)
    assert process.returncode == 130
    assert error == "interrupted: nothing new was saved\n"


def test_checkpoint_of_another_scenario_is_refused(tmp_path, capsys):
    run = Run.create(find("kuhn"), tmp_path / "run")
    run.execute()
    scenario = run.path / "scenario.toml"
    scenario.write_text(scenario.read_text().replace("kuhn_poker", "leduc_poker"))
    assert _main(["resume", str(run.path)]) == 2
    assert "made by another game" in capsys.readouterr().err


def test_two_processes_do_not_work_on_one_run(tmp_path):
    process = start_long_run(tmp_path / "run")
    try:
        second = cli("resume", str(tmp_path / "run"))
    finally:
        process.kill()
        process.communicate()
    assert second.returncode == 2
    assert "another process is working" in second.stderr


def test_same_seed_same_run(tmp_path):
    probabilities = []
    for name, seed in (("a", 4), ("b", 4), ("c", 5)):
        scenario = find("kuhn", ["method.name=mccfr", "stop.iterations=500"], seed=seed)
        run = Run.create(scenario, tmp_path / name)
        run.execute()
        probabilities.append(run.strategy.probabilities)
    assert np.array_equal(probabilities[0], probabilities[1])
    assert not np.array_equal(probabilities[0], probabilities[2])


def test_missing_strategy_is_said(tmp_path):
    run = Run.create(find("compare"), tmp_path / "run")
    with pytest.raises(InputError, match="0 strategies"):
        _ = run.strategy
    assert run.results is None
