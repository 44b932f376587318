"""Errors for invalid input, and helpers for their one-line messages."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class InputError(ValueError):
    """Invalid user input.

    The message is one line that says what is wrong and how to fix it; the command line prints it
    as it is and exits with status 2.
    """


class GameError(InputError):
    """A game that is unknown, wrongly parametrised, or not a finite game of perfect recall."""


class UnenumerableGameError(GameError):
    """A game with more histories than the node budget, or with chance that it does not list."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The nearest known words as a clause for an error message, or all of them if few."""
    known = sorted(known)
    near = get_close_matches(word, known, n=3, cutoff=0.6)
    if near:
        return f"did you mean {' or '.join(near)}?"
    return f"known: {', '.join(known)}" if len(known) <= 16 else f"{len(known)} are known"


def one_line(message: object) -> str:
    """`message` with all white space folded, so that it fits an error of one line."""
    return " ".join(str(message).split())
