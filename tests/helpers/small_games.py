"""Games of a few steps whose optimum is known in closed form."""

from dataclasses import dataclass
from functools import cached_property

import gymnasium
import torch
from torch import Tensor

from games.simulators.simulator import Observation, Role, Spec, Step, no_edges


@dataclass(frozen=True)
class Place:
    at: Tensor  # [B, N] int64
    steps: Tensor  # [B] int64


@dataclass(frozen=True)
class Chain:
    """A walker on a chain of cells goes left or right; it starts anywhere but at the right end,
    which pays 1. The left end pays 0.2, and either ends the game.

    With discount g the best is max(g^(length - 1 - cell - 1), 0.2 g^(cell - 1)).
    """

    length: int = 6
    differentiable = False

    @cached_property
    def spec(self) -> Spec:
        return Spec("chain", (Role("walker", gymnasium.spaces.Discrete(2), self.length),), (0,), 1)

    def reset(self, batch: int, generator: torch.Generator) -> Place:
        at = torch.randint(1, self.length - 1, (batch, 1), generator=generator)
        return Place(at, torch.zeros(batch, dtype=torch.int64))

    def step(self, state: Place, actions: Tensor, generator: torch.Generator):
        at = state.at + 2 * actions[..., 0] - 1
        left, right = at == 0, at == self.length - 1
        new = Place(at, state.steps + 1)
        late = (new.steps >= 30)[:, None]
        return new, Step(right.float() + 0.2 * left.float(), left | right, late, {})

    def observe(self, state: Place) -> Observation:
        nodes = torch.nn.functional.one_hot(state.at, self.length).float()
        everyone = torch.ones(state.at.shape, dtype=torch.bool)
        return Observation(nodes, *no_edges(nodes), everyone, everyone[..., None].expand(-1, -1, 2))


@dataclass(frozen=True)
class Told:
    cue: Tensor  # [B, N] int64
    steps: Tensor  # [B] int64


@dataclass(frozen=True)
class Cue:
    """Each agent sees its cue, then nothing for `delay` steps; at the end it is paid 1 for naming
    it. Agents have different numbers of cues; the role of each is its own, or given.

    The best return is 1; without memory and with a delay it is 1 / cues.
    """

    cues: tuple[int, ...] = (2,)
    delay: int = 0
    roles: tuple[int, ...] = ()
    differentiable = False

    @cached_property
    def spec(self) -> Spec:
        role_of = tuple(self.roles) or tuple(range(len(self.cues)))
        sizes = dict(zip(role_of, self.cues, strict=True))
        roles = tuple(
            Role(f"namer{k}", gymnasium.spaces.Discrete(n), n + 1) for k, n in sizes.items()
        )
        return Spec("cue", roles, role_of, len(self.cues))

    def reset(self, batch: int, generator: torch.Generator) -> Told:
        each = [torch.randint(n, (batch, 1), generator=generator) for n in self.cues]
        return Told(torch.cat(each, dim=1), torch.zeros(batch, dtype=torch.int64))

    def step(self, state: Told, actions: Tensor, generator: torch.Generator):
        over = (state.steps == self.delay)[:, None].expand(state.cue.shape)
        reward = (over & (actions[..., 0] == state.cue)).float()
        return Told(state.cue, state.steps + 1), Step(reward, over, torch.zeros_like(over), {})

    def observe(self, state: Told) -> Observation:
        width = max(self.cues)
        told = torch.nn.functional.one_hot(state.cue, width + 1).float()
        nodes = told * (state.steps == 0)[:, None, None]
        everyone = torch.ones(state.cue.shape, dtype=torch.bool)
        legal = torch.arange(width) < torch.tensor(self.cues)[:, None]
        return Observation(nodes, *no_edges(nodes), everyone, legal.expand(len(nodes), -1, -1))


@dataclass(frozen=True)
class Aimed:
    aim: Tensor  # [B, N] float32


@dataclass(frozen=True)
class Aim:
    """One step: each agent sees a number x in [-1, 1] and acts by numbers between 0 and 4, which
    are best at 2 + x; together they lose the squared distance of each.

    The best return is 0. Agents act by as many numbers as `widths` says, in roles of their own.
    """

    widths: tuple[int, ...] = (1, 2)
    differentiable = False

    @cached_property
    def spec(self) -> Spec:
        roles = tuple(
            Role(f"archer{k}", gymnasium.spaces.Box(0, 4, (w,)), 1)
            for k, w in enumerate(self.widths)
        )
        agents = len(self.widths)
        return Spec("aim", roles, tuple(range(agents)), agents)

    def reset(self, batch: int, generator: torch.Generator) -> Aimed:
        return Aimed(2 * torch.rand(batch, len(self.widths), generator=generator) - 1)

    def step(self, state: Aimed, actions: Tensor, generator: torch.Generator):
        counted = torch.arange(max(self.widths)) < torch.tensor(self.widths)[:, None]
        miss = (actions - 2 - state.aim[..., None]).square() * counted
        reward = -miss.sum(dim=(1, 2))[:, None].expand(state.aim.shape)
        over = torch.ones(state.aim.shape, dtype=torch.bool)
        return state, Step(reward.clone(), over, torch.zeros_like(over), {})

    def observe(self, state: Aimed) -> Observation:
        nodes = state.aim[..., None]
        everyone = torch.ones(state.aim.shape, dtype=torch.bool)
        return Observation(nodes, *no_edges(nodes), everyone, everyone[..., None][..., :0])


@dataclass(frozen=True)
class Still:
    """Nothing ever happens, to agents whose actions are of given kinds: for what is refused."""

    kinds: tuple[str, ...] = ("several",)
    differentiable = False

    @cached_property
    def spec(self) -> Spec:
        spaces = {
            "choice": gymnasium.spaces.Discrete(3),
            "several": gymnasium.spaces.MultiDiscrete([2, 3]),
            "numbers": gymnasium.spaces.Box(-1, 1, (2,)),
            "unbounded": gymnasium.spaces.Box(-float("inf"), float("inf"), (2,)),
            "half": gymnasium.spaces.Box(0, float("inf"), (1,)),
        }
        roles = tuple(Role(kind, spaces[kind], 1) for kind in self.kinds)
        return Spec("still", roles, tuple(range(len(roles))), len(roles))

    def reset(self, batch: int, generator: torch.Generator) -> Aimed:
        return Aimed(torch.zeros(batch, len(self.kinds)))

    def step(self, state: Aimed, actions: Tensor, generator: torch.Generator):
        never = torch.zeros(state.aim.shape, dtype=torch.bool)
        return state, Step(state.aim, never, never, {})

    def observe(self, state: Aimed) -> Observation:
        nodes = state.aim[..., None]
        legal = torch.ones(*state.aim.shape, self.spec.mask_width, dtype=torch.bool)
        return Observation(nodes, *no_edges(nodes), state.aim == 0, legal)
