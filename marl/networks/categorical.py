"""Distributions over discrete actions: logits, or values of which the best is chosen."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Generator, Tensor
from torch.nn.functional import one_hot

MASKED = torch.finfo(torch.float32).min
"""The logit of a choice that is not legal; finite, since 0 * inf is no number."""


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
class EpsilonGreedy:
    """The choice of the largest value, or, with probability epsilon, any legal one.

    Parameters are values [D, n], `MASKED` where illegal, and last epsilon: [D, n + 1]. Actions are
    [D, 1] int64.
    """

    n: int

    @property
    def num_parameters(self) -> int:
        return self.n + 1

    def probabilities(self, parameters: Tensor) -> Tensor:
        """Probabilities [D, n]."""
        values, epsilon = parameters[:, : self.n], parameters[:, self.n :]
        legal = (values > MASKED).to(values.dtype)
        best = one_hot(values.argmax(1), self.n).to(values.dtype)
        return epsilon * legal / legal.sum(1, keepdim=True) + (1 - epsilon) * best

    def _logits(self, parameters: Tensor) -> Tensor:
        return self.probabilities(parameters).log().clamp(min=MASKED)

    @property
    def _over(self) -> Categorical:
        return Categorical(self.n)

    def sample(self, parameters: Tensor, generator: Generator) -> Tensor:
        return self._over.sample(self._logits(parameters), generator)

    def mode(self, parameters: Tensor) -> Tensor:
        return parameters[:, : self.n].argmax(1, keepdim=True)

    def logp(self, parameters: Tensor, actions: Tensor) -> Tensor:
        return self._over.logp(self._logits(parameters), actions)

    def entropy(self, parameters: Tensor) -> Tensor:
        return self._over.entropy(self._logits(parameters))

    def kl(self, old: Tensor, new: Tensor) -> Tensor:
        return self._over.kl(self._logits(old), self._logits(new))

    def to_game(self, actions: Tensor) -> Tensor:
        return actions


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
