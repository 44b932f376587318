"""External-sampling MCCFR on OpenSpiel's C++ solver, for games that do not enumerate.

Lanctot, Waugh, Zinkevich & Bowling, "Monte Carlo Sampling for Regret Minimization in Extensive
Games" (2009).
"""

from __future__ import annotations

import contextlib
from typing import Annotated, Literal

import numpy as np
import pyspiel
from pydantic import Field

from games import Game, GameError, OpenSpielGame, SequenceForm, Strategy, load
from games.finite.budget import refuse_endless
from games.finite.strategy import UNKNOWN_PLAYER, uniform_behaviour
from marl.tabular.method import Method, State

_AVERAGES = {
    "simple": pyspiel.MCCFRAverageType.SIMPLE,
    "full": pyspiel.MCCFRAverageType.FULL,
}
# The solver's own text form: "<~>" parts information sets from their values, ";" the values'
# fields (legal actions, regrets, cumulative policy, current policy), "," the numbers.
_TABLE = "[SolverValuesTable]\n"
_PART = "<~>"


class MCCFR(Method):
    """External-sampling MCCFR: samples chance and the opponents, so that large games run too.

    In a two-player zero-sum game the average approaches a Nash equilibrium, in expectation at the
    rate of one over the square root of the iterations. For other games see `marl.tabular.cfr`.
    """

    name = "mccfr"
    samples = True
    average: Literal["simple", "full"] = "simple"
    """Where the average is updated: "simple", at the opponents' sampled information sets; "full",
    at all information sets in a full pass."""
    exact_up_to: Annotated[int, Field(ge=0)] = 1_000_000
    """Compute NashConv only for games of at most this many histories (and with perfect recall)."""

    def start(
        self, game: Game | SequenceForm, *, iterations: int = 1, seed: int = 0
    ) -> MCCFRSolver:
        form: SequenceForm | None = None
        source: Game
        if isinstance(game, SequenceForm):
            form, source = game, load(game.game)
        else:
            source = game
        if not isinstance(source, OpenSpielGame):
            raise GameError(
                f"{source.name}: mccfr runs OpenSpiel's solver, on OpenSpiel's games only; choose "
                "another method"
            )
        if not source.has_information_states:
            raise GameError(
                f"{source.name}: mccfr runs OpenSpiel's solver, and OpenSpiel gives no "
                "information-state strings for this game; choose another method"
            )
        if form is None:
            # Too large, or without perfect recall: MCCFR runs anyway.
            with contextlib.suppress(GameError):
                form = source.sequence_form(node_budget=self.exact_up_to)
        if form is None:
            refuse_endless(source.root(), source.name, source.num_players)
        return MCCFRSolver(source, form, self, seed)


class MCCFRSolver:
    """OpenSpiel's solver behind the interface of `Solver`.

    An iteration is one sampled traversal for each player. `form` is None where the game has more
    histories than `exact_up_to`, or no sequence form at all.
    """

    def __init__(
        self, game: OpenSpielGame, form: SequenceForm | None, config: MCCFR, seed: int
    ) -> None:
        self.game = game
        self.form = form
        self.iteration = 0
        self._solver = pyspiel.ExternalSamplingMCCFRSolver(
            game.openspiel,
            seed=int(np.random.SeedSequence(seed).generate_state(1)[0] >> 1),
            avg_type=_AVERAGES[config.average],
        )

    def step(self, iterations: int = 1) -> None:
        for _ in range(iterations):
            self._solver.run_iteration()
        self.iteration += iterations

    def strategy(self) -> Strategy:
        """The average strategy; uniform at information sets of the form not yet visited."""
        visited = self._visited()
        if self.form is None:
            return visited
        behaviour = visited.behaviour(self.form) if visited.information_sets else None
        if behaviour is None:
            behaviour = uniform_behaviour(self.form)
        return Strategy.from_behaviour(self.form, behaviour)

    def state(self) -> State:
        text = self._solver.__getstate__().encode("utf-8", "surrogateescape")
        return {"iteration": np.array(self.iteration), "solver": np.frombuffer(text, np.uint8)}

    def restore(self, state: State) -> None:
        text = state["solver"].tobytes().decode("utf-8", "surrogateescape")
        if f"[Game]\n{self.game.openspiel}\n" not in text or _TABLE not in text:
            raise ValueError("not a state of MCCFR on this game")
        solver = pyspiel.ExternalSamplingMCCFRSolver.__new__(pyspiel.ExternalSamplingMCCFRSolver)
        try:
            solver.__setstate__(text)
        except (pyspiel.SpielError, IndexError, RuntimeError) as error:
            raise ValueError(f"not a state of MCCFR ({error})") from None
        self._solver, self.iteration = solver, int(state["iteration"])

    def _visited(self) -> Strategy:
        """The normalised cumulative policies at the information sets that were sampled so far."""
        table = self._solver.__getstate__().split(_TABLE, 1)[1].rstrip("\n")
        parts = table.split(_PART) if table else []
        rows = sorted(zip(parts[::2], parts[1::2], strict=True))  # not in order of the hash table
        actions: list[int] = []
        probabilities: list[float] = []
        first = [0]
        for _, values in rows:
            legal, _, cumulative, _ = values.split(";")
            weights = np.array([float.fromhex(x) for x in cumulative.split(",")])
            actions.extend(int(a) for a in legal.split(","))
            total = weights.sum()
            probabilities.extend(
                weights / total if total > 0 else np.ones_like(weights) / len(weights)
            )
            first.append(len(actions))
        return Strategy(
            game=self.game.name,
            player=np.full(len(rows), UNKNOWN_PLAYER, dtype=np.int32),
            information_sets=tuple(name for name, _ in rows),
            first_action=np.array(first, dtype=np.int32),
            actions=np.array(actions, dtype=np.int32),
            probabilities=np.array(probabilities),
        )
