"""Training in several processes and on a cluster of two nodes, and what happens when they die."""

import math
import os
import signal
import socket
import subprocess
import sys
import time
import types

import numpy as np
import psutil
import pytest
import ray
import torch
from ray.cluster_utils import Cluster
from ray.exceptions import RayTaskError

import marl.rllib.resources
from games.common.errors import InputError
from games.common.workers import WorkerError, _environment, _shut_out, running_ray
from games.load import vector
from marl.learning.on_policy.ppo import PPO
from marl.learning.plan import Plan, Resources, SelfPlay
from marl.learning.trainer import Trainer, train
from marl.networks.network import Network
from marl.rllib.config import algorithm_config
from marl.rllib.faults import of_learner, play
from marl.rllib.resources import bundles
from marl.rllib.runner import ROLLOUT, BatchedRunner

GAMES, FRAGMENT = 4, 10
SMALL = {
    "game": "navigation(agents=2,max_steps=20)",
    "method": PPO(num_envs=GAMES, rollout_length=FRAGMENT, epochs=1, minibatches=1),
    "network": Network(hidden=(8,)),
}
TIMES = {"sample_seconds", "learn_seconds", "sync_seconds", "steps_per_second"}


def plan(**resources) -> Plan:
    return Plan(**SMALL, resources=Resources(**resources))


def places(training: Trainer) -> dict[int, tuple[str, int]]:
    """Env runner to the node and the process that it runs in."""
    found = training.algorithm.env_runner_group.foreach_env_runner(
        lambda runner: (
            runner.worker_index,
            ray.get_runtime_context().get_node_id(),
            os.getpid(),
        ),
        local_env_runner=False,
    )
    return {index: (node, process) for index, node, process in found}


def kill_runners(training: Trainer) -> None:
    for _, process in places(training).values():
        os.kill(process, signal.SIGKILL)


def kill_a_learner(training: Trainer) -> None:
    learners = training.algorithm.learner_group.foreach_learner(lambda _: os.getpid())
    os.kill(learners.result_or_errors[0].get(), signal.SIGKILL)


def until(training: Trainer, reached, seconds: float = 120) -> dict[str, float]:
    """Train on until a row says what is waited for."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        row = training.step()
        if reached(row):
            return row
        time.sleep(0.2)
    raise AssertionError(f"not reached in {seconds} s: {row}")


def require_same_weights(training: Trainer) -> None:
    """The env runners' next actions are drawn by what was learned last."""
    learned = training.algorithm.weights()
    every = training.algorithm.env_runner_group.foreach_env_runner(
        lambda runner: runner.get_state()["rl_module"], local_env_runner=False
    )
    assert every
    for weights in every:
        assert weights.keys() == learned.keys()
        for policy, arrays in learned.items():
            assert arrays.keys() == weights[policy].keys()
            for name, array in arrays.items():
                np.testing.assert_array_equal(np.asarray(weights[policy][name]), array)


@pytest.fixture
def token():
    """As users set it before they start anything."""
    with _environment({"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0123456789abcdef" * 4}):
        yield


