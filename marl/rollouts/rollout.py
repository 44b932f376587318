"""Playing B games at once with networks, and recording what a learner needs of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from games.common.seeds import seeds
from games.simulators.simulator import Observation, Step
from games.simulators.vector import Vector
from marl.learning.on_policy.pdppo import Estimates, Halves
from marl.learning.on_policy.ppo import advantages
from marl.networks.distributions import distribution
from marl.networks.network import PolicyNetwork
from marl.networks.packing import pack
from marl.networks.policy import put_rows
from marl.rollouts.fragment import Fragment


@dataclass
class Episodes:
    """Sums over the games that ended since the last `Rollout.episodes()`."""

    count: float = 0.0
    steps: float = 0.0
    returns: dict[str, float] = field(default_factory=dict)  # by what they are returns of
    weights: dict[str, float] = field(default_factory=dict)  # how many of each
    info: dict[str, float] = field(default_factory=dict)

    def add(self, other: Episodes) -> Episodes:
        def total(mine: dict[str, float], theirs: dict[str, float]) -> dict[str, float]:
            return {k: mine.get(k, 0.0) + theirs.get(k, 0.0) for k in [*mine, *theirs]}

        return Episodes(
            self.count + other.count,
            self.steps + other.steps,
            total(self.returns, other.returns),
            total(self.weights, other.weights),
            total(self.info, other.info),
        )

    def means(self) -> dict[str, float]:
        """Mean returns, length and infos; empty if no game ended."""
        if not self.count:
            return {}
        found = {name: self.returns[name] / n for name, n in self.weights.items() if n}
        found["episode_steps"] = self.steps / self.count
        return found | {name: value / self.count for name, value in self.info.items()}


@dataclass(frozen=True)
class _Judged:
    """What decisions did for certain, as it is played."""

    nodes: Tensor  # [T, B, N, F] float32  the agents' own, after it
    reward: Tensor  # [T, B, N] float32
    value: Tensor  # [T, B, N] float32


class Rollout:
    """B games in progress, and the networks that play them.

    The first `learners` networks learn; the others are frozen. Seat i is played by network
    `seats[i]`; but in a share `past` of all games one seat alone is played by it, and the others by
    the frozen network `learners` places further on: a past self.
    """

    def __init__(
        self,
        vector: Vector,
        networks: Sequence[PolicyNetwork],
        seats: Sequence[int],
        learners: int,
        *,
        seed: int,
        past: float = 0.0,
    ) -> None:
        self.vector, self.networks, self.learners, self.past = vector, networks, learners, past
        self.rules = [distribution(network.role) for network in networks]
        self.seats = torch.tensor(seats)
        games, spec = vector.num_envs, vector.spec
        game_seed, draw_seed = seeds(seed, count=2)
        self.seen = vector.reset(game_seed)
        device = self.seen.nodes.device
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
        """Say who plays which seat of games [K] that start."""
        seats = self.seats.expand(len(games), -1).to(self.assignment.device)
        if self.past:
            draw = torch.rand(2, len(games), generator=self.generator, device=games.device)
            agents = torch.arange(seats.shape[1], device=games.device)
            own = agents == (draw[0] * seats.shape[1]).long()[:, None]
            against = draw[1] < self.past
            seats = torch.where(against[:, None] & ~own, seats + self.learners, seats)
        self.assignment[games] = seats

    @torch.no_grad()
    def sample(
        self,
        steps: int,
        discount: float,
        gae_lambda: float,
        estimate: Callable[[Halves], Estimates] | None = None,
    ) -> Fragment:
        """Play `steps` steps of every game.

        Args:
            estimate: `marl.learning.on_policy.pdppo`'s advantages, by the second critic; None:
                PPO's. The game has post-decision states then, and the networks have that critic.

        Raises:
            InputError: the game broke its rules.
            FloatingPointError: a network says numbers that are not finite.
        """
        vector, spec = self.vector, self.vector.spec
        seen, device = self.seen, self.seen.nodes.device
        games, agents = self.assignment.shape
        shape = (steps, games, agents)
        width = max(rule.num_parameters for rule in self.rules)

        def empty(*more: int, dtype: torch.dtype = torch.float32) -> Tensor:
            return torch.zeros((*shape, *more), dtype=dtype, device=device)

        nodes = torch.empty((steps, *seen.nodes.shape), device=device)
        acting, fresh, terminated, truncated = (empty(dtype=torch.bool) for _ in range(4))
        mask = empty(spec.mask_width, dtype=torch.bool)
        policy = torch.full(shape, -1, device=device)
        actions = empty(spec.action_width, dtype=spec.action_dtype)
        parameters, logp, value = empty(width), empty(), empty()
        reward, final_value = empty(), empty()
        memory = self.memory.clone()
        judged: _Judged | None = None
        if estimate is not None:
            vector.halves = True  # type: ignore[attr-defined]
            judged = _Judged(empty(spec.features), empty(), empty())
        edges: list[tuple[Tensor, Tensor]] = []

        for t in range(steps):
            nodes[t], acting[t], mask[t], fresh[t] = (
                seen.nodes, seen.acting, seen.action_mask, self.fresh
            )  # fmt: skip
            edges.append((seen.edges, seen.edge_features))
            played = torch.zeros_like(actions[t])
            for k, network in enumerate(self.networks):
                deciding = seen.acting & (self.assignment == k)
                if not deciding.any():
                    continue
                own = self.memory[deciding][:, : network.memory_width]
                packed = pack(seen, deciding, network, own if network.memory_width else None)
                if k < self.learners:
                    found, worth, after = network(packed)
                    policy[t][deciding] = k
                else:
                    (found, after), worth = network.policy(packed), None
                _require_finite(network, found)
                drawn = self.rules[k].sample(found, self.generator)
                put_rows(played, deciding, self.rules[k].to_game(drawn))
                if after is not None:
                    put_rows(self.memory, deciding, after)
                if worth is not None:
                    put_rows(actions[t], deciding, drawn)
                    put_rows(parameters[t], deciding, found)
                    put_rows(
                        logp[t].unsqueeze(-1), deciding, self.rules[k].logp(found, drawn)[:, None]
                    )
                    put_rows(value[t].unsqueeze(-1), deciding, worth[:, None])
            self.fresh = self.fresh & ~seen.acting
            step, seen, final = vector.step(played)
            reward[t], terminated[t], truncated[t] = step.reward, step.terminated, step.truncated
            if final is not None:
                final_value[t] = self._values(final, step.truncated & ~step.terminated)
            if judged is not None:
                self._judge(judged, t, step, policy[t])
            self._count(step)
        self.seen = seen
        learning = self.assignment < self.learners
        next_value = self._values(seen, seen.acting & learning)
        target = after_target = None
        if estimate is None or judged is None:
            advantage, learned = advantages(
                reward, value, acting, terminated, truncated, final_value, next_value, seen.acting,
                discount, gae_lambda,
            )  # fmt: skip
        else:
            advantage, learned, target, after_target = estimate(
                Halves(
                    reward, judged.reward, value, judged.value, acting, terminated, truncated,
                    final_value, next_value, seen.acting,
                )
            )  # fmt: skip
        policy[~learned] = -1
        row, both, features = _joined(edges, games, spec.num_nodes)
        return Fragment(
            nodes=nodes, edges=both, edge_row=row, edge_features=features, acting=acting,
            action_mask=mask, policy=policy, fresh=fresh, actions=actions, parameters=parameters,
            logp=logp, value=value, advantage=advantage, memory=memory, target=target,
            after=None if judged is None else judged.nodes, after_target=after_target,
        )  # fmt: skip

    def _values(self, seen: Observation, wanted: Tensor) -> Tensor:
        """[B, N] values of what is seen, 0 where they are not wanted or nobody learns."""
        values = torch.zeros(wanted.shape, device=wanted.device)
        for k, network in enumerate(self.networks[: self.learners]):
            deciding = wanted & (self.assignment == k)
            if deciding.any():
                own = self.memory[deciding][:, : network.memory_width]
                packed = pack(seen, deciding, network, own if network.memory_width else None)
                values[deciding] = network.value(packed)
        return values

    def _judge(self, judged: _Judged, t: int, step: Step, policy: Tensor) -> None:
        """Note step t's post-decision states, and what their second critics say of them."""
        assert step.decided is not None, "the vector does not say what was decided"
        decided = step.decided.seen.nodes[:, : policy.shape[1]]
        judged.nodes[t] = decided
        judged.reward[t] = step.decided.reward
        for k, network in enumerate(self.networks[: self.learners]):
            mine = policy == k
            if mine.any():
                judged.value[t][mine] = network.post_decision_value(decided[mine])

    def _count(self, step: Step) -> None:
        """Add up returns; set the games that are over to their start."""
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
        learns = seats < self.learners
        against = learns & ~learns.all(dim=1, keepdim=True)
        groups = {"return": learns}
        spec = self.vector.spec
        if len(spec.roles) > 1:
            role_of = torch.tensor(spec.role_of, device=seats.device)
            for r, role in enumerate(spec.roles):
                groups[f"return_{role.name}"] = learns & (role_of == r)
        if self.past:
            groups["return_against_past"] = against
        for name, group in groups.items():
            found.returns[name] = float(returns[group].sum())
            found.weights[name] = float(group.sum())
        self.ended = self.ended.add(found)
        self._begin(games)

    def _begin(self, games: Tensor) -> None:
        """Games [K] that start: nothing was played, nothing is remembered."""
        self.returns[games] = 0.0
        self.lengths[games] = 0.0
        self.memory[games] = 0.0
        self.fresh[games] = True
        self._assign(games)

    def episodes(self) -> Episodes:
        """Of the games that ended since this was last asked."""
        found, self.ended = self.ended, Episodes()
        return found

    def state(self) -> dict[str, Any]:
        """All that `restore` needs: games, memories, and the generator; networks apart."""
        return {
            "vector": self.vector.state(),
            "generator": self.generator.get_state(),
            **{name: getattr(self, name).clone() for name in _TENSORS},
        }

    def restore(self, state: dict[str, Any]) -> None:
        self.seen = self.vector.restore(state["vector"])
        self.generator.set_state(state["generator"])
        for name in _TENSORS:
            setattr(self, name, state[name].clone())
        if not self.vector.resumable:  # games that cannot be saved have started anew
            self._begin(torch.arange(len(self.lengths), device=self.lengths.device))


def _require_finite(network: PolicyNetwork, parameters: Tensor) -> None:
    """Raises FloatingPointError before what is drawn from them is called an illegal action."""
    if not torch.isfinite(parameters).all():
        raise FloatingPointError(
            f"policy of {network.role.name}: what it says is not finite any more; lower "
            "method.learning_rate, or scale the rewards down"
        )


_TENSORS = ("memory", "assignment", "fresh", "returns", "lengths")


def _by_game(info: Tensor) -> Tensor:
    """[K] of an info [K] or [K, N]: its mean over agents."""
    return info.float().mean(dim=1) if info.dim() > 1 else info.float()


def _joined(
    seen: Sequence[tuple[Tensor, Tensor]], games: int, num_nodes: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Edges of T steps of B games: row t * B + b [E], source and target [2, E], features [E, G]."""
    edges = torch.cat([one for one, _ in seen], dim=1)
    count = torch.tensor([one.shape[1] for one, _ in seen], device=edges.device)
    step = torch.repeat_interleave(torch.arange(len(seen), device=edges.device), count)
    row = step * games + edges[0] // num_nodes
    return row, edges % num_nodes, torch.cat([features for _, features in seen])
