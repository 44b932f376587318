"""Evaluation by playing: whole episodes without learning, each counted once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from games.common.errors import InputError
from games.common.intervals import standard_error
from games.common.seeds import seeds
from games.finite.sequence_form import Float64
from games.load import vector
from games.names import called
from games.simulators.metrics import Metric
from games.simulators.simulator import Observation
from games.simulators.vector import Vector
from marl.evaluation.actors import Actor, Player, shown

AT_ONCE = 256  # games


@dataclass(frozen=True, eq=False)
class Played:
    """E games, played to their ends."""

    returns: Float64  # [E, N]
    steps: Float64  # [E]
    seat: np.ndarray  # [E] int64  the agent that the policy played; -1: all of them
    info: dict[str, Float64]  # [E] each, as the game reports them at its end
    metrics: tuple[Metric, ...] = ()  # their descriptions: `Spec.metrics`

    @property
    def own(self) -> Float64:
        """[E] the return of the policy's seat, or the mean over all agents if it played all."""
        if len(self.seat) and self.seat[0] >= 0:
            return self.returns[np.arange(len(self.seat)), self.seat]
        return self.returns.mean(axis=1)

    def standard_error(self) -> float:
        """Standard error of the mean return."""
        return standard_error(self.own)


def evaluate(
    player: Player,
    game: Any = None,
    *,
    episodes: int = 200,
    seed: int = 0,
    greedy: bool = False,
    against: Player | None = None,
    seat: int | None = None,
    longest: int = 100_000,
    watch: Callable[[Vector, Observation, Tensor], object] | None = None,
    pause: Callable[[], object] | None = None,
) -> Played:
    """Play whole games with a policy, a rule or any other player.

    Args:
        player: who plays; a policy with one network per role may play games with more or fewer
            agents.
        game: by name, or itself; default: the player's own `game`, which policies have and rules do
            not.
        episodes: games, every one of which counts once, however long it takes.
        seed: of the games and of sampled actions.
        greedy: play the player's likeliest action instead of sampling, if it knows that action.
            Rules that sample do so anyway.
        against: who plays all other seats; a policy of another game may, if it fits this one.
            None: the player plays all seats.
        seat: the player's own, with `against`; None: it changes from game to game.
        longest: most steps of a game; longer games are an error.
        watch: called before every step with the games, the observation, and the actions.
        pause: called before every step; an exception of it ends the evaluation.

    Raises:
        InputError: a player that does not suit the game; a game that breaks its rules, or does not
            end; no episodes, or a seat that the game does not have; a rule without a game.
    """
    of: Any = game
    if game is None and not isinstance(of := getattr(player, "game", None), str):
        raise InputError("this player has no game of its own: give the game to play")
    name = called(of)
    if episodes < 1:
        raise InputError(f"{name}: {episodes} episodes cannot be played; play at least 1")

    def before(played: int, games: Vector, seen: Observation, actions: Tensor) -> None:
        if played >= longest:
            raise InputError(
                f"{name}: a game is not over after {longest:,} steps; give the game a limit on its "
                "length, or evaluate with a greater `longest`"
            )
        if pause is not None:
            pause()
        if watch is not None:
            watch(games, seen, actions)

    of = shown(player, of)
    parts = []
    for start in range(0, episodes, AT_ONCE):
        count = min(AT_ONCE, episodes - start)
        games = vector(of, count)
        game_seed, draw_seed = seeds(seed, start, count=2)
        seats = np.full(count, -1)
        agents = games.spec.num_agents
        if seat is not None and not 0 <= seat < agents:
            raise InputError(f"{name}: there is no seat {seat}; give one of 0 to {agents - 1}")
        own = _seated(player, of, games, game_seed, greedy)
        rival = None if against is None else _seated(against, of, games, game_seed, False)
        if against is not None:
            seats = (np.arange(start, start + count) % agents) if seat is None else seats * 0 + seat
        parts.append(_play(games, own, rival, seats, game_seed, draw_seed, before))
    return Played(
        returns=np.concatenate([part.returns for part in parts]),
        steps=np.concatenate([part.steps for part in parts]),
        seat=np.concatenate([part.seat for part in parts]),
        info={k: np.concatenate([part.info[k] for part in parts]) for k in parts[0].info},
        metrics=parts[0].metrics,
    )


@dataclass(frozen=True)
class _Seated:
    """An actor in B games, and whether it plays greedily."""

    actor: Actor
    greedy: bool  # play its likeliest actions

    def act(self, seen: Observation, generator: torch.Generator) -> Tensor:
        return self.actor.act(seen, None if self.greedy else generator)


def _seated(player: Player, game: Any, games: Vector, seed: int, greedy: bool) -> _Seated:
    """Seat a player in games that are about to begin; see `marl.evaluation.actors`."""
    actor: Any = player.for_game(game, games.spec)
    if getattr(actor, "reads_text", False) and hasattr(games, "with_text"):
        games.with_text = True
    if hasattr(actor, "foresee"):
        actor.foresee(seed)
    actor.start(games.num_envs)
    return _Seated(actor, greedy and getattr(actor, "can_be_greedy", False))


@torch.no_grad()
def _play(
    games: Vector,
    own: _Seated,
    rival: _Seated | None,
    seats: np.ndarray,
    game_seed: int,
    draw_seed: int,
    before: Callable[[int, Vector, Observation, Tensor], object],
) -> Played:
    seen = games.reset(game_seed)
    count, agents = seen.acting.shape
    generator = torch.Generator().manual_seed(draw_seed)
    mine = torch.from_numpy(seats)[:, None] == torch.arange(agents)
    returns, steps = torch.zeros(count, agents, dtype=torch.float64), torch.zeros(count)
    info: dict[str, Tensor] = {}
    open_games = torch.ones(count, dtype=torch.bool)
    played = 0  # steps of every unfinished game
    while open_games.any():
        actions = own.act(seen, generator)
        if rival is not None:
            actions = torch.where(mine[..., None], actions, rival.act(seen, generator))
        before(played, games, seen, actions)
        played += 1
        step, seen, _ = games.step(actions)
        returns += step.reward * open_games[:, None]
        steps += open_games
        over = step.over & open_games
        for name, value in step.info.items():
            value = value.float().mean(dim=1) if value.dim() > 1 else value.float()
            kept = info.setdefault(name, torch.zeros(count))
            info[name] = torch.where(over, value, kept)
        open_games = open_games & ~over
        if step.over.any():
            for seated in filter(None, (own, rival)):
                seated.actor.forget(step.over)
    return Played(
        returns=returns.numpy(),
        steps=steps.double().numpy(),
        seat=seats,
        info={name: value.double().numpy() for name, value in info.items()},
        metrics=games.spec.metrics,
    )
