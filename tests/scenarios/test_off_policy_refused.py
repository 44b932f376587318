"""Scenarios that methods which learn from remembered play refuse, before anything is made."""

from pathlib import Path

import pytest

from scenarios.cli import _main

NUMBERS = "navigation(agents=2,max_steps=20)"
CHOICES = "tests.helpers.grid_simulator:Exits(num_agents=2)"
ONE = "tests.helpers.small_games:Chain"
STILL = "tests.helpers.small_games:Still(kinds=['{}'])"
MIXED = STILL.format("choice','numbers")

NEVER = [
    *((name, NUMBERS, [], "are numbers: use masac, matd3") for name in ("iql", "vdn", "qmix")),
    *((name, CHOICES, [], "are choices: use masac, qmix") for name in ("maddpg", "matd3")),
    *(
        (name, STILL.format(kind), [], "have none: use ppo or mappo")
        for name in ("maddpg", "matd3", "masac")
        for kind in ("unbounded", "half")
    ),
    *(
        (name, STILL.format("several"), [], "choose one of a few; use mappo or ppo")
        for name in ("iql", "vdn", "qmix", "masac")
    ),
    ("matd3", STILL.format("several"), [], "learns actions that are numbers"),
    ("qmix", MIXED, [], "those of 'numbers' are numbers"),
    ("matd3", MIXED, [], "those of 'choice' are choices"),
    ("masac", MIXED, [], "and this one has both: use mappo or ppo"),
    ("dqn", CHOICES, [], "is for one agent, and this game has 2: use iql"),
    *(
        (name, NUMBERS if name == "matd3" else CHOICES, ["self_play.past=0.5"], "[self_play]")
        for name in ("iql", "qmix", "matd3", "masac")
    ),
    ("iql", CHOICES, ["dataset.path=x"], "does not use [dataset]"),
    ("iql", CHOICES, ["method.replay=300"], "an update plays 256 steps, and two of them must fit"),
    ("iql", CHOICES, ["method.learning_starts=200000"], "never fit into method.replay = 100,000"),
    ("iql", CHOICES, ["method.replay=1000000000000"], "of memory, and "),
    ("iql", CHOICES, ["method.batch_size=100001"], "is more than the method.replay = 100,000"),
    ("qmix", CHOICES, ["method.mixing=1000000000000"], "mixing: input should be less"),
    ("iql", CHOICES, ["method.exploration=1.5"], "1.5 is no share of random choices"),
    ("dqn", ONE, ["method.exploration=[[0, 2.0], [9, 0.1]]"], "2 is no share of random choices"),
    ("masac", CHOICES, ["method.exploration=0.5"], "explores by its entropy"),
    ("masac", CHOICES, ["method.temperature=0"], "temperature: input should be greater than 0"),
    ("dqn", ONE, ["method.target_rate=0"], "target_rate: input should be greater than 0"),
    ("dqn", ONE, ["method.priority=2"], "priority: input should be less than or equal to 1"),
    *(
        (name, game, ["network.encoder=edges", "network.hidden=[8]"], "learn actions on edges")
        for name, game in [("iql", CHOICES), ("matd3", NUMBERS), ("masac", NUMBERS)]
    ),
    ("iql", CHOICES, ["network.critic=central"], "does not use network.critic: remove it"),
    ("matd3", NUMBERS, ["network.critic=central"], "network.critic: set method.critic"),
    ("ppo", NUMBERS, ["network.policy=squashed"], 'ppo needs network.policy = "stochastic"'),
    ("reinforce", CHOICES, ["network.policy=values"], 'needs network.policy = "stochastic"'),
]


@pytest.mark.parametrize(("name", "game", "settings", "says"), NEVER)
def test_is_refused_in_one_line(name, game, settings, says, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    Path("x.toml").write_text(f'game = "{game}"\n[method]\nname = "{name}"\n[stop]\nsteps = 999\n')
    monkeypatch.setattr("ray.init", pytest.fail)
    options = [part for setting in settings for part in ("--set", setting)]
    assert _main(["run", "x.toml", *options]) == 2
    out, error = capfd.readouterr()
    assert out == ""
    assert error.count("\n") == 1
    assert says in error
    assert [path.name for path in tmp_path.iterdir()] == ["x.toml"]
