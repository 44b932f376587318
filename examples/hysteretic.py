"""Hysteretic Q-learning: a method of your own that learns from remembered play."""

import torch

import marl
from marl.learning.off_policy.dqn import IQL, td_loss
from marl.rllib.off_policy.values import ValueLearner


class Hysteretic(IQL):
    """Independent Q-learning whose agents hardly count what is worse than they expect.

    It may be the fault of another agent that still explores: so they stay out of traps.
    """

    learner = "examples.hysteretic:HystereticLearner"
    name: str = "hysteretic"
    blame: float = 0.05  # weight of what is worse than expected; 1: independent Q-learning


class HystereticLearner(ValueLearner):
    """Matignon, Laurent and Le Fort-Piat (IROS 2007), with weights in place of two rates."""

    def loss(self, values, targets, weight):
        counted = torch.where(targets < values, self.method.blame, 1.0)
        return td_loss(values, targets, weight * counted, huber=self.method.huber)


if __name__ == "__main__":
    method = Hysteretic(learning_rate=2e-3, learning_starts=500, exploration=1.0, target_rate=0.05)
    plan = marl.Plan(game="cooperation.matrix(payoff=climbing)", method=method)
    with marl.train(plan) as training:
        while training.steps < 6_000:
            training.step()
        played = marl.evaluate(training.policy(), episodes=10, greedy=True)
    print(f"return {played.returns.mean():.2f}, at best 11")
