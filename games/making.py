"""Making games by calling their constructors with checked parameters."""

from __future__ import annotations

import dataclasses
import inspect
import re
import typing
from collections.abc import Callable, Mapping
from importlib import import_module
from types import ModuleType
from typing import Any

from pydantic import TypeAdapter, ValidationError

from games.common.errors import InputError, did_you_mean, one_line
from games.common.memory import enough_for
from games.common.settings import misfit, shortened
from games.maker import CONVENTION, require_maker
from games.names import PETTINGZOO

PACKAGES = {"pettingzoo.classic": "'pettingzoo[classic]'", "pettingzoo.sisl": "'pettingzoo[sisl]'"}


def make_game(
    make: Callable[..., Any],
    given: Mapping[str, Any],
    name: str,
    described: Callable[..., Any] | None = None,
) -> Any:
    """What `make` gives for the parameters, which are checked against the signature that it has.

    Args:
        make: a class or a function.
        given: parameters by name.
        name: of the game, which begins messages.
        described: whose signature says them, if not `make`'s own.

    Raises:
        InputError: a parameter that is unknown, missing, or does not fit; whatever `make` raises.
    """
    given = _checked(make, given, name, described)
    try:
        with enough_for(name):
            return make(**given)
    except InputError:
        raise
    except Exception as error:  # others' code
        raise InputError(
            f"{name}: cannot be made: {type(error).__name__}: {one_line(error)}"
        ) from error


def _checked(
    make: Callable[..., Any],
    given: Mapping[str, Any],
    name: str,
    described: Callable[..., Any] | None,
) -> Mapping[str, Any]:
    """The parameters as `make` takes them; InputError for one that it does not."""
    types = types_of(make)
    known = set(types) if types is not None else _parameters(described or make)
    if known is not None:
        for key in given:
            if key not in known:
                fix = did_you_mean(key, known) if known else "it takes none"
                raise InputError(f"{name}: there is no parameter {key!r}: {fix}")
    if types is not None:
        given = {key: _fit(value, types[key], f"{name}: {key}") for key, value in given.items()}
        for key, parameter in inspect.signature(make).parameters.items():
            if parameter.default is parameter.empty and key not in given:
                raise InputError(f"{name}: {key} is missing: write {key}=...")
    return given


def types_of(make: Callable[..., Any]) -> dict[str, Any] | None:
    """Parameters with their types, of a dataclass or a function that states its signature."""
    if dataclasses.is_dataclass(make):
        hints = typing.get_type_hints(make)
        return {f.name: hints[f.name] for f in dataclasses.fields(make)}
    stated = getattr(make, "__signature__", None)
    if stated is None:
        return None
    return {p.name: p.annotation for p in stated.parameters.values()}


def _parameters(make: Callable[..., Any]) -> set[str] | None:
    """Names of parameters; None where it takes any, or does not say."""
    try:
        found = inspect.signature(make).parameters.values()
    except (TypeError, ValueError):
        return None
    if any(p.kind is p.VAR_KEYWORD for p in found):
        return None
    return {p.name for p in found if p.kind is not p.VAR_POSITIONAL}


def _fit(value: Any, hint: Any, where: str) -> Any:
    said = misfit(value, hint)
    try:
        fitting = TypeAdapter(hint).validate_python(value)
    except ValidationError as error:
        said = said or error.errors()[0]["msg"]
    if said:
        raise InputError(f"{where}: {said[0].lower()}{said[1:]} (given: {shortened(value)})")
    return fitting


def factory_of(module: str) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """`parallel_env` of a PettingZoo module, or `env` where agents act in turn.

    Beside it what says its parameters: `raw_env`, since the others hand on whatever they get.
    """
    found = _module(module, f"{PETTINGZOO}{module}")
    for attribute in CONVENTION:
        if callable(make := getattr(found, attribute, None)):
            require_maker(make, f"{module}:{attribute}")
            return make, getattr(found, "raw_env", make)
    raise InputError(f"{PETTINGZOO}{module}: the module has neither parallel_env nor env")


def maker_at(target: str) -> Any:
    """The callable of `module:attribute`, if it is one that makes games."""
    module, _, attribute = target.partition(":")
    found = _module(module, target)
    if not hasattr(found, attribute):
        near = did_you_mean(attribute, [n for n in vars(found) if not n.startswith("_")])
        raise InputError(f"{target}: {module} has no {attribute}: {near}")
    if not callable(made := getattr(found, attribute)):
        raise InputError(f"{target}: a {type(made).__name__} cannot be called to make a game")
    require_maker(made, target)
    return made


def _module(name: str, where: str) -> ModuleType:
    if not re.fullmatch(r"\w+(\.\w+)*", name):
        raise InputError(f"{where}: {name!r} is not a module name")
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        missing = str(error.name)
        if not (name == missing or name.startswith(f"{missing}.")):  # one that it imports
            family = ".".join(name.split(".")[:2])
            fix = f"pip install {PACKAGES.get(family, missing.split('.')[0])}"
        elif "." in missing and missing != name.split(".")[0]:
            fix = f"is it spelled as in {missing.rpartition('.')[0]}?"
        else:
            fix = f"pip install {missing}, or set PYTHONPATH to the folder that it is in"
        raise InputError(f"{where}: no module named {missing!r}; {fix}") from None
    except Exception as error:  # others' code
        raise InputError(
            f"{where}: importing {name} raised {type(error).__name__}: {one_line(error)}"
        ) from error
