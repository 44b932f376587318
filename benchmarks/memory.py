"""Memory of half an hour of training: does it grow? Writes docs/reports/memory.md.

python -m benchmarks.memory [--minutes 30]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil

PAGE = Path(__file__).parent.parent / "docs" / "reports" / "memory.md"
EVERY = 2.0  # seconds between two looks
WINDOW = 0.05  # of the run, over which a figure is the median


def watch(process: psutil.Process) -> dict[str, float]:
    """MB of resident memory: of the process that trains, and of env runners together."""
    found = {"trains": process.memory_info().rss / 1e6, "plays": 0.0}
    for child in process.children(recursive=True):
        try:
            if "BatchedRunner" in " ".join(child.cmdline()):
                found["plays"] += child.memory_info().rss / 1e6
        except psutil.Error:  # it ended just now
            continue
    return found


def measure(minutes: float) -> tuple[np.ndarray, dict[str, np.ndarray], str]:
    """Seconds [K] since the first update, and megabytes [K] by kind of process."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        command = [
            sys.executable, "-m", "scenarios.cli", "run", "navigation", "--out", str(out),
            "--set", f"stop.seconds={60 * minutes}", "--set", "stop.steps=1000000000",
            "--set", "resources.env_runners=1", "--set", "checkpoint.seconds=30",
            "--set", "stop.target={}", "--json",
        ]  # fmt: skip
        run = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        process, times, sizes = psutil.Process(run.pid), [], []
        metrics = out / "metrics.csv"
        while run.poll() is None:
            if metrics.exists() and metrics.read_text().count("\n") > 1:
                times.append(time.monotonic())
                sizes.append(watch(process))
            time.sleep(EVERY)
        assert run.returncode == 0, "the run failed"
        updates = metrics.read_text().count("\n") - 1
        last = metrics.read_text().splitlines()
        steps = last[-1].split(",")[last[0].split(",").index("steps")]
    kept = slice(None, -3)  # it is winding up
    series = {k: np.array([size[k] for size in sizes])[kept] for k in ("trains", "plays")}
    return (
        np.array(times)[kept] - times[0],
        series,
        f"{updates:,} updates, {float(steps):,.0f} steps",
    )


def growth(times: np.ndarray, size: np.ndarray) -> tuple[float, float, float]:
    """Median size after the first fifth and at the end, and the growth between as a share."""
    end = times[-1]
    early = np.median(size[(times >= 0.2 * end) & (times < (0.2 + WINDOW) * end)])
    late = np.median(size[times >= (1 - WINDOW) * end])
    return float(early), float(late), float(late / early - 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    minutes = parser.parse_args().minutes
    times, series, work = measure(minutes)
    lines = [
        "# Memory of a long run",
        "",
        "Written by `make memory`: `schelling run navigation` with one env runner in a process of",
        f"its own, watched every {EVERY:.0f} s for {times[-1] / 60:.0f} minutes ({work}). Resident",
        f"memory, medians over {WINDOW:.0%} of the run.",
        "",
        "| process | after a fifth | at the end | growth |",
        "|---|---|---|---|",
    ]
    for name, size in series.items():
        early, late, share = growth(times, size)
        lines.append(f"| that {name} | {early:.0f} MB | {late:.0f} MB | {share:+.2%} |")
    text = "\n".join(lines) + "\n"
    print(text)
    if minutes >= 30:
        PAGE.write_text(text)


if __name__ == "__main__":
    main()
