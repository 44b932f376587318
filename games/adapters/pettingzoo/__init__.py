"""PettingZoo's games as a `Vector`, and our simulators as PettingZoo's ParallelEnv."""
