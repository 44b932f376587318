"""Extras of trajectories: further data that rollouts record if a learning method asks for it.

The name of each extra, and what it adds to `Trajectory.extras`:

logp           `logp` [T, B, N], the log probability of each action
parameters     `parameters` [T, B, N, P] of the distribution that actions were drawn from
value          `value`, `final_value` [T, B, N], critics' values at decisions, and of observations
               where games were cut off; `last_value`, `last_acting` [1, B, N], after the last
               step
memory         `memory` [1, B, N, M], before the first step
final          what off-policy methods see beyond the steps: `stream` [1, B] int64, a number of each
               sequence of games, which goes on in the next trajectory; and observations of games
               that were cut off, before their restart, at most K a game: `final_step` [K, B] int64,
               1 + the step (0: none), `final_nodes` [K, B, V, F], `final_acting` [K, B, N],
               `final_action_mask` [K, B, N, A], `final_edges` [K, B, E, 2], 1 + node (0: none),
               `final_edge_features` [K, B, E, G]
post_decision  `decided_nodes` [T, B, N, F], the agents' own nodes in post-decision states;
               `decided_reward`, `decided_value` [T, B, N], rewards of the decisions, and
               values by the network's post-decision value head

A new extra is a `Recorder`, named in `EXTRAS` or as "module:Class".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, NamedTuple, Protocol

import torch
from torch import Tensor

from games.common.registry import Registry
from games.simulators.simulator import Observation, Step
from games.simulators.vector import Vector
from marl.networks.distributions import Distribution
from marl.networks.network import PolicyNetwork
from marl.networks.policy import put_rows


class Playing(Protocol):
    """The parts of a rollout that recorders may use; see `marl.rollouts.rollout.Rollout`."""

    vector: Vector
    networks: Sequence[PolicyNetwork]
    rules: list[Distribution]
    num_learning: int
    seen: Observation
    assignment: Tensor  # [B, N] int64  index of the network that plays
    memory: Tensor  # [B, N, M] float32
    stream: Tensor  # [B] int64  a number of each sequence of games

    def values(self, seen: Observation, wanted: Tensor) -> Tensor:
        """Values [B, N] by the networks that learn, 0 where `wanted` [B, N] is false."""


class Choice(NamedTuple):
    """The decisions of one learning network at one step."""

    step: int  # t
    network: int  # its index
    deciding: Tensor  # [B, N] bool, D of them true
    parameters: Tensor  # [D, P]
    value: Tensor | None  # [D], if a recorder wants values
    actions: Tensor  # [D, W] as they were drawn


class Recorder:
    """Base of recorders of an extra in one trajectory; hooks do nothing unless overridden."""

    values: ClassVar[bool] = False
    """Whether networks have to compute values while they play."""

    def __init__(self, playing: Playing, steps: int) -> None:
        self.playing, self.steps = playing, steps
        self.found: dict[str, Tensor] = {}

    def empty(self, *more: int) -> Tensor:
        """Zeros [T, B, N, *more] float32."""
        assignment = self.playing.assignment
        return torch.zeros((self.steps, *assignment.shape, *more), device=assignment.device)

    def decided(self, choice: Choice) -> None:
        """Called after a learning network has decided."""

    def stepped(self, t: int, step: Step, seen: Observation, final: Observation | None) -> None:
        """Called after a step; see `games.simulators.vector.Vector.step`."""

    def result(self) -> dict[str, Tensor]:
        """Called after the last step."""
        return self.found


class LogProbability(Recorder):
    """Records log probabilities of the actions."""

    def __init__(self, playing: Playing, steps: int) -> None:
        super().__init__(playing, steps)
        self.found["logp"] = self.empty()

    def decided(self, choice: Choice) -> None:
        logp = self.playing.rules[choice.network].logp(choice.parameters, choice.actions)
        into = self.found["logp"][choice.step].unsqueeze(-1)
        put_rows(into, choice.deciding, logp[:, None])


class Parameters(Recorder):
    """Records parameters of the distributions that actions were drawn from."""

    def __init__(self, playing: Playing, steps: int) -> None:
        super().__init__(playing, steps)
        width = max(rule.num_parameters for rule in playing.rules)
        self.found["parameters"] = self.empty(width)

    def decided(self, choice: Choice) -> None:
        put_rows(self.found["parameters"][choice.step], choice.deciding, choice.parameters)


class Values(Recorder):
    """Records values at decisions, where games were cut off, and after the last step."""

    values = True

    def __init__(self, playing: Playing, steps: int) -> None:
        super().__init__(playing, steps)
        self.found |= {"value": self.empty(), "final_value": self.empty()}

    def decided(self, choice: Choice) -> None:
        assert choice.value is not None
        into = self.found["value"][choice.step].unsqueeze(-1)
        put_rows(into, choice.deciding, choice.value[:, None])

    def stepped(self, t: int, step: Step, seen: Observation, final: Observation | None) -> None:
        if final is not None:
            wanted = step.truncated & ~step.terminated
            self.found["final_value"][t] = self.playing.values(final, wanted)

    def result(self) -> dict[str, Tensor]:
        playing = self.playing
        acting = playing.seen.acting
        learning = playing.assignment < playing.num_learning
        last = playing.values(playing.seen, acting & learning)
        return {**self.found, "last_value": last[None], "last_acting": acting[None]}


class Memories(Recorder):
    """Records networks' memories before the first step."""

    def __init__(self, playing: Playing, steps: int) -> None:
        super().__init__(playing, steps)
        self.found["memory"] = playing.memory.clone()[None]


