"""Lists of simulators, and of those that suit a method."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from games.adapters.simulator import SimulatorGame
from games.common.errors import InputError
from games.load import load, simulator
from games.names import PETTINGZOO, SIMULATORS, VMAS, parse
from games.simulators.simulator import Simulator


def suited(game: Any, suits: Callable[[Simulator], bool]) -> Simulator | None:
    """The simulator of a game, if it is one that suits; None of games of others, too.

    Args:
        game: a name, or a game or a simulator.
        suits: asked of the simulator.

    Raises:
        InputError: a simulator that cannot be made.
    """
    if isinstance(game, str):
        target, _ = parse(game.strip())
        if target not in SIMULATORS and (":" not in target or target.startswith(PETTINGZOO)):
            return None
    found: Any = load(game)
    return found.made if isinstance(found, SimulatorGame) and suits(found.made) else None


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
    """Every simulator that is known, and how others' are named: what it is and its parameters."""
    rows, common = [], dict[str, str]()
    for name in SIMULATORS:
        made = SIMULATORS.load(name)
        own, shared = _listed(made)
        if shared:
            family = f"{name.partition('.')[0]}.SETTING"
            common[family] = max(common.get(family, ""), ", ".join(shared), key=len)
        rows.append(
            {
                "simulator": name,
                "description": (made.__doc__ or "").split("\n")[0],
                "parameters": ", ".join(own + ["..."] * bool(shared)),
            }
        )
    others = {
        **{family: ("what every setting takes besides", known) for family, known in common.items()},
        f"{PETTINGZOO}MODULE": ("a PettingZoo environment, such as mpe2.simple_spread_v3", ""),
        f"{VMAS}SCENARIO": ("a scenario of VMAS, such as balance(agents=4)", ""),
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
