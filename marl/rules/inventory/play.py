"""Costs of policies in a supply network, all on the same sample paths of demand.

The protocol of Alvo, Russo and Kanoria (arXiv 2306.11246, section 5): long games, of which the
first periods do not count, on demand that no policy has seen. Random draws of a game do not depend
on orders, so two policies are compared path by path, and the interval of their difference is far
narrower than either's own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from games.common.errors import InputError
from games.common.intervals import standard_error, student
from games.common.seeds import seeds
from games.finite.sequence_form import Float64
from games.inventory.inventory import QUANTITIES, Inventory, State
from games.load import simulator
from marl.evaluation.actors import Player
from marl.rules.inventory.player import Ordering

NUMBERS = 2**25  # of demand that are kept at once
WIDEST = 4096  # games that are played at once


Orders = Callable[[State], Tensor]
"""From a state of B games to the orders [B, E] in units on every link."""


@dataclass(frozen=True, eq=False)
class Paths:
    """Sample paths of R games: their initial states, and everything random in T periods."""

    start: State  # of R games
    demand: Tensor  # [R, T, K] units
    lead: Tensor | None = None  # [R, T, E] int64 periods; None: the network's constants

    def __len__(self) -> int:
        return self.demand.shape[0]

    @property
    def periods(self) -> int:
        return self.demand.shape[1]

    def to(self, dtype: torch.dtype) -> Paths:
        """The same paths in another dtype."""
        start = {
            f.name: value.to(dtype)
            for f in fields(self.start)
            if isinstance(value := getattr(self.start, f.name), Tensor)
            and value.is_floating_point()
        }
        return Paths(replace(self.start, **start), self.demand.to(dtype), self.lead)

    def times(self, count: int) -> Paths:
        """Every path repeated so many times: 0, 0, 1, 1, ... for two."""

        def again(value: Tensor) -> Tensor:
            return value.repeat_interleave(count, dim=0)

        start = {
            f.name: again(value)
            for f in fields(self.start)
            if isinstance(value := getattr(self.start, f.name), Tensor)
        }
        lead = None if self.lead is None else again(self.lead)
        return Paths(replace(self.start, **start), again(self.demand), lead)


@dataclass(frozen=True, eq=False)
class Costs:
    """Costs per period on R paths, or differences between two policies' costs on each of them."""

    by_path: Float64  # [R] all locations together, mean over the periods that count

    @property
    def mean(self) -> float:
        return float(self.by_path.mean())

    @property
    def standard_error(self) -> float:
        """Standard error of the mean; 0 for a single path, where it is unknown."""
        return standard_error(self.by_path) if len(self.by_path) > 1 else 0.0

    @property
    def interval(self) -> tuple[float, float]:
        """95% confidence interval of the mean, by Student's t; for one path the mean itself."""
        return student(self.by_path) if len(self.by_path) > 1 else (self.mean, self.mean)

    def __sub__(self, other: Costs) -> Costs:
        """Paired differences, path by path.

        Raises:
            InputError: another number of paths.
        """
        if len(self.by_path) != len(other.by_path):
            raise InputError(
                f"costs on {len(self.by_path)} and on {len(other.by_path)} paths cannot be "
                "paired: play both policies on the same paths"
            )
        return Costs(self.by_path - other.by_path)

    def over(self, reference: float | Costs) -> Costs:
        """The relative gap above a known cost, or above a policy's costs on these paths."""
        if isinstance(reference, Costs):
            return Costs((self - reference).by_path / reference.mean)
        return Costs(self.by_path / reference - 1)


def paths(
    game: Inventory,
    games: int,
    periods: int | None = None,
    *,
    seed: int = 0,
    device: torch.device | str = "cpu",
) -> Paths:
    """Draw sample paths, exactly as games of that length would.

    Args:
        game: gives demand, lead times and initial states.
        games: R.
        periods: T; None: the game's own.
        seed: the same seed gives the same paths.
        device: where to draw them.

    Raises:
        InputError: no games or periods; traces of demand that are shorter than T.
    """
    periods = game.periods if periods is None else periods
    if games < 1 or periods < 1:
        raise InputError(f"{game.name}: give at least one game and one period")
    if periods != game.periods:
        game = replace(game, periods=periods, ignore=0)
    generator = torch.Generator(device).manual_seed(seed)
    start = game.reset(games, generator)
    sampler = game.sampler(generator.device)
    demand, lead = [], []
    for t in range(periods):
        demand.append(sampler.draw(start.trace, start.offset + t, generator))
        if game.arrays.random_leads:
            lead.append(game._lead(games, generator))
    return Paths(
        start=start,
        # Period by period in memory, as they are played.
        demand=torch.stack(demand).transpose(0, 1),
        lead=torch.stack(lead).transpose(0, 1) if lead else None,
    )


