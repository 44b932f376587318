"""Summaries of played games: metrics by episode, means, and the gap to a reference."""

from __future__ import annotations

import math

import numpy as np

from analysis.references import comparable_reference
from games.common.intervals import standard_error
from games.finite.sequence_form import Float64
from games.simulators.references import gap
from games.simulators.simulator import Spec
from marl.evaluation.episodes import Played


def by_game(played: Played, game: str, spec: Spec) -> dict[str, Float64]:
    """All metrics of whole games, an array [E] each.

    Args:
        played: games of one policy.
        game: its name; where its optimum or a bound is known, `gap` is how much worse each
            episode is, in percent.
        spec: of the game.
    """
    found = {"return": played.own, "episode_steps": played.steps, **played.info}
    alone = not len(played.seat) or played.seat[0] < 0
    if not alone:
        found["wins"] = (played.own > 0).astype(float)
    elif len(spec.roles) > 1 and played.returns.shape[1] == spec.num_agents:
        roles = np.array(spec.role_of)
        for k, role in enumerate(spec.roles):
            found[f"return_{role.name}"] = played.returns[:, roles == k].mean(axis=1)
    best = comparable_reference(game)
    if best is not None and best.metric in found:
        found["gap"] = best.shortfall(found[best.metric])
    return found


def summary(played: Played, game: str, spec: Spec) -> dict[str, float]:
    """The mean of every metric over episodes, and its standard error as `NAME_error`.

    What is not finite is left out.
    Against an opponent also `wins`, the share of games with a return above 0; with several roles
    the return of each. Where a reference is known, also `optimum`, `lower_bound` or `upper_bound`,
    and the `gap` to it in percent, with its 95% interval.
    """
    values = by_game(played, game, spec)
    values.pop("gap", None)
    found: dict[str, float] = {}
    count = len(played.steps)
    for name, each in values.items():
        found[name] = float(each.mean())
        if count > 1:
            found[f"{name}_error"] = standard_error(each)
    best = comparable_reference(game)
    if count > 1 and best is not None and best.metric in values:
        above = gap(values[best.metric], best)
        found[best.kind.replace(" ", "_")] = best.value
        found |= {"gap": above.mean, "gap_low": above.low, "gap_high": above.high}
    return {name: value for name, value in found.items() if math.isfinite(value)}
