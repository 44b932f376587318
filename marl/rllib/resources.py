"""CPUs and GPUs that a plan needs from Ray, and checks that they are available."""

from __future__ import annotations

import torch

from games.common.errors import InputError
from marl.learning.plan import Resources

LONGEST_WAIT = 60.0  # seconds to wait for free resources in a cluster


def bundles(resources: Resources) -> list[dict[str, float]]:
    """What Ray reserves for each env runner, followed by each learner."""
    runner = {"CPU": resources.cpus_per_env_runner, "GPU": resources.gpus_per_env_runner}
    learner = {"CPU": float(not resources.gpus_per_learner), "GPU": resources.gpus_per_learner}
    every = [runner] * resources.env_runners + [learner] * resources.learners
    return [{name: amount for name, amount in one.items() if amount} for one in every]


def require_gpu(resources: Resources) -> None:
    """Raise InputError if this process should use a GPU but has none."""
    here = {
        "gpus_per_learner": not resources.learners and resources.gpus_per_learner,
        "gpus_per_env_runner": not resources.env_runners and resources.gpus_per_env_runner,
    }
    for key, wanted in here.items():
        if wanted and not torch.cuda.is_available():
            raise InputError(
                f"resources.{key}: this machine has no GPU that torch can use; set it to 0"
            )


def require_room(resources: Resources) -> None:
    """Raise InputError if the machine or the cluster lacks the resources of a plan."""
    import ray
    from ray.util import get_current_placement_group, placement_group, remove_placement_group

    wanted = bundles(resources)
    if not wanted or get_current_placement_group() is not None:  # a sweep has reserved them
        return
    whole = ray.cluster_resources()
    asked = {name: sum(one.get(name, 0.0) for one in wanted) for name in ("CPU", "GPU")}
    enough = all(asked[name] <= whole.get(name, 0.0) for name in asked)
    if enough or resources.address is not None:  # a cluster may be growing
        group = placement_group(wanted, strategy="PACK")
        try:
            if group.wait(LONGEST_WAIT):
                return
        finally:
            remove_placement_group(group)
    free = ray.available_resources()
    has = " and ".join(
        f"{whole.get(name, 0.0):g} {name}s ({free.get(name, 0.0):g} free)" for name in asked
    )
    where = "this machine" if resources.address is None else f"the cluster at {resources.address}"
    raise InputError(
        f"{resources.env_runners} env runners and {resources.learners} learners need "
        f"{asked['CPU']:g} CPUs and {asked['GPU']:g} GPUs, but {where} has {has}: ask for less in "
        "[resources], or start more nodes"
    )
