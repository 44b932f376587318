"""Atomic files of arrays: written completely or not at all.

Files are written under a temporary name and renamed, so that a reader never sees half of one. A
digest over the content comes first: a file that was cut or changed is noticed before it is parsed.
"""

from __future__ import annotations

import hashlib
import io
import os
import zipfile
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from games.common.errors import InputError

DIGEST = "digest"


def write_atomically(path: Path, content: bytes) -> None:
    """Write `content` to `path` atomically, and flush it to the disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # The process number keeps two writers of one file apart; the last rename wins.
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise


def write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write named arrays as an `.npz` with a digest of their names, types, shapes and bytes."""
    buffer = io.BytesIO()
    stored: dict[str, Any] = {**arrays, DIGEST: _digest(arrays)}
    np.savez(buffer, **stored)
    write_atomically(path, buffer.getvalue())


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Read a file written by `write_arrays`.

    Raises:
        InputError: there is no such file, or it is cut, changed, or of another kind.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        stored = arrays.pop(DIGEST)
        whole = np.array_equal(stored, _digest(arrays))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, RuntimeError):
        # RuntimeError is zipfile's for a changed header that names encryption or, as
        # one of its subclasses, a compression that zipfile does not know.
        whole = False
    if not whole:
        raise InputError(f"{path} is damaged or was not written by schelling")
    return arrays


def _digest(arrays: Mapping[str, NDArray[Any]]) -> NDArray[np.uint8]:
    total = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        total.update(f"{name} {array.dtype.str} {array.shape}".encode())
        total.update(array.tobytes())
    return np.frombuffer(total.digest(), dtype=np.uint8)


def digest_of_folder(folder: Path) -> str:
    """SHA-256 of a folder's content: the names of its files, below it too, and their bytes.

    Of a link the target counts, so that a folder is not taken for one with links in it.
    """
    total = hashlib.sha256()
    for file in sorted(p for p in folder.rglob("*") if p.is_symlink() or not p.is_dir()):
        if file.is_symlink():
            total.update(f"{file.relative_to(folder).as_posix()} -> {file.readlink()}\n".encode())
            continue
        content = hashlib.sha256(file.read_bytes()).hexdigest()
        total.update(f"{file.relative_to(folder).as_posix()} {content}\n".encode())
    return total.hexdigest()


def pack_strings(strings: Iterable[str]) -> NDArray[np.uint8]:
    """Strings as one array of bytes, each ended by a zero byte (which is escaped inside)."""
    text = "".join(s.replace("\\", "\\\\").replace("\0", "\\0") + "\0" for s in strings)
    return np.frombuffer(text.encode("utf-8", "surrogateescape"), dtype=np.uint8)


def unpack_strings(packed: NDArray[np.uint8]) -> list[str]:
    """The inverse of `pack_strings`."""
    strings = packed.tobytes().decode("utf-8", "surrogateescape").split("\0")[:-1]
    if any("\\" in s for s in strings):
        strings = [_unescape(s) for s in strings]
    return strings


def _unescape(text: str) -> str:
    return "\\".join(part.replace("\\0", "\0") for part in text.split("\\\\"))
