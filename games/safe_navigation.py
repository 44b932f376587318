"""Discs that cannot touch, and choose how careful to be: online control barrier functions.

The setting of "Online Control Barrier Functions for Decentralized Multi-Agent Navigation" (arXiv
2303.04313): every agent has a simple controller that goes straight to its goal, and a quadratic
program that changes its control as little as the barriers of `games.barriers` ask. An action is not
a control but the parameters of an agent's own barriers, which hold for some control steps. So no
action, good or bad, makes anybody touch; what actions decide is who waits for whom, and whether all
arrive. No code was published; what the paper leaves open is stated beside the parameters.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import gymnasium
import numpy as np
import torch
from torch import Tensor

from games import navigation
from games.barriers import (
    Barriers,
    Pairs,
    binding,
    class_k,
    double_integrator,
    single_integrator,
    widest,
)
from games.errors import InputError
from games.navigation import EDGE_FEATURES, NODE_FEATURES, Navigation
from games.planar_qp import Allowed, Answer, nearest
from games.shortest_paths import shortest_paths
from games.simulator import Observation, Role, Spec, Step

PARAMETERS = ("zeta", "eta")
SLOW, STUCK = 0.05, 2.0  # of the greatest speed, and seconds below it: a dead-lock


@dataclass(frozen=True)
class State(navigation.State):
    """B games of N discs, and what is told of them at the end."""

    parameters: Tensor  # [B, N, 2] float32  zeta in 1/s and eta, as they are now
    shortest: Tensor  # [B, N] float32  m, no path from the start to the goal's rim is shorter
    travelled: Tensor  # [B, N] float32  m, while it was not at its goal
    underway: Tensor  # [B, N] float32  s, likewise
    still: Tensor  # [B, N] float32  s for which it has hardly moved, away from its goal
    eased: Tensor  # [B, N] float32  control steps in which its parameters left it no control
    infeasible: Tensor  # [B, N] float32  control steps without any safe control
    closest: Tensor  # [B] float32  m, the least clearance so far


@dataclass(frozen=True)
class SafeNavigation(Navigation):
    """Discs whose actions tune the barriers that keep them apart, while they go to their goals.

    An action is Box(-1, 1) [2]: zeta and eta of alpha(h) = zeta h^eta, on scales of logarithms
    between the least and the most that the parameters say. They hold for `hold` control steps; a
    step of the game is so many. What an agent shows is what it shows in `navigation`, and the two
    parameters that it has now, as actions.

    A game ends as one of `navigation` does; `max_steps` counts control steps. Its info is, beside
    `success`, `arrived`, `safe` and `collisions`: `all_arrived`, whether all succeeded; `spl`,
    success weighted by the shortest path to the goal over the path that was gone; `speed`, the mean
    of the way gone over what it could be at full speed, until arrival; `deadlocked`, the share of
    agents that stand still away from their goals; `eased` and `infeasible`, the shares of controls
    for which an agent's own parameters left none, and for which no safe one was there at all (see
    `control`); `closest`, the least clearance in m.

    Raises:
        InputError: a parameter out of its range; discs that would see each other too late.
    """

    dynamics: str = "single_integrator"  # or double_integrator
    layout: str = "swap"
    max_steps: int = 400
    dt: float = 0.05
    max_acceleration: float = 10.0
    collision_cost: float = 0.0  # nobody touches
    hold: int = 5  # control steps for which an action holds
    zeta_least: float = 0.1  # 1/s
    zeta_most: float = 10.0
    eta_least: float = 0.5
    eta_most: float = 2.0
    inner: float = 10.0  # 1/s, of double integrators: see `games.barriers`; GCBF+: 10
    buffer: float = 0.002  # m, by which discs count as wider than they are
    gain: float = 2.0  # 1/s, of the controller: speed asked for, for the distance to the goal
    team: float = 0.0  # share of the mean of all rewards in everybody's own
    central: bool = False
    """Whether everybody sees everybody, which is what a central policy knows; barriers mind those
    that are near in either case."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_barriers()

    @cached_property
    def spec(self) -> Spec:
        box = gymnasium.spaces.Box(-1.0, 1.0, (len(PARAMETERS),), np.float32)
        role = Role("agent", box, NODE_FEATURES + len(PARAMETERS))
        nodes = super().spec.num_nodes
        return Spec("safe_navigation", (role,), (0,) * self.agents, nodes, EDGE_FEATURES)

    def parameters(self, actions: Tensor) -> Tensor:
        """[..., 2] zeta and eta of actions [..., 2]."""
        low, high = self._scale(actions)
        return (low + (actions + 1) / 2 * (high - low)).exp()

    def actions(self, parameters: Tensor) -> Tensor:
        """[..., 2] the actions that set zeta and eta [..., 2]."""
        low, high = self._scale(parameters)
        return ((parameters.log() - low) / (high - low).clamp_min(1e-9) * 2 - 1).clamp(-1, 1)

    def start(self, position: Tensor, goal: Tensor, obstacle: Tensor) -> State:
        """Games at rest with discs [B, N, 2], goals [B, N, 2] and obstacles [B, M, 2] as given."""
        state = super().start(position, goal, obstacle)
        zeros = torch.zeros_like(state.distance)
        way = shortest_paths(position, goal, obstacle, self.radius + self.obstacle_radius)
        way = torch.where(way.isfinite(), way, state.distance)  # walled in: no path at all
        return State(
            **vars(state),
            parameters=self.parameters(torch.zeros_like(position)),
            shortest=(way - self.goal_radius).clamp_min(0),
            travelled=zeros,
            underway=zeros,
            still=zeros,
            eased=zeros,
            infeasible=zeros,
            closest=state.clearance.flatten(1).amin(1),
        )

    def step(
        self, state: navigation.State, actions: Tensor, generator: torch.Generator
    ) -> tuple[State, Step]:
        """Play [B, N, 2] actions for `hold` control steps.

        Raises:
            InputError: an action outside Box(-1, 1), or that is not a number.
        """
        assert isinstance(state, State)
        playing = ~state.arrived.all(dim=1, keepdim=True)
        self._check_actions(state, actions, playing)
        state = replace(state, parameters=self.parameters(actions))
        reward = torch.zeros_like(state.distance)
        for _ in range(self.hold):
            control, eased, unsafe = self.control(state)
            moved, step = super().step(state, control, generator)
            reward = reward + step.reward
            state = self._told(state, moved, eased, unsafe)
        if self.team:
            mean = reward.mean(dim=1, keepdim=True)
            reward = reward + self.team * (mean - reward)
        return state, replace(step, reward=reward, info={**step.info, **self._info(state)})

    def observe(self, state: navigation.State) -> Observation:
        assert isinstance(state, State)
        seen = super().observe(state)
        tuned = self.actions(state.parameters)
        rest = tuned.new_zeros(len(tuned), seen.nodes.shape[1] - self.agents, tuned.shape[2])
        nodes = torch.cat((seen.nodes, torch.cat((tuned, rest), dim=1)), dim=-1)
        return replace(seen, nodes=nodes)

    def control(self, state: State) -> tuple[Tensor, Tensor, Tensor]:
        """What agents do in a control step.

        Where an agent's parameters leave it no control at all, `widest` barriers take their place,
        which are as safe: it has to give up its choice, not its safety. Where these leave none
        either, it takes the control that misses them least.

        Returns:
            controls [B, N, 2], as actions of `navigation`; whether [B, N] the parameters were
            given up; whether no safe control was left.
        """
        barriers, seen = self.barriers(state)
        zeta, eta = state.parameters.double().unbind(-1)
        found = self._nearest(state, barriers, class_k(barriers.value, zeta, eta, self.dt), seen)
        control, feasible = found.control, found.feasible
        eased = ~feasible
        if eased.any():
            alpha = widest(barriers.value, self.dt)
            again = self._nearest(state, barriers, alpha, seen & eased.view(zeta.shape)[..., None])
            control = torch.where(eased[:, None], again.control, control)
            feasible = feasible | again.feasible
        control = (control / self._unit).clamp(-1, 1).to(state.position.dtype)
        return control.view_as(state.position), eased.view(zeta.shape), ~feasible.view(zeta.shape)

    def _nearest(self, state: State, barriers: Barriers, alpha: Tensor, seen: Tensor) -> Answer:
        """The controls [B N, 2], in m/s or m/s^2, nearest to the nominal ones."""
        reference = self.nominal(state).flatten(0, 1)
        rows, offsets = barriers.rows.flatten(0, 1), barriers.offsets(alpha).flatten(0, 1)
        if self.dynamics == "single_integrator":
            reach = self.max_speed * torch.linalg.vector_norm(rows, dim=-1)
            allowed = Allowed(centre=torch.zeros_like(reference), radius=self.max_speed)
        else:
            reach = self.max_acceleration * rows.abs().sum(-1)
            corner = reference.new_full((2,), self.max_acceleration)
            velocity = state.velocity.flatten(0, 1).to(reference)
            allowed = Allowed(-corner, corner, -velocity / self.dt, self.max_speed / self.dt)
        rows, offsets = binding(rows, offsets, reach, seen.flatten(0, 1))
        return nearest(reference, rows, offsets, allowed)

    def nominal(self, state: State) -> Tensor:
        """[B, N, 2] float64 the control that goes straight to the goal, in m/s or m/s^2."""
        way = (state.goal - state.position).double()
        velocity = _shortened(self.gain * way, self.max_speed)
        if self.dynamics == "single_integrator":
            return velocity
        missing = (velocity - state.velocity) / (2 * self.dt)  # half of it within a step
        return _shortened(missing, self.max_acceleration)

    def barriers(self, state: State) -> tuple[Barriers, Tensor]:
        """The barriers between all agents and nodes, and which [B, N, V] are in sight."""
        position, velocity = state.position.double(), state.velocity.double()
        nodes = torch.cat((position, state.obstacle.double()), dim=1)
        moving = torch.cat((velocity, torch.zeros_like(state.obstacle, dtype=velocity.dtype)), 1)
        pairs = Pairs(
            position[:, :, None] - nodes[:, None],
            velocity[:, :, None] - moving[:, None],
            *self._contact(position.device),
        )
        near = state.clearance.transpose(1, 2) < self.communication - 2 * self.radius
        if self.dynamics == "single_integrator":
            return single_integrator(pairs), near
        return double_integrator(pairs, self.dt, self.inner, self.max_speed), near

    def _told(self, before: State, moved: navigation.State, eased: Tensor, unsafe: Tensor) -> State:
        """The state after a control step, with what is told at the end."""
        away = ~before.arrived
        went = torch.linalg.vector_norm(moved.position - before.position, dim=-1)
        slow = away & (went < SLOW * self.max_speed * self.dt)
        return replace(
            before,
            **vars(moved),
            travelled=before.travelled + went * away,
            underway=before.underway + self.dt * away,
            still=torch.where(slow, before.still + self.dt, 0.0),
            eased=before.eased + eased,
            infeasible=before.infeasible + unsafe,
            closest=before.closest.minimum(moved.clearance.flatten(1).amin(1)),
        )

    def _info(self, state: State) -> dict[str, Tensor]:
        done = state.arrived & ~state.collided
        path = state.travelled.maximum(state.shortest).clamp_min(1e-9)
        full = (state.underway * self.max_speed).clamp_min(1e-9)
        stuck = ~state.arrived & (state.still >= STUCK)
        float32 = torch.float32
        return {
            "all_arrived": done.all(dim=1).to(float32),
            "spl": (done * state.shortest / path).mean(dim=1),
            "speed": (state.travelled / full).mean(dim=1),
            "deadlocked": stuck.mean(dim=1, dtype=float32),
            "eased": (state.eased / state.steps[:, None]).mean(dim=1),
            "infeasible": (state.infeasible / state.steps[:, None]).mean(dim=1),
            "closest": state.closest,
        }

    def _edges(self, clearance: Tensor) -> tuple[Tensor, Tensor]:
        if self.central:
            near = self.communication - 2 * self.radius
            return super()._edges(torch.where(clearance < torch.inf, near - 1, clearance))
        return super()._edges(clearance)

    @property
    def _unit(self) -> float:
        """What an action of 1 of `navigation` is, in m/s or m/s^2."""
        single = self.dynamics == "single_integrator"
        return self.max_speed if single else self.max_acceleration

    def _scale(self, like: Tensor) -> tuple[Tensor, Tensor]:
        low, high = (self.zeta_least, self.eta_least), (self.zeta_most, self.eta_most)
        return like.new_tensor(low).log(), like.new_tensor(high).log()

    def _contact(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """Distances [N, V] at which discs touch, with the buffer, and shares [V]."""
        n, v = self.agents, self.spec.num_nodes
        contact = torch.full((n, v), self.radius + self.buffer, dtype=torch.float64)
        contact[:, :n] += self.radius
        contact[:, n:] += self.obstacle_radius
        share = torch.full((v,), 0.5, dtype=torch.float64)
        share[n:] = 1.0
        return contact.to(device), share.to(device)

    def _check_barriers(self) -> None:
        def refuse(why: str) -> InputError:
            return InputError(f"safe_navigation: {why}")

        for low, high in (("zeta_least", "zeta_most"), ("eta_least", "eta_most")):
            least, most = getattr(self, low), getattr(self, high)
            if not 0 < least <= most:
                raise refuse(f"{low} is {least!r} and {high} {most!r}; give 0 < {low} <= {high}")
        if self.hold < 1:
            raise refuse(f"hold is {self.hold}; an action holds for at least 1 control step")
        if not 0 <= self.team <= 1:
            raise refuse(f"team is {self.team!r}; give a share from 0 to 1")
        if not 0 < self.gain * self.dt <= 1:
            raise refuse(f"gain is {self.gain!r}; give more than 0 and at most 1 / dt")
        if not 0 < self.inner * self.dt <= 2:
            raise refuse(f"inner is {self.inner!r}; give more than 0 and at most 2 / dt")
        contact, share = self._contact(torch.device("cpu"))
        closing = self.max_speed / share  # m/s, of a node and an agent
        sight = self.communication - 2 * self.radius + contact[0] - self.buffer
        sight = sight - closing * self.dt  # when somebody is first seen
        least = contact[0]
        if self.dynamics != "single_integrator":
            margin = (closing * self.dt / 2).square()
            least = (contact[0].square() + margin).sqrt()
            # g >= 0 at full speed towards each other
            fall = 2 * closing / self.inner
            least = least.maximum((fall + (fall.square() + 4 * least.square()).sqrt()) / 2)
        if (sight < least).any():
            late = float((least - sight).max())
            raise refuse(
                "discs at full speed see each other too late to be safe; make communication "
                f"larger by {late:.2g} m, or max_speed smaller, or inner larger"
            )
        rest = (
            contact[0]
            if self.dynamics == "single_integrator"
            else (contact[0].square() + (closing * self.dt / 2).square()).sqrt()
        )
        room = contact[0] - self.buffer + self.margin
        if (rest > room).any():
            raise refuse(
                f"discs may begin {self.margin:g} m apart, where barriers already forbid to be; "
                f"make margin at least {float((rest - contact[0]).max() + self.buffer):.2g}"
            )


def _shortened(vectors: Tensor, length: float) -> Tensor:
    """Vectors [..., 2] beyond a length, cut to it."""
    long = torch.linalg.vector_norm(vectors, dim=-1, keepdim=True)
    return vectors / (long / length).clamp_min(1)
