"""One call that finds any game: by OpenSpiel's name, or in a file."""

from __future__ import annotations

from pathlib import Path

from games.errors import GameError, InputError
from games.game import Game
from games.openspiel import load_openspiel

SUFFIXES = (".efg", ".nfg", ".csv", ".npz", ".npy")


def load(name: str) -> Game:
    """A game by its OpenSpiel string, such as ``"leduc_poker(players=3)"``, or by its file.

    Files: `.efg` and `.nfg` of Gambit's; payoff tables in `.csv` (`games.tables.read_csv`) and
    `.npz` (`read_npz`). C++ games and Python games of OpenSpiel's work alike; a Python game of your
    own counts as soon as it is registered with OpenSpiel.

    Raises:
        GameError: an unknown game or parameter, or a value that the game refuses; one line, with
            the nearest known names.
        InputError: a file that is missing or malformed.
    """
    name = str(name).strip()
    suffix = Path(name).suffix.lower()
    if not name:
        raise GameError(
            "a game is given by its OpenSpiel string, such as kuhn_poker, or by a file "
            f"({', '.join(SUFFIXES)})"
        )
    if suffix not in SUFFIXES or name.endswith(")"):
        return load_openspiel(name)
    path = Path(name)
    if not path.is_file():
        raise InputError(f"{name}: {'a folder, not a file' if path.is_dir() else 'no such file'}")
    if suffix in (".efg", ".nfg"):
        from games import gambit

        return gambit.read_efg(path, name) if suffix == ".efg" else gambit.read_nfg(path, name)
    from games import tables

    return tables.read_csv(path, name) if suffix == ".csv" else tables.read_npz(path, name)
