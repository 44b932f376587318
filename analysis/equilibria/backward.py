"""Backward induction: a subgame-perfect equilibrium of a game with perfect information.

Zermelo (1913), Kuhn (1953); Osborne & Rubinstein, "A Course in Game Theory", section 6.2.
"""

from __future__ import annotations

import random

import numpy as np

from analysis.equilibria.equilibrium import Equilibrium, verified
from analysis.equilibria.units import Units
from games import Game, InputError, Strategy
from games.finite.game import CHANCE, TERMINAL, State
from games.finite.sequence_form import Float64

# Random plays that look for an information set of several histories, and nodes that they may visit.
PLAYS, NODES = 100, 10_000


class ImperfectInformation(InputError):
    """An information set holds several histories."""

    def __init__(self, game: Game, name: str) -> None:
        super().__init__(
            f"{game.name}: information set {name!r} holds several histories, so backward induction "
            "does not apply; use another method"
        )


def refuse_hidden_information(game: Game) -> None:
    """Raise ImperfectInformation early if random plays show hidden information.

    That they find nothing is no proof: `backward_induction` looks at every node.

    Raises:
        ImperfectInformation: two plays came to one information set by different moves.
    """
    rng = random.Random(0)
    seen: dict[tuple[int, str], tuple[int, ...]] = {}
    nodes = 0
    for _ in range(PLAYS):
        state = game.root()
        moves: list[int] = []
        while (player := state.current_player()) != TERMINAL and nodes < NODES:
            nodes += 1
            if player == CHANCE:
                legal = [action for action, _ in state.chance_outcomes()]
            else:
                legal = state.legal_actions()
                name = state.information_state_string(player)
                if seen.setdefault((player, name), tuple(moves)) != tuple(moves):
                    raise ImperfectInformation(game, name)
            moves.append(rng.choice(legal))
            state = state.child(moves[-1])


def backward_induction(game: Game) -> Equilibrium:
    """The subgame-perfect equilibrium in which ties go to the first action.

    Raises:
        ImperfectInformation: an information set holds more than one history.
        Unverified: never, unless the game's information sets are at fault.
    """
    form = game.sequence_form()
    chosen: list[dict[str, int]] = [{} for _ in range(form.num_players)]
    _induce(game, chosen)
    behaviour = np.zeros(form.arrays.num_sequences)
    start = 0
    for player, own in zip(form.players, chosen, strict=True):
        behaviour[start] = 1.0
        for name, first in zip(player.information_sets, player.first_sequence, strict=True):
            behaviour[start + first + own[name]] = 1.0
        start += player.num_sequences
    values, gains = Units.of(form).measured(behaviour)
    found = Equilibrium(
        concept="nash",
        game=form.game,
        method="backward induction (subgame perfect)",
        values=values,
        gains=gains,
        strategy=Strategy.from_behaviour(form, behaviour),
    )
    return verified(found, form, 1e-9)


def _induce(game: Game, chosen: list[dict[str, int]]) -> Float64:
    """Values [N] of the root; fills in the index of the best action at each information set."""
    # Each frame: the node, its children's values so far, and the weights of a chance node.
    root = game.root()
    stack: list[tuple[State, list[int], list[float], list[Float64]]] = [_frame(root)]
    while True:
        state, actions, weights, values = stack[-1]
        if len(values) < len(actions):
            stack.append(_frame(state.child(actions[len(values)])))
            continue
        player = state.current_player()
        if player == TERMINAL:
            value = np.array(state.returns(), dtype=np.float64)
        elif player == CHANCE:
            value = np.array(weights) @ np.array(values)
        else:
            name = state.information_state_string(player)
            if name in chosen[player]:
                raise ImperfectInformation(game, name)
            best = int(np.argmax([v[player] for v in values]))
            chosen[player][name] = best
            value = values[best]
        stack.pop()
        if not stack:
            return value
        stack[-1][3].append(value)


def _frame(state: State) -> tuple[State, list[int], list[float], list[Float64]]:
    player = state.current_player()
    if player == TERMINAL:
        return state, [], [], []
    if player == CHANCE:
        actions, weights = zip(*state.chance_outcomes(), strict=True)
        return state, list(actions), list(weights), []
    return state, list(state.legal_actions()), [], []
