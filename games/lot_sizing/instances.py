"""Instances of lot-sizing: production and costs of a plant, drawn or read from a file.

Drawn ones follow the generator of instances behind Felizardo et al. (arXiv 2504.05150; see
`games.lot_sizing.lot_sizing`), as it was released: every number is its range's least with a
probability of its own, and otherwise uniform over the rest. Files are JSON of the form of the data
released there.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from games.common.errors import InputError, one_line

CAPACITY = 100  # units of each item
HOLDING_COST = 0.01  # a unit and period
DEMAND = (20, 0.4)  # trials and probability of the binomial
LOST_SALES = ((0.1, 0.5), (1.1, 0.5))  # cost of a unit, and how likely an item has it
DRAWN = {  # least, greatest, and how likely the least is
    "production": (0, 40, 0.4),
    "setup_cost": (15, 30, 0.2),
    "setup_loss": (1, 3, 0.7),
}
TRIES = 10_000


@dataclass(frozen=True, eq=False)
class Plant:
    """M machines and I items."""

    production: NDArray[np.float32]  # [M, I] units a period, whole; 0: cannot make it
    setup_cost: NDArray[np.float32]  # [M, I] of changing to an item
    setup_loss: NDArray[np.float32]  # [M, I] units, of that period's production; whole
    lost_cost: NDArray[np.float32]  # [I] of a unit of demand that is lost
    holding_cost: NDArray[np.float32]  # [I] of a unit on hand at the end of a period
    capacity: NDArray[np.float32]  # [I] units on hand at the end of a period, whole
    trials: int  # of the demand of an item and period, binomial
    probability: float


def draw(items: int, machines: int, seed: int) -> Plant:
    """The plant of a seed.

    Unlike the released generator, which warns, what each machine makes is drawn anew until every
    item is made by somebody and every machine makes something.

    Raises:
        InputError: no such plant was found, for there are very many items a machine.
    """
    own = np.random.default_rng(seed)

    def table(name: str) -> NDArray[np.float32]:
        least, greatest, likely = DRAWN[name]
        rest = own.integers(least + 1, greatest + 1, (machines, items))
        return np.where(own.random((machines, items)) < likely, least, rest).astype(np.float32)

    # How likely some machine makes each item; what hardly ever happens is not tried.
    found = (1 - DRAWN["production"][2] ** machines) ** items
    for _ in range(TRIES if found * TRIES > 1e-6 else 0):
        production = table("production")
        if (production > 0).any(axis=0).all() and (production > 0).any(axis=1).all():
            break
    else:
        raise InputError(
            f"lot_sizing: no plant was found in which {machines} machines make all of {items} "
            "items; give more machines or fewer items"
        )
    costs, likely = zip(*LOST_SALES, strict=True)
    return Plant(
        production=production,
        setup_cost=table("setup_cost"),
        setup_loss=table("setup_loss"),
        lost_cost=own.choice(costs, items, p=likely).astype(np.float32),
        holding_cost=np.full(items, HOLDING_COST, np.float32),
        capacity=np.full(items, CAPACITY, np.float32),
        trials=DEMAND[0],
        probability=DEMAND[1],
    )


def read(path: str, items: int, machines: int) -> Plant:
    """The plant of a JSON file, as arXiv 2504.05150 released its own.

    The stock and set-up in it are not read: games begin at random, as they did there. Nor is its
    horizon, which is the game's `periods`.

    Raises:
        InputError: there is no such file, or it is not a plant of so many items and machines.
    """
    try:
        found = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: {(error.strerror or 'cannot be read').lower()}") from None
    except ValueError as error:
        raise InputError(f"{path} is not JSON: {one_line(error)}") from None
    if not isinstance(found, dict):
        raise InputError(f"{path} is not a plant: it must be a JSON object with n_items and so on")
    size = tuple(_entry(found, key, path) for key in ("n_items", "n_machines"))
    if size != (items, machines):
        raise InputError(
            f"{path} has {size[0]} items and {size[1]} machines; give items={size[0]},"
            f"machines={size[1]}"
        )
    demand = _entry(found, "demand_distribution", path)
    if not isinstance(demand, dict) or demand.get("name") != "binomial":
        raise InputError(f"{path}: demand_distribution is {demand!r}; only a binomial is known")
    trials, probability = demand.get("n"), demand.get("p")
    if not (isinstance(trials, int) and trials >= 0):
        raise InputError(f"{path}: demand_distribution.n is {trials!r}; give a whole number")
    if not (isinstance(probability, int | float) and 0 <= probability <= 1):
        raise InputError(f"{path}: demand_distribution.p is {probability!r}; give one of 0 to 1")

    def numbers(key: str, *shape: int) -> NDArray[np.float32]:
        try:
            value = np.asarray(_entry(found, key, path), np.float32).reshape(shape)
        except (TypeError, ValueError):
            raise InputError(f"{path}: {key} is not a table of {shape} numbers") from None
        if not (np.isfinite(value).all() and (value >= 0).all()):
            raise InputError(f"{path}: {key} has numbers that are below 0 or not finite")
        return value

    def units(key: str, *shape: int) -> NDArray[np.float32]:
        value = numbers(key, *shape)
        if not (value == np.round(value)).all():
            raise InputError(f"{path}: {key} counts units; give whole numbers")
        return value

    plant = Plant(
        production=units("machine_production", machines, items),
        setup_cost=numbers("setup_costs", machines, items),
        setup_loss=units("setup_loss", machines, items),
        lost_cost=numbers("lost_sales_costs", items),
        holding_cost=numbers("holding_costs", items),
        capacity=units("max_inventory_level", items),
        trials=trials,
        probability=float(probability),
    )
    idle = np.flatnonzero(~(plant.production > 0).any(axis=1))
    if len(idle):
        raise InputError(f"{path}: machine {idle[0]} (from 0) makes nothing; remove it")
    if (plant.capacity < 1).any():
        raise InputError(f"{path}: max_inventory_level has numbers below 1")
    return plant


def _entry(found: dict[str, Any], key: str, path: str) -> Any:
    if key not in found:
        raise InputError(f"{path} is not a plant: it lacks {key!r}")
    return found[key]
