"""What a game is worth at best, as far as that is known: asked of any game, by one call.

A simulator may say it itself, by a method `reference()` that gives a
`games.simulators.references.Reference`, or None; that names the metric it is of. For others it is
looked up by class in `REFERENCES`, where anybody may register an answer.
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
    "reference", {"games.inventory.inventory:Inventory": "analysis.inventory.reference:look"}
)
"""By "module:Class" of a simulator, what looks its reference up, `look(simulator, as_played)`; a
subclass has that of its nearest base. With `as_played`, only what the cost of a game as it is
played, from its beginning to its end, can be held against."""


def reference(game: Any) -> Reference | None:
    """What no policy of a game is better than, on average; None where nothing is known.

    Args:
        game: by name, or itself; of how it is played, for how long and from where, nothing
            matters.

    Raises:
        InputError: a simulator that cannot be made.
    """
    return _look(game, as_played=False)


def held_against(game: Any) -> Reference | None:
    """The reference, if games as they are played can be held against it; else None.

    Args:
        game: by name, or itself.

    Raises:
        InputError: a simulator that cannot be made.
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
