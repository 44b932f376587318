"""A finite OpenSpiel game: its root, and its sequence form, compiled and cached."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pyspiel

from games.common.errors import GameError, InputError, UnenumerableGameError
from games.finite import cache as disk
from games.finite.budget import refuse_hopeless
from games.finite.enumerate import enumerate_game
from games.finite.game import NODE_BUDGET
from games.finite.openspiel.refusals import REFUSALS, reason, silent_stderr
from games.finite.openspiel.states import HistoryState, names_by_history
from games.finite.playable import Playable
from games.finite.sequence_form import SequenceForm


@dataclass(frozen=True, eq=False)
class OpenSpielGame(Playable):
    """A finite OpenSpiel game.

    Simultaneous moves are turned into turns with hidden actions; `openspiel` is that turn-based
    game, the one to give to OpenSpiel's own tools beside this one.
    """

    name: str
    openspiel: Any  # pyspiel.Game, sequential
    cacheable: bool  # false where the game string alone does not say what the game is

    @property
    def num_players(self) -> int:
        return self.openspiel.num_players()

    def root(self) -> Any:
        """A new `pyspiel.State` at the start; see `HistoryState` where histories name the sets."""
        state = self.openspiel.new_initial_state()
        return HistoryState(state) if self.is_named_by_history else state

    @property
    def has_information_states(self) -> bool:
        """Whether OpenSpiel names this game's information sets."""
        return self.openspiel.get_type().provides_information_state_string

    @property
    def is_named_by_history(self) -> bool:
        """Whether every history is an information set of its own, and gives it its name.

        So it is under perfect information where OpenSpiel has no names; not where players who
        moved at once were made to move in turn, unseen.
        """
        return names_by_history(self.openspiel)

    def sequence_form(self, *, node_budget: int = NODE_BUDGET, cached: bool = True) -> SequenceForm:
        """The compiled game.

        Kept on disk by game string and OpenSpiel version (see `games.finite.cache`).

        Args:
            node_budget: the most histories to visit, chance nodes and terminals included.
            cached: whether to read from and write to the disk.

        Raises:
            UnenumerableGameError: more histories than `node_budget`, or chance that OpenSpiel
                samples and does not list.
            GameError: imperfect recall; no information-state strings where information is not
                perfect; or whatever OpenSpiel raises on the way.
        """
        key = str(self.openspiel)
        if cached and self.cacheable:
            form = disk.load(key, self.name)
            if form is not None and form.num_histories <= node_budget:
                return form
        kind = self.openspiel.get_type()
        if kind.chance_mode == pyspiel.GameType.ChanceMode.SAMPLED_STOCHASTIC:
            raise UnenumerableGameError(
                f"{self.name}: samples its chance events without listing their probabilities, so "
                "it cannot be enumerated; choose another game"
            )
        if not (self.has_information_states or self.is_named_by_history):
            raise GameError(
                f"{self.name}: OpenSpiel gives no information-state strings for this game of "
                "imperfect information, so its information sets are unknown; choose a game that "
                "has them"
            )
        try:
            with silent_stderr():
                samples = self.has_information_states
                refuse_hopeless(self.root(), self.name, node_budget, samples=samples)
                form = enumerate_game(
                    self.root(), self.name, self.num_players, node_budget, samples=samples
                )
        except InputError:
            raise
        except REFUSALS as error:
            raise GameError(f"{self.name}: {reason(error)}") from None
        if cached and self.cacheable:
            disk.store(key, form)
        return form

    def __repr__(self) -> str:
        return f"OpenSpielGame({self.name}: {self.num_players} players)"
