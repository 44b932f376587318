"""The safe navigation simulator: discs that tune control barrier functions online.

The setting of "Online Control Barrier Functions for Decentralized Multi-Agent Navigation" (arXiv
2303.04313): every agent has a simple controller that goes straight to its goal, and a quadratic
program that changes its control as little as the barriers of `games.navigation.barriers` ask. An
action is not a control but the parameters of an agent's own barriers, which hold for some control
steps. So no action, good or bad, makes anybody touch, as long as there is a safe control (see
`responsibility`); what actions decide is who waits for whom, and whether all arrive. No code was
published; what the paper leaves open is stated beside the parameters.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import gymnasium
import numpy as np
import torch
from torch import Tensor

from games.navigation import navigation
from games.navigation.barriers import (
    Barriers,
    Pairs,
    binding,
    class_k,
    double_integrator,
    single_integrator,
    widest,
)
from games.navigation.navigation import EDGE_FEATURES, NODE_FEATURES, Navigation
from games.navigation.planar_qp import Allowed, Answer, nearest
from games.navigation.safe_parameters import SafeParameters, check, contacts
from games.navigation.shortest_paths import shortest_paths
from games.simulators.metrics import Metric
from games.simulators.simulator import Observation, Role, Spec, Step

PARAMETERS = ("zeta", "eta")
METRICS = (
    *navigation.METRICS,
    Metric("all_arrived", low=0, high=1, yes_or_no=True),
    Metric("spl", low=0, high=1, label="SPL"),
    Metric("speed", low=0, high=1),
    Metric("deadlocked", "less", low=0, high=1),
    Metric("eased", "less", low=0, high=1),
    Metric("infeasible", "less", low=0, high=1),
    Metric("closest"),
)
SLOW, STUCK = 0.05, 2.0  # of the greatest speed, and seconds below it: a dead-lock


@dataclass(frozen=True)
class State(navigation.State):
    """B games of N discs, with what their metrics at the end need."""

    parameters: Tensor  # [B, N, 2] float32  zeta in 1/s and eta, as they are now
    shortest: Tensor
    """[B, N] float32  m, of the shortest path among the obstacles to the goal, less `goal_radius`.
    No path to the goal's rim is shorter if no obstacle's centre is nearer to the goal than
    hypot(goal_radius, radius + obstacle_radius), as in all layouts with the default sizes; else the
    rim may have a side from which it is further to the goal."""
    travelled: Tensor  # [B, N] float32  m, while it was not at its goal
    underway: Tensor  # [B, N] float32  s, as above
    still: Tensor  # [B, N] float32  s for which it has hardly moved, away from its goal
    eased: Tensor  # [B, N] float32  control steps in which its parameters left it no control
    infeasible: Tensor  # [B, N] float32  control steps without any safe control
    closest: Tensor  # [B] float32  m, the least clearance so far


@dataclass(frozen=True)
class SafeNavigation(SafeParameters, Navigation):
    """Discs whose actions tune the barriers that keep them apart, while they go to their goals.

    An action is Box(-1, 1) [2]: zeta and eta of alpha(h) = zeta h^eta, on scales of logarithms
    between the least and the most that the parameters say. They hold for `hold` control steps; a
    step of the game is so many. What an agent shows is what it shows in `navigation`, and the two
    parameters that it has now, as actions.

    A game ends as one of `navigation` does; `max_steps` counts control steps, and an action that
    has begun is played as long as it holds. Its info is, beside
    `success`, `arrived`, `safe` and `collisions`: `all_arrived`, whether all succeeded; `spl`,
    success weighted by the shortest path to the goal over the path that was gone; `speed`, the mean
    of the way gone over what it could be at full speed, until arrival; `deadlocked`, the share of
    agents that stand still away from their goals; `eased` and `infeasible`, the shares of controls
    for which an agent's own parameters left none, and for which no safe one was there at all (see
    `control`); `closest`, the least clearance in m.

    Raises:
        InputError: a parameter out of its range; discs that would see each other too late, or
            could not brake.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self)

    @cached_property
    def spec(self) -> Spec:
        box = gymnasium.spaces.Box(-1.0, 1.0, (len(PARAMETERS),), np.float32)
        role = Role("agent", box, NODE_FEATURES + len(PARAMETERS))
        nodes = super().spec.num_nodes
        roles = (0,) * self.agents
        return Spec("safe_navigation", (role,), roles, nodes, EDGE_FEATURES, metrics=METRICS)

    def parameters(self, actions: Tensor) -> Tensor:
        """[..., 2] zeta and eta of actions [..., 2]."""
        low, high = self._scale(actions)
        return (low + (actions + 1) / 2 * (high - low)).exp()

    def actions(self, parameters: Tensor) -> Tensor:
        """[..., 2] the actions that set zeta and eta [..., 2]."""
        low, high = self._scale(parameters)
        return ((parameters.log() - low) / (high - low).clamp_min(1e-9) * 2 - 1).clamp(-1, 1)

    def start(self, position: Tensor, goal: Tensor, obstacle: Tensor) -> State:
        """Games at rest with discs [B, N, 2], goals [B, N, 2] and obstacles [B, M, 2] as given.

        Raises:
            InputError: a game that is so wide that its numbers would be too coarse.
        """
        state = super().start(position, goal, obstacle)
        zeros = torch.zeros_like(state.distance)
        wide = self.radius + self.obstacle_radius
        way = shortest_paths(state.position, state.goal, state.obstacle, wide)
        way = torch.where(way.isfinite(), way, state.distance)  # walled in: no path at all
        return State(
            **vars(state),
            parameters=self.parameters(torch.zeros_like(state.position)),
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
        state = self.tuned(state, actions)
        reward = torch.zeros_like(state.distance)
        for _ in range(self.hold):
            state, step = self.advance(state, generator)
            reward = reward + step.reward
        if self.team:
            mean = reward.mean(dim=1, keepdim=True)
            reward = reward + self.team * (mean - reward)
        return state, replace(step, reward=reward, info={**step.info, **self._info(state)})

    def tuned(self, state: State, actions: Tensor) -> State:
        """The state with the parameters that actions [B, N, 2] set.

        Raises:
            InputError: an action outside Box(-1, 1), or that is not a number.
        """
        playing = ~state.arrived.all(dim=1, keepdim=True)
        self._check_actions(state, actions, playing)
        parameters = torch.where(playing[..., None], self.parameters(actions), state.parameters)
        return replace(state, parameters=parameters)

    def substeps(self, state: State, actions: Tensor) -> list[State]:
        """The states that a step goes through, one a control step; the last leads to the next.

        For pictures: they are those of the step itself, since nothing in it is random.
        """
        states, generator = [self.tuned(state, actions)], torch.Generator().manual_seed(0)
        while len(states) < self.hold:
            states.append(self.advance(states[-1], generator)[0])
        return states

    def advance(self, state: State, generator: torch.Generator) -> tuple[State, Step]:
        """Play one control step with the parameters that the state has."""
        control, eased, unsafe = self.control(state)
        moved, step = super().step(state, control, generator)
        return self._told(state, moved, eased, unsafe), step

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
        barriers, agent = self.barriers(state)
        zeta, eta = state.parameters.double().flatten(0, 1)[agent].T
        aim, velocity = self.nominal(state).flatten(0, 1), state.velocity.double().flatten(0, 1)
        alpha = class_k(barriers.value, zeta, eta, self.dt)
        found = self._nearest(aim, velocity, barriers, alpha, agent)
        control, eased, unsafe = found.control, ~found.feasible, ~found.feasible
        which = eased.nonzero()[:, 0]
        if len(which):
            theirs = eased[agent]
            wide, number = barriers.some(theirs), eased.cumsum(0)[agent[theirs]] - 1
            alpha = widest(wide.value, self.dt)
            again = self._nearest(aim[which], velocity[which], wide, alpha, number)
            control = control.index_copy(0, which, again.control)
            unsafe = unsafe.index_copy(0, which, ~again.feasible)
        control = (control / self._unit).clamp(-1, 1).to(state.position.dtype)
        playing = ~state.arrived.all(dim=1, keepdim=True)
        eased, unsafe = (told.view(state.arrived.shape) & playing for told in (eased, unsafe))
        return control.view_as(state.position), eased, unsafe

    def _nearest(
        self, aim: Tensor, velocity: Tensor, barriers: Barriers, alpha: Tensor, agent: Tensor
    ) -> Answer:
        """The controls [Q, 2] in m/s or m/s^2 nearest to aims [Q, 2]; see `barriers` for agent."""
        rows = barriers.rows
        if self.dynamics == "single_integrator":
            reach = self.max_speed * torch.hypot(rows[:, 0], rows[:, 1])
            allowed = Allowed(centre=aim.new_zeros(2), radius=self.max_speed)
        else:
            reach = self.max_acceleration * (rows[:, 0].abs() + rows[:, 1].abs())
            corner = aim.new_full((2,), self.max_acceleration)
            allowed = Allowed(-corner, corner, -velocity / self.dt, self.max_speed / self.dt)
        normals, offsets = binding(rows, barriers.offsets(alpha), reach, agent, len(aim))
        return nearest(aim, normals, offsets, allowed)

    def nominal(self, state: State) -> Tensor:
        """[B, N, 2] float64 the control that goes straight to the goal, in m/s or m/s^2."""
        way = (state.goal - state.position).double()
        velocity = _shortened(self.gain * way, self.max_speed)
        if self.dynamics == "single_integrator":
            return velocity
        missing = (velocity - state.velocity) / (2 * self.dt)  # half of it within a step
        return _shortened(missing, self.max_acceleration)

    def barriers(self, state: State) -> tuple[Barriers, Tensor]:
        """The barriers of P pairs of an agent and a node in its sight, and which agent it is.

        Agents [P] are counted through all games: agent i of game b is b N + i.
        """
        near = state.clearance.transpose(1, 2) < self.communication - 2 * self.radius
        v = near.shape[2]
        pair = near.flatten().nonzero()[:, 0]
        agent = torch.div(pair, v, rounding_mode="floor")
        node = pair - v * agent
        discs = torch.cat((state.position, state.velocity), dim=2).double()  # [B, N, 4]
        still = torch.cat((state.obstacle, torch.zeros_like(state.obstacle)), dim=2).double()
        nodes = torch.cat((discs, still), dim=1).flatten(0, 1)
        game = torch.div(agent, self.agents, rounding_mode="floor")
        one = discs.flatten(0, 1)[agent]
        between = one - nodes[game * v + node]  # [P, 4]
        contact, share = contacts(self, node.device)[:, node]
        pairs = Pairs(between[:, :2], between[:, 2:], contact, share, one[:, 2:])
        if self.dynamics == "single_integrator":
            return single_integrator(pairs), agent
        halves = self.responsibility == "half"
        found = double_integrator(pairs, self.dt, self.inner, self.max_speed, halves=halves)
        return found, agent

    def _told(self, before: State, moved: navigation.State, eased: Tensor, unsafe: Tensor) -> State:
        """The state after a control step, with updated metrics."""
        away = ~before.arrived
        went = torch.linalg.vector_norm(moved.position - before.position, dim=-1)
        slow = away & (went < SLOW * self.max_speed * self.dt)
        steps = before.steps + away.any(dim=1)  # none once the game is over, however long they hold
        return replace(
            before,
            **vars(moved) | {"steps": steps},
            travelled=before.travelled + went * away,
            underway=before.underway + self.dt * away,
            still=torch.where(slow, before.still + self.dt, 0.0),
            eased=before.eased + eased,
            infeasible=before.infeasible + unsafe,
            closest=before.closest.minimum(moved.clearance.flatten(1).amin(1)),
        )

    def _info(self, state: State) -> dict[str, Tensor]:
        done = state.arrived & ~state.collided
        path = state.travelled.maximum(state.shortest)
        ratio = torch.where(path > 0, state.shortest / path.clamp_min(1e-9), 1.0)  # 1: was there
        steps = state.steps.clamp_min(1)[:, None]
        full = (state.underway * self.max_speed).clamp_min(1e-9)
        stuck = ~state.arrived & (state.still >= STUCK)
        float32 = torch.float32
        return {
            "all_arrived": done.all(dim=1).to(float32),
            "spl": (done * ratio).mean(dim=1),
            "speed": (state.travelled / full).mean(dim=1),
            "deadlocked": stuck.mean(dim=1, dtype=float32),
            "eased": (state.eased / steps).mean(dim=1),
            "infeasible": (state.infeasible / steps).mean(dim=1),
            "closest": state.closest,
        }

    def _edges(self, clearance: Tensor) -> tuple[Tensor, Tensor]:
        if self.central:
            near = self.communication - 2 * self.radius
            return super()._edges(torch.where(clearance < torch.inf, near - 1, clearance))
        return super()._edges(clearance)

    @property
    def _resolution(self) -> float:
        return (self.buffer or self.margin) / 4

    @property
    def _unit(self) -> float:
        """What an action of 1 of `navigation` is, in m/s or m/s^2."""
        single = self.dynamics == "single_integrator"
        return self.max_speed if single else self.max_acceleration

    def _scale(self, like: Tensor) -> tuple[Tensor, Tensor]:
        low, high = (self.zeta_least, self.eta_least), (self.zeta_most, self.eta_most)
        return like.new_tensor(low).log(), like.new_tensor(high).log()


def _shortened(vectors: Tensor, length: float) -> Tensor:
    """Vectors [..., 2] beyond a length, cut to it."""
    long = torch.linalg.vector_norm(vectors, dim=-1, keepdim=True)
    return vectors / (long / length).clamp_min(1)
