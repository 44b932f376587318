"""Inventory problems of the literature by name, each a function that makes its `Inventory`.

Where nothing else is said, parameters and initial stock are those of Alvo, Russo and Kanoria, "Deep
reinforcement learning for inventory networks: toward reliable policy optimization" (arXiv
2306.11246). Stores of theirs begin with up to a period's mean demand on hand and in each period of
what is on its way, other locations with nothing (`start = 1`).

A problem whose parameters are drawn is named by its `instance`: a number, 0 if nothing is said, for
parameters drawn by us as the paper says; or `published` for those that the authors drew, which
follow from the seeds in their files. What is drawn for a store does not depend on how many stores
there are.

The authors' files are config_files/settings/*.yml of MatiasAlvo/Neural_inventory_control and, for
networks with several warehouses, of minuk302/Neural_inventory_control.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from games.common.errors import InputError
from games.inventory.network import SupplyNetwork
from games.inventory.or_gym import InvManagement, NetworkManagement
from games.inventory.setting import Made, setting

MOST_STORES = 1000  # every one of them is drawn and checked, and links meet in pairs
Instance = int | Literal["published"]

# The authors' seed of each parameter that is drawn, the same in all of their files.
PUBLISHED = {"mean": 33, "variation": 92, "holding": 73, "penalty": 28, "lead_time": 41}

# Of each warehouse: in how many periods it sends to each store (0: it does not).
# n_warehouse_10_2_lost_demand.yml, commit ad4870a03c, and its holding costs beside those that
# many_warehouses_lost_demand.yml had before, commit 4317420454, where a store's lead time is drawn.
TWO_BY_TEN = ("0066606560", "2122120222")
TWO_HOLD, TWO_HELD = (0.3, 0.4), (0.3, 0.35)
# many_warehouses_real_data_lost_demand.yml, commit 3b3dd560d4.
THREE_BY_21 = ("666065555555550666655", "111110221200001111112", "555546555550565555545")


def _link(
    source: str, target: str, lead_time: int, cost: float = 0.0, holding: float = 0.0
) -> dict[str, Any]:
    said = {"source": source, "target": target, "lead_time": lead_time}
    return said | {"cost": cost, "holding": holding}


def _one_store(
    lead_time: int, penalty: float, holding: float, unmet: str, demand: dict[str, Any]
) -> dict[str, Any]:
    store = {"holding": holding, "penalty": penalty, "unmet": unmet}
    links = [_link("supplier", "store", lead_time)]
    return {"locations": {"store": store}, "links": links, "demand": demand}


@setting(start=1.0)
def lost_sales(
    lead_time: int = 4, penalty: float = 9.0, holding: float = 1.0, mean: float = 5.0
) -> Made:
    """One store, Poisson demand, lost sales (Zipkin 2008's test-bed)."""
    demand = {"kind": "poisson", "mean": mean}
    return _one_store(lead_time, penalty, holding, "lost", demand)


@setting(start=1.0)
def backlogged(
    lead_time: int = 4,
    penalty: float = 9.0,
    holding: float = 1.0,
    mean: float = 5.0,
    sd: float = 1.6,
) -> Made:
    """One store, normal demand clipped at 0, backlogged."""
    demand = {"kind": "normal", "mean": mean, "sd": sd}
    return _one_store(lead_time, penalty, holding, "backlogged", demand)


@setting(start=1.0)
def serial(lead_time: int = 4, penalty: float = 9.0, mean: float = 5.0, sd: float = 2.0) -> Made:
    """Four stages in a line, normal demand clipped at 0, backlogged; the lead time is the store's.

    Stages 4, 3 and 2 hold at .1, .2 and .5 and are 2, 4 and 3 periods from where their goods come.
    """
    return {
        "locations": {
            "store": {"holding": 1.0, "penalty": penalty},
            "stage_2": {"holding": 0.5},
            "stage_3": {"holding": 0.2},
            "stage_4": {"holding": 0.1},
        },
        "links": [
            _link("stage_2", "store", lead_time),
            _link("stage_3", "stage_2", 3),
            _link("stage_4", "stage_3", 4),
            _link("supplier", "stage_4", 2),
        ],
        "demand": {"kind": "normal", "mean": mean, "sd": sd},
    }


@setting(start=1.0)
def transshipment(
    stores: int = 3,
    lead_time: int = 2,
    penalty: float = 4.0,
    correlation: float = 0.5,
    instance: Instance = 0,
) -> Made:
    """A centre that cannot hold stock and K stores, normal demand, not clipped, backlogged."""
    names = _stores(stores)
    return {
        "locations": {name: {"holding": 1.0, "penalty": penalty} for name in names}
        | {"centre": {"holds": False}},
        "links": [
            *(_link("centre", name, lead_time) for name in names),
            _link("supplier", "centre", 3),
        ],
        "demand": _normal(stores, correlation, instance) | {"clip": False},
    }


@setting(start=1.0)
def one_warehouse(stores: int = 10, correlation: float = 0.5, instance: Instance = 0) -> Made:
    """A warehouse and K stores with individual costs and lead times, lost sales."""
    locations = _drawn_stores(stores, instance)
    leads = _lead_times(instance, stores)
    return {
        "locations": locations | {"warehouse": {"holding": 0.3}},
        "links": [
            *(_link("warehouse", n, int(lead)) for n, lead in zip(locations, leads, strict=True)),
            _link("supplier", "warehouse", 3),
        ],
        "demand": _normal(stores, correlation, instance),
    }


@setting(start=1.0)
def many_warehouses(
    file: str = "",
    first: int = 0,
    last: int | None = None,
    instance: int | Literal["published", "superseded"] = 0,
) -> Made:
    """Two warehouses and ten stores; or, with demand from a file, three and 21, for profit.

    Warehouses pay .5 and 1.5 (.5, 1.5 and .7) for a unit and hold at .3 and .4 (.3, .4 and .2); the
    first is 5 or 6 periods from its stores, the second 1 or 2. In the `superseded` instance the
    second holds at .35, and a store is 2 or 3 periods from either: so the authors' file was before.
    The file of demand has the stores' series, named store_1 to store_21, or is an array [R, T, 21];
    there a sale earns what a lost one costs elsewhere, and games begin without stock: give
    `start = 0` and `look_back = 16` as the authors do.

    Raises:
        InputError: the superseded instance with a file.
    """
    before = instance == "superseded"
    if file and before:
        raise InputError(
            'inventory.many_warehouses: instance = "superseded" is of two warehouses; leave out '
            "the file"
        )
    drawn: Instance = "published" if isinstance(instance, str) else instance
    holding = (0.3, 0.4, 0.2) if file else TWO_HELD if before else TWO_HOLD
    rows = THREE_BY_21 if file else TWO_BY_TEN
    count = len(rows[0])
    locations = _drawn_stores(count, drawn, "price" if file else "penalty")
    leads = _lead_times(drawn, count)
    links = [
        _link(f"warehouse_{w}", name, int(leads[k] if before else row[k]))
        for w, row in enumerate(rows, 1)
        for k, name in enumerate(locations)
        if row[k] != "0"
    ]
    costs = (0.5, 1.5, 0.7)[: len(rows)]
    links += [_link("supplier", f"warehouse_{w}", 3, cost) for w, cost in enumerate(costs, 1)]
    warehouses = {f"warehouse_{w}": {"holding": h} for w, h in enumerate(holding, 1)}
    demand = (
        {"kind": "series", "file": file, "first": first, "last": last}
        if file
        else _normal(count, 0.5, drawn)
    )
    return {"locations": locations | warehouses, "links": links, "demand": demand}


@setting(look_back=16)
def series(
    file: str,
    lead_time: int = 4,
    holding: float = 1.0,
    low: float = 6.3,
    high: float = 11.7,
    first: int = 0,
    last: int | None = None,
    objective: Literal["profit", "cost"] = "profit",
    instance: int = 0,
) -> Made:
    """One store that meets recorded series, lost sales, at a price (or penalty) by series.

    The authors draw lead times of 4, 5 and 6 by series, too; here all have one.
    """
    worth = "price" if objective == "profit" else "penalty"
    demand = {"kind": "series", "file": file, "first": first, "last": last, "seed": instance}
    return _one_store(lead_time, 0.0, holding, "lost", demand | {worth: (low, high)})


@setting()
def network(file: str) -> Made:
    """A user-defined network, from a TOML file."""
    return SupplyNetwork.from_file(file)


@setting(periods=30, discount=0.97, actions="quantities")
def or_gym(version: Literal[0, 1] = 0, mean: float = 20.0, legacy: bool = False) -> Made:
    """OR-Gym's InvManagement, a chain of four stages: backlogged (version 0) or lost (1).

    What a stage pays for goods is what the next one earns; so only the price of a sale and the cost
    of the last stage's production are left.
    """
    unmet = ("backlogged", "lost")[version]
    stages = zip((100, 100, 200), (0.15, 0.10, 0.05), strict=True)
    prices, capacities = (1.5, 1.0, 0.5), (100, 90, 80)
    short, leads = (0.075, 0.05, 0.025), (3, 5, 10)
    network = {
        "locations": {
            f"stage_{i}": {"stock": stock, "holding": holding, "unmet": unmet}
            | ({"penalty": 0.1, "price": 2.0} if i == 0 else {})
            for i, (stock, holding) in enumerate(stages)
        },
        "links": [
            _link("plant" if i == 2 else f"stage_{i + 1}", f"stage_{i}", leads[i], prices[i])
            | {"capacity": capacities[i], "penalty": short[i]}
            for i in range(3)
        ],
        "suppliers": ["plant"],
        "demand": {"kind": "poisson", "mean": mean},
        "internal": unmet,
        "receive": "before demand",
    }
    return (InvManagement, network) if legacy else network


@setting(periods=30, actions="quantities")
def or_gym_network(version: Literal[0, 1] = 0, mean: float = 20.0, legacy: bool = False) -> Made:
    """OR-Gym's NetworkManagement, from two sources to one market: backlogged (0) or lost (1).

    What a source cannot ship is not owed. Stock and capacity of a factory are shared between those
    who order there; in OR-Gym each can have all of it.
    """
    locations: dict[str, Any] = {
        "retailer": {
            "stock": 100, "holding": 0.03, "penalty": 0.1, "price": 2.0,
            "unmet": ("backlogged", "lost")[version],
        },
        "distributor_2": {"stock": 110, "holding": 0.02},
        "distributor_3": {"stock": 80, "holding": 0.015},
        "factory_4": {"stock": 400, "holding": 0.012, "capacity": 90, "operating": 0.01},
        "factory_5": {"stock": 350, "holding": 0.013, "capacity": 90, "operating": 0.015},
        "factory_6": {"stock": 380, "holding": 0.011, "capacity": 80, "operating": 0.012},
    }  # fmt: skip
    links = [
        _link("distributor_2", "retailer", 5, 1.5, 0.010),
        _link("distributor_3", "retailer", 3, 1.6, 0.015),
        _link("factory_4", "distributor_2", 8, 1.0, 0.008),
        _link("factory_4", "distributor_3", 10, 0.8, 0.006),
        _link("factory_5", "distributor_2", 9, 0.7, 0.005),
        _link("factory_6", "distributor_2", 11, 0.75, 0.007),
        _link("factory_6", "distributor_3", 12, 0.8, 0.004),
        _link("source_7", "factory_4", 0, 0.15),
        _link("source_7", "factory_5", 1, 0.05, 0.005),
        _link("source_8", "factory_5", 2, 0.07, 0.002),
        _link("source_8", "factory_6", 0, 0.2),
    ]
    network = {
        "locations": locations,
        "links": links,
        "suppliers": ["source_7", "source_8"],
        "demand": {"kind": "poisson", "mean": mean},
        "receive": "before demand",
    }
    return (NetworkManagement, network) if legacy else network


def _stores(count: int) -> list[str]:
    if not 1 <= count <= MOST_STORES:
        raise InputError(f"stores is {count}; give 1 to {MOST_STORES:,}")
    return [f"store_{k}" for k in range(1, count + 1)]


def _drawn_stores(count: int, instance: Instance, worth: str = "penalty") -> dict[str, Any]:
    """Stores with lost sales, whose costs are drawn."""
    names = _stores(count)
    holding = _draw("holding", instance, count, 0.7, 1.3)
    penalty = _draw("penalty", instance, count, 6.3, 11.7)
    return {
        name: {"holding": float(h), worth: float(p), "unmet": "lost"}
        for name, h, p in zip(names, holding, penalty, strict=True)
    }


def _normal(stores: int, correlation: float, instance: Instance) -> dict[str, Any]:
    """Normal demand whose means and coefficients of variation are drawn."""
    mean = _draw("mean", instance, stores, 2.5, 7.5)
    if instance == "published":
        mean = mean.round(3)
    sd = mean * _draw("variation", instance, stores, 0.25, 0.5)
    if instance == "published":
        sd = sd.round(3)
    numbers = {"mean": tuple(map(float, mean)), "sd": tuple(map(float, sd))}
    return {"kind": "normal", "correlation": correlation, **numbers}


def _lead_times(instance: Instance, count: int) -> np.ndarray:
    """[count] of 2 and 3 periods."""
    if instance == "published":
        return np.random.RandomState(PUBLISHED["lead_time"]).randint(2, 4, count)
    return 2 + _draw("lead_time", instance, count, 0, 2).astype(int)


def _draw(what: str, instance: Instance, count: int, low: float, high: float) -> np.ndarray:
    """[count] numbers, evenly between; each parameter has a stream of its own."""
    if instance == "published":
        return np.random.RandomState(PUBLISHED[what]).uniform(low, high, count)
    if instance < 0:
        raise InputError(f"instance is {instance}; give 0 or more")
    stream = np.random.SeedSequence([instance, list(PUBLISHED).index(what)])
    return np.random.default_rng(stream).uniform(low, high, count)
