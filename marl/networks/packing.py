"""Inputs of networks: the decisions to be taken, and the nodes that they need."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from games.simulators.simulator import Observation


@dataclass(frozen=True)
class Input:
    """D decisions to be taken, and the R nodes that they are computed from."""

    x: Tensor  # [R, F] float32  node features
    edges: Tensor  # [2, E] int64  source and target among the R nodes
    edge_features: Tensor  # [E, G] float32
    deciding: Tensor | None  # [D] int64  the rows of x that decide; None: every row, D = R
    game: Tensor | None  # [R] int64  the game of each node, ascending; for a central critic
    num_envs: int
    action_mask: Tensor  # [D, A] bool
    memory: Tensor | None = None  # [D, M] float32 for one step, or [S, M] before S sequences
    slot: Tensor | None = None  # [D] int64  in which of the S sequences a decision is
    time: Tensor | None = None  # [D] int64  and when: no two of a sequence at the same time
    fresh: Tensor | None = None  # [D] bool  the first of an episode: memory starts at 0

    def to(self, device: torch.device | str) -> Input:
        found: dict[str, Any] = {
            name: value.to(device) if isinstance(value, Tensor) else value
            for name, value in vars(self).items()
        }
        return Input(**found)


class Output(NamedTuple):
    """A network's outputs for D decisions."""

    parameters: (
        Tensor  # [D, P] float32  of the action distribution; see `marl.networks.distributions`
    )
    value: Tensor  # [D] float32
    memory: Tensor | None  # [D, M] float32  after each decision


class Needs(Protocol):
    """Which nodes a network needs in addition to those of the deciding agents."""

    uses_graph: bool  # all nodes that edges touch
    central: bool  # all agents of their games


def pack(
    observation: Observation,
    deciding: Tensor,
    network: Needs,
    memory: Tensor | None = None,
) -> Input:
    """Pack the parts of an observation that a network needs.

    Args:
        observation: of B games.
        deciding: [B, N] bool, D of them true; decisions are ordered by game, then agent.
        memory: [D, M] float32 of those that decide; None: as at the start of an episode.
    """
    batch, num_nodes = observation.nodes.shape[:2]
    nodes = observation.nodes.flatten(0, 1)
    edges, features = observation.edges[:, :0], observation.edge_features[:0]
    game = None
    rows, positions = nodes_in_play(
        observation, deciding, graph=network.uses_graph, central=network.central
    )
    if network.uses_graph:
        edges, features = observation.edges, observation.edge_features
    if len(rows) < len(nodes):
        nodes = nodes.index_select(0, rows)
        if network.uses_graph:
            number = rows.new_full((batch * num_nodes,), -1)
            number[rows] = torch.arange(len(rows), device=rows.device)
            edges = number[edges]
            kept = edges[0] >= 0
            if not kept.all():
                edges, features = edges[:, kept], features[kept]
    if network.central:
        game = rows // num_nodes
    mask = observation.action_mask[deciding]
    return Input(nodes, edges, features, positions, game, batch, mask, memory)


def nodes_in_play(
    observation: Observation, deciding: Tensor, *, graph: bool, central: bool
) -> tuple[Tensor, Tensor | None]:
    """Which of the B * V nodes a network needs.

    Args:
        deciding: [B, N] bool.
        graph: include all nodes that edges touch, in games where an agent decides.
        central: include all agents of those games.

    Returns:
        rows [R] int64, ascending; and the positions [D] int64 among them of the deciding agents,
        None if all rows decide.
    """
    batch, num_nodes = observation.nodes.shape[:2]
    if not (graph or central) and num_nodes == deciding.shape[1] and deciding.all():
        return torch.arange(batch * num_nodes, device=deciding.device), None
    chosen = nn.functional.pad(deciding, (0, num_nodes - deciding.shape[1]))  # [B, V]
    in_play = chosen.clone()
    playing = deciding.any(dim=1, keepdim=True)  # [B, 1]
    if central:
        in_play[:, : deciding.shape[1]] |= playing
    chosen, in_play = chosen.flatten(), in_play.flatten()
    if graph:
        counts = playing[:, 0][observation.edges[0] // num_nodes]
        in_play[observation.edges[:, counts].flatten()] = True
    rows = in_play.nonzero()[:, 0]
    if not (graph or central) or bool((in_play == chosen).all()):
        return rows, None
    return rows, chosen[rows].nonzero()[:, 0]
