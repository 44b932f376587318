"""Compile a game to its sequence form by walking its whole tree once."""

from __future__ import annotations

import sys
from array import array
from bisect import bisect_right

import numpy as np

from games.common.errors import GameError
from games.finite.budget import LOOK, Budget
from games.finite.game import CHANCE, TERMINAL, State
from games.finite.sequence_form import SequenceForm, Treeplex, depths


class _Decisions:
    """One player's information sets in the order in which the walk meets them."""

    def __init__(self) -> None:
        self.index: dict[str, int] = {}
        self.parent = array("i")
        self.first = array("i")
        self.legal: list[tuple[int, ...]] = []
        self.labels: list[list[str]] = []
        self.num_sequences = 1
        self.characters = 0  # in all names

    def add(self, name: str, parent: int, legal: list[int], labels: list[str]) -> int:
        number = self.index[name] = len(self.first)
        self.parent.append(parent)
        self.first.append(self.num_sequences)
        self.legal.append(tuple(legal))
        self.labels.append(labels)
        self.num_sequences += len(legal)
        self.characters += len(name)
        return number

    def path(self, sequence: int) -> list[tuple[str, int]]:
        """The information sets on the way to a sequence, and the action taken at each."""
        names, found = list(self.index), []
        while sequence:
            number = bisect_right(self.first, sequence) - 1
            action = self.legal[number][sequence - self.first[number]]
            found.append((names[number], action))
            sequence = self.parent[number]
        return found[::-1]


def enumerate_game(
    start: State, name: str, num_players: int, node_budget: int, *, samples: bool = False
) -> SequenceForm:
    """The sequence form of a turn-based game.

    Args:
        start: the root of its tree.
        name: the game's name, for messages and for `SequenceForm.game`.
        num_players: how many there are.
        node_budget: the most histories to visit.
        samples: see `Budget`.

    Raises:
        UnenumerableGameError: the tree is larger than the budget, or than what `Budget` allows
            with it in moves of a play, computing time and names.
        GameError: imperfect recall, or information sets that do not fit together.
    """
    budget = Budget(name, node_budget, samples=samples)
    decisions = [_Decisions() for _ in range(num_players)]
    leaf_sequence, leaf_utility, leaf_chance = array("i"), array("d"), array("d")
    histories, terminals = 0, 0

    def so_far() -> str:
        found = sum(len(d.index) for d in decisions)
        return f"stopped after {terminals:,} terminals and {found:,} information sets"

    # An explicit stack: the depth of a game is not bounded by Python's recursion limit. It holds
    # one state a level, and not its children: on a large board those would fill the memory.
    stack: list[tuple[State, list[tuple[int, float, tuple[int, ...]]], int]] = []
    state, chance, last, depth = start, 1.0, (0,) * num_players, 0
    while True:
        histories += 1
        if histories > node_budget:
            raise budget.exceeded(f"more than {node_budget:,} histories ({so_far()})")
        if not histories % LOOK and budget.spent > budget.seconds:
            raise budget.exceeded(
                f"not walked within {budget.seconds:.0f} s of computing ({histories:,} histories, "
                f"{so_far()})"
            )
        player = state.current_player()
        if player == TERMINAL:
            terminals += 1
            leaf_sequence.extend(last)
            leaf_utility.extend([chance * u for u in state.returns()])
            leaf_chance.append(chance)
            moves = []
        elif player == CHANCE:
            moves = [(a, chance * p, last) for a, p in reversed(state.chance_outcomes())]
        elif player < 0:  # neither a player nor one of the two above
            raise GameError(
                f"{name}: has a node of player {player}, which is neither a player nor chance "
                "(a mean-field game?); only games of finitely many players have a sequence form"
            )
        else:
            own = decisions[player]
            information_set = state.information_state_string(player)
            legal = state.legal_actions()
            if not legal:
                raise GameError(
                    f"{name}: player {player} has no legal action at {information_set!r}"
                )
            number = own.index.get(information_set)
            if number is None:
                # The same few names at hundreds of thousands of places: one copy of each.
                labels = [sys.intern(state.action_to_string(player, action)) for action in legal]
                number = own.add(information_set, last[player], legal, labels)
                if own.characters > budget.characters:
                    raise budget.exceeded(
                        f"the names of player {player}'s information sets have more than "
                        f"{budget.characters:,} characters ({so_far()})"
                    )
            elif own.parent[number] != last[player]:
                how = _recall_failure(own, own.parent[number], last[player])
                raise GameError(
                    f"{name}: imperfect recall: player {player} reaches information set "
                    f"{information_set!r} {how}; the "
                    "sequence form needs perfect recall (if the game has a variant with it, load "
                    "that one)"
                )
            elif own.legal[number] != tuple(legal):
                raise GameError(
                    f"{name}: information set {information_set!r} of player {player} has different "
                    "legal actions at different histories; the game's information states are at "
                    "fault"
                )
            first, before, after = own.first[number], last[:player], last[player + 1 :]
            moves = [
                (legal[k], chance, (*before, first + k, *after))
                for k in range(len(legal) - 1, -1, -1)
            ]
        if moves:
            if depth >= budget.longest_play:
                raise budget.exceeded(
                    f"a play of more than {depth:,} moves ({so_far()})", ends=False
                )
            stack.append((state, moves, depth + 1))
        if not stack:
            break
        parent, moves, depth = stack[-1]
        action, chance, last = moves.pop()
        if not moves:
            stack.pop()
        state = parent.child(action)
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


def _recall_failure(own: _Decisions, one: int, other: int) -> str:
    """Describe the forgotten move of a player that reaches an information set by two sequences."""
    paths = own.path(one), own.path(other)
    moves = [[action for _, action in path] for path in paths]
    if moves[0] != moves[1]:
        return "by different own moves"
    pairs = zip(*paths, strict=True)
    k, a, b = next((k, a, b) for k, ((a, _), (b, _)) in enumerate(pairs) if a != b)
    return f"by the same own moves, but has forgotten whether move {k + 1} was at {a!r} or {b!r}"


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
