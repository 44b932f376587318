"""The sequence form: a finite game of perfect recall as flat arrays.

Koller, Megiddo and von Stengel, "Efficient computation of equilibria for extensive two-person
games" (1996); the tree of one player's sequences is the treeplex of Hoda et al. (2010).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from games.common.coded import coded

Int32 = NDArray[np.int32]
Float64 = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Treeplex:
    """One player's decision problem: J information sets and S sequences, parents before children.

    Sequence 0 is the empty one. The children of an information set are contiguous. Information
    sets stand in order of (own decisions so far, number of actions), so that neighbours have the
    same shape (see `KernelArrays`).
    """

    information_sets: tuple[str, ...]
    parent_sequence: Int32  # [J]  sequence that leads to information set j
    first_sequence: Int32  # [J]  its first child sequence
    num_actions: Int32  # [J]
    actions: Int32  # [S]  the game's own action id; -1 for the empty sequence
    labels: tuple[str, ...]  # [S]  what the game calls the action; "" for the empty sequence

    @property
    def num_sequences(self) -> int:
        return len(self.actions)

    @cached_property
    def index(self) -> dict[str, int]:
        """Information-set string to its number."""
        return {name: j for j, name in enumerate(self.information_sets)}


@dataclass(frozen=True, eq=False)
class KernelArrays:
    """A SequenceForm as the kernels read it.

    A block is a run of J information sets of equal depth and number of actions. Its sequences stand
    action by action: first the J first actions, then the J second ones, and so on, so that a sweep
    over a block is a few loops over contiguous numbers, which the compiler turns into vector
    instructions. The players' sequences follow one another. A sequence's number in this order is
    its place; nothing outside of the kernels and the solvers' own state sees places.

    Indices are unsigned: numba then drops its test for negative ones.
    """

    place: Int32  # [S]  of each sequence, the players' sequences laid end to end
    sequence: Int32  # [S]  at each place: the inverse
    players: NDArray[np.uint64]  # [N + 1]  where each player's places begin
    blocks: NDArray[np.uint64]  # [G, 4]  first information set, how many, first place, actions
    player_blocks: NDArray[np.int64]  # [N + 1]  where each player's blocks begin
    parent: NDArray[np.uint32]  # [J]  place of the parent sequence of each information set
    row: NDArray[np.uint32]  # [S + 1]  where the leaves that end at each place begin
    other: NDArray[np.uint32]  # [L * (N - 1)]  places of the others' last sequences at each leaf
    utility: Float64  # [L]  the player's utility times chance probability at each leaf

    @property
    def num_sequences(self) -> int:
        return len(self.place)

    @property
    def longest_block(self) -> int:
        """Information sets in the longest block."""
        return int(self.blocks[:, 1].max(initial=0))


@coded("leaf_utility", "leaf_chance")
@dataclass(frozen=True, eq=False)
class SequenceForm:
    """A finite game of N players with perfect recall, general sum and chance.

    Leaves with the same tuple of last sequences are merged, their utilities and the probabilities
    of chance added up; they stand in lexicographic order of that tuple.
    """

    game: str  # the game string it was compiled from
    players: tuple[Treeplex, ...]
    leaf_sequence: Int32  # [L, N]  last sequence of each player
    leaf_utility: Float64  # [L, N]  utility times chance probability
    leaf_chance: Float64  # [L]  chance probability; times all players' plans they add up to 1
    num_histories: int  # nodes of the game tree, root, chance and terminals included
    num_terminals: int

    @property
    def num_players(self) -> int:
        return len(self.players)

    @cached_property
    def information_sets(self) -> tuple[str, ...]:
        """All players' information sets, player by player: the rows of a Strategy."""
        return tuple(name for player in self.players for name in player.information_sets)

    @cached_property
    def rows(self) -> tuple[Int32, Int32, Int32, NDArray[np.bool_]]:
        """The other columns of such a Strategy: player [J], first action [J + 1], actions [A]; and
        which sequences [S] are actions, all but the empty ones."""
        owners = np.arange(self.num_players, dtype=np.int32)
        player = np.repeat(owners, [len(p.information_sets) for p in self.players])
        ends = np.cumsum(np.concatenate([p.num_actions for p in self.players]))
        actions = np.concatenate([p.actions for p in self.players])
        first_action = np.concatenate([[0], ends]).astype(np.int32)
        is_action = np.concatenate([np.arange(p.num_sequences) > 0 for p in self.players])
        return player, first_action, actions[is_action], is_action

    @cached_property
    def arrays(self) -> KernelArrays:
        """The arrays that the kernels sweep, made on first use and kept."""
        return _kernel_arrays(self)

    def __repr__(self) -> str:
        information_sets = "/".join(str(len(p.information_sets)) for p in self.players)
        sequences = "/".join(str(p.num_sequences) for p in self.players)
        return (
            f"SequenceForm({self.game}: {self.num_players} players, {self.num_histories:,} "
            f"histories, {information_sets} information sets, {sequences} sequences, "
            f"{len(self.leaf_sequence):,} leaves)"
        )


