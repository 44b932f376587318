"""Compare with OpenSpiel, Gambit, RLlib, OSQP (LiteEFG, if installed); writes
docs/reports/benchmarks.md.

    python -m benchmarks.bench [--quick] [--out FILE]

Everything runs on one thread. Peers are measured in turn, chunk by chunk, and the best chunk of
each counts, so that a slow moment of the machine does not decide a ratio. `--quick` leaves out the
game of 3.3 million histories, which takes OpenSpiel 8 GB and minutes, and the largest games of
`benchmarks.equilibria` and `benchmarks.learning`.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[variable] = "1"

import numpy as np  # noqa: E402
import pyspiel  # noqa: E402

import analysis  # noqa: E402
import games  # noqa: E402
from benchmarks import equilibria, learning  # noqa: E402
from benchmarks.bench_page import EQUALLED, GAMES, METHODS, report  # noqa: E402
from benchmarks.footprint import LARGE  # noqa: E402
from benchmarks.navigation import planar_qp  # noqa: E402
from benchmarks.navigation import speed as navigation_speed  # noqa: E402
from games.finite.sequence_form import Treeplex  # noqa: E402
from marl import tabular  # noqa: E402

CHUNKS = 7
CHUNK_SECONDS = 0.3
TARGET = 1e-3

Step = Callable[[int], object]


def best_rates(steps: dict[str, Step], chunks: int = CHUNKS) -> dict[str, float]:
    """Calls a second of each peer: the best of several chunks, the peers taking turns."""
    sizes = {}
    for name, step in steps.items():
        step(1)  # compiles, allocates
        began, size = time.perf_counter(), 1
        step(1)
        while (took := time.perf_counter() - began) < CHUNK_SECONDS / 4:
            began, size = time.perf_counter(), 4 * size
            step(size)
        sizes[name] = max(1, int(size * CHUNK_SECONDS / took))
    best = dict.fromkeys(steps, 0.0)
    for _ in range(chunks):
        for name, step in steps.items():
            began = time.perf_counter()
            step(sizes[name])
            best[name] = max(best[name], sizes[name] / (time.perf_counter() - began))
    return best


def iteration_rates(game: games.Game, form: games.SequenceForm, chunks: int) -> dict[str, float]:
    """CFR+ iterations a second, each of which updates both players."""
    solver = tabular.find("cfr+").start(form, iterations=1, seed=0)
    openspiel = pyspiel.CFRPlusSolver(game.openspiel)

    def openspiel_step(n: int) -> None:
        for _ in range(n):
            openspiel.evaluate_and_update_policy()

    steps: dict[str, Step] = {"schelling": solver.step, "OpenSpiel": openspiel_step}
    if (peer := _liteefg(game)) is not None:
        steps["LiteEFG"] = peer
    return best_rates(steps, chunks)


def iterations_to_equal(
    game: games.Game, form: games.SequenceForm, given: int
) -> tuple[int, int, float]:
    """CFR+ iterations of OpenSpiel and of ours until NashConv is what OpenSpiel has after `given`.

    That is, until it is that or less for the first time, which can be before `given` iterations;
    and that NashConv. Our evaluation judges both, and agrees with OpenSpiel's to 1e-10.
    """
    openspiel = pyspiel.CFRPlusSolver(game.openspiel)
    theirs = []
    for _ in range(given):
        openspiel.evaluate_and_update_policy()
        theirs.append(analysis.nash_conv(form, _average(form, openspiel.average_policy())))
    target = theirs[-1] * (1 + 1e-9)  # the same play but for rounding is equally good
    first = 1 + int(np.argmax(np.array(theirs) <= target))
    solver = tabular.find("cfr+").start(form, iterations=1, seed=0)
    while solver.iteration < 100 * given:
        solver.step(1)
        if analysis.nash_conv(form, solver.strategy()) <= target:
            return first, solver.iteration, theirs[-1]
    raise RuntimeError(f"{form.game}: NashConv {target:g} is out of reach")


def _average(form: games.SequenceForm, policy: pyspiel.Policy) -> games.Strategy:
    """A policy of OpenSpiel's solvers as a Strategy."""
    behaviour = [
        probability
        for player in form.players
        for probability in (1.0, *_probabilities(player, policy))
    ]
    return games.Strategy.from_behaviour(form, np.array(behaviour))


def _probabilities(player: Treeplex, policy: pyspiel.Policy) -> Iterator[float]:
    ends = player.first_sequence + player.num_actions
    for name, start, end in zip(player.information_sets, player.first_sequence, ends, strict=True):
        chosen = dict(policy.action_probabilities(name))
        yield from (chosen[action] for action in player.actions[start:end].tolist())


def _liteefg(game: games.Game) -> Step | None:
    """LiteEFG's CFR+ with linear averaging, or None if it is not installed or lacks the game."""
    if game.name == LARGE:
        return None  # it writes the game to a text file first, node by node
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            import LiteEFG
            from LiteEFG.baselines.CFRplus import graph

            rule = graph()
            env = LiteEFG.OpenSpielEnv(game.openspiel, traverse_type="Enumerate")
            env.set_graph(rule)
    except (ImportError, RuntimeError, ValueError, OSError):
        return None

    def step(n: int) -> None:
        for _ in range(n):
            rule.update_graph(env)
            env.update_strategy(rule.current_strategy())

    return step


