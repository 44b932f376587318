"""The learning part of docs/reports/benchmarks.md, against RLlib's own runner and learner.

    python -m benchmarks.learning [--quick] [--only others]

prints it, or some of its sections, alone; see benchmarks.bench for the whole page.
"""

from __future__ import annotations

import argparse
import logging
import os
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from importlib.metadata import version
from typing import Any

for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[variable] = "1"

import numpy as np  # noqa: E402
import torch  # noqa: E402
from ray.rllib.algorithms.algorithm import Algorithm  # noqa: E402
from ray.rllib.algorithms.ppo import PPOConfig  # noqa: E402

from benchmarks.page import table  # noqa: E402
from benchmarks.peers import Bare, NoGame, OneGame  # noqa: E402
from benchmarks.turns import PAIRS, compared, in_turn  # noqa: E402
from games.common.workers import running_ray  # noqa: E402
from marl.learning.on_policy.ppo import PPO  # noqa: E402
from marl.learning.plan import Plan, Resources  # noqa: E402
from marl.learning.schedule import at  # noqa: E402
from marl.learning.trainer import train  # noqa: E402
from marl.networks.network import Network  # noqa: E402
from marl.rllib.trainer import RLlibTrainer  # noqa: E402

WIDTHS = (256, 256)
GRAPH_WIDTHS = (64, 64)
GAMES = 64
FRAGMENTS = {4: 64, 16: 32}  # steps of each game between two updates, by the number of agents
PETTINGZOO: dict[str, dict[str, Any]] = {  # modules and parameters
    "mpe2.simple_spread_v3": {"N": 3},
    "pettingzoo.classic.connect_four_v3": {},
}
OTHERS = 32  # of their games at once


def sections(quick: bool, only: Sequence[str] = ()) -> list[str]:
    """Lines of Markdown. `quick` leaves out the games of 16 agents; `only` names some sections."""
    torch.set_num_threads(1)
    for name in ("ray", "ray.rllib", "ray.tune"):
        logging.getLogger(name).setLevel(logging.ERROR)
    numbers = (4,) if quick else (4, 16)
    lines = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for section in (against_rllib, graphs, processes, others):
            if only and section.__name__ not in only:
                continue
            began = time.perf_counter()
            lines += section(numbers)
            print(f"{section.__name__}: {time.perf_counter() - began:.0f} s", flush=True)
    return lines


# --- the plan of both


def plan_of(agents: int, **options: Any) -> Plan:
    """The plan of both, with those parameters that RLlib has, too."""
    options = {
        "method": PPO(num_envs=GAMES, rollout_length=FRAGMENTS[agents]),
        "network": Network(hidden=WIDTHS),
        **options,
    }
    return Plan(game=f"navigation(agents={agents})", **options)


def rllib(agents: int, env: type[OneGame]) -> Algorithm:
    """RLlib's PPO by the same plan: one policy for all agents, networks and updates alike."""
    method = plan_of(agents).method
    config = PPOConfig()
    config.environment(env, env_config={"agents": agents}, disable_env_checking=True)
    config.env_runners(num_env_runners=0, num_envs_per_env_runner=method.num_envs)
    config.learners(num_learners=0)
    config.multi_agent(policies={"agent"}, policy_mapping_fn=lambda *_, **__: "agent")
    config.rl_module(
        model_config={
            "fcnet_hiddens": list(WIDTHS),
            "fcnet_activation": "tanh",
            "vf_share_layers": False,
            "free_log_std": True,
        }
    )
    steps = method.num_envs * method.rollout_length
    config.training(
        train_batch_size_per_learner=steps,  # steps of games
        minibatch_size=steps * agents // method.minibatches,  # decisions
        num_epochs=method.epochs,
        lr=method.learning_rate,
        gamma=method.discount,
        lambda_=method.gae_lambda,
        clip_param=method.clip,
        vf_clip_param=method.value_clip,
        vf_loss_coeff=method.value_coefficient,
        entropy_coeff=at(method.entropy, 0),
        use_kl_loss=False,
        grad_clip=method.gradient_clip,
        grad_clip_by="global_norm",
    )
    config.debugging(log_level="ERROR")
    config.experimental(_validate_config=False)  # it takes steps and decisions for the same
    return config.build_algo()


# --- sections


