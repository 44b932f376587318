"""REINFORCE: its gradient, its returns to go, what it learns, and that it resumes."""

import numpy as np
import pytest
import torch

from games.common.workers import running_ray
from games.load import vector
from games.simulators.simulator import Role
from marl.evaluation.episodes import evaluate
from marl.learning.on_policy.ppo import loss as ppo_loss
from marl.learning.on_policy.reinforce import REINFORCE, loss
from marl.learning.plan import Plan
from marl.learning.trainer import train
from marl.networks.distributions import distribution
from marl.networks.network import Network
from marl.rollouts.rollout import Rollout
from scenarios.lookup import parse
from tests.helpers.learned import Learned, sample
from tests.marl.learning.test_hdpo import quiet
from tests.marl.learning.test_training import EXITS, best_of_exits

torch.set_num_threads(1)


@pytest.fixture(scope="module", autouse=True)
def ray():
    """Started once; every training here joins it."""
    with running_ray(cpus=1) as found:
        yield found


METHOD = REINFORCE(
    num_envs=64,
    rollout_length=20,
    learning_rate=1e-2,
    discount=1.0,
    entropy=((0, 0.1), (200_000, 0.01)),
)


def plan(seed=0, **method):
    return Plan(
        game=EXITS,
        method=METHOD.model_copy(update=method),
        network=Network(hidden=(32,)),
        seed=seed,
    )


def test_gradient_by_hand():
    """Of a choice: advantage times (probability less 1 for what was chosen), over decisions."""
    role = Role("one", vector(EXITS, 1).spec.roles[0].action_space, 4)
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(6, 5, generator=generator, requires_grad=True)
    value = torch.randn(6, generator=generator, requires_grad=True)
    chosen = torch.randint(5, (6, 1), generator=generator)
    advantage, target = torch.randn(2, 6, generator=generator)
    given = dict(actions=chosen, advantage=advantage, target=target)
    parts = loss(
        distribution(role), logits, value, **given, value_coefficient=0.3, entropy_coefficient=0.0
    )
    parts.total.backward()
    probability = logits.detach().softmax(1)
    expected = advantage[:, None] * (probability - torch.eye(5)[chosen[:, 0]]) / 6
    torch.testing.assert_close(logits.grad, expected, atol=1e-6, rtol=0)
    error = value.detach() - target
    torch.testing.assert_close(value.grad, 0.3 * 2 * error / 6, atol=1e-6, rtol=0)
    assert parts.value.item() == pytest.approx(error.square().mean().item())


def test_gradient_is_that_of_the_surrogate_where_it_begins():
    """PPO's loss, which RLlib's holds, has the same gradient at the policy that played."""
    games = vector(EXITS, 8)
    network = Network(hidden=(8,)).build(games.spec.roles[0], games.spec, 0)
    fragment = sample(games, [network], [0, 0], 1, 10, 0.9, 1.0, seed=4)
    (batch,) = fragment.decisions(0, network).minibatches(1, torch.Generator())
    found = []
    for surrogate in (False, True):
        output = network(batch.input)
        options = dict(actions=batch.actions, advantage=batch["advantage"], target=batch["target"],
                       value_coefficient=0.5, entropy_coefficient=0.02)  # fmt: skip
        if surrogate:
            options |= dict(old_parameters=batch["parameters"], old_logp=batch["logp"], clip=0.2,
                            value_clip=1e9, kl_coefficient=0.0)  # fmt: skip
        function = ppo_loss if surrogate else loss
        total = function(distribution(network.role), output.parameters, output.value, **options)[0]
        found.append(torch.autograd.grad(total, list(network.parameters())))
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=0)


def test_advantages_are_returns_to_go_less_the_baseline():
    """Whole games of one agent, with the returns added up by hand."""
    game = "tests.helpers.grid_simulator:Exits(num_agents=1,max_steps=6)"
    games = vector(game, 60)
    network = Network(hidden=(8,)).build(games.spec.roles[0], games.spec, 0)
    rollout = Rollout(games, [network], [0], 1, seed=4, extras=METHOD.extras)
    method = METHOD.model_copy(update={"discount": 0.9})
    fragment = Learned(rollout.sample(12), method)
    reward = -0.05 * torch.ones(12, 60)  # of a step
    start = fragment.fresh[..., 0]
    left = torch.zeros(12, 60, dtype=torch.bool)
    left[:-1] = start[1:]  # the game that begins next was over here ...
    cell = (fragment.nodes[:, :, 0, 2:4] * 4).round()  # way to the exit
    moves = torch.tensor([[0, 0], [0, 1], [0, -1], [1, 0], [-1, 0]])
    gone = (cell == moves[fragment.actions[..., 0, 0]]).all(dim=2)  # ... since it was left
    reward = reward + gone
    checked = 0
    for b in range(60):
        ends = left[:, b].nonzero()[:, 0].tolist()
        for end in ends:
            first = max([t for t in range(end + 1) if start[t, b]], default=0)
            if not gone[end, b]:  # cut off: what would have followed is the critic's to say
                continue
            to_go = 0.0
            for t in range(end, first - 1, -1):
                to_go = float(reward[t, b]) + 0.9 * to_go
                found = fragment.advantage[t, b, 0] + fragment.value[t, b, 0]
                assert found.item() == pytest.approx(to_go, abs=1e-5)
                checked += 1
    assert checked > 50


def test_learns_to_leave():
    with train(plan()) as training:
        rows = [training.step() for _ in range(150)]
        policy = training.policy()
    best = best_of_exits(3)
    assert np.mean([row["return"] for row in rows[:2]]) < best - 0.3
    played = evaluate(policy, episodes=1000, greedy=True, seed=1)
    assert played.returns.mean() == pytest.approx(best, abs=0.03)
    assert set(rows[-1]) - {"left"} == set(
        training.plan.method.measured(training.plan, training.spec)
    )


def test_restored_training_is_as_if_uninterrupted(tmp_path):
    with train(plan(num_envs=8)) as whole:
        whole.step()
        whole.save(tmp_path / "a")
        rows = [quiet(whole.step()) for _ in range(2)]
    with train(plan(num_envs=8)) as again:
        again.restore(tmp_path / "a")
        assert [quiet(again.step()) for _ in range(2)] == rows


def test_a_scenario_names_it():
    text = f'game = "{EXITS}"\nmethod = {{ name = "reinforce", num_envs = 8 }}\n'
    scenario = parse(text, "exits")
    assert scenario.method == REINFORCE(num_envs=8)
    assert parse(scenario.to_toml(), "exits") == scenario
