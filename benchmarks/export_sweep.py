"""Export every two-player OpenSpiel game to .efg and read it back; writes
docs/reports/export.md.

    python -m benchmarks.export_sweep [--out FILE]

A game is tried with the parameters in SMALL, else with its defaults. It passes if its file loads in
pygambit and gives the same sequence form, and the same value: by our linear program where it is
zero-sum, and else of a seeded random strategy.
"""

from __future__ import annotations

import argparse
import io
import multiprocessing
import os
import platform
import re
import resource
import tempfile
import time
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

import analysis
import games
from analysis.equilibria.equilibrium import is_constant_sum
from analysis.equilibria.zero_sum import sequence_form_lp
from games import SequenceForm, Strategy
from games.finite.gambit.reading import pygambit
from games.finite.gambit.text import efg_text, quoted, write_efg

MOST_HISTORIES = 100_000
TOLERANCE = 1e-9
SECONDS = 120.0  # for one game; some hang
MEMORY = 8 << 30  # bytes for one game
# Above so many histories times information sets Gambit's own reader is given a file without labels:
# it takes about 0.1 us each. `games.load` reads the one with labels.
SLOW_LABELS = 20_000_000

KUHN = "kuhn_poker()"
# Parameters with which a game is small enough, where its defaults are not or it has none.
SMALL: dict[str, tuple[str, ...]] = {
    "add_noise": (f"epsilon=0.1,seed=1,game={KUHN}",),
    "bargaining": ("max_turns=1,max_num_instances=50", "max_turns=2,max_num_instances=10"),
    "battleship": (
        "board_width=2,board_height=2,ship_sizes=[2],ship_values=[2],num_shots=3,"
        "allow_repeated_shots=False",
        "board_width=2,board_height=2,ship_sizes=[1],ship_values=[1],num_shots=2,"
        "loss_multiplier=2.0",
    ),
    "breakthrough": ("rows=3,columns=2", "rows=3,columns=3"),
    "cached_tree": (f"game={KUHN}",),
    "chinese_checkers": ("max_moves=2",),
    "clobber": ("rows=2,columns=3", "rows=3,columns=3"),
    "connect_four": ("rows=2,columns=3,x_in_row=2", "rows=3,columns=3,x_in_row=3"),
    "crazy_eights": ("players=2",),
    "cursor_go": ("board_size=2,max_cursor_moves=2",),
    "dark_hex": ("board_size=2", "board_size=2,gameversion=adh"),
    "dark_hex_ir": ("board_size=2",),
    "dots_and_boxes": ("num_rows=1,num_cols=1", "num_rows=1,num_cols=2"),
    "first_sealed_auction": ("max_value=4", "max_value=10"),
    "go": ("board_size=2,max_game_length=4", "board_size=2"),
    "go_fish": ("ranks=2,suits=2,initial_cards=1",),
    "gomoku": ("size=2,connect=2", "size=3,connect=2"),
    "goofspiel": (
        "num_cards=3,imp_info=True",
        "num_cards=4,imp_info=True",
        "num_cards=5,imp_info=True,points_order=descending",
    ),
    "havannah": ("board_size=2",),
    "hex": ("board_size=2", "num_cols=3,num_rows=2"),
    "leduc_poker": ("", "suit_isomorphism=True"),
    "liars_dice": (
        "dice_sides=2",
        "dice_sides=3",
        "dice_sides=4",
        "dice_sides=5",
        "numdice=2,dice_sides=2",
    ),
    "liars_dice_ir": ("dice_sides=3",),
    "misere": (f"game={KUHN}",),
    "lines_of_action": ("max_game_length=2",),
    "mnk": ("m=2,n=2,k=2", "m=3,n=3,k=2"),
    "nim": ("pile_sizes=1;2", "pile_sizes=1;2;3", "pile_sizes=1;3;3"),
    "normal_form_extensive_game": (f"game={KUHN}",),
    "oshi_zumo": ("coins=4,size=1,horizon=3", "coins=5,size=1,horizon=4"),
    "oware": ("num_houses_per_player=2,num_seeds_per_house=1",),
    "pig": ("winscore=3,diceoutcomes=2,horizon=8",),
    "python_liars_poker": (
        "hand_length=1,num_digits=2",
        "hand_length=1,num_digits=3",
        "hand_length=2,num_digits=2",
    ),
    "quoridor": ("board_size=3,wall_count=1",),
    "repeated_game": ("stage_game=matrix_pd(),num_repetitions=2",),
    "repeated_leduc_poker": ("num_hands=1",),
    "restricted_nash_response": (f"game={KUHN},fixed_player=0,p=0.5",),
    "sheriff": (
        "item_penalty=1.0,item_value=5.0,max_bribe=2,max_items=3,num_rounds=1,sheriff_penalty=1.0",
        "max_bribe=2,max_items=2,num_rounds=3",
    ),
    "start_at": (f"history=0;1,game={KUHN}",),
    "trade_comm": ("num_items=2", "num_items=3"),
    "turn_based_simultaneous_game": ("game=goofspiel(num_cards=3,imp_info=True)",),
    "universal_poker": (
        "betting=limit,numPlayers=2,numRounds=2,blind=1 1,raiseSize=2 4,maxRaises=1 1,"
        "firstPlayer=1 1,numSuits=2,numRanks=3,numHoleCards=1,numBoardCards=0 1",
    ),
    "y": ("board_size=2", "board_size=3"),
    "zerosum": ("game=matrix_pd()",),
}
# What a message says, and what it is called in the table.
REASONS = [
    (
        r"information-state strings",
        "imperfect information, and OpenSpiel gives no information-state strings",
    ),
    (r"imperfect recall", "imperfect recall"),
    (r"\d moves", "plays of more than 5,000 moves"),
    (r"histories", f"more than {MOST_HISTORIES:,} histories"),
    (r"samples its chance", "samples its chance events without listing their probabilities"),
    (
        r"Missing parameter|CHECK_TRUE\(fd_\)|map::at",
        "needs a file, or another game, as a parameter",
    ),
    (r"\d players", "not for two players"),
    (r"GB of memory", f"more than {MEMORY >> 30} GB of memory"),
]


