"""What needs packages that only `pip install .[learning]` brings."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from games.common.errors import InputError

EXTRA = ("torch", "torch_geometric", "ray", "gymnasium", "pettingzoo", "tensorboardX")


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
