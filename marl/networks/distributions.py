"""Action distributions, as functions of parameter tensors: one object serves a whole role.

They turn D rows of a network's parameters into actions, log probabilities, entropies and
divergences. Illegal choices have logit `MASKED`; their probability is exactly 0, and they add
exactly 0 to entropy, divergence and gradients.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Protocol

import gymnasium
import torch
from torch import Generator, Tensor
from torch.nn.functional import one_hot

from games.common.errors import InputError
from games.simulators.action_sets import ActionSet, Box, Choices
from games.simulators.simulator import Role

MASKED = torch.finfo(torch.float32).min
"""The logit of a choice that is not legal; finite, since 0 * inf is no number."""


MOST_LISTED = 4096  # actions that a policy chooses among


class Distribution(Protocol):
    """D distributions of one kind, given by parameters [D, P] float32, over actions [D, W]."""

    @property
    def num_parameters(self) -> int: ...  # P

    def sample(self, parameters: Tensor, generator: Generator) -> Tensor:
        """Actions [D, W]: int64 if discrete, else float32."""

    def mode(self, parameters: Tensor) -> Tensor:
        """The likeliest actions [D, W]; the first of equally likely ones."""

    def logp(self, parameters: Tensor, actions: Tensor) -> Tensor:
        """Log probabilities (or log densities) [D] of actions, in nats."""

    def entropy(self, parameters: Tensor) -> Tensor:
        """Entropies [D] in nats; differential entropies if continuous."""

    def kl(self, old: Tensor, new: Tensor) -> Tensor:
        """[D] KL(old || new) in nats, between parameters [D, P] with the same choices masked."""

    def to_game(self, actions: Tensor) -> Tensor:
        """Actions [D, W] as the game takes them."""


def distribution(role: Role) -> Distribution:
    """The distribution over a role's actions.

    Raises:
        InputError: a set of actions too large to be enumerated, or an action space of another
            kind than `Role` lists.
    """
    actions = role.actions
    if isinstance(actions, Box):
        return DiagonalGaussian(actions.low, actions.high)
    if not isinstance(actions, Choices):
        return _listed(actions)
    single = isinstance(role.action_space, gymnasium.spaces.Discrete)
    return Categorical(actions.sizes[0]) if single else MultiCategorical(actions.sizes)


@dataclass(frozen=True)
class Categorical:
    """One of n choices; parameters are logits [D, n], actions [D, 1] int64."""

    n: int

    @property
    def num_parameters(self) -> int:
        return self.n

    def probabilities(self, parameters: Tensor) -> Tensor:
        """Probabilities [D, n] float32."""
        return parameters.softmax(1)

    def sample(self, parameters: Tensor, generator: Generator) -> Tensor:
        # A race: the choice whose exponential clock of rate p rings first is drawn with
        # probability p. Unlike a cumulative sum it cannot round its way to a choice with p = 0:
        # torch draws no exponential that is 0, so that 0 / clock is 0, the least of all.
        p = parameters.softmax(1)
        clock = torch.empty_like(p).exponential_(generator=generator)
        return (p / clock).argmax(1, keepdim=True)

    def mode(self, parameters: Tensor) -> Tensor:
        return parameters.argmax(1, keepdim=True)

    def logp(self, parameters: Tensor, actions: Tensor) -> Tensor:
        return parameters.log_softmax(1).gather(1, actions.long())[:, 0]

    def entropy(self, parameters: Tensor) -> Tensor:
        logp = parameters.log_softmax(1)
        # Below -104 a float32 probability is 0. Unclamped, the gradient of a masked choice is 0
        # times a number that overflows as soon as it is scaled.
        return -(logp.exp() * logp.clamp(min=-104.0)).sum(1)

    def kl(self, old: Tensor, new: Tensor) -> Tensor:
        old_logp, new_logp = old.log_softmax(1), new.log_softmax(1)
        return (old_logp.exp() * (old_logp - new_logp)).sum(1)

    def to_game(self, actions: Tensor) -> Tensor:
        return actions


@dataclass(frozen=True)
class MultiCategorical:
    """Independent choices, their logits concatenated; actions are [D, len(sizes)] int64."""

    sizes: tuple[int, ...]

    @property
    def num_parameters(self) -> int:
        return sum(self.sizes)

    @cached_property
    def parts(self) -> tuple[Categorical, ...]:
        return tuple(Categorical(n) for n in self.sizes)

    def _split(self, parameters: Tensor) -> list[tuple[Categorical, Tensor]]:
        return list(zip(self.parts, parameters.split(self.sizes, dim=1), strict=True))

    def sample(self, parameters: Tensor, generator: Generator) -> Tensor:
        return torch.cat([part.sample(p, generator) for part, p in self._split(parameters)], dim=1)

    def mode(self, parameters: Tensor) -> Tensor:
        return torch.cat([part.mode(p) for part, p in self._split(parameters)], dim=1)

    def logp(self, parameters: Tensor, actions: Tensor) -> Tensor:
        columns = actions.split(1, dim=1)
        split = self._split(parameters)
        each = [part.logp(p, a) for (part, p), a in zip(split, columns, strict=True)]
        return torch.stack(each).sum(0)

    def entropy(self, parameters: Tensor) -> Tensor:
        return torch.stack([part.entropy(p) for part, p in self._split(parameters)]).sum(0)

    def kl(self, old: Tensor, new: Tensor) -> Tensor:
        pairs = zip(self._split(old), new.split(self.sizes, dim=1), strict=True)
        return torch.stack([part.kl(o, n) for (part, o), n in pairs]).sum(0)

    def to_game(self, actions: Tensor) -> Tensor:
        return actions


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


@dataclass(frozen=True, eq=False)
class LogLinear:
    """A softmax over the actions [D, W] int64 of a set: an action's logit is the sum of its
    choices' weights.

    Parameters are the weights [D, P] of all components' choices, concatenated. If the set holds
    all combinations this equals `MultiCategorical`; a constraint leaves some of them out.
    """

    actions: Tensor  # [M, W] int64, all there are
    sizes: tuple[int, ...]  # [W]

    @property
    def num_parameters(self) -> int:
        return sum(self.sizes)

    @cached_property
    def chosen(self) -> Tensor:
        """Indicators [M, P] float32: 1 for every choice that an action makes."""
        columns = zip(self.actions.unbind(1), self.sizes, strict=True)
        return torch.cat([one_hot(column, size) for column, size in columns], dim=1).float()

    def _logits(self, parameters: Tensor) -> Tensor:
        """Logits [D, M]; an action with a masked choice has logit `MASKED`."""
        chosen = self.chosen.to(parameters.device)
        closed = parameters <= MASKED
        logits = parameters.masked_fill(closed, 0.0) @ chosen.T
        return logits.masked_fill(closed.float() @ chosen.T > 0, MASKED)

    def _which(self, actions: Tensor) -> Tensor:
        """Indices [D, 1] of actions [D, W] in the list."""
        same = (actions.long()[:, None] == self.actions.to(actions.device)).all(dim=2)  # [D, M]
        return same.to(torch.uint8).argmax(dim=1, keepdim=True)

    @property
    def _over(self) -> Categorical:
        return Categorical(len(self.actions))

    def sample(self, parameters: Tensor, generator: Generator) -> Tensor:
        drawn = self._over.sample(self._logits(parameters), generator)[:, 0]
        return self.actions.to(drawn.device)[drawn]

    def mode(self, parameters: Tensor) -> Tensor:
        best = self._logits(parameters).argmax(dim=1)
        return self.actions.to(best.device)[best]

    def logp(self, parameters: Tensor, actions: Tensor) -> Tensor:
        return self._over.logp(self._logits(parameters), self._which(actions))

    def entropy(self, parameters: Tensor) -> Tensor:
        return self._over.entropy(self._logits(parameters))

    def kl(self, old: Tensor, new: Tensor) -> Tensor:
        return self._over.kl(self._logits(old), self._logits(new))

    def to_game(self, actions: Tensor) -> Tensor:
        return actions


@lru_cache(maxsize=64)
def _listed(actions: ActionSet) -> LogLinear:
    """The distribution over a set.

    Raises:
        InputError: the set cannot be enumerated, or has more than `MOST_LISTED` actions.
    """
    try:
        listed = actions.enumerate()
    except InputError as error:
        raise InputError(f"{actions}: policies cannot learn with it: {error}") from None
    if len(listed) > MOST_LISTED:
        raise InputError(
            f"{actions}: has {len(listed):,} actions, but policies choose among {MOST_LISTED:,} "
            "at most; make the set smaller"
        )
    return LogLinear(listed, actions.sizes)
