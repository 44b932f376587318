"""Discs behind control barriers: fixed, by rules, and tuned by a learned policy; writes
docs/reports/navigation.md.

python -m benchmarks.navigation [--only sweep learned ...] [--quick]

All players of a table meet the same layouts, from seeds not used in training. The best fixed
parameter is chosen on separate layouts.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import numpy as np  # noqa: E402

from benchmarks.page import Page, Section, quick, table  # noqa: E402
from games.names import altered  # noqa: E402
from marl.evaluation.comparison import compare  # noqa: E402
from marl.evaluation.comparison import table as compared  # noqa: E402
from marl.evaluation.episodes import evaluate  # noqa: E402
from marl.rules.navigation import (  # noqa: E402
    Fixed,
    Heterogeneous,
    Priority,
    Yielding,
    best_fixed,
    sweep,
)
from scenarios import Run, find  # noqa: E402

ROOT = Path(__file__).parents[2]
PAGE, RUNS = ROOT / "docs" / "reports" / "navigation.md", ROOT / "runs" / "navigation-page"
CHOOSING, JUDGING = 777, 4242  # seeds of the layouts that choose and that judge
GAMES, FEWER = 1000, 200  # that judge, where it was trained and elsewhere; to choose by
ZETAS = (0.1, 0.3, 1.0, 3.0, 8.0)
RANGE = 0.3, 8.0  # of the zetas that rules choose
CROWDED = "safe_navigation(layout=swap,obstacles=6)"
HARD = "safe_navigation(layout=swap)"
DYNAMICS: dict[str, dict[str, Any]] = {
    "single": {},
    "double, own": {"dynamics": "double_integrator"},
    "double, half": {"dynamics": "double_integrator", "responsibility": "half"},
}
QUICK = quick()
HEAD = """# Discs on barriers

