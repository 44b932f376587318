"""The largest games for which each equilibrium is found, by a ladder of sizes; writes
docs/reports/limits.md.

    python -m benchmarks.limits [--seconds 30] [--out FILE]

Every rung runs in its own process. A ladder ends at the first rung that takes longer than the
limit. Seconds are of CPU, the game's compilation not counted.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import platform
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[variable] = "1"

import numpy as np  # noqa: E402

import analysis  # noqa: E402
import games  # noqa: E402
from games.finite.bayesian import BayesianGame  # noqa: E402
from games.finite.security import SecurityGame  # noqa: E402

DEEP = 600  # moves of a centipede
Rung = tuple[str, Callable[[], Any], Callable[[Any], Any]]  # size, make the game, solve it


def table(*shape: int, zero_sum: bool = False) -> games.NormalForm:
    """Uniformly random payoffs, seeded."""
    rng = np.random.default_rng(0)
    count = 1 if zero_sum else len(shape)
    return games.NormalForm.from_payoffs(*(rng.random(shape) for _ in range(count)))


def tree(name: str) -> games.SequenceForm:
    return games.load(name).sequence_form()


def sheriff(bribe: int, rounds: int) -> str:
    return (
        "sheriff(item_penalty=1.0,item_value=5.0,sheriff_penalty=1.0,max_items=10,"
        f"max_bribe={bribe},num_rounds={rounds})"
    )


def bayesian(types: int, actions: int) -> BayesianGame:
    rng = np.random.default_rng(0)
    shape = (types, actions, actions)
    return BayesianGame(rng.random(shape), rng.random(shape), np.full(types, 1 / types))


def guarded(targets: int) -> SecurityGame:
    rng = np.random.default_rng(0)
    defender, attacker = np.sort(rng.random((2, targets)), 0), np.sort(rng.random((2, targets)), 0)
    names = tuple(map(str, range(targets)))
    return SecurityGame(names, defender[1], defender[0], attacker[0], attacker[1], targets // 4)


LD = "liars_dice(numdice=1,dice_sides={})"
GOOF = "goofspiel(num_cards={},imp_info=True,points_order=random)"


def tables(
    shapes: list[tuple[int, ...]], solve: Callable[[Any], Any], *, zero_sum: bool = False
) -> list[Rung]:
    return [
        (" x ".join(map(str, s)), lambda s=s: table(*s, zero_sum=zero_sum), solve)  # type: ignore[misc]
        for s in shapes
    ]


def trees(names: list[str], solve: Callable[[Any], Any]) -> list[Rung]:
    return [(f"`{n}`", lambda n=n: tree(n), solve) for n in names]  # type: ignore[misc]


LADDERS: dict[str, list[Rung]] = {
    "Nash, zero-sum table, LP": tables(
        [(100, 100), (300, 300), (1000, 1000)], analysis.nash, zero_sum=True
    ),
    "Nash, zero-sum tree, LP": trees(
        ["leduc_poker", LD.format(5), LD.format(6), GOOF.format(4), GOOF.format(5)], analysis.nash
    ),
    "Nash, all of two players": tables(
        [(8, 8), (10, 10), (12, 12), (14, 14), (16, 16)], lambda g: analysis.nash(g, "all")
    ),
    "Nash, one of two players": tables([(10, 10), (30, 30), (100, 100), (300, 300)], analysis.nash),
    "Nash, one of three players": tables([(3,) * 3, (6,) * 3, (10,) * 3, (20,) * 3], analysis.nash),
    "Nash, all of three players": tables(
        [(2,) * 3, (3,) * 3, (4,) * 3], lambda g: analysis.nash(g, "all")
    ),
    "Quantal response, branch, precision 5": trees(
        ["kuhn_poker", "kuhn_poker(players=3)", "leduc_poker(suit_isomorphism=True)"],
        lambda f: analysis.logit(f, 5.0, method="branch"),
    ),
    "Quantal response, mirror descent, precision 5": trees(
        ["leduc_poker", LD.format(5), LD.format(6)],
        lambda f: analysis.logit(f, 5.0, method="mirror"),
    ),
    "CE of the largest welfare, LP": tables(
        [(10, 10), (20, 20), (40, 40), (80, 80), (6, 6, 6), (12, 12, 12)],
        lambda g: analysis.correlated_equilibrium(g, "ce"),
    ),
    "CE of maximum entropy": tables(
        [(10, 10), (20, 20), (30, 30)],
        lambda g: analysis.correlated_equilibrium(g, "ce", "entropy"),
    ),
    "CCE of the largest welfare, LP": tables(
        [(40, 40), (100, 100), (150, 150)], lambda g: analysis.correlated_equilibrium(g, "cce")
    ),
    "EFCE of the largest welfare, LP": trees(
        [sheriff(2, 1), sheriff(2, 2), sheriff(3, 2), sheriff(2, 3)],
        lambda f: analysis.extensive_correlated_equilibrium(f, "efce"),
    ),
    "EFCE by dynamics, to gap 0.01": trees(
        ["kuhn_poker(players=3)", "leduc_poker", LD.format(5), "leduc_poker(players=3)"],
        lambda f: analysis.correlated_dynamics(f, "efce", iterations=100_000, target=0.01),
    ),
    "EFCCE by dynamics, to gap 0.01": trees(
        ["leduc_poker", LD.format(5), LD.format(6), "leduc_poker(players=3)"],
        lambda f: analysis.correlated_dynamics(f, "efcce", iterations=100_000, target=0.01),
    ),
    "Stackelberg, table": tables([(50, 50), (100, 100), (300, 300)], analysis.multiple_lps),
    "Stackelberg, Bayesian": [
        (f"{t} types, {n} x {n}", lambda t=t, n=n: bayesian(t, n), analysis.bayesian_stackelberg)  # type: ignore[misc]
        for t, n in ((5, 5), (10, 5), (6, 10), (4, 20))
    ],
    "Stackelberg, security, ORIGAMI": [
        (f"{n:,} targets", lambda n=n: guarded(n), analysis.origami)  # type: ignore[misc]
        for n in (100, 1_000, 10_000)
    ],
    "Stackelberg, tree": trees(
        [sheriff(2, 1), sheriff(2, 2), sheriff(3, 2), "leduc_poker(suit_isomorphism=True)"],
        analysis.commitment,
    ),
    "Alpha-rank": tables([(10, 10), (20, 20), (30, 30)], analysis.alpharank),
}


def measured(rung: Rung, limit: float) -> tuple[str, float | None, str]:
    """Description of the game, seconds (None if above the limit), and the result."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)

    def work() -> None:
        size, make, solve = rung
        try:
            game = make()
            solve(_warm(game))  # compiles and imports, off the clock
            began = time.process_time()
            found = solve(game)
            spent = time.process_time() - began
            sender.send((_described(size, game), spent, _outcome(found)))
        except Exception as error:  # a rung that fails is a row that says so
            sender.send((rung[0], -1.0, f"{type(error).__name__}: {error}"))

    child = context.Process(target=work)
    child.start()
    waited = receiver.poll(limit + 30)  # and the time to compile the game
    row = receiver.recv() if waited else (rung[0], None, "")
    child.kill()
    child.join()
    return row


