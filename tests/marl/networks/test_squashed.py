"""The squashed Gaussian against torch's transformed distribution, and against integrals."""

import math

import gymnasium
import pytest
import torch
from scipy.integrate import quad
from torch.distributions import Normal, TransformedDistribution, kl_divergence
from torch.distributions.transforms import TanhTransform

from games import InputError
from marl.networks.squashed import ONE, SquashedGaussian, bounded, log_slope, spread

WIDTH = 3
RULE = SquashedGaussian((-1.0,) * WIDTH, (1.0,) * WIDTH)
CLOSE = dict(atol=1e-5, rtol=1e-5)


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


def parameters(generator, count=200):
    return torch.randn(count, 2 * WIDTH, generator=generator)


def oracle(given, dtype=torch.float64):
    mean, log_std = spread(given)
    normal = Normal(mean.to(dtype), log_std.to(dtype).exp())
    return TransformedDistribution(normal, [TanhTransform()])


def test_log_densities_against_torch(generator):
    """Of any action, with gradients; torch's in float64."""
    ours = parameters(generator).requires_grad_(True)
    theirs = ours.detach().clone().requires_grad_(True)
    actions = torch.rand(200, WIDTH, generator=generator) * 1.98 - 0.99
    found, expected = RULE.logp(ours, actions), oracle(theirs).log_prob(actions.double()).sum(1)
    torch.testing.assert_close(found.double(), expected, **CLOSE)
    found.sum().backward()
    expected.sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad, **CLOSE)


def test_draws_and_their_densities_against_torch(generator):
    """The same noise: actions, densities and gradients of what a policy's loss contains."""
    ours = parameters(generator).requires_grad_(True)
    theirs = ours.detach().clone().requires_grad_(True)
    actions, logp = RULE.rsample(ours, torch.Generator().manual_seed(4))
    noise = torch.empty(200, WIDTH).normal_(generator=torch.Generator().manual_seed(4)).double()
    found = oracle(theirs)
    raw = found.base_dist.loc + found.base_dist.scale * noise
    expected = found.base_dist.log_prob(raw) - TanhTransform().log_abs_det_jacobian(raw, None)
    torch.testing.assert_close(actions.double(), raw.tanh(), **CLOSE)
    torch.testing.assert_close(logp.double(), expected.sum(1), **CLOSE)
    (actions.sum() + logp.square().sum()).backward()
    (raw.tanh().sum() + expected.sum(1).square().sum()).backward()
    torch.testing.assert_close(ours.grad, theirs.grad, atol=1e-5, rtol=1e-4)
    inside = (actions.abs() < 0.99).all(1)
    torch.testing.assert_close(logp[inside], RULE.logp(ours, actions)[inside], atol=1e-4, rtol=1e-5)
    assert inside.sum() > 50


def test_samples_have_the_distribution(generator):
    """Kolmogorov and Smirnov's distance of 20 000 draws, whose 99.9 % quantile is 0.0138."""
    given = parameters(generator, 1).expand(20_000, -1)
    drawn = RULE.sample(given, generator).sort(0).values
    share = (torch.arange(20_000)[:, None] + 0.5) / 20_000
    distance = (oracle(given).cdf(drawn.double()) - share).abs().amax(0)
    assert (distance < 0.0138).all()


@pytest.mark.parametrize("mean", [0.0, 1.0, -8.0])
@pytest.mark.parametrize("log_std", [-8.0, -1.0, 0.5, 6.0])  # the first and last reach the bounds
def test_entropy_against_integrals(mean, log_std):
    given = torch.tensor([[mean, log_std]])
    rule = SquashedGaussian((-1.0,), (1.0,))
    mean, std = (float(x) for x in (spread(given)[0], spread(given)[1].exp()))

    def density(z):
        slope = float(log_slope(torch.tensor(mean + std * z, dtype=torch.float64)))
        return math.exp(-0.5 * z * z) / math.sqrt(2 * math.pi) * slope

    squashed = quad(density, -9, 9, points=[max(-9, min(9, -mean / std))], epsabs=1e-9)[0]
    expected = 0.5 * math.log(2 * math.pi * math.e) + math.log(std) + squashed
    assert float(rule.entropy(given)) == pytest.approx(expected, abs=1e-4)


def test_divergence_against_torch(generator):
    """KL between transformed distributions is that of the Gaussians, and the mean log ratio."""
    old, new = parameters(generator), parameters(generator)
    expected = kl_divergence(oracle(old).base_dist, oracle(new).base_dist).sum(1)
    torch.testing.assert_close(RULE.kl(old, new).double(), expected, **CLOSE)
    one, other = old[:1].expand(40_000, -1), (old[:1] + 0.3).expand(40_000, -1)
    drawn, logp = RULE.rsample(one, generator)
    ratio = logp - RULE.logp(other, drawn)
    error = float(ratio.std()) / 200
    assert abs(float(ratio.mean() - RULE.kl(one, other)[0])) < 4 * error


@pytest.mark.parametrize("log_std", [-40.0, -5.0, 0.0, 2.0, 40.0])
def test_extremes_stay_finite(log_std, generator):
    """Means far into tanh's flat ends, and log standard deviations far out of their bounds."""
    mean = torch.tensor([-300.0, -9.5, 0.0, 9.5, 300.0])[:, None].expand(-1, WIDTH)
    given = torch.cat([mean, torch.full_like(mean, log_std)], dim=1).requires_grad_(True)
    actions, logp = RULE.rsample(given, generator)
    found = [logp, RULE.entropy(given), RULE.logp(given, actions), RULE.kl(given, given.flip(0))]
    (gradient,) = torch.autograd.grad(sum(x.sum() for x in found) + actions.sum(), given)
    assert all(x.isfinite().all() for x in (*found, actions, gradient))
    assert (actions.abs() <= ONE).all()
    assert (RULE.mode(given).abs() <= ONE).all()
    assert ONE < 1
    at_the_bounds = RULE.logp(given, torch.ones_like(actions).copysign(mean))
    assert at_the_bounds.isfinite().all()


def test_spread_is_bounded_and_keeps_a_gradient():
    log_std = torch.tensor([-9.0, -5.0, -2.0, 0.0, 1.0, 9.0], requires_grad=True)
    held = bounded(log_std)
    assert held.min() > -5
    assert held.max() < 2.001
    torch.testing.assert_close(held[2:4], torch.tensor([-2.0, 0.0]), atol=0.13, rtol=0)
    (slope,) = torch.autograd.grad(held.sum(), log_std)
    assert (slope > 1e-4).all()


@pytest.mark.parametrize(("low", "high"), [((-2.0, 0.1, 5.0), (2.0, 0.7, 5.5))])
def test_actions_fit_the_game(low, high, generator):
    rule = SquashedGaussian(low, high)
    box = gymnasium.spaces.Box(torch.tensor(low).numpy(), torch.tensor(high).numpy())
    played = rule.to_game(rule.sample(4 * parameters(generator, 500), generator))
    assert all(box.contains(action) for action in played.numpy())
    ends = torch.stack([-torch.ones(3), torch.zeros(3), torch.ones(3)])
    middle = [(a + b) / 2 for a, b in zip(low, high, strict=True)]
    torch.testing.assert_close(rule.to_game(ends), torch.tensor([low, middle, high]))
    assert rule.num_parameters == 6


@pytest.mark.parametrize("bounds", [((-math.inf,), (1.0,)), ((0.0,), (math.inf,))])
def test_actions_without_bounds(bounds):
    with pytest.raises(InputError, match="two finite bounds"):
        SquashedGaussian(*bounds)
