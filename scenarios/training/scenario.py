"""A scenario that trains: a plan, when to stop, what to keep, and how to look at what was learned.

What is to be trained, with which method and network and where, is `marl.learning.plan.Plan`; its
defaults stand there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import product
from typing import Annotated, Any, Literal

import torch
from pydantic import Field, field_validator, model_validator

from analysis.references import held_against
from games.common.errors import InputError, did_you_mean
from games.common.extras import learning
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
    """Steps of all games together."""
    seconds: Annotated[float, Field(ge=0)] | None = None
    """After this long, what was spent before a run was resumed included."""
    target: Annotated[dict[str, float], Field(default_factory=dict)]
    """Once metrics are at least (of NashConv, costs and such: at most) this: {success = 0.95}."""


class TrainingCheckpoint(Table):
    """How much work a crash may cost, and what is kept."""

    seconds: Annotated[float, Field(gt=0)] = 60.0
    """Between two checkpoints."""
    keep: Annotated[int, Field(gt=0)] = 3
    """How many of the last are kept."""
    best: str | None = None
    """The metric by which the best policy is found: of evaluated games, or exact. None: exact
    NashConv, if there is [exact]; else the return, if there is `evaluation.every`; else nobody
    looks for the best."""


class Evaluation(Table):
    """Whole games from which nothing is learned: between updates the same ones every time, and at
    the end others, by which nothing was chosen."""

    every: Annotated[int, Field(ge=0)] = 0
    """Updates between two looks; 0: never, or only at the end if `parameters` are given."""
    episodes: Annotated[int, Field(gt=1, le=MOST_EPISODES)] = 100
    """Games at the end; of a million the mean is known to a thousandth of their spread."""
    development: Annotated[int, Field(gt=1, le=MOST_EPISODES)] | None = None
    """Games of each look between updates, by which the best policy is found; None: as many as at
    the end."""
    parameters: Annotated[dict[str, Any], Field(default_factory=dict)]
    """Of the game, where the policy is judged in another: {periods = 5000}. A game that plays its
    traces of demand again and again is judged on others anyway."""
    greedy: bool = False
    """Play the likeliest action, not a drawn one."""
    against: Literal["self", "random"] = "self"
    """Who plays the other seats: the policy, or somebody who draws legal actions; the policy's own
    seat then changes from game to game."""


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
    """Dotted keys and the values that each is to take: {"method.clip" = [0.1, 0.2]}."""
    seeds: Annotated[int, Field(gt=0)] = 1
    """Runs of each combination, with seeds one apart."""
    parallel: Annotated[int, Field(gt=0)] | None = None
    """Runs at once; None: as many as there are CPUs for."""

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
    """Exact NashConv as training goes, of games that can be enumerated."""
    sweep: Sweep = Sweep(grid={})

    @model_validator(mode="after")
    def _schedules_know_the_run(self) -> TrainingScenario:
        """Shares are of a length that somebody chose, and not of the default."""
        if self.method.follows_run and "steps" not in self.stop.model_fields_set:
            raise InputError(
                f"method {self.method.name}: its schedules are by shares of the run: give "
                "stop.steps, or write them in steps"
            )
        return self

    @property
    def judged(self) -> str:
        """The game of evaluations."""
        return altered(held_out(self.game), self.evaluation.parameters)

    @property
    def chosen_by(self) -> str | None:
        """The column of metrics.csv by which the best policy is found; None: nobody looks."""
        name = self.checkpoint.best
        if name is not None:
            name = name.removeprefix(EVALUATED)
        elif self.exact is not None:
            name = "nash_conv"
        elif self.evaluation.every:
            name = "return"
        return name if name is None or name in EXACT else f"{EVALUATED}{name}"

    @property
    def looks(self) -> tuple[Any, ...]:
        """How the best policy is looked for: candidates that were found otherwise do not count."""
        if self.chosen_by is None or self.chosen_by in EXACT:
            return (self.chosen_by,)
        how = self.evaluation
        count = how.development or how.episodes
        return self.chosen_by, self.judged, how.greedy, how.against, count

    @property
    def plan(self) -> Plan:
        """What is trained, without how long and what is written."""
        return self.plan_over(self.stop.steps)

    def plan_over(self, steps: int) -> Plan:
        """The plan of a run that was to take so many steps when it began."""
        plan = {name: getattr(self, name) for name in Plan.model_fields}
        return Plan(**plan | {"method": self.method.over(steps)})

    def identity(self, steps: int | None = None) -> dict[str, Any]:
        """What a run cannot change halfway: all of the plan but where it runs.

        Args:
            steps: that the run was to take when it began; None: `stop.steps`. Part of it only if a
                schedule hangs on it.
        """
        steps = self.stop.steps if steps is None else steps
        plan = self.plan_over(steps).model_dump(mode="json", exclude={"resources"})
        return plan | ({"steps": steps} if self.method.follows_run else {})

    def start(self, steps: int | None = None) -> Trainer:
        """The plan at work, to be closed by the caller.

        Args:
            steps: that the run was to take when it began; None: `stop.steps`.

        Raises:
            InputError: as `check`, or a cluster that does not answer.
        """
        self.check()
        with learning("training needs torch and Ray"):
            return train(self.plan if steps is None else self.plan_over(steps))

    def check(self) -> None:
        """See that all of this can be done, before a folder is made or Ray starts, in seconds.

        Raises:
            InputError: a game that cannot be played, a method that cannot learn it, something that
                is too large for this machine, a metric that nothing measures.
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
        """What the game itself reports, if the scenario names anything that training does not.

        A game of random play says it, as far as that is known before it ends.
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
        """See that the metrics named can be measured.

        Args:
            row: of `Trainer.step`, in which games ended: what it has that is no metric of
                training's own, the game reports.
            seen: names of all that was measured before.
            spec: of the game.

        Raises:
            InputError: one that is not and will not be.
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
        if "gap" in wanted and held_against(self.judged) is not None:  # which may take seconds
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
            seconds: that the run took.
            known: what the game says of its metrics.
        """
        stop = self.stop
        return (
            row.get("steps", 0.0) >= stop.steps
            or self.reached(row, known)
            or (stop.seconds is not None and seconds >= stop.seconds)
        )

    def reached(self, row: Mapping[str, float], known: Iterable[Metric] = ()) -> bool:
        """Whether an update's metrics are all at their targets; see `is_done`."""
        target = self.stop.target
        return bool(target) and all(
            key in row and not metric(key, known).is_better(bound, row[key])
            for key, bound in target.items()
        )
