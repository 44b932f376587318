"""The concepts that `analysis.solve.CONCEPTS` registers: each function picks its algorithm."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from analysis.correlated.deviations import correlated_gains
from analysis.correlated.dynamics import correlated_dynamics
from analysis.correlated.efce import extensive_correlated_equilibrium, fits_program
from analysis.correlated.normal_form import Objective, correlated_equilibrium
from analysis.equilibria.equilibrium import Equilibrium, Joint
from analysis.equilibria.nash import nash
from analysis.equilibria.quantal import logit
from analysis.populations.alpharank import alpharank
from analysis.populations.evolution import replicator
from analysis.stackelberg.bayesian import bayesian_stackelberg
from analysis.stackelberg.commitment import commitment
from analysis.stackelberg.responses import Ties
from analysis.stackelberg.security import eraser, origami
from analysis.stackelberg.tables import multiple_lps, pure_commitment
from games import Game, InputError, NormalForm, SequenceForm, as_form, as_normal_form
from games.common.progress import Progress
from games.finite.bayesian import BayesianGame
from games.finite.security import SecurityGame

Iterations = Annotated[int, Field(ge=1)]
Gap = Annotated[float, Field(ge=0)]  # in units of utility
Seconds = Annotated[float, Field(ge=0)]
Seed = Annotated[int, Field(ge=0)]
COVERAGE = "coverage of "  # and a target, in the facts of a security game's answer


def correlated(
    game: Game | SequenceForm,
    concept: str,
    *,
    objective: Objective = "welfare",
    method: Literal["auto", "lp", "dynamics"] = "auto",
    iterations: Iterations | None = None,
    target: Gap | None = None,
    seconds: Seconds | None = None,
    progress: Progress | None = None,
) -> Equilibrium:
    """A correlated equilibrium: "ce", "cce" (= "nfcce"), "efce" or "efcce".

    By linear program the one with the largest objective, if the program is small enough; else by
    regret dynamics *some* equilibrium up to a measured gap.

    Args:
        game: with perfect recall.
        concept: which.
        objective: of the linear program: "welfare", "egalitarian", "entropy" or a player's number.
        method: "lp", "dynamics" (not for "ce"), or "auto".
        iterations: of the dynamics, the most of them; see `correlated_dynamics`.
        target: of the dynamics, the gap at which to stop, in units of utility.
        seconds: the most that the dynamics may take.
        progress: see `games.common.progress.Progress`.

    Raises:
        InputError: a method that does not go with the concept.
        GameError: what the method needs is too large.
        Unverified: the program's answer is none.
    """
    if method not in ("auto", "lp", "dynamics"):
        raise InputError(f"{concept} is found by method lp or dynamics, not {method!r}")
    if method == "dynamics" and concept == "ce":
        raise InputError("ce is found by method lp only; efce can be found by dynamics")
    limited = iterations is not None or target is not None
    dynamics = goes_to_dynamics(game, concept, method, limited)
    if not dynamics and limited:
        raise InputError(
            f"a linear program for {concept} takes no iterations and no target: leave them out"
            + ("" if concept == "ce" else ", or choose method dynamics")
        )
    if dynamics:
        kind: Any = "nfcce" if concept == "cce" else concept
        most = {} if iterations is None else {"iterations": iterations}
        return correlated_dynamics(
            as_form(game), kind, target=target, seconds=seconds, progress=progress, **most
        )
    named: Any = concept
    if concept in ("ce", "cce"):
        return correlated_equilibrium(game, named, objective, progress=progress)
    return extensive_correlated_equilibrium(game, named, objective, progress=progress)


def goes_to_dynamics(game: Game | SequenceForm, concept: str, method: str, limited: bool) -> bool:
    """Whether `correlated` looks for an equilibrium by dynamics, and not by a linear program.

    If it may choose, dynamics are for what no program can be laid out for, and for whom iterations
    or a target are `limited`.
    """
    if method != "auto":
        return method == "dynamics"
    return concept != "ce" and (limited or not fits_program(game, concept))


def stackelberg(
    game: Game | SequenceForm,
    *,
    leader: int = 0,
    ties: Ties = "strong",
    pure: bool = False,
    method: Literal["auto", "origami", "eraser"] = "auto",
    seconds: Seconds | None = None,
    progress: Progress | None = None,
) -> Equilibrium:
    """Stackelberg: the best commitment of a leader, by LPs or a mixed-integer program.

    For matrix games, Bayesian games, security games and trees.

    Args:
        game: two players. A `BayesianGame` or a `SecurityGame` has its own program; a sequence form
            or a tree in which everybody chooses once is taken as the matrix game that it is.
        leader: who commits, 0 or 1.
        ties: what an indifferent follower does: "strong" helps the leader, "weak" (matrix games
            only) harms it.
        pure: commit to a pure strategy.
        method: of a security game "origami", which "auto" takes, or "eraser", the mixed-integer
            program; the others choose by their kind.
        seconds: the most that a mixed-integer program may take; see `Equilibrium.gap`.
        progress: see `games.common.progress.Progress`.

    Returns:
        An Equilibrium. Of a security game it has no strategy, which would be one over allocations
        of all guards, but `facts`: resources, the target attacked, and "coverage of TARGET" for
        each target.

    Raises:
        InputError: not two players, no such leader, a method for another kind of game, weak ties in
            a tree, or a security game in which it is not the defender that commits.
    """
    if isinstance(game, SecurityGame):
        if leader != 0 or ties != "strong" or pure:
            raise InputError(
                f"{game.name}: in a security game the defender, player 0, commits to a mixture, "
                "and ties go its way; leave leader, ties and pure out, or solve the matrix game"
            )
        return _guarded(game, method, seconds, progress)
    if method != "auto":
        raise InputError(f"method {method} is for security games; leave it out")
    form = as_form(game)
    if isinstance(game, BayesianGame) and leader == 0 and ties == "strong" and not pure:
        return bayesian_stackelberg(game, seconds=seconds, progress=progress)
    if isinstance(game, NormalForm) or all(len(p.information_sets) <= 1 for p in form.players):
        table = as_normal_form(game)
        if pure:
            return pure_commitment(table, leader, ties=ties)
        return multiple_lps(table, leader, ties=ties, progress=progress)
    if ties != "strong":
        raise InputError(f"{form.game}: weak ties are for matrix games; choose strong ones")
    return commitment(game, leader, pure=pure, seconds=seconds, progress=progress)


def _guarded(
    game: SecurityGame, method: str, seconds: float | None, progress: Progress | None
) -> Equilibrium:
    """The best coverage of a security game, as an Equilibrium."""
    if method == "eraser":
        answer = eraser(game, seconds=seconds, progress=progress)
    else:
        answer = origami(game)
    attacker = game.attacker_values(answer.coverage)
    return Equilibrium(
        concept="stackelberg",
        game=game.name,
        method=answer.method,
        values=answer.values,
        gains=np.array([np.nan, attacker.max() - attacker[answer.attacked]]),
        objective=float(answer.values[0]),
        bound=answer.bound,
        facts={
            "resources": game.resources,
            "attacked": game.targets[answer.attacked],
            **{
                COVERAGE + target: float(covered)
                for target, covered in zip(game.targets, answer.coverage, strict=True)
            },
        },
    )


def one_nash(
    game: Game | SequenceForm,
    *,
    method: str = "auto",
    seconds: Seconds | None = None,
    progress: Progress | None = None,
) -> Equilibrium:
    """Nash: by LP, backward induction, Gambit or our own solvers, depending on the game."""
    return nash(game, "one", method, seconds=seconds, progress=progress)


def qre(
    game: Game | SequenceForm,
    *,
    precision: float = 1.0,
    kind: str = "auto",
    method: str = "auto",
    progress: Progress | None = None,
) -> Equilibrium:
    """Logit quantal response equilibrium at a given precision."""
    return logit(game, precision, kind=kind, method=method, progress=progress)


def evolution(
    game: Game | SequenceForm,
    *,
    method: Literal["replicator", "boltzmannq", "qpg"] = "replicator",
    seed: Seed = 0,
    progress: Progress | None = None,
) -> Equilibrium:
    """Replicator dynamics: the shares that they end at, not necessarily an equilibrium.

    The start is random; `regret` is 0 if the end is an equilibrium.
    """
    path = replicator(game, dynamics=method, seed=seed, progress=progress)
    table = path.game
    return Equilibrium(
        concept="evolution",
        game=table.name,
        method=f"{path.dynamics}, populations {len(path.states)}, until {path.times[-1]:g}",
        values=table.values(path.mixed),
        gains=path.gains,
        strategy=path.strategy,
    )


def alpha_rank(
    game: Game | SequenceForm,
    *,
    alpha: Annotated[float, Field(gt=0)] | None = None,
    population: Annotated[int, Field(ge=2)] = 50,
    progress: Progress | None = None,
) -> Equilibrium:
    """Alpha-rank: the share of time that evolution spends at each pure profile.

    By default in the limit of infinite alpha. `gains` are those of coarse deviations; the lottery
    need not be an equilibrium.
    """
    table = as_normal_form(game)
    ranked = alpharank(
        table, alpha=math.inf if alpha is None else alpha, population=population, populations="each"
    )
    masses = np.zeros(table.num_actions)
    numbers = [{name: k for k, name in enumerate(own)} for own in table.actions]
    for profile, mass in zip(ranked.profiles, ranked.masses, strict=True):
        masses[tuple(own[name] for own, name in zip(numbers, profile, strict=True))] = mass
    joint = Joint.from_tensor(table, masses)
    return Equilibrium(
        concept="alpharank",
        game=table.name,
        method=f"alpha-rank, alpha {ranked.alpha:g}, populations of {population}",
        values=joint.values,
        gains=correlated_gains(joint, "cce"),
        joint=joint,
    )


def _correlated(concept: str, words: str) -> Callable[..., Equilibrium]:
    """`correlated` for one concept, described by `words`."""
    find = partial(correlated, concept=concept)
    find.__doc__ = words
    return find


ce = _correlated("ce", "Correlated equilibrium of the normal form: LP.")
cce = _correlated("cce", "Coarse correlated equilibrium of the normal form: LP or dynamics.")
efce = _correlated("efce", "Extensive-form correlated equilibrium: LP or dynamics.")
efcce = _correlated("efcce", "Extensive-form coarse correlated equilibrium: LP or dynamics.")
nfcce = _correlated("nfcce", "Normal-form coarse correlated equilibrium: LP or dynamics.")
CORRELATED = ("ce", "cce", "efce", "efcce", "nfcce")
