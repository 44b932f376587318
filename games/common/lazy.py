"""Package attributes that are imported on first use, since their modules load slowly."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module


def later(package: str, where: Mapping[str, str]) -> Callable[[str], object]:
    """A package's `__getattr__`: names and the modules that they stand in."""

    def find(name: str) -> object:
        if name not in where:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(where[name]), name)

    return find
