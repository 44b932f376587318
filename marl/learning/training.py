"""Training: a plan at work on RLlib, update by update."""

from __future__ import annotations

import logging
import math
import os
import shutil
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from games.common.errors import InputError, one_line
from games.common.storage import digest_of_folder
from games.common.workers import running_ray
from games.vectors import vector
from marl.learning.method import BY_POLICY
from marl.learning.plan import Plan, Resources
from marl.networks.policy import Policy, names

if TYPE_CHECKING:
    from games.simulators.simulator import Spec
    from marl.rllib.algorithm import BatchedAlgorithm

POLICY, STATE = "policy.pt", "rllib"
LONGEST_WAIT = 60.0  # seconds for a cluster to have room


class Training:
    """A plan at work. Use it as a context: it may hold processes.

    Two trainings of one plan that have taken as many updates are equal to the last bit, however
    often they were saved and restored, as long as everything runs in one process, or no process
    died.
    """

    def __init__(
        self, plan: Plan, *, against: Policy | None = None, seats: tuple[int, ...] = ()
    ) -> None:
        """
        Args:
            plan: what training is to be.
            against: a frozen policy that plays all seats but `seats`.
            seats: the agents that learn; all of them if there is nobody to play against.

        Raises:
            InputError: an unknown game, a game with actions or observations that no policy takes,
                a plan that the method cannot learn from, a policy that does not fit the game, or a
                cluster that does not answer or has no room.
            WorkerError: a process does not start.
        """
        if plan.method.follows_run:
            raise InputError(
                f"method {plan.method.name}: a plan does not say how long the run is of which its "
                "schedules are shares: give method.over(steps), or write schedules in steps"
            )
        self.plan = plan
        self.spec = vector(plan.game, 1).spec
        plan.method.require(plan)
        if against is not None and not plan.method.samples:
            raise InputError(
                f"method {plan.method.name} plays all seats itself: against another policy learn "
                "with ppo or reinforce"
            )
        self._stack = ExitStack()
        torch.set_num_threads(plan.resources.torch_threads)
        _require_gpu(plan.resources)
        cpus = 1 + math.ceil(sum(bundle.get("CPU", 0.0) for bundle in bundles(plan.resources)))
        self._stack.enter_context(running_ray(cpus, plan.resources.address))
        try:
            _require_room(plan.resources)
            from marl.rllib.algorithm import algorithm_config

            config = algorithm_config(plan, self.spec, against=against, seats=seats)
            self.algorithm: BatchedAlgorithm = config.build_algo()
            # What happens to env runners is in the metrics; RLlib would print tracebacks as well.
            logging.getLogger("ray.rllib").setLevel(logging.CRITICAL)
            self._stack.callback(self.algorithm.stop)
        except BaseException:
            self._stack.close()
            raise

    def __enter__(self) -> Training:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def close(self) -> None:
        """Stop what was started."""
        self._stack.close()

    @property
    def updates(self) -> int:
        return self.algorithm.iteration

    @property
    def steps(self) -> int:
        """Steps of all games together so far."""
        return self.algorithm.steps

    def step(self) -> dict[str, float]:
        """One update: play, learn, hand out the weights.

        Returns:
            a row of metrics; `docs/guides/training.md` says what each is.

        Raises:
            InputError: the game broke its rules.
            FloatingPointError: an update gave numbers that are not finite.
            WorkerError: a learner died, or all env runners did.
            RuntimeError: the game raised an exception in an env runner.
        """
        self.algorithm.train()
        return {"update": float(self.updates), **self.algorithm.row}

    def policy(self) -> Policy:
        """The policy as it stands, a copy."""
        learned = Policy.new(
            self.plan.game,
            self.spec,
            self.plan.network,
            self.plan.method.parameter_sharing,
            self.plan.seed,
        )
        for name, arrays in self.algorithm.weights().items():
            weights = {
                key.removeprefix("network."): torch.from_numpy(array)
                for key, array in arrays.items()
            }
            learned.networks[name].load_state_dict(weights)
        return learned

    def save(
        self, path: str | os.PathLike[str], record: Callable[[str], object] = lambda digest: None
    ) -> None:
        """Write a checkpoint folder, whole or not at all: RLlib's own, and the policy in a file.

        Args:
            path: of the folder.
            record: called with the folder's digest just before it is there.
        """
        path = Path(path).absolute()
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        shutil.rmtree(temporary, ignore_errors=True)
        try:
            temporary.mkdir(parents=True)
            self.algorithm.save_to_path(str(temporary / STATE))
            self.policy().save(temporary / POLICY)
            _flush(temporary)
            record(digest_of_folder(temporary))
            replaced = path.with_name(f".{path.name}.{os.getpid()}.old.tmp")
            if path.exists():
                path.rename(replaced)
            temporary.rename(path)
            shutil.rmtree(replaced, ignore_errors=True)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    def restore(self, path: str | os.PathLike[str]) -> None:
        """Go back to where `save` was called.

        RLlib's part of a checkpoint is pickles, and reading them runs what they say: restore only
        what you wrote, or what has the digest that was recorded when you did.

        Raises:
            InputError: there is no checkpoint, it is damaged, or it is of another game or network.
        """
        path = Path(path).absolute()
        saved = Policy.load(path / POLICY)
        if saved.spec != self.spec or saved.config != self.plan.network:
            what = "game" if saved.spec != self.spec else "network"
            raise InputError(
                f"{path} was made with another {what} than the scenario says: put that back, or "
                "start a new run"
            )
        try:
            self.algorithm.restore_from_path(str(path / STATE))
        except Exception as error:  # whatever a damaged pickle raises
            raise InputError(
                f"{path} is damaged ({one_line(error)[:120]}): put it back from a copy, or delete "
                "it to go on from the one before"
            ) from None


