"""Who learns to cooperate: VDN and QMIX in the two-step game, all methods in games with a trap.

Writes docs/reports/cooperation.md:

python -m benchmarks.cooperation [--only two-step climbing penalty] [--quick]
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import numpy as np  # noqa: E402
import torch  # noqa: E402
from numpy.typing import NDArray  # noqa: E402

from benchmarks.page import Page, quick, table  # noqa: E402
from games.cooperation.common_payoff import CommonPayoff, State  # noqa: E402
from games.load import simulator  # noqa: E402
from marl.evaluation.episodes import evaluate  # noqa: E402
from marl.evaluation.players import player  # noqa: E402
from marl.learning.method import find  # noqa: E402
from marl.learning.plan import Plan  # noqa: E402
from marl.learning.trainer import train  # noqa: E402
from marl.networks.network import Network  # noqa: E402
from marl.networks.packing import pack  # noqa: E402
from marl.networks.policy import Policy  # noqa: E402

PAGE = Path(__file__).parent.parent / "docs" / "reports" / "cooperation.md"
HEAD = """# Who learns to cooperate

`python -m benchmarks.cooperation` writes this page (`--only SECTION` one section of it); it is a
part of `make learned`. Agents with one common payoff, their networks shared, in games whose best
play is known (`schelling list simulators`, `cooperation.*`). One process, one torch thread.
"""
ABOUT_TWO_STEP = """\
The game of Rashid et al. (2018, arXiv 1803.11485, section 5): agent 0's first choice says whether
2A or 2B is played next. All play at random while they learn, as there, for {steps:,} environment
steps; discount {discount}. A column is one run's Q_tot of each joint choice, as it was learned.
"Best sum" is the nearest table, in least squares, that is a sum of one number for each agent's
choice, which is all that VDN can express: it puts the best of 2B at 6.5, below the 7 of 2A. QMIX's
mixer can express the true table."""
ABOUT_TRAPS = """\
`{game}`, {steps:,} environment steps: the return of the likeliest choices at the end, and the
choices (agent 0's, agent 1's). Methods of values explore with a share of random choices that falls
from 1 to 0.05 over the first half; the others by their entropy, as its defaults have it. Learning
rate 0.001 and discount 0.99 for all. `hysteretic` is an example of an own method,
[IQL whose agents hardly count what is worse than they expect](../../examples/hysteretic.py)."""
ABOUT_CLIMBING = """\
The climbing game of Claus and Boutilier (1998) pays 11 if both choose 0, and -30 if one of them
does and the other chooses 1. Against an agent that still explores, 0 is the worst choice on average
and 2 the safest: relative overgeneralisation. Two agents that each choose what is best against
random play (rule `best-on-average`) earn 5.

|  | 0 | 1 | 2 |
|---|---:|---:|---:|
| 0 | 11 | -30 | 0 |
| 1 | -30 | 7 | 6 |
| 2 | 0 | 0 | 5 |"""
ABOUT_PENALTY = """\
The penalty game pays 10 if both choose 0 or both choose 2, -100 if they choose one each, and 2 if
both choose 1, the safe choice."""
Values = NDArray[np.float64]
SEEDS = 3
DISCOUNT = 0.99
TWO_STEP = "cooperation.two_step"
VALUES = ("iql", "vdn", "qmix", "examples.hysteretic:Hysteretic")
ON_POLICY = ("ippo", "mappo")


@dataclass(frozen=True)
class Learned:
    """What one run ends with."""

    policy: Policy
    tables: Values | None  # [S, A1, ..., AN] the mixed values of joint choices, if it has a mixer


def learned(
    name: str, game: str, seed: int, steps: int, options: Mapping[str, Any], width: int = 64
) -> Learned:
    """Train a method for a number of environment steps."""
    method = find(name, options).over(steps)
    plan = Plan(game=game, method=method, network=Network(hidden=(width,)), seed=seed)
    with train(plan) as training:
        while training.steps < steps:
            training.step()
        policy = training.policy()
        tables = None
        if hasattr(method, "mixer"):
            (found,) = training.algorithm.learner_group.foreach_learner(mixer_of)  # type: ignore[attr-defined]
            mixer = found.get()
            tables = None if mixer is None else tabulated(policy, mixer, simulator(game))
    return Learned(policy, tables)


def mixer_of(learner: Any) -> Any:
    """The mixer beside a learner's networks; None if it has none."""
    beside = dict(learner.beside.items())
    return beside.get("mixer")


@torch.no_grad()
def tabulated(policy: Policy, mixer: Any, game: CommonPayoff) -> Values:
    """The learned value of every joint choice in every stage [S, A1, ..., AN].

    Args:
        policy: networks whose outputs are values of choices, then the share of random play.
        mixer: makes a team's value of its agents' values and the state.
    """
    found = np.empty(game.payoffs.shape)
    joint = torch.tensor(list(product(*map(range, game.choices))))  # [J, N]
    for stage in range(game.stages):
        begun = game.reset(len(joint), torch.Generator())
        seen = game.observe(State(torch.full_like(begun.stage, stage), begun.chosen, begun.paid))
        values = torch.zeros(joint.shape)
        for name, network in policy.networks.items():
            deciding = torch.tensor([own == name for own in policy.of_agent]).expand(joint.shape)
            each = network.policy(pack(seen, deciding, network))[0]
            values[deciding] = each.gather(1, joint[deciding][:, None])[:, 0]
        team = mixer(values, mixer.state(seen, seen.acting), seen.acting)
        found[stage] = team.numpy().reshape(game.choices)
    return found


