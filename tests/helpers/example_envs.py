"""Two PettingZoo environments of ours, one of many that break the rules, and one that miscounts."""

from typing import ClassVar

import numpy as np
from gymnasium import spaces
from pettingzoo import AECEnv, ParallelEnv


class Harbour(ParallelEnv):
    """Two kinds of agents that see and do different things: carts on rails, and a crane above.

    Carts choose left, stay or right and want to stand at their marks; the crane moves freely and
    wants to be above cart_0. 20 steps of positions in [-1, 1], then the game is cut off.
    """

    metadata: ClassVar = {"name": "harbour", "render_modes": []}
    render_mode = None

    def __init__(self):
        self.possible_agents = ["cart_0", "cart_1", "crane_0"]
        seen = dict(low=-2.0, high=2.0, dtype=np.float32)
        self._seen = {a: spaces.Box(shape=(3,), **seen) for a in self.possible_agents[:2]}
        self._acts = {a: spaces.Discrete(3) for a in self.possible_agents[:2]}
        self._seen["crane_0"] = spaces.Box(shape=(2, 2), **seen)
        self._acts["crane_0"] = spaces.Box(-1.0, 1.0, (2,), np.float32)

    def observation_space(self, agent):
        return self._seen[agent]

    def action_space(self, agent):
        return self._acts[agent]

    def reset(self, seed=None, options=None):
        self.agents = list(self.possible_agents)
        self.generator = np.random.default_rng(seed)
        self.carts, self.marks, self.crane = self.generator.uniform(-1, 1, (3, 2))
        self.time = 0
        return self._observe(), {agent: {} for agent in self.agents}

    def _observe(self):
        above = np.array([self.carts[0], 0.0])
        found = {
            f"cart_{i}": np.array([self.carts[i], self.marks[i], self.crane[0]]) for i in range(2)
        }
        found["crane_0"] = np.stack([self.crane, above - self.crane])
        return {agent: value.astype(np.float32) for agent, value in found.items()}

    def step(self, actions):
        agents = self.agents
        for i in range(2):
            self.carts[i] = np.clip(self.carts[i] + 0.1 * (actions[f"cart_{i}"] - 1), -1, 1)
        self.crane = np.clip(self.crane + 0.1 * np.asarray(actions["crane_0"], float), -1, 1)
        self.time += 1
        rewards = {f"cart_{i}": -float(abs(self.carts[i] - self.marks[i])) for i in range(2)}
        rewards["crane_0"] = -float(np.hypot(self.carts[0] - self.crane[0], self.crane[1]))
        cut = self.time >= 20
        self.agents = [] if cut else agents
        return (
            self._observe(),
            rewards,
            dict.fromkeys(agents, False),
            dict.fromkeys(agents, cut),
            {agent: {} for agent in agents},
        )


class Relay(ParallelEnv):
    """Agents that leave and join: runners are done when they have run their lap.

    runner_0 and runner_1 start; runner_2 joins at step 3 and runner_3 at step 6 if anybody is still
    running. An action is how far to run, 0 to 2; a lap takes 4 to 9. At step 12 the game is cut
    off for those who run, also where another arrives just then.
    """

    metadata: ClassVar = {"name": "relay", "render_modes": []}
    render_mode = None
    joins: ClassVar = {3: "runner_2", 6: "runner_3"}

    def __init__(self):
        self.possible_agents = [f"runner_{i}" for i in range(4)]
        self._seen = {a: spaces.Box(-20.0, 20.0, (2,), np.float32) for a in self.possible_agents}
        self._acts = {a: spaces.Discrete(3) for a in self.possible_agents}

    def observation_space(self, agent):
        return self._seen[agent]

    def action_space(self, agent):
        return self._acts[agent]

    def reset(self, seed=None, options=None):
        laps = np.random.default_rng(seed).integers(4, 10, 4)
        self.left = dict(zip(self.possible_agents, laps.tolist(), strict=True))
        self.agents, self.time = self.possible_agents[:2], 0
        return self._observe(self.agents), {agent: {} for agent in self.agents}

    def _observe(self, agents):
        return {a: np.array([self.left[a], 12 - self.time], np.float32) for a in agents}

    def step(self, actions):
        self.time += 1
        ran = self.agents
        rewards, terminated = {}, {}
        for agent in ran:
            self.left[agent] -= int(actions[agent])
            terminated[agent] = self.left[agent] <= 0
            rewards[agent] = 1.0 if terminated[agent] else -0.1
        truncated = {agent: self.time >= 12 and not terminated[agent] for agent in ran}
        self.agents = [a for a in ran if not (terminated[a] or truncated[a])]
        if self.agents and self.time in self.joins:
            new = self.joins[self.time]
            self.agents = [*self.agents, new]
            rewards[new], terminated[new], truncated[new] = 0.0, False, False
        return self._observe(rewards), rewards, terminated, truncated, {a: {} for a in rewards}


