"""Players that were thought of, not trained: heuristics, planners and their tuning, by domain."""
