"""Policy networks with critics: an encoder, an optional memory, a policy head and value heads.

A network works on decisions, not on agents: D of them at once, from any mixture of games, with no
padding. Its weights depend on a role's features and actions alone, so what was trained among N
agents runs among M. The kind of a node (another role, a goal, a wall) must be among its features.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Annotated, ClassVar, Literal

import gymnasium
import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from games.common.errors import InputError
from games.common.settings import Table
from games.simulators.action_sets import Box
from games.simulators.simulator import Role, Spec
from marl.networks.activations import ACTIVATIONS
from marl.networks.categorical import MASKED
from marl.networks.distributions import PolicyKind, distribution
from marl.networks.edge_encoder import EdgeEncoder
from marl.networks.graph_encoder import GraphEncoder, mean_and_max
from marl.networks.linear import Linear
from marl.networks.packing import Input, Output
from marl.networks.recurrence import Memory

WIDEST = 10_000_000  # of any layer
LEAST_NOISE = 1e-12


class Network(Table):
    """The architecture of a policy network and its critic.

    The networks of Alvo, Russo and Kanoria (arXiv 2306.11246) for inventory games, all of them with
    activation "elu": the vanilla one is encoder "mlp", hidden [32, 32, 32] for one store and
    [512, 512, 512] for a warehouse; the data-driven one "mlp", hidden [64, 64], in a game that
    shows past demand (look_back = 16); the topology-aware one "edges", hidden [32, 32], in a game
    with view = "graph".
    """

    renamed: ClassVar = {"share": "shared_encoder"}

    encoder: Literal["mlp", "attention", "convolution", "edges"] = "mlp"
    """What decisions are computed from: "mlp", the agent's own node; "attention", "convolution",
    the graph around it; "edges", the graph too, with an action for each of its edges."""
    hidden: tuple[Annotated[int, Field(gt=0, le=WIDEST)], ...] = (64, 64)
    """Width of each layer; of a graph encoder: of each round of messages."""
    heads: Annotated[int, Field(gt=0)] = 4
    """Attention heads; every width must be a multiple of it."""
    memory: Annotated[int, Field(ge=0, le=WIDEST)] = 0
    """Width of a GRU after the encoder, for games that need memory; 0: none."""
    critic: Literal["own", "central"] = "own"
    """What the critic sees: "own", the agent's observation; "central", the observations of all
    agents of its game, while training only."""
    policy: PolicyKind = "stochastic"
    """How actions follow from outputs; methods set it themselves. "stochastic": drawn from a
    distribution; "values": the best of the choices' values, or sometimes any; "deterministic": the
    output itself, with noise while training; "squashed": drawn from a Gaussian that tanh bounds."""
    post_decision: bool = False
    """Whether there is a second value head, for post-decision states (after a decision and before
    chance); methods that need it set this themselves."""
    shared_encoder: bool = False
    """Whether the critic uses the policy's encoder and memory."""
    activation: Literal["tanh", "relu", "elu", "gelu", "silu"] = "tanh"
    """Activation function between layers."""
    log_std: Annotated[float, Field(ge=-10, le=2)] = -0.5
    """Initial log standard deviation of continuous actions; bounded ones are scaled to [-1, 1]."""

    @model_validator(mode="after")
    def _fits(self) -> Network:
        if self.encoder != "mlp" and not self.hidden:
            raise InputError(
                f"encoder {self.encoder}: give hidden at least one width, such as [64]"
            )
        if self.encoder == "attention" and any(width % self.heads for width in self.hidden):
            raise InputError(
                f"heads = {self.heads} does not divide hidden = {list(self.hidden)}: choose widths "
                "that are multiples of it"
            )
        if self.encoder == "edges" and len(set(self.hidden)) > 1:
            raise InputError(
                f"encoder edges has residual connections: give hidden equal widths, not "
                f"{list(self.hidden)}"
            )
        if self.encoder == "edges" and self.memory:
            raise InputError("encoder edges has no memory: set memory = 0")
        return self

    def build(self, role: Role, spec: Spec, seed: int) -> PolicyNetwork:
        """An untrained network for a role of a game; the same seed gives the same weights.

        Raises:
            InputError: an action space of another kind than `Role` lists, or that the encoder does
                not serve.
        """
        if self.encoder == "edges":
            require_edges(role, spec)
        # Modules draw their initial weights from the global generator: restore it afterwards.
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            return PolicyNetwork(self, role, spec)


