"""MAPPO and IPPO: PPO of many agents, with one critic that sees all of them or one critic each.

MAPPO is Yu, Velu, Vinitsky, Gao, Wang, Bayen and Wu (2022), "The surprising effectiveness of PPO in
cooperative multi-agent games", arXiv 2103.01955; IPPO is de Witt, Gupta, Makoviichuk, Makoviychuk,
Torr, Sun and Whiteson (2020), "Is independent learning all you need in the StarCraft multi-agent
challenge?", arXiv 2011.09533. Both are PPO's equations (`marl.learning.on_policy.ppo`); they differ
in what the critic sees (`network.critic`), while training only. Policies see their own observation
under either name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from marl.learning.on_policy.ppo import PPO


class MAPPO(PPO):
    """Multi-agent PPO: PPO whose critic sees the observations of all agents of its game."""

    network: ClassVar[Mapping[str, Any]] = {"critic": "central"}

    name: Literal["mappo"] = "mappo"  # type: ignore[assignment]


class IPPO(PPO):
    """Independent PPO: every agent's critic sees its own observation only."""

    network: ClassVar[Mapping[str, Any]] = {"critic": "own"}

    name: Literal["ippo"] = "ippo"  # type: ignore[assignment]
