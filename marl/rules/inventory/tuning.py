"""Tuning a rule's parameters on sample paths: by exhaustive search or by gradients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from games.common.errors import InputError, did_you_mean
from games.common.seeds import seeds
from games.inventory.demand import Poisson
from games.inventory.inventory import Inventory
from marl.rules.inventory import horizon
from marl.rules.inventory.myopic import Myopic
from marl.rules.inventory.play import Paths, paths, total
from marl.rules.inventory.rules import (
    BaseStock,
    CappedBaseStock,
    EchelonStock,
    QuantileNewsvendor,
    ReorderPoint,
    Rule,
)

RULES: dict[str, type[Rule]] = {
    kind.name: kind
    for kind in (
        BaseStock,
        CappedBaseStock,
        EchelonStock,
        ReorderPoint,
        QuantileNewsvendor,
        Myopic,
    )
}
AT_ONCE = 2**14  # games of a search that are simulated at once: as many as the CPU cache holds


@dataclass(frozen=True, eq=False)
class Tuned:
    """A tuned rule, and its cost on the paths used for tuning."""

    rule: Rule
    cost: float  # per period; of a descent, on its last paths; nan for a rule without parameters


def tune(
    game: Inventory,
    kind: str,
    *,
    games: int = 1024,
    periods: int = 100,
    ignore: int = 50,
    seed: int = 0,
    steps: int = 200,
) -> Tuned:
    """Tune a rule: by `search` where a grid of integers holds the optimum, else by `descend`.

    A grid holds the base-stock, the capped and the (s, S) policies of one store with Poisson
    demand. Rules without numbers are returned as they are.

    Args:
        game: the game to play.
        kind: a name in `RULES`.
        games: paths; a search, which draws them only once, uses half as many.
        periods: of a path; of a search, eight times as many count.
        ignore: first periods of it that do not count.
        seed: of the paths; the same seed gives the same rule.
        steps: of a descent.

    Raises:
        InputError: an unknown kind; a game that does not suit the rule.
    """
    if _kind(kind).whole:  # it uses a location's own position
        horizon.require_kept(game, kind)
    first = _kind(kind).guess(game)
    one_store = game.arrays.num_links == 1 and isinstance(game.network.demand, Poisson)
    if first.whole and one_store:
        longer = ignore + 8 * (periods - ignore)
        keep = 0.1 if len(first.whole) > 1 else 1.0
        return search(
            game,
            kind,
            games=max(games // 2, 1),
            periods=longer,
            ignore=ignore,
            seed=seed,
            keep=keep,
        )
    if first.steep and first.whole:
        raise InputError(
            f"{game.name}: {kind} has no gradient to tune it by: give `search` a grid of its "
            f"numbers, {' and '.join(first.whole)}"
        )
    return descend(game, first, games=games, periods=periods, ignore=ignore, seed=seed, steps=steps)


def search(
    game: Inventory,
    kind: str,
    grid: Mapping[str, ArrayLike] | None = None,
    *,
    games: int = 256,
    periods: int = 250,
    ignore: int = 50,
    seed: int = 0,
    keep: float = 1.0,
) -> Tuned:
    """Tune a rule by exhaustive search over a grid, on the same paths for all points.

    Args:
        game: the game; all its locations get the same numbers.
        kind: a name in `RULES`.
        grid: values of each of the rule's numbers, all combinations of which are tried; None:
            integers up to what one store could ever need.
        games, periods, ignore, seed: see `tune`.
        keep: share of the points that are played on all paths: the best on other paths, an eighth
            as many. With 1 the result is the grid's exact best on these paths.

    Raises:
        InputError: an unknown kind; a grid of other numbers than the rule has.
    """
    first = _kind(kind).guess(game)
    if grid is None:
        one, horizon_most = _most(game)
        levels, caps = np.arange(horizon_most + 1), np.arange(1, one + 1)
        grid = {name: caps if name == "cap" else levels for name in first.whole}
    if not grid:
        said = " and ".join(first.numbers) or "of which it has none"
        raise InputError(f"{kind}: give search a grid of its numbers, {said}")
    for name in grid:
        if name not in first.numbers:
            raise InputError(f"{kind} has no number {name!r}: {did_you_mean(name, first.numbers)}")
    points = _points(grid)
    if keep < 1:
        few = paths(game, max(games // 8, 1), periods, seed=seeds(seed, 1)[0])
        order = _costs(game, first, list(grid), points, few, ignore).argsort()
        points = points[order[: max(round(keep * len(points)), 1)]]
    found = _costs(game, first, list(grid), points, paths(game, games, periods, seed=seed), ignore)
    best = int(found.argmin())
    chosen = {
        name: torch.full_like(first.numbers[name], float(points[best, k]))
        for k, name in enumerate(grid)
    }
    return Tuned(first.but(chosen), float(found[best]))


def descend(
    game: Inventory,
    rule: Rule,
    *,
    games: int = 1024,
    periods: int = 100,
    ignore: int = 50,
    seed: int = 0,
    steps: int = 200,
    step: float = 0.1,
) -> Tuned:
    """Tune a rule by gradient descent: Adam on the pathwise gradient of its cost.

    Args:
        game: the game to play; if it has fixed `traces`, only these are used.
        rule: the initial rule; all its tensors are tuned.
        games: paths of a step, newly drawn for each.
        periods, ignore, seed: see `tune`.
        steps: number of gradient steps.
        step: step size of the first one, in the rule's own units; it falls to 0.

    Raises:
        InputError: a rule without a gradient.
    """
    first = rule.numbers
    if not first:
        return Tuned(rule, float("nan"))
    if rule.steep:
        raise InputError(
            f"{game.name}: {rule.name} has no gradient: use marl.rules.inventory.search"
        )
    units = rule.unit(game)
    moved = {name: (value / units[name]).clone().requires_grad_() for name, value in first.items()}
    optimiser = torch.optim.Adam(moved.values(), lr=step)
    cost = torch.zeros(())
    for at in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = step * (1 - at / steps)
        now = rule.but({name: value * units[name] for name, value in moved.items()})
        on = paths(game, games, periods, seed=seeds(seed, at)[0])
        cost = total(game, now, on, ignore=ignore).mean() / (periods - ignore)
        optimiser.zero_grad(set_to_none=True)
        cost.backward()
        optimiser.step()
    found = {name: (value * units[name]).detach() for name, value in moved.items()}
    return Tuned(rule.but(found), float(cost.detach()))


def _kind(name: str) -> type[Rule]:
    if name not in RULES:
        raise InputError(f"unknown inventory rule {name!r}: {did_you_mean(name, RULES)}")
    return RULES[name]


def _costs(
    game: Inventory, first: Rule, names: Sequence[str], points: Tensor, on: Paths, ignore: int
) -> Tensor:
    """Mean costs per period [C] of the points [C, numbers], all on the same paths."""
    found = []
    size = max(AT_ONCE // len(on), 1)
    for begin in range(0, len(points), size):
        part = points[begin : begin + size]
        columns = part.repeat(len(on), 1)[:, :, None]  # [R * C, numbers, 1], path by path
        rule = first.but({name: columns[:, k] for k, name in enumerate(names)})
        with torch.no_grad():
            cost = total(game, rule, on.times(len(part)), ignore=ignore)
        found.append(cost.view(len(on), len(part)).mean(dim=0))
    return torch.cat(found) / (on.periods - ignore)


def _points(grid: Mapping[str, ArrayLike]) -> Tensor:
    """All combinations [C, numbers] float32, without those whose point is above its level."""
    values = [np.atleast_1d(np.asarray(value, np.float32)) for value in grid.values()]
    found = np.stack([axis.ravel() for axis in np.meshgrid(*values, indexing="ij")], axis=1)
    if {"point", "level"} <= set(grid):
        names = list(grid)
        found = found[found[:, names.index("point")] <= found[:, names.index("level")]]
    return torch.as_tensor(found)


def _most(game: Inventory) -> tuple[int, int]:
    """A high quantile of a store's demand, in a period and over the horizon."""
    k, demand = game.arrays.num_stores, game.network.demand
    one = demand.means(k) + 4 * demand.deviations(k)
    mean, deviation = horizon.moments(game.arrays)
    return int(np.ceil(one.max())), int(np.ceil((mean + 4 * deviation).max()))
