"""The optimum of an inventory problem, or a lower bound, by the kind of problem."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from itertools import pairwise

import networkx as nx

from analysis.inventory.optima import (
    Demand,
    backlogged,
    clipped_normal,
    lost_sales,
    poisson,
    serial,
    transshipment_bound,
    warehouse_bound,
)
from games.common.errors import InputError
from games.inventory.demand import Normal, Poisson
from games.inventory.inventory import Inventory
from games.inventory.network import Link, SupplyNetwork
from games.simulators.references import Reference

FARTHEST = 3  # lead time of a store with normal demand, whose states are many more
LARGEST = 6  # lead time of lost sales whose optimum is looked for: a million states, seconds
LEAST = 1e-6  # cost of a period; gaps to anything less cannot be in percent
WORN_OFF = 50  # periods after which a game's beginning is forgotten
LONG = 1000  # periods that count; the beginning matters little in so many


def inventory_reference(game: Inventory, as_played: bool = False) -> Reference | None:
    """The optimal long-run average cost of a network, or a lower bound; for `analysis.references`.

    Args:
        game: only its network matters, unless `as_played`.
        as_played: whether the reference is compared with costs of whole games. A short game can
            cost less than its network's long-run optimum, as it begins with stock on hand; so can
            one with fixed demand traces. Then the result is None.

    Returns:
        the optimum for one store and for stages in series, a lower bound for stores behind a
        centre or behind warehouses; None for all others.
    """
    if as_played:
        if game.discount < 1 or game.traces is not None:
            return None
        if game.ignore < WORN_OFF and game.periods - game.ignore < LONG:
            return None
    return of_network(game.network)


@lru_cache(maxsize=64)
def _by_text(text: str) -> Reference | None:
    network = SupplyNetwork.model_validate_json(text)
    try:
        found = next((found for look in KINDS if (found := look(network)) is not None), None)
    except InputError:  # costs of nothing, no demand, more states than fit
        return None
    return None if found is None or found.value < LEAST else found


def of_network(network: SupplyNetwork) -> Reference | None:
    """As `inventory_reference`, for a network alone."""
    if not _is_plain(network):
        return None
    return _by_text(network.model_dump_json())


def _is_plain(network: SupplyNetwork) -> bool:
    """Whether a network has only features that the known solutions cover."""
    links = all(
        isinstance(link.lead_time, int)
        and not (link.holding or link.penalty)
        and link.capacity is None
        for link in network.links
    )
    locations = all(
        not (one.price or one.operating) and one.capacity is None and one.yields == 1
        for one in network.locations.values()
    )
    demand = isinstance(network.demand, Poisson | Normal) and network.demand.season is None
    return links and locations and demand and network.receive == "before orders"


def _is_charged(network: SupplyNetwork) -> bool:
    """Whether goods cost something."""
    return any(link.cost for link in network.links)


def _one_store(network: SupplyNetwork) -> Reference | None:
    if len(network.locations) > 1 or len(network.links) > 1 or _is_charged(network):
        return None
    (store,), (link,) = network.locations.values(), network.links
    demand = network.demand
    if store.unmet == "lost":
        if not isinstance(demand, Poisson) or _lead(link) > LARGEST:
            return None
        best = lost_sales(
            float(demand.means(1)[0]), _lead(link), holding=store.holding, penalty=store.penalty
        )
        return Reference(best.cost, "optimum", "relative value iteration")
    law = _law(network)
    if law is None:
        return None
    closed = backlogged(law, _lead(link), holding=store.holding, penalty=store.penalty)
    return Reference(closed.cost, "optimum", "newsvendor over the lead time and a period")


def _law(network: SupplyNetwork) -> Demand | None:
    """Of one store's demand; None where it can be negative."""
    demand = network.demand
    mean = float(demand.means(1)[0])
    if isinstance(demand, Poisson):
        return poisson(mean)
    clipped = isinstance(demand, Normal) and demand.clip
    return clipped_normal(mean, float(demand.deviations(1)[0])) if clipped else None


