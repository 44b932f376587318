"""Evaluation of players: whole episodes, comparisons, exact strategies, best responses."""
