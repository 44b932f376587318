"""Scenarios of kind `train`: a plan, when to stop, what to keep, and how it is told."""
