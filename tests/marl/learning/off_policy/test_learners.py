"""Whole learners: a gradient step on a drawn batch against torchrl's loss modules.

Both sides have our networks, critics and mixers, with the same weights and delayed weights, and the
same batch from the replay: what is compared is how learners put decisions, absent agents, targets
and losses together.
"""

from dataclasses import replace

import pytest
import torch
from tensordict import TensorDict
from tensordict.nn import ProbabilisticTensorDictModule, TensorDictModule
from tensordict.nn import ProbabilisticTensorDictSequential as Sampled
from torch import nn
from torchrl.modules import QValueModule, SafeSequential, TanhNormal
from torchrl.objectives import DDPGLoss, DiscreteSACLoss, DQNLoss, SACLoss, TD3Loss
from torchrl.objectives.multiagent import QMixerLoss

from games.simulators.simulator import Observation, no_edges
from marl.networks.categorical import MASKED
from marl.networks.critic import acted
from marl.networks.packing import pack
from marl.networks.squashed import spread
from marl.replay.batch import View
from tests.helpers.losses import CLOSE, flat
from tests.helpers.off_policy import EXITS, Loop

GAMMA = 0.9
DISCS = "navigation(agents=2,max_steps=6)"  # of which all act always
WALKERS = f"{EXITS}(num_agents=3,size=3)"  # who leave one by one, and may not walk into walls
PAIR = f"{EXITS}(num_agents=2,size=2)"

pytestmark = pytest.mark.filterwarnings("ignore:No target network updater", "ignore:No.*mask")


# --- our networks as torchrl takes them


def observation(nodes, acting=None, legal=None):
    shape = nodes.shape[:2]
    acting = torch.ones(shape, dtype=torch.bool) if acting is None else acting
    legal = torch.zeros(*shape, 0, dtype=torch.bool) if legal is None else legal
    return Observation(nodes, *no_edges(nodes), acting, legal)


class Outputs(nn.Module):
    """What a network says of every agent [M, N, P], without its last `left_out`; 0 of absent ones.

    Illegal choices are `MASKED`.
    """

    def __init__(self, network, left_out=0):
        super().__init__()
        self.ours, self.left_out = network, left_out

    def forward(self, nodes, acting=None, legal=None):
        seen = observation(nodes, acting, legal)
        said, _ = self.ours.policy(pack(seen, seen.acting, self.ours))
        said = said[:, : said.shape[1] - self.left_out]
        found = torch.zeros(*seen.acting.shape, said.shape[1])
        return found.masked_scatter(seen.acting[..., None], said)


class Judged(nn.Module):
    """A critic's values [M, N, O] of actions, or of all choices."""

    def __init__(self, critic):
        super().__init__()
        self.ours = critic

    def forward(self, nodes, action=None):
        seen = observation(nodes)
        seen = seen if action is None else acted(seen, action)
        return self.ours(pack(seen, seen.acting, self.ours)).unflatten(0, nodes.shape[:2])


class Mixed(nn.Module):
    def __init__(self, mixer):
        super().__init__()
        self.ours = mixer

    def forward(self, values, nodes, acting):
        state = self.ours.state(observation(nodes, acting), acting)
        return self.ours(values[..., 0], state, acting)[:, None]


def loaded(parameters, module, index=None):
    """Put a module's weights where torchrl keeps them; returns these by name."""
    theirs = flat(parameters)
    for name, value in module.state_dict().items():
        if name in theirs:
            into = theirs[name].data
            (into if index is None else into[index]).copy_(value)
    return theirs


def same(ours, theirs, prefix, index=None):
    """All our gradients [below a name] equal torchrl's, and nothing of ours is left out."""
    mine = {f"ours.{n.removeprefix(prefix)}": g for n, g in ours.items() if n.startswith(prefix)}
    assert mine
    for name, parameter in theirs.items():
        if parameter.grad is None:
            continue
        grad = parameter.grad if index is None else parameter.grad[index]
        largest = float(grad.abs().max())
        if largest == 0:
            assert name not in mine
        else:
            torch.testing.assert_close(mine.pop(name), grad, rtol=1e-5, atol=1e-5 * largest)
    assert not mine


