"""One way to name whatever can be played by learners: ours, PettingZoo's, OpenSpiel's, a user's.

| name | what it is |
|---|---|
| `navigation(agents=8,layout=swap)` | a simulator of ours |
| `pettingzoo:mpe2.simple_spread_v3(N=3)` | a module with `parallel_env` or `env` |
| `my.module:Arena(size=3)` | a user's own: a `Simulator`, a PettingZoo environment, or marked |
| `leduc_poker(players=3)` | an OpenSpiel game, sampled |

To name a module is to import it, which runs its code. Marked by `games.makes_games` is what makes a
simulator or an environment and is neither; nothing else is called.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
import typing
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from functools import partial
from importlib import import_module
from types import ModuleType
from typing import Any

import torch
from pydantic import TypeAdapter, ValidationError

from games.common.errors import InputError, did_you_mean, one_line
from games.common.memory import enough_for
from games.common.settings import LONGEST, misfit, shortened
from games.finite.openspiel import list_games
from games.load import names_a_file
from games.maker import CONVENTION, SIMULATOR, require_maker
from games.simulators.simulator import Simulator
from games.simulators.vector import SimulatorVector, Vector

# A simulator of ours is a frozen dataclass, whose fields are its parameters, and one line here; or
# a function that makes one, and says its parameters in its signature.
SETTINGS = (
    "lost_sales", "backlogged", "serial", "transshipment", "one_warehouse", "many_warehouses",
    "series", "network", "or_gym", "or_gym_network",
)  # fmt: skip
SIMULATORS = {
    "navigation": "games.navigation.navigation:Navigation",
    "safe_navigation": "games.navigation.safe_navigation:SafeNavigation",
    "lot_sizing": "games.lot_sizing.lot_sizing:LotSizing",
    **{f"inventory.{name}": f"games.inventory.settings:{name}" for name in SETTINGS},
}
PETTINGZOO = "pettingzoo:"
PACKAGES = {"pettingzoo.classic": "'pettingzoo[classic]'", "pettingzoo.sisl": "'pettingzoo[sisl]'"}


def vector(name: str, num_envs: int, device: torch.device | str = "cpu") -> Vector:
    """B games of whatever `name` says, ready to be reset.

    Args:
        name: see the module's docstring; parameters as in Python, words need no quotes.
        num_envs: B.
        device: where a simulator's tensors live; games of others are played on the CPU.

    Raises:
        InputError: no such game, module, attribute or parameter; something else than a game; a
            value that does not fit. One line, with the fix.
    """
    name = name.strip()
    target, given = parse(name)
    if target.startswith(PETTINGZOO):
        from games.adapters.pettingzoo.vector import PettingZooVector

        module = target.removeprefix(PETTINGZOO)
        make, described = _factory(module)
        return PettingZooVector(partial(_make, make, given, name, described), num_envs, module)
    if target in SIMULATORS:
        return SimulatorVector(simulator(name), num_envs, device)
    if ":" in target:
        attribute = _attribute(target)
        made = _make(attribute, given, name)
        if isinstance(made, Simulator):
            return SimulatorVector(made, num_envs, device)
        if not hasattr(made, "possible_agents"):
            raise InputError(
                f"{name}: a {type(made).__name__} is neither a simulator ({', '.join(SIMULATOR)}) "
                "nor a PettingZoo environment"
            )
        from games.adapters.pettingzoo.vector import PettingZooVector

        return PettingZooVector(partial(_make, attribute, given, name), num_envs, target)
    if names_a_file(name):
        raise InputError(f"{name}: learners do not play games in files; `schelling solve` does")
    if "." in target:
        if get_close_matches(target, SIMULATORS) or target.startswith("inventory."):
            raise InputError(f"unknown simulator {target!r}: {did_you_mean(target, SIMULATORS)}")
        raise InputError(
            f"{name}: write {PETTINGZOO}{name} for a module of PettingZoo's, module:attribute for "
            "a game of your own"
        )
    from games.adapters.openspiel import OpenSpielVector

    _require_registered(target)
    return OpenSpielVector(name, num_envs)


def simulator(name: str) -> Simulator:
    """The simulator of a name, of ours or a user's own: `module:attribute`.

    Raises:
        InputError: an unknown simulator or parameter; a value that does not fit.
    """
    name = name.strip()
    target, given = parse(name)
    if target not in SIMULATORS and ":" not in target:
        raise InputError(f"unknown simulator {target!r}: {did_you_mean(target, SIMULATORS)}")
    made = _make(_attribute(SIMULATORS.get(target, target)), given, name)
    if not isinstance(made, Simulator):
        raise InputError(
            f"{name}: a {type(made).__name__} is no simulator; it lacks one of "
            f"{', '.join(SIMULATOR)}"
        )
    return made


def suited(name: str, suits: Callable[[Simulator], bool]) -> Simulator | None:
    """The simulator of a name, if it is one that suits; None of games of others, too."""
    target, _ = parse(name.strip())
    if target not in SIMULATORS and (":" not in target or target.startswith(PETTINGZOO)):
        return None
    made = simulator(name)
    return made if suits(made) else None


def suiting(suits: Callable[[Simulator], bool]) -> str:
    """Our simulators that suit as they are without parameters, as a clause for a message."""
    found = {}
    for name in SIMULATORS:
        try:
            fits = suits(simulator(name))
        except InputError:  # it cannot be made without parameters
            continue
        if fits:
            kind, dot, _ = name.partition(".")
            found[f"{kind}.SETTING(...)" if dot else f"{kind}(...)"] = True
    return " or ".join(found)


def list_simulators() -> list[dict[str, str]]:
    """Every simulator of ours, and how others' are named, with what it is and its parameters."""
    rows, common = [], ""
    for name, path in SIMULATORS.items():
        made = _attribute(path)
        own, shared = _listed(made)
        common = max(common, ", ".join(shared), key=len)
        rows.append(
            {
                "simulator": name,
                "description": (made.__doc__ or "").split("\n")[0],
                "parameters": ", ".join(own + ["..."] * bool(shared)),
            }
        )
    others = {
        "inventory.SETTING": ("what every setting takes besides", common),
        f"{PETTINGZOO}MODULE": ("a PettingZoo environment, such as mpe2.simple_spread_v3", ""),
        "MODULE:ATTRIBUTE": ("your own simulator, PettingZoo environment, or what makes one", ""),
        "GAME": ("an OpenSpiel game, sampled (`schelling list games`)", ""),
    }
    return rows + [
        {"simulator": name, "description": text, "parameters": known or "its own"}
        for name, (text, known) in others.items()
    ]


