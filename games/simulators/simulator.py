"""The simulator protocol: B copies of a game of N agents, stepped at once as tensors.

A simulator is functional: `step` and `reset` return new states and leave the old ones alone, and
all that is random comes from the generator that they are given. So one file serves PettingZoo (a
batch of one), training through RLlib (a batch without gradients), pathwise gradients (a batch with
them) and a GPU. `games.check_simulator` tests this contract.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any, Protocol, TypeVar, runtime_checkable

import gymnasium
import torch
from torch import Tensor

from games.common.errors import InputError
from games.simulators.action_sets import ActionSet, action_set
from games.simulators.metrics import Metric

State = Any
"""An immutable dataclass; its tensors have the batch as their first dimension, other fields are the
same for all games. `take` and `put` divide and join states."""
S = TypeVar("S")
UNFIT = re.compile(r'[<>:"/\\|?*\x00-\x1f]|[ .]\Z|\A\Z')
"""Characters that a role's name may not have: policies' files are named by roles."""


@dataclass(frozen=True)
class Role:
    """The common features and actions of agents that can share a policy."""

    name: str
    action_space: gymnasium.Space[Any] | ActionSet
    """Discrete (from 0), MultiDiscrete, or Box of one dimension; or a set of actions."""
    features: int  # of its own node: the first so many of `Observation.nodes`, the others are 0

    def __post_init__(self) -> None:
        if UNFIT.search(self.name):
            raise InputError(
                f"role {self.name!r}: policies are filed by their roles; give it a name without "
                '< > : " / \\ | ? * and without a dot or space at its end'
            )

    @cached_property
    def actions(self) -> ActionSet:
        """The role's action set; see `games.simulators.action_sets`."""
        try:
            return action_set(self.action_space)
        except InputError as error:
            raise InputError(f"role {self.name}: {error}") from None

    @property
    def space(self) -> gymnasium.Space[Any]:
        """A gymnasium space that holds all actions, and maybe others that the set does not."""
        given = self.action_space
        return given if isinstance(given, gymnasium.Space) else given.space

    @property
    def sizes(self) -> tuple[int, ...]:
        """How many choices each component of a discrete action has; () if it is continuous."""
        return self.actions.sizes

    @property
    def action_width(self) -> int:
        """Numbers in an action: 1 if Discrete."""
        return self.actions.width

    @cached_property
    def mask_width(self) -> int:
        """Choices of all discrete components together; 0 if continuous."""
        return sum(self.sizes)


@dataclass(frozen=True)
class Spec:
    """The shapes of a simulator; N agents among V nodes."""

    name: str
    roles: tuple[Role, ...]
    role_of: tuple[int, ...]  # [N] the index of each agent's role
    num_nodes: int  # V, of which the first N are the agents
    edge_features: int = 0  # G
    metrics: tuple[Metric, ...] = field(default=(), compare=False)
    """Descriptions of the metrics that games report at their ends, where the name is not enough."""

    @property
    def num_agents(self) -> int:
        return len(self.role_of)

    @cached_property
    def features(self) -> int:
        """F, the largest over roles."""
        return max(role.features for role in self.roles)

    @cached_property
    def action_width(self) -> int:
        """D, the largest over roles; narrower actions are padded with 0."""
        return max(role.action_width for role in self.roles)

    @cached_property
    def mask_width(self) -> int:
        """A, the largest over roles; narrower masks are padded with False."""
        return max(role.mask_width for role in self.roles)

    @cached_property
    def action_dtype(self) -> torch.dtype:
        """int64 where all actions are discrete, else float32 (whole numbers are exact in it)."""
        return torch.int64 if all(role.sizes for role in self.roles) else torch.float32


