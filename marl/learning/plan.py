"""The plan of a training run: game, method, network, and the machines that it runs on."""

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
    """Processes and devices; with 0 env runners or learners that work runs in the main process."""

    env_runners: Annotated[int, Field(ge=0)] = 0
    """Processes that simulate games, `method.num_envs` each; 0: the main process does."""
    learners: Annotated[int, Field(ge=0)] = 0
    """Processes that compute gradients, each on its part of the batch; 0: the main process does."""
    gpus_per_learner: Annotated[float, Field(ge=0, le=1024)] = 0
    """GPUs of each learner; 0: the CPU."""
    gpus_per_env_runner: Annotated[float, Field(ge=0, le=1024)] = 0
    """GPUs of each env runner, on which simulators step; 0: the CPU. PettingZoo and OpenSpiel games
    always run on the CPU."""
    cpus_per_env_runner: Annotated[float, Field(gt=0, le=1024)] = 1
    """CPUs that Ray reserves for each env runner; a learner takes 1, or its GPUs."""
    address: str | None = None
    """Address of a running Ray cluster, such as "auto" or "10.0.0.1:6379"; None: this machine."""
    torch_threads: Annotated[int, Field(gt=0, le=1024)] = 1
    """Torch threads of each process. Small networks are slower with more than one."""
    restarts: Annotated[int, Field(ge=0)] = 100
    """How often env runners that died are restarted."""


class SelfPlay(Table):
    """Self-play against past versions of the policy."""

    past: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Share of games in which one seat learns and past versions of the policy play the others."""
    pool: Annotated[int, Field(ge=2)] = 20
    """Past versions kept; when full, the second oldest is dropped."""
    every: Annotated[int, Field(gt=0)] = 10
    """Updates between two past versions that are kept."""


class Dataset(Table):
    """A recorded dataset, for methods that learn from one."""

    path: str
    """A file written by `marl.rollouts.trajectory.Trajectory.save`."""


class Plan(Table):
    """Everything that determines a training run."""

    game: Annotated[Any, PlainSerializer(called)]
    """An OpenSpiel string, `navigation(...)`, `pettingzoo:MODULE(...)`, `MODULE:ATTRIBUTE(...)`; or
    a game itself, which is sent to other processes if these play."""
    method: Annotated[
        SerializeAsAny[InstanceOf[LearningMethod]],
        Field(default_factory=partial(find, DEFAULT, {})),
    ]
    """The learning method; in a file: a table with its name and parameters, or the name alone."""
    network: Network = Network()
    self_play: SelfPlay = SelfPlay()
    resources: Resources = Resources()
    dataset: Dataset | None = None
    """The dataset, for methods that learn without playing."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Seed of everything random."""

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
        """Set what the method needs of its network, such as a second value head.

        Raises:
            InputError: the network was given a setting that contradicts the method.
        """
        needed = self.method.network
        for key, value in needed.items():
            given = getattr(self.network, key)
            if given != value and key in self.network.model_fields_set:
                raise InputError(
                    f"method {self.method.name} needs network.{key} = {value!r}, not {given!r}: "
                    "remove that setting, or choose another method"
                )
        if any(getattr(self.network, key) != value for key, value in needed.items()):
            network = self.network.model_copy(update=dict(needed))
            object.__setattr__(self, "network", network)
        return self

    def require(self) -> None:
        """Check that the method can train this plan, before anything starts.

        Raises:
            InputError: it cannot, or the plan sets a table that the method does not use.
        """
        self.method.require(self)
        needed = self.method.network.get("policy", "stochastic")
        if self.network.policy != needed:
            raise InputError(
                f'method {self.method.name} needs network.policy = "{needed}": remove that '
                "setting, which methods set themselves"
            )
        for name in _TABLES:
            table = getattr(self, name)
            if name not in self.method.tables and table != Plan.model_fields[name].default:
                raise InputError(
                    f"method {self.method.name} does not use [{name}]: remove that table, or "
                    "choose another method"
                )


_TABLES = ("network", "self_play", "resources", "dataset")
