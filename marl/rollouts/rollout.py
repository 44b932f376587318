"""Playing B games at once with networks, and recording what happened."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import torch
from torch import Tensor

from games.common.seeds import seeds
from games.simulators.simulator import Observation, Step
from games.simulators.vector import Vector
from marl.networks.distributions import Distribution
from marl.networks.network import PolicyNetwork
from marl.networks.packing import pack
from marl.networks.policy import put_rows
from marl.rollouts.episodes import Episodes
from marl.rollouts.extras import EXTRAS, Choice, Recorder
from marl.rollouts.trajectory import Trajectory


class Rollout:
    """B games in progress, and the networks that play them.

    The first `num_learning` networks learn; the others are frozen. Network `seats[i]` plays seat i;
    but in a share `past` of all games only one seat is played so, and the others by the frozen
    networks `num_learning` places later: past versions of the policies.
    """

    def __init__(
        self,
        vector: Vector,
        networks: Sequence[PolicyNetwork],
        seats: Sequence[int],
        num_learning: int,
        *,
        seed: int,
        past: float = 0.0,
        extras: Collection[str] = (),
    ) -> None:
        """
        Args:
            extras: further data for trajectories to hold; names in
                `marl.rollouts.extras`.
        """
        self.vector, self.networks, self.past = vector, networks, past
        self.num_learning = num_learning
        self.recorders = [EXTRAS.load(name) for name in sorted(extras)]
        self._judging = any(recorder.values for recorder in self.recorders)
        self.rules: list[Distribution] = [network.rule for network in networks]
        self.seats = torch.tensor(seats)
        games, spec = vector.num_envs, vector.spec
        game_seed, draw_seed, stream = seeds(seed, count=3)
        self.seen = vector.reset(game_seed)
        device = self.seen.nodes.device
        self.stream = torch.arange(games, device=device) + (stream >> 1)
        self.generator = torch.Generator(device).manual_seed(draw_seed)
        shape = (games, spec.num_agents)
        self.memory_width = max(network.memory_width for network in networks)
        self.memory = torch.zeros((*shape, self.memory_width), device=device)
        self.assignment = torch.zeros(shape, dtype=torch.int64, device=device)
        self.fresh = torch.ones(shape, dtype=torch.bool, device=device)
        self.returns = torch.zeros(shape, device=device)
        self.lengths = torch.zeros(games, device=device)
        self.ended = Episodes()
        self._assign(torch.arange(games, device=device))

    def _assign(self, games: Tensor) -> None:
        """Assign networks to the seats of games [K] that start."""
        seats = self.seats.expand(len(games), -1).to(self.assignment.device)
        if self.past:
            draw = torch.rand(2, len(games), generator=self.generator, device=games.device)
            agents = torch.arange(seats.shape[1], device=games.device)
            own = agents == (draw[0] * seats.shape[1]).long()[:, None]
            against = draw[1] < self.past
            seats = torch.where(against[:, None] & ~own, seats + self.num_learning, seats)
        self.assignment[games] = seats

    @torch.no_grad()
    def sample(self, steps: int) -> Trajectory:
        """Play `steps` steps of every game.

        Raises:
            InputError: the game broke its rules.
            FloatingPointError: a network's outputs are not finite.
        """
        recorders = [recorder(self, steps) for recorder in self.recorders]
        played = self._blank(steps)
        edges: list[tuple[Tensor, Tensor]] = []
        for t in range(steps):
            seen = self.seen
            for name in _SEEN:
                played[name][t] = getattr(seen, name)
            played["fresh"][t] = self.fresh
            edges.append((seen.edges, seen.edge_features))
            actions = self._decide(t, played, recorders)
            self.fresh = self.fresh & ~seen.acting
            step, self.seen, final = self.vector.step(actions)
            for name in _PAID:
                played[name][t] = getattr(step, name)
            for recorder in recorders:
                recorder.stepped(t, step, self.seen, final)
            self._count(step)
        extras = {name: x for recorder in recorders for name, x in recorder.result().items()}
        row, both, features = joined_edges(
            edges, self.seen.nodes.shape[0], self.seen.nodes.shape[1]
        )
        return Trajectory(
            **played, edges=both, edge_row=row, edge_features=features, extras=extras
        )  # fmt: skip

    def _blank(self, steps: int) -> dict[str, Tensor]:
        """An empty record of a step: the observation, without any decisions."""
        spec, device = self.vector.spec, self.seen.nodes.device
        shape = (steps, *self.assignment.shape)

        def zeros(*more: int, dtype: torch.dtype = torch.bool) -> Tensor:
            return torch.zeros((*shape, *more), dtype=dtype, device=device)

        return {
            "nodes": torch.empty((steps, *self.seen.nodes.shape), device=device),
            "acting": zeros(),
            "action_mask": zeros(spec.mask_width),
            "fresh": zeros(),
            "actions": zeros(spec.action_width, dtype=spec.action_dtype),
            "policy": torch.full(shape, -1, device=device),
            "reward": zeros(dtype=torch.float32),
            "terminated": zeros(),
            "truncated": zeros(),
        }

    def _decide(self, t: int, played: dict[str, Tensor], recorders: Sequence[Recorder]) -> Tensor:
        """Choose all agents' actions [B, N, D], as the game takes them, and record them."""
        seen, drawn_by_all = self.seen, played["actions"][t]
        actions = torch.zeros_like(drawn_by_all)
        for k, network in enumerate(self.networks):
            deciding = seen.acting & (self.assignment == k)
            if not deciding.any():
                continue
            packed = pack(seen, deciding, network, self._remembered(network, deciding))
            learning, value = k < self.num_learning, None
            if learning and self._judging:
                found, value, memory = network(packed)
            else:
                found, memory = network.policy(packed)
            _require_finite(network, found)
            drawn = self.rules[k].sample(found, self.generator)
            put_rows(actions, deciding, self.rules[k].to_game(drawn))
            put_rows(drawn_by_all, deciding, drawn)
            if memory is not None:
                put_rows(self.memory, deciding, memory)
            if learning:
                played["policy"][t][deciding] = k
                choice = Choice(t, k, deciding, found, value, drawn)
                for recorder in recorders:
                    recorder.decided(choice)
        return actions

    def _remembered(self, network: PolicyNetwork, deciding: Tensor) -> Tensor | None:
        """A network's memories [D, M] where it decides; None if it has no memory."""
        width = network.memory_width
        return self.memory[deciding][:, :width] if width else None

    def values(self, seen: Observation, wanted: Tensor) -> Tensor:
        """Values [B, N] of observations, 0 where not wanted or no learning network plays."""
        values = torch.zeros(wanted.shape, device=wanted.device)
        for k, network in enumerate(self.networks[: self.num_learning]):
            deciding = wanted & (self.assignment == k)
            if deciding.any():
                packed = pack(seen, deciding, network, self._remembered(network, deciding))
                values[deciding] = network.value(packed)
        return values

    def _count(self, step: Step) -> None:
        """Add up returns, and reset the games that are over."""
        self.returns += step.reward
        self.lengths += 1
        over = step.over
        if not over.any():
            return
        games = over.nonzero()[:, 0]
        seats = self.assignment[games]
        returns = self.returns[games]
        found = Episodes(
            count=float(len(games)),
            steps=float(self.lengths[games].sum()),
            info={k: float(_by_game(v[games]).sum()) for k, v in step.info.items()},
        )
        learns = seats < self.num_learning
        groups = {"return": learns}
        spec = self.vector.spec
        if len(spec.roles) > 1:
            role_of = torch.tensor(spec.role_of, device=seats.device)
            for r, role in enumerate(spec.roles):
                groups[f"return_{role.name}"] = learns & (role_of == r)
        if self.past:
            groups["return_against_past"] = learns & ~learns.all(dim=1, keepdim=True)
        for name, group in groups.items():
            found.returns[name] = float(returns[group].sum())
            found.weights[name] = float(group.sum())
        self.ended = self.ended.add(found)
        self._begin(games)

    def _begin(self, games: Tensor) -> None:
        """Reset the returns, lengths and memories of games [K] that start."""
        self.returns[games] = 0.0
        self.lengths[games] = 0.0
        self.memory[games] = 0.0
        self.fresh[games] = True
        self._assign(games)

    def episodes(self) -> Episodes:
        """Sums over the episodes finished since the last call."""
        found, self.ended = self.ended, Episodes()
        return found

    def state(self) -> dict[str, Any]:
        """All that `restore` needs: games, memories and the generator, but not the networks."""
        return {
            "vector": self.vector.state(),
            "generator": self.generator.get_state(),
            **{name: getattr(self, name).clone() for name in _TENSORS},
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Return to a state that `state` gave."""
        self.seen = self.vector.restore(state["vector"])
        self.generator.set_state(state["generator"])
        for name in _TENSORS:
            setattr(self, name, state[name].clone())
        if not self.vector.resumable:  # games that cannot be saved were restarted
            self._begin(torch.arange(len(self.lengths), device=self.lengths.device))
            self.stream += len(self.stream)  # new games continue none of before


def _require_finite(network: PolicyNetwork, parameters: Tensor) -> None:
    """Raise FloatingPointError if they are not finite, since actions drawn would be illegal."""
    if not torch.isfinite(parameters).all():
        raise FloatingPointError(
            f"policy of {network.role.name}: its outputs are no longer finite; lower "
            "method.learning_rate, or scale the rewards down"
        )


_SEEN = ("nodes", "acting", "action_mask")
_PAID = ("reward", "terminated", "truncated")
_TENSORS = ("memory", "assignment", "fresh", "returns", "lengths", "stream")


def _by_game(info: Tensor) -> Tensor:
    """An info [K] or [K, N] averaged over agents, [K]."""
    return info.float().mean(dim=1) if info.dim() > 1 else info.float()


def joined_edges(
    seen: Sequence[tuple[Tensor, Tensor]], games: int, num_nodes: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Edges of T steps of B games: row t * B + b [E], source and target [2, E], features [E, G]."""
    edges = torch.cat([one for one, _ in seen], dim=1)
    count = torch.tensor([one.shape[1] for one, _ in seen], device=edges.device)
    step = torch.repeat_interleave(torch.arange(len(seen), device=edges.device), count)
    row = step * games + edges[0] // num_nodes
    return row, edges % num_nodes, torch.cat([features for _, features in seen])
