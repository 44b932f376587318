"""PPO: its loss, gradients and advantages against RLlib's own; fragments and their minibatches."""

import copy
import math

import gymnasium
import numpy as np
import pytest
import torch
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.algorithms.ppo.torch.ppo_torch_learner import PPOTorchLearner
from ray.rllib.core.columns import Columns
from ray.rllib.core.distribution.torch.torch_distribution import (
    TorchCategorical,
    TorchMultiCategorical,
)
from ray.rllib.core.learner.training_data import TrainingData
from ray.rllib.core.rl_module.apis.value_function_api import ValueFunctionAPI
from ray.rllib.core.rl_module.multi_rl_module import MultiRLModuleSpec
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.core.rl_module.torch.torch_rl_module import TorchRLModule
from ray.rllib.evaluation.postprocessing import Postprocessing
from ray.rllib.utils.postprocessing.value_predictions import compute_value_targets

from games import InputError
from games.common.settings import checked
from games.load import vector
from games.simulators.simulator import Observation, Role, Spec, Step
from marl.learning.on_policy.advantages import Estimates, Played, advantages
from marl.learning.on_policy.ppo import PPO, loss
from marl.learning.plan import Plan
from marl.learning.schedule import at
from marl.networks.distributions import distribution
from marl.networks.network import Network
from marl.networks.packing import Input
from marl.networks.policy import names
from marl.rllib.algorithm import _together
from marl.rllib.config import algorithm_config
from marl.rllib.ppo import PPOLearner
from marl.rollouts.rollout import Rollout
from marl.rollouts.trajectory import Trajectory
from tests.helpers.learned import Learned, sample

torch.set_num_threads(1)
F, G = 5, 3
SPACES = {
    "discrete": gymnasium.spaces.Discrete(4),
    "multi": gymnasium.spaces.MultiDiscrete([3, 2]),
    "box": gymnasium.spaces.Box(-1, 1, (2,)),
}
FIRST_CHOICES = {"discrete": [0], "multi": [0, 3], "box": []}  # of each component: always legal
ENCODERS = {
    "mlp": dict(),
    "central": dict(critic="central"),
    "memory": dict(memory=6),
    "convolution": dict(encoder="convolution"),
    "attention": dict(encoder="attention", heads=2),
    "all": dict(encoder="convolution", memory=6, critic="central", shared_encoder=True),
}


def spec_of(*spaces):
    """Two agents of each kind of action, and two nodes that are nobody."""
    roles = tuple(Role(space, SPACES[space], F) for space in spaces)
    seats = tuple(k for k in range(len(roles)) for _ in range(2))
    return Spec("noise", roles, seats, len(seats) + 2, G)


class Noise:
    """Games of random numbers, in which agents act, leave and are cut off at random: a `Vector`."""

    def __init__(self, spec, num_envs):
        self.spec, self.num_envs = spec, num_envs
        self.played = []  # of every step, what `step` returned

    def reset(self, seed):
        self.generator = torch.Generator().manual_seed(seed)
        self.left = torch.zeros(self.num_envs, self.spec.num_agents, dtype=torch.bool)
        return self.look()

    def chance(self, p, *shape):
        return torch.rand(shape, generator=self.generator) < p

    def look(self):
        games, agents, nodes = self.num_envs, self.spec.num_agents, self.spec.num_nodes
        game, source, target = self.chance(0.3, games, nodes, nodes).nonzero(as_tuple=True)
        mask = self.chance(0.6, games, agents, self.spec.mask_width)
        for role in self.spec.roles:
            mask[..., FIRST_CHOICES[role.name]] = True
        return Observation(
            nodes=torch.randn(games, nodes, F, generator=self.generator),
            edges=torch.stack([source, target]) + game * nodes,
            edge_features=torch.randn(len(game), G, generator=self.generator),
            acting=self.chance(0.6, games, agents) & ~self.left,
            action_mask=mask,
        )

    def step(self, actions):
        shape = self.num_envs, self.spec.num_agents
        self.left = self.left | self.chance(0.1, *shape)
        cut = self.chance(0.1, self.num_envs, 1).expand(shape)
        step = Step(torch.randn(shape, generator=self.generator), self.left, cut)
        final = self.look() if (cut & ~self.left).any() else None
        self.left = self.left & ~step.over[:, None]
        self.played.append((step, self.look(), final))
        return self.played[-1]


