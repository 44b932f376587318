"""How agents come to play a game: solvers on the sequence form, and learning by networks."""

from games.later import later
from marl import tabular

# What learns stands on torch and RLlib, which take their time to import: only when asked for.
_LATER = {
    "HDPO": "marl.hdpo",
    "PPO": "marl.ppo",
    "REINFORCE": "marl.reinforce",
    "InformationSets": "marl.finite",
    "Network": "marl.network",
    "Plan": "marl.plan",
    "Policy": "marl.policy",
    "Resources": "marl.plan",
    "SelfPlay": "marl.plan",
    "Training": "marl.training",
    "Uniform": "marl.evaluation",
    "evaluate": "marl.evaluation",
    "exploitability_lower_bound": "marl.best_response",
    "strategy": "marl.finite",
}

__all__ = [
    "HDPO",
    "PPO",
    "REINFORCE",
    "InformationSets",
    "Network",
    "Plan",
    "Policy",
    "Resources",
    "SelfPlay",
    "Training",
    "Uniform",
    "evaluate",
    "exploitability_lower_bound",
    "strategy",
    "tabular",
]

__getattr__ = later(__name__, _LATER)
