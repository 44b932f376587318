"""One run of ours, in a process of its own: the counterpart of `benchmarks.standard.peer`.

python -m benchmarks.standard.ours '{"game": "...", "method": "mappo", "seed": 0, ...}'

Every evaluation is printed as a line of JSON: `steps` of all games together, `seconds` and
`cpu_seconds` of playing and learning without evaluation, and `returns` of the games.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any

for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

JUDGES = 4242  # seed of the games that judge, the same at every evaluation
OF_NETWORK = ("hidden",)
OF_RUN = ("exploration_share",)


def plan_of(given: Mapping[str, Any]) -> Any:
    """The plan of a run, from the parameters of both sides."""
    from marl.learning.plan import Plan

    shared = given["shared"]
    options = {key: value for key, value in shared.items() if key not in (*OF_NETWORK, *OF_RUN)}
    if "exploration" in options:
        first, last = options["exploration"]
        until = round(shared["exploration_share"] * given["steps"])
        options["exploration"] = ((0, first), (until, last))
    if "replay" in options:  # BenchMARL learns from its first steps on
        options["learning_starts"] = shared["num_envs"] * shared["rollout_length"]
    return Plan(
        game=given["game"],
        method={"name": given["method"], **options, **given["own"]},
        network={key: shared[key] for key in OF_NETWORK},
        seed=given["seed"],
    )


def points(given: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Train, and evaluate after the first update and at every multiple of `every` steps."""
    from marl.evaluation.episodes import evaluate
    from marl.learning.trainer import train

    with train(plan_of(given)) as training:
        seconds = cpu = 0.0
        while training.steps < given["steps"]:
            before = time.perf_counter(), time.process_time()
            past = training.steps // given["every"]
            training.step()
            seconds += time.perf_counter() - before[0]
            cpu += time.process_time() - before[1]
            if training.updates == 1 or training.steps // given["every"] > past:
                played = evaluate(
                    training.policy(),
                    episodes=given["episodes"],
                    seed=JUDGES,
                    greedy=given["greedy"],
                )
                yield {
                    "steps": training.steps,
                    "seconds": seconds,
                    "cpu_seconds": cpu,
                    "returns": played.own.tolist(),
                }


if __name__ == "__main__":
    for point in points(json.loads(sys.argv[1])):
        print(json.dumps(point), flush=True)