@dataclass(frozen=True)
class Row:
    """The result for one game."""

    game: str
    histories: int = 0
    information_sets: int = 0
    written: float = 0.0  # seconds
    read: float = 0.0  # seconds, by `games.load`, until the sequence form stands
    value: float | None = None  # of the first player, zero-sum
    values: tuple[float, ...] = ()  # of a random strategy, general-sum
    failure: str = ""


def two_player_games() -> list[str]:
    """Game strings to try, of all games that OpenSpiel knows for two players or any number."""
    names = []
    for row in games.list_games():
        fewest, *most = map(int, row["players"].split("-"))
        if fewest <= 2 <= (most or [fewest])[0]:
            short = row["game"]
            names += [f"{short}({p})" if p else short for p in SMALL.get(short, ("",))]
    return names


def check(name: str) -> Row:
    """Export a game and read it back.

    Raises:
        InputError: the game has no sequence form.
        AssertionError: what came back is another game.
    """
    game = games.load(name)
    if game.num_players != 2:
        raise games.InputError(f"{name} has {game.num_players} players")
    form = game.sequence_form(node_budget=MOST_HISTORIES, cached=False)
    sets = sum(len(player.information_sets) for player in form.players)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "game.efg"
        began = time.perf_counter()
        write_efg(game, path)
        written = time.perf_counter() - began
        began = time.perf_counter()
        again = games.load(str(path)).sequence_form()
        read = time.perf_counter() - began
        if form.num_histories * sets <= SLOW_LABELS:
            gambit = pygambit().read_efg(path)
        else:
            text = efg_text(game, labels=False)
            gambit = pygambit().read_efg(io.BytesIO(text.encode()))
    counts = [len(player.infosets) for player in gambit.players]
    assert counts == [len(player.information_sets) for player in form.players], "Gambit's count"
    assert_same(form, again)
    row = Row(name, form.num_histories, sets, written, read)
    if is_constant_sum(form):
        values = [sequence_form_lp(one).value for one in (form, again)]
        assert abs(values[0] - values[1]) <= TOLERANCE, f"value {values[0]}, then {values[1]}"
        return replace(row, value=values[1])
    strategy = Strategy.random(form, np.random.default_rng(0))
    read_strategy = Strategy.from_behaviour(again, strategy.behaviour(form))
    before = analysis.expected_values(form, strategy)
    after = analysis.expected_values(again, read_strategy)
    assert np.abs(before - after).max() <= TOLERANCE, f"values {before}, then {after}"
    return replace(row, values=tuple(after.tolist()))


