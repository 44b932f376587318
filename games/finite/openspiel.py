"""OpenSpiel's games: found by name, checked before they are built, compiled and cached."""

from __future__ import annotations

import contextlib
import os
import random
import re
import sys
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import pyspiel

from games.common import trial
from games.common.errors import (
    GameError,
    InputError,
    UnenumerableGameError,
    did_you_mean,
    one_line,
)
from games.finite import cache as disk
from games.finite.enumerate import enumerate_game, refuse_hopeless
from games.finite.game import NODE_BUDGET
from games.finite.sequence_form import SequenceForm

# What OpenSpiel raises: errors of its own, and those that pybind11 makes of C++'s.
REFUSALS = (
    pyspiel.SpielError,
    RuntimeError,
    ValueError,
    LookupError,
    ArithmeticError,
    MemoryError,
)
OPENSPIEL = ("pyspiel", "open_spiel")  # its modules
FIRST_MOVES = 20  # that are played before a game with unusual parameters counts as loaded


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
        """A new `pyspiel.State` at the start; see `HistoryState` where histories name the sets."""
        state = self.openspiel.new_initial_state()
        return HistoryState(state) if self.is_named_by_history else state

    @property
    def has_information_states(self) -> bool:
        """Whether OpenSpiel names this game's information sets."""
        return self.openspiel.get_type().provides_information_state_string

    @property
    def is_named_by_history(self) -> bool:
        """Whether every history is an information set of its own, and gives it its name.

        So it is under perfect information where OpenSpiel has no names; not where players who
        moved at once were made to move in turn, unseen.
        """
        return _names_by_history(self.openspiel)

    def sequence_form(self, *, node_budget: int = NODE_BUDGET, cached: bool = True) -> SequenceForm:
        """The compiled game.

        Kept on disk by game string and OpenSpiel version (see `games.finite.cache`).

        Args:
            node_budget: the most histories to visit, chance nodes and terminals included.
            cached: whether to read from and write to the disk.

        Raises:
            UnenumerableGameError: more histories than `node_budget`, or chance that OpenSpiel
                samples and does not list.
            GameError: imperfect recall; no information-state strings where information is not
                perfect; or whatever OpenSpiel raises on the way.
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
        if not (self.has_information_states or self.is_named_by_history):
            raise GameError(
                f"{self.name}: OpenSpiel gives no information-state strings for this game of "
                "imperfect information, so its information sets are unknown; choose a game that "
                "has them"
            )
        try:
            with _silent_stderr():
                samples = self.has_information_states
                refuse_hopeless(self.root(), self.name, node_budget, samples=samples)
                form = enumerate_game(
                    self.root(), self.name, self.num_players, node_budget, samples=samples
                )
        except InputError:
            raise
        except REFUSALS as error:
            raise GameError(f"{self.name}: {_reason(error)}") from None
        if cached and self.cacheable:
            disk.store(key, form)
        return form

    def __repr__(self) -> str:
        return f"OpenSpielGame({self.name}: {self.num_players} players)"


def _names_by_history(game: Any) -> bool:
    kind = game.get_type()
    return (
        not kind.provides_information_state_string
        and kind.dynamics == pyspiel.GameType.Dynamics.SEQUENTIAL
        and kind.information == pyspiel.GameType.Information.PERFECT_INFORMATION
    )


def tabular_policy(game: Any) -> Any:
    """OpenSpiel's `TabularPolicy` of a sequential `pyspiel.Game`, uniform, its rows named as ours.

    OpenSpiel's own names the rows of a game without information-state strings by observations, and
    so takes histories for one that end in the same position.
    """
    from open_spiel.python.policy import TabularPolicy

    class HistoryPolicy(TabularPolicy):
        def _state_key(self, state: Any, player: int | None) -> str:
            return HistoryState(state).information_state_string(player)

    return (HistoryPolicy if _names_by_history(game) else TabularPolicy)(game)


class HistoryState:
    """A state under perfect information, whose history is its information set's name.

    The name is the actions so far by their numbers, those of chance included: "2, 0, 5", and
    "(start)" before the first. All else is the `pyspiel.State`'s own, which is `openspiel`.
    """

    __slots__ = ("openspiel",)

    def __init__(self, state: Any) -> None:
        self.openspiel = state

    def __getattr__(self, name: str) -> Any:
        return getattr(object.__getattribute__(self, "openspiel"), name)

    def information_state_string(self, player: int | None = None) -> str:
        return self.openspiel.history_str() or "(start)"

    def child(self, action: int) -> HistoryState:
        return HistoryState(self.openspiel.child(action))

    def clone(self) -> HistoryState:
        return HistoryState(self.openspiel.clone())

    def __str__(self) -> str:
        return str(self.openspiel)


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
            given = pyspiel.game_parameters_from_string(name)
            _check_parameters(given)
            if unusual := _unusual(given):
                _try_out(name, ", ".join(unusual))
            _check_starts(name, given)
            game, original = _build(name)
            kind = original.get_type()
            cacheable = _is_shipped(original) and "filename" not in name
    except GameError:
        raise
    except (*REFUSALS, TypeError) as error:
        raise GameError(f"{name}: {_reason(error)}") from None
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
    """What goes wrong in the first moves of a game; "" if nothing does."""
    try:
        game, original = _build(name)
    except Exception as error:
        refused = isinstance(error, (*REFUSALS, TypeError)) or _raised_by_openspiel(error)
        return _reason(error) if refused else ""  # else who loads it sees where it went wrong
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
        if _is_openspiels(original) or isinstance(error, MemoryError):
            return _reason(error)
        # A Python game of somebody's: whoever plays it says where it went wrong.
    return ""


def _unusual(given: dict[str, Any]) -> list[str]:
    """The parameters, of a game or of games inside it, that are neither switches nor their
    defaults, each as "players=99 (by default 2)". A default of 0 counts as none: such often are.
    """
    (kind,) = (k for k in pyspiel.registered_games() if k.short_name == given["name"])
    found = []
    for key, value in given.items():
        default = kind.parameter_specification.get(key)
        if isinstance(value, dict):
            found += _unusual(value)
        elif key != "name" and not isinstance(value, bool) and not (default and value == default):
            found.append(f"{key}={value}" + (f" (by default {default})" if default else ""))
    return found


def _check_starts(name: str, given: dict[str, Any]) -> None:
    """Refuse histories of `start_at`, of a game or of games inside it, that are not legal."""
    for value in given.values():
        if isinstance(value, dict):
            _check_starts(name, value)
    if given["name"] == "start_at":
        _check_start(name, given)


def _check_start(name: str, given: dict[str, Any]) -> None:
    """Refuse an illegal history: OpenSpiel plays on from there, in some cases for ever."""
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
            fix = did_you_mean(key, known) if known else "it takes none"
            raise GameError(f"{short} has no parameter {key!r}: {fix}")
        if isinstance(value, dict):
            _check_parameters(value)


def _is_openspiels(game: Any) -> bool:
    return type(game).__module__.split(".")[0] in OPENSPIEL


def _raised_by_openspiel(error: Exception) -> bool:
    """Whether it was OpenSpiel's code that we called, and not that of a user's Python game."""
    frames = traceback.walk_tb(error.__traceback__)
    called = [frame.f_globals["__name__"].split(".")[0] for frame, _ in frames]
    return next((name for name in called if name != "games"), "pyspiel") in OPENSPIEL


def _is_shipped(game: Any) -> bool:
    """Whether OpenSpiel's version number says all about the game's rules.

    A user's own Python game may change between two runs under the same name; so may a game that
    wraps one.
    """
    wraps_another = any(isinstance(value, dict) for value in game.get_parameters().values())
    return _is_openspiels(game) and not wraps_another


def _reason(error: Exception) -> str:
    """OpenSpiel's message without the place in its source."""
    text = one_line(error)
    # What C++ says who asks for a vector of a billion, or of -1.
    if isinstance(error, MemoryError) or re.search(r"std::|vector::_M|^vector::|array::", text):
        return trial.TOO_MUCH_MEMORY
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
