"""The RLlib Algorithm of off-policy methods: it keeps the replay and draws what learners learn."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.utils.annotations import override

from games.common.seeds import seeds
from marl.learning.off_policy.base import OffPolicyMethod
from marl.learning.schedule import at
from marl.replay.batch import Batch
from marl.replay.files import restore, save
from marl.replay.replay import Replay
from marl.rllib.algorithm import BatchedAlgorithm
from marl.rllib.learner import Rows
from marl.rollouts.episodes import Episodes
from marl.rollouts.trajectory import Trajectory

ERRORS = "learner:errors"  # beside the policies' rows: errors of what was learned
REPLAY = "replay"  # its folder in a checkpoint


class ReplayAlgorithm(BatchedAlgorithm):
    """Play, remember, and take gradient steps on what is drawn from memory."""

    @override(BatchedAlgorithm)
    def setup(self, config: AlgorithmConfig) -> None:
        super().setup(config)
        modules = config.rl_module_spec.rl_module_specs
        options = next(iter(modules.values())).model_config
        method = self._method
        self.replay = Replay(options["spec"], method.replay, method.draws(self.plan.network.memory))

    @property
    def _method(self) -> OffPolicyMethod:
        assert isinstance(self.plan.method, OffPolicyMethod)
        return self.plan.method

    @override(BatchedAlgorithm)
    def prepare(self, learners: int) -> tuple[list[Any], Episodes]:
        parts, ended = self._sample()
        played = Trajectory.join(parts)
        self.steps += played.num_steps
        self.replay.add(played)
        if self.steps < self._method.learning_starts or not len(self.replay.units):
            return [[] for _ in range(learners)], ended
        if learners == 1 and self.learner_group.is_local:
            return [self._drawn(1)], ended  # drawn as they are learned, one at a time
        each = list(self._drawn(learners))
        return [each[k::learners] for k in range(learners)], ended

    def _drawn(self, learners: int) -> Iterator[Batch]:
        """The batches of an update: for each gradient step one for every learner."""
        method = self._method
        generator = torch.Generator().manual_seed(seeds(self.plan.seed, 4, self.iteration)[0])
        correction = at(method.priority_correction, self.steps)
        for _ in range(method.gradient_steps * learners):
            yield self.replay.draw(max(method.batch_size // learners, 1), generator, correction)

    @override(BatchedAlgorithm)
    def _learn(self, shards: list[Any]) -> list[Rows]:
        found = super()._learn(shards)
        for one in found:
            for index, errors in one.pop(ERRORS, ()):
                self.replay.learned(index, errors)
            for row in one.values():
                row["remembered"] = float(len(self.replay))
        return found

    @override(BatchedAlgorithm)
    def save_files(self, folder: Path, before: Path | None) -> None:
        save(self.replay, folder / REPLAY, before and before / REPLAY)

    @override(BatchedAlgorithm)
    def restore_files(self, folder: Path) -> None:
        restore(self.replay, folder / REPLAY)
