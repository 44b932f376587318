"""The RLlib env runner that simulates many games at once as tensors.

RLlib's own multi-agent runner steps one game at a time through Python dictionaries; this one hands
its learners a `Trajectory`, without connectors.
"""

from __future__ import annotations

import copy
import io
from typing import Any

import ray
import torch
from ray.rllib.core import COMPONENT_RL_MODULE
from ray.rllib.env.env_runner import EnvRunner
from ray.rllib.utils.annotations import override
from ray.rllib.utils.checkpoints import Checkpointable
from ray.rllib.utils.metrics import WEIGHTS_SEQ_NO

from games.common.seeds import seeds
from games.load import vector
from games.simulators.vector import Vector
from marl.learning.method import RolloutMethod
from marl.learning.plan import Plan
from marl.networks.policy import Policy, names
from marl.rollouts.episodes import Episodes
from marl.rollouts.rollout import Rollout
from marl.rollouts.trajectory import Trajectory

ROLLOUT, PAST, LIFE = "rollout", "past", "life"


class BatchedRunner(EnvRunner, Checkpointable):
    """Simulates B games of `plan.game` between the learning policies and their opponents."""

    @override(EnvRunner)
    def __init__(self, *, config: Any, **kwargs: Any) -> None:
        super().__init__(config=config, **kwargs)
        self.plan: Plan = self.config.env_config["plan"]
        self.against: Policy | None = self.config.env_config["against"]
        self.seats: tuple[int, ...] = self.config.env_config["seats"]  # that learn
        torch.set_num_threads(self.plan.resources.torch_threads)
        self.life = 0  # steps of training when this runner was restarted
        self._weights_seq_no = 0
        self.module: Any = None
        self.make_module()
        self._rollout: Rollout | None = None  # made on first use, which may never come

    @override(EnvRunner)
    def make_module(self) -> None:
        self.module = self.config.rl_module_spec.build()
        if self.plan.self_play.past:
            self.past = self.config.rl_module_spec.build()

    @property
    def method(self) -> RolloutMethod:
        found = self.plan.method
        assert isinstance(found, RolloutMethod), f"env runners do not play for {found.name}"
        return found

    @property
    def rollout(self) -> Rollout:
        if self._rollout is None:
            plan = self.plan
            gpus = plan.resources.gpus_per_env_runner and torch.cuda.is_available()
            games = vector(plan.game, self.method.num_envs, device="cuda" if gpus else "cpu")
            of_agent = names(games.spec, self.method.parameter_sharing)
            learning = list(self.module.keys())
            networks = [self.module[name].network for name in learning]
            seats = [learning.index(name) if name in learning else -1 for name in of_agent]
            if self.against is not None:
                frozen = self.against.fitted(plan.game, games.spec)
                others = list(frozen.networks)
                for agent, name in enumerate(frozen.of_agent):
                    if agent not in self.seats:
                        seats[agent] = len(networks) + others.index(name)
                networks += [copy.deepcopy(frozen.networks[name]) for name in others]
            elif plan.self_play.past:
                networks += [self.past[name].network for name in learning]
            self._rollout = Rollout(
                games,
                [network.to(_device(games)) for network in networks],
                seats,
                len(learning),
                seed=seeds(plan.seed, 1, self.worker_index or 0, self.life)[0],
                past=0.0 if self.against is not None else plan.self_play.past,
                extras=self.method.extras,
            )
        return self._rollout

    @override(EnvRunner)
    def sample(self, **_: Any) -> Trajectory:
        return self.rollout.sample(self.method.rollout_length).to("cpu")

    @override(EnvRunner)
    def get_metrics(self) -> Episodes:
        return self.rollout.episodes()

    @override(EnvRunner)
    def get_spaces(self) -> dict[str, tuple[Any, Any]]:
        specs = self.config.rl_module_spec.rl_module_specs
        return {name: (spec.observation_space, spec.action_space) for name, spec in specs.items()}

    @override(Checkpointable)
    def get_state(
        self, components: Any = None, *, not_components: Any = None, **_: Any
    ) -> dict[str, Any]:
        state: dict[str, Any] = {LIFE: self.life, WEIGHTS_SEQ_NO: self._weights_seq_no}
        if self._check_component(COMPONENT_RL_MODULE, components, not_components):
            state[COMPONENT_RL_MODULE] = self.module.get_state()
        if self._rollout is not None and ROLLOUT in (components or ()):  # large: only when asked
            state[ROLLOUT] = self._saved_rollout(self._rollout)
        return state

    @override(Checkpointable)
    def set_state(self, state: dict[str, Any]) -> None:
        if COMPONENT_RL_MODULE in state:
            weights = state[COMPONENT_RL_MODULE]
            if isinstance(weights, ray.ObjectRef):  # remote runners get them so at the start
                weights = ray.get(weights)
            self.module.set_state(weights)
            self._weights_seq_no = state.get(WEIGHTS_SEQ_NO, self._weights_seq_no)
        if PAST in state:
            self.past.set_state(state[PAST])
        self.life = state.get(LIFE, self.life)
        if ROLLOUT in state:
            self._restore_rollout(state[ROLLOUT])

    def _saved_rollout(self, rollout: Rollout) -> Any:
        """The rollout's state; as bytes if on a GPU, so that any process can pass it on."""
        if _device(rollout.vector).type == "cpu":
            return rollout.state()
        buffer = io.BytesIO()
        torch.save(rollout.state(), buffer)
        return buffer.getvalue()

    def _restore_rollout(self, state: Any) -> None:
        """Resume the games of a checkpoint.

        Random generators cannot move between a CPU and a GPU: then games are restarted.
        """
        device = _device(self.rollout.vector)
        if isinstance(state, bytes) != (device.type != "cpu"):
            self.life += 1
            self._rollout = None
            return
        if isinstance(state, bytes):
            state = torch.load(io.BytesIO(state), weights_only=False)  # each tensor where it was
        self.rollout.restore(state)

    @override(Checkpointable)
    def get_ctor_args_and_kwargs(self) -> tuple[tuple, dict[str, Any]]:
        return (), {"config": self.config, "worker_index": self.worker_index}

    @override(EnvRunner)
    def assert_healthy(self) -> None:
        assert self.module is not None


def _device(games: Vector) -> torch.device:
    """The device that games run on: always the CPU for PettingZoo and OpenSpiel."""
    return getattr(games, "device", torch.device("cpu"))