def noise(*spaces, steps=12, games=7, seed=0, **options):
    """A fragment of noise played by fresh networks, of which the heads say something."""
    spec = spec_of(*spaces)
    config = Network(**dict(hidden=(8, 8)) | options)
    networks = [config.build(role, spec, seed + k) for k, role in enumerate(spec.roles)]
    for network in networks:
        network.head.weight.data.mul_(100)  # else play is even, and no ratio is ever clipped
    vector = Noise(spec, games)
    rollout = Rollout(
        vector, networks, spec.role_of, len(networks), seed=seed, extras=METHOD.extras
    )
    fragment = Learned(rollout.sample(steps), METHOD)
    return fragment, networks, vector


def moved(network, by=0.05):
    """The network some updates later."""
    network, generator = copy.deepcopy(network), torch.Generator().manual_seed(1)
    for parameter in network.parameters():
        parameter.data += by * torch.randn(parameter.shape, generator=generator)
    return network


# --- RLlib's own learner


class Wrapped(TorchRLModule, ValueFunctionAPI):
    """One of our networks, as RLlib's learner takes it: observations are `Input`."""

    def setup(self):
        self.network = self.model_config["network"]
        self.action_dist_cls = None
        if sizes := self.model_config["sizes"]:
            self.action_dist_cls = TorchCategorical
            if len(sizes) > 1:
                self.action_dist_cls = TorchMultiCategorical.get_partial_dist_cls(
                    child_distribution_cls_struct=(TorchCategorical,) * len(sizes),
                    space=self.action_space,
                    input_lens=list(sizes),
                )

    def _forward(self, batch, **_):
        return {Columns.ACTION_DIST_INPUTS: self.network(batch[Columns.OBS]).parameters}

    def compute_values(self, batch, embeddings=None):
        return self.network.value(batch[Columns.OBS])


def rllib_learner(networks, method, kl, **overrides):
    """RLlib's PPO learner of copies of some networks, by the names of their roles."""
    specs = {
        network.role.name: RLModuleSpec(
            module_class=Wrapped,
            observation_space=gymnasium.spaces.Box(-np.inf, np.inf, (F,), np.float32),
            action_space=network.role.action_space,
            model_config={"network": copy.deepcopy(network), "sizes": network.role.sizes},
        )
        for network in networks
    }
    config = PPOConfig().training(
        clip_param=method.clip,
        vf_clip_param=method.value_clip,
        vf_loss_coeff=method.value_coefficient,
        entropy_coeff=method.entropy,
        use_kl_loss=kl > 0,
        kl_coeff=kl,
        **overrides,
    )
    config.multi_agent(policies=set(specs), policy_mapping_fn=lambda agent, episode: agent)
    learner = PPOTorchLearner(config=config, module_spec=MultiRLModuleSpec(rl_module_specs=specs))
    learner.build()
    return learner


def rllib_batch(fragment, k, network, given):
    """Decisions of the k-th policy in RLlib's names, taken from a fragment element by element."""
    of = fragment.policy == k
    role = network.role
    actions = fragment.actions[of][:, : role.action_width]
    return {
        Columns.OBS: given,
        Columns.ACTIONS: actions[:, 0] if len(role.sizes) == 1 else actions,
        Columns.ACTION_LOGP: fragment.logp[of],
        Columns.ACTION_DIST_INPUTS: fragment.parameters[of][:, : distribution(role).num_parameters],
        Postprocessing.ADVANTAGES: fragment.advantage[of],
        Postprocessing.VALUE_TARGETS: (fragment.value + fragment.advantage)[of],
    }


