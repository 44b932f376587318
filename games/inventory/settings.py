"""The problems of the literature by name, each a function that makes its `Inventory`.

Settings and protocol: Alvo, Russo and Kanoria, "Deep reinforcement learning for inventory networks:
toward reliable policy optimization" (arXiv 2306.11246).
"""

from __future__ import annotations

from typing import Any

from games.inventory.inventory import Inventory
from games.inventory.network import SupplyNetwork


def lost_sales(
    lead_time: int = 4, penalty: float = 9.0, holding: float = 1.0, mean: float = 5.0, **play: Any
) -> Inventory:
    """One store, Poisson demand, lost sales (Zipkin 2008's test-bed)."""
    network = {
        "locations": {"store": {"holding": holding, "penalty": penalty, "unmet": "lost"}},
        "links": [{"source": "supplier", "target": "store", "lead_time": lead_time}],
        "demand": {"kind": "poisson", "mean": mean},
    }
    made = SupplyNetwork.checked(network, "inventory.lost_sales")
    return Inventory(made, name="inventory.lost_sales", **play)
