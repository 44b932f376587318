"""A method of your own: fictitious play, which then runs, stops and resumes like every solver."""

import numpy as np

import games
from games.finite.kernels import plans, plans_to_behaviour, respond
from marl import tabular


class FictitiousPlay(tabular.Method):
    """Fictitious play (Brown 1951): everybody best-responds to the average play of the others."""

    def start(self, game, *, iterations, seed):
        return Play(games.as_form(game))


class Play:
    def __init__(self, form):
        self.form, self.iteration, start = form, 0, games.Strategy.uniform(form)
        self.total = plans(form, start.behaviour(form))  # [S] sum of realization plans

    def step(self, iterations=1):
        self.iteration += iterations
        for _ in range(iterations):
            best, _, _ = respond(self.form, plans_to_behaviour(self.form, self.total))
            self.total += plans(self.form, best)

    def strategy(self):
        return games.Strategy.from_behaviour(self.form, plans_to_behaviour(self.form, self.total))

    def state(self):
        return {"total": self.total.copy(), "iteration": np.array(self.iteration)}

    def restore(self, state):
        self.total, self.iteration = state["total"].copy(), int(state["iteration"])


if __name__ == "__main__":
    print(tabular.solve(games.load("kuhn_poker"), FictitiousPlay(), iterations=1000))
