"""Comparing players in the same games: means with intervals, and paired differences."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Integral
from typing import TYPE_CHECKING, Any

from games.common.errors import InputError, did_you_mean, one_line
from games.common.intervals import interval, relative, standard_error, student
from games.simulators.metrics import metric
from marl.evaluation.actors import Player
from marl.evaluation.episodes import Played, evaluate

if TYPE_CHECKING:
    import pandas as pd


def compare(
    game: Any,
    players: Mapping[str, Player],
    *,
    episodes: int = 200,
    seed: int = 0,
    greedy: bool = False,
    to: str | None = None,
) -> pd.DataFrame:
    """Let all players play the same games, and tabulate the games' metrics.

    The same seed gives the same layouts for all players: sampling of actions has a separate
    generator.

    Args:
        game: by name, or itself.
        players: by name; policies play any game that fits them.
        episodes: games of each player; at least 2.
        seed: of the games and of sampled actions.
        greedy: policies play their likeliest actions.
        to: name of the player that the others are compared with; see `table`.

    Raises:
        InputError: see `marl.evaluation.episodes.evaluate` and `table`; too few games, or no
        players.
    """
    check(players, to, "for_game", "a policy or a rule")
    check_episodes(episodes)
    played = {
        name: evaluate(player, game, episodes=episodes, seed=seed, greedy=greedy)
        for name, player in players.items()
    }
    return table(played, to)


def table(played: Mapping[str, Played], to: str | None = None) -> pd.DataFrame:
    """Tabulate games that were played from the same seed.

    Also for variants of a game that start alike, such as `safe_navigation` with and without
    `central`.

    Args:
        played: by player; game k of each started like game k of the others.
        to: name of the player that the others are compared with.

    Returns:
        one row per player and metric (the return, if games report nothing): player, agents,
        metric, games, mean, standard_error, low and high (its 95% interval, see `interval`), least
        and most of a game. And if `to` is given: difference, the mean of paired differences to that
        player, difference_low and difference_high by Student's t; and relative, relative_low and
        relative_high, the ratio of the means minus 1 (see `relative`), nan where the other's mean
        is 0.

    Raises:
        InputError: no players, different numbers of games, or fewer than 2; an unknown `to`.
    """
    import pandas as pd

    check(played, to, "info", "what `evaluate` returns")
    counts = {name: len(games.steps) for name, games in played.items()}
    if len(set(counts.values())) > 1 or min(counts.values()) < 2:
        raise InputError(
            f"to compare players let all of them play the same 2 games or more, not {counts}"
        )
    rows = []
    for player, games in played.items():
        for name, each in (games.info or {"return": games.own}).items():
            low, high = interval(each, metric(name, games.metrics).yes_or_no)
            row = {
                "player": player,
                "agents": games.returns.shape[1],
                "metric": name,
                "games": len(each),
                "mean": each.mean(),
                "standard_error": standard_error(each),
                "low": low,
                "high": high,
                "least": each.min(),
                "most": each.max(),
            }
            if to is not None:
                other = (played[to].info or {"return": played[to].own})[name]
                row["difference"] = (each - other).mean()
                row["difference_low"], row["difference_high"] = student(each - other)
                row["relative"], row["relative_low"], row["relative_high"] = relative(each, other)
            rows.append(row)
    return pd.DataFrame(rows)


def check(players: Mapping[str, object], to: str | None, has: str, kind: str) -> None:
    """Raise InputError unless `players` is a dict whose values all have the attribute."""
    if not isinstance(players, Mapping):
        raise InputError(f"players are a {type(players).__name__}: give a dict, {kind} by name")
    if not players:
        raise InputError("no players to compare: give at least one")
    for name, player in players.items():
        if isinstance(player, type) or not hasattr(player, has):
            raise InputError(f"player {name!r} is {one_line(repr(player))}; give {kind}")
    if to is not None and to not in list(players):
        raise InputError(f"nobody is called {to!r}: {did_you_mean(str(to), map(str, players))}")


def check_episodes(episodes: int) -> None:
    """Raise InputError for too few games for an interval."""
    if not isinstance(episodes, Integral) or episodes < 2:
        raise InputError(f"episodes is {episodes!r}; give a whole number, at least 2 for intervals")
