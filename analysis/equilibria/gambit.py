"""Gambit's Nash solvers, called on our games; they return verified equilibria.

A long call runs in a child process, which can be stopped.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from analysis.equilibria.equilibrium import Equilibrium, verified
from analysis.equilibria.sharpen import sharpened
from analysis.equilibria.units import Units
from games import NODE_BUDGET, Game, NormalForm, SequenceForm, Strategy
from games.common.progress import Progress
from games.finite.gambit.reading import GambitGame, pygambit, to_gambit
from games.finite.gambit.text import quoted
from games.finite.kernels import plans
from games.finite.normal_form import as_normal_form
from games.finite.sequence_form import Float64
from games.finite.strategy import uniform_behaviour

# Exact arithmetic costs far more than floats, and the more the larger the game; above this
# many pure strategies of both players together floats have to do.
RATIONAL_UP_TO = 14
TREE_UP_TO = 2_000  # histories of a tree that Gambit gets as a tree
POLL = 0.1  # seconds between two polls of a solver in a child process


class GambitSolver(NamedTuple):
    """One of Gambit's solvers: how it is called, and for which games."""

    help: str
    solve: Callable[[Any, str, bool], Any]  # a pygambit.Game, "one" or "all", exact fractions?
    two_players: bool = False
    all: bool = False  # finds all equilibria (of its kind)
    tree: bool = False  # works on a tree as it is


def _gambit_nash() -> Any:
    return pygambit().nash


SOLVERS = {
    "lcp": GambitSolver(
        "two players: Lemke-Howson, on the sequence form of a tree",
        lambda g, which, exact: _gambit_nash().lcp_solve(
            g, rational=exact, stop_after=None if g.is_tree else 1
        ),
        two_players=True,
        tree=True,
    ),
    "enummixed": GambitSolver(
        "two players: all extreme equilibria",
        lambda g, which, exact: _gambit_nash().enummixed_solve(g, rational=exact),
        two_players=True,
        all=True,
    ),
    "enumpure": GambitSolver(
        "all equilibria in pure strategies",
        lambda g, which, exact: _gambit_nash().enumpure_solve(g),
        all=True,
    ),
    "enumpoly": GambitSolver(
        "all isolated equilibria, support by support",
        lambda g, which, exact: _gambit_nash().enumpoly_solve(
            g, stop_after=1 if which == "one" else None
        ),
        all=True,
    ),
    "logit": GambitSolver(
        "one equilibrium: the limit of the quantal response path",
        lambda g, which, exact: _gambit_nash().logit_solve(g),
        tree=True,
    ),
    "gnm": GambitSolver(
        "one equilibrium: global Newton", lambda g, which, exact: _gambit_nash().gnm_solve(g)
    ),
    "simpdiv": GambitSolver(
        "one equilibrium: simplicial subdivision",
        lambda g, which, exact: _gambit_nash().simpdiv_solve(
            g.mixed_strategy_profile(rational=True)
        ),
    ),
}


def equilibria_by(
    name: str,
    game: Game | SequenceForm,
    form: SequenceForm,
    units: Units,
    which: str,
    tolerance: float,
    seconds: float | None,
    progress: Progress | None,
) -> tuple[Equilibrium, ...]:
    """What one of Gambit's solvers finds, as verified equilibria without repetitions.

    Args:
        name: a key of `SOLVERS`.
        game: what Gambit is asked about, as a tree where `as_tree` says so, else as a table.
        form: its sequence form.
        units: of that.
        which: "one" or "all".
        tolerance: see `verified`.
        seconds: the most that it may take.
        progress: see `games.common.progress.Progress`.

    Raises:
        GameError: a normal form too large to lay out.
        TimeoutError, RuntimeError: see `call`.
        Unverified: an answer is no equilibrium.
    """
    tree = as_tree(game, form, name)
    matrix = game if isinstance(game, NormalForm) else form
    table = None if tree is not None else as_normal_form(matrix)
    source: Game | None = tree if tree is not None else table
    assert source is not None
    if units.extreme:  # else Gambit gets the numbers as they are, and as exact fractions
        source = units.table(table) if table is not None else Rescaled(source, units)
    small = table is not None and sum(table.num_actions) <= RATIONAL_UP_TO
    theirs, solver = to_gambit(source), SOLVERS[name]
    label = f"Gambit's {name}" + (" (tree)" if tree is not None else "")
    profiles = call(
        lambda: profiles_of(source, solver.solve(theirs, which, small)),
        label,
        seconds=seconds,
        progress=progress,
    )
    found: list[Equilibrium] = []
    distinct: list[Float64] = []
    for profile in profiles:
        if table is None:
            raw = strategy_of(form, profile)
        else:
            raw = table.strategy([np.maximum(x, 0.0) / np.maximum(x, 0.0).sum() for x in profile])
        behaviour = sharpened(units.form, raw.behaviour(form))
        strategy = Strategy.from_behaviour(form, behaviour)
        point = Equilibrium("nash", form.game, label, *units.measured(behaviour), strategy)
        if which == "all":
            on_path = plans(form, behaviour)  # what differs where play never gets to is one
            if any(np.abs(on_path - other).max(initial=0.0) <= 1e-6 for other in distinct):
                continue
            distinct.append(on_path)
        found.append(verified(point, form, tolerance))
        if which == "one":
            break
    return tuple(found)


def as_tree(game: Game | SequenceForm, form: SequenceForm, name: str) -> Game | None:
    """The game as a tree for Gambit, where it is one and its solver can use it."""
    if isinstance(game, SequenceForm | NormalForm) or not SOLVERS[name].tree:
        return None
    single = all(len(p.information_sets) <= 1 for p in form.players)
    return None if single or form.num_histories > TREE_UP_TO else game


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
    """A node of a `Rescaled` game, as the original except for its payoffs."""

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

    With a limit or a `progress` it runs in a child process, which can be ended.

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
