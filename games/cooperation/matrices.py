"""Common-payoff games by name: climbing, penalty, the two-step game, and a user's own matrices."""

from __future__ import annotations

from typing import Any

import numpy as np

from games.common.errors import InputError, did_you_mean
from games.cooperation.common_payoff import CommonPayoff, array_of

MOST_ROUNDS = 1000
CLIMBING = ((11, -30, 0), (-30, 7, 6), (0, 0, 5))
"""The climbing game of Claus and Boutilier, "The dynamics of reinforcement learning in cooperative
multiagent systems" (AAAI 1998): whoever climbs to 11 alone falls to -30."""
PENALTY = -100.0
KNOWN = ("climbing", "penalty")


def matrix(payoff: Any = "climbing", penalty: float | None = None, rounds: int = 1) -> CommonPayoff:
    """A matrix game in which all agents are paid the same, played once or again and again.

    Args:
        payoff: "climbing" or "penalty", both of Claus and Boutilier (AAAI 1998); or numbers
            [A1, ..., AN], what the joint choices of N agents pay to each of them.
        penalty: k of the game "penalty", -100 unless given: what two agents are paid who each play
            for 10, but not the same 10. At most 0.
        rounds: how often it is played; agents see the round, not what others chose.

    Raises:
        InputError: an unknown name, a table that is not one, or a number out of its range.
    """
    where = "cooperation.matrix"
    if not isinstance(rounds, int) or isinstance(rounds, bool) or not 1 <= rounds <= MOST_ROUNDS:
        raise InputError(
            f"{where}: rounds is {rounds!r}; give a whole number from 1 to {MOST_ROUNDS:,}"
        )
    if penalty is not None:
        if payoff != "penalty":
            raise InputError(f"{where}: only payoff=penalty has a penalty; leave it out")
        number = isinstance(penalty, int | float) and not isinstance(penalty, bool)
        if not number or not -np.inf < penalty <= 0:
            raise InputError(f"{where}: penalty is {penalty!r}; give a number of at most 0")
    title = payoff if isinstance(payoff, str) else "payoffs"
    if isinstance(payoff, str):
        if payoff not in KNOWN:
            raise InputError(
                f"{where}: unknown payoff {payoff!r}: {did_you_mean(payoff, KNOWN)}; or give a "
                "table of numbers, such as [[1, 0], [0, 2]]"
            )
        payoff = CLIMBING if payoff == "climbing" else penalised(penalty)
    table = array_of(payoff, f"{where}: payoff")
    later = [np.full(table.shape, stage + 1) for stage in range(rounds)]
    return CommonPayoff(where, [table] * rounds, later, (title,) * rounds)


def penalised(penalty: float | None = None) -> tuple[tuple[float, ...], ...]:
    """The penalty game of Claus and Boutilier (1998) with k = `penalty`."""
    k = PENALTY if penalty is None else float(penalty)
    return ((10, 0, k), (0, 2, 0), (k, 0, 10))


def two_step() -> CommonPayoff:
    """The two-step game of QMIX: agent 0's first choice selects the matrix game that is played.

    Rashid, Samvelyan, Schroeder de Witt, Farquhar, Foerster and Whiteson, "QMIX: monotonic value
    function factorisation for deep multi-agent reinforcement learning" (ICML 2018, arXiv
    1803.11485), section 5. In state 1 nobody is paid: choice 0 of agent 0 leads to state 2A, where
    all joint choices pay 7, choice 1 to state 2B, which pays [[0, 1], [1, 8]]. The best return is
    8. The sum of a value for each agent cannot express 2B: fitted to it, its best is 6.5, below 7.
    """
    nothing = [[0.0, 0.0], [0.0, 0.0]]
    return CommonPayoff(
        "cooperation.two_step",
        [nothing, [[7, 7], [7, 7]], [[0, 1], [1, 8]]],
        [[[1, 1], [2, 2]], [[3, 3], [3, 3]], [[3, 3], [3, 3]]],
        ("state 1", "state 2A", "state 2B"),
    )
