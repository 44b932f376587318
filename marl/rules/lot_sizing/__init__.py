"""Lot-sizing without learning: rules, plans by integer programs, and the bound."""
