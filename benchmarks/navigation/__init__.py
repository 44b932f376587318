"""Benchmarks of navigation."""