def _listed(make: Callable[..., Any]) -> tuple[list[str], list[str]]:
    """Parameters as they are written, and those that a setting shares with others of its kind."""
    alike = getattr(make, "shared", ())
    own: list[str] = []
    shared: list[str] = []
    for p in inspect.signature(make).parameters.values():
        text = p.name if p.default is p.empty else f"{p.name}={p.default!r}"
        (shared if p.name in alike else own).append(text)
    return own, shared


def parse(name: str) -> tuple[str, dict[str, Any]]:
    """`target(key=value,...)` as target and values; OpenSpiel reads its own parameters."""
    match = re.fullmatch(r"([\w.:]+)\s*(\(.*\))?", name, flags=re.DOTALL)
    if match is None:
        raise InputError(f"{name!r}: write a game as name(parameter=value,...)")
    target, given = match[1], match[2]
    if given is None or not (":" in target or target in SIMULATORS):
        return target, {}
    try:
        call = ast.parse(f"f{given}", mode="eval").body
        assert isinstance(call, ast.Call)
        if call.args or any(word.arg is None for word in call.keywords):
            raise ValueError("every parameter needs its name")
        return target, {str(word.arg): _value(word.value) for word in call.keywords}
    except (SyntaxError, ValueError, AssertionError, RecursionError, MemoryError) as error:
        why = error.msg if isinstance(error, SyntaxError) else str(error)
        raise InputError(
            f"{name[:LONGEST]}: parameters are written (name=value,...), with Python's numbers and "
            f"quotes: {one_line(why)}"
        ) from None


def altered(name: str, parameters: Mapping[str, Any]) -> str:
    """A game's name with some of its parameters set to other values.

    Raises:
        InputError: a game whose parameters are OpenSpiel's own.
    """
    if not parameters:
        return name
    target, given = parse(name.strip())
    if not (":" in target or target in SIMULATORS):
        raise InputError(f"{name}: OpenSpiel's parameters cannot be set apart from the game's name")
    together = {**given, **parameters}
    written = {
        k: v if isinstance(v, str) and v.isidentifier() else repr(v) for k, v in together.items()
    }
    return f"{target}({','.join(f'{key}={value}' for key, value in written.items())})"


def held_out(name: str) -> str:
    """The game whose demand nobody trained on: without the traces that it plays again and again."""
    target, given = parse(name.strip())
    return altered(name, {"traces": None}) if target in SIMULATORS and "traces" in given else name


def _value(node: ast.expr) -> Any:
    if isinstance(node, ast.Name):  # a word: true, false and none as TOML and OpenSpiel write them
        return {"true": True, "false": False, "none": None}.get(node.id.lower(), node.id)
    try:
        return ast.literal_eval(node)
    except ValueError:
        raise ValueError(f"{ast.unparse(node)} is no plain value; put words in quotes") from None


def _make(
    make: Callable[..., Any],
    given: Mapping[str, Any],
    name: str,
    described: Callable[..., Any] | None = None,
) -> Any:
    """What `make` gives for the parameters, which are checked against the signature that it has.

    Args:
        described: whose signature says them, if not `make`'s own.
    """
    types = _types(make)
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
    try:
        with enough_for(name):
            return make(**given)
    except InputError:
        raise
    except Exception as error:  # others' code
        raise InputError(
            f"{name}: cannot be made: {type(error).__name__}: {one_line(error)}"
        ) from error


def _types(make: Callable[..., Any]) -> dict[str, Any] | None:
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


def _factory(module: str) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """`parallel_env` of a PettingZoo module, or `env` where agents act in turn.

    Beside it what says its parameters: `raw_env`, since the others hand on whatever they get.
    """
    found = _module(module, f"{PETTINGZOO}{module}")
    for attribute in CONVENTION:
        if callable(make := getattr(found, attribute, None)):
            require_maker(make, f"{module}:{attribute}")
            return make, getattr(found, "raw_env", make)
    raise InputError(f"{PETTINGZOO}{module}: the module has neither parallel_env nor env")


def _attribute(target: str) -> Any:
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
        raise InputError(f"{where}: {name!r} is no name of a module")
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


def _require_registered(target: str) -> None:
    """Raises InputError, with names of simulators among the nearest, if OpenSpiel lacks it."""
    import pyspiel

    if target not in pyspiel.registered_names():
        known = [row["game"] for row in list_games()]
        if target not in known:
            nearest = did_you_mean(target, [*SIMULATORS, *known])
            raise InputError(f"unknown game {target!r}: {nearest}")
