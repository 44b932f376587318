"""Alpha-rank: pure profiles ranked by the share of time that evolving populations spend there.

Omidshafiei et al., "α-Rank: Multi-agent evaluation by evolution" (2019). All individuals of a
population of m play the same; now and then one mutates, and its strategy dies out or takes over
before the next does. With F the difference in fitness of mutants and residents while there are p
mutants, it takes over with probability

    rho = 1 / (1 + sum_{l=1}^{m-1} exp(-alpha sum_{p=1}^{l} F(p))),

and the ranking is the stationary distribution of the chain of profiles that this makes.

OpenSpiel's `egt.alpharank` finds no single stationary distribution where alpha is large and
exp(-alpha m F) vanishes beside 1. Here the chain is solved in logarithms, by the elimination of
Grassmann, Taksar & Heyman (1985), which never subtracts: every mass is right to many digits,
however small. For alpha to infinity the same elimination runs on pairs (exponent, factor).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from analysis.populations.evolution import one_population
from games import Game, InputError, NormalForm, SequenceForm, as_normal_form
from games.finite.normal_form import SAME
from games.finite.sequence_form import Float64

if TYPE_CHECKING:
    import pandas as pd

PROFILE_LIMIT = 2_000  # time grows with the cube, memory with the square
TIE = 1e-9  # exponents of alpha that differ by less, relative to the largest one, count as equal


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
    """Rank pure profiles by the stationary distribution of the populations' mutations.

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
    one = one_population(table, populations)
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
