"""Training update by update, with its metrics, checkpoints, evaluations and results."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from analysis.references import reference
from games.common.errors import InputError
from games.common.seeds import seeds
from games.common.workers import WorkerError
from games.simulators.metrics import EVALUATED
from marl.evaluation.actors import Uniform
from marl.evaluation.episodes import Played, evaluate
from marl.evaluation.exact import ExactLog
from marl.learning.method import LearningMethod
from marl.learning.trainer import Trainer
from marl.networks.policy import Policy
from scenarios.figures import by_game, summary
from scenarios.interrupt import Interrupted
from scenarios.store import STRATEGY
from scenarios.training import store
from scenarios.training.best import Best, Candidates, exact_verdict, verdict
from scenarios.training.result import TrainingResult
from scenarios.training.scenario import EXACT, SECONDS, TrainingScenario
from scenarios.training.store import BEST, PICTURE, POLICY, Metrics, Row

# Branches of the run's seed (training uses 0 to 3): for the development games, which choose the
# candidate, and for the held-out games at the end, which judge it.
DEVELOPMENT, HELD_OUT = 9, 10

Progress = Callable[[Row], object]  # called with every row


class Work:
    """Training of one run, which writes metrics, checkpoints and results."""

    def __init__(
        self,
        path: Path,
        scenario: TrainingScenario,
        training: Trainer,
        tell: Callable[[str], object],
    ) -> None:
        """
        Args:
            path: of the run.
            scenario: of the run.
            training: already started; restored from the last checkpoint, if there is one.
            tell: called with a line for every problem that does not end the run.
        """
        from tensorboardX import SummaryWriter

        self.path, self.scenario, self.training = path, scenario, training
        self.tell = tell
        exact = self.scenario.exact
        self.exact = None if exact is None else ExactLog(training.plan, exact)
        self.saved = store.restore(path, training, self.exact, tell)
        self.metrics = Metrics(path, self.saved)
        self.last: Row = {}  # the last value of every metric
        self.known = training.spec.metrics
        self.candidates = Candidates(self.scenario.chosen_by, self.known)
        self.row: Row = {}  # of the last update
        self.unfinished: Row = {}  # of an update whose evaluation was interrupted
        for row in self.metrics.rows:
            if SECONDS not in row:
                self.unfinished = row
                continue
            self.row = row
            self._keep(row)
            if store.candidate(path, int(row["update"])).exists():
                self.candidates.note(row)
        self.stopped: Callable[[], bool] = lambda: False
        self.spent = self.last.get(SECONDS, 0.0)
        self.began = time.perf_counter()
        self.board = SummaryWriter(
            str(path / "tensorboard"),
            # Events after the checkpoint are about to be written again.
            purge_step=training.steps + 1 if self.saved else None,
            filename_suffix=f".{self.saved}",
            flush_secs=10,
        )

    def close(self) -> None:
        self.board.close()

    @property
    def seconds(self) -> float:
        return self.spent + time.perf_counter() - self.began

    def run(self, stopped: Callable[[], bool], progress: Progress | None) -> list[TrainingResult]:
        """Update until it is time to stop, judge what was learned, and draw it."""
        self.stopped = stopped
        saved = time.perf_counter()
        while self.unfinished or not self.scenario.is_done(self.row, self.seconds, self.known):
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
        policy.save(self.path / POLICY)
        evaluation, best = self._judge(policy)
        if self.exact is not None and self.exact.config.average and self.exact.looks:
            self.exact.average.strategy().save(self.path / STRATEGY)
        result = TrainingResult(
            game=self.scenario.game,
            method=self.scenario.method.name,
            updates=self.training.updates,
            steps=self.training.steps,
            seconds=self.last.get(SECONDS, 0.0),
            metrics=self.last,
            best=best,
            evaluation=evaluation,
        )
        draw(self.path, self.scenario, result)
        return [result]

    def save(self) -> None:
        """Write a checkpoint, if there is anything new."""
        if self.training.updates > self.saved:
            self.metrics.sync()
            self.board.flush()
            keep = self.scenario.checkpoint.keep
            store.save(self.path, self.training, self.exact, keep)
            self.saved = self.training.updates

    def _pause(self) -> None:
        """Raise Interrupted if the run is to stop; the caller that catches it saves."""
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
            kept = store.checkpoint(self.path, self.saved).name
            where = f"; {self.path} keeps its checkpoint {kept}" if self.saved else ""
            raise type(error)(f"{error}{where}") from error
        if "return" in row:
            self.scenario.require_metrics(row, self.last, self.training.spec)
        return row

    def _look(self, row: Row) -> Row:
        """Evaluate the policy after an update, and write its row.

        If interrupted, the row is kept without the column `seconds`: missing metrics are measured
        when the run is resumed.
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
            self.training.policy().save(store.candidate(self.path, self.training.updates))
        return row

    def _keep(self, row: Row) -> None:
        """Keep the last value of every metric."""
        self.last |= {name: value for name, value in row.items() if math.isfinite(value)}

    def _judge(self, policy: Policy) -> tuple[dict[str, float], Best]:
        """Evaluate the last policy in held-out games, and decide which policy is the best.

        The best one is also written to its own file.
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
                    best = verdict(candidate, update, theirs, last, self.known)
            policy = policy if best["update"] == update else own
        policy.save(self.path / BEST)
        return evaluation, best

    def _earlier(self, candidate: Best, update: int) -> Policy | None:
        """The candidate, if it is not the last policy and can be read."""
        if not candidate or candidate["update"] == update:
            return None
        try:
            return Policy.load(store.candidate(self.path, candidate["update"]))
        except InputError as error:
            self.tell(f"{error}; the last policy counts as the best")
            return None

    def _evaluate(self, policy: Policy, games: int) -> Played:
        """Play evaluation games with fixed seeds that training never uses.

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


def draw(path: Path, scenario: TrainingScenario, result: TrainingResult) -> None:
    """Draw the picture of a finished run."""
    from analysis.plots import learning as plot_learning

    counted = scenario.method.counts
    own = {} if counted == LearningMethod.counts else {"counts": counted}
    picture = plot_learning.learning(
        store.table(path),
        title=f"{scenario.game}, {scenario.method.name}",
        target=dict(scenario.stop.target),
        reference=reference(scenario.game),
        final=result.evaluation,
        **own,
    )
    picture.savefig(path / PICTURE, dpi=150)
