"""Files and scenarios of others are data: nothing that stands in them is run."""

import io
import json
import pickle
import zipfile
from pathlib import Path

import gymnasium
import numpy as np
import pytest
import torch

import games
from games.load import vector
from games.simulators.simulator import Role, Spec
from games.simulators.spec_json import spec_from_json, spec_to_json
from marl.evaluation.episodes import evaluate
from marl.networks.network import Network
from marl.networks.policy import Policy, _digest
from scenarios.cli import _main

NETWORKS = [
    ("kuhn_poker", Network(hidden=(8,))),
    ("navigation(agents=2,max_steps=5)", Network(encoder="convolution", hidden=(8, 8), memory=4)),
    ("lot_sizing(items=2,machines=2,periods=3)", Network(hidden=(8,), post_decision=True)),
    ("inventory.lost_sales(periods=5)", Network(hidden=(8,), critic="central")),
    ("tests.helpers.example_envs:Harbour", Network(hidden=(), shared_encoder=True)),
]


class Payload:
    """A pickle that makes a file where it is read."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self):
        return Path.touch, (self.file,)


@pytest.mark.parametrize(("game", "network"), NETWORKS, ids=[row[0] for row in NETWORKS])
def test_policies_return_to_the_last_bit(game, network, tmp_path):
    policy = Policy.new(game, vector(game, 1).spec, network, seed=3)
    with torch.no_grad():
        for one in policy.networks.values():
            for k, weight in enumerate(one.parameters()):
                weight.copy_(torch.randn(weight.shape, generator=torch.Generator().manual_seed(k)))
    policy.save(tmp_path / "a.pt")
    again = Policy.load(tmp_path / "a.pt")
    assert (again.game, again.spec, again.config) == (policy.game, policy.spec, policy.config)
    assert again.of_agent == policy.of_agent
    assert list(again.networks) == list(policy.networks)
    for name, one in policy.networks.items():
        mine, theirs = one.state_dict(), again.networks[name].state_dict()
        assert list(mine) == list(theirs)
        assert all(torch.equal(mine[key], theirs[key]) for key in mine)
    again.save(tmp_path / "b.pt")
    assert (tmp_path / "a.pt").read_bytes() == (tmp_path / "b.pt").read_bytes()
    played = [evaluate(one, episodes=3, seed=1).returns for one in (policy, again)]
    assert np.array_equal(*played)


SPACES = [
    gymnasium.spaces.Discrete(3),
    gymnasium.spaces.MultiDiscrete([2, 5]),
    gymnasium.spaces.Box(-np.inf, np.inf, (2,), np.float32),
    gymnasium.spaces.Box(np.float32([0.1, -1 / 3]), np.float32([np.pi, np.inf]), dtype=np.float32),
]


@pytest.mark.parametrize("space", SPACES, ids=str)
def test_specs_return_as_they_were(space):
    spec = Spec("a game", (Role("ä b", space, 4), Role("c", space, 1)), (0, 1, 0), 5, 2)
    again = spec_from_json(spec_to_json(spec))
    assert again == spec
    found = again.roles[0].action_space
    assert found.dtype == space.dtype
    if isinstance(space, gymnasium.spaces.Box):
        assert np.array_equal(found.low, space.low)
        assert np.array_equal(found.high, space.high)


def saved(tmp_path) -> Path:
    policy = Policy.new("kuhn_poker", vector("kuhn_poker", 1).spec, Network(hidden=(8,)))
    policy.save(tmp_path / "policy.pt")
    return tmp_path / "policy.pt"


def with_payload(file: Path, harm: Path) -> bytes:
    """A policy's file whose pickle is another one."""
    target = io.BytesIO()
    with zipfile.ZipFile(file) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            payload = pickle.dumps(Payload(harm))
            new.writestr(name, payload if name.endswith("data.pkl") else old.read(name))
    return target.getvalue()


