"""Runs that train: what a crash costs, what goes on to the last bit, and what damage is noticed."""

import csv
import json
import pickle
import shutil
import signal
import struct
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

import analysis
import games
from games.common.workers import running_ray
from games.load import vector
from games.navigation.navigation import Navigation
from marl.learning.trainer import train
from scenarios import Run
from scenarios.cli import _main
from scenarios.interrupt import Interrupted
from scenarios.lookup import parse
from scenarios.training import work as training_work
from scenarios.training.store import checkpoints, read

TINY = """
game = "navigation(agents=2,max_steps=20)"
[method]
name = "ppo"
num_envs = 8
rollout_length = 15
minibatches = 2
epochs = 1
[network]
hidden = [8]
[stop]
steps = 960
[checkpoint]
seconds = 1e-6
[evaluation]
every = 3
episodes = 4
"""
REMEMBERED = """
game = "navigation(agents=2,max_steps=20)"
[method]
name = "matd3"
num_envs = 8
rollout_length = 15
replay = 700
learning_starts = 240
batch_size = 60
gradient_steps = 2
priority = 0.6
[network]
hidden = [8]
memory = 4
[stop]
steps = 960
[checkpoint]
seconds = 1e-6
[evaluation]
every = 3
episodes = 4
"""
KUHN = """
game = "kuhn_poker"
[method]
name = "ppo"
num_envs = 16
rollout_length = 8
[network]
hidden = [8]
[self_play]
past = 0.5
every = 2
[stop]
steps = 1024
[checkpoint]
seconds = 1e-6
best = "nash_conv"
[exact]
every = 2
average = true
"""


@dataclass(frozen=True)
class Broken(Navigation):
    """Pays agent 1 a strange reward at step `at` of a game."""

    at: int = 12
    paid: float = float("nan")

    def step(self, state, actions, generator):
        state, step = super().step(state, actions, generator)
        step.reward[:, 1] = torch.where(state.steps == self.at, self.paid, step.reward[:, 1])
        return state, step


@pytest.fixture(scope="module", autouse=True)
def ray():
    """One Ray for all runs of this process: starting it takes seconds."""
    with running_ray(cpus=2) as started:
        yield started


@pytest.fixture(scope="module")
def whole(tmp_path_factory, ray) -> Run:
    """The uninterrupted run of TINY."""
    run = Run.create(parse(TINY, "tiny"), tmp_path_factory.mktemp("whole") / "run")
    run.execute()
    return run


def is_clock(name: str) -> bool:
    return name.endswith("seconds") or name == "steps_per_second"


def rows(run: Run) -> list[dict[str, str]]:
    """metrics.csv as text, without what the clock says."""
    with (run.path / "metrics.csv").open() as file:
        return [{k: v for k, v in row.items() if not is_clock(k)} for row in csv.DictReader(file)]


def weights(run: Run, best: bool = False) -> list[torch.Tensor]:
    networks = run.policy(best).networks
    return [w for name in networks for w in networks[name].state_dict().values()]


def require_equal(run: Run, other: Run) -> None:
    assert rows(run) == rows(other)
    for best in (False, True):
        pairs = zip(weights(run, best), weights(other, best), strict=True)
        assert all(torch.equal(a, b) for a, b in pairs)
    assert run.results[0].best == other.results[0].best
    assert run.results[0].evaluation == other.results[0].evaluation


def events(run: Run) -> list[tuple[str, int, float]]:
    """Tag, step and value of what TensorBoard shows: later files purge steps of earlier ones."""
    from tensorboardX.proto.event_pb2 import Event, SessionLog

    shown: list[tuple[str, int, float]] = []
    files = sorted((run.path / "tensorboard").iterdir(), key=lambda f: int(f.suffix[1:]))
    for file in files:
        data = file.read_bytes()
        while len(data) >= 12:
            (length,) = struct.unpack("<Q", data[:8])
            event = Event.FromString(data[12 : 12 + length])
            data = data[16 + length :]
            if event.session_log.status == SessionLog.START:
                shown = [entry for entry in shown if entry[1] < event.step]
            shown += [(v.tag, event.step, v.simple_value) for v in event.summary.value]
    return shown


