"""Off-policy learning on RLlib: the replay beside the env runners, and the methods' learners."""
