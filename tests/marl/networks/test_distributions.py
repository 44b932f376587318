"""Distributions of actions against RLlib's and torch's."""

import gymnasium
import numpy as np
import pytest
import torch
from ray.rllib.core.distribution.torch.torch_distribution import (
    TorchCategorical,
    TorchDiagGaussian,
    TorchMultiCategorical,
)

from games import InputError
from games.simulators.simulator import Role
from marl.networks.categorical import MASKED, Categorical, MultiCategorical
from marl.networks.distributions import distribution
from marl.networks.gaussian import DiagonalGaussian

SIZES = (3, 2, 5)
RULES = [
    pytest.param(Categorical(6), TorchCategorical.from_logits, id="categorical"),
    pytest.param(
        MultiCategorical(SIZES),
        lambda p: TorchMultiCategorical.from_logits(p, input_lens=list(SIZES)),
        id="multi",
    ),
    pytest.param(
        DiagonalGaussian((-1.0,) * 3, (1.0,) * 3), TorchDiagGaussian.from_logits, id="gaussian"
    ),
]


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


def parameters(rule, count, generator):
    """Random ones; of each discrete choice about a third is masked, never the first."""
    found = torch.randn(count, rule.num_parameters, generator=generator)
    if not isinstance(rule, DiagonalGaussian):
        masked = torch.rand(found.shape, generator=generator) < 1 / 3
        masked[:, [0] if isinstance(rule, Categorical) else [0, 3, 5]] = False
        found[masked] = MASKED
    return found


