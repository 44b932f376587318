"""Adapters: games of OpenSpiel and PettingZoo, trees, tables and simulators as vectors.

Each is what `games.load` gives, or the `Vector` that it makes. A new kind of game from elsewhere
gets a file here and a line in `games.load`; domains of ours are named nowhere in this room.
"""
