"""Nash equilibria of any finite game: one call that picks the solver, and checks its answer.

Trees of perfect information go to backward induction, two-player zero-sum games to the
sequence-form LP, the rest to Gambit (Savani & Turocy, https://gambitproject.org) where they are
small, and else to solvers of our own that take a tree as it is.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Literal, overload

from analysis.equilibria.average_play import average_play
from analysis.equilibria.backward import (
    ImperfectInformation,
    backward_induction,
    refuse_hidden_information,
)
from analysis.equilibria.equilibrium import (
    Equilibrium,
    Unverified,
    is_constant_sum,
    require_two_players,
    verified,
)
from analysis.equilibria.gambit import SOLVERS, as_tree, equilibria_by
from analysis.equilibria.quantal_limit import quantal_limit
from analysis.equilibria.units import Units
from analysis.equilibria.zero_sum import sequence_form_lp
from games import Game, InputError, NormalForm, SequenceForm, Strategy, as_form
from games.common.errors import did_you_mean
from games.common.progress import Progress
from games.finite.reduced import reduced_size
from games.finite.sequence_form import Float64

TOLERANCE = 1e-6
# Where there is a choice, the numbers in a tree's normal form up to which Gambit gets that: it
# grows exponentially, and with it the time of solvers that nothing can be asked of meanwhile.
SMALL_TABLE = 50_000
BRANCH_UP_TO = 3_000  # sequences of all players: beyond, a step along the branch takes minutes
SHARPENED = ", sharpened by Newton's method"


METHODS = {
    "auto": "picked by the game's class and size",
    "lp": "two players, zero-sum: sequence-form LP on HiGHS",
    "backward": "perfect information: backward induction, subgame perfect",
    "branch": "one equilibrium, of trees too: the quantal response path, then Newton's method",
    "dynamics": "trees of any size: regret dynamics, then Newton's method; may be approximate",
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

    One that is asked for by method "auto", "branch" or "dynamics" may be `approximate`: where no
    solver gets below the tolerance, or was not given the time, the play nearest to an equilibrium
    is returned, and its `regret` and `gains` say how near that is.

    Args:
        game: a game; or a sequence form, for which the tree is not known: perfect information is
            not seen then, and Gambit gets its reduced normal form.
        which: "one" or "all".
        method: a key of `METHODS`.
        seconds: the most that each of the solvers may take; the LP and backward induction do not
            look at it.
        progress: see `games.common.progress.Progress`.
        tolerance: the largest gain that is let through, relative to the range of a player's
            utilities. For the LP it is always 1e-9.

    Raises:
        InputError: an unknown method, or one that does not fit the game.
        GameError: imperfect recall; or a normal form too large to lay out, which all equilibria
            and most of the methods by name need.
        Unverified: no solver's answer had a small enough regret.
        TimeoutError: nothing was found in time.
    """
    if method not in METHODS:
        raise InputError(f"no Nash method {method!r}: {did_you_mean(method, METHODS)}")
    if which not in ("one", "all"):
        raise InputError(f"which is 'one' or 'all', not {which!r}")
    form = as_form(game)  # compiled once: of a game in Python that is a slow walk
    if which == "all" and method != "auto" and not (method in SOLVERS and SOLVERS[method].all):
        raise InputError(f"{method} finds one equilibrium; all are found by enummixed or enumpoly")
    if method == "lp" or (method in SOLVERS and SOLVERS[method].two_players):
        require_two_players(form, method)
    one_by_class = method == "auto" and which == "one"
    if isinstance(game, SequenceForm):
        if method == "backward":
            raise InputError(f"{form.game}: backward induction needs the game, not its form")
    elif method == "backward":
        return backward_induction(game)
    elif one_by_class and not isinstance(game, NormalForm):
        with contextlib.suppress(ImperfectInformation):
            refuse_hidden_information(game)
            return backward_induction(game)
    if method == "lp" or (one_by_class and is_constant_sum(form)):
        return sequence_form_lp(form, progress=progress)
    units = Units.of(form)
    errors: list[Exception] = []
    near: list[Equilibrium] = []
    for name in _candidates(game, form, which, method):
        watch = _Watch(seconds, progress)
        try:
            if name in OWN:
                answer = OWN[name](form, units, tolerance, watch)
                if not answer.approximate:
                    return answer
                near.append(answer)
            else:
                ask = None if watch.progress is None else watch.ask
                found = equilibria_by(name, game, form, units, which, tolerance, watch.seconds, ask)
                if found:
                    return found[0] if which == "one" else found
                # A finite game has an equilibrium, though perhaps none in pure strategies.
                none = "none in pure strategies" if name == "enumpure" else "none: it failed"
                errors.append(Unverified(f"{form.game}: {name} found {none}"))
        except (Unverified, RuntimeError, TimeoutError, InputError) as error:
            errors.append(error)
        if watch.stopped:
            break
    if near:
        return min(near, key=lambda e: float((e.gains / units.width).max()))
    if len(errors) == 1 or isinstance(errors[-1], TimeoutError):
        raise errors[-1]
    raise Unverified("; ".join(str(error) for error in errors))


