"""Legal actions of all agents at once: random ones, and checks of given ones."""

from __future__ import annotations

import torch
from torch import Tensor

from games.common.errors import InputError
from games.simulators.simulator import Observation, Spec


def random_actions(spec: Spec, seen: Observation, generator: torch.Generator | None) -> Tensor:
    """Random legal actions [B, N, D] of the agents that act, from their action sets; else 0."""
    b, n = seen.acting.shape
    actions = torch.zeros((b, n, spec.action_width), dtype=spec.action_dtype)
    for agent, k in enumerate(spec.role_of):
        role = spec.roles[k]
        mask = seen.action_mask[:, agent, : role.mask_width].cpu()
        drawn = role.actions.sample(mask, generator)
        actions[:, agent, : role.action_width] = drawn.to(actions.dtype)
    return actions.to(seen.acting.device) * seen.acting[..., None].to(actions.dtype)


def check_actions(spec: Spec, seen: Observation, actions: Tensor, where: str) -> None:
    """Check actions [B, N, D] of the agents that act; `where` begins the error message.

    Raises:
        InputError: an action that is not in the agent's set, or that the mask forbids.
    """
    if actions.shape != (*seen.acting.shape, spec.action_width):
        raise InputError(
            f"{where}: actions have the shape {tuple(actions.shape)}; give "
            f"{(*seen.acting.shape, spec.action_width)}"
        )
    for k, role in enumerate(spec.roles):
        agents = [agent for agent, of in enumerate(spec.role_of) if of == k]
        given = actions[:, agents, : role.action_width]
        legal = role.actions.contains(given, seen.action_mask[:, agents, : role.mask_width])
        wrong = (~legal & seen.acting[:, agents]).nonzero()
        if len(wrong):
            game, i = wrong[0].tolist()
            raise InputError(
                f"{where}: agent {agents[i]}: the action {given[game, i].tolist()} is not legal "
                f"(game {game}); choose within the action mask or the action space"
            )