def against_rllib(numbers: tuple[int, ...]) -> list[str]:
    sampling, training, spent = [], [], []
    for agents in numbers:
        with running_ray(1), train(plan_of(agents)) as ours:
            peers = [rllib(agents, env) for env in (OneGame, NoGame)]
            runner = ours.algorithm.env_runner
            steps = GAMES * FRAGMENTS[agents]
            fewer = steps // 4  # of the peers, who need so much longer
            calls: list[Callable[[], Any]] = [runner.sample]
            calls += [partial(peer.env_runner.sample, num_timesteps=fewer) for peer in peers]
            for call in calls:
                call()  # warms up
            OneGame.inside = 0.0
            mine, game, none = in_turn(calls)
            stepping = OneGame.inside / sum(game)
            rates = [steps / np.array(mine), fewer / np.array(game), fewer / np.array(none)]
            sampling.append([str(agents), *compared(*rates), f"{stepping:.0%}"])

            seconds = in_turn([ours.step, *(peer.train for peer in peers)])
            training.append([str(agents), *compared(*(steps / np.array(one) for one in seconds))])
            spent.append([str(agents), *where_it_goes(ours)])
            for peer in peers:
                peer.stop()
    return [
        "## Training: against RLlib's own runner and learner",
        "",
        f"Navigation without obstacles, random arrays, {GAMES} games at once on either side, one",
        f"process, one thread; torch {version('torch')}, RLlib {version('ray')}. One policy for",
        f"all agents; policy and critic are perceptrons of {' x '.join(map(str, WIDTHS))}, tanh,",
        "and share nothing. Figures are steps of games a CPU second (in each all agents act),",
        f"medians of {PAIRS} rounds in which the peers take turns. RLlib's `MultiAgentEnvRunner`",
        "plays the same simulator, a batch of one a game; the share of its time that goes there is",
        'in the last column. In "no game" its environment hands out observations that were drawn',
        "beforehand: what is left is RLlib's own time. Ours includes values and advantages, which",
        "RLlib leaves to its learner.",
        "",
        "Sampling:",
        "",
        *table(
            ["agents", "schelling", "RLlib", "ratio", "RLlib, no game", "ratio", "in the game"],
            sampling,
        ),
        "Training, `algorithm.train()`: "
        + "; ".join(f"{GAMES * FRAGMENTS[n]:,} steps an update with {n} agents" for n in numbers)
        + f"; {PPO().epochs} epochs of {PPO().minibatches} minibatches.",
        "",
        *table(["agents", "schelling", "RLlib", "ratio", "RLlib, no game", "ratio"], training),
        "Where our time goes, in shares of an update (the rest is RLlib's `Algorithm`):",
        "",
        *table(
            ["agents", "playing", "learning", "of it: minibatches", "forward", "backward",
             "optimiser", "weights", "the rest"],
            spent,
        ),
    ]  # fmt: skip


def where_it_goes(training: RLlibTrainer) -> list[str]:
    """Shares of an update: playing, learning and its parts, weights, and the rest."""
    began = time.perf_counter()
    row = training.step()
    whole = time.perf_counter() - began
    playing, learning, weights = (
        row[f"{part}_seconds"] / whole for part in ("sample", "learn", "sync")
    )
    group: Any = training.algorithm.learner_group
    learner = group._learner
    ((name, module),) = learner.module.items()
    ((_, optimiser),) = learner.get_optimizers_for_module(name)
    method, parameters = training.plan.method, list(module.parameters())
    parts = dict.fromkeys(("minibatches", "forward", "backward", "optimiser"), 0.0)
    played = learner.estimated(training.algorithm.env_runner.sample())
    last = time.process_time()

    def until_now(part: str) -> None:
        nonlocal last
        now = time.process_time()
        parts[part] += now - last
        last = now

    decisions = learner.decisions(name, 0, played)
    for minibatch in decisions.minibatches(method.minibatches, learner.generator):
        assert minibatch is not None  # there are more decisions than minibatches
        until_now("minibatches")
        optimiser.zero_grad(set_to_none=False)
        found = learner.loss(name, module.network(minibatch.input), minibatch, 0.01)
        until_now("forward")
        found.total.backward()
        until_now("backward")
        torch.nn.utils.clip_grad_norm_(parameters, method.gradient_clip)
        optimiser.step()
        until_now("optimiser")
    shares = {part: learning * spent / sum(parts.values()) for part, spent in parts.items()}
    rest = 1 - playing - learning - weights
    return [f"{share:.1%}" for share in (playing, learning, *shares.values(), weights, rest)]


