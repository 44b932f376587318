"""The navigation simulator: discs in the plane that must reach their goals without collisions.

The setting, and what is called safe, reached and successful, is that of Zhang, So, Garg and Fan,
"GCBF+: A neural graph control barrier function framework for distributed safe multi-agent control"
(arXiv 2401.14554); deviations are stated beside the parameters. Lengths are in metres, times in
seconds. Discs that touch are not blocked: a contact, looked for at the end of each step, is counted
and costs reward. The plane goes on beyond the area of the layout.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import gymnasium
import numpy as np
import torch
from torch import Tensor

from games.common.errors import InputError
from games.common.registry import attribute_of
from games.navigation import layouts
from games.navigation.parameters import Parameters, check_ranges
from games.simulators.metrics import Metric
from games.simulators.simulator import Observation, Role, Spec, Step

NODE_FEATURES = 7
REACH = 4  # of a node's features the one that grows with the way to its goal
EDGE_FEATURES = 5
DRAW = "games.navigation.draw"  # named, since it imports this module
METRICS = (
    Metric("success", low=0, high=1),
    Metric("arrived", low=0, high=1),
    Metric("safe", low=0, high=1),
    Metric("collisions", "less", low=0),
)
ORIGINS = 64.0
"""m between the places where games may have their origin; exact in float32, so that a game that is
moved by so much is the same game."""


@dataclass(frozen=True)
class State:
    """B games of N discs and M obstacles; V = N + M nodes, the discs first.

    Places are told from the game's own origin, since a float32 that is far from 0 is coarse: at
    50 km it tells 4 mm apart.
    """

    origin: Tensor  # [B, 2] float64  m, in the plane
    position: Tensor  # [B, N, 2] float32  m
    velocity: Tensor  # [B, N, 2] float32  m/s
    goal: Tensor  # [B, N, 2] float32  m
    obstacle: Tensor  # [B, M, 2] float32  m, centres
    clearance: Tensor  # [B, V, N] float32  m of free way between node and disc; inf to itself
    distance: Tensor  # [B, N] float32  m, from a disc's centre to its goal
    arrived: Tensor  # [B, N] bool  is at its goal now
    collided: Tensor  # [B, N] bool  has touched something at any time
    collisions: Tensor  # [B] float32  contacts that began so far, a pair of discs counted once
    steps: Tensor  # [B] int64


@dataclass(frozen=True)
class Navigation(Parameters):
    """N discs, each of which must reach its own goal without touching anything.

    An action is Box(-1, 1) [2]: a share of the largest velocity (`single_integrator`) or of the
    largest acceleration (`double_integrator`), along x and y. Speed is limited in length: a
    velocity beyond `max_speed` is shortened to it.

    A node shows its disc's velocity [2], the way to its goal [2], both relative and at most about
    1 long, d / (d + communication) of the distance d to it, whether it has arrived, and whether it
    is an obstacle (which has nothing else to show). Nothing depends on where in the plane a disc is
    or on how many there are, so a policy runs with any number of agents in any area. Edges lead
    from discs and obstacles to the discs that they are near; see `communication`. An edge shows its
    source as its target sees it: position [2], velocity [2], clearance, in units of `communication`
    and `max_speed`.

    A game terminates for all once all are at their goals, and is truncated after `max_steps`.
    The info at its end, [B] float32 each, as shares of the agents but for the last:
    `arrived` at the goal now, at the end (reach, in GCBF+); `safe`, never touched anything;
    `success`, both; `collisions`, the number of contacts, however long each took.

    Raises:
        InputError: a parameter out of its range, or a layout with too little room.
    """

    def __post_init__(self) -> None:
        check_ranges(self)
        layouts.check(self)
        self._require_near(self.area / 2)

    @cached_property
    def spec(self) -> Spec:
        box = gymnasium.spaces.Box(-1.0, 1.0, (2,), np.float32)
        return Spec(
            name="navigation",
            roles=(Role("agent", box, NODE_FEATURES),),
            role_of=(0,) * self.agents,
            num_nodes=self.agents + layouts.num_obstacles(self),
            edge_features=EDGE_FEATURES,
            metrics=METRICS,
        )

    checks_actions = True

    @property
    def differentiable(self) -> bool:
        return True

    def reset(self, batch: int, generator: torch.Generator) -> State:
        """New games at rest, their layouts drawn from the generator, on whose device they are.

        Raises:
            InputError: no layout was found in which nothing overlaps.
        """
        n = self.agents
        points = layouts.place(self, batch, generator)
        return self.start(points[:, :n], points[:, n : 2 * n], points[:, 2 * n :])

    def start(self, position: Tensor, goal: Tensor, obstacle: Tensor) -> State:
        """Games at rest with discs [B, N, 2], goals [B, N, 2] and obstacles [B, M, 2] as given.

        Raises:
            InputError: a game that is so wide that its numbers would be too coarse.
        """
        origin = self._origin(position, goal, obstacle)
        position, goal, obstacle = (
            (place - origin[:, None]).to(place.dtype) for place in (position, goal, obstacle)
        )
        clearance = self._clearance(position, obstacle)
        distance = torch.linalg.vector_norm(goal - position, dim=-1)
        return State(
            origin=origin,
            position=position,
            velocity=torch.zeros_like(position),
            goal=goal,
            obstacle=obstacle,
            clearance=clearance,
            distance=distance,
            arrived=distance < self.goal_radius,
            collided=(clearance < 0).any(dim=1),
            collisions=torch.zeros_like(distance[:, 0]),
            steps=torch.zeros_like(distance[:, 0], dtype=torch.int64),
        )

    def step(self, state: State, actions: Tensor, generator: torch.Generator) -> tuple[State, Step]:
        """Play [B, N, 2] actions; nothing moves any more in games that have terminated.

        Raises:
            InputError: an action outside Box(-1, 1), or that is not a number.
        """
        playing = ~state.arrived.all(dim=1, keepdim=True)  # [B, 1]
        self._check_actions(state, actions, playing)
        velocity, moved = self._move(state.velocity, actions)
        velocity = torch.where(playing[..., None], velocity, state.velocity)
        position = torch.where(playing[..., None], state.position + moved, state.position)
        clearance = self._clearance(position, state.obstacle)
        distance = torch.linalg.vector_norm(state.goal - position, dim=-1)
        arrived = distance < self.goal_radius
        touching = clearance < 0
        began = (touching & (state.clearance >= 0)).sum(dim=2)  # [B, V], each pair of discs twice
        new = State(
            origin=state.origin,
            position=position,
            velocity=velocity,
            goal=state.goal,
            obstacle=state.obstacle,
            clearance=clearance,
            distance=distance,
            arrived=arrived,
            collided=state.collided | touching.any(dim=1),
            collisions=state.collisions
            + began[:, : self.agents].sum(dim=1) / 2
            + began[:, self.agents :].sum(dim=1),
            steps=state.steps + 1,
        )
        return new, Step(
            reward=torch.where(playing, self._reward(state, new), 0.0),
            terminated=arrived.all(dim=1, keepdim=True).expand_as(arrived),
            truncated=(new.steps >= self.max_steps)[:, None].expand_as(arrived),
            info={
                "success": (arrived & ~new.collided).mean(dim=1, dtype=torch.float32),
                "arrived": arrived.mean(dim=1, dtype=torch.float32),
                "safe": (~new.collided).mean(dim=1, dtype=torch.float32),
                "collisions": new.collisions,
            },
        )

    def observe(self, state: State) -> Observation:
        batch, v, n = state.clearance.shape
        motion = torch.cat(  # [B, V, 4], of which an edge shows the difference
            (state.position / self.communication, state.velocity / self.max_speed), dim=-1
        )
        far = state.distance[..., None]
        way = (state.goal - state.position) / far.clamp_min(self.communication)
        reach, here = far / (far + self.communication), state.arrived[..., None]
        nodes = torch.cat((motion[..., 2:], way, reach, here, torch.zeros_like(far)), dim=-1)
        if v > n:
            rest = torch.zeros_like(state.obstacle)
            standing = torch.cat((state.obstacle / self.communication, rest), dim=-1)
            motion = torch.cat((motion, standing), dim=1)
            flag = nodes.new_zeros(NODE_FEATURES)
            flag[-1] = 1
            nodes = torch.cat((nodes, flag.expand(batch, v - n, -1)), dim=1)
        edges, pairs = self._edges(state.clearance)
        motion, free = motion.flatten(0, 1), state.clearance.flatten()[pairs, None]
        shown = (motion[edges[0]] - motion[edges[1]], free / self.communication)
        return Observation(
            nodes=nodes,
            edges=edges,
            edge_features=torch.cat(shown, dim=-1),
            acting=(~state.arrived.all(dim=1, keepdim=True)).expand_as(state.arrived),
            action_mask=torch.zeros(batch, n, 0, dtype=torch.bool, device=nodes.device),
        )

    def frame(self, state: State, game: int = 0, trail: Tensor | None = None) -> np.ndarray:
        """A picture of one game, uint8 [H, W, 3]; see `games.navigation.draw.frame`."""
        return attribute_of(f"{DRAW}:frame", "renderer")(self, state, game, trail)

    def frames(self, states: Sequence[State], first: int = 0) -> list[np.ndarray]:
        """Pictures of a game's states from number `first` on, each with the ways gone until then.

        A subclass that draws itself, by a `frame` of its own, is drawn without them.
        """
        if type(self).frame is not Navigation.frame:
            return [self.frame(state, 0) for state in states[first:]]
        return attribute_of(f"{DRAW}:frames", "renderer")(self, states, first)

    @property
    def _resolution(self) -> float:
        """How many metres apart two coordinates are that can just be told apart, at most."""
        return self.margin / 4

    def _origin(self, *places: Tensor) -> Tensor:
        """[B, 2] float64 near the middle of each game; 0 for one that is near 0.

        Raises:
            InputError: a coordinate that is too far from there, or not a number.
        """
        points = torch.cat([place.detach() for place in places], dim=1).double()
        low, high = points.amin(dim=1), points.amax(dim=1)
        origin = ((low + high) / (2 * ORIGINS)).round() * ORIGINS
        self._require_near(float(torch.maximum(high - origin, origin - low).max()), places[0].dtype)
        return origin

    def _require_near(self, far: float, dtype: torch.dtype = torch.float32) -> None:
        """Raises InputError where places so many metres from the origin, or as far as a disc gets
        from there, would be rounded to more than `_resolution`."""
        far += self.max_speed * self.dt * self.max_steps
        most = 2.0 ** math.floor(math.log2(self._resolution)) * 2 / torch.finfo(dtype).eps
        if not far < most:
            raise InputError(
                f"{self.spec.name}: a game reaches {far:.3g} m from its middle, too far for "
                f"{str(dtype).removeprefix('torch.')} to tell places {self._resolution:g} m apart; "
                f"keep it within {most:.3g} m"
            )

    def _move(self, velocity: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
        """The velocity after a step, and the way gone, both [B, N, 2]."""
        if self.dynamics == "single_integrator":
            after = self._limited(actions * self.max_speed)
            return after, after * self.dt
        after = self._limited(velocity + actions * (self.max_acceleration * self.dt))
        return after, (velocity + after) * (self.dt / 2)

    def _limited(self, velocity: Tensor) -> Tensor:
        speed = torch.linalg.vector_norm(velocity, dim=-1, keepdim=True)
        return velocity / (speed / self.max_speed).clamp_min(1)

    def _reward(self, old: State, new: State) -> Tensor:
        """[B, N]; its gradient is that of progress and of the cost of being near something."""
        near = ((self.margin - new.clearance) / self.margin).clamp(0, 1).sum(dim=1)
        here, before = new.arrived.to(near.dtype), old.arrived.to(near.dtype)
        return (
            self.progress_reward * (old.distance - new.distance)
            + self.arrival_reward * (here - before)
            - self.away_cost * self.dt * (1 - here)
            - self.collision_cost * self.dt * near
        )

    def _clearance(self, position: Tensor, obstacle: Tensor) -> Tensor:
        """[B, V, N] from centres [B, N, 2] and [B, M, 2]; its gradient is finite everywhere."""
        nodes = torch.cat((position, obstacle), dim=1) if obstacle.shape[1] else position
        across = nodes[:, :, None, 0] - position[:, None, :, 0]
        along = nodes[:, :, None, 1] - position[:, None, :, 1]
        apart = (across * across + along * along).clamp_min(1e-12).sqrt()
        return apart - _contact(self, position.dtype, position.device)

    def _edges(self, clearance: Tensor) -> tuple[Tensor, Tensor]:
        """The edges [2, E], sorted by game, and the place [E] of each in the clearance."""
        _, v, n = clearance.shape
        pairs = (clearance < self.communication - 2 * self.radius).flatten().nonzero()[:, 0]
        source = torch.div(pairs, n, rounding_mode="floor")
        first = torch.div(source, v, rounding_mode="floor") * v
        return torch.stack((source, first + pairs - source * n)), pairs

    def _check_actions(self, state: State, actions: Tensor, playing: Tensor) -> None:
        if actions.shape != state.position.shape:
            raise InputError(
                f"navigation: actions have the shape {tuple(actions.shape)}; give "
                f"{tuple(state.position.shape)}, two numbers for each agent of each game"
            )
        allowed = actions.abs() <= 1  # not so where it is no number
        if allowed.all():
            return
        wrong = (~allowed.all(dim=2) & playing).nonzero()
        if len(wrong):
            game, agent = wrong[0].tolist()
            raise InputError(
                f"navigation: agent {agent}: the action {actions[game, agent].tolist()} at step "
                f"{int(state.steps[game]) + 1} (game {game}) is not in Box(-1, 1); clip it or scale"
            )


@lru_cache(maxsize=64)
def _contact(game: Navigation, dtype: torch.dtype, device: torch.device) -> Tensor:
    """[V, N] m between the centres of a node and a disc that touch; -inf for a disc and itself."""
    contact = torch.full((game.spec.num_nodes, game.agents), game.radius, dtype=dtype)
    contact[: game.agents] += game.radius
    contact[game.agents :] += game.obstacle_radius
    contact.fill_diagonal_(-math.inf)
    return contact.to(device)
