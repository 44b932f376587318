"""QMIX: a team's value is a monotone function of its members' values, which depends on the state.

Rashid et al. (2018), "QMIX: monotonic value function factorisation for deep multi-agent
reinforcement learning", arXiv 1803.11485, section 4. With agents i that see o_i and choose a_i:

    Q_tot(s, a) = |w2(s)| . elu(sum_i |w1_i(s)| Q_i(o_i, a_i) + b1(s)) + b2(s)            figure 2
    dQ_tot / dQ_i >= 0, so the agents' own best choices are the team's          equations 4 and 5
    loss = mean (y - Q_tot(s, a))^2,   y = r + g Q_tot-(s', (argmax_a' Q_i-(o_i', a'))_i)
                                                                                       equation 6

The hypernetworks w1, b1 and w2 are linear in the state, b2 has a hidden layer with a relu. `Mixer`
is that of the paper, for a state of fixed width and a fixed team. `GraphMixer` replaces the state
by the game's graph, for any number of agents: w1_i is linear in agent i's embedding, and b1, w2 and
b2 read the mean and maximum of all embeddings. It is not from the paper; it does not depend on the
order of agents. Loss and targets are those of `marl.learning.off_policy.dqn`, applied to mixed
values.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, ClassVar, Literal

from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import elu

from games.common.errors import InputError
from games.simulators.simulator import Observation, Spec
from marl.learning.off_policy.dqn import ValueMethod
from marl.networks.graph_encoder import mean_and_max
from marl.networks.network import Network, Trunk
from marl.networks.packing import Input, pack


class QMIX(ValueMethod):
    """QMIX: a team's value is a monotone function of its agents' values."""

    joint: ClassVar[bool] = True

    name: Literal["qmix"] = "qmix"
    mixing: Annotated[int, Field(gt=0, le=10_000)] = 32
    """Width of the mixer's hidden layer."""
    state: Literal["nodes", "graph"] = "nodes"
    """What the mixer reads: "nodes", all nodes of the game side by side; "graph", the game's graph
    by the network's encoder, for any number of agents in any order."""

    def mixer(self, spec: Spec, network: Network) -> nn.Module:
        if self.state == "graph":
            return GraphMixer(network, spec, self.mixing)
        return Mixer(spec.num_agents, spec.num_nodes * spec.features, self.mixing)


class Outer(nn.Module):
    """All of a mixer but the agents' weights: from weighted values and a state to team values."""

    def __init__(self, state_width: int, width: int) -> None:
        super().__init__()
        self.hidden_bias = nn.Linear(state_width, width)
        self.weight = nn.Linear(state_width, width)
        self.bias = nn.Sequential(nn.Linear(state_width, width), nn.ReLU(), nn.Linear(width, 1))

    def forward(self, weighted: Tensor, state: Tensor) -> Tensor:
        """Values [M]: weighted sums [M, width] over agents, states [M, S]."""
        hidden = elu(weighted + self.hidden_bias(state))
        return (hidden * self.weight(state).abs()).sum(1) + self.bias(state)[:, 0]


class Mixer(nn.Module):
    """The mixer of QMIX, for N agents and states of S numbers.

    Args:
        num_agents: N. state_width: S. width: of the hidden layer; the paper's is 32.
    """

    def __init__(self, num_agents: int, state_width: int, width: int = 32) -> None:
        super().__init__()
        self.agents = nn.Linear(state_width, num_agents * width)
        self.outer = Outer(state_width, width)

    def state(self, seen: Observation, present: Tensor) -> Tensor:
        """What `forward` takes as the state: all nodes of M games [M, S]."""
        return seen.nodes.flatten(1)

    def forward(self, values: Tensor, state: Tensor, present: Tensor | None = None) -> Tensor:
        """Values [M] float32 of M teams, which do not decrease in any agent's value.

        Args:
            values: [M, N] float32 of the agents' choices. state: [M, S] float32.
            present: [M, N] bool, the agents that act; others contribute nothing. None: all.
        """
        if present is not None:
            values = values.masked_fill(~present, 0.0)
        weights = self.agents(state).abs().unflatten(1, (values.shape[1], -1))  # [M, N, width]
        return self.outer((values[:, :, None] * weights).sum(1), state)


class GraphMixer(nn.Module):
    """A monotone mixer that reads the game's graph, for any number of agents in any order.

    It says itself which nodes it needs: `pack(observation, present, mixer)` makes its input.

    Args:
        config: the encoder of nodes; its memory is left out.
        spec: of the game; only the widths of its features matter.
        width: of the hidden layer.

    Raises:
        InputError: encoder "edges", which is for one agent.
    """

    central = True  # all agents of a game are pooled, whether they act or not

    def __init__(self, config: Network, spec: Spec, width: int = 32) -> None:
        super().__init__()
        if config.encoder == "edges":
            raise InputError('encoder "edges" is for one agent: a team needs another encoder')
        self.uses_graph = config.encoder != "mlp"
        widest = max(spec.roles, key=lambda role: role.features)
        self.trunk = Trunk(config.model_copy(update={"memory": 0}), widest, spec)
        self.agents = nn.Linear(self.trunk.width, width)
        self.outer = Outer(2 * self.trunk.width, width)

    def state(self, seen: Observation, present: Tensor) -> Input:
        """What `forward` takes as the state: the nodes that it needs."""
        return pack(seen, present, self)

    def forward(self, values: Tensor, given: Input, present: Tensor | None = None) -> Tensor:
        """Values [M] float32 of M teams, which do not decrease in any agent's value.

        Args:
            values: [M, N] float32 of the agents' choices.
            given: the nodes of M games, packed for this mixer with `present` as those that decide;
                a game in which nobody acts is not among them, and its value is a constant.
            present: [M, N] bool, the agents that act; others contribute nothing. None: all.
        """
        assert given.game is not None, "a mixer needs Input.game"
        known = self.trunk(replace(given, deciding=None), None)  # [R, W]
        pooled = mean_and_max(known, given.game, len(values))
        acting = known if given.deciding is None else known.index_select(0, given.deciding)
        game = given.game if given.deciding is None else given.game.index_select(0, given.deciding)
        own = values.flatten() if present is None else values[present]  # [D], in the order of pack
        each = self.agents(acting).abs() * own[:, None]
        weighted = each.new_zeros(len(values), each.shape[1]).index_add(0, game, each)
        return self.outer(weighted, pooled)
