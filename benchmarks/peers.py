"""Baselines for training speed: games as RLlib's own runner and a bare loop play them."""

from __future__ import annotations

import time
from importlib import import_module
from typing import Any

import gymnasium
import numpy as np
import torch
from ray.rllib.env.multi_agent_env import MultiAgentEnv

from games.navigation.navigation import Navigation


class OneGame(MultiAgentEnv):
    """One game of navigation, as RLlib's own runner wants it; no check and no copy too many."""

    inside = 0.0  # CPU seconds that all of them spent in `step`

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        self.simulator = Navigation(agents=config["agents"])
        self.generator = torch.Generator().manual_seed(0)
        spec = self.simulator.spec
        self.agents = self.possible_agents = list(range(spec.num_agents))
        seen = gymnasium.spaces.Box(-np.inf, np.inf, (spec.features,), np.float32)
        self.observation_spaces = dict.fromkeys(self.agents, seen)
        self.action_spaces = dict.fromkeys(self.agents, spec.roles[0].action_space)

    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        self.state = self.simulator.reset(1, self.generator)
        return self._seen(), {}

    def _seen(self) -> dict[int, np.ndarray]:
        return dict(enumerate(self.simulator.observe(self.state).nodes[0].numpy()))

    def step(self, actions: dict[Any, Any]) -> Any:
        began = time.process_time()
        given = np.clip([actions[agent] for agent in self.agents], -1.0, 1.0)
        self.state, step = self.simulator.step(
            self.state, torch.from_numpy(given)[None], self.generator
        )
        seen = self._seen()
        reward, terminated, truncated = (
            dict(enumerate(found[0].tolist()))
            for found in (step.reward, step.terminated, step.truncated)
        )
        terminated["__all__"] = all(terminated.values())  # type: ignore[index]
        truncated["__all__"] = all(truncated.values())  # type: ignore[index]
        OneGame.inside += time.process_time() - began
        return seen, reward, terminated, truncated, {}


class NoGame(OneGame):
    """Observations of the same shapes, drawn beforehand: what is left is RLlib's own time."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__(config)
        shape = self.simulator.max_steps + 1, len(self.agents), self.simulator.spec.features
        drawn = np.random.default_rng(0).normal(size=shape).astype(np.float32)
        self.drawn = [dict(enumerate(seen)) for seen in drawn]
        self.nothing = dict.fromkeys(self.agents, 0.0)
        self.flags = {
            flag: dict.fromkeys([*self.agents, "__all__"], flag) for flag in (False, True)
        }

    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        self.time = 0
        return self.drawn[0], {}

    def step(self, actions: dict[Any, Any]) -> Any:
        self.time += 1
        cut = self.time == self.simulator.max_steps
        return self.drawn[self.time], self.nothing, self.flags[False], self.flags[cut], {}


class Bare:
    """An environment of PettingZoo's and random actions, without anything of ours."""

    def __init__(self, module: str, parameters: dict[str, Any]) -> None:
        found = import_module(module)
        self.play = self._in_turn
        make = found.env
        if hasattr(found, "parallel_env"):
            make, self.play = found.parallel_env, self._in_parallel
        self.env = make(**parameters)
        self.random = np.random.default_rng(0)

    def _in_parallel(self, steps: int) -> None:
        self.env.reset(seed=0)
        sizes = {agent: self.env.action_space(agent).n for agent in self.env.agents}
        for _ in range(steps):
            if not self.env.agents:
                self.env.reset()
            self.env.step({a: int(self.random.integers(sizes[a])) for a in self.env.agents})

    def _in_turn(self, steps: int) -> None:
        self.env.reset(seed=0)
        for _ in range(steps):
            seen, _, terminated, truncated, _ = self.env.last()
            if terminated or truncated:
                self.env.reset()
                seen = self.env.last()[0]
            self.env.step(int(self.random.choice(np.flatnonzero(seen["action_mask"]))))
