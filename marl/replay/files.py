"""A replay on disk: files of some thousand rows each, of which only those that changed are written.

A checkpoint is a folder of its own. Files of rows that have not changed since the last one are hard
links to that one's, so that the time a checkpoint takes depends on what was played since then, not
on the size of the replay.

about.json       what else there is to know, and how often each file's rows have changed
rows-NNNNNN.npz  the columns of `CHUNK` rows, their edges, and memories at the starts among them
rest.npz         the rows that wait for what comes next; starts; priorities
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import torch
from torch import Tensor

from games.common.errors import InputError
from marl.replay.replay import Replay
from marl.replay.ring import CHUNK

ABOUT, REST = "about.json", "rest.npz"
NUMBERS = ("written", "newest", "start_head")
EDGES = ("edge_count", "edge_ends", "edge_features")


def save(replay: Replay, folder: Path, before: Path | None = None) -> None:
    """Write a replay into a new folder.

    Args:
        before: the folder that it was last saved to, or restored from, which may be gone.
    """
    folder.mkdir(parents=True)
    ring = replay.ring
    there = _versions(replay, before)
    versions = ring.versions.tolist()
    for k, rows in enumerate(_chunks(replay)):
        same = there[k : k + 1] == [versions[k]]
        if not (same and before and _linked(before / _file(k), folder / _file(k))):
            _write(folder / _file(k), _chunk(replay, rows))
    _write(folder / REST, _rest(replay))
    replay.saved = uuid4().hex
    about = {
        "name": replay.saved,
        **_settings(replay),
        "versions": versions,
        "highest": replay.highest,
        **{key: getattr(ring, key) for key in NUMBERS},
    }
    (folder / ABOUT).write_text(json.dumps(about))


def restore(replay: Replay, folder: Path) -> None:
    """Fill a replay of the same game and settings with what `save` wrote.

    Raises:
        InputError: it was saved with other settings.
        Exception: a file is missing or damaged; the replay is of no use then.
    """
    ring = replay.ring
    about = json.loads((folder / ABOUT).read_text())
    for key, value in _settings(replay).items():
        if about[key] != value:
            raise InputError(
                f"{folder} was made with {key} = {about[key]!r}, not {value!r}: put that back, or "
                "start a new run"
            )
    for key in NUMBERS:
        setattr(ring, key, about[key])
    rest = _read(folder / REST)
    ring.tail, ring.stream, ring.starts = rest["tail"], rest["stream"], rest["starts"]
    edges = []
    for k, rows in enumerate(_chunks(replay)):
        found = _read(folder / _file(k))
        for key, column in ring.columns.items():
            column[rows] = found[key]
        if "slots" in found:
            ring.memory[found["slots"]] = found["memory"]
        if ring.edges is not None:
            edges.append([found[key] for key in EDGES])
    if ring.edges is not None and edges:
        count, ends, features = (torch.cat(each) for each in zip(*edges, strict=True))
        ring.edges.fill(ring.size, ring.head, count, ends, features)
    if replay.tree is not None:
        replay.tree.put(torch.arange(ring.size), rest["priorities"])
    replay.highest, replay.saved = about["highest"], about["name"]
    ring.versions = torch.tensor(about["versions"])
    replay.forget_units()


def _settings(replay: Replay) -> dict[str, Any]:
    """What a replay's files depend on, beside the game."""
    draws = replay.draws
    return {
        "method.replay": replay.ring.capacity,
        **{k: v for k, v in asdict(draws).items() if k in ("sequence_length", "memory_width")},
        "prioritised": bool(draws.priority),
    }


def _file(chunk: int) -> str:
    return f"rows-{chunk:06d}.npz"


def _chunks(replay: Replay) -> list[slice]:
    """The rows of each file."""
    size = replay.ring.size
    return [slice(low, min(low + CHUNK, size)) for low in range(0, size, CHUNK)]


def _chunk(replay: Replay, rows: slice) -> dict[str, Tensor]:
    ring = replay.ring
    found = {key: column[rows] for key, column in ring.columns.items()}
    if ring.edges is not None:
        listed = ring.edges.listed(torch.arange(rows.start, rows.stop))
        found |= dict(zip(EDGES, listed, strict=True))
    if len(ring.starts):
        slots = (ring.starts >= ring.written - ring.size).nonzero()[:, 0]
        place = ring.starts[slots] % ring.capacity
        slots = slots[(place >= rows.start) & (place < rows.stop)]
        found |= {"slots": slots, "memory": ring.memory[slots]}
    return found


def _rest(replay: Replay) -> dict[str, Tensor]:
    """What is written anew every time: little beside the rows."""
    ring = replay.ring
    found = {"tail": ring.tail, "stream": ring.stream, "starts": ring.starts}
    if replay.tree is not None:
        found["priorities"] = replay.tree[torch.arange(ring.size)]
    return found


def _versions(replay: Replay, before: Path | None) -> list[int]:
    """The versions of the files in a folder, if they are what this replay saved or read last."""
    try:
        about: Any = {} if before is None else json.loads((before / ABOUT).read_text())
    except (OSError, ValueError):
        return []
    return about["versions"] if about.get("name", "") == replay.saved != "" else []


def _linked(there: Path, here: Path) -> bool:
    """Link to a file, or copy it where that cannot be done; False if it is gone."""
    try:
        os.link(there, here)
    except FileNotFoundError:
        return False
    except OSError:
        shutil.copyfile(there, here)
    return True


def _write(path: Path, tensors: Mapping[str, Tensor]) -> None:
    arrays: dict[str, Any] = {name: each.numpy() for name, each in tensors.items()}
    np.savez(path, **arrays)


def _read(path: Path) -> dict[str, Tensor]:
    with np.load(path, allow_pickle=False) as file:
        return {name: torch.from_numpy(file[name]) for name in file.files}
