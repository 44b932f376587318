"""What a metric is: its name, which way is better, its range, and how it is printed.

A game says its own in `Spec.metrics`; those here every game has. Whoever compares, stops, draws or
tabulates asks `metric`, and needs to know no game.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

EVALUATED = "eval_"
"""Begins the name of what was measured in games from which nothing is learned."""


@dataclass(frozen=True)
class Metric:
    """What a number that games or learners report means."""

    name: str
    better: Literal["more", "less"] = "more"
    low: float = -math.inf
    high: float = math.inf
    yes_or_no: bool = False  # 0 or 1 of every game: its interval is Clopper and Pearson's
    form: str = ".4f"  # how a value is printed
    label: str = ""  # in words, for tables and pictures

    @property
    def words(self) -> str:
        """The label, or the name in words."""
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
    """What is known of a metric; one of which more is better if nothing is.

    Args:
        name: with or without `eval_` before it.
        known: a game's own, `Spec.metrics`, which come first.
    """
    plain = name.removeprefix(EVALUATED)
    for one in (*known, *COMMON):
        if one.name == plain:
            return one if name == plain else replace(one, name=name, label=one.words)
    return Metric(name)
