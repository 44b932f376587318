"""Policy networks and what they are made of: encoders, memory, heads, action distributions.

Knows no learning method and no game.
"""
