"""Scenarios of kind `train`: a plan, when to stop, what to keep, and results."""
