"""The commands of training: run, show, play, sweep, list, and what they refuse."""

import json
import math
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import ANY

import numpy as np
import pandas as pd
import pytest

from games.common.workers import running_ray
from games.navigation.navigation import Navigation
from scenarios import Run, find, list_scenarios
from scenarios.cli import _main
from scenarios.lookup import parse, split
from scenarios.training.sweep import variants
from tests.conftest import KUHN, last_json
from tests.scenarios.test_training_runs import TINY, Broken

TRAINING = [row["scenario"] for row in list_scenarios() if row["kind"] == "train"]
TICTACTOE = """
game = "tic_tac_toe"
method = {name = "ppo", num_envs = 4, rollout_length = 8}
network = {hidden = [8]}
stop = {steps = 64}
"""


@dataclass(frozen=True)
class Drawn(Navigation):
    """A simulator with a drawing of its own."""

    def frame(self, state, game):
        return np.full((4, 6, 3), int(state.steps[game]), np.uint8)


@pytest.fixture(scope="module", autouse=True)
def ray():
    """One Ray for all runs of this process: starting it takes seconds."""
    with running_ray(cpus=2) as started:
        yield started


@pytest.fixture(scope="module")
def folder(tmp_path_factory, ray) -> Path:
    """A trained run."""
    path = tmp_path_factory.mktemp("runs") / "tiny"
    Run.create(parse(TINY, "tiny", ["stop.steps=240"]), path).execute()
    return path


@pytest.mark.parametrize("name", TRAINING)
def test_shipped_training_scenarios_train(name, tmp_path):
    """Two updates each, of the games and networks that they say."""
    plays = (
        "rollout_length" in type(find(name).method).model_fields
    )  # else the learners play whole games
    settings = ["method.num_envs=4", "stop.steps=217"]  # more than one update has
    settings += ["method.rollout_length=30"] if plays else ["method.updates=1"]
    if "learning_starts" in type(find(name).method).model_fields:
        settings.append("method.learning_starts=0")
    scenario = find(name, settings)
    assert parse(scenario.to_toml(), "again") == scenario
    small = [f"{key}={value}" for key, value in SMALL.items() if key.split(".")[0] != "exact"]
    small += [f"{k}={v}" for k, v in SMALL.items() if k[:5] == "exact" and scenario.exact]
    if "periods" in scenario.evaluation.parameters:  # what has learned nothing may order ever more
        small.append("evaluation.parameters={periods=60,ignore=20}")
    (result,) = Run.create(find(name, settings + small), tmp_path / "run").execute()
    steps = 30 if plays else result.metrics["episode_steps"]
    assert (result.updates, result.steps) == (2, 2 * 4 * steps)
    assert math.isfinite(result.metrics["loss"])
    if "entropy" in scenario.method.metrics:
        assert result.metrics["entropy"] > 0


SMALL = {
    "evaluation.every": 1,
    "evaluation.development": 2,
    "evaluation.episodes": 3,
    "exact.every": 1,
}


def test_shipped_training_scenarios_are_the_promised_ones():
    promised = {"navigation", "kuhn-selfplay", "leduc-selfplay", "tictactoe", "spread"}
    assert promised <= set(TRAINING)


