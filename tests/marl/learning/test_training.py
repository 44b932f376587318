"""Training learns what is known to be best, repeats itself, resumes, and says what is wrong."""

import hashlib
import json
import pickle
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from pathlib import Path

import gymnasium
import numpy as np
import pytest
import torch
from torch import Tensor

from games import InputError
from games.common.workers import running_ray
from games.load import load, vector
from games.simulators.simulator import Observation, Role, Spec, Step, no_edges
from marl.evaluation.actors import Uniform
from marl.evaluation.episodes import evaluate
from marl.learning.checkpoint import POLICY
from marl.learning.on_policy.ppo import PPO
from marl.learning.plan import Plan, SelfPlay
from marl.learning.trainer import train
from marl.networks.network import Network
from marl.networks.policy import Policy
from marl.rllib.trainer import STATE
from tests.helpers.grid_simulator import Exits

torch.set_num_threads(1)
HERE, ROOT = "tests.marl.learning.test_training", Path(__file__).parents[3]


@pytest.fixture(scope="module", autouse=True)
def ray():
    """Started once; every training here joins it."""
    with running_ray(cpus=1) as found:
        yield found


# --- games of which the best is known


@dataclass(frozen=True)
class Drawn:
    """What was drawn at the start of B games, and how far they are."""

    value: Tensor  # [B, N] or [B, N, D]
    steps: Tensor  # [B] int64


def drawn(value):
    return Drawn(value, torch.zeros(len(value), dtype=torch.int64))


def paid(state, reward, length=1, **info):
    """The state and step after a move in games of `length` steps."""
    new = replace(state, steps=state.steps + 1)
    over = (new.steps >= length)[:, None].expand(-1, reward.shape[1])
    return new, Step(reward.float(), over, torch.zeros_like(over), info)


def all_see(nodes, choices=0, edges=None):
    """Observations [B, N, F] in which all act and all of so many choices are legal."""
    games, agents = nodes.shape[:2]
    free = torch.ones(games, agents, choices, dtype=torch.bool)
    no_features = no_edges(nodes)[1] if edges is None else nodes.new_zeros(edges.shape[1], 0)
    edges = no_edges(nodes)[0] if edges is None else edges
    return Observation(nodes, edges, no_features, free.any(2) | (choices == 0), free)


@dataclass(frozen=True)
class Aim:
    """A point in a box is shown, and to be hit: the reward is minus the squared distance."""

    differentiable = True

    @cached_property
    def spec(self):
        box = gymnasium.spaces.Box(np.float32([-2, 0]), np.float32([4, 0.5]))
        return Spec("aim", (Role("archer", box, 2),), (0,), num_nodes=1)

    def reset(self, batch, generator):
        part = torch.rand(batch, 1, 2, generator=generator)
        return drawn(torch.tensor([-2.0, 0.0]) + part * torch.tensor([6.0, 0.5]))

    def step(self, state, actions, generator):
        scale = torch.tensor([6.0, 0.5])
        return paid(state, -((actions - state.value) / scale).square().sum(2))

    def observe(self, state):
        return all_see(state.value / torch.tensor([2.0, 0.25]))


@dataclass(frozen=True)
class Sums:
    """Two kinds of agents: one picks two digits, the larger the better; one adds two numbers.

    The caller may not pick the 2 of 0, 1, 2 when its light is on, half of the time, and is paid
    the sum of both digits: 2 + 3, or 1 + 3. The teller is paid minus its squared error.
    """

    differentiable = False

    @cached_property
    def spec(self):
        caller = Role("caller", gymnasium.spaces.MultiDiscrete([3, 4]), features=1)
        teller = Role("teller", gymnasium.spaces.Box(0.0, np.inf, (1,)), features=2)
        return Spec("sums", (caller, teller), (0, 1), num_nodes=2)

    def reset(self, batch, generator):
        return drawn(torch.rand(batch, 3, generator=generator))

    def step(self, state, actions, generator):
        error = actions[:, 1, 0] - state.value[:, 1:].sum(1)
        return paid(state, torch.stack((actions[:, 0].sum(1), -error.square()), 1))

    def observe(self, state):
        light = (state.value[:, :1] < 0.5).float()
        nodes = torch.stack((torch.cat((light, 0 * light), 1), state.value[:, 1:]), 1)
        seen = all_see(nodes, 7)
        seen.action_mask[:, 0, 2] = light[:, 0] == 0
        seen.action_mask[:, 1] = False  # it has no choices, but numbers
        return seen


