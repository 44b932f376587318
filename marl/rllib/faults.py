"""Failures of other processes, and their error messages."""

from __future__ import annotations

import traceback
from typing import Any

from ray.exceptions import ActorDiedError, RayError
from ray.rllib.env.env_runner_group import EnvRunnerGroup

from games.common.errors import InputError, one_line
from games.common.workers import WorkerError
from marl.rollouts.episodes import Episodes
from marl.rollouts.trajectory import Trajectory

RESUME = "`schelling resume` goes on from the last checkpoint"


def start_env_runners(group: EnvRunnerGroup, count: int, seconds: float) -> None:
    """Start env runners and wait until all run: RLlib would go on without missing ones.

    Args:
        group: a group without env runners so far.
        count: how many.
        seconds: how long to wait for them.

    Raises:
        WorkerError: one does not start; the message says why.
    """
    # By value: what an env runner is restarted with must not be lost together with a node.
    group._remote_config_obj_ref = group._remote_config
    group.add_workers(count)
    found: Any = group._worker_manager.foreach_actor(
        lambda runner: runner.assert_healthy(), timeout_seconds=seconds
    )
    for one in found:
        if not one.ok:
            raise WorkerError(
                f"env runner {one.actor_id} does not start ({cause(one.get())}): every node needs "
                "the same packages and the same checkout"
            )
    if len(found) < count:
        raise WorkerError(
            f"{count - len(found)} of {count} env runners have not started for {seconds:.0f} s: "
            "`ray status` on the head node shows what the cluster is doing"
        )


def play(runner: Any) -> tuple[Trajectory, Episodes] | Exception:
    """Runs on an env runner. Exceptions, unlike deaths, are returned: a restart would not help."""
    try:
        return runner.sample(), runner.get_metrics()
    except (InputError, FloatingPointError) as error:
        return error
    except Exception as error:
        failed = RuntimeError(
            f"env runner {runner.worker_index}: {type(error).__name__}: {one_line(error)}"
        )
        failed.add_note(traceback.format_exc())
        return failed


def require_hope(group: EnvRunnerGroup, restarts: int, seconds: float) -> None:
    """Raise WorkerError if no env runner will be restarted; waits `seconds` for answers."""
    found = group._worker_manager.foreach_actor(
        lambda runner: runner.ping(), healthy_only=False, timeout_seconds=seconds
    )
    died = [one.get() for one in found if isinstance(one.get(), ActorDiedError)]
    if len(died) == group.num_remote_env_runners():
        raise WorkerError(
            f"all env runners died more than {restarts} times (the last: {cause(died[-1])}): fix "
            f"the cause, or raise resources.restarts; then {RESUME}"
        )


def of_learner(error: RayError) -> Exception:
    """The exception to raise for a remote learner: its own, or a WorkerError if it died."""
    raised = getattr(error, "cause", None)
    if isinstance(raised, FloatingPointError | InputError):
        return raised
    return WorkerError(
        f"a learner died ({cause(error)}), and learners are not started anew: {RESUME}"
    )


def cause(error: Exception) -> str:
    """The cause of an error of Ray's, in one line."""
    raised = getattr(error, "cause", None)
    if raised is not None:
        return f"{type(raised).__name__}: {one_line(raised)[:300]}"
    lines = str(error).strip().splitlines() or [type(error).__name__]
    if any("Traceback" in line for line in lines):  # which ends with the exception
        return one_line(lines[-1])[:300]
    dead = [line for line in lines if line.startswith("The actor is dead because ")]
    if dead:  # "its worker process has died. ...", and more without use
        return dead[0].removeprefix("The actor is dead because ").partition(". ")[0][:300]
    return one_line(lines[0])[:300]
