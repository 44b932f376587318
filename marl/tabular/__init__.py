"""Regret minimisation and mirror descent on finite games, all behind one call.

>>> import games, marl.tabular
>>> form = games.load("kuhn_poker").sequence_form()
>>> solution = marl.tabular.solve(form, "cfr+", iterations=1000)
>>> round(solution.value, 3)
-0.056
"""

from marl.tabular.method import Method, Solver, find, list_methods
from marl.tabular.solve import solve
from marl.tabular.solving import Evaluation, Solution, Solving, Stop

__all__ = [
    "Evaluation",
    "Method",
    "Solution",
    "Solver",
    "Solving",
    "Stop",
    "find",
    "list_methods",
    "solve",
]
