"""One run of BenchMARL, in a process and with an interpreter of its own.

python peer.py '{"task": {...}, "method": "mappo", "seed": 0, ...}'

It imports nothing of this project, so any interpreter that has benchmarl can run it. Every
evaluation is printed as a line of JSON, as `benchmarks.standard.ours` does: `steps` of all games
together, `seconds` and `cpu_seconds` of collection and training without evaluation, and `returns`.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
import types
import warnings
from typing import Any

for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

import torch  # noqa: E402
from benchmarl.algorithms import algorithm_config_registry  # noqa: E402
from benchmarl.environments import PettingZooTask, VmasTask  # noqa: E402
from benchmarl.experiment import Experiment, ExperimentConfig  # noqa: E402
from benchmarl.models.mlp import MlpConfig  # noqa: E402


def provide_mpe2() -> None:
    """Let torchrl find the particle environments, which moved from pettingzoo to mpe2.

    torchrl 0.11 asks pettingzoo for its list of environments, in which they no longer are.
    """
    from mpe2.all_modules import mpe_environments

    listed: Any = types.ModuleType("pettingzoo.utils.all_modules")
    listed.all_environments = mpe_environments
    sys.modules[listed.__name__] = listed


def task_of(given: dict[str, Any]) -> Any:
    """BenchMARL's task: `library` (vmas or pettingzoo), its `name`, and parameters to replace."""
    if given["library"] == "pettingzoo":
        provide_mpe2()
    tasks = VmasTask if given["library"] == "vmas" else PettingZooTask
    task = tasks[given["name"].upper()].get_from_yaml()
    task.config.update(given["config"])
    return task


def config_of(given: dict[str, Any], folder: str) -> ExperimentConfig:
    """BenchMARL's defaults, with the parameters of both libraries in their place."""
    shared, steps = given["shared"], given["steps"]
    config = ExperimentConfig.get_from_yaml()
    frames = shared["num_envs"] * shared["rollout_length"]
    values: dict[str, Any] = {
        "prefer_continuous_actions": given["continuous"],
        "gamma": shared["discount"],
        "lr": shared["learning_rate"],
        "clip_grad_val": shared["gradient_clip"],
        "max_n_frames": steps,
        "on_policy_collected_frames_per_batch": frames,
        "on_policy_n_envs_per_worker": shared["num_envs"],
        "off_policy_collected_frames_per_batch": frames,
        "off_policy_n_envs_per_worker": shared["num_envs"],
        "evaluation_interval": given["every"],
        "evaluation_episodes": given["episodes"],
        "evaluation_deterministic_actions": given["greedy"],
        "render": False,
        "loggers": [],
        "create_json": True,  # without it or a logger BenchMARL does not evaluate
        "save_folder": folder,
    }
    if "epochs" in shared:
        values |= {
            "on_policy_n_minibatch_iters": shared["epochs"],
            "on_policy_minibatch_size": frames // shared["minibatches"],
        }
    else:
        values |= {
            "polyak_tau": shared["target_rate"],
            "off_policy_n_optimizer_steps": shared["gradient_steps"],
            "off_policy_train_batch_size": shared["batch_size"],
            "off_policy_memory_size": shared["replay"],
        }
    if "exploration" in shared:
        first, last = shared["exploration"]
        values |= {
            "exploration_eps_init": first,
            "exploration_eps_end": last,
            "exploration_anneal_frames": int(shared["exploration_share"] * steps),
        }
    for name, value in values.items():
        assert hasattr(config, name), name
        setattr(config, name, value)
    return config


def own_of(given: dict[str, Any]) -> Any:
    """BenchMARL's config of the method, with the parameters of both libraries in their place."""
    config = algorithm_config_registry[given["method"]].get_from_yaml()
    shared = given["shared"]
    if "epochs" in shared:
        config.lmbda = shared["gae_lambda"]
        config.clip_epsilon = shared["clip"]
        config.entropy_coef = shared["entropy"]
        config.critic_coef = shared["value_coefficient"]
    if "temperature" in shared:
        config.alpha_init = shared["temperature"]
    return config


def episode_return(experiment: Any, rollout: Any) -> float:
    """The undiscounted return of one game up to its end, as a mean over its agents.

    BenchMARL's own `eval/reward/episode_reward` is a mean over groups of means over their agents,
    which differs where groups have different sizes.
    """
    done = rollout.get(("next", "done")).squeeze(-1).nonzero()
    last = int(done[0]) if len(done) else rollout.batch_size[0] - 1
    total, agents = 0.0, 0
    for group, members in experiment.group_map.items():
        reward = rollout.get(("next", group, "reward"))[: last + 1]
        total += float(reward.sum())
        agents += len(members)
    return total / agents


class Timed(Experiment):
    """An experiment that reports its evaluations, and does not count their time."""

    def _collection_loop(self) -> None:
        self.began = time.perf_counter(), time.process_time()
        self.apart = [0.0, 0.0]
        super()._collection_loop()

    def _evaluation_loop(self) -> None:
        self.before = time.perf_counter(), time.process_time()
        super()._evaluation_loop()
        self.apart[0] += time.perf_counter() - self.before[0]
        self.apart[1] += time.process_time() - self.before[1]

    def _on_evaluation_end(self, rollouts: Any) -> None:
        # Times are those at which this evaluation began, without the earlier ones.
        super()._on_evaluation_end(rollouts)
        report(
            steps=self.total_frames,
            seconds=self.before[0] - self.began[0] - self.apart[0],
            cpu_seconds=self.before[1] - self.began[1] - self.apart[1],
            returns=[episode_return(self, rollout) for rollout in rollouts],
        )


def report(**line: Any) -> None:
    print(json.dumps(line), flush=True)


def main() -> None:
    given = json.loads(sys.argv[1])
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        model = MlpConfig(
            num_cells=given["shared"]["hidden"],
            layer_class=torch.nn.Linear,
            activation_class=torch.nn.Tanh,
        )
        experiment = Timed(
            task=task_of(given["task"]),
            algorithm_config=own_of(given),
            model_config=model,
            seed=given["seed"],
            config=config_of(given, folder),
        )
        experiment.run()


if __name__ == "__main__":
    main()
