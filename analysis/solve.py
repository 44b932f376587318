"""One call for every equilibrium: the concept by name, the algorithm by class and size."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from analysis.bayesian import bayesian_stackelberg
from analysis.commitment import commitment
from analysis.correlated import Objective, correlated_equilibrium
from analysis.dynamics import correlated_dynamics
from analysis.efce import extensive_correlated_equilibrium, fits_program
from analysis.equilibrium import Equilibrium, Progress
from analysis.evolution import replicator
from analysis.nash import nash
from analysis.quantal import logit
from analysis.stackelberg import Ties, multiple_lps, pure_commitment
from games import Game, InputError, NormalForm, SequenceForm, as_form, as_normal_form
from games.bayesian import BayesianGame
from games.errors import did_you_mean


def solve(game: Game | SequenceForm, concept: str = "nash", **options: Any) -> Equilibrium:
    """An equilibrium of `game`, of the kind that `concept` names (see `CONCEPTS`).

    Args:
        game: any game that can be compiled.
        concept: a key of `CONCEPTS`.
        options: of the function behind it: `seconds` and `progress` for all; see `options_of`.

    Raises:
        InputError: an unknown concept, or an option that it does not have.
        GameError, Unverified, RuntimeError: see the function behind it.
    """
    find = finder(concept)
    known = options_of(concept)
    for name in options:
        if name not in known:
            raise InputError(f"{concept} has no option {name!r}: {did_you_mean(name, known)}")
    return find(game, **options)


def finder(concept: str) -> Callable[..., Equilibrium]:
    """The function behind a concept. Raises InputError if there is none of that name."""
    if concept not in CONCEPTS:
        raise InputError(f"no equilibrium {concept!r}: {did_you_mean(concept, CONCEPTS)}")
    return CONCEPTS[concept][0]


def options_of(concept: str) -> dict[str, Any]:
    """The options of a concept and their defaults."""
    parameters = list(inspect.signature(finder(concept)).parameters.values())[1:]
    return {p.name: None if p.default is p.empty else p.default for p in parameters}


def correlated(
    game: Game | SequenceForm,
    concept: str,
    *,
    objective: Objective = "welfare",
    method: str = "auto",
    iterations: int = 10_000,
    target: float | None = None,
    seconds: float | None = None,
    progress: Progress | None = None,
) -> Equilibrium:
    """A correlated equilibrium: "ce", "cce" (= "nfcce"), "efce" or "efcce".

    By linear program the one with the largest objective, as long as the program can be laid out;
    else by regret dynamics *some* one up to a gap, which is measured.

    Args:
        game: with perfect recall.
        concept: which.
        objective: of the linear program: "welfare", "egalitarian", "entropy" or a player's number.
        method: "lp", "dynamics" (not for "ce"), or "auto".
        iterations, target: of the dynamics: the most of them, and the gap at which to stop.
        seconds: the most that the dynamics may take.
        progress: see `analysis.equilibrium.Progress`.

    Raises:
        InputError: a method that does not go with the concept.
        GameError: what the method needs is too large.
        Unverified: the program's answer is none.
    """
    if method not in ("auto", "lp", "dynamics"):
        raise InputError(f"{concept} is found by method lp or dynamics, not {method!r}")
    if method == "dynamics" and concept == "ce":
        raise InputError("ce is found by method lp only; efce can be found by dynamics")
    if method == "auto":
        laid_out = concept == "ce" or fits_program(game, concept)
        method = "lp" if laid_out else "dynamics"
    if method == "dynamics":
        kind: Any = "nfcce" if concept == "cce" else concept
        return correlated_dynamics(
            as_form(game), kind, iterations=iterations, target=target, seconds=seconds,
            progress=progress,
        )  # fmt: skip
    named: Any = concept
    if concept in ("ce", "cce"):
        return correlated_equilibrium(game, named, objective, progress=progress)
    return extensive_correlated_equilibrium(game, named, objective, progress=progress)


def stackelberg(
    game: Game | SequenceForm,
    *,
    leader: int = 0,
    ties: Ties = "strong",
    pure: bool = False,
    seconds: float | None = None,
    progress: Progress | None = None,
) -> Equilibrium:
    """The leader's best commitment: of a matrix game, a Bayesian game, or a tree.

    Args:
        game: two players. A `BayesianGame` has its own program; a sequence form or a tree in which
            everybody chooses once is taken as the matrix game that it is.
        leader: who commits, 0 or 1.
        ties: what an indifferent follower does: "strong" helps the leader, "weak" (matrix games
            only) harms it.
        pure: commit to a pure strategy.
        seconds: the most that a mixed-integer program may take; see `Equilibrium.gap`.
        progress: see `analysis.equilibrium.Progress`.

    Raises:
        InputError: not two players, no such leader, or weak ties in a tree.
    """
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


def _nash(
    game: Game | SequenceForm,
    *,
    method: str = "auto",
    seconds: float | None = None,
    progress: Progress | None = None,
) -> Equilibrium:
    return nash(game, "one", method, seconds=seconds, progress=progress)


def _qre(
    game: Game | SequenceForm,
    *,
    precision: float = 1.0,
    kind: str = "auto",
    method: str = "auto",
    progress: Progress | None = None,
) -> Equilibrium:
    return logit(game, precision, kind=kind, method=method, progress=progress)


def _correlated(concept: str) -> Callable[..., Equilibrium]:
    def find(
        game: Game | SequenceForm,
        *,
        objective: Objective = "welfare",
        method: str = "auto",
        iterations: int = 10_000,
        target: float | None = None,
        seconds: float | None = None,
        progress: Progress | None = None,
    ) -> Equilibrium:
        return correlated(
            game, concept, objective=objective, method=method, iterations=iterations,
            target=target, seconds=seconds, progress=progress,
        )  # fmt: skip

    return find


def _replicator(
    game: Game | SequenceForm,
    *,
    method: str = "replicator",
    seed: int = 0,
    progress: Progress | None = None,
) -> Equilibrium:
    """Where the dynamics have got to from a random start; no equilibrium unless regret is 0."""
    dynamics: Any = method
    path = replicator(game, dynamics=dynamics, seed=seed, progress=progress)
    table = path.game
    return Equilibrium(
        concept="evolution",
        game=table.name,
        method=f"{path.dynamics}, populations {len(path.states)}, until {path.times[-1]:g}",
        values=table.values(path.mixed),
        gains=path.gains,
        strategy=path.strategy,
    )


CONCEPTS: dict[str, tuple[Callable[..., Equilibrium], str]] = {
    "nash": (_nash, "Nash: LP, backward induction or Gambit, by the game's class"),
    "qre": (_qre, "logit quantal response equilibrium at a precision"),
    "ce": (_correlated("ce"), "correlated equilibrium of the normal form: LP"),
    "cce": (_correlated("cce"), "coarse correlated equilibrium of the normal form: LP or dynamics"),
    "efce": (_correlated("efce"), "extensive-form correlated equilibrium: LP or dynamics"),
    "efcce": (_correlated("efcce"), "extensive-form coarse correlated equilibrium: LP or dynamics"),
    "nfcce": (_correlated("nfcce"), "the coarse one, on the sequence form: LP or dynamics"),
    "stackelberg": (stackelberg, "commitment of a leader: LPs or a mixed-integer program"),
    "evolution": (_replicator, "where replicator dynamics get to"),
}
