"""Where a scenario of VMAS keeps the state of its games, and how it is read and written."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any

import torch
from torch import Tensor

Path = tuple[Any, ...]
"""Attributes, keys and places, from the scenario on."""
Holder = Any
"""What holds values by keys: a dictionary, also that of an object's attributes, or a list."""


@dataclass(frozen=True)
class Place:
    """The place of a value in a dictionary whose keys are objects."""

    number: int


@dataclass(frozen=True)
class Member:
    """One of a world's entities, which something refers to, such as an agent to its goal."""

    number: int


@dataclass(frozen=True)
class Slot:
    """A value that belongs to the state."""

    paths: tuple[Path, ...]  # several lead to the same tensor
    kind: Any  # the dtype; or the type of a Python number, or `Member`
    shape: tuple[int, ...] = ()  # without the games
    axis: int = 0  # of the games

    @property
    def width(self) -> int:
        return prod(self.shape)


@dataclass(frozen=True)
class Layout:
    """All values that belong to the state of a scenario's games; found by `finding.find`."""

    numbers: tuple[Slot, ...]  # float32, of each game
    wholes: tuple[Slot, ...]  # bool and integers, of each game
    shared: tuple[Slot, ...]  # numbers that a world keeps once for all its games
    seeded: bool  # whether it draws from numpy's or Python's generators, too

    def read(self, scenario: Any, batch: int) -> tuple[Tensor, Tensor, Tensor]:
        """The state: numbers [B, K] float32, wholes [B, L] int64, shared [B, S] float64."""
        holders = self._holders(scenario)
        device = scenario.world.device
        numbers, wholes, shared = (
            [_value(holders, places[0]) for places in part] for part in self._places
        )
        none = torch.zeros((batch, 0), device=device)
        return (
            _joined(self.numbers, numbers, batch) if numbers else none,
            _joined(self.wholes, [value.long() for value in wholes], batch)
            if wholes
            else none.long(),
            torch.cat(self._flat(scenario.world, shared)).expand(batch, -1)
            if shared
            else none.double(),
        )

    def kept(self, scenario: Any) -> dict[Path, Any]:
        """Copies of all values that are there already, in a world that has not played yet."""
        found = {}
        for slot in (*self.numbers, *self.wholes, *self.shared):
            for path in slot.paths:
                value = _at(scenario, path)
                if value is not None:
                    found[path] = value.clone() if isinstance(value, Tensor) else value
        return found

    def put_back(self, scenario: Any, kept: dict[Path, Any]) -> None:
        """Set what `kept` found, unless it has another shape by now."""
        for path, value in kept.items():
            now = _at(scenario, path)
            if not isinstance(now, Tensor) or now.shape == getattr(value, "shape", None):
                owner = _at(scenario, path[:-1])
                _put([_holder(owner)], [(0, path[-1])], value)

    def write(self, scenario: Any, numbers: Tensor, wholes: Tensor, shared: Tensor) -> None:
        """Set the state; what is shared is taken from the first game.

        The scenario gets copies, which it may change in place.
        """
        holders = self._holders(scenario)
        in_numbers, in_wholes, in_shared = self._places
        for slots, places, values in (
            (self.numbers, in_numbers, numbers),
            (self.wholes, in_wholes, wholes),
        ):
            if slots:
                widths = [slot.width for slot in slots]
                parts: Any = torch.split_with_sizes_copy(values, widths, dim=1)  # type: ignore[func-returns-value]
                for slot, part, where in zip(slots, parts, places, strict=True):
                    _put(holders, where, _shaped(slot, part))
        if self.shared:
            first = shared[0].split([slot.width for slot in self.shared])
            for slot, part, where in zip(self.shared, first, in_shared, strict=True):
                if isinstance(slot.kind, torch.dtype):
                    value = part.to(slot.kind, copy=True).view(slot.shape)
                elif slot.kind is Member:
                    value = scenario.world.entities[int(part)]
                else:
                    value = slot.kind(part.item())
                _put(holders, where, value)

    def _flat(self, world: Any, values: list[Any]) -> list[Tensor]:
        """Shared values as rows of float64, which holds all numbers but the largest exactly."""
        numbers = [
            world.entities.index(value) if slot.kind is Member else value
            for slot, value in zip(self.shared, values, strict=True)
        ]
        double = {"dtype": torch.float64, "device": world.device}
        return [torch.as_tensor(value, **double).detach().reshape(-1) for value in numbers]

    @cached_property
    def _owners(self) -> dict[Path, int]:
        """Paths of what holds values, each after what holds it, by their numbers."""
        found: dict[Path, int] = {(): 0}
        for slot in (*self.numbers, *self.wholes, *self.shared):
            for path in slot.paths:
                for length in range(1, len(path)):
                    found.setdefault(path[:length], len(found))
        return found

    @cached_property
    def _way(self) -> list[tuple[int, Any]]:
        """For each holder but the first, the number of its own holder and the key there."""
        return [(self._owners[path[:-1]], path[-1]) for path in self._owners if path]

    @cached_property
    def _places(self) -> list[list[list[tuple[int, Any]]]]:
        """For each kind and slot, the numbers of the holders and the keys there."""
        return [
            [[(self._owners[path[:-1]], path[-1]) for path in slot.paths] for slot in slots]
            for slots in (self.numbers, self.wholes, self.shared)
        ]

    def _holders(self, scenario: Any) -> list[Holder]:
        """All that hold values now; a scenario may replace its objects at any time."""
        found = [vars(scenario)]
        for owner, key in self._way:
            found.append(_holder(_value(found, (owner, key))))
        return found


def entries(owner: Any) -> Iterator[tuple[Any, Any]]:
    """What an object, a dictionary, a list or a tuple holds: keys and values."""
    if isinstance(owner, dict):
        for number, (key, value) in enumerate(owner.items()):
            yield (key if isinstance(key, str | int) else Place(number)), value
    elif isinstance(owner, list | tuple):
        yield from enumerate(owner)
    else:
        yield from vars(owner).items()


def _holder(owner: Any) -> Holder:
    return owner if isinstance(owner, dict | list | tuple) else vars(owner)


def _at(scenario: Any, path: Path) -> Any:
    """The value at the end of a path; None if there is none yet."""
    value = scenario
    try:
        for key in path:
            value = _value([_holder(value)], (0, key))
    except (LookupError, TypeError):  # vars of None
        return None
    return value


def _value(holders: list[Holder], place: tuple[int, Any]) -> Any:
    holder, key = holders[place[0]], place[1]
    return list(holder.values())[key.number] if type(key) is Place else holder[key]


def _put(holders: list[Holder], places: list[tuple[int, Any]], value: Any) -> None:
    for owner, key in places:
        holder = holders[owner]
        holder[list(holder)[key.number] if type(key) is Place else key] = value


def _joined(slots: tuple[Slot, ...], values: list[Tensor], batch: int) -> Tensor:
    """[B, ...] all values of one kind, side by side."""
    rows = []
    for slot, value in zip(slots, values, strict=True):
        first = value.movedim(slot.axis, 0) if slot.axis else value
        rows.append(first if first.dim() == 2 else first.reshape(batch, -1))
    return torch.cat(rows, dim=1)


def _shaped(slot: Slot, part: Tensor) -> Tensor:
    """A part [B, width] of the state as the scenario has it."""
    if len(slot.shape) != 1:
        part = part.view(-1, *slot.shape)
    if slot.axis:
        part = part.movedim(0, slot.axis).contiguous()
    return part if part.dtype == slot.kind else part.to(slot.kind)
