"""A run that trains: updates until it is time to stop, and files that survive a crash."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from games import Strategy
from games.common.errors import InputError
from games.common.seeds import seeds
from games.common.workers import WorkerError
from games.simulators.simulator import Spec
from marl.evaluation.actors import Uniform
from marl.evaluation.episodes import Played, evaluate
from marl.evaluation.exact import ExactLog
from marl.learning.trainer import Trainer
from marl.networks.policy import Policy
from scenarios import store
from scenarios.interrupt import Interrupted, stop_signals
from scenarios.training import store as training_store
from scenarios.training.best import Best, Candidates, by_game, exact_verdict, verdict
from scenarios.training.scenario import EVALUATED, EXACT, SECONDS, TrainingScenario
from scenarios.training.store import Metrics, Row

if TYPE_CHECKING:
    import pandas as pd

# Places among a run's seeds, of which training has 0 to 3: of the games that policies are chosen by
# as training goes, and of those that judge what was chosen.
DEVELOPMENT, HELD_OUT = 9, 10

Progress = Callable[[Row], object]  # called with every row


@dataclass(frozen=True)
class TrainingResult:
    """What a run that trains ends with."""

    game: str
    method: str
    updates: int
    steps: int
    seconds: float
    metrics: dict[str, float]  # the last of each that was measured
    best: Best  # which policy is the best, and by how much; empty if nobody looked
    evaluation: dict[str, float]  # of the last policy, with standard errors; empty if not wanted

    def to_json(self) -> dict[str, Any]:
        return dict(vars(self))

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> TrainingResult:
        return cls(**{name: row[name] for name in cls.__dataclass_fields__})


@dataclass(frozen=True)
class TrainingRun:
    """A run directory of a scenario that trains; made and found by `scenarios.Run`."""

    path: Path
    scenario: TrainingScenario

    @property
    def finished(self) -> bool:
        return self.results is not None

    @property
    def results(self) -> list[TrainingResult] | None:
        """One result, or None while the run is not done."""
        return store.read_result(self.path, TrainingResult.from_json)

    @property
    def metrics(self) -> pd.DataFrame:
        """A row an update; NaN where a metric was not measured. docs/guides/training.md explains
        them."""
        import pandas as pd

        rows = training_store.read(self.path)
        return pd.DataFrame(rows, columns=training_store.header(self.path))

    def policy(self, best: bool = False) -> Policy:
        """The policy as it was learned last, or the best by the scenario's `checkpoint.best`.

        Until a run is done, the best is the one that did best in the development games so far.

        Raises:
            InputError: there is none yet, or its file is damaged.
        """
        if best:
            files = [self.path / store.BEST, *training_store.candidates(self.path)]
        else:
            last = training_store.checkpoints(self.path)
            files = [self.path / store.POLICY, *(folder / store.POLICY for folder in last)]
        for file in files:
            if file.exists():
                return Policy.load(file)
        fix = f"`schelling resume {self.path}`"
        if best:
            fix = "play it without --best; evaluation.every lets a run look for the best"
        raise InputError(f"{self.path} has no {'best ' if best else ''}policy yet: {fix}")

    @property
    def strategy(self) -> Strategy:
        """The average of what was played, of a run that was asked for it with `[exact] average`.

        Raises:
            InputError: it was not asked for, or the run is not done.
        """
        file = self.path / store.STRATEGY
        if not file.exists():
            raise InputError(
                f"{self.path} has no average strategy: set exact.average = true, and let it end"
            )
        return Strategy.load(file)

    def execute(
        self,
        training: Trainer | None = None,
        progress: Progress | None = None,
        tell: Callable[[str], object] = lambda line: None,
    ) -> list[TrainingResult]:
        """Train, or go on from the last checkpoint; ends with the policy and a picture.

        Args:
            training: `scenario.start()`, if that was done already; the caller closes it.
            progress: called after every update with its row.
            tell: called with a line where something is wrong and the run goes on all the same.

        Raises:
            Interrupted: by SIGINT or SIGTERM, after a checkpoint.
            InputError: a game that breaks its rules; checkpoints that are all damaged; a scenario
                that was changed; a run that another process is working on.
            FloatingPointError: an update gave numbers that are not finite.
        """
        with store.locked(self.path), ExitStack() as stack:
            store.remove_leftovers(self.path)
            steps = training_store.steps_at_first(self.path)
            training_store.require_same(self.path, self.scenario.identity(steps))
            rows = training_store.read(self.path)  # damage is said before anything starts
            done = self._done_already(rows)
            if done is not None:
                return done
            training_store.require_checkpoint(self.path)
            if training is None:
                training = stack.enter_context(self.scenario.start(steps))
            if self._looks_before() != self.scenario.looks:
                training_store.forget_candidates(self.path)  # they did well in other games
            work = _Work(self, training, tell)
            stack.callback(work.close)
            store.write_scenario(self.path, self.scenario)  # its limits may be new
            store.remove_answers(self.path)
            with stop_signals() as stopped:
                result = work.run(stopped, progress)
            self._draw(result)
            store.write_result(self.path, [result.to_json()])
        return [result]

    def _done_already(self, rows: list[Row]) -> list[TrainingResult] | None:
        """The results of a run of which nothing is left to do or to fix."""
        files = [self.path / name for name in (store.RESULT, store.POLICY, "learning.png")]
        if not rows or not all(file.exists() for file in files):
            return None
        if store.read_scenario(self.path) != self.scenario:
            return None
        try:
            results = self.results
        except InputError:  # damaged, and about to be written anew
            return None
        if results and results[0].best and not (self.path / store.BEST).exists():
            return None
        over = self.scenario.is_done(rows[-1], rows[-1].get(SECONDS, 0.0))
        return results if over else None

    def _looks_before(self) -> tuple[Any, ...]:
        """How the run looked for the best until now."""
        scenario = store.read_scenario(self.path)
        return scenario.looks if isinstance(scenario, TrainingScenario) else ()

    def _draw(self, result: TrainingResult) -> None:
        from analysis.inventory.reference import reference
        from analysis.plots import learning as plot_learning

        picture = plot_learning.learning(
            self.metrics,
            title=f"{self.scenario.game}, {self.scenario.method.name}",
            target=dict(self.scenario.stop.target),
            reference=reference(self.scenario.game),
            final=result.evaluation,
        )
        picture.savefig(self.path / "learning.png", dpi=150)


class _Work:
    """Training, and all that is written as it goes."""

    def __init__(self, run: TrainingRun, training: Trainer, tell: Callable[[str], object]) -> None:
        from tensorboardX import SummaryWriter

        self.path, self.scenario, self.training = run.path, run.scenario, training
        self.tell = tell
        exact = self.scenario.exact
        self.exact = None if exact is None else ExactLog(training.plan, exact)
        self.saved = training_store.restore(run.path, training, self.exact, tell)
        self.metrics = Metrics(run.path, self.saved)
        self.last: Row = {}  # of every metric, what was measured last
        self.candidates = Candidates(self.scenario.chosen_by)
        self.row: Row = {}  # of the last update
        self.unfinished: Row = {}  # of an update that was interrupted while it was looked at
        for row in self.metrics.rows:
            if SECONDS not in row:
                self.unfinished = row
                continue
            self.row = row
            self._keep(row)
            if training_store.candidate(run.path, int(row["update"])).exists():
                self.candidates.note(row)
        self.stopped: Callable[[], bool] = lambda: False
        self.spent = self.last.get(SECONDS, 0.0)
        self.began = time.perf_counter()
        self.board = SummaryWriter(
            str(run.path / "tensorboard"),
            # What was written beyond the checkpoint is about to be written again.
            purge_step=training.steps + 1 if self.saved else None,
            filename_suffix=f".{self.saved}",
            flush_secs=10,
        )

    def close(self) -> None:
        self.board.close()

    @property
    def seconds(self) -> float:
        return self.spent + time.perf_counter() - self.began

    def run(self, stopped: Callable[[], bool], progress: Progress | None) -> TrainingResult:
        self.stopped = stopped
        saved = time.perf_counter()
        while self.unfinished or not self.scenario.is_done(self.row, self.seconds):
            try:
                self.row = self._look(self.unfinished or self._update())
                if progress is not None:
                    progress(self.row)
                self._pause()
            except Interrupted:
                self.save()
                raise
            if time.perf_counter() - saved >= self.scenario.checkpoint.seconds:
                self.save()
                saved = time.perf_counter()
        self.save()
        policy = self.training.policy()
        policy.save(self.path / store.POLICY)
        evaluation, best = self._judge(policy)
        if self.exact is not None and self.exact.config.average and self.exact.looks:
            self.exact.average.strategy().save(self.path / store.STRATEGY)
        return TrainingResult(
            game=self.scenario.game,
            method=self.scenario.method.name,
            updates=self.training.updates,
            steps=self.training.steps,
            seconds=self.last.get(SECONDS, 0.0),
            metrics=self.last,
            best=best,
            evaluation=evaluation,
        )

    def save(self) -> None:
        """A checkpoint, if there is anything new."""
        if self.training.updates > self.saved:
            self.metrics.sync()
            self.board.flush()
            keep = self.scenario.checkpoint.keep
            training_store.save(self.path, self.training, self.exact, keep)
            self.saved = self.training.updates

    def _pause(self) -> None:
        """Raises Interrupted if somebody wants to stop; whoever catches it saves."""
        if self.stopped():
            raise Interrupted(
                f"interrupted after update {self.training.updates:,} and saved; go on with: "
                f"schelling resume {self.path}"
            )

    def _update(self) -> Row:
        """One update.

        Raises:
            InputError, FloatingPointError, WorkerError: as `Trainer.step` does, with the
                checkpoint that is left.
        """
        try:
            row = self.training.step()
        except (InputError, FloatingPointError, WorkerError) as error:
            kept = training_store.checkpoint(self.path, self.saved).name
            where = f"; {self.path} keeps its checkpoint {kept}" if self.saved else ""
            raise type(error)(f"{error}{where}") from error
        if "return" in row:
            self.scenario.require_metrics(row, self.last, self.training.spec)
        return row

    def _look(self, row: Row) -> Row:
        """What an update led to, measured and written down.

        If it is interrupted, the row is kept without the seconds: what is missing of it is
        measured when the run goes on.
        """
        every = self.scenario.evaluation.every
        if every and self.training.updates % every == 0:
            try:
                played = self._evaluate(self.training.policy(), DEVELOPMENT)
            except Interrupted:
                if not self.unfinished:
                    self.metrics.append(row)
                raise
            found = by_game(played, self.scenario.judged, self.training.spec)
            row = row | {f"{EVALUATED}{k}": float(each.mean()) for k, each in found.items()}
        if self.exact is not None:
            row |= self.exact.row(self.training)
        row[SECONDS] = self.seconds
        self.metrics.append(row, instead=bool(self.unfinished))
        self.unfinished = {}
        steps = int(row["steps"])
        for key, value in row.items():
            if key not in ("update", "steps"):
                self.board.add_scalar(key, value, steps)
        self._keep(row)
        if self.candidates.note(row):
            self.metrics.sync()
            self.training.policy().save(training_store.candidate(self.path, self.training.updates))
        return row

    def _keep(self, row: Row) -> None:
        """Keep what was measured last."""
        self.last |= {name: value for name, value in row.items() if math.isfinite(value)}

    def _judge(self, policy: Policy) -> tuple[dict[str, float], Best]:
        """How the last policy does in games that nothing was chosen by, and which is the best one.

        The best one is written into a file of its own.
        """
        scenario, update, played = self.scenario, self.training.updates, None
        if scenario.evaluation.every or scenario.evaluation.parameters:
            played = self._evaluate(policy, HELD_OUT)
        evaluation = {} if played is None else summary(played, scenario.judged, self.training.spec)
        metric, candidate = self.candidates.metric, self.candidates.best
        known = evaluation
        if metric in EXACT and self.exact is not None:
            known = self.exact.figures(policy)
        if metric not in known:
            return evaluation, {}
        best = {"metric": metric, "value": known[metric], "update": update}
        own = self._earlier(candidate, update)
        if own is not None:
            if metric in EXACT:
                best = exact_verdict(candidate, update, known[metric])
            else:
                assert played is not None
                theirs, last = [
                    by_game(games, scenario.judged, self.training.spec)[metric]
                    for games in (self._evaluate(own, HELD_OUT), played)
                ]
                if np.isfinite(theirs).all() and np.isfinite(last).all():
                    best = verdict(candidate, update, theirs, last)
            policy = policy if best["update"] == update else own
        policy.save(self.path / store.BEST)
        return evaluation, best

    def _earlier(self, candidate: Best, update: int) -> Policy | None:
        """The candidate, if it is another policy than that of the last update and can be read."""
        if not candidate or candidate["update"] == update:
            return None
        try:
            return Policy.load(training_store.candidate(self.path, candidate["update"]))
        except InputError as error:
            self.tell(f"{error}; the last policy counts as the best")
            return None

    def _evaluate(self, policy: Policy, games: int) -> Played:
        """Whole games, the same ones every time, whose seeds training never sees.

        Args:
            policy: that plays.
            games: which, DEVELOPMENT or HELD_OUT.
        """
        wanted, spec = self.scenario.evaluation, self.training.spec
        count = wanted.episodes
        if games == DEVELOPMENT and wanted.development is not None:
            count = wanted.development
        return evaluate(
            policy,
            game=self.scenario.judged,
            episodes=count,
            seed=seeds(self.scenario.seed, games)[0],
            greedy=wanted.greedy,
            against=Uniform(spec) if wanted.against == "random" else None,
            pause=self._pause,
        )


def summary(played: Played, game: str, spec: Spec) -> dict[str, float]:
    """Means of what was played, and `_error`, the standard error, of each.

    What is not finite is left out.
    Against somebody also `wins`, the share of games with a return above 0; of several roles the
    return of each. Where it is known what the game costs at best, also that, `optimum` or
    `lower_bound`, and the `gap` to it in percent, with its 95% interval.
    """
    from analysis.inventory.reference import held_against
    from games.simulators.references import gap

    values = by_game(played, game, spec)
    values.pop("gap", None)
    found: dict[str, float] = {}
    count = len(played.steps)
    for name, each in values.items():
        found[name] = float(each.mean())
        if count > 1:
            found[f"{name}_error"] = float(each.std(ddof=1) / math.sqrt(count))
    if count > 1 and "cost" in values and (best := held_against(game)) is not None:
        above = gap(values["cost"], best)
        found[best.kind.replace(" ", "_")] = best.value
        found |= {"gap": above.mean, "gap_low": above.low, "gap_high": above.high}
    return {name: value for name, value in found.items() if math.isfinite(value)}
