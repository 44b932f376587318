"""Losses of actor-critic methods: values and gradients against torchrl's.

Both sides have the same weights (torchrl's, copied), the same batch, and delayed networks that
differ from the others. Conventions that differ are translated where they do, with the reason.
"""

from typing import NamedTuple

import pytest
import torch
from tensordict import TensorDict
from tensordict.nn import ProbabilisticTensorDictModule, TensorDictModule
from tensordict.nn import ProbabilisticTensorDictSequential as Sampled
from torch import nn
from torchrl.modules import TanhNormal
from torchrl.objectives import DDPGLoss, DiscreteSACLoss, SACLoss, TD3Loss

from marl.learning.off_policy import dqn, maddpg, masac, matd3
from marl.networks.categorical import MASKED
from marl.networks.squashed import SquashedGaussian, spread
from tests.helpers.losses import (
    AGENTS,
    CHOICES,
    CLOSE,
    GAMMA,
    ROWS,
    SEEN,
    Ends,
    a_legal_one,
    copied,
    delay,
    ends,
    flat,
    legal_choices,
    net,
    same_gradients,
)

WIDTH = 2
ALL = torch.ones(ROWS, AGENTS, dtype=torch.bool)

pytestmark = pytest.mark.filterwarnings("ignore:No target network updater")


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(5)


class JointActor(nn.Module):
    """Outputs of three agents, each from its own observation, by shared weights: [M, N, O]."""

    def __init__(self, outputs, last=None):
        super().__init__()
        self.net, self.last = net(SEEN, 16, outputs), last or nn.Identity()

    def forward(self, seen):
        return self.last(self.net(seen))


class JointCritic(nn.Module):
    """Values [M, N, O] of three agents, each from what all of them see and do."""

    def __init__(self, width=WIDTH, outputs=1):
        super().__init__()
        self.net = net(AGENTS * (SEEN + width), 16, AGENTS * outputs)

    def forward(self, seen, action=None):
        both = seen if action is None else torch.cat([seen, action], dim=2)
        return self.net(both.flatten(1)).unflatten(1, (AGENTS, -1))


class Play(NamedTuple):
    seen: torch.Tensor  # [M, N, F]
    then: torch.Tensor  # [M, N, F]
    actions: torch.Tensor  # [M, N, W]
    end: Ends  # of each agent
    batch: TensorDict


def continuous():
    seen, then = torch.randn(ROWS, AGENTS, SEEN), torch.randn(ROWS, AGENTS, SEEN)
    actions, end = torch.rand(ROWS, AGENTS, WIDTH) * 2 - 1, ends(ROWS, AGENTS)
    batch = TensorDict(
        dict(seen=seen, action=actions, steps_to_next_obs=end.ahead, next=end.after(seen=then)),
        [ROWS],
    )
    return Play(seen, then, actions, end, batch)


def test_maddpg():
    play, actor, critic = continuous(), JointActor(WIDTH, nn.Tanh()), JointCritic()
    theirs = DDPGLoss(
        TensorDictModule(actor, ["seen"], ["action"]),
        TensorDictModule(critic, ["seen", "action"], ["state_action_value"]),
        delay_actor=True,
        loss_function="l2",
    )
    theirs.make_value_estimator(gamma=GAMMA)
    delay(theirs)
    found = theirs(play.batch)
    (found["loss_actor"] + found["loss_value"]).backward()

    online = copied(actor, flat(theirs.actor_network_params))
    delayed = copied(actor, flat(theirs.target_actor_network_params))
    judge = copied(critic, flat(theirs.value_network_params))
    delayed_judge = copied(critic, flat(theirs.target_value_network_params))
    later = delayed_judge(play.then, delayed(play.then))[..., 0]
    targets = dqn.target(play.end.reward[..., 0], play.end.discount, later)
    values = judge(play.seen, play.actions)[..., 0]
    loss = maddpg.critic_loss(values, targets, ALL)
    loss.backward()
    torch.testing.assert_close(loss, found["loss_value"], **CLOSE)
    same_gradients(judge, flat(theirs.value_network_params))
    loss = maddpg.actor_loss(judge(play.seen, online(play.seen))[..., 0], ALL)
    loss.backward()
    torch.testing.assert_close(loss, found["loss_actor"], **CLOSE)
    same_gradients(online, flat(theirs.actor_network_params))


