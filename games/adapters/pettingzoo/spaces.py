"""Gymnasium spaces as numbers: observations as flat rows, discrete actions counted from 0."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from games.common.errors import InputError, one_line
from games.simulators.simulator import UNFIT, Role, Spec

Write = Callable[[Any, np.ndarray], None]  # an observation into a row of float32


class Misfit(Exception):
    """An observation outside its space, with the reason."""


@dataclass(frozen=True)
class Agent:
    """How one agent sees and acts."""

    stem: str
    label: str
    features: int
    write: Write
    masked: bool  # its observation is a dict with the entry action_mask
    space: gymnasium.Space  # what its role's policy acts in
    decode: Callable[[np.ndarray], Any]  # [D] to an action of its own space


def agent_of(agent: Any, seen: Any, done: Any, name: str) -> Agent:
    label = str(agent)
    masked = isinstance(seen, spaces.Dict) and "action_mask" in seen.spaces
    if masked:
        seen = spaces.Dict({k: part for k, part in seen.spaces.items() if k != "action_mask"})
    features, write = flat(seen, f"{name}: {label}: observation space")
    space, decode = acts(done, f"{name}: {label}: action space")
    if masked and isinstance(space, spaces.Box):
        raise InputError(f"{name}: {label}: continuous actions cannot be masked; drop action_mask")
    stem = re.sub(r"[_\W]*\d+$", "", label) or "agent"
    return Agent(stem, label, features, write, masked, space, decode)


def roles_of(agents: list[Agent]) -> tuple[tuple[Role, ...], tuple[int, ...]]:
    kinds: list[Agent] = []  # the first agent of each role
    role_of = []
    for agent in agents:
        for r, kind in enumerate(kinds):
            alike = (kind.stem, kind.features) == (agent.stem, agent.features)
            if alike and kind.space == agent.space:
                role_of.append(r)
                break
        else:
            role_of.append(len(kinds))
            kinds.append(agent)
    stems = [kind.stem for kind in kinds]
    roles: dict[str, Role] = {}
    for kind in kinds:
        name = UNFIT.sub("_", kind.stem if stems.count(kind.stem) == 1 else kind.label)
        while name in roles:
            name += "_"
        roles[name] = Role(name, kind.space, kind.features)
    return tuple(roles.values()), tuple(role_of)


def flat(space: gymnasium.Space, where: str) -> tuple[int, Write]:
    """How many numbers an observation is, and what writes it into a row of so many."""
    if isinstance(space, spaces.Box | spaces.MultiBinary):
        shape = tuple(space.shape)

        def numbers(value: Any, row: np.ndarray) -> None:
            value = np.asarray(value)
            if value.shape != shape:
                raise Misfit(f"has shape {value.shape}, its space has {shape}")
            row[:] = value.ravel()

        return int(np.prod(shape)), numbers
    if isinstance(space, spaces.Discrete | spaces.MultiDiscrete):
        sizes = np.ravel(space.n if isinstance(space, spaces.Discrete) else space.nvec)
        first = np.concatenate([[0], np.cumsum(sizes)])
        start = np.ravel(space.start)

        def one_hot(value: Any, row: np.ndarray) -> None:
            value = np.asarray(value)
            if value.shape != space.shape:
                raise Misfit(f"has shape {value.shape}, its space has {space.shape}")
            choice = value.ravel() - start
            if (choice < 0).any() or (choice >= sizes).any():
                raise Misfit(f"is {value}, outside {space}")
            row[:] = 0
            row[first[:-1] + choice.astype(np.int64)] = 1

        return int(first[-1]), one_hot
    if isinstance(space, spaces.Dict | spaces.Tuple):
        items = enumerate(space.spaces) if isinstance(space, spaces.Tuple) else space.spaces.items()
        parts, end = [], 0
        for key, part in items:
            size, write = flat(part, where)
            parts.append((key, slice(end, end + size), write))
            end += size

        def in_order(value: Any, row: np.ndarray) -> None:
            for key, place, write in parts:
                write(value[key], row[place])

        return end, in_order
    raise InputError(
        f"{where} {one_line(space)} cannot be flattened; use Box, Discrete, MultiDiscrete, "
        "MultiBinary, or Dict and Tuple of those"
    )


def acts(space: gymnasium.Space, where: str) -> tuple[gymnasium.Space, Any]:
    """The space a policy acts in, and what turns [D] numbers into an action of the game's own."""
    if isinstance(space, spaces.Discrete):
        start = int(space.start)
        return spaces.Discrete(int(space.n)), lambda a: int(a[0]) + start
    shape, dtype = space.shape or (), space.dtype
    if isinstance(space, spaces.MultiDiscrete):
        nvec, first = space.nvec, space.start
        return (
            spaces.MultiDiscrete(nvec.ravel()),
            lambda a: (a[: nvec.size].reshape(shape) + first).astype(dtype),
        )
    if isinstance(space, spaces.MultiBinary):
        width = int(np.prod(shape))
        return (
            spaces.MultiDiscrete(np.full(width, 2)),
            lambda a: a[:width].reshape(shape).astype(dtype),
        )
    if isinstance(space, spaces.Box) and np.issubdtype(dtype, np.floating):
        low, high = space.low, space.high
        flat = spaces.Box(low.ravel().astype(np.float32), high.ravel().astype(np.float32))
        width = flat.shape[0]
        if dtype == np.float32:
            return flat, lambda a: a[:width].astype(dtype).reshape(shape)
        # A bound rounded to float32 may lie outside itself.
        return flat, lambda a: np.clip(a[:width].astype(dtype).reshape(shape), low, high)
    raise InputError(
        f"{where} {one_line(space)} is none that policies here have; use Discrete, MultiDiscrete, "
        "MultiBinary, or Box of floats"
    )


