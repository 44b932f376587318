"""The results of a training run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from scenarios.training.best import Best


@dataclass(frozen=True)
class TrainingResult:
    """The results of a training run."""

    game: str
    method: str
    updates: int
    steps: int
    seconds: float
    metrics: dict[str, float]  # the last of each that was measured
    best: Best  # which policy is the best, and by how much; empty if none was chosen
    evaluation: dict[str, float]  # of the last policy, with standard errors; empty if not wanted

    def to_json(self) -> dict[str, Any]:
        return dict(vars(self))

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> TrainingResult:
        return cls(**{name: row[name] for name in cls.__dataclass_fields__})