@pytest.mark.parametrize(("rule", "oracle"), RULES)
def test_against_rllib(rule, oracle, generator):
    old, new = parameters(rule, 100, generator), parameters(rule, 100, generator)
    new = torch.where(old == MASKED, old, torch.where(new == MASKED, 0.0, new))  # the same mask
    actions = rule.sample(old, generator)
    theirs = oracle(old)
    close = dict(atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(rule.logp(new, actions), logp(oracle(new), actions), **close)
    torch.testing.assert_close(rule.entropy(old), theirs.entropy(), **close)
    torch.testing.assert_close(rule.kl(old, new), theirs.kl(oracle(new)), **close)
    torch.testing.assert_close(rule.kl(old, old), torch.zeros(100), **close)
    torch.testing.assert_close(rule.mode(old).squeeze(), mode(theirs).squeeze(), rtol=0, atol=0)


def logp(theirs, actions):
    """RLlib's single choices have no dimension of their own."""
    return theirs.logp(actions[:, 0] if isinstance(theirs, TorchCategorical) else actions)


def mode(theirs):
    found = theirs.to_deterministic()
    return found.sample() if hasattr(found, "sample") else found


@pytest.mark.parametrize(("rule", "oracle"), RULES)
def test_gradients_against_rllib(rule, oracle, generator):
    """All three numbers, scaled up; where a choice is masked the gradient is exactly 0."""
    old, new = parameters(rule, 50, generator), parameters(rule, 50, generator)
    new = torch.where(old == MASKED, old, torch.where(new == MASKED, 0.0, new))
    actions = rule.sample(old, generator)

    def gradient(kl, entropy, logp, scale):
        leaf = new.clone().requires_grad_()
        (scale * (kl(leaf) + entropy(leaf) + logp(leaf)).sum()).backward()
        return leaf.grad

    ours = gradient(
        lambda p: rule.kl(old, p), rule.entropy, lambda p: rule.logp(p, actions), scale=1.0
    )
    theirs = gradient(
        lambda p: oracle(old).kl(oracle(p)),
        lambda p: oracle(p).entropy(),
        lambda p: logp(oracle(p), actions),
        scale=1.0,
    )
    assert torch.isfinite(ours).all()
    assert (ours[new == MASKED] == 0).all()
    torch.testing.assert_close(ours, theirs, atol=2e-6, rtol=1e-5)
    # A large weight must not turn 0 * infinity into something that is no number.
    large = gradient(
        lambda p: rule.kl(old, p), rule.entropy, lambda p: rule.logp(p, actions), scale=1000.0
    )
    torch.testing.assert_close(large, 1000 * ours, atol=2e-3, rtol=1e-5)


@pytest.mark.parametrize("scale", [1.0, 30.0])
def test_samples_follow_the_probabilities(scale, generator):
    rule, count = Categorical(6), 200_000
    row = scale * torch.tensor([[0.3, MASKED / scale, -1.0, 1.2, MASKED / scale, 0.0]])
    drawn = rule.sample(row.expand(count, -1), generator)
    assert drawn.shape == (count, 1)
    assert drawn.dtype == torch.int64
    p = rule.probabilities(row)[0]
    torch.testing.assert_close(p, torch.distributions.Categorical(logits=row[0]).probs)
    share = torch.bincount(drawn[:, 0], minlength=6) / count
    assert share[[1, 4]].tolist() == [0.0, 0.0]
    # Five standard errors of a binomial share.
    assert ((share - p).abs() <= 5 * (p * (1 - p) / count).sqrt() + 1e-9).all()


def test_a_masked_choice_is_never_drawn(generator):
    """Not in 200,000 draws against 49 others, wherever the only legal choice stands."""
    n = 50
    logits = torch.full((n, n), MASKED)
    logits.fill_diagonal_(-20.0)
    rule = Categorical(n)
    for _ in range(200):
        drawn = rule.sample(logits.repeat(20, 1), generator)
        assert (drawn[:, 0] == torch.arange(n).repeat(20)).all()
    assert (rule.entropy(logits) == 0).all()
    assert (rule.logp(logits, torch.arange(n)[:, None]) == 0).all()


def test_gaussian_samples(generator):
    rule = DiagonalGaussian((-1.0, -1.0), (1.0, 1.0))
    row = torch.tensor([[0.5, -2.0, 0.3, -1.0]])
    drawn = rule.sample(row.expand(100_000, -1), generator)
    assert drawn.dtype == torch.float32
    np.testing.assert_allclose(drawn.mean(0), [0.5, -2.0], atol=5 * np.exp(0.3) / 100_000**0.5)
    np.testing.assert_allclose(drawn.std(0), np.exp([0.3, -1.0]), rtol=5 / (2 * 100_000) ** 0.5)


@pytest.mark.parametrize(("rule", "oracle"), RULES)
def test_the_generator_decides(rule, oracle, generator):
    given = parameters(rule, 64, generator)
    first, second = (rule.sample(given, torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(first, second)
    assert not torch.equal(first, rule.sample(given, torch.Generator().manual_seed(4)))
    before = torch.random.get_rng_state()
    rule.sample(given, generator)
    assert torch.equal(before, torch.random.get_rng_state())


def test_to_game():
    inf = float("inf")
    rule = DiagonalGaussian((0.0, -inf, 0.0, -0.1), (4.0, inf, inf, 0.3))
    raw = torch.tensor([[-1.0, 7.0, -7.0, 1.0], [0.5, -7.0, 7.0, 9.0], [-3.0, 0.0, 0.0, -1.0]])
    expected = torch.tensor([[0.0, 7.0, 0.0, 0.3], [3.0, -7.0, 7.0, 0.3], [0.0, 0.0, 0.0, -0.1]])
    torch.testing.assert_close(rule.to_game(raw), expected, atol=1e-7, rtol=0)
    space = gymnasium.spaces.Box(np.float32([-0.1, 3.3]), np.float32([0.7, 9.7]))
    rule = distribution(Role("a", space, 1))
    for number in (-2.0, -1.0, 0.1, 1.0, 5.0):
        assert space.contains(rule.to_game(torch.full((1, 2), number))[0].numpy())
    actions = torch.tensor([[3], [0]])
    assert torch.equal(Categorical(4).to_game(actions), actions)


@pytest.mark.parametrize(
    ("space", "expected"),
    [
        (gymnasium.spaces.Discrete(5), Categorical(5)),
        (gymnasium.spaces.MultiDiscrete([2, 3]), MultiCategorical((2, 3))),
        (gymnasium.spaces.MultiDiscrete([4]), MultiCategorical((4,))),
        (gymnasium.spaces.Box(-2, 3, (2,)), DiagonalGaussian((-2.0, -2.0), (3.0, 3.0))),
    ],
)
def test_every_role_has_one(space, expected):
    role = Role("a", space, 1)
    assert distribution(role) == expected
    actions = expected.sample(torch.zeros(7, expected.num_parameters), torch.Generator())
    assert actions.shape == (7, role.action_width)
    # Games of several roles hand whole numbers round as float32.
    floats = expected.logp(torch.zeros(7, expected.num_parameters), actions.float())
    assert torch.equal(floats, expected.logp(torch.zeros(7, expected.num_parameters), actions))


def test_other_spaces_are_refused():
    with pytest.raises(InputError, match="not a supported action space"):
        distribution(Role("a", gymnasium.spaces.Discrete(3, start=1), 1))
