"""Scenarios of kind `play`: a game, and the players compared in it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from games.common.errors import InputError, did_you_mean
from scenarios.experiment import Experiment

MOST_EPISODES = 1_000_000


class PlayingScenario(Experiment):
    """One game, and players that all play it from the same seeds."""

    packages = (*Experiment.packages, "torch")

    kind: Literal["play"] = "play"
    players: dict[str, str]
    """Players by label: a rule such as "fixed(zeta=1)", a run's folder, a policy.pt, a strategy; or
    a list of such texts, which serve as labels. `schelling list rules` shows the rules."""
    episodes: Annotated[int, Field(gt=1, le=MOST_EPISODES)] = 200
    """Number of whole games that each player plays."""
    greedy: bool = False
    """Whether policies play their likeliest actions instead of drawn ones."""
    against: str = "self"
    """Who plays the other seats: the player itself, "random" for legal actions drawn uniformly, or
    any text that `players` takes; the player's own seat then changes from game to game."""
    to: str | None = None
    """Label of the player that the others are compared with; by default the first."""

    @field_validator("players", mode="before")
    @classmethod
    def _texts_are_labels(cls, players: Any) -> Any:
        if not isinstance(players, list | tuple):
            return players
        for text in players:
            if not isinstance(text, str):
                raise InputError(f"players: {text!r} is not a text such as 'fixed(zeta=1)'")
            if not text.strip():
                raise InputError("players: a name is missing; write a,b,c, such as uniform")
            if players.count(text) > 1:
                raise InputError(f"players: {text} is given twice")
        return {text: text for text in players}

    @field_validator("players")
    @classmethod
    def _somebody_plays(cls, players: dict[str, str]) -> dict[str, str]:
        if not players:
            raise InputError("players: give at least one, such as 'uniform'")
        for label, text in players.items():
            if not label.strip() or not label.isprintable():
                raise InputError(f"players: {label!r} cannot be a label: use printable characters")
            if not text.strip():
                raise InputError(f"players: {label} plays nothing; name a rule, a run or a file")
        return players

    @model_validator(mode="after")
    def _knows_whom_to_compare_with(self) -> PlayingScenario:
        if self.to is not None and self.to not in self.players:
            raise InputError(
                f"to: no player is called {self.to!r}: {did_you_mean(self.to, self.players)}"
            )
        return self

    @property
    def first(self) -> str:
        """The label of the player that the others are compared with."""
        return self.to or next(iter(self.players))
