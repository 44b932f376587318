"""Compare players in the same games, with each other and with the game's optimum or bound."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from analysis.references import comparable_reference
from games.common.errors import InputError
from games.load import vector
from games.simulators.metrics import metric
from games.simulators.references import Reference, gap
from marl.evaluation.actors import Uniform, shown
from marl.evaluation.comparison import table
from marl.evaluation.episodes import evaluate
from marl.evaluation.players import player
from scenarios.figures import by_game
from scenarios.playing.scenario import PlayingScenario

if TYPE_CHECKING:
    import pandas as pd

    from marl.evaluation.episodes import Played

GAP = ("gap", "gap_low", "gap_high")
SELF, RANDOM = "self", "random"


@dataclass(frozen=True)
class Comparison:
    """The results of players in the same games."""

    game: str
    episodes: int
    seed: int
    to: str  # the player with whom the others are compared
    reference: Reference | None
    rows: list[dict[str, Any]]
    """One a metric and player, those of a metric together: all that
    `marl.evaluation.comparison.table` says, how the metric is printed (`form`), which way is
    `better`, and of the reference's metric `gap`, `gap_low` and `gap_high` in percent."""

    @property
    def frame(self) -> pd.DataFrame:
        """The rows as a table."""
        import pandas as pd

        return pd.DataFrame(self.rows)

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON; numbers that are not finite become null."""
        rows = [{k: _finite(value) for k, value in row.items()} for row in self.rows]
        known = None if self.reference is None else vars(self.reference)
        return vars(self) | {"reference": known, "rows": rows}

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> Comparison:
        fields = {name: row[name] for name in cls.__dataclass_fields__}
        known = fields["reference"]
        fields["reference"] = None if known is None else Reference(**known)
        fields["rows"] = [
            {key: math.nan if value is None else value for key, value in cells.items()}
            for cells in fields["rows"]
        ]
        return cls(**fields)


def seated(scenario: PlayingScenario) -> dict[str, Any]:
    """The players of a scenario by label, checked to be able to play its game.

    Raises:
        InputError: an unknown game or player, or a player or an opponent that does not suit the
            game.
    """
    spec = vector(scenario.game, 1).spec
    found = {}
    for label, text in scenario.players.items():
        found[label] = player(text, scenario.game)
        try:
            seen = shown(found[label], scenario.game)
            found[label].for_game(seen, spec if seen == scenario.game else vector(seen, 1).spec)
        except InputError as error:
            raise InputError(f"{label}: {error}") from None
    opponent(scenario.against, scenario.game)  # an unknown one is told before a folder is made
    return found


def opponent(text: str, game: str) -> Any:
    """Who plays the other seats: None for "self", a player for all else.

    Raises:
        InputError: an unknown player, or one that does not suit the game.
    """
    if text == SELF:
        return None
    try:
        rival = Uniform() if text == RANDOM else player(text, game)
        rival.for_game(game, vector(game, 1).spec)
    except InputError as error:
        raise InputError(f"against {text}: {error}; or {SELF}, or {RANDOM}") from None
    return rival


def compare(
    scenario: PlayingScenario,
    players: Mapping[str, Any],
    progress: Callable[[int, int], object] = lambda done, total: None,
    pause: Callable[[], object] | None = None,
) -> Comparison:
    """Play the same games with every player.

    Args:
        scenario: how many games, and how.
        players: what `seated` returned.
        progress: called with the number of players that are done, and of all.
        pause: called before every step; what it raises ends it.

    Raises:
        InputError: see `marl.evaluation.episodes.evaluate`.
    """
    game, played = scenario.game, {}
    rival = opponent(scenario.against, game)
    for done, (label, who) in enumerate(players.items()):
        progress(done, len(players))
        played[label] = evaluate(
            who, game, episodes=scenario.episodes, seed=scenario.seed, greedy=scenario.greedy,
            against=rival, pause=pause,
        )  # fmt: skip
    least = comparable_reference(game)
    rows = _rows(scenario, played, least)
    held = least is not None and any(row["metric"] == least.metric for row in rows)
    return Comparison(
        game, scenario.episodes, scenario.seed, scenario.first, least if held else None, rows
    )


def _rows(
    scenario: PlayingScenario, played: Mapping[str, Played], least: Reference | None
) -> list[dict[str, Any]]:
    spec = vector(scenario.game, 1).spec
    figures = {}
    for label, games in played.items():
        known = by_game(games, scenario.game, spec)
        known.pop("gap", None)  # a column of its own
        if not games.info and games.seat[0] < 0:  # a game that says nothing but who won
            known |= {f"return_{i}": each for i, each in enumerate(games.returns.T)}
        figures[label] = dataclasses.replace(games, info=known)
    rows = table(figures, scenario.first).to_dict("records")
    names = list(dict.fromkeys(row["metric"] for row in rows))
    for row in rows:
        kind = metric(row["metric"], spec.metrics)
        row |= {"better": kind.better, "form": kind.form}
        if least is not None and row["metric"] == least.metric:
            above = gap(figures[row["player"]].info[least.metric], least)
            row |= dict(zip(GAP, (above.mean, above.low, above.high), strict=True))
    return sorted(rows, key=lambda row: names.index(row["metric"]))


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
