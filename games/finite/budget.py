"""Node budgets of trees, and probes that refuse far too large games at once.

Knuth, "Estimating the efficiency of backtrack programs" (1975).
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable

from games.common.errors import UnenumerableGameError
from games.finite.game import CHANCE, NODE_BUDGET, State

PROBES = 5
PROBE_MARGIN = 100.0  # of histories
SLOW_MARGIN = 10.0  # of seconds
TRAVERSED = 20_000  # histories, where method mccfr is asked to play
PROBE_SECONDS = 20.0  # of computing, for random plays
# What a node budget of 20 million allows beside its histories; a larger one allows more in
# proportion, a smaller one no less.
LONGEST_PLAY = 5_000  # moves, those of chance included
SECONDS = 1_800.0  # of computing; games in Python take up to 1,700 for their 20 million histories
CHARACTERS = 2_000_000_000  # in the names of information sets
LOOK = 16  # histories between two looks at the clock


class Budget:
    """A limit on the size of a tree: its histories, and limits that follow from them.

    The other limits are for trees that would not come near their number of histories for hours. A
    state holds all that was played, so that time and memory of a walk grow with the square of the
    length of a play; and a state of a large board may take a second.
    """

    def __init__(self, name: str, node_budget: int, *, samples: bool = False) -> None:
        """Args:
        name: the game's.
        node_budget: the most histories.
        samples: whether method mccfr plays this game, which messages then recommend.
        """
        self.name = name
        self.histories = node_budget
        self.samples = samples
        scale = max(1.0, node_budget / NODE_BUDGET)
        self.longest_play = int(LONGEST_PLAY * scale)
        self.seconds = SECONDS * scale
        self.characters = int(CHARACTERS * scale)
        self._began = time.thread_time()

    @property
    def spent(self) -> float:
        """CPU seconds so far."""
        return time.thread_time() - self._began

    def exceeded(
        self, what: str, *, ends: bool = True, hopeless: bool = False
    ) -> UnenumerableGameError:
        """The error for an exceeded budget.

        Args:
            what: exceeds the budget.
            ends: whether the plays that were seen ended; sampling helps only then.
            hopeless: whether a larger budget would not help.
        """
        ways = [] if hopeless else ["raise node_budget"]
        ways.append("choose smaller parameters")
        if self.samples and ends:
            ways.append("use method mccfr, which samples")
        advice = " or ".join([", ".join(ways[:-1]), ways[-1]] if ways[:-1] else ways)
        return UnenumerableGameError(f"{self.name}: {what}; {advice}")


def refuse_hopeless(start: State, name: str, node_budget: int, *, samples: bool = False) -> None:
    """Refuse at once a game that is far too large, before the budget runs out.

    Knuth (1975): along a uniformly random play, the product of the branching factors has the
    number of terminals as its mean, and that times the seconds a move bounds the walk's time. By
    Markov's inequality a game within the budget exceeds 100 times the budget in one probe with
    probability at most 1/100, in five of five with 1e-10; ten times the seconds with 1e-5.

    Args:
        start, name, node_budget, samples: as in `enumerate_game`.

    Raises:
        UnenumerableGameError: it is; or a random play does not end.
    """
    budget = Budget(name, node_budget, samples=samples)
    rng = random.Random(0)
    most, longest = PROBE_MARGIN * node_budget, SLOW_MARGIN * budget.seconds
    smallest, quickest = float("inf"), float("inf")  # terminals, and seconds, by the probes
    for _ in range(PROBES):
        began = budget.spent
        product, length = _random_play(start, budget, lambda player, moves: rng.choice(moves), most)
        smallest = min(smallest, product)
        quickest = min(quickest, product * (budget.spent - began) / max(length, 1))
        if smallest <= most and quickest <= longest:
            return
    if smallest > most:
        raise budget.exceeded(
            f"far more than {node_budget:,} histories ({PROBES} random plays each passed "
            f"{smallest:.0e} alternatives)",
            hopeless=True,
        )
    raise budget.exceeded(
        f"would take far longer than the {budget.seconds:,.0f} s of computing that its node "
        f"budget allows ({PROBES} random plays each let expect {quickest:.0e} s)",
        hopeless=True,
    )


def refuse_endless(start: State, name: str, num_players: int) -> None:
    """Refuse a game in which external sampling would not finish its first traversal.

    It follows every move of one player, and one move at random of all others and of chance. So
    does this, up to `TRAVERSED` histories: where it gets deeper than `Budget` allows the solver,
    which calls itself for every move, would not end or would use up its stack.

    Raises:
        UnenumerableGameError: such a play is longer than that.
    """
    budget, rng = Budget(name, NODE_BUDGET), random.Random(0)
    for traverser in range(num_players):
        stack: list[tuple[State, list[int]]] = []
        state = start
        for _ in range(TRAVERSED):
            player = state.current_player()
            moves = []
            if player == CHANCE:
                moves = [rng.choice([action for action, _ in state.chance_outcomes()])]
            elif player > CHANCE:
                moves = list(state.legal_actions())
                if player != traverser:
                    moves = [rng.choice(moves)]
            if moves:
                stack.append((state, moves[::-1]))
            if len(stack) > budget.longest_play:
                raise budget.exceeded(
                    f"a play of more than {budget.longest_play:,} moves, which sampling would "
                    "follow to its end",
                    ends=False,
                    hopeless=True,
                )
            while stack and not stack[-1][1]:
                stack.pop()
            if not stack:
                break
            parent, moves = stack[-1]
            state = parent.child(moves.pop())


def _random_play(
    state: State,
    budget: Budget,
    choose: Callable[[int, list[int]], int],
    enough: float = float("inf"),
) -> tuple[float, int]:
    """The product of a play's branching factors, until it passes `enough`; and its moves.

    A node that cannot be played ends it too: the walk says what is wrong with that.

    Raises:
        UnenumerableGameError: the play does not end, or not within `PROBE_SECONDS`.
    """
    product, length = 1.0, 0
    while product <= enough and (player := state.current_player()) >= CHANCE:
        moves = (
            [action for action, _ in state.chance_outcomes()]
            if player == CHANCE
            else state.legal_actions()
        )
        if not moves:
            break
        length += 1
        if length > budget.longest_play:
            raise budget.exceeded(
                f"a random play did not end within {budget.longest_play:,} moves",
                ends=False,
                hopeless=True,
            )
        if budget.spent > PROBE_SECONDS:
            raise budget.exceeded(
                f"random plays did not end within {PROBE_SECONDS:g} s of computing (this one has "
                f"{length:,} moves)",
                ends=False,
                hopeless=True,
            )
        product *= len(moves)
        state = state.child(choose(player, moves))
    return product, length
