"""Scenarios of VMAS as returned by `games.load`."""

from __future__ import annotations

from typing import Any

from games.adapters.simulator import SimulatorGame
from games.adapters.vmas.package import OPTIONS, signature
from games.adapters.vmas.randomness import package
from games.adapters.vmas.simulator import VmasSimulator
from games.common.errors import InputError
from games.making import make_game
from games.names import VMAS, parse


def load(name: str) -> SimulatorGame:
    """The game of a name that begins with `vmas:`.

    Raises:
        InputError: no such scenario; parameters that it does not have, or refuses.
        ModuleNotFoundError: the package is not installed.
    """
    package()  # or it would be told as a parameter's fault that there is none
    target, given = parse(name)
    scenario = target.removeprefix(VMAS)

    def make(**given: Any) -> VmasSimulator:
        options = {word: given.pop(word) for word in OPTIONS if word in given}
        own = tuple((key, _fixed(value)) for key, value in given.items())
        made = VmasSimulator(scenario, own, **options)
        made.spec  # noqa: B018  a parameter that the scenario refuses is told here
        return made

    make.__signature__ = signature(scenario)  # type: ignore[attr-defined]
    return SimulatorGame(name, make_game(make, given, name))


def _fixed(value: Any) -> Any:
    """A value that can be looked up: a list as a tuple.

    Raises:
        InputError: a dictionary or a set.
    """
    if isinstance(value, dict | set):
        raise InputError(f"{VMAS}...: {value} is no parameter of a scenario; give numbers or lists")
    return tuple(map(_fixed, value)) if isinstance(value, list | tuple) else value