def measured(plan: Plan, spec: Spec) -> frozenset[str]:
    """Names of all that `Training.step` can measure of a plan, beside what its game reports."""
    found = {
        "update", "steps", "games", "return", "episode_steps", *plan.method.metrics, "restarts",
        "env_runners", "sample_seconds", "learn_seconds", "sync_seconds", "steps_per_second",
    }  # fmt: skip
    if len(spec.roles) > 1:
        found |= {f"return_{role.name}" for role in spec.roles}
    if plan.self_play.past:
        found.add("return_against_past")
    policies = set(names(spec, plan.method.parameter_sharing))
    if len(policies) > 1:
        reported = [key for key in BY_POLICY if key in found]
        found |= {f"{key}_{name}" for key in reported for name in policies}
    return frozenset(found)


def _flush(folder: Path) -> None:
    """See to it that what a folder holds is on the disk before its name says that it is whole."""
    for file in folder.rglob("*"):
        if file.is_file():
            descriptor = os.open(file, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


def bundles(resources: Resources) -> list[dict[str, float]]:
    """What Ray sets aside for the env runners, one after the other, and then the learners."""
    runner = {"CPU": resources.cpus_per_env_runner, "GPU": resources.gpus_per_env_runner}
    learner = {"CPU": float(not resources.gpus_per_learner), "GPU": resources.gpus_per_learner}
    every = [runner] * resources.env_runners + [learner] * resources.learners
    return [{name: amount for name, amount in one.items() if amount} for one in every]


def _require_gpu(resources: Resources) -> None:
    """Raises InputError if this process is to use a GPU that it has not."""
    here = {
        "gpus_per_learner": not resources.learners and resources.gpus_per_learner,
        "gpus_per_env_runner": not resources.env_runners and resources.gpus_per_env_runner,
    }
    for key, wanted in here.items():
        if wanted and not torch.cuda.is_available():
            raise InputError(
                f"resources.{key}: this machine has no GPU that torch can use; leave it 0"
            )


def _require_room(resources: Resources) -> None:
    """Raises InputError if the machine or the cluster has no room for what is asked for."""
    import ray
    from ray.util import get_current_placement_group, placement_group, remove_placement_group

    wanted = bundles(resources)
    if not wanted or get_current_placement_group() is not None:  # a sweep has seen to it
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