def test_matd3():
    """Noise is torchrl's, wide enough that both of its bounds and those of actions matter."""
    play, actor, critic = continuous(), JointActor(WIDTH, nn.Tanh()), JointCritic()
    std, clip = 0.4, 0.5
    theirs = TD3Loss(
        TensorDictModule(actor, ["seen"], ["action"]),
        TensorDictModule(critic, ["seen", "action"], ["state_action_value"]),
        bounds=(-1.0, 1.0),
        policy_noise=std,
        noise_clip=clip,
        loss_function="l2",
    )
    theirs.make_value_estimator(gamma=GAMMA)
    delay(theirs)
    torch.manual_seed(8)
    found = theirs(play.batch)
    (found["loss_actor"] + found["loss_qvalue"]).backward()
    torch.manual_seed(8)
    noise = torch.randn_like(play.actions)

    online = copied(actor, flat(theirs.actor_network_params))
    delayed = copied(actor, flat(theirs.target_actor_network_params))
    judges = [copied(critic, flat(theirs.qvalue_network_params), i) for i in range(2)]
    late = [copied(critic, flat(theirs.target_qvalue_network_params), i) for i in range(2)]
    smooth = matd3.smoothed(delayed(play.then), noise, std, clip)
    assert (smooth.abs() == 1).any()
    assert ((noise * std).abs() > clip).any()
    targets = matd3.twin_target(
        play.end.reward[..., 0], play.end.discount, *(q(play.then, smooth)[..., 0] for q in late)
    )
    torch.testing.assert_close(targets, found["target_value"], **CLOSE)
    values = [q(play.seen, play.actions)[..., 0] for q in judges]
    loss = matd3.critic_loss(*values, targets, ALL)
    loss.backward()
    torch.testing.assert_close(loss, found["loss_qvalue"], **CLOSE)
    for i, judge in enumerate(judges):
        same_gradients(judge, flat(theirs.qvalue_network_params), i)
    loss = maddpg.actor_loss(judges[0](play.seen, online(play.seen))[..., 0], ALL)
    loss.backward()
    torch.testing.assert_close(loss, found["loss_actor"], **CLOSE)
    same_gradients(online, flat(theirs.actor_network_params))


class Head(nn.Module):
    """What torchrl's TanhNormal takes, from parameters of ours."""

    def forward(self, parameters):
        mean, log_std = spread(parameters.flatten(0, -2))
        shape = (*parameters.shape[:-1], -1)
        return mean.view(shape), log_std.exp().view(shape)


def test_masac_continuous():
    """Actions are drawn from the same stream of chance; the temperature is 0.7, and is learned."""
    play, actor, critic = continuous(), JointActor(2 * WIDTH), JointCritic()
    rule = SquashedGaussian((-1.0,) * WIDTH, (1.0,) * WIDTH)
    theirs = SACLoss(
        Sampled(
            TensorDictModule(actor, ["seen"], ["parameters"]),
            TensorDictModule(Head(), ["parameters"], ["loc", "scale"]),
            ProbabilisticTensorDictModule(
                ["loc", "scale"], ["action"], distribution_class=TanhNormal, return_log_prob=True
            ),
        ),
        TensorDictModule(critic, ["seen", "action"], ["state_action_value"]),
        loss_function="l2",
        alpha_init=0.7,
        target_entropy=-float(WIDTH),
    )
    theirs.make_value_estimator(gamma=GAMMA)
    delay(theirs)
    torch.manual_seed(8)
    found = theirs(play.batch)
    sum(found[f"loss_{name}"] for name in ("actor", "qvalue", "alpha")).backward()

    online = copied(actor, flat(theirs.actor_network_params["module"]["0"]))
    judges = [copied(critic, flat(theirs.qvalue_network_params), i) for i in range(2)]
    late = [copied(critic, flat(theirs.target_qvalue_network_params), i) for i in range(2)]
    log_temperature = theirs.log_alpha.detach().clone().requires_grad_(True)
    temperature = log_temperature.exp()

    def draw(seen):
        actions, logp = rule.rsample(online(seen).flatten(0, 1), torch.default_generator)
        return actions.view(ROWS, AGENTS, WIDTH), logp.view(ROWS, AGENTS)

    torch.manual_seed(8)  # torchrl draws for the critics first
    actions, logp = draw(play.then)
    targets = masac.target(
        play.end.reward[..., 0], play.end.discount,
        *(q(play.then, actions)[..., 0] for q in late), logp, temperature,
    )  # fmt: skip
    values = [q(play.seen, play.actions)[..., 0] for q in judges]
    loss = matd3.critic_loss(*values, targets, ALL)
    loss.backward()
    torch.testing.assert_close(loss, found["loss_qvalue"], **CLOSE)
    for i, judge in enumerate(judges):
        same_gradients(judge, flat(theirs.qvalue_network_params), i)

    actions, logp = draw(play.seen)
    values = [q(play.seen, actions)[..., 0] for q in judges]
    loss = masac.actor_loss(*values, logp, temperature, ALL)
    loss.backward()
    torch.testing.assert_close(loss, found["loss_actor"], **CLOSE)
    same_gradients(online, flat(theirs.actor_network_params["module"]["0"]))
    assert log_temperature.grad is None

    loss = masac.temperature_loss(log_temperature, logp, -float(WIDTH), ALL)
    loss.backward()
    torch.testing.assert_close(loss, found["loss_alpha"], **CLOSE)
    torch.testing.assert_close(log_temperature.grad, theirs.log_alpha.grad, **CLOSE)


