"""What players are worth: whole games, comparisons, exact strategies, best responses."""
