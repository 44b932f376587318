"""Perfect information: the minimal cost of a sample path if all its demand is known at the start.

One linear program on HiGHS per path, with fractional orders. No policy costs less on the same
path. If first periods do not count, it is free in them, too, and may bring stock wherever that is
best.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import linprog
from scipy.sparse import coo_array, csr_array
from torch import Tensor

from games.common.errors import InputError
from games.finite.sequence_form import Float64
from games.inventory.inventory import Inventory, State
from games.simulators.simulator import take
from marl.rules.inventory.play import Costs, Paths

FREE = 1e-6
"""Weight of costs in periods that do not count, so that nothing is done there without reason."""
TOLERANCE = 1e-9  # of feasibility and optimality


@dataclass(frozen=True, eq=False)
class PerfectInformation:
    """The optimal orders for R paths, and their costs."""

    costs: Costs  # of a period, as the program counts them
    units: Tensor  # [R, T, E] float64 ordered

    def __call__(self, state: State) -> Tensor:
        """Orders [B, E] in the period of these states of the R paths, in the paths' order."""
        rows = torch.arange(len(self.units), device=state.period.device)
        return self.units[rows, state.period].to(state.on_hand)


def perfect_information(
    game: Inventory,
    on: Paths,
    *,
    ignore: int = 0,
    pause: Callable[[], object] | None = None,
) -> PerfectInformation:
    """Find the optimal orders for each path by a linear program.

    The program may turn customers away although there is stock, which the game does not. That pays
    only where supply is limited and either some periods do not count or stores send goods on; the
    cost is then a lower bound that the orders do not quite reach.

    Args:
        game: the game that the paths were drawn from.
        on: R paths of T periods.
        ignore: first periods that do not count.
        pause: called before every path; an exception of it ends the work.

    Raises:
        InputError: no period counts; a network whose costs are not linear in its orders.
        RuntimeError: HiGHS found no solution.
    """
    if not 0 <= ignore < on.periods:
        raise InputError(
            f"{game.name}: ignore = {ignore} of {on.periods} periods leaves none that counts; "
            "set it lower, and at least 0"
        )
    _require_linear(game, ignore)
    found, units = [], []
    program: _Program | None = None
    for r in range(len(on)):
        if pause is not None:
            pause()
        lead = _leads(game, on, r)
        if program is None or on.lead is not None:
            program = _Program(game, lead, ignore)
        one = torch.tensor([r], device=on.demand.device)
        cost, orders = program.solve(take(on.start, one), on.demand[r].double().cpu().numpy())
        found.append(cost / (on.periods - ignore))
        units.append(orders)
    return PerfectInformation(
        Costs(np.array(found)), torch.as_tensor(np.array(units), device=on.demand.device)
    )


