"""Losses of methods that learn values of choices: values and gradients against torchrl's.

Both sides have the same weights (torchrl's, copied), the same batch, and delayed networks that
differ from the others. Conventions that differ are translated where they do, with the reason.
"""

import pytest
import torch
from tensordict import TensorDict
from tensordict.nn import TensorDictModule
from torch import nn
from torchrl.modules import QValueModule, SafeSequential
from torchrl.modules.models.multiagent import QMixer, VDNMixer
from torchrl.objectives import DQNLoss
from torchrl.objectives.multiagent import QMixerLoss

from marl.learning.off_policy import dqn
from marl.learning.off_policy.qmix import Mixer
from marl.learning.off_policy.vdn import Sum
from marl.networks.categorical import MASKED
from tests.helpers.losses import (
    AGENTS,
    CHOICES,
    CLOSE,
    GAMMA,
    ROWS,
    SEEN,
    a_legal_one,
    copied,
    delay,
    ends,
    flat,
    legal_choices,
    net,
    same_gradients,
)

STATE = 6

pytestmark = pytest.mark.filterwarnings("ignore:No target network updater")


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(5)


class Dueling(nn.Module):
    """Value and advantages in the form of Wang et al., by their equation 9 where all is legal."""

    def __init__(self):
        super().__init__()
        self.value, self.advantage = net(SEEN, 16, 1), net(SEEN, 16, CHOICES)

    def forward(self, seen):
        advantage = self.advantage(seen)
        return self.value(seen) + advantage - advantage.mean(-1, keepdim=True)


def ours_dueling(module, seen, legal):
    return dqn.dueled(module.value(seen)[:, 0], module.advantage(seen), legal)


def ours_plain(module, seen, legal):
    return module(seen).masked_fill(~legal, MASKED)


