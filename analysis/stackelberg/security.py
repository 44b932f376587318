"""Security games: how to place few guards if the attacker observes the mixture.

T targets, a defender with `resources` guards, an attacker who sees how likely each target is to be
covered and attacks one. Ties go the defender's way (a strong Stackelberg equilibrium).

Kiekintveld et al., "Computing optimal randomized resource allocations for massive security games"
(2009): ORIGAMI, ERASER, and ERASER-C's schedules.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from analysis.equilibria.equilibrium import Unverified
from analysis.stackelberg.lotteries import decompose, lottery_over_schedules
from games import InputError
from games.common.programs import Program, run
from games.common.progress import Progress
from games.finite.security import SecurityGame
from games.finite.sequence_form import Float64

Triples = list[tuple[ArrayLike, ArrayLike, ArrayLike]]

RESOLUTION = 1e-9  # of the range of the attacker's payoffs: targets this close are equally good


@dataclass(frozen=True, eq=False)
class Coverage:
    """An optimal commitment in a security game, verified before it was returned."""

    game: SecurityGame
    method: str  # description of the algorithm
    coverage: Float64  # [T]  probability that each target is covered
    attacked: int  # the attacker's best response that is best for the defender
    values: Float64  # [2]  the defender's and the attacker's
    bound: float  # upper bound on the defender's payoff
    allocations: tuple[tuple[float, tuple[int, ...]], ...]
    """A lottery over (probability, targets covered at once) with this coverage; empty if the
    schedules are known to allow none, or too many to tell."""
    facts: Mapping[str, float | str] = field(default_factory=dict)

    @property
    def gap(self) -> float:
        """How much better for the defender a commitment could still be."""
        return max(self.bound - float(self.values[0]), 0.0)

    def __repr__(self) -> str:
        defender, attacker = self.values
        return (
            f"Coverage({self.game.name} by {self.method}: {self.game.targets[self.attacked]!r} is "
            f"attacked, defender {defender:.6g}, attacker {attacker:.6g})"
        )


def origami(game: SecurityGame, *, tolerance: float = 1e-7) -> Coverage:
    """The best coverage, exact, in the time it takes to sort T targets.

    It brings the attacker's best value w down as far as the resources go. To keep it at w takes

        c[t] = max(0, attacker_uncovered[t] - w) / (attacker_uncovered[t] - attacker_covered[t])

    and w is the smallest number at which none of these passes 1 (it is no less than any covered
    value) and their sum is at most `resources`. The sum is the largest of its partial sums without
    the max, over targets in descending order of their uncovered value; each of those is linear in
    w, so that the smallest w is a maximum of T quotients and nothing is searched for.

    Args:
        game: targets, payoffs and the number of resources, each of which covers any one target.
        tolerance: the largest gain of the attacker, times the size of its payoffs.

    Raises:
        Unverified: the attacked target is not a best response.
    """
    # Why the smallest w is best: a target that is attacked at a larger w is attacked at this one
    # too, where its coverage, which is what leaves the attacker exactly w, is larger. Resources
    # that are left over here cannot help, since more coverage of the attacked target would send the
    # attacker elsewhere; unless the attacker does not mind coverage there, and then it gets them.
    floor = float(game.attacker_covered.max())
    above = game.attacker_uncovered - floor
    order = np.argsort(-above, kind="stable")
    order = order[above[order] > 0]
    width = game.attacker_uncovered - game.attacker_covered
    needed = np.cumsum(above[order] / width[order])  # to keep the first n at the floor
    slope = np.cumsum(1.0 / width[order])
    level = floor + float(((needed - game.resources) / slope).max(initial=0.0))
    coverage = np.zeros(len(game.targets))
    high = game.attacker_uncovered > level
    coverage[high] = (game.attacker_uncovered[high] - level) / width[high]
    coverage = np.clip(coverage, 0.0, 1.0)

    spare = min(max(game.resources - float(coverage.sum()), 0.0), 1.0)
    if_attacked = np.where(width == 0, spare, coverage)
    tempting = game.attacker_values(coverage) >= level - RESOLUTION * _size(game)
    worth = np.where(tempting, game.defender_values(if_attacked), -np.inf)
    attacked = int(worth.argmax())
    coverage[attacked] = if_attacked[attacked]
    return _verified(game, "ORIGAMI", coverage, attacked, tolerance=tolerance)


def eraser(
    game: SecurityGame,
    schedules: Sequence[Sequence[int]] | None = None,
    *,
    seconds: float | None = None,
    tolerance: float = 1e-7,
    progress: Progress | None = None,
) -> Coverage:
    """The best coverage by a mixed-integer program, which can take schedules.

    A schedule is a set of targets that one resource covers at once. All resources can take every
    schedule, and a resource may leave out targets of its own. As in ERASER-C, the probability that
    a target is covered is limited by the sum of its schedules' probabilities, as if no two of them
    were ever taken together. Where schedules overlap that may promise more than any lottery over
    allocations keeps (Korzhyk, Conitzer & Parr 2010): the answer's value is then a bound only.
    `facts["implementable"]` is "yes", with the lottery in `allocations`; "no"; or "unknown"
    where there are too many allocations to enumerate.

    Args:
        game: targets, payoffs and the number of resources.
        schedules: numbers of targets, a set for each schedule; without, any one target.
        seconds: when to stop; the best coverage by then is returned with its `bound`.
        tolerance: the largest gain of the attacker, times the size of its payoffs.
        progress: called with a message on how far it is; stops the search by returning True.

    Raises:
        InputError: a schedule that is empty or names an unknown target.
        RuntimeError: stopped before there was any answer.
        Unverified: the attacked target is not a best response.
    """
    count = len(game.targets)
    sets = _checked(game, schedules)
    low = float(game.defender_uncovered.min())
    scale = float(game.defender_covered.max()) - low or 1.0
    mine = (game.defender_covered - low) / scale, (game.defender_uncovered - low) / scale
    base, size = float(game.attacker_covered.min()), _size(game)
    theirs = (game.attacker_covered - base) / size, (game.attacker_uncovered - base) / size

    program, t = Program(), np.arange(count)
    c = program.variables(count, 0.0, 1.0)
    y = program.variables(len(sets), 0.0, 1.0)
    attack = program.variables(count, 0.0, 1.0)
    program.make_integer(attack)
    defender = program.variables(1, 0.0, 1.0, 1.0)[0]
    attacker = program.variables(1, 0.0, 1.0)[0]
    program.rows(1, [(np.zeros(len(sets), int), y, 1.0)], upper=game.resources)
    target = np.concatenate(sets)
    chosen = np.repeat(y, [len(s) for s in sets])
    program.rows(count, [(t, c, 1.0), (target, chosen, -1.0)], upper=0.0)
    program.rows(1, [(np.zeros(count, int), attack, 1.0)], 1.0, 1.0)
    # The defender's value is no more than at the attacked target. Elsewhere the row has to say
    # nothing: the value is at most 1, so the least constant that does it is 1 - uncovered.
    slack = 1.0 - mine[1]
    gained: Triples = [(t, defender, 1.0), (t, c, mine[1] - mine[0]), (t, attack, slack)]
    program.rows(count, gained, upper=mine[1] + slack)
    # The attacker's is no less than at any target, and no more than at the attacked one.
    reached: Triples = [(t, attacker, 1.0), (t, c, theirs[1] - theirs[0])]
    program.rows(count, reached, theirs[1])
    highest = float(theirs[1].max())
    slack = highest - theirs[0]
    program.rows(count, [*reached, (t, attack, slack)], upper=theirs[1] + slack)

    answer = run(program.model(maximise=True), seconds=seconds, progress=progress)
    coverage = np.clip(answer.x[c], 0.0, 1.0)
    use = np.clip(answer.x[y], 0.0, 1.0)
    over = max(float(use.sum()) / game.resources, 1.0)  # by rounding
    return _verified(
        game,
        "ERASER, a mixed-integer program" + (" with schedules" if schedules is not None else ""),
        coverage / over,
        int(answer.x[attack].argmax()),
        bound=low + scale * answer.bound,
        schedules=None if schedules is None else (sets, use / over),
        tolerance=tolerance,
    )


def _size(game: SecurityGame) -> float:
    """The range of the attacker's payoffs."""
    return float(game.attacker_uncovered.max() - game.attacker_covered.min()) or 1.0


