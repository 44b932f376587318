"""Magnetic mirror descent with dilated entropy: last-iterate play and quantal response.

Sokota, D'Orazio, Kolter, Loizou, Lanctot, Mitliagkas, Brown & Kroer, "A Unified Approach to
Reinforcement Learning, Quantal Response Equilibria, and Two-Player Zero-Sum Games" (2023), section
3 and appendix on the sequence form.
"""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from games import Game, SequenceForm, Strategy, as_form
from games.finite.kernels import descend, leaf_arrays, plan_of
from games.finite.sequence_form import Float64, utility_ranges
from games.finite.strategy import uniform_behaviour
from marl.tabular.method import Method, State, floats


class MMD(Method):
    """Magnetic mirror descent: converges to a Nash or quantal response equilibrium in last iterate.

    Each player maximises  <g, z> - temperature * D(z) - B(z; z_t) / stepsize  over its realization
    plans z, where g is its payoff gradient, B the Bregman divergence of dilated entropy with unit
    weights, and D either B to a magnet or dilated entropy itself. At an information set the
    optimum is a softmax.

    With a moving magnet the limit is a Nash equilibrium. Without a magnet it is the logit quantal
    response equilibrium of the reduced normal form with precision 1 / temperature (Ling, Fang &
    Kolter 2018); in two-player zero-sum games the last iterate gets there at a linear rate, if the
    stepsize is small enough (at most temperature / L^2, L the largest slope of the gradients). With
    more players or general sum a fixed point is an equilibrium of the same kind, but the iterates
    may circle.

    By default play does not depend on the units of the players' utilities, nor on a constant that
    is added to them.
    """

    name = "mmd"
    magnet: Literal["moving", "none"] = "moving"
    """What strategies are pulled to: "moving", their own slow average (for Nash); "none", the
    uniform strategy (for quantal response)."""
    temperature: Annotated[float, Field(ge=0)] | None = None
    """Strength of the pull, in units of utility; default: a hundredth of each player's range
    of utilities, and at most a fifth over the default stepsize, so that an iteration forgets no
    more than a sixth."""
    stepsize: Annotated[float, Field(gt=0)] | None = None
    """Step size along the gradient, in 1 / utility; default: one over the
    player's largest utility at a leaf, counted from the middle of its range, chance multiplied
    in."""
    magnet_rate: Annotated[float, Field(gt=0, le=1)] = 0.05
    """Weight of the newest strategies in each move of a moving magnet, in log probabilities."""
    alternating: bool = True
    """Whether players update in turn, each against the others' newest play; else all at once."""

    def start(self, game: Game | SequenceForm, *, iterations: int = 1, seed: int = 0) -> MMDSolver:
        return MMDSolver(as_form(game), self)


def _sizes(form: SequenceForm) -> tuple[Float64, Float64]:
    """Each player's range of utilities [N], and its largest at a leaf from the middle of the range,
    chance multiplied in [N]; 1 for a player with constant utility."""
    lowest, spread = utility_ranges(form)
    middle = lowest + spread / 2.0
    largest = np.abs(form.leaf_utility - form.leaf_chance[:, None] * middle).max(axis=0)
    varies = spread > 0
    return np.where(varies, spread, 1.0), np.where(varies, largest, 1.0)


class MMDSolver:
    """Solves a sequence form by MMD; see `Solver`. Arrays are in the order of its arrays."""

    def __init__(self, form: SequenceForm, config: MMD) -> None:
        self.form = form
        self.config = config
        self.iteration = 0
        spread, largest = _sizes(form)
        temperature = np.minimum(spread / 100.0, largest / 5.0)
        if config.temperature is not None:
            temperature = np.full_like(temperature, config.temperature)
        self.temperature = temperature  # [N]
        stepsize = 1.0 / largest if config.stepsize is None else config.stepsize
        self.stepsize = np.broadcast_to(stepsize, largest.shape).copy()  # [N]
        arrays = form.arrays
        self.behaviour = uniform_behaviour(form)[arrays.sequence]  # [S]
        # Logarithms are the iterate: probabilities that underflow keep their history.
        self.log_behaviour = np.log(self.behaviour)  # [S]
        moving = config.magnet == "moving"
        # Dilated entropy is the divergence from a "magnet" of ones, up to a constant.
        self.log_magnet = self.log_behaviour.copy() if moving else np.zeros_like(self.behaviour)
        self._plan = plan_of(arrays, self.behaviour)
        self._value = np.zeros(arrays.num_sequences)

    def step(self, iterations: int = 1) -> None:
        arrays = self.form.arrays
        config = self.config
        rate = config.magnet_rate if config.magnet == "moving" else 0.0
        descend(
            leaf_arrays(self.form), arrays.blocks, arrays.player_blocks, arrays.parent,
            iterations, self.temperature, self.stepsize, rate, config.alternating,
            self.log_behaviour, self.log_magnet, self.behaviour, self._plan, self._value,
        )  # fmt: skip
        self.iteration += iterations

    def strategy(self) -> Strategy:
        """The last iterate."""
        return Strategy.from_behaviour(self.form, self.behaviour[self.form.arrays.place])

    def state(self) -> State:
        return {
            "iteration": np.array(self.iteration),
            "behaviour": self.behaviour.copy(),
            "log_behaviour": self.log_behaviour.copy(),
            "log_magnet": self.log_magnet.copy(),
        }

    def restore(self, state: State) -> None:
        size = self.form.arrays.num_sequences
        names = ("behaviour", "log_behaviour", "log_magnet")
        arrays = [floats(state, name, size) for name in names]
        self.iteration = int(state["iteration"])
        self.behaviour, self.log_behaviour, self.log_magnet = arrays
        self._plan = plan_of(self.form.arrays, self.behaviour)
