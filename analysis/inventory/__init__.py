"""Inventory problems: optimal costs, lower bounds, and records of games."""
