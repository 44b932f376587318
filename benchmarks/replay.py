"""A replay of a million steps: memory, speed, checkpoints. Writes docs/reports/replay.md.

python -m benchmarks.replay [--only memory profile] [--quick]
"""

from __future__ import annotations

import contextlib
import ctypes
import resource
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch

from benchmarks.page import Page, processor, quick, table
from games.common.storage import digest_of_folder
from games.load import vector
from marl.learning.plan import Plan
from marl.learning.trainer import train
from marl.networks.policy import Policy
from marl.replay.files import restore, save
from marl.replay.replay import Draws, Replay
from marl.replay.size import edge_bytes, replay_bytes
from marl.rollouts.rollout import Rollout
from marl.rollouts.trajectory import Trajectory

GAME = "navigation(agents=4)"
SIZE = 20_000 if quick() else 1_000_000
GAMES, STEPS, BATCH, MEMORY = 64, 16, 128, 64
DRAWN = 20 if quick() else 300
MIB = 2**20
HEAD = f"""# Remembered play

Written by `python -m benchmarks.replay` on {processor()}, one torch thread. Times are seconds of
the processor that the process itself used, so that other work on the machine does not count.
"""


def clock() -> float:
    """Seconds of the processor, of this process, its kernel calls included."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def timed(what: Callable[[], Any]) -> float:
    began = clock()
    what()
    return clock() - began


def resident() -> int:
    """Bytes of this process, without what malloc keeps of memory that was freed (on Linux)."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    return psutil.Process().memory_info().rss


def played(memory: int = 0) -> tuple[Any, list[Trajectory]]:
    """The game's spec, and trajectories of an untrained policy, to be added over and over."""
    games = vector(GAME, GAMES)
    plan = Plan(game=GAME, network=dict(hidden=[64], memory=memory))
    networks = Policy.new(GAME, games.spec, plan.network, "role").networks
    rollout = Rollout(
        games, list(networks.values()), [0] * games.spec.num_agents, 1, seed=0,
        extras={"final", "memory"},
    )  # fmt: skip
    return games.spec, [rollout.sample(STEPS) for _ in range(8)]


def filled(spec: Any, trajectories: list[Trajectory], draws: Draws) -> tuple[Replay, float]:
    """A full replay, and the seconds that filling it took."""
    made = Replay(spec, SIZE, draws)

    def fill() -> None:
        k = 0
        while made.ring.written < SIZE:
            made.add(trajectories[k % len(trajectories)])
            k += 1

    return made, timed(fill)


def speed(made: Replay) -> list[str]:
    """Milliseconds of a batch (median), batches and steps a second."""
    generator = torch.Generator().manual_seed(0)
    made.draw(BATCH, generator)
    times, steps = [], 0
    for _ in range(DRAWN):
        began = clock()
        batch = made.draw(BATCH, generator, 0.4)
        if made.tree is not None:
            made.learned(batch.index, torch.rand(len(batch.index), generator=generator))
        times.append(clock() - began)
        steps += int((batch.policy >= 0).any(dim=1).sum())
    each = sum(times) / len(times)
    return [f"{1000 * np.median(times):.2f}", f"{1 / each:,.0f}", f"{steps / sum(times):,.0f}"]


def memory() -> list[str]:
    """What a full replay takes, how fast it is, and what a checkpoint of it costs."""
    spec, trajectories = played()
    Replay(spec, 5_000).add(trajectories[0])  # so that torch has loaded what it needs
    before = resident()
    made, seconds = filled(spec, trajectories, Draws())
    taken = resident() - before
    ring = made.ring
    assert ring.edges is not None
    stated = replay_bytes(spec, SIZE, made.draws) / MIB
    edges = edge_bytes(spec, ring.edges.used) / MIB
    rows = [["one step", *speed(made)]]
    made.draws = Draws(n_step=3)
    rows.append(["three steps", *speed(made)])
    made.draws = Draws()
    lines = [
        f"{SIZE:,} steps of `{GAME}`: {spec.num_nodes} nodes of {spec.features} numbers, "
        f"{ring.edges.used / ring.size:.1f} edges a step.", "",
        *table(
            ["", "MiB"],
            [
                ["stated before it is made, all but edges", f"{stated:,.0f}"],
                ["edges held", f"{edges:,.0f}"],
                ["room for edges", f"{edge_bytes(spec, len(ring.edges.ends)) / MIB:,.0f}"],
                ["growth of the process", f"{taken / MIB:,.0f}"],
            ],
        ),
        f"Filling it takes {seconds:.1f} s, {SIZE / seconds:,.0f} steps a second.", "",
    ]  # fmt: skip
    lines += checkpoints(made, trajectories)
    del made, ring
    made, _ = filled(spec, trajectories, Draws(priority=0.6))
    rows.append(["by priority, set anew", *speed(made)])
    del made
    draws = Draws(sequence_length=STEPS, memory_width=MEMORY)
    made, _ = filled(*played(MEMORY), draws)
    rows.append([f"sequences of {STEPS}", *speed(made)])
    return [*lines, *table([f"batches of {BATCH} steps", "ms", "batches/s", "steps/s"], rows)]