class Trunk(nn.Module):
    """From nodes to an embedding of each decision: an encoder, and a memory if there is one."""

    def __init__(self, config: Network, role: Role, spec: Spec) -> None:
        super().__init__()
        activation = ACTIVATIONS[config.activation]
        self.graph = config.encoder != "mlp"
        self.features = spec.features if self.graph else role.features
        if config.encoder == "edges":
            rounds = len(config.hidden)
            self.encoder: nn.Module = EdgeEncoder(
                spec.features, spec.edge_features, config.hidden[0], rounds, activation
            )
        elif self.graph:
            heads = config.heads if config.encoder == "attention" else None
            self.encoder = GraphEncoder(
                spec.features, spec.edge_features, config.hidden, heads, activation
            )
        else:
            self.encoder = mlp(role.features, config.hidden, activation)
        self.width = (config.hidden or (self.features,))[-1]
        self.memory: Memory | None = None
        initialise(self)
        if config.memory:
            self.memory = Memory(self.width, config.memory)
            self.width = config.memory

    def forward(self, given: Input, memory: Tensor | None) -> Tensor:
        """Embeddings [D, width]: the new memory if there is one; `memory` is [D or S, M].

        Where an agent acts along edges, [D, E, width].
        """
        if self.graph:
            known = self.encoder(given.x, given.edges, given.edge_features, given.deciding)
        else:
            x = given.x if given.deciding is None else given.x.index_select(0, given.deciding)
            known = self.encoder(x if x.shape[1] == self.features else x[:, : self.features])
        if self.memory is None:
            return known
        return self.memory(known, memory, given.slot, given.time, given.fresh)


class PolicyNetwork(nn.Module):
    """A policy and its critic for one role; `Network.build` makes it."""

    def __init__(self, config: Network, role: Role, spec: Spec) -> None:
        super().__init__()
        self.config, self.role, self.spec = config, role, spec
        self.memory_width = config.memory * (1 if config.shared_encoder else 2)
        self.uses_graph = config.encoder != "mlp"
        self.central = config.critic == "central"
        activation = ACTIVATIONS[config.activation]

        self.actor = Trunk(config, role, spec)
        self.judge = None if config.shared_encoder else Trunk(config, role, spec)
        self.rule = distribution(role, config.policy)
        width, outputs = self.actor.width, self.rule.num_parameters
        self.log_std: nn.Parameter | None = None
        # The share of random choices, or the noise added: a buffer, so that it travels with the
        # weights to whoever plays.
        explores = config.policy in ("values", "deterministic")
        self.exploration: Tensor | None
        self.register_buffer("exploration", torch.zeros(()) if explores else None)
        if config.policy == "values":
            outputs -= 1
        elif not role.sizes and config.policy != "squashed":
            outputs = 1 if config.encoder == "edges" else outputs // 2
            if config.policy == "stochastic":
                self.log_std = nn.Parameter(torch.full((outputs,), config.log_std))
        self.head = Linear(width, outputs)  # of each edge, with encoder "edges"
        # Play starts out almost even: Andrychowicz et al., "What matters for on-policy deep
        # actor-critic methods?" (2021), section 3.2, found the last layer's scale to matter most.
        initialise(self.head, gain=0.01)
        self.others: nn.Module | None = None
        if self.central:
            self.others = mlp(spec.features, config.hidden, activation)
            heard = 2 * (config.hidden or (spec.features,))[-1]
            self.joint = nn.Sequential(Linear(width + heard, width), activation())
            initialise(self.others)
            initialise(self.joint)
        self.worth = nn.Linear(width, 1)
        initialise(self.worth, gain=1.0)
        self.second: nn.Sequential | None = None
        if config.post_decision:  # last, so that all other weights are drawn as without it
            self.second = second_critic(role.features, config.hidden, activation)

    def for_role(self, role: Role, spec: Spec) -> PolicyNetwork | None:
        """The same network, on the same weights, for a role of another game.

        None if that role has other observations or actions; its graph may have more or fewer edges.
        """
        if (spec.features, spec.edge_features) != (self.spec.features, self.spec.edge_features):
            return None
        if role == self.role:
            return self
        alike = (role.name, role.features) == (self.role.name, self.role.features)
        if self.config.encoder != "edges" or not alike or bounds(role) != bounds(self.role):
            return None
        found = copy.copy(self)
        found.role, found.spec = role, spec
        found.rule = distribution(role, self.config.policy)
        return found

    def forward(self, given: Input) -> Output:
        mine, its = self._memories(given)
        known = self.actor(given, mine)
        judged = known if self.judge is None else self.judge(given, its)
        memory = None
        if self.memory_width:
            memory = known if self.judge is None else torch.cat([known, judged], dim=1)
        return Output(self._play(known, given), self._value(judged, given), memory)

    def policy(self, given: Input) -> tuple[Tensor, Tensor | None]:
        """Parameters [D, P] and memory [D, M], without the critic, whose part of memory stays 0."""
        known, memory = self._known(given)
        return self._play(known, given), memory

    def means(self, given: Input) -> tuple[Tensor, Tensor | None]:
        """`policy` of continuous actions without their spread: [D, W] and memory [D, M]."""
        known, memory = self._known(given)
        return self._said(known), memory

    def _known(self, given: Input) -> tuple[Tensor, Tensor | None]:
        known = self.actor(given, self._memories(given)[0])
        memory = None
        if self.memory_width:
            memory = nn.functional.pad(known, (0, self.memory_width - known.shape[1]))
        return known, memory

    def value(self, given: Input) -> Tensor:
        """Values [D], without computing the policy."""
        mine, its = self._memories(given)
        judged = self.actor(given, mine) if self.judge is None else self.judge(given, its)
        return self._value(judged, given)

    def post_decision_value(self, nodes: Tensor) -> Tensor:
        """Values [D] of post-decision states, given the agents' own nodes [D, F] there."""
        assert self.second is not None, "Network.post_decision is not set"
        return self.second(nodes[:, : self.role.features])[:, 0]

    def _memories(self, given: Input) -> tuple[Tensor | None, Tensor | None]:
        """The policy's memory and the critic's; they may be the same."""
        if given.memory is None:
            return None, None
        return given.memory[:, : self.config.memory], given.memory[:, -self.config.memory :]

    def _said(self, known: Tensor) -> Tensor:
        out = self.head(known).flatten(1)
        if known.dim() == 3 and out.shape[1] != self.role.action_width:
            raise InputError(
                f'{self.spec.name}: encoder "edges" acts on each of {out.shape[1]} edges, '
                f"but an action of {self.role.name} has {self.role.action_width}; use another "
                "encoder"
            )
        return out

    def _play(self, known: Tensor, given: Input) -> Tensor:
        out = self._said(known)
        if self.log_std is not None:
            return torch.cat([out, self.log_std.expand_as(out)], dim=1)
        if self.role.sizes:
            out = out.masked_fill(~given.action_mask[:, : out.shape[1]], MASKED)
        if self.exploration is None:
            return out
        if self.role.sizes:
            return torch.cat([out, self.exploration.expand(len(out), 1)], dim=1)
        noise = self.exploration.clamp(min=LEAST_NOISE).log().expand_as(out)
        return torch.cat([self._bounded(out), noise], dim=1)

    def _bounded(self, out: Tensor) -> Tensor:
        """Outputs [D, W] between -1 and 1 where the action has bounds, which these stand for."""
        box = self.role.actions
        assert isinstance(box, Box)
        low, high = box.sides(out.device)
        return torch.where(low.isfinite() & high.isfinite(), out.tanh(), out)

    def _value(self, judged: Tensor, given: Input) -> Tensor:
        if judged.dim() == 3:  # the mean over edges
            judged = judged.mean(dim=1)
        if self.others is not None:
            judged = self.joint(with_all(judged, self.others(given.x), given))
        return self.worth(judged)[:, 0]


