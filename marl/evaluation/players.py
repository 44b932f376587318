"""A player from text: rules by name, trained policies, strategies and runs by their path."""

from __future__ import annotations

from typing import Any

from marl.evaluation.actors import Player


def player(text: str, game: Any) -> Player:
    """Who plays, from one line of text.

    | text | who |
    |---|---|
    | `fixed(zeta=1)` | a rule of `marl.rules.RULES`, or of the simulator's own `rules` |
    | `module:Rule(x=1)` | a user's own |
    | `runs/x`, `policy.pt` | a trained policy; of a run's folder the best, or else the last |
    | `strategy.npz`, a folder of a solved game | a strategy |

    Args:
        text: see above; rules' parameters as in Python, words need no quotes.
        game: that is to be played, by name or itself.

    Raises:
        InputError: nobody is called that; a parameter that the rule does not have, or a value that
            does not fit; a rule that does not suit the game, with those that do; a file that is no
            policy and no strategy.
    """
    raise NotImplementedError


def list_rules() -> list[dict[str, str]]:
    """A row for every rule: rule, game (what it plays), description, parameters."""
    raise NotImplementedError
