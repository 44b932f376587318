"""How policies are trained and judged for the page of inventory: costs on fresh paths, and gaps."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

from benchmarks.page import quick

FRESH = 4242  # seed of the paths that judge
QUICK = quick()


def trained(name: str, *settings: str) -> tuple[Any, float, int]:
    """The policy of a shipped scenario, changed by settings; seconds of a core, and steps."""
    from scenarios import find

    scenario = find(name, settings)
    most = scenario.stop.steps // (50 if QUICK else 1)
    with scenario.start() as training:
        began = time.process_time()
        while training.steps < most:
            training.step()
        seconds = time.process_time() - began
        return training.policy(), seconds, training.steps


def played(game: Any, policies: Mapping[str, Any], games: int, periods: int, ignore: int) -> Any:
    from marl.rules.inventory import compare

    games = 64 if QUICK else games
    return compare(game, policies, games=games, periods=periods, ignore=ignore, seed=FRESH)


def percent(costs: Any) -> str:
    """A share with its 95% interval, in percent."""
    low, high = costs.interval
    return f"{100 * costs.mean:.2f} ({100 * low:.2f} to {100 * high:.2f})"


def over(found: Mapping[str, Any], name: str, optimum: float) -> Any:
    """The gap of a policy to the optimal one on the same paths, as a share of the optimum."""
    from marl.rules.inventory import Costs

    return Costs((found[name] - found["optimal"]).by_path / optimum)


def optimal_orders(best: Any) -> Callable[[Any], torch.Tensor]:
    """The optimal policy of one store with lost sales, as a function of the game's state."""

    def orders(state: Any) -> torch.Tensor:
        found = best.order(state.on_hand[:, 0].numpy(), state.pipeline[:, 0].numpy())
        return torch.as_tensor(np.asarray(found), dtype=torch.float32)[:, None]

    return orders


def lasting(name: str, steps: int) -> str:
    """The setting of a scenario that is to take so many gradient steps."""
    from scenarios import find

    scenario = find(name)
    return f"stop.steps={steps * scenario.method.num_envs * periods_of(scenario.game)}"


def periods_of(game: str) -> int:
    from games.load import simulator

    return simulator(game).periods  # type: ignore[attr-defined]