def _checked(game: SecurityGame, schedules: Sequence[Sequence[int]] | None) -> list[np.ndarray]:
    """The targets of each schedule."""
    count = len(game.targets)
    if schedules is None:
        return list(np.arange(count)[:, None])
    try:
        sets = [np.unique([operator.index(t) for t in own]) for own in schedules]
    except TypeError:
        raise InputError(
            f"{game.name}: a schedule is a list of targets' numbers, from 0 to {count - 1}"
        ) from None
    for k, own in enumerate(sets):
        if not len(own) or own[0] < 0 or own[-1] >= count:
            raise InputError(
                f"{game.name}: schedule {k} is {list(schedules[k])}: it needs one target or more, "
                f"from 0 to {count - 1}"
            )
    if not sets:
        raise InputError(f"{game.name}: no schedules: leave them out if there are none to keep")
    return sets


def _verified(
    game: SecurityGame,
    method: str,
    coverage: Float64,
    attacked: int,
    *,
    tolerance: float,
    bound: float = -np.inf,
    schedules: tuple[list[np.ndarray], Float64] | None = None,
) -> Coverage:
    """The answer, if the attacked target is a best response to it."""
    attacker = game.attacker_values(coverage)
    gain = float(attacker.max() - attacker[attacked])
    if not gain <= tolerance * max(1.0, _size(game)):
        raise Unverified(
            f"{game.name}: the answer of {method} is no equilibrium: the attacker gains {gain:.2e}"
        )
    value = float(game.defender_values(coverage)[attacked])
    facts: dict[str, float | str] = {"attacker's gain": gain}
    if schedules is None:
        lottery = decompose(coverage, game.resources)
    else:
        lottery, facts["implementable"] = lottery_over_schedules(
            coverage, game.resources, *schedules
        )
    return Coverage(
        game=game,
        method=method,
        coverage=coverage,
        attacked=attacked,
        values=np.array([value, attacker[attacked]]),
        bound=max(bound, value),
        allocations=lottery,
        facts=facts,
    )