class _Program:
    """A path's linear program without its demand and start: x [T, E], over [T, V], short [T, K].

    Stock after the shipments of period t, and after its goods where they arrive before demand, less
    demand, is over - short. What is shipped in s with lead time L is there in period s + L: before
    its orders, or between these and its demand.
    """

    def __init__(self, game: Inventory, lead: np.ndarray, ignore: int) -> None:
        """
        Args:
            game: of the network.
            lead: [T, E] int64 periods.
            ignore: see `perfect_information`.
        """
        self.game, self.lead, self.arrays = game, lead, game.arrays
        arrays, numbers = game.arrays, game.arrays.on("cpu", torch.float64)
        t, e = lead.shape
        v, k = arrays.num_locations, arrays.num_stores
        self.shape = t, e, v, k
        self.shipped = np.arange(t * e).reshape(t, e)
        self.over = t * e + np.arange(t * v).reshape(t, v)
        self.short = t * (e + v) + np.arange(t * k).reshape(t, k)
        self.weight = np.where(np.arange(t) < ignore, FREE, 1.0)  # [T]
        self.counts = np.arange(t) >= ignore
        taken = numbers.taken.numpy()  # [E, V]
        period, link = (part.ravel() for part in np.indices((t, e)))
        arrives = (period + lead.ravel()).astype(np.int64)
        into = arrives * v + arrays.target[link]
        there = arrives < t
        inside = arrays.source[link] >= 0
        leaves = period * v + arrays.source[link]
        share = taken[link, np.maximum(arrays.source[link], 0)]
        column = self.shipped.ravel()
        everywhere = np.arange(t * v).reshape(t, v)
        waits = numbers.waits.numpy()[:k]
        # Rows t * V + v of: stock before orders, less what leaves.
        stock = [
            (leaves[inside], column[inside], -share[inside]),
            (everywhere[1:], self.over[:-1], 1.0),
            (everywhere[1:, :k], self.short[:-1], -waits),
        ]
        arrivals = (into[there], column[there], 1.0)
        before = [] if arrays.before_demand else [arrivals]
        served = [(everywhere, self.over, -1.0), (everywhere[:, :k], self.short, 1.0)]
        size = t * (e + v + k)
        self.balance = _matrix(t * v, size, [*stock, arrivals, *served])
        left = _matrix(t * v, size, [*stock, *before])
        sends = np.isin(np.arange(v), arrays.source)
        holds = np.array([one.holds for one in game.network.locations.values()])
        empty = np.tile(sends & ~holds, t)
        kept = np.tile(sends & holds & (arrays.before_demand | (np.arange(v) < k)), t)
        self.empty, self.kept = empty, kept
        self.equal = _stack(self.balance, left[empty])
        limit = numbers.throughput.numpy()
        limited = np.flatnonzero(np.isfinite(limit) & sends)
        busy = _matrix(t * v, size, [(leaves[inside], column[inside], 1.0)])
        rows = (np.arange(t)[:, None] * v + limited).ravel()
        self.unequal = _stack(-left[kept], busy[rows])
        self.limits = np.tile(limit[limited], t)
        most = np.full(size, np.inf)
        most[self.shipped] = numbers.capacity.numpy()
        self.bounds = np.stack((np.zeros(size), most), axis=1)
        self.freight = self._freight()

    def _freight(self) -> tuple[Float64, Float64]:
        """[T, E] cost of a unit shipped, with periods weighed, and of those that count alone."""
        arrays, numbers = self.arrays, self.arrays.on("cpu", torch.float64)
        t = len(self.weight)
        cost = (numbers.link_cost - numbers.earned.sum(dim=1)).numpy()
        transit = numbers.transit.numpy()
        found = []
        for weight in (self.weight, self.counts.astype(float)):
            until = np.concatenate(([0.0], weight.cumsum()))  # of the periods before
            start = np.arange(t)[:, None]
            end = np.clip(start + self.lead - arrays.first_lead, start, t)
            found.append(weight[:, None] * cost + transit * (until[end] - until[start]))
        return found[0], found[1]

    def solve(self, start: State, demand: Float64) -> tuple[float, Float64]:
        """Cost of the periods that count, and the orders [T, E] in units.

        Args:
            start: of one game.
            demand: [T, K] units.
        """
        game, arrays = self.game, self.arrays
        t, _e, v, k = self.shape
        numbers = arrays.on("cpu", torch.float64)
        known = np.zeros((t, v))  # that arrives, whatever is ordered
        known[0] = start.on_hand[0].double().cpu().numpy()
        beforehand = known.copy()
        coming = start.pipeline[0].double().cpu().numpy()
        in_transit = 0.0
        for j in range(min(coming.shape[1], t)):
            into = np.bincount(arrays.target, weights=coming[:, j], minlength=v)
            if (row := j + arrays.first_lead) < t:
                known[row] += into
                if not arrays.before_demand:
                    beforehand[row] += into
            held = float(coming[:, j] @ numbers.transit.numpy())
            in_transit += held * self.counts[:j].sum()
        wanted = np.zeros((t, v))
        wanted[:, :k] = demand
        penalty = game.penalty(start).double().cpu().numpy().reshape(-1)[:k]
        price = game.price(start).double().cpu().numpy().reshape(-1)
        waits = numbers.waits.numpy()[:k]

        def costs(freight: Float64, weight: Float64) -> Float64:
            found = np.zeros(len(self.bounds))
            found[self.shipped] = freight
            found[self.over] = weight[:, None] * numbers.holding.numpy()
            found[self.short] = weight[:, None] * (penalty + price)
            found[self.short[:-1]] -= weight[1:, None] * waits * price  # they pay once served
            return found

        right = np.concatenate(
            ((wanted - known).ravel(), -beforehand.ravel()[self.empty]),
        )
        answer = linprog(
            costs(self.freight[0], self.weight),
            A_ub=self.unequal if self.unequal.shape[0] else None,
            b_ub=np.concatenate((beforehand.ravel()[self.kept], self.limits))
            if self.unequal.shape[0]
            else None,
            A_eq=self.equal,
            b_eq=right,
            bounds=self.bounds,
            method="highs",
            options={
                "primal_feasibility_tolerance": TOLERANCE,
                "dual_feasibility_tolerance": TOLERANCE,
            },
        )
        if answer.x is None or answer.status != 0:
            raise RuntimeError(f"{game.name}: perfect information: {answer.message}")
        counted = self.counts.astype(float)
        waiting = np.maximum(-known[0, :k], 0) * self.counts[0]
        revenue = float(counted @ demand @ price + waiting @ (price * waits))
        total = float(costs(self.freight[1], counted) @ answer.x) + in_transit - revenue
        return total, answer.x[self.shipped].clip(min=0)


def _require_linear(game: Inventory, ignore: int) -> None:
    """Raise InputError if costs are not linear in orders."""
    if type(game).advance is not Inventory.advance:
        raise InputError(
            f"{game.name}: perfect information does not support the rules of this game"
        )
    arrays = game.arrays
    places = list(game.network.locations.values())
    for v, one in enumerate(places[: arrays.num_stores]):
        if one.unmet == "lost":
            continue
        if (arrays.source == v).any():
            raise InputError(
                f"{game.name}: {arrays.names[v]} sends goods on while its customers wait, which no "
                'linear program describes; give it unmet = "lost" or customers = false'
            )
        paid = one.price or arrays.own_price
        if paid and (ignore or not arrays.before_demand):
            raise InputError(
                f"{game.name}: customers of {arrays.names[v]} pay once they are served, which is "
                'linear only with ignore = 0 and receive = "before demand"; use these, or price = 0'
            )


def _leads(game: Inventory, on: Paths, r: int) -> np.ndarray:
    """[T, E] int64 lead times of a path."""
    if on.lead is not None:
        return on.lead[r].cpu().numpy()
    fixed = [len(link.lead_times) - 1 for link in game.network.links]
    return np.broadcast_to(np.array(fixed), (on.periods, len(fixed)))


def _matrix(rows: int, columns: int, parts: list) -> csr_array:
    """A sparse matrix of parts (row, column, value), broadcast; duplicates are added up."""
    joined: list[list[np.ndarray]] = [[], [], []]
    for part in parts:
        for store, array in zip(joined, np.broadcast_arrays(*part), strict=True):
            store.append(array.ravel())
    row, column, value = (np.concatenate(store) for store in joined)
    return csr_array(coo_array((value, (row, column)), shape=(rows, columns)))


def _stack(above: csr_array, below: csr_array) -> csr_array:
    from scipy.sparse import vstack

    return csr_array(vstack((above, below)))
