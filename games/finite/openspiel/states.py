"""States under perfect information, whose histories name the information sets."""

from __future__ import annotations

from typing import Any

import pyspiel


def names_by_history(game: Any) -> bool:
    kind = game.get_type()
    return (
        not kind.provides_information_state_string
        and kind.dynamics == pyspiel.GameType.Dynamics.SEQUENTIAL
        and kind.information == pyspiel.GameType.Information.PERFECT_INFORMATION
    )


def tabular_policy(game: Any) -> Any:
    """OpenSpiel's `TabularPolicy` of a sequential `pyspiel.Game`, uniform, its rows named as ours.

    OpenSpiel's own names the rows of a game without information-state strings by observations, and
    so takes histories for one that end in the same position.
    """
    from open_spiel.python.policy import TabularPolicy

    class HistoryPolicy(TabularPolicy):
        def _state_key(self, state: Any, player: int | None) -> str:
            return HistoryState(state).information_state_string(player)

    return (HistoryPolicy if names_by_history(game) else TabularPolicy)(game)


class HistoryState:
    """A state under perfect information, whose history is its information set's name.

    The name is the actions so far by their numbers, those of chance included: "2, 0, 5", and
    "(start)" before the first. All else is the `pyspiel.State`'s own, which is `openspiel`.
    """

    __slots__ = ("openspiel",)

    def __init__(self, state: Any) -> None:
        self.openspiel = state

    def __getattr__(self, name: str) -> Any:
        return getattr(object.__getattribute__(self, "openspiel"), name)

    def information_state_string(self, player: int | None = None) -> str:
        return self.openspiel.history_str() or "(start)"

    def child(self, action: int) -> HistoryState:
        return HistoryState(self.openspiel.child(action))

    def clone(self) -> HistoryState:
        return HistoryState(self.openspiel.clone())

    def __str__(self) -> str:
        return str(self.openspiel)
