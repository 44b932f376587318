"""Populations that play a game: replicator dynamics and its kin, and alpha-rank.

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
from games.errors import did_you_mean
from games.sequence_form import Float64

if TYPE_CHECKING:
    import pandas as pd

    from analysis.program import Progress

PROFILE_LIMIT = 2_000  # of alpha-rank: time grows with the cube, memory with the square
SAME = 1e-12  # payoffs that differ by less, relative to the largest one, count as equal
TIE = 1e-9  # so do exponents of alpha, relative to the largest one


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
        """What each player [N] would gain by its best pure strategy against the last shares.

        Small where the populations came to rest near a Nash equilibrium; a rest point at which a
        better strategy has died out is none.
        """
        pairs = zip(_fitness(self.game, self.mixed), self.mixed, strict=True)
        return np.array([fitness.max() - fitness @ x for fitness, x in pairs])

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
        progress: see `analysis.program.Progress`; a trajectory that was stopped ends early.

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
    one = _one_population(table, populations)
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
        fitness = _fitness(table, states * table.num_players if one else states)
        rates = []
        for i, (own, log_shares) in enumerate(zip(alive, np.split(y, ends), strict=True)):
            log_shares = log_shares - log_shares.max()
            log_shares = log_shares - math.log(np.exp(log_shares).sum())
            g = RATES[dynamics](states[i][own], log_shares, fitness[i][own], temperature)
            rates.append(g - g.mean())  # a constant changes no share, and would let y run away
        return np.concatenate(rates)

    y = np.concatenate([np.log(shares[own]) for shares, own in zip(x, alive, strict=True)])
    times = np.linspace(0.0, time, points)
    rows = [x]
    # An absolute error of y is a relative error of the shares; y itself may grow without end.
    solver = DOP853(growth, 0.0, y, time, rtol=1e-13, atol=rtol)
    told = clock.monotonic()
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
        if progress is not None and clock.monotonic() - told > 0.1:
            told = clock.monotonic()
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


def _fitness(game: NormalForm, x: Sequence[Float64]) -> list[Float64]:
    """Payoffs [Ai] of every pure strategy of each player against the others' shares."""
    return [_against(game.payoffs[..., i], x, i) for i in range(game.num_players)]


def _against(payoffs: Float64, x: Sequence[Float64], player: int) -> Float64:
    for shares in reversed(x[player + 1 :]):
        payoffs = payoffs @ shares
    for shares in x[:player]:
        payoffs = np.tensordot(shares, payoffs, axes=1)
    return payoffs


def is_symmetric(game: NormalForm) -> bool:
    """Whether exchanging players, with their strategies, exchanges their payoffs and no more."""
    if len(set(game.num_actions)) > 1:
        return False
    largest = max(float(np.abs(game.payoffs).max()), 1e-300)
    for i in range(1, game.num_players):  # the exchanges with player 0 generate all others
        order = list(range(game.num_players))
        order[0], order[i] = i, 0
        exchanged = np.swapaxes(game.payoffs, 0, i)[..., order]
        if np.abs(exchanged - game.payoffs).max() > SAME * largest:
            return False
    return True


