"""Schedules: numbers that change during training, by steps or by shares of the run."""

from __future__ import annotations

from typing import TypeGuard

import numpy as np

from games.common.errors import InputError

Schedule = float | tuple[tuple[int | float, float], ...]
"""A number; or pairs of when and a value, straight lines between them. When is a number of steps or
a share of the run, from 0 to 1: the last of them says which, as no schedule ends at step 1."""


def at(schedule: Schedule, steps: int) -> float:
    """A schedule's value after so many steps; beyond its end the last value."""
    if not isinstance(schedule, tuple):
        return schedule
    points, values = zip(*schedule, strict=True)
    return float(np.interp(steps, points, values))


def highest(schedule: Schedule) -> float:
    """A schedule's largest value."""
    return max(value for _, value in schedule) if isinstance(schedule, tuple) else schedule


def follows_run(schedule: Schedule) -> TypeGuard[tuple[tuple[float, float], ...]]:
    """Whether a schedule is given as shares of a run, and so needs the run's length."""
    return isinstance(schedule, tuple) and len(schedule) > 1 and schedule[-1][0] <= 1


def over(schedule: Schedule, steps: int) -> Schedule:
    """The schedule in steps, for a run of so many steps."""
    if not follows_run(schedule):
        return schedule
    steps = max(steps, 2)  # what ends at step 1 would be a share again
    return tuple((round(at * steps), value) for at, value in schedule)


def checked_schedule(name: str | None, schedule: Schedule) -> Schedule:
    """The schedule with steps as integers and shares of the run as floats.

    Raises:
        InputError: it does not begin at 0 or does not rise, mixes steps with shares, or has values
            below 0.
    """
    points = schedule if isinstance(schedule, tuple) else ((0, schedule),)
    when = [at for at, _ in points]
    if not points or when[0] != 0 or sorted(set(when)) != when:
        raise InputError(
            f"{name}: a schedule is [[0, value], [steps, value], ...] with rising steps, or with "
            "rising shares of the run up to 1.0"
        )
    if min(value for _, value in points) < 0:
        raise InputError(f"{name}: a schedule has no values below 0")
    if not isinstance(schedule, tuple):
        return schedule
    if follows_run(schedule):
        return tuple((float(at), value) for at, value in schedule)
    for at in when:
        if at % 1:
            raise InputError(
                f"{name}: {at:g} is a share of the run, but {when[-1]:g} are steps: write all of "
                "them as shares, up to 1.0, or all as steps"
            )
    return tuple((int(at), value) for at, value in schedule)
