"""What learns: the methods of training scenarios by name, and what they need installed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from games.errors import InputError, did_you_mean
from marl.tabular.method import Table, checked

# A new learner is one config in one file and one line here; nothing is imported until asked for.
LEARNERS = {"ppo": "marl.ppo:PPO"}
EXTRA = ("torch", "torch_geometric", "ray", "gymnasium", "pettingzoo", "tensorboardX")


def find(name: Any, options: Mapping[str, Any]) -> Table:
    """The config of the learner `name` with `options` set.

    Raises:
        InputError: an unknown learner or option, a value that does not fit, or nothing to train
            with installed.
    """
    if not isinstance(name, str) or name not in LEARNERS:
        raise InputError(f"unknown learner {name!r}: {did_you_mean(str(name), LEARNERS)}")
    return checked(_load(name), options, f"method {name}")


def list_learners() -> list[dict[str, str]]:
    """Every learner with the first line of its description and its parameters."""
    return [
        {
            "learner": name,
            "description": (_load(name).__doc__ or "").split("\n")[0],
            "parameters": ", ".join(
                f"{field}={info.default!r}"
                for field, info in _load(name).model_fields.items()
                if field != "name"
            ),
        }
        for name in LEARNERS
    ]


@contextmanager
def installed() -> Iterator[None]:
    """Turns a missing package that training needs into an InputError that says how to get it."""
    try:
        yield
    except ModuleNotFoundError as error:
        if str(error.name).partition(".")[0] not in EXTRA:
            raise
        raise InputError(
            f"training needs torch and Ray ({error.name} is missing): pip install "
            "-c constraints.txt '.[learning]'"
        ) from None


def _load(name: str) -> type[Table]:
    module, attribute = LEARNERS[name].split(":")
    with installed():
        return getattr(import_module(module), attribute)
