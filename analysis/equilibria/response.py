"""Best responses, NashConv, exploitability and expected values, exact on a sequence form."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from games import Game, InputError, SequenceForm, Strategy, as_form
from games.finite.kernels import respond
from games.finite.sequence_form import Float64


@dataclass(frozen=True, eq=False)
class BestResponse:
    """One player's best response to the others' play."""

    player: int
    value: float  # expected utility of the response
    gain: float  # over what the strategy itself gets, at least 0 up to rounding
    strategy: Strategy  # the given strategy with this player's part replaced by a pure response


def best_response(game: Game | SequenceForm, strategy: Strategy, player: int) -> BestResponse:
    """A best response of `player` to the others' part of `strategy`.

    Where several actions are equally good the first one is taken, also at information sets that the
    others' play never reaches.

    Raises:
        InputError: there is no such player, or the strategy is for another game.
    """
    form = as_form(game)
    if not 0 <= player < form.num_players:
        raise InputError(f"player {player}: {form.game} has players 0 to {form.num_players - 1}")
    behaviour = strategy.behaviour(form)
    best, response, current = respond(form, behaviour)
    own = slice(*form.arrays.players[player : player + 2].astype(int))
    behaviour[own] = best[own]
    return BestResponse(
        player=player,
        value=float(response[player]),
        gain=float(response[player] - current[player]),
        strategy=Strategy.from_behaviour(form, behaviour),
    )


def expected_values(game: Game | SequenceForm, strategy: Strategy) -> Float64:
    """Every player's expected utility [N] when all follow `strategy`."""
    form = as_form(game)
    _, _, current = respond(form, strategy.behaviour(form))
    return current


def deviation_gains(game: Game | SequenceForm, strategy: Strategy) -> Float64:
    """The gain of each player [N] from its best response to the others' strategies."""
    form = as_form(game)
    _, response, current = respond(form, strategy.behaviour(form))
    return response - current


def nash_conv(game: Game | SequenceForm, strategy: Strategy) -> float:
    """The sum of the players' deviation gains: 0 exactly at a Nash equilibrium."""
    return float(np.sum(deviation_gains(game, strategy)))


def exploitability(game: Game | SequenceForm, strategy: Strategy) -> float:
    """NashConv over the number of players (OpenSpiel's convention)."""
    return nash_conv(game, strategy) / game.num_players
