"""A game of accidents, and what was played of it written down step by step in plain Python.

Agents act at random times, leave early, are cut off alone or together; edges and legal actions
change. The notes are taken between the game and the rollout, so that what a replay makes of
trajectories can be compared with what happened.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import gymnasium
import torch
from torch import Tensor

from games.simulators.simulator import Observation, Role, Spec, Step
from games.simulators.vector import SimulatorVector
from marl.networks.network import Network, PolicyNetwork
from marl.rollouts.rollout import Rollout
from marl.rollouts.trajectory import Trajectory

CHOICES = 3


@dataclass(frozen=True)
class State:
    nodes: Tensor  # [B, V, F]
    linked: Tensor  # [B, V, V] bool
    mask: Tensor  # [B, N, A] bool
    awake: Tensor  # [B, N] bool  acts next, if it is still there
    terminated: Tensor  # [B, N] bool
    truncated: Tensor  # [B, N] bool


@dataclass(frozen=True)
class Accidents:
    """N agents and a node without one; chances are those of each step."""

    num_agents: int = 2
    acts: float = 1.0
    leaves: float = 0.0  # an agent
    drops: float = 0.0  # an agent is cut off, and the others play on
    ends: float = 0.1  # the game, for all
    stops: float = 0.1  # the game is cut off
    differentiable = False

    @cached_property
    def spec(self) -> Spec:
        role = Role("walker", gymnasium.spaces.Discrete(CHOICES), features=2)
        return Spec("accidents", (role,), (0,) * self.num_agents, self.num_agents + 1, 2)

    def reset(self, batch: int, generator: torch.Generator) -> State:
        nobody = torch.zeros(batch, self.num_agents, dtype=torch.bool)
        return self._seen(nobody, nobody, generator)

    def _seen(self, terminated: Tensor, truncated: Tensor, generator: torch.Generator) -> State:
        games, agents = terminated.shape

        def happens(chance: float, *shape: int) -> Tensor:
            return torch.rand(games, *shape, generator=generator) < chance

        mask = happens(0.6, agents, CHOICES)
        mask[..., 0] = True
        nodes = torch.randn(games, agents + 1, 2, generator=generator)
        linked = happens(0.4, agents + 1, agents + 1)
        return State(nodes, linked, mask, happens(self.acts, agents), terminated, truncated)

    def step(self, state: State, actions: Tensor, generator: torch.Generator) -> tuple[State, Step]:
        shape = state.terminated.shape

        def happens(chance: float, *more: int) -> Tensor:
            return torch.rand(shape[0], *more, generator=generator) < chance

        there = ~(state.terminated | state.truncated)
        over = there & (happens(self.leaves, shape[1]) | happens(self.ends, 1))
        cut = there & ~over & (happens(self.drops, shape[1]) | happens(self.stops, 1))
        after = self._seen(state.terminated | over, state.truncated | cut, generator)
        reward = torch.randn(shape, generator=generator)
        return after, Step(reward, after.terminated, after.truncated)

    def observe(self, state: State) -> Observation:
        gone = state.terminated | state.truncated
        # At the end of a game those act who were cut off: a final observation is for them.
        acting = state.awake & ~state.terminated & (~gone | gone.all(dim=1, keepdim=True))
        game, source, target = state.linked.nonzero(as_tuple=True)
        edges = torch.stack([source, target]) + game * state.linked.shape[1]
        features = torch.stack([source - target, source + target], 1) + state.nodes[game, 0, :1]
        return Observation(state.nodes, edges, features.float(), acting, state.mask)


@dataclass
class Note:
    """A step of a game: what was seen, done and paid; and the final observation, if there is."""

    nodes: Tensor  # [V, F]
    edges: list[tuple[int, int]]
    features: Tensor  # [E, G]
    acting: list[bool]
    mask: Tensor  # [N, A]
    reward: list[float]
    terminated: list[bool]
    truncated: list[bool]
    final: Any = None  # of a Note, where an agent was cut off
    actions: Tensor | None = None  # [N, 1]
    policy: Tensor | None = None  # [N]
    parameters: Tensor | None = None  # [N, P] of the network that decided
    final_value: Tensor | None = None  # [N]

    @property
    def over(self) -> bool:
        return all(a or b for a, b in zip(self.terminated, self.truncated, strict=True))


def note(seen: Observation, game: int) -> Note:
    num_nodes = seen.nodes.shape[1]
    mine = seen.edges[0] // num_nodes == game
    edges = [
        (int(a) - game * num_nodes, int(b) - game * num_nodes) for a, b in seen.edges[:, mine].T
    ]
    return Note(
        seen.nodes[game].clone(), edges, seen.edge_features[mine].clone(),
        seen.acting[game].tolist(), seen.action_mask[game].clone(), [], [], [],
    )  # fmt: skip


class Noted:
    """A vector that notes what its games do; final observations may be for those cut off alone."""

    resumable = True

    def __init__(self, simulator: Accidents, games: int, cut_alone: bool) -> None:
        self.inner, self.spec, self.num_envs = (
            SimulatorVector(simulator, games),
            simulator.spec,
            games,
        )
        self.cut_alone, self.notes = cut_alone, [[] for _ in range(games)]

    def reset(self, seed: int) -> Observation:
        self.seen = self.inner.reset(seed)
        self.cut = torch.zeros(self.seen.acting.shape, dtype=torch.bool)
        return self.seen

    def step(self, actions: Tensor) -> tuple[Step, Observation, Observation | None]:
        seen = self.seen
        step, self.seen, final = self.inner.step(actions)
        newly = step.truncated & ~self.cut
        self.cut = step.truncated & ~step.over[:, None]
        if final is not None and self.cut_alone:  # as games of PettingZoo have it
            final = replace(final, acting=newly)
        for b in range(self.num_envs):
            one = note(seen, b)
            for name in ("reward", "terminated", "truncated"):
                setattr(one, name, getattr(step, name)[b].tolist())
            if final is not None and (step.truncated & ~step.terminated)[b].any():
                one.final = note(final, b)
            self.notes[b].append(one)
        return step, self.seen, final


class Player:
    """An env runner: a rollout of noted games."""

    def __init__(
        self,
        simulator: Accidents,
        games: int,
        seed: int,
        *,
        memory: int = 0,
        cut_alone: bool = False,
    ) -> None:
        self.vector = Noted(simulator, games, cut_alone)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(7)  # all play with the same weights
            config = Network(hidden=(6,), memory=memory)
            self.network = PolicyNetwork(config, simulator.spec.roles[0], simulator.spec)
        extras = {"final", "memory", "parameters", "value"}
        self.rollout = Rollout(
            self.vector, [self.network], [0] * simulator.num_agents, 1, seed=seed, extras=extras
        )

    def sample(self, steps: int) -> tuple[Trajectory, list[list[Note]]]:
        """A trajectory, and the notes of each game's part of it."""
        played = self.rollout.sample(steps)
        parts = [notes[-steps:] for notes in self.vector.notes]
        for b, part in enumerate(parts):
            for t, one in enumerate(part):
                one.actions, one.policy = played.actions[t, b], played.policy[t, b]
                one.parameters = played.extras["parameters"][t, b]
                one.final_value = played.extras["final_value"][t, b]
        return played, parts


