"""Distributions over continuous actions."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Generator, Tensor


@dataclass(frozen=True)
class DiagonalGaussian:
    """Independent normal variables; parameters are means, then log standard deviations [D, 2 W].

    Actions [D, W] float32 are the raw draws; `to_game` makes the game's actions of them.
    """

    low: tuple[float, ...]  # [W] the bounds of the game's actions; infinite where there is none
    high: tuple[float, ...]  # [W]

    @property
    def num_parameters(self) -> int:
        return 2 * len(self.low)

    def sample(self, parameters: Tensor, generator: Generator) -> Tensor:
        mean, log_std = parameters.chunk(2, dim=1)
        return mean + log_std.exp() * torch.empty_like(mean).normal_(generator=generator)

    def mode(self, parameters: Tensor) -> Tensor:
        return parameters[:, : len(self.low)]

    def logp(self, parameters: Tensor, actions: Tensor) -> Tensor:
        mean, log_std = parameters.chunk(2, dim=1)
        z = (actions - mean) * (-log_std).exp()
        return -(0.5 * z * z + log_std).sum(1) - 0.5 * math.log(2 * math.pi) * len(self.low)

    def entropy(self, parameters: Tensor) -> Tensor:
        log_std = parameters[:, len(self.low) :]
        return log_std.sum(1) + 0.5 * math.log(2 * math.pi * math.e) * len(self.low)

    def kl(self, old: Tensor, new: Tensor) -> Tensor:
        old_mean, old_log_std = old.chunk(2, dim=1)
        new_mean, new_log_std = new.chunk(2, dim=1)
        ratio = (2 * (old_log_std - new_log_std)).exp()
        z = (old_mean - new_mean) * (-new_log_std).exp()
        return (0.5 * (ratio + z * z - 1) + new_log_std - old_log_std).sum(1)

    def to_game(self, actions: Tensor) -> Tensor:
        """Scale components with two bounds from [-1, 1] to them; clip the others to their bounds.

        Clipping happens only here, so that `logp` is that of the raw draw.
        """
        if self._unbounded:
            return actions
        low, high, scale, shift, bounded = (t.to(actions.device) for t in self._affine)
        scaled = actions.clamp(-1.0, 1.0) * scale + shift
        if self._exact:
            return scaled
        # Scaling may round past a bound; both kinds are held to theirs.
        return torch.where(bounded, scaled, actions).clamp(low, high)

    @cached_property
    def _unbounded(self) -> bool:
        return all(math.isinf(bound) for bound in (*self.low, *self.high))

    @cached_property
    def _exact(self) -> bool:
        """Whether all components are bounded, and scaling of [-1, 1] cannot leave the bounds by
        rounding."""
        low, high, scale, shift, bounded = self._affine
        ends = torch.equal(shift - scale, low) and torch.equal(shift + scale, high)
        return ends and bool(bounded.all())

    @cached_property
    def _affine(self) -> tuple[Tensor, ...]:
        low, high = torch.tensor(self.low), torch.tensor(self.high)
        bounded = torch.isfinite(low) & torch.isfinite(high)
        scale = torch.where(bounded, high / 2 - low / 2, 1.0)
        shift = torch.where(bounded, high / 2 + low / 2, 0.0)
        return low, high, scale, shift, bounded
