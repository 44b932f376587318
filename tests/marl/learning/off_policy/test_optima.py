"""Off-policy methods reach optima that are known in closed form."""

import pytest
import torch

from games.common.workers import running_ray
from games.simulators.simulator import Observation, no_edges
from marl.evaluation.episodes import evaluate
from marl.learning.off_policy.dqn import dueled
from marl.learning.plan import Plan
from marl.learning.trainer import train
from marl.networks.network import Network
from marl.networks.packing import pack
from tests.helpers.off_policy import EXITS

SMALL = "tests.helpers.small_games"
GAMMA = 0.9
VALUES = dict(
    num_envs=16, rollout_length=4, replay=4000, learning_starts=256, batch_size=64,
    gradient_steps=8, learning_rate=3e-3, discount=GAMMA, target_rate=0.05,
    exploration=((0, 1.0), (3000, 0.2)),
)  # fmt: skip
NUMBERS = {key: value for key, value in VALUES.items() if key != "exploration"}


def slow(*row):
    return pytest.param(*row, marks=pytest.mark.slow)


@pytest.fixture(scope="module", autouse=True)
def shared_ray():
    with running_ray(cpus=1) as found:
        yield found


def trained(game, method, updates, **network):
    """A policy after so many updates, and the last row of metrics."""
    network = Network(**dict(hidden=(32, 32)) | network)
    with train(Plan(game=game, method=method, network=network, seed=1)) as training:
        for _ in range(updates):
            row = training.step()
        return training.policy(), row


def greedy(policy, game, episodes=400):
    """The mean return of an agent."""
    return float(evaluate(policy, game, episodes=episodes, greedy=True, seed=7).returns.mean())


def values_of(policy, nodes, *, dueling):
    """The values [D, A] that a network has learned for nodes [D, F] of a single agent."""
    (network,) = policy.networks.values()
    everyone = torch.ones(len(nodes), 1, dtype=torch.bool)
    legal = everyone[..., None].expand(-1, -1, network.role.mask_width)
    seen = Observation(nodes[:, None], *no_edges(nodes[:, None]), everyone, legal)
    with torch.no_grad():
        said = network(pack(seen, everyone, network))
    values = said.parameters[:, :-1]
    return dueled(said.value, values, legal[:, 0]) if dueling else values


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({}, id="double"),
        pytest.param(dict(double=False, target_rate=1.0, target_every=20), id="periodic"),
        pytest.param(dict(dueling=True), id="dueling"),
        pytest.param(dict(priority=0.6), id="prioritised"),
        pytest.param(dict(n_step=3, exploration=0.3), id="n-step"),
    ],
)
def test_dqn_on_a_chain(options):
    """The best way from every cell, and, of one-step targets, what it is worth there."""
    policy, row = trained(f"{SMALL}:Chain", dict(name="dqn", **VALUES | options), 60)
    cells = torch.arange(1, 5)
    left = 0.2 * GAMMA ** (cells - 1)
    right = GAMMA ** (4 - cells)
    values = values_of(policy, torch.eye(6)[cells], dueling="dueling" in options)
    assert row["remembered"] > 3000
    assert (values.argmax(1) == (right > left).long()).all()
    if "n_step" not in options:  # with it, values are those of play that explores
        worth = torch.cat([torch.tensor([0.2]), torch.maximum(left, right), torch.tensor([1.0])])
        inside = torch.tensor([1.0, GAMMA, GAMMA, GAMMA])  # the ends pay at once
        best = torch.stack([inside * worth[:-2], inside.flip(0) * worth[2:]], dim=1)
        torch.testing.assert_close(values, best, atol=0.06, rtol=0)


def test_iql_finds_the_exits():
    """Two walkers, 16 / 9 steps from their exits on average; 1 in 9 stands on its own and waits."""
    game = f"{EXITS}(num_agents=2,size=3)"
    options = dict(num_envs=32, rollout_length=8, exploration=((0, 1.0), (10_000, 0.1)))
    policy, _ = trained(game, dict(name="iql", **VALUES | options), 70)
    best = 1 - 0.05 * (16 / 9 + 1 / 9)
    assert greedy(policy, game, 1000) == pytest.approx(best, abs=0.02)


@pytest.mark.parametrize(("memory", "best"), [(16, 1.0), slow(0, 0.5)])
def test_what_was_seen_earlier_needs_memory(memory, best):
    """A cue of two, named two steps later: without memory half of the names are right."""
    game = f"{SMALL}:Cue(delay=2)"
    options = dict(rollout_length=6, exploration=((0, 1.0), (4000, 0.1)))
    policy, _ = trained(game, dict(name="dqn", **VALUES | options), 70, memory=memory)
    assert greedy(policy, game) == pytest.approx(best, abs=0.1 * (best < 1))


@pytest.mark.parametrize(
    ("name", "sharing"),
    [("iql", "none"), slow("vdn", "role"), ("qmix", "role"), slow("masac", "none")],
)
def test_roles_with_different_observations_and_choices(name, sharing):
    """One agent names one of two cues, and two name one of four: by roles, or each on its own."""
    game = f"{SMALL}:Cue(cues=[2,4,4],roles=[0,1,1])"
    values = NUMBERS if name == "masac" else VALUES
    policy, row = trained(game, dict(name=name, parameter_sharing=sharing, **values), 50)
    assert len(policy.networks) == {"role": 2, "none": 3}[sharing]
    assert greedy(policy, game) == 1.0
    if name == "masac":
        wanted = 0.6 * torch.tensor([2.0, 4.0, 4.0]).log().mean()
        assert row["entropy"] == pytest.approx(float(wanted), abs=0.15)


@pytest.mark.parametrize(
    ("method", "updates", "loss"),
    [
        slow(dict(name="maddpg", exploration=0.3), 40, 0.1),
        (dict(name="matd3", exploration=0.3), 50, 0.1),
        (dict(name="masac", learning_rate=6e-3), 60, 0.2),
    ],
    ids=["maddpg", "matd3", "masac"],
)
def test_aims_at_numbers(method, updates, loss):
    """Two agents, one and two numbers wide: who does not look at x loses 1, the best 0."""
    game = f"{SMALL}:Aim"
    policy, row = trained(game, NUMBERS | method, updates)
    assert -loss < greedy(policy, game) <= 0
    if method["name"] == "masac":  # -1 and -2 nats are wanted, one a number
        assert row["entropy"] == pytest.approx(-1.5, abs=0.25)
        assert row["temperature"] < 0.2
