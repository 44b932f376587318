"""Logit quantal response equilibria: at one precision, along the principal branch, fitted to play.

A player with precision lambda (1 / utility) takes an action with probability in proportion to
exp(lambda * its expected utility); in equilibrium everybody does so against everybody's play. On a
game tree that can be read in two ways, which differ; on a matrix game they are the same.

agent   Every information set chooses by its own conditional expected utilities, the player's own
        later play given: McKelvey & Palfrey, "Quantal Response Equilibria for Extensive Form Games"
        (1998).
normal  Every player chooses among the pure strategies of the reduced normal form: McKelvey &
        Palfrey, "Quantal Response Equilibria for Normal Form Games" (1995). As a behaviour strategy
        it is a softmax at every information set, of soft counterfactual values: Ling, Fang &
        Kolter, "What Game Are We Playing?" (2018).

Methods. *branch* follows the principal branch from precision 0 by a predictor and a corrector, over
log probabilities: Turocy, "A Dynamic Homotopy Interpretation of the Logistic Quantal Response
Equilibrium Correspondence" (2005) and "Computing Sequential Equilibria Using Agent Quantal Response
Equilibria" (2010). Here the derivatives are sparse matrices over the sequence form. *mirror* is
magnetic mirror descent, for large games and the normal kind: Sokota et al., "A Unified Approach to
Reinforcement Learning, Quantal Response Equilibria, and Two-Player Zero-Sum Games" (2023). *gambit*
asks Gambit, which also follows the branch.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from analysis.equilibrium import Equilibrium, Unverified
from analysis.program import Progress
from games import Game, InputError, NormalForm, SequenceForm, Strategy, as_form, as_normal_form
from games.enumerate import enumerate_game
from games.errors import did_you_mean
from games.game import CHANCE, NODE_BUDGET, TERMINAL
from games.kernels import descend, leaf_arrays, plan_of, respond
from games.sequence_form import Float64, has_chance, utility_scale
from games.strategy import uniform_behaviour

if TYPE_CHECKING:
    import pandas as pd

KINDS = ("agent", "normal")
WORDS = {"branch": "the principal branch", "mirror": "mirror descent", "gambit": "Gambit's branch"}
LARGEST_BRANCH = 3_000  # sequences of all players: beyond, a step along the branch takes minutes
TOLERANCE = (
    1e-7  # of the residual, a difference of probabilities; Gambit's answers are good to 1e-8
)
LARGEST_DENSE = 100  # sequences up to which a dense matrix is solved faster than a sparse one
FALLEN = 10.0  # of the log likelihood: past its maximum, as likely as exp(-10)
NASH = 1e-4  # regret, as a share of the game's utilities, at which a path without an end ends


def logit(
    game: Game | SequenceForm,
    precision: float,
    *,
    kind: str = "auto",
    method: str = "auto",
    tolerance: float = TOLERANCE,
    progress: Progress | None = None,
) -> Equilibrium:
    """The logit equilibrium at `precision`.

    By *branch* and *gambit* it is where the principal branch first gets to that precision. There
    may be others where the game is not zero-sum; *mirror* finds any one of them. Where a symmetry
    of the game lets the branch fork, *branch* goes straight on, and keeps the symmetry; Gambit may
    take another prong.

    Args:
        game: a tree, a matrix game or a sequence form.
        precision: lambda, in 1 / utility, at least 0.
        kind: "agent", "normal", or "auto": agent if the branch is followed and the game's chance is
            known (a sequence form alone does not tell it), else normal.
        method: "branch", "mirror", "gambit", or "auto": branch in games of up to `LARGEST_BRANCH`
            sequences, else mirror.
        tolerance: of the residual.
        progress: see `analysis.equilibrium.Progress`.

    Returns:
        An Equilibrium whose `facts` hold precision, kind and residual: the largest difference
        between a probability of the answer and of the logit response to it. `gains` are those of
        best responses: how far the players are from Nash.

    Raises:
        InputError: a negative precision, or a kind and a method that do not go together.
        Unverified: the residual is above the tolerance; mirror descent circles; the branch is lost.
        RuntimeError: `progress` stopped it.
    """
    if not (math.isfinite(precision) and precision >= 0):
        raise InputError(f"precision {precision}: give a finite number of at least 0")
    response, method = _prepared(game, kind, method)
    if precision == 0:
        found = response.origin
    elif method == "gambit":
        found = _ask_gambit(game, response, precision)
    elif method == "mirror":
        descended = _mirror(response, precision, response.origin, progress)
        if descended is None:
            raise RuntimeError(f"stopped before mirror descent had settled at {precision:g}")
        found = descended
    else:
        for point in _branch(response, precision, progress):
            found = point.log_behaviour
            arrived = point.precision
        if arrived != precision:
            raise RuntimeError(f"stopped at precision {arrived:g}, before {precision:g}")
    return _verified(response, found, precision, method, tolerance)


@dataclass(frozen=True, eq=False)
class LogitPath:
    """K logit equilibria along the principal branch, the first one at precision 0 (all play alike).

    Where the branch folds back the precision falls for a while.
    """

    form: SequenceForm
    kind: str  # "agent" or "normal"
    method: str  # "branch" or "mirror"
    precisions: Float64  # [K]  in 1 / utility
    behaviours: Float64  # [K, S]  over the players' sequences laid end to end
    regrets: Float64  # [K]  the most that a player could gain by its best response
    residuals: Float64  # [K]  see `logit`

    def __len__(self) -> int:
        return len(self.precisions)

    def strategy(self, k: int) -> Strategy:
        """The play at point k."""
        return Strategy.from_behaviour(self.form, self.behaviours[k])

    def to_frame(self) -> pd.DataFrame:
        """One row an action and point: precision, player, information_set, action, probability."""
        import pandas as pd

        frames = [self.strategy(k).to_frame() for k in range(len(self))]
        for frame, precision in zip(frames, self.precisions.tolist(), strict=True):
            frame.insert(0, "precision", precision)
        return pd.concat(frames, ignore_index=True)


def logit_path(
    game: Game | SequenceForm,
    *,
    max_precision: float | None = None,
    regret: float | None = None,
    kind: str = "auto",
    method: str = "auto",
    tolerance: float = TOLERANCE,
    progress: Progress | None = None,
) -> LogitPath:
    """The logit equilibria from precision 0 on, until one of two ends.

    Args:
        game: a tree, a matrix game or a sequence form.
        max_precision: the last precision; by default there is none.
        regret: end where no player could gain more than this by a best response, in units of
            utility; by default 1e-4 of the game's utilities if there is no `max_precision`.
        kind: see `logit`.
        method: "branch", "mirror" (a grid of precisions, eight a decade), or "auto"; see `logit`.
        tolerance: of every residual.
        progress: when it returns True the path ends there.

    Raises:
        InputError: an end that is negative, or a kind and a method that do not go together.
        Unverified: a residual is above the tolerance; mirror descent circles; the branch is lost.
    """
    response, method = _prepared_for_path(game, kind, method)
    points = list(_points(response, method, max_precision, regret, progress))
    residuals = np.array([response.residual(p.log_behaviour, p.precision) for p in points])
    if not residuals.max() <= tolerance:
        raise Unverified(
            f"{response.form.game}: a point of the path has a residual of {residuals.max():.2e}, "
            f"and {tolerance:.2e} was allowed"
        )
    return LogitPath(
        form=response.form,
        kind=response.kind,
        method=method,
        precisions=np.array([p.precision for p in points]),
        behaviours=np.array([response.behaviour(p.log_behaviour) for p in points]),
        regrets=np.array([response.regret(p.log_behaviour) for p in points]),
        residuals=residuals,
    )


@dataclass(frozen=True, eq=False)
class PrecisionFit:
    """The precision that makes observed play likeliest."""

    precision: float  # lambda, in 1 / utility
    standard_error: (
        float  # 1 / sqrt of the expected information there; infinite if it tells nothing
    )
    log_likelihood: float  # the sum of counts times log probabilities
    equilibrium: Equilibrium  # at that precision


def fit_precision(
    game: Game | SequenceForm,
    counts: pd.DataFrame | Sequence[ArrayLike],
    *,
    max_precision: float | None = None,
    kind: str = "auto",
    method: str = "auto",
    tolerance: float = TOLERANCE,
    progress: Progress | None = None,
) -> PrecisionFit:
    """Maximum likelihood over the principal branch, of how often each action was seen.

    McKelvey & Palfrey (1995). The best point of a path is taken, then the maximum beside it. By
    *mirror* the path ends once the log likelihood has fallen by 10 from its highest.

    Args:
        game: a tree, a matrix game or a sequence form.
        counts: a table with the columns player, information_set, action (its number or its name)
            and count, where rows may repeat and what was not seen may be missing; for games in
            which everybody chooses once, also N vectors of counts.
        max_precision: where the search ends; by default where play is within 1e-4 of Nash.
        kind: see `logit`.
        method: see `logit_path`.
        tolerance: of the equilibrium's residual.
        progress: when it returns True the search ends, with RuntimeError.

    Raises:
        InputError: counts that do not fit the game; or the likelihood rises up to the end of the
            search, so that there is no finite estimate.
        Unverified: see `logit`.
    """
    response, method = _prepared_for_path(game, kind, method)
    seen = _counts(response.form, counts)[response.form.layout.sequence]
    stopped = False

    def watch(message: str) -> bool:
        nonlocal stopped
        stopped = progress is not None and progress(message)
        return stopped

    points, highest = [], -math.inf
    for point in _points(response, method, max_precision, None, watch):
        points.append(point)
        likelihood = float(seen @ point.log_behaviour)
        highest = max(highest, likelihood)
        if method == "mirror" and likelihood < highest - FALLEN:
            break
    if stopped:
        raise RuntimeError("stopped before the likeliest precision was found")
    precision, found, slope = _likeliest(response, method, seen, points)
    at_set = np.bincount(response.set_of, seen)[response.set_of]
    information = float(at_set @ (np.exp(found) * slope**2))
    return PrecisionFit(
        precision=precision,
        standard_error=1.0 / math.sqrt(information) if information > 0 else math.inf,
        log_likelihood=float(seen @ found),
        equilibrium=_verified(response, found, precision, method, tolerance),
    )


class _Response:
    """The logit response of one kind and its derivatives.

    Vectors are log probabilities [S] at the places of the form's layout, 0 at empty sequences;
    precisions are in 1 / utility. E = N * L pairs of a player and a leaf are its *ends*.
    """

    def __init__(self, form: SequenceForm, kind: str, chance: Float64 | None) -> None:
        from scipy.sparse import csr_matrix

        self.form, self.kind = form, kind
        layout, n = form.layout, form.num_players
        size = layout.num_sequences
        starts = layout.players.astype(np.int64)
        self.blocks = layout.blocks.astype(np.int64)
        self.parent = layout.parent.astype(np.int64)
        leaf = layout.place[form.leaf_sequence + starts[:-1]]  # [L, N]
        self.own = leaf.T.ravel()  # [E]  each end's last own place
        self.other = np.concatenate([np.delete(leaf, i, axis=1) for i in range(n)])  # [E, N - 1]
        self.utility = form.leaf_utility.T.ravel()  # [E]  times chance
        self.chance = None if chance is None else np.tile(chance, n)  # [E]
        # Information sets of places, empty sequences being sets of their own; and their ancestors.
        self.set_of = np.empty(size, np.int64)
        self.set_of[starts[:-1]] = len(self.parent) + np.arange(n)
        above: list[Any] = [[]] * size
        for first_set, count, first, actions in self.blocks:
            for i in range(count):
                for s in range(first + i, first + count * actions, count):
                    self.set_of[s] = first_set + i
                    above[s] = [*above[self.parent[first_set + i]], s]
        rows = np.repeat(np.arange(size), [len(a) for a in above])
        columns = np.fromiter(itertools.chain.from_iterable(above), np.int64, len(rows))
        self.ancestors = csr_matrix((np.ones(len(rows)), (rows, columns)), shape=(size, size))
        self.sets = csr_matrix((np.ones(size), (np.arange(size), self.set_of)))  # [S, J + N]
        self.uniform = np.log(uniform_behaviour(form)[layout.sequence])
        self.origin = self.to(self.uniform, 0.0)  # the equilibrium at precision 0

    @cached_property
    def below(self) -> tuple[np.ndarray, np.ndarray]:
        """Pairs (place, end) in which the end follows the place, [K] and [K]."""
        pairs = self.ancestors[self.own].tocoo()
        return pairs.col.astype(np.int64), pairs.row.astype(np.int64)

    def behaviour(self, log_behaviour: Float64) -> Float64:
        """Probabilities [S] in the order of the form."""
        return np.exp(log_behaviour)[self.form.layout.place]

    def regret(self, log_behaviour: Float64) -> float:
        """The most that a player could gain by its best response."""
        _, best, current = respond(self.form, self.behaviour(log_behaviour))
        return float((best - current).max())

    def residual(self, log_behaviour: Float64, precision: float) -> float:
        """The largest difference of a probability from the logit response's."""
        answer = self.to(log_behaviour, precision)
        return float(np.abs(np.exp(log_behaviour) - np.exp(answer)).max())

    def to(self, log_behaviour: Float64, precision: float) -> Float64:
        """The log probabilities of the logit response."""
        if self.kind == "agent":
            return self._softmax(precision * self._conditional(log_behaviour)[0], soft=False)
        plan = self.ancestors @ log_behaviour
        weight = self.utility * np.exp(plan[self.other].sum(axis=1))
        gradient = np.bincount(self.own, weight, len(plan)).astype(np.float64)
        return self._softmax(precision * gradient, soft=True)

    def derivatives(self, log_behaviour: Float64, precision: float) -> tuple[Float64, Any, Float64]:
        """The response, and its derivatives by the log probabilities [S, S] and the precision [S].

        A softmax moves with the difference from the mean that it has itself as weights.
        """
        from scipy.sparse import diags, identity

        if self.kind == "agent":
            value, gain, weight, share = self._conditional(log_behaviour)
            answer = self._softmax(precision * value, soft=False)
            slope = self._conditional_slope(value, gain, weight, share)
        else:
            answer = self.to(log_behaviour, precision)
            value, slope = self._soft(log_behaviour, answer)
        mean = self.sets @ (diags(np.exp(answer)) @ self.sets).T
        is_action = diags((self.set_of < len(self.parent)).astype(float))
        centre = is_action @ (identity(len(answer)) - mean)
        return answer, precision * (centre @ slope @ self.ancestors), centre @ value

    def _softmax(self, value: Float64, *, soft: bool) -> Float64:
        """At every set; `soft` adds the set's log sum to its parent's value first (normal kind)."""
        log_behaviour = np.zeros_like(value)
        for first_set, count, first, actions in self.blocks[::-1]:
            at = slice(first, first + count * actions)
            choices = value[at].reshape(actions, count)
            highest = choices.max(axis=0)
            total = highest + np.log(np.exp(choices - highest).sum(axis=0))
            log_behaviour[at] = (choices - total).ravel()
            if soft:
                np.add.at(value, self.parent[first_set : first_set + count], total)
        return log_behaviour

    def _soft(self, log_behaviour: Float64, answer: Float64) -> tuple[Float64, Any]:
        """Counterfactual values [S] under the response below; the slopes [S, S] of the soft ones.

        By the logarithms of plans; the slope by the precision, of precision times soft values, is
        the first of the two.
        """
        place, end = self.below
        plan, below = self.ancestors @ log_behaviour, self.ancestors @ answer
        reach = plan[self.other].sum(axis=1)[end] + below[self.own[end]] - below[place]
        gain = self.utility[end] * np.exp(reach)
        value = np.bincount(place, gain, len(plan)).astype(np.float64)
        return value, _gather(place, self.other[end], gain, (len(plan), len(plan)))

    def _conditional(self, log_behaviour: Float64) -> tuple[Float64, Float64, Float64, Float64]:
        """Conditional expected utilities [S], and what they are made of.

        Which is: a gain [K] and a reach [K] for each pair of `below`, and what a set's gains are
        multiplied by [S]. Reaches are relative to the set's largest one, so that a set that is
        reached with probability 1e-1000 has its utilities all the same. A set that chance excludes
        has zeros.
        """
        assert self.chance is not None
        place, end = self.below
        last, possible, chooser = self.own[end], self.chance[end] > 0, self.set_of[place]
        size = len(log_behaviour)
        plan, uniform = self.ancestors @ log_behaviour, self.ancestors @ self.uniform
        others = plan[self.other].sum(axis=1)[end]
        largest = np.full(self.sets.shape[1], -np.inf)
        np.maximum.at(largest, chooser[possible], others[possible])
        others = np.where(possible, others - largest[chooser], -np.inf)
        # The others' reach of a set does not depend on what its owner does from there: uniform.
        before = uniform[place] - self.uniform[place]
        weight = self.chance[end] * np.exp(others + uniform[last] - before)
        reach = np.bincount(chooser, weight, len(largest))[self.set_of]
        share = np.divide(1.0, reach, out=np.zeros(size), where=reach > 0)
        gain = self.utility[end] * np.exp(others + plan[last] - plan[place])
        value = np.bincount(place, gain, size).astype(np.float64) * share
        return value, gain, weight, share

    def _conditional_slope(
        self, value: Float64, gain: Float64, weight: Float64, share: Float64
    ) -> Any:
        """Slopes [S, S] of the conditional utilities by the logarithms of plans."""
        from scipy.sparse import diags

        place, end = self.below
        size, last = len(value), self.own[end, None]
        others = self.other[end]
        slope = _gather(place, np.hstack([others, last]), gain, (size, size))
        reach = _gather(self.set_of[place], others, weight, (self.sets.shape[1], size))
        return diags(share) @ slope - diags(value) - diags(value * share) @ self.sets @ reach