@dataclass(frozen=True)
class Differ:
    """Two agents who look the same and are paid 1 each if they choose differently.

    One policy for both can at best toss a coin: 1/2. One each can agree on who does what: 1.
    """

    differentiable = False

    @cached_property
    def spec(self):
        return Spec("differ", (Role("twin", gymnasium.spaces.Discrete(2), 1),), (0, 0), 2)

    def reset(self, batch, generator):
        return drawn(torch.ones(batch, 2))

    def step(self, state, actions, generator):
        apart = (actions[:, 0] != actions[:, 1]).expand(-1, 2)
        return paid(state, apart)

    def observe(self, state):
        return all_see(state.value[..., None], 2)


@dataclass(frozen=True)
class Recall:
    """A letter of four is shown at the start, and asked for `delay` steps later, for 1.

    Without a memory all is chance: 1/4.
    """

    delay: int = 5
    differentiable = False

    @cached_property
    def spec(self):
        return Spec("recall", (Role("clerk", gymnasium.spaces.Discrete(4), 5),), (0,), 1)

    def reset(self, batch, generator):
        return drawn(torch.randint(4, (batch, 1), generator=generator))

    def step(self, state, actions, generator):
        asked = (state.steps == self.delay)[:, None]
        return paid(state, (actions[..., 0] == state.value) & asked, self.delay + 1)

    def observe(self, state):
        letters = torch.nn.functional.one_hot(state.value, 5) * (state.steps == 0)[:, None, None]
        letters[..., 4] = (state.steps == self.delay)[:, None]
        return all_see(letters.float(), 4)


@dataclass(frozen=True)
class Ring:
    """Each of N agents on a ring is paid 1 for saying how many lamps its two neighbours have lit.

    It sees its own lamp alone, so that without a graph the best guess is 1: right half the time.
    """

    agents: int = 4
    differentiable = False

    @cached_property
    def spec(self):
        role = Role("lamp", gymnasium.spaces.Discrete(3), 2)
        return Spec("ring", (role,), (0,) * self.agents, self.agents)

    def reset(self, batch, generator):
        return drawn(torch.randint(2, (batch, self.agents), generator=generator))

    def step(self, state, actions, generator):
        around = state.value.roll(1, 1) + state.value.roll(-1, 1)
        return paid(state, actions[..., 0] == around)

    def observe(self, state):
        games, n = state.value.shape
        here = torch.arange(n)
        source, target = torch.cat((here, here)), torch.cat((here.roll(1), here.roll(-1)))
        first = n * torch.arange(games)[:, None]
        edges = torch.stack(((first + source).flatten(), (first + target).flatten()))
        return all_see(torch.nn.functional.one_hot(state.value, 2).float(), 3, edges)


@dataclass(frozen=True)
class Luck:
    """Two agents are each paid what the other's number is, -1 or 1, whatever they do.

    No critic that sees its own agent's number alone explains anything; a central one all.
    """

    differentiable = False

    @cached_property
    def spec(self):
        return Spec("luck", (Role("one", gymnasium.spaces.Discrete(2), 1),), (0, 0), 2)

    def reset(self, batch, generator):
        return drawn(2.0 * torch.randint(2, (batch, 2), generator=generator) - 1)

    def step(self, state, actions, generator):
        return paid(state, state.value.flip(1))

    def observe(self, state):
        return all_see(state.value[..., None], 2)


