"""How agents come to play a game: solvers on the sequence form, and learning (to come)."""

from marl import tabular

__all__ = ["tabular"]
