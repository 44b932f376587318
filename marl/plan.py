"""What training is to be: a game, a method, a network, and the machines that it runs on."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from marl.network import Network
from marl.ppo import PPO
from marl.tabular.method import Table


class Resources(Table):
    """Processes and devices; 0 env runners or learners: in the process that trains."""

    env_runners: Annotated[int, Field(ge=0)] = 0
    """Processes that play, each `method.games` games."""
    learners: Annotated[int, Field(ge=0)] = 0
    """Processes that learn, each from its part of what was played."""
    gpus_per_learner: Annotated[float, Field(ge=0)] = 0
    """GPUs of each learner; 0: the CPU."""
    gpus_per_env_runner: Annotated[float, Field(ge=0)] = 0
    """GPUs of each env runner, on which simulators step; 0: the CPU. PettingZoo's and OpenSpiel's
    games are played on the CPU all the same."""
    cpus_per_env_runner: Annotated[float, Field(gt=0)] = 1
    """CPUs that Ray sets aside for each env runner; a learner takes 1, or its GPUs."""
    address: str | None = None
    """Of a Ray cluster that runs already, such as "auto" or "10.0.0.1:6379"; None: this machine."""
    torch_threads: Annotated[int, Field(gt=0)] = 1
    """Of each process. Small networks are slower with more than one."""
    restarts: Annotated[int, Field(ge=0)] = 100
    """How often an env runner that died is started anew."""


class SelfPlay(Table):
    """Opponents from the past, beside the present self."""

    past: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Share of games in which one seat learns and the others are played by a past self."""
    pool: Annotated[int, Field(ge=2)] = 20
    """Past selves that are kept; the oldest but the first makes room."""
    every: Annotated[int, Field(gt=0)] = 10
    """Updates between two that are kept."""


class Plan(Table):
    """All that training follows from."""

    game: str
    """An OpenSpiel string, `navigation(...)`, `pettingzoo:MODULE(...)`, `MODULE:ATTRIBUTE(...)`."""
    method: PPO = PPO()
    network: Network = Network()
    self_play: SelfPlay = SelfPlay()
    resources: Resources = Resources()
    seed: Annotated[int, Field(ge=0)] = 0
    """Of everything random."""