def ahead(discount):
    """Decisions [..., 1] until the one that is bootstrapped from; 1 where the game ended."""
    count = (discount.clamp(min=1e-9).log() / torch.tensor(GAMMA).log()).round().long()
    return torch.where(discount > 0, count, 1)[..., None]


def after(batch, columns=slice(None), **seen):
    """torchrl's "next" and how far it is."""
    ended = (batch.discount[:, columns] == 0)[..., None]
    assert ended.any()
    assert not ended.all()
    reward = batch.reward[:, columns][..., None]
    return dict(
        steps_to_next_obs=ahead(batch.discount[:, columns]),
        next=dict(reward=reward, done=ended, terminated=ended, **seen),
    )


def rows_ahead(batch, seen):
    """The nodes, who acts and what is legal, where each of the M steps is bootstrapped."""
    where = batch.where[:, 0]
    assert (batch.where == where[:, None]).all()
    return seen.nodes[where], seen.acting[where], seen.action_mask[where]


# --- values of choices


@pytest.mark.parametrize("double", [False, True])
def test_iql(double):
    """Every decision of three walkers is a row of torchrl's DQN."""
    options = dict(name="iql", discount=GAMMA, n_step=2, double=double, huber=False)
    loop = Loop(WALKERS, options)
    batch = loop.draw()
    _, ((loss, gradients),) = loop.step(batch)
    known, now, later = batch.known, batch.now.seen, batch.later.seen
    assert not known.all()
    agent = torch.arange(3).expand_as(known)
    then = later.nodes[batch.where, agent][known], later.action_mask[batch.where, agent][known]
    theirs = DQNLoss(
        SafeSequential(
            TensorDictModule(Rows(loop.learner.networks[0]), ["seen"], ["action_value"]),
            QValueModule(action_space="categorical", action_mask_key="legal"),
        ),
        action_space="categorical", double_dqn=double, loss_function="l2",
    )  # fmt: skip
    theirs.make_value_estimator(gamma=GAMMA)
    online = loaded(theirs.value_network_params["module"]["0"], Rows(loop.learner.networks[0]))
    loaded(theirs.target_value_network_params["module"]["0"], Rows(loop.learner.target_networks[0]))
    ended = (batch.discount[known] == 0)[:, None]
    given = dict(
        seen=now.nodes[known], legal=now.action_mask[known], action=batch.actions[known][:, 0],
        steps_to_next_obs=ahead(batch.discount[known]),
        next=dict(
            seen=then[0], legal=then[1] | ended,  # what is over is nobody's to choose
            reward=batch.reward[known][:, None], done=ended, terminated=ended,
        ),
    )  # fmt: skip
    assert ended.any()
    expected = theirs(TensorDict(given, [int(known.sum())]))["loss"]
    expected.backward()
    torch.testing.assert_close(loss, expected.detach(), **CLOSE)
    same(gradients, online, "0.")


class Rows(nn.Module):
    """A network's values [D, A] of nodes [D, F], without masks, which torchrl applies itself."""

    def __init__(self, network):
        super().__init__()
        self.ours = network

    def forward(self, seen):
        legal = torch.ones(len(seen), 1, self.ours.role.mask_width, dtype=torch.bool)
        given = observation(seen[:, None], None, legal)
        return self.ours.policy(pack(given, given.acting, self.ours))[0][:, :-1]


