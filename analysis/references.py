"""References: the optimum of a game's metric, or a bound, where one is known.

A simulator may give its own by a method `reference()`, which returns a
`games.simulators.references.Reference` with the name of its metric, or None. For other simulators
it is looked up by class in `REFERENCES`, where references can be registered.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from games.common.registry import Registry
from games.listing import suited
from games.simulators.references import Reference
from games.simulators.simulator import Simulator

Look = Callable[..., Reference | None]
REFERENCES: Registry[Look] = Registry(
    "reference",
    {"games.inventory.inventory:Inventory": "analysis.inventory.reference:inventory_reference"},
)
"""By "module:Class" of a simulator, the function `look(simulator, as_played)` that returns its
reference; a subclass has that of its nearest base. With `as_played`, only a reference that the cost
of whole games, from beginning to end, can be compared with."""


def reference(game: Any) -> Reference | None:
    """The optimum of a game's metric, or a bound on it; None where none is known.

    Args:
        game: by name or as an object; the length of its episodes and their start do not matter.

    Raises:
        InputError: the simulator cannot be created.
    """
    return _look(game, as_played=False)


def comparable_reference(game: Any) -> Reference | None:
    """The reference of a game, if whole games can be compared with it; else None.

    Args:
        game: by name or as an object.

    Raises:
        InputError: the simulator cannot be created.
    """
    return _look(game, as_played=True)


def _look(game: Any, as_played: bool) -> Reference | None:
    made = suited(game, _is_known)
    if made is None:
        return None
    own = getattr(made, "reference", None)
    if callable(own):
        return own()
    return _entry(made)(made, as_played=as_played)


def _is_known(made: Simulator) -> bool:
    return callable(getattr(made, "reference", None)) or _named(made) is not None


def _named(made: Any) -> str | None:
    """The nearest class of a simulator that has a reference, as it is registered."""
    known = (f"{kind.__module__}:{kind.__qualname__}" for kind in type(made).__mro__)
    return next((name for name in known if name in REFERENCES), None)


def _entry(made: Any) -> Look:
    return REFERENCES.load(_named(made))
