"""A run: a scenario executed in its own folder, from which it can be resumed.

What all kinds share is here: how a folder is made, found and locked, and the order in which things
happen, so that a crash costs little. `Run.load` gives the kind's own class, which adds the parts:
what is to be done, and what was found.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Protocol, TypeVar

from games.common.errors import InputError
from scenarios import store
from scenarios.experiment import Experiment
from scenarios.interrupt import stop_signals
from scenarios.kinds import KINDS, Kind

if TYPE_CHECKING:
    import pandas as pd

    from games import Strategy
    from marl.networks.policy import Policy

Progress = Callable[..., object]
"""Called as the work goes; with what, the kind's own class says."""
S = TypeVar("S", bound=Experiment)
R = TypeVar("R", bound="Row")


class Row(Protocol):
    """One row of the results of a run."""

    def to_json(self) -> dict[str, Any]: ...

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> Any: ...


class Work(Protocol[R]):
    """The work of a run, restored from the last checkpoint and ready to continue."""

    def run(self, stopped: Callable[[], bool], progress: Progress | None) -> list[R]:
        """Do the work and write all files but result.json; raises Interrupted once `stopped()`."""


@dataclass(frozen=True)
class Run(ABC, Generic[S, R]):
    """A run and its folder. `Run.load(path)` gives its metrics, results, strategy or policy."""

    path: Path
    scenario: S

    answers: ClassVar[tuple[str, ...]] = ()
    """Patterns of files that only a finished run has, besides result.json and pictures."""

    @staticmethod
    def create(scenario: Experiment, path: str | os.PathLike[str] | None = None) -> Run[Any, Any]:
        """A new run directory of the scenario's kind; `runs/NAME-1` and so on if no path is given.

        Raises:
            InputError: something is there already, or the folder cannot be written to.
        """
        where = store.free_path(Path("runs"), scenario.name) if path is None else Path(path)
        store.create(where, scenario)
        return Run.of(where, scenario)

    @staticmethod
    def load(path: str | os.PathLike[str]) -> Run[Any, Any]:
        """An existing run, of its scenario's kind; InputError if there is none."""
        return Run.of(Path(path), store.read_scenario(Path(path)))

    @staticmethod
    def of(path: str | os.PathLike[str], scenario: Experiment) -> Run[Any, Any]:
        """The run of a scenario in an existing folder."""
        return KINDS.load(scenario.kind).run()(Path(path), scenario)

    @property
    def kind(self) -> Kind:
        """The run's kind, by which commands carry it out and show it."""
        return KINDS.load(self.scenario.kind)

    @property
    def finished(self) -> bool:
        return self.results is not None

    @property
    def results(self) -> list[R] | None:
        """The rows of the results, or None while the run is not done."""
        return store.read_result(self.path, self._row)

    @property
    def metrics(self) -> pd.DataFrame:
        """Metrics over time, a row a measurement; InputError if this kind has none."""
        raise InputError(f"{self.path} has no metrics: see `schelling show {self.path}`")

    @property
    def strategy(self) -> Strategy:
        """The strategy that was found; InputError if there is none (yet), or if there are many."""
        raise InputError(f"{self.path} has no strategy: see `schelling show {self.path}`")

    def policy(self, best: bool = False) -> Policy:
        """The policy that was learned; InputError if there is none (yet)."""
        raise InputError(f"{self.path} has no policy: see `schelling show {self.path}`")

    def execute(
        self,
        ready: Any = None,
        progress: Progress | None = None,
        tell: Callable[[str], object] = lambda line: None,
    ) -> list[R]:
        """Run the scenario, or resume it from the last checkpoint; writes results and pictures.

        Args:
            ready: what the kind prepared beforehand (a compiled game, a started training); the
                caller closes it; None: prepared now.
            progress: called during the work.
            tell: called with a line for every problem that does not end the run.

        Raises:
            Interrupted: by SIGINT or SIGTERM, after a checkpoint.
            InputError: a checkpoint that is damaged or does not fit, a scenario that was changed,
                or a run that another process is working on.
            FloatingPointError: learning gave numbers that are not finite.
        """
        with store.locked(self.path), ExitStack() as stack:
            store.remove_leftovers(self.path)
            done = self._done_already()
            if done is not None:
                return done
            # Every checkpoint is read before anything is touched: a bad one costs nothing.
            work = self._begin(ready, stack, tell)
            store.write_scenario(self.path, self.scenario)  # its limits may be new
            store.remove_answers(self.path, self.answers)
            with stop_signals() as stopped:
                results = work.run(stopped, progress)
                store.write_result(self.path, [result.to_json() for result in results])
        return results

    @staticmethod
    @abstractmethod
    def _row(row: dict[str, Any]) -> R:
        """A row of the results, from JSON."""

    def _done_already(self) -> list[R] | None:
        """The results of a run that is complete; None if anything is left to do."""
        return None

    @abstractmethod
    def _begin(self, ready: Any, stack: ExitStack, tell: Callable[[str], object]) -> Work[R]:
        """Restore the work from the last checkpoint; see `execute`.

        Args:
            ready: as there.
            stack: closes what is opened here.
            tell: as there.
        """
