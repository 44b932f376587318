"""Post-decision PPO: its advantages against sums by definition and exact values; what it learns."""

import itertools
import json
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from scipy.signal import lfilter
from scipy.stats import binom

from games import InputError
from games.common.workers import running_ray
from games.load import vector
from games.lot_sizing.lot_sizing import LotSizing, State
from games.simulators.legal_actions import random_actions
from games.simulators.vector import SimulatorVector
from marl.evaluation.episodes import evaluate
from marl.learning.method import find
from marl.learning.on_policy.advantages import Played, advantages
from marl.learning.on_policy.pdppo import PDPPO, Halves, corrected, published, require_post_decision
from marl.learning.on_policy.ppo import PPO, loss
from marl.learning.plan import Plan
from marl.learning.trainer import train
from marl.networks.network import Network
from marl.networks.policy import Policy
from marl.rllib.pdppo import PDPPOLearner
from marl.rollouts.rollout import Rollout
from marl.rollouts.trajectory import Trajectory
from tests.helpers.learned import Learned

torch.set_num_threads(1)
GAME = "lot_sizing(items=3,machines=2,periods=7,unit=50)"
TINY = {
    "n_items": 2,
    "n_machines": 1,
    "machine_production": [[3, 2]],
    "setup_costs": [[1.5, 0.5]],
    "setup_loss": [[1, 1]],
    "lost_sales_costs": [1.1, 0.6],
    "holding_costs": [0.1, 0.02],
    "max_inventory_level": [3, 3],
    "demand_distribution": {"name": "binomial", "n": 2, "p": 0.5},
}


@pytest.fixture(scope="module", autouse=True)
def ray():
    """Started once; every training here joins it."""
    with running_ray(cpus=1) as found:
        yield found


@pytest.fixture
def tiny(tmp_path):
    """A game of 2 items and 1 machine whose states can be listed."""
    path = tmp_path / "tiny.json"
    path.write_text(json.dumps(TINY))
    return LotSizing(items=2, machines=1, periods=4, data=str(path))


def noise(steps=14, games=6, agents=3, seed=0):
    """Halves of random numbers, in which agents act, leave and are cut off at random."""
    generator = torch.Generator().manual_seed(seed)

    def number(*shape):
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    def chance(p, *shape):
        return torch.rand(shape, generator=generator) < p

    shape = steps, games, agents
    deciding, terminated = chance(0.7, *shape), chance(0.1, *shape)
    return Halves(
        reward=number(*shape),
        sure=number(*shape) * deciding,
        value=number(*shape),
        after=number(*shape),
        deciding=deciding,
        terminated=terminated,
        truncated=chance(0.1, *shape) & ~terminated,
        final_value=number(*shape),
        next_value=number(games, agents),
        known=chance(0.6, games, agents),
    )


def chains(p):
    """By agent of a game and part of it: decisions, what chance paid after each, and what follows.

    What follows is None where nothing is known of it, and a number where the part ends or the
    fragment does; and whether it was ended by termination.
    """
    steps, games, agents = p.reward.shape
    for b, n in itertools.product(range(games), range(agents)):
        at, paid = [], []
        for t in range(steps):
            if p.deciding[t, b, n]:
                at.append(t)
                paid.append(0.0)
            if at:
                paid[-1] += float(p.reward[t, b, n] - p.sure[t, b, n])
            over = bool(p.terminated[t, b, n])
            if over or p.truncated[t, b, n]:
                if at:
                    yield b, n, at, paid, 0.0 if over else float(p.final_value[t, b, n]), over
                at, paid = [], []
        if at:
            follows = float(p.next_value[b, n]) if p.known[b, n] else None
            yield b, n, at, paid, follows, False


