"""Scenarios of the package `vmas`: names, parameters, and environments made of them."""

from __future__ import annotations

import ast
import traceback
import warnings
from collections.abc import Callable, Mapping
from functools import cache
from inspect import Parameter, Signature
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import Field

from games.adapters.vmas.randomness import apart, package
from games.common.errors import InputError, did_you_mean, one_line
from games.common.memory import enough_for
from games.names import VMAS

OUR_WORDS = {"n_agents": "agents"}
"""What this project calls parameters that scenarios have under other names."""
OPTIONS: Mapping[str, tuple[Any, Any]] = {
    "max_steps": (Annotated[int, Field(gt=0)], 100),
    "continuous": (bool, True),
    "multidiscrete": (bool, False),
}
"""Parameters that all scenarios have: type and default."""


def names() -> list[str]:
    """All scenarios."""
    vmas = package()
    return [*vmas.scenarios, *vmas.debug_scenarios, *vmas.mpe_scenarios]


def require_scenario(name: str) -> None:
    """Raises InputError unless there is a scenario of that name."""
    if name not in names():
        raise InputError(f"{VMAS}{name}: unknown scenario {name!r}: {did_you_mean(name, names())}")


@cache
def parameters(name: str) -> tuple[str, ...]:
    """What a scenario takes beside `OPTIONS`, in this project's words.

    A scenario takes any keyword, and says only by reading it which one it knows; so its text is
    looked through for that.
    """
    require_scenario(name)
    (path,) = (Path(package().__file__).parent / "scenarios").rglob(f"{name}.py")
    found = dict.fromkeys(
        str(node.args[0].value)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in ("pop", "get")
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == "kwargs"
        and node.args
        and isinstance(node.args[0], ast.Constant)
    )
    return tuple(OUR_WORDS.get(word, word) for word in found if word not in OPTIONS)


def signature(name: str) -> Signature:
    """The parameters of a scenario's game: `OPTIONS`, and the scenario's own."""
    kind = Parameter.KEYWORD_ONLY
    own = [Parameter(word, kind, annotation=Any, default=None) for word in parameters(name)]
    ours = [
        Parameter(word, kind, annotation=type_, default=default)
        for word, (type_, default) in OPTIONS.items()
    ]
    return Signature(own + ours)


def maker(
    name: str, given: Mapping[str, Any], continuous: bool, multidiscrete: bool
) -> Callable[[int, torch.device], Any]:
    """What makes an environment of so many games on a device; always the same games.

    What a world is made of may be drawn, such as colours; all worlds draw it alike.
    """
    game = f"{VMAS}{name}"
    theirs = {ours: word for word, ours in OUR_WORDS.items()}
    kwargs = {theirs.get(word, word): value for word, value in given.items()}

    def make(batch: int, device: torch.device) -> Any:
        with warnings.catch_warnings(), apart(device), enough_for(game):
            warnings.simplefilter("ignore")
            try:
                return package().make_env(
                    name, num_envs=batch, device=device, continuous_actions=continuous,
                    multidiscrete_actions=multidiscrete, grad_enabled=True,
                    terminated_truncated=True, **kwargs,
                )  # fmt: skip
            except (AssertionError, AttributeError, LookupError, TypeError, ValueError) as error:
                raise InputError(f"{game}: cannot be made: {_said(error)}") from error

    return make


def _said(error: Exception) -> str:
    """What went wrong; of a condition without words, the condition."""
    words = one_line(error)
    if not words:
        words = traceback.extract_tb(error.__traceback__)[-1].line or "no reason given"
    return f"{type(error).__name__}: {words}"
