"""Runs: what a crash costs, what goes on to the last bit, and what damage is noticed."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from games import InputError
from marl import tabular
from scenarios import Run, find
from scenarios.cli import _main
from scenarios.lookup import parse
from tests.conftest import KUHN, cli, form, last_json

LONG = """
game = "leduc_poker"
[method]
name = "pdcfr+"
[stop]
iterations = 2000000
[checkpoint]
seconds = 0.2
"""


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
    longer = Run.of(run.path, find("kuhn", ["stop.iterations=1000000", "stop.target=0"]))

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
    time.sleep(6)  # it compiles for most of a minute
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
