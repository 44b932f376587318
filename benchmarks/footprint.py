"""Where the memory of a compiled game goes, in bytes a leaf.

    python -m benchmarks.footprint [GAME]

Compiles the game without the cache and runs CFR+ on it in this process. The peak is VmHWM of Linux,
which starts anew with a program, unlike ru_maxrss.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from typing import Any

import numpy as np

import games
from marl import tabular

LARGE = "goofspiel(num_cards=5,imp_info=True,points_order=random)"


def process_bytes(key: str) -> int:
    """VmRSS, what this process occupies now, or VmHWM, the most it has occupied."""
    with open("/proc/self/status", encoding="ascii") as status:
        return next(1024 * int(line.split()[1]) for line in status if line.startswith(f"{key}:"))


def array_bytes(holders: Iterable[Any]) -> int:
    """All arrays that are attributes of these objects, alone or in a tuple."""
    kept = [value for holder in holders for value in vars(holder).values()]
    parts = [part for value in kept for part in (value if isinstance(value, tuple) else [value])]
    return sum(part.nbytes for part in parts if isinstance(part, np.ndarray))


def lines(name: str) -> list[str]:
    """A table, as Markdown."""
    tabular.solve(games.load("kuhn_poker"), "cfr+", iterations=1)  # imports, compiled kernels
    before = process_bytes("VmRSS")
    form = games.load(name).sequence_form(cached=False)
    solver = tabular.find("cfr+").start(form, iterations=1, seed=0)
    solver.step(20)
    names = [text for player in form.players for text in player.information_sets]
    labels = [player.labels for player in form.players]
    strings = sum(map(sys.getsizeof, names)) + 8 * len(names) + sum(map(sys.getsizeof, labels))
    leaves = len(form.leaf_sequence)
    rows = {
        "the game: arrays of the form": array_bytes([form, *form.players]),
        "the game: arrays in the kernels' order": array_bytes([form.arrays]),
        "names of information sets and actions": strings,
        "the solver: regrets, averages, plans": array_bytes([solver]),
        "the process now, less what it was": process_bytes("VmRSS") - before,
        "the process at its peak, less what it was": process_bytes("VmHWM") - before,
    }
    return [
        f"Memory of `{name}`, {leaves:,} leaves, compiled without the cache and solved for 20",
        f"iterations, in a process of {before / 1e6:.0f} MB (`python -m benchmarks.footprint`):",
        "",
        "| | MB | bytes a leaf |",
        "|---|---:|---:|",
        *(f"| {what} | {size / 1e6:.0f} | {size / leaves:.0f} |" for what, size in rows.items()),
        "",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("game", nargs="?", default=LARGE)
    print("\n".join(lines(parser.parse_args().game)))


if __name__ == "__main__":
    main()
