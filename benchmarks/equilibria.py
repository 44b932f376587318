"""The equilibria's part of docs/reports/benchmarks.md, against Gambit and OpenSpiel; see
benchmarks.bench.

All times are CPU seconds of one process on one thread, but for all equilibria of a matrix game,
where it is the time that somebody waits. Games are warmed up first, so that neither imports nor
compilation count.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from importlib.metadata import version
from typing import Any
from unittest import mock

import numpy as np
import pygambit
import pyspiel
from open_spiel.python.algorithms import lp_solver, sequence_form_lp, stackelberg_lp

import analysis
import games
from benchmarks.page import table
from games.finite.gambit.reading import to_gambit

PLAIN = {
    "Kuhn": "kuhn_poker",
    "LD-3": "liars_dice(numdice=1,dice_sides=3)",
    "Leduc": "leduc_poker",
    "LD-5": "liars_dice(numdice=1,dice_sides=5)",
    "Goofspiel-4 random": "goofspiel(num_cards=4,imp_info=True,points_order=random)",
    "Battleship 2x2": (
        "battleship(board_width=2,board_height=2,ship_sizes=[2],ship_values=[2],num_shots=3,"
        "allow_repeated_shots=False)"
    ),
    "LD-6": "liars_dice(numdice=1,dice_sides=6)",
}
OPENSPIEL_SOLVES = ("Kuhn", "LD-3", "Leduc", "LD-5")  # beyond, its Python walk takes minutes
GAMBIT_SOLVES = ("Kuhn", "LD-3", "Leduc")
PATIENCE = 20  # seconds for Gambit's program
SHERIFF = (
    "sheriff(item_penalty=1.0,item_value=5.0,sheriff_penalty=1.0,max_bribe={},max_items=10,"
    "num_rounds={})"
)
DYNAMIC = {
    "Kuhn, 3 players": "kuhn_poker(players=3)",
    **{name: PLAIN[name] for name in ("Leduc", "LD-5", "Goofspiel-4 random")},
    "Sheriff, bribe 2, 2 rounds": SHERIFF.format(2, 2),
}
GAP = 0.01

Clock = Callable[[], float]


def sections(quick: bool) -> list[str]:
    """Lines of Markdown. `quick` takes fewer and smaller games."""
    lines = []
    for section in (nash_by_program, all_of_ten, stackelberg, correlated, quantal):
        began = time.perf_counter()
        lines += section(quick)
        print(f"{section.__name__}: {time.perf_counter() - began:.0f} s", flush=True)
    return lines


def in_turn(
    calls: Sequence[Callable[[], Any]], repeats: int, clock: Clock = time.process_time
) -> list[tuple[float, Any]]:
    """The median seconds of each call and its last answer, the calls taking turns."""
    seconds: list[list[float]] = [[] for _ in calls]
    answers: list[Any] = [None] * len(calls)
    for _ in range(repeats):
        for k, call in enumerate(calls):
            began = clock()
            answers[k] = call()
            seconds[k].append(clock() - began)
    return [(float(np.median(s)), a) for s, a in zip(seconds, answers, strict=True)]


def nash_by_program(quick: bool) -> list[str]:
    analysis.sequence_form_lp(games.load(PLAIN["Kuhn"]))
    _openspiel_program(PLAIN["Kuhn"])
    rows = []
    for label, name in PLAIN.items():
        if quick and label == "LD-6":
            continue
        game = games.load(name)
        (compiling, form), = in_turn([partial(game.sequence_form, cached=False)], 1)  # fmt: skip
        (first, one), (second, other) = in_turn(
            [partial(analysis.sequence_form_lp, form, player=p) for p in (0, 1)], 3
        )
        theirs, ratio, gambits = "-", "-", "-"
        if label in OPENSPIEL_SOLVES:
            (seconds, value), = in_turn([partial(_openspiel_program, name)], 1)  # fmt: skip
            assert abs(value - one.value) < 1e-6, (label, value, one.value)
            theirs = _seconds(seconds)
            ratio = f"**{seconds / (compiling + first + second):.0f}**"
        if label in GAMBIT_SOLVES and not (quick and label == "Leduc"):
            gambits = _gambit_program(name, one.value)
        rows.append(
            [label, _seconds(compiling), _seconds(first), _seconds(second), f"{one.value:z.9f}",
             f"{abs(one.value - other.value):.0e}", theirs, ratio, gambits]
        )  # fmt: skip
    return [
        "## Nash by linear program",
        "",
        "From here on figures are CPU seconds, after a first call, and medians where calls are",
        "repeated. Here: the sequence-form program of either player; best responses to its two",
        "plans bound the value from both sides, to 1e-9. The difference is that of the two",
        "programs' values. OpenSpiel's `sequence_form_lp` walks the game, lays out both programs",
        "and solves them (with HiGHS, as here: its own default is not installed); the ratio is to",
        "compiling and both programs together. Gambit's `lp_solve`, in floats, has its tree",
        f"beforehand and may take {PATIENCE} s; - was not tried.",
        "",
        *table(
            ["game", "compiling", "program of player 0", "of player 1", "value", "difference",
             "OpenSpiel", "ratio", "Gambit"],
            rows,
        ),
    ]  # fmt: skip


def _openspiel_program(name: str) -> float:
    """The first player's value. OpenSpiel's options are ECOS's, and no other solver takes them."""
    with mock.patch.dict(lp_solver.DEFAULT_SOLVER_KWARGS, clear=True):
        game = pyspiel.load_game(name)
        return float(sequence_form_lp.solve_zero_sum_game(game, solver="HIGHS")[0])


