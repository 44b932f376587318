"""Entries whose target is not known do not count in a loss; rows count by their weight."""

import pytest
import torch

from marl.learning.off_policy import maddpg, masac, matd3
from marl.networks.categorical import MASKED
from tests.helpers.losses import AGENTS, CHOICES, CLOSE, ROWS


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(5)


def entries(*shape):
    return torch.randn(ROWS, AGENTS, *shape)


COOL = torch.tensor([0.3, 0.7, 1.5])  # temperatures, one of each agent
CHOSEN = (CHOICES,)
LOSSES = [
    pytest.param(maddpg.critic_loss, [(), ()], {}, id="critic"),
    pytest.param(maddpg.actor_loss, [()], {}, id="actor"),
    pytest.param(matd3.critic_loss, [(), (), ()], {}, id="twins"),
    pytest.param(masac.actor_loss, [(), (), ()], dict(temperature=COOL), id="soft-actor"),
    pytest.param(
        lambda logp, known: masac.temperature_loss(COOL.log(), logp, -2.0, known),
        [()],
        {},
        id="temperature",
    ),
    pytest.param(
        masac.discrete_actor_loss, [CHOSEN] * 3, dict(temperature=COOL), id="discrete-actor"
    ),
    pytest.param(
        lambda logp, known: masac.discrete_temperature_loss(COOL.log(), logp, 0.9, known),
        [CHOSEN],
        {},
        id="discrete-temperature",
    ),
]


@pytest.mark.parametrize(("loss", "shapes", "options"), LOSSES)
def test_unknown_entries_do_not_count(loss, shapes, options):
    """Even if they are no numbers: the loss is the mean over known entries, one at a time."""
    given, known = [entries(*shape) for shape in shapes], torch.rand(ROWS, AGENTS) < 0.6
    spoiled = []
    for value in given:
        value = value.clone()
        value[~known] = torch.nan
        spoiled.append(value.requires_grad_(True))
    found = loss(*spoiled, **options, known=known)
    each = []
    for place in known.nonzero().tolist():
        only = torch.zeros_like(known)
        only[*place] = True
        each.append(loss(*given, **options, known=only))
    torch.testing.assert_close(found, torch.stack(each).mean(), **CLOSE)
    assert found.abs() > 1e-3
    assert loss(*given, **options, known=torch.zeros_like(known)) == 0
    if found.requires_grad:
        found.backward()
        gradients = [value.grad for value in spoiled if value.grad is not None]
        assert gradients
        assert all((gradient[~known] == 0).all() for gradient in gradients)
        assert all(gradient[known].abs().max() > 0 for gradient in gradients)


@pytest.mark.parametrize("loss", [maddpg.critic_loss, matd3.critic_loss])
def test_weights_of_prioritised_sampling(loss):
    """A row of weight 1/4 counts a quarter of what it would; the sum is over all the same."""
    values, weight = (
        [entries() for _ in range(2 if loss is maddpg.critic_loss else 3)],
        torch.rand(ROWS),
    )
    known = torch.rand(ROWS, AGENTS) < 0.6
    rows = [loss(*(v[[i]] for v in values), known[[i]]) * known[i].sum() for i in range(ROWS)]
    expected = (torch.stack(rows) * weight).sum() / known.sum()
    torch.testing.assert_close(loss(*values, known, weight), expected, **CLOSE)


@pytest.mark.parametrize("loss", [maddpg.critic_loss, matd3.critic_loss])
def test_targets_get_no_gradient(loss):
    values = [entries().requires_grad_(True) for _ in range(2 if loss is maddpg.critic_loss else 3)]
    loss(*values, torch.rand(ROWS, AGENTS) < 0.6).backward()
    *learned, targets = values
    assert targets.grad is None
    assert all(value.grad is not None for value in learned)


def test_illegal_choices_add_nothing_at_any_temperature():
    """Their logits and values are the least float32: the losses are those without them."""
    first, second, logits = (entries(*CHOSEN) for _ in range(3))
    hot = torch.tensor(30.0)
    target = torch.zeros(ROWS, AGENTS), torch.ones(ROWS, AGENTS)
    few = [value[..., 1:] for value in (first, second)]
    legal_logp = logits[..., 1:].log_softmax(-1)
    for value in (first, second, logits):
        value[..., 0] = MASKED
    logits.requires_grad_(True)
    logp = logits.log_softmax(-1)
    every = torch.ones(ROWS, AGENTS, dtype=torch.bool)
    found = [
        masac.discrete_target(*target, first, second, logp, hot).mean(),
        masac.discrete_actor_loss(first, second, logp, hot, every),
        masac.discrete_temperature_loss(hot.log(), logp, 0.9, every),
    ]
    expected = [
        masac.discrete_target(*target, *few, legal_logp, hot).mean(),
        masac.discrete_actor_loss(*few, legal_logp, hot, every),
        masac.discrete_temperature_loss(hot.log(), legal_logp, 0.9, every),
    ]
    torch.testing.assert_close(found, expected, **CLOSE)
    found[1].backward()
    assert logits.grad.isfinite().all()
    assert (logits.grad[..., 0] == 0).all()
    assert logits.grad[..., 1:].abs().max() > 0
