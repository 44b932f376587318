"""Checks of a game's parameters before OpenSpiel builds it, which may take long or crash."""

from __future__ import annotations

from typing import Any

import pyspiel

from games.common.errors import GameError, did_you_mean


def unusual_parameters(given: dict[str, Any]) -> list[str]:
    """The parameters, of a game or of games inside it, that are neither switches nor their
    defaults, each as "players=99 (by default 2)". A default of 0 counts as none: such often are.
    """
    (kind,) = (k for k in pyspiel.registered_games() if k.short_name == given["name"])
    found = []
    for key, value in given.items():
        default = kind.parameter_specification.get(key)
        if isinstance(value, dict):
            found += unusual_parameters(value)
        elif key != "name" and not isinstance(value, bool) and not (default and value == default):
            found.append(f"{key}={value}" + (f" (by default {default})" if default else ""))
    return found


def check_starts(name: str, given: dict[str, Any]) -> None:
    """Refuse histories of `start_at`, of a game or of games inside it, that are not legal."""
    for value in given.values():
        if isinstance(value, dict):
            check_starts(name, value)
    if given["name"] == "start_at":
        _check_start(name, given)


def _check_start(name: str, given: dict[str, Any]) -> None:
    """Refuse an illegal history: OpenSpiel plays on from there, in some cases without end."""
    inner = dict(given["game"])
    state = pyspiel.load_game(inner.pop("name"), inner).new_initial_state()
    for k, action in enumerate(map(int, given["history"].split(";"))):
        legal = state.legal_actions()
        if action not in legal:
            allowed = f"legal are {_some(legal)}" if legal else "the game is over"
            raise GameError(
                f"{name}: history={given['history']} is not a legal history of the game: action "
                f"{action} at move {k + 1}, where {allowed}"
            )
        state.apply_action(action)


def _some(numbers: list[int], most: int = 12) -> str:
    more = ", ..." if len(numbers) > most else ""
    return f"{', '.join(map(str, numbers[:most]))}{more}"


def check_parameters(given: dict[str, Any]) -> None:
    """Refuse parameters that the game, or a game inside it, does not have."""
    short = given["name"]
    if short not in pyspiel.registered_names():
        raise GameError(
            f"unknown game {short!r}: {did_you_mean(short, pyspiel.registered_names())} "
            "(`schelling list games` shows all)"
        )
    (kind,) = (kind for kind in pyspiel.registered_games() if kind.short_name == short)
    known = set(kind.parameter_specification)
    for key, value in given.items():
        if key != "name" and key not in known:
            fix = did_you_mean(key, known) if known else "it takes none"
            raise GameError(f"{short} has no parameter {key!r}: {fix}")
        if isinstance(value, dict):
            check_parameters(value)