class Legal:
    """Legal actions of all games at once."""

    def __init__(self, spec: Spec) -> None:
        shape = spec.num_agents, spec.action_width
        self.shape = shape
        self.sizes = np.zeros(shape, np.int64)  # [N, D] choices; 0 where there is none to make
        self.first = np.zeros(shape, np.int64)  # [N, D] where they begin in the mask
        self.low = np.full(shape, -np.inf, np.float32)  # [N, D]
        self.high = np.full(shape, np.inf, np.float32)  # [N, D]
        self.continuous = np.zeros(shape, bool)  # [N, D]
        self.free = np.zeros((spec.num_agents, spec.mask_width), bool)  # [N, A] all choices
        self.widths = []  # [N]
        for i, r in enumerate(spec.role_of):
            role = spec.roles[r]
            width = role.action_width
            if role.sizes:
                self.sizes[i, :width] = role.sizes
                self.first[i, :width] = np.cumsum((0, *role.sizes))[:-1]
            else:
                self.continuous[i, :width] = True
                self.low[i, :width] = role.space.low  # type: ignore[attr-defined]
                self.high[i, :width] = role.space.high  # type: ignore[attr-defined]
            self.free[i, : role.mask_width] = True
            self.widths.append(role.mask_width)

    def choice_left(self, i: int, mask: np.ndarray) -> bool:
        """Whether the mask [A] of agent i leaves a choice in every component."""
        return all(
            mask[first : first + size].any()
            for first, size in zip(self.first[i], self.sizes[i], strict=True)
            if size
        )

    def wrong(
        self, actions: np.ndarray, acting: np.ndarray, mask: np.ndarray
    ) -> tuple[int, int, str] | None:
        """The first illegal one of [B, N, D] actions: game, agent, and why."""
        if actions.shape != (len(mask), *self.shape):
            expected = (len(mask), *self.shape)
            raise InputError(f"actions have shape {actions.shape}, these games need {expected}")
        bad = self.continuous & ~(
            np.isfinite(actions) & (actions >= self.low) & (actions <= self.high)
        )
        if mask.shape[-1]:
            with np.errstate(invalid="ignore"):  # nan is no choice, and found to be none
                choice = actions.astype(np.int64)
            inside = (choice == actions) & (choice >= 0) & (choice < self.sizes)
            place = np.where(inside, choice + self.first, 0)
            bad |= (self.sizes > 0) & ~(inside & np.take_along_axis(mask, place, 2))
        bad &= acting[:, :, None]
        if not bad.any():
            return None
        b, i, d = (int(k) for k in np.argwhere(bad)[0])
        value, size = actions[b, i, d], self.sizes[i, d]
        if self.continuous[i, d]:
            reason = f"outside [{self.low[i, d]}, {self.high[i, d]}]"
        elif 0 <= value < size and value == int(value):
            reason = "which its mask forbids"
        else:
            reason = f"not one of 0 to {size - 1}"
        return b, i, f"is {value}, {reason}"