@dataclass(frozen=True)
class Faulty(Exits):
    """At step 3 of game 0 agent 1 is paid, or sees, something that is no number."""

    what: str = "reward"

    def step(self, state, actions, generator):
        new, step = super().step(state, actions, generator)
        if self.what == "reward" and len(new.steps) > 0 and int(new.steps[0]) == 3:
            step.reward[0, 1] = float("nan")
        return new, step

    def observe(self, state):
        seen = super().observe(state)
        if self.what == "observation" and int(state.steps[0]) == 3:
            seen.nodes[0, 1, 2] = float("inf")
        return seen


@dataclass(frozen=True)
class Huge(Exits):
    """Pays so much that no sum of it is a number."""

    def step(self, state, actions, generator):
        new, step = super().step(state, actions, generator)
        return new, replace(step, reward=step.reward * 3e38)


# --- learning

FAST = dict(
    num_envs=64, rollout_length=8, epochs=4, minibatches=4, learning_rate=3e-3, discount=0.9
)
SMALL = dict(hidden=(32,))


def plan(game, seed=0, method=None, **network):
    return Plan(
        game=game if ":" in game or game.islower() else f"{HERE}:{game}",
        method=PPO(**FAST | (method or {})),
        network=Network(**SMALL | network),
        seed=seed,
    )


def learned(updates, *arguments, **options):
    """The policy after so many updates, and the last row of metrics."""
    with train(plan(*arguments, **options)) as training:
        rows = [training.step() for _ in range(updates)]
        return training.policy(), rows[-1]


def best_of_exits(size):
    """Brute force over cells and exits: the mean of 1 - .05 max(1, d)."""
    cells = list(product(range(size), repeat=2))
    ways = [abs(a - c) + abs(b - d) for (a, b), (c, d) in product(cells, cells)]
    return float(np.mean([1 - 0.05 * max(1, way) for way in ways]))


EXITS = "tests.helpers.grid_simulator:Exits(num_agents=2,size=3)"
EXIT = best_of_exits(3)
LATE = dict(
    rollout_length=12, discount=1.0, entropy=0.1
)  # paid at the end, for what was done at first
# Who learns what: a game, PPO and network; updates; the best return of each agent and how near
# to it to come. What a random policy gets is far from all of these, and checked.
LEARNED = {
    "shared": (EXITS, {}, {}, 40, [EXIT, EXIT], 0.03),
    "one policy an agent": (EXITS, dict(parameter_sharing="none"), {}, 40, [EXIT, EXIT], 0.03),
    "central critic": (EXITS, {}, dict(critic="central"), 40, [EXIT, EXIT], 0.03),
    "shared encoder": (EXITS, {}, dict(shared_encoder=True), 40, [EXIT, EXIT], 0.03),
    "all of it": (
        EXITS, {},
        dict(shared_encoder=True, critic="central", memory=16, encoder="convolution"),
        60, [EXIT, EXIT], 0.05,
    ),
    "continuous": ("Aim()", dict(entropy=0.0), {}, 50, [0.0], 0.01),
    "kinds of actions": ("Sums()", dict(entropy=0.0), {}, 60, [4.5, 0.0], 0.05),
    "breaks the symmetry": ("Differ()", dict(parameter_sharing="none"), {}, 15, [1.0, 1.0], 0.02),
    "convolution": ("Ring()", {}, dict(encoder="convolution"), 30, [1.0] * 4, 0.03),
    "attention": ("Ring()", {}, dict(encoder="attention"), 30, [1.0] * 4, 0.03),
    "memory": ("Recall()", LATE, dict(memory=16), 40, [1.0], 0.05),
    "shared memory": ("Recall()", LATE, dict(memory=16, shared_encoder=True), 40, [1.0], 0.05),
}  # fmt: skip


