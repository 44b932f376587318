"""Train a policy by self-play, and judge exactly what it learned."""

import analysis
import games
import marl

game = games.load("kuhn_poker")
plan = marl.Plan(
    game="kuhn_poker",
    method=marl.PPO(
        num_envs=64, rollout_length=16, minibatches=4, parameter_sharing="none", entropy=0.2
    ),
    network=marl.Network(hidden=(64,)),
)

if __name__ == "__main__":
    with marl.train(plan) as training:
        for update in range(60):
            row = training.step()
            if update % 20 == 0:
                print(f"{row['steps']:>8,.0f} steps, entropy {row['entropy']:.3f}")
        policy = training.policy()

    strategy = marl.strategy(policy)  # the network's play, as a table over information sets
    print(f"NashConv of the network: {analysis.nash_conv(game, strategy):.3f}")
    uniform = games.Strategy.uniform(game.sequence_form())
    print(f"of uniform play: {analysis.nash_conv(game, uniform):.3f}")
    policy.save("kuhn.pt")
