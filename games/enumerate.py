"""Compile a game to its sequence form by walking its whole tree once."""

from __future__ import annotations

import random
import sys
from array import array

import numpy as np

from games.errors import GameError, UnenumerableGameError
from games.game import CHANCE, TERMINAL, State
from games.sequence_form import SequenceForm, Treeplex, depths

PROBES = 5
PROBE_MARGIN = 100.0


class _Decisions:
    """One player's information sets in the order in which the walk meets them."""

    def __init__(self) -> None:
        self.index: dict[str, int] = {}
        self.parent = array("i")
        self.first = array("i")
        self.legal: list[tuple[int, ...]] = []
        self.labels: list[list[str]] = []
        self.num_sequences = 1

    def add(self, name: str, parent: int, legal: list[int], labels: list[str]) -> int:
        number = self.index[name] = len(self.first)
        self.parent.append(parent)
        self.first.append(self.num_sequences)
        self.legal.append(tuple(legal))
        self.labels.append(labels)
        self.num_sequences += len(legal)
        return number


def enumerate_game(start: State, name: str, num_players: int, node_budget: int) -> SequenceForm:
    """The sequence form of a turn-based game.

    Args:
        start: the root of its tree.
        name: the game's name, for messages and for `SequenceForm.game`.
        num_players: how many there are.
        node_budget: the most histories to visit.

    Raises:
        UnenumerableGameError: the tree is larger than the budget.
        GameError: imperfect recall, or information sets that do not fit together.
    """
    decisions = [_Decisions() for _ in range(num_players)]
    leaf_sequence, leaf_utility, leaf_chance = array("i"), array("d"), array("d")
    histories, terminals = 0, 0
    root = (0,) * num_players
    # An explicit stack: the depth of a game is not bounded by Python's recursion limit.
    stack: list[tuple[State, float, tuple[int, ...]]] = [(start, 1.0, root)]
    while stack:
        state, chance, last = stack.pop()
        histories += 1
        if histories > node_budget:
            found = sum(len(d.index) for d in decisions)
            raise UnenumerableGameError(
                f"{name}: more than {node_budget:,} histories (stopped after {terminals:,} "
                f"terminals and {found:,} information sets); raise node_budget, choose smaller "
                "parameters, or use method mccfr, which samples"
            )
        player = state.current_player()
        if player == TERMINAL:
            terminals += 1
            leaf_sequence.extend(last)
            leaf_utility.extend([chance * u for u in state.returns()])
            leaf_chance.append(chance)
            continue
        if player == CHANCE:
            for action, probability in reversed(state.chance_outcomes()):
                stack.append((state.child(action), chance * probability, last))
            continue
        if player < 0:  # neither a player nor one of the two above
            raise GameError(
                f"{name}: has a node of player {player}, which is neither a player nor chance "
                "(a mean-field game?); only games of finitely many players have a sequence form"
            )
        own = decisions[player]
        information_set = state.information_state_string(player)
        legal = state.legal_actions()
        if not legal:
            raise GameError(f"{name}: player {player} has no legal action at {information_set!r}")
        number = own.index.get(information_set)
        if number is None:
            # The same few names at hundreds of thousands of places: one copy of each.
            labels = [sys.intern(state.action_to_string(player, action)) for action in legal]
            number = own.add(information_set, last[player], legal, labels)
        elif own.parent[number] != last[player]:
            raise GameError(
                f"{name}: imperfect recall: player {player} reaches information set "
                f"{information_set!r} by different own moves; the sequence form needs perfect "
                "recall (if the game has a variant with it, load that one)"
            )
        elif own.legal[number] != tuple(legal):
            raise GameError(
                f"{name}: information set {information_set!r} of player {player} has different "
                "legal actions at different histories; the game's information states are at fault"
            )
        first, before, after = own.first[number], last[:player], last[player + 1 :]
        for k in range(len(legal) - 1, -1, -1):
            stack.append((state.child(legal[k]), chance, (*before, first + k, *after)))
    if not terminals:
        raise GameError(f"{name}: no play of this game ever ends; choose other parameters")
    # Views of what the walk collected: a large game's leaves are not to be there twice.
    sequence = np.frombuffer(leaf_sequence, dtype=np.int32).reshape(-1, num_players)
    utility = np.frombuffer(leaf_utility, dtype=np.float64).reshape(-1, num_players)
    chances = np.frombuffer(leaf_chance, dtype=np.float64)
    del leaf_sequence, leaf_utility, leaf_chance
    players = []
    for i in range(num_players):
        player_form, renumber = _sorted_treeplex(decisions[i], sequence[:, i])
        decisions[i] = _Decisions()  # freed
        sequence[:, i] = renumber[sequence[:, i]]
        players.append(player_form)
    sequence, utility, chances = _merge(sequence, utility, chances)
    return SequenceForm(name, tuple(players), sequence, utility, chances, histories, terminals)


