"""The protocol of trainers: updates, the present policy, checkpoints."""

from __future__ import annotations

import os
from collections.abc import Callable
from types import TracebackType
from typing import Protocol, Self

from games.common.errors import InputError
from games.simulators.simulator import Spec
from marl.learning.plan import Plan
from marl.networks.policy import Policy

Record = Callable[[str], object]
"""Called with the digest of a checkpoint just before it is there."""


class Trainer(Protocol):
    """A training run in progress. Use it as a context manager: it may hold processes.

    RLlib's is `marl.rllib.trainer.RLlibTrainer`. Write checkpoints with
    `marl.learning.checkpoint.whole_folder`, or as safely.
    """

    @property
    def plan(self) -> Plan: ...

    @property
    def spec(self) -> Spec:
        """The spec of the game."""

    @property
    def updates(self) -> int:
        """Updates made so far."""

    @property
    def steps(self) -> int:
        """Steps made so far, in the unit of `LearningMethod.counts`; schedules follow them."""

    def step(self) -> dict[str, float]:
        """Make one update.

        Returns:
            a row of metrics, `update` and `steps` among them.

        Raises:
            InputError: the game broke its rules.
            FloatingPointError: an update gave numbers that are not finite.
            WorkerError: a process died that is not restarted.
        """

    def policy(self) -> Policy:
        """A copy of the present policy."""

    def save(self, path: str | os.PathLike[str], record: Record = ...) -> None:
        """Write a checkpoint folder with `policy.pt` in it, whole or not at all."""

    def restore(self, path: str | os.PathLike[str]) -> None:
        """Return to the state in which `save` was called.

        Raises:
            InputError: there is no checkpoint, it is damaged, or it is of another game or network.
        """

    def close(self) -> None:
        """Stop all processes that were started."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
        /,
    ) -> None: ...


def train(plan: Plan, *, against: Policy | None = None, seats: tuple[int, ...] = ()) -> Trainer:
    """Start training, as a context manager: `with marl.train(plan) as training`.

    Args:
        plan: the game, method, network and machines.
        against: a frozen policy that plays all seats but `seats`.
        seats: the agents that learn; all of them if `against` is None.

    Raises:
        InputError: an unknown game, a game with actions or observations that no network supports, a
            plan that the method cannot learn from, a policy that does not fit the game, or a
            cluster that does not answer or has no free resources.
        WorkerError: a process does not start.
    """
    if plan.method.follows_run:
        raise InputError(
            f"method {plan.method.name}: a plan does not say how long the run is of which its "
            "schedules are shares: give method.over(steps), or write schedules in steps"
        )
    plan.require()
    return plan.method.start(plan, against=against, seats=seats)
