"""Gambit's solvers behind our types: profiles become strategies, a long call can be stopped."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from analysis.equilibria.units import Units
from games import NODE_BUDGET, Game, NormalForm, SequenceForm, Strategy
from games.common.progress import Progress
from games.finite.gambit.reading import GambitGame
from games.finite.gambit.text import quoted
from games.finite.sequence_form import Float64
from games.finite.strategy import uniform_behaviour

POLL = 0.1  # seconds between two looks at a solver in a process of its own


def mixed_of(profile: Any) -> tuple[Float64, ...]:
    """Mixed strategies [Ai] from a Gambit mixed strategy profile."""
    game = profile.game
    return tuple(
        np.array([float(profile[strategy]) for strategy in player.strategies])
        for player in game.players
    )


def behaviour_of(profile: Any) -> list[dict[str, list[float]]]:
    """Of each player, {information set's label: probabilities}, from a mixed behaviour profile.

    Information sets without a label of their own go by their number, as in `GambitGame`.
    """
    names = GambitGame("", profile.game).information_sets
    return [
        {
            name: [float(profile[action]) for action in infoset.actions]
            for name, infoset in zip(own, player.infosets, strict=True)
        }
        for own, player in zip(names, profile.game.players, strict=True)
    ]


def strategy_of(form: SequenceForm, behaviour: list[dict[str, list[float]]]) -> Strategy:
    """The strategy over `form` of what `behaviour_of` returned for the same game."""
    full = uniform_behaviour(form)
    start = 0
    for player, own in zip(form.players, behaviour, strict=True):
        rows = zip(player.information_sets, player.first_sequence, player.num_actions, strict=True)
        for name, first, count in rows:
            # A file's labels are kept as they are; a game that we wrote has them quoted.
            probabilities = own[name] if name in own else own[quoted(name)]
            full[start + first : start + first + count] = probabilities
        start += player.num_sequences
    return Strategy.from_behaviour(form, np.maximum(full, 0.0))


class Rescaled:
    """A game tree whose utilities are those of `units`: the same strategies are equilibria."""

    def __init__(self, game: Game, units: Units) -> None:
        self.game, self.units = game, units
        self.name, self.num_players = game.name, game.num_players

    def root(self) -> RescaledState:
        return RescaledState(self.game.root(), self.units)

    def sequence_form(self, *, node_budget: int = NODE_BUDGET, cached: bool = True) -> SequenceForm:
        return self.units.form


class RescaledState:
    """A node of a `Rescaled` game; all but what it pays is the node's own."""

    def __init__(self, state: Any, units: Units) -> None:
        self._state, self._units = state, units

    def __getattr__(self, name: str) -> Any:
        return getattr(self._state, name)

    def child(self, action: int) -> RescaledState:
        return RescaledState(self._state.child(action), self._units)

    def returns(self) -> list[float]:
        own = np.array(self._state.returns())
        return ((own - self._units.lowest) / self._units.width).tolist()


def profiles_of(game: Game, result: Any) -> list[Any]:
    """Plain arrays of all profiles of a Gambit result, fit to be sent between processes."""
    if result.use_strategic or isinstance(game, NormalForm):
        return [mixed_of(profile) for profile in result.equilibria]
    return [behaviour_of(profile) for profile in result.equilibria]


def call(
    work: Callable[[], Any],
    what: str,
    *,
    seconds: float | None = None,
    progress: Progress | None = None,
) -> Any:
    """The result of `work`, which may spend long in C++ where no signal reaches it.

    With a limit or somebody to tell it runs in a process of its own, which can be ended.

    Raises:
        TimeoutError: the limit was reached, or `progress` asked to stop.
        RuntimeError: the solver failed.
    """
    if (seconds is None and progress is None) or sys.platform == "win32":
        return work()
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=_serve, args=(work, sender), daemon=True)
    child.start()
    sender.close()
    began = time.perf_counter()
    try:
        while not receiver.poll(POLL):
            spent = time.perf_counter() - began
            if progress is not None and progress(f"{what}: {spent:.0f} s"):
                raise TimeoutError(
                    f"{what} was stopped after {spent:.0f} s, before it had found any"
                )
            if seconds is not None and spent > seconds:
                raise TimeoutError(f"{what} found nothing within {seconds:g} s")
        try:
            done, result = receiver.recv()
        except EOFError:
            raise RuntimeError(f"{what} ended without an answer") from None
    finally:
        child.kill()
        child.join()
        receiver.close()
    if not done:
        raise RuntimeError(f"{what} failed: {result}")
    return result


def _serve(work: Callable[[], Any], sender: Any) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to act upon
    try:
        sender.send((True, work()))
    except BaseException as error:
        sender.send((False, str(error) or type(error).__name__))
    finally:
        sender.close()
        os._exit(0)  # none of the parent's exit handlers
