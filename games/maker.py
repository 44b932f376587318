"""Which callables may make a game by name; nothing else is called, whatever a scenario says.

A scenario is data, and may come from anybody: `subprocess:getoutput(cmd='...')` must not run a
command. So what `module:attribute` names is called only if it is a class of simulators or of
PettingZoo environments, a function that PettingZoo's modules have, or marked by `makes_games`.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from typing import Any, TypeVar

from games.common.errors import InputError

MARK = "__makes_games__"
SIMULATOR = ("spec", "differentiable", "reset", "step", "observe")
CONVENTION = ("parallel_env", "env", "raw_env")  # functions of a PettingZoo module
M = TypeVar("M", bound=Callable[..., Any])


def makes_games(make: M) -> M:
    """Marks a function or a class as one that makes a simulator or a PettingZoo environment.

    Only what is marked can be named as `module:attribute`, beside classes that are simulators or
    PettingZoo environments anyway:

    >>> import games
    >>> @games.makes_games
    ... def harbour(carts=2):
    ...     '''A PettingZoo environment, in wrappers of ours.'''
    """
    setattr(make, MARK, True)
    return make


def require_maker(made: Any, where: str) -> None:
    """Raises InputError unless `made`, which `where` names, may be called to make a game."""
    attribute = where.rpartition(":")[2]
    if attribute in CONVENTION and inspect.isfunction(made) and _is_of_pettingzoo(made):
        return
    # Looked up without running anything: an object may answer to any attribute.
    if inspect.getattr_static(made, MARK, None) is True:
        return
    if isinstance(made, type) and (_is_simulator(made) or _is_environment(made)):
        return
    raise InputError(
        f"{where}: {attribute} is neither a simulator ({', '.join(SIMULATOR)}) nor a PettingZoo "
        "environment, and is not called; if it makes one, put @games.makes_games above it"
    )


def _is_simulator(kind: type) -> bool:
    """Whether objects of a class have all that `games.simulators.simulator.Simulator` asks for."""
    fields = getattr(kind, "__dataclass_fields__", {})
    return all(
        name in fields or inspect.getattr_static(kind, name, None) is not None for name in SIMULATOR
    )


def _is_environment(kind: type) -> bool:
    known = sys.modules.get("pettingzoo.utils.env")  # imported by any module with an environment
    return known is not None and issubclass(kind, (known.AECEnv, known.ParallelEnv))


def _is_of_pettingzoo(made: Any) -> bool:
    """Whether a function was written where there is a class of PettingZoo environments."""
    home = sys.modules.get(made.__module__)
    return any(
        isinstance(one, type) and _is_environment(one) for one in vars(home or object).values()
    )
