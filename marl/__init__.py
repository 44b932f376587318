"""Multi-agent learning: tabular solvers on the sequence form, and policies by deep learning."""

from games.common.lazy import later
from marl import tabular

# Deep learning needs torch and RLlib, which are slow to import: only when used.
_LATER = {
    "Dataset": "marl.learning.plan",
    "HDPO": "marl.learning.pathwise.hdpo",
    "IPPO": "marl.learning.on_policy.named",
    "InformationSets": "marl.evaluation.exact",
    "LearningMethod": "marl.learning.method",
    "MAPPO": "marl.learning.on_policy.named",
    "Network": "marl.networks.network",
    "OffPolicyMethod": "marl.learning.off_policy.base",
    "PPO": "marl.learning.on_policy.ppo",
    "Plan": "marl.learning.plan",
    "Policy": "marl.networks.policy",
    "REINFORCE": "marl.learning.on_policy.reinforce",
    "Resources": "marl.learning.plan",
    "RolloutMethod": "marl.learning.method",
    "SelfPlay": "marl.learning.plan",
    "Trainer": "marl.learning.trainer",
    "Trajectory": "marl.rollouts.trajectory",
    "Uniform": "marl.evaluation.actors",
    "evaluate": "marl.evaluation.episodes",
    "exploitability_lower_bound": "marl.evaluation.best_response",
    "record": "marl.rollouts.recording",
    "register_method": "marl.learning.method",
    "strategy": "marl.evaluation.exact",
    "train": "marl.learning.trainer",
}

__all__ = [
    "HDPO",
    "IPPO",
    "MAPPO",
    "PPO",
    "REINFORCE",
    "Dataset",
    "InformationSets",
    "LearningMethod",
    "Network",
    "OffPolicyMethod",
    "Plan",
    "Policy",
    "Resources",
    "RolloutMethod",
    "SelfPlay",
    "Trainer",
    "Trajectory",
    "Uniform",
    "evaluate",
    "exploitability_lower_bound",
    "record",
    "register_method",
    "strategy",
    "tabular",
    "train",
]

__getattr__ = later(__name__, _LATER)
