"""Benchmarks of supply networks and lot-sizing."""