def _lead(link: Link) -> int:
    """Of a plain link."""
    assert isinstance(link.lead_time, int)
    return link.lead_time


def _serial(network: SupplyNetwork) -> Reference | None:
    into = {link.target: link for link in network.links}
    if len(into) < len(network.links) or len(network.stores) > 1 or _is_charged(network):
        return None
    (store,) = network.stores
    if network.locations[store].unmet == "lost" or network.internal != "lost":
        return None
    chain = [into[store]]
    while chain[-1].source in into:
        chain.append(into[chain[-1].source])
    if not all(network.locations[link.target].holds for link in chain):
        return None
    if len(chain) < len(network.locations) or len({link.source for link in chain}) < len(chain):
        return None
    law = _law(network)
    holding = [network.locations[link.target].holding for link in reversed(chain)]
    if law is None or any(up > down for up, down in pairwise(holding)):
        return None
    best = serial(
        law,
        [_lead(link) for link in reversed(chain)],
        holding=holding,
        penalty=network.locations[store].penalty,
    )
    return Reference(best.cost, "optimum", "Clark and Scarf's recursion")


def _transshipment(network: SupplyNetwork) -> Reference | None:
    """A centre that keeps nothing, and stores alike but for their demand."""
    rest = [name for name in network.locations if name not in network.stores]
    if len(rest) != 1 or network.locations[rest[0]].holds or _is_charged(network):
        return None
    down = [link for link in network.links if link.source == rest[0]]
    up = [link for link in network.links if link.source != rest[0]]
    stores = [network.locations[name] for name in network.stores]
    alike = {(one.holding, one.penalty, one.unmet) for one in stores}
    leads = {_lead(link) for link in down}
    demand = network.demand
    if len(up) != 1 or len(down) != len(stores) or len(alike) > 1 or len(leads) > 1:
        return None
    if stores[0].unmet == "lost" or not isinstance(demand, Normal) or demand.clip:
        return None
    bound = transshipment_bound(
        demand.deviations(len(stores)),
        correlation=demand.correlation,
        warehouse_lead_time=_lead(up[0]),
        store_lead_time=leads.pop(),
        holding=stores[0].holding,
        penalty=stores[0].penalty,
    )
    return Reference(bound, "lower bound", "stock pooled among the stores")


def _warehouses(network: SupplyNetwork) -> Reference | None:
    """Stores that lose sales, each the shortest way from any warehouse, and the cheapest.

    A way of more than `FARTHEST` periods counts as one of that many, which costs no more: a policy
    that gets goods sooner can wait with every order.

    What locations pay each other cancels out; what a unit costs outside is paid for each that is
    sold. With c the least that it can be, c for each one wanted and p - c for each lost is no more.
    """
    stores, demand = [network.locations[name] for name in network.stores], network.demand
    if any(one.unmet != "lost" for one in stores) or not isinstance(demand, Normal):
        return None
    shortest = [
        min(FARTHEST, *(_lead(link) for link in network.links if link.target == name))
        for name in network.stores
    ]
    if not demand.clip or any(link.source in network.stores for link in network.links):
        return None
    unit = [_cheapest(network, name) for name in network.stores]
    lost = [one.penalty - c for one, c in zip(stores, unit, strict=True)]
    if min(lost) <= 0:
        return None
    mean = demand.means(len(stores))
    bound = warehouse_bound(
        mean,
        demand.deviations(len(stores)),
        lead_time=shortest,
        holding=[one.holding for one in stores],
        penalty=lost,
    )
    bound += sum(c * m for c, m in zip(unit, mean, strict=True))
    return Reference(float(bound), "lower bound", "every warehouse always has enough")


def _cheapest(network: SupplyNetwork, store: str) -> float:
    """The least that a unit costs outside on any way to a store."""
    reached = nx.ancestors(network.graph, store) | {store}
    return min(
        link.cost
        for link in network.links
        if link.source in network.suppliers and link.target in reached
    )


KINDS: tuple[Callable[[SupplyNetwork], Reference | None], ...] = (
    _one_store, _serial, _transshipment, _warehouses
)  # fmt: skip