def true_values(game: CommonPayoff, discount: float = DISCOUNT) -> Values:
    """[S, A1, ..., AN] what a joint choice is worth if the best ones follow."""
    return by_induction(game, discount, lambda pays: pays)


def best_sums(game: CommonPayoff, discount: float = DISCOUNT) -> Values:
    """The same, as near as a sum of one number for each agent's choice can be.

    In least squares over all joint choices, each as frequent: where all play at random. Later
    stages are worth the best of such sums, as a learner takes them for true.
    """
    return by_induction(game, discount, nearest_sum)


def by_induction(game: CommonPayoff, discount: float, seen: Any) -> Values:
    """Tables of all stages from the last to the first, each as `seen` sees it."""
    found, worth = np.empty(game.payoffs.shape), np.zeros(game.stages + 1)
    for stage in reversed(range(game.stages)):
        pays = game.payoffs[stage] + discount * worth[game.next_stage[stage]]
        found[stage] = seen(pays)
        worth[stage] = found[stage].max()
    return found


def nearest_sum(pays: Values) -> Values:
    """The sum of a number for each agent's choice that is nearest to a table, by least squares."""
    agents = range(pays.ndim)
    means = [pays.mean(axis=tuple(j for j in agents if j != i), keepdims=True) for i in agents]
    return sum(means) - (pays.ndim - 1) * pays.mean()  # type: ignore[return-value]


def returns(who: Any, game: str) -> float:
    """The return of a player's likeliest choices, the same in every game."""
    played = evaluate(who, game, episodes=2, seed=1, greedy=True)
    return float(played.returns.mean())


def joint_choice(policy: Policy, game: str) -> str:
    """What the agents choose first, as (row, column)."""
    made = simulator(game)
    actor = policy.for_game(game, made.spec)
    actor.start(1)
    chosen = actor.act(made.observe(made.reset(1, torch.Generator())), None)
    return f"({', '.join(str(int(k)) for k in chosen[0, :, 0])})"


def two_step() -> list[str]:
    """Tables of VDN and QMIX beside the true one, and what their agents earn."""
    steps = 320 if quick() else 20_000
    options = dict(
        exploration=1.0, discount=DISCOUNT, num_envs=8, rollout_length=4, learning_starts=200,
        batch_size=64, gradient_steps=16, target_rate=0.02, huber=False, learning_rate=1e-3,
    )  # fmt: skip
    game = simulator(TWO_STEP)
    runs = {
        (name, seed): learned(name, TWO_STEP, seed, steps, options)
        for name in ("vdn", "qmix")
        for seed in range(SEEDS)
    }
    columns = ["state", "choices", "true", "best sum", *(f"{n}, seed {s}" for n, s in runs)]
    tables = [true_values(game), best_sums(game)]
    tables += [run.tables for run in runs.values() if run.tables is not None]
    rows: list[list[object]] = [
        [game.titles[stage].removeprefix("state "), str(joint)]
        + [f"{each[(stage, *joint)]:.2f}" for each in tables]
        for stage in range(game.stages)
        for joint in product(*map(range, game.choices))
    ]
    earned = [f"{returns(run.policy, TWO_STEP):g}" for run in runs.values()]
    rows.append(["", "return, likeliest choices", "8", "7", *earned])
    return [
        *ABOUT_TWO_STEP.format(steps=steps, discount=DISCOUNT).splitlines(),
        "",
        *table(columns, rows),
    ]


def trap(game: str, about: str) -> list[str]:
    """Returns of every method in a matrix game, and the joint choices that it ends with."""
    steps = 1_024 if quick() else 10_000
    shared: dict[str, Any] = dict(num_envs=16, learning_rate=1e-3, discount=DISCOUNT)
    off = shared | dict(
        rollout_length=4, learning_starts=256, batch_size=64, gradient_steps=16, target_rate=0.02
    )
    values = off | dict(exploration=((0.0, 1.0), (0.5, 0.05)), huber=False)
    options = dict.fromkeys(VALUES, values) | {"masac": off}
    options |= dict.fromkeys(ON_POLICY, shared | dict(rollout_length=16))
    rows: list[list[object]] = []
    for name, given in options.items():
        runs = [learned(name, game, seed, steps, given) for seed in range(SEEDS)]
        ends = [f"{returns(r.policy, game):g} {joint_choice(r.policy, game)}" for r in runs]
        rows.append([f"`{name.rpartition(':')[2].lower()}`", *ends])
    for name in ("best-on-average", "optimal"):
        rows.append([f"rule `{name}`", *[f"{returns(player(name, game), game):g}"] * SEEDS])
    seeds = [f"seed {seed}" for seed in range(SEEDS)]
    return [
        *about.splitlines(),
        "",
        *ABOUT_TRAPS.format(game=game, steps=steps).splitlines(),
        "",
        *table(["method", *seeds], rows),
    ]


def climbing() -> list[str]:
    return trap("cooperation.matrix(payoff=climbing)", ABOUT_CLIMBING)


def penalty() -> list[str]:
    return trap("cooperation.matrix(payoff=penalty,penalty=-100)", ABOUT_PENALTY)


SECTIONS = {
    "two-step": ("The two-step game: VDN must fail, QMIX can succeed", two_step),
    "climbing": ("A trap: the climbing game", climbing),
    "penalty": ("Another: the penalty game", penalty),
}

if __name__ == "__main__":
    Page(PAGE, HEAD, SECTIONS).main(__doc__)
