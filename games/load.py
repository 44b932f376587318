"""`load`: from a name to a game of OpenSpiel, PettingZoo, VMAS, this project, a user, or a file."""

from __future__ import annotations

import os
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from games.common.errors import GameError, InputError, did_you_mean
from games.common.extras import learning
from games.common.registry import attribute_of
from games.finite.game import Game
from games.finite.openspiel import list_games, load_openspiel
from games.finite.playable import Loaded, Playable
from games.maker import SIMULATOR
from games.names import PETTINGZOO, SIMULATORS, SUFFIXES, VMAS, altered, names_a_file, parse

NEEDED = "games that learners play need torch"


def load(game: Any) -> Loaded:
    """Load a game by its name, see `games.names`; games and simulators are passed through.

    Files: `.efg` and `.nfg` of Gambit's; payoff tables in `.csv` (`games.finite.tables.read_csv`)
    and `.npz` (`read_npz`). C++ games and Python games of OpenSpiel's work alike; a Python game of
    your own counts as soon as it is registered with OpenSpiel, and a simulator of your own if it is
    registered by `games.register_simulator` or named as `module:attribute`.

    Returns:
        what has `name`, `num_players`, `sequence_form()`, `vector(num_envs)`, `simulator()`,
        `reference()` and `renderer()`; what a game cannot do, it refuses in one line.

    Raises:
        GameError: an unknown game of OpenSpiel's, or parameters that it refuses; one line, with the
            nearest known names.
        InputError: an unknown simulator, module, attribute or parameter; a file that is missing or
            malformed, or whose name ends in no known suffix; something else than a game.
    """
    if not isinstance(game, str | os.PathLike):
        return _of_object(game)
    name = os.fspath(game).strip()
    if not name:
        raise GameError(
            "a game is given by its OpenSpiel string, such as kuhn_poker, or by a file "
            f"({', '.join(SUFFIXES)})"
        )
    if names_a_file(name):
        return _read(name)
    if "(" not in name and ":" not in name and Path(name).name != name:
        _refuse_file(name)
    target, given = parse(name)
    if target.startswith(PETTINGZOO):
        with learning(f"{name}: {NEEDED}"):
            found = attribute_of("games.adapters.pettingzoo.game:PettingZooGame", "adapter")
            return found.of_module(name)
    if target.startswith(VMAS):
        with learning(f"{name} is a scenario of VMAS"):
            return attribute_of("games.adapters.vmas.game:load", "adapter")(name)
    if target in SIMULATORS or ":" in target:
        with learning(f"{name}: {NEEDED}"):
            return _made(name, target, given)
    if "." in target:
        _refuse_dotted(name, target)
    return _of_openspiel(name, target)


def vector(game: Any, num_envs: int, device: Any = "cpu") -> Any:
    """A vector of B copies of a game, ready to be reset.

    Args:
        game: a name, see `games.names`; or a game or a simulator.
        num_envs: B.
        device: where a simulator's tensors live; other games run on the CPU.

    Raises:
        InputError: as `load`; games that cannot be played by learners. One line, with the fix.
    """
    found = load(game)
    with learning(f"{found.name}: {NEEDED}"):
        return found.vector(num_envs, device)


def simulator(game: Any) -> Any:
    """Load a simulator by name: a shipped, registered or user-defined one (`module:attribute`).

    Raises:
        InputError: an unknown simulator or parameter; a value that does not fit; another game.
    """
    if isinstance(game, str):
        target, _ = parse(game.strip())
        if target not in SIMULATORS and ":" not in target:
            raise InputError(f"unknown simulator {target!r}: {did_you_mean(target, SIMULATORS)}")
    return load(game).simulator()


def held_out(name: str) -> str:
    """The game in which a policy is judged that was trained in this one: what is new in it is new.

    Of a game that plays recorded demand again and again, the same with demand that nobody trained
    on. A simulator, or what makes one, says it by `held_out`, values of its parameters by name:
    they replace what the name gives.
    """
    target, given = parse(name.strip())
    if not given or target not in SIMULATORS:
        return name
    anew = getattr(SIMULATORS.load(target), "held_out", {})
    return altered(name, {key: value for key, value in anew.items() if key in given})


