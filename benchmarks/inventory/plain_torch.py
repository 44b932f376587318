"""One store, or one warehouse and its stores, as one would write it down in PyTorch.

What `games.inventory` and `marl.learning.pathwise.hdpo` compute, without anything that is general
or fast: tensors [B, ...] game by game, queues shifted column by column, a softmax, torch's own
layers. Demand is given, not drawn. It is what tests compare results with, and benchmarks the time.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from games.inventory.inventory import Inventory, State
from marl.networks.network import PolicyNetwork


class Plain:
    """A game of K stores that lose sales, with a warehouse behind them or without (W = 1 or 0)."""

    def __init__(self, game: Inventory, dtype: torch.dtype = torch.float32) -> None:
        locations, links = list(game.network.locations.values()), game.network.links
        self.stores = len(game.network.stores)
        assert all(one.unmet == "lost" for one in locations[: self.stores])
        assert len(locations) - self.stores in (0, 1)
        assert [link.target for link in links] == list(game.network.locations)
        self.holding = torch.tensor([one.holding for one in locations], dtype=dtype)
        self.penalty = torch.tensor([one.penalty for one in locations[: self.stores]], dtype=dtype)
        self.lead = torch.tensor([len(link.lead_times) - 1 for link in links])
        self.mean_order = torch.tensor(game.arrays.link_flow, dtype=dtype)
        self.scale = torch.tensor(game.shown.scale, dtype=dtype)

    def policy(self, network: PolicyNetwork) -> nn.Sequential:
        """The network's policy, as layers of torch that have copies of its weights."""
        layers: list[nn.Module] = []
        for part in (*network.actor.encoder, network.head):
            if isinstance(part, nn.Linear):
                plain = nn.Linear(part.in_features, part.out_features, dtype=part.weight.dtype)
                plain.load_state_dict(part.state_dict())
                layers.append(plain)
            else:
                layers.append(nn.ELU())
        return nn.Sequential(*layers)

    def loss(self, policy: nn.Module, start: State, demand: Tensor) -> Tensor:
        """Mean cost of a game and a period; demand [T, B, K]."""
        stock, pipeline, total = start.on_hand, start.pipeline, 0.0
        for wanted in demand:
            row = torch.cat((stock, pipeline.flatten(1)), dim=1)
            orders = self.orders(policy(row * self.scale), stock)
            cost, stock, pipeline = self.step(orders, stock, pipeline, wanted)
            total = total + cost.sum()
        return total / demand.shape[:2].numel()

    def orders(self, out: Tensor, stock: Tensor) -> Tensor:
        """[B, K + W] of what a policy says [B, K + W]."""
        k = self.stores
        if out.shape[1] == k:
            return self.mean_order * F.softplus(out + 1) / np.log1p(np.e)
        kept = torch.zeros_like(out[:, :1])  # what the warehouse keeps
        share = torch.softmax(torch.cat((out[:, :k], kept), dim=1), dim=1)[:, :k]
        order = self.mean_order[k:] * F.softplus(out[:, k:] + 1) / np.log1p(np.e)
        return torch.cat((share * stock[:, k:], order), dim=1)

    def rationed(self, orders: Tensor, stock: Tensor) -> Tensor:
        """[B, K + W] of orders that may ask for more than the warehouse has."""
        k = self.stores
        if orders.shape[1] == k:
            return orders
        wanted = orders[:, :k].sum(dim=1, keepdim=True)
        share = torch.clip(stock[:, k:] / torch.clip(wanted, min=1e-30), max=1)
        return torch.cat((orders[:, :k] * share, orders[:, k:]), dim=1)

    def step(
        self, orders: Tensor, stock: Tensor, pipeline: Tensor, demand: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Costs [B], and stock [B, V] and pipeline [B, V, P] after a period."""
        k = self.stores
        net = stock[:, :k] - demand
        over, short = torch.clip(net, min=0), torch.clip(-net, min=0)
        cost = (self.holding[:k] * over + self.penalty * short).sum(dim=1)
        if stock.shape[1] > k:
            kept = stock[:, k:] - orders[:, :k].sum(dim=1, keepdim=True)
            over = torch.cat((over, torch.clip(kept, min=0)), dim=1)
            cost = cost + self.holding[k] * over[:, k]
        columns = [pipeline[..., p] for p in range(pipeline.shape[2])]
        queue = torch.stack((*columns, torch.zeros_like(orders)), dim=2)
        place = (self.lead - 1)[None, :, None].expand(len(orders), -1, 1)
        queue = queue.scatter_add(2, place, orders[..., None])
        return cost, over + queue[..., 0], queue[..., 1:]


def drawn(game: Inventory, batch: int, seed: int) -> tuple[State, Tensor]:
    """How games begin that `marl.learning.pathwise.hdpo` draws from a seed, and their demand
    [T, B, K]."""
    generator = torch.Generator().manual_seed(seed)
    state = game.reset(batch, generator)
    sampler = game.sampler(generator.device)
    demand = [sampler.draw(state.trace, state.offset + t, generator) for t in range(game.periods)]
    return state, torch.stack(demand)