GAMBIT_PROGRAM = """
import signal, time
import games, pygambit
from games.finite.gambit.reading import to_gambit
tree = to_gambit(games.load({name!r}))
signal.alarm({patience})
began = time.process_time()
found = pygambit.nash.lp_solve(tree, rational=False).equilibria[0]
seconds = time.process_time() - began
print(seconds, float(found.payoff(list(tree.players)[0])))
"""


def _gambit_program(name: str, value: float) -> str:
    """Seconds of Gambit's program, in a process that can be given up."""
    code = GAMBIT_PROGRAM.format(name=name, patience=PATIENCE)
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ, capture_output=True, text=True, check=False
    )
    if done.returncode < 0:  # ended by the alarm
        return f"> {PATIENCE}"
    assert done.returncode == 0, done.stderr
    seconds, found = map(float, done.stdout.split())
    assert abs(found - value) < 1e-6, (name, found, value)
    return _seconds(seconds)


def all_of_ten(quick: bool) -> list[str]:
    mine, alone, counts, same = [], [], [], 0
    number = 5 if quick else 20
    for seed in range(number):
        payoffs = np.random.default_rng(seed).random((10, 10, 2))
        game = games.NormalForm.from_payoffs(payoffs)
        theirs = pygambit.Game.from_arrays(payoffs[..., 0], payoffs[..., 1])
        if seed == 0:
            analysis.nash(game, "all")
        (ours, found), (gambits, listed) = in_turn(
            [
                partial(analysis.nash, game, "all"),
                partial(pygambit.nash.enummixed_solve, theirs, rational=False),
            ],
            3,
            time.perf_counter,
        )
        mine.append(ours)
        alone.append(gambits)
        counts.append(len(found))
        same += len(found) == len(listed.equilibria)
    ratio = np.median(np.array(mine) / np.array(alone))
    return [
        "## All equilibria of 10x10 games",
        "",
        '`analysis.nash(game, "all")`, which verifies every equilibrium, against the call to',
        f"Gambit {version('pygambit')} alone that stands inside it (`enummixed_solve`, floats).",
        f"{number} games with payoffs drawn uniformly, seeds from 0 on; of each the median of",
        "three alternated pairs. Seconds on the clock, medians over the games.",
        "",
        *table(
            ["", "schelling", "Gambit alone", "median ratio", "largest ratio", "same number found",
             "equilibria a game"],
            [["10x10", _seconds(np.median(mine)), _seconds(np.median(alone)), f"**{ratio:.2f}**",
              f"{max(a / b for a, b in zip(mine, alone, strict=True)):.2f}",
              f"{same} of {number}", f"{min(counts)} to {max(counts)}"]],
        ),
    ]  # fmt: skip


def stackelberg(quick: bool) -> list[str]:
    analysis.multiple_lps(games.NormalForm.from_payoffs(*np.eye(2)[None].repeat(2, axis=0)))
    rows = []
    for size, number, repeats in ((10, 5, 3), (50, 3, 1), (100, 1, 1)):
        if quick and size == 100:
            continue
        ours, theirs, worst = [], [], 0.0
        for seed in range(number):
            leader, follower = np.random.default_rng(seed).random((2, size, size))
            game = games.NormalForm.from_payoffs(leader, follower)
            matrix = pyspiel.create_matrix_game(leader, follower)
            (mine, found), (seconds, answer) = in_turn(
                [
                    partial(analysis.multiple_lps, game),
                    partial(stackelberg_lp.solve_stackelberg, matrix),
                ],
                repeats,
            )
            ours.append(mine)
            theirs.append(seconds)
            worst = max(worst, abs(found.value - float(answer[2])))
        mine, seconds = np.median(ours), np.median(theirs)
        rows.append(
            [f"{size} x {size}", str(number), _seconds(mine), _seconds(seconds),
             f"**{seconds / mine:.0f}**", f"{worst:.0e}"]
        )  # fmt: skip
    return [
        "## Stackelberg",
        "",
        "The leader's best commitment in games with payoffs drawn uniformly: `multiple_lps`",
        "against OpenSpiel's `stackelberg_lp`, median over the games, and the largest difference",
        "in the leader's value.",
        "",
        *table(["size", "games", "schelling", "OpenSpiel", "ratio", "difference"], rows),
    ]


