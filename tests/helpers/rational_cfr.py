"""CFR and CFR+ in exact rational arithmetic: the textbook's recursion over OpenSpiel's histories.

An oracle for ties: here regrets that are equal are equal. For small games, or few iterations, since
numerators and denominators grow with every one.
"""

from __future__ import annotations

from collections import defaultdict
from fractions import Fraction
from typing import Any

import pyspiel

Policy = dict[str, list[tuple[int, float]]]


def read_tree(state: pyspiel.State) -> tuple[Any, ...]:
    """Utilities; or a player, its information state, its actions and what follows each."""
    if state.is_terminal():
        return (tuple(map(Fraction, state.returns())),)
    if state.is_chance_node():
        actions, chances = zip(*state.chance_outcomes(), strict=True)
        about: Any = [Fraction(p).limit_denominator(10**6) for p in chances]
    else:
        actions, about = state.legal_actions(), state.information_state_string()
    children = [read_tree(state.child(action)) for action in actions]
    return state.current_player(), about, actions, children


class RationalCFR:
    """Two players take turns; the average is OpenSpiel's, of the strategies that were evaluated."""

    def __init__(self, game: pyspiel.Game, plus: bool) -> None:
        self.tree, self.plus = read_tree(game.new_initial_state()), plus
        self.actions: dict[str, list[int]] = {}
        self.regret: dict[str, list[Fraction]] = {}
        self.play: dict[str, list[Fraction]] = {}
        self.average: dict[str, list[Fraction]] = {}
        self.iteration = 0
        self._meet(self.tree)

    def _meet(self, node: tuple[Any, ...]) -> None:
        if len(node) == 1:
            return
        player, name, actions, children = node
        if player >= 0 and name not in self.play:
            self.actions[name] = actions
            self.regret[name] = [Fraction(0)] * len(actions)
            self.play[name] = [Fraction(1, len(actions))] * len(actions)
            self.average[name] = [Fraction(0)] * len(actions)
        for child in children:
            self._meet(child)

    def step(self) -> None:
        self.iteration += 1
        for player in range(2):
            instant: dict[str, Any] = defaultdict(lambda: defaultdict(Fraction))
            own: dict[str, Fraction] = {}
            self._walk(self.tree, player, Fraction(1), Fraction(1), instant, own)
            for name, reach in own.items():
                weight = reach * (self.iteration if self.plus else 1)
                play = self.play[name]
                for k, p in enumerate(play):
                    self.average[name][k] += weight * p
                    r = self.regret[name][k] + instant[name][k]
                    self.regret[name][k] = max(r, Fraction(0)) if self.plus else r
                positive = [max(r, Fraction(0)) for r in self.regret[name]]
                total = sum(positive)
                uniform = [Fraction(1, len(play))] * len(play)
                self.play[name] = [r / total for r in positive] if total else uniform

    def _walk(self, node, player, reach, others, instant, own) -> Fraction:
        """The player's expected utility from here on; adds up its counterfactual regrets."""
        if len(node) == 1:
            return node[0][player]
        mover, about, _, children = node
        weights = self.play[about] if mover >= 0 else about
        if mover != player:
            return sum(
                (
                    p * self._walk(child, player, reach, others * p, instant, own)
                    for p, child in zip(weights, children, strict=True)
                ),
                Fraction(0),
            )
        values = [
            self._walk(child, player, reach * p, others, instant, own)
            for p, child in zip(weights, children, strict=True)
        ]
        expected = sum(p * v for p, v in zip(weights, values, strict=True))
        own[about] = reach
        for k, v in enumerate(values):
            instant[about][k] += others * (v - expected)
        return expected

    def policy(self) -> Policy:
        """The average strategy, as OpenSpiel takes it; uniform where it does not lead."""
        policy = {}
        for name, sums in self.average.items():
            total = sum(sums)
            shares = [x / total if total else Fraction(1, len(sums)) for x in sums]
            policy[name] = list(zip(self.actions[name], map(float, shares), strict=True))
        return policy
