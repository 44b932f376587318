"""What needs packages that only an extra brings: one that is missing is told in one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from games.common.errors import InputError

LEARNING = (
    "torch", "torch_geometric", "ray", "gymnasium", "pettingzoo", "tensorboardX", "cloudpickle",
    "networkx",
)  # fmt: skip


def missing(what: str, extra: str) -> InputError:
    """The line: what needs it, and the command that adds it.

    Args:
        what: such as "this needs Gambit".
        extra: of pyproject.toml.
    """
    return InputError(f"{what}: pip install -c constraints.txt '.[{extra}]' in the checkout")


@contextmanager
def learning(what: str = "this needs torch") -> Iterator[None]:
    """Turns a missing package of the extra `learning` into an InputError that says the command.

    Args:
        what: needs it, in words.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if str(error.name).partition(".")[0] not in LEARNING:
            raise
        raise missing(f"{what} ({error.name} is missing)", "learning") from None