def costs(
    game: Inventory,
    policy: Player | Ordering | Orders,
    on: Paths,
    *,
    ignore: int = 0,
) -> Costs:
    """The costs of a policy on given paths.

    Args:
        game: the game that the paths were drawn from.
        policy: trained networks, which play their likeliest actions; a rule; or a function from a
            state to the orders [B, E] in units.
        on: the paths; all of them are played at once.
        ignore: first periods that do not count.

    Raises:
        InputError: no period counts; networks that do not fit the game.
    """
    with torch.no_grad():
        found = total(game, policy, on, ignore=ignore) / (on.periods - ignore)
    return Costs(found.double().cpu().numpy())


def compare(
    game: Inventory,
    policies: Mapping[str, Player | Ordering | Orders],
    *,
    games: int = 1024,
    periods: int = 5000,
    ignore: int = 3000,
    seed: int = 0,
) -> dict[str, Costs]:
    """The costs of several policies on the same, newly drawn paths.

    The paths are drawn and played in parts, so that memory does not grow with `games`.

    Args:
        game: see `costs`; fixed `traces` that it replays are not used here.
        policies: see `costs`.
        games: paths.
        periods: of a path.
        ignore: first periods of it that do not count.
        seed: of the paths.

    Raises:
        InputError: as `paths` and `costs`.
    """
    found: dict[str, list[Float64]] = {name: [] for name in policies}
    for part in parts(game, games, periods, seed=seed):
        for name, policy in policies.items():
            found[name].append(costs(game, policy, part, ignore=ignore).by_path)
    return {name: Costs(np.concatenate(each)) for name, each in found.items()}


def parts(game: Inventory, games: int, periods: int, *, seed: int = 0) -> Iterator[Paths]:
    """Paths of fresh demand, a part at a time; see `compare`."""
    if game.traces is not None:
        game = replace(game, traces=None)
    if games < 1 or periods < 1:
        raise InputError(f"{game.name}: give at least one game and one period")
    width = game.arrays.num_stores + (game.arrays.num_links if game.arrays.random_leads else 0)
    size = max(min(NUMBERS // (periods * width), WIDEST), 1)
    for k, start in enumerate(range(0, games, size)):
        yield paths(game, min(size, games - start), periods, seed=seeds(seed, k)[0])


def total(
    game: Inventory, policy: Player | Ordering | Orders, on: Paths, *, ignore: int = 0
) -> Tensor:
    """Costs [R] of all periods from `ignore` on, with gradients, or in float64 without.

    Args and errors: see `costs`.
    """
    if not 0 <= ignore < on.periods:
        raise InputError(
            f"{game.name}: ignore = {ignore} of {on.periods} periods leaves none that counts; "
            "set it lower, and at least 0"
        )
    game, decide = at_work(game, policy, len(on))
    state = on.start
    found: Tensor | None = None
    for t in range(on.periods):
        lead = None if on.lead is None else on.lead[:, t]
        state, flow = game.advance(state, decide(state), on.demand[:, t], lead)
        if t >= ignore:
            cost = flow.cost.sum(dim=1)
            cost = cost if cost.requires_grad else cost.double()
            found = cost if found is None else found + cost
    assert found is not None
    return found


def at_work(
    game: Inventory, policy: Player | Ordering | Orders, games: int
) -> tuple[Inventory, Orders]:
    """The game as the policy plays it, and a function from its states to orders."""
    rule = getattr(policy, "orders", None)
    if rule is None and hasattr(policy, "for_game"):
        return _seated(game, policy, games)
    if game.actions != QUANTITIES:  # so that orders are rationed
        game = replace(game, actions="quantities")
    if rule is not None:
        return game, lambda state: rule(game, state)
    return game, policy  # type: ignore[return-value]


def _seated(game: Inventory, player: Any, games: int) -> tuple[Inventory, Orders]:
    """A player's orders by its likeliest actions, in the view that it was trained on."""
    try:
        trained = simulator(player.game)
    except InputError:  # not a known game: then it plays the game's view, or does not fit
        trained = None
    if isinstance(trained, Inventory):
        game = replace(game, view=trained.view, actions=trained.actions)
    actor = player.for_game(game.name, game.spec)
    actor.start(games)

    def decide(state: State) -> Tensor:
        actions = actor.act(game.observe(state), None)
        return game.orders(state, game.shown.by_link(actions))

    return game, decide