def plain_input(fragment, k):
    """What a network without graph and memory sees of the k-th policy's decisions."""
    of = fragment.policy == k
    agents = of.shape[2]
    return Input(
        x=fragment.nodes[:, :, :agents][of],
        edges=fragment.edges[:, :0],
        edge_features=fragment.edge_features[:0],
        deciding=None,
        game=None,
        num_envs=1,
        action_mask=fragment.action_mask[of],
    )


def judged(learner, batch):
    """RLlib's loss of each policy, and the gradient of each parameter."""
    out = learner.module.forward_train(batch)
    losses = learner.compute_losses(fwd_out=out, batch=batch)
    learner.compute_gradients(losses)
    return losses, {
        name: {n: p.grad for n, p in learner.module[name].network.named_parameters()}
        for name in batch
    }


def same_gradients(ours, theirs):
    assert ours.keys() == theirs.keys()
    for name in ours:
        torch.testing.assert_close(ours[name], theirs[name], rtol=1e-5, atol=1e-5, msg=name)
    assert max(gradient.abs().max() for gradient in ours.values()) > 0.01


METHOD = PPO(
    clip=0.1, value_clip=0.5, entropy=0.03, value_coefficient=0.7, epochs=1, minibatches=1,
    learning_rate=0.0, gradient_clip=1e9, normalise_advantages=False, discount=0.9, gae_lambda=0.8,
)  # fmt: skip


@pytest.mark.parametrize("kl", [0.0, 0.3])
@pytest.mark.parametrize("space", SPACES)
def test_loss_and_gradient_are_rllibs(space, kl):
    fragment, (played,), _ = noise(space)
    network = moved(played)
    batch = rllib_batch(fragment, 0, network, plain_input(fragment, 0))
    learner = rllib_learner([network], METHOD, kl)
    (expected, gradients), name = judged(learner, {space: batch}), space

    rule, found = distribution(network.role), network(batch[Columns.OBS])
    actions = batch[Columns.ACTIONS]
    parts = loss(
        rule,
        found.parameters,
        found.value,
        actions=actions[:, None] if actions.dim() == 1 else actions,
        old_parameters=batch[Columns.ACTION_DIST_INPUTS],
        old_logp=batch[Columns.ACTION_LOGP],
        advantage=batch[Postprocessing.ADVANTAGES],
        target=batch[Postprocessing.VALUE_TARGETS],
        clip=METHOD.clip,
        value_clip=METHOD.value_clip,
        value_coefficient=METHOD.value_coefficient,
        entropy_coefficient=METHOD.entropy,
        kl_coefficient=kl,
    )
    parts.total.backward()
    assert parts.total.item() == pytest.approx(expected[name].item(), abs=1e-5)
    same_gradients({n: p.grad for n, p in network.named_parameters()}, gradients[name])
    reported = learner.metrics.reduce()[name]
    for key, part in (("policy_loss", parts.policy), ("vf_loss", parts.value),
                      ("entropy", parts.entropy), ("mean_kl_loss", parts.kl)):  # fmt: skip
        if kl or key != "mean_kl_loss":
            assert part.item() == pytest.approx(float(reported[key]), abs=1e-5)

    # The batch is one on which every term counts: ratios and values on both sides of their clips.
    ratio = rule.logp(found.parameters, batch[Columns.ACTIONS].view(len(found.value), -1))
    ratio = (ratio - batch[Columns.ACTION_LOGP]).exp()
    assert (ratio > 1.1).any()
    assert (ratio < 0.9).any()
    assert ((ratio - 1).abs() < 0.1).any()
    error = (found.value - batch[Postprocessing.VALUE_TARGETS]).square()
    assert 0 < (error > METHOD.value_clip).float().mean() < 1
    assert parts.kl > 1e-3
    assert space == "box" or (batch[Columns.OBS].action_mask.sum(1) < 4).any()


