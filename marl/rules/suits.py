"""Matching rules to games: each rule names the simulator that it is made for."""

from __future__ import annotations

from typing import Any, TypeVar

from games.common.errors import InputError
from games.listing import suited
from games.simulators.simulator import Simulator

T = TypeVar("T")


def simulator_of(game: Any) -> Simulator | None:
    """The simulator behind a game, given by name or itself; None for other games."""
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
    """The simulator behind a game, which must be of a given class.

    Args:
        rule: its name, for the message.
        plays: the games it plays, such as "lot_sizing(...)".

    Raises:
        InputError: another game.
    """
    found = simulator_of(game)
    if not isinstance(found, kind):
        name = game if isinstance(game, str) else getattr(game, "name", type(game).__name__)
        raise InputError(f"{name}: {rule} plays only {plays}")
    return found
