"""MAPPO and IPPO are PPO with the critic that their names say, and with no other."""

import pytest
import torch

import marl
from games.common.workers import running_ray
from games.load import vector
from marl.learning.method import find
from marl.learning.plan import Plan
from marl.learning.trainer import train
from marl.networks.network import Network
from scenarios.cli import _main

torch.set_num_threads(1)
GAME = "navigation(agents=3,max_steps=12)"
SMALL = dict(num_envs=4, rollout_length=12, epochs=2, minibatches=2)
NAMED = [("mappo", marl.MAPPO, "central"), ("ippo", marl.IPPO, "own")]


@pytest.fixture(scope="module", autouse=True)
def ray():
    """Started once; every training here joins it."""
    with running_ray(cpus=1) as found:
        yield found


def trained(method, network, path):
    """Two updates, one before and one after a checkpoint: metrics without times, and weights."""
    plan = Plan(game=GAME, method=method, network=network, seed=3)
    with train(plan) as training:
        training.step()
        training.save(path)
    with train(plan) as training:
        training.restore(path)
        row = training.step()
        (network,) = training.policy().networks.values()
    return {k: v for k, v in row.items() if "second" not in k}, network.state_dict()


@pytest.mark.parametrize(("name", "kind", "critic"), NAMED)
def test_equal_to_ppo_with_that_critic_to_the_last_bit(name, kind, critic, tmp_path):
    assert type(find(name, {})) is kind
    row, weights = trained(kind(**SMALL), Network(hidden=(8,)), tmp_path / "named")
    plain = Network(hidden=(8,), critic=critic)
    expected, same = trained(marl.PPO(**SMALL), plain, tmp_path / "ppo")
    assert row == expected
    assert weights.keys() == same.keys()
    assert all(torch.equal(weights[key], same[key]) for key in same)
    assert any(key.startswith("others.") for key in weights) == (critic == "central")


@pytest.mark.parametrize(("name", "kind", "critic"), NAMED)
def test_takes_ppos_parameters(name, kind, critic):
    fields, others = kind.model_fields, marl.PPO.model_fields
    assert fields.keys() == others.keys()
    assert all(fields[k].default == others[k].default for k in fields if k != "name")


REFUSED = [("mappo", "own", "central"), ("ippo", "central", "own")]


@pytest.mark.parametrize(("name", "given", "needed"), REFUSED)
def test_a_critic_that_contradicts_the_name_is_refused(name, given, needed, tmp_path, capsys):
    said = f"method {name} needs network.critic = '{needed}', not '{given}': remove that setting"
    with pytest.raises(ValueError, match=said):
        Plan(game=GAME, method=name, network=Network(critic=given))
    text = f'game = "{GAME}"\nmethod = "{name}"\nnetwork.critic = "{given}"\n'
    (tmp_path / "wrong.toml").write_text(text)
    command = ["run", str(tmp_path / "wrong.toml"), "--out", str(tmp_path / "run")]
    assert _main(command) == 2
    printed = capsys.readouterr().err
    assert said in printed
    assert printed.count("\n") == 1
    assert not (tmp_path / "run").exists()
    # What agrees with the name may be written.
    assert Plan(game=GAME, method=name, network=Network(critic=needed)).network.critic == needed


def test_a_plan_that_was_completed_is_read_again():
    """Its network then has the setting written out."""
    plan = Plan(game=GAME, method="mappo")
    assert Plan.model_validate(plan.model_dump()) == plan
    with pytest.raises(ValueError, match=r"pdppo needs network\.post_decision = True, not False"):
        Plan(game="lot_sizing", method="pdppo", network=Network(post_decision=False))


def test_a_responder_to_a_policy_of_another_kind_has_a_network_that_suits_it():
    """Of a policy of values, which PPO cannot learn; and of a responder with another critic."""
    spec = vector("kuhn_poker", 1).spec
    network = Network(hidden=(8,), policy="values", critic="own")
    policy = marl.Policy.new("kuhn_poker", spec, network)
    method = marl.MAPPO(num_envs=4, rollout_length=8, epochs=1, minibatches=1)
    found = marl.exploitability_lower_bound(policy, updates=1, episodes=4, method=method)
    assert found.updates == (1, 1)