def _warm(game: Any) -> Any:
    if isinstance(game, games.SequenceForm):
        return tree("kuhn_poker") if game.num_players == 2 else tree("kuhn_poker(players=3)")
    if isinstance(game, games.NormalForm):
        return table(*(2,) * game.num_players)
    return bayesian(2, 2) if isinstance(game, BayesianGame) else guarded(4)


def _described(size: str, game: Any) -> str:
    if isinstance(game, games.SequenceForm):
        sequences = " / ".join(f"{p.num_sequences:,}" for p in game.players)
        return f"{size}: {sequences} sequences"
    return size


def _outcome(found: Any) -> str:
    if isinstance(found, tuple):
        return f"{len(found)} found"
    if isinstance(found, analysis.Equilibrium):
        if found.gap > 1e-6:
            return f"gap {found.gap:.1e}"
        return f"regret {found.regret:.0e}" if found.regret > 1e-9 else ""
    return ""


SOLVERS = """
## Regret minimisation and mirror descent

Methods of `tabular.solve` sweep the whole sequence form, which the walk over the tree limits: 20
million histories unless `node_budget` says otherwise.

*Memory.* Bytes a leaf, of the arrays and of what comes on top of them (names of information sets,
Python's own tables while the game is walked, the solver), are in *Compiling a game* of
benchmarks.md (`python -m benchmarks.footprint`). Utilities and chance take one byte each at a leaf
where there are at most 256 different ones, two up to 4,096, else eight.

*Deep, narrow games.* A sweep visits every block, a run of information sets of equal depth and
number of actions, reached or not. Where a block is a single information set, as in a centipede,
nothing becomes a vector instruction, and OpenSpiel, which skips branches that no play reaches, can
be faster: CFR+ on a centipede of {moves} moves makes {ratio:.2f} times OpenSpiel's iterations a
second."""


def centipede(moves: int) -> str:
    """A zero-sum centipede in Gambit's format, which OpenSpiel reads too."""
    lines = ['EFG 2 R "centipede" { "a" "b" }', '""']
    for i in range(moves):
        lines.append(f'p "" {1 + i % 2} {i // 2 + 1} "" {{ "end" "go on" }} 0')
        lines.append(f't "" {i + 1} "" {{ {i % 7} {-(i % 7)} }}')
    lines.append(f't "" {moves + 1} "" {{ 1 -1 }}')
    return "\n".join(lines) + "\n"


def speed_on_a_centipede(moves: int) -> float:
    """Our CFR+ iterations a second over OpenSpiel's (C++)."""
    from benchmarks.bench import iteration_rates

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "centipede.efg"
        path.write_text(centipede(moves), encoding="utf-8")
        game = games.load(f"efg_game(filename={path})")
        rates = iteration_rates(game, game.sequence_form(), chunks=5)
    return rates["schelling"] / rates["OpenSpiel"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--out", type=Path, default=Path("docs/reports/limits.md"))
    arguments = parser.parse_args()
    lines = [
        "# How large a game",
        "",
        "Written by `make limits`: CPU seconds on one thread, without compiling the game; a ladder",
        f"of sizes for each equilibrium, up to {arguments.seconds:g} seconds.",
        f"Payoffs of tables are uniformly random. Python {platform.python_version()}.",
        "",
        "| equilibrium | game | seconds | |",
        "|---|---|---:|---|",
    ]
    for name, ladder in LADDERS.items():
        for rung in ladder:
            size, seconds, outcome = measured(rung, arguments.seconds)
            shown = "more" if seconds is None else "failed" if seconds < 0 else f"{seconds:.2f}"
            lines.append(f"| {name} | {size} | {shown} | {outcome} |")
            print(lines[-1], flush=True)
            if seconds is None or seconds > arguments.seconds:
                break
    solvers = SOLVERS.format(moves=DEEP, ratio=speed_on_a_centipede(DEEP))
    arguments.out.write_text("\n".join([*lines, solvers]) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