@dataclass(frozen=True)
class Observation:
    """Observations of the agents of B games, one graph per game."""

    nodes: Tensor  # [B, V, F] float32  first the N agents, then whatever else there is
    edges: Tensor  # [2, E] int64  source and target among B * V nodes; sorted by game
    edge_features: Tensor  # [E, G] float32
    acting: Tensor  # [B, N] bool  the agents to act now
    action_mask: Tensor  # [B, N, A] bool  legal choices; A = 0 if all are continuous
    text: Sequence[Sequence[str]] | None = None
    """[B][N] what each agent reads, for players who do; None of most games, networks see none of
    it. In a finite game: the information set of the player to move, "" for others."""

    def to(self, device: torch.device | str) -> Observation:
        found = {f.name: getattr(self, f.name) for f in fields(self)}
        return replace(self, **{k: v.to(device) for k, v in found.items() if k != "text"})


def no_edges(nodes: Tensor) -> tuple[Tensor, Tensor]:
    """The edges and edge features of an observation without a graph."""
    return (
        torch.zeros((2, 0), dtype=torch.int64, device=nodes.device),
        torch.zeros((0, 0), dtype=nodes.dtype, device=nodes.device),
    )


@dataclass(frozen=True)
class Decided:
    """The post-decision state and its reward; see `games.simulators.post_decision`."""

    seen: Observation  # of the post-decision state
    reward: Tensor  # [B, N] float32  paid for the decision, a part of the step's reward


@dataclass(frozen=True)
class Step:
    """Rewards and ends of a step, for the agents of B games.

    An agent that is terminated or truncated does not act any more, and both stay true of it until
    its game is over. A game that goes on may so have agents whose part was cut off.
    """

    reward: Tensor  # [B, N] float32
    terminated: Tensor  # [B, N] bool  the game is over for this agent, or it has left for good
    truncated: Tensor  # [B, N] bool  cut off, by a limit on the game's length
    info: Mapping[str, Tensor] = field(default_factory=dict)
    """[B] or [B, N] float32 each: metrics, read in the step at which a game ends."""
    decided: Decided | None = None
    """The first half of the step, if requested: see `SimulatorVector.halves`."""

    @property
    def over(self) -> Tensor:
        """[B] bool: the game is over for all agents and must be restarted."""
        return (self.terminated | self.truncated).all(dim=1)


@runtime_checkable
class Simulator(Protocol):
    """B games at once; the module's docstring states the contract.

    Agents are numbered 0 to N - 1. Optional members:

    - `reference() -> games.simulators.references.Reference`: what a metric of its games is
      at best, or a bound of that; None if it is not known.
    - `frame(state, game=0) -> uint8 [H, W, 3]`: a picture of one game.
    - `frames(states, first=0) -> list of pictures`: of the first game's states from that number on,
      where a picture shows what was before it.
    - `substeps(state, actions) -> list of states`: what a step goes through, from the state on.
    - `root() -> games.finite.game.State`: the root of its tree, if the game is finite.
    - `horizon`: the steps of every game, if they are the same for all.
    - `held_out`: values of its parameters, by name, in the games in which a policy is judged that
      was trained with others: `{"traces": None}`.
    - `checks_actions = True`: `SimulatorVector` leaves the check of actions before a step to it.
    """

    @property
    def spec(self) -> Spec: ...

    @property
    def differentiable(self) -> bool: ...  # whether gradients flow from rewards to actions

    def reset(self, batch: int, generator: torch.Generator) -> State: ...

    def step(
        self, state: State, actions: Tensor, generator: torch.Generator
    ) -> tuple[State, Step]: ...  # actions [B, N, D]; those of agents that do not act are ignored

    def observe(self, state: State) -> Observation: ...


def take(state: S, index: Tensor) -> S:
    """The games of a state, or of an info, at `index` [K]."""
    found = {
        f.name: value[index]
        for f in fields(state)  # type: ignore[arg-type]
        if isinstance(value := getattr(state, f.name), Tensor)
    }
    return replace(state, **found)  # type: ignore[type-var]


def put(state: S, index: Tensor, games: S) -> S:
    """The state with the games at `index` [K] replaced by those of another state of K games."""
    found = {
        f.name: value.index_copy(0, index, getattr(games, f.name))
        for f in fields(state)  # type: ignore[arg-type]
        if isinstance(value := getattr(state, f.name), Tensor)
    }
    return replace(state, **found)  # type: ignore[type-var]
