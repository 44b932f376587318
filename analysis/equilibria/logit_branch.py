"""Logit equilibria one after another: along the principal branch, or by mirror descent on a grid.

The branch is followed from precision 0 by a predictor and a corrector, over log probabilities:
Turocy (2005, 2010). Mirror descent with a magnet finds the equilibria of kind normal of games that
are too large for that: Sokota et al. (2023). `analysis.equilibria.quantal` has the titles.
"""

from __future__ import annotations

import itertools
import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from analysis.equilibria.equilibrium import Unverified
from analysis.equilibria.logit_response import LogitResponse
from games import InputError
from games.common.progress import Progress
from games.finite.kernels import descend, leaf_arrays, plan_of
from games.finite.sequence_form import Float64, utility_scale

LARGEST_DENSE = 100  # sequences up to which a dense matrix is solved faster than a sparse one
NASH = 1e-4  # regret, as a share of the game's utilities, at which a path without an end ends
# Of the corrector: steps at most, size of the last one, and rounding per largest squared.
MOST_CORRECTIONS, CONVERGED, ROUNDING = 8, 1e-9, 2e-14
# Of the predictor: first and shortest step; how far the corrector may go, in steps; and the least
# cosine of the turn. Wide enough for a few points a decade, too narrow to change branches.
FIRST_STEP, SHORTEST, WIDEST, SHARPEST = 0.1, 1e-9, 0.3, 0.9
# Of the end: corrections over which progress is measured, the most that may lie ahead at that
# speed, and the precision, in units of the game's own, above which it is rounding that slows it.
LATELY, MOST_AHEAD, FINE = 40, 1_000, 200.0
# Of mirror descent: the residual at which the next precision is tried, and the one to end with; the
# pull at which it gives up; leaves that are visited between two reports.
NEAR, MIRRORED, WEAKEST, REPORT = 1e-3, 1e-9, 1e-6, 20_000_000


@dataclass(frozen=True, eq=False)
class LogitPoint:
    """A logit equilibrium, and the direction (of length 1) in which the branch goes on."""

    log_behaviour: Float64  # [S]
    precision: float
    tangent: Float64  # [S + 1]  of log probabilities, and of precision in units of the game's own


def corrected(
    response: LogitResponse, x: Float64, normal: Float64
) -> tuple[Float64, Float64, int] | None:
    """Newton's method back to the branch, in the hyperplane through x [S + 1] with this normal.

    Returns the point, the tangent there (up to the last, negligible step) with a positive part
    along the normal, and the number of steps; or None if it does not converge.
    """
    from scipy.sparse import bmat, identity
    from scipy.sparse.linalg import splu

    unit = utility_scale(response.form)
    x, size, before = x.copy(), len(x) - 1, math.inf
    ahead = np.zeros(size + 1)
    ahead[-1] = 1.0
    for steps in range(1, MOST_CORRECTIONS + 1):
        answer, slope, drift = response.derivatives(x[:-1], x[-1] / unit)
        rows = [
            [identity(size) - slope, -drift[:, None] / unit],
            [normal[None, :-1], normal[None, -1:]],
        ]
        error = np.append(answer - x[:-1], 0.0)
        off = float(np.abs(np.exp(answer) - np.exp(np.minimum(x[:-1], 1.0))).max())
        try:
            if size <= LARGEST_DENSE:
                solved = np.linalg.solve(bmat(rows).toarray(), np.stack([error, ahead], axis=1))
            else:
                solved = splu(bmat(rows, format="csc")).solve(np.stack([error, ahead], axis=1))
        except (np.linalg.LinAlgError, RuntimeError):  # singular
            return None
        change, tangent = solved.T
        x += change
        # A probability of exp(-1e5) need not be known to the last digit of its logarithm.
        largest = float((np.abs(change) / (1.0 + np.abs(x))).max())
        # Utilities are known up to the rounding of log probabilities, and are multiplied by x[-1]:
        # steps that come to no more do not get smaller, though the probabilities are right.
        noise = ROUNDING * float(np.abs(x).max()) ** 2
        if largest <= CONVERGED or (largest <= noise and off <= CONVERGED):
            return x, tangent / np.linalg.norm(tangent), steps
        if not largest <= 4.0 * before:
            return None
        before = largest
    return None