@pytest.mark.parametrize("text", [TINY, REMEMBERED], ids=["ppo", "from memory"])
def test_kill_and_resume_equal_an_uninterrupted_run(text, tmp_path, whole, capsys):
    folder = tmp_path / "run"
    slow = text.replace("seconds = 1e-6", "seconds = 0.3").replace("steps = 960", "steps = 96000")
    (tmp_path / "tiny.toml").write_text(slow)
    process = subprocess.Popen(
        [sys.executable, "-m", "scenarios.cli", "run", "tiny.toml", "--out", folder], cwd=tmp_path
    )
    deadline = time.monotonic() + 120
    beyond = False
    while not beyond and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
        saved = checkpoints(folder)
        beyond = bool(saved) and len(read(folder)) > int(saved[0].name[7:])
    process.kill()
    process.wait(30)
    assert beyond  # rows are lost that the resumed run has to find again
    reached = int(checkpoints(folder)[0].name[7:])
    (folder / "metrics.csv").open("a").write("9,9")  # a row cut by the crash
    (folder / "checkpoint/.update-000099.1.tmp/rllib").mkdir(parents=True)
    updates = max(reached + 4, 8)
    limits = [f"stop.steps={120 * updates}", "checkpoint.seconds=1e-6"]
    assert _main(["resume", str(folder), *(f"--set={s}" for s in limits)]) == 0
    other = Run.create(parse(text, "tiny", limits), tmp_path / "other")
    other.execute()
    require_equal(Run.load(folder), other)
    assert not list(folder.rglob("*.tmp"))
    seconds = Run.load(folder).metrics["seconds"]
    assert seconds.is_monotonic_increasing  # what was spent before is carried over
    mine = [e for e in events(Run.load(folder)) if not is_clock(e[0])]
    assert sorted(mine) == sorted(e for e in events(other) if not is_clock(e[0]))
    assert len(mine) == len({entry[:2] for entry in mine}) > 10 * updates
    if text == REMEMBERED:
        require_replays_refused(folder, updates, capsys)


def require_replays_refused(folder: Path, updates: int, capsys) -> None:
    """A file of the replay is missing from each checkpoint, or damaged, which links share."""
    for k, saved in enumerate(checkpoints(folder)):
        file = saved / "replay" / "rows-000000.npz"
        file.unlink() if k else file.write_bytes(file.read_bytes()[:-9])
    capsys.readouterr()
    assert _main(["resume", str(folder), f"--set=stop.steps={120 * updates + 240}"]) == 2
    error = capsys.readouterr().err
    assert "put it back from a copy, or delete it to start over" in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("text", [TINY, KUHN], ids=["navigation", "kuhn"])
def test_interrupt_saves_and_resume_equals(text, tmp_path, whole):
    run = Run.create(parse(text, "x", ["checkpoint.seconds=1e9"]), tmp_path / "run")

    def interrupt(row):
        if row["update"] == 5:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(Interrupted, match=f"after update 5 and saved.*schelling resume {run.path}"):
        run.execute(progress=interrupt)
    assert [folder.name for folder in checkpoints(run.path)] == ["update-000005"]
    assert not run.finished
    assert run.policy().of_agent
    run.execute()
    other = whole
    if text == KUHN:
        other = Run.create(parse(KUHN, "x"), tmp_path / "other")
        other.execute()
        assert other.metrics["nash_conv_average"].count() == 4
        found = sorted(p.name for p in (run.path / "checkpoint").glob("exact-*"))
        assert found == ["exact-000005.npz", "exact-000008.npz"]
        gap = analysis.nash_conv(games.load(run.scenario.game).sequence_form(), run.strategy)
        assert gap == pytest.approx(run.metrics["nash_conv_average"].dropna().iloc[-1], abs=1e-9)
    require_equal(run, other)


