"""Learning methods of a user's own, each in one file that nothing here knows: what `marl` offers
them, by a plan and by a scenario."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import marl
import scenarios
from games import InputError
from games.common.workers import running_ray
from games.load import vector
from marl.evaluation.episodes import evaluate
from marl.learning.method import METHODS
from marl.rollouts.trajectory import Trajectory
from scenarios.cli import _main

torch.set_num_threads(1)
EXITS = "tests.helpers.grid_simulator:Exits(num_agents=2,size=3)"
BEST = 1 - 0.05 * (16 / 9 + 1 / 9)  # ways of 16 / 9 on average, of which 1 in 9 is 0 and costs 1

Q_LEARNING = '''
"""Q-learning (Watkins 1989): what a network says of a choice is Q / temperature, so that its policy
is Boltzmann's."""

import torch

import marl
from marl.learning.schedule import Schedule, at
from marl.rllib.off_policy.learner import Learned, OffPolicyLearner


class QLearning(marl.OffPolicyMethod):
    """Q-learning off policy, whose play gets greedier as the temperature falls."""

    learner = "q_learning:QLearner"
    metrics = (*marl.OffPolicyMethod.metrics, "temperature")
    takes = "choices"

    rollout_length: int = 10
    learning_rate: Schedule = 3e-3
    discount: float = 0.95
    temperature: Schedule = 0.1
    learning_starts: int = 0
    replay: int = 3_000
    batch_size: int = 640
    gradient_steps: int = 8
    target_every: int = 8
    target_rate: float = 1.0


class QLearner(OffPolicyLearner):
    def gradient_step(self, batch, steps):
        temperature = at(self.method.temperature, steps)
        now = self.values(self.networks, batch.now)
        with torch.no_grad():
            ahead = self.values(self.target_networks, batch.later).amax(2)
        value = temperature * now.gather(2, batch.actions)[..., 0]
        target = batch.reward + batch.discount * temperature * ahead.gather(0, batch.where)
        loss = torch.nn.functional.smooth_l1_loss(value[batch.known], target[batch.known])
        norm = self.descend(loss, self.optimisers(steps))
        return Learned(
            (target - value).detach().abs().mean(1),
            {"loss": loss, "gradient_norm": norm, "temperature": torch.tensor(temperature)},
        )

    def values(self, networks, view):
        """Logits [K, N, A] of all choices; 0 where nobody acts."""
        found = torch.zeros(view.seen.action_mask.shape)
        for network, mine in zip(networks, self.mine):
            mask = view.seen.acting & mine
            logits, _ = network.policy(view.input(mask, network))
            found = found.masked_scatter(mask[..., None], logits)
        return found
'''

CLONING = '''
"""Behaviour cloning: the likelihood of what somebody else played; no games, and no RLlib."""

import torch

import marl
from games.common.seeds import seeds
from games.load import vector
from marl.learning.checkpoint import POLICY, saved_policy, whole_folder
from marl.learning.schedule import at
from marl.networks.distributions import distribution
from marl.rollouts.decisions import Decisions


class Cloning(marl.LearningMethod):
    """Imitates a data set."""

    trainer = "cloning:CloningTrainer"
    tables = ("network", "dataset")
    counts = "gradient steps"

    minibatches: int = 5


