"""Playing batches of games and recording what happened. Knows no learning method."""

from games.common.lazy import later

__all__ = ["Trajectory", "record"]

__getattr__ = later(
    __name__,
    {"Trajectory": "marl.rollouts.trajectory", "record": "marl.rollouts.recording"},
)