def has_chance(form: SequenceForm) -> bool:
    """Whether chance decides anything that makes a difference to players or payoffs."""
    return bool(np.any(form.leaf_chance < 1.0 - 1e-12))


def utilities(form: SequenceForm) -> Float64:
    """What the players get at each leaf, [L, N]; 0 where chance never leads.

    Where leaves were merged it is the average over chance outcomes that no player can tell apart.
    """
    chance = form.leaf_chance[:, None]
    nothing = np.zeros_like(form.leaf_utility)
    return np.divide(form.leaf_utility, chance, out=nothing, where=chance > 0)


def utility_ranges(form: SequenceForm) -> tuple[Float64, Float64]:
    """The least that each player [N] can get, and how much more it can get [N]."""
    reached = utilities(form)[form.leaf_chance > 0]
    return reached.min(axis=0), np.ptp(reached, axis=0)


def largest_utilities(form: SequenceForm) -> Float64:
    """The largest absolute utility of each player [N] at any leaf."""
    return np.abs(utilities(form)).max(axis=0, initial=0.0)


def utility_scale(form: SequenceForm) -> float:
    """The largest range of a player's utilities, the unit of precisions; 1 if there is none."""
    return float(utility_ranges(form)[1].max()) or 1.0


def check(form: SequenceForm) -> None:
    """Assert the invariants of a SequenceForm; raises ValueError naming the one that fails."""

    def require(condition: object, what: str) -> None:
        if not condition:
            raise ValueError(f"not a sequence form: {what}")

    require(form.leaf_sequence.shape == form.leaf_utility.shape, "leaf arrays of unequal shape")
    require(form.leaf_sequence.shape[1:] == (form.num_players,), "leaf arrays without N columns")
    require(np.all(np.isfinite(form.leaf_utility)), "a utility that is not finite")
    chance = form.leaf_chance
    require(chance.shape == form.leaf_sequence.shape[:1], "not a chance probability for each leaf")
    # Zero is allowed: a game may list an outcome that never comes about.
    require(np.all((chance >= 0) & (chance <= 1 + 1e-9)), "a chance probability outside of 0 to 1")
    require(np.all(form.leaf_utility[chance == 0] == 0), "a utility where chance never leads")
    for i, player in enumerate(form.players):
        first, count = player.first_sequence, player.num_actions
        require(len(player.information_sets) == len(first) == len(count), f"player {i}: lengths")
        require(np.all(count >= 1), f"player {i}: an information set without actions")
        ends = np.concatenate([[1], 1 + np.cumsum(count)])
        require(np.array_equal(first, ends[:-1]), f"player {i}: children are not contiguous")
        require(player.num_sequences == ends[-1], f"player {i}: number of sequences")
        require(len(player.labels) == player.num_sequences, f"player {i}: number of labels")
        require(np.all(player.parent_sequence >= 0), f"player {i}: parent sequences")
        require(np.all(player.parent_sequence < first), f"player {i}: a parent after its child")
        column = form.leaf_sequence[:, i]
        require(np.all((column >= 0) & (column < ends[-1])), f"player {i}: leaf sequences")
    total = float(chance @ _uniform_reach(form))
    require(abs(total - 1.0) <= 1e-9, f"the leaves' probabilities add up to {total:.12g}")


