"""Training through RLlib: env runners, learners and clusters, update by update."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import torch

from games.common.errors import InputError, one_line
from games.common.registry import attribute_of
from games.common.workers import running_ray
from games.load import vector
from games.simulators.simulator import Spec
from marl.learning.checkpoint import POLICY, saved_policy, whole_folder
from marl.learning.method import BY_POLICY, RLlibMethod
from marl.learning.plan import Plan
from marl.networks.policy import Policy, names
from marl.rllib.resources import bundles, require_gpu, require_room

STATE = "rllib"


class RLlibTrainer:
    """Trains a plan with an RLlib Algorithm. Use it as a context manager: it may hold processes.

    Two trainers of one plan are equal to the last bit after equally many updates, however often
    they were saved and restored, if everything runs in one process or no process died.
    """

    def __init__(
        self, plan: Plan, *, against: Policy | None = None, seats: tuple[int, ...] = ()
    ) -> None:
        """Start training; call `marl.learning.trainer.train` instead, which checks the plan."""
        assert isinstance(plan.method, RLlibMethod)
        self.plan = plan
        self._last: Path | None = None  # the checkpoint that was last saved or restored
        self.spec = vector(plan.game, 1).spec
        self._stack = ExitStack()
        torch.set_num_threads(plan.resources.torch_threads)
        require_gpu(plan.resources)
        cpus = 1 + math.ceil(sum(bundle.get("CPU", 0.0) for bundle in bundles(plan.resources)))
        self._stack.enter_context(running_ray(cpus, plan.resources.address, extra="learning"))
        try:
            require_room(plan.resources)
            # RLlib is slow to import: only once there is known to be enough memory.
            made = attribute_of(plan.method.algorithm, "algorithm")
            config = made.config_of(plan, self.spec, against=against, seats=seats)
            self.algorithm = config.build_algo()
            # Failures of env runners are in the metrics; RLlib would print tracebacks as well.
            logging.getLogger("ray.rllib").setLevel(logging.CRITICAL)
            self._stack.callback(self.algorithm.stop)
        except BaseException:
            self._stack.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def close(self) -> None:
        """Stop all processes that were started."""
        self._stack.close()

    @property
    def updates(self) -> int:
        return self.algorithm.iteration

    @property
    def steps(self) -> int:
        """Steps of all games together so far."""
        return self.algorithm.steps

    def step(self) -> dict[str, float]:
        """Make one update: play, learn, send out the weights.

        Returns:
            a row of metrics; `docs/guides/training.md` explains each.

        Raises:
            InputError: the game broke its rules.
            FloatingPointError: an update gave numbers that are not finite.
            WorkerError: a learner died, or all env runners did.
            RuntimeError: the game raised an exception in an env runner.
        """
        self.algorithm.train()
        return {"update": float(self.updates), **self.algorithm.row}

    def policy(self) -> Policy:
        """A copy of the present policy."""
        plan = self.plan
        learned = Policy.new(
            plan.game, self.spec, plan.network, plan.method.parameter_sharing, plan.seed
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
        """Write a checkpoint folder atomically: RLlib's checkpoint, and the policy in a file.

        Args:
            path: of the folder.
            record: called with the folder's digest just before it is put in place.
        """
        with whole_folder(path, record) as folder:
            self.algorithm.save_to_path(str(folder / STATE))
            self.algorithm.save_files(folder, self._last)
            self.policy().save(folder / POLICY)
        self._last = Path(path).absolute()

    def restore(self, path: str | os.PathLike[str]) -> None:
        """Return to the state in which `save` was called.

        RLlib's part of a checkpoint is pickles, and loading these runs code: restore only what you
        wrote, or what has the digest that was recorded then.

        Raises:
            InputError: there is no checkpoint, it is damaged, or it is of another game or network.
        """
        path = Path(path).absolute()
        saved_policy(path, self.plan, self.spec)
        try:
            self.algorithm.restore_from_path(str(path / STATE))
            self.algorithm.restore_files(path)
        except InputError:
            raise
        except Exception as error:  # whatever a damaged pickle raises
            raise InputError(
                f"{path} is damaged ({one_line(error)[:120]}): put it back from a copy, or delete "
                "it to continue from the previous one"
            ) from None
        self._last = path

    @classmethod
    def measured(cls, plan: Plan, spec: Spec) -> frozenset[str]:
        """Names of all metrics that `step` can report for a plan, except those of its game."""
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