def batched_learner(spec, networks, method, kl, **options):
    plan = Plan(
        game="noise",
        method=method.model_copy(update=dict(kl_coefficient=kl)),
        network=Network(**dict(hidden=(8, 8)) | options),
    )
    config = algorithm_config(plan, spec)
    learner = PPOLearner(config=config, module_spec=config.rl_module_spec)
    learner.build()
    assert list(learner.module.keys()) == list(dict.fromkeys(names(spec, "role")))
    for network in networks:
        learner.module[network.role.name].network.load_state_dict(network.state_dict())
    return learner


@pytest.mark.parametrize("kl", [0.0, 0.3])
@pytest.mark.parametrize(
    ("spaces", "encoder"),
    [*(((space,), "mlp") for space in SPACES), *((("discrete", "box"), e) for e in ENCODERS)],
    ids=lambda value: value if isinstance(value, str) else "+".join(value),
)
def test_an_update_has_rllibs_gradient(spaces, encoder, kl):
    """What reaches the optimiser when the whole of a fragment is one minibatch."""
    options = ENCODERS[encoder]
    fragment, played, vector = noise(*spaces, **options)
    networks = [moved(network) for network in played]
    learner = batched_learner(vector.spec, networks, METHOD, kl, **options)
    rows = learner.update(training_data=TrainingData(batch=fragment.played))

    batch = {}
    for k, network in enumerate(networks):
        given = plain_input(fragment, k)
        if encoder != "mlp":
            decisions = fragment.decisions(k, network)
            (whole,) = decisions.minibatches(1, torch.Generator())
            given = whole.input
        batch[network.role.name] = rllib_batch(fragment, k, network, given)
        if encoder in ("memory", "all"):  # a GRU's decisions come game by game
            batch[network.role.name] |= {
                Columns.ACTIONS: whole.actions[:, 0] if network.role.sizes else whole.actions,
                Columns.ACTION_LOGP: whole["logp"],
                Columns.ACTION_DIST_INPUTS: whole["parameters"],
                Postprocessing.ADVANTAGES: whole["advantage"],
                Postprocessing.VALUE_TARGETS: whole["target"],
            }
    (losses, gradients) = judged(rllib_learner(networks, METHOD, kl), batch)
    for name, expected in gradients.items():
        assert rows[name]["loss"] == pytest.approx(losses[name].item(), abs=1e-5)
        assert rows[name]["decisions"] == len(batch[name][Columns.ACTION_LOGP])
        own = learner.module[name].network
        same_gradients({n: p.grad for n, p in own.named_parameters()}, expected)
        norm = math.sqrt(sum(float(g.double().square().sum()) for g in expected.values()))
        assert rows[name]["gradient_norm"] == pytest.approx(norm, rel=1e-5)


def test_one_step_of_adam_is_torchs():
    fragment, (played,), vector = noise("box")
    network = moved(played)
    method = METHOD.model_copy(update=dict(learning_rate=0.01, gradient_clip=0.5))
    learner = batched_learner(vector.spec, [network], method, 0.0)
    learner.update(training_data=TrainingData(batch=fragment.played))
    batch = {"box": rllib_batch(fragment, 0, network, plain_input(fragment, 0))}
    _, gradients = judged(rllib_learner([network], method, 0.0), batch)
    for name, parameter in network.named_parameters():
        parameter.grad = gradients["box"][name]
    torch.nn.utils.clip_grad_norm_(network.parameters(), 0.5)
    torch.optim.Adam(network.parameters(), lr=0.01, eps=1e-5).step()
    for name, parameter in learner.module["box"].network.named_parameters():
        torch.testing.assert_close(
            parameter, network.get_parameter(name), rtol=0, atol=1e-5, msg=name
        )


