"""Correlated equilibria from regret dynamics, in any game, with a gap that is measured.

Each player minimises the regret of not having left at any trigger (see
`analysis.correlated.triggers`). It holds, for each trigger t, a continuation y_t that
predictive regret matching+ improves inside the treeplex below t, and a weight lambda_t, the clipped
sum of what leaving at t would have gained, where the last gain is also expected again. The next
play x is the fixed point of "leave at t with weight lambda_t" (Gordon, Greenwald & Marks 2008):

    sum_t lambda_t (x with what is left at t replaced by x(q_t) y_t)  =  x sum_t lambda_t

It is found in one sweep down: once x is known above information set j, only triggers of j itself
(efce has one an action) still couple its actions, as a small Markov chain whose stationary
distribution is the play there. For efcce there are none, and for nfcce x is y: CFR. All players
move at once, and the answer is a mixture of the profiles that they played: with equal weights, for
which the gap provably falls as 1 / sqrt(T), or with weights t^2, usually far better, sometimes not,
and without a proof for general sum. Both are summed up while playing, for exactly the profiles that
are kept, and the one with the smaller gap is the answer.

Sources: Farina, Bianchi & Sandholm 2020 (efcce); Celli, Marchesi, Farina & Gatti 2020 and Farina et
al. 2022 (trigger regret, efce); Farina, Kroer & Sandholm 2021 (predictive regret matching+, t^2).
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Literal

from analysis.correlated.regret_minimiser import RegretMinimiser, weights_of
from analysis.equilibria.equilibrium import Equilibrium
from games import Game, InputError, SequenceForm, as_form
from games.common.errors import did_you_mean
from games.common.pace import Pace
from games.common.progress import Progress
from games.finite.sequence_form import Float64

MEMORY = 2**29  # bytes of profiles that are kept


def correlated_dynamics(
    game: Game | SequenceForm,
    concept: Literal["nfcce", "efcce", "efce"],
    *,
    iterations: int = 10_000,
    target: float | None = None,
    seconds: float | None = None,
    progress: Progress | None = None,
    seed: int | None = None,
    memory: int = MEMORY,
) -> Equilibrium:
    """An approximate equilibrium of correlated play; `regret` says how good.

    The answer's `gains` [N] are those of `correlated_gains` on its joint play, which is a mixture
    of profiles that were played. All are kept until they fill `memory`; then every other one is
    dropped, and of the coming ones every other one passed over, and so on. What is dropped counts
    neither in the play nor in its gains, and the gap need not fall as 1 / sqrt(T) any more. In a
    two-player zero-sum game the players' averages, played independently, have a NashConv of at most
    the sum of the gains.

    Args:
        game: any game: players, chance and general sum as they come.
        concept: "nfcce" (the same as "cce"), "efcce" or "efce".
        iterations: how many at most.
        target: stop when no player gains more, in units of utility; nothing at all if None.
        seconds: stop after this time.
        progress: called now and then with how far it is; it stops when that returns True.
        seed: start from a random profile; from the uniform one if None.
        memory: bytes for the profiles.

    Raises:
        InputError: no such concept, no iterations, or a game with too many deviations.
    """
    if concept not in ("nfcce", "efcce", "efce"):
        known = ("nfcce", "efcce", "efce")
        raise InputError(f"no dynamics for concept {concept!r}: {did_you_mean(concept, known)}")
    if iterations < 1:
        raise InputError(f"iterations={iterations}: at least 1 is needed")
    began, form = time.perf_counter(), as_form(game)
    players = RegretMinimiser(
        form, concept, seed, min(iterations, max(2, memory // (8 * form.arrays.num_sequences)))
    )
    enough = 0.0 if target is None else target
    pace, check = Pace(players.play), 1
    while players.iteration < iterations:
        pace.take(min(iterations, check) - players.iteration)
        late = seconds is not None and time.perf_counter() - began >= seconds
        if players.iteration == check or late or players.iteration == iterations:
            players.measure()
            check = max(check + 1, int(1.1 * check))
        message = f"{concept} dynamics: iteration {players.iteration:,}, gap {players.gap:.3g}"
        if players.gap <= enough or late or (progress is not None and progress(message)):
            break
    players.measure()
    return players.equilibrium(time.perf_counter() - began)


def profiles_of_play(
    form: SequenceForm, looks: Sequence[int], progress: Progress | None = None
) -> Iterator[tuple[int, Float64, Float64]]:
    """Yield the NFCCE dynamics at some iterations: iteration, last plans [S], average plans [S].

    The averages have weights t^2. When `progress` says so the dynamics end, once evaluated.
    """
    capacity = max(2, MEMORY // (8 * form.arrays.num_sequences))
    players = RegretMinimiser(form, "nfcce", None, min(looks[-1], capacity))
    pace, stop = Pace(players.play), False
    for look in looks:
        while players.iteration < look and not stop:
            pace.take(look - players.iteration)
            stop = progress is not None and progress(f"dynamics: iteration {players.iteration:,}")
        weights = weights_of(players.kept, 2)
        played = players.profiles[: players.kept]
        yield players.iteration, players.plan, (weights / weights.sum()) @ played
        if stop:
            return