class CloningTrainer:
    def __init__(self, plan, *, against=None, seats=()):
        self.plan, self.spec = plan, vector(plan.game, 1).spec
        self.updates = self.steps = 0
        self.learned = marl.Policy.new(plan.game, self.spec, plan.network, seed=plan.seed)
        ((_, self.network),) = self.learned.networks.items()
        self.decisions = Decisions(marl.Trajectory.load(plan.dataset.path), 0, self.network)
        self.optimiser = torch.optim.Adam(self.network.parameters())

    @classmethod
    def measured(cls, plan, spec):
        return frozenset({"update", "steps", "loss", "learning_rate"})

    def step(self):
        method, losses = self.plan.method, []
        generator = torch.Generator().manual_seed(seeds(self.plan.seed, self.updates)[0])
        rate = self.optimiser.param_groups[0]["lr"] = at(method.learning_rate, self.steps)
        for part in self.decisions.minibatches(method.minibatches, generator):
            parameters, _ = self.network.policy(part.input)
            loss = -distribution(self.network.role).logp(parameters, part.actions).mean()
            self.optimiser.zero_grad()
            loss.backward()
            self.optimiser.step()
            losses.append(loss.item())
        self.updates, self.steps = self.updates + 1, self.steps + len(losses)
        return {
            "update": float(self.updates), "steps": float(self.steps),
            "loss": sum(losses) / len(losses), "learning_rate": rate,
        }

    def policy(self):
        copy = marl.Policy.new(self.plan.game, self.spec, self.plan.network)
        for name, network in self.learned.networks.items():
            copy.networks[name].load_state_dict(network.state_dict())
        return copy

    def save(self, path, record=lambda digest: None):
        with whole_folder(path, record) as folder:
            self.learned.save(folder / POLICY)
            state = {"adam": self.optimiser.state_dict(), "at": (self.updates, self.steps)}
            torch.save(state, folder / "adam.pt")

    def restore(self, path):
        for name, network in saved_policy(path, self.plan, self.spec).networks.items():
            self.learned.networks[name].load_state_dict(network.state_dict())
        state = torch.load(path / "adam.pt", weights_only=True)
        self.optimiser.load_state_dict(state["adam"])
        self.updates, self.steps = state["at"]

    def close(self):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
