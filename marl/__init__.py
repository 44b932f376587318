"""How agents come to play a game: solvers on the sequence form, and learning by networks."""

from games.common.lazy import later
from marl import tabular

# What learns stands on torch and RLlib, which take their time to import: only when asked for.
_LATER = {
    "HDPO": "marl.learning.pathwise.hdpo",
    "PPO": "marl.learning.on_policy.ppo",
    "REINFORCE": "marl.learning.on_policy.reinforce",
    "InformationSets": "marl.evaluation.exact",
    "Network": "marl.networks.network",
    "Plan": "marl.learning.plan",
    "Policy": "marl.networks.policy",
    "Resources": "marl.learning.plan",
    "SelfPlay": "marl.learning.plan",
    "Training": "marl.learning.training",
    "Uniform": "marl.evaluation.episodes",
    "evaluate": "marl.evaluation.episodes",
    "exploitability_lower_bound": "marl.evaluation.best_response",
    "strategy": "marl.evaluation.exact",
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