def branch(
    response: LogitResponse, target: float, progress: Progress | None
) -> Iterator[LogitPoint]:
    """The principal branch from precision 0, up to the first point with the target precision.

    A step is taken along the tangent and corrected at right angles to it; the step that would pass
    the target is cut short, and corrected at that very precision.
    """
    unit = utility_scale(response.form)
    upwards = np.zeros(len(response.uniform) + 1)
    upwards[-1] = 1.0
    x = np.append(response.origin, 0.0)
    step, name = FIRST_STEP, response.form.game
    found = corrected(response, x, upwards)
    assert found is not None  # at precision 0 the response does not depend on the play
    x, tangent, _ = found
    yield LogitPoint(x[:-1], 0.0, tangent)
    speeds: deque[float] = deque(maxlen=LATELY)  # log precision before each of the last corrections
    while x[-1] < target * unit:
        speeds.append(math.log(x[-1]) if x[-1] > 0 else -math.inf)
        if x[-1] > FINE and _too_far(target * unit, x[-1], speeds):
            raise _OutOfReach(name, target, x[-1] / unit)
        last = tangent[-1] > 0 and x[-1] + step * tangent[-1] >= target * unit
        length = (target * unit - x[-1]) / tangent[-1] if last else step
        predicted = x + length * tangent
        found = corrected(response, predicted, upwards if last else tangent)
        near = found is not None and (
            np.linalg.norm(found[0] - predicted) <= WIDEST * length
            and found[1] @ tangent >= SHARPEST
            # The correction may carry a step past the target that was to stay before it.
            and (last or found[0][-1] < target * unit)
        )
        if found is None or not near:
            step = length / 2
            if step < SHORTEST * max(1.0, x[-1]):
                if x[-1] > FINE and target < math.inf:
                    raise _OutOfReach(name, target, x[-1] / unit)
                raise Unverified(f"{name}: the branch is lost at precision {x[-1] / unit:.6g}")
            continue
        x, tangent, corrections = found
        step = length * (2.0 if corrections <= 3 else 1.0 if corrections <= 5 else 0.5)
        precision = target if last else float(x[-1] / unit)
        yield LogitPoint(x[:-1], precision, tangent)
        if last or (progress is not None and progress(f"branch: precision {precision:.4g}")):
            return


class _OutOfReach(Unverified):
    """The precision is so large that rounding hides the branch before it, or slows it down."""

    def __init__(self, name: str, target: float, reached: float) -> None:
        super().__init__(
            f"{name}: precision {target:g} is out of reach: the branch was given up at "
            f"{reached:.3g}; ask for a smaller one, or for nash, the limit"
        )


def _too_far(target: float, now: float, before: deque[float]) -> bool:
    """Whether too many corrections lie ahead, at the speed of the last ones."""
    if len(before) < LATELY or target == math.inf:
        return False
    gained = math.log(now) - before[0]
    return math.log(target / now) > gained * MOST_AHEAD / LATELY


