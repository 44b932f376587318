"""Graph encoders: rounds of messages along edges, for any number of nodes and edges.

All nodes share their weights and a node adds up, averages or selects its messages, so that
permuting the nodes permutes the outputs and weights do not depend on their number.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from marl.networks.linear import Linear


class GraphEncoder(nn.Module):
    """Embedding, rounds of messages with residual connections, and the node's own embedding again.

    Without the last a decision would know its own node's features only mixed with those of its
    neighbours.

    Args:
        features: F of a node. edge_features: G of an edge.
        widths: of the embedding after each round; at least one.
        heads: of attention; every width is a multiple of it. None: convolution.
        activation: makes the module between layers.
    """

    def __init__(
        self,
        features: int,
        edge_features: int,
        widths: tuple[int, ...],
        heads: int | None,
        activation: Callable[[], nn.Module],
    ) -> None:
        super().__init__()
        self.width = widths[-1]
        self.embed = nn.Sequential(Linear(features, widths[0]), activation())
        self.rounds = nn.ModuleList(
            Convolution(before, width, edge_features)
            if heads is None
            else attention(before, width, edge_features, heads)
            for before, width in zip((widths[0], *widths), widths, strict=False)
        )
        self.activation = activation()
        self.join = nn.Sequential(Linear(widths[0] + widths[-1], widths[-1]), activation())

    def forward(
        self, x: Tensor, edges: Tensor, edge_features: Tensor, deciding: Tensor | None
    ) -> Tensor:
        """Nodes [R, F], edges [2, E], their features [E, G] to embeddings [D, width].

        `deciding` [D] int64 selects the nodes; None: all.
        """
        own = hidden = self.embed(x)
        features = edge_features if edge_features.shape[1] else None
        for send in self.rounds:
            heard = self.activation(send(hidden, edges, features))
            hidden = hidden + heard if heard.shape == hidden.shape else heard
        both = torch.cat([own, hidden], dim=1)
        return self.join(both if deciding is None else both.index_select(0, deciding))


class Convolution(nn.Module):
    """Graph convolution: messages from source, target and edge, reduced to mean and maximum.

    A message is  relu(A x_target + B x_source + C e);  the node becomes  S x + M [mean, max]. Mean
    and maximum (two of the aggregators of Corso, Cavalleri, Beaini, Lio & Velickovic, "Principal
    neighbourhood aggregation for graph nets", 2020, section 2) keep their scale when a policy that
    learned among few agents runs among many; a sum would not. A and B work on nodes, before they
    are gathered along the edges: the same as a layer on the three joined, and faster.
    """

    def __init__(self, before: int, width: int, edge_features: int) -> None:
        super().__init__()
        self.target = Linear(before, width)
        self.source = Linear(before, width, bias=False)
        self.edge = Linear(edge_features, width, bias=False) if edge_features else None
        self.own = Linear(before, width)
        self.heard = Linear(2 * width, width, bias=False)

    def forward(self, x: Tensor, edges: Tensor, edge_features: Tensor | None) -> Tensor:
        """Nodes [R, before], edges [2, E], their features [E, G] to nodes [R, width]."""
        source, target = edges[0], edges[1]
        message = self.target(x).index_select(0, target)
        message = message + self.source(x).index_select(0, source)
        if self.edge is not None:
            message = message + self.edge(edge_features)
        return self.own(x) + self.heard(mean_and_max(message.relu(), target, len(x)))


def attention(before: int, width: int, edge_features: int, heads: int) -> nn.Module:
    """Shi, Huang, Feng, Zhong, Wang & Sun, "Masked label prediction: unified message passing model
    for semi-supervised classification" (2021), section 3.1, equations 3 and 4: an edge's features
    enter both keys and values, so that what a neighbour says can depend on where it stands."""
    # torch-geometric takes seconds to import, and nothing else here needs it.
    from torch_geometric.nn import TransformerConv

    return TransformerConv(before, width // heads, heads=heads, edge_dim=edge_features or None)


def mean_and_max(values: Tensor, group: Tensor, num_groups: int) -> Tensor:
    """Means and maxima [num_groups, 2 W] of the rows of `values` [K, W] in each group.

    `group` [K] int64 is the group of each row. Both are 0 in an empty group.
    """
    total = values.new_zeros(num_groups, values.shape[1]).index_add(0, group, values)
    count = values.new_zeros(num_groups).index_add_(0, group, values.new_ones(len(group)))
    mean = total / count.clamp_(min=1.0)[:, None]
    return torch.cat([mean, GroupMax.apply(values, group, num_groups)], dim=1)


class GroupMax(torch.autograd.Function):
    """Row-wise `Tensor.scatter_reduce(..., "amax")`, with a gradient three times as fast."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, group: Tensor, num_groups: int) -> Tensor:
        largest = values.new_zeros(num_groups, values.shape[1]).scatter_reduce(
            0, group[:, None].expand_as(values), values, "amax", include_self=False
        )
        ctx.save_for_backward(values, group, largest)
        return largest

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        values, group, largest = ctx.saved_tensors
        attained = (values == largest.index_select(0, group)).to(gradient.dtype)
        # Equal rows share the gradient: they may all come from the same weights.
        ties = torch.zeros_like(largest).index_add_(0, group, attained).clamp_(min=1.0)
        return (gradient / ties).index_select(0, group).mul_(attained), None, None
