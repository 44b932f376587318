"""The simulator protocol, batched stepping of simulators, and conformance checks.

Knows no particular game.
"""
