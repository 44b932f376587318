"""One player alone: its mean results as a table, and one of its games drawn or printed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from games.load import vector
from games.simulators.simulator import Spec
from marl.evaluation.episodes import Played, evaluate
from marl.evaluation.watching import MOST_PICTURES, Watching
from scenarios.figures import summary
from scenarios.playing.comparing import SELF, opponent
from scenarios.terminal import print_gap, print_table

MOST_AGENTS = 8  # whose returns are shown one by one


@dataclass(frozen=True)
class Games:
    """Which games are played, and how."""

    name: str
    seed: int = 0
    greedy: bool = False
    against: str = SELF  # who plays the other seats

    @property
    def spec(self) -> Spec:
        return vector(self.name, 1).spec

    def play(self, player: Any, episodes: int) -> Played:
        """Whole games of a player."""
        return evaluate(player, self.name, episodes=episodes, **self._how)

    def watch(self, player: Any, watching: Watching) -> None:
        """Draw or print one game of a player."""
        longest: dict[str, Any] = {} if watching.picture is None else {"longest": MOST_PICTURES}
        evaluate(player, watching.game, episodes=1, watch=watching, **longest, **self._how)

    @property
    def _how(self) -> dict[str, Any]:
        rival = opponent(self.against, self.name)
        return {"seed": self.seed, "greedy": self.greedy, "against": rival}


def watching(name: str, picture: Path | None, as_text: bool) -> Watching | None:
    """The function that draws or prints a game; None if not asked for, InputError if impossible."""
    return Watching(name, picture, as_text) if picture is not None or as_text else None


def play_one(
    run: str, player: Any, games: Games, episodes: int, watch: Watching | None, as_json: bool
) -> None:
    """Play, and print the means with their standard errors.

    Args:
        run: whose player it is, as it was asked for.
        player: a policy.
        games: which.
        episodes: how many.
        watch: what looks at one more of them.
        as_json: one object on one line.
    """
    played = games.play(player, episodes)
    found = summary(played, games.name, games.spec)
    agents = played.returns.shape[1]
    if 1 < agents <= MOST_AGENTS:
        found |= {f"return_{i}": float(played.returns[:, i].mean()) for i in range(agents)}
    if watch is not None:
        games.watch(player, watch)
        watch.finish(to_stderr=as_json)
    if as_json:
        print(json.dumps({"run": run, "game": games.name, "episodes": episodes, **found}))
        return
    rows = [
        {
            "": key.replace("_", " "),
            "mean": f"{value:.4f}",
            "standard error": f"{found[f'{key}_error']:.4f}" if f"{key}_error" in found else "",
        }
        for key, value in found.items()
        if not key.endswith(("_error", "_low", "_high"))
    ]
    print_table(f"{games.name}, {episodes:,} games", rows)
    print_gap(found)
    if watch is not None and watch.picture is not None:
        print(f"written: {watch.picture}")
