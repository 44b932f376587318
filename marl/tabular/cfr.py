"""The CFR family: eight update rules over one loop.

Every rule is a schedule of discounts and two switches. With instantaneous counterfactual regret
r_t(s) of sequence s at iteration t, the accumulated regret is

    R_t = R_{t-1} * positive_t  (where R_{t-1} > 0)  or  R_{t-1} * negative_t  (elsewhere)  + r_t

clipped at zero by the "+" rules. The next strategy matches the positive part of R_t, or, in the
predictive rules, of R_t * positive_{t+1} + r_t: the last regret predicts the next. The
average strategy is a sum of realization plans in which iteration t weighs t^gamma.

In two-player zero-sum games the averages converge to a Nash equilibrium, by the papers' proofs; for
HS-PCFR+'s schedule no proof is known to this project. With more players or general
sum each player's regret still vanishes (CFR, LCFR, DCFR, CFR+ by proof), so that the *joint* play
approaches a coarse correlated equilibrium of the normal form; the strategy that is returned is the
profile of the players' own averages, for which nothing is guaranteed. Its NashConv is exact
in any case: check it.

Ties. Regret matching uses the ratios of regrets, however small. Where all regrets of an
information set are zero, the rules play uniformly; a rounding error of 1e-17 in one of them makes
that a pure strategy. So regrets below `ROUNDING` times the largest utility count as zero. Then the
iterates are those of exact arithmetic (`tests/marl/tabular/test_cfr.py` compares with rational
numbers) on games full of ties, where they would otherwise converge to something worse, or much
later.

Sources: Zinkevich et al. 2007 (CFR); Tammelin 2014 (CFR+); Brown & Sandholm 2019 (LCFR, DCFR);
Farina, Kroer & Sandholm 2021 (PCFR+); Xu et al. 2024 (DCFR+, PDCFR+); Zhang et al. 2024 (HS).
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from games import Game, SequenceForm, Strategy, as_form
from games.finite.kernels import (
    leaf_arrays,
    plan_of,
    plan_to_behaviour,
)
from games.finite.sequence_form import Float64, largest_utilities
from games.finite.strategy import uniform_behaviour
from marl.tabular.method import Method, State, floats
from marl.tabular.regret_kernels import minimise_regret

# Regrets up to this share of a player's largest utility are the rounding of zero. From 1e-13 to
# 1e-11 results on the games of the benchmarks are the same; they are off by less than this times
# the number of information sets.
ROUNDING = 1e-12


class RegretMatching(Method):
    """Counterfactual regret minimisation; the base of the rules, itself without discounts."""

    alternating: bool = True
    """Whether players update in turn, each against the others' newest play; else all at once."""

    averaging: Literal["current", "next"] = "current"
    """What an iteration adds to the average: "current", the strategy that it evaluated (as in
    OpenSpiel); "next", the one that it computed."""

    clip: ClassVar[bool] = False
    predictive: ClassVar[bool] = False

    def discounts(self, t: Float64) -> tuple[Float64, Float64]:
        """Discount factors of positive and of negative regrets at iteration t, each [T]."""
        return np.ones_like(t), np.ones_like(t)

    def exponent(self, t: Float64, horizon: int) -> Float64:
        """gamma at iteration t [T]: the average forgets by ((t-1)/t)^gamma."""
        return np.zeros_like(t)

    def schedule(self, t: Float64, horizon: int) -> Float64:
        """The rule as a table of numbers [T, 4] for the iterations t [T], counted from 1."""
        positive, negative = self.discounts(t)
        keep = ((t - 1.0) / t) ** self.exponent(t, horizon)
        return np.stack([positive, negative, self.discounts(t + 1.0)[0], keep], axis=1)

    def start(
        self, game: Game | SequenceForm, *, iterations: int = 1, seed: int = 0
    ) -> RegretSolver:
        return RegretSolver(as_form(game), self, iterations)


class CFR(RegretMatching):
    """Counterfactual regret minimisation: regret matching, uniform averaging."""

    name = "cfr"


class CFRPlus(RegretMatching):
    """CFR+: regrets clipped at zero, linear averaging."""

    name = "cfr+"
    clip = True

    def exponent(self, t: Float64, horizon: int) -> Float64:
        return np.ones_like(t)


class _Discounted(RegretMatching):
    def power(self, t: Float64, exponent: float) -> Float64:
        """(t-1)^e / ((t-1)^e + 1): iteration t's discount factor of the regrets up to t-1."""
        with np.errstate(divide="ignore", over="ignore"):  # 1 / (1 + infinity) is 0, as it should
            return 1.0 / (1.0 + (t - 1.0) ** -exponent)


class DCFR(_Discounted):
    """Discounted CFR: separate discounts of positive regrets, negative regrets and the average."""

    name = "dcfr"
    alpha: float = 1.5
    """Positive regrets keep t^alpha / (t^alpha + 1)."""
    beta: float = 0.0
    """Negative regrets keep t^beta / (t^beta + 1)."""
    gamma: Annotated[float, Field(ge=0)] = 2.0
    """The average weighs iteration t by t^gamma."""

    def discounts(self, t: Float64) -> tuple[Float64, Float64]:
        return self.power(t, self.alpha), self.power(t, self.beta)

    def exponent(self, t: Float64, horizon: int) -> Float64:
        return np.full_like(t, self.gamma)


