"""The lot-sizing simulator: machines that are set up for items with random demand.

The stochastic discrete lot-sizing problem of Felizardo, Fadda, Brandimarte, Del-Moral-Hernandez and
Nascimento, "A reinforcement learning method for environments with stochastic variables:
post-decision proximal policy optimization with dual critic networks" (arXiv 2504.05150), in the
dynamics of the code that they released. A period: machines are set up and produce, demand is drawn
and served, what is beyond capacity is lost, and what is left is held. So all that is decided is
done before chance comes: `decide` and `realise` are the two halves of `step`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import gymnasium
import torch
from torch import Tensor

from games.common.errors import InputError
from games.lot_sizing import instances
from games.lot_sizing.instances import Plant
from games.simulators.metrics import Metric
from games.simulators.simulator import Observation, Role, Spec, Step, no_edges

MOST = 1000  # items, machines
METRICS = tuple(
    Metric(name, "less", low=0) for name in ("setup_cost", "lost_sales_cost", "holding_cost")
)


@dataclass(frozen=True)
class State:
    """B games of I items and M machines, before a decision or after it."""

    stock: Tensor  # [B, I] float32  units on hand, whole
    setup: Tensor  # [B, M] int64  the item that a machine is set up for, from 1 on; 0: none
    period: Tensor  # [B] int64  periods that are over
    paid: Tensor  # [B, 3] float32  for set-ups, for lost sales, for holding, so far


@dataclass(frozen=True)
class Tables:
    """A `Plant` as tensors; a column for being idle stands before the items'."""

    production: Tensor  # [M, 1 + I] float32
    setup_cost: Tensor  # [M, 1 + I] float32
    setup_loss: Tensor  # [M, 1 + I] float32
    lost_cost: Tensor  # [I] float32
    holding_cost: Tensor  # [I] float32
    capacity: Tensor  # [I] float32
    possible: Tensor  # [M, 1 + I] bool  legal choices of each machine


