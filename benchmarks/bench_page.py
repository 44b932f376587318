"""The page of `benchmarks.bench`, as Markdown: the measurements as text and tables."""

from __future__ import annotations

import platform
from importlib.metadata import version

from benchmarks.footprint import LARGE
from benchmarks.page import processor

GAMES = {
    "Kuhn": "kuhn_poker",
    "Leduc": "leduc_poker",
    "LD-4": "liars_dice(numdice=1,dice_sides=4)",
    "LD-5": "liars_dice(numdice=1,dice_sides=5)",
    "LD-6": "liars_dice(numdice=1,dice_sides=6)",
    "Goofspiel-4 random": "goofspiel(num_cards=4,imp_info=True,points_order=random)",
    "Goofspiel-5 descending": "goofspiel(num_cards=5,imp_info=True,points_order=descending)",
    "Battleship 2x2": (
        "battleship(board_width=2,board_height=2,ship_sizes=[2],ship_values=[2],num_shots=3,"
        "allow_repeated_shots=False)"
    ),
    "Goofspiel-5 random": LARGE,
}
# OpenSpiel's iterations whose NashConv is to be equalled; the large game's take OpenSpiel 4 s each.
EQUALLED = {label: 10 if name == LARGE else 100 for label, name in GAMES.items()}
METHODS = ("cfr", "cfr+", "lcfr", "dcfr", "pcfr+", "dcfr+", "pdcfr+", "hs-pcfr+", "mmd")


def report(rates_rows, nash_rows, compile_rows, start, peak, convergence) -> str:
    """The page, as Markdown."""
    lines = [
        "# Benchmarks",
        "",
        "Written by `make bench`; all figures of a section come from one run of it. One thread,",
        "best of several chunks with the peers taking turns; ratios matter, absolute numbers are",
        f"the machine's. {processor()}, Python {platform.python_version()}, OpenSpiel "
        f"{version('open_spiel')}, numba {version('numba')}, numpy {version('numpy')}.",
        "",
        *iteration_lines(rates_rows),
    ]
    lines += [
        "",
        "## NashConv",
        "",
        "Milliseconds for one exact evaluation of a random strategy, against `pyspiel.nash_conv`;",
        "the two agree to 1e-10.",
        "",
        "| game | schelling | OpenSpiel | ratio |",
        "|---|---:|---:|---:|",
    ]
    for label, rates in nash_rows:
        ours, theirs = 1e3 / rates["schelling"], 1e3 / rates["OpenSpiel"]
        lines.append(f"| {label} | {ours:.3f} | {theirs:,.2f} | **{theirs / ours:,.0f}** |")
    lines += [
        "",
        "## Compiling a game",
        "",
        "From OpenSpiel's states to the sequence form, without the cache.",
        "",
        "| game | seconds |",
        "|---|---:|",
        *(f"| {label} | {seconds:.3f} |" for label, seconds in compile_rows),
        "",
    ]
    if peak is not None:
        lines += [*peak.splitlines(), ""]
    lines += [
        "## From the command line to an answer",
        "",
        "Whole processes, median of five. Cold means no cache of any kind: imports, loading and",
        "compiling the game and just-in-time compilation are in it. OpenSpiel runs the same",
        "number of iterations in C++ and evaluates once, at the end.",
        "",
        "| | seconds |",
        "|---|---:|",
        f"| `schelling solve leduc_poker --target 1e-3`, cold | {start['Leduc, cold']:.2f} |",
        f"| the same again | {start['Leduc, second run']:.2f} |",
        f"| OpenSpiel C++ CFR+ to the same NashConv | {start['Leduc, OpenSpiel']:.2f} |",
        f"| `schelling solve kuhn_poker --json`, warm | {start['Kuhn, warm']:.2f} |",
        "",
        "## NashConv after 1,000 iterations",
        "",
        "Alternating updates, default parameters; Kuhn and Battleship average the next strategy.",
        "Around 1e-16 it is the rounding of the evaluation itself.",
        "",
        f"| game | {' | '.join(METHODS)} |",
        f"|---|{'---:|' * len(METHODS)}",
        *(
            f"| {label} | {' | '.join(f'{gap:.1e}' for gap in gaps)} |"
            for label, gaps in convergence
        ),
        "",
    ]
    return "\n".join(lines)


def iteration_lines(rows) -> list[str]:
    """CFR+: iterations a second, and time to equal NashConv."""
    lines = [
        "## CFR+ iterations per second",
        "",
        "An iteration updates both players. OpenSpiel is `pyspiel.CFRPlusSolver` (C++); LiteEFG "
        "joins in where it is installed (`pip install -c constraints.txt '.[bench]'`).",
        "",
        "*Time to equal NashConv* says how many times longer OpenSpiel iterates than schelling",
        "until the average strategy has, for the first time, at most the NashConv of the second",
        f"table, which is OpenSpiel's after {max(EQUALLED.values())} iterations "
        f"({EQUALLED[next(reversed(EQUALLED))]} on the largest game). Seconds are iterations",
        "over iterations a second; loading and compiling the game and evaluating NashConv are in",
        "neither. The ratio is above that of iterations where OpenSpiel loses exact ties to",
        "rounding (solving-games.md, *Ties*).",
        "",
        "| game | histories | schelling | OpenSpiel | LiteEFG | ratio to OpenSpiel | to LiteEFG | "
        "time to equal NashConv, OpenSpiel / schelling |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    details = [
        "",
        "| game | NashConv | OpenSpiel, iterations | schelling | OpenSpiel, seconds | schelling |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for label, form, rates, (given, needed, gap) in rows:
        ours, theirs, lite = rates["schelling"], rates["OpenSpiel"], rates.get("LiteEFG")
        faster = given / theirs / (needed / ours)
        lines.append(
            f"| {label} | {form.num_histories:,} | {_rate(ours)} | {_rate(theirs)} | "
            f"{_rate(lite) if lite else '-'} | **{ours / theirs:,.0f}** | "
            f"{f'{ours / lite:,.0f}' if lite else '-'} | **{faster:,.0f}** |"
        )
        details.append(
            f"| {label} | {gap:.4g} | {given} | {needed} | {given / theirs:.3g} | "
            f"{needed / ours:.2g} |"
        )
    return lines + details


def _rate(rate: float) -> str:
    return f"{rate:,.0f}" if rate >= 100 else f"{rate:.3g}"
