"""A run of kind `play`: done in one go, without checkpoints.

comparison.csv   a row a metric and player
comparison.png   means with their 95% intervals, and the reference
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from games.common.storage import write_atomically
from scenarios.interrupt import Interrupted
from scenarios.playing.comparing import Comparison, compare, seated
from scenarios.playing.scenario import PlayingScenario
from scenarios.runs import Progress, Run
from scenarios.store import read_scenario

if TYPE_CHECKING:
    import pandas as pd

TABLE, PICTURE = "comparison.csv", "comparison.png"


@dataclass(frozen=True)
class PlayingRun(Run[PlayingScenario, Comparison]):
    """A run of a scenario that plays; created and loaded by `scenarios.Run`.

    `execute` calls `progress` with the number of players that are done, and of all.
    """

    answers = (TABLE,)

    @property
    def metrics(self) -> pd.DataFrame:
        """A row a metric and player, see `Comparison`; empty while the run is not done."""
        import pandas as pd

        return pd.DataFrame() if self.results is None else self.results[0].frame

    @staticmethod
    def _row(row: dict[str, Any]) -> Comparison:
        return Comparison.from_json(row)

    def _done_already(self) -> list[Comparison] | None:
        same = read_scenario(self.path) == self.scenario
        whole = all((self.path / name).exists() for name in (TABLE, PICTURE))
        return self.results if same and whole else None

    def _begin(
        self,
        ready: Mapping[str, Any] | None,
        stack: ExitStack,
        tell: Callable[[str], object],
    ) -> _Work:
        return _Work(self.path, self.scenario, seated(self.scenario) if ready is None else ready)


@dataclass(frozen=True)
class _Work:
    """Games to be played."""

    path: Path
    scenario: PlayingScenario
    players: Mapping[str, Any]

    def run(self, stopped: Callable[[], bool], progress: Progress | None) -> list[Comparison]:
        def pause() -> None:
            if stopped():
                raise Interrupted(
                    f"interrupted before all had played; play again with: schelling resume "
                    f"{self.path}"
                )

        found = compare(self.scenario, self.players, progress or (lambda done, total: None), pause)
        write_atomically(self.path / TABLE, found.frame.to_csv(index=False).encode())
        self._draw(found)
        return [found]

    def _draw(self, found: Comparison) -> None:
        from analysis.plots.players import comparison

        lines = {} if found.reference is None else {found.reference.metric: found.reference}
        title = f"{found.game}, {found.episodes:,} games each"
        comparison(found.frame, references=lines, title=title).savefig(self.path / PICTURE, dpi=150)