@pytest.mark.parametrize(
    ("name", "state"), [("vdn", {}), ("qmix", {}), ("qmix", {"state": "graph"})]
)
def test_mixed(name, state):
    """Walkers who have left contribute nothing, on both sides; targets are the team's."""
    options = dict(name=name, discount=GAMMA, n_step=2, double=False, **state)
    loop = Loop(WALKERS, options)
    batch = loop.draw()
    _, ((loss, gradients),) = loop.step(batch)
    now, learner = batch.now.seen, loop.learner
    assert not now.acting.all()
    nodes, acting, legal = rows_ahead(batch, batch.later.seen)
    keys = ["nodes", "acting", "legal"]
    theirs = QMixerLoss(
        SafeSequential(
            TensorDictModule(
                Outputs(learner.networks[0], 1),
                [("agents", key) for key in keys], [("agents", "action_value")],
            ),
            QValueModule(
                action_space="categorical",
                action_value_key=("agents", "action_value"),
                action_mask_key=("agents", "open"),
                out_keys=[("agents", k) for k in ("action", "action_value", "chosen_action_value")],
            ),
        ),
        TensorDictModule(
            Mixed(learner.beside["mixer"]),
            [("agents", key) for key in ("chosen_action_value", "nodes", "acting")],
            ["chosen_action_value"],
        ),
        action_space="categorical", loss_function="l2",
    )  # fmt: skip
    theirs.make_value_estimator(gamma=GAMMA)
    online = loaded(theirs.local_value_network_params["module"]["0"], Outputs(learner.networks[0]))
    loaded(
        theirs.target_local_value_network_params["module"]["0"], Outputs(learner.target_networks[0])
    )
    if name == "qmix":
        mixing = loaded(theirs.mixer_network_params, Mixed(learner.beside["mixer"]))
        loaded(theirs.target_mixer_network_params, Mixed(learner.target_beside["mixer"]))
    then = dict(nodes=nodes, acting=acting, legal=legal, open=legal | ~acting[..., None])
    given = dict(
        agents=dict(
            nodes=now.nodes, acting=now.acting, legal=now.action_mask,
            open=now.action_mask | ~now.acting[..., None], action=batch.actions[..., 0],
        ),
        **after(batch, 0, agents=then),
    )  # fmt: skip
    expected = theirs(TensorDict(given, [len(batch.index)]))["loss"]
    expected.backward()
    torch.testing.assert_close(loss, expected.detach(), **CLOSE)
    same(gradients, online, "0.")
    if name == "qmix":
        same(gradients, mixing, "1.mixer.")


# --- critics of actions


def continuous(name, critic, **options):
    loop = Loop(DISCS, dict(name=name, discount=GAMMA, n_step=2, critic=critic, **options))
    batch = loop.draw()
    assert batch.known.all()
    over = torch.rand(batch.discount.shape, generator=torch.Generator().manual_seed(5)) < 0.2
    batch = replace(batch, discount=batch.discount.masked_fill(over, 0.0))  # discs never end
    nodes, _, _ = rows_ahead(batch, batch.later.seen)
    given = dict(
        nodes=batch.now.seen.nodes, action=batch.actions.clamp(-1, 1), **after(batch, nodes=nodes)
    )
    return loop, batch, TensorDict(given, [len(batch.index)])


def judge(loop):
    critic = Judged(loop.learner.critics[0][0])
    return TensorDictModule(critic, ["nodes", "action"], ["state_action_value"])


class Mean(Outputs):
    """A deterministic policy's actions."""

    def forward(self, nodes):
        return super().forward(nodes).chunk(2, dim=-1)[0]


def load_critics(theirs, learner):
    """The twin critics' weights, and their delayed ones; returns the former by name."""
    for i in range(2):
        online = loaded(theirs.qvalue_network_params, Judged(learner.critics[i][0]), i)
        loaded(theirs.target_qvalue_network_params, Judged(learner.target_critics[i][0]), i)
    return online