@pytest.mark.parametrize("encoder", ["memory", "all"])
def test_an_empty_minibatch_is_no_step(encoder):
    """One game is one part: with forty parts, 39 are empty, and Adam has momentum by then."""
    options = ENCODERS[encoder]
    fragment, networks, vector = noise("discrete", games=1, **options)
    weights, rows = [], []
    for minibatches in (1, 40):
        changes = dict(minibatches=minibatches, learning_rate=0.01, epochs=2)
        learner = batched_learner(
            vector.spec, networks, METHOD.model_copy(update=changes), 0.0, **options
        )
        for _ in range(2):
            rows.append(
                learner.update(training_data=TrainingData(batch=fragment.played))["discrete"]
            )
        weights.append(learner.module["discrete"].network.state_dict())
    torch.testing.assert_close(weights[0], weights[1], rtol=0, atol=0)
    assert rows[:2] == rows[2:]
    assert rows[1]["gradient_norm"] > 0.01


def test_the_divergences_coefficient_stays_in_bounds():
    """Where nothing diverges it is halved; never to 0, from where it could not rise again."""
    fragment, networks, vector = noise("discrete")
    learner = batched_learner(vector.spec, networks, METHOD, 0.3)
    for k in range(25):
        row = learner.update(training_data=TrainingData(batch=fragment.played))["discrete"]
        assert row["kl"] == pytest.approx(0, abs=1e-6)
        assert learner.kl_coefficient["discrete"] == max(0.3 / 2 ** (k + 1), 0.3 / 1e6)
    learner.module["discrete"].network.load_state_dict(moved(networks[0], 1.0).state_dict())
    for _ in range(50):
        learner.update(training_data=TrainingData(batch=fragment.played))
    assert learner.kl_coefficient["discrete"] == pytest.approx(0.3e6, rel=1e-12)


class AllAlike(PPO):
    """To which everything is worth 3."""

    def estimate(self, trajectory):
        advantage, found = 3.0 - trajectory.extras["value"], trajectory.policy >= 0
        return Estimates(advantage, found, trajectory.extras["value"] + advantage, advantage)


@pytest.mark.parametrize("worth", [None, 3.0])
def test_explained_variance(worth):
    """By its definition; where all targets are alike there is nothing to explain."""
    fragment, networks, vector = noise("discrete")
    method = METHOD if worth is None else AllAlike(**METHOD.model_dump())
    learner = batched_learner(vector.spec, networks, method, 0.0)
    row = learner.update(training_data=TrainingData(batch=fragment.played))["discrete"]
    if worth is not None:
        assert "explained_variance" not in row
        return
    of = fragment.policy == 0
    value, advantage = (f[of].double().numpy() for f in (fragment.value, fragment.advantage))
    expected = 1 - np.var(advantage) / np.var(value + advantage)
    assert row["explained_variance"] == pytest.approx(expected, abs=1e-6)


def test_what_learners_report_of_several_policies():
    """Decisions are added up; a policy that nobody played is left out."""
    one = {"loss": 1.0, "entropy": 0.5, "kl": 0.1, "decisions": 30.0, "explained_variance": 0.2}
    two = {"loss": 2.0, "entropy": 0.7, "kl": 0.3, "decisions": 12.0}
    found = {"a": one, "b": two, "c": {}}
    assert _together([found, found]) == {
        "loss": 1.5, "entropy": 0.6, "kl": 0.2, "decisions": 42.0, "explained_variance": 0.2,
        "entropy_a": 0.5, "kl_a": 0.1, "entropy_b": 0.7, "kl_b": 0.3,
    }  # fmt: skip
    assert _together([{"a": one}]) == one
    assert _together([{"a": {}, "b": {}}]) == {}


# --- advantages


