"""A lower bound on lot-sizing costs with known demand, by Lagrangian relaxation.

Relaxed is the constraint "a machine makes one item a period" (Fisher 1981, "The Lagrangian
relaxation method for solving integer programming problems", Management Science 27, section 2):
with a price of every machine and period, each item is planned for itself, exactly, by dynamic
programming over its stock and over which machines made it last. For any prices, what the items cost
less what the prices bring bounds the cost from below; the subgradient method sets the prices.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from games.lot_sizing.instances import Plant

Array = NDArray[np.float64]
PATIENCE = 10  # iterations without a better bound, after which steps are halved


def lagrangian_bound(
    plant: Plant,
    stock: NDArray[np.int64],
    setup: NDArray[np.int64],
    demand: NDArray[np.int64],
    cost: float,
    prices: int = 200,
) -> float:
    """A lower bound on the cost of a game with known demand.

    Time and memory grow with 2 to the power of the machines that can make an item.

    Args:
        stock: [I] units at the beginning.
        setup: [M] item from 1 on, or 0.
        demand: [T, I] units.
        cost: of a known plan, from which Polyak's rule takes the step size.
        prices: number of iterations.
    """
    machines = plant.production.shape[0]
    price = np.zeros((len(demand), machines))
    best, scale, waited = -np.inf, 1.0, 0
    kept = price
    items = [
        Item(plant, i, stock[i], np.asarray(setup) == i + 1, demand[:, i])
        for i in range(len(stock))
    ]
    for _ in range(prices):
        found = [item.plan(price) for item in items]
        bound = sum(value for value, _ in found) - price.sum()
        if bound > best:
            best, kept, waited = bound, price, 0
        else:
            waited += 1
            if waited == PATIENCE:
                scale, waited, price = scale / 2, 0, kept
                continue
        over = sum(made for _, made in found) - 1.0  # [T, M] machines asked for too much, or less
        over = np.where((price <= 0) & (over < 0), 0.0, over)
        length = (over**2).sum()
        if not length or cost - bound < 1e-9:
            break
        price = np.maximum(price + scale * (cost - bound) / length * over, 0.0)
    return float(best)


class Item:
    """The cheapest plan for one item, which K machines can make at given prices.

    A state is the stock and, for each of the machines, whether it made the item in the last period.
    """

    def __init__(
        self,
        plant: Plant,
        item: int,
        stock: int,
        made: NDArray[np.bool_],
        demand: NDArray[np.int64],
    ) -> None:
        """
        Args:
            made: [M] whether a machine is set up for the item at the beginning.
            demand: [T] units.
        """
        self.machine = np.flatnonzero(plant.production[:, item] > 0)  # [K]
        self.machines = len(made)
        self.output = plant.production[self.machine, item].astype(np.int64)
        loss = plant.setup_loss[self.machine, item].astype(np.int64)
        self.first = np.maximum(self.output - loss, 0)  # [K] units of a machine that changes
        self.change = plant.setup_cost[self.machine, item].astype(float)
        self.begin = (int(stock), *(int(x) for x in made[self.machine]))
        capacity = int(plant.capacity[item])
        self.capacity = capacity
        self.stock = np.arange(capacity + self.output.sum() + 1)  # before demand
        left = self.stock - demand[:, None]  # [T, S]
        self.left = left.clip(0, capacity)
        self.paid = float(plant.lost_cost[item]) * (-left).clip(0) + (
            float(plant.holding_cost[item]) * self.left
        )

    def plan(self, price: Array) -> tuple[float, Array]:
        """The least cost at prices [T, M], and what is made [T, M], 0 or 1, at that cost."""
        periods, machines = len(self.paid), len(self.machine)
        ahead = np.zeros((self.capacity + 1,) + (2,) * machines)  # cost from here on
        stages = []
        for t in range(periods - 1, -1, -1):
            now = self.paid[t].reshape(-1, *(1,) * machines) + ahead[self.left[t]]
            stages.append([now])
            for k in range(machines):
                now = self._decide(now, k, price[t, self.machine[k]])
                stages[-1].append(now)
            ahead = now[: self.capacity + 1]
        made = np.zeros((periods, self.machines))
        state = self.begin
        for t, stage in enumerate(reversed(stages)):
            for k in range(machines - 1, -1, -1):
                stock, before = state[0], state[1 + k]
                idle = (*state[: 1 + k], 0, *state[2 + k :])
                units = self.output[k] if before else self.first[k]
                busy = (
                    min(stock + units, len(self.stock) - 1),
                    *state[1 : 1 + k],
                    1,
                    *idle[2 + k :],
                )
                cost = price[t, self.machine[k]] + (0.0 if before else self.change[k])
                if stage[k][busy] + cost < stage[k][idle]:
                    made[t, self.machine[k]] = 1
                    state = busy
                else:
                    state = idle
            state = (int(self.left[t, state[0]]), *state[1:])
        return float(ahead[self.begin]), made

    def _decide(self, after: Array, k: int, price: float) -> Array:
        """Minimal costs [S, 2, ...] before the decision on machine k, from those after it."""
        after = np.moveaxis(after, 1 + k, 1)
        idle, busy, last = after[:, 0], after[:, 1], len(self.stock) - 1
        # States beyond the largest stock are never reached: values read there are not used.
        kept = busy[np.minimum(self.stock + self.output[k], last)] + price
        changed = busy[np.minimum(self.stock + self.first[k], last)] + (price + self.change[k])
        best = np.stack((np.minimum(idle, changed), np.minimum(idle, kept)), axis=1)
        return np.moveaxis(best, 1, 1 + k)