@pytest.mark.parametrize("form", LEARNED)
def test_learns_what_is_best(form):
    game, method, network, updates, best, near = LEARNED[form]
    policy, _ = learned(updates, game, method=method, **network)
    found = evaluate(policy, episodes=1000, seed=5, greedy=True).returns
    error = found.std(axis=0) / np.sqrt(len(found))
    assert (found.mean(axis=0) > np.array(best) - near).all()
    assert (found.mean(axis=0) < np.array(best) + 4 * error + 1e-9).all()  # nobody does better
    even = Policy.new(policy.game, policy.spec, Network(), method.get("parameter_sharing", "role"))
    chance = evaluate(even, episodes=1000, seed=5).returns
    assert (chance.mean(axis=0) < np.array(best) - 5 * near).all()


# The same where it cannot be done: return of the best that is possible, for each agent.
IMPOSSIBLE = {
    "no memory": ("Recall()", LATE, {}, 40, 1 / 4),
    "no graph": ("Ring()", {}, {}, 20, 1 / 2),
    "one policy for both": ("Differ()", dict(entropy=0.1), {}, 15, 1 / 2),
}


@pytest.mark.parametrize("form", IMPOSSIBLE)
def test_learns_no_more_than_can_be_known(form):
    game, method, network, updates, best = IMPOSSIBLE[form]
    policy, _ = learned(updates, game, method=method, **network)
    found = evaluate(policy, episodes=2000, seed=5).returns.mean(axis=0)
    assert (np.abs(found - best) < 4 * 0.5 / np.sqrt(2000)).all()


@pytest.mark.parametrize(("critic", "explained"), [("own", 0.0), ("central", 1.0)])
def test_a_central_critic_knows_what_others_see(critic, explained):
    _, row = learned(25, "Luck()", critic=critic)
    assert row["explained_variance"] == pytest.approx(explained, abs=0.1)


@pytest.mark.parametrize("encoder", ["convolution", "attention"])
def test_what_a_few_learned_many_can_do(encoder):
    policy, _ = learned(30, "Ring(agents=4)", encoder=encoder)
    for agents in (3, 9, 50):
        many = evaluate(policy, f"{HERE}:Ring(agents={agents})", episodes=100, greedy=True)
        assert many.returns.shape == (100, agents)
        assert many.own.mean() > 0.97


# --- looking at what was learned


def test_somebody_who_plays_at_random_draws_from_all_that_is_legal():
    """Against bounds that lie anywhere, and masks."""
    far = Role("far", gymnasium.spaces.Box(np.float32([3, -2]), np.float32([5, 4])), 1)
    choice = Role("choice", gymnasium.spaces.MultiDiscrete([3, 4]), 1)
    spec = Spec("noise", (far, choice), (0, 1), num_nodes=2)
    seen = all_see(torch.zeros(4000, 2, 1), 7)
    seen.action_mask[:, 1, [1, 3, 4]] = False
    actions = Uniform(spec).act(seen, torch.Generator().manual_seed(1))
    low, high = torch.tensor([3.0, -2.0]), torch.tensor([5.0, 4.0])
    share = (actions[:, 0] - low) / (high - low)
    assert share.min() >= 0
    assert share.max() <= 1
    assert (share.mean(0) - 0.5).abs().max() < 4 / np.sqrt(12 * 4000)
    for column, legal in ((0, [0, 2]), (1, [2, 3])):
        drawn = actions[:, 1, column]
        assert drawn.unique().tolist() == legal
        assert abs((drawn == legal[0]).float().mean() - 0.5) < 4 * 0.5 / np.sqrt(4000)


@dataclass(frozen=True)
class Endless:
    """A game that is over at step `length`, or never."""

    length: int = 0

    differentiable = False

    @cached_property
    def spec(self):
        role = Role("walker", gymnasium.spaces.Discrete(2), 1)
        return Spec("endless", (role,), (0, 0), num_nodes=2)

    def reset(self, batch, generator):
        return drawn(torch.zeros(batch, 2))

    def step(self, state, actions, generator):
        new = replace(state, steps=state.steps + 1)
        over = (new.steps == self.length)[:, None].expand(-1, 2)
        return new, Step(torch.ones(len(over), 2), over, torch.zeros_like(over))

    def observe(self, state):
        return all_see(state.value[..., None], 2)


def untrained(game):
    return Policy.new(game, vector(game, 1).spec, Network(hidden=(8,)))