def straight_advantages(
    reward, value, deciding, terminated, truncated, final, beyond, known, g, lam
):
    """A_k = sum over j >= k of (g lam)^(j - k) (r_j + g v_{j+1} - v_j), one agent at a time.

    A decision after which nothing is known ends the sum and has no advantage itself.
    """
    steps, games, agents = value.shape
    found = np.zeros(value.shape)
    for b, n in np.ndindex(games, agents):
        deltas, runs = {}, {}  # by step of a decision: its error, and the decision after it
        decisions = [t for t in range(steps) if deciding[t, b, n]]
        for t in decisions:
            paid, following = 0.0, None
            for s in range(t, steps):
                paid += reward[s, b, n]
                if terminated[s, b, n]:
                    worth = 0.0
                    break
                if truncated[s, b, n]:
                    worth = final[s, b, n]
                    break
                if s + 1 < steps and deciding[s + 1, b, n]:
                    following, worth = s + 1, value[s + 1, b, n]
                    break
            else:
                if not known[b, n]:
                    continue
                worth = beyond[b, n]
            deltas[t], runs[t] = paid + g * worth - value[t, b, n], following
        for t in deltas:
            weight, s = 1.0, t
            while s in deltas:
                found[t, b, n] += weight * deltas[s]
                weight, s = weight * g * lam, runs[s]
    return found


def drawn(seed, act, leave, cut, steps=30, games=6, agents=3):
    """Random plays in which agents leave for good and games are cut off."""
    draw = np.random.default_rng(seed)
    shape = steps, games, agents
    deciding, terminated, truncated = (np.zeros(shape, bool) for _ in range(3))
    left = np.zeros((games, agents), bool)
    for t in range(steps):
        deciding[t] = (draw.random((games, agents)) < act) & ~left
        left |= draw.random((games, agents)) < leave
        terminated[t] = left
        truncated[t] = draw.random((games, 1)) < cut
        left &= ~(terminated[t] | truncated[t]).all(axis=1, keepdims=True)
    reward, value, final = draw.normal(size=(3, *shape))
    known = draw.random((games, agents)) < act
    beyond = draw.normal(size=(games, agents))
    return reward, value, deciding, terminated, truncated, final, beyond, known


def ours(played, g, lam):
    tensors = (torch.from_numpy(array) for array in played)
    tensors = (t.float() if t.is_floating_point() else t for t in tensors)
    found, learned = advantages(Played(*tensors), g, lam)
    assert not found[~learned].any()
    return found.numpy()


@pytest.mark.parametrize(("g", "lam"), [(0.99, 0.95), (1.0, 1.0), (0.9, 0.0), (0.0, 0.5)])
@pytest.mark.parametrize(
    ("act", "leave", "cut"),
    [(1.0, 0.0, 0.0), (1.0, 0.1, 0.05), (0.3, 0.0, 0.0), (0.3, 0.05, 0.05), (0.5, 0.2, 0.1)],
)
def test_advantages_by_definition(act, leave, cut, g, lam):
    played = drawn(3, act, leave, cut)
    np.testing.assert_allclose(
        ours(played, g, lam), straight_advantages(*played, g, lam), rtol=0, atol=2e-5
    )


@pytest.mark.parametrize(("g", "lam"), [(0.99, 0.95), (1.0, 1.0), (0.9, 0.0)])
def test_advantages_are_rllibs_where_all_act(g, lam):
    """RLlib wants every chunk of an episode one step longer, with the value that follows."""
    reward, value, deciding, _, truncated, final, beyond, known = drawn(5, 1.0, 0.0, 0.15)
    terminated = np.repeat(np.random.default_rng(6).random((*value.shape[:2], 1)) < 0.1, 3, axis=2)
    played = (reward, value, deciding, terminated, truncated, final, beyond, known)
    found = ours(played, g, lam)
    for b, n in np.ndindex(beyond.shape):
        columns, places = [], []  # value, reward, terminated, truncated; the rows that are real
        for t in range(len(value)):
            over, cut = terminated[t, b, n], truncated[t, b, n] or t == len(value) - 1
            places.append(len(columns))
            columns.append((value[t, b, n], reward[t, b, n], over, cut and not over))
            if over or cut:
                last = final[t, b, n] if truncated[t, b, n] else beyond[b, n]
                columns.append((last, 0.0, False, True))
        values, rewards, overs, cuts = np.array(columns, np.float32).T
        expected = compute_value_targets(values, rewards, overs, cuts, g, lam) - values
        np.testing.assert_allclose(found[:, b, n], expected[places], rtol=0, atol=2e-5)


