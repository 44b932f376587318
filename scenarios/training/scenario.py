"""Scenarios of kind `train`: a plan, when to stop, what to keep, and how to evaluate.

What is to be trained, with which method and network and where, is `marl.learning.plan.Plan`; its
defaults stand there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import product
from typing import Annotated, Any, Literal

import torch
from pydantic import Field, field_validator, model_validator

from analysis.references import comparable_reference
from games.common.errors import InputError, did_you_mean
from games.common.extras import learning
from games.common.memory import said
from games.common.settings import Table
from games.load import held_out, vector
from games.names import altered
from games.simulators.legal_actions import random_actions
from games.simulators.metrics import EVALUATED, Metric, metric
from games.simulators.simulator import Spec
from marl.evaluation.exact import Exact, ExactLog
from marl.learning.plan import Plan
from marl.learning.size import require_size
from marl.learning.trainer import Trainer, train
from marl.networks.policy import Policy
from scenarios.experiment import Experiment

EXACT = ("nash_conv", "exploitability")  # of a policy, which are known without playing
MOST_EPISODES = 1_000_000
LONGEST_LOOK = 1000  # steps of a game that is played to see what it reports
SECONDS = "seconds"  # of a run; the last that is noted of an update


class TrainingStop(Table):
    """When to stop: at the first of these that is reached, after a whole update."""

    steps: Annotated[int, Field(ge=0)] = 1_000_000
    """Environment steps of all games together."""
    seconds: Annotated[float, Field(ge=0)] | None = None
    """Seconds of training, including those before a run was resumed."""
    target: Annotated[dict[str, float], Field(default_factory=dict)]
    """Stop once metrics are as good as this, such as {success = 0.95} or {nash_conv = 0.1}."""


class TrainingCheckpoint(Table):
    """When checkpoints are written, and which policies are kept."""

    seconds: Annotated[float, Field(gt=0)] = 60.0
    """Seconds between two checkpoints."""
    keep: Annotated[int, Field(gt=0)] = 3
    """Number of checkpoints kept, the latest ones."""
    best: str | None = None
    """Metric that decides which policy is the best: of evaluation games, or exact. None: exact
    NashConv with [exact]; else the return with `evaluation.every`; else no best policy is kept."""


class Evaluation(Table):
    """Evaluation in whole games apart from training: the same development games between updates,
    and other games at the end."""

    every: Annotated[int, Field(ge=0)] = 0
    """Updates between two evaluations; 0: never, or only at the end if `parameters` are given."""
    episodes: Annotated[int, Field(gt=1, le=MOST_EPISODES)] = 100
    """Games of the evaluation at the end, at most a million."""
    development: Annotated[int, Field(gt=1, le=MOST_EPISODES)] | None = None
    """Games of each evaluation between updates, which choose the best policy; None: as many as at
    the end."""
    parameters: Annotated[dict[str, Any], Field(default_factory=dict)]
    """Game parameters changed for evaluations, such as {periods = 5000}. Games that repeat a fixed
    set of demand traces are always evaluated on other traces."""
    greedy: bool = False
    """Whether evaluations play the likeliest action instead of a drawn one."""
    against: Literal["self", "random"] = "self"
    """Who plays the other seats: the policy itself, or uniformly random legal actions; the policy's
    own seat then changes from game to game."""


def _flattened(table: Mapping[str, Any], before: str = "") -> list[tuple[str, Any]]:
    """Dotted keys and values of nested tables."""
    rows: list[tuple[str, Any]] = []
    for key, value in table.items():
        inner = isinstance(value, Mapping)
        rows += _flattened(value, f"{before}{key}.") if inner else [(f"{before}{key}", value)]
    return rows


class Sweep(Table):
    """What `schelling sweep` varies."""

    grid: Annotated[dict[str, tuple[Any, ...]], Field(default_factory=dict)]
    """Dotted keys and the values to try for each, such as {"method.clip" = [0.1, 0.2]}."""
    seeds: Annotated[int, Field(gt=0)] = 1
    """Runs of each combination, with consecutive seeds."""
    parallel: Annotated[int, Field(gt=0)] | None = None
    """Number of runs at once; None: as many as the CPUs allow."""

    @field_validator("grid", mode="before")
    @classmethod
    def _flat(cls, grid: Any) -> Any:
        return dict(_flattened(grid)) if isinstance(grid, Mapping) else grid

    @field_validator("grid")
    @classmethod
    def _has_values(cls, grid: dict[str, tuple[Any, ...]]) -> dict[str, tuple[Any, ...]]:
        for key, values in grid.items():
            if not values:
                raise InputError(f"sweep: {key} has no values; write {key} = [1, 2]")
        return grid

    def combinations(self) -> list[dict[str, Any]]:
        """Every combination of values, by dotted key; one empty one if there is no grid."""
        return [dict(zip(self.grid, row, strict=True)) for row in product(*self.grid.values())]


class TrainingScenario(Plan, Experiment):
    """One game, and policies that learn to play it."""

    packages = (
        *Experiment.packages, "torch", "ray", "torch-geometric", "pettingzoo", "gymnasium"
    )  # fmt: skip

    kind: Literal["train"] = "train"
    game: str
    """An OpenSpiel string, `navigation(...)`, `pettingzoo:MODULE(...)`, `MODULE:ATTRIBUTE(...)`."""
    stop: TrainingStop = TrainingStop(target={})
    checkpoint: TrainingCheckpoint = TrainingCheckpoint()
    evaluation: Evaluation = Evaluation(parameters={})
    exact: Exact | None = None
    """Exact NashConv during training, for games that can be enumerated."""
    sweep: Sweep = Sweep(grid={})

    @model_validator(mode="after")
    def _schedules_know_the_run(self) -> TrainingScenario:
        """Schedules by shares of the run need an explicit `stop.steps`."""
        if self.method.follows_run and "steps" not in self.stop.model_fields_set:
            raise InputError(
                f"method {self.method.name}: its schedules are shares of the run: give "
                "stop.steps, or write them in steps"
            )
        return self

    @property
    def judged(self) -> str:
        """The game of evaluations."""
        return altered(held_out(self.game), self.evaluation.parameters)

    @property
    def chosen_by(self) -> str | None:
        """The column of metrics.csv that decides which policy is the best; None: no best policy."""
        name = self.checkpoint.best
        if name is not None:
            name = name.removeprefix(EVALUATED)
        elif self.exact is not None:
            name = "nash_conv"
        elif self.evaluation.every:
            name = "return"
        return name if name is None or name in EXACT else f"{EVALUATED}{name}"

    @property
    def selection(self) -> tuple[Any, ...]:
        """How the best policy is chosen; candidates that were chosen otherwise do not count."""
        if self.chosen_by is None or self.chosen_by in EXACT:
            return (self.chosen_by,)
        how = self.evaluation
        count = how.development or how.episodes
        return self.chosen_by, self.judged, how.greedy, how.against, count

    @property
    def plan(self) -> Plan:
        """The plan of training, without the run's length and files."""
        return self.plan_over(self.stop.steps)

    def plan_over(self, steps: int) -> Plan:
        """The plan of a run with schedules over so many steps."""
        plan = {name: getattr(self, name) for name in Plan.model_fields}
        return Plan(**plan | {"method": self.method.over(steps)})

    def identity(self, steps: int | None = None) -> dict[str, Any]:
        """What a run cannot change when it is resumed: all of the plan but its resources.

        Args:
            steps: the run's length when it began; None: `stop.steps`. Part of the identity only if
                a schedule depends on it.
        """
        steps = self.stop.steps if steps is None else steps
        plan = self.plan_over(steps).model_dump(mode="json", exclude={"resources"})
        return plan | ({"steps": steps} if self.method.follows_run else {})

    def start(
        self, steps: int | None = None, tell: Callable[[str], object] = lambda line: None
    ) -> Trainer:
        """Start training; the caller closes it.

        Args:
            steps: the run's length when it began; None: `stop.steps`.
            tell: called, before anything starts, with a line for everything that the method is to
                keep in memory.

        Raises:
            InputError: as `check`, or a cluster that does not answer.
        """
        self.check()
        plan = self.plan if steps is None else self.plan_over(steps)
        for name, size in plan.method.memory(plan, vector(self.game, 1).spec).items():
            tell(f"{name}, {said(size)}")
        with learning("training needs torch and Ray"):
            return train(plan)

    def check(self) -> None:
        """Check that the scenario can run, within seconds, before a folder is made or Ray starts.

        Raises:
            InputError: the game cannot be played, the method cannot learn it, something is too
                large for this machine, or a metric is never measured.
        """
        spec = vector(self.game, 1).spec
        self.plan.require()
        require_size(self.plan, spec)
        if self.evaluation.parameters:
            untrained = Policy.new(self.game, spec, self.network, self.method.parameter_sharing)
            try:
                untrained.fitted(self.judged, vector(self.judged, 1).spec)
            except InputError as error:
                raise InputError(f"evaluation.parameters: {error}") from None
        if self.exact is not None:
            ExactLog(self.plan, self.exact)
        self.require_metrics(dict.fromkeys(self._reported(spec), 0.0), (), spec)

    def _reported(self, spec: Spec) -> set[str]:
        """The game's own metrics, if the scenario names any that training does not report.

        One game of random play shows them, up to a limit on its length.
        """
        named = {*self.stop.target, self.checkpoint.best or "return"}
        if {key.removeprefix(EVALUATED) for key in named} <= self.method.measured(self.plan, spec):
            return set()
        games, generator = vector(self.game, 1), torch.Generator().manual_seed(0)
        seen, reported = games.reset(0), set[str]()
        for _ in range(LONGEST_LOOK):
            step, seen, _ = games.step(random_actions(spec, seen, generator))
            reported |= set(step.info)
            if step.over.any():
                break
        return reported

    def require_metrics(self, row: Mapping[str, float], seen: Iterable[str], spec: Spec) -> None:
        """Check that the metrics named can be measured.

        Args:
            row: of `Trainer.step`, in which games ended; metrics in it that are not those of
                training are the game's.
            seen: names of all metrics measured before.
            spec: of the game.

        Raises:
            InputError: one of them will never be measured.
        """
        own = self.method.measured(self.plan, spec)
        known = {*own, *row, *seen, SECONDS}
        if self.exact is not None:
            known |= {"nash_conv", "exploitability"}
            known |= {"nash_conv_average"} if self.exact.average else set()
        reported = {"return", "episode_steps", *(set(row) - own)}
        if self.evaluation.against == "random":
            reported |= {"wins"}
        elif len(spec.roles) > 1:
            reported |= {f"return_{role.name}" for role in spec.roles}
        wanted = {
            key.removeprefix(EVALUATED) for key in (*self.stop.target, self.checkpoint.best or "")
        }
        if (
            "gap" in wanted and comparable_reference(self.judged) is not None
        ):  # which may take seconds
            reported.add("gap")
        if self.evaluation.every:
            known |= {f"{EVALUATED}{key}" for key in reported}
        named = [("stop.target", key, known) for key in self.stop.target]
        if (best := self.checkpoint.best) is not None:
            plain = best.removeprefix(EVALUATED)
            if plain in reported and not self.evaluation.every:
                raise InputError(f"checkpoint.best: {best} needs evaluation.every = 10 or so")
            judged = {*reported, *(f"{EVALUATED}{key}" for key in reported)}
            judged |= set(EXACT) if self.exact is not None else set()
            named.append(("checkpoint.best", best, judged))
        for where, key, among in named:
            if key.startswith(EVALUATED) and not self.evaluation.every:
                raise InputError(f"{where}: {key} needs evaluation.every = 10 or so")
            if key not in among:
                raise InputError(f"{where}: there is no metric {key!r}: {did_you_mean(key, among)}")

    def is_done(
        self, row: Mapping[str, float], seconds: float, known: Iterable[Metric] = ()
    ) -> bool:
        """Whether to stop.

        Args:
            row: of the last update; empty before the first one.
            seconds: spent on the run so far.
            known: the game's metrics.
        """
        stop = self.stop
        return (
            row.get("steps", 0.0) >= stop.steps
            or self.reached(row, known)
            or (stop.seconds is not None and seconds >= stop.seconds)
        )

    def reached(self, row: Mapping[str, float], known: Iterable[Metric] = ()) -> bool:
        """Whether all metrics of an update have reached their targets; see `is_done`."""
        target = self.stop.target
        return bool(target) and all(
            key in row and not metric(key, known).is_better(bound, row[key])
            for key, bound in target.items()
        )
