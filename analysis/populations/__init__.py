"""Populations and meta-games: replicator, alpha-rank, empirical games."""
