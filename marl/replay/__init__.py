"""Remembered play: steps of games that are kept, drawn, and joined to targets over n steps.

It knows trajectories and observations, neither RLlib nor any learning method.
"""
