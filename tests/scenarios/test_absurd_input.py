"""Sizes that no machine holds and values that mean something else: refused at once, in one line."""

from pathlib import Path

import numpy as np
import pytest

import games
from games.common import memory
from games.inventory.network import SupplyNetwork
from games.load import vector
from marl.learning.size import count_weights
from marl.networks.policy import Policy
from marl.replay.replay import Draws
from marl.replay.size import replay_bytes
from marl.tabular.method import find as find_method
from scenarios import find
from scenarios.cli import _main
from scenarios.lookup import parse

TINY = """
game = "navigation(agents=2,max_steps=20)"
method = {name = "ppo", num_envs = 8, rollout_length = 15}
network = {hidden = [8]}
stop = {steps = 240}
"""
STORE = 'game="inventory.lost_sales(periods=5)"'
ABSURD = [
    (
        ["network.hidden=[100000,100000]"],
        "network.hidden = [100000, 100000], with 20,002,1",
    ),
    (["network.hidden=[1000000000,4000000000]"], "network.hidden"),
    (["network.memory=1000000000"], "network"),
    (["resources.torch_threads=1" + "0" * 60], "resources.torch_threads: input should be a num"),
    (["resources.torch_threads=1" + "0" * 5000], "resources.torch_threads"),
    (["resources.torch_threads=100000"], "resources.torch_threads"),
    (["resources.env_runners=1000"], "1,000 env_runners and 0 learners on a machine of"),
    (["resources.learners=1000000000"], "1,000,000,000 learners on a machine of"),
    (
        ["method.num_envs=100000000"],
        "method.num_envs = 100,000,000 with method.rollout_length = 15 needs",
    ),
    (["method.rollout_length=1000000000"], "method.rollout_length = 1,000,000,000 needs at least"),
    (
        ["method=matd3", "method.replay=10_000_000_000"],
        "method.replay = 10,000,000,000 needs at least",
    ),
    (["method.epochs=1000000000"], "method ppo: epochs"),
    (["method.minibatches=1000000000"], "method ppo: minibatches"),
    (["evaluation.episodes=1000000000", "evaluation.every=1"], "evaluation.episodes: input should"),
    (
        ["method=hdpo", STORE, "method.num_envs=100000000000"],
        "method.num_envs = 100,000,000,000 of 5",
    ),
    (["method=hdpo", STORE, "method.updates=1000000000"], "updates"),
    (["seed=99999999999999999999"], "seed: input should be a number of at most 64 bits"),
    (["stop.target.bogus=1"], "stop.target: there is no metric 'bogus'"),
    (["checkpoint.best=bogus"], "checkpoint.best: there is no metric 'bogus'"),
    (["checkpoint.best=succes"], "did you mean success"),
    (["checkpoint.best=eval_success"], "needs evaluation.every = 10"),
    (["checkpoint.best=eval_gap", "evaluation.every=1"], "no metric 'eval_gap'"),
    (["method.discount=true"], "discount: input should be a number, not true or false (given: T"),
    (["method.num_envs=true"], "num_envs: input should be a number, not true or false"),
    (["stop.steps=true"], "stop.steps: input should be a number"),
    (["network.hidden=[true]"], "network.hidden: input should be a number"),
    (
        ["network.shared_encoder=1"],
        "network.shared_encoder: input should be true or false, not a number (given: 1)",
    ),
    (["stop.target={return=true}"], "stop.target: input should be a number"),
    (["method.learning_rate=[[0,true]]"], "learning_rate: input should be a number"),
]


