"""A scenario of VMAS as a simulator: its state is taken out of its world, and put in again."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any
from weakref import ReferenceType, ref

import numpy as np
import torch
from torch import Tensor

from games.adapters.vmas.agents import nodes_of, reported, spec_of
from games.adapters.vmas.finding import find
from games.adapters.vmas.layout import Layout
from games.adapters.vmas.package import maker, require_scenario
from games.adapters.vmas.randomness import lent
from games.common.errors import InputError
from games.common.registry import attribute_of
from games.names import VMAS
from games.simulators.legal_actions import random_actions
from games.simulators.simulator import Observation, Spec, Step, no_edges, take

WORLDS = 24  # kept of one scenario, of different sizes
TRIED = 10  # steps in which a gradient is looked for
DRAW = "games.adapters.vmas.draw"  # named, since only pictures need it
CPU = torch.device("cpu")


@dataclass(frozen=True)
class State:
    """B games of N agents: whatever the scenario keeps, see `games.adapters.vmas.layout`."""

    numbers: Tensor  # [B, K] float32
    wholes: Tensor  # [B, L] int64
    shared: Tensor  # [B, S] float64  the same for all games that are stepped together
    nodes: Tensor  # [B, N, F] float32  observations; VMAS may draw noise for them
    steps: Tensor  # [B] int64


class World:
    """An environment of VMAS, and the state that it has at the moment."""

    def __init__(self, environment: Any, layout: Layout) -> None:
        self.environment, self.layout = environment, layout
        self.batch: int = environment.num_envs
        self.first = self._begun()
        self._here: ReferenceType[State] | None = None
        self._traced = False  # whether gradients were enabled when that was left

    def read(self) -> tuple[Tensor, Tensor, Tensor]:
        """What the scenario keeps now."""
        return self.layout.read(self.environment.scenario, self.batch)

    def _begun(self) -> tuple[Tensor, Tensor, Tensor]:
        """What the scenario keeps before its first game; a reset need not forget all of it.

        Some of it is made only by a first step, which is taken and forgotten.
        """
        environment, scenario = self.environment, self.environment.scenario
        kept = self.layout.kept(scenario)
        own = torch.Generator(environment.device).manual_seed(0)
        with torch.no_grad(), lent(own, True):
            environment.step(environment.get_random_actions())
            environment.reset()
        self.layout.put_back(scenario, kept)
        return self.read()

    def enter(self, state: State) -> None:
        """Put games into the world, unless they are there already."""
        there = self._here is not None and self._here() is state
        if not there or self._traced != torch.is_grad_enabled():
            self.write((state.numbers, state.wholes, state.shared))
        self._here = None  # they will be stepped, and may fail in the middle of it

    def write(self, values: tuple[Tensor, Tensor, Tensor]) -> None:
        """Have the scenario keep other values."""
        self._here = None
        self.layout.write(self.environment.scenario, *values)

    def leave(self, nodes: Tensor, steps: Tensor) -> State:
        """The games that are in the world."""
        state = State(*self.read(), nodes, steps)
        self._here, self._traced = ref(state), torch.is_grad_enabled()
        return state


@dataclass(frozen=True)
class VmasSimulator:
    """A scenario of VMAS, such as `balance`.

    A node is an agent with its own observation; there are no edges. Agents of one name but for
    its number, with equally long observations and the same actions, have one role. Games terminate
    where the scenario says so, and are truncated after `max_steps`. What the scenario gives as
    info is reported at a game's end.

    Random numbers come from the generator that is given. What a world of VMAS draws once for all
    its games, such as the goal in `simple_speaker_listener`, is the same in all games that are
    reset together.

    Raises:
        InputError: no such scenario; parameters that it refuses.
    """

    scenario: str
    parameters: tuple[tuple[str, Any], ...] = ()  # of the scenario, in this project's words
    max_steps: int = 100
    continuous: bool = True
    multidiscrete: bool = False  # of discrete actions: one choice for each direction

    def __post_init__(self) -> None:
        require_scenario(self.scenario)
        if self.continuous and self.multidiscrete:
            raise InputError(f"{self.name}: multidiscrete=true needs continuous=false")

    def __getstate__(self) -> dict[str, Any]:
        """Its fields alone: worlds are made anew where it is needed."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    @property
    def name(self) -> str:
        return f"{VMAS}{self.scenario}"

    @cached_property
    def spec(self) -> Spec:
        return spec_of(self.name, self._sample)

    @cached_property
    def differentiable(self) -> bool:
        """Whether rewards have a finite gradient with respect to actions: it is tried."""
        return self.continuous and _has_gradient(replace(self))

    def reset(self, batch: int, generator: torch.Generator) -> State:
        """New games, drawn from the generator, on whose device they are."""
        # Worlds take long to make: one of some more games serves several batches.
        size = 1 << (batch - 1).bit_length()
        world = self._world(size, generator.device)
        with torch.no_grad():
            world.write(world.first)  # nothing of games that were there before
            with lent(generator, self._layout.seeded):
                seen = world.environment.reset()
            steps = torch.zeros(size, dtype=torch.int64, device=generator.device)
            state = world.leave(nodes_of(seen, self.spec.features), steps)
        if batch == size:
            return state
        return take(state, torch.arange(batch, device=generator.device))

    def step(self, state: State, actions: Tensor, generator: torch.Generator) -> tuple[State, Step]:
        """Play [B, N, D] actions; those outside their bounds are VMAS's to refuse."""
        if state.shared.shape[1]:
            _, group = state.shared.unique(dim=0, return_inverse=True)
            if group.any():
                return self._apart(state, actions, generator, group)
        batch, n = len(state.steps), self.spec.num_agents
        world = self._world(batch, state.steps.device)
        world.enter(state)
        played = [actions[:, i, :width] for i, width in enumerate(self._widths)]
        with lent(generator, self._layout.seeded):
            seen, rewards, over, _, infos = world.environment.step(played)
        steps = state.steps + 1
        new = world.leave(nodes_of(seen, self.spec.features), steps)
        return new, Step(
            reward=torch.stack([reward.reshape(batch) for reward in rewards], dim=1).float(),
            terminated=over.bool()[:, None].expand(batch, n),
            truncated=(steps >= self.max_steps)[:, None].expand(batch, n),
            info=reported(infos, batch),
        )

    def observe(self, state: State) -> Observation:
        edges, features = no_edges(state.nodes)
        batch, n, _ = state.nodes.shape
        mask = self._mask if self._mask.device == edges.device else self._mask.to(edges.device)
        return Observation(
            nodes=state.nodes,
            edges=edges,
            edge_features=features,
            acting=torch.ones((batch, n), dtype=torch.bool, device=edges.device),
            action_mask=mask.expand(batch, -1, -1),
        )

    def frame(self, state: State, game: int = 0) -> np.ndarray:
        """A picture of one game, uint8 [H, W, 3]; see `games.adapters.vmas.draw`."""
        return self.frames([take(state, torch.tensor([game], device=state.steps.device))])[0]

    def frames(self, states: Sequence[State], first: int = 0) -> list[np.ndarray]:
        """Pictures of the first game's states from number `first` on, all of one scale."""
        return attribute_of(f"{DRAW}:frames", "renderer")(self, states, first)

    def world_of(self, state: State) -> Any:
        """An environment of VMAS in which the first game of a state is, to be looked at."""
        index = torch.zeros(1, dtype=torch.int64, device=state.steps.device)
        world = self._world(1, state.steps.device)
        world.enter(take(state, index))
        return world.environment

    @cached_property
    def _make(self) -> Any:
        return maker(self.scenario, dict(self.parameters), self.continuous, self.multidiscrete)

    @cached_property
    def _sample(self) -> Any:
        """An environment to ask for names and spaces."""
        return self._make(1, CPU)

    @cached_property
    def _layout(self) -> Layout:
        return _layout_of(replace(self))

    @cached_property
    def _worlds(self) -> OrderedDict[tuple[int, torch.device], World]:
        return OrderedDict()

    def _world(self, batch: int, device: torch.device) -> World:
        key = batch, device
        if key not in self._worlds:
            self._worlds[key] = World(self._make(batch, device), self._layout)
            if len(self._worlds) > WORLDS:
                self._worlds.popitem(last=False)
        self._worlds.move_to_end(key)
        return self._worlds[key]

    @cached_property
    def _widths(self) -> list[int]:
        return [self.spec.roles[k].action_width for k in self.spec.role_of]

    @cached_property
    def _mask(self) -> Tensor:
        """[N, A] bool: all choices."""
        rows = torch.zeros((self.spec.num_agents, self.spec.mask_width), dtype=torch.bool)
        for agent, k in enumerate(self.spec.role_of):
            rows[agent, : self.spec.roles[k].mask_width] = True
        return rows

    def _apart(
        self, state: State, actions: Tensor, generator: torch.Generator, group: Tensor
    ) -> tuple[State, Step]:
        """A step of games that share different things: those that share the same, together."""
        order = [(group == number).nonzero()[:, 0] for number in range(int(group.max()) + 1)]
        parts = [self.step(take(state, own), actions[own], generator) for own in order]
        back = torch.cat(order).argsort()

        def joined(values: list[Tensor]) -> Tensor:
            return torch.cat(values)[back]

        fields = State.__dataclass_fields__
        new = State(**{f: joined([getattr(part, f) for part, _ in parts]) for f in fields})
        steps = [step for _, step in parts]
        return new, Step(
            reward=joined([step.reward for step in steps]),
            terminated=joined([step.terminated for step in steps]),
            truncated=joined([step.truncated for step in steps]),
            info={key: joined([step.info[key] for step in steps]) for key in steps[0].info},
        )


@lru_cache(maxsize=32)
def _layout_of(simulator: VmasSimulator) -> Layout:
    """Found once in a process, however often a game is loaded."""
    return find(simulator._make, simulator.name)


@lru_cache(maxsize=32)
def _has_gradient(simulator: VmasSimulator) -> bool:
    """Whether some steps of random play have a gradient that is finite, and not 0 throughout."""
    generator = torch.Generator().manual_seed(0)
    state = simulator.reset(4, generator)
    taken, total = [], torch.zeros(())
    try:
        for _ in range(TRIED):
            actions = random_actions(simulator.spec, simulator.observe(state), generator)
            taken.append(actions.requires_grad_())
            state, step = simulator.step(state, actions, generator)
            total = total + step.reward.sum()
        found = torch.autograd.grad(total, taken, allow_unused=True)
    except RuntimeError:  # no gradient, or one through tensors that were changed in place
        return False
    slopes = [slope for slope in found if slope is not None]
    finite = all(bool(slope.isfinite().all()) for slope in slopes)
    return finite and any(bool(slope.any()) for slope in slopes)
