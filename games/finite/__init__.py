"""Finite games: trees and tables of any source, the sequence form and its kernels, strategies.

Public names are re-exported by `games`; the kernels' arrays are for solvers alone.
"""