def checkpoints(made: Replay, trajectories: list[Trajectory]) -> list[str]:
    """Seconds to write everything, to write what an update adds, and to read it back."""
    with tempfile.TemporaryDirectory() as folder:
        first, second = Path(folder) / "a", Path(folder) / "b"
        began = time.perf_counter()
        save(made, first)
        full = time.perf_counter() - began
        made.add(trajectories[0])
        began = time.perf_counter()
        save(made, second, first)
        more = time.perf_counter() - began
        files = list(second.iterdir())
        new = sum(f.stat().st_size for f in files if f.stat().st_nlink == 1) / MIB
        every = sum(f.stat().st_size for f in files) / MIB
        began = time.perf_counter()
        digest_of_folder(second)
        digest = time.perf_counter() - began
        again = Replay(made.ring.spec, SIZE, made.draws)
        began = time.perf_counter()
        restore(again, second)
        read = time.perf_counter() - began
    rows = [
        ["written whole", f"{every:,.0f}", f"{full:.1f}"],
        [f"written after {GAMES * STEPS:,} more steps", f"{new:,.0f}", f"{more:.2f}"],
        ["digest of either", f"{every:,.0f}", f"{digest:.1f}"],
        ["read", f"{every:,.0f}", f"{read:.1f}"],
    ]
    return table(["a checkpoint's replay", "MiB", "seconds on the wall"], rows)


PROFILED: Mapping[str, dict[str, Any]] = {
    "qmix": dict(game="pettingzoo:mpe2.simple_spread_v3(N=4,max_cycles=25)"),
    "matd3": dict(game=GAME),
    "matd3, by priority": dict(game=GAME, priority=0.6, n_step=3),
    "matd3, with a memory": dict(game=GAME, memory=MEMORY),
}


def profile() -> list[str]:
    """Where the time of an update goes."""
    rows = []
    for name, given in PROFILED.items():
        options = dict(given)
        game, width = options.pop("game"), options.pop("memory", 0)
        plan = Plan(
            game=game,
            method=dict(
                name=name.split(",")[0], replay=SIZE, learning_starts=2_000, batch_size=BATCH,
                gradient_steps=32, **options,
            ),
            network=dict(hidden=[64, 64], memory=width),
        )  # fmt: skip
        rows.append([f"`{name}` on `{game}`", *shares(plan)])
    columns = ["an update", "play", "remember", "draw", "learn", "a batch, ms", "a step, ms"]
    return table(columns, rows)


def shares(plan: Plan) -> list[str]:
    """Shares of an update by part; milliseconds of a batch and of a gradient step on it."""
    with train(plan) as training:
        algorithm: Any = training.algorithm
        while "loss" not in training.step():
            pass
        spent = dict.fromkeys(("_sample", "add", "draw", "_learn"), 0.0)

        def watch(owner: Any, name: str) -> None:
            inner = getattr(owner, name)

            def counted(*given: Any, **options: Any) -> Any:
                began = clock()
                try:
                    return inner(*given, **options)
                finally:
                    spent[name] += clock() - began

            setattr(owner, name, counted)

        watch(algorithm, "_sample")
        watch(algorithm.replay, "add")
        watch(algorithm.replay, "draw")
        watch(algorithm, "_learn")
        updates = 2 if quick() else 12
        for _ in range(updates):
            training.step()
        spent["_learn"] -= spent["draw"]  # batches are drawn as they are learned
        whole = sum(spent.values())
        each = [f"{100 * spent[name] / whole:.0f} %" for name in spent]
        per = updates * plan.method.gradient_steps  # type: ignore[attr-defined]
        return [*each, *(f"{1000 * spent[name] / per:.2f}" for name in ("draw", "_learn"))]


PAGE = Page(
    Path(__file__).parent.parent / "docs" / "reports" / "replay.md",
    HEAD,
    {
        "memory": ("A million steps", memory),
        "profile": ("Where the time of an update goes", profile),
    },
)

if __name__ == "__main__":
    PAGE.main(__doc__)
