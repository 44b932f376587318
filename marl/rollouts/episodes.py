"""Returns, lengths and infos of finished episodes, as sums that can be added up."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Episodes:
    """Sums over the episodes finished since the last `Rollout.episodes()`."""

    count: float = 0.0
    steps: float = 0.0
    returns: dict[str, float] = field(default_factory=dict)  # by role or opponent
    weights: dict[str, float] = field(default_factory=dict)  # how many of each
    info: dict[str, float] = field(default_factory=dict)

    def add(self, other: Episodes) -> Episodes:
        def total(mine: dict[str, float], theirs: dict[str, float]) -> dict[str, float]:
            return {k: mine.get(k, 0.0) + theirs.get(k, 0.0) for k in [*mine, *theirs]}

        return Episodes(
            self.count + other.count,
            self.steps + other.steps,
            total(self.returns, other.returns),
            total(self.weights, other.weights),
            total(self.info, other.info),
        )

    def means(self) -> dict[str, float]:
        """Mean returns, length and infos; empty if no episode ended."""
        if not self.count:
            return {}
        found = {name: self.returns[name] / n for name, n in self.weights.items() if n}
        found["episode_steps"] = self.steps / self.count
        return found | {name: value / self.count for name, value in self.info.items()}