@pytest.mark.parametrize("gae_lambda", [0.0, 0.6, 1.0])
def test_corrected_advantages_are_sums_along_the_chain_of_half_steps(gae_lambda):
    """Equation 16 of arXiv 1506.02438 written out: each error times all that came before it."""
    p, discount = noise(), 0.9
    found = corrected(p, discount, gae_lambda)
    seen = torch.zeros_like(p.deciding)
    for b, n, at, paid, follows, _ in chains(p):
        if follows is None:
            at, paid = at[:-1], paid[:-1]  # of the last decision nothing is known yet
            last = p.deciding[:, b, n].nonzero()[-1].item()
            follows = float(p.value[last, b, n])
        errors, weights = [], []  # of the half-steps, and what each discounts those after it by
        for k, t in enumerate(at):
            after = float(p.value[at[k + 1], b, n]) if k + 1 < len(at) else follows
            sure, v, vx = (float(x[t, b, n]) for x in (p.sure, p.value, p.after))
            errors += [sure + vx - v, paid[k] + discount * after - vx]
            weights += [gae_lambda, discount * gae_lambda]
        for k, t in enumerate(at):
            sums = [
                sum(np.prod(weights[first:i]) * errors[i] for i in range(first, len(errors)))
                for first in (2 * k, 2 * k + 1)
            ]
            seen[t, b, n] = True
            assert found.advantage[t, b, n].item() == pytest.approx(sums[0], abs=1e-9)
            goal = float(p.value[t, b, n]) + sums[0]
            assert found.target[t, b, n].item() == pytest.approx(goal, abs=1e-9)
            goal = float(p.after[t, b, n]) + sums[1]
            assert found.after_target[t, b, n].item() == pytest.approx(goal, abs=1e-9)
    assert torch.equal(found.found, seen)
    assert 0 < seen.sum() < p.deciding.sum()
    for part in (found.advantage, found.target, found.after_target):
        assert not part[~seen].any()


def test_with_lambda_1_the_second_critic_makes_no_difference():
    p = noise(seed=1)
    ours = corrected(p, 0.9, 1.0)
    theirs, learned = advantages(Played(*(getattr(p, f) for f in Played._fields)), 0.9, 1.0)
    assert torch.equal(ours.found, learned)
    torch.testing.assert_close(ours.advantage, theirs, atol=1e-9, rtol=0)


def test_published_advantages_are_the_greater_of_two_surprises():
    """Returns by SciPy's filter, 1 / (1 - discount z^-1) backwards in time."""
    p, discount = noise(steps=20, seed=2), 0.8
    found = published(p, discount)
    checked = 0
    for b, n, at, paid, follows, over in chains(p):
        if follows is None:
            continue
        paid = np.array(paid)
        paid[-1] += discount * follows
        pre = lfilter([1.0], [1.0, -discount], paid[::-1])[::-1]
        sure = p.sure[at, b, n].numpy().copy()
        if not over:  # what decisions pay from here on is what the second critic says of it
            sure[-1] = p.after[at[-1], b, n]
        post = lfilter([1.0], [1.0, -discount], sure[::-1])[::-1]
        greater = np.maximum(pre - p.value[at, b, n].numpy(), post - p.after[at, b, n].numpy())
        assert found.found[at, b, n].all()
        np.testing.assert_allclose(found.advantage[at, b, n], greater, atol=1e-9)
        np.testing.assert_allclose(found.target[at, b, n], pre, atol=1e-9)
        np.testing.assert_allclose(found.after_target[at, b, n], post, atol=1e-9)
        checked += len(at)
    assert checked > 100
    waiting = p.deciding & ~found.found
    assert waiting.any()
    assert not found.advantage[waiting].any()


# --- exact values


def exact(game, best=False):
    """V and V^x of the uniform policy, or of the best, in every state: by recursion from the end.

    Returns:
        (V, V^x, the mean of V where games begin); states are keyed (stock, set-up, periods over).
    """
    plant = game.plant
    demands = list(itertools.product(range(plant.trials + 1), repeat=2))
    chances = [np.prod(binom.pmf(d, plant.trials, plant.probability)) for d in demands]
    stocks = list(itertools.product(*(range(int(c) + 1) for c in plant.capacity)))
    value, after = {}, {}

    def one(stock, setup, period):
        return State(
            torch.tensor([stock], dtype=torch.float32),
            torch.tensor([[setup]]),
            torch.tensor([period]),
            torch.zeros(1, 3),
        )

    for period in range(game.periods - 1, -1, -1):
        for stock, setup in itertools.product(stocks, range(3)):
            worth = []
            for told in range(3):
                decided, sure = game.decide(one(stock, setup, period), torch.tensor([[[told]]]))
                where = key(decided, 0)
                if where not in after:
                    states = replace(
                        decided,
                        **{
                            f.name: getattr(decided, f.name).expand(
                                len(demands), *getattr(decided, f.name).shape[1:]
                            )
                            for f in fields(decided)
                        },
                    )
                    new, step = game.serve(states, torch.tensor(demands, dtype=torch.float32))
                    after[where] = sum(
                        chance * (step.reward[d, 0].item() + value.get(key(new, d), 0.0))
                        for d, chance in enumerate(chances)
                    )
                worth.append(sure.item() + after[where])
            value[stock, setup, period] = max(worth) if best else np.mean(worth)
    beginnings = itertools.product(*(range(int(c)) for c in plant.capacity))
    return value, after, np.mean([value[s, k, 0] for s in beginnings for k in (1, 2)])


