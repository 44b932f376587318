"""OpenSpiel's games by name: listed, checked before they are built, and tried out if unusual."""

from __future__ import annotations

import contextlib
import random
import re
from functools import cache, lru_cache
from typing import Any

import pyspiel

from games.common import trial
from games.common.errors import GameError
from games.finite.openspiel.game import OpenSpielGame
from games.finite.openspiel.parameters import check_parameters, check_starts, unusual_parameters
from games.finite.openspiel.refusals import (
    REFUSALS,
    is_openspiels,
    raised_by_openspiel,
    reason,
    silent_stderr,
)

FIRST_MOVES = 20  # that are played before a game with unusual parameters counts as loaded


def load_openspiel(name: str) -> OpenSpielGame:
    """The game of an OpenSpiel game string, such as ``"leduc_poker(players=3)"``.

    C++ games and Python games work alike; a Python game of your own counts as soon as it is
    registered with OpenSpiel.

    Raises:
        GameError: an unknown game or parameter, or a value that the game refuses; one line, with
            the nearest known names.
    """
    if any(word not in pyspiel.registered_names() for word in re.findall(r"python_\w+", name)):
        _register_python_games()
    if not re.fullmatch(r"\w+\s*(\(.*\))?", name, flags=re.DOTALL):
        raise GameError(f"{name}: write a game as name(parameter=value,...)")
    try:
        with silent_stderr():
            given = pyspiel.game_parameters_from_string(name)
            check_parameters(given)
            if unusual := unusual_parameters(given):
                _try_out(name, ", ".join(unusual))
            check_starts(name, given)
            game, original = _build(name)
            kind = original.get_type()
            cacheable = _is_shipped(original) and "filename" not in name
    except GameError:
        raise
    except (*REFUSALS, TypeError) as error:
        raise GameError(f"{name}: {reason(error)}") from None
    if kind.dynamics == pyspiel.GameType.Dynamics.MEAN_FIELD:
        raise GameError(
            f"{name}: a mean-field game; only games of finitely many players can be loaded"
        )
    return OpenSpielGame(name, game, cacheable)


def _build(name: str) -> tuple[Any, Any]:
    """The sequential `pyspiel.Game`, and the one that it was made of (itself if sequential)."""
    game = pyspiel.load_game(name)
    if game.get_type().dynamics == pyspiel.GameType.Dynamics.SIMULTANEOUS:
        return pyspiel.convert_to_turn_based(game), game
    return game, game


@lru_cache(maxsize=1024)
def _try_out(name: str, unusual: str) -> None:
    """Build a game and play its first moves in a child process, since OpenSpiel can take all
    memory, hang or crash where it should refuse a parameter.

    Raises:
        GameError: it did, or it refused; says `unusual`, the parameters that may be why.
    """
    wrong = trial.attempt(lambda: _first_moves(name))
    if wrong:
        raise GameError(f"{name}: {wrong}; change {unusual}")


def _first_moves(name: str) -> str:
    """The error in the first moves of a game; "" if there is none."""
    try:
        game, original = _build(name)
    except Exception as error:
        refused = isinstance(error, (*REFUSALS, TypeError)) or raised_by_openspiel(error)
        return reason(error) if refused else ""  # else who loads it sees where it went wrong
    if game.num_players() < 1:
        return "a game without players"
    kind = original.get_type()
    if (
        kind.dynamics == pyspiel.GameType.Dynamics.MEAN_FIELD
        or kind.chance_mode == pyspiel.GameType.ChanceMode.SAMPLED_STOCHASTIC
    ):
        return ""  # not to be walked
    rng = random.Random(0)
    try:
        state = game.new_initial_state()
        for _ in range(FIRST_MOVES):
            if state.is_terminal():
                break
            player = state.current_player()
            if state.is_chance_node():
                moves = [action for action, _ in state.chance_outcomes()]
            else:
                moves = state.legal_actions()
                if kind.provides_information_state_string:
                    state.information_state_string(player)
            if not moves:
                break
            state.child(moves[-1])
            state = state.child(rng.choice(moves))
    except Exception as error:
        if is_openspiels(original) or isinstance(error, MemoryError):
            return reason(error)
        # A user's Python game: an error in it is raised where the game is played.
    return ""


def list_games() -> list[dict[str, Any]]:
    """A table of OpenSpiel's games: name, players, moves, information, chance, utility."""
    _register_python_games()
    return [
        {
            "game": kind.short_name,
            "players": f"{kind.min_num_players}-{kind.max_num_players}"
            if kind.min_num_players != kind.max_num_players
            else str(kind.min_num_players),
            "moves": kind.dynamics.name.lower(),
            "information": kind.information.name.lower().replace("_information", ""),
            "chance": kind.chance_mode.name.lower(),
            "utility": kind.utility.name.lower(),
        }
        for kind in sorted(pyspiel.registered_games(), key=lambda kind: kind.short_name)
        if kind.dynamics != pyspiel.GameType.Dynamics.MEAN_FIELD
    ]


@cache
def _register_python_games() -> None:
    with contextlib.suppress(ImportError):  # some need packages that OpenSpiel does not install
        import open_spiel.python.games  # noqa: F401


def _is_shipped(game: Any) -> bool:
    """Whether OpenSpiel's version number determines the game's rules.

    A user's own Python game may change between two runs under the same name; so may a game that
    wraps one.
    """
    wraps_another = any(isinstance(value, dict) for value in game.get_parameters().values())
    return is_openspiels(game) and not wraps_another