@pytest.mark.parametrize("critic", ["own", "central"])
def test_maddpg(critic):
    """Of a central critic, torchrl's policies would answer for all actions at once: see below."""
    loop, batch, given = continuous("maddpg", critic)
    learner = loop.learner
    _, ((loss, gradients), (improved, moved)) = loop.step(batch)
    theirs = DDPGLoss(
        TensorDictModule(Mean(learner.networks[0]), ["nodes"], ["action"]),
        judge(loop), delay_actor=True, loss_function="l2",
    )  # fmt: skip
    theirs.make_value_estimator(gamma=GAMMA)
    actor = loaded(theirs.actor_network_params, Mean(learner.networks[0]))
    loaded(theirs.target_actor_network_params, Mean(learner.target_networks[0]))
    critics = loaded(theirs.value_network_params, Judged(learner.critics[0][0]))
    loaded(theirs.target_value_network_params, Judged(learner.target_critics[0][0]))
    found = theirs(given)
    (found["loss_actor"] + found["loss_value"]).backward()
    torch.testing.assert_close(loss, found["loss_value"].detach(), **CLOSE)
    same(gradients, critics, "1.critics.0.0.")
    if critic == "own":
        torch.testing.assert_close(improved, found["loss_actor"].detach(), **CLOSE)
        same(moved, actor, "0.")


@pytest.mark.parametrize("critic", ["own", "central"])
def test_matd3(critic):
    """Noise on target actions is torchrl's."""
    loop, batch, given = continuous("matd3", critic, smoothing=0.4, smoothing_clip=0.5)
    learner = loop.learner
    _, ((loss, gradients), (improved, moved)) = loop.step(batch)
    theirs = TD3Loss(
        TensorDictModule(Mean(learner.networks[0]), ["nodes"], ["action"]),
        judge(loop), bounds=(-1.0, 1.0), policy_noise=0.4, noise_clip=0.5, loss_function="l2",
        deactivate_vmap=True,
    )  # fmt: skip
    theirs.make_value_estimator(gamma=GAMMA)
    actor = loaded(theirs.actor_network_params, Mean(learner.networks[0]))
    loaded(theirs.target_actor_network_params, Mean(learner.target_networks[0]))
    critics = load_critics(theirs, learner)
    torch.manual_seed(8)
    found = theirs(given)
    (found["loss_actor"] + found["loss_qvalue"]).backward()
    torch.testing.assert_close(loss, found["loss_qvalue"].detach(), **CLOSE)
    for i in range(2):
        same(gradients, critics, f"1.critics.{i}.0.", i)
    if critic == "own":
        torch.testing.assert_close(improved, found["loss_actor"].detach(), **CLOSE)
        same(moved, actor, "0.")


class Head(nn.Module):
    """What torchrl's TanhNormal takes, from parameters of ours."""

    def forward(self, parameters):
        mean, log_std = spread(parameters.flatten(0, -2))
        shape = (*parameters.shape[:-1], -1)
        return mean.view(shape), log_std.exp().view(shape)


@pytest.mark.parametrize("critic", ["own", "central"])
def test_masac_of_numbers(critic):
    """Draws are torchrl's."""
    loop, batch, given = continuous("masac", critic, temperature=0.7)
    learner = loop.learner
    _, ((loss, gradients), (improved, moved), (adapted, warmed)) = loop.step(batch)
    theirs = SACLoss(
        Sampled(
            TensorDictModule(Outputs(learner.networks[0]), ["nodes"], ["parameters"]),
            TensorDictModule(Head(), ["parameters"], ["loc", "scale"]),
            ProbabilisticTensorDictModule(
                ["loc", "scale"], ["action"], distribution_class=TanhNormal, return_log_prob=True
            ),
        ),
        judge(loop), loss_function="l2", alpha_init=0.7, target_entropy=-2.0, deactivate_vmap=True,
    )  # fmt: skip
    theirs.make_value_estimator(gamma=GAMMA)
    actor = loaded(theirs.actor_network_params["module"]["0"], Outputs(learner.networks[0]))
    critics = load_critics(theirs, learner)
    torch.manual_seed(8)
    found = theirs(given)
    sum(found[f"loss_{name}"] for name in ("actor", "qvalue", "alpha")).backward()
    torch.testing.assert_close(loss, found["loss_qvalue"].detach(), **CLOSE)
    for i in range(2):
        same(gradients, critics, f"1.critics.{i}.0.", i)
    torch.testing.assert_close(adapted, found["loss_alpha"].detach(), **CLOSE)
    torch.testing.assert_close(
        warmed["1.temperatures.logs"].sum(), theirs.log_alpha.grad.sum(), **CLOSE
    )
    if critic == "own":
        torch.testing.assert_close(improved, found["loss_actor"].detach(), **CLOSE)
        same(moved, actor, "0.")


