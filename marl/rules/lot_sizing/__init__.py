"""Lot-sizing without learning: rules, plans by integer programs, and lower bounds."""