def pickled(content: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


EVIL = {
    "in torch's file": lambda file, harm: with_payload(file, harm),
    "written by torch": lambda file, harm: pickled({"about": Payload(harm)}),
    "alone": lambda file, harm: pickle.dumps(Payload(harm)),
    "of an earlier version": lambda file, harm: pickled(
        {"format": "schelling policy 1", "spec": vector("kuhn_poker", 1).spec}
    ),
}


@pytest.mark.parametrize("kind", EVIL)
def test_a_pickle_is_refused_and_not_run(kind, tmp_path, capsys):
    file, harm = saved(tmp_path), tmp_path / "harm"
    file.write_bytes(EVIL[kind](file, harm))
    with pytest.raises(games.InputError, match="policy"):
        Policy.load(file)
    assert _main(["play", str(file), "--episodes", "1"]) == 2
    out, error = capsys.readouterr()
    assert out == ""
    assert error.count("\n") == 1
    assert not harm.exists()


def test_a_changed_weight_is_noticed(tmp_path):
    file = saved(tmp_path)
    whole = torch.load(file, weights_only=True)
    next(iter(whole["weights"]["player"].values())).view(-1)[0] += 1e-3
    torch.save(whole, file)
    with pytest.raises(games.InputError, match="is damaged"):
        Policy.load(file)


def test_a_small_file_that_tells_of_a_huge_network(tmp_path):
    """Its weights are compared before anything of that size is made."""
    file = saved(tmp_path)
    whole = torch.load(file, weights_only=True)
    about = json.loads(whole["about"])
    about["config"]["hidden"] = [200_000, 200_000]
    whole["about"] = json.dumps(about)
    del whole["digest"]
    torch.save(whole | {"digest": _digest(whole)}, file)
    with pytest.raises(games.InputError, match="weights of another network"):
        Policy.load(file)
    whole |= {"weights": {}}
    torch.save(whole | {"digest": _digest(whole)}, file)
    with pytest.raises(games.InputError, match="weights of other agents"):
        Policy.load(file)


COMMANDS = [
    "subprocess:getoutput(cmd='touch {harm}')",
    "os:system(command='touch {harm}')",
    "os:mkdir(path='{harm}')",
    "builtins:open(file='{harm}',mode='w')",
    "builtins:exec",
    "subprocess:Popen(args=['touch','{harm}'])",
    "pathlib:Path",
    "tests.games.finite.test_untrusted_files:environment",
    "tests.games.finite.test_untrusted_files:anything",
    "tests.games.finite.test_untrusted_files:env",
    "tests.games.finite.test_untrusted_files:parallel_env",
    "pettingzoo:tests.games.finite.test_untrusted_files",
]


class Anything:
    """Answers to every attribute, as the objects of some packages do."""

    def __getattr__(self, name):
        return self

    def __call__(self, **given):
        raise AssertionError("called")


anything = env = Anything()


def environment():
    """Would make an environment, but nothing says so."""
    raise AssertionError("called")


def parallel_env():
    """Is called as PettingZoo's makers are, in a module that has no environment."""
    raise AssertionError("called")


@pytest.mark.parametrize("game", COMMANDS)
def test_a_scenario_runs_no_command(game, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    game = game.format(harm=tmp_path / "harm")
    with pytest.raises(games.InputError, match=r"not called|no parameter"):
        vector(game, 1)
    Path("evil.toml").write_text(f'game = "{game}"\nmethod = "ppo"\n')
    assert _main(["run", "evil.toml"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["evil.toml"]


@games.makes_games
def wrapped(cycles: int = 3):
    from pettingzoo.utils import parallel_to_aec

    from tests.helpers.example_envs import Relay

    assert cycles
    return parallel_to_aec(Relay())


def test_what_is_marked_makes_games():
    assert (
        vector("tests.games.finite.test_untrusted_files:wrapped(cycles=2)", 1).spec.num_agents == 4
    )
    assert vector("mpe2.simple_spread_v3:env(N=2)", 1).spec.num_agents == 2
