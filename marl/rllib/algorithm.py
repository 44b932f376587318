"""The RLlib Algorithm that alternates batched env runners and learners."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import ray
from ray.exceptions import RayError
from ray.rllib.algorithms.algorithm import Algorithm
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.core import COMPONENT_LEARNER, COMPONENT_RL_MODULE
from ray.rllib.utils.annotations import override
from ray.rllib.utils.metrics import (
    LEARNER_RESULTS,
    NUM_ENV_STEPS_SAMPLED_LIFETIME,
)

from games.common.seeds import seeds
from games.common.workers import WorkerError
from games.simulators.simulator import Spec
from marl.learning.method import BY_POLICY
from marl.learning.plan import Plan
from marl.networks.policy import Policy
from marl.rllib.config import LONGEST_WAIT, PROBE_SECONDS, BatchedConfig, algorithm_config
from marl.rllib.faults import of_learner, play, require_hope, start_env_runners
from marl.rllib.learner import EPISODES, Rows
from marl.rllib.runner import LIFE, PAST, ROLLOUT
from marl.rollouts.episodes import Episodes
from marl.rollouts.trajectory import Trajectory

OWN = "schelling"
PROBE_EVERY = 5.0  # seconds between two checks whether an env runner is back


class BatchedAlgorithm(Algorithm):
    """Play some steps of every game, learn from them, send the new weights to the env runners."""

    @classmethod
    def config_of(
        cls, plan: Plan, spec: Spec, *, against: Policy | None = None, seats: tuple[int, ...] = ()
    ) -> BatchedConfig:
        """RLlib's config for a plan; see `algorithm_config`."""
        return algorithm_config(plan, spec, against=against, seats=seats, algo_class=cls)

    @override(Algorithm)
    def setup(self, config: AlgorithmConfig) -> None:
        self.plan: Plan = config.env_config["plan"]
        self.steps = self.games_played = 0
        self.restarts = 0
        self.pool: list[dict[str, Any]] = []  # weights of past versions of the policies
        self.past: dict[str, Any] = {}  # weights of the past version now played against
        self.row: dict[str, float] = {}  # metrics of the last update
        self._probed = -PROBE_EVERY
        self._draw = np.random.default_rng(seeds(self.plan.seed, 3))
        count = config.num_env_runners
        self.config = config.copy(copy_frozen=False).env_runners(num_env_runners=0)
        super().setup(config)
        if count:
            start_env_runners(self.env_runner_group, count, LONGEST_WAIT)
            self.env_runner_group.sync_weights(from_worker_or_learner_group=self.learner_group)
        self.config = config

    @override(Algorithm)
    def _setup_logdir(self) -> None:
        """The folder of RLlib's logs: that of a sweep's trial, else a temporary one."""
        if self._storage:
            super()._setup_logdir()
        else:
            self._logdir = tempfile.gettempdir()

    @classmethod
    @override(Algorithm)
    def get_default_config(cls) -> AlgorithmConfig:
        return BatchedConfig(cls)

    @override(Algorithm)
    def training_step(self) -> None:
        count = 1 if self.learner_group.is_local else len(self.learner_group)
        began, before = time.perf_counter(), self.steps
        shards, ended = self.prepare(count)
        sampled = time.perf_counter()
        try:
            found = self._learn(shards)
            for one in found:
                ended = ended.add(one.pop(EPISODES, Episodes()))
            learned = time.perf_counter()
            self.finish(ended)
        except RayError as error:
            raise of_learner(error) from None
        synced = time.perf_counter()
        self.games_played += int(ended.count)
        self.row = {
            "steps": float(self.steps),
            "games": float(self.games_played),
            **ended.means(),
            **_together(found),
            "restarts": float(self.restarts),
            "env_runners": float(self._healthy()),
            "sample_seconds": sampled - began,
            "learn_seconds": learned - sampled,
            "sync_seconds": synced - learned,
            "steps_per_second": (self.steps - before) / (synced - began),
        }
        self.metrics.log_dict(self.row, key=LEARNER_RESULTS, window=1)

    def prepare(self, learners: int) -> tuple[list[Any], Episodes]:
        """The training data of each learner, and the episodes that ended meanwhile."""
        self._meet_the_past()
        parts, ended = self._sample()
        played = Trajectory.join(parts)
        self.steps += played.num_steps
        return played.split(learners) if learners > 1 else [played], ended

    def finish(self, ended: Episodes) -> None:
        """After all have learned: send the new weights to the env runners."""
        self.env_runner_group.sync_weights(from_worker_or_learner_group=self.learner_group)

    def save_files(self, folder: Path, before: Path | None) -> None:
        """Write what is too large for RLlib's state into a checkpoint's folder.

        Args:
            before: the folder of the checkpoint that was last saved or restored, which may be
                gone; files that are still the same can be hard links into it.
        """

    def restore_files(self, folder: Path) -> None:
        """Read what `save_files` wrote."""

    def _learn(self, shards: list[Any]) -> list[Rows]:
        """The results of every learner for its part of an update."""
        timesteps = {NUM_ENV_STEPS_SAMPLED_LIFETIME: self.steps}
        if self.learner_group.is_local:
            return self.learner_group.update(batch=shards[0], timesteps=timesteps)
        return self.learner_group.update(batches=shards, timesteps=timesteps)

    def _sample(self) -> tuple[list[Trajectory], Episodes]:
        """A trajectory from every env runner that is alive, ordered by their numbers.

        Raises:
            InputError: the game broke its rules.
            WorkerError: all env runners died permanently, or did not come back in time.
            RuntimeError: any other exception of the game.
        """
        group = self.env_runner_group
        if group.num_remote_env_runners() == 0:
            runner = group.local_env_runner
            return [runner.sample()], runner.get_metrics()
        deadline = time.monotonic() + LONGEST_WAIT
        while True:
            found = group.foreach_env_runner(
                play, local_env_runner=False, return_obj_refs=False, timeout_seconds=LONGEST_WAIT
            )
            for part in found:
                if isinstance(part, Exception):
                    raise part
            if found:
                break
            require_hope(group, self.plan.resources.restarts, PROBE_SECONDS)
            if time.monotonic() > deadline:
                raise WorkerError(
                    f"no env runner has come back for {LONGEST_WAIT:.0f} s: is the cluster alive?"
                )
            time.sleep(1.0)
            self.restore_env_runners(group)
        ended = Episodes()
        for _, episodes in found:
            ended = ended.add(episodes)
        return [played for played, _ in found], ended

    def _healthy(self) -> int:
        group = self.env_runner_group
        return group.num_healthy_remote_workers() if group.num_remote_env_runners() else 1

    def _meet_the_past(self) -> None:
        """Choose the past version to play against until the next update."""
        own = self.plan.self_play
        if not own.past:
            return
        if self.iteration % own.every == 0:
            self.pool.append(self.weights())
            if len(self.pool) > own.pool:
                del self.pool[1]
        self.past = {PAST: self.pool[self._draw.integers(len(self.pool))]}
        state = ray.put(self.past)
        self.env_runner_group.foreach_env_runner(
            lambda runner, given=state: runner.set_state(ray.get(given)), local_env_runner=True
        )

    def weights(self) -> dict[str, Any]:
        """Copies of the learners' weights, by policy and by name."""
        state = self.learner_group.get_state(
            components=COMPONENT_LEARNER + "/" + COMPONENT_RL_MODULE
        )[COMPONENT_LEARNER][COMPONENT_RL_MODULE]
        return {
            policy: {name: np.array(array) for name, array in arrays.items()}
            for policy, arrays in state.items()
        }

    @override(Algorithm)
    def restore_env_runners(self, env_runner_group: Any) -> list[int]:
        """Send weights and new seeds to env runners that were restarted."""
        now = time.monotonic()
        if now - self._probed < PROBE_EVERY:
            return []
        restored = env_runner_group.probe_unhealthy_env_runners()
        self._probed = time.monotonic()
        if not restored:
            return []
        self.restarts += len(restored)
        state = ray.put(
            {COMPONENT_RL_MODULE: self.weights(), LIFE: self.iteration + 1, **self.past}
        )
        env_runner_group.foreach_env_runner(
            lambda runner: runner.set_state(ray.get(state)),
            remote_worker_ids=restored,
            local_env_runner=False,
            timeout_seconds=LONGEST_WAIT,
        )
        return restored

    @override(Algorithm)
    def get_state(self, components: Any = None, **options: Any) -> dict[str, Any]:
        state = super().get_state(components, **options)
        if components is None:
            group = self.env_runner_group
            state[OWN] = {
                "steps": self.steps,
                "games_played": self.games_played,
                "restarts": self.restarts,
                "pool": self.pool,
                "draw": self._draw.bit_generator.state,
                "runners": group.foreach_env_runner(
                    lambda runner: (runner.worker_index, runner.get_state(components=[ROLLOUT])),
                    local_env_runner=group.num_remote_env_runners() == 0,
                ),
            }
        return state

    @override(Algorithm)
    def set_state(self, state: dict[str, Any]) -> None:
        super().set_state(state)
        if OWN not in state:
            return
        own = state[OWN]
        self.steps, self.games_played = own["steps"], own["games_played"]
        self.restarts, self.pool = own["restarts"], own["pool"]
        self._draw.bit_generator.state = own["draw"]
        runners = ray.put(dict(own["runners"]))
        group = self.env_runner_group
        group.foreach_env_runner(
            lambda runner: runner.set_state(ray.get(runners).get(runner.worker_index, {})),
            local_env_runner=group.num_remote_env_runners() == 0,
        )


def _together(found: list[Rows]) -> dict[str, float]:
    """The learners' metrics: decisions summed over policies, all else averaged.

    With several policies, entropy and divergence also per policy.
    """
    learners = [one for one in found if one]
    policies = [name for name in (learners[0] if learners else ()) if learners[0][name]]
    # All learners report the same, since every metric covers all shards.
    rows = [learners[0][name] for name in policies]
    keys = dict.fromkeys(key for row in rows for key in row)
    together = {key: float(np.mean([row[key] for row in rows if key in row])) for key in keys}
    if "decisions" in together:
        together["decisions"] = sum(row["decisions"] for row in rows)
    if learners and len(learners[0]) > 1:
        together |= {
            f"{key}_{name}": row[key]
            for name, row in zip(policies, rows, strict=True)
            for key in BY_POLICY
            if key in row
        }
    return together
