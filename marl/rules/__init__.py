"""Players that were thought of, not trained: heuristics, planners and their tuning, by domain.

`RULES` knows them by their plain names; `marl.evaluation.players.player` reads one from text. A
rule of your own is one line more: `@RULES.register("my-rule")` above its class.
"""

from typing import Any

from games.common.registry import Registry

_INVENTORY = "marl.rules.inventory.named"
_LOT_SIZING = "marl.rules.lot_sizing"
RULES: Registry[Any] = Registry(
    "rule",
    {
        "uniform": "marl.rules.uniform:uniform",
        "fixed": "marl.rules.navigation:Fixed",
        "heterogeneous": "marl.rules.navigation:Heterogeneous",
        "yielding": "marl.rules.navigation:Yielding",
        "priority": "marl.rules.navigation:Priority",
        "base-stock": f"{_INVENTORY}:base_stock",
        "capped-base-stock": f"{_INVENTORY}:capped_base_stock",
        "echelon-stock": f"{_INVENTORY}:echelon_stock",
        "(s,S)": f"{_INVENTORY}:reorder_point",
        "quantile-newsvendor": f"{_INVENTORY}:quantile_newsvendor",
        "myopic": f"{_INVENTORY}:myopic",
        "perfect-information": f"{_INVENTORY}:PerfectForesight",
        "idle": f"{_LOT_SIZING}.rules:Idle",
        "keep-setup": f"{_LOT_SIZING}.rules:KeepSetup",
        "static": f"{_LOT_SIZING}.rules:Static",
        "plan": f"{_LOT_SIZING}.plan:Plan",
    },
)