def correlated(quick: bool) -> list[str]:
    sizes = ((2, 1), (2, 2), (3, 2)) if quick else ((2, 1), (2, 2), (3, 2), (2, 3))
    analysis.extensive_correlated_equilibrium(games.load(SHERIFF.format(0, 1)), "efce")
    programs = []
    for bribe, rounds in sizes:
        form = games.load(SHERIFF.format(bribe, rounds)).sequence_form()
        call = partial(analysis.extensive_correlated_equilibrium, form, "efce")
        (seconds, found), = in_turn([call], 1)  # fmt: skip
        programs.append(
            [f"bribe {bribe}, rounds {rounds}", f"{found.facts['pairs']:,.0f}", _seconds(seconds),
             f"{found.values[0]:.4f}, {found.values[1]:.4f}", f"{found.regret:.0e}"]
        )  # fmt: skip
    rows = []
    for label, name in DYNAMIC.items():
        form = games.load(name).sequence_form()
        own = [label]
        for concept in ("nfcce", "efcce", "efce"):
            analysis.correlated_dynamics(form, concept, iterations=2)
            run = partial(
                analysis.correlated_dynamics,
                form,
                concept,
                iterations=10**6,
                target=GAP,
                seconds=30,
            )
            (seconds, found), = in_turn([run], 1)  # fmt: skip
            assert found.regret <= GAP, (label, concept, found)
            own.append(f"{_seconds(seconds)} ({found.facts['iterations']:,})")
        measure = partial(analysis.distances, found.joint, ("efce", "efcce", "cce"))
        measure()
        (seconds, measured), = in_turn([measure], 1)  # fmt: skip
        assert measured["efce"].max() <= GAP + 1e-9
        rows.append([*own, f"{_seconds(seconds)} ({len(found.joint.weights):,})"])
    return [
        "## Correlated equilibria",
        "",
        "The EFCE of largest welfare by the program over correlation plans, on Sheriff with 10",
        "items (Farina, Ling, Fang and Sandholm 2019). A pair of sequences is a variable.",
        "",
        *table(["Sheriff", "pairs", "seconds", "values", "regret"], programs),
        f"Regret dynamics until no player could gain more than {GAP:g}: seconds (and iterations).",
        "Last, the seconds it takes to measure the EFCE's play anew, for all three concepts (and",
        "the number of its profiles).",
        "",
        *table(["game", "NFCCE", "EFCCE", "EFCE", "measuring"], rows),
    ]


def quantal(quick: bool) -> list[str]:
    game = games.load(PLAIN["Kuhn"])
    sources = {"agent": to_gambit(game), "normal": to_gambit(games.as_normal_form(game))}
    rows = []
    for kind, source in sources.items():
        for precision in (1.0, 10.0):
            analysis.logit(game, precision, kind=kind)
            (ours, found), (theirs, _) = in_turn(
                [
                    partial(analysis.logit, game, precision, kind=kind, method="branch"),
                    partial(pygambit.qre.logit_solve_lambda, source, [precision]),
                ],
                3 if quick else 9,
            )
            other = analysis.logit(game, precision, kind=kind, method="gambit")
            plays = [e.strategy.probabilities for e in (found, other) if e.strategy]
            difference = np.abs(plays[0] - plays[1]).max()
            rows.append(
                [kind, f"{precision:g}", f"{1e3 * ours:.1f}", f"{1e3 * theirs:.1f}",
                 f"**{theirs / ours:.1f}**", f"{difference:.0e}"]
            )  # fmt: skip
    return [
        "## Quantal response",
        "",
        "The logit equilibrium of Kuhn poker by the principal branch, from precision 0:",
        "milliseconds, median of alternated calls, and the largest difference of a probability.",
        "Gambit's `logit_solve_lambda` has its tree, or its reduced normal form, beforehand.",
        "",
        *table(["kind", "precision", "schelling", "Gambit", "ratio", "difference"], rows),
    ]


def _seconds(seconds: float) -> str:
    return f"{seconds:.0f}" if seconds >= 10 else f"{seconds:.2g}"
