"""Which rule plays which game: rules say what simulator they were made for."""

from __future__ import annotations

from typing import Any, TypeVar

from games.common.errors import InputError
from games.listing import suited
from games.simulators.simulator import Simulator

T = TypeVar("T")


def simulator_of(game: Any) -> Simulator | None:
    """The simulator behind a game, given by name or itself; None of games of others."""
    if isinstance(game, str):
        return suited(game, lambda simulator: True)
    if isinstance(game, Simulator):
        return game
    make = getattr(game, "simulator", None)
    try:
        return None if make is None else make()
    except InputError:
        return None


def made_for(game: Any, kind: type[T], rule: str, plays: str) -> T:
    """The simulator behind a game, which is of a kind.

    Args:
        rule: its name, for the message.
        plays: what it plays, such as "lot_sizing(...)".

    Raises:
        InputError: another game.
    """
    found = simulator_of(game)
    if not isinstance(found, kind):
        name = game if isinstance(game, str) else getattr(game, "name", type(game).__name__)
        raise InputError(f"{name}: {rule} plays {plays}, which this is not")
    return found
