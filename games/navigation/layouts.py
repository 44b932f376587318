"""Layouts: initial places of discs, goals and obstacles in navigation games."""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor

from games.common.errors import InputError
from games.common.memory import require_memory
from games.navigation.parameters import Parameters

CIRCLE = 0.4  # radius of the circle of the swap, as a share of the area's side
TRIED = 16  # games, in which a layout has to be found
ROUNDS = 2000  # of drawing anew what is too near, until a layout is given up


def num_obstacles(game: Parameters) -> int:
    """M; the corridor makes its own wall, as many above the gap as below."""
    return 2 * _wall(game) if game.layout == "corridor" else game.obstacles


def check(game: Parameters) -> None:
    """Refuse a layout for which there is no room, by trying it.

    Raises:
        InputError: as said; obstacles given for the corridor; a gap too narrow or too wide.
    """
    if game.layout == "corridor" and game.obstacles:
        raise InputError(
            "navigation: the corridor makes its own obstacles; leave out "
            f"obstacles={game.obstacles}"
        )
    if game.layout == "corridor" and not 2 * game.radius < game.gap < game.area:
        raise InputError(
            f"navigation: gap is {game.gap:g}; give more than {2 * game.radius:g}, so that a disc "
            f"gets through, and less than {game.area:g}, so that there is a wall"
        )
    discs = game.agents * game.radius**2 + num_obstacles(game) * game.obstacle_radius**2
    if math.pi * discs > game.area**2 or 2 * max(game.radius, game.obstacle_radius) >= game.area:
        raise _too_crowded(game)
    if game.layout == "swap":  # its circle is not drawn but laid out
        across = 2 * CIRCLE * game.area
        chord = across * math.sin(math.pi * (1 - game.jitter) / max(game.agents, 2))
        if chord < 2 * game.radius + game.margin or across <= game.goal_radius:
            raise _too_crowded(game)
    points = 2 * game.agents + num_obstacles(game)
    require_memory(
        4.0 * TRIED * points**2,
        f"navigation: {game.agents:,} agents and {num_obstacles(game):,} obstacles",
        "give fewer",
    )
    # Ten times fewer rounds than a real game has: what passes here does not fail later.
    _place(game, TRIED, torch.Generator().manual_seed(0), ROUNDS // 10)


def place(game: Parameters, batch: int, generator: torch.Generator) -> Tensor:
    """Starts, goals and obstacles [B, 2N + M, 2] float32, in metres, none too near another.

    `random` draws all in the area. `swap` has starts on a circle, turned at random, goals on its
    other side, and obstacles at random. `corridor` has a wall with a gap across the area; the first
    half of the agents begin on its left, the others on its right, and all are to go across.

    Raises:
        InputError: no layout was found.
    """
    return _place(game, batch, generator, ROUNDS)


def _place(game: Parameters, batch: int, generator: torch.Generator, rounds: int) -> Tensor:
    """Rejection of single points: one too near to an earlier or a fixed one is drawn anew."""
    low, high = (box.expand(batch, -1, -1) for box in _boxes(game, batch, generator))
    least = _least_squares(game).to(low.device)

    def draw(left: Tensor) -> Tensor:
        share = torch.rand((len(left), *low.shape[1:]), generator=generator, device=low.device)
        return low[left] + (high[left] - low[left]) * share

    left = torch.arange(batch, device=low.device)  # the games that are not yet laid out
    points = draw(left)
    for _ in range(rounds):
        x, y = points[left].unbind(dim=2)
        apart = (x[:, :, None] - x[:, None]).square() + (y[:, :, None] - y[:, None]).square()
        wrong = (apart < least).any(dim=2)
        more = wrong.any(dim=1)
        if not more.any():
            return points
        left, wrong = left[more], wrong[more]
        points[left] = torch.where(wrong[..., None], draw(left), points[left])
    raise _too_crowded(game)


def _boxes(game: Parameters, batch: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Lower and upper corners [B or 1, 2N + M, 2] of where a point may be; equal: it is fixed."""
    device, n, m = generator.device, game.agents, num_obstacles(game)
    half = game.area / 2
    reach = torch.tensor([half - game.radius] * 2 * n + [half - game.obstacle_radius] * m)
    high = reach[:, None].expand(-1, 2).to(device)[None]  # the whole area
    low = -high
    if game.layout == "swap":
        turn, uneven = torch.rand((2, batch, n), generator=generator, device=device)
        place = torch.arange(n, device=device) + game.jitter * (uneven - 0.5)
        angle = 2 * math.pi * (turn[:, :1] + place / n)
        start = CIRCLE * game.area * torch.stack((angle.cos(), angle.sin()), dim=-1)
        rest = (box[:, 2 * n :].expand(batch, -1, -1) for box in (low, high))
        low, high = (torch.cat((start, -start, box), dim=1) for box in rest)
    elif game.layout == "corridor":
        low, high = low.clone(), high.clone()
        starts_left = torch.arange(n, device=device) < (n + 1) // 2
        left = torch.cat((starts_left, ~starts_left))
        beside = game.obstacle_radius + game.radius + game.margin
        high[:, : 2 * n, 0] = torch.where(left, -beside, high[:, : 2 * n, 0])
        low[:, : 2 * n, 0] = torch.where(left, low[:, : 2 * n, 0], beside)
        rows = torch.arange(m // 2, device=device)
        above = game.gap / 2 + game.obstacle_radius * (1 + 2 * rows)
        low[:, 2 * n :, 0] = high[:, 2 * n :, 0] = 0
        low[:, 2 * n :, 1] = high[:, 2 * n :, 1] = torch.cat((above, -above))
    return low, high


@lru_cache(maxsize=64)
def _least_squares(game: Parameters) -> Tensor:
    """[P, P] the square of how far point i must be from point j; 0 where it need not yield to j.

    Starts keep the margin from starts, goals from goals, and both from obstacles. An agent fits
    between any two obstacles, and does not begin at its own goal.
    """
    n, m = game.agents, num_obstacles(game)
    start, goal, obstacle = slice(0, n), slice(n, 2 * n), slice(2 * n, None)
    least = torch.zeros(2 * n + m, 2 * n + m)
    least[start, start] = least[goal, goal] = 2 * game.radius + game.margin
    least[obstacle] = game.radius + game.obstacle_radius + game.margin
    least[:, obstacle] = game.radius + game.obstacle_radius + game.margin
    least[obstacle, obstacle] = 2 * (game.radius + game.obstacle_radius) + game.margin
    least[goal, start].fill_diagonal_(game.goal_radius + 2 * game.radius)
    low, high = _boxes(game, 1, torch.Generator().manual_seed(0))
    fixed = (low == high).all(dim=-1)[0]
    earlier = torch.ones_like(least).tril(-1).bool()
    return torch.where((earlier | fixed) & ~fixed[:, None], least, 0).square()


def _wall(game: Parameters) -> int:
    """How many discs it takes from the gap to the edge of the area."""
    return math.ceil((game.area - game.gap) / (4 * game.obstacle_radius) - 1e-9)


def _too_crowded(game: Parameters) -> InputError:
    return InputError(
        f"navigation: no room for {game.agents} agents and {num_obstacles(game)} obstacles in the "
        f"layout {game.layout} of side {game.area:g}; give a larger area, or fewer or smaller discs"
    )
