"""Reading a PettingZoo environment's outputs, with checks of every value.

Environments are not checked before this point, and numpy accepts much as a number or a choice that
is not one. Every reader raises `Misfit` with a text that goes on from "its reward", "its mask".
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from numbers import Real
from typing import Any

import numpy as np

from games.adapters.pettingzoo.spaces import Misfit
from games.common.errors import one_line

SHOWN = 60  # characters of a value in a message


def table(value: Any, what: str) -> Mapping[Any, Any]:
    """A dict by agent, such as the rewards of a step."""
    if not isinstance(value, Mapping):
        raise Misfit(f"{what} are {_shown(value)}, not a dict by agent")
    return value


def agents(value: Any) -> set[Any]:
    """The agents in play."""
    if not isinstance(value, Collection) or isinstance(value, str):
        raise Misfit(f"env.agents is {_shown(value)}, not a list of agents")
    return set(value)


def number(value: Any) -> float:
    """A reward: a number, or as PettingZoo allows an array of one."""
    if type(value) is float:  # the common case
        return value
    found = _single(value)
    if not isinstance(found, Real):
        raise Misfit(f"is {_shown(value)}, not a number")
    return float(found)


def flag(value: Any) -> bool:
    """Whether an agent is terminated or truncated."""
    if value is True or value is False:  # the common case
        return value
    found = _single(value)
    if not isinstance(found, int | float):  # a bool is an int
        raise Misfit(f"is {_shown(value)}, neither true nor false")
    return bool(found)


def info_mask(info: Any) -> Any:
    """The action mask in an agent's info, None if there is none."""
    if info is None:
        return None
    if not isinstance(info, Mapping):
        raise Misfit(f"info is {_shown(info)}, not a dict")
    return choices(info["action_mask"]) if "action_mask" in info else None


def choices(mask: Any) -> np.ndarray:
    """[choices] bool: an action mask, laid end to end where there is one a component."""
    try:
        found = mask if isinstance(mask, np.ndarray) else np.hstack(mask)
    except (TypeError, ValueError):
        raise Misfit(f"action mask is {_shown(mask)}, not a row of 0 and 1") from None
    if found.dtype.kind not in "biuf" or not np.isfinite(found).all():
        raise Misfit(f"action mask is {_shown(mask)}, not a row of 0 and 1")
    return found.ravel() != 0


def _single(value: Any) -> Any:
    """A value, or what an array or tensor of one element has."""
    if isinstance(value, bool | int | float) or not hasattr(value, "item"):
        return value
    try:
        return value.item()
    except (TypeError, ValueError, RuntimeError):  # of more than one
        return None


def _shown(value: Any) -> str:
    text = one_line(value)
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 3]}..."