def test_nothing_is_learned_from_values_of_somebody_elses_turn():
    """Tic-tac-toe shows both players the same: the critic's value is that of the one to move."""
    games = vector("tic_tac_toe", 64)
    network = Network(hidden=(16,)).build(games.spec.roles[0], games.spec, 0)
    fragment = sample(games, [network], [0, 0], 1, 4, 1.0, 1.0, seed=0)
    assert fragment.acting[3].sum() == 64  # one moves in each game, and none is over by then
    assert not (fragment.policy[3] >= 0).any()  # the last to move is off turn at the end
    assert (fragment.policy[2][fragment.acting[2]] == 0).all()  # the one before is to move


def test_a_rollout_hands_over_what_was_played():
    """Rewards, ends, and the values of what was seen there."""
    fragment, networks, vector = noise("discrete", "box", steps=40)

    @torch.no_grad()
    def values(seen):
        each = [network.worth(network.judge.encoder(seen.nodes))[..., 0] for network in networks]
        return torch.cat([each[0][:, :2], each[1][:, 2:4]], dim=1).numpy()

    steps, after, finals = zip(*vector.played, strict=True)
    reward, terminated, truncated = (
        torch.stack([getattr(step, name) for step in steps]).numpy()
        for name in ("reward", "terminated", "truncated")
    )
    final = np.stack([np.zeros((7, 4)) if seen is None else values(seen) for seen in finals])
    acting = fragment.acting.numpy()
    before = np.stack([fragment.value[0], *(values(seen) for seen in after[:-1])])
    np.testing.assert_allclose(fragment.value.numpy(), before * acting, rtol=0, atol=1e-5)
    played = (
        reward, before, acting, terminated, truncated, final, values(after[-1]),
        after[-1].acting.numpy(),
    )  # fmt: skip
    np.testing.assert_allclose(
        fragment.advantage.numpy(), straight_advantages(*played, 0.9, 0.8), rtol=0, atol=2e-5
    )


# --- fragments and minibatches


def same(one, other):
    one, other = ({**vars(each), **each.extras} for each in (one, other))
    assert one.keys() == other.keys()
    for name in one.keys() - {"extras"}:
        torch.testing.assert_close(one[name], other[name], rtol=0, atol=0, msg=name)


@pytest.mark.parametrize("parts", [1, 2, 3, 7])
def test_split_and_join_again(parts):
    fragment, _, _ = noise("discrete", "box", encoder="convolution", memory=4)
    split = fragment.split(parts)
    sizes = [part.num_envs for part in split]
    assert sum(sizes) == 7
    assert max(sizes) - min(sizes) <= 1
    same(Trajectory.join(split), fragment.trajectory)
    for part in split:
        assert part.num_steps == 12 * part.num_envs
        assert (part.edge_row.diff() >= 0).all()
    # A game's graph goes with it, edge by edge.
    low = 0
    for part in split:
        for t, b in np.ndindex(12, part.num_envs):
            own = part.edge_row == t * part.num_envs + b
            whole = fragment.edge_row == t * 7 + low + b
            assert torch.equal(part.edges[:, own], fragment.edges[:, whole])
            assert torch.equal(part.edge_features[own], fragment.edge_features[whole])
        low += part.num_envs