def _made(name: str, target: str, given: dict[str, Any]) -> Loaded:
    """The game of a simulator's name, or of `module:attribute`, which is made to see what it is."""
    making = attribute_of("games.making:make_game", "maker")
    known = target in SIMULATORS
    make = (
        SIMULATORS.load(target) if known else attribute_of("games.making:maker_at", "maker")(target)
    )
    made = making(make, given, name)
    if isinstance(made, attribute_of("games.simulators.simulator:Simulator", "protocol")):
        return attribute_of("games.adapters.simulator:SimulatorGame", "adapter")(name, made)
    if known or not hasattr(made, "possible_agents"):
        raise InputError(
            f"{name}: a {type(made).__name__} is neither a simulator ({', '.join(SIMULATOR)}) "
            "nor a PettingZoo environment"
        )
    kind = attribute_of("games.adapters.pettingzoo.game:PettingZooGame", "adapter")
    return kind(name, lambda: making(make, given, name), target)


def _of_object(game: Any) -> Loaded:
    """A game that is one already, or a simulator; InputError for anything else."""
    if isinstance(game, Playable) or all(hasattr(game, one) for one in ("vector", "sequence_form")):
        return game
    if all(hasattr(game, one) for one in SIMULATOR):
        kind = attribute_of("games.adapters.simulator:SimulatorGame", "adapter")
        return kind(game.spec.name, game)
    if isinstance(game, Game):
        return attribute_of("games.adapters.tree:TreeGame", "adapter")(game)
    raise InputError(
        f"a {type(game).__name__} is not a game: give a name, a finite game (root, sequence_form) "
        f"or a simulator ({', '.join(SIMULATOR)})"
    )


def _of_openspiel(name: str, target: str) -> Loaded:
    """OpenSpiel's game; GameError, with names of simulators among the nearest, if it has none."""
    import pyspiel

    if target not in pyspiel.registered_names():
        known = [row["game"] for row in list_games()]  # which registers games in Python
        if target not in pyspiel.registered_names():
            nearest = did_you_mean(target, [*SIMULATORS, *known])
            raise GameError(
                f"unknown game {target!r}: {nearest} (`schelling list games` shows all)"
            )
    return load_openspiel(name)


def _read(name: str) -> Loaded:
    """The game in a file."""
    path, suffix = Path(name), Path(name).suffix.lower()
    if not path.is_file():
        raise InputError(f"{name}: {'a folder, not a file' if path.is_dir() else 'no such file'}")
    if suffix in (".efg", ".nfg"):
        from games.finite.gambit import reading as gambit

        return gambit.read_efg(path, name) if suffix == ".efg" else gambit.read_nfg(path, name)
    from games.finite import tables

    return tables.read_csv(path, name) if suffix == ".csv" else tables.read_npz(path, name)


def _refuse_dotted(name: str, target: str) -> None:
    """Raises InputError for a name with a dot that is neither a simulator's nor a file's."""
    if get_close_matches(target, SIMULATORS) or target.partition(".")[0] in _families():
        raise InputError(f"unknown simulator {target!r}: {did_you_mean(target, SIMULATORS)}")
    _refuse_file(name)


def _families() -> set[str]:
    """What stands before the dot in names of simulators."""
    return {name.partition(".")[0] for name in SIMULATORS if "." in name}


def _refuse_file(name: str) -> None:
    """Raises InputError for a name that may be a file's, or a module's."""
    suffix = Path(name).suffix
    kind = f"unknown suffix {suffix}" if suffix else "a file without a suffix"
    module = ""
    if "/" not in name:
        module = (
            f"; write {PETTINGZOO}{name} for a module of PettingZoo's, module:attribute for a game "
            "of your own"
        )
    raise InputError(f"{name}: {kind}; games are read from {', '.join(SUFFIXES)}{module}")