class LCFR(_Discounted):
    """Linear CFR: iteration t weighs t in the regrets and in the average."""

    name = "lcfr"

    def discounts(self, t: Float64) -> tuple[Float64, Float64]:
        return self.power(t, 1.0), self.power(t, 1.0)

    def exponent(self, t: Float64, horizon: int) -> Float64:
        return np.ones_like(t)


class DCFRPlus(_Discounted):
    """DCFR+: discounted regrets, clipped at zero (the paper's denominator, t^alpha + 1)."""

    name = "dcfr+"
    clip = True
    alpha: float = 1.5
    """Regrets keep t^alpha / (t^alpha + 1)."""
    gamma: Annotated[float, Field(ge=0)] = 4.0
    """The average weighs iteration t by t^gamma."""

    def discounts(self, t: Float64) -> tuple[Float64, Float64]:
        return self.power(t, self.alpha), np.ones_like(t)

    def exponent(self, t: Float64, horizon: int) -> Float64:
        return np.full_like(t, self.gamma)


class PDCFRPlus(DCFRPlus):
    """Predictive DCFR+: DCFR+ that predicts each regret by the last."""

    name = "pdcfr+"
    predictive = True
    alpha: float = 2.3
    """Regrets keep t^alpha / (t^alpha + 1)."""
    gamma: Annotated[float, Field(ge=0)] = 5.0
    """The average weighs iteration t by t^gamma."""


class PCFRPlus(RegretMatching):
    """Predictive CFR+: regret matching+ that predicts regrets by the last, quadratic averaging."""

    name = "pcfr+"
    clip = True
    predictive = True
    gamma: Annotated[float, Field(ge=0)] = 2.0
    """The average weighs iteration t by t^gamma."""

    def exponent(self, t: Float64, horizon: int) -> Float64:
        return np.full_like(t, self.gamma)


class HSPCFRPlus(RegretMatching):
    """PCFR+ with the averaging exponent scheduled over the run's iterations T."""

    name = "hs-pcfr+"
    scheduled = True
    clip = True
    predictive = True
    gamma: Annotated[float, Field(ge=0)] = 30.0
    """The averaging exponent at the start."""
    decline: Annotated[float, Field(ge=0)] = 5.0
    """How far the averaging exponent falls until iteration T, after which it stays constant."""

    def exponent(self, t: Float64, horizon: int) -> Float64:
        return np.maximum(self.gamma - self.decline * np.minimum(t / horizon, 1.0), 0.0)


class RegretSolver:
    """Solves a sequence form by any rule of this module; see `Solver`.

    Arrays are in the order of the form's arrays.
    """

    def __init__(self, form: SequenceForm, rule: RegretMatching, horizon: int) -> None:
        arrays = form.arrays
        self.form = form
        self.rule = rule
        self.horizon = horizon
        self.iteration = 0
        self.regret = np.zeros(arrays.num_sequences)  # [S]
        self.average = np.zeros(arrays.num_sequences)  # [S] weighted sum of plans
        self.current = uniform_behaviour(form)[arrays.sequence]  # [S] the next iteration's play
        self._plan = plan_of(arrays, self.current)  # [S]
        self._value = np.zeros(arrays.num_sequences)  # [S] scratch
        self._tie = ROUNDING * largest_utilities(form)  # [N] regrets below are zero

    def step(self, iterations: int = 1) -> None:
        arrays = self.form.arrays
        t = np.arange(self.iteration + 1, self.iteration + iterations + 1, dtype=np.float64)
        minimise_regret(
            leaf_arrays(self.form), arrays.blocks, arrays.player_blocks, arrays.parent,
            self.rule.schedule(t, self.horizon), self.rule.clip, self.rule.predictive,
            self.rule.alternating, self.rule.averaging == "next",
            self._tie, self.regret, self.average, self.current, self._plan, self._value,
            np.empty(arrays.longest_block), np.empty(arrays.longest_block),
        )  # fmt: skip
        self.iteration += iterations

    def strategy(self) -> Strategy:
        """The average strategy."""
        arrays = self.form.arrays
        behaviour = np.ones(arrays.num_sequences)
        plan_to_behaviour(arrays.blocks, self.average, behaviour)
        return Strategy.from_behaviour(self.form, behaviour[arrays.place])

    def state(self) -> State:
        return {
            "iteration": np.array(self.iteration),
            "horizon": np.array(self.horizon),
            "regret": self.regret.copy(),
            "average": self.average.copy(),
            "current": self.current.copy(),
        }

    def restore(self, state: State) -> None:
        arrays = self.form.arrays
        size = arrays.num_sequences
        self.regret, self.average, self.current = (
            floats(state, name, size) for name in ("regret", "average", "current")
        )
        self.iteration, self.horizon = int(state["iteration"]), int(state["horizon"])
        self._plan = plan_of(arrays, self.current)