class Story:
    """Trajectories of several env runners, joined as training does, and the notes of them.

    Some updates lack a runner: then its games go on unseen, or others begin.
    """

    def __init__(self, simulator: Accidents, seed: int, steps: int, **options: Any) -> None:
        self.simulator, self.seed, self.steps, self.options = simulator, seed, steps, options
        self.players = [self._player(k) for k in range(2)]
        self.lines: list[list[Note]] = []  # uninterrupted games, one after the other
        self.open: dict[tuple[int, int], list[Note]] = {}  # those that go on, of a player's games
        self.rows: list[tuple[list[Note], int, bool]] = []  # line, place, whether it is final

    def _player(self, k: int) -> Player:
        self.seed += 1
        return Player(self.simulator, 2 + k, self.seed, **self.options)

    def go_on(self, absent: Sequence[int] = (), replaced: bool = False) -> Trajectory:
        """Play; what was played is noted but for absent players."""
        self.newest = len(self.rows)
        found, lines = [], []
        for k, player in enumerate(self.players):
            played, parts = player.sample(self.steps)
            if k in absent:
                if replaced:
                    self.players[k] = self._player(k)
                self.open = {key: line for key, line in self.open.items() if key[0] != k}
                continue
            found.append(played)
            for b, part in enumerate(parts):
                if (k, b) not in self.open:
                    self.open[k, b] = []
                    self.lines.append(self.open[k, b])
                lines.append((self.open[k, b], len(self.open[k, b])))
                self.open[k, b] += part
        self.rows += [(line, low + t, False) for t in range(self.steps) for line, low in lines]
        finals = [
            (line, [low + t for t in range(self.steps) if line[low + t].final is not None])
            for line, low in lines
        ]
        for k in range(self.steps):  # the first of all games, then the second ...
            self.rows += [(line, places[k], True) for line, places in finals if len(places) > k]
        return Trajectory.join(found)