@pytest.mark.parametrize(
    ("text", "evaluation", "update"),
    [(TINY, 1, 3), (TINY, 3, 8), (KUHN + "[evaluation]\nevery = 2\nepisodes = 4\n", 2, 4)],
    ids=["navigation", "the last one", "kuhn"],
)
def test_interrupt_while_evaluating(text, evaluation, update, tmp_path, monkeypatch, whole):
    """It ends at once, not with the last game; what is missing of the row is measured later."""
    settings = ["checkpoint.seconds=1e9"]
    run = Run.create(parse(text, "x", settings), tmp_path / "run")
    evaluated, steps = training_work.evaluate, []

    def interrupted(policy, pause, **options):
        begun.append(policy)

        def step():
            if len(begun) == evaluation:
                steps.append(None)
                if len(steps) == 2:
                    signal.raise_signal(signal.SIGINT)
            pause()

        return evaluated(policy, pause=step, **options)

    begun = []
    with monkeypatch.context() as changed:
        changed.setattr(training_work, "evaluate", interrupted)
        with pytest.raises(Interrupted, match=f"after update {update} and saved"):
            run.execute()
    assert len(steps) == 2
    assert [folder.name for folder in checkpoints(run.path)] == [f"update-{update:06d}"]
    assert [row["update"] for row in read(run.path)] == list(range(1, update + 1))
    run.execute()
    other = whole
    if text != TINY:
        other = Run.create(parse(text, "x"), tmp_path / "other")
        other.execute()
    require_equal(run, other)
    mine, theirs = (sorted(e for e in events(of) if not is_clock(e[0])) for of in (run, other))
    assert mine == theirs


def test_a_run_holds_what_it_promises(whole):
    names = {path.name for path in whole.path.iterdir()}
    assert names == {
        "scenario.toml", "versions.json", "metrics.csv", "tensorboard", "checkpoint", "policy.pt",
        "best.pt", "result.json", "learning.png",
    }  # fmt: skip
    versions = json.loads((whole.path / "versions.json").read_text())
    assert {"torch", "ray", "torch-geometric", "pettingzoo"} <= set(versions)
    assert "not installed" not in {versions["torch"], versions["ray"]}
    kept = sorted(path.name for path in (whole.path / "checkpoint").iterdir())
    last = [f"update-{k:06d}" for k in (6, 7, 8)]
    digests = [f"digest-{k:06d}" for k in (6, 7, 8)]
    looks = [whole.metrics["eval_return"][k] for k in (2, 5)]
    ahead = 6 if looks[1] >= looks[0] else 3
    assert kept == [f"best-{ahead:06d}.pt", *digests, "plan.json", *last]
    again = Run.load(whole.path)
    assert again.scenario == whole.scenario
    (result,) = again.results
    metrics = again.metrics
    assert (result.updates, result.steps) == (8, 960)
    assert metrics["update"].tolist() == list(range(1, 9))
    assert np.isnan(metrics["return"][0])  # no game ended in the first update
    assert metrics["eval_success"].notna().tolist() == [False, False, True] * 2 + [False] * 2
    assert (result.best["metric"], result.best["candidate"]) == ("return", ahead)
    assert result.best["update"] in (ahead, 8)
    assert result.best["last"] == result.evaluation["return"]
    from marl.networks.policy import Policy

    at_best = Policy.load(whole.path / "best.pt").networks["agent"].state_dict()
    for name, tensor in again.policy(best=True).networks["agent"].state_dict().items():
        assert torch.equal(tensor, at_best[name])
    assert result.evaluation.keys() >= {"return", "return_error", "success", "success_error"}
    assert (whole.path / "learning.png").stat().st_size > 20_000


def test_names_of_what_is_measured(whole):
    """Known before anything is measured, so that metrics of a scenario can be checked."""
    plan = whole.scenario.plan
    own = plan.method.measured(plan, vector(plan.game, 1).spec)
    found = {key for row in read(whole.path) for key in row if not key.startswith("eval_")}
    assert found - own == {"success", "arrived", "safe", "collisions", "seconds"}
    assert own <= found
    plan = parse(KUHN, "x", ["method.parameter_sharing=none"]).plan
    with train(plan) as training:
        found = {key for _ in range(3) for key in training.step()}
        assert found == plan.method.measured(plan, training.spec)


RARE = """
game = "tic_tac_toe"
method = {name = "ppo", num_envs = 2, rollout_length = 8}
network = {hidden = [8]}
self_play = {past = 0.1}
stop = {steps = 320, target = {return_against_past = 2}}
"""


