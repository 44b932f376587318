"""A Gaussian squashed by tanh into bounded actions: the policies of soft actor-critic.

Haarnoja, Zhou, Abbeel and Levine (2018), arXiv 1801.01290, appendix C. With u ~ N(mean, std^2) the
action is a = tanh(u), so that

    log p(a) = log N(u; mean, std) - sum log(1 - tanh(u)^2)                            equation 21

1 - tanh(u)^2 rounds to 0 from |u| = 9 on; computed as

    log(1 - tanh(u)^2) = 2 (log 2 - u - softplus(-2 u))

its logarithm is right for every u.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Generator, Tensor
from torch.nn.functional import softplus

from games.common.errors import InputError

LEAST_LOG_STD, MOST_LOG_STD = -5.0, 2.0
ONE = 1.0 - 2.0**-24
"""The largest float32 below 1: tanh rounds to 1, whose inverse is infinite."""


@dataclass(frozen=True)
class SquashedGaussian:
    """Independent Gaussians squashed by tanh; parameters are means, then log stds [D, 2 W].

    Log standard deviations are held between -5 and 2 by `bounded`. Actions [D, W] float32 are in
    (-1, 1); `to_game` scales them to the game's bounds. Densities are those of (-1, 1).

    Raises:
        InputError: a component without two finite bounds.
    """

    low: tuple[float, ...]  # [W] the bounds of the game's actions
    high: tuple[float, ...]  # [W]

    def __post_init__(self) -> None:
        if not all(math.isfinite(bound) for bound in (*self.low, *self.high)):
            raise InputError(
                "a Gaussian squashed by tanh needs actions with two finite bounds, not "
                f"{list(self.low)} to {list(self.high)}; use another method, or bound the actions"
            )

    @property
    def num_parameters(self) -> int:
        return 2 * len(self.low)

    def rsample(self, parameters: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
        """Actions [D, W] in (-1, 1) and their log densities [D], with gradients."""
        mean, log_std = spread(parameters)
        noise = torch.empty_like(mean).normal_(generator=generator)
        raw = mean + log_std.exp() * noise
        logp = -0.5 * noise * noise - log_std - 0.5 * math.log(2 * math.pi) - log_slope(raw)
        return raw.tanh().clamp(-ONE, ONE), logp.sum(1)

    def sample(self, parameters: Tensor, generator: Generator) -> Tensor:
        return self.rsample(parameters, generator)[0]

    def mode(self, parameters: Tensor) -> Tensor:
        """tanh(mean), the median: what policies play without chance. The density may be highest
        elsewhere, at the bounds if the spread is wide."""
        return parameters[:, : len(self.low)].tanh().clamp(-ONE, ONE)

    def logp(self, parameters: Tensor, actions: Tensor) -> Tensor:
        mean, log_std = spread(parameters)
        raw = actions.clamp(-ONE, ONE).atanh()
        z = (raw - mean) * (-log_std).exp()
        each = -0.5 * z * z - log_std - 0.5 * math.log(2 * math.pi) - log_slope(raw)
        return each.sum(1)

    def entropy(self, parameters: Tensor) -> Tensor:
        """Differential entropies [D] in nats, to 1e-4: that of the Gaussian plus the mean of
        log(1 - tanh(u)^2), which has no closed form, by quadrature."""
        mean, log_std = spread(parameters)
        # The trapezoidal rule converges exponentially for a smooth function times a Gaussian.
        z = torch.linspace(-6.5, 6.5, 131, device=mean.device, dtype=mean.dtype)
        weights = (-0.5 * z * z).softmax(0)
        raw = mean[:, :, None] + log_std.exp()[:, :, None] * z
        squashed = (log_slope(raw) * weights).sum(2)
        return (log_std + 0.5 * math.log(2 * math.pi * math.e) + squashed).sum(1)

    def kl(self, old: Tensor, new: Tensor) -> Tensor:
        """That of the Gaussians, exactly: tanh is one to one."""
        (old_mean, old_log_std), (new_mean, new_log_std) = spread(old), spread(new)
        ratio = (2 * (old_log_std - new_log_std)).exp()
        z = (old_mean - new_mean) * (-new_log_std).exp()
        return (0.5 * (ratio + z * z - 1) + new_log_std - old_log_std).sum(1)

    def to_game(self, actions: Tensor) -> Tensor:
        """Actions scaled from [-1, 1] to the bounds, which rounding cannot pass."""
        low, high = (bound.to(actions.device) for bound in self._bounds)
        scaled = actions.clamp(-1.0, 1.0) * (high / 2 - low / 2) + (high / 2 + low / 2)
        return scaled.clamp(low, high)

    @cached_property
    def _bounds(self) -> tuple[Tensor, Tensor]:
        return torch.tensor(self.low), torch.tensor(self.high)


def spread(parameters: Tensor) -> tuple[Tensor, Tensor]:
    """Means and bounded log standard deviations [D, W] of parameters [D, 2 W]."""
    mean, log_std = parameters.chunk(2, dim=1)
    return mean, bounded(log_std)


def bounded(log_std: Tensor) -> Tensor:
    """Log standard deviations held between -5 and 2 (to 0.001), close to unchanged in between.

    The bounds are smooth (Chua, Calandra, McAllister and Levine 2018, arXiv 1805.12114, appendix
    A.1): beyond a hard one there is no gradient that leads back.
    """
    below = MOST_LOG_STD - softplus(MOST_LOG_STD - log_std)
    return LEAST_LOG_STD + softplus(below - LEAST_LOG_STD)


def log_slope(raw: Tensor) -> Tensor:
    """log(1 - tanh(raw)^2), of any shape, right for every number."""
    return 2 * (math.log(2) - raw - softplus(-2 * raw))
