"""Compiled games on disk, by game string and OpenSpiel version.

In `$SCHELLING_CACHE`, else `$XDG_CACHE_HOME/schelling`, else `~/.cache/schelling`. A file that is
damaged, or that fails the invariants of a sequence form, counts as absent and is written anew. A
folder that cannot be written to costs time and nothing else.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np

from games.common.errors import InputError
from games.common.storage import pack_strings, read_arrays, unpack_strings, write_arrays
from games.finite.sequence_form import SequenceForm, Treeplex, check

FORMAT = 3  # raise it when the order or the meaning of the arrays changes
_LEAVES = ("leaf_sequence", "leaf_utility", "leaf_chance")
_TREEPLEX = ("parent_sequence", "first_sequence", "num_actions", "actions")


def folder() -> Path:
    """Where compiled games are kept."""
    if given := os.environ.get("SCHELLING_CACHE"):
        return Path(given)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "schelling"


def path(key: str) -> Path:
    """The file of the game whose canonical OpenSpiel string is `key`."""
    identity = f"{FORMAT}\n{version('open_spiel')}\n{key}"
    return folder() / f"{hashlib.sha256(identity.encode()).hexdigest()[:32]}.npz"


def load(key: str, name: str) -> SequenceForm | None:
    """The stored form of a game under its requested name, or None if there is no intact one."""
    try:
        arrays = read_arrays(path(key))
        players = tuple(
            Treeplex(
                information_sets=tuple(unpack_strings(arrays[f"information_sets_{i}"])),
                labels=tuple(map(sys.intern, unpack_strings(arrays[f"labels_{i}"]))),
                **{field: arrays[f"{field}_{i}"] for field in _TREEPLEX},
            )
            for i in range(int(arrays["num_players"]))
        )
        form = SequenceForm(
            game=name,
            players=players,
            **{field: arrays[field] for field in _LEAVES},
            num_histories=int(arrays["num_histories"]),
            num_terminals=int(arrays["num_terminals"]),
        )
        check(form)
    except (InputError, KeyError, ValueError, TypeError):
        return None
    return form


def store(key: str, form: SequenceForm) -> None:
    """Store a compiled game; silently does nothing if the folder is not writable."""
    arrays = {
        name: np.asarray(getattr(form, name))
        for name in ("num_players", *_LEAVES, "num_histories", "num_terminals")
    }
    for i, player in enumerate(form.players):
        arrays[f"information_sets_{i}"] = pack_strings(player.information_sets)
        arrays[f"labels_{i}"] = pack_strings(player.labels)
        arrays |= {f"{field}_{i}": getattr(player, field) for field in _TREEPLEX}
    with contextlib.suppress(OSError):
        write_arrays(path(key), arrays)
