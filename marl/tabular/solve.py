"""`solve`: run any tabular method until a target, a number of iterations, or a time limit."""

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
    """Solve a game by a tabular method.

    Args:
        game: a sequence form; or a game, which a sampling method need not enumerate.
        method: a name of `list_methods()`, with its parameters as `options`, or a config.
        iterations: the most iterations (1000 if not given); also the horizon of scheduled methods.
        target: stop once NashConv is at most this, evaluated about 24 times per decade.
        seconds: stop after so many seconds.
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
        raise InputError(f"{next(iter(options))}: put parameters into the given config")
    config = find(method, options) if isinstance(method, str) else method
    solving = Solving(game, config, stop, seed=seed)
    for point in solving:
        if point is not None and callback is not None:
            callback(point)
    return solving.solution()
