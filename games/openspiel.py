"""OpenSpiel's games: found by name, checked before they are built, compiled and cached."""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import pyspiel

from games import cache as disk
from games.enumerate import enumerate_game
from games.errors import GameError, UnenumerableGameError, did_you_mean, one_line
from games.sequence_form import SequenceForm

NODE_BUDGET = 20_000_000


@dataclass(frozen=True, eq=False)
class Game:
    """A finite game that OpenSpiel knows.

    Simultaneous moves are turned into turns with hidden actions; `openspiel` is that turn-based
    game, the one to give to OpenSpiel's own tools beside this one.
    """

    name: str
    openspiel: Any  # pyspiel.Game, sequential
    cacheable: bool  # false where the game string alone does not say what the game is

    @property
    def num_players(self) -> int:
        return self.openspiel.num_players()

    def sequence_form(self, *, node_budget: int = NODE_BUDGET, cached: bool = True) -> SequenceForm:
        """The compiled game.

        Kept on disk by game string and OpenSpiel version (see `games.cache`).

        Args:
            node_budget: the most histories to visit, chance nodes and terminals included.
            cached: whether to read from and write to the disk.

        Raises:
            UnenumerableGameError: more histories than `node_budget`, or chance that OpenSpiel
                samples and does not list.
            GameError: imperfect recall, or no information-state strings.
        """
        key = str(self.openspiel)
        if cached and self.cacheable:
            form = disk.load(key, self.name)
            if form is not None and form.num_histories <= node_budget:
                return form
        kind = self.openspiel.get_type()
        if kind.chance_mode == pyspiel.GameType.ChanceMode.SAMPLED_STOCHASTIC:
            raise UnenumerableGameError(
                f"{self.name}: samples its chance events without listing their probabilities, so "
                "it cannot be enumerated; use method mccfr, which samples, or another game"
            )
        if not kind.provides_information_state_string:
            raise GameError(
                f"{self.name}: OpenSpiel gives no information-state strings for this game, so its "
                "information sets are unknown; choose a game that has them"
            )
        form = enumerate_game(self.openspiel, self.name, node_budget)
        if cached and self.cacheable:
            disk.store(key, form)
        return form

    def __repr__(self) -> str:
        return f"Game({self.name}: {self.num_players} players)"


def load(name: str) -> Game:
    """The game of an OpenSpiel game string, such as ``"leduc_poker(players=3)"``.

    C++ games and Python games work alike; a Python game of your own counts as soon as it is
    registered with OpenSpiel.

    Raises:
        GameError: an unknown game or parameter, or a value that the game refuses; one line, with
            the nearest known names.
    """
    if not isinstance(name, str) or not name.strip():
        raise GameError("a game is given by its OpenSpiel string, such as kuhn_poker")
    name = name.strip()
    short = name.split("(", 1)[0].strip()
    if short not in pyspiel.registered_names():
        _register_python_games()
    if short not in pyspiel.registered_names():
        raise GameError(
            f"unknown game {short!r}: {did_you_mean(short, pyspiel.registered_names())} "
            "(`schelling list games` shows all)"
        )
    with _silent_stderr():
        try:
            parameters = pyspiel.game_parameters_from_string(name)
            known = _parameters(short)
            for given in parameters:
                if given != "name" and given not in known:
                    mend = did_you_mean(given, known) if known else "it takes none"
                    raise GameError(f"{short} has no parameter {given!r}: {mend}")
            game = pyspiel.load_game(name)
            kind = game.get_type()
            cacheable = _is_shipped(game) and "filename" not in name
            if kind.dynamics == pyspiel.GameType.Dynamics.SIMULTANEOUS:
                game = pyspiel.convert_to_turn_based(game)
            elif kind.dynamics != pyspiel.GameType.Dynamics.SEQUENTIAL:
                raise GameError(
                    f"{name}: a mean-field game; only games of finitely many players can be loaded"
                )
        except (pyspiel.SpielError, RuntimeError, TypeError, ValueError) as error:
            if isinstance(error, GameError):
                raise
            raise GameError(f"{name}: {_reason(error)}") from None
    return Game(name, game, cacheable)


def list_games() -> list[dict[str, Any]]:
    """What OpenSpiel has, a row a game: name, players, moves, information, chance, utility."""
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


def _parameters(short: str) -> set[str]:
    for kind in pyspiel.registered_games():
        if kind.short_name == short:
            return set(kind.parameter_specification)
    return set()


def _is_shipped(game: Any) -> bool:
    """Whether OpenSpiel's version number says all about the game's rules.

    A user's own Python game may change between two runs under the same name.
    """
    return type(game).__module__.split(".")[0] in ("pyspiel", "open_spiel")


def _reason(error: Exception) -> str:
    """OpenSpiel's message without the place in its source."""
    text = one_line(error)
    return re.sub(r"^\S+\.(cc|h):\d+ ", "not accepted by OpenSpiel: ", text) or "cannot be loaded"


@contextlib.contextmanager
def _silent_stderr() -> Iterator[None]:
    """OpenSpiel prints its errors to the process's stderr and raises them too; once is enough."""
    sys.stderr.flush()
    saved = os.dup(2)
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
