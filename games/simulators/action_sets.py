"""Action sets: membership, sampling, and maximisation of linear functions.

A role has one (`Role.actions`), made of its gymnasium space or given as it is. Random play, checks
and policies ask the set; they know no set by name. A set is a frozen dataclass.

An action is D numbers. Of discrete numbers the observation's mask says which choices are open: A
booleans, the choices of all components concatenated.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol, runtime_checkable

import gymnasium
import numpy as np
import torch
from torch import Generator, Tensor

from games.common.errors import InputError

MOST_ACTIONS = 2**14
"""Actions that a set lists."""


@runtime_checkable
class ActionSet(Protocol):
    """Actions [..., D] of one role; ... is any batch."""

    def __hash__(self) -> int: ...

    @property
    def sizes(self) -> tuple[int, ...]: ...  # choices of each component; () if continuous

    @property
    def width(self) -> int: ...  # D

    @property
    def dtype(self) -> torch.dtype: ...  # int64, or float32 if continuous

    @property
    def space(self) -> gymnasium.Space[Any]: ...  # that holds all of them, and maybe others

    def contains(self, actions: Tensor, mask: Tensor) -> Tensor:
        """[...] bool, whether actions [..., D] may be taken under masks [..., A]."""

    def possible(self, mask: Tensor) -> Tensor:
        """[...] bool, whether masks [..., A] allow any action."""

    def sample(self, mask: Tensor, generator: Generator | None) -> Tensor:
        """Random actions [B, D], one for each mask [B, A]; every allowed action has a chance."""

    def argmax(self, weights: Tensor, mask: Tensor) -> Tensor:
        """The actions [..., D] of the largest weights . action, under masks [..., A].

        Weights are [..., D], one for each number of an action; of `Choices` [..., A], one for each
        choice.
        """

    def enumerate(self) -> Tensor:
        """All actions [M, D] that some mask allows; InputError if they are too many."""


@dataclass(frozen=True)
class Choices:
    """Independent choices, one per component: Discrete and MultiDiscrete."""

    sizes: tuple[int, ...]
    dtype = torch.int64

    @property
    def width(self) -> int:
        return len(self.sizes)

    @cached_property
    def space(self) -> gymnasium.Space[Any]:
        return gymnasium.spaces.MultiDiscrete(list(self.sizes))

    def contains(self, actions: Tensor, mask: Tensor) -> Tensor:
        legal = torch.ones(actions.shape[:-1], dtype=torch.bool, device=actions.device)
        for part, (first, size) in enumerate(parts(self.sizes)):
            choice = actions[..., part]
            index = choice.long().clamp(0, size - 1)
            there = mask[..., first : first + size].gather(-1, index[..., None])[..., 0]
            legal &= (choice == index) & there
        return legal

    def possible(self, mask: Tensor) -> Tensor:
        found = [mask[..., first : first + size].any(-1) for first, size in parts(self.sizes)]
        return torch.stack(found).all(0)

    def sample(self, mask: Tensor, generator: Generator | None) -> Tensor:
        found = torch.zeros((len(mask), self.width), dtype=self.dtype)
        for part, (first, size) in enumerate(parts(self.sizes)):
            own = mask[:, first : first + size]
            score = torch.rand((len(mask), size), generator=generator)
            found[:, part] = score.where(own, torch.tensor(-1.0)).argmax(dim=1)
        return found

    def argmax(self, weights: Tensor, mask: Tensor) -> Tensor:
        open_only = weights.masked_fill(~mask, -math.inf).split(self.sizes, dim=-1)
        return torch.stack([own.argmax(-1) for own in open_only], dim=-1)

    def enumerate(self) -> Tensor:
        require_few(math.prod(self.sizes), "choices")
        return torch.tensor(list(itertools.product(*map(range, self.sizes))), dtype=self.dtype)


@dataclass(frozen=True)
class Box:
    """Numbers between bounds, which may be infinite."""

    low: tuple[float, ...]  # [D]
    high: tuple[float, ...]  # [D]
    sizes = ()
    dtype = torch.float32

    @property
    def width(self) -> int:
        return len(self.low)

    @cached_property
    def space(self) -> gymnasium.Space[Any]:
        low, high = np.array(self.low, np.float32), np.array(self.high, np.float32)
        return gymnasium.spaces.Box(low, high)

    def sides(self, device: torch.device | str = "cpu") -> tuple[Tensor, Tensor]:
        """Lower and upper bounds [D] float32."""
        low, high = self._sides
        return low.to(device), high.to(device)

    @cached_property
    def _sides(self) -> tuple[Tensor, Tensor]:
        low, high = torch.tensor((self.low, self.high), dtype=torch.float32, device="cpu")
        return low, high

    def contains(self, actions: Tensor, mask: Tensor) -> Tensor:
        low, high = self.sides(actions.device)
        return ((actions >= low) & (actions <= high)).all(dim=-1)  # not so where it is no number

    def possible(self, mask: Tensor) -> Tensor:
        return torch.ones(mask.shape[:-1], dtype=torch.bool, device=mask.device)

    def sample(self, mask: Tensor, generator: Generator | None) -> Tensor:
        """Uniform; sides without a bound are drawn from the standard normal distribution."""
        low, high = self.sides()
        bounded = low.isfinite() & high.isfinite()
        share = torch.rand((len(mask), self.width), generator=generator)
        normal = torch.randn((len(mask), self.width), generator=generator)
        inside = torch.where(bounded, low, 0) + share * torch.where(bounded, high - low, 0)
        return torch.where(bounded, inside, torch.maximum(torch.minimum(normal, high), low))

    def argmax(self, weights: Tensor, mask: Tensor) -> Tensor:
        """Infinite where no bound holds it; 0, or the bound nearest to it, where a weight is 0."""
        low, high = self.sides(weights.device)
        still = torch.zeros_like(low).clamp(low, high)
        return torch.where(weights > 0, high, torch.where(weights < 0, low, still))

    def enumerate(self) -> Tensor:
        raise InputError("a box of real numbers has infinitely many actions: it cannot be listed")


@dataclass(frozen=True)
class Budget:
    """0 or 1 of every item within a budget: costs . x <= budget.

    The mask is that of as many choices between 0 and 1: an unavailable item may not be 1, a
    required one may not be 0.

    Raises:
        InputError: no items; a cost or a budget that is negative, or no number.
    """

    costs: tuple[float, ...]  # [D] each, 0 or more
    budget: float
    dtype = torch.int64

    def __post_init__(self) -> None:
        object.__setattr__(self, "costs", tuple(float(cost) for cost in self.costs))
        object.__setattr__(self, "budget", float(self.budget))
        if not self.costs:
            raise InputError("Budget: give at least one item its cost")
        for name, numbers in (("costs", self.costs), ("budget", (self.budget,))):
            if not all(0 <= number < math.inf for number in numbers):
                raise InputError(f"Budget: {name} is {numbers}; give numbers of 0 or more")

    @property
    def sizes(self) -> tuple[int, ...]:
        return (2,) * len(self.costs)

    @property
    def width(self) -> int:
        return len(self.costs)

    @cached_property
    def space(self) -> gymnasium.Space[Any]:
        return gymnasium.spaces.MultiDiscrete(list(self.sizes))

    def contains(self, actions: Tensor, mask: Tensor) -> Tensor:
        return Choices(self.sizes).contains(actions, mask) & self._affordable(actions)

    def possible(self, mask: Tensor) -> Tensor:
        least = (~mask[..., ::2]).to(self.dtype)  # what has to be taken
        return Choices(self.sizes).possible(mask) & self._affordable(least)

    def sample(self, mask: Tensor, generator: Generator | None) -> Tensor:
        """Uniform among the actions that are left, or if those are too many to be listed: items in
        a random order, each taken with probability 1/2 if it can still be paid for."""
        if self._all is not None:
            legal = self._left(self._all, mask)
            score = torch.rand(legal.shape, generator=generator)
            return self._all[score.where(legal, torch.tensor(-1.0)).argmax(dim=1)]
        found = (~mask[:, ::2]).to(self.dtype)
        order = torch.rand(found.shape, generator=generator).argsort(dim=1)
        wanted = torch.rand(found.shape, generator=generator) < 0.5
        rows = torch.arange(len(found))
        for item in order.T:  # [B] the next of every row
            more = found.clone()
            more[rows, item] = 1
            taken = wanted[rows, item] & mask[rows, 2 * item + 1] & self._affordable(more)
            found = torch.where(taken[:, None], more, found)
        return found

    def argmax(self, weights: Tensor, mask: Tensor) -> Tensor:
        """Exact: by comparing all actions where they can be listed, else a program for each row."""
        shape = weights.shape[:-1]
        flat, open_ = weights.reshape(-1, self.width), mask.reshape(-1, 2 * self.width)
        if self._all is not None:
            worth = flat.double() @ self._all.double().T
            worth = worth.masked_fill(~self._left(self._all, open_), -math.inf)
            best = worth.argmax(dim=1)
            return self._all[best].reshape(*shape, self.width)
        rows = zip(flat.double().numpy(), open_.numpy(), strict=True)
        found = np.array([self._best(weight, may) for weight, may in rows])
        return torch.as_tensor(found, dtype=self.dtype).reshape(*shape, self.width)

    def enumerate(self) -> Tensor:
        rows = torch.zeros((1, self.width), dtype=self.dtype)
        for item in range(self.width):
            more = rows.clone()
            more[:, item] = 1
            rows = torch.cat((rows, more[self._affordable(more)]))
            require_few(len(rows), f"items that {self.budget:g} can pay for")
        return rows

    @cached_property
    def _all(self) -> Tensor | None:
        try:
            return self.enumerate()
        except InputError:
            return None

    def _left(self, listed: Tensor, mask: Tensor) -> Tensor:
        """[B, M] which of the actions [M, D] the masks [B, A] leave."""
        choices = torch.stack((1 - listed, listed), dim=2).flatten(1).float()  # [M, A]
        return (~mask).float() @ choices.T == 0

    def _affordable(self, actions: Tensor) -> Tensor:
        costs = torch.tensor(self.costs, dtype=torch.float64, device=actions.device)
        # Costs such as .1 add up to a little more than they should.
        return (actions.double() * costs).sum(-1) <= self.budget * (1 + 1e-12)

    def _best(self, weights: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """The knapsack [D] of one row, on HiGHS."""
        from scipy.optimize import Bounds, LinearConstraint, milp

        bounds = Bounds(~mask[::2], mask[1::2])
        limit = LinearConstraint(np.array(self.costs), -np.inf, self.budget)
        options = {"mip_rel_gap": 0.0}
        whole = np.ones(self.width)
        answer = milp(
            -weights, integrality=whole, bounds=bounds, constraints=limit, options=options
        )
        if answer.x is None:
            raise InputError(f"Budget: the required items cost more than {self.budget:g}")
        return np.round(answer.x)


def action_set(given: Any) -> ActionSet:
    """The set that a gymnasium space is, or what is given if it is a set.

    Raises:
        InputError: a space of another kind.
    """
    spaces = gymnasium.spaces
    if isinstance(given, spaces.Discrete) and given.start == 0:
        return Choices((int(given.n),))
    if isinstance(given, spaces.MultiDiscrete) and given.nvec.ndim == 1:
        return Choices(tuple(int(n) for n in given.nvec))
    if isinstance(given, spaces.Box) and len(given.shape) == 1:
        return Box(tuple(given.low.tolist()), tuple(given.high.tolist()))
    if not isinstance(given, gymnasium.Space) and isinstance(given, ActionSet):
        return given
    raise InputError(
        f"{given} is not a supported action space; use Discrete from 0, MultiDiscrete "
        "of one dimension, or Box of one dimension, or a set of games.simulators.action_sets"
    )


def parts(sizes: tuple[int, ...]) -> Iterator[tuple[int, int]]:
    """Of each discrete component, where it begins in the mask, and its number of choices."""
    first = 0
    for size in sizes:
        yield first, size
        first += size


def require_few(count: int, of: str, most: int = MOST_ACTIONS) -> None:
    """Raises InputError where actions are more than can be listed."""
    if count > most:
        raise InputError(f"combinations of {of} are too many to be listed: more than {most:,}")
