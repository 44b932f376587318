"""What a simulator is, how its games are stepped in batches, and what checks it.

Knows no game by name.
"""
