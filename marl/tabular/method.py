"""Tabular methods: typed configs that start a solver, found by name in one registry."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from games import Game, InputError, SequenceForm, Strategy
from games.common.registry import Registry
from games.common.settings import Table, checked

REGISTRY: Registry[type[Method]] = Registry(
    "method",
    {
        "cfr": "marl.tabular.cfr:CFR",
        "cfr+": "marl.tabular.cfr:CFRPlus",
        "lcfr": "marl.tabular.cfr:LCFR",
        "dcfr": "marl.tabular.cfr:DCFR",
        "pcfr+": "marl.tabular.cfr:PCFRPlus",
        "dcfr+": "marl.tabular.cfr:DCFRPlus",
        "pdcfr+": "marl.tabular.cfr:PDCFRPlus",
        "hs-pcfr+": "marl.tabular.cfr:HSPCFRPlus",
        "mmd": "marl.tabular.mmd:MMD",
        "mccfr": "marl.tabular.mccfr:MCCFR",
    },
)
"""Methods by name; `REGISTRY.register(name)` is a decorator for a user-defined class, which is also
found as "module:Class". Nothing is imported until it is asked for."""
DEFAULT = "cfr+"

State = dict[str, NDArray[Any]]


class Solver(Protocol):
    """A running method on one game.

    Two solvers of the same method and game that have taken the same number of iterations are equal
    to the last bit, however the iterations were divided among calls, saves and restores.
    """

    iteration: int

    @property
    def form(self) -> SequenceForm | None:
        """The game; None where it is too large to enumerate."""

    def step(self, iterations: int = 1) -> None:
        """Run `iterations` iterations, each of which updates every player."""

    def strategy(self) -> Strategy:
        """The method's present answer: the average strategy, or the last iterate."""

    def state(self) -> State:
        """All that `restore` needs, as arrays that later steps do not change."""

    def restore(self, state: State) -> None:
        """Return to a state that `state` gave; KeyError or ValueError if it is of another kind."""


class Method(Table, ABC):
    """Base of every method's config: the fields are the method's parameters, defaults included."""

    name: ClassVar[str]
    """Its name in scenarios; "module:Class" if not set."""
    samples: ClassVar[bool] = False
    """Whether the method samples play and so needs no sequence form."""
    scheduled: ClassVar[bool] = False
    """Whether iterations depend on their total number, as with schedules."""

    @classmethod
    def __pydantic_init_subclass__(cls, **_: Any) -> None:
        if "name" not in vars(cls):
            cls.name = f"{cls.__module__}:{cls.__qualname__}"

    @abstractmethod
    def start(self, game: Game | SequenceForm, *, iterations: int, seed: int) -> Solver:
        """A solver at iteration 0.

        Args:
            game: the game, or its sequence form.
            iterations: the horizon T of methods whose parameters follow a schedule over it.
            seed: of methods that sample; the others are deterministic.
        """


def find(name: str, options: Mapping[str, Any] | None = None) -> Method:
    """The config of the method `name` with `options` set.

    Raises:
        InputError: an unknown method or option, or a value that does not fit.
    """
    return checked(_load(name), options or {}, f"method {name}")


def list_methods() -> list[dict[str, str]]:
    """A table of all methods: name, first line of the description, parameters."""
    return [
        {
            "method": name,
            "description": (_load(name).__doc__ or "").split("\n")[0],
            "parameters": ", ".join(
                f"{field}={info.default!r}" for field, info in _load(name).model_fields.items()
            ),
        }
        for name in REGISTRY
    ]


def _load(name: str) -> type[Method]:
    found = REGISTRY.load(name)
    if not (isinstance(found, type) and issubclass(found, Method)):
        raise InputError(f"method {name}: {found!r} is not a subclass of marl.tabular.Method")
    return found


def floats(state: State, name: str, size: int) -> NDArray[np.float64]:
    """A copy of a float array of a saved state; ValueError if its size does not fit the game."""
    array = state[name]
    if array.shape != (size,):
        raise ValueError(f"{name} has shape {array.shape}, this game needs ({size},)")
    return array.astype(np.float64)
