"""Options of off-policy methods: target networks, exploration, masks, memory, several processes."""

import numpy as np
import pytest
import torch

from games.common.errors import InputError
from games.common.workers import running_ray
from games.finite.kernels import respond
from games.load import vector
from marl.evaluation.episodes import evaluate
from marl.evaluation.exact import InformationSets
from marl.learning.method import find
from marl.learning.plan import Plan, Resources
from marl.learning.schedule import at
from marl.learning.trainer import train
from marl.networks.network import Network
from marl.networks.packing import pack
from marl.networks.policy import Policy
from tests.helpers.off_policy import EXITS, Loop

SMALL = "tests.helpers.small_games"
WALKERS = f"{EXITS}(num_agents=3,size=3)"
DISCS = "navigation(agents=2,max_steps=6)"
EVERY = [
    ("dqn", f"{SMALL}:Chain"),
    ("iql", WALKERS),
    ("vdn", WALKERS),
    ("qmix", WALKERS),
    ("maddpg", DISCS),
    ("matd3", DISCS),
    ("masac", DISCS),
    ("masac", WALKERS),
]
each_method = pytest.mark.parametrize(("name", "game"), EVERY)


@pytest.fixture(scope="module")
def shared_ray():
    with running_ray(cpus=4) as found:
        yield found


def weights(modules):
    return [value.detach().clone() for value in modules.parameters()]


@each_method
def test_targets_follow_slowly(name, game):
    """A share of the way after each gradient step: critics and mixers as well as policies."""
    loop = Loop(game, dict(name=name, target_rate=0.25))
    learner = loop.learner
    before = weights(learner.targets)
    learner.learn([loop.draw(32)], 0)
    assert len(before) == len(weights(learner.learned))
    for old, new, learned in zip(
        before, weights(learner.targets), weights(learner.learned), strict=True
    ):
        torch.testing.assert_close(new, old + 0.25 * (learned - old))


def test_targets_are_copied_now_and_then():
    loop = Loop(WALKERS, dict(name="qmix", target_rate=1.0, target_every=3))
    learner = loop.learner
    start = weights(learner.targets)
    learner.learn([loop.draw(32)] * 2, 0)
    assert all(map(torch.equal, start, weights(learner.targets)))
    learner.learn([loop.draw(32)], 0)
    assert all(map(torch.equal, weights(learner.learned), weights(learner.targets)))
    copied = weights(learner.targets)
    learner.learn([loop.draw(32)], 0)
    assert all(map(torch.equal, copied, weights(learner.targets)))
    assert not all(map(torch.equal, copied, weights(learner.learned)))


@each_method
@pytest.mark.parametrize("network", [{"memory": 8}, {"encoder": "convolution", "memory": 8}])
def test_networks_with_a_memory_learn_from_sequences(name, game, network):
    """Gradients reach the memory through time; nothing is infinite."""
    loop = Loop(game, dict(name=name, rollout_length=8, n_step=2), **network)
    batch = loop.draw(64)
    assert batch.later is batch.now
    rows = loop.learner.learn([batch] * 2, 0)  # MATD3 moves its policies in every other step
    for row in rows.values():
        if isinstance(row, dict):
            assert all(np.isfinite(value) for value in row.values())
    said, steps = loop.step(batch)
    assert bool(said.errors.isfinite().all())
    reached = {key for _, gradients in steps for key in gradients}
    assert any("memory" in key for key in reached)


def decisions(training, size=2000):
    """What has been remembered: observations, and the actions of those who decided."""
    return training.algorithm.replay.draw(size, torch.Generator().manual_seed(1))


SCHEDULE = ((0, 1.0), (2048, 0.2))
FROZEN = dict(num_envs=64, rollout_length=16, replay=2048, learning_starts=2048, learning_rate=0.0)


def newest(ring):
    """The rows of the last 1,024 steps that were played."""
    return (ring.written - ring.newest + torch.arange(1024)) % ring.capacity


def test_choices_are_as_random_as_the_schedule_says(shared_ray):
    """Of networks that never change: the share of choices that are not the best."""
    game = f"{SMALL}:Cue(cues=[8])"
    method = dict(name="dqn", exploration=SCHEDULE, gradient_steps=1, **FROZEN)
    with train(Plan(game=game, method=method)) as training:
        said = 0.0
        for update in range(4):
            expected = at(SCHEDULE, update * 1024)
            row = training.step()
            replay = training.algorithm.replay
            new = newest(replay.ring)
            seen, taken = replay.ring.observation(new), replay.ring["actions"][new, 0, 0]
            (network,) = training.policy().networks.values()
            assert float(network.exploration) == pytest.approx(row["exploration"])
            with torch.no_grad():
                values, _ = network.policy(pack(seen, seen.acting, network))
            other = (values[:, :-1].argmax(1) != taken[seen.acting[:, 0]]).float().mean()
            assert float(other) == pytest.approx(expected * 7 / 8, abs=0.06)
            said = row["exploration"]
        assert said == pytest.approx(0.2)


def test_numbers_are_as_noisy_as_the_schedule_says(shared_ray):
    method = dict(name="matd3", exploration=SCHEDULE, gradient_steps=1, **FROZEN)
    with train(Plan(game=f"{SMALL}:Aim(widths=[1])", method=method)) as training:
        for update in range(4):
            training.step()
            replay = training.algorithm.replay
            new = newest(replay.ring)
            seen, taken = replay.ring.observation(new), replay.ring["actions"][new, 0]
            (network,) = training.policy().networks.values()
            with torch.no_grad():
                said, _ = network.policy(pack(seen, seen.acting, network))
            noise = taken - said[:, :1]
            expected = at(SCHEDULE, update * 1024)
            assert float(noise.std()) == pytest.approx(expected, rel=0.12)
            assert float(noise.mean()) == pytest.approx(0.0, abs=0.12)


