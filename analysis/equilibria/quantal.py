"""Logit quantal response equilibria: at one precision, and along the principal branch.

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

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from analysis.equilibria.equilibrium import Equilibrium, Unverified
from analysis.equilibria.gambit import behaviour_of, mixed_of, strategy_of
from analysis.equilibria.logit_branch import branch, logit_points, mirror
from analysis.equilibria.logit_response import LogitResponse
from analysis.equilibria.units import Units
from games import Game, InputError, NormalForm, SequenceForm, Strategy, as_form, as_normal_form
from games.common.errors import did_you_mean
from games.common.progress import Progress
from games.finite.gambit.reading import pygambit, to_gambit
from games.finite.sequence_form import Float64

if TYPE_CHECKING:
    import pandas as pd

KINDS = ("agent", "normal")
WORDS = {"branch": "the principal branch", "mirror": "mirror descent", "gambit": "Gambit's branch"}
LARGEST_BRANCH = 3_000  # sequences of all players: beyond, a step along the branch takes minutes
TOLERANCE = 1e-7  # of the residual, a difference of probabilities; Gambit's is about 1e-8


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
        kind: "agent", "normal", or "auto": agent, but normal by mirror descent.
        method: "branch", "mirror", "gambit", or "auto": branch in games of up to `LARGEST_BRANCH`
            sequences, else mirror.
        tolerance: of the residual.
        progress: see `games.common.progress.Progress`.

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
    response, method = prepared(game, kind, method)
    if precision == 0:
        found = response.origin
    elif method == "gambit":
        found = _ask_gambit(game, response, precision)
    elif method == "mirror":
        descended = mirror(response, precision, response.origin, progress)
        if descended is None:
            raise RuntimeError(f"stopped before mirror descent had settled at {precision:g}")
        found = descended
    else:
        for point in branch(response, precision, progress):
            found = point.log_behaviour
            arrived = point.precision
        if arrived != precision:
            raise RuntimeError(f"stopped at precision {arrived:g}, before {precision:g}")
    return verified_logit(response, found, precision, method, tolerance)


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
    response, method = prepared(game, kind, method, path=True)
    points = list(logit_points(response, method, max_precision, regret, progress))
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


def prepared(
    game: Game | SequenceForm, kind: str, method: str, *, path: bool = False
) -> tuple[LogitResponse, str]:
    """The response of the kind that was asked for, and the method to find equilibria by."""
    for name, given, known in (("kind", kind, KINDS), ("method", method, tuple(WORDS))):
        if given not in ("auto", *known):
            raise InputError(f"no {name} {given!r}; {did_you_mean(given, known)}")
    if path and method == "gambit":
        raise InputError(
            "method gambit is for a single precision; take branch, which does the same"
        )
    form = as_form(game)
    if method == "auto":
        method = "branch" if form.arrays.num_sequences <= LARGEST_BRANCH else "mirror"
    if kind == "auto":
        kind = "normal" if method == "mirror" else "agent"
    if kind == "agent" and method == "mirror":
        raise InputError(
            f"{form.game}: mirror descent finds equilibria of kind normal; ask for that kind, or "
            "for method branch"
        )
    return LogitResponse(form, kind), method


def _ask_gambit(game: Game | SequenceForm, response: LogitResponse, precision: float) -> Float64:
    """Gambit's logit equilibrium, log probabilities [S]."""
    form = response.form
    if response.kind == "normal" or isinstance(game, NormalForm):
        table = as_normal_form(game)
        answer = pygambit().qre.logit_solve_lambda(to_gambit(table), [precision])[0]
        strategy = table.strategy(mixed_of(answer.profile))
    elif isinstance(game, SequenceForm):
        raise InputError(
            f"{form.game}: Gambit needs the tree: give the game itself, or kind normal"
        )
    else:
        tree = to_gambit(game)
        answer = pygambit().qre.logit_solve_lambda(tree, [precision])[0]
        # Of a tree pygambit 16.7 hands over the list of probabilities, but not the profile.
        profile = tree.mixed_behavior_profile()
        for action, probability in zip(tree.actions, answer, strict=True):
            profile[action] = probability
        strategy = strategy_of(form, behaviour_of(profile))
    behaviour = strategy.behaviour(form)[form.arrays.sequence]
    return np.log(np.maximum(behaviour, np.finfo(float).tiny))  # a zero has underflowed


def verified_logit(
    response: LogitResponse, log_behaviour: Float64, precision: float, method: str, tolerance: float
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
    values, gains = Units.of(form).measured(behaviour)
    return Equilibrium(
        concept="qre",
        game=form.game,
        method=f"{WORDS[method]}, {kind} form",
        values=values,
        gains=gains,
        strategy=Strategy.from_behaviour(form, behaviour),
        facts={"precision": precision, "kind": kind, "method": method, "residual": residual},
    )
