"""Compression of arrays with few distinct values, stored as byte codes.

A large game pays the same few amounts at millions of leaves, with the same few probabilities of
chance: a byte each instead of eight.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

_MOST = 4096  # distinct numbers
Codes = tuple[NDArray[np.float64], NDArray[Any]]
T = TypeVar("T")


def coded(*names: str) -> Callable[[type[T]], type[T]]:
    """Keep these fields of a dataclass, arrays of floats, as codes where that halves them.

    Reading such a field gives the array, to the last bit (a zero loses its sign); where it is kept
    as codes, in memory of its own, made at each reading: read it once, not in a loop.
    """

    def decorate(cls: type[T]) -> type[T]:
        for name in names:
            setattr(cls, name, _Coded(name))
        return cls

    return decorate


class _Coded:
    """The descriptor of such a field: what is kept stands in the instance, an underscore before."""

    def __init__(self, name: str) -> None:
        self._kept = f"_{name}"

    def __get__(self, instance: object | None, owner: Any = None) -> Any:
        if instance is None:
            return self
        kept = instance.__dict__[self._kept]
        return kept if isinstance(kept, np.ndarray) else np.take(*kept)

    def __set__(self, instance: object, value: NDArray[np.float64]) -> None:
        instance.__dict__[self._kept] = _codes(np.asarray(value))


def _codes(
    values: NDArray[np.float64],
) -> NDArray[np.float64] | Codes:
    """The distinct numbers and where each stands; or the values themselves, where they are many."""
    flat = values.ravel()
    if flat.dtype != np.float64 or not len(flat):
        return values
    table, missing, code = np.empty(0), flat, np.empty(0, dtype=np.intp)
    while len(missing):  # a sample of what is missing, until nothing is
        sample = missing[:: 1 + len(missing) // _MOST]
        table = np.unique(np.concatenate([table, sample]))
        if len(table) > min(_MOST, len(flat) // 4) or np.isnan(table[-1]):
            return values
        code = np.searchsorted(table, flat)
        missing = flat[table[np.minimum(code, len(table) - 1)] != flat]
    small = np.uint8 if len(table) <= 256 else np.uint16
    return table, code.astype(small).reshape(values.shape)
