"""A replay on disk: files of some thousand rows each, of which only those that changed are written.

A checkpoint is a folder of its own. Files of rows that have not changed since the last one are hard
links to that one's, so that the time a checkpoint takes depends on what was played since then, not
on the size of the replay.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from marl.replay.replay import Replay
from marl.replay.ring import CHUNK

ABOUT, REST = "about.json", "rest.npz"
NUMBERS = ("head", "size", "newest", "start_head")


def save(replay: Replay, folder: Path, before: Path) -> None:
    """Write a replay into a new folder.

    Args:
        before: the folder of the last checkpoint, which may not be there.
    """
    folder.mkdir(parents=True)
    ring = replay.ring
    there = _versions(replay, before)
    versions = ring.versions.tolist()
    for k in range(-(-ring.size // CHUNK)):
        name = f"rows-{k:06d}.npz"
        if there[k : k + 1] == [versions[k]] and _linked(before / name, folder / name):
            continue
        rows = slice(k * CHUNK, min((k + 1) * CHUNK, ring.size))
        _write(folder / name, {key: each[rows] for key, each in ring.columns.items()})
    _write(folder / REST, _rest(replay))
    about = {
        "replay": replay.name,
        "versions": versions,
        "highest": replay.highest,
        **{key: getattr(ring, key) for key in NUMBERS},
    }
    if ring.edges is not None:
        about["edges"] = [ring.edges.head, ring.edges.used]
    (folder / ABOUT).write_text(json.dumps(about))


def restore(replay: Replay, folder: Path) -> None:
    """Fill a new replay of the same game and settings with what `save` wrote."""
    ring = replay.ring
    about = json.loads((folder / ABOUT).read_text())
    for key in NUMBERS:
        setattr(ring, key, about[key])
    for k in range(-(-ring.size // CHUNK)):
        rows = slice(k * CHUNK, min((k + 1) * CHUNK, ring.size))
        for key, each in _read(folder / f"rows-{k:06d}.npz").items():
            ring.columns[key][rows] = each
    rest = _read(folder / REST)
    ring.tail, ring.stream, replay.rows = rest["tail"], rest["stream"], rest["rows"]
    ring.starts, ring.memory = rest["starts"], rest["memory"]
    if ring.edges is not None:
        ring.edges.head, ring.edges.used = about["edges"]
        for key in EDGES:
            setattr(ring.edges, key, rest[f"edges.{key}"])
    if replay.tree is not None:
        replay.tree.nodes = rest["tree"]
    replay.highest = about["highest"]
    replay.forget_units()


EDGES = ("start", "count", "ends", "features")


def _rest(replay: Replay) -> dict[str, Tensor]:
    """What is written anew every time: little, but for edges and priorities."""
    ring = replay.ring
    found = {
        "tail": ring.tail, "stream": ring.stream, "rows": replay.rows,
        "starts": ring.starts, "memory": ring.memory,
    }  # fmt: skip
    if ring.edges is not None:
        found |= {f"edges.{key}": getattr(ring.edges, key) for key in EDGES}
    if replay.tree is not None:
        found["tree"] = replay.tree.nodes
    return found


def _versions(replay: Replay, before: Path) -> list[int]:
    """The versions of the files in a folder of the same replay; none of another's."""
    try:
        about: Any = json.loads((before / ABOUT).read_text())
    except (OSError, ValueError):
        return []
    return about["versions"] if about.get("replay") == replay.name else []


def _linked(there: Path, here: Path) -> bool:
    """Link to a file, or copy it where that cannot be done; False if it is gone."""
    try:
        os.link(there, here)
    except FileNotFoundError:
        return False
    except OSError:
        shutil.copyfile(there, here)
    return True


def _write(path: Path, tensors: dict[str, Tensor]) -> None:
    arrays: dict[str, Any] = {name: each.numpy() for name, each in tensors.items()}
    np.savez(path, **arrays)


def _read(path: Path) -> dict[str, Tensor]:
    with np.load(path, allow_pickle=False) as file:
        return {name: torch.from_numpy(file[name]) for name in file.files}
