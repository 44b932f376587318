"""Lot-sizing heuristics.

Rules are players of `marl.evaluation.actors`: idle, keep the set-up, the best
fixed assignment, and a plan made in advance. Programs are solved by HiGHS.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import coo_array, csr_array
from scipy.stats import binom
from torch import Tensor

from games.common.errors import InputError
from games.lot_sizing.instances import Plant
from games.lot_sizing.lot_sizing import LotSizing
from games.simulators.simulator import Observation, Spec
from marl.evaluation.actors import Memoryless

Array = NDArray[np.float64]


class Rule(Memoryless, ABC):
    """Base of rules, which are made for one game and have no memory."""

    def __init__(self, game: LotSizing) -> None:
        self.game = game

    def for_game(self, game: Any, spec: Spec) -> Rule:
        """The rule itself.

        Raises:
            InputError: another game than it was made for, or of another size.
        """
        if spec != self.game.spec:
            raise InputError(f"{game} is not the lot_sizing game that this rule was made for")
        return self

    def act(self, seen: Observation, generator: torch.Generator | None) -> Tensor:
        return self.told(seen)[:, None] * seen.acting[..., None]

    @abstractmethod
    def told(self, seen: Observation) -> Tensor:
        """Actions [B, M] int64 of every machine."""


class Idle(Rule):
    """Idle: no machine produces anything."""

    def told(self, seen: Observation) -> Tensor:
        return torch.zeros((len(seen.nodes), self.game.machines), dtype=torch.int64)


class KeepSetup(Rule):
    """Every machine always makes what it is set up for, without any set-up."""

    def told(self, seen: Observation) -> Tensor:
        shown = seen.nodes[:, 0, self.game.items : -1]
        return shown.unflatten(1, (self.game.machines, -1)).argmax(dim=2)


class Static(Rule):
    """Every machine always makes the same item, or nothing: the best such assignment.

    Best in expectation over demand and initial states, by `assignment`.
    """

    def __init__(self, game: LotSizing) -> None:
        super().__init__(game)
        self.fixed = torch.as_tensor(assignment(game))  # [M] int64

    def told(self, seen: Observation) -> Tensor:
        return self.fixed.expand(len(seen.nodes), -1)


class Planned(Rule):
    """Plans [B, T, M] int64, one a game of the batch, played one period after the other."""

    def __init__(self, game: LotSizing, plans: Tensor) -> None:
        super().__init__(game)
        self.plans = plans

    def start(self, num_envs: int) -> None:
        if num_envs != len(self.plans):
            raise InputError(f"{len(self.plans)} plans cannot be played in {num_envs} games")

    def told(self, seen: Observation) -> Tensor:
        left = seen.nodes[:, 0, -1].double() * self.game.periods
        period = (self.game.periods - left.round().long()).clamp(max=self.game.periods - 1)
        return self.plans[torch.arange(len(period)), period]


def assignment(game: LotSizing) -> NDArray[np.int64]:
    """The fixed item, or 0, of each machine [M] with the least expected cost.

    A mixed-integer program: an item's cost depends on the units made per period, by
    `standing_cost`; a set-up is paid unless a game begins with it. That the first period's
    production is lower by the set-up's loss is left out.
    """
    plant = game.plant
    machines, items = plant.production.shape
    machine, item = np.nonzero(plant.production > 0)
    chances = 1 / (plant.production > 0).sum(axis=1)
    costs = [standing_cost(plant, i, game.periods) for i in range(items)]
    levels = [len(cost) for cost in costs]
    pairs, first = len(machine), len(machine) + np.cumsum([0, *levels])
    cost = np.concatenate((plant.setup_cost[machine, item] * (1 - chances)[machine], *costs))
    one = sparse(machines, len(cost), [(machine, np.arange(pairs), np.ones(pairs))])
    parts = [(item, np.arange(pairs), plant.production[machine, item].astype(float))]
    chosen = []
    for i in range(items):
        column = np.arange(first[i], first[i + 1])
        row = np.full(levels[i], i)
        chosen.append((row, column, np.ones(levels[i])))
        parts.append((row, column, -np.arange(levels[i], dtype=float)))
    # What is made beyond the last level, which costs as much as that level, is no level's.

    most = float(plant.production.sum())
    above = [*parts, (np.arange(items), first[1:] - 1, np.full(items, -most))]
    found = minimise(
        cost,
        np.ones(len(cost)),
        np.ones(len(cost)),
        [
            LinearConstraint(one, -np.inf, 1),
            LinearConstraint(sparse(items, len(cost), chosen), 1, 1),
            LinearConstraint(sparse(items, len(cost), parts), 0, np.inf),
            LinearConstraint(sparse(items, len(cost), above), -np.inf, 0),
        ],
        seconds=60,
        gap=1e-6,
    )
    result = np.zeros(machines, dtype=np.int64)
    if found.x is not None:
        taken = found.x[:pairs] > 0.5
        result[machine[taken]] = item[taken] + 1
    return result


def standing_cost(plant: Plant, item: int, periods: int) -> Array:
    """Expected cost [Q] of an item over `periods`, if q = 0, 1, ... units are made in each.

    Exact: the distribution of its stock is carried forward from the uniform one of the beginning.
    Up to the q from which on stock is at its capacity after every period.
    """
    capacity, most = int(plant.capacity[item]), plant.trials
    made = np.arange(capacity + most + 1)
    stock = np.arange(capacity + 1)
    likely = binom.pmf(np.arange(most + 1), plant.trials, plant.probability)
    now = np.zeros((len(made), capacity + 1))  # [Q, stock]
    now[:, :capacity] = 1 / capacity
    move = np.zeros((len(made), capacity + 1, capacity + 1))  # [Q, stock, stock after]
    lost = np.zeros((len(made), capacity + 1))
    q, s = np.meshgrid(made, stock, indexing="ij")
    for demand, chance in enumerate(likely):
        left = q + s - demand
        np.add.at(move, (q, s, left.clip(0, capacity)), chance)
        lost += chance * (-left).clip(0)
    cost = np.zeros(len(made))
    for _ in range(periods):
        cost += float(plant.lost_cost[item]) * (now * lost).sum(axis=1)
        now = np.einsum("qs,qst->qt", now, move)
        cost += float(plant.holding_cost[item]) * now @ stock
    return cost


def minimise(
    cost: Array,
    integral: Array,
    upper: Array,
    constraints: list[LinearConstraint],
    *,
    seconds: float,
    gap: float,
    lower: Array | None = None,
) -> Any:
    """Minimise over variables from `lower`, or 0, to `upper`; integer where `integral` is 1."""
    return milp(
        cost,
        integrality=integral,
        bounds=Bounds(np.zeros(len(cost)) if lower is None else lower, upper),
        constraints=constraints,
        options={"time_limit": seconds, "mip_rel_gap": gap},
    )


def sparse(rows: int, columns: int, entries: list[tuple[Any, Any, Any]]) -> csr_array:
    """A sparse matrix of (row, column, value), each broadcast against the others."""
    parts = [np.broadcast_arrays(*entry) for entry in entries]
    row, column, value = (np.concatenate([p[n].ravel() for p in parts]) for n in range(3))
    return csr_array(coo_array((value.astype(float), (row, column)), shape=(rows, columns)))
