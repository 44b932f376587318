"""Records of safe navigation games, control step by control step, for pictures and tables.

A game holds an action for some control steps; who waits for whom shows only between them. So games
are played again here, with a function from what is seen to actions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from games import InputError
from games.finite.sequence_form import Float64
from games.navigation.safe_navigation import PARAMETERS, STUCK, SafeNavigation, State
from games.simulators.simulator import Observation

Bools = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Trajectories:
    """B games of N discs and M obstacles; T control steps, of which a game counts `length`."""

    game: SafeNavigation
    position: Float64  # [T + 1, B, N, 2] m
    parameters: Float64  # [T, B, N, 2]  zeta in 1/s and eta, by which a step was played
    goal: Float64  # [B, N, 2] m
    obstacle: Float64  # [B, M, 2] m, centres
    shortest: Float64  # [B, N] m, to the goal's rim: see `games.navigation.safe_navigation.State`
    clearance: Float64  # [T + 1, B, N] m of free way to whatever is nearest
    arrived: Bools  # [T + 1, B, N]  is at its goal
    waiting: Bools  # [T, B, N]  hardly moved, away from its goal
    eased: Bools  # [T, B, N]  its own parameters left it no control
    infeasible: Bools  # [T, B, N]  no safe control was there
    collisions: Float64  # [B] contacts that began
    length: NDArray[np.int64]  # [B] control steps; nothing happens after them

    @property
    def zeta(self) -> Float64:
        """[T, B, N] in 1/s."""
        return self.parameters[..., PARAMETERS.index("zeta")]

    @property
    def time(self) -> Float64:
        """[T + 1] s."""
        return self.game.dt * np.arange(len(self.position), dtype=np.float64)

    @cached_property
    def underway(self) -> Bools:
        """[T, B, N] whether the game goes on and the agent is not at its goal."""
        counts = np.arange(len(self.parameters))[:, None] < self.length
        return counts[..., None] & ~self.arrived[:-1]

    @cached_property
    def until(self) -> NDArray[np.int64]:
        """[B, N] control steps until it was last away from its goal."""
        steps = np.arange(len(self.parameters))[:, None, None]
        return np.where(self.underway, steps + 1, 0).max(axis=0)

    @cached_property
    def went(self) -> Float64:
        """[T, B, N] m gone in a step."""
        return np.linalg.norm(np.diff(self.position, axis=0), axis=-1)

    @property
    def distance(self) -> Float64:
        """[T + 1, B, N] m to the goal."""
        return np.linalg.norm(self.goal - self.position, axis=-1)

    def of(self, game: int) -> int:
        """The game's number, if there is such a one.

        Raises:
            InputError: there is none.
        """
        if not 0 <= game < len(self.length):
            raise InputError(
                f"game {game}: {len(self.length)} games were played; give 0 to "
                f"{len(self.length) - 1}"
            )
        return game


@torch.no_grad()
def trajectories(
    game: SafeNavigation,
    decide: Callable[[Observation], Tensor],
    *,
    games: int = 1,
    seed: int = 0,
) -> Trajectories:
    """Play games and record them.

    Args:
        game: to be played.
        decide: from what B games show to actions [B, N, 2]; asked once for every `hold` control
            steps, until all games are over.
        games: B.
        seed: of the layouts; equal seeds give equal layouts, whatever the player.

    Raises:
        InputError: a game of another kind, no games; actions of another shape or out of their box.
    """
    if not isinstance(game, SafeNavigation):
        raise InputError(f"{type(game).__name__}: trajectories are those of safe_navigation")
    if games < 1:
        raise InputError(f"games = {games}: play at least 1")
    generator = torch.Generator().manual_seed(seed)
    begin = game.reset(games, generator)
    assert isinstance(begin, State)
    state, states = begin, [begin]
    over = torch.zeros(games, dtype=torch.bool)
    while not over.all():
        state = game.tuned(state, torch.as_tensor(decide(game.observe(state))))
        for _ in range(game.hold):
            state, step = game.advance(state, generator)
            states.append(state)
        over = step.over

    def each(value: Callable[[State], Tensor], past: int = 0) -> Float64:
        return np.stack([value(s).double().numpy() for s in states[past:]])

    return Trajectories(
        game=game,
        position=each(lambda s: s.position),
        parameters=each(lambda s: s.parameters, 1),
        goal=begin.goal.double().numpy(),
        obstacle=begin.obstacle.double().numpy(),
        shortest=begin.shortest.double().numpy(),
        clearance=each(lambda s: s.clearance.amin(dim=1)),
        arrived=each(lambda s: s.arrived) > 0,
        waiting=each(lambda s: s.still, 1) > 0,
        eased=np.diff(each(lambda s: s.eased), axis=0) > 0,
        infeasible=np.diff(each(lambda s: s.infeasible), axis=0) > 0,
        collisions=state.collisions.double().numpy(),
        length=state.steps.numpy(),
    )


def by_agent(played: Trajectories) -> pd.DataFrame:
    """A row a game and agent.

    `success`, at its goal in the end and never touched anything; `spl`, success by the shortest
    over the gone path; `speed`, of the way gone over what full speed would go, until arrival;
    `seconds` until it was last away from its goal (nan: it still is), and those for which it
    `waits`, hardly moving; `zeta` in 1/s, the geometric mean until then; `closest`, the least
    clearance in m; `deadlocked`, `eased` and `infeasible` as in `games.navigation.safe_navigation`.
    """
    game, last = played.game, played.length
    batch = np.arange(len(last))
    steps = np.arange(len(played.parameters))[:, None, None]
    away = played.underway
    counts = np.broadcast_to(steps < last[:, None], away.shape)
    arrived = played.arrived[last, batch]  # [B, N]
    closest = np.where(
        np.concatenate((np.ones_like(counts[:1]), counts)), played.clearance, np.inf
    ).min(axis=0)
    success = arrived & (closest >= 0)
    travelled = (played.went * away).sum(axis=0)
    path = np.maximum(travelled, played.shortest)
    ratio = np.where(path > 0, played.shortest / np.maximum(path, 1e-9), 1)  # 1: it was there
    underway = away.sum(axis=0)
    moved = np.where(counts & ~played.waiting, steps + 1, 0).max(axis=0)  # steps until it stood
    still = (last[:, None] - moved) * game.dt
    most = np.maximum(last, 1)[:, None]  # a game may be over as it begins
    zeta = (np.log(played.zeta) * away).sum(axis=0) / np.maximum(underway, 1)
    columns = {
        "success": success,
        "spl": success * ratio,
        "speed": travelled / np.maximum(underway * game.dt * game.max_speed, 1e-9),
        "seconds": np.where(arrived, played.until * game.dt, np.nan),
        "waits": (played.waiting & away).sum(axis=0) * game.dt,
        "zeta": np.exp(zeta),
        "closest": closest,
        "deadlocked": ~arrived & (still > STUCK - game.dt / 2),
        "eased": (played.eased & counts).sum(axis=0) / most,
        "infeasible": (played.infeasible & counts).sum(axis=0) / most,
    }
    rows = pd.MultiIndex.from_product([batch, range(game.agents)], names=["game", "agent"])
    table = {name: np.asarray(value).ravel() for name, value in columns.items()}
    return pd.DataFrame(table, index=rows).reset_index()


def by_game(played: Trajectories) -> pd.DataFrame:
    """A row a game: means over its agents; whether all succeeded; contacts; the least clearance."""
    agents = by_agent(played)
    means = agents.drop(columns=["agent", "seconds"]).groupby("game", as_index=False).mean()
    games = agents.groupby("game")
    means["zeta"] = np.exp(np.log(agents["zeta"]).groupby(agents["game"]).mean())
    means["closest"] = games["closest"].min()
    means.insert(1, "all_arrived", games["success"].all())
    means.insert(5, "seconds", games["seconds"].apply(lambda s: s.max(skipna=False)))
    means["collisions"] = played.collisions
    return means


def yielding(played: Trajectories, game: int = 0) -> Float64:
    """[N, N] m: how much more agent j approached its goal than i did, while they met.

    Two agents meet while both are under way and see each other. What is positive in row i says
    that i yielded to j; the table is its own negative, transposed.

    Raises:
        InputError: there is no such game.
    """
    b = played.of(game)
    nearer = -np.diff(played.distance[:, b], axis=0)  # [T, N] m
    place, away = played.position[:-1, b], played.underway[:, b]
    apart = np.linalg.norm(place[:, :, None] - place[:, None], axis=-1)  # [T, N, N]
    meet = (apart < played.game.communication) & away[:, :, None] & away[:, None]
    return ((nearer[:, None] - nearer[:, :, None]) * meet).sum(axis=0)
