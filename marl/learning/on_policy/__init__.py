"""Methods that learn from what their present policy played: PPO, REINFORCE, post-decision PPO."""
