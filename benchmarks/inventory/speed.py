"""Speed of many supply networks at once on one core, compared with a loop and plain PyTorch.

python -m benchmarks.inventory.speed [--seconds 2] [--device cuda]
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from collections.abc import Callable

import torch

from benchmarks.inventory.plain_torch import Plain as PlainTorch
from benchmarks.inventory.plain_torch import drawn
from games.inventory.inventory import QUANTITIES, Inventory
from games.inventory.network import SupplyNetwork
from games.load import simulator
from marl.learning.pathwise.hdpo import pathwise_gradient
from marl.networks.network import Network

GAMES = {
    "one store": "inventory.lost_sales(actions=quantities)",
    "one warehouse, 10 stores": "inventory.one_warehouse(stores=10,actions=quantities)",
    "OR-Gym's network": "inventory.or_gym_network(periods=50,actions=quantities)",
}
BATCHES = (64, 1024, 8192)
STORE, TEN = "inventory.lost_sales", "inventory.one_warehouse(stores=10)"
GRADIENTS = (
    ("one store", STORE, (32, 32, 32), 8192),
    ("one warehouse, 10 stores", TEN, (32, 32, 32), 8192),
    ("one warehouse, 10 stores", TEN, (256, 256, 256), 8192),
    ("one warehouse, 10 stores", TEN, (512, 512, 512), 1024),
    ("one warehouse, 10 stores", TEN, (512, 512, 512), 8192),
)


class Plain:
    """One network, stepped as environments usually are: Python's numbers, a loop over places.

    It does what these games need: lead times, stock shared in proportion, capacities, all costs.
    """

    def __init__(self, network: SupplyNetwork) -> None:
        early = network.receive == "before demand"
        names = list(network.locations)
        self.places = list(network.locations.values())
        self.stores = len(network.stores)
        self.lost = [place.unmet == "lost" for place in self.places]
        self.links = [
            (
                names.index(link.source) if link.source in names else None,
                names.index(link.target),
                len(link.lead_times) - 1 - (0 if early else 1),
                link.cost,
                link.holding,
            )
            for link in network.links
        ]
        self.leaving = [
            [e for e, link in enumerate(self.links) if link[0] == v] for v in range(len(names))
        ]
        self.early = early
        self.reset()

    def reset(self) -> None:
        self.stock = [place.stock for place in self.places]
        self.pipeline = [[0.0] * wait for _, _, wait, _, _ in self.links]

    def step(self, orders: list[float], demand: list[float]) -> float:
        """The cost of a period."""
        stock, links, places = self.stock, self.links, self.places
        waiting = [max(-units, 0.0) for units in stock[: self.stores]]
        cost, shipped = 0.0, list(orders)
        for v, leaving in enumerate(self.leaving):
            if not leaving:
                continue
            place = places[v]
            room = max(stock[v], 0.0)
            if place.capacity is not None and place.capacity < room:
                room = place.capacity
            total = sum(shipped[e] for e in leaving)
            if total > room:
                for e in leaving:
                    shipped[e] *= room / total
                total = room
            stock[v] -= total
            cost += place.operating * total - sum(links[e][3] * shipped[e] for e in leaving)
        comes = [0.0] * len(stock)
        for (_, target, wait, price, holding), units, way in zip(
            links, shipped, self.pipeline, strict=True
        ):
            cost += price * units
            if wait:
                way.append(units)
                units = way.pop(0)
            comes[target] += units
            if holding:
                cost += holding * sum(way)
        for v, place in enumerate(places):
            if self.early:
                stock[v] += comes[v]
            if v < self.stores:
                stock[v] -= demand[v]
                short = max(-stock[v], 0.0)
                cost += place.penalty * short
                cost -= place.price * (demand[v] + waiting[v] - short)
            cost += place.holding * max(stock[v], 0.0)
            if self.lost[v] and stock[v] < 0:
                stock[v] = 0.0
            if not self.early:
                stock[v] += comes[v]
        return cost


def loop(game: Inventory, seconds: float) -> float:
    """Location-periods a second of one plain environment, orders and demand at hand."""
    env, arrays = Plain(game.network), game.arrays
    orders = [[random.uniform(0, 2 * f) for f in arrays.link_flow] for _ in range(game.periods)]
    means = game.network.demand.means(arrays.num_stores)
    demand = [[random.uniform(0, 2 * m) for m in means] for _ in range(game.periods)]

    def play() -> int:
        env.reset()
        for now, wanted in zip(orders, demand, strict=True):
            env.step(now, wanted)
        return game.periods * arrays.num_locations

    return _rate(play, seconds)


def batched(
    game: Inventory, batch: int, seconds: float, device: str, learns: bool = False
) -> float:
    """The same of many at once, in `step`, which draws demand, too; or with gradients back."""
    own = torch.Generator(device).manual_seed(0)
    flow = torch.as_tensor(game.arrays.link_flow, dtype=torch.float32, device=device)
    orders = 2 * torch.rand(batch, 1, len(flow), device=device) * flow

    def play() -> int:
        state, total = game.reset(batch, own), torch.zeros((), device=device)
        asked = orders.requires_grad_(learns)
        for _ in range(game.periods):
            state, step = game.step(state, asked, own)
            if learns:
                total = total + step.reward.sum()
        if learns:
            torch.autograd.grad(total, asked)
        if device != "cpu":
            torch.cuda.synchronize()
        return batch * game.periods * game.arrays.num_locations

    with torch.set_grad_enabled(learns):
        # Other processes do not count, but what another device does while this one waits does.
        return _rate(play, seconds, time.process_time if device == "cpu" else time.perf_counter)


def agree(game: Inventory) -> None:
    """Whether the two play the same game: the same costs, to a part in a million."""
    own = torch.Generator().manual_seed(1)
    env, state = Plain(game.network), game.begin(1, dtype=torch.float64)
    for _ in range(game.periods):
        flow = torch.as_tensor(game.arrays.link_flow, dtype=torch.float64)
        orders = 2 * torch.rand(flow.shape, generator=own, dtype=torch.float64) * flow
        demand = game.demand(1, 1, own)[0, 0].double()
        state, found = game.advance(state, orders[None], demand[None])
        cost = env.step(orders.tolist(), demand.tolist())
        assert abs(cost - float(found.cost.sum())) < 1e-6 * (1 + abs(cost)), "they differ"


def _rate(
    play: Callable[[], int], seconds: float, clock: Callable[[], float] = time.process_time
) -> float:
    """Location-periods a second; the first play does not count."""
    play()
    count, start = 0, clock()
    while (spent := clock() - start) < seconds:
        count += play()
    return count / spent


def table(seconds: float = 2.0, device: str = "cpu") -> tuple[list[str], float]:
    """Lines of a table in Markdown, and the least ratio of the fastest batch to the loop."""
    torch.set_num_threads(1)
    lines = [
        "| game | locations | plain loop | "
        + " | ".join(f"{batch:,} at once" for batch in BATCHES)
        + f" | ratio | {BATCHES[-1]:,} with gradients |",
        "|---|" + "---:|" * (len(BATCHES) + 4),
    ]
    least = float("inf")
    for title, name in GAMES.items():
        game = simulator(name)
        assert isinstance(game, Inventory)
        assert game.actions == QUANTITIES
        agree(game)
        alone = loop(game, seconds)
        rates = [batched(game, batch, seconds, device) for batch in BATCHES]
        back = batched(game, BATCHES[-1], seconds, device, learns=True)
        least = min(least, max(rates) / alone)
        cells = [f"{rate:,.0f}" for rate in (alone, *rates)]
        lines.append(
            f"| {title} | {game.arrays.num_locations} | {' | '.join(cells)} | "
            f"{max(rates) / alone:.0f} | {back:,.0f} |"
        )
    return lines, least


def beside_torch(pairs: int = 5, largest: int = 8192) -> list[str]:
    """Lines of a table: processor seconds compared with plain PyTorch, and median ratio of pairs.

    Both draw their demand and their games, in the same way; gradients are those of HDPO.
    """
    torch.set_num_threads(1)
    lines = ["| what | games | ours, s | plain PyTorch, s | ratio |", "|---|---:|---:|---:|---:|"]

    def compare(what: str, batch: int, ours: Callable[[], None], plain: Callable[[], None]) -> None:
        ours(), plain()
        spent: list[tuple[float, float]] = []
        for _ in range(pairs):
            begin = time.process_time()
            ours()
            between = time.process_time()
            plain()
            spent.append((between - begin, time.process_time() - between))
        mine, other = (statistics.median(column) for column in zip(*spent, strict=True))
        ratio = statistics.median(b / a for a, b in spent)
        lines.append(f"| {what} | {batch:,} | {mine:.3f} | {other:.3f} | **{ratio:.2f}** |")

    for title, name in list(GAMES.items())[:2]:
        for batch in BATCHES[1:]:
            if batch <= largest:
                compare(f"simulation, {title}", batch, *_simulations(name, batch))
    for title, name, hidden, batch in GRADIENTS:
        if batch <= largest:
            shape = "x".join(map(str, hidden))
            compare(f"gradient, {title}, {shape}", batch, *_gradients(name, hidden, batch))
    return lines


def _simulations(name: str, batch: int) -> tuple[Callable[[], None], Callable[[], None]]:
    game = simulator(name)
    assert isinstance(game, Inventory)
    plain, own = PlainTorch(game), torch.Generator().manual_seed(0)
    flow = torch.as_tensor(game.arrays.link_flow, dtype=torch.float32)
    orders = 2 * torch.rand(batch, 1, len(flow)) * flow

    @torch.no_grad()
    def ours() -> None:
        state = game.reset(batch, own)
        for _ in range(game.periods):
            state, _ = game.step(state, orders, own)

    @torch.no_grad()
    def other() -> None:
        state, demand = drawn(game, batch, 0)
        stock, pipeline = state.on_hand.contiguous(), state.pipeline.contiguous()
        for wanted in demand.contiguous():
            asked = plain.rationed(orders[:, 0], stock)
            _, stock, pipeline = plain.step(asked, stock, pipeline, wanted)

    return ours, other


def _gradients(
    name: str, hidden: tuple[int, ...], batch: int
) -> tuple[Callable[[], None], Callable[[], None]]:
    game = simulator(name)
    assert isinstance(game, Inventory)
    (role,) = game.spec.roles
    network = Network(hidden=hidden, activation="elu").build(role, game.spec, 0)
    plain = PlainTorch(game)
    policy = plain.policy(network)

    def ours() -> None:
        pathwise_gradient(game, [network], batch, 0)

    def other() -> None:
        policy.zero_grad()
        plain.loss(policy, *drawn(game, batch, 0)).backward()

    return ours, other


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement")
    parser.add_argument("--device", default="cpu", help="of the many at once")
    given = parser.parse_args()
    lines, least = table(given.seconds, given.device)
    print(f"Location-periods a second: the loop on one core, many at once on {given.device}\n")
    print("\n".join(lines))
    print(f"\nAt least {least:.0f} times a plain loop.")
    if given.device == "cpu":
        print("\n" + "\n".join(beside_torch()))
