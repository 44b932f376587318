"""Learning methods: typed configs that name their trainer and the metrics it reports.

A new method is one config in one file, an RLlib learner or a trainer if no existing one takes its
steps, and one line in `METHODS`; or a user-defined class, which a plan or a scenario names as
"module:Class", or by the name given with `@marl.register_method("name")`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, ValidationInfo, field_validator

from games.common.registry import Registry, attribute_of
from games.common.settings import Table, checked
from marl.learning import schedule as schedules
from marl.learning.schedule import Schedule
from marl.rollouts.size import require_rollouts

if TYPE_CHECKING:
    from games.simulators.simulator import Spec

BY_POLICY = ("entropy", "kl")
"""Metrics that are also reported for each policy, where there are several."""


class LearningMethod(Table):
    """Base of every learning method's config: the fields are its parameters, defaults included.

    Functions here that take a plan take a `marl.learning.plan.Plan`, which holds a method.
    """

    trainer: ClassVar[str] = "marl.rllib.trainer:RLlibTrainer"
    """Its trainer, as "module:Class": a `marl.learning.trainer.Trainer`, made by
    `Class(plan, against=..., seats=...)`, with a class method `measured(plan, spec)`."""
    metrics: ClassVar[tuple[str, ...]] = ()
    """Metrics reported for each update, in addition to those of its trainer."""
    tables: ClassVar[tuple[str, ...]] = ("network", "self_play", "resources")
    """The tables of a plan that it uses; the others must keep their defaults."""
    counts: ClassVar[str] = "environment steps"
    """What `steps` counts: in `stop.steps`, in schedules, in metrics."""
    network: ClassVar[Mapping[str, Any]] = {}
    """Settings of `marl.networks.network.Network` that it needs, such as a head; plans set them and
    refuse others that were given."""

    renamed: ClassVar = {
        "games": "num_envs",
        "fragment": "rollout_length",
        "policies": "parameter_sharing",
    }

    name: str = ""
    learning_rate: Schedule = 5e-4
    """Adam's learning rate."""
    parameter_sharing: Literal["role", "none"] = "role"
    """Which agents share a policy: "role", all of one role; "none", each agent has its own."""

    @field_validator("*")
    @classmethod
    def _schedule_rises(cls, value: Any, info: ValidationInfo) -> Any:
        if cls.model_fields[str(info.field_name)].annotation != Schedule:
            return value
        return schedules.checked_schedule(info.field_name, value)

    @classmethod
    def scheduled(cls) -> tuple[str, ...]:
        """Names of the parameters that may be schedules."""
        return tuple(k for k, info in cls.model_fields.items() if info.annotation == Schedule)

    @property
    def follows_run(self) -> bool:
        """Whether it has schedules given as shares of a run, and so needs the run's length."""
        return any(schedules.follows_run(getattr(self, name)) for name in self.scheduled())

    def over(self, steps: int) -> Self:
        """The same method for a run of `steps` steps: its schedules are converted to steps."""
        known = {name: schedules.over(getattr(self, name), steps) for name in self.scheduled()}
        return self.model_copy(update=known)

    def require(self, plan: Any) -> None:
        """Raise InputError, before anything starts, if the method cannot train this plan."""

    def require_memory(self, plan: Any, spec: Spec) -> None:
        """Raise InputError, before anything starts, if this machine lacks memory for the plan.

        Called by `marl.learning.size`, which itself checks the networks.
        """

    def memory(self, plan: Any, spec: Spec) -> Mapping[str, int]:
        """What the method keeps in memory for the whole run besides networks: bytes by name.

        Runs say so before they start.
        """
        return {}

    def measured(self, plan: Any, spec: Spec) -> frozenset[str]:
        """Names of all metrics that `Trainer.step` can report, except those of the game itself."""
        return attribute_of(self.trainer, "trainer").measured(plan, spec)

    def start(self, plan: Any, *, against: Any = None, seats: tuple[int, ...] = ()) -> Any:
        """A started trainer for a plan; `marl.train` calls it and explains the arguments."""
        return attribute_of(self.trainer, "trainer")(plan, against=against, seats=seats)


class RLlibMethod(LearningMethod):
    """Base of the methods that train through RLlib."""

    learner: ClassVar[str]
    """Its RLlib Learner, as "module:Class": a `marl.rllib.learner.BatchedLearner`."""
    algorithm: ClassVar[str] = "marl.rllib.algorithm:BatchedAlgorithm"
    """The RLlib Algorithm that prepares what learners learn from, as "module:Class"."""


class RolloutMethod(RLlibMethod):
    """Base of the methods whose learners train on a `marl.rollouts.trajectory.Trajectory`, which
    env runners played with the current policies."""

    extras: ClassVar[frozenset[str]] = frozenset()
    """What env runners record in addition to observations, actions and rewards; see
    `marl.rollouts.extras`."""

    num_envs: Annotated[int, Field(gt=0)] = 64
    """Games that each env runner simulates at once."""
    rollout_length: Annotated[int, Field(gt=0)] = 64
    """Steps of each game between two updates."""
    gradient_clip: Annotated[float, Field(gt=0)] = 0.5
    """Gradients are scaled down to at most this norm."""

    def require_memory(self, plan: Any, spec: Spec) -> None:
        resources = plan.resources
        require_rollouts(self.num_envs, self.rollout_length, resources.env_runners, spec)


METHODS: Registry[type[LearningMethod]] = Registry(
    "learning method",
    {
        "ppo": "marl.learning.on_policy.ppo:PPO",
        "mappo": "marl.learning.on_policy.named:MAPPO",
        "ippo": "marl.learning.on_policy.named:IPPO",
        "pdppo": "marl.learning.on_policy.pdppo:PDPPO",
        "reinforce": "marl.learning.on_policy.reinforce:REINFORCE",
        "hdpo": "marl.learning.pathwise.hdpo:HDPO",
        "dqn": "marl.learning.off_policy.dqn:DQN",
        "iql": "marl.learning.off_policy.dqn:IQL",
        "vdn": "marl.learning.off_policy.vdn:VDN",
        "qmix": "marl.learning.off_policy.qmix:QMIX",
        "maddpg": "marl.learning.off_policy.maddpg:MADDPG",
        "matd3": "marl.learning.off_policy.matd3:MATD3",
        "masac": "marl.learning.off_policy.masac:MASAC",
    },
)
"""The shipped methods by name; "module:Class" names any other."""

register_method = METHODS.register


def find(name: Any, options: Mapping[str, Any]) -> LearningMethod:
    """The config of the method `name` with `options` set.

    Raises:
        InputError: an unknown method or option, or a value that does not fit.
    """
    found = checked(METHODS.load(name), options, f"method {name}")
    # A user's class is found again, in another process or on another day, by where it stands.
    return found.model_copy(update={"name": name}) if found.name != name else found
