"""Finding where a scenario of VMAS keeps the state of its games, by trying.

A scenario keeps tensors wherever it likes: on itself, on its entities, on sensors and controllers.
Those that have the games in one of their dimensions are found by comparing worlds of two sizes.
Whatever else changes in the course of games, such as a mass that is a Python number or the entity
that is an agent's goal, is shared by all games of a world; it too is kept for each game, and only
games in which it is the same can be stepped together.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from games.adapters.vmas.layout import Layout, Member, Path, Slot, entries
from games.adapters.vmas.randomness import play
from games.common.errors import InputError

WORLD = "_world"  # of a scenario, its world
SIZES = (2, 3)  # games of the worlds that are compared
STEPS = 2  # of random play between two looks
RESETS = 8  # so many that a goal that is drawn anew is hardly always the same
CLOSED = (type, ModuleType, FunctionType, MethodType, BuiltinFunctionType, Enum, np.ndarray)


@dataclass(frozen=True)
class Seen:
    """A tensor at some time."""

    value: Tensor  # a copy
    identity: int  # of the tensor itself, while the world was as it was then


Look = dict[Path, Any]
"""Tensors, as `Seen`, Python numbers, and references to entities, by where they are."""


def find(make: Callable[[int, torch.device], Any], name: str) -> Layout:
    """The layout of a scenario's state.

    Args:
        make: makes an environment of so many games on a device, always the same ones.
        name: of the game, for messages.

    Raises:
        InputError: an environment that cannot be made, or state that cannot be kept.
    """
    cpu = torch.device("cpu")
    own, drawn = _played(make(SIZES[0], cpu), RESETS)
    again, _ = _played(make(SIZES[0], cpu), 1)
    other, _ = _played(make(SIZES[1], cpu), 1)
    common = [path for path in own[0] if all(path in look for look in (*own, *again, *other))]
    numbers, wholes, shared = list[Slot](), list[Slot](), list[Slot]()
    for paths in _grouped(common, own):
        value, larger = own[1][paths[0]], other[1][paths[0]]
        if isinstance(value, Seen) and value.value.shape != larger.value.shape:
            slot = _slot(paths, value.value, larger.value, name)
            (numbers if slot.kind.is_floating_point else wholes).append(slot)
        elif _changes(paths[0], own) and not _differs(paths[0], own, again):  # or it is a clock
            if isinstance(value, Seen):
                shared.append(Slot(paths, value.value.dtype, tuple(value.value.shape)))
            else:
                shared.append(Slot(paths, type(value)))
    return Layout(tuple(numbers), tuple(wholes), tuple(shared), drawn)


def _played(environment: Any, resets: int) -> tuple[list[Look], bool]:
    """What there is after resets and after steps, always of the same play; and whether numbers
    were drawn from other generators than torch's."""
    looks = []
    with play(1) as others:
        for number in range(resets + 1):
            environment.reset()
            if number:  # what is made by the first steps is missing before
                looks.append(look(environment.scenario))
            if number < 2:
                for _ in range(STEPS):
                    environment.step(environment.get_random_actions())
            if number == 1:
                looks.append(look(environment.scenario))
    return looks, any(others)


def look(scenario: Any) -> Look:
    """All tensors and Python numbers that can be reached from a scenario."""
    found: Look = {}
    world = scenario.world
    members = {id(entity): Member(number) for number, entity in enumerate(world.entities)}
    seen = {id(scenario), id(world)}
    # All of the world comes first: its lists keep their order, those of scenarios may not.
    left: list[tuple[Path, Any]] = [((), scenario), ((WORLD,), world)]
    while left:
        path, owner = left.pop()
        for key, value in entries(owner):
            here = (*path, key)
            if isinstance(value, Tensor):
                found[here] = Seen(value.detach().clone(), id(value))
            elif isinstance(value, bool | int | float):
                found[here] = value
            elif id(value) in members:
                found[here] = members[id(value)]
            if id(value) not in seen and _opens(value):
                seen.add(id(value))
                left.append((here, value))
    return found


def _opens(value: Any) -> bool:
    if isinstance(value, dict | list | tuple):
        return True
    if isinstance(value, Tensor):
        return False
    return hasattr(value, "__dict__") and not isinstance(value, CLOSED)


def _grouped(paths: list[Path], looks: list[Look]) -> list[tuple[Path, ...]]:
    """Paths that led to the same tensor whenever it was looked at stand together."""
    found: dict[Any, list[Path]] = {}
    for path in paths:
        seen = [look[path] for look in looks]
        same = tuple(one.identity for one in seen) if isinstance(seen[0], Seen) else path
        found.setdefault(same, []).append(path)
    return [tuple(group) for group in found.values()]


def _slot(paths: tuple[Path, ...], value: Tensor, larger: Tensor, name: str) -> Slot:
    """The slot of a tensor that has the games in one of its dimensions."""
    sizes = list(zip(value.shape, larger.shape, strict=False))
    axes = [axis for axis, size in enumerate(sizes) if size[0] != size[1]]
    said = ".".join(map(str, paths[0]))
    if value.dim() != larger.dim() or len(axes) != 1 or sizes[axes[0]] != SIZES:
        raise InputError(f"{name}: {said} depends on the number of games in a way unknown here")
    whole = value.dtype in (torch.bool, torch.uint8, torch.int16, torch.int32, torch.int64)
    if not whole and value.dtype != torch.float32:
        raise InputError(f"{name}: {said} is of {value.dtype}, which is not kept here")
    shape = [size for axis, size in enumerate(value.shape) if axis != axes[0]]
    return Slot(paths, value.dtype, tuple(shape), axes[0])


def _changes(path: Path, looks: list[Look]) -> bool:
    return any(not _equal(a[path], b[path]) for a, b in pairwise(looks))


def _differs(path: Path, looks: list[Look], others: list[Look]) -> bool:
    return any(not _equal(a[path], b[path]) for a, b in zip(looks, others, strict=False))


def _equal(a: Any, b: Any) -> bool:
    if isinstance(a, Seen) and isinstance(b, Seen):
        return torch.equal(a.value, b.value)
    return type(a) is type(b) and bool(a == b)
