"""Discs that move to their goals without touching: rules, control barrier functions, drawing."""