def _gather(row: np.ndarray, columns: np.ndarray, weight: Float64, shape: tuple[int, int]) -> Any:
    """The sparse matrix that adds weight [K] at (row [K], each of columns [K, C])."""
    from scipy.sparse import csr_matrix

    each = columns.shape[1]
    at = (np.repeat(row, each), columns.ravel())
    return csr_matrix((np.repeat(weight, each), at), shape=shape)


@dataclass(frozen=True, eq=False)
class _Point:
    """A logit equilibrium, and the direction (of length 1) in which the branch goes on."""

    log_behaviour: Float64  # [S]
    precision: float
    tangent: Float64  # [S + 1]  of log probabilities, and of precision in units of the game's own


# Of the corrector: steps at most, size of the last one, and rounding per largest squared.
MOST_CORRECTIONS, CONVERGED, ROUNDING = 8, 1e-9, 2e-14
# Of the predictor: first and shortest step; how far the corrector may go, in steps; and the least
# cosine of the turn. Wide enough for a few points a decade, too narrow to change branches.
FIRST_STEP, SHORTEST, WIDEST, SHARPEST = 0.1, 1e-9, 0.3, 0.9
# Of mirror descent: the residual at which the next precision is tried, and the one to end with; the
# pull at which it gives up; leaves that are visited between two reports.
NEAR, MIRRORED, WEAKEST, REPORT = 1e-3, 1e-9, 1e-6, 20_000_000


