"""Sample efficiency of each learning method on one network: cost against steps."""

from __future__ import annotations

from typing import Any

from benchmarks.inventory.measured import (
    QUICK,
    optimal_orders,
    over,
    played,
)
from benchmarks.page import table

SAMPLED = "inventory.lost_sales(lead_time=4,penalty=9,periods=50)"
SAMPLERS: dict[str, tuple[dict[str, Any], int]] = {
    "HDPO": (
        {
            "name": "hdpo", "num_envs": 16, "updates": 5, "gradient_clip": 1.0,
            "learning_rate": [[0, 1e-2], [280_000, 2e-4]],
        },
        280_000,
    ),
    "PPO": (
        {
            "name": "ppo", "num_envs": 256, "rollout_length": 50, "epochs": 4, "minibatches": 8,
            "learning_rate": [[0, 1e-3], [6_000_000, 1e-5]], "value_clip": 1e9, "entropy": 0.0,
        },
        6_000_000,
    ),
    "REINFORCE": (
        {
            "name": "reinforce", "num_envs": 256, "rollout_length": 50,
            "learning_rate": [[0, 1e-3], [6_000_000, 1e-5]],
        },
        6_000_000,
    ),
}  # fmt: skip


def sampled(name: str, seed: int) -> list[tuple[int, float]]:
    """Steps taken, and what the policy costs then, of a method as it learns."""
    from analysis.inventory.optima import lost_sales
    from games.load import simulator
    from marl.learning.plan import Plan
    from marl.learning.trainer import train
    from marl.networks.network import Network

    method, steps = SAMPLERS[name]
    network = Network(hidden=(32, 32, 32), activation="relu")
    plan = Plan(game=SAMPLED, method=method, network=network, seed=seed)
    best = lost_sales(5.0, 4, holding=1, penalty=9)
    steps, looked, found = steps // (20 if QUICK else 1), 0, []
    with train(plan) as training:
        while training.steps < steps:
            training.step()
            if training.steps >= looked:
                looked = training.steps + steps // 40
                policies = {"own": training.policy(), "optimal": optimal_orders(best)}
                costs = played(simulator(SAMPLED), policies, 256, 700, 200)
                # The optimal policy's luck on these paths is everybody's.
                found.append((training.steps, best.cost + over(costs, "own", 1.0).mean))
    return found


def samples() -> list[str]:
    """Sample efficiency of each learning method on one network: cost against steps."""
    from analysis.inventory.optima import lost_sales

    optimum = lost_sales(5.0, 4, holding=1, penalty=9).cost
    curves = {name: [sampled(name, seed) for seed in (0, 1)] for name in SAMPLERS}
    rows = []
    for name, seeds in curves.items():
        for seed, curve in enumerate(seeds):
            at, best = min(curve, key=lambda point: point[1])
            rows.append([name, seed, f"{best:.3f}", f"{100 * (best / optimum - 1):.2f}", f"{at:,}"])
    verdicts = []
    for name in ("PPO", "REINFORCE"):
        for seed, curve in enumerate(curves[name]):
            at, best = min(curve, key=lambda point: point[1])
            reached = [n for n, cost in curves["HDPO"][seed] if cost <= best]
            verdicts.append(
                f"seed {seed}: {name}'s best at {at:,} steps; HDPO is there after "
                + (
                    f"{reached[0]:,}, one {at / reached[0]:.0f}th"
                    if reached
                    else "none of its steps"
                )
            )
    return [
        "One store, Poisson(5), lost sales, L = 4, p = 9: one network of 3 x 32 (relu) learned by",
        "each method, judged forty times on the way, on 256 paths of 700 periods (200 do not",
        "count) beside the optimal policy. A step is a period of a game. HDPO takes 16 games a",
        "gradient step here, PPO and REINFORCE 256 games of 50 periods an update.",
        "",
        *table(["method", "seed", "best cost", "gap %", "after steps"], rows),
        *(f"- {line}." for line in verdicts),
    ]
