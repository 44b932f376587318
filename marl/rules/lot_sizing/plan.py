"""Lot-sizing with all demand known: a plan, and an upper bound on the reward."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import LinearConstraint
from torch import Tensor

from games.lot_sizing.instances import Plant
from games.lot_sizing.lot_sizing import LotSizing, State
from games.simulators.simulator import take
from marl.rules.lot_sizing.bound import lagrangian_bound
from marl.rules.lot_sizing.rules import Array, Planned, assignment, minimise, sparse

GAP = 1e-6  # relative gap of a program that counts as solved
MOST_MACHINES = 6  # that make one item, for a bound by Lagrangian relaxation


@dataclass(frozen=True)
class PerfectInformation:
    """One game with all demand known: a plan, its reward, and an upper bound on any reward."""

    plan: NDArray[np.int64]  # [T, M]
    reward: float  # of the plan in the game
    bound: float  # on the reward of every play of these demands; valid whether or not solved
    solved: bool  # whether the plan is the best one, to `GAP`


def perfect_information(
    game: LotSizing,
    state: State,
    demand: Tensor,
    *,
    seconds: float = 60.0,
    window: int | None = None,
    keep: int = 5,
    prices: int = 100,
    others: Sequence[NDArray[np.int64]] = (),
    passes: int = 2,
) -> PerfectInformation:
    """The best plan for one game with known demand that HiGHS finds in time.

    Stock beyond capacity is lost in the game, and that alone: binaries say so where the whole game
    is one program. Such a program of 100 periods is too large to be solved. The plan is then put
    together of windows, each solved for itself, and improved by solving one stretch of it after the
    other, all else as it is (Helber and Sahling 2010, "A fix-and-optimize approach for the
    multi-level capacitated lot sizing problem", International Journal of Production Economics 123):
    it is good, and not the best. The bound is that
    of the linear relaxation, which is weak, since shares of machines need no set-ups; and, where no
    item can be made by more than 6 machines, of `lagrangian_bound`, which is far better.

    Args:
        state: of one game [1, ...].
        demand: [T, I] units, from the state's period on.
        seconds: for each program.
        window: periods of a program; None: all of them in one.
        keep: periods of each window that are kept, before the next is planned.
        prices: of machines, that `lagrangian_bound` tries.
        others: plans [T, M], one of which is taken if it pays more than that of the windows.
        passes: of improvement, over stretches of a window that overlap by half.

    Returns:
        the plan, its reward, and a bound on the reward.
    """
    plant, wanted = game.plant, demand.double().numpy()
    if window is None:
        whole = Program(plant, _stock(state), _setup(state), wanted, exact=True)
        found = whole.solve(seconds)
        plan = whole.plan(found)
        bound = -np.inf if found.mip_dual_bound is None else -float(found.mip_dual_bound)
        return PerfectInformation(plan, replay(game, state, plan, demand), bound, found.status == 0)
    plans, now = [], state
    for first in range(0, len(wanted), keep):
        part = Program(plant, _stock(now), _setup(now), wanted[first : first + window], exact=False)
        plans.append(part.plan(part.solve(seconds))[:keep])
        for told, units in zip(plans[-1], demand[first:], strict=False):
            now = game.serve(game.decide(now, _action(told))[0], units[None])[0]
    candidates = [np.concatenate(plans), *others]
    paid = [replay(game, state, plan, demand) for plan in candidates]
    plan, reward = candidates[int(np.argmax(paid))], max(paid)
    program = Program(plant, _stock(state), _setup(state), wanted, exact=False)
    for first in list(range(0, len(wanted), max(window // 2, 1))) * passes:
        free = slice(first, first + window)
        changed = program.plan(program.solve(seconds, plan, free))
        if (now_paid := replay(game, state, changed, demand)) > reward:
            plan, reward = changed, now_paid
    bound = program.relaxed()
    if (plant.production > 0).sum(axis=0).max() <= MOST_MACHINES:
        units = wanted.astype(np.int64)
        stock = _stock(state).astype(np.int64)
        cost = lagrangian_bound(plant, stock, _setup(state), units, -reward, prices)
        bound = min(bound, -cost)
    return PerfectInformation(plan, reward, bound, False)


def known(game: LotSizing, games: int, seed: int) -> tuple[State, Tensor]:
    """Initial states of B games and their demand [T, B, I], as `SimulatorVector.reset(seed)` plays
    them: they end together, so nothing but demand is drawn in between."""
    generator = torch.Generator().manual_seed(seed)
    state = game.reset(games, generator)
    return state, torch.stack([game.demand(games, generator) for _ in range(game.periods)])


def plan_all(
    game: LotSizing, games: int, seed: int, **options: Any
) -> tuple[Planned, list[PerfectInformation]]:
    """A rule that plays B games of a seed knowing their demand, and the plan and bound of
    each; options as of `perfect_information`, whose `others` are the best standing assignment."""
    state, demand = known(game, games, seed)
    options = {"others": [np.tile(assignment(game), (game.periods, 1))], **options}
    found = [
        perfect_information(game, take(state, torch.tensor([b])), demand[:, b], **options)
        for b in range(games)
    ]
    return Planned(game, torch.as_tensor(np.stack([one.plan for one in found]))), found


def replay(game: LotSizing, state: State, plan: NDArray[np.int64], demand: Tensor) -> float:
    """The reward of a plan [T, M] in one game with known demand [T, I]."""
    total = 0.0
    for told, units in zip(plan, demand, strict=True):
        state, reward = game.decide(state, _action(told))
        state, step = game.serve(state, units[None])
        total += float(reward.double().sum() + step.reward.double().sum())
    return total


@dataclass
class Program:
    """T periods of known demand as a mixed-integer program: least cost.

    Variables of every period: made [K] for the K pairs of machine and item that can be; changed
    [K]; stock, lost and spilled [I]; and, if exact, full [I], without which nothing is spilled.
    """

    plant: Plant
    stock: Array  # [I] units at the beginning
    setup: NDArray[np.int64]  # [M] item from 1 on, or 0
    demand: Array  # [T, I]
    exact: bool  # whether stock is spilled only at capacity
    machine: NDArray[np.int64] = field(init=False)  # [K]
    item: NDArray[np.int64] = field(init=False)  # [K]

    def __post_init__(self) -> None:
        self.machine, self.item = np.nonzero(self.plant.production > 0)
        self.pairs, self.items = len(self.machine), len(self.stock)
        self.width = 2 * self.pairs + (4 if self.exact else 3) * self.items

    def solve(
        self, seconds: float, plan: NDArray[np.int64] | None = None, free: slice = slice(None)
    ) -> Any:
        """SciPy's result; `x` is None if no plan was found in time.

        Args:
            plan: [T, M], fixed except in the periods `free`.
        """
        cost, integral, upper, constraints = self._parts()
        lower = np.zeros(len(cost))
        if plan is not None:
            kept = plan[:, self.machine] == self.item + 1  # [T, K]
            least, most = kept.astype(float), kept.astype(float)
            least[free], most[free] = 0, 1
            lower.reshape(len(plan), -1)[:, : self.pairs] = least
            upper.reshape(len(plan), -1)[:, : self.pairs] = most
        return minimise(cost, integral, upper, constraints, seconds=seconds, gap=GAP, lower=lower)

    def relaxed(self, seconds: float = 300.0) -> float:
        """A bound on the reward: that of the linear relaxation; infinite if it was not solved."""
        cost, integral, upper, constraints = self._parts()
        found = minimise(cost, 0 * integral, upper, constraints, seconds=seconds, gap=GAP)
        return -float(found.fun) if found.status == 0 else float("inf")

    def plan(self, found: Any) -> NDArray[np.int64]:
        """The plan [T, M] of a solution; without one every machine keeps its set-up."""
        plan = np.tile(self.setup, (len(self.demand), 1))
        if found.x is not None:
            plan[:] = 0
            made = found.x.reshape(len(self.demand), self.width)[:, : self.pairs] > 0.5
            period, pair = np.nonzero(made)
            plan[period, self.machine[pair]] = self.item[pair] + 1
        return plan

    def _parts(self) -> tuple[Array, Array, Array, list[LinearConstraint]]:
        """Costs, integrality, upper bounds and constraints."""
        plant, k, i = self.plant, self.pairs, self.items
        periods, columns = len(self.demand), len(self.demand) * self.width
        output = plant.production[self.machine, self.item].astype(float)
        loss = np.minimum(plant.setup_loss[self.machine, self.item], output)
        most = self.stock.sum() + periods * output.sum()
        blocks = [
            (np.zeros(k), np.ones(k), np.ones(k)),
            (plant.setup_cost[self.machine, self.item], np.zeros(k), np.ones(k)),
            (plant.holding_cost, np.zeros(i), plant.capacity),
            (plant.lost_cost, np.zeros(i), np.full(i, np.inf)),
            (np.zeros(i), np.zeros(i), np.full(i, np.inf)),
            (np.zeros(i), np.ones(i), np.ones(i)),
        ][: 6 if self.exact else 5]
        cost, integral, upper = (
            np.tile(np.concatenate(part).astype(float), periods)
            for part in zip(*blocks, strict=True)
        )
        at = np.arange(periods)[:, None] * self.width  # where a period's variables begin
        made, changed = at + np.arange(k), at + k + np.arange(k)
        stock, lost, spilled, full = (at + 2 * k + n * i + np.arange(i) for n in range(4))
        machines = len(self.setup)
        single = np.arange(periods)[:, None] * machines + self.machine
        flow = np.arange(periods)[:, None] * i + np.arange(i)
        flows = np.arange(periods)[:, None] * i + self.item
        pair = np.arange(periods)[:, None] * k + np.arange(k)
        before = (self.setup[self.machine] == self.item + 1).astype(float)
        start = np.zeros((periods, k))
        start[0] = before
        supply = -self.demand.copy()
        supply[0] += self.stock
        constraints = [
            LinearConstraint(
                sparse(periods * machines, columns, [(single, made, 1.0)]), -np.inf, 1
            ),
            LinearConstraint(  # stock - what was there - made + its loss - lost + spilled = -demand
                sparse(
                    periods * i,
                    columns,
                    [
                        (flow, stock, 1.0),
                        (flow[1:], stock[:-1], -1.0),
                        (flows, made, -output),
                        (flows, changed, loss),
                        (flow, lost, -1.0),
                        (flow, spilled, 1.0),
                    ],
                ),
                supply.ravel(),
                supply.ravel(),
            ),
            LinearConstraint(  # changed >= made now - made before
                sparse(
                    periods * k,
                    columns,
                    [(pair, changed, 1.0), (pair, made, -1.0), (pair[1:], made[:-1], 1.0)],
                ),
                -start.ravel(),
                np.inf,
            ),
        ]
        if self.exact:
            constraints += [
                LinearConstraint(  # changed <= made now
                    sparse(periods * k, columns, [(pair, changed, 1.0), (pair, made, -1.0)]),
                    -np.inf,
                    0,
                ),
                LinearConstraint(  # changed <= 1 - made before
                    sparse(
                        periods * k, columns, [(pair, changed, 1.0), (pair[1:], made[:-1], 1.0)]
                    ),
                    -np.inf,
                    1 - start.ravel(),
                ),
                LinearConstraint(  # spilled <= full * most
                    sparse(periods * i, columns, [(flow, spilled, 1.0), (flow, full, -most)]),
                    -np.inf,
                    0,
                ),
                LinearConstraint(  # stock >= full * capacity
                    sparse(
                        periods * i,
                        columns,
                        [(flow, stock, 1.0), (flow, full, -plant.capacity.astype(float))],
                    ),
                    0,
                    np.inf,
                ),
            ]
        return cost, integral, upper, constraints


def _stock(state: State) -> Array:
    return state.stock[0].double().numpy()


def _setup(state: State) -> NDArray[np.int64]:
    return state.setup[0].numpy()


def _action(told: NDArray[np.int64]) -> Tensor:
    return torch.as_tensor(told)[None, None]