def nash_conv_rates(game: games.Game, form: games.SequenceForm) -> dict[str, float]:
    """Evaluations of NashConv a second, on the same random strategy, checked to agree."""
    strategy = games.Strategy.random(form, np.random.default_rng(0))
    policy = {
        name: list(strategy.action_probabilities(name).items())
        for name in strategy.information_sets
    }
    ours = analysis.nash_conv(form, strategy)
    theirs = pyspiel.nash_conv(game.openspiel, policy)
    assert abs(ours - theirs) < 1e-10, (ours, theirs)

    def repeat(evaluate: Callable[[], object]) -> Step:
        return lambda n: [evaluate() for _ in range(n)]

    steps = {
        "schelling": repeat(lambda: analysis.nash_conv(form, strategy)),
        "OpenSpiel": repeat(lambda: pyspiel.nash_conv(game.openspiel, policy)),
    }
    return best_rates(steps, chunks=3)


def compile_seconds(game: games.Game, repeats: int) -> float:
    """The fastest of several compilations, without the cache."""
    best = float("inf")
    for _ in range(repeats):
        began = time.perf_counter()
        game.sequence_form(cached=False)
        best = min(best, time.perf_counter() - began)
    return best


CONVERGENCE = ("Kuhn", "Leduc", "LD-4", "LD-5", "Goofspiel-4 random", "Battleship 2x2")
NEXT_AVERAGED = ("Kuhn", "Battleship 2x2")  # as in the reference figures that the tests compare


def convergence_rows() -> list[tuple[str, list[float]]]:
    """NashConv of every method after 1,000 iterations, a row a game."""
    rows = []
    for label in CONVERGENCE:
        form = games.load(GAMES[label]).sequence_form()
        averaging = "next" if label in NEXT_AVERAGED else "current"
        options = {name: {"averaging": averaging} for name in METHODS if name != "mmd"}
        gaps = [
            tabular.solve(form, name, iterations=1000, **options.get(name, {})).nash_conv
            for name in METHODS
        ]
        rows.append((label, gaps))
    return rows


OPENSPIEL_TO_TARGET = """
import pyspiel
game = pyspiel.load_game("leduc_poker")
solver = pyspiel.CFRPlusSolver(game)
for _ in range({iterations}):
    solver.evaluate_and_update_policy()
print(pyspiel.nash_conv(game, solver.average_policy()))
"""


def process(command: list[str], **environment: str) -> tuple[float, str]:
    """Wall-clock seconds of a whole process, and the last line it printed."""
    began = time.perf_counter()
    done = subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True, check=True
    )
    return time.perf_counter() - began, done.stdout.strip().splitlines()[-1]


def cold_and_warm(pairs: int = 5) -> dict[str, float]:
    """Medians of whole processes, from the command line to an answer, in seconds."""
    import json

    schelling = [sys.executable, "-m", "scenarios.cli", "solve"]
    leduc = [*schelling, "leduc_poker", "--target", str(TARGET), "--json"]
    seconds: dict[str, list[float]] = {}
    for _ in range(pairs):
        with tempfile.TemporaryDirectory() as empty:
            caches = {"NUMBA_CACHE_DIR": f"{empty}/numba", "SCHELLING_CACHE": f"{empty}/games"}
            took, line = process(leduc, **caches)
            answer = json.loads(line)
            assert answer["nash_conv"] <= TARGET
            seconds.setdefault("Leduc, cold", []).append(took)
            seconds.setdefault("Leduc, second run", []).append(process(leduc, **caches)[0])
            kuhn = [*schelling, "kuhn_poker", "--json"]
            process(kuhn, **caches)
            seconds.setdefault("Kuhn, warm", []).append(process(kuhn, **caches)[0])
        # OpenSpiel is spared every evaluation but the last: it is told when to stop.
        code = OPENSPIEL_TO_TARGET.format(iterations=answer["iterations"])
        took, gap = process([sys.executable, "-c", code])
        assert float(gap) <= 1.1 * TARGET  # after so many iterations rounding shows
        seconds.setdefault("Leduc, OpenSpiel", []).append(took)
    return {name: float(np.median(values)) for name, values in seconds.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--out", type=Path, default=Path("docs/reports/benchmarks.md"))
    options = parser.parse_args()

    rates_rows, nash_rows, compile_rows = [], [], []
    for label, name in GAMES.items():
        if options.quick and name == LARGE:
            continue
        game = games.load(name)
        compile_rows.append((label, compile_seconds(game, 1 if name == LARGE else 3)))
        form = game.sequence_form()
        rates = iteration_rates(game, form, 2 if name == LARGE else CHUNKS)
        equal = iterations_to_equal(game, form, EQUALLED[label])
        rates_rows.append((label, form, rates, equal))
        if name != LARGE:
            nash_rows.append((label, nash_conv_rates(game, form)))
        print(f"{label}: {rates['schelling'] / rates['OpenSpiel']:.0f} times OpenSpiel", flush=True)
    start = cold_and_warm()
    peak = None
    if not options.quick:
        footprint = [sys.executable, "-m", "benchmarks.footprint", LARGE]
        peak = subprocess.run(footprint, capture_output=True, text=True, check=True).stdout
    page = [report(rates_rows, nash_rows, compile_rows, start, peak, convergence_rows())]
    # Written as it goes: what fails late does not lose what was measured before.
    for section in (
        lambda: equilibria.sections(options.quick),
        lambda: learning.sections(options.quick),
        planar_qp.lines,
        navigation_speed.lines,
    ):
        options.out.write_text("\n".join(page))
        page += section()
    options.out.write_text("\n".join(page))
    print(f"wrote {options.out}")


if __name__ == "__main__":
    main()
