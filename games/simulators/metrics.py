"""Metrics: their names, direction (more or less is better), range, and format.

A game lists its own in `Spec.metrics`; those here are common to all games. Comparisons, stopping
rules, plots and tables use `metric` and need not know the game.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

EVALUATED = "eval_"
"""Prefix of metrics measured in evaluation games."""


@dataclass(frozen=True)
class Metric:
    """The meaning of a number that games or training report."""

    name: str
    better: Literal["more", "less"] = "more"
    low: float = -math.inf
    high: float = math.inf
    yes_or_no: bool = False  # 0 or 1 of every game: its interval is Clopper and Pearson's
    form: str = ".4f"  # how a value is printed
    label: str = ""  # a readable name, for tables and plots

    @property
    def words(self) -> str:
        """The label, by default the name with spaces."""
        return self.label or self.name.replace("_", " ")

    def is_better(self, value: float, other: float) -> bool:
        """Whether a value is strictly better than another."""
        return value < other if self.better == "less" else value > other


COMMON = (
    Metric("return"),
    Metric("episode_steps", form=".1f", label="steps a game"),
    Metric("wins", low=0, high=1, yes_or_no=True, form=".3f"),
    Metric("nash_conv", "less", low=0, label="NashConv"),
    Metric("nash_conv_average", "less", low=0, label="NashConv of the average"),
    Metric("exploitability", "less", low=0),
    Metric("loss", "less"),
    Metric("value_loss", "less"),
    Metric("gap", "less", form=".2f", label="gap, %"),
)


def metric(name: str, known: Iterable[Metric] = ()) -> Metric:
    """The metric of a name; unknown ones count as "more is better".

    Args:
        name: with or without `eval_` before it.
        known: a game's own, `Spec.metrics`, which come first.
    """
    plain = name.removeprefix(EVALUATED)
    for one in (*known, *COMMON):
        if one.name == plain:
            return one if name == plain else replace(one, name=name, label=one.words)
    return Metric(name)
