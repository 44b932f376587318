"""Rules for supply networks: heuristics, their tuning, and planning with known demand."""

from marl.rules.inventory.myopic import Myopic
from marl.rules.inventory.oracle import PerfectInformation, perfect_information
from marl.rules.inventory.play import Costs, Paths, compare, costs, paths
from marl.rules.inventory.player import RulePlayer
from marl.rules.inventory.rules import (
    BaseStock,
    CappedBaseStock,
    EchelonStock,
    QuantileNewsvendor,
    ReorderPoint,
    Rule,
)
from marl.rules.inventory.tuning import RULES, Tuned, search, tune

__all__ = [
    "RULES",
    "BaseStock",
    "CappedBaseStock",
    "Costs",
    "EchelonStock",
    "Myopic",
    "Paths",
    "PerfectInformation",
    "QuantileNewsvendor",
    "ReorderPoint",
    "Rule",
    "RulePlayer",
    "Tuned",
    "compare",
    "costs",
    "paths",
    "perfect_information",
    "search",
    "tune",
]
