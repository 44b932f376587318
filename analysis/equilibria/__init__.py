"""Nash and quantal response equilibria, and the one result that all solvers return."""