@pytest.mark.parametrize(("settings", "says"), ABSURD, ids=[row[0][0][:60] for row in ABSURD])
def test_training_is_refused_before_anything_is_made(settings, says, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    Path("tiny.toml").write_text(TINY)
    monkeypatch.setattr("ray.init", pytest.fail)
    options = [part for setting in settings for part in ("--set", setting)]
    assert _main(["run", "tiny.toml", *options]) == 2
    out, error = capfd.readouterr()
    assert out == ""
    assert error.count("\n") == 1
    assert len(error) < 400
    assert says in error
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.toml"]


def test_a_run_says_what_its_replay_takes_before_it_starts(tmp_path, monkeypatch, capfd):
    """2,000 steps of 2 agents and their obstacles, to the byte, and an estimate of their edges."""

    def start(plan):
        raise games.InputError("started")

    monkeypatch.chdir(tmp_path)
    Path("tiny.toml").write_text(TINY.replace("ppo", "matd3"))
    monkeypatch.setattr("scenarios.training.scenario.train", start)
    settings = ["--set=method.replay=2000", "--set=method.learning_starts=500"]
    assert _main(["run", "tiny.toml", *settings]) == 2
    first, second, last = capfd.readouterr().err.splitlines()
    spec = vector("navigation(agents=2,max_steps=20)", 1).spec
    size = replay_bytes(spec, 2000, Draws()) / 2**20
    assert first == f"replay: 2,000 steps of games, {size:.1f} MiB"
    assert second.startswith("replay: about ")
    assert "edges of each step, " in second
    assert last == "error: started"


GAMES = [
    ("navigation(agents=True)", "agents: input should be a number, not true or false"),
    ("navigation(dt=false)", "dt: input should be a number"),
    ("navigation(agents=100000,area=1e6)", "100,000 agents and 0 obstacles needs at least"),
    ("navigation(area=1e300)", r"area is 1e\+300; give at most"),
    ("safe_navigation(central=1)", "central: input should be true or false"),
    ("inventory.lost_sales(whole=1)", "whole: input should be true or false, not a number"),
    ("inventory.lost_sales(look_back=1000000000)", "look_back is 1,000,000,000; give at most"),
    ("inventory.lost_sales(traces=1000000000000)", "traces = 1,000,000,000,000 of 50 periods need"),
    ("inventory.one_warehouse(stores=10000000000000000000000)", "stores: .* at most 64 bits"),
    ("inventory.one_warehouse(stores=1000000000)", "stores is 1000000000; give 1 to 1,000"),
    ("inventory.one_warehouse(instance=-1)", "instance is -1; give 0 or more"),
    ("inventory.or_gym(version=True)", "version: input should be a number"),
    ("lot_sizing(items=1000000000)", "items is 1,000,000,000; give at most"),
    ("lot_sizing(machines=1,items=1000)", "no plant was found"),
    ("inventory.lost_sales(lead_time=" + "(" * 300 + ")" * 300 + ")", "parameters are written"),
]


@pytest.mark.parametrize(("name", "says"), GAMES, ids=[row[0][:50] for row in GAMES])
def test_games_are_refused_before_they_are_made(name, says):
    with pytest.raises(games.InputError, match=says) as caught:
        vector(name, 1)
    assert "\n" not in str(caught.value)


SWEEPS = [
    (["--set", "checkpoint.best=bogus"], "there is no metric 'bogus'"),
    (["--set-grid", "network.hidden=[8],[100000,100000]"], "network.hidden = [100000, 100000]"),
    (["--seeds", "1000000000"], "1,000,000,000 runs"),
    (["--parallel", "1000000000", "--seeds", "1000"], "at once"),
    (["--set-grid", "method.num_envs=true"], "num_envs: input should be a number"),
]


@pytest.mark.parametrize(("options", "says"), SWEEPS)
def test_sweeps_are_refused_before_anything_is_made(options, says, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    Path("tiny.toml").write_text(TINY)
    assert _main(["sweep", "tiny.toml", *options]) == 2
    out, error = capfd.readouterr()
    assert out == ""
    assert error.count("\n") == 1
    assert says in error
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.toml"]


@pytest.mark.parametrize("shape", [(0,), (0, 5), (3, 0), (0, 0, 1)])
def test_demand_without_numbers(shape, tmp_path):
    np.save(tmp_path / "d.npy", np.zeros(shape))
    with pytest.raises(games.InputError, match=r"d\.npy"):
        vector(f"inventory.series(file='{tmp_path / 'd.npy'}')", 1)


def test_an_empty_file_of_demand(tmp_path):
    (tmp_path / "d.npy").write_bytes(b"")
    with pytest.raises(games.InputError, match="cannot read demand"):
        vector(f"inventory.series(file='{tmp_path / 'd.npy'}')", 1)


def test_numbers_and_truth_are_told_apart_everywhere():
    """In methods that solve, in scenarios that solve, in networks; what is meant still passes."""
    for options in ({"alpha": True}, {"gamma": False}):
        with pytest.raises(games.InputError, match="input should be a number"):
            find_method("dcfr", options)
    with pytest.raises(games.InputError, match="node_budget: input should be a number"):
        parse('game = "kuhn_poker"\nnode_budget = true', "x")
    network = {
        "locations": {"shop": {"holding": 1.0}},
        "links": [{"source": "supplier", "target": "shop", "lead_time": 2}],
        "demand": {"kind": "poisson", "mean": 3},
    }
    assert SupplyNetwork.checked(network, "x").stores == ("shop",)
    for wrong in ({"mean": True}, {"mean": [True]}):
        with pytest.raises(games.InputError, match=r"demand\.mean: input should be a number"):
            SupplyNetwork.checked({**network, "demand": {"kind": "poisson", **wrong}}, "x")
    shop = {"shop": {"holds": 0}}
    with pytest.raises(games.InputError, match=r"locations\.shop\.holds: input should be true or"):
        SupplyNetwork.checked({**network, "locations": shop}, "x")
    given = [
        "network.shared_encoder=true",
        "method.num_envs=64.0",
        "stop.steps=1e6",
        "method.discount=1",
    ]
    scenario = parse(TINY, "x", given)
    assert (scenario.network.shared_encoder, scenario.method.num_envs) == (True, 64)
    assert (scenario.stop.steps, scenario.method.discount) == (1_000_000, 1.0)


@pytest.mark.parametrize("name", ["navigation", "one-warehouse-graph", "lot-sizing", "online-cbf"])
def test_weights_are_counted_before_they_are_there(name):
    scenario = find(name)
    spec = vector(scenario.game, 1).spec
    policy = Policy.new(scenario.game, spec, scenario.network, scenario.method.parameter_sharing)
    there = sum(w.numel() for net in policy.networks.values() for w in net.parameters())
    assert count_weights(scenario.plan, spec) == there


def test_memory_is_asked_of_machine_container_and_process(tmp_path, monkeypatch):
    assert 0 < memory.available() < 2**50
    machine = tmp_path / "meminfo"
    machine.write_text("MemTotal:  64 kB\nMemAvailable:   32 kB\n")
    monkeypatch.setattr(memory, "MACHINE", machine)
    assert memory.available() == 32 * 1024
    monkeypatch.setattr(memory, "GROUP", tmp_path)
    (tmp_path / "memory.max").write_text("5000\n")
    (tmp_path / "memory.current").write_text("4000\n")
    (tmp_path / "memory.stat").write_text("anon 3000\ninactive_file 600\nactive_file 400\n")
    assert memory.available() == 2000
    memory.require_memory(2000, "all of it", "")
    with pytest.raises(games.InputError, match=r"more needs at least 0\.0 MiB"):
        memory.require_memory(2001, "more", "less")