def assert_same(form: SequenceForm, again: SequenceForm) -> None:
    """The same arrays and names; action ids are the game's own before, and positions after."""
    assert again.num_histories == form.num_histories, "histories"
    assert again.num_terminals == form.num_terminals, "terminals"
    for mine, theirs in zip(form.players, again.players, strict=True):
        names = tuple(map(quoted, mine.information_sets))
        assert names == theirs.information_sets, "names of information sets"
        for key in ("parent_sequence", "first_sequence", "num_actions"):
            assert np.array_equal(getattr(mine, key), getattr(theirs, key)), key
    assert np.array_equal(form.leaf_sequence, again.leaf_sequence), "leaf_sequence"
    for key in ("leaf_utility", "leaf_chance"):  # chance adds up to exactly one in the file
        assert np.allclose(getattr(form, key), getattr(again, key), rtol=1e-12, atol=0), key


def attempt(name: str, seconds: float = SECONDS) -> Row:
    """`check` in a child process, since some games crash, hang or take all memory."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=_serve, args=(name, sender), daemon=True)
    child.start()
    sender.close()
    try:
        if not receiver.poll(seconds):
            return Row(name, failure=f"not done within {seconds:.0f} s")
        return receiver.recv()
    except EOFError:
        return Row(name, failure="OpenSpiel ended the process")
    finally:
        child.kill()
        child.join()
        receiver.close()


def _serve(name: str, sender: Any) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    try:
        sender.send(check(name))
    except games.InputError as error:
        sender.send(Row(name, failure=str(error)))
    except MemoryError:
        sender.send(Row(name, failure=f"more than {MEMORY >> 30} GB of memory"))
    except Exception as error:
        sender.send(Row(name, failure=f"WRONG: {type(error).__name__}: {error}"))


def reason(failure: str) -> str:
    """The group that a failure belongs to; itself if none."""
    return next((group for sign, group in REASONS if re.search(sign, failure)), failure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("docs/reports/export.md"))
    options = parser.parse_args()

    check("kuhn_poker")  # imports and compiles, once for all the processes
    began = time.perf_counter()
    rows = []
    for name in two_player_games():
        rows.append(attempt(name))
        done = reason(rows[-1].failure) or f"{rows[-1].histories:,} histories"
        print(f"{name}: {done}", flush=True)
    options.out.write_text(report(rows, time.perf_counter() - began))
    print(f"wrote {options.out}")
    if any(row.failure.startswith("WRONG") for row in rows):
        raise SystemExit("some games came back changed, or not at all")


def report(rows: list[Row], seconds: float) -> str:
    """The page, as Markdown."""
    passed = [row for row in rows if not row.failure]
    lines = [
        "# OpenSpiel's games as Gambit files",
        "",
        "Written by `python -m benchmarks.export_sweep`: every two-player game of OpenSpiel "
        f"{version('open_spiel')} that",
        f"enumerates within {MOST_HISTORIES:,} histories, written as `.efg`, loaded by pygambit "
        f"{version('pygambit')}, and compared:",
        "the sequence form to the last name, and the value, by the linear program on the original "
        "and",
        f"on the file, within {TOLERANCE:g}. Of general-sum games it is the expected values of a "
        "seeded random",
        "strategy (in brackets). Simultaneous games are turn-based. "
        f"{len(passed)} games in {seconds:.0f} s, Python {platform.python_version()}.",
        "",
        "| game | histories | information sets | write (s) | read (s) | value |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for row in passed:
        shown = ", ".join(f"{v:.6f}" for v in row.values)
        value = f"({shown})" if row.value is None else f"{row.value:.9f}"
        name = row.game.replace("|", "\\|")
        lines.append(
            f"| `{name}` | {row.histories:,} | {row.information_sets:,} | {row.written:.2f} | "
            f"{row.read:.2f} | {value.replace('-0.000000000', '0.000000000')} |"
        )
    lines += ["", "## What cannot be written, and why", ""]
    groups: dict[str, list[str]] = {}
    for row in rows:
        if row.failure:
            groups.setdefault(reason(row.failure), []).append(f"`{row.game}`")
    for group, names in sorted(groups.items(), key=lambda item: -len(item[1])):
        lines += [f"**{group[0].upper()}{group[1:]}** ({len(names)}): {', '.join(names)}.", ""]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