def key(state, game):
    stock = tuple(int(x) for x in state.stock[game])
    return stock, int(state.setup[game, 0]), int(state.period[game])


def test_exact_critics_make_exact_advantages(tiny):
    """With V and V^x exact: no chance is left at lambda = 0, and no bias at any lambda."""
    value, after, _ = exact(tiny)
    games, steps = 4000, tiny.periods
    own, choices = torch.Generator().manual_seed(0), torch.Generator().manual_seed(1)
    state = tiny.reset(games, own)
    keys, columns = [], {name: [] for name in ("reward", "sure", "value", "after")}
    over = []
    for _ in range(steps):
        actions = random_actions(tiny.spec, tiny.observe(state), choices)
        decided, sure = tiny.decide(state, actions)
        keys.append([(key(state, b), int(actions[b])) for b in range(games)])
        columns["value"].append([[value[k]] for k, _ in keys[-1]])
        columns["after"].append([[after[key(decided, b)]] for b in range(games)])
        state, step = tiny.realise(decided, own)
        columns["sure"].append(sure.tolist())
        columns["reward"].append((sure + step.reward).tolist())
        over.append(step.terminated)
    table = {name: torch.tensor(rows, dtype=torch.float64) for name, rows in columns.items()}
    nothing = torch.zeros(steps, games, 1, dtype=torch.float64)
    played = Halves(
        **table, deciding=nothing == 0, terminated=torch.stack(over), truncated=nothing != 0,
        final_value=nothing, next_value=nothing[0], known=nothing[0] != 0,
    )  # fmt: skip
    truth = table["sure"] + table["after"] - table["value"]  # Q - V
    torch.testing.assert_close(corrected(played, 1.0, 0.0).advantage, truth, atol=1e-9, rtol=0)
    spreads = []
    for gae_lambda in (0.5, 0.9, 1.0):
        noise = (corrected(played, 1.0, gae_lambda).advantage - truth)[..., 0]
        spreads.append(noise.std().item())
        for t in range(steps):
            assert noise[t].mean().abs() < 5 * noise[t].std() / games**0.5 + 1e-9
    assert 0.1 < spreads[0] < spreads[1] < spreads[2]  # which is what a second critic is for


def test_learns_the_best_play_of_a_tiny_game(tiny):
    """Within 3% of the exact optimum, which uniform play falls short of by far."""
    best, uniform = exact(tiny, best=True)[2], exact(tiny)[2]
    game = f"lot_sizing(items=2,machines=1,periods=4,data='{tiny.data}')"
    method = PDPPO(num_envs=64, rollout_length=8, learning_rate=3e-3, discount=1.0, entropy=0.003)
    with train(Plan(game=game, method=method, network=Network(hidden=(32,)))) as training:
        for _ in range(80):
            row = training.step()
        policy = training.policy()
    assert np.isfinite(row["post_decision_loss"])
    played = evaluate(policy, game, episodes=4000, greedy=True)
    error = played.standard_error()
    assert uniform < 1.5 * best < 0
    assert 1.03 * best - 4 * error < played.own.mean() < best + 4 * error


# --- what is played and learned from


def rollout(network, method, games=5, game=GAME):
    spec = vector(game, 1).spec
    one = network.build(spec.roles[0], spec, 0)
    return Rollout(vector(game, games), [one], [0], 1, seed=3, extras=method.extras), one


def test_a_fragment_holds_what_decisions_did():
    method = PDPPO(discount=0.9, gae_lambda=0.9)
    playing, network = rollout(Network(post_decision=True), method)
    fragment = Learned(playing.sample(9), method)
    game, again = playing.vector.simulator, SimulatorVector(playing.vector.simulator, 5)
    usual = PPO(discount=0.9, gae_lambda=0.9)
    plain, alike = rollout(Network(), usual)
    without = Learned(plain.sample(9), usual)
    # The same networks, but for the second critic; the same games and draws with and without it.
    assert set(network.state_dict()) > set(alike.state_dict())
    for name in ("nodes", "actions", "logp", "value", "parameters"):
        assert torch.equal(getattr(fragment, name), getattr(without, name))
    only = {"decided_nodes", "decided_reward", "decided_value", "after_target"}
    assert set(fragment.extras) - set(without.extras) == only
    assert plain.vector.halves is False

    again.reset(0)
    again.restore(rollout(Network(), usual)[0].vector.state())
    for t in range(9):
        state = again._state
        decided, _ = game.decide(state, fragment.actions[t])
        assert torch.equal(game.observe(decided).nodes, fragment.decided_nodes[t])
        again.step(fragment.actions[t])
    joined = Trajectory.join(fragment.trajectory.split(3)).to("cpu")
    for one, other in ((joined, fragment.trajectory), (joined.extras, fragment.extras)):
        one, other = (each if isinstance(each, dict) else vars(each) for each in (one, other))
        assert one.keys() == other.keys()
        assert all(torch.equal(one[name], other[name]) for name in one.keys() - {"extras"})


