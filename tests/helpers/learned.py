"""A trajectory and what an on-policy learner makes of it before it learns, by attribute."""

from dataclasses import replace

import torch

from marl.learning.on_policy.ppo import PPO
from marl.networks.distributions import distribution
from marl.rollouts.decisions import Decisions
from marl.rollouts.rollout import Rollout

KNOWN = ("advantage", "target", "logp", "parameters", "decided_nodes", "after_target")


class Learned:
    """`played` is what was recorded; here decisions of which nothing is known are nobody's."""

    def __init__(self, played, method):
        found = method.estimate(played)
        extras = {"advantage": found.advantage, "target": found.target, "error": found.error}
        self.played = played
        self.trajectory = replace(
            played,
            policy=torch.where(found.found, played.policy, -1),
            extras={**played.extras, **extras, **found.beside},
        )

    def __getattr__(self, name):
        extras = self.trajectory.extras
        return extras[name] if name in extras else getattr(self.trajectory, name)

    def decisions(self, k, network):
        beside = {key: self.extras[key] for key in KNOWN if key in self.extras}
        if "parameters" in beside:
            width = distribution(network.role).num_parameters
            beside["parameters"] = beside["parameters"][..., :width]
        return Decisions(self.trajectory, k, network, beside)


def sample(vector, networks, seats, num_learning, steps, discount, gae_lambda, **options):
    """What networks play, and its generalised advantages."""
    method = PPO(discount=discount, gae_lambda=gae_lambda)
    rollout = Rollout(vector, networks, seats, num_learning, extras=method.extras, **options)
    return Learned(rollout.sample(steps), method)