def _one_population(game: NormalForm, populations: str) -> bool:
    if populations not in ("auto", "one", "each"):
        raise InputError(f"populations={populations!r}: auto, one or each")
    if populations == "one" and not is_symmetric(game):
        raise InputError(
            f"{game.name} is not the same game for all players, so one population cannot play it "
            "against itself; use populations='each'"
        )
    return populations == "one" or (
        populations == "auto" and game.num_players == 2 and is_symmetric(game)
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


@dataclass(frozen=True, eq=False)
class AlphaRank:
    """How much of the time populations without mutants spend at each of M pure profiles."""

    game: str
    alpha: float  # intensity of selection, in units of 1 / payoff
    population: int  # individuals
    profiles: tuple[tuple[str, ...], ...]  # M, the largest mass first; one name or N
    masses: Float64  # [M]

    def to_frame(self) -> pd.DataFrame:
        """One row a profile, the largest mass first: each population's strategy, mass."""
        import pandas as pd

        names = ["strategy"] if len(self.profiles[0]) == 1 else None
        frame = pd.DataFrame(list(self.profiles), columns=names)
        if names is None:
            frame.columns = [f"strategy of player {i}" for i in frame.columns]
        return frame.assign(mass=self.masses)


def alpharank(
    game: Game | SequenceForm,
    *,
    alpha: float = math.inf,
    population: int = 50,
    local: bool = True,
    populations: Literal["auto", "one", "each"] = "auto",
) -> AlphaRank:
    """Rank pure profiles by the stationary distribution of a population's mutations.

    Omidshafiei et al., "α-Rank: Multi-agent evaluation by evolution" (2019).
    All individuals of a population of m play the same; now and then one mutates, and its strategy
    dies out or takes over before the next does. With F the difference in fitness of mutants and
    residents while there are p mutants, it takes over with probability

        rho = 1 / (1 + sum_{l=1}^{m-1} exp(-alpha sum_{p=1}^{l} F(p))).

    OpenSpiel's `egt.alpharank` finds no single stationary distribution where alpha is large and
    exp(-alpha m F) vanishes beside 1. Here the chain is solved in logarithms, by the elimination of
    Grassmann, Taksar & Heyman (1985), which never subtracts: every mass is right to many digits,
    however small.

    Args:
        game: a matrix game; of any other, its reduced normal form.
        alpha: intensity of selection, in units of 1 / payoff. At infinity, the default, the masses
            are the exact limit, and none lies outside of the sinks of the response graph.
        population: m, individuals in each population.
        local: in one population, whether mutants and residents meet each other only, or all others
            alike. Makes no difference where each player has a population.
        populations: "one" that plays against itself, in a game for two that is the same for both;
            or one for "each" player. "auto" takes one where it can.

    Raises:
        InputError: a number out of range, "one" population in another game, too many profiles.
        GameError: the normal form is too large.
    """
    table = as_normal_form(game)
    if not alpha > 0 or math.isnan(alpha):
        raise InputError(f"alpha={alpha}: a positive number is needed, or math.inf")
    if population < 2:
        raise InputError(f"population={population}: two individuals at least are needed")
    one = _one_population(table, populations)
    if one and table.num_players != 2:
        raise InputError(
            f"{table.name} has {table.num_players} players; alpha-rank with one population is for "
            "two: use populations='each'"
        )
    sizes = table.num_actions[:1] if one else table.num_actions
    if math.prod(sizes) > PROFILE_LIMIT:
        raise InputError(
            f"{table.name} has {math.prod(sizes):,} profiles; alpha-rank takes at most "
            f"{PROFILE_LIMIT:,}: leave out strategies"
        )
    possible, first, slope = _contests(table, one, local, population)
    largest = population * float(np.abs(first).max() + population * np.abs(slope).max())
    if alpha < math.inf and largest > 1e300 / alpha / len(first):
        raise InputError(f"alpha={alpha:g} is too large for payoffs like these: use math.inf")
    number = _Limit(TIE * largest) if alpha == math.inf else _Finite(alpha)
    odds = number.power(np.zeros_like(first))
    fitter = np.zeros_like(first)
    for p in range(1, population):
        fitter = fitter + first + (p - 1) * slope
        odds = number.add(odds, number.power(fitter))
    chance = np.where(possible, -odds, number.zero)
    masses = number.masses(_stationary(chance, number))
    order = np.argsort(-masses, kind="stable")
    names = [
        tuple(own[k] for own, k in zip(table.actions, at, strict=False)) for at in np.ndindex(sizes)
    ]
    return AlphaRank(table.name, alpha, population, tuple(names[k] for k in order), masses[order])


def _contests(
    game: NormalForm, one: bool, local: bool, population: int
) -> tuple[np.ndarray, Float64, Float64]:
    """What a mutant to profile r meets at profile s: whether there is one, and its advantage in
    fitness when it is alone and by how much that grows with every further mutant, all [M, M]."""
    largest = SAME * float(np.abs(game.payoffs).max())

    def clean(difference: Float64) -> Float64:
        return np.where(np.abs(difference) <= largest, 0.0, difference)

    if one:
        a = game.payoffs[..., 0]
        own, possible = np.diag(a), ~np.eye(len(a), dtype=bool)
        if local:
            return possible, clean(a.T - a), np.zeros_like(a)
        # p mutants meet p - 1 of themselves and m - p residents; residents meet p mutants and
        # m - p - 1 of themselves: F(p) is linear in p.
        others = population - 1
        first = a.T - ((others - 1) * own[:, None] + a) / others
        slope = (own[None, :] - a.T - a + own[:, None]) / others
        return possible, clean(first), clean(slope)
    number = np.arange(math.prod(game.num_actions)).reshape(game.num_actions)
    possible = np.zeros((number.size, number.size), dtype=bool)
    first = np.zeros(possible.shape)
    for i, count in enumerate(game.num_actions):
        rows = np.moveaxis(number, i, -1).reshape(-1, count)  # profiles that differ in i's part
        payoff = np.moveaxis(game.payoffs[..., i], i, -1).reshape(-1, count)
        possible[rows[:, :, None], rows[:, None, :]] = True
        first[rows[:, :, None], rows[:, None, :]] = payoff[:, None, :] - payoff[:, :, None]
    np.fill_diagonal(possible, False)
    return possible, clean(first), np.zeros_like(first)


class _Finite:
    """Positive numbers as their logarithms, [1, ...]: products are sums."""

    zero = np.full((1, 1, 1), -np.inf)

    def __init__(self, alpha: float) -> None:
        self.alpha = alpha

    def power(self, exponent: Float64) -> Float64:
        """exp(-alpha exponent)."""
        return -self.alpha * exponent[None]

    def add(self, x: Float64, y: Float64) -> Float64:
        return np.logaddexp(x, y)

    def total(self, x: Float64) -> Float64:
        return np.logaddexp.reduce(x, axis=-1)

    def masses(self, x: Float64) -> Float64:
        return np.exp(x[0] - self.total(x))


class _Limit:
    """Functions c exp(e alpha) for alpha to infinity, as (e, log c), [2, ...]: products are sums.

    In a sum the larger exponent wins, and equal ones add up their factors.
    """

    zero = np.array([-np.inf, 0.0]).reshape(2, 1, 1)

    def __init__(self, tie: float) -> None:
        self.tie = tie

    def power(self, exponent: Float64) -> Float64:
        return np.stack([-exponent, np.zeros_like(exponent)])

    def add(self, x: Float64, y: Float64) -> Float64:
        with np.errstate(invalid="ignore"):  # -inf - -inf: neither is there
            lead = x[0] - y[0]
        even = np.abs(lead) <= self.tie
        factor = np.where(even, np.logaddexp(x[1], y[1]), np.where(lead < 0, y[1], x[1]))
        return np.stack([np.maximum(x[0], y[0]), factor])

    def total(self, x: Float64) -> Float64:
        exponent = x[0].max()
        return np.array([exponent, np.logaddexp.reduce(x[1, x[0] >= exponent - self.tie])])

    def masses(self, x: Float64) -> Float64:
        top = self.total(x)
        return np.where(x[0] >= top[0] - self.tie, np.exp(x[1] - top[1]), 0.0)


def _stationary(chance: Float64, number: _Finite | _Limit) -> Float64:
    """The stationary distribution [:, M], up to a factor, of the transitions [:, M, M] off the
    diagonal: states are taken out one by one, the last first, then put back."""
    for k in range(chance.shape[-1] - 1, 0, -1):
        chance[:, :k, k] -= number.total(chance[:, k, :k])[:, None]
        detour = chance[:, :k, k, None] + chance[:, k, None, :k]
        chance[:, :k, :k] = number.add(chance[:, :k, :k], detour)
    masses = np.zeros(chance.shape[:2])
    for k in range(1, chance.shape[-1]):
        masses[:, k] = number.total(masses[:, :k] + chance[:, :k, k])
    return masses