`make navigation` writes this page (`python -m benchmarks.navigation --only SECTION` one section of
it). The game is `safe_navigation`: the swap, with six obstacles of 0.1 m in an area of 2 m if not
said otherwise, 20 s. Every agent has a class-K function alpha(h) = zeta h^eta of its own; eta is 1
for all that is fixed. `all` is the share of games in which all arrive and nobody touches, `success`
the share of agents who do, `SPL` success weighted by the shortest path over the path gone, `speed`
the way gone over what full speed would allow. Intervals are of 95%, over games. A trained
policy is kept in `runs/navigation-page`; its minutes are of one core, which others may have shared.
"""


def games(most: int = GAMES) -> int:
    return 16 if QUICK else most


def game(base: str, agents: int, **options: Any) -> str:
    return altered(base, {"agents": agents, **options})


def swept() -> list[str]:
    """Every fixed parameter, and random ones, for both dynamics."""
    rows = []
    for dynamics, options in DYNAMICS.items():
        for agents in (4, 8):
            name = game(CROWDED, agents, **options)
            players = {f"{zeta:g}": Fixed(zeta) for zeta in ZETAS}
            found = compare(
                name, players | {"random": Heterogeneous(*RANGE)}, episodes=games(), seed=JUDGING
            )
            rows += [
                [dynamics, agents, player, *cells(part)]
                for player, part in found.groupby("player", sort=False)
            ]
    return [
        f"Fixed parameters on {games():,} games each, and zetas drawn for each agent, between",
        "0.3 and 8, at a game's beginning. Neither small nor large is best: careful agents wait",
        "for each other, bold ones are jammed. Double integrators answer for their own motion, and",
        "always have a safe control, or for half of a pair's, and may have none.",
        "",
        *table(["dynamics", "agents", "zeta", *COLUMNS], rows),
    ]


COLUMNS = (
    "all", "success", "SPL (95%)", "speed", "dead-locked", "collisions", "least clearance, m",
    "eased", "infeasible",
)  # fmt: skip


def cells(part: Any) -> list[str]:
    """The figures of a player in a game, for the tables."""
    row = part.set_index("metric")
    mean = row["mean"]
    return [
        f"{mean['all_arrived']:.2f}", f"{mean['success']:.2f}", within(row.loc["spl"]),
        f"{mean['speed']:.2f}", f"{mean['deadlocked']:.2f}", f"{mean['collisions']:.3f}",
        f"{row['least']['closest']:.4f}", share(mean["eased"]), share(mean["infeasible"]),
    ]  # fmt: skip


def within(row: Any) -> str:
    return f"{row['mean']:.3f} ({row['low']:.3f} to {row['high']:.3f})"


def share(value: float) -> str:
    return "0" if value == 0 else f"{value:.1e}" if value < 1e-4 else f"{value:.4f}"


def trained(label: str, *settings: str, seed: int = 0) -> tuple[Any, str, str]:
    """The best policy of `online-cbf`, changed by settings; minutes and steps, as text.

    Its run is kept, and trained anew only if the scenario has changed since.
    """
    few = ("stop.steps=2560", "evaluation.episodes=8", "evaluation.every=1")
    scenario = find("online-cbf", (*settings, *few) if QUICK else settings, seed=seed)
    folder = RUNS / f"{label}{'-quick' if QUICK else ''}"
    if folder.exists() and Run.load(folder).scenario.identity() != scenario.identity():
        shutil.rmtree(folder)
    run = Run.load(folder) if folder.exists() else Run.create(scenario, folder)
    (result,) = run.results or run.execute()
    return run.policy(best=True), f"{result.seconds / 60:.0f}", f"{result.steps:,}"


@cache
def fixed(name: str) -> Fixed:
    """The best fixed parameter of a game, chosen on separate layouts."""
    zetas = np.geomspace(0.1, 10, 3 if QUICK else 7).round(3).tolist()
    return best_fixed(sweep(name, zetas, episodes=games(FEWER), seed=CHOOSING))


SEEDS = (0, 1)


def rules(name: str) -> dict[str, Any]:
    best = fixed(name)
    return {
        f"fixed, zeta {best.zeta:g}": best,
        "random": Heterogeneous(*RANGE),
        "yielding": Yielding(*RANGE),
        "priority": Priority(*RANGE),
    }


def learned() -> list[str]:
    """The policy in its training game, compared with fixed parameters and rules."""
    name = game(CROWDED, 4)
    players = rules(name)
    first = next(iter(players))
    spent = []
    for seed in SEEDS[: 1 if QUICK else None]:
        players[f"tuned, seed {seed}"], minutes, steps = trained(f"seed-{seed}", seed=seed)
        spent.append(f"{minutes} minutes and {steps} steps (seed {seed})")
    played = {
        label: evaluate(player, name, episodes=games(), seed=JUDGING, greedy=True)
        for label, player in players.items()
    }
    found, others = (
        compared(played, first),
        dict(list(compared(played, "random").groupby("player"))),
    )
    return [
        f"Four agents, {games():,} held-out games, the same for all. The policies are",
        f"`schelling run online-cbf` after {', '.join(spent)}; they play their likeliest actions.",
        f"The fixed zeta is the best of seven from 0.1 to 10, on {games(FEWER)} other games.",
        "Rules choose zetas between 0.3 and 8: at random as a game begins; the most unless",
        "somebody nearby is closer to a goal (yielding); graded by the agents' numbers, which a",
        "decentralised policy does not know (priority). The last columns compare SPL by game.",
        "",
        *table(
            ["player", *COLUMNS, "SPL against the best fixed", "against random"],
            [
                [player, *cells(part), gain(part), gain(others[player])]
                for player, part in found.groupby("player", sort=False)
            ],
        ),
    ]


def gain(part: Any) -> str:
    row = part.set_index("metric").loc["spl"]
    if not np.isfinite(row["relative"]):
        return ""
    low, high = 100 * row["relative_low"], 100 * row["relative_high"]
    return f"{100 * row['relative']:+.0f}% ({low:+.0f} to {high:+.0f})"


def transfer() -> list[str]:
    """The same policy in larger teams and in other layouts."""
    policy, _, _ = trained("seed-0")
    rows = []
    for what, base, agents, options in elsewhere():
        name = game(base, agents, **options)
        players = {**rules(name), "tuned": policy}
        first = next(iter(players))
        found = compare(name, players, episodes=games(FEWER), seed=JUDGING, greedy=True, to=first)
        rows += [
            [what, agents, player, *cells(part), gain(part)]
            for player, part in found.groupby("player", sort=False)
        ]
    return [
        "The policy of seed 0, trained with 4 agents among obstacles, in larger teams and in",
        f"other layouts, where nothing was learned: {games(FEWER):,} games each. The fixed zeta is",
        "the best one of each row's own game. The area is 2 m if not given.",
        "",
        *table(["layout", "agents", "player", *COLUMNS, "SPL against the best fixed"], rows),
    ]


def elsewhere() -> Iterator[tuple[str, str, int, Mapping[str, Any]]]:
    for agents in (8, 16):
        yield "swap, 6 obstacles", CROWDED, agents, {}
    for agents, area in ((8, 2.83), (16, 4.0)):
        yield f"swap, 6 obstacles, {area:g} m", CROWDED, agents, {"area": area}
    yield "random, 6 obstacles", CROWDED, 8, {"layout": "random"}
    yield "corridor", HARD, 4, {"layout": "corridor"}


def hard() -> list[str]:
    """Games in which every fixed parameter fails."""
    policy, _, _ = trained("seed-0")
    rows = []
    for agents in (4, 8):
        name = game(HARD, agents)
        players = {f"{zeta:g}": Fixed(zeta) for zeta in (*ZETAS, 10.0)}
        players |= {"random": Heterogeneous(*RANGE), "tuned": policy}
        found = compare(name, players, episodes=games(), seed=JUDGING, greedy=True)
        rows += [
            [agents, player, within(part.set_index("metric").loc["all_arrived"]), *cells(part)[1:]]
            for player, part in found.groupby("player", sort=False)
        ]
    return [
        "The swap without obstacles: what would break the symmetry of equal agents is missing,",
        "and they stand in a ring for ever, whatever their zeta. The policy is that of seed 0",
        f"above, and has not seen this layout. {games():,} games.",
        "",
        *table(["agents", "zeta", "all (95%)", *COLUMNS[1:]], rows),
    ]


def variants() -> list[str]:
    """A policy that sees everything, and one that decides once."""
    name = find("online-cbf").game
    played, spent = {}, {}
    for what, (label, change, settings) in VARIANTS.items():
        changed = altered(name, change)
        given = (f"game={changed}", *settings) if change else ()
        policy, *spent[what] = trained(label, *given)
        played[what] = evaluate(policy, changed, episodes=games(), seed=JUDGING, greedy=True)
    found = compared(played, next(iter(played)))
    rows = [
        [player, *spent[player], *cells(part), gain(part)]
        for player, part in found.groupby("player", sort=False)
    ]
    return [
        f"Four agents, {games():,} held-out games. Each was trained by the same scenario, once,",
        "but for what it may know and when it decides. Who decides once, as a game begins, sees",
        "all starts and goals: nobody is near by then. A step of its is a whole game.",
        "",
        *table(["policy", "minutes", "steps", *COLUMNS, "SPL against the first"], rows),
    ]


ONCE = (
    "method.num_envs=256", "method.rollout_length=1", "stop.steps=7680",
    "method.learning_rate=[[0.0, 1e-3], [1.0, 1e-4]]", "evaluation.every=10",
)  # fmt: skip
VARIANTS: dict[str, tuple[str, dict[str, Any], tuple[str, ...]]] = {
    "decentralised, online": ("seed-0", {}, ()),
    "central, online": ("central", {"central": True}, ()),
    "central, once a game": ("once", {"central": True, "hold": 400}, ONCE),
}


def safety() -> list[str]:
    """Whether any discs touch, whatever the parameters."""
    players = {
        f"{zeta:g}, eta {eta:g}": Fixed(zeta, eta)
        for zeta in (0.1, 1.0, 10.0)
        for eta in (0.5, 2.0)
    }
    rows = []
    for dynamics, options in DYNAMICS.items():
        for agents in (4, 8):
            name = game(CROWDED, agents, **options)
            for label, player in (players | {"random": Heterogeneous(*RANGE)}).items():
                info = evaluate(player, name, episodes=games(), seed=JUDGING).info
                unsafe, touched = info["infeasible"] > 0, info["collisions"] > 0
                least = info["closest"][~unsafe].min() if not unsafe.all() else np.nan
                counts = [len(unsafe), unsafe.sum(), (touched & ~unsafe).sum()]
                counts.append((touched & unsafe).sum())
                own = [dynamics, agents, label]
                rows.append([*own, *(f"{count:,}" for count in counts), f"{least:.4f}"])
    return [
        "Held-out games, by whether every quadratic program in them had a safe control. Parameters",
        "are those at the ends of what agents can choose, and in between; eta 1 is in the table of",
        "fixed ones above.",
        "",
        *table(
            [
                "dynamics", "agents", "zeta", "games", "with an infeasible step",
                "collisions in others", "in those", "least clearance in others, m",
            ],
            rows,
        ),
    ]  # fmt: skip


SECTIONS: dict[str, Section] = {
    "sweep": ("What a fixed parameter does", swept),
    "learned": ("What tuning does", learned),
    "transfer": ("Larger teams, other layouts", transfer),
    "hard": ("Where every fixed parameter fails", hard),
    "variants": ("What a policy knows, and when it decides", variants),
    "safety": ("Safety", safety),
}


if __name__ == "__main__":
    Page(PAGE, HEAD, SECTIONS).main(__doc__)
