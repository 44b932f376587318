"""Legal actions: drawn at random, and told from others."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from games.common.errors import InputError
from games.simulators.simulator import Observation, Role, Spec


def random_actions(spec: Spec, seen: Observation, generator: torch.Generator | None) -> Tensor:
    """Legal actions [B, N, D] for those who act, uniform within their masks or boxes; else 0.

    Sides of a box without a bound are drawn from the standard normal distribution.
    """
    b, n = seen.acting.shape
    actions = torch.zeros((b, n, spec.action_width), dtype=spec.action_dtype)
    device = seen.acting.device
    for agent, k in enumerate(spec.role_of):
        role, drawn = spec.roles[k], actions[:, agent]
        if not role.sizes:
            drawn[:, : role.action_width] = _draw_box(role, b, generator)
        for part, (first, size) in enumerate(parts(role)):
            mask = seen.action_mask[:, agent, first : first + size].cpu()
            score = torch.rand((b, size), generator=generator).where(mask, torch.tensor(-1.0))
            drawn[:, part] = score.argmax(dim=1).to(drawn.dtype)
    return actions.to(device) * seen.acting[..., None].to(actions.dtype)


def check_actions(spec: Spec, seen: Observation, actions: Tensor, where: str) -> None:
    """Refuse actions [B, N, D] that those who act may not take; `where` begins the message.

    Raises:
        InputError: no such choice, a choice that the mask forbids, a number outside the box.
    """
    if actions.shape != (*seen.acting.shape, spec.action_width):
        raise InputError(
            f"{where}: actions have the shape {tuple(actions.shape)}; give "
            f"{(*seen.acting.shape, spec.action_width)}"
        )
    for k, role in enumerate(spec.roles):
        agents = [agent for agent, of in enumerate(spec.role_of) if of == k]
        given = actions[:, agents, : role.action_width]
        if role.sizes:
            legal = torch.ones(given.shape[:2], dtype=torch.bool, device=given.device)
            for part, (first, size) in enumerate(parts(role)):
                choice = given[..., part]
                index = choice.long().clamp(0, size - 1)
                mask = seen.action_mask[:, agents, first : first + size]
                legal &= (choice == index) & mask.gather(2, index[..., None])[..., 0]
        else:
            low, high = _sides(role, given.device)
            legal = ((given >= low) & (given <= high)).all(dim=2)
        wrong = (~legal & seen.acting[:, agents]).nonzero()
        if len(wrong):
            game, i = wrong[0].tolist()
            raise InputError(
                f"{where}: agent {agents[i]}: the action {given[game, i].tolist()} is not legal "
                f"(game {game}); choose within the action mask or the action space"
            )


def parts(role: Role) -> Iterator[tuple[int, int]]:
    """Of each discrete component, where it begins in the mask, and its number of choices."""
    first = 0
    for size in role.sizes:
        yield first, size
        first += size


def _draw_box(role: Role, batch: int, generator: torch.Generator | None) -> Tensor:
    low, high = _sides(role, torch.device("cpu"))
    bounded = low.isfinite() & high.isfinite()
    share = torch.rand((batch, len(low)), generator=generator)
    normal = torch.randn((batch, len(low)), generator=generator)
    inside = torch.where(bounded, low, 0) + share * torch.where(bounded, high - low, 0)
    return torch.where(bounded, inside, torch.maximum(torch.minimum(normal, high), low))


def _sides(role: Role, device: torch.device) -> tuple[Tensor, Tensor]:
    """Lower and upper bounds [D] float32 of a continuous action."""
    box = role.action_space
    low, high = np.asarray(box.low), np.asarray(box.high)  # type: ignore[attr-defined]
    return (
        torch.as_tensor(low, dtype=torch.float32, device=device),
        torch.as_tensor(high, dtype=torch.float32, device=device),
    )
