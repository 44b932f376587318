"""RLlib's config for a plan."""

from __future__ import annotations

from typing import Any

from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.utils.annotations import override

from games.common.registry import attribute_of
from games.simulators.simulator import Spec
from marl.learning.method import RLlibMethod
from marl.learning.plan import Plan
from marl.networks.policy import Policy, names
from marl.rllib.learner import BatchedLearner
from marl.rllib.module import PolicyModule, modules
from marl.rllib.runner import BatchedRunner

LONGEST_WAIT = 300.0  # seconds for an env runner to start, to play its steps, or to come back
PROBE_SECONDS = 1.0  # spent on checking whether one is back, while others wait


class BatchedConfig(AlgorithmConfig):
    """RLlib's config with this project's networks."""

    @override(AlgorithmConfig)
    def get_default_rl_module_spec(self) -> RLModuleSpec:
        return RLModuleSpec(module_class=PolicyModule)

    @override(AlgorithmConfig)
    def get_default_learner_class(self) -> type:
        return BatchedLearner


def algorithm_config(
    plan: Plan,
    spec: Spec,
    *,
    against: Policy | None = None,
    seats: tuple[int, ...] = (),
    algo_class: type | None = None,
) -> BatchedConfig:
    """RLlib's config for a plan.

    Args:
        plan: the game, method, network and machines.
        spec: of the plan's game.
        against: a frozen policy that plays all seats but `seats`.
        seats: the agents that learn; all of them if `against` is None.
        algo_class: the Algorithm to build, a `marl.rllib.algorithm.BatchedAlgorithm`.
    """
    assert isinstance(plan.method, RLlibMethod)
    learning = modules(spec, plan.network, plan.method.parameter_sharing, plan.seed)
    seats = seats or tuple(range(spec.num_agents))
    used = {names(spec, plan.method.parameter_sharing)[agent] for agent in seats}
    for name in [name for name in learning.rl_module_specs if name not in used]:
        learning.rl_module_specs.pop(name)
    resources = plan.resources
    config = BatchedConfig(algo_class)
    config.framework("torch")
    config.environment(
        env=None,
        env_config={"plan": plan, "against": against, "seats": seats},
        disable_env_checking=True,
    )
    config.env_runners(
        env_runner_cls=BatchedRunner,
        num_env_runners=resources.env_runners,
        num_cpus_per_env_runner=resources.cpus_per_env_runner,
        num_gpus_per_env_runner=resources.gpus_per_env_runner,
        sample_timeout_s=LONGEST_WAIT,
    )
    config.learners(
        learner_class=attribute_of(plan.method.learner, "learner"),
        num_learners=resources.learners,
        num_gpus_per_learner=resources.gpus_per_learner,
    )
    config.multi_agent(
        policies={
            name: (None, one.observation_space, one.action_space, {})
            for name, one in learning.rl_module_specs.items()
        },
        policy_mapping_fn=_nobody_asks,
    )
    config.rl_module(rl_module_spec=learning)
    config.fault_tolerance(
        restart_failed_env_runners=True,
        max_num_env_runner_restarts=resources.restarts,
        delay_between_env_runner_restarts_s=1.0,
        env_runner_health_probe_timeout_s=PROBE_SECONDS,
        env_runner_restore_timeout_s=LONGEST_WAIT,
    )
    config.debugging(log_level="ERROR")
    config.reporting(min_time_s_per_iteration=None)
    config._dont_auto_sync_env_runner_states = True  # there are no connectors with a state
    return config


def _nobody_asks(agent_id: Any, episode: Any, **_: Any) -> str:
    raise AssertionError("the rollout assigns seats")