'''


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A folder in which Python finds the methods of a user."""
    (tmp_path / "q_learning.py").write_text(Q_LEARNING.lstrip())
    (tmp_path / "cloning.py").write_text(CLONING.lstrip())
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name in ("q_learning", "cloning"):
        sys.modules.pop(name, None)


def scenario(folder: Path, text: str):
    (folder / "own.toml").write_text(text)
    return scenarios.find(str(folder / "own.toml"))


def weights(policy):
    return torch.cat([p.flatten() for n in policy.networks.values() for p in n.parameters()])


def comparable(row):
    """What does not depend on the clock."""
    return {key: value for key, value in row.items() if "second" not in key}


# --- off policy, on RLlib

SMALL = dict(game=EXITS, network=marl.Network(hidden=(32,)))


def test_an_off_policy_learner_takes_80_lines():
    assert len(Q_LEARNING.strip().splitlines()) <= 90
    code = [line for line in Q_LEARNING.strip().splitlines() if line.strip()]
    assert len(code) <= 80


def test_it_learns_and_goes_on_to_the_last_bit(own):
    plan = marl.Plan(**SMALL, method="q_learning:QLearning")
    with running_ray(1), marl.train(plan) as training:
        rows = [training.step() for _ in range(60)]
        training.save(own / "checkpoint")
        after = [comparable(training.step()) for _ in range(3)]
        policy = training.policy()
    assert {"loss", "temperature", "remembered"} <= set(rows[0])
    assert rows[0]["remembered"] < rows[1]["remembered"]
    assert rows[-1]["remembered"] == 3000
    missing = plan.method.measured(plan, training.spec) - set(rows[-1])
    assert missing <= {"value", "error"}
    played = evaluate(policy, episodes=500, greedy=True, seed=1)
    untrained = marl.Policy.new(EXITS, training.spec, plan.network)
    assert evaluate(untrained, episodes=500, seed=1).returns.mean() < BEST - 0.3
    assert played.returns.mean() == pytest.approx(BEST, abs=0.05)
    with running_ray(1), marl.train(plan) as training:
        training.restore(own / "checkpoint")
        assert [comparable(training.step()) for _ in range(3)] == after
        assert torch.equal(weights(training.policy()), weights(policy))


def test_a_scenario_names_it(own):
    found = scenario(
        own,
        f'game = "{EXITS}"\nmethod = {{ name = "q_learning:QLearning", num_envs = 8, '
        "temperature = [[0.0, 0.5], [1.0, 0.1]] }\nstop.steps = 800\nevaluation.every = 5\n"
        "evaluation.episodes = 20\nnetwork.hidden = [16]\n",
    )
    assert found.method.name == "q_learning:QLearning"
    run = scenarios.Run.create(found, own / "run")
    (result,) = run.execute()
    assert (result.steps, result.updates) == (800, 10)
    metrics = run.metrics
    assert metrics["temperature"].iloc[0] == pytest.approx(0.46)  # after the first 80 steps
    assert (metrics["temperature"].diff()[1:] < 0).all()
    assert scenarios.Run.load(own / "run").scenario == found


def test_what_it_does_not_use_is_refused(own):
    text = f'game = "{EXITS}"\nmethod = "q_learning:QLearning"\nself_play.past = 0.5\n'
    with pytest.raises(InputError, match=r"method q_learning:QLearning does not use \[self_play\]"):
        scenario(own, text).check()
    with pytest.raises(InputError, match=r"there is no key 'clip'"):
        scenario(
            own, f'game = "{EXITS}"\nmethod = {{ name = "q_learning:QLearning", clip = 0.2 }}\n'
        )
    with pytest.raises(InputError, match="q_learning has no QLearnin: did you mean QLearning"):
        scenario(own, f'game = "{EXITS}"\nmethod = "q_learning:QLearnin"\n')
    with pytest.raises(InputError, match="no module 'nowhere'"):
        scenario(own, f'game = "{EXITS}"\nmethod = "nowhere:Method"\n')


def test_a_method_by_a_name_of_its_own(own):
    import q_learning

    marl.register_method("q-learning")(q_learning.QLearning)
    try:
        assert marl.Plan(game=EXITS, method="q-learning").method.name == "q-learning"
        found = scenario(own, f'game = "{EXITS}"\nmethod = "q-learning"\n')
        assert type(found.method) is q_learning.QLearning
        with pytest.raises(InputError, match="exists already"):
            marl.register_method("ppo")(q_learning.QLearning)
    finally:
        METHODS._entries.pop("q-learning")


# --- from a data set, without RLlib


class Walker:
    """Goes straight to the exit: an actor."""

    def start(self, num_envs):
        self.over = torch.zeros(num_envs, dtype=torch.int64)

    def act(self, seen, generator):
        way = (seen.nodes[..., 2:4] * 3).round()
        along = torch.where(way[..., 0] > 0, 3, 4)
        up = torch.where(way[..., 1] > 0, 1, 2)
        choice = torch.where(way[..., 0] != 0, along, torch.where(way[..., 1] != 0, up, 0))
        return choice[..., None]

    def forget(self, over):
        self.over += over


@pytest.fixture
def dataset(own):
    marl.record(vector(EXITS, 50), Walker(), 30, seed=3).save(own / "walks.npz")
    return own / "walks.npz"


def test_recording_says_what_was_played(dataset):
    played = Trajectory.load(dataset)
    walker = Walker()
    walker.start(50)
    again = marl.record(vector(EXITS, 50), walker, 30, seed=3)
    assert played.num_steps == 1500
    assert walker.over.min() >= 3  # games are over and begin anew
    for name, tensor in vars(again).items():
        if name != "extras":
            assert torch.equal(getattr(played, name), tensor)
    # By the rewards: paid at every step of those who act, and once on leaving.
    acting = played.acting
    assert torch.equal(played.policy, acting.long() - 1)
    left = acting & played.terminated
    expected = left.float() - 0.05 * acting
    torch.testing.assert_close(played.reward, expected)
    assert torch.equal(played.fresh[1:].all(dim=2), played.terminated[:-1].all(dim=2))
    two = Trajectory.join(played.split(2))
    assert torch.equal(two.nodes, played.nodes)
    with pytest.raises(InputError, match="at least 1"):
        marl.record(vector(EXITS, 5), walker, 0)


def test_a_file_of_something_else_is_refused(own, dataset):
    (own / "walks.npz").write_bytes(dataset.read_bytes()[:-10])
    with pytest.raises(InputError, match="damaged"):
        Trajectory.load(own / "walks.npz")
    with pytest.raises(InputError, match="no such file"):
        Trajectory.load(own / "nowhere.npz")


def test_a_trainer_learns_from_a_data_set(own, dataset, capsys):
    """Steps are gradient steps: schedules follow them, and a run stops after so many."""
    found = scenario(
        own,
        f'game = "{EXITS}"\ndataset.path = "{dataset}"\nnetwork.hidden = [32]\n'
        'method = { name = "cloning:Cloning", learning_rate = [[0.0, 0.02], [1.0, 0.0]] }\n'
        "stop.steps = 200\nevaluation.every = 20\nevaluation.episodes = 300\n"
        "evaluation.greedy = true\ncheckpoint.seconds = 1e-6\n",
    )
    run = scenarios.Run.create(found, own / "run")
    (result,) = run.execute()
    assert (result.steps, result.updates) == (200, 40)
    metrics = run.metrics
    assert list(metrics["steps"]) == list(range(5, 201, 5))
    np.testing.assert_allclose(metrics["learning_rate"], 0.02 * (1 - (metrics["steps"] - 5) / 200))
    assert metrics["loss"].iloc[-1] < 0.1 < 1.0 < metrics["loss"].iloc[0]
    assert metrics["eval_return"].count() == 2
    assert result.evaluation["return"] == pytest.approx(BEST, abs=0.05)
    assert (own / "run" / "metrics.csv").stat().st_size > 1000
    assert _main(["show", str(own / "run")]) == 0
    assert "gradient steps" in capsys.readouterr().out

    stops = scenario(
        own,
        f'game = "{EXITS}"\ndataset.path = "{dataset}"\nnetwork.hidden = [32]\n'
        'method = { name = "cloning:Cloning", learning_rate = 0.02 }\n'
        "stop = { steps = 10_000, target = { loss = 0.5 } }\n",
    )
    (result,) = scenarios.Run.create(stops, own / "stops").execute()
    assert result.metrics["loss"] <= 0.5
    assert 5 < result.steps < 200


def test_it_goes_on_to_the_last_bit(own, dataset):
    plan = marl.Plan(**SMALL, method="cloning:Cloning", dataset=marl.Dataset(path=str(dataset)))
    with marl.train(plan) as whole:
        whole.step()
        whole.save(own / "checkpoint")
        rows = [whole.step() for _ in range(2)]
    with marl.train(plan) as again:
        again.restore(own / "checkpoint")
        assert [again.step() for _ in range(2)] == rows
        assert torch.equal(weights(again.policy()), weights(whole.policy()))


def test_it_needs_no_rllib(own, dataset):
    """In a process that has none."""
    text = f'game = "{EXITS}"\ndataset.path = "{dataset}"\nmethod = "cloning:Cloning"\n'
    (own / "own.toml").write_text(text + "stop.steps = 10\n")
    code = (
        f"import sys; sys.modules['ray'] = None; sys.path.insert(0, {str(own)!r})\n"
        "from scenarios.cli import _main\n"
        f"sys.exit(_main(['run', {str(own / 'own.toml')!r}, '--out', {str(own / 'run')!r}]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (own / "run" / "result.json").exists()


def test_a_data_set_that_nobody_learns_from_is_refused(dataset):
    plan = marl.Plan(**SMALL, dataset=marl.Dataset(path=str(dataset)))
    with pytest.raises(InputError, match=r"method ppo does not use \[dataset\]"):
        marl.train(plan)
