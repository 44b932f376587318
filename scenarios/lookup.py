"""Scenarios by name or from TOML files: find, parse, change by settings, list."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from games.common.errors import InputError, did_you_mean, one_line
from games.common.registry import PATH
from games.common.settings import checked
from scenarios.experiment import Experiment
from scenarios.kinds import KINDS, name_of

LIBRARY = files("scenarios") / "library"


def find(name: str, settings: Sequence[str] = (), **changes: Any) -> Any:
    """Load a shipped scenario by name, or your own by the path of its TOML file.

    What comes back is of its kind: a solving `Scenario`, a `TrainingScenario`, ...

    Args:
        name: such as "leduc" or "experiments/mine.toml".
        settings: "key=value" with a dotted key; the value as in TOML, or a bare word.
        changes: top-level keys to replace, where not None.

    Raises:
        InputError: no such scenario, malformed TOML, an unknown key, or a value that does not fit.
    """
    path = Path(name)
    if path.suffix == ".toml" or os.sep in name:
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "not a text file"
            raise InputError(f"cannot read scenario {name}: {reason.lower()}") from None
    else:
        entry = LIBRARY / f"{name}.toml"
        if name not in _library_names():
            raise InputError(
                f"unknown scenario {name!r}: {did_you_mean(name, _library_names())} "
                "(give your own file by its path, ending in .toml)"
            )
        text = entry.read_text(encoding="utf-8")
    return parse(text, name, settings, **changes)


def parse(text: str, source: str, settings: Sequence[str] = (), **changes: Any) -> Any:
    """Read a scenario from the text of a TOML file; see `find`."""
    try:
        data = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{source} is not valid TOML: {one_line(error)}") from None
    if not data.get("name"):
        data["name"] = re.sub(r"[^\w.-]+", "-", Path(source).stem).strip(".-")[:80] or "run"
    data |= {key: value for key, value in changes.items() if value is not None}
    for setting in settings:
        _set(data, setting)
    return checked(_model(data, source), data, source)


def list_scenarios() -> list[dict[str, str]]:
    """The shipped scenarios, a row each: scenario, kind (solve, train or play), game, methods (or
    who plays), description."""
    rows = []
    for name in _library_names():  # as they stand: to check them would load torch
        data = tomllib.loads((LIBRARY / f"{name}.toml").read_text(encoding="utf-8"))
        kind = str(name_of(data))
        rows.append(
            {
                "scenario": name,
                "kind": kind,
                "game": data["game"],
                "methods": ", ".join(KINDS.load(kind).contents(data)),
                "description": data.get("description", ""),
            }
        )
    return rows


def _model(data: Mapping[str, Any], source: str) -> type[Experiment]:
    """The pydantic model that a file is read as, by its kind."""
    name = name_of(data)
    if name is None:
        method = data["method"]
        method = method["name"] if isinstance(method, Mapping) else method
        if isinstance(method, str) and PATH.fullmatch(method):
            raise InputError(
                f"{source}: method {method} is a subclass of neither marl.tabular.Method nor "
                "marl.LearningMethod"
            )
        every = [known for kind in KINDS for known in KINDS.load(kind).methods]
        raise InputError(f"{source}: unknown method {method!r}: {did_you_mean(method, every)}")
    try:
        kind = KINDS.load(name)
    except InputError as error:
        raise InputError(f"{source}: {error}") from None
    return kind.model()


def _library_names() -> list[str]:
    return sorted(e.name.removesuffix(".toml") for e in LIBRARY.iterdir() if e.name[-5:] == ".toml")


def _set(data: dict[str, Any], setting: str) -> None:
    """Set a dotted key of nested tables, in place."""
    key, equals, text = setting.partition("=")
    if not equals or not all(key.strip().split(".")):
        raise InputError(f"--set {setting}: write key=value, such as --set stop.iterations=500")
    set_key(data, key.strip(), value_of(text.strip()), f"--set {setting}")


def set_key(data: dict[str, Any], key: str, value: Any, source: str) -> None:
    """Set a dotted key of nested tables, in place; InputError if part of it is a value."""
    parts = key.split(".")
    table = data
    for part in parts[:-1]:
        inner = table.setdefault(part, {})
        if isinstance(inner, str) and (part == "method" or parts[0] == "compare"):
            inner = table[part] = {"name": inner}  # method = "cfr+" and a parameter of it
        if not isinstance(inner, dict):
            raise InputError(f"{source}: {part} is a value, not a table")
        table = inner
    table[parts[-1]] = value


def value_of(text: str) -> Any:
    """Read a value as TOML; a bare word is a string."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):
        return text  # a bare word: cfr+, leduc_poker(players=2); or a number beyond Python's


def split(text: str) -> list[str]:
    """Split a text at commas outside of brackets and quotes."""
    parts, depth, quoted = [""], 0, False
    for sign in text:
        quoted ^= sign == '"'
        depth += (sign in "([{") - (sign in ")]}")
        if sign == "," and depth == 0 and not quoted:
            parts.append("")
        else:
            parts[-1] += sign
    return parts
