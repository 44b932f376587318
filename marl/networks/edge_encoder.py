"""A graph encoder for a player who acts along edges: an embedding of every edge.

Alvo, Russo and Kanoria, "Deep reinforcement learning for inventory networks" (arXiv 2306.11246),
section on graph networks: embeddings of nodes and of edges, rounds of messages from edges to
nodes and from nodes to edges, upstream and downstream, and an output from every edge. All nodes
share their weights, and all edges theirs, so that weights do not depend on the number of stores,
and permuting the stores permutes the orders.

All games of a batch have the same graph. So tensors here are [V, D, H], a node's games side by
side: messages are whole rows of a node or an edge. torch-geometric
adds up number by number, which takes a quarter longer, and seconds to import; the tests compare
with it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from games.common.errors import InputError
from marl.networks.linear import Linear


class Topology(NamedTuple):
    """The graph that D games have in common; V of its nodes have edges, the others are left out."""

    edges: Tensor  # [2, D * E] int64  as they were given, of all games
    nodes: Tensor  # [V] int64  which nodes have edges
    target: Tensor  # [E] int64  where each edge ends, 0..V-1
    into: Tensor  # [E, 1, 1] float32  1 / number of edges that end there
    senders: Tensor  # [S] int64  nodes that edges leave, 0..V-1
    source: Tensor  # [E] int64  where each edge begins, 0..S-1: one of them
    out_of: Tensor  # [S, 1, 1] float32  1 / number of edges that leave a sender


class EdgeEncoder(nn.Module):
    """Embeddings of edges, after rounds of messages with residual connections.

    Deviations from the paper: goods in transit are features of their edge, suppliers are nodes that
    receive messages about orders, what a location keeps is not an edge, since the game counts it
    as a logit of 0, and what a round adds to a node or an edge is linear in its hidden layer.

    Args:
        features: F of a node. edge_features: G of an edge.
        width: H of all layers.
        rounds: of messages.
        activation: makes the module between layers.
    """

    def __init__(
        self,
        features: int,
        edge_features: int,
        width: int,
        rounds: int,
        activation: Callable[[], nn.Module],
    ) -> None:
        super().__init__()
        self.width = width
        self.node, self.edge = (
            nn.Sequential(Linear(before, width), activation(), Linear(width, width))
            for before in (features, edge_features)
        )
        self.rounds = nn.ModuleList(Round(width, activation) for _ in range(rounds))
        self.last = nn.Sequential(Linear(width, width), activation())
        self._topology: Topology | None = None

    def forward(
        self, x: Tensor, edges: Tensor, edge_features: Tensor, deciding: Tensor | None
    ) -> Tensor:
        """Nodes [R, F], edges [2, D * E], their features [D * E, G] to embeddings [D, E, width].

        Args:
            deciding: [D] int64 as in `Input`: one node of every game decides. None: R = D.

        Raises:
            InputError: the games have different graphs.
        """
        games = len(x) if deciding is None else len(deciding)
        graph = self._graph(edges, len(x), games)
        seen = x.unflatten(0, (games, -1)).transpose(0, 1)
        nodes = self.node(seen.index_select(0, graph.nodes))
        links = self.edge(edge_features.unflatten(0, (games, -1)).transpose(0, 1))
        for send in self.rounds:
            nodes, links = send(nodes, links, graph)
        return self.last(links).transpose(0, 1)

    def _graph(self, edges: Tensor, rows: int, games: int) -> Topology:
        """The games' common graph, cached: games show the same edges step after step."""
        if self._topology is None or self._topology.edges is not edges:
            self._topology = topology(edges, rows, games)
        return self._topology


class Round(nn.Module):
    """A round of messages: nodes get the means of their edges in and out, then edges their ends.

    A node:  v + N a(A v + B mean of edges into it + C mean of edges out of it + a constant);
    an edge:  e + M a(P e + Q v_source + R v_target + a constant).  Means keep their scale when a
    policy that learned with few stores orders for many.
    """

    def __init__(self, width: int, activation: Callable[[], nn.Module]) -> None:
        super().__init__()
        self.own, self.into, self.out_of, self.node = (_square(width) for _ in range(4))
        self.link, self.source, self.target, self.edge = (_square(width) for _ in range(4))
        self.node_constant = nn.Parameter(torch.zeros(width))
        self.edge_constant = nn.Parameter(torch.zeros(width))
        self.activation = activation()

    def forward(self, nodes: Tensor, links: Tensor, graph: Topology) -> tuple[Tensor, Tensor]:
        """Update nodes [V, D, H] and edges [E, D, H]."""
        # Sums are taken in place: most of the time goes into reading and writing.
        heard = self.own(nodes)
        heard += self.node_constant
        heard.index_add_(0, graph.target, self.into(links).mul_(graph.into))
        sent = links.new_zeros(len(graph.senders), *links.shape[1:])
        sent.index_add_(0, graph.source, links).mul_(graph.out_of)
        heard.index_add_(0, graph.senders, self.out_of(sent))
        nodes = self.node(self.activation(heard)).add_(nodes)
        heard = self.link(links)
        heard += self.edge_constant
        senders = nodes.index_select(0, graph.senders)
        heard += self.source(senders).index_select(0, graph.source)
        heard += self.target(nodes).index_select(0, graph.target)
        return nodes, self.edge(self.activation(heard)).add_(links)


def _square(width: int) -> Linear:
    # With a constant, its result would be a view, whose gradients torch copies back and forth.
    return Linear(width, width, bias=False)


def topology(edges: Tensor, rows: int, games: int) -> Topology:
    """The graph of `games` games with `rows` nodes, all of them together.

    Args:
        edges: [2, D * E] int64, sorted by game.

    Raises:
        InputError: the games have different graphs.
    """
    size, count = rows // games, edges.shape[1] // games
    if edges.shape[1] != count * games or rows != size * games:
        raise unlike()
    local = edges.view(2, games, count) - size * torch.arange(games, device=edges.device)[:, None]
    if not (local == local[:, :1]).all():
        raise unlike()
    nodes, place = local[:, 0].unique(return_inverse=True)
    senders, source, leaving = place[0].unique(return_inverse=True, return_counts=True)
    return Topology(
        edges,
        nodes,
        target=place[1],
        into=place[1].bincount()[place[1]].reciprocal()[:, None, None],
        senders=senders,
        source=source,
        out_of=leaving.reciprocal()[:, None, None],
    )


def unlike() -> InputError:
    return InputError(
        'encoder "edges" needs games that all have the same edges, in the same order, at every '
        'step; use encoder "attention" or "convolution"'
    )
