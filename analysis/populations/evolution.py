"""Evolutionary dynamics of populations: replicator and related.

A population with shares x of the pure strategies changes by x_k' = x_k g_k(x). With the payoffs
f(x) of the pure strategies against the populations, and their average f·x, the growth rates are

    replicator   g_k = f_k - f·x                                      Taylor & Jonker 1978
    boltzmannq   g_k = (f_k - f·x) / T - (log x_k - sum_j x_j log x_j)   Tuyls et al. 2003
    qpg          g_k = x_k r_k - sum_j x_j² r_j,  r = f - f·x         Srinivasan et al. 2018

The second is Q-learning that explores by Boltzmann's rule at temperature T, the third policy
gradient with a softmax; Bloembergen et al., "Evolutionary dynamics of multi-agent learning: a
survey" (2015), has the first two, equations (5) and (10), and many more.

What is integrated is y = log x up to a constant, y' = g(softmax(y)): the shares then stay positive
and add up to 1 whatever the step. (In the shares themselves, as in OpenSpiel's `egt.dynamics`, an
error in their sum grows wherever the average payoff is negative.)
"""

from __future__ import annotations

import math
import time as clock
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import ArrayLike

from games import Game, InputError, NormalForm, SequenceForm, Strategy, as_normal_form
from games.common.errors import did_you_mean
from games.common.progress import Progress
from games.finite.sequence_form import Float64

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class Trajectory:
    """The shares of the strategies in P populations over time: one population, or N."""

    game: NormalForm
    dynamics: str
    times: Float64  # [T], in units of 1 / payoff
    states: tuple[Float64, ...]  # P arrays [T, Ai]

    @property
    def final(self) -> tuple[Float64, ...]:
        """The last shares, P arrays [Ai]."""
        return tuple(shares[-1] for shares in self.states)

    @property
    def mixed(self) -> tuple[Float64, ...]:
        """The last shares as N mixed strategies [Ai]."""
        return self.final if len(self.final) > 1 else self.final * self.game.num_players

    @property
    def strategy(self) -> Strategy:
        """The last shares as a strategy of the game."""
        return self.game.strategy(self.mixed)

    @property
    def gains(self) -> Float64:
        """The gain of each player [N] from its best pure strategy against the last shares.

        Small where the populations came to rest near a Nash equilibrium; a rest point at which a
        better strategy has died out is none.
        """
        mixed = self.mixed
        fitness = [self.game.against(mixed, i) for i in range(len(mixed))]
        return np.array([f.max() - f @ x for f, x in zip(fitness, mixed, strict=True)])

    def to_frame(self) -> pd.DataFrame:
        """One row a share: time, population, strategy, share."""
        import pandas as pd

        frames = [
            pd.DataFrame(
                {
                    "time": np.repeat(self.times, shares.shape[1]),
                    "population": i,
                    "strategy": np.tile(np.array(names, dtype=object), len(self.times)),
                    "share": shares.ravel(),
                }
            )
            for i, (shares, names) in enumerate(zip(self.states, self.game.actions, strict=False))
        ]
        return pd.concat(frames, ignore_index=True)


