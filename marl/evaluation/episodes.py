"""What a policy does when nobody learns: whole games, each counted once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from games.common.errors import InputError
from games.common.seeds import seeds
from games.finite.sequence_form import Float64
from games.simulators.action_sets import random_actions
from games.simulators.simulator import Observation, Spec
from games.simulators.vector import Vector
from games.vectors import vector
from marl.networks.policy import Policy

AT_ONCE = 256  # games


class Actor(Protocol):
    """What can play a game that it was made for: a `Policy`, `Uniform`, a rule."""

    def start(self, games: int) -> Tensor: ...

    def act(
        self, seen: Observation, memory: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]: ...


class Player(Protocol):
    """Who plays any game that suits: a `Policy`, `Uniform`, a rule such as in
    `marl.rules.navigation`."""

    def for_game(self, game: str, spec: Spec) -> Actor: ...


class Uniform:
    """Every legal action with equal probability; continuous ones as `games.simulators.action_sets`
    draws them."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec

    def start(self, games: int) -> Tensor:
        return torch.zeros(games, self.spec.num_agents, 0)

    def act(
        self, seen: Observation, memory: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        return random_actions(self.spec, seen, generator), memory

    def for_game(self, game: str, spec: Spec) -> Uniform:
        """The same in another game."""
        return Uniform(spec)


@dataclass(frozen=True, eq=False)
class Played:
    """E games, played to their ends."""

    returns: Float64  # [E, N]
    steps: Float64  # [E]
    seat: np.ndarray  # [E] int64  the agent that the policy played; -1: all of them
    info: dict[str, Float64]  # [E] each, as the game reports them at its end

    @property
    def own(self) -> Float64:
        """[E] the return of the seat that the policy played, or the mean of all."""
        if len(self.seat) and self.seat[0] >= 0:
            return self.returns[np.arange(len(self.seat)), self.seat]
        return self.returns.mean(axis=1)

    def standard_error(self) -> float:
        """Of the mean return."""
        return float(self.own.std(ddof=1) / np.sqrt(len(self.own)))


def evaluate(
    policy: Player,
    game: str | None = None,
    *,
    episodes: int = 200,
    seed: int = 0,
    greedy: bool = False,
    against: Actor | None = None,
    seat: int | None = None,
    longest: int = 100_000,
    watch: Callable[[Vector, Observation, Tensor], object] | None = None,
    pause: Callable[[], object] | None = None,
) -> Played:
    """Play whole games with a policy, or with a rule.

    Args:
        policy: that plays; in a game with more or fewer agents too, if it is one policy a role.
        game: by name; the policy's own if not given. A rule has none.
        episodes: games, every one of which counts once, however long it takes.
        seed: of the games and of what is drawn.
        greedy: play the policy's likeliest action, not a drawn one. What a rule draws is drawn.
        against: who plays all other seats, a policy of another game if it fits this one; None: the
            policy plays all of them.
        seat: the policy's own, against somebody; None: one seat after the other, game by game.
        longest: steps of a game that is not over by then; a game of such length is an error.
        watch: called before every step with the games, what is seen, and the actions.
        pause: called before every step; what it raises ends the evaluation.

    Raises:
        InputError: a policy that does not fit the game; a game that breaks its rules, or does not
            end; no episodes, or a seat that the game does not have; a rule without a game.
    """
    name = policy.game if game is None and isinstance(policy, Policy) else game
    if name is None:
        raise InputError("a rule has no game of its own: say which one to play")
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

    parts = []
    for start in range(0, episodes, AT_ONCE):
        count = min(AT_ONCE, episodes - start)
        games = vector(name, count)
        game_seed, draw_seed = seeds(seed, start, count=2)
        own = policy.for_game(name, games.spec)
        seats = np.full(count, -1)
        agents = games.spec.num_agents
        if seat is not None and not 0 <= seat < agents:
            raise InputError(f"{name}: there is no seat {seat}; give one of 0 to {agents - 1}")
        rival = against
        if isinstance(against, Policy | Uniform):
            rival = against.for_game(name, games.spec)
        if against is not None:
            seats = (np.arange(start, start + count) % agents) if seat is None else seats * 0 + seat
        parts.append(_play(games, own, rival, seats, game_seed, draw_seed, greedy, before))
    return Played(
        returns=np.concatenate([part.returns for part in parts]),
        steps=np.concatenate([part.steps for part in parts]),
        seat=np.concatenate([part.seat for part in parts]),
        info={k: np.concatenate([part.info[k] for part in parts]) for k in parts[0].info},
    )


@torch.no_grad()
def _play(
    games: Vector,
    policy: Actor,
    against: Actor | None,
    seats: np.ndarray,
    game_seed: int,
    draw_seed: int,
    greedy: bool,
    before: Callable[[int, Vector, Observation, Tensor], object],
) -> Played:
    seen = games.reset(game_seed)
    count, agents = seen.acting.shape
    generator = torch.Generator().manual_seed(draw_seed)
    memory = policy.start(count)
    rival = None if against is None else against.start(count)
    mine = torch.from_numpy(seats)[:, None] == torch.arange(agents)
    returns, steps = torch.zeros(count, agents, dtype=torch.float64), torch.zeros(count)
    info: dict[str, Tensor] = {}
    open_games = torch.ones(count, dtype=torch.bool)
    played = 0  # steps of every game that is still open
    while open_games.any():
        if greedy and isinstance(policy, Policy):
            actions, memory = policy.act(seen, memory, None)
        else:
            actions, memory = policy.act(seen, memory, generator)
        if against is not None and rival is not None:
            theirs, rival = against.act(seen, rival, generator)
            actions = torch.where(mine[..., None], actions, theirs)
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
            memory[step.over] = 0.0
            if rival is not None:
                rival[step.over] = 0.0
    return Played(
        returns=returns.numpy(),
        steps=steps.double().numpy(),
        seat=seats,
        info={name: value.double().numpy() for name, value in info.items()},
    )
