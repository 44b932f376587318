"""Nash equilibria of any finite game: one call that picks the solver, and checks its answer.

Two-player zero-sum games go to the sequence-form LP, trees of perfect information to backward
induction, the rest to Gambit (Savani & Turocy, https://gambitproject.org).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Literal, NamedTuple, overload

import numpy as np

from analysis import gambit
from analysis.backward import ImperfectInformation, backward_induction
from analysis.equilibrium import (
    Equilibrium,
    Progress,
    Unverified,
    is_constant_sum,
    require_two_players,
    verified,
)
from analysis.sharpen import sharpened
from analysis.units import Units
from analysis.zero_sum import sequence_form_lp
from games import Game, InputError, NormalForm, SequenceForm, as_form
from games.errors import did_you_mean
from games.gambit import pygambit, to_gambit
from games.kernels import plans
from games.normal_form import as_normal_form
from games.sequence_form import Float64

TOLERANCE = 1e-6
# Exact arithmetic costs far more than floats, and the more the larger the game; above this
# many pure strategies of both players together floats have to do.
RATIONAL_UP_TO = 14
TREE_UP_TO = 2_000  # histories of a tree that Gambit gets as a tree


class GambitSolver(NamedTuple):
    """One of Gambit's solvers, as it is called and what it is good for."""

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
METHODS = {
    "auto": "picked by the game's class and size",
    "lp": "two players, zero-sum: sequence-form LP on HiGHS",
    "backward": "perfect information: backward induction, subgame perfect",
    **{name: solver.help for name, solver in SOLVERS.items()},
}


@overload
def nash(
    game: Game | SequenceForm, which: Literal["one"] = "one", method: str = "auto", *,
    seconds: float | None = None, progress: Progress | None = None, tolerance: float = TOLERANCE,
) -> Equilibrium: ...  # fmt: skip
@overload
def nash(
    game: Game | SequenceForm, which: Literal["all"], method: str = "auto", *,
    seconds: float | None = None, progress: Progress | None = None, tolerance: float = TOLERANCE,
) -> tuple[Equilibrium, ...]: ...  # fmt: skip
def nash(
    game: Game | SequenceForm,
    which: Literal["one", "all"] = "one",
    method: str = "auto",
    *,
    seconds: float | None = None,
    progress: Progress | None = None,
    tolerance: float = TOLERANCE,
) -> Equilibrium | tuple[Equilibrium, ...]:
    """One Nash equilibrium, or all of them.

    "All" means: of two players all extreme equilibria (every other one is a convex combination of
    some of them; Avis, Rosenberg, Savani & von Stengel 2010), of more players all isolated ones
    that Gambit's polynomial solver finds. Equilibria of a tree that play alike wherever play gets
    to count once. `Equilibrium.method` says which solver it was.

    Args:
        game: a game; or a sequence form, for which the tree is not known: then what is not zero-sum
            is solved in its reduced normal form.
        which: "one" or "all".
        method: a key of `METHODS`.
        seconds: the most that each of Gambit's solvers may take; the LP and backward induction do
            not look at it.
        progress: see `analysis.equilibrium.Progress`.
        tolerance: the largest gain that is let through, relative to the range of a player's
            utilities. The LP is held to 1e-9 whatever is given.

    Raises:
        InputError: an unknown method, or one that does not fit the game.
        GameError: a normal form too large to lay out, or imperfect recall.
        Unverified: no solver's answer had a small enough regret.
        TimeoutError: nothing was found in time.
    """
    if method not in METHODS:
        raise InputError(f"no Nash method {method!r}: {did_you_mean(method, METHODS)}")
    if which not in ("one", "all"):
        raise InputError(f"which is 'one' or 'all', not {which!r}")
    form = as_form(game)
    if which == "all" and method != "auto" and not (method in SOLVERS and SOLVERS[method].all):
        raise InputError(f"{method} finds one equilibrium; all are found by enummixed or enumpoly")
    if method == "lp" or (method in SOLVERS and SOLVERS[method].two_players):
        require_two_players(form, method)
    constant_sum = is_constant_sum(form)
    if method == "lp" or (method == "auto" and which == "one" and constant_sum):
        return sequence_form_lp(form, progress=progress)
    if isinstance(game, SequenceForm):
        if method == "backward":
            raise InputError(f"{form.game}: backward induction needs the game, not its form")
    elif method == "backward" or (
        method == "auto" and which == "one" and not isinstance(game, NormalForm)
    ):
        try:
            return backward_induction(game)
        except ImperfectInformation:
            if method == "backward":
                raise
    failures = []
    for name in _candidates(form.num_players, which, method):
        try:
            found_all = _solve(game, form, name, which, seconds, progress, tolerance)
        except (Unverified, RuntimeError) as error:
            failures.append(str(error))
            continue
        if found_all:
            return found_all[0] if which == "one" else found_all
        # A finite game has an equilibrium, though perhaps none in pure strategies.
        none = "none in pure strategies" if name == "enumpure" else "none: it failed"
        failures.append(f"{name} found {none}")
    raise Unverified(f"{form.game}: {'; '.join(failures)}")


def _candidates(num_players: int, which: str, method: str) -> Iterator[str]:
    """Gambit's solvers in the order in which they are tried."""
    if method != "auto":
        yield method
    elif num_players == 2:
        yield "lcp" if which == "one" else "enummixed"
        if which == "one":
            yield from ("enummixed", "logit")
    elif which == "all":
        yield "enumpoly"
    else:
        yield from ("enumpure", "gnm", "logit", "simpdiv")


def _solve(
    game: Game | SequenceForm,
    form: SequenceForm,
    name: str,
    which: str,
    seconds: float | None,
    progress: Progress | None,
    tolerance: float,
) -> tuple[Equilibrium, ...]:
    """What one of Gambit's solvers finds, as verified equilibria without repetitions."""
    units = Units.of(form)
    tree = _as_tree(game, form, name)
    table = None if tree is not None else as_normal_form(game)
    source: Game | None = tree if tree is not None else table
    assert source is not None
    if units.extreme:  # else Gambit gets the numbers as they are, and as exact fractions
        source = units.table(table) if table is not None else gambit.Rescaled(source, units)
    small = table is not None and sum(table.num_actions) <= RATIONAL_UP_TO
    theirs, solver = to_gambit(source), SOLVERS[name]
    label = f"Gambit's {name}" + (" (tree)" if tree is not None else "")
    profiles = gambit.call(
        lambda: gambit.profiles_of(source, solver.solve(theirs, which, small)),
        label,
        seconds=seconds,
        progress=progress,
    )
    found: list[Equilibrium] = []
    distinct: list[Float64] = []
    for profile in profiles:
        if table is None:
            strategy = gambit.strategy_of(form, profile)
        else:
            strategy = table.strategy(sharpened(units.table(table), profile))
        behaviour = strategy.behaviour(form)
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


def _as_tree(game: Game | SequenceForm, form: SequenceForm, name: str) -> Game | None:
    """The game as a tree for Gambit, where it is one and its solver can use it."""
    if isinstance(game, SequenceForm | NormalForm) or not SOLVERS[name].tree:
        return None
    single = all(len(p.information_sets) <= 1 for p in form.players)
    return None if single or form.num_histories > TREE_UP_TO else game
