"""Games of agents with one common payoff: matrix games and the two-step game, known to be hard.

`matrices` has the games by name, `common_payoff` the simulator, `tree` the same as a finite game.
"""