CANNOT_BE_PLAYED = [
    (dict(episodes=0), r"0 episodes cannot be played; play at least 1"),
    (dict(longest=7), r"Endless\(\): a game is not over after 7 steps; give the game a limit"),
    (dict(against=Uniform(None), seat=2), "there is no seat 2; give one of 0 to 1"),
    (dict(against=Uniform(None), seat=-1), "there is no seat -1; give one of 0 to 1"),
    (dict(against="leduc_poker"), "Endless.* has other observations or actions for .* leduc_poker"),
]


@pytest.mark.parametrize(("asked", "says"), CANNOT_BE_PLAYED)
def test_what_cannot_be_evaluated(asked, says):
    if isinstance(asked.get("against"), str):
        asked = asked | dict(against=untrained(asked["against"]))
    with pytest.raises(InputError, match=says):
        evaluate(untrained(f"{HERE}:Endless()"), **dict(episodes=3, longest=9) | asked)


def test_a_game_as_long_as_may_be_is_played():
    policy = untrained(f"{HERE}:Endless(length=9)")
    assert evaluate(policy, episodes=3, longest=9).steps.tolist() == [9.0] * 3
    with pytest.raises(InputError, match="not over after 8 steps"):
        evaluate(policy, episodes=3, longest=8)


def test_an_evaluation_can_be_ended():
    asked = []

    def pause():
        asked.append(None)
        if len(asked) == 5:
            raise TimeoutError("enough")

    with pytest.raises(TimeoutError, match="enough"):
        evaluate(untrained(f"{HERE}:Endless()"), episodes=2, pause=pause)
    assert len(asked) == 5


def test_a_rival_of_a_game_with_other_numbers_of_agents_plays_here():
    rival, game = untrained(f"{HERE}:Ring(agents=3)"), f"{HERE}:Ring(agents=5)"
    played = evaluate(untrained(game), episodes=10, against=rival)
    assert played.returns.shape == (10, 5)
    same = evaluate(untrained(game), episodes=10, against=Uniform(rival.spec))
    assert same.returns.shape == (10, 5)


# --- the same again


# Agents that leave and join, by name, each with a network of its own; roles that do different
# things, with a memory and a central critic; cards, turns and past selves; a graph.
TINY = dict(num_envs=8, rollout_length=16, epochs=2, minibatches=2)
PLANS = {
    "relay": Plan(
        game="tests.helpers.example_envs:Relay()",
        method=PPO(**TINY, parameter_sharing="none"),
        network=Network(hidden=(8,)),
    ),
    "harbour": Plan(
        game="tests.helpers.example_envs:Harbour()",
        method=PPO(**TINY, kl_coefficient=0.2),
        network=Network(hidden=(8,), memory=6, critic="central"),
    ),
    "leduc": Plan(
        game="leduc_poker",
        method=PPO(**TINY, entropy=((0, 0.2), (400, 0.1))),
        network=Network(hidden=(8,)),
        self_play=SelfPlay(past=0.5, every=1, pool=3),
    ),
    "navigation": Plan(
        game="navigation(agents=3,max_steps=10)",
        method=PPO(**TINY),
        network=Network(encoder="attention", hidden=(8,)),
    ),
    "windy exits": Plan(
        game="tests.helpers.grid_simulator:Exits(wind=0.3)",
        method=PPO(**TINY),
        network=Network(encoder="convolution", hidden=(8,), memory=6, shared_encoder=True),
    ),
}


def quiet(row):
    """A row of metrics without what a clock says."""
    return {k: v for k, v in row.items() if "second" not in k}


def weights(policy):
    """All of a policy's weights, by network and name."""
    return {
        f"{name}.{key}": value
        for name, network in policy.networks.items()
        for key, value in network.state_dict().items()
    }


def fingerprint(policy):
    """A hash of every bit of a policy's weights."""
    found = hashlib.sha256()
    for name, value in weights(policy).items():
        found.update(name.encode() + value.numpy().tobytes())
    return found.hexdigest()


