"""What learns: the methods of training scenarios by name, and what they need installed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from games.common.errors import InputError
from marl.learning.method import METHODS, LearningMethod

EXTRA = ("torch", "torch_geometric", "ray", "gymnasium", "pettingzoo", "tensorboardX")


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
        for name in METHODS
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


def _load(name: str) -> type[LearningMethod]:
    with installed():
        return METHODS.load(name)
