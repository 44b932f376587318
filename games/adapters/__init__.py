"""Games as learners play them: OpenSpiel's, PettingZoo's, trees and tables, and simulators.

Each is what `games.load` gives, or the `Vector` that it makes. A new kind of game from elsewhere
gets a file here and a line in `games.load`; domains of ours are named nowhere in this room.
"""