def replicator(
    game: Game | SequenceForm,
    start: ArrayLike | Sequence[ArrayLike] | None = None,
    *,
    dynamics: Literal["replicator", "boltzmannq", "qpg"] = "replicator",
    temperature: float = 1.0,
    populations: Literal["auto", "one", "each"] = "auto",
    time: float = 100.0,
    points: int = 201,
    rtol: float = 1e-9,
    seed: int | np.random.Generator = 0,
    progress: Progress | None = None,
) -> Trajectory:
    """Follow the populations' shares, by Runge-Kutta of order 8 with steps of its own choice.

    Args:
        game: a matrix game; of any other, its reduced normal form.
        start: shares at time 0, [A] of one population or N arrays [Ai]; drawn uniformly from the
            simplex if not given. A strategy without a share never gets one.
        dynamics: growth rates, as above.
        temperature: T of `boltzmannq`.
        populations: "one" that plays against itself, in a game that is the same for all players;
            or one for "each" player. "auto" takes one where there are two players and it can.
        time: how long, in units of 1 / payoff.
        points: how many times are kept, evenly spaced, both ends included.
        rtol: relative error of the shares that a step may make.
        seed: of the random start.
        progress: see `games.common.progress.Progress`; a trajectory that was stopped ends early.

    Raises:
        InputError: a start that is no distribution, a game that is not the same for all players
            with "one" population, an unknown dynamics, or a number out of range.
        GameError: the normal form is too large.
    """
    from scipy.integrate import DOP853

    table = as_normal_form(game)
    if dynamics not in RATES:
        raise InputError(f"unknown dynamics {dynamics!r}: {did_you_mean(dynamics, RATES)}")
    for name, number in (("time", time), ("temperature", temperature), ("rtol", rtol)):
        if not (0 < number < math.inf):
            raise InputError(f"{name}={number}: a positive number is needed")
    if points < 2:
        raise InputError(f"points={points}: two at least are needed, the start and the end")
    one = one_population(table, populations)
    x = _start(table, start, one, np.random.default_rng(seed))
    if dynamics == "boltzmannq" and any((shares == 0).any() for shares in x):
        raise InputError("boltzmannq explores every strategy: give each a share at the start")
    alive = [shares > 0 for shares in x]
    ends = np.cumsum([own.sum() for own in alive])[:-1]

    def shares_of(y: Float64) -> tuple[Float64, ...]:
        states = []
        for own, log_shares in zip(alive, np.split(y, ends), strict=True):
            shares = np.zeros(len(own))
            shares[own] = np.exp(log_shares - log_shares.max())
            states.append(shares / shares.sum())
        return tuple(states)

    def growth(_: float, y: Float64) -> Float64:
        states = shares_of(y)
        mixed = states * table.num_players if one else states
        rates = []
        for i, (own, log_shares) in enumerate(zip(alive, np.split(y, ends), strict=True)):
            log_shares = log_shares - log_shares.max()
            log_shares = log_shares - math.log(np.exp(log_shares).sum())
            fitness = table.against(mixed, i)[own]
            g = RATES[dynamics](states[i][own], log_shares, fitness, temperature)
            rates.append(g - g.mean())  # a constant changes no share, and would let y run away
        return np.concatenate(rates)

    y = np.concatenate([np.log(shares[own]) for shares, own in zip(x, alive, strict=True)])
    times = np.linspace(0.0, time, points)
    rows = [x]
    # An absolute error of y is a relative error of the shares; y itself may grow without end.
    solver = DOP853(growth, 0.0, y, time, rtol=1e-13, atol=rtol)
    reported = clock.monotonic()
    while len(rows) < points:
        failure = solver.step()
        if solver.status == "failed":
            raise InputError(
                f"the steps shrank to nothing at time {solver.t:.6g} ({failure}): are payoffs of "
                "very different sizes? scale them, or give a larger rtol"
            )
        inside = solver.dense_output()
        done = solver.status == "finished"
        while len(rows) < points and (done or times[len(rows)] <= solver.t):
            rows.append(shares_of(inside(times[len(rows)])))
        if progress is not None and clock.monotonic() - reported > 0.1:
            reported = clock.monotonic()
            if progress(f"{dynamics}: time {solver.t:.6g} of {time:.6g}"):
                break
    states = tuple(np.array(column) for column in zip(*rows, strict=True))
    return Trajectory(table, dynamics, times[: len(rows)], states)


def _replicator(x: Float64, log_x: Float64, fitness: Float64, temperature: float) -> Float64:
    return fitness - fitness @ x


def _boltzmannq(x: Float64, log_x: Float64, fitness: Float64, temperature: float) -> Float64:
    return (fitness - fitness @ x) / temperature - (log_x - x @ log_x)


def _qpg(x: Float64, log_x: Float64, fitness: Float64, temperature: float) -> Float64:
    regret = fitness - fitness @ x
    return x * regret - x**2 @ regret


RATES = {"replicator": _replicator, "boltzmannq": _boltzmannq, "qpg": _qpg}


def one_population(game: NormalForm, populations: str) -> bool:
    """Whether one population plays a game against itself, rather than one for each player.

    Args:
        game: what is played.
        populations: "one", "each", or "auto", which takes one where there are two players and the
            game is the same for both.

    Raises:
        InputError: another word, or "one" in a game that is not the same for all players.
    """
    if populations not in ("auto", "one", "each"):
        raise InputError(f"populations={populations!r}: auto, one or each")
    if populations == "one" and not game.is_symmetric:
        raise InputError(
            f"{game.name} is not the same game for all players, so one population cannot play it "
            "against itself; use populations='each'"
        )
    return populations == "one" or (
        populations == "auto" and game.num_players == 2 and game.is_symmetric
    )


def _start(
    game: NormalForm,
    given: ArrayLike | Sequence[ArrayLike] | None,
    one: bool,
    generator: np.random.Generator,
) -> tuple[Float64, ...]:
    sizes = game.num_actions[:1] if one else game.num_actions
    if given is None:
        return tuple(generator.dirichlet(np.ones(n)) for n in sizes)
    needed = f"an array of {sizes[0]} shares" if one else f"arrays of {sizes} shares"
    try:
        nested = np.ndim(given[0]) > 0  # type: ignore[index]
        parts = [np.asarray(x, dtype=np.float64) for x in (given if nested else [given])]  # type: ignore[union-attr]
    except (TypeError, ValueError, IndexError, KeyError):
        raise InputError(f"the start has to be {needed}") from None
    if tuple(x.shape for x in parts) != tuple((n,) for n in sizes):
        shapes = ", ".join(str(x.shape) for x in parts)
        raise InputError(f"a start of shape {shapes}: {game.name} needs {needed}")
    if any(not (np.all(x >= 0) and abs(x.sum() - 1) <= 1e-6) for x in parts):
        raise InputError("the start's shares have to be 0 at least and add up to 1")
    return tuple(x / x.sum() for x in parts)
