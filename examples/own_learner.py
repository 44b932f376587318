"""A learning method of your own: a config with its parameters, and a learner with its loss."""

import marl
from marl.learning.on_policy.reinforce import Loss
from marl.networks.distributions import distribution
from marl.rllib.on_policy import OnPolicyLearner


class AWR(marl.REINFORCE):
    """Advantage-weighted regression: imitate what was played, the better it was the more."""

    learner = "examples.own_learner:AWRLearner"
    epochs, minibatches = 4, 4  # passes over each batch, and gradient steps in each
    name: str = "awr"
    temperature: float = 0.5  # what divides advantages; near 0 only the best play counts


class AWRLearner(OnPolicyLearner):
    """Peng, Kumar, Zhang and Levine (2019), arXiv 1910.00177, section 3, without a replay."""

    parts = Loss._fields

    def loss(self, name, found, minibatch, entropy):
        method, rule = self.plan.method, distribution(self.module[name].network.role)
        weight = (minibatch["advantage"] / method.temperature).exp().clamp(max=20)
        policy = -(weight * rule.logp(found.parameters, minibatch.actions)).mean()
        error = (found.value - minibatch["target"]).square().mean()
        spread = rule.entropy(found.parameters).mean()
        total = policy + method.value_coefficient * error - entropy * spread
        return Loss(total, policy, error, spread)


if __name__ == "__main__":
    method = AWR(num_envs=32, rollout_length=8, learning_rate=3e-3)
    with marl.train(marl.Plan(game="cooperation.two_step", method=method)) as training:
        for _ in range(40):
            training.step()
        played = marl.evaluate(training.policy(), episodes=10, greedy=True)
    print(f"return {played.returns.mean():.2f}, at best 8")