def report():
    """Two updates of every plan: the metrics, and a hash of the weights."""
    found = {}
    for name, plan in PLANS.items():
        with train(plan) as training:
            rows = [quiet(training.step()) for _ in range(2)]
            found[name] = [*rows, fingerprint(training.policy())]
    return found


@pytest.mark.parametrize("processes", [1, pytest.param(3, marks=pytest.mark.slow)])
def test_fresh_processes_agree(processes):
    script = (
        f"import json, {HERE} as t\nwith t.running_ray(cpus=1):\n    print(json.dumps(t.report()))"
    )
    torch.manual_seed(99)  # what is drawn elsewhere does not matter
    expected = json.loads(json.dumps(report()))
    assert {len(rows) for rows in expected.values()} == {3}
    for _ in range(processes):  # each with its own hashes of words, as Python has them
        done = subprocess.run(
            [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout.splitlines()[-1]) == expected


def test_another_seed_is_another_training():
    plan = PLANS["windy exits"]
    found = set()
    for seed in range(3):
        with train(plan.model_copy(update=dict(seed=seed))) as training:
            training.step()
            found.add(fingerprint(training.policy()))
    assert len(found) == 3


@pytest.mark.parametrize("name", PLANS)
def test_restored_training_is_as_if_uninterrupted(name, tmp_path):
    plan = PLANS[name]
    with train(plan) as whole:
        for update in range(5):
            if update == 2:
                whole.save(tmp_path / "a")
                before = fingerprint(whole.policy())
            last = whole.step()
        expected = fingerprint(whole.policy())
    with train(plan) as again:
        again.step()  # what it did before it was restored does not matter
        again.restore(tmp_path / "a")
        assert again.updates == 2
        assert fingerprint(again.policy()) == before
        again.step()
        again.save(tmp_path / "b")
    with train(plan) as once_more:
        once_more.restore(tmp_path / "b")
        rows = [once_more.step() for _ in range(2)]
        assert quiet(rows[-1]) == quiet(last)
        assert fingerprint(once_more.policy()) == expected


@pytest.mark.parametrize("name", PLANS)
def test_a_policy_from_a_file_acts_as_it_did_when_saved(name, tmp_path):
    with train(PLANS[name]) as training:
        training.step()
        saved = training.policy()
        training.save(tmp_path / "here")
        training.step()
        assert fingerprint(training.policy()) != fingerprint(saved)  # it is a copy
    loaded = Policy.load(tmp_path / "here" / POLICY)
    assert weights(loaded).keys() == weights(saved).keys()
    for key, value in weights(saved).items():
        assert torch.equal(weights(loaded)[key], value)
    for greedy in (False, True):
        acts = []
        for policy in (saved, loaded):
            seen = []
            played = evaluate(
                policy, episodes=20, seed=3, greedy=greedy,
                watch=lambda games, observation, actions, seen=seen: seen.append(actions.clone()),
            )  # fmt: skip
            acts.append((torch.stack(seen), played.returns))
        assert torch.equal(acts[0][0], acts[1][0])
        assert np.array_equal(acts[0][1], acts[1][1])


# --- what goes wrong


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """Of two updates of a small training."""
    folder = tmp_path_factory.mktemp("checkpoints") / "update-2"
    with train(PLANS["windy exits"]) as training:
        for _ in range(2):
            training.step()
        training.save(folder)
    return folder


OTHERS = [
    (dict(network=Network(hidden=(9,))), "another network"),
    (dict(game="tests.helpers.grid_simulator:Exits(num_agents=2)"), "another game"),
    (dict(game="navigation(agents=3)"), "another game"),
]


@pytest.mark.parametrize(("change", "says"), OTHERS)
def test_a_checkpoint_of_something_else_is_refused(change, says, checkpoint):
    with train(PLANS["windy exits"].model_copy(update=change)) as training:
        before = fingerprint(training.policy())
        with pytest.raises(InputError, match=says) as error:
            training.restore(checkpoint)
        assert "\n" not in str(error.value)
        assert fingerprint(training.policy()) == before


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def scramble(path):
    path.write_bytes(bytes(255 - byte for byte in path.read_bytes()))


DAMAGE = [(how, file) for how in (cut, scramble, Path.unlink) for file in (POLICY, STATE)]


@pytest.mark.parametrize(("how", "file"), DAMAGE)
def test_a_damaged_checkpoint_is_refused(how, file, checkpoint, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(checkpoint, copy)
    hurt = copy / file
    if file == STATE:
        hurt = max((p for p in hurt.rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)
    how(hurt)
    with train(PLANS["windy exits"]) as training:
        with pytest.raises(InputError) as error:
            training.restore(copy)
        assert str(copy) in str(error.value)
        assert "\n" not in str(error.value)
        training.restore(checkpoint)  # the one before it is still good
        assert training.updates == 2


@pytest.mark.parametrize("what", ["reward", "observation"])
def test_numbers_that_are_not_finite_are_told(what):
    broken = Plan(game=f"{HERE}:Faulty(what={what})", method=PPO(num_envs=4, rollout_length=10))
    with train(broken) as training:
        with pytest.raises(InputError, match=rf"the {what} of agent 1 .* at step 3 \(game 0"):
            training.step()
        policy = training.policy()
    assert all(value.isfinite().all() for value in weights(policy).values())


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("nan reward", r"cart_1: .*step 3"),
        ("infinite observation", r"crane_0: .*step 3"),
        ("raises", r"at step 3 .* KeyError"),
    ],
)
def test_an_environment_that_breaks_the_rules_is_told(how, says):
    broken = Plan(
        game=f"tests.helpers.example_envs:Broken(how={how!r})",
        method=PPO(num_envs=2, rollout_length=10),
    )
    with train(broken) as training, pytest.raises(InputError, match=says):
        training.step()


FAR = dict(num_envs=8, rollout_length=16, epochs=1, minibatches=1, learning_rate=1e37)
EXPLODING = {
    "rewards": Plan(game=f"{HERE}:Huge()", method=PPO(**TINY)),
    "choices": Plan(game=EXITS, method=PPO(**FAR)),
    "numbers": Plan(game="navigation(agents=2)", method=PPO(**FAR)),
}


def three_updates(training):
    for _ in range(3):
        training.step()


@pytest.mark.parametrize("name", EXPLODING)
def test_an_update_that_explodes_stops_with_weights_that_are_numbers(name):
    with train(EXPLODING[name]) as training:
        with pytest.raises(FloatingPointError, match="learning_rate"):
            three_updates(training)
        assert all(value.isfinite().all() for value in weights(training.policy()).values())


@pytest.mark.parametrize(
    ("name", "game"),
    [
        (EXITS, Exits(num_agents=2, size=3)),
        ("kuhn_poker", load("kuhn_poker")),
        ("navigation(agents=2)", load("navigation(agents=2)").simulator()),
    ],
)
def test_a_game_itself_is_trained_on_as_its_name_is(name, game, tmp_path):
    found = []
    for given in (name, pickle.loads(pickle.dumps(game))):
        whole = Plan(game=given, method=PPO(num_envs=4, rollout_length=8), network=Network(**SMALL))
        with train(pickle.loads(pickle.dumps(whole))) as training:
            row = training.step()
            policy = training.policy()
        policy.save(tmp_path / "policy.pt")
        assert isinstance(Policy.load(tmp_path / "policy.pt").game, str)
        played = evaluate(policy, given, episodes=4).returns
        found.append(({k: v for k, v in row.items() if "second" not in k}, played))
    (by_name, returns), (by_itself, same) = found
    assert by_name == pytest.approx(by_itself, rel=0, abs=0, nan_ok=True)
    np.testing.assert_array_equal(returns, same)
    assert isinstance(whole.model_dump_json(), str)


def test_what_is_no_game_cannot_be_planned():
    with pytest.raises(ValueError, match="a int is not a game"):
        Plan(game=3)
