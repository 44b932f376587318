"""The protocols of finite games: states of a tree, and games."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from games.finite.sequence_form import SequenceForm

NODE_BUDGET = 20_000_000
CHANCE, TERMINAL = -1, -4  # OpenSpiel's pseudo-players


class State(Protocol):
    """A node of a game tree; a `pyspiel.State` of a sequential game is one."""

    def current_player(self) -> int: ...  # CHANCE, TERMINAL, or the player who moves
    def chance_outcomes(self) -> list[tuple[int, float]]: ...
    def legal_actions(self) -> list[int]: ...
    def child(self, action: int) -> Any: ...  # a State
    def information_state_string(self, player: int) -> str: ...
    def action_to_string(self, player: int, action: int) -> str: ...
    def returns(self) -> list[float]: ...


@runtime_checkable
class Game(Protocol):
    """A finite game that can be walked, and compiled to its sequence form."""

    @property
    def name(self) -> str: ...  # what `load` finds it by

    @property
    def num_players(self) -> int: ...

    def root(self) -> State: ...

    def sequence_form(
        self, *, node_budget: int = NODE_BUDGET, cached: bool = True
    ) -> SequenceForm: ...


def as_form(game: Game | SequenceForm) -> SequenceForm:
    """The sequence form of a game; a sequence form is returned as it is."""
    return game if isinstance(game, SequenceForm) else game.sequence_form()