class Broken(Harbour):
    """A harbour that breaks one rule in its third step."""

    def __init__(self, how):
        super().__init__()
        self.how = how

    def step(self, actions):
        seen, rewards, terminated, truncated, infos = super().step(actions)
        if self.time == 3:
            if self.how == "raises":
                raise KeyError("no such\nberth")
            if self.how == "nan reward":
                rewards["cart_1"] = float("nan")
            if self.how == "infinite observation":
                seen["crane_0"][1, 0] = np.inf
            if self.how == "wrong shape":
                seen["cart_0"] = np.zeros(1, np.float32)
            if self.how == "no number":
                seen["cart_0"] = ["a", "b", "c"]
            if self.how == "reward is None":
                rewards["cart_0"] = None
            if self.how == "unknown agent":
                rewards["cart_7"] = 1.0
            if self.how == "unknown flag":
                terminated["__all__"] = False
            if self.how == "no reward":
                del rewards["cart_0"]
            if self.how == "no observation":
                del seen["cart_0"]
            if self.how == "no truncation":
                del truncated["cart_0"]
            if self.how == "vanishes":
                self.agents = self.agents[1:]
            if self.how == "lingers":
                terminated["cart_0"] = True
            if self.how == "mask of wrong size":
                infos["cart_0"]["action_mask"] = np.ones(5, np.int8)
            if self.how == "nothing to do":
                infos["cart_0"]["action_mask"] = np.zeros(3, np.int8)
        return seen, rewards, terminated, truncated, infos


class Miscounts(AECEnv):
    """Two agents in turn. If it `doubles`, `last` gives twice what `rewards` have said."""

    metadata: ClassVar = {"name": "miscounts", "is_parallelizable": False}
    render_mode = None

    def __init__(self, doubles):
        self.possible_agents = ["a_0", "a_1"]
        self.doubles = doubles
        self.space = spaces.Discrete(2)

    def observation_space(self, agent):
        return self.space

    def action_space(self, agent):
        return self.space

    def observe(self, agent):
        return self.turns % 2

    def reset(self, seed=None, options=None):
        self.agents, self.turns = list(self.possible_agents), 0
        self.rewards = dict.fromkeys(self.agents, 0.0)
        self._cumulative_rewards = dict.fromkeys(self.agents, 0.0)
        self.terminations = dict.fromkeys(self.agents, False)
        self.truncations = dict.fromkeys(self.agents, False)
        self.infos = {agent: {} for agent in self.agents}
        self.agent_selection = self.agents[0]

    def step(self, action):
        agent = self.agent_selection
        if self.terminations[agent]:
            return self._was_dead_step(action)
        self._cumulative_rewards[agent] = 0.0
        self.rewards = dict.fromkeys(self.agents, 0.0)
        self.rewards[agent] = 1.0 + action
        self._accumulate_rewards()
        if self.doubles:
            self._accumulate_rewards()
        self.turns += 1
        self.terminations = dict.fromkeys(self.agents, self.turns == 6)
        self.agent_selection = self.agents[self.turns % 2]
