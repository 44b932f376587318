"""What inventory problems cost at best: optima, bounds, and what happened in games."""