@pytest.mark.parametrize(
    ("name", "game"), [("iql", "connect_four"), ("iql", "kuhn_poker"), ("masac", "leduc_poker")]
)
def test_nobody_plays_what_is_illegal(name, game, shared_ray):
    """Turn-based games of OpenSpiel: one agent decides at a time, and full columns are closed."""
    method = dict(name=name, learning_starts=200, gradient_steps=4, num_envs=8)
    with train(Plan(game=game, method=method, network=Network(hidden=(16,)))) as training:
        rows = [training.step() for _ in range(5)]
        batch = decisions(training)
    assert all(np.isfinite(value) for value in rows[-1].values())
    seen, decided = batch.now.seen, batch.policy >= 0
    assert (decided.sum(1) == 1).all()
    legal = seen.action_mask.gather(2, batch.actions[..., :1].long())[..., 0]
    assert legal[decided].all()
    assert game == "kuhn_poker" or not seen.action_mask[decided].all()
    bootstrapped = batch.known & (batch.discount > 0)
    agent = torch.arange(2).expand_as(decided)
    assert batch.later.seen.acting[batch.where, agent][bootstrapped].all()


KUHN = dict(  # squares, as those who win by chance win up to 2
    num_envs=32, rollout_length=6, replay=20_000, learning_starts=256, batch_size=256, huber=False,
    gradient_steps=8, learning_rate=((0, 5e-3), (6000, 5e-4)), discount=1.0, target_rate=0.05,
    exploration=((0, 1.0), (4000, 0.2)),
)  # fmt: skip


def untrained(config, seed):
    return Policy.new("kuhn_poker", vector("kuhn_poker", 1).spec, config, seed=seed)


def test_iql_learns_a_best_response(shared_ray):
    """One seat learns, the other is frozen: nearly the exact best, and not beyond it."""
    frozen, sets = untrained(Network(hidden=(32,)), 3), InformationSets("kuhn_poker")
    plan = Plan(game="kuhn_poker", method=dict(name="iql", **KUHN), network=Network(hidden=(32,)))
    with train(plan, against=frozen, seats=(0,)) as training:
        for _ in range(30):
            training.step()
        learned = training.policy()
    played = evaluate(learned, "kuhn_poker", episodes=4000, greedy=True, against=frozen, seat=0)
    _, best, own = respond(sets.form, sets.behaviour(frozen))
    gain, error = played.own.mean() - own[0], played.standard_error()
    assert 0.8 * (best[0] - own[0]) - 3 * error < gain < best[0] - own[0] + 4 * error
    joint = plan.model_copy(update={"method": find("vdn", KUHN)})
    with pytest.raises(InputError, match="use iql"):
        train(joint, against=frozen, seats=(0,))


def test_values_are_evaluated_exactly_as_they_are_played():
    """The exact return of a policy of values that explores is that of many games."""
    config, sets = Network(hidden=(32,), policy="values"), InformationSets("kuhn_poker")
    policy = untrained(config, 5)
    for network in policy.networks.values():
        network.exploration.fill_(0.3)
    _, best, own = respond(sets.form, sets.behaviour(policy))
    assert best[0] > own[0] + 0.1
    returns = evaluate(policy, "kuhn_poker", episodes=20_000, seed=2).returns[:, 0]
    error = returns.std() / len(returns) ** 0.5
    assert abs(returns.mean() - own[0]) < 4 * error
    likeliest = evaluate(policy, "kuhn_poker", episodes=4000, seed=2, greedy=True).returns[:, 0]
    assert abs(likeliest.mean() - own[0]) > 4 * error


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "game"), [("qmix", WALKERS), ("matd3", DISCS), ("iql", "kuhn_poker")]
)
def test_two_learners_and_two_env_runners_agree(name, game, shared_ray):
    method = dict(
        name=name, learning_starts=300, gradient_steps=4, num_envs=5, priority=0.6,
        parameter_sharing="none",
    )  # fmt: skip
    plan = Plan(
        game=game, method=method, network=Network(hidden=(16,)),
        resources=Resources(env_runners=2, learners=2),
    )  # fmt: skip
    with train(plan) as training:
        rows = [training.step() for _ in range(5)]
        assert rows[0]["steps"] == 2 * 5 * 16
        assert rows[0]["gradient_steps"] == 0
        assert rows[-1]["gradient_steps"] > 0
        found = training.algorithm.learner_group.foreach_learner(
            lambda learner: [
                value.detach().cpu().numpy()
                for part in (learner.learned, learner.targets)
                for value in part.parameters()
            ]
        )
        first, second = (one.get() for one in found)
        for one, other in zip(first, second, strict=True):
            assert np.isfinite(one).all()
            np.testing.assert_array_equal(one, other)
        learned = training.algorithm.weights()
        every = training.algorithm.env_runner_group.foreach_env_runner(
            lambda runner: runner.get_state()["rl_module"], local_env_runner=False
        )
        assert len(every) == 2
        for state in every:
            for policy, arrays in learned.items():
                for key, array in arrays.items():
                    np.testing.assert_array_equal(np.asarray(state[policy][key]), array)
