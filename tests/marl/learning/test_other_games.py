"""PettingZoo's and OpenSpiel's own games train through the same path, and something is learned."""

import numpy as np
import pytest
import torch

from games.common.workers import running_ray
from marl.evaluation.actors import Uniform
from marl.evaluation.episodes import evaluate
from marl.learning.on_policy.ppo import PPO
from marl.learning.plan import Plan, SelfPlay
from marl.learning.trainer import train
from marl.networks.network import Network

torch.set_num_threads(1)
LONG = 20_000  # steps of all games together


@pytest.fixture(scope="module", autouse=True)
def ray():
    with running_ray(cpus=1) as found:
        yield found


# Steps of an AEC game are turns. Between them the rows have every form of training.
GAMES = {
    "mpe2.simple_spread_v3": (
        "pettingzoo:mpe2.simple_spread_v3(N=3)",
        dict(discount=0.95),
        dict(critic="central"),
    ),
    "mpe2.simple_spread_v3, continuous": (
        "pettingzoo:mpe2.simple_spread_v3(N=2,continuous_actions=True)",
        dict(parameter_sharing="none"),
        dict(),
    ),
    "mpe2.simple_tag_v3": ("pettingzoo:mpe2.simple_tag_v3", dict(), dict(memory=16)),
    "pettingzoo.classic.connect_four_v3": (
        "pettingzoo:pettingzoo.classic.connect_four_v3",
        dict(discount=1.0),
        dict(shared_encoder=True),
    ),
    "pettingzoo.classic.tictactoe_v3": (
        "pettingzoo:pettingzoo.classic.tictactoe_v3",
        dict(discount=1.0),
        dict(),
    ),
    "roles that see and do different things": (
        "tests.helpers.example_envs:Harbour()",
        dict(),
        dict(critic="central"),
    ),
    "agents that leave and join": (
        "tests.helpers.example_envs:Relay()",
        dict(),
        dict(critic="central", memory=16),
    ),
}
LENGTHS = [
    pytest.param(1_000, id="1,000 steps"),
    pytest.param(LONG, id="20,000 steps", marks=pytest.mark.slow),
]


@pytest.mark.parametrize("steps", LENGTHS)
@pytest.mark.parametrize("game", GAMES)
def test_trains_without_exception(game, steps):
    name, method, network = GAMES[game]
    plan = Plan(
        game=name,
        method=PPO(**dict(num_envs=8, rollout_length=64, learning_rate=1e-3) | method),
        network=Network(**dict(hidden=(32,)) | network),
        self_play=SelfPlay(past=0.5 if "pettingzoo.classic" in name else 0.0, every=2),
    )
    rows = []
    with train(plan) as training:
        start = {k: v.state_dict() for k, v in training.policy().networks.items()}
        while training.steps < steps:
            rows.append(training.step())
        end = {k: v.state_dict() for k, v in training.policy().networks.items()}
    assert rows[-1]["steps"] >= steps
    assert rows[-1]["games"] > 10
    for row in rows:
        assert all(np.isfinite(value) for value in row.values()), row
    for network, before in start.items():  # every policy has learned, and is made of numbers
        for key, value in end[network].items():
            assert value.isfinite().all()
            assert not torch.equal(value, before[key]), (network, key)


def test_roles_are_told_apart():
    """In PettingZoo's tag the chasers and the chased are policies of their own."""
    plan = Plan(game="pettingzoo:mpe2.simple_tag_v3", method=PPO(num_envs=4, rollout_length=64))
    with train(plan) as training:
        row = training.step()
        policy = training.policy()
    assert set(policy.networks) == {"adversary", "agent"}
    assert policy.of_agent == ("adversary",) * 3 + ("agent",)
    assert {"return_adversary", "return_agent", "entropy_agent", "kl_adversary"} <= row.keys()


def learned(plan, steps):
    """The policy once so many steps are played."""
    with train(plan) as training:
        while training.steps < steps:
            training.step()
        return training.policy()


def wins(policy, seat, greedy=False, episodes=2000):
    """The share of games won from a seat against somebody who plays at random; draws are none."""
    rival = Uniform(policy.spec)
    played = evaluate(policy, against=rival, episodes=episodes, seed=7, seat=seat, greedy=greedy)
    assert set(np.unique(played.own)) <= {-1.0, 0.0, 1.0}
    return float((played.own > 0).mean())


TICTACTOE = dict(
    method=PPO(num_envs=128, rollout_length=32, learning_rate=1e-3, entropy=0.1, discount=1.0),
    network=Network(hidden=(128, 128)),
)


@pytest.mark.slow
def test_tictactoe_beats_random():
    """By self-play alone, its likeliest actions; docs/reports/learned.md has those that it draws
    too."""
    policy = learned(Plan(game="tic_tac_toe", **TICTACTOE), 700_000)
    first, second = wins(policy, 0, greedy=True), wins(policy, 1, greedy=True)
    assert (first + second) / 2 >= 0.9


def test_tictactoe_begins_to_beat_random():
    """Evenly matched, the first player wins 58.5% of games and the second 28.8%, known exactly."""
    untrained = learned(Plan(game="tic_tac_toe", **TICTACTOE), 0)
    policy = learned(Plan(game="tic_tac_toe", **TICTACTOE), 40_000)
    assert wins(untrained, 0) == pytest.approx(0.585, abs=0.05)
    assert wins(untrained, 1) == pytest.approx(0.288, abs=0.05)
    assert wins(policy, 0) > 0.68
    assert wins(policy, 1) > 0.38