@dataclass(frozen=True)
class LotSizing:
    """Machines that make an item a period each against lost sales; a change costs.

    The one agent, the planner, tells every machine what to make: MultiDiscrete [1 + I] * M, 0 for
    nothing. A machine that changes to an item pays the set-up's cost and loses some units of that
    period's production. One that is idle loses its set-up, as in the released code.

    The observation is one node: stock [I], in capacities; for every machine its set-up, one-hot
    [1 + I]; and the share of periods that are left. After `decide` it shows the stock before
    demand, which may be above capacity, and the new set-ups. A game is over after `periods`.

    The info at its end, [B] float32 each: `setup_cost`, `lost_sales_cost`, `holding_cost`, of the
    whole game. The reward is minus their sum, in units of `unit`.

    Deviations from the released code: a set-up that loses more than is made leaves stock alone,
    where it lowered it; machines may not be set to what they cannot make, unless `any_item`; the
    observation has set-ups one-hot and the time that is left, where it had the item's number and
    no time. Games begin as there: stock uniform below capacity, set-ups uniform among those of use.

    Raises:
        InputError: a parameter out of its range; a file that is not a plant.
    """

    items: int = 15  # I
    machines: int = 5  # M; 15x5, 20x10, 25x10, 25x15, 30x10 and 30x15 were published
    seed: int = 0  # of the plant; games are random by themselves
    data: str = ""  # a file with the plant, as published; else it is drawn
    periods: int = 100
    any_item: bool = False  # whether a machine may be set up for what it cannot make, as published
    unit: float = 1.0  # of cost, that rewards are counted in; the info is not

    def __post_init__(self) -> None:
        for name, fewest in (("items", 1), ("machines", 1), ("periods", 1), ("seed", 0)):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < fewest:
                raise InputError(
                    f"lot_sizing: {name} is {value!r}; give a whole number of at least {fewest}"
                )
        for name in ("items", "machines"):
            if getattr(self, name) > MOST:
                raise InputError(
                    f"lot_sizing: {name} is {getattr(self, name):,}; give at most {MOST:,}"
                )
        if not isinstance(self.unit, int | float) or not 0 < self.unit < float("inf"):
            raise InputError(f"lot_sizing: unit is {self.unit!r}; give a finite number above 0")
        _ = self.plant  # so that what is wrong with it is said here

    @cached_property
    def plant(self) -> Plant:
        """Production and costs of the machines."""
        if self.data:
            return instances.read(self.data, self.items, self.machines)
        return instances.draw(self.items, self.machines, self.seed)

    @cached_property
    def spec(self) -> Spec:
        space = gymnasium.spaces.MultiDiscrete([1 + self.items] * self.machines)
        features = self.items + self.machines * (1 + self.items) + 1
        role = Role("planner", space, features)
        return Spec("lot_sizing", (role,), (0,), num_nodes=1, metrics=METRICS)

    checks_actions = True

    @property
    def differentiable(self) -> bool:
        return False

    def reset(self, batch: int, generator: torch.Generator) -> State:
        """Games with stock uniform from 0 to capacity - 1 and a set-up of use, each as likely."""
        device, given = generator.device, _tables(self, generator.device)
        share = torch.rand((batch, self.items), generator=generator, device=device)
        lot = torch.rand((batch, *given.production.shape), generator=generator, device=device)
        return State(
            stock=(share * given.capacity).floor().minimum(given.capacity - 1),
            setup=torch.where(given.production > 0, lot, -1.0).argmax(dim=2),
            period=torch.zeros(batch, dtype=torch.int64, device=device),
            paid=torch.zeros((batch, 3), device=device),
        )

    def step(self, state: State, actions: Tensor, generator: torch.Generator) -> tuple[State, Step]:
        """`decide`, then `realise`; actions [B, 1, M] int64.

        Raises:
            InputError: an action that is not legal for a machine.
        """
        after, reward = self.decide(state, actions)
        new, step = self.realise(after, generator)
        return new, replace(step, reward=reward + step.reward)

    def decide(self, state: State, actions: Tensor) -> tuple[State, Tensor]:
        """Set machines up and produce: the post-decision state, and minus the set-up costs [B, 1].

        Raises:
            InputError: an action that is not legal for a machine.
        """
        given = _tables(self, state.stock.device)
        told = self._checked(state, actions, given)
        change = (told != state.setup) & (told > 0)
        machine = torch.arange(self.machines, device=told.device)
        made = given.production[machine, told]
        made = torch.where(change, made - given.setup_loss[machine, told], made).clamp_min(0)
        cost = torch.where(change, given.setup_cost[machine, told], 0.0).sum(dim=1)
        supply = state.stock.new_zeros(len(told), 1 + self.items).scatter_add(1, told, made)
        playing = state.period < self.periods
        cost = torch.where(playing, cost, 0.0)
        after = replace(
            state,
            stock=torch.where(playing[:, None], state.stock + supply[:, 1:], state.stock),
            setup=torch.where(playing[:, None], told, state.setup),
            paid=state.paid + torch.nn.functional.pad(cost[:, None], (0, 2)),
        )
        return after, -cost[:, None] / self.unit

    def realise(self, state: State, generator: torch.Generator) -> tuple[State, Step]:
        """Draw demand and serve it; the reward [B, 1]: minus the costs of lost sales and stock."""
        return self.serve(state, self.demand(len(state.stock), generator))

    def demand(self, batch: int, generator: torch.Generator) -> Tensor:
        """[B, I] float32 units of a period, whole: all that is drawn between two decisions."""
        shape = (batch, self.items)
        trials = torch.full(shape, float(self.plant.trials), device=generator.device)
        return torch.binomial(
            trials, torch.full_like(trials, self.plant.probability), generator=generator
        )

    def serve(self, state: State, demand: Tensor) -> tuple[State, Step]:
        """`realise`, of demand [B, I] that is known."""
        given = _tables(self, state.stock.device)
        playing = state.period < self.periods
        left = state.stock - demand
        stock = left.clamp_min(0).minimum(given.capacity)
        lost = torch.where(playing, ((-left).clamp_min(0) * given.lost_cost).sum(dim=1), 0.0)
        held = torch.where(playing, (stock * given.holding_cost).sum(dim=1), 0.0)
        new = replace(
            state,
            stock=torch.where(playing[:, None], stock, state.stock),
            period=state.period + playing.long(),
            paid=state.paid + torch.stack((torch.zeros_like(lost), lost, held), dim=1),
        )
        over = (new.period >= self.periods)[:, None]
        return new, Step(
            reward=-(lost + held)[:, None] / self.unit,
            terminated=over,
            truncated=torch.zeros_like(over),
            info={
                "setup_cost": new.paid[:, 0],
                "lost_sales_cost": new.paid[:, 1],
                "holding_cost": new.paid[:, 2],
            },
        )

    def observe(self, state: State) -> Observation:
        given = _tables(self, state.stock.device)
        batch = len(state.stock)
        setup = torch.nn.functional.one_hot(state.setup, 1 + self.items).flatten(1)
        left = 1 - state.period[:, None] / self.periods
        nodes = torch.cat((state.stock / given.capacity, setup.to(left.dtype), left), dim=1)[
            :, None
        ]
        return Observation(
            nodes=nodes,
            edges=no_edges(nodes)[0],
            edge_features=no_edges(nodes)[1],
            acting=(state.period < self.periods)[:, None],
            action_mask=given.possible.flatten().expand(batch, 1, -1),
        )

    def _checked(self, state: State, actions: Tensor, given: Tables) -> Tensor:
        """The actions as int64 [B, M]; idle in games that are over."""
        shape = (len(state.stock), 1, self.machines)
        if tuple(actions.shape) != shape:
            raise InputError(
                f"lot_sizing: actions have the shape {tuple(actions.shape)}; give {shape}, an item "
                "or 0 for each machine of each game"
            )
        given_by = actions[:, 0]
        told = given_by.long().clamp(0, self.items)
        playing = (state.period < self.periods)[:, None]
        machine = torch.arange(self.machines, device=told.device)
        wrong = ((told != given_by) | ~given.possible[machine, told]) & playing
        if wrong.any():
            game, first = wrong.nonzero()[0].tolist()
            raise InputError(
                f"lot_sizing: machine {first} cannot make item {given_by[game, first].item()} "
                f"(game {game}); choose within the action mask"
            )
        return torch.where(playing, told, 0)


@lru_cache(maxsize=64)
def _tables(game: LotSizing, device: torch.device) -> Tables:
    plant = game.plant

    def tensor(values: object) -> Tensor:
        return torch.as_tensor(values, dtype=torch.float32, device=device)

    def with_idle(values: object) -> Tensor:
        return torch.nn.functional.pad(tensor(values), (1, 0))

    production = with_idle(plant.production)
    possible = (production > 0) | game.any_item
    possible[:, 0] = True
    return Tables(
        production=production,
        setup_cost=with_idle(plant.setup_cost),
        setup_loss=with_idle(plant.setup_loss),
        lost_cost=tensor(plant.lost_cost),
        holding_cost=tensor(plant.holding_cost),
        capacity=tensor(plant.capacity),
        possible=possible,
    )
