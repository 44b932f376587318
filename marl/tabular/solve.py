"""One call for every method: iterate until a target, a number of iterations, or time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from games import Game, InputError, SequenceForm
from games.common.settings import checked
from marl.tabular.method import DEFAULT, Method, find
from marl.tabular.solving import Evaluation, Solution, Solving, Stop


def solve(
    game: SequenceForm | Game,
    method: str | Method = DEFAULT,
    *,
    iterations: int | None = None,
    target: float | None = None,
    seconds: float | None = None,
    seed: int = 0,
    callback: Callable[[Evaluation], object] | None = None,
    **options: Any,
) -> Solution:
    """Run a method on a game.

    Args:
        game: a sequence form; or a game, which a sampling method need not enumerate.
        method: a name of `list_methods()`, with its parameters as `options`, or a config.
        iterations: the most iterations (1000 if not given); also the horizon of scheduled methods.
        target: stop once NashConv is at most this, looked at about 24 times a decade.
        seconds: stop after this long.
        seed: of methods that sample.
        callback: called with every evaluation.

    Raises:
        InputError: an unknown method or option, or a negative limit.
        FloatingPointError: the method's numbers overflowed.
    """
    limits = {"iterations": iterations, "target": target, "seconds": seconds}
    given = {name: limit for name, limit in limits.items() if limit is not None}
    stop = checked(Stop, given, "stop")
    if options and not isinstance(method, str):
        raise InputError(f"{next(iter(options))}: parameters go into the config that was given")
    config = find(method, options) if isinstance(method, str) else method
    solving = Solving(game, config, stop, seed=seed)
    for point in solving:
        if point is not None and callback is not None:
            callback(point)
    return solving.solution()
