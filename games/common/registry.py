"""Registries: methods, solvers, simulators, rules, references and kinds of scenarios by name.

A registry maps a name to "module:attribute", which is imported when it is first asked for. What a
user adds is registered by a decorator, or named as "module:attribute" without being registered.
Modules named in the environment variable `SCHELLING_IMPORT` (separated by commas) are imported
before the first look, so that commands and workers know what is registered there.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from typing import Any, Generic, TypeVar

from games.common.errors import InputError, did_you_mean, one_line

T = TypeVar("T")
PLUGINS = "SCHELLING_IMPORT"
PATH = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")
_imported: set[str] = set()


class Registry(Mapping[str, str | T], Generic[T]):
    """A mapping from names to lazily imported objects."""

    def __init__(self, kind: str, entries: Mapping[str, str] | None = None) -> None:
        """
        Args:
            kind: what is registered, in one or two words, for messages: "learning method".
            entries: "module:attribute" by name.
        """
        self.kind = kind
        self._entries: dict[str, str | T] = dict(entries or {})

    def __getitem__(self, name: str) -> str | T:
        import_plugins()
        return self._entries[name]

    def __iter__(self) -> Iterator[str]:
        import_plugins()
        return iter(self._entries)

    def __len__(self) -> int:
        import_plugins()
        return len(self._entries)

    def register(self, name: str) -> Callable[[T], T]:
        """A decorator that gives a class or a function a name.

        Raises:
            InputError: the name is already taken.
        """

        def add(thing: T) -> T:
            known = self._entries.get(name)
            if known is not None and _described(known) != _described(thing):
                raise InputError(f"{self.kind} {name!r} exists already: choose another name")
            self._entries[name] = thing
            return thing

        return add

    def load(self, name: Any) -> T:
        """The object of a name, or of a "module:attribute".

        Raises:
            InputError: an unknown name, or a module or attribute that is not there; one line, with
                the nearest known names.
        """
        import_plugins()
        found = self._entries.get(name) if isinstance(name, str) else None
        if found is None:
            if not isinstance(name, str) or not PATH.fullmatch(name):
                known = did_you_mean(str(name), self._entries)
                raise InputError(f"unknown {self.kind} {name!r}: {known}")
            found = name
        return attribute_of(found, self.kind) if isinstance(found, str) else found


def attribute_of(path: str, kind: str) -> Any:
    """Import the object of a "module:attribute"; InputError if there is none."""
    module, _, attribute = path.partition(":")
    try:
        found = import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise  # a package that it needs is missing
        raise InputError(f"{kind} {path}: there is no module {error.name!r}") from None
    if not hasattr(found, attribute):
        near = did_you_mean(attribute, [n for n in vars(found) if not n.startswith("_")])
        raise InputError(f"{kind} {path}: {module} has no {attribute}: {near}")
    return getattr(found, attribute)


def import_plugins() -> None:
    """Import what `SCHELLING_IMPORT` names, once each; InputError if that fails."""
    for module in filter(None, map(str.strip, os.environ.get(PLUGINS, "").split(","))):
        if module in _imported:
            continue
        _imported.add(module)  # before: what it imports may look into a registry
        try:
            import_module(module)
        except Exception as error:  # user-defined code
            raise InputError(f"{PLUGINS}={module}: {one_line(error)}") from None


def _described(thing: Any) -> str:
    """The same for a class and for the class of that name when its module is run again."""
    if isinstance(thing, str):
        return thing
    return f"{getattr(thing, '__module__', '')}:{getattr(thing, '__qualname__', repr(thing))}"
