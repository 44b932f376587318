"""A decorator that makes a named setting of a function returning a network."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import typing
from collections.abc import Callable
from typing import Any

from games.inventory.inventory import Inventory
from games.inventory.network import SupplyNetwork
from games.maker import makes_games

Made = dict[str, Any] | SupplyNetwork | tuple[type[Inventory], dict[str, Any]]
"""A network or its fields; and, if it is not `Inventory`, the class that plays it."""
NOT_PLAY = ("network", "name")


def setting(**defaults: Any) -> Callable[[Callable[..., Made]], Callable[..., Inventory]]:
    """Makes of a function from a problem's parameters to its network one that makes its game.

    It takes as keywords also what `Inventory` says of how a game is played, with `defaults` of the
    setting's own; its signature says so.
    """

    def decorate(make: Callable[..., Made]) -> Callable[..., Inventory]:
        word = inspect.Parameter.KEYWORD_ONLY
        hints, known = typing.get_type_hints(make), typing.get_type_hints(Inventory)
        own = [
            p.replace(kind=word, annotation=hints[p.name])
            for p in inspect.signature(make).parameters.values()
        ]
        play = [
            inspect.Parameter(
                f.name, word, default=defaults.get(f.name, f.default), annotation=known[f.name]
            )
            for f in dataclasses.fields(Inventory)
            if f.name not in NOT_PLAY
        ]
        signature = inspect.Signature([*own, *play], return_annotation=Inventory)
        name = f"inventory.{make.__name__}"

        @functools.wraps(make)
        def made(**given: Any) -> Inventory:
            bound = signature.bind(**given)
            bound.apply_defaults()
            found = make(**{p.name: bound.arguments.pop(p.name) for p in own})
            kind, network = found if isinstance(found, tuple) else (Inventory, found)
            if not isinstance(network, SupplyNetwork):
                network = SupplyNetwork.checked(network, name)
            return kind(network, name=name, **bound.arguments)

        made.__signature__ = signature  # type: ignore[attr-defined]
        made.shared = [p.name for p in play if p.name not in defaults]  # type: ignore[attr-defined]
        made.held_out = {"traces": None}  # type: ignore[attr-defined]
        return makes_games(made)

    return decorate