def test_two_nodes_a_killed_runner_and_a_lost_node(token, monkeypatch):
    head = {"num_cpus": 2, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    second = cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    try:
        with (
            _environment({"RAY_AUTH_MODE": "disabled"}),
            pytest.raises(InputError, match=r"^cannot join .*: set RAY_AUTH_MODE=token"),
        ):
            train(plan(address=cluster.address))

        monkeypatch.setattr(marl.rllib.resources, "LONGEST_WAIT", 1.0)
        with pytest.raises(
            InputError, match=r"4 env runners .* need 4 CPUs .* has 3 CPUs \(3 free"
        ):
            train(plan(env_runners=4, address=cluster.address))

        monkeypatch.setattr(marl.rllib.resources, "LONGEST_WAIT", 60.0)
        # Three runners need all three processors, so that one of them is on the second node.
        with train(plan(env_runners=3, address=cluster.address)) as training:
            row = training.step()
            assert row["env_runners"] == 3
            assert row["steps"] == 3 * GAMES * FRAGMENT
            require_same_weights(training)
            where = places(training)
            assert {node for node, _ in where.values()} == {
                node.node_id for node in (cluster.head_node, second)
            }

            here = [p for n, p in where.values() if n == cluster.head_node.node_id]
            os.kill(here[0], signal.SIGKILL)
            row = until(training, lambda row: row["env_runners"] < 3)
            assert row["decisions"] < 3 * GAMES * FRAGMENT * 2  # what the dead one played is lost
            row = until(training, lambda row: row["env_runners"] == 3)
            assert row["restarts"] == 1
            require_same_weights(training)

            cluster.remove_node(second)
            row = until(training, lambda row: row["env_runners"] == 2)
            before = row["steps"]
            row = training.step()
            assert row["steps"] == before + 2 * GAMES * FRAGMENT  # goes on with those left

            cluster.add_node(num_cpus=1)
            cluster.wait_for_nodes()
            row = until(training, lambda row: row["env_runners"] == 3)
            assert row["restarts"] == 2
            require_same_weights(training)
    finally:
        cluster.shutdown()


def unequal(**resources) -> Plan:
    """Of hands of different lengths, so that the two learners have unequally many decisions."""
    method = PPO(
        num_envs=5, rollout_length=16, epochs=2, minibatches=3, kl_coefficient=0.2, kl_target=1e-5
    )
    network = Network(hidden=(8,))
    given = Resources(learners=2, **resources)
    return Plan(game="leduc_poker", method=method, network=network, resources=given)


def of_learners(training: Trainer) -> list:
    found = training.algorithm.learner_group.foreach_learner(
        lambda learner: (learner.kl_coefficient, learner.updates)
    )
    return [one.get() for one in found]


def test_several_processes_are_determined_resume_and_die_in_one_line(tmp_path):
    """Two trainings with two env runners and two learners each; then all of the second's die."""

    def told(row):
        return {key: value for key, value in row.items() if key not in TIMES}

    with running_ray(cpus=5):
        with train(unequal(env_runners=2)) as training:
            rows = [told(training.step()) for _ in range(2)]
            training.save(tmp_path / "checkpoint")
            kept = of_learners(training)
            rows += [told(training.step()) for _ in range(2)]
            require_same_weights(training)
        assert kept[0] == kept[1]
        assert kept[0][0]["player"] != 0.2  # the divergence has been steered
        with train(unequal(env_runners=2, restarts=0)) as training:
            assert [told(training.step()) for _ in range(2)] == rows[:2]
            training.step()
            training.restore(tmp_path / "checkpoint")
            assert of_learners(training) == kept
            assert [told(training.step()) for _ in range(2)] == rows[2:]

            kill_a_learner(training)
            with pytest.raises(
                RuntimeError, match=r"^a learner died \(its worker process has died"
            ):
                training.step()
            kill_runners(training)
            with pytest.raises(WorkerError, match=r"^all env runners died more than 0 times"):
                training.step()


def test_a_learner_without_games_and_a_runner_that_comes_back():
    """One game for two learners; and a new env runner plays the past self that the old one did."""
    lone = PPO(num_envs=1, rollout_length=10, epochs=1, minibatches=2)
    given = Resources(env_runners=1, learners=2)
    own = SelfPlay(past=1.0, every=1, pool=2)
    small = SMALL | {"method": lone, "resources": given, "self_play": own}
    with running_ray(cpus=4), train(Plan(**small)) as training:
        training.algorithm._draw = types.SimpleNamespace(integers=lambda n: n - 1)  # the newest
        for _ in range(2):
            row = training.step()
            assert row["decisions"] == 10
            assert math.isfinite(row["explained_variance"])
        kill_runners(training)
        row = training.step()  # which waits for the only one
        assert row["restarts"] == 1
        (faced,) = training.algorithm.env_runner_group.foreach_env_runner(
            lambda runner: runner.past.get_state(), local_env_runner=False
        )
        first, newest = training.algorithm.pool
        for name, array in newest["agent"].items():
            np.testing.assert_array_equal(np.asarray(faced["agent"][name]), array)
        assert not np.array_equal(newest["agent"]["network.head.weight"],
                                  first["agent"]["network.head.weight"])  # fmt: skip


def test_what_does_not_start(monkeypatch):
    """No GPU, no room, another checkout on the node: said at once, before anything is lost."""
    elsewhere = types.ModuleType("only_here")
    monkeypatch.setitem(sys.modules, "only_here", elsewhere)
    elsewhere.Policy = type("Policy", (), {"__module__": "only_here"})
    with running_ray(cpus=2):
        for resources, message in [
            ({"env_runners": 3}, r"3 env runners .* need 3 CPUs .* this machine has 2 CPUs"),
            ({"env_runners": 1, "cpus_per_env_runner": 4}, r"need 4 CPUs"),
            ({"learners": 1, "gpus_per_learner": 99}, r"99 GPUs, but this machine has"),
        ]:
            with pytest.raises(InputError, match=message):
                train(plan(**resources))
        with pytest.raises(WorkerError, match=r"env runner 1 does not start \(.*only_here"):
            train(plan(env_runners=1), against=elsewhere.Policy())


def test_a_gpu_that_is_not_there(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    for key in ("gpus_per_learner", "gpus_per_env_runner"):
        with pytest.raises(InputError, match=f"^resources.{key}: this machine has no GPU"):
            train(plan(**{key: 1}))


def test_games_of_others_are_played_on_the_cpu(monkeypatch):
    """Whatever is set aside, networks are where the observations are."""
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    given = Resources(gpus_per_env_runner=1)
    asked = Plan(**SMALL | {"game": "tic_tac_toe", "resources": given})
    config = algorithm_config(asked, vector(asked.game, 1).spec)
    runner = BatchedRunner(config=config, worker_index=1)
    assert runner.sample().num_steps == GAMES * FRAGMENT
    assert {p.device.type for p in runner.module["player"].network.parameters()} == {"cpu"}


def test_games_of_another_device_start_anew():
    """Random numbers of a GPU do not go on on a CPU; weights do."""
    config = algorithm_config(plan(), vector(SMALL["game"], 1).spec)
    runner, other = (BatchedRunner(config=config, worker_index=1) for _ in range(2))
    first = runner.sample()
    state = runner.get_state(components=[ROLLOUT])
    other.set_state(state)
    torch.testing.assert_close(other.rollout.lengths, torch.full((GAMES,), float(FRAGMENT)))
    other.set_state({**state, ROLLOUT: b"as on a GPU"})
    assert other.rollout.lengths.tolist() == [0.0] * GAMES
    assert not torch.equal(other.sample().nodes, first.nodes)


def test_what_is_set_aside():
    resources = Resources(env_runners=2, cpus_per_env_runner=0.5, learners=1, gpus_per_learner=1)
    assert bundles(resources) == [{"CPU": 0.5}, {"CPU": 0.5}, {"GPU": 1.0}]
    assert bundles(Resources(learners=2)) == [{"CPU": 1.0}, {"CPU": 1.0}]


@pytest.mark.parametrize(
    ("raised", "kind", "message"),
    [
        (InputError("agent 1 at step 7"), InputError, "agent 1 at step 7"),
        (FloatingPointError("not finite"), FloatingPointError, "not finite"),
        (KeyError("speed"), RuntimeError, "env runner 3: KeyError: 'speed'"),
    ],
)
def test_exceptions_in_an_env_runner_come_back(raised, kind, message):
    class Runner:
        worker_index = 3

        def sample(self):
            raise raised

    found = play(Runner())
    assert type(found) is kind
    assert str(found) == message


def test_what_a_learner_raises_comes_back():
    cause = FloatingPointError("policy agent: not finite")
    assert of_learner(RayTaskError("update", "Traceback ...", cause)) is cause


def test_nobody_at_the_address():
    with socket.create_server(("127.0.0.1", 0)) as other:  # listens, but is no cluster
        for address in ("127.0.0.1:1", f"127.0.0.1:{other.getsockname()[1]}"):
            began = time.monotonic()
            with pytest.raises(InputError, match=f"^no Ray cluster answers at {address} "):
                train(plan(address=address))
            assert time.monotonic() - began < 20
    with pytest.raises(InputError, match="Ray's client"):
        train(plan(address="ray://127.0.0.1:10001"))


@pytest.mark.parametrize(
    ("error", "fix"),
    [
        (RuntimeError("Version mismatch: Ray: 2.59.0, this process: Ray: 2.60.0"), "same versions"),
        (ray.exceptions.AuthenticationError("no token"), "RAY_AUTH_MODE=token"),
        (ConnectionError("This node has an IP address of 10.0.0.9"), "on one of its nodes"),
    ],
)
def test_a_cluster_that_does_not_let_us_in(error, fix):
    message = str(_shut_out("10.0.0.1:6379", error))
    assert message.startswith("cannot join the Ray cluster at 10.0.0.1:6379 (")
    assert fix in message
    assert "\n" not in message


DRIVER = """
import sys
from marl.networks.network import Network
from marl.learning.on_policy.ppo import PPO
from marl.learning.plan import Plan, Resources
from marl.learning.trainer import train

plan = Plan(
    game="navigation(agents=2,max_steps=20)",
    method=PPO(num_envs=4, rollout_length=10, epochs=1, minibatches=1),
    network=Network(hidden=(8,)),
    resources=Resources(env_runners=1),
)
with train(plan) as training:
    training.step()
    print("trains", flush=True)
    while True:
        training.step()
"""


def test_nothing_is_left_of_a_killed_driver(tmp_path):
    environment = {k: v for k, v in os.environ.items() if not k.startswith("RAY_AUTH")}
    with subprocess.Popen(
        [sys.executable, "-c", DRIVER],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**environment, "HOME": str(tmp_path)},
    ) as driver:
        assert driver.stdout.readline() == "trains\n"
        others = psutil.Process(driver.pid).children(recursive=True)
        names = [process.name() for process in others]
        assert {"gcs_server", "raylet"} <= set(names)
        assert any("BatchedRunner" in name for name in names)
        driver.kill()
        # Ray's two agents try for a minute more to tell somebody that all the others are dead.
        others = [one for one, name in zip(others, names, strict=True) if "Agent" not in name]
        _, alive = psutil.wait_procs(others, timeout=15)
        assert not alive
        assert driver.stderr.read() == ""
    assert not (tmp_path / ".ray").exists()  # no token is left behind
