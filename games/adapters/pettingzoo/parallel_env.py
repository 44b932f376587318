"""A simulator as a PettingZoo ParallelEnv: one game, with named agents."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from pettingzoo import ParallelEnv

from games.common.errors import InputError, did_you_mean
from games.common.seeds import seeds
from games.simulators.action_sets import parts
from games.simulators.legal_actions import check_actions
from games.simulators.simulator import Observation, Role, Simulator, State, Step

NEIGHBOURS = 4  # shown where the game has a graph and nobody says how many


def parallel_env(
    simulator: Simulator, render_mode: str | None = None, neighbours: int | None = None
) -> SimulatorEnv:
    """The PettingZoo view of a simulator, a batch of one.

    Args:
        simulator: the game.
        render_mode: "rgb_array", for simulators with `frame(state, game)`; None: no pictures.
        neighbours: how many of the edges that lead to an agent it is shown, the nearest first. By
            convention the last edge feature is the one that grows with distance. 4, or as many as
            there are other nodes, if not given; 0 if the game's edges have no features.

    Raises:
        InputError: an unknown render mode, a simulator without pictures, a negative number.
    """
    return SimulatorEnv(simulator, render_mode, neighbours)


class SimulatorEnv(ParallelEnv):
    """See `parallel_env`.

    Agents are called agent_0, agent_1, ... An observation is float32 [F + K * (1 + G + F)]: the
    agent's own node, then for each of K neighbours a 1, the edge's features and the neighbour's
    node; 0s where there are fewer. Discrete actions have a mask, as PettingZoo's own games do:
    {"observation": ..., "action_mask": ...}, int8 [n], a tuple of them for MultiDiscrete, all 0
    when it is not the agent's turn; what it does then is ignored. The infos at a game's end hold
    the simulator's `Step.info`.
    """

    def __init__(
        self, simulator: Simulator, render_mode: str | None = None, neighbours: int | None = None
    ) -> None:
        spec = simulator.spec
        if render_mode not in (None, "rgb_array"):
            raise InputError(
                f"{spec.name}: unknown render mode {render_mode!r}: "
                f"{did_you_mean(str(render_mode), ['rgb_array'])}"
            )
        if render_mode and not hasattr(simulator, "frame"):
            raise InputError(
                f"{spec.name}: has no pictures; leave out render_mode, or give the simulator "
                "frame(state, game) -> uint8 [H, W, 3]"
            )
        others = spec.num_nodes - 1
        if neighbours is None:
            neighbours = min(NEIGHBOURS, others) if spec.edge_features else 0
        if neighbours < 0:
            raise InputError(f"{spec.name}: neighbours is {neighbours}; give 0 or more")
        self.simulator, self.render_mode, self.neighbours = simulator, render_mode, neighbours
        self.metadata = {
            "name": spec.name,
            "render_modes": ["rgb_array"] if hasattr(simulator, "frame") else [],
            "is_parallelizable": True,
        }
        self.possible_agents = [f"agent_{i}" for i in range(spec.num_agents)]
        self.agents: list[str] = []
        roles = [spec.roles[k] for k in spec.role_of]
        self.observation_spaces = {
            name: self._observation_space(role)
            for name, role in zip(self.possible_agents, roles, strict=True)
        }
        self.action_spaces = {
            # A space of its own, for it is seeded: roles share theirs.
            name: _copy(role.space)
            for name, role in zip(self.possible_agents, roles, strict=True)
        }
        self._generator: torch.Generator | None = None
        self._state: State = None
        self._seen: Observation | None = None
        self._steps = 0

    def observation_space(self, agent: str) -> spaces.Space:
        return self.observation_spaces[agent]

    def action_space(self, agent: str) -> spaces.Space:
        return self.action_spaces[agent]

    def reset(
        self, seed: int | None = None, options: dict | None = None
    ) -> tuple[dict[str, Any], dict[str, dict]]:
        """A new game; the next of the same generator if no seed is given."""
        if seed is not None or self._generator is None:
            entropy = np.random.SeedSequence().entropy if seed is None else seed
            self._generator = torch.Generator().manual_seed(seeds(int(entropy))[0])  # type: ignore[arg-type]
        self._state = self.simulator.reset(1, self._generator)
        self._seen = self.simulator.observe(self._state)
        self._steps = 0
        self.agents = list(self.possible_agents)
        return self._shown(self.agents), {agent: {} for agent in self.agents}

    def step(
        self, actions: Mapping[str, Any]
    ) -> tuple[dict[str, Any], dict[str, float], dict[str, bool], dict[str, bool], dict[str, dict]]:
        """One step of all agents that are in the game.

        Raises:
            InputError: no game under way, an agent that is not in it, no action from one whose
                turn it is, or an action that is not legal.
        """
        if not self.agents or self._seen is None or self._generator is None:
            raise InputError(f"{self.simulator.spec.name}: no game is under way; call reset first")
        self._steps += 1
        played = self._played(actions)
        with torch.no_grad():
            self._state, step = self.simulator.step(self._state, played, self._generator)
            self._seen = self.simulator.observe(self._state)
        playing = {agent: self.possible_agents.index(agent) for agent in self.agents}
        reward = {agent: float(step.reward[0, i]) for agent, i in playing.items()}
        terminated = {agent: bool(step.terminated[0, i]) for agent, i in playing.items()}
        truncated = {agent: bool(step.truncated[0, i]) for agent, i in playing.items()}
        seen = self._shown(list(playing))
        infos = {agent: _info(step, i) for agent, i in playing.items()}
        self.agents = [a for a in self.agents if not (terminated[a] or truncated[a])]
        return seen, reward, terminated, truncated, infos

    def render(self) -> NDArray[np.uint8] | None:
        """uint8 [H, W, 3] of the game as it stands; None without a render mode."""
        if self.render_mode is None or self._state is None:
            return None
        return self.simulator.frame(self._state, 0)  # type: ignore[attr-defined]

    def close(self) -> None:
        pass

    def _observation_space(self, role: Role) -> spaces.Space:
        spec = self.simulator.spec
        width = role.features + self.neighbours * (1 + spec.edge_features + spec.features)
        box = spaces.Box(-np.inf, np.inf, (width,), np.float32)
        if not role.sizes:
            return box
        masks = [spaces.Box(0, 1, (size,), np.int8) for size in role.sizes]
        mask = masks[0] if isinstance(role.action_space, spaces.Discrete) else spaces.Tuple(masks)
        return spaces.Dict({"observation": box, "action_mask": mask})

    def _shown(self, agents: list[str]) -> dict[str, Any]:
        spec, seen = self.simulator.spec, self._seen
        assert seen is not None
        found: dict[str, Any] = {}
        for agent in agents:
            i = self.possible_agents.index(agent)
            role = spec.roles[spec.role_of[i]]
            own = torch.cat((seen.nodes[0, i, : role.features], self._neighbourhood(seen, i)))
            vector = own.detach().numpy().astype(np.float32)
            if not role.sizes:
                found[agent] = vector
                continue
            choices = (seen.action_mask[0, i] & seen.acting[0, i]).numpy().astype(np.int8)
            masks = tuple(choices[first : first + size] for first, size in parts(role.sizes))
            single = isinstance(role.action_space, spaces.Discrete)
            found[agent] = {"observation": vector, "action_mask": masks[0] if single else masks}
        return found

    def _neighbourhood(self, seen: Observation, agent: int) -> torch.Tensor:
        """[K * (1 + G + F)] of the nearest edges that lead to the agent, padded with 0."""
        spec, count = self.simulator.spec, self.neighbours
        padded = torch.zeros((count, 1 + spec.edge_features + spec.features))
        if count:
            here = (seen.edges[1] == agent).nonzero()[:, 0]
            order = seen.edge_features[here, -1].argsort(stable=True)[:count]
            here = here[order]
            rows = (
                torch.ones((len(here), 1)),
                seen.edge_features[here],
                seen.nodes[0, seen.edges[0, here]],
            )
            padded[: len(here)] = torch.cat(rows, dim=1)
        return padded.flatten()

    def _played(self, actions: Mapping[str, Any]) -> torch.Tensor:
        """[1, N, D] of actions by name, checked."""
        spec, seen = self.simulator.spec, self._seen
        assert seen is not None
        where = f"{spec.name}: step {self._steps}"
        unknown = [agent for agent in actions if agent not in self.agents]
        if unknown:
            raise InputError(
                f"{where}: {unknown[0]} is not in the game; give actions for "
                f"{', '.join(self.agents)}"
            )
        played = torch.zeros((1, spec.num_agents, spec.action_width), dtype=spec.action_dtype)
        for agent in self.agents:
            i = self.possible_agents.index(agent)
            if agent not in actions:
                if seen.acting[0, i]:
                    raise InputError(f"{where}: {agent} is to act; give it an action")
                continue
            role = spec.roles[spec.role_of[i]]
            given = np.atleast_1d(np.asarray(actions[agent]))
            if given.shape != (role.action_width,) or not np.issubdtype(given.dtype, np.number):
                raise InputError(
                    f"{where}: {agent}: the action {actions[agent]!r} is not in {role.action_space}"
                )
            if role.sizes and not np.equal(given, np.round(given)).all():
                raise InputError(
                    f"{where}: {agent}: the action {actions[agent]!r} is not in {role.action_space}"
                )
            played[0, i, : role.action_width] = torch.as_tensor(given).to(played.dtype)
        check_actions(spec, seen, played, where)
        return played


def _info(step: Step, agent: int) -> dict[str, float]:
    """The simulator's metrics at the end of a game; empty before."""
    if not step.over[0]:
        return {}
    return {
        name: float(value[0] if value.ndim == 1 else value[0, agent])
        for name, value in step.info.items()
    }


def _copy(space: spaces.Space) -> spaces.Space:
    if isinstance(space, spaces.Discrete):
        return spaces.Discrete(int(space.n))
    if isinstance(space, spaces.MultiDiscrete):
        return spaces.MultiDiscrete(space.nvec)
    assert isinstance(space, spaces.Box)
    return spaces.Box(space.low, space.high, dtype=space.dtype)  # type: ignore[arg-type]