def refuse_hopeless(start: State, name: str, node_budget: int) -> None:
    """Refuse at once a game that is far too large, so that nobody waits for the budget to run out.

    Knuth (1975): along a uniformly random play, the product of the branching factors has the
    number of terminals as its mean. By Markov's inequality a game within the budget exceeds 100
    times the budget in one probe with probability at most 1/100, in five of five with 1e-10.
    """
    rng = random.Random(0)
    smallest = float("inf")
    for _ in range(PROBES):
        state, product = start, 1.0
        while state.current_player() != TERMINAL and product <= PROBE_MARGIN * node_budget:
            player = state.current_player()
            if player < CHANCE:
                return  # not a player's node: the walk says what is wrong with it
            moves = (
                [action for action, _ in state.chance_outcomes()]
                if player == CHANCE
                else state.legal_actions()
            )
            if not moves:
                return
            product *= len(moves)
            state = state.child(rng.choice(moves))
        smallest = min(smallest, product)
        if smallest <= PROBE_MARGIN * node_budget:
            return
    raise UnenumerableGameError(
        f"{name}: far more than {node_budget:,} histories ({PROBES} random plays each passed "
        f"{smallest:.0e} alternatives); choose smaller parameters, or use method mccfr, which "
        "samples"
    )


def _sorted_treeplex(own: _Decisions, leaf_column: np.ndarray) -> tuple[Treeplex, np.ndarray]:
    """The treeplex in (depth, actions, leaves that end there) order, and old to new sequence."""
    parent = np.array(own.parent, dtype=np.int32)
    first = np.array(own.first, dtype=np.int32)
    count = np.array([len(legal) for legal in own.legal], dtype=np.int32)
    leaves = np.bincount(leaf_column, minlength=own.num_sequences)
    ending = np.add.reduceat(leaves, first) if len(first) else np.zeros(0, int)
    order = np.lexsort((leaves[first], ending, count, depths(parent, first, count)))
    new_first = np.empty_like(first)
    new_first[order] = 1 + np.cumsum(count[order]) - count[order]
    # Sequence first[j] + k becomes new_first[j] + k.
    renumber = np.arange(own.num_sequences, dtype=np.int32)
    renumber[1:] += np.repeat(new_first - first, count)
    names = list(own.index)
    actions = np.array([-1] + [a for j in order for a in own.legal[j]], dtype=np.int32)
    labels = ("", *(label for j in order for label in own.labels[j]))
    treeplex = Treeplex(
        information_sets=tuple(names[j] for j in order),
        parent_sequence=renumber[parent[order]],
        first_sequence=new_first[order],
        num_actions=count[order],
        actions=actions,
        labels=labels,
    )
    return treeplex, renumber


def _merge(
    sequence: np.ndarray, utility: np.ndarray, chance: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sort leaves by their tuples of last sequences; of equal ones add up the rest."""
    order = np.lexsort(sequence.T[::-1])
    sequence = sequence[order]
    new = np.concatenate([[True], np.any(sequence[1:] != sequence[:-1], axis=1)])
    starts = np.flatnonzero(new)
    return (
        sequence[starts],
        np.add.reduceat(utility[order], starts, axis=0),
        np.add.reduceat(chance[order], starts),
    )
