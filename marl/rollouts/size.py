"""A lower bound on the memory of rollouts, checked before they start."""

from __future__ import annotations

from typing import TYPE_CHECKING

from games.common.memory import require_memory

if TYPE_CHECKING:
    from games.simulators.simulator import Spec

NUMBER = 4  # bytes of a float32
GAME = 500  # bytes of a game that is stepped in Python


def require_rollouts(num_envs: int, rollout_length: int, env_runners: int, spec: Spec) -> None:
    """Raise InputError for rollouts that this machine cannot hold.

    Args:
        num_envs: games of each env runner.
        rollout_length: steps of each game between two updates.
        env_runners: processes that simulate; 0: this one.
        spec: of the game.
    """
    seen = spec.num_nodes * spec.features + spec.num_agents * (spec.action_width + 4)
    need = num_envs * (GAME + rollout_length * (seen * NUMBER + spec.num_agents * spec.mask_width))
    require_memory(
        need * max(env_runners, 1),
        f"method.num_envs = {num_envs:,} with method.rollout_length = {rollout_length:,}",
        "give fewer games, or shorter fragments",
    )
