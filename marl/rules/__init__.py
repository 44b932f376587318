"""Hand-written players: heuristics and planners, and their tuning, by domain.

`RULES` has them by name; `marl.evaluation.players.player` makes one from text. Register your own
by `@RULES.register("my-rule")` above its class.
"""

from typing import Any

from games.common.registry import Registry

_INVENTORY = "marl.rules.inventory.named"
_LOT_SIZING = "marl.rules.lot_sizing.named"
RULES: Registry[Any] = Registry(
    "rule",
    {
        "uniform": "marl.rules.uniform:Uniform",
        "fixed": "marl.rules.navigation:Fixed",
        "heterogeneous": "marl.rules.navigation:Heterogeneous",
        "yielding": "marl.rules.navigation:Yielding",
        "priority": "marl.rules.navigation:Priority",
        "base-stock": f"{_INVENTORY}:BaseStock",
        "capped-base-stock": f"{_INVENTORY}:CappedBaseStock",
        "echelon-stock": f"{_INVENTORY}:EchelonStock",
        "(s,S)": f"{_INVENTORY}:ReorderPoint",
        "quantile-newsvendor": f"{_INVENTORY}:QuantileNewsvendor",
        "myopic": f"{_INVENTORY}:Myopic",
        "perfect-information": f"{_INVENTORY}:PerfectInformation",
        "idle": f"{_LOT_SIZING}:Idle",
        "keep-setup": f"{_LOT_SIZING}:KeepSetup",
        "static": f"{_LOT_SIZING}:Static",
        "plan": f"{_LOT_SIZING}:Plan",
        "optimal": "marl.rules.cooperation:Optimal",
        "best-on-average": "marl.rules.cooperation:BestOnAverage",
    },
)
