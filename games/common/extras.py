"""What needs packages that only an extra brings: one that is missing is told in one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from games.common.errors import InputError

LEARNING = (
    "torch", "torch_geometric", "ray", "gymnasium", "pettingzoo", "tensorboardX", "cloudpickle",
    "networkx",
)  # fmt: skip
EXTRA_OF = {**dict.fromkeys(LEARNING, "learning"), "vmas": "vmas", "gym": "vmas"}
"""The extra of pyproject.toml that brings a package."""


def missing(what: str, extra: str) -> InputError:
    """The line: what needs it, and the command that adds it.

    Args:
        what: such as "this needs Gambit".
        extra: of pyproject.toml.
    """
    return InputError(f"{what}: pip install -c constraints.txt '.[{extra}]' in the checkout")


@contextmanager
def learning(what: str = "this needs torch") -> Iterator[None]:
    """Turns a missing package that learning needs into an InputError that says the command.

    Args:
        what: needs it, in words.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        extra = EXTRA_OF.get(str(error.name).partition(".")[0])
        if extra is None:
            raise
        raise missing(f"{what} ({error.name} is missing)", extra) from None
