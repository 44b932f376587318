"""Checks of a single observation or step: shapes, dtypes, edges, masks.

`games.simulators.check` tests them in every step that it plays, `SimulatorVector` in the first of a
run. Whether numbers are finite is left to those two, which know whose numbers they are.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from games.simulators.simulator import Observation, Spec, Step


class BrokenPromise(Exception):
    """A violation of the simulator contract; the caller adds the simulator's name."""


def check_observation(spec: Spec, seen: Any, batch: int, left: Tensor, where: str) -> None:
    """Test an observation of `batch` games.

    Args:
        left: [B, N] bool, agents that terminated or were cut off, in games that are not over.
        where: begins the message, such as "step 3".

    Raises:
        BrokenPromise: the first violation found.
    """
    if not isinstance(seen, Observation):
        raise BrokenPromise(f"{where}: observe gives a {type(seen).__name__}; give an Observation")
    n, v = spec.num_agents, spec.num_nodes
    edges = seen.edges.shape[-1] if isinstance(seen.edges, Tensor) and seen.edges.dim() else 0
    for name, shape, dtype in (
        ("nodes", (batch, v, spec.features), torch.float32),
        ("edges", (2, edges), torch.int64),
        ("edge_features", (edges, spec.edge_features), torch.float32),
        ("acting", (batch, n), torch.bool),
        ("action_mask", (batch, n, spec.mask_width), torch.bool),
    ):
        check_tensor(getattr(seen, name), shape, dtype, f"{where}: observe: {name}")
    if seen.text is not None:
        rows = [len(row) for row in seen.text]
        fits = rows == [n] * batch and all(isinstance(t, str) for row in seen.text for t in row)
        require(fits, f"{where}: observe: text must be {batch} rows of {n} strings")
    inside = bool(((seen.edges >= 0) & (seen.edges < batch * v)).all())
    require(inside, f"{where}: observe: an edge leads to a node that is not among {batch * v}")
    game = seen.edges // v
    require(torch.equal(game[0], game[1]), f"{where}: observe: an edge joins two games")
    require(bool((game[0].diff() >= 0).all()), f"{where}: observe: edges not sorted by game")
    for agent, k in enumerate(spec.role_of):
        role = spec.roles[k]
        said = f"{where}: observe: agent {agent}"
        acting, mask = seen.acting[:, agent], seen.action_mask[:, agent]
        require(not (acting & left[:, agent]).any(), f"{said} acts though it has left")
        require(not mask[:, role.mask_width :].any(), f"{said} has choices beyond its role's mask")
        padding = seen.nodes[:, agent, role.features :]
        filled = bool((padding.abs() > 0).any())  # NaN is reported as such, not as a feature
        require(not filled, f"{said} has features beyond its role's {role.features}")
        choice = role.actions.possible(mask[:, : role.mask_width])
        require(bool((choice | ~acting).all()), f"{said} acts but has no legal action")


def check_step(spec: Spec, step: Any, batch: int, where: str) -> None:
    """Test a step of `batch` games.

    Raises:
        BrokenPromise: a tensor that is none, or of another shape or dtype.
    """
    if not isinstance(step, Step):
        raise BrokenPromise(f"{where}: step gives a {type(step).__name__}; give a Step")
    shape = (batch, spec.num_agents)
    check_tensor(step.reward, shape, torch.float32, f"{where}: reward")
    check_tensor(step.terminated, shape, torch.bool, f"{where}: terminated")
    check_tensor(step.truncated, shape, torch.bool, f"{where}: truncated")
    for name, value in step.info.items():
        shapes = [(batch,), shape]
        fits = isinstance(value, Tensor) and tuple(value.shape) in shapes
        wanted = f"a float32 tensor of shape {shapes[0]} or {shapes[1]}"
        require(fits and value.dtype == torch.float32, f"{where}: info {name!r} must be {wanted}")


def check_tensor(value: Any, shape: tuple[int, ...], dtype: torch.dtype, what: str) -> None:
    if not isinstance(value, Tensor):
        raise BrokenPromise(f"{what} is a {type(value).__name__}; make it a tensor")
    if tuple(value.shape) != shape or value.dtype != dtype:
        raise BrokenPromise(
            f"{what} has the shape {tuple(value.shape)} and {value.dtype}; it must have "
            f"{shape} and {dtype}"
        )


def require(holds: bool, message: str) -> None:
    if not holds:
        raise BrokenPromise(message)