def _candidates(
    game: Game | SequenceForm, form: SequenceForm, which: str, method: str
) -> Iterator[str]:
    """The solvers in the order in which they are tried; without those of tables, if it is large."""
    if method != "auto":
        yield method
    elif which == "all":
        yield "enummixed" if form.num_players == 2 else "enumpoly"
    else:
        small = isinstance(game, NormalForm) or reduced_size(form) <= SMALL_TABLE
        first = ("lcp", "enummixed") if form.num_players == 2 else ("enumpure", "gnm")
        then = ("logit",) if form.num_players == 2 else ("logit", "simpdiv")
        for name in (*first, "branch", *then, "dynamics"):
            if name == "branch":
                fits = form.arrays.num_sequences <= BRANCH_UP_TO
            else:
                fits = name in OWN or small or as_tree(game, form, name) is not None
            if fits:
                yield name


class _Watch:
    """A `Progress` for one solver, which has so many seconds; it remembers a wish to stop."""

    def __init__(self, seconds: float | None, progress: Progress | None) -> None:
        self.seconds, self.progress = seconds, progress
        self.began = time.perf_counter()
        self.stopped = False

    def ask(self, message: str) -> bool:
        """Whether the user wants to stop."""
        if self.progress is not None and self.progress(message):
            self.stopped = True
        return self.stopped

    def __call__(self, message: str) -> bool:
        """The same, or whether time is up."""
        late = self.seconds is not None and time.perf_counter() - self.began > self.seconds
        return self.ask(message) or late


def _branch(form: SequenceForm, units: Units, tolerance: float, watch: _Watch) -> Equilibrium:
    """By the quantal response path; see `analysis.equilibria.quantal_limit`."""
    behaviour, sharp, ended = quantal_limit(units.form, tolerance, watch)
    method = "quantal response path" + (SHARPENED if sharp else "")
    return _nearest(form, units, behaviour, method, tolerance, ended)


def _dynamics(form: SequenceForm, units: Units, tolerance: float, watch: _Watch) -> Equilibrium:
    """By regret dynamics; see `analysis.equilibria.average_play`."""
    behaviour, sharp, ended = average_play(units.form, tolerance, watch)
    method = "regret dynamics" + (SHARPENED if sharp else "")
    return _nearest(form, units, behaviour, method, tolerance, ended)


def _nearest(
    form: SequenceForm, units: Units, behaviour: Float64, method: str, tolerance: float, ended: str
) -> Equilibrium:
    """The result of our own solver: an equilibrium, or play near one."""
    strategy = Strategy.from_behaviour(form, behaviour)
    found = Equilibrium("nash", form.game, method, *units.measured(behaviour), strategy)
    try:
        return verified(found, form, tolerance)
    except Unverified:
        share = float((found.gains / units.width).max())
        words = f"a player could gain {share:.1e} of what is at stake for it ({ended})"
        return replace(found, approximate=True, facts={"approximate": words})


OWN: dict[str, Callable[[SequenceForm, Units, float, _Watch], Equilibrium]] = {
    "branch": _branch,
    "dynamics": _dynamics,
}
