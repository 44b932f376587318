"""Optimal costs of inventory problems, and how far a policy is from them.

    problem                                       answer
    one store, lost sales                         `lost_sales`: the optimum and its policy
    one store, demand that waits                  `backlogged`: the optimum, in closed form
    stages in series, demand that waits           `serial`: the optimum (Clark & Scarf)
    stores behind a centre without stock          `transshipment_bound`: a lower bound
    stores behind warehouses, lost sales          `warehouse_bound`: a lower bound

All are long-run averages of a period in which one observes, orders, serves demand from stock on
hand, and pays for what is left or lacking; then shipments move up. An order placed at t can be used
at t + L. The costs of the best base-stock policies are given with the optimum of lost sales.
"""

from __future__ import annotations

from analysis.inventory.backlogged import Backlogged, Serial, backlogged, serial
from analysis.inventory.bounds import transshipment_bound, warehouse_bound
from analysis.inventory.demand import Demand, clipped_normal, poisson
from analysis.inventory.lost_sales import (
    LostSales,
    PolicyCost,
    base_stock_cost,
    best_base_stock,
    best_capped_base_stock,
    lost_sales,
    policy_cost,
)

__all__ = [
    "Backlogged",
    "Demand",
    "LostSales",
    "PolicyCost",
    "Serial",
    "backlogged",
    "base_stock_cost",
    "best_base_stock",
    "best_capped_base_stock",
    "clipped_normal",
    "lost_sales",
    "poisson",
    "policy_cost",
    "serial",
    "transshipment_bound",
    "warehouse_bound",
]
