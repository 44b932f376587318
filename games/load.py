"""One call that finds any game: by OpenSpiel's name, or in a file."""

from __future__ import annotations

from pathlib import Path

from games.common.errors import GameError, InputError
from games.finite.game import Game
from games.finite.openspiel import load_openspiel

SUFFIXES = (".efg", ".nfg", ".csv", ".npz", ".npy")


def load(name: str) -> Game:
    """A game by its OpenSpiel string, such as ``"leduc_poker(players=3)"``, or by its file.

    Files: `.efg` and `.nfg` of Gambit's; payoff tables in `.csv` (`games.finite.tables.read_csv`)
    and `.npz` (`read_npz`). C++ games and Python games of OpenSpiel's work alike; a Python game of
    your own counts as soon as it is registered with OpenSpiel.

    Raises:
        GameError: an unknown game or parameter, or a value that the game refuses; one line, with
            the nearest known names.
        InputError: a file that is missing or malformed, or whose name ends in no known suffix.
    """
    name = str(name).strip()
    if not name:
        raise GameError(
            "a game is given by its OpenSpiel string, such as kuhn_poker, or by a file "
            f"({', '.join(SUFFIXES)})"
        )
    path, suffix = Path(name), Path(name).suffix.lower()
    if not names_a_file(name):
        if "(" not in name and (suffix or path.name != name):  # no game of OpenSpiel's is called so
            kind = f"unknown suffix {suffix}" if suffix else "a file without a suffix"
            raise InputError(f"{name}: {kind}; games are read from {', '.join(SUFFIXES)}")
        return load_openspiel(name)
    if not path.is_file():
        raise InputError(f"{name}: {'a folder, not a file' if path.is_dir() else 'no such file'}")
    if suffix in (".efg", ".nfg"):
        from games.finite.gambit import reading as gambit

        return gambit.read_efg(path, name) if suffix == ".efg" else gambit.read_nfg(path, name)
    from games.finite import tables

    return tables.read_csv(path, name) if suffix == ".csv" else tables.read_npz(path, name)


def names_a_file(name: str) -> bool:
    """Whether `load` takes this name for a file: by its suffix, in letters of either case."""
    return Path(name.strip()).suffix.lower() in SUFFIXES and not name.strip().endswith(")")