def test_a_metric_that_is_not_there_at_every_update(tmp_path):
    """Only now and then does a game against a past self end."""
    run = Run.create(parse(RARE, "x"), tmp_path / "run")
    (result,) = run.execute()
    assert result.steps == 320
    found = run.metrics["return_against_past"]
    first = run.metrics["return"].first_valid_index()
    assert np.isnan(found[first])  # where the name could have been taken for a mistake
    assert found.notna().any()


def test_resuming_a_finished_run_does_nothing(whole):
    before = {p: p.stat().st_mtime_ns for p in whole.path.rglob("*")}
    assert _main(["resume", str(whole.path)]) == 0
    assert {p: p.stat().st_mtime_ns for p in whole.path.rglob("*")} == before


@pytest.fixture
def copy(whole, tmp_path) -> Run:
    shutil.copytree(whole.path, tmp_path / "copy")
    return Run.load(tmp_path / "copy")


LONGER = "--set=stop.steps=1200"


def damage(folder: Path) -> None:
    for file in folder.rglob("*.pkl"):
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def test_damaged_checkpoint_is_passed_over_with_a_word(copy, capsys, tmp_path):
    damage(checkpoints(copy.path)[0])
    assert _main(["resume", str(copy.path), LONGER]) == 0
    error = capsys.readouterr().err
    assert "update-000008 cannot be read: going on from update-000007" in error
    assert error.count("\n") == 1
    longer = Run.create(parse(TINY, "tiny", ["stop.steps=1200"]), tmp_path / "longer")
    longer.execute()
    require_equal(Run.load(copy.path), longer)


def test_nothing_but_damaged_checkpoints(copy, capsys):
    before = (copy.path / "metrics.csv").read_bytes()
    for folder in checkpoints(copy.path):
        (folder / "policy.pt").write_bytes(b"x")
    assert _main(["resume", str(copy.path), LONGER]) == 2
    error = capsys.readouterr().err
    assert "put it back from a copy, or delete it to start over" in error
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert (copy.path / "metrics.csv").read_bytes() == before
    assert copy.finished


