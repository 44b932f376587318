"""Stochastic lot-sizing: machines that are set up for items, and published instances."""