def with_all(judged: Tensor, heard: Tensor, given: Input) -> Tensor:
    """Embeddings [D, W] beside the mean and maximum over all nodes [R, V] in play: [D, W + 2 V].

    All nodes count, so that what follows does not depend on which agents decide.
    """
    assert given.game is not None, "a central critic needs Input.game"
    together = mean_and_max(heard, given.game, given.num_envs)
    game = given.game if given.deciding is None else given.game[given.deciding]
    return torch.cat([judged, together.index_select(0, game)], dim=1)


def require_edges(role: Role, spec: Spec) -> None:
    """Raise InputError unless the role's actions are numbers on the edges of a graph."""
    if spec.num_agents > 1 or not spec.edge_features or len(bounds(role)) != 1:
        raise InputError(
            f'{spec.name}: encoder "edges" is for one agent that sees a graph and acts on every '
            'edge of it, as in inventory games with view = "graph"; use another encoder'
        )


def bounds(role: Role) -> set[tuple[float, float]]:
    """The distinct bounds of an action's components; empty if it is discrete."""
    space = role.space
    if not isinstance(space, gymnasium.spaces.Box):
        return set()
    return set(zip(space.low.tolist(), space.high.tolist(), strict=True))


def second_critic(
    features: int, widths: tuple[int, ...], activation: Callable[[], nn.Module]
) -> nn.Sequential:
    """The critic of post-decision states, with weights drawn like those of the first critic."""
    encoder, last = mlp(features, widths, activation), nn.Linear((widths or (features,))[-1], 1)
    initialise(encoder)
    initialise(last, gain=1.0)
    return nn.Sequential(encoder, last)


def mlp(features: int, widths: tuple[int, ...], activation: Callable[[], nn.Module]) -> nn.Module:
    """A multilayer perceptron with an activation after each layer."""
    sizes = zip((features, *widths), widths, strict=False)
    return nn.Sequential(*(m for a, b in sizes for m in (Linear(a, b), activation())))


def initialise(module: nn.Module, gain: float = math.sqrt(2)) -> None:
    """Orthogonal weights (Saxe, McClelland & Ganguli 2014), biases 0."""
    for parameter in module.parameters():
        if parameter.dim() > 1:
            nn.init.orthogonal_(parameter, gain)
        else:
            nn.init.zeros_(parameter)
