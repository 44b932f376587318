"""Scenarios of the package `vmas` (physics of many games at once, in torch) as simulators.

Bettini, Kortvelesy, Blumenkamp and Prorok (2022), "VMAS: a vectorized multi-agent simulator for
collective robot learning", arXiv 2207.03530.
"""