class Finals(Recorder):
    """Records observations of games that were cut off, and which games continue one another."""

    def __init__(self, playing: Playing, steps: int) -> None:
        super().__init__(playing, steps)
        self._cut: list[tuple[int, Tensor, Observation]] = []  # step, games [B], observation
        self._stream = playing.stream.clone()

    def stepped(self, t: int, step: Step, seen: Observation, final: Observation | None) -> None:
        if final is not None:
            cut = (step.truncated & ~step.terminated).any(dim=1)
            self._cut.append((t, cut, final))

    def result(self) -> dict[str, Tensor]:
        seen, games = self.playing.seen, len(self._stream)
        device = self._stream.device
        count = torch.zeros(games, dtype=torch.int64, device=device)
        for _, cut, _ in self._cut:
            count += cut
        most = int(count.max()) if self._cut else 0
        lists = [edge_lists(final) for _, _, final in self._cut]
        width = max([edges.shape[1] for edges, _ in lists], default=0)

        def blank(like: Tensor, *shape: int) -> Tensor:
            return like.new_zeros((most, games, *shape))

        found = {
            "step": torch.zeros((most, games), dtype=torch.int64, device=device),
            "nodes": blank(seen.nodes, *seen.nodes.shape[1:]),
            "acting": blank(seen.acting, *seen.acting.shape[1:]),
            "action_mask": blank(seen.action_mask, *seen.action_mask.shape[1:]),
            "edges": blank(seen.edges, width, 2),
            "edge_features": blank(seen.edge_features, width, seen.edge_features.shape[1]),
        }
        place = torch.zeros_like(count)
        for (t, cut, final), (edges, features) in zip(self._cut, lists, strict=True):
            at = place[cut], cut.nonzero()[:, 0]
            found["step"][at] = t + 1
            for name in ("nodes", "acting", "action_mask"):
                found[name][at] = getattr(final, name)[cut]
            long = edges.shape[1]
            found["edges"][*at, :long] = edges[cut]
            found["edge_features"][*at, :long] = features[cut]
            place += cut
        return {"stream": self._stream[None], **{f"final_{k}": x for k, x in found.items()}}


def edge_lists(seen: Observation) -> tuple[Tensor, Tensor]:
    """Each game's edges [B, E, 2], as 1 + node of the game (0: no edge); features [B, E, G]."""
    games, num_nodes = seen.nodes.shape[:2]
    game = seen.edges[0] // num_nodes
    count = torch.bincount(game, minlength=games)
    place = torch.arange(len(game), device=game.device) - (count.cumsum(0) - count)[game]
    width = int(count.max()) if len(game) else 0
    edges = seen.edges.new_zeros((games, width, 2))
    edges[game, place] = seen.edges.T % num_nodes + 1
    features = seen.edge_features.new_zeros((games, width, seen.edge_features.shape[1]))
    features[game, place] = seen.edge_features
    return edges, features


class PostDecision(Recorder):
    """Records post-decision states, with their rewards and values; steps the vector in halves."""

    def __init__(self, playing: Playing, steps: int) -> None:
        super().__init__(playing, steps)
        playing.vector.halves = True  # type: ignore[attr-defined]
        self.found["decided_nodes"] = self.empty(playing.vector.spec.features)
        self.found |= {"decided_reward": self.empty(), "decided_value": self.empty()}
        self._mine: list[tuple[PolicyNetwork, Tensor]] = []  # networks that decided, and where

    def decided(self, choice: Choice) -> None:
        self._mine.append((self.playing.networks[choice.network], choice.deciding))

    def stepped(self, t: int, step: Step, seen: Observation, final: Observation | None) -> None:
        assert step.decided is not None, "the vector does not say what was decided"
        nodes = step.decided.seen.nodes[:, : self.playing.assignment.shape[1]]
        self.found["decided_nodes"][t] = nodes
        self.found["decided_reward"][t] = step.decided.reward
        for network, mine in self._mine:
            self.found["decided_value"][t][mine] = network.post_decision_value(nodes[mine])
        self._mine = []


EXTRAS: Registry[type[Recorder]] = Registry(
    "extra of rollouts",
    {
        "logp": "marl.rollouts.extras:LogProbability",
        "parameters": "marl.rollouts.extras:Parameters",
        "value": "marl.rollouts.extras:Values",
        "memory": "marl.rollouts.extras:Memories",
        "final": "marl.rollouts.extras:Finals",
        "post_decision": "marl.rollouts.extras:PostDecision",
    },
)
