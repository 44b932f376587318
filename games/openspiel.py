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
from games.enumerate import enumerate_game, refuse_hopeless
from games.errors import GameError, UnenumerableGameError, did_you_mean, one_line
from games.game import NODE_BUDGET
from games.sequence_form import SequenceForm


@dataclass(frozen=True, eq=False)
class OpenSpielGame:
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

    def root(self) -> Any:
        """A new `pyspiel.State` at the start."""
        return self.openspiel.new_initial_state()

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
                "it cannot be enumerated; choose another game"
            )
        self.require_information_states()
        try:
            with _silent_stderr():
                refuse_hopeless(self.root(), self.name, node_budget)
            form = enumerate_game(self.root(), self.name, self.num_players, node_budget)
        except pyspiel.SpielError as error:
            raise GameError(f"{self.name}: {_reason(error)}") from None
        if cached and self.cacheable:
            disk.store(key, form)
        return form

    def require_information_states(self) -> None:
        """Raises GameError if OpenSpiel cannot name this game's information sets."""
        if not self.openspiel.get_type().provides_information_state_string:
            raise GameError(
                f"{self.name}: OpenSpiel gives no information-state strings for this game, so its "
                "information sets are unknown; choose a game that has them"
            )

    def __repr__(self) -> str:
        return f"OpenSpielGame({self.name}: {self.num_players} players)"


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
        with _silent_stderr():
            _check_parameters(pyspiel.game_parameters_from_string(name))
            game = pyspiel.load_game(name)
            kind = game.get_type()
            cacheable = _is_shipped(game) and "filename" not in name
            if kind.dynamics == pyspiel.GameType.Dynamics.SIMULTANEOUS:
                game = pyspiel.convert_to_turn_based(game)
    except GameError:
        raise
    except (pyspiel.SpielError, RuntimeError, TypeError, ValueError, IndexError) as error:
        raise GameError(f"{name}: {_reason(error)}") from None
    if kind.dynamics == pyspiel.GameType.Dynamics.MEAN_FIELD:
        raise GameError(
            f"{name}: a mean-field game; only games of finitely many players can be loaded"
        )
    return OpenSpielGame(name, game, cacheable)


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


def _check_parameters(given: dict[str, Any]) -> None:
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
            mend = did_you_mean(key, known) if known else "it takes none"
            raise GameError(f"{short} has no parameter {key!r}: {mend}")
        if isinstance(value, dict):
            _check_parameters(value)


def _is_shipped(game: Any) -> bool:
    """Whether OpenSpiel's version number says all about the game's rules.

    A user's own Python game may change between two runs under the same name; so may a game that
    wraps one.
    """
    wraps_another = any(isinstance(value, dict) for value in game.get_parameters().values())
    return type(game).__module__.split(".")[0] in ("pyspiel", "open_spiel") and not wraps_another


def _reason(error: Exception) -> str:
    """OpenSpiel's message without the place in its source."""
    text = one_line(error)
    return re.sub(r"^\S+\.(cc|h):\d+ ", "not accepted by OpenSpiel: ", text) or "cannot be loaded"


@contextlib.contextmanager
def _silent_stderr() -> Iterator[None]:
    """OpenSpiel prints its errors to the process's stderr and raises them too; once is enough."""
    try:
        saved = os.dup(2)
    except OSError:  # there is no stderr
        yield
        return
    if sys.stderr is not None:
        sys.stderr.flush()
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