@pytest.mark.parametrize("number", [1, 5, 200])
@pytest.mark.parametrize("encoder", ENCODERS)
def test_minibatches(encoder, number):
    """Every decision is there once, and the network that played says to it what it said then."""
    fragment, networks, _ = noise("discrete", "box", **ENCODERS[encoder])
    for k, network in enumerate(networks):
        rule, of, found = distribution(network.role), fragment.policy == k, []
        decisions = fragment.decisions(k, network)
        parts = list(decisions.minibatches(number, torch.Generator().manual_seed(0)))
        assert len(parts) == number
        for part in parts:
            if part is None:
                continue
            again = network(part.input)
            worth = part["target"] - part["advantage"]
            for new, old in (
                (again.parameters, part["parameters"]),
                (rule.logp(again.parameters, part.actions), part["logp"]),
                (again.value, worth),
            ):
                torch.testing.assert_close(new, old, rtol=1e-5, atol=1e-5)
            columns = part["logp"], part["advantage"], part["target"]
            found.append(torch.cat([torch.stack(columns, 1), part.actions.float()], dim=1))
        columns = (
            fragment.logp[of],
            fragment.advantage[of],
            (fragment.value + fragment.advantage)[of],
        )
        actions = fragment.actions[of][:, : network.role.action_width]
        every = torch.cat([torch.stack(columns, 1), actions.float()], dim=1)
        assert decisions.count == len(every) > 50
        torch.testing.assert_close(in_order(torch.cat(found)), in_order(every), rtol=0, atol=0)


def in_order(rows):
    return rows[np.lexsort(rows.numpy().T)]


def test_advantages_are_normalised_over_an_update():
    fragment, networks, _ = noise("discrete", "box")
    for k, network in enumerate(networks):
        decisions = fragment.decisions(k, network)
        raw = fragment.advantage[fragment.policy == k]
        decisions.scale("advantage", raw.mean(), raw.std(correction=0))
        parts = list(decisions.minibatches(3, torch.Generator().manual_seed(0)))
        scaled = torch.cat([part["advantage"] for part in parts])
        assert scaled.mean().item() == pytest.approx(0, abs=1e-5)
        assert scaled.std(correction=0).item() == pytest.approx(1, abs=1e-5)
        target = torch.cat([part["target"] for part in parts])
        expected = (fragment.value + fragment.advantage)[fragment.policy == k]
        assert torch.equal(target.sort().values, expected.sort().values)


# --- schedules


@pytest.mark.parametrize(
    ("schedule", "steps", "value"),
    [
        (0.3, 10**9, 0.3),
        (((0, 1.0), (100, 0.0)), 0, 1.0),
        (((0, 1.0), (100, 0.0)), 25, 0.75),
        (((0, 1.0), (100, 0.0)), 1000, 0.0),
        (((0, 0.0), (10, 1.0), (30, 0.5)), 20, 0.75),
    ],
)
def test_schedules(schedule, steps, value):
    assert at(schedule, steps) == pytest.approx(value, abs=1e-12)
    assert at(PPO(entropy=schedule).entropy, steps) == pytest.approx(value, abs=1e-12)


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        ([], "rising steps"),
        ([[0.0, 0.1], [0.5, 0.2], [1000, 0.3]], r"0\.5 is a share of the run, but 1000 are steps"),
        ([[0.0, 0.1], [1.5, 0.2]], r"1\.5 is a share of the run"),
        ([[1, 0.1]], "rising steps"),
        ([[0, 0.1], [0, 0.2]], "rising steps"),
        ([[0, 0.1], [20, 0.2], [10, 0.3]], "rising steps"),
        ([[0, 0.1], [10, -0.1]], "below 0"),
        (-0.1, "below 0"),
    ],
)
@pytest.mark.parametrize("field", ["learning_rate", "entropy"])
def test_schedules_that_cannot_be(field, schedule, message):
    with pytest.raises(InputError, match=message):
        checked(PPO, {field: schedule}, "method")