def test_run_and_show(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("tiny.toml").write_text(TINY)
    arguments = ["run", "tiny.toml", "--set", "stop.steps=240", "--seed", "3", "--json"]
    assert _main(arguments) == 0
    out, error = capsys.readouterr()
    assert error == ""  # no progress where there is no terminal
    answer = last_json(out)
    assert answer["run"] == "runs/tiny-1"
    assert (answer["updates"], answer["steps"], answer["finished"]) == (2, 240, True)
    assert _main(["show", "runs/tiny-1", "--json"]) == 0
    assert last_json(capsys.readouterr().out) == answer
    assert Run.load("runs/tiny-1").scenario.seed == 3
    (Path("runs/tiny-1/result.json")).unlink()
    assert _main(["show", "runs/tiny-1"]) == 0
    out = capsys.readouterr().out
    assert "not finished" in out
    assert "go on with: schelling resume runs/tiny-1" in out
    assert _main(["show", "runs/tiny-1", "--json"]) == 0
    answer = last_json(capsys.readouterr().out)
    assert (answer["finished"], answer["progress"]["update"]) == (False, 2.0)


def played(capsys, *arguments: str) -> dict:
    assert _main(["play", *arguments, "--json"]) == 0
    out, error = capsys.readouterr()
    return {"error": error, **last_json(out)}


def test_play_repeats_and_counts_every_game(folder, capsys):
    first = played(capsys, str(folder), "--episodes", "7", "--seed", "5")
    assert first["episodes"] == 7
    assert first["return"] == pytest.approx((first["return_0"] + first["return_1"]) / 2)
    assert {"episode_steps", "success", "success_error", "collisions"} <= set(first)
    assert played(capsys, str(folder), "--episodes", "7", "--seed", "5") == first
    others = (["--seed", "6"], ["--seed", "5", "--greedy"])
    for other in others:
        found = played(capsys, str(folder), "--episodes", "7", *other)
        assert found["return"] != first["return"]


def test_play_with_more_agents_and_the_best_policy(folder, capsys):
    game = "navigation(agents=8,max_steps=5)"
    many = played(capsys, str(folder), "--game", game, "--episodes", "2", "--best")
    assert many["game"] == game
    assert "return_7" in many
    file = folder / "best.pt"
    alone = played(capsys, str(file), "--game", game, "--episodes", "2")
    assert alone["return"] == many["return"]


def test_play_prints_a_table(folder, capsys):
    assert _main(["play", str(folder), "--episodes", "3"]) == 0
    out = capsys.readouterr().out
    assert "3 games" in out
    assert "standard error" in out


def test_play_draws_navigation(folder, tmp_path, capsys):
    from PIL import Image

    gif, png = tmp_path / "a.gif", tmp_path / "a.png"
    for file in (gif, png):
        played(capsys, str(folder), "--episodes", "1", "--render", str(file))
    with Image.open(gif) as picture:
        assert picture.n_frames == 21  # 20 steps, and where they led
    with Image.open(png) as picture:
        assert np.asarray(picture).std() > 10


def test_play_draws_a_users_own(folder, tmp_path, capsys):
    from PIL import Image

    file, game = tmp_path / "own.png", f"{__name__}:Drawn(agents=2,max_steps=9)"
    played(capsys, str(folder), "--game", game, "--episodes", "1", "--render", str(file))
    with Image.open(file) as picture:
        assert np.asarray(picture).tolist() == np.full((4, 6, 3), 9).tolist()


def test_play_draws_pettingzoo(tmp_path, capsys):
    from PIL import Image

    game = "pettingzoo:mpe2.simple_spread_v3(max_cycles=4)"
    settings = ["method.num_envs=2", "stop.steps=30", "evaluation.every=0"]
    scenario = parse(TINY, "x", [f'game="{game}"', *settings])
    run = Run.create(scenario, tmp_path / "run")
    run.execute()
    file = tmp_path / "spread.gif"
    played(capsys, str(run.path), "--episodes", "1", "--render", str(file))
    with Image.open(file) as picture:
        assert picture.size[0] > 100


def test_play_tells_openspiel_and_meets_somebody(tmp_path, capsys):
    run = Run.create(parse(TICTACTOE, "x"), tmp_path / "run")
    run.execute()
    assert _main(["play", str(run.path), "--episodes", "2", "--print"]) == 0
    out = capsys.readouterr().out
    assert "player 0: x(" in out
    assert "returns: " in out
    answer = played(capsys, str(run.path), "--episodes", "20", "--against", "random", "--print")
    assert 0 <= answer["wins"] <= 1
    assert "player 1: o(" in answer["error"]
    assert played(capsys, str(run.path), "--episodes", "20")["return"] == 0  # zero-sum, both seats


def test_sweep(tmp_path, capsys):
    (tmp_path / "tiny.toml").write_text(TINY)
    folder = tmp_path / "sweep"
    bad = f"{Broken.__module__}:Broken(agents=2,at=42,max_steps=100)"
    arguments = [
        "sweep", str(tmp_path / "tiny.toml"), "--seeds", "1", "--parallel", "2", "--json",
        "--set-grid", f"game={bad},navigation(agents=2,max_steps=20)", "--out", str(folder),
        "--set", "stop.steps=600",
    ]  # fmt: skip
    assert _main(arguments) == 1  # one of the two failed
    out, error = capsys.readouterr()
    assert error == ""
    rows = last_json(out)["runs"]
    assert [row["game"] for row in rows] == ["navigation(agents=2,max_steps=20)", bad]
    assert [row["updates"] for row in rows] == [5, 2]
    assert rows[0]["failed"] == ""
    assert "agent 1 is not finite at step 42" in rows[1]["failed"]
    table = pd.read_csv(folder / "results.csv")
    assert table["run"].tolist() == [row["run"] for row in rows]
    run = Run.load(folder / rows[0]["run"])
    alone = Run.create(run.scenario, tmp_path / "alone")
    alone.execute()  # Ray Tune changes nothing about a run
    assert alone.results[0].best == run.results[0].best
    assert alone.results[0].best["value"] == rows[0]["return"]
    before = {p: p.read_bytes() for p in run.path.rglob("*") if p.is_file()}
    # Elsewhere it goes on with what is not done, and fails in the same way.
    assert _main([*arguments, "--set", "resources.restarts=7", "--parallel", "1"]) == 1
    assert last_json(capsys.readouterr().out)["runs"] == [rows[0], {**rows[1], "seconds": ANY}]
    assert {p: p.read_bytes() for p in run.path.rglob("*") if p.is_file()} == before
    assert Run.load(folder / rows[1]["run"]).scenario.resources.restarts == 7
    assert _main([*arguments, "--seeds", "2"]) == 2
    assert "holds something else" in capsys.readouterr().err


def test_a_sweep_compares_its_runs_by_one_metric(tmp_path, capsys):
    (tmp_path / "tiny.toml").write_text(TINY)
    folder = tmp_path / "sweep"
    arguments = ["sweep", str(tmp_path / "tiny.toml"), "--set", "evaluation.every=1"]
    grid = ["--set-grid", "checkpoint.best=return,success", "--out", str(folder)]
    assert _main([*arguments, *grid]) == 2
    assert "compared by return and by success" in capsys.readouterr().err
    assert not folder.exists()


def test_variants():
    text = (
        TINY + '[sweep]\nseeds = 2\n[sweep.grid]\nmethod.clip = [0.1, 0.2]\ngame = ["kuhn_poker"]'
    )
    found = variants(parse(text, "x", seed=7))
    assert [v.values for v in found] == [
        {"method.clip": clip, "game": "kuhn_poker", "seed": seed}
        for clip in (0.1, 0.2)
        for seed in (7, 8)
    ]
    assert found[0].name == "000-clip=0.1,game=kuhn_poker,seed=7"
    assert [v.scenario.method.clip for v in found] == [0.1, 0.1, 0.2, 0.2]
    assert len(variants(parse(TINY, "x"))) == 1


def test_grids_are_divided_outside_of_brackets():
    assert split("1,[2,3],navigation(agents=4,layout=swap)") == [
        "1", "[2,3]", "navigation(agents=4,layout=swap)",
    ]  # fmt: skip


def test_list(capsys):
    assert _main(["list", "--json"]) == 0
    found = last_json(capsys.readouterr().out)
    assert "navigation" in {row["simulator"] for row in found["simulators"]}
    learners = {row["learner"]: row for row in found["learners"]}
    assert set(learners) == {
        "ppo", "mappo", "ippo", "pdppo", "reinforce", "hdpo",
        "dqn", "iql", "vdn", "qmix", "maddpg", "matd3", "masac",
    }  # fmt: skip
    assert "clip=0.2" in learners["ppo"]["parameters"]
    assert learners["hdpo"]["description"].startswith("Hindsight differentiable policy optim")
    kinds = {row["scenario"]: row["kind"] for row in found["scenarios"]}
    assert (kinds["kuhn"], kinds["navigation"]) == ("solve", "train")


BAD_COMMANDS = [
    (["run", "tiny.toml", "--set", "method.clp=1"], "did you mean clip"),
    (["run", "tiny.toml", "--set", "network.hiden=[3]"], "did you mean hidden"),
    (["run", "tiny.toml", "--set", "stop.iterations=3"], "no key 'stop.iterations'"),
    (["run", "tiny.toml", "--set", "self_play.pool=1"], "greater than or equal to 2"),
    (["run", "tiny.toml", "--set", "game=navigatoin"], "did you mean navigation"),
    (["run", "tiny.toml", "--set", "game=pettingzoo:mpe2.simple_sprad_v3"], "simple_sprad_v3"),
    (["run", "tiny.toml", "--out", "."], "choose one below it"),
    (["run", "tiny.toml", "--set", "network.memory=4", "--set", "exact.every=2"], "memory"),
    (["run", "kuhn", "--address", "127.0.0.1:1"], "--address is for scenarios that train"),
    (["resume", "nowhere", "--address", "auto"], "is not a run"),
    (["play", "nowhere"], "is not a run"),
    (["play", "file"], "is not a saved policy"),
    (["play", "solved"], "solved a game"),
    (["play", "unborn"], "has no policy yet"),
    (["play", "unborn", "--best"], "has no best policy yet"),
    (["play", "RUN", "--episodes", "0"], "episodes"),
    (["play", "RUN", "--game", "kuhn_poker"], "which this policy was trained on"),
    (["play", "RUN", "--render", "a.mp4"], "end the name in .gif or .png"),
    (["play", "RUN", "--render", "no/a.gif"], "there is no folder no"),
    (["play", "RUN", "--print"], "only moves of trees and tables can be printed"),
    (["play", "RUN", "--against", "god"], "self"),
    (["sweep", "kuhn"], "only scenarios that train can be swept"),
    (["sweep", "tiny.toml", "--set-grid", "method.clip"], "write key=a,b,c"),
    (["sweep", "tiny.toml", "--set-grid", "method.clip=1,"], "write key=a,b,c"),
    (["sweep", "tiny.toml", "--set-grid", "method.clip=1,x"], "method ppo: clip"),
    (["sweep", "tiny.toml", "--set-grid", "method.clap=1,2"], "did you mean clip"),
    (["sweep", "tiny.toml", "--out", "solved"], "holds something else"),
    (["solve", "kuhn_poker", "--method", "ppo"], "ppo trains: write a scenario"),
]


@pytest.mark.parametrize(("arguments", "says"), BAD_COMMANDS)
def test_bad_commands_end_in_one_line_and_status_2(
    arguments, says, folder, tmp_path, monkeypatch, capfd
):
    monkeypatch.chdir(tmp_path)
    Path("tiny.toml").write_text(TINY)
    Path("file").write_text("x")
    Run.create(find("kuhn"), "solved")
    Run.create(parse(TINY, "tiny"), "unborn")
    before = sorted(Path().rglob("*"))
    assert _main([str(folder) if word == "RUN" else word for word in arguments]) == 2
    out, error = capfd.readouterr()
    assert out == ""
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert says in error
    assert sorted(Path().rglob("*")) == before


def test_unreachable_cluster_is_said_at_once(tmp_path):
    (tmp_path / "tiny.toml").write_text(TINY)
    command = [sys.executable, "-m", "scenarios.cli", "run", "tiny.toml", "--address"]
    done = subprocess.run(
        [*command, "127.0.0.1:1"], capture_output=True, text=True, cwd=tmp_path, timeout=60
    )
    assert done.returncode == 2
    assert "no Ray cluster answers at 127.0.0.1:1" in done.stderr
    assert done.stderr.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.toml"]


def test_commands_load_nothing_heavy():
    code = (
        "import sys, json, scenarios.cli, scenarios.runs, scenarios.lookup as s;"
        "s.list_scenarios(); s.find('kuhn');"
        "print(json.dumps([m for m in ('torch', 'ray', 'pettingzoo') if m in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []


def test_missing_extra_is_said(tmp_path):
    (tmp_path / "tiny.toml").write_text(TINY)
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from scenarios.cli import _main\n"
        "sys.exit(_main(['run', 'tiny.toml']) + 10 * _main(['list']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.returncode == 2
    assert "training needs torch and Ray (torch is missing): pip install" in done.stderr
    assert done.stderr.count("\n") == 1


MISSING = [
    ("torch", ["play", KUHN, "--players", "uniform"], "this needs torch (torch", "learning"),
    ("torch", ["list", "rules"], "this needs torch (torch is missing)", "learning"),
    ("torch", ["run", "order-rules"], "this needs torch (torch is missing)", "learning"),
    ("torch", ["solve", "navigation"], "navigation: games that learners play need", "learning"),
    ("ray", ["run", "spread"], "several processes need Ray", "learning"),
    ("highspy", ["solve", KUHN, "--equilibrium", "efce"], "highspy is missing", ""),
]


@pytest.mark.parametrize(("package", "arguments", "said", "extra"), MISSING)
def test_what_is_missing_is_one_line_with_its_command(package, arguments, said, extra, tmp_path):
    code = (
        f"import sys; sys.modules[{package!r}] = None\n"
        f"from scenarios.cli import _main\nsys.exit(_main({arguments!r}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.returncode == 2
    target = f"'.[{extra}]'" if extra else "."
    assert done.stderr.startswith(f"error: {said}")
    assert f": pip install -c constraints.txt {target} in the checkout" in done.stderr
    assert done.stderr.count("\n") == 1


PAGE = Path(__file__).parents[2] / "docs/guides/training.md"


def keys(model, title: str, base=None) -> str:
    """A model's keys as a table, from its own words; only what is not as in its base."""
    rows = [f"**{title}**\n", "| key | default | |", "|---|---|---|"]
    for name, info in model.model_fields.items():
        same = base and base.model_fields.get(name)
        if same and (same.default, same.description) == (info.default, info.description):
            continue
        given = info.get_default(call_default_factory=True)
        plain = list(given) if isinstance(given, tuple) else given
        default = "none" if given is None else f"`{json.dumps(plain)}`"
        text = " ".join((info.description or "").split())
        rows.append(f"| `{name}` | {default} | {text} |" if name != "name" else "")
    return "\n".join(row for row in rows if row != "")


VALUES, OTHERS = ("dqn", "iql", "vdn"), ("qmix", "maddpg", "matd3", "masac")
OFF_POLICY = {
    '[method] name = "dqn", "iql" or "vdn", besides': VALUES,
    **{f'[method] name = "{name}", besides': (name,) for name in OTHERS},
}


def test_the_page_has_every_key():
    from marl.evaluation.exact import Exact
    from marl.learning.method import METHODS
    from marl.learning.off_policy.base import OffPolicyMethod
    from marl.learning.on_policy.pdppo import PDPPO
    from marl.learning.on_policy.ppo import PPO
    from marl.learning.on_policy.reinforce import REINFORCE
    from marl.learning.pathwise.hdpo import HDPO
    from marl.learning.plan import Resources, SelfPlay
    from marl.networks.network import Network
    from scenarios.training import scenario as models

    tables = {
        "[method] name = \"ppo\"": PPO, "[method] name = \"pdppo\"": PDPPO,
        "[method] name = \"reinforce\"": REINFORCE, "[method] name = \"hdpo\"": HDPO,
        "[network]": Network, "[self_play]": SelfPlay, "[resources]": Resources,
        "[stop]": models.TrainingStop,
        "[checkpoint]": models.TrainingCheckpoint, "[evaluation]": models.Evaluation,
        "[exact]": Exact, "[sweep]": models.Sweep,
    }  # fmt: skip
    known = [keys(model, title) for title, model in tables.items()]
    known.append(keys(OffPolicyMethod, "[method] of all off-policy methods"))
    for title, names in OFF_POLICY.items():
        known += {keys(METHODS.load(name), title, OffPolicyMethod) for name in names}
    page = PAGE.read_text()
    for found in known:
        assert found in page, f"write into docs/guides/training.md:\n{found}"


def test_the_pages_simulator_trains(tmp_path, monkeypatch):
    from games.load import simulator
    from games.simulators.check import check_simulator

    blocks = PAGE.read_text().split("```python\n")[1:]
    (code,) = [b.split("```")[0] for b in blocks if "class Meeting" in b]
    (tmp_path / "meeting.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    check_simulator(simulator("meeting:Meeting(walkers=4)"))
    settings = ['game="meeting:Meeting(walkers=2)"', "stop.steps=4000", "evaluation.every=0"]
    settings += ["method.learning_rate=0.01", "method.rollout_length=25", "method.epochs=4"]
    run = Run.create(parse(TINY, "x", settings), tmp_path / "run")
    run.execute()
    met = run.metrics["met"]
    assert met[-5:].mean() > met[:5].mean()
