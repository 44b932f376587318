"""Hindsight differentiable policy optimisation: gradients through a differentiable simulator.

Alvo, Russo and Kanoria (2023), "Deep reinforcement learning for inventory networks", arXiv
2306.11246, section 3: draw everything random, play the policy's actions, and take the gradient of
the rewards through every step, as if the draws had been known. No critic, no log
probabilities. Actions are the policy's likeliest ones, since a gradient needs no exploration.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count, pairwise
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from games.common.errors import InputError
from games.common.memory import require_memory
from games.common.seeds import seeds
from games.listing import suited, suiting
from games.names import called
from games.simulators.simulator import Observation, Simulator, Spec, Step, no_edges
from marl.learning.method import RLlibMethod
from marl.learning.schedule import Schedule
from marl.networks.network import PolicyNetwork
from marl.networks.packing import Input
from marl.rollouts.episodes import Episodes
from marl.rollouts.size import NUMBER

if TYPE_CHECKING:
    from marl.learning.plan import Plan
    from marl.networks.policy import Policy


class HDPO(RLlibMethod):
    """Hindsight differentiable policy optimisation: pathwise gradients through the simulator."""

    algorithm = "marl.rllib.pathwise:PathwiseAlgorithm"
    learner = "marl.rllib.pathwise:PathwiseLearner"
    metrics = ("loss", "gradient_norm", "learning_rate")
    tables = ("network", "resources")

    name: Literal["hdpo"] = "hdpo"
    num_envs: Annotated[int, Field(gt=0)] = 1024
    """Games per gradient step, over all learners; the paper: 1,024 to 8,192."""
    updates: Annotated[int, Field(gt=0, le=10_000)] = 10
    """Gradient steps between two rows of metrics."""
    learning_rate: Schedule = 3e-3
    """Adam's learning rate; the paper: 0.003 for one store, 0.01 for serial systems, 1e-4 to 1e-3
    for others."""
    gradient_clip: Annotated[float, Field(ge=0)] = 0.0
    """Gradients are scaled down to at most this norm; 0: never. The paper: 1 for graph networks,
    else never."""
    discount: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Discount factor from one step to the next; the paper uses none (1)."""
    warm_up: Annotated[int, Field(ge=0)] = 0
    """First steps of a game whose rewards do not count, though gradients pass through them."""

    def require(self, plan: Plan) -> None:
        horizon = getattr(require_differentiable(plan.game), "horizon", None)
        if horizon is not None and self.warm_up >= horizon:
            raise InputError(
                f"method.warm_up = {self.warm_up}: games end after {horizon} steps; set it lower"
            )
        if plan.resources.env_runners:
            raise InputError(
                "method hdpo simulates in its learners: set resources.env_runners = 0, and "
                "resources.learners for more processes"
            )
        if plan.self_play.past:
            raise InputError("method hdpo has no self-play with the past: set self_play.past = 0")
        if plan.resources.learners > self.num_envs:
            raise InputError(
                f"{plan.resources.learners} learners share {self.num_envs} games: set "
                "method.num_envs to at least one each"
            )

    def require_memory(self, plan: Plan, spec: Spec) -> None:
        horizon = getattr(require_differentiable(plan.game), "horizon", 1)
        kept = sum((spec.roles[k].features + sum(plan.network.hidden)) for k in spec.role_of)
        require_memory(
            self.num_envs * horizon * kept * NUMBER,
            f"method.num_envs = {self.num_envs:,} of {horizon:,} steps, with their gradients,",
            "use fewer games, or shorter ones",
        )

    def start(
        self, plan: Plan, *, against: Policy | None = None, seats: tuple[int, ...] = ()
    ) -> Any:
        if against is not None:
            raise InputError(
                f"method {self.name} plays all seats itself: to learn against another policy use "
                "ppo or reinforce"
            )
        return super().start(plan, seats=seats)

    def shards(self, plan: Plan, update: int, learners: int) -> list[Draw]:
        """Each learner's games of every gradient step of an update, drawn from their own seeds."""
        bounds = [self.num_envs * k // learners for k in range(learners + 1)]
        steps = range(update * self.updates, (update + 1) * self.updates)
        return [
            Draw(high - low, tuple(seeds(plan.seed, 2, step, k)[0] for step in steps))
            for k, (low, high) in enumerate(pairwise(bounds))
        ]


@dataclass(frozen=True)
class Draw:
    """The games that a learner plays in an update."""

    games: int  # of every gradient step
    seeds: tuple[int, ...]  # one a gradient step


def require_differentiable(game: Any) -> Simulator:
    """The simulator of a game; InputError if it is not differentiable."""
    made, name = suited(game, _passes), called(game)
    if made is None:
        raise InputError(
            f"method hdpo: {name} is not differentiable: use {suiting(_passes)}, or your own "
            "differentiable simulator"
        )
    for role in made.spec.roles:
        if role.sizes:
            raise InputError(
                f"method hdpo: {name}: {role.name} chooses among whole numbers, through which no "
                "gradient passes; learn with ppo"
            )
        box: Any = role.action_space
        if (np.isfinite(box.low) != np.isfinite(box.high)).any():
            raise InputError(
                f"method hdpo: {name}: actions of {role.name} are cut off on one side, where no "
                "gradient passes and a policy that gets there stays; give them no bound (inventory "
                "games: actions=shares), or two"
            )
    return made


def _passes(simulator: Simulator) -> bool:
    return simulator.differentiable


class Players:
    """Networks that play all agents of B games by their likeliest actions.

    Every agent computes an action at every step; those of agents not to act are ignored. So the
    rows of each policy are fixed from the start, and no step waits for the device to find them.
    """

    def __init__(
        self, networks: Sequence[PolicyNetwork], of_agent: Sequence[int], spec: Spec, games: int
    ) -> None:
        """
        Args:
            networks: the policies.
            of_agent: [N] which policy plays each agent.
            spec: of the game.
            games: B.
        """
        device = next(networks[0].parameters()).device
        self.spec, self.games, self.networks = spec, games, networks
        self.rules: list[Any] = [network.rule for network in networks]
        nodes = torch.arange(games, device=device)[:, None] * spec.num_nodes
        self.rows: list[Tensor | None] = []  # [B * n] int64 of the nodes; None: of all of them
        self.agents: list[Tensor] = []  # [n] int64 each, in the order of the policies
        for k in range(len(networks)):
            mine = torch.tensor([a for a, own in enumerate(of_agent) if own == k], device=device)
            self.agents.append(mine)
            self.rows.append(None if len(mine) == spec.num_nodes else (nodes + mine).flatten())
        self.place = torch.cat(self.agents).argsort()  # [N] int64 of each agent, by policy
        self.no_mask = torch.zeros((games * len(of_agent), 0), dtype=torch.bool, device=device)
        self.no_edges = no_edges(self.no_mask.float())
        self.memory: list[Tensor | None] = [None] * len(networks)

    def act(self, seen: Observation) -> Tensor:
        """Actions [B, N, D] as the game takes them, with their gradients."""
        nodes = seen.nodes.flatten(0, 1)
        played = []
        for k, (network, rows) in enumerate(zip(self.networks, self.rows, strict=True)):
            if network.uses_graph:
                x, edges, features, deciding = nodes, seen.edges, seen.edge_features, rows
            else:
                x = nodes if rows is None else nodes.index_select(0, rows)
                (edges, features), deciding = self.no_edges, None
            given = Input(
                x, edges, features, deciding, None, self.games, self.no_mask, self.memory[k]
            )
            means, memory = network.means(given)
            if memory is not None:
                self._remember(k, memory, seen.acting)
            actions = self.rules[k].to_game(means)
            actions = actions.view(self.games, len(self.agents[k]), -1)
            short = self.spec.action_width - actions.shape[2]
            played.append(nn.functional.pad(actions, (0, short)) if short else actions)
        if len(played) == 1:
            return played[0]
        return torch.cat(played, dim=1).index_select(1, self.place)

    def _remember(self, k: int, memory: Tensor, acting: Tensor) -> None:
        """Keep the memory [B * n, M] of those that acted; of the others, what it was."""
        acted = acting.index_select(1, self.agents[k]).flatten()[:, None]
        before = self.memory[k]
        self.memory[k] = torch.where(acted, memory, 0.0 if before is None else before)


@dataclass(frozen=True, eq=False)
class Hindsight:
    """B games, played to their ends; T steps of the longest."""

    reward: Tensor  # [T, B, N] float32, with its gradient; also where a game was over
    playing: Tensor | None  # [T, B] bool, before a step; None: everywhere
    episodes: Episodes


def play(simulator: Simulator, players: Players, generator: torch.Generator) -> Hindsight:
    """Play `players.games` games to their ends.

    Games that are over are stepped on while others last, without counting their rewards.
    If all games of a simulator take equally many steps, an attribute `horizon` may say how many;
    then no step has to check whether they are over.
    """
    horizon: int | None = getattr(simulator, "horizon", None)
    state = simulator.reset(players.games, generator)
    rewards: list[Tensor] = []
    playing: list[Tensor] = []  # [B] bool before each step
    last: list[tuple[Step, Tensor]] = []  # steps in which games ended, and which [B]
    now = torch.ones(players.games, dtype=torch.bool, device=generator.device)
    for t in count(1):
        state, step = simulator.step(state, players.act(simulator.observe(state)), generator)
        rewards.append(step.reward)
        playing.append(now)
        if horizon is not None:
            if t < horizon:
                continue
            last.append((step, now))
            break
        over = step.over
        if over.any():
            last.append((step, over & now))
            now = now & ~over
            if not now.any():
                break
    reward = torch.stack(rewards)
    where = torch.stack(playing) if len(last) > 1 else None  # else all ended at once
    return Hindsight(reward, where, _episodes(simulator.spec, reward, where, last))


def _episodes(
    spec: Spec, reward: Tensor, playing: Tensor | None, last: list[tuple[Step, Tensor]]
) -> Episodes:
    """Sums over games: returns by role, lengths, and what the games reported at their ends."""
    steps, games, agents = reward.shape
    paid = reward.detach().double()
    if playing is not None:
        paid = paid * playing[..., None]
    paid = paid.sum(dim=(0, 1))  # [N]
    info: dict[str, float] = {}
    for step, ended in last:
        for name, value in step.info.items():
            each = value.detach().float()
            each = each.mean(dim=1) if each.dim() > 1 else each
            info[name] = info.get(name, 0.0) + float((each * ended).sum())
    found = Episodes(
        count=float(games),
        steps=float(steps * games if playing is None else playing.sum()),
        info=info,
    )
    groups = {"return": list(range(agents))}
    if len(spec.roles) > 1:
        for k, role in enumerate(spec.roles):
            groups[f"return_{role.name}"] = [a for a in range(agents) if spec.role_of[a] == k]
    for name, mine in groups.items():
        found.returns[name] = float(paid[mine].sum())
        found.weights[name] = float(games * len(mine))
    return found


def loss(played: Hindsight, discount: float = 1.0, warm_up: int = 0) -> Tensor:
    """Scalar: minus the mean reward per game and step, summed over agents; warm-up left out.

    Raises:
        InputError: games end before the warm-up does.
    """
    reward = played.reward
    steps, games, _ = reward.shape
    if warm_up >= steps:
        raise InputError(f"method.warm_up = {warm_up}: games end after {steps} steps; set it lower")
    paid = reward
    if played.playing is not None:
        paid = torch.where(played.playing[..., None], reward, 0.0)
    paid = paid[warm_up:].sum(dim=(1, 2))  # [T]
    if discount < 1:
        paid = paid * discount ** torch.arange(steps - warm_up, device=paid.device)
    return -paid.sum() / (games * (steps - warm_up))


def pathwise_gradient(
    simulator: Simulator,
    networks: Sequence[PolicyNetwork],
    games: int,
    seed: int,
    *,
    of_agent: Sequence[int] | None = None,
    discount: float = 1.0,
    warm_up: int = 0,
) -> tuple[Tensor, list[dict[str, Tensor]]]:
    """The loss over `games` games, and its gradient with respect to every policy's parameters.

    Args:
        simulator: a differentiable one.
        networks: the policies.
        games: B.
        seed: of everything random; the same seed draws the same games, whatever the policies do.
        of_agent: [N] which policy plays each agent; None: the first plays all.
        discount, warm_up: see `HDPO`.

    Returns:
        the loss, a scalar, and for each policy the gradients of the parameters that it depends on.
    """
    of_agent = of_agent or [0] * simulator.spec.num_agents
    device = next(networks[0].parameters()).device
    generator = torch.Generator(device).manual_seed(seed)
    players = Players(networks, of_agent, simulator.spec, games)
    found = loss(play(simulator, players, generator), discount, warm_up)
    named = [dict(network.named_parameters()) for network in networks]
    flat = [parameter for one in named for parameter in one.values()]
    gradients = iter(torch.autograd.grad(found, flat, allow_unused=True))
    by_policy = [dict(zip(one, gradients, strict=False)) for one in named]
    return found.detach(), [
        {name: gradient for name, gradient in one.items() if gradient is not None}
        for one in by_policy
    ]
