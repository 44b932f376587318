"""Names of games: one grammar for those of OpenSpiel, PettingZoo, VMAS, this project, users, files.

| name | game |
|---|---|
| `leduc_poker(players=3)` | an OpenSpiel game |
| `navigation(agents=8,layout=swap)` | a shipped or registered simulator |
| `pettingzoo:mpe2.simple_spread_v3(N=3)` | a module with `parallel_env` or `env` |
| `vmas:balance(agents=4)` | a scenario of VMAS |
| `my.module:Arena(size=3)` | user-defined: a `Simulator`, a PettingZoo environment, or marked |
| `market.efg`, `market.nfg`, `market.csv`, `market.npz` | a tree or a table in a file |

Parameters are written as in Python, words need no quotes. To name a module is to import it, which
runs its code. Marked by `games.makes_games` is what makes a simulator or an environment and is
neither; nothing else is called.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from games.common.errors import GameError, InputError, one_line
from games.common.registry import Registry
from games.common.settings import LONGEST

# A simulator is a frozen dataclass, whose fields are its parameters, or a function that makes one,
# and says its parameters in its signature.
SETTINGS = (
    "lost_sales", "backlogged", "serial", "transshipment", "one_warehouse", "many_warehouses",
    "series", "network", "or_gym", "or_gym_network",
)  # fmt: skip
SIMULATORS: Registry[Callable[..., Any]] = Registry(
    "simulator",
    {
        "navigation": "games.navigation.navigation:Navigation",
        "safe_navigation": "games.navigation.safe_navigation:SafeNavigation",
        "lot_sizing": "games.lot_sizing.lot_sizing:LotSizing",
        "cooperation.matrix": "games.cooperation.matrices:matrix",
        "cooperation.two_step": "games.cooperation.matrices:two_step",
        **{f"inventory.{name}": f"games.inventory.settings:{name}" for name in SETTINGS},
    },
)
register_simulator = SIMULATORS.register
PETTINGZOO = "pettingzoo:"
VMAS = "vmas:"
SUFFIXES = (".efg", ".nfg", ".csv", ".npz", ".npy")


def called(game: Any) -> str:
    """What a game is called in messages, tables and files: its name, if it is one or has one."""
    if isinstance(game, str):
        return game
    own = getattr(game, "name", None) or getattr(getattr(game, "spec", None), "name", None)
    return own if isinstance(own, str) else type(game).__name__


def names_a_file(name: str) -> bool:
    """Whether `games.load` takes this name for a file: by its suffix, in letters of either case."""
    return Path(name.strip()).suffix.lower() in SUFFIXES and not name.strip().endswith(")")


def parse(name: str) -> tuple[str, dict[str, Any]]:
    """`target(key=value,...)` as target and values; OpenSpiel reads its own parameters.

    Raises:
        InputError: something else, or parameters that are no plain values.
    """
    if names_a_file(name):
        return name, {}
    match = re.fullmatch(r"([\w.:]+)\s*(\(.*\))?", name, flags=re.DOTALL)
    if match is None:
        raise GameError(f"{name!r}: write a game as name(parameter=value,...)")
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


def _value(node: ast.expr) -> Any:
    if isinstance(node, ast.Name):  # a word: true, false and none as TOML and OpenSpiel write them
        return {"true": True, "false": False, "none": None}.get(node.id.lower(), node.id)
    try:
        return ast.literal_eval(node)
    except ValueError:
        raise ValueError(
            f"{ast.unparse(node)} is not a plain value; put strings in quotes"
        ) from None
