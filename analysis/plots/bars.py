"""Bars of action probabilities: one for each information set, grouped by rounds of the game."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from analysis.plots.labels import Label
from games import Strategy

if TYPE_CHECKING:
    from matplotlib.axes import Axes

HATCHES = ("", "////", "....")
SMALL = 30  # characters of a label from which on all of an axis are written smaller


class ActionStyle(NamedTuple):
    """How an action is drawn."""

    colour: str
    hatch: str  # "" for none

    @property
    def style(self) -> dict[str, Any]:
        """Arguments of matplotlib's patches."""
        lines = {"hatch": self.hatch, "edgecolor": "white"} if self.hatch else {}
        return {"facecolor": self.colour, "linewidth": 0, **lines}


def in_rounds(labels: Sequence[Label]) -> list[tuple[str, list[int]]]:
    """Headings of rounds, and the positions in `labels` that belong to each, sorted by label."""
    groups: dict[tuple[int, str], list[int]] = {}
    for k, label in enumerate(labels):
        groups.setdefault((label.round, label.heading), []).append(k)
    return [
        (heading, sorted(own, key=lambda k: _natural(labels[k].text)))
        for (_, heading), own in sorted(groups.items())
    ]


def height(groups: Sequence[tuple[str, Sequence[int]]]) -> int:
    """Lines that groups take on an axis, headings counted."""
    return sum(len(own) + bool(heading) for heading, own in groups)


def draw(
    ax: Axes,
    profile: Strategy,
    rows: Sequence[int],
    labels: Sequence[Label],
    names: Sequence[str],
    looks: Mapping[str, ActionStyle],
) -> None:
    """Bars of the rows of a profile, from the top down, each with its label to the left.

    Args:
        ax: where to draw.
        profile: the strategy.
        rows: numbers of its information sets.
        labels: as many.
        names: of all actions of the profile.
        looks: of actions, by name.
    """
    y, ticks, texts = 0, [], []
    for heading, own in in_rounds(labels):
        if heading:
            if y:
                ax.axhline(y - 0.5, color="0.85", linewidth=0.8, zorder=0)
            ax.text(0.0, y, heading, weight="bold", size=8, color="0.35", va="center", gid="round")
            y += 1
        for k in own:
            _bar(ax, y, profile, rows[k], names, looks)
            ticks.append(y)
            texts.append(labels[k].text.replace("$", r"\$"))
            y += 1
    ax.set_yticks(ticks, texts)
    longest = max(map(len, texts), default=0)
    ax.tick_params(axis="y", labelsize=8 if longest < SMALL else 7, length=0)
    ax.set(xlim=(0, 1), ylim=(max(y, 1) - 0.5, -0.5))
    ax.spines[["top", "right", "left"]].set_visible(False)


def _bar(
    ax: Axes,
    y: int,
    profile: Strategy,
    row: int,
    names: Sequence[str],
    looks: Mapping[str, ActionStyle],
) -> None:
    left = 0.0
    for at in range(profile.first_action[row], profile.first_action[row + 1]):
        width = float(profile.probabilities[at])
        ax.barh(y, width, left=left, height=0.8, **looks[names[at]].style)
        left += width


def _natural(text: str) -> tuple[tuple[bool, float, str], ...]:
    """Sorts texts with numbers by the size of these, and J before Q before K before A."""
    order = {"T": "10", "J": "11", "Q": "12", "K": "13", "A": "14"}
    parts = re.findall(r"\d+|\b[TJQKA](?![a-z])|\D", text)
    numbers = [order.get(part, part) for part in parts]
    return tuple((not n.isdigit(), float(n) if n.isdigit() else 0.0, n) for n in numbers)


def action_styles(
    profile: Strategy, rows: np.ndarray, labels: Sequence[str], palette: Sequence[str]
) -> dict[str, ActionStyle]:
    """How each action is drawn, by its name, in the order of the actions' numbers.

    Where the palette ends it begins again, hatched.
    """
    number: dict[str, int] = {}
    for row in rows:
        for at in range(profile.first_action[row], profile.first_action[row + 1]):
            action = int(profile.actions[at])
            number[labels[at]] = min(action, number.get(labels[at], action))
    names = sorted(number, key=number.__getitem__)
    return {
        name: ActionStyle(
            palette[(k + 1) % len(palette)], HATCHES[(k // len(palette)) % len(HATCHES)]
        )
        for k, name in enumerate(names)
    }
