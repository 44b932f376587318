"""What training is to be: a game, a method, a network, and the machines that it runs on."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any

from pydantic import (
    Field,
    InstanceOf,
    PlainSerializer,
    SerializeAsAny,
    field_validator,
    model_validator,
)

from games.common.errors import InputError
from games.common.settings import Table
from games.load import load
from games.names import called
from marl.learning.method import LearningMethod, find
from marl.networks.network import Network

DEFAULT = "ppo"  # the method of a plan that names none


class Resources(Table):
    """Processes and devices; 0 env runners or learners: in the process that trains."""

    env_runners: Annotated[int, Field(ge=0)] = 0
    """Processes that play, each `method.num_envs` games."""
    learners: Annotated[int, Field(ge=0)] = 0
    """Processes that learn, each from its part of what was played."""
    gpus_per_learner: Annotated[float, Field(ge=0, le=1024)] = 0
    """GPUs of each learner; 0: the CPU."""
    gpus_per_env_runner: Annotated[float, Field(ge=0, le=1024)] = 0
    """GPUs of each env runner, on which simulators step; 0: the CPU. PettingZoo's and OpenSpiel's
    games are played on the CPU all the same."""
    cpus_per_env_runner: Annotated[float, Field(gt=0, le=1024)] = 1
    """CPUs that Ray sets aside for each env runner; a learner takes 1, or its GPUs."""
    address: str | None = None
    """Of a Ray cluster that runs already, such as "auto" or "10.0.0.1:6379"; None: this machine."""
    torch_threads: Annotated[int, Field(gt=0, le=1024)] = 1
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


class Dataset(Table):
    """What was played before, for methods that learn from it."""

    path: str
    """A file that `marl.rollouts.trajectory.Trajectory.save` wrote."""


class Plan(Table):
    """All that training follows from."""

    game: Annotated[Any, PlainSerializer(called)]
    """An OpenSpiel string, `navigation(...)`, `pettingzoo:MODULE(...)`, `MODULE:ATTRIBUTE(...)`; or
    a game itself, which is sent to other processes if these play."""
    method: Annotated[
        SerializeAsAny[InstanceOf[LearningMethod]],
        Field(default_factory=partial(find, DEFAULT, {})),
    ]
    """How it is learned; as a table: its name and its parameters, or the name alone."""
    network: Network = Network()
    self_play: SelfPlay = SelfPlay()
    resources: Resources = Resources()
    dataset: Dataset | None = None
    """What is learned from, by methods that do not play."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Of everything random."""

    @field_validator("game")
    @classmethod
    def _is_a_game(cls, given: Any) -> Any:
        if not isinstance(given, str):
            load(given)  # refuses what is none
        return given

    @field_validator("method", mode="before")
    @classmethod
    def _by_name(cls, given: Any) -> Any:
        if isinstance(given, str):
            return find(given, {})
        if isinstance(given, Mapping):
            options = dict(given)
            return find(options.pop("name", None), options)
        return given

    @model_validator(mode="after")
    def _network_suits_method(self) -> Plan:
        """What a method needs of its network is there, whether or not the network says so."""
        needed = self.method.network
        if any(getattr(self.network, key) != value for key, value in needed.items()):
            network = self.network.model_copy(update=dict(needed))
            object.__setattr__(self, "network", network)
        return self

    def require(self) -> None:
        """See that the method can do what is planned, before anything starts.

        Raises:
            InputError: it cannot, or the plan says something that it has no use for.
        """
        self.method.require(self)
        for name in _TABLES:
            table = getattr(self, name)
            if name not in self.method.tables and table != Plan.model_fields[name].default:
                raise InputError(
                    f"method {self.method.name} has no use for [{name}]: leave it out, or learn by "
                    "another method"
                )


_TABLES = ("network", "self_play", "resources", "dataset")