def _uniform_reach(form: SequenceForm) -> Float64:
    """The probability [L] that the players, choosing at random, leave to each leaf."""
    arrays, plan = form.arrays, np.ones(form.arrays.num_sequences)
    for first_set, count, first, actions in arrays.blocks.astype(np.int64):
        parent = arrays.parent[first_set : first_set + count]
        plan[first : first + count * actions] = np.tile(plan[parent] / actions, actions)
    plan = plan[arrays.place]
    reach = np.ones(len(form.leaf_sequence))
    for i, start in enumerate(arrays.players[:-1].astype(np.int64)):
        reach *= plan[start:][form.leaf_sequence[:, i]]
    return reach


def depths(parent: Int32, first: Int32, count: Int32) -> NDArray[np.int32]:
    """Own decisions before each information set, [J]; parents stand before children."""
    sequence_depth = np.zeros(1 + int(count.sum()), dtype=np.int32)
    depth = np.empty(len(parent), dtype=np.int32)
    for j, (p, f, n) in enumerate(
        zip(parent.tolist(), first.tolist(), count.tolist(), strict=True)
    ):
        depth[j] = sequence_depth[p]
        sequence_depth[f : f + n] = sequence_depth[p] + 1
    return depth


def _blocks(player: Treeplex) -> NDArray[np.int64]:
    """Runs of information sets of equal depth and number of actions, [G, 4]."""
    if not player.information_sets:
        return np.empty((0, 4), dtype=np.int64)
    depth = depths(player.parent_sequence, player.first_sequence, player.num_actions)
    shape = np.stack([depth, player.num_actions], axis=1)
    starts = np.flatnonzero(np.concatenate([[True], np.any(shape[1:] != shape[:-1], axis=1)]))
    length = np.diff(np.append(starts, len(depth)))
    first, count = player.first_sequence[starts], player.num_actions[starts]
    return np.stack([starts, length, first, count], axis=1).astype(np.int64)


def _paying(
    form: SequenceForm, player: int, starts: NDArray[np.int64], place: NDArray[np.int64]
) -> tuple[NDArray[np.uint32], NDArray[np.uint32], Float64]:
    """The leaves that pay a player anything, by the place of its last sequence.

    The others add nothing to any of its sweeps. Returns the places of the player's own last
    sequences [L'], of the others' [L' * (N - 1)], and what the leaves pay [L'].
    """
    utility = form.leaf_utility[:, player]
    paying = np.flatnonzero(utility)
    utility, own_place = utility[paying], place.astype(np.uint32)
    own = own_place[form.leaf_sequence[paying, player] + starts[player]]
    order = np.argsort(own, kind="stable")
    paying = paying[order]
    rivals = np.empty((len(paying), form.num_players - 1), dtype=np.uint32)
    for k, rival in enumerate(i for i in range(form.num_players) if i != player):
        rivals[:, k] = own_place[form.leaf_sequence[paying, rival] + starts[rival]]
    return own[order], rivals.ravel(), utility[order]


def _kernel_arrays(form: SequenceForm) -> KernelArrays:
    starts = np.concatenate([[0], np.cumsum([p.num_sequences for p in form.players])])
    sets = np.concatenate([[0], np.cumsum([len(p.num_actions) for p in form.players])])
    shifts = [np.array([sets[i], 0, starts[i], 0]) for i in range(form.num_players)]
    blocks = [_blocks(p) + shift for p, shift in zip(form.players, shifts, strict=True)]
    place = np.arange(starts[-1])
    for _, count, first, actions in np.concatenate(blocks):
        inside = np.arange(count * actions)
        place[first + inside] = first + inside % actions * count + inside // actions
    parents, rows, others, utilities = [], [np.zeros(1, np.int64)], [], []
    for i, player in enumerate(form.players):
        parents.append(place[player.parent_sequence + starts[i]])
        own, rivals, utility = _paying(form, i, starts, place)
        others.append(rivals)
        utilities.append(utility)
        rows.append(np.bincount(own - starts[i], minlength=player.num_sequences))
    return KernelArrays(
        place=place.astype(np.int32),
        sequence=np.argsort(place).astype(np.int32),
        players=starts.astype(np.uint64),
        blocks=np.concatenate(blocks).astype(np.uint64),
        player_blocks=np.concatenate([[0], np.cumsum([len(b) for b in blocks])]),
        parent=np.concatenate(parents).astype(np.uint32),
        row=np.cumsum(np.concatenate(rows)).astype(np.uint32),
        other=np.concatenate(others),
        utility=np.concatenate(utilities),
    )
