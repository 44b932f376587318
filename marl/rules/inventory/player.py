"""A rule as an actor, which sees a planner's observation, as trained networks do."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, Protocol

import torch
from torch import Tensor

from games.common.errors import InputError
from games.inventory import views
from games.inventory.inventory import QUANTITIES, Inventory, State
from games.simulators.simulator import Observation, Spec
from marl.evaluation.actors import Memoryless


class Ordering(Protocol):
    """Orders as a function of the state: see `marl.rules.inventory.rules`."""

    def orders(self, game: Inventory, state: State) -> Tensor: ...


class RulePlayer(Memoryless):
    """A rule as an `Actor` of `marl.evaluation.actors`, in games that ask a planner for quantities.

    It is also a `Player` of that one game.
    """

    def __init__(self, game: Inventory, rule: Ordering) -> None:
        """
        Raises:
            InputError: a game of another view, or of other actions.
        """
        require_planner(game)
        self.game, self.rule = game, rule

    def for_game(self, game: Any, spec: Spec) -> RulePlayer:
        """The rule itself.

        Raises:
            InputError: another game than the rule was made for.
        """
        if spec != self.game.spec:
            raise InputError(f"{game} is not the {self.game.name} game that this rule plays")
        return self

    @torch.no_grad()
    def act(self, seen: Observation, generator: torch.Generator | None) -> Tensor:
        return self.rule.orders(self.game, state_of(self.game, seen))[:, None]


def require_planner(game: Inventory) -> None:
    """Raise InputError unless one planner sees everything and orders quantities."""
    if game.view != views.PLANNER or game.actions != QUANTITIES:
        raise InputError(
            f"{game.name}: rules play with view={views.PLANNER}, actions={QUANTITIES}; for "
            "other views use marl.rules.inventory.costs"
        )


def state_of(game: Inventory, seen: Observation) -> State:
    """The state shown by a planner's row, that is without traces and the tally."""
    view = game.shown
    assert isinstance(view, views.Planner)
    row = seen.nodes[:, 0]
    row = row / torch.as_tensor(view.scale, dtype=row.dtype, device=row.device)
    state = game.begin(len(row), row.device, row.dtype)
    at, shown = 0, {}
    for name in ("on_hand", "pipeline", "owed", "past"):  # in the row's order
        like = getattr(state, name)
        width = like[0].numel()
        shown[name] = row[:, at : at + width].reshape(like.shape)
        at += width
    if (season := game.network.demand.season) is not None:
        turn = torch.atan2(row[:, at], row[:, at + 1]) * (season.period / (2 * math.pi))
        shown["offset"] = turn.round().long() % season.period
    return replace(state, **shown)