class Legal(nn.Module):
    """Log probabilities of choices; those of illegal ones are `MASKED`."""

    def forward(self, logits, legal):
        return logits.masked_fill(~legal, MASKED)


def test_masac_discrete():
    """A third of the choices is illegal: neither side lets them count."""
    legal, then_legal = (legal_choices(ROWS, AGENTS) for _ in range(2))
    seen, then = torch.randn(ROWS, AGENTS, SEEN), torch.randn(ROWS, AGENTS, SEEN)
    actions, end = a_legal_one(legal), ends(ROWS, AGENTS)
    actor, critic = JointActor(CHOICES), JointCritic(0, CHOICES)
    batch = dict(
        seen=seen, legal=legal, action=actions, steps_to_next_obs=end.ahead,
        next=end.after(seen=then, legal=then_legal),
    )  # fmt: skip
    theirs = DiscreteSACLoss(
        Sampled(
            TensorDictModule(actor, ["seen"], ["raw"]),
            TensorDictModule(Legal(), ["raw", "legal"], ["logits"]),
            ProbabilisticTensorDictModule(
                ["logits"], ["action"], distribution_class=torch.distributions.Categorical
            ),
        ),
        TensorDictModule(critic, ["seen"], ["action_value"]),
        action_space="categorical",
        loss_function="l2",
        alpha_init=0.7,
        target_entropy=0.9,
    )
    theirs.make_value_estimator(gamma=GAMMA)
    delay(theirs)
    found = theirs(TensorDict(batch, [ROWS]))
    sum(found[f"loss_{name}"] for name in ("actor", "qvalue", "alpha")).backward()

    online = copied(actor, flat(theirs.actor_network_params["module"]["0"]))
    judges = [copied(critic, flat(theirs.qvalue_network_params), i) for i in range(2)]
    late = [copied(critic, flat(theirs.target_qvalue_network_params), i) for i in range(2)]
    log_temperature = theirs.log_alpha.detach().clone().requires_grad_(True)
    temperature = log_temperature.exp()

    logp = Legal()(online(then), then_legal).log_softmax(-1)
    targets = masac.discrete_target(
        end.reward[..., 0], end.discount, *(q(then) for q in late), logp, temperature
    )
    values = [q(seen).gather(2, actions[..., None])[..., 0] for q in judges]
    loss = matd3.critic_loss(*values, targets, ALL)
    loss.backward()
    torch.testing.assert_close(loss, found["loss_qvalue"], **CLOSE)
    for i, judge in enumerate(judges):
        same_gradients(judge, flat(theirs.qvalue_network_params), i)

    logp = Legal()(online(seen), legal).log_softmax(-1)
    loss = masac.discrete_actor_loss(*(q(seen) for q in judges), logp, temperature, ALL)
    loss.backward()
    torch.testing.assert_close(loss, found["loss_actor"], **CLOSE)
    same_gradients(online, flat(theirs.actor_network_params["module"]["0"]))
    assert log_temperature.grad is None

    loss = masac.discrete_temperature_loss(log_temperature, logp, 0.9, ALL)
    loss.backward()
    torch.testing.assert_close(loss, found["loss_alpha"], **CLOSE)
    torch.testing.assert_close(log_temperature.grad, theirs.log_alpha.grad, **CLOSE)