def mirror(
    response: LogitResponse, precision: float, start: Float64, progress: Progress | None
) -> Float64 | None:
    """Mirror descent to the logit equilibrium: log probabilities [S], or None if stopped.

    It goes by precisions that double, each from the last one's play. The pull is stepsize times
    temperature: an iteration forgets that share of the past, so 3 / pull of them should leave a
    twentieth of the residual. Where they leave more than half, the pull was too strong.

    Raises:
        Unverified: the pull is halved again and again, and the iterates still circle.
    """
    form, arrays = response.shifted, response.shifted.arrays
    x, value, magnet = start.copy(), np.zeros(len(start)), np.zeros(len(start))
    behaviour, pull = np.exp(x), 1.0
    report = max(1, REPORT // max(len(form.leaf_utility), 1))
    easy = min(precision, 1.0 / utility_scale(form))
    stages = [precision]  # from another precision's play, straight on; else by doubling
    while start is response.origin and stages[0] > easy:
        stages.insert(0, max(stages[0] / 2.0, easy))
    for stage in stages:
        wanted = MIRRORED if stage == precision else NEAR
        residual = response.residual(x, stage)
        while residual > wanted:
            plan, left = plan_of(arrays, behaviour), math.ceil(3.0 / pull)
            temperature = np.full(form.num_players, 1.0 / stage)
            stepsize = np.full(form.num_players, pull * stage)
            while left:
                now = min(left, report)
                descend(
                    leaf_arrays(form), arrays.blocks, arrays.player_blocks, arrays.parent,
                    now, temperature, stepsize, 0.0, True, x, magnet, behaviour, plan, value,
                )  # fmt: skip
                left -= now
                if progress is not None and progress(
                    f"mirror: precision {stage:.4g}, residual {residual:.1e}"
                ):
                    return None
            before, residual = residual, response.residual(x, stage)
            if not residual < 0.5 * before:
                pull /= 2.0
            elif residual < 0.1 * before:
                pull = min(1.0, 1.5 * pull)
            if pull < WEAKEST:
                raise Unverified(
                    f"{form.game}: mirror descent circles at precision {stage:g} (residual "
                    f"{residual:.1e}); take a lower precision, or method branch for a small game"
                )
    return x


def logit_points(
    response: LogitResponse,
    method: str,
    max_precision: float | None,
    regret: float | None,
    progress: Progress | None,
) -> Iterator[LogitPoint]:
    """The points of a path, see `analysis.equilibria.quantal.logit_path`."""
    for name, end in (("max_precision", max_precision), ("regret", regret)):
        if end is not None and not end > 0:
            raise InputError(f"{name} {end}: give a number above 0")
    unit = utility_scale(response.form)
    end = math.inf if max_precision is None else max_precision
    if regret is None:
        regret = NASH * unit if max_precision is None else -math.inf
    points = branch(response, end, progress)
    if method == "mirror":
        points = mirror_points(response, end, progress)
    for point in points:
        yield point
        if response.regret(point.log_behaviour) <= regret:
            return


def mirror_points(
    response: LogitResponse, end: float, progress: Progress | None
) -> Iterator[LogitPoint]:
    """Equilibria by mirror descent at precision 0 and, from 1/100 of the game's unit, on a grid."""
    x, nowhere = response.origin, np.zeros(0)
    yield LogitPoint(x, 0.0, nowhere)
    for k in itertools.count():
        precision = min(end, 10 ** (k / 8 - 2) / utility_scale(response.form))
        found = mirror(response, precision, x, progress)
        if found is None:
            return
        x = found
        yield LogitPoint(x, precision, nowhere)
        if precision == end or (progress and progress(f"mirror: precision {precision:.4g}")):
            return


def likeliest(
    response: LogitResponse, method: str, seen: Float64, points: list[LogitPoint]
) -> tuple[float, Float64, Float64]:
    """The likeliest equilibrium near a path's points: precision, log probabilities and slopes [S].

    On the branch it is sought along the tangent of the best point, corrected at right angles to it,
    which also works where the branch folds; by mirror descent between the grid's precisions.
    """
    from scipy.optimize import minimize_scalar

    unit = utility_scale(response.form)
    best = int(np.argmax([seen @ p.log_behaviour for p in points]))
    if best == len(points) - 1:
        raise InputError(
            f"{response.form.game}: the likelihood still rises at precision "
            f"{points[-1].precision:.6g}, where the search ended: raise max_precision, unless the "
            "play is as good as Nash, for which no precision is too high"
        )
    at = points[best]
    beside = points[max(best - 1, 0) : best + 2]

    def place(point: LogitPoint) -> Float64:
        return np.append(point.log_behaviour, point.precision * unit)

    def on_branch(length: float) -> tuple[Float64, float, Float64]:
        # From the chord to the neighbour, shifted into the hyperplane at this length.
        far = max(beside, key=lambda p: (place(p) - place(at)) @ at.tangent * np.sign(length))
        chord = place(far) - place(at)
        reach = chord @ at.tangent
        guess = place(at) + (chord * (length / reach) if reach else length * at.tangent)
        found = corrected(response, guess, at.tangent)
        if found is None:
            raise Unverified(f"{response.form.game}: the branch is lost near {at.precision:.6g}")
        x, tangent, _ = found
        return x[:-1], float(x[-1] / unit), tangent[:-1] / tangent[-1] * unit

    def by_mirror(offset: float) -> tuple[Float64, float, Float64]:
        precision = at.precision + offset
        step = max(1e-4 * precision, 1e-6 / unit)
        x = mirror(response, precision, at.log_behaviour, None)
        assert x is not None
        ahead = mirror(response, precision + step, x, None)
        assert ahead is not None  # without `progress`, nothing stops it
        return x, precision, (ahead - x) / step

    solve = on_branch if method == "branch" else by_mirror
    ends = [p.precision - at.precision for p in beside]
    if method == "branch":
        ends = [float((place(p) - place(at)) @ at.tangent) for p in beside]
    found = minimize_scalar(
        lambda offset: -(seen @ solve(offset)[0]),
        bounds=(min(ends), max(ends)),
        method="bounded",
        options={"xatol": 1e-7 * (max(ends) - min(ends))},
    )
    offset = 0.0 if best == 0 and -found.fun <= seen @ at.log_behaviour else float(found.x)
    log_behaviour, precision, slope = solve(offset)
    return precision, log_behaviour, slope
