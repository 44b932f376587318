"""What a learning method is: a typed config that says which learner it needs and what that reports.

A new one is one config in one file, an RLlib learner if none of those here takes its steps, and one
line in `LEARNERS`.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self, TypeGuard

import numpy as np
from pydantic import Field, ValidationInfo, field_validator

from games.common.errors import InputError, did_you_mean
from games.common.settings import Table, checked

if TYPE_CHECKING:
    from marl.learning.plan import Plan

# Nothing is imported until asked for.
LEARNERS = {
    "ppo": "marl.learning.on_policy.ppo:PPO",
    "pdppo": "marl.learning.on_policy.pdppo:PDPPO",
    "reinforce": "marl.learning.on_policy.reinforce:REINFORCE",
    "hdpo": "marl.learning.pathwise.hdpo:HDPO",
}

Schedule = float | tuple[tuple[int | float, float], ...]
"""A number; or pairs of when and a value, straight lines between them. When is a number of steps or
a share of the run, from 0 to 1: the last of them says which, as no schedule ends at step 1."""
SCHEDULED = ("learning_rate", "entropy")

BY_POLICY = ("entropy", "kl")
"""Metrics that are told of each policy too, where there are several."""


class LearningMethod(Table):
    """Base of every learning method's config: the fields are its parameters, defaults included."""

    learner: ClassVar[str]
    """Its RLlib Learner as "module:attribute", a `marl.rllib.learner.BatchedLearner`."""
    samples: ClassVar[bool] = True
    """Whether env runners play for it; else its learners play themselves."""
    metrics: ClassVar[tuple[str, ...]]
    """What its learner reports of an update."""
    post_decision: ClassVar[bool] = False
    """Whether it learns from what decisions do before chance comes, by a second critic; it has
    `estimate` then, see `marl.learning.on_policy.pdppo`."""

    renamed: ClassVar = {
        "games": "num_envs",
        "fragment": "rollout_length",
        "policies": "parameter_sharing",
    }

    name: str
    num_envs: Annotated[int, Field(gt=0)] = 64
    """Games that each env runner plays at once."""
    learning_rate: Schedule = 5e-4
    """Of Adam."""
    gradient_clip: Annotated[float, Field(gt=0)] = 0.5
    """The largest norm of a gradient."""
    parameter_sharing: Literal["role", "none"] = "role"
    """Whether agents of one role share a policy, or each has its own."""

    @field_validator(*SCHEDULED, check_fields=False)
    @classmethod
    def _schedule_rises(cls, schedule: Schedule, info: ValidationInfo) -> Schedule:
        """Steps become whole numbers, and shares of the run do not, however they were written."""
        points = schedule if isinstance(schedule, tuple) else ((0, schedule),)
        when = [at for at, _ in points]
        if not points or when[0] != 0 or sorted(set(when)) != when:
            raise InputError(
                f"{info.field_name}: a schedule is [[0, value], [steps, value], ...] with "
                "rising steps, or with rising shares of the run up to 1.0"
            )
        if min(value for _, value in points) < 0:
            raise InputError(f"{info.field_name}: a schedule has no values below 0")
        if not isinstance(schedule, tuple):
            return schedule
        if _is_of_run(schedule):
            return tuple((float(at), value) for at, value in schedule)
        for at in when:
            if at % 1:
                raise InputError(
                    f"{info.field_name}: {at:g} is a share of the run, but {when[-1]:g} are steps: "
                    "write all of them as shares, up to 1.0, or all as steps"
                )
        return tuple((int(at), value) for at, value in schedule)

    @property
    def follows_run(self) -> bool:
        """Whether it has schedules by shares of a run, whose length it does not know."""
        return any(_is_of_run(getattr(self, name, 0.0)) for name in SCHEDULED)

    def over(self, steps: int) -> Self:
        """The same for a run of so many steps: its schedules are in steps."""
        steps = max(steps, 2)  # what ends at step 1 would be a share again
        known = {
            name: tuple((round(at * steps), value) for at, value in schedule)
            for name in SCHEDULED
            if _is_of_run(schedule := getattr(self, name, 0.0))
        }
        return self.model_copy(update=known)

    def require(self, plan: Plan) -> None:
        """Raises InputError, before anything starts, if the method cannot do what is planned."""

    def shards(self, plan: Plan, update: int, learners: int) -> list[Any]:
        """What each learner is handed for an update (the first is 0), where they play themselves.

        With env runners it is the fragments that these played, and nobody asks.
        """
        raise AssertionError(f"learners of {type(self).__name__} do not play")

    @classmethod
    def learner_class(cls) -> type[Any]:
        """The class that `learner` names; RLlib is imported for it."""
        module, attribute = cls.learner.split(":")
        return getattr(import_module(module), attribute)


def find(name: Any, options: Mapping[str, Any]) -> LearningMethod:
    """The config of the learner `name` with `options` set.

    Raises:
        InputError: an unknown learner or option, or a value that does not fit.
    """
    return checked(load(name), options, f"method {name}")


def load(name: Any) -> type[LearningMethod]:
    """The config class of a learner; InputError if there is none of that name."""
    if not isinstance(name, str) or name not in LEARNERS:
        raise InputError(f"unknown learner {name!r}: {did_you_mean(str(name), LEARNERS)}")
    module, attribute = LEARNERS[name].split(":")
    return getattr(import_module(module), attribute)


def _is_of_run(schedule: Schedule) -> TypeGuard[tuple[tuple[float, float], ...]]:
    """Whether a schedule is by shares of a run."""
    return isinstance(schedule, tuple) and len(schedule) > 1 and schedule[-1][0] <= 1


def at(schedule: Schedule, steps: int) -> float:
    """The value after so many steps of a schedule by steps; its last value beyond its end."""
    if not isinstance(schedule, tuple):
        return schedule
    points, values = zip(*schedule, strict=True)
    return float(np.interp(steps, points, values))