def graphs(numbers: tuple[int, ...]) -> list[str]:
    rows = []
    for encoder in ("mlp", "convolution", "attention"):
        for agents in numbers:
            network = Network(encoder=encoder, hidden=GRAPH_WIDTHS)
            with running_ray(1), train(plan_of(agents, network=network)) as training:
                training.step()
                runner = training.algorithm.env_runner
                edges = runner.sample().edges.shape[1]
                steps = GAMES * FRAGMENTS[agents]
                playing, updating = in_turn([runner.sample, training.step])
            rates = [f"{steps / np.median(seconds):,.0f}" for seconds in (playing, updating)]
            rows.append([encoder, str(agents), f"{edges / steps:.1f}", *rates])
    return [
        "## Training: graph networks",
        "",
        "The same with encoders of graphs, which RLlib has none to compare with:",
        f"{' x '.join(map(str, GRAPH_WIDTHS))}, two rounds of messages, {Network().heads} heads of",
        "attention. Steps of games a CPU second. The perceptron of these widths sees its own node",
        "alone.",
        "",
        *table(["encoder", "agents", "edges a game", "sampling", "training"], rows),
    ]


def processes(numbers: tuple[int, ...]) -> list[str]:
    rows, first = [], 0.0
    for runners in (1, 2):
        # One short pass: this is about playing.
        method = PPO(num_envs=GAMES, rollout_length=FRAGMENTS[4], epochs=1)
        plan = plan_of(4, method=method, resources=Resources(env_runners=runners))
        with running_ray(1 + runners), train(plan) as training:
            training.step()
            steps = runners * GAMES * FRAGMENTS[4]
            seconds = [training.step()["sample_seconds"] for _ in range(PAIRS)]
        rate = steps / float(np.median(seconds))
        first = first or rate
        rows.append([str(runners), f"{rate:,.0f}", f"{rate / first:.2f}"])
    return [
        "## Training: several env runners",
        "",
        f"Steps of games with 4 agents that env runners, processes of {GAMES} games each, play and",
        f"hand over in a second on the clock, on {os.cpu_count()} cores.",
        "",
        *table(["env runners", "steps a second", "ratio"], rows),
    ]


def others(numbers: tuple[int, ...]) -> list[str]:
    """PettingZoo's own games: compared with the bare environment, by one process and by two."""
    rows = []
    for module, parameters in PETTINGZOO.items():
        words = ",".join(f"{key}={value}" for key, value in parameters.items())
        # One short pass: this is about playing.
        method = PPO(num_envs=OTHERS, rollout_length=64, epochs=1, minibatches=1)
        plan = Plan(
            game=f"pettingzoo:{module}({words})",
            method=method,
            network=Network(hidden=GRAPH_WIDTHS),
        )
        steps = OTHERS * method.rollout_length
        with ExitStack() as stack:
            stack.enter_context(running_ray(1 + 1 + 2))
            here, one, two = (
                stack.enter_context(
                    train(plan.model_copy(update={"resources": Resources(env_runners=count)}))
                )
                for count in (0, 1, 2)
            )
            for training in (here, one, two):
                training.step()  # warms up
            bare = Bare(module, parameters)
            calls = [partial(bare.play, steps), here.algorithm.env_runner.sample]
            alone, ours = steps / np.array(in_turn(calls))
            rates = np.array(
                [
                    [
                        k * steps / at_work.step()["sample_seconds"]
                        for k, at_work in ((1, one), (2, two))
                    ]
                    for _ in range(2 * PAIRS)
                ]
            )  # [rounds, 2]
        figures = [f"{np.median(rate):,.0f}" for rate in (alone, ours)]
        figures.append(f"{np.median(ours / alone):.0%}")
        figures += [f"{rate:,.0f}" for rate in np.median(rates, axis=0)]
        rows.append([module, *figures, f"**{np.median(rates[:, 1] / rates[:, 0]):.2f}**"])
    return [
        "## Training: PettingZoo's games, and several processes",
        "",
        "Steps of games a CPU second of one bare environment, whose actions are drawn at random",
        f"in a loop that does nothing else, and of our runner in the process that trains: {OTHERS}",
        "games, policy and critic of 64 x 64, values and advantages. Then steps a second on the",
        f"clock that 1 and 2 env runners, processes of {OTHERS} games each, play and hand over on",
        f"{os.cpu_count()} cores. Medians of rounds in which they take turns, ratios too.",
        "(`python -m benchmarks.learning --only others` measures this section alone.)",
        "",
        *table(
            ["game", "bare", "ours", "ratio", "1 env runner", "2 env runners", "ratio"], rows
        ),
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument(
        "--only", nargs="+", choices=["against_rllib", "graphs", "processes", "others"], default=()
    )
    options = parser.parse_args()
    print("\n".join(sections(options.quick, options.only)))


if __name__ == "__main__":
    main()
