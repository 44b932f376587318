"""`solve`, one call for every equilibrium concept; it picks the algorithm by class and size."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, get_type_hints

import numpy as np
from pydantic import ConfigDict, TypeAdapter, ValidationError

from analysis.equilibria.equilibrium import Equilibrium
from games import Game, InputError, SequenceForm
from games.common.errors import did_you_mean, one_line
from games.common.registry import Registry

STRICT = ConfigDict(strict=True, allow_inf_nan=False, arbitrary_types_allowed=True)
CONCEPTS: Registry[Callable[..., Equilibrium]] = Registry(
    "equilibrium",
    {
        "nash": "analysis.concepts:one_nash",
        "qre": "analysis.concepts:qre",
        "ce": "analysis.concepts:ce",
        "cce": "analysis.concepts:cce",
        "efce": "analysis.concepts:efce",
        "efcce": "analysis.concepts:efcce",
        "nfcce": "analysis.concepts:nfcce",
        "stackelberg": "analysis.concepts:stackelberg",
        "alpharank": "analysis.concepts:alpha_rank",
        "evolution": "analysis.concepts:evolution",
    },
)
"""Functions of a game and of options by keyword that return an `Equilibrium`, by name.

`CONCEPTS.register(name)` is a decorator for your own function; docs/guides/equilibria.md has
an example.
"""


def solve(game: Game | SequenceForm, concept: str = "nash", **options: Any) -> Equilibrium:
    """An equilibrium of `game`, of the kind that `concept` names (see `CONCEPTS`).

    The results of "evolution" (the end of the dynamics), "alpharank" (a distribution over profiles)
    and "qre" (players make mistakes) need not be Nash equilibria: check `regret`.

    Args:
        game: any game that can be compiled.
        concept: a key of `CONCEPTS`, or your own function as "module:attribute".
        options: of the function behind it, see `options_of`: `progress` for all, and `seconds` for
            all but "qre", "evolution" and "alpharank".

    Raises:
        InputError: an unknown concept, or an option that it does not have or that does not fit.
        GameError, Unverified, RuntimeError: see the function behind it.
    """
    if "progress" not in options_of(concept):  # user-defined functions need not report any
        options.pop("progress", None)
    return finder(concept)(game, **checked(concept, options))


def finder(concept: str) -> Callable[..., Equilibrium]:
    """The function behind a concept. Raises InputError if there is none of that name."""
    return CONCEPTS.load(concept)


def list_concepts() -> list[dict[str, str]]:
    """Every concept by name, with the first line of its function's docstring."""
    said = {name: inspect.cleandoc(finder(name).__doc__ or "") for name in CONCEPTS}
    return [
        {"equilibrium": name, "what": words.partition("\n")[0].removesuffix(".")}
        for name, words in said.items()
    ]


def options_of(concept: str) -> dict[str, Any]:
    """The options of a concept and their defaults."""
    find = finder(concept)
    fixed = find.keywords if isinstance(find, partial) else {}
    parameters = list(inspect.signature(find).parameters.values())[1:]
    return {p.name: p.default for p in parameters if p.name not in fixed}


def checked(concept: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options, each of the type that its function's signature gives it.

    Raises:
        InputError: an unknown concept, an option that it does not have, or one of another type or
            out of range.
    """
    known, find = options_of(concept), finder(concept)
    hints = get_type_hints(find.func if isinstance(find, partial) else find, include_extras=True)
    for name in options:
        if name not in known:
            raise InputError(f"{concept} has no option {name!r}: {did_you_mean(name, known)}")
    return {
        name: fit(f"{concept}: {name}", value, hints.get(name, Any))
        for name, value in options.items()
    }


def fit(name: str, value: Any, hint: Any) -> Any:
    """A value as the type that `hint` describes; no text or truth value passes for a number.

    Raises:
        InputError: it is of another type or out of range; the message begins with `name`.
    """
    value = value.item() if isinstance(value, np.generic) else value
    try:
        return TypeAdapter(hint, config=STRICT).validate_python(value)
    except ValidationError as error:
        # Of a union there is a complaint a member.
        wanted = [e["msg"].removeprefix("Input should be ") for e in error.errors()]
        raise InputError(
            one_line(f"{name}={value!r}: it should be {', or '.join(wanted)}")
        ) from None