def test_the_loss_is_ppos_and_the_second_critics_error():
    method = PDPPO(value_coefficient=0.7, value_clip=1e6, discount=0.9, gae_lambda=0.9)
    playing, network = rollout(Network(post_decision=True), method)
    fragment = Learned(playing.sample(14), method)
    decisions = fragment.decisions(0, network)
    (whole,) = decisions.minibatches(1, torch.Generator())
    learner = object.__new__(PDPPOLearner)
    learner.plan = Plan(game=GAME, method=method)
    learner.kl_coefficient = {"planner": 0.0}
    learner._module = {"planner": type("Module", (), {"network": network})}
    parts = learner.loss("planner", network(whole.input), whole, 0.01)

    from marl.networks.distributions import distribution

    ppo = loss(
        distribution(network.role), *network(whole.input)[:2], actions=whole.actions,
        old_parameters=whole["parameters"], old_logp=whole["logp"], advantage=whole["advantage"],
        target=whole["target"], clip=method.clip, value_clip=1e6, value_coefficient=0.7,
        entropy_coefficient=0.01, kl_coefficient=0.0,
    )  # fmt: skip
    said = network.second(fragment.decided_nodes.flatten(0, 2))[:, 0]
    error = (said - fragment.after_target.flatten()).square().mean()
    assert parts.post_decision_loss.item() == pytest.approx(error.item(), rel=1e-5)
    expected = (ppo.total + 0.7 * error).item()
    assert parts.total.item() == pytest.approx(expected, rel=1e-5)
    parts.total.backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.second.parameters())
    error = (fragment.target - fragment.value).flatten()[: decisions.count]
    torch.testing.assert_close(decisions.of(fragment.error), error)


@pytest.mark.parametrize("form", ["corrected", "published"])
def test_restored_training_is_as_if_uninterrupted(form, tmp_path):
    plan = Plan(
        game=GAME,
        method=PDPPO(num_envs=6, rollout_length=10, form=form),
        network=Network(hidden=(8,)),
    )

    def weights(training):
        return torch.cat(
            [p.flatten() for net in training.policy().networks.values() for p in net.parameters()]
        )

    with train(plan) as training:
        training.step()
        training.save(tmp_path / "checkpoint")
        row = training.step()
        through = weights(training)
    assert {"post_decision_loss", "explained_variance"} <= set(row)
    with train(plan) as training:
        training.restore(tmp_path / "checkpoint")
        training.step()
        assert torch.equal(weights(training), through)
    policy = Policy.load(tmp_path / "checkpoint" / "policy.pt")
    assert policy.networks["planner"].second is not None
    assert len(evaluate(policy, episodes=3).own) == 3


# --- what cannot be


@pytest.mark.parametrize(
    "game", ["navigation(agents=2)", "kuhn_poker", "pettingzoo:mpe2.simple_spread_v3"]
)
def test_a_game_without_post_decision_states_is_refused(game):
    with pytest.raises(InputError, match=r"no post-decision states: use lot_sizing\(\.\.\.\), or"):
        train(Plan(game=game, method=PDPPO()))
    assert require_post_decision(GAME).periods == 7


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (dict(memory=4), "set network.memory = 0 instead of 4"),
        (dict(encoder="convolution"), "set network.encoder = 'mlp' instead of 'convolution'"),
        (dict(critic="central"), "set network.critic = 'own' instead of 'central'"),
    ],
)
def test_networks_that_its_second_critic_does_not_serve(network, message):
    with pytest.raises(InputError) as error:
        train(Plan(game=GAME, method=PDPPO(), network=Network(**network)))
    assert message in str(error.value)


def test_it_is_known_by_its_name():
    method = find("pdppo", {"form": "published"})
    assert method == PDPPO(form="published")
    assert Plan(game=GAME, method=method).network.post_decision
    assert not Plan(game=GAME, method=PPO()).network.post_decision
    with pytest.raises(InputError, match="form"):
        find("pdppo", {"form": "publish"})
