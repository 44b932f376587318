"""What a simulator is, how its games are stepped in batches, and the checks that hold authors to it.

Knows no game by name.
"""