class Payload:
    """A pickle that makes a file where it is read."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self):
        return Path.touch, (self.file,)


@pytest.mark.parametrize("digest", ["kept", "missing", "of the other"])
def test_a_checkpoint_of_others_is_not_unpickled(digest, copy, capsys, tmp_path):
    """Refused by its digest before anything of it is read, and before anything starts."""
    for folder in checkpoints(copy.path):
        for file in folder.rglob("*.pkl"):
            file.write_bytes(pickle.dumps(Payload(tmp_path / "harm")))
        noted = folder.with_name(folder.name.replace("update", "digest"))
        if digest == "missing":
            noted.unlink()
        elif digest == "of the other":
            noted.write_text("0" * 64)
    before = {p: p.read_bytes() for p in copy.path.rglob("*") if p.is_file()}
    began = time.monotonic()
    assert _main(["resume", str(copy.path), LONGER]) == 2
    assert time.monotonic() - began < 20  # no training was started for it
    error = capsys.readouterr().err
    assert "digest" in error
    assert "put it back from a copy" in error
    assert error.count("\n") == 1
    assert not (tmp_path / "harm").exists()
    assert {p: p.read_bytes() for p in copy.path.rglob("*") if p.is_file()} == before


DAMAGED_FILES = [
    ("metrics.csv", b"update,steps\n1,x\n", "metrics.csv is damaged"),
    ("metrics.csv", b"update,steps\n1\n", "metrics.csv is damaged"),
    ("metrics.csv", b"\xff\xfe\n", "metrics.csv is damaged"),
    ("metrics.csv", b"steps\n1\n", "metrics.csv is damaged"),
    ("checkpoint/plan.json", b"{", "plan.json is damaged"),
    ("scenario.toml", b"\xff", "is not text"),
]


@pytest.mark.parametrize(("name", "content", "says"), DAMAGED_FILES)
def test_damaged_files_are_said(name, content, says, copy, capsys):
    (copy.path / name).write_bytes(content)
    assert _main(["resume", str(copy.path), *([] if name == "scenario.toml" else [LONGER])]) == 2
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1


CHANGES = [
    ("stop.steps = 960", "seed = 3", "another seed"),
    ("hidden = [8]", "hidden = [16]", "another network"),
    ("agents=2", "agents=3", "another game"),
]


@pytest.mark.parametrize(("_", "setting", "says"), CHANGES)
def test_changed_scenario_is_refused(_, setting, says, copy, capsys):
    key, _, value = setting.partition(" = ")
    if key == "agents=3":
        text = (copy.path / "scenario.toml").read_text().replace("agents=2", "agents=3")
    else:
        name = {"hidden": "network.hidden"}.get(key, key)
        text = parse(TINY, "tiny", [f"{name}={value}"]).to_toml()
    (copy.path / "scenario.toml").write_text(text)
    assert _main(["resume", str(copy.path), LONGER]) == 2
    error = capsys.readouterr().err
    assert says in error
    assert "put that back, or start a new run" in error
    assert error.count("\n") == 1


FAILURES = [
    ("nan", 2, "the reward of agent 1 is not finite at step 42"),
    ("3e38", 1, "numbers that are not finite"),
]


@pytest.mark.parametrize(("paid", "status", "says"), FAILURES)
def test_failure_keeps_the_last_good_checkpoint(paid, status, says, tmp_path, capsys):
    """Games of up to 100 steps; fragments of 15: step 42 is in the third update."""
    value = "float" if paid == "nan" else paid
    given = "at=42,max_steps=100" + ("" if value == "float" else f",paid={paid}")
    text = TINY.replace("navigation(agents=2,max_steps=20)", f"{__name__}:Broken(agents=2,{given})")
    (tmp_path / "broken.toml").write_text(text)
    folder = tmp_path / "run"
    assert _main(["run", str(tmp_path / "broken.toml"), "--out", str(folder)]) == status
    error = capsys.readouterr().err
    assert says in error
    assert "keeps its checkpoint update-000002" in error
    assert error.count("\n") == 1
    assert [f.name for f in checkpoints(folder)] == ["update-000002", "update-000001"]
    run = Run.load(folder)
    assert len(run.metrics) == 2
    assert run.policy().of_agent == ("agent", "agent")
    assert not run.finished


LIMITS = [
    (["stop.target={safe=0.5}", "stop.steps=100000"], 2),  # games end in the second update
    (["stop.target={collisions=1e9}", "stop.steps=100000"], 2),  # fewer are better
    (["stop.target={eval_safe=0.0}", "stop.steps=100000"], 3),
    (["stop.seconds=0"], 0),
    (["stop.steps=121"], 2),
]


@pytest.mark.parametrize(("settings", "updates"), LIMITS)
def test_stop(settings, updates, tmp_path):
    run = Run.create(parse(TINY, "tiny", settings), tmp_path / "run")
    (result,) = run.execute()
    assert result.updates == updates
    assert run.policy().of_agent == ("agent", "agent")


UNKNOWN = [
    ("stop.target={succes=1}", "stop.target: there is no metric 'succes': did you mean success"),
    ("checkpoint.best=retrun", "checkpoint.best: there is no metric 'retrun'"),
    ("checkpoint.best=loss", "checkpoint.best: there is no metric 'loss'"),
    ("checkpoint.best=nash_conv", "checkpoint.best: there is no metric 'nash_conv'"),
    ("evaluation={} checkpoint.best=safe", "checkpoint.best: safe needs evaluation.every = 10"),
    ("stop.target={nash_conv=1}", "there is no metric 'nash_conv'"),
    ("stop.target={eval_wins=1}", "there is no metric 'eval_wins'"),
    ("stop.target={eval_loss=1}", "there is no metric 'eval_loss'"),
    ("stop.target={return_against_past=1}", "there is no metric 'return_against_past'"),
]


@pytest.mark.parametrize(("setting", "says"), UNKNOWN)
def test_unknown_metrics_are_said_before_a_folder_is_made(setting, says, tmp_path, capsys):
    (tmp_path / "tiny.toml").write_text(TINY)
    arguments = ["run", str(tmp_path / "tiny.toml"), "--out", str(tmp_path / "run")]
    settings = [f"--set={one}" for one in setting.split()]
    assert _main([*arguments, *settings]) == 2
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1
    assert not (tmp_path / "run").exists()
