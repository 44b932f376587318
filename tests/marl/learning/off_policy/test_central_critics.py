"""Policies under central critics: each agent answers for its own action, and for nothing else."""

import pytest
import torch

from marl.networks.packing import pack
from marl.rllib.off_policy.actor_critic import repeated
from tests.helpers.off_policy import EXITS, Loop

DISCS = "navigation(agents=3,max_steps=6)"
ENCODERS = {
    "mlp": {},
    "convolution": {"encoder": "convolution"},
    "attention": {"encoder": "attention", "heads": 2},
}
each_encoder = pytest.mark.parametrize("network", ENCODERS.values(), ids=ENCODERS)


@each_encoder
@pytest.mark.parametrize(("name", "sharing"), [("maddpg", "role"), ("matd3", "none")])
def test_the_policy_gradient_is_that_of_one_agent_at_a_time(name, sharing, network):
    """Lowe et al., equation 5, agent by agent: its action is the policy's, others' are played."""
    loop = Loop(DISCS, dict(name=name, parameter_sharing=sharing), **network)
    learner, batch = loop.learner, loop.draw(24)
    _, (_, (loss, gradients)) = loop.step(batch)
    seen, played = batch.now.seen, batch.actions.clamp(-1, 1)
    would = learner._actions(learner.networks, batch.now)
    total = 0.0
    for agent in range(3):
        actions = played.clone()
        actions[:, agent] = would[:, agent]
        values = learner.judged(learner.critics[:1], seen, actions)[0][:, agent]
        total = total - (values * batch.known[:, agent]).sum()
    expected = total / batch.known.sum()
    named = dict(learner.learned.named_parameters())
    slopes = torch.autograd.grad(expected, [named[key] for key in gradients])
    assert len(gradients) >= 6 * len(learner.networks)
    torch.testing.assert_close(loss, expected.detach(), rtol=1e-5, atol=1e-6)
    for key, slope in zip(gradients, slopes, strict=True):
        scale = float(slope.abs().max())
        torch.testing.assert_close(gradients[key], slope, rtol=1e-4, atol=1e-5 * scale, msg=key)


@each_encoder
def test_repeated_games_are_worth_what_the_originals_are(network):
    """Games with numbers of edges that differ, three times each, side by side."""
    loop = Loop(DISCS, dict(name="maddpg"), **network)
    batch = loop.draw(10)
    seen, critics = batch.now.seen, loop.learner.critics[:1]
    counts = torch.bincount(seen.edges[0] // seen.nodes.shape[1], minlength=10)
    assert len(counts.unique()) > 1
    thrice = repeated(seen, 3)
    assert thrice.edges.shape[1] == 3 * seen.edges.shape[1]
    assert (thrice.edges[0] // seen.nodes.shape[1]).diff().min() >= 0  # by game, as elsewhere
    (values,) = loop.learner.judged(critics, seen, batch.actions)
    (again,) = loop.learner.judged(critics, thrice, batch.actions.repeat_interleave(3, dim=0))
    torch.testing.assert_close(again, values.repeat_interleave(3, dim=0), rtol=1e-5, atol=1e-6)
    assert values.std() > 0


def test_a_central_critic_hears_all_and_an_own_one_nobody_else():
    for critic, others in [("central", True), ("own", False)]:
        loop = Loop(DISCS, dict(name="matd3", critic=critic))
        batch = loop.draw(12)
        actions = batch.actions.clone().requires_grad_(True)
        first = loop.learner.judged(loop.learner.critics[:1], batch.now.seen, actions)[0][:, 0]
        (slope,) = torch.autograd.grad(first.sum(), actions)
        assert bool((slope[:, 0] != 0).all())
        assert bool((slope[:, 1:] != 0).any()) == others


def test_each_policy_has_a_temperature_of_its_own():
    """The loss of two soft policies of choices, agent by agent and choice by choice."""
    game = f"{EXITS}(num_agents=2,size=3)"
    loop = Loop(game, dict(name="masac", parameter_sharing="none"))
    learner, batch = loop.learner, loop.draw(60)
    learner.beside["temperatures"].logs.data.copy_(torch.tensor([0.5, -0.5]))
    _, (_, (loss, _), (_, warmed)) = loop.step(batch)
    (slopes,) = warmed.values()
    seen, total, slope = batch.now.seen, 0.0, torch.zeros(2)
    assert not seen.acting.all()
    for agent, temperature in enumerate(torch.tensor([0.5, -0.5]).exp()):
        for step in batch.known[:, agent].nonzero()[:, 0]:
            alone = torch.zeros_like(seen.acting)
            alone[step, agent] = True
            network = learner.networks[agent]
            logits = network.policy(pack(seen, alone, network))[0][0]
            legal = seen.action_mask[step, agent].nonzero()[:, 0]
            logp = logits[legal].log_softmax(0)
            worth = [c[agent](pack(seen, alone, c[agent]))[0, legal] for c in learner.critics]
            total += (logp.exp() * (temperature * logp - torch.minimum(*worth))).sum()
            wanted = 0.6 * torch.tensor(float(len(legal))).log()
            slope[agent] -= ((logp.exp() * logp).sum() + wanted).detach()
    count = batch.known.sum()
    torch.testing.assert_close(loss, (total / count).detach(), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(slopes, slope / count, rtol=1e-4, atol=1e-6)
