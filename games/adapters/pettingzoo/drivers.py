"""A common interface to PettingZoo's Parallel and AEC environments, with saving."""

from __future__ import annotations

import copyreg
import io
import pickle
from collections.abc import Sequence
from typing import Any

import cloudpickle
import numpy as np
from gymnasium.utils import EzPickle
from pettingzoo import AECEnv, ParallelEnv

from games.common.errors import InputError, one_line


class Broken(Exception):
    """An agent, and what the environment did to it."""


class Parallel:
    unburied: tuple[Any, ...] = ()  # done, and not yet out of env.agents

    def __init__(self, env: Any) -> None:
        self.env = env
        self.possible_agents = env.possible_agents
        self.observation_space, self.action_space = env.observation_space, env.action_space

    def in_play(self) -> Sequence[Any]:
        return self.env.agents

    def acting(self) -> Sequence[Any]:
        return self.env.agents

    def reset(self, seed: int) -> tuple[Any, Any]:
        return self.env.reset(seed=seed)

    def step(self, actions: dict[Any, Any]) -> Any:
        return self.env.step(actions)

    def dump(self) -> bytes:
        return _dump(self.env)

    def load(self, saved: bytes) -> None:
        self.env = pickle.loads(saved)


class Turns(Parallel):
    """An AEC environment; dead agents are removed at once.

    Wrappers look attributes up through one another, which costs more than many a game: each is
    read once a step.
    """

    def __init__(self, env: Any) -> None:
        super().__init__(env)
        self._owed: dict[Any, float] = {}  # paid since an agent's last turn
        self._in_play: tuple[Any, ...] = ()
        self._turn: tuple[Any, ...] = ()  # who is to act

    @property
    def unburied(self) -> tuple[Any, ...]:  # type: ignore[override]
        return tuple(self._owed)

    def in_play(self) -> Sequence[Any]:
        return self._in_play

    def acting(self) -> Sequence[Any]:
        return self._turn

    def reset(self, seed: int) -> tuple[Any, Any]:
        env = self.env
        env.reset(seed=seed)
        self._owed = {}
        self._bury({}, {})
        return {agent: env.observe(agent) for agent in self._in_play}, env.infos

    def step(self, actions: dict[Any, Any]) -> Any:
        env = self.env
        ((agent, action),) = actions.items()
        env.step(action)
        rewards, terminated = dict(env.rewards), dict(env.terminations)
        truncated, infos = dict(env.truncations), dict(env.infos)
        self._owed[agent] = 0.0
        for other, reward in rewards.items():
            if isinstance(reward, int | float | np.number):
                self._owed[other] = self._owed.get(other, 0.0) + reward
        seen = {other: env.observe(other) for other in env.agents if not terminated.get(other)}
        if self._bury(terminated, truncated):  # so that another's turn has come
            seen.update({other: env.observe(other) for other in self._in_play})
            infos = env.infos
        return seen, rewards, terminated, truncated, infos

    def _bury(self, terminated: dict[Any, bool], truncated: dict[Any, bool]) -> bool:
        """Take the turns of agents that are done, and notice who else gets done by that."""
        env, any_buried = self.env, False
        while agents := env.agents:
            agent, over, cut = env.agent_selection, env.terminations, env.truncations
            self._audit(agent)
            if not (over[agent] or cut[agent]):
                self._in_play = tuple(a for a in agents if not (over[a] or cut[a]))
                self._turn = (agent,)
                return any_buried
            env.step(None)
            any_buried = True
            self._owed.pop(agent, None)
            if agent in env.agents:
                raise Broken(agent, "step(None) does not take it out of env.agents")
            terminated.update({a: True for a, done in env.terminations.items() if done})
            truncated.update({a: True for a, done in env.truncations.items() if done})
        self._in_play, self._turn = (), ()
        return any_buried

    def _audit(self, agent: Any) -> None:
        """`last()` must say what `rewards` have said since: else one of the two is wrong."""
        owed, total = self._owed.get(agent, 0.0), self.env._cumulative_rewards[agent]
        if abs(total - owed) > 1e-5 * (1 + abs(owed)):
            raise Broken(agent, f"its _cumulative_rewards are {total}, its rewards sum to {owed}")

    def dump(self) -> bytes:
        return _dump((self.env, self._owed, self._in_play, self._turn))

    def load(self, saved: bytes) -> None:
        self.env, self._owed, self._in_play, self._turn = pickle.loads(saved)


def driver(env: Any, name: str) -> Parallel:
    if isinstance(env, AECEnv) or hasattr(env, "agent_selection"):
        return Turns(env)
    if isinstance(env, ParallelEnv) or hasattr(env, "possible_agents"):
        return Parallel(env)
    raise InputError(
        f"{name}: a {type(env).__name__} is no PettingZoo environment; give a ParallelEnv or AECEnv"
    )


def said(error: Exception) -> str:
    return f"{type(error).__name__}: {one_line(error) or 'no message'}"


class _Pickler(cloudpickle.Pickler):
    """Keeps what a game is at; EzPickle keeps only how it was made. What is drawn is left out."""

    def reducer_override(self, obj: Any) -> Any:
        kind = type(obj)
        if kind.__module__.partition(".")[0] == "pygame":
            return _nothing, ()
        if isinstance(obj, EzPickle) and kind.__getstate__ is EzPickle.__getstate__:
            return copyreg.__newobj__, (kind,), obj.__dict__, None, None, _fill  # type: ignore[attr-defined]
        return super().reducer_override(obj)


def _dump(value: Any) -> bytes:
    file = io.BytesIO()
    _Pickler(file).dump(value)
    return file.getvalue()


def _nothing() -> None:
    return None


def _fill(obj: Any, state: dict[str, Any]) -> None:
    obj.__dict__.update(state)
