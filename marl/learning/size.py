"""Lower bounds on the memory and processes of a plan, checked before anything starts.

Since every figure is a lower bound, no plan is refused that would have fitted; one that passes
may still turn out too large.
"""

from __future__ import annotations

import os
from typing import Any

import torch
from torch import nn

from games.common.errors import InputError
from games.common.memory import enough_for, require_memory
from games.simulators.simulator import Spec
from marl.learning.plan import Plan, Resources
from marl.networks.network import PolicyNetwork
from marl.networks.policy import names
from marl.rollouts.size import NUMBER

COPIES = 5  # of weights, in one process: played with, learned, gradient, two moments of Adam
PROCESS = 200 * 2**20  # bytes of a process that has loaded torch and Ray
PER_CPU = 8  # processes on this machine; more of them would only take turns


def require_size(plan: Plan, spec: Spec) -> None:
    """Raise InputError for a plan that this machine cannot hold, naming what is too large.

    In a cluster only what this process holds itself is counted.
    """
    own, network, method = plan.resources, plan.network, plan.method
    here = own.address is None
    require_processes(own)
    weights = count_weights(plan, spec)
    runners = own.env_runners if here else 0
    copies = 1 if own.gpus_per_learner else COPIES
    require_memory(
        weights * NUMBER * (copies + runners if here else 1),
        f"network.hidden = {_short(network.hidden)}, with {weights:,} weights,",
        "give smaller widths",
    )
    if not here or own.gpus_per_learner or own.gpus_per_env_runner:
        return
    method.require_memory(plan, spec)


def require_processes(resources: Resources, runs: int = 1) -> None:
    """Raise InputError for more processes than this machine can hold, unless a cluster runs them.

    Args:
        resources: of each run.
        runs: at once.
    """
    if resources.address is not None:
        return
    processes, cpus = resources.env_runners + resources.learners, os.cpu_count() or 1
    most = PER_CPU * cpus
    if processes > most:
        raise InputError(
            f"resources: {resources.env_runners:,} env_runners and {resources.learners:,} learners "
            f"on a machine of {cpus} CPUs; give at most {most} together, or a cluster's address"
        )
    every = runs * (processes + 1) - 1  # the run's own process, but for this one
    if every > most:
        raise InputError(
            f"sweep.parallel: {runs:,} runs at once are {every + 1:,} processes on a machine of "
            f"{cpus} CPUs; give at most {max(most // (processes + 1), 1)}, or a cluster's address"
        )
    require_memory(every * PROCESS, f"resources: {every + 1:,} processes", "give fewer")


def count_weights(plan: Plan, spec: Spec) -> int:
    """The number of weights of all networks, built on torch's meta device without memory."""
    of_agent = names(spec, plan.method.parameter_sharing)
    roles: dict[str, Any] = {}
    for agent, name in enumerate(of_agent):
        roles.setdefault(name, spec.roles[spec.role_of[agent]])
    with enough_for(f"network.hidden = {_short(plan.network.hidden)}"), torch.device("meta"):
        found = {role.name: PolicyNetwork(plan.network, role, spec) for role in roles.values()}
    return sum(_weights(found[role.name]) for role in roles.values())


def _weights(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def _short(widths: tuple[int, ...]) -> str:
    text = str(list(widths))
    return text if len(text) < 60 else f"{text[:50]} ...]"