@pytest.mark.parametrize("double", [False, True])
@pytest.mark.parametrize("huber", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(
    ("build", "ours", "masked"),
    [
        pytest.param(lambda: net(SEEN, 16, CHOICES), ours_plain, True, id="plain"),
        pytest.param(Dueling, ours_dueling, False, id="dueling"),
    ],
)
def test_dqn(build, ours, masked, double, huber, weighted):
    network = build()
    legal, then_legal = (legal_choices(ROWS) | (not masked) for _ in range(2))
    seen, then = torch.randn(ROWS, SEEN), torch.randn(ROWS, SEEN)
    actions, end = a_legal_one(legal), ends(ROWS)
    theirs = DQNLoss(
        SafeSequential(
            TensorDictModule(network, ["seen"], ["action_value"]),
            QValueModule(action_space="categorical", action_mask_key="legal"),
        ),
        action_space="categorical",
        double_dqn=double,
        loss_function="smooth_l1" if huber else "l2",
    )
    theirs.make_value_estimator(gamma=GAMMA)
    delay(theirs)
    batch = dict(
        seen=seen, legal=legal, action=actions, steps_to_next_obs=end.ahead,
        next=end.after(seen=then, legal=then_legal),
    )  # fmt: skip
    weight = torch.rand(ROWS) if weighted else None
    if weighted:
        batch["priority_weight"] = weight
    batch = TensorDict(batch, [ROWS])
    expected = theirs(batch)["loss"]
    expected.backward()
    # torchrl divides by the sum of the weights, Schaul et al. by the number of rows.
    factor = float(weight.mean()) if weighted else 1.0

    online = copied(network, flat(theirs.value_network_params["module"]["0"]))
    delayed = copied(network, flat(theirs.target_value_network_params["module"]["0"]))
    later = ours(delayed, then, then_legal).detach()
    later = dqn.best(later, ours(online, then, then_legal) if double else None)
    targets = dqn.target(end.reward[:, 0], end.discount, later)
    values = dqn.chosen(ours(online, seen, legal), actions[:, None])
    loss, errors = dqn.td_loss(values, targets, weight, huber=huber)
    loss.backward()
    torch.testing.assert_close(loss, factor * expected, **CLOSE)
    torch.testing.assert_close(errors.square(), batch["td_error"][:, 0], **CLOSE)
    same_gradients(online, flat(theirs.value_network_params["module"]["0"]), factor=factor)


@pytest.mark.parametrize("huber", [False, True])
@pytest.mark.parametrize(
    ("reference", "build"),
    [
        pytest.param(lambda: VDNMixer(AGENTS, "cpu"), Sum, id="vdn"),
        pytest.param(
            lambda: QMixer((STATE,), 8, AGENTS, "cpu"), lambda: Mixer(AGENTS, STATE, 8), id="qmix"
        ),
    ],
)
def test_mixed_values(reference, build, huber):
    """VDN and QMIX: three agents that share their weights, with a mixer, both delayed."""
    legal, then_legal = (legal_choices(ROWS, AGENTS) for _ in range(2))
    seen, then = torch.randn(ROWS, AGENTS, SEEN), torch.randn(ROWS, AGENTS, SEEN)
    state, then_state = torch.randn(ROWS, STATE), torch.randn(ROWS, STATE)
    actions, end, network = a_legal_one(legal), ends(ROWS), net(SEEN, 16, CHOICES)
    value = QValueModule(
        action_space="categorical",
        action_value_key=("agents", "action_value"),
        action_mask_key=("agents", "legal"),
        out_keys=[("agents", key) for key in ("action", "action_value", "chosen_action_value")],
    )
    mixes = reference()
    needs = ["state"] if isinstance(mixes, QMixer) else []
    theirs = QMixerLoss(
        SafeSequential(
            TensorDictModule(network, [("agents", "seen")], [("agents", "action_value")]), value
        ),
        TensorDictModule(
            mixes, [("agents", "chosen_action_value"), *needs], ["chosen_action_value"]
        ),
        action_space="categorical",
        loss_function="smooth_l1" if huber else "l2",
    )
    theirs.make_value_estimator(gamma=GAMMA)
    delay(theirs)
    agents = dict(seen=seen, legal=legal, action=actions)
    batch = dict(
        agents=agents, state=state, steps_to_next_obs=end.ahead,
        next=end.after(state=then_state, agents=dict(seen=then, legal=then_legal)),
    )  # fmt: skip
    batch = TensorDict(batch, [ROWS])
    expected = theirs(batch)["loss"]
    expected.backward()

    online = copied(network, flat(theirs.local_value_network_params["module"]["0"]))
    delayed = copied(network, flat(theirs.target_local_value_network_params["module"]["0"]))
    mixer = copied(build(), renamed(theirs.mixer_network_params))
    delayed_mixer = copied(build(), renamed(theirs.target_mixer_network_params))
    later = ours_plain(delayed, then.flatten(0, 1), then_legal.flatten(0, 1))
    later = delayed_mixer(dqn.best(later).view(ROWS, AGENTS), then_state)
    targets = dqn.target(end.reward[:, 0], end.discount, later)
    values = ours_plain(online, seen.flatten(0, 1), legal.flatten(0, 1))
    values = dqn.chosen(values, actions.view(-1, 1)).view(ROWS, AGENTS)
    loss, errors = dqn.td_loss(mixer(values, state), targets, huber=huber)
    loss.backward()
    torch.testing.assert_close(loss, expected, **CLOSE)
    torch.testing.assert_close(errors.square(), batch["td_error"][:, 0], **CLOSE)
    same_gradients(online, flat(theirs.local_value_network_params["module"]["0"]))
    if needs:
        same_gradients(mixer, renamed(theirs.mixer_network_params))


NAMES = {"hyper_w_1": "agents", "hyper_b_1": "outer.hidden_bias", "hyper_w_final": "outer.weight",
         "V": "outer.bias"}  # fmt: skip


def renamed(parameters):
    """The weights of torchrl's QMixer under our names."""
    parts = {name: name.partition(".") for name in flat(parameters)}
    return {
        f"{NAMES[first]}.{rest}": flat(parameters)[name] for name, (first, _, rest) in parts.items()
    }


def test_dueling_counts_legal_choices_only():
    """Row by row: value plus advantage minus the mean of legal ones; illegal ones get nothing."""
    value, advantages = torch.randn(ROWS), torch.randn(ROWS, CHOICES).requires_grad_(True)
    legal = legal_choices(ROWS)
    legal[0] = False
    found = dqn.dueled(value, advantages, legal)
    for row in range(1, ROWS):
        its = advantages[row][legal[row]]
        torch.testing.assert_close(found[row][legal[row]], value[row] + its - its.mean())
    assert (found[~legal] == MASKED).all()
    assert (dqn.best(found)[0] == MASKED).all()
    assert dqn.target(value[:1], torch.zeros(1), dqn.best(found)[:1]) == value[0]
    found[1:].masked_fill(~legal[1:], 0.0).square().sum().backward()
    assert (advantages.grad[~legal] == 0).all()
    assert advantages.grad.isfinite().all()
