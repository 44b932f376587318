"""Players from text: rules by name; trained policies, strategies and runs by their path."""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import create_model

from games.common.errors import InputError, did_you_mean, one_line
from games.common.registry import PATH, attribute_of
from games.common.settings import Table, checked
from games.finite.strategy import Strategy
from games.names import called, parse
from marl.evaluation.actors import Player
from marl.evaluation.strategies import StrategyPlayer
from marl.networks.policy import Policy
from marl.rules import RULES
from marl.rules.suits import simulator_of

ANSWERS = ("best.pt", "policy.pt", "strategy.npz")
"""Files of a run's folder that can play; the first one found does."""
WRITTEN = re.compile(r"(?P<name>\(s,\s*S\)|[^()]+?)\s*(?P<given>\(.*\))?", re.DOTALL)


def player(text: str, game: Any) -> Player:
    """Make a player from one line of text.

    | text | player |
    |---|---|
    | `fixed(zeta=1)` | a rule of `marl.rules.RULES`, or of the simulator's own `rules` |
    | `module:Rule(x=1)` | a user-defined rule |
    | `runs/x`, `policy.pt` | a trained policy; of a run the best if there is one, else the last |
    | `strategy.npz`, a folder of a solved game | a strategy |

    Args:
        text: see above; rules' parameters as in Python, but strings need no quotes.
        game: the game to play, by name or itself.

    Raises:
        InputError: no such player; a parameter that the rule does not have, or a value that does
            not fit; a rule that does not suit the game (the message lists those that do); a file
            that is neither a policy nor a strategy.
    """
    text = text.strip()
    match = WRITTEN.fullmatch(text)
    name = match["name"].strip() if match else ""
    own = _own_rules(game)
    known = {_plain(key): key for key in (*RULES, *own)}
    path = Path(text)
    if _plain(name) not in known and (path.exists() or path.suffix in (".pt", ".npz")):
        return _read(path)
    if _plain(name) in known:
        key = known[_plain(name)]
        kind = own[key] if key in own else RULES.load(key)
    elif PATH.fullmatch(name):
        key, kind = name, name
    else:
        raise InputError(
            f"unknown player {text!r}: {did_you_mean(name, list(known.values()))}; or give a "
            "policy, a strategy or a run by its path"
        )
    if isinstance(kind, str):
        kind = attribute_of(kind, "rule")
    if not callable(kind):
        raise InputError(f"{text}: a {type(kind).__name__} cannot be called to make a player")
    _require_suited(key, kind, game)
    made = _made(kind, _parameters(match["given"] or "" if match else "", name), text)
    if not hasattr(made, "for_game"):
        raise InputError(f"{text}: a {type(made).__name__} is not a player: it lacks for_game")
    return made


def list_rules() -> list[dict[str, str]]:
    """A table of all rules: rule, game (what it plays), description, parameters."""
    rows = []
    for name in RULES:
        kind = RULES.load(name)
        given = inspect.signature(kind).parameters.values()
        rows.append(
            {
                "rule": name,
                "game": getattr(kind, "plays", "its own"),
                "description": (inspect.getdoc(kind) or "").split("\n")[0],
                "parameters": ", ".join(
                    p.name if p.default is p.empty else f"{p.name}={p.default!r}" for p in given
                ),
            }
        )
    return rows


def suiting(game: Any) -> list[str]:
    """Names of the rules that play a game."""
    found, own = simulator_of(game), _own_rules(game)
    return [*own, *(n for n in RULES if n not in own and _suits(RULES.load(n), found))]


def _suits(kind: Any, simulator: Any) -> bool:
    made = getattr(kind, "made_for", None)
    return made is None or isinstance(simulator, made)


def _require_suited(name: str, kind: Any, game: Any) -> None:
    if not _suits(kind, simulator_of(game)):
        raise InputError(
            f"{called(game)}: {name} plays only {kind.plays}; rules for this game: "
            f"{', '.join(suiting(game))}"
        )


def _own_rules(game: Any) -> Mapping[str, Any]:
    """Rules that a simulator defines in its own `rules`, by name."""
    return getattr(simulator_of(game), "rules", None) or {}


def _plain(name: str) -> str:
    """A rule's name in lower case with hyphens: "Perfect information" is "perfect-information"."""
    return re.sub(r"[\s_-]+", "-", name.strip()).replace(",-", ",").lower()


def _parameters(given: str, name: str) -> dict[str, Any]:
    """The parameters in "(key=value,...)"."""
    anyone = "rule:rule"  # whose parameters `parse` reads as Python's
    try:
        return parse(anyone + given)[1]
    except InputError as error:
        raise InputError(str(error).replace(anyone, name, 1)) from None


def _made(kind: Any, given: Mapping[str, Any], text: str) -> Any:
    """Make a rule with parameters, which are checked against its signature."""
    try:
        hints = typing.get_type_hints(vars(kind).get("__init__", kind))
    except (NameError, TypeError):  # annotations that only a type checker can read
        hints = {}
    parameters = {
        p.name: (hints.get(p.name, Any), ... if p.default is p.empty else p.default)
        for p in inspect.signature(kind).parameters.values()
    }
    for key in given:
        if key not in parameters:
            known = did_you_mean(key, parameters) if parameters else "it takes none"
            raise InputError(f"{text}: there is no parameter {key!r}: {known}")
    model: Any = create_model("Parameters", __base__=Table, **parameters)  # type: ignore[call-overload]
    values = checked(model, given, text)
    try:
        return kind(**{name: getattr(values, name) for name in given})
    except InputError:
        raise
    except Exception as error:  # user-defined code
        raise InputError(f"{text}: {type(error).__name__}: {one_line(error)}") from error


def _read(path: Path) -> Player:
    """A policy or a strategy from a file, or from a run's folder."""
    if path.is_dir():
        found = [path / name for name in ANSWERS if (path / name).exists()]
        if not found:
            raise InputError(
                f"{path}: has no {', '.join(ANSWERS[:-1])} or {ANSWERS[-1]} to play: "
                "let the run end first"
            )
        path = found[0]
    if path.suffix == ".npz":
        return StrategyPlayer(Strategy.load(path))
    return Policy.load(path)