class Legal(nn.Module):
    """Logits; those of illegal choices are `MASKED`."""

    def forward(self, logits, legal):
        return logits.masked_fill(~legal, MASKED)


@pytest.mark.parametrize("critic", ["own", "central"])
def test_masac_of_choices(critic):
    """Steps in which both walkers decide, and go on or leave together: torchrl knows no others."""
    options = dict(name="masac", discount=GAMMA, critic=critic, temperature=0.7, target_entropy=0.9)
    loop = Loop(PAIR, options)
    batch = together(loop.draw(1000))
    learner = loop.learner
    _, ((loss, gradients), (improved, moved), (adapted, warmed)) = loop.step(batch)
    now, (nodes, _, legal) = batch.now.seen, rows_ahead(batch, batch.later.seen)
    given = dict(
        nodes=now.nodes, legal=now.action_mask, action=batch.actions[..., 0],
        **after(batch, nodes=nodes, legal=legal),
    )  # fmt: skip
    theirs = DiscreteSACLoss(
        Sampled(
            TensorDictModule(AllChoices(learner.networks[0]), ["nodes"], ["raw"]),
            TensorDictModule(Legal(), ["raw", "legal"], ["logits"]),
            ProbabilisticTensorDictModule(
                ["logits"], ["action"], distribution_class=torch.distributions.Categorical
            ),
        ),
        TensorDictModule(Judged(learner.critics[0][0]), ["nodes"], ["action_value"]),
        action_space="categorical", loss_function="l2", alpha_init=0.7, target_entropy=0.9,
        num_actions=5, deactivate_vmap=True,
    )  # fmt: skip
    theirs.make_value_estimator(gamma=GAMMA)
    actor = loaded(theirs.actor_network_params["module"]["0"], AllChoices(learner.networks[0]))
    critics = load_critics(theirs, learner)
    found = theirs(TensorDict(given, [len(batch.index)]))
    sum(found[f"loss_{name}"] for name in ("actor", "qvalue", "alpha")).backward()
    torch.testing.assert_close(loss, found["loss_qvalue"].detach(), **CLOSE)
    for i in range(2):
        same(gradients, critics, f"1.critics.{i}.0.", i)
    torch.testing.assert_close(improved, found["loss_actor"].detach(), **CLOSE)
    same(moved, actor, "0.")
    torch.testing.assert_close(adapted, found["loss_alpha"].detach(), **CLOSE)
    torch.testing.assert_close(
        warmed["1.temperatures.logs"].sum(), theirs.log_alpha.grad.sum(), **CLOSE
    )


class AllChoices(Outputs):
    """Logits of all choices, legal or not."""

    def forward(self, nodes):
        legal = torch.ones(*nodes.shape[:2], self.ours.role.mask_width, dtype=torch.bool)
        return super().forward(nodes, None, legal)


def together(batch):
    """The steps of a batch in which all decide, and what follows is the same for all."""
    rows = batch.known.all(1) & (batch.where == batch.where[:, :1]).all(1)
    assert int(rows.sum()) > 50
    assert (batch.discount[rows] == 0).all(1).any()
    names = ("actions", "policy", "reward", "discount", "known", "where", "index", "weight")
    taken = {name: getattr(batch, name)[rows] for name in names}
    seen = batch.now.seen
    seen = observation(seen.nodes[rows], seen.acting[rows], seen.action_mask[rows])
    return replace(batch, now=View(seen), **taken)