def _corrected(
    response: _Response, x: Float64, normal: Float64
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
        try:
            if size <= LARGEST_DENSE:
                solved = np.linalg.solve(bmat(rows).toarray(), np.stack([error, ahead], axis=1))
            else:
                solved = splu(bmat(rows, format="csc")).solve(np.stack([error, ahead], axis=1))
        except (np.linalg.LinAlgError, RuntimeError):  # singular
            return None
        change, tangent = solved.T
        x += change
        largest = float(np.abs(change).max())
        # Utilities are known up to the rounding of log probabilities, and are multiplied by x[-1].
        if largest <= CONVERGED + ROUNDING * float(np.abs(x).max()) ** 2:
            return x, tangent / np.linalg.norm(tangent), steps
        if not largest <= 4.0 * before:
            return None
        before = largest
    return None


def _branch(response: _Response, target: float, progress: Progress | None) -> Iterator[_Point]:
    """The principal branch from precision 0, up to the first point with the target precision.

    A step is taken along the tangent and corrected at right angles to it; the step that would pass
    the target is cut short, and corrected at that very precision.
    """
    unit = utility_scale(response.form)
    upwards = np.zeros(len(response.uniform) + 1)
    upwards[-1] = 1.0
    x = np.append(response.origin, 0.0)
    step, name = FIRST_STEP, response.form.game
    found = _corrected(response, x, upwards)
    assert found is not None  # at precision 0 the response does not depend on the play
    x, tangent, _ = found
    yield _Point(x[:-1], 0.0, tangent)
    while x[-1] < target * unit:
        last = tangent[-1] > 0 and x[-1] + step * tangent[-1] >= target * unit
        length = (target * unit - x[-1]) / tangent[-1] if last else step
        predicted = x + length * tangent
        found = _corrected(response, predicted, upwards if last else tangent)
        near = found is not None and (
            np.linalg.norm(found[0] - predicted) <= WIDEST * length
            and found[1] @ tangent >= SHARPEST
        )
        if found is None or not near:
            step = length / 2
            if step < SHORTEST:
                raise Unverified(f"{name}: the branch is lost at precision {x[-1] / unit:.6g}")
            continue
        x, tangent, corrections = found
        step = length * (2.0 if corrections <= 3 else 1.0 if corrections <= 5 else 0.5)
        precision = target if last else float(x[-1] / unit)
        yield _Point(x[:-1], precision, tangent)
        if last or (progress is not None and progress(f"branch: precision {precision:.4g}")):
            return


def _mirror(
    response: _Response, precision: float, start: Float64, progress: Progress | None
) -> Float64 | None:
    """Mirror descent to the logit equilibrium: log probabilities [S], or None if stopped.

    It goes by precisions that double, each from the last one's play. The pull is stepsize times
    temperature: an iteration forgets that share of the past, so 3 / pull of them should leave a
    twentieth of the residual. Where they leave more than half, the pull was too strong.

    Raises:
        Unverified: the pull is halved again and again, and the iterates still circle.
    """
    form, layout = response.form, response.form.layout
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
            plan, left = plan_of(layout, behaviour), math.ceil(3.0 / pull)
            while left:
                now = min(left, report)
                descend(
                    leaf_arrays(form), layout.blocks, layout.player_blocks, layout.parent,
                    now, 1.0 / stage, pull * stage, 0.0, True, x, magnet, behaviour, plan, value,
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


def _points(
    response: _Response,
    method: str,
    max_precision: float | None,
    regret: float | None,
    progress: Progress | None,
) -> Iterator[_Point]:
    """The points of a path, see `logit_path`."""
    for name, end in (("max_precision", max_precision), ("regret", regret)):
        if end is not None and not end > 0:
            raise InputError(f"{name} {end}: give a number above 0")
    unit = utility_scale(response.form)
    end = math.inf if max_precision is None else max_precision
    if regret is None:
        regret = NASH * unit if max_precision is None else -math.inf
    points = _branch(response, end, progress)
    if method == "mirror":
        points = _mirror_points(response, end, progress)
    for point in points:
        yield point
        if response.regret(point.log_behaviour) <= regret:
            return


def _mirror_points(response: _Response, end: float, progress: Progress | None) -> Iterator[_Point]:
    """Equilibria by mirror descent at precision 0 and, from 1/100 of the game's unit, on a grid."""
    x, nowhere = response.origin, np.zeros(0)
    yield _Point(x, 0.0, nowhere)
    for k in itertools.count():
        precision = min(end, 10 ** (k / 8 - 2) / utility_scale(response.form))
        found = _mirror(response, precision, x, progress)
        if found is None:
            return
        x = found
        yield _Point(x, precision, nowhere)
        if precision == end or (progress and progress(f"mirror: precision {precision:.4g}")):
            return


def _likeliest(
    response: _Response, method: str, seen: Float64, points: list[_Point]
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

    def place(point: _Point) -> Float64:
        return np.append(point.log_behaviour, point.precision * unit)

    def on_branch(length: float) -> tuple[Float64, float, Float64]:
        # From the chord to the neighbour, shifted into the hyperplane at this length.
        far = max(beside, key=lambda p: (place(p) - place(at)) @ at.tangent * np.sign(length))
        chord = place(far) - place(at)
        reach = chord @ at.tangent
        guess = place(at) + (chord * (length / reach) if reach else length * at.tangent)
        found = _corrected(response, guess, at.tangent)
        if found is None:
            raise Unverified(f"{response.form.game}: the branch is lost near {at.precision:.6g}")
        x, tangent, _ = found
        return x[:-1], float(x[-1] / unit), tangent[:-1] / tangent[-1] * unit

    def by_mirror(offset: float) -> tuple[Float64, float, Float64]:
        precision = at.precision + offset
        step = max(1e-4 * precision, 1e-6 / unit)
        x = _mirror(response, precision, at.log_behaviour, None)
        assert x is not None
        ahead = _mirror(response, precision + step, x, None)
        assert ahead is not None  # nobody was asked whether to stop
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


def _prepared(game: Game | SequenceForm, kind: str, method: str) -> tuple[_Response, str]:
    """The response of the kind that was asked for, and the method to find equilibria by."""
    for name, given, known in (("kind", kind, KINDS), ("method", method, tuple(WORDS))):
        if given not in ("auto", *known):
            raise InputError(f"no {name} {given!r}; {did_you_mean(given, known)}")
    form = as_form(game)
    if method == "auto":
        method = "branch" if form.layout.num_sequences <= LARGEST_BRANCH else "mirror"
    told = not isinstance(game, SequenceForm) or not has_chance(form)
    if kind == "auto":
        kind = "agent" if told and method != "mirror" else "normal"
    if kind == "agent" and method == "mirror":
        raise InputError(
            f"{form.game}: mirror descent finds equilibria of kind normal; ask for that kind, or "
            "for method branch"
        )
    if kind == "agent" and not told:
        raise InputError(
            f"{form.game}: a sequence form does not tell its chance, which kind agent needs: give "
            "the game itself"
        )
    return _Response(form, kind, _chance(game, form) if kind == "agent" else None), method


def _prepared_for_path(game: Game | SequenceForm, kind: str, method: str) -> tuple[_Response, str]:
    """The same, without the method that finds one equilibrium only."""
    if method == "gambit":
        raise InputError(
            "method gambit is for a single precision; take branch, which does the same"
        )
    return _prepared(game, kind, method)


class _Ones:
    """A node of a game tree, with payoffs of 1 at the ends."""

    def __init__(self, state: Any, payoffs: list[float]) -> None:
        self._state, self._payoffs = state, payoffs

    def __getattr__(self, name: str) -> Any:
        return getattr(self._state, name)

    def child(self, action: int) -> _Ones:
        return _Ones(self._state.child(action), self._payoffs)

    def returns(self) -> list[float]:
        return self._payoffs


def _chance(game: Game | SequenceForm, form: SequenceForm) -> Float64:
    """The probability [L] of what chance does on the way to each leaf of the form."""
    if isinstance(game, SequenceForm) or not has_chance(form):
        return np.ones(len(form.leaf_utility))
    root: Any = _Ones(game.root(), [1.0] * game.num_players)
    ones = enumerate_game(root, game.name, game.num_players, NODE_BUDGET)
    if not np.array_equal(ones.leaf_sequence, form.leaf_sequence):
        raise InputError(f"{game.name}: the game changes between two walks over its tree")
    return ones.leaf_utility[:, 0]


def _ask_gambit(game: Game | SequenceForm, response: _Response, precision: float) -> Float64:
    """Gambit's logit equilibrium, log probabilities [S]."""
    from games.gambit import pygambit, to_gambit

    form = response.form
    if response.kind == "normal" or isinstance(game, NormalForm):
        table = as_normal_form(game)
        given = to_gambit(table)
        profile = pygambit().qre.logit_solve_lambda(given, [precision])[0].profile
        mixed = [[float(profile[s]) for s in player.strategies] for player in given.players]
        strategy = table.strategy(mixed)
    elif isinstance(game, SequenceForm):
        raise InputError(
            f"{form.game}: Gambit needs the tree: give the game itself, or kind normal"
        )
    else:
        given = to_gambit(game)
        # A list of all probabilities: by player, and information sets by their numbers.
        profile = list(pygambit().qre.logit_solve_lambda(given, [precision])[0])
        strategy = _from_gambit_order(game, form, profile)
    behaviour = strategy.behaviour(form)[form.layout.sequence]
    return np.log(np.maximum(behaviour, np.finfo(float).tiny))  # a zero has underflowed


def _from_gambit_order(game: Game, form: SequenceForm, probabilities: list[float]) -> Strategy:
    """From Gambit's order: players, their information sets by number, actions."""
    from games.gambit import GambitGame

    names = game.information_sets if isinstance(game, GambitGame) else _first_visits(game)
    behaviour, left = uniform_behaviour(form), iter(probabilities)
    for player, start, own in zip(
        form.players, form.layout.players.astype(int), names, strict=False
    ):
        for name in own:
            j = player.index[name]
            first = start + int(player.first_sequence[j])
            for s in range(first, first + int(player.num_actions[j])):
                behaviour[s] = next(left)
    return Strategy.from_behaviour(form, behaviour)


def _first_visits(game: Game) -> list[list[str]]:
    """Every player's information sets in the order of a walk: how `games.gambit` numbers them."""
    names: list[dict[str, None]] = [{} for _ in range(game.num_players)]
    stack = [game.root()]
    while stack:
        state = stack.pop()
        player = state.current_player()
        if player == TERMINAL:
            continue
        if player == CHANCE:
            actions = [action for action, _ in state.chance_outcomes()]
        else:
            actions = state.legal_actions()
            names[player].setdefault(state.information_state_string(player))
        stack.extend(state.child(action) for action in reversed(actions))
    return [list(own) for own in names]


def _counts(form: SequenceForm, counts: pd.DataFrame | Sequence[ArrayLike]) -> Float64:
    """Counts [S] over the players' sequences laid end to end."""
    import pandas as pd

    total = np.zeros(form.layout.num_sequences)
    starts = form.layout.players.astype(int)
    if isinstance(counts, pd.DataFrame):
        needed = ["player", "information_set", "action", "count"]
        missing = [column for column in needed if column not in counts]
        if missing:
            raise InputError(f"the table lacks the column {missing[0]}; it needs {needed}")
        for owner, name, action, count in counts[needed].itertuples(index=False):
            if owner not in range(form.num_players):
                raise InputError(f"player {owner}: {form.game} has 0 to {form.num_players - 1}")
            player = form.players[owner]
            if name not in player.index:
                raise InputError(
                    f"player {owner} has no information set {name!r} in {form.game}; "
                    f"{did_you_mean(str(name), player.index)}"
                )
            j = player.index[name]
            first = int(player.first_sequence[j])
            legal = range(first, first + int(player.num_actions[j]))
            own = [s for s in legal if action in (player.actions[s], player.labels[s])]
            if not own:
                known = ", ".join(f"{player.actions[s]} ({player.labels[s]})" for s in legal)
                raise InputError(
                    f"no action {action!r} at information set {name!r}; known: {known}"
                )
            total[starts[owner] + own[0]] += count
    else:
        sizes = [p.num_sequences - 1 for p in form.players]
        vectors = [np.asarray(own, dtype=np.float64) for own in counts]
        fits = [vector.shape for vector in vectors] == [(n,) for n in sizes]
        if not fits or any(len(p.information_sets) != 1 for p in form.players):
            raise InputError(
                f"{form.game}: give a table with the columns player, information_set, action, "
                f"count, or, if everybody chooses once, vectors of lengths {sizes}"
            )
        for start, vector in zip(starts, vectors, strict=False):
            total[start + 1 : start + 1 + len(vector)] = vector
    if not (np.all(np.isfinite(total)) and np.all(total >= 0) and total.sum() > 0):
        raise InputError("counts have to be finite numbers of at least 0, with one above 0")
    return total


def _verified(
    response: _Response, log_behaviour: Float64, precision: float, method: str, tolerance: float
) -> Equilibrium:
    """The answer, if its residual is at most the tolerance."""
    form, kind = response.form, response.kind
    residual = response.residual(log_behaviour, precision)
    if not residual <= tolerance:
        raise Unverified(
            f"{form.game}: the answer of {method} is no logit equilibrium at precision "
            f"{precision:g}: its residual is {residual:.2e}, and {tolerance:.2e} was allowed"
        )
    behaviour = response.behaviour(log_behaviour)
    _, best, current = respond(form, behaviour)
    return Equilibrium(
        concept="logit",
        game=form.game,
        method=f"{WORDS[method]}, {kind} form",
        values=current,
        gains=best - current,
        strategy=Strategy.from_behaviour(form, behaviour),
        facts={"precision": precision, "kind": kind, "method": method, "residual": residual},
    )
