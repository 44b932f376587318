"""The base of methods that learn from remembered play: the replay, targets and exploration."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from games.common.errors import InputError
from games.common.memory import require_memory
from games.load import vector
from marl.learning.method import RolloutMethod
from marl.learning.schedule import Schedule
from marl.replay.replay import Draws
from marl.replay.size import edge_bytes, replay_bytes

if TYPE_CHECKING:
    from games.simulators.simulator import Role, Spec
    from marl.networks.network import Network


class OffPolicyMethod(RolloutMethod):
    """Base of the methods that learn from a replay of what was played with earlier policies."""

    algorithm: ClassVar[str] = "marl.rllib.off_policy.algorithm:ReplayAlgorithm"
    extras: ClassVar[frozenset[str]] = frozenset({"final", "memory"})
    tables: ClassVar[tuple[str, ...]] = ("network", "resources")
    metrics: ClassVar[tuple[str, ...]] = (
        "loss", "value", "error", "gradient_norm", "learning_rate", "exploration", "remembered",
        "gradient_steps",
    )  # fmt: skip
    joint: ClassVar[bool] = False
    """Whether agents learn one value together, from the mean of their rewards."""
    takes: ClassVar[Literal["choices", "numbers", "any"]] = "any"
    """The actions that it learns: one of a few choices, bounded numbers, or either."""
    instead: ClassVar[str] = "ppo or mappo"
    """Methods for games with other actions."""
    no_critic: ClassVar[str] = "remove it, or use mappo"
    """What to do instead of setting `network.critic`."""

    num_envs: Annotated[int, Field(gt=0)] = 16
    """Games that each env runner simulates at once."""
    rollout_length: Annotated[int, Field(gt=0)] = 16
    """Steps of each game between two updates; of networks with a memory, also the length of the
    sequences that they learn from."""
    replay: Annotated[int, Field(gt=0)] = 100_000
    """Steps of games that are remembered."""
    learning_starts: Annotated[int, Field(ge=0)] = 2_000
    """Steps of games before the first gradient step."""
    batch_size: Annotated[int, Field(gt=0)] = 128
    """Steps of games in each gradient step."""
    gradient_steps: Annotated[int, Field(gt=0)] = 32
    """Gradient steps in each update."""
    n_step: Annotated[int, Field(gt=0, le=1000)] = 1
    """Decisions whose rewards a target adds up before it bootstraps."""
    discount: Annotated[float, Field(ge=0, le=1)] = 0.99
    """Discount factor from one decision to the next."""
    target_rate: Annotated[float, Field(gt=0, le=1)] = 0.005
    """Share of the new weights that target networks take on (Polyak averaging); 1: a copy."""
    target_every: Annotated[int, Field(gt=0)] = 1
    """Gradient steps between two changes of the target networks."""
    priority: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Exponent of prioritised sampling (arXiv 1511.05952, equation 1); 0: uniform, 0.6 there."""
    priority_correction: Schedule = 0.4
    """Exponent of the weights that correct for prioritised sampling: 1 corrects it fully."""
    gradient_clip: Annotated[float, Field(gt=0)] = 10.0
    """Gradients are scaled down to at most this norm."""
    exploration: Schedule = ((0, 1.0), (50_000, 0.05))
    """Share of random choices while training, over steps."""

    def draws(self, memory_width: int = 0) -> Draws:
        """How batches are drawn, for networks with such a memory."""
        return Draws(
            self.n_step, self.discount, self.joint, self.priority,
            self.rollout_length if memory_width else 0, memory_width,
        )  # fmt: skip

    def require(self, plan: Any) -> None:
        for role in vector(plan.game, 1).spec.roles:
            self.require_role(role)
        steps = self.num_envs * self.rollout_length * max(plan.resources.env_runners, 1)
        if self.replay < 2 * steps:
            raise InputError(
                f"method.replay = {self.replay:,}: an update plays {steps:,} steps, and two of "
                "them must fit: make it larger, or num_envs or rollout_length smaller"
            )
        if self.learning_starts > self.replay:
            raise InputError(
                f"method.learning_starts = {self.learning_starts:,} steps never fit into "
                f"method.replay = {self.replay:,}: lower it"
            )
        if self.batch_size > self.replay:
            raise InputError(
                f"method.batch_size = {self.batch_size:,} is more than the "
                f"method.replay = {self.replay:,} steps that are remembered: make it smaller"
            )
        self.require_network(plan.network)

    def start(self, plan: Any, *, against: Any = None, seats: tuple[int, ...] = ()) -> Any:
        if self.joint and against is not None:
            raise InputError(
                f"method {self.name} learns what all agents are worth together: to learn against a "
                "policy that stays as it is, use iql"
            )
        return super().start(plan, against=against, seats=seats)

    def require_network(self, network: Network) -> None:
        """Raise InputError if the network has what the method cannot use."""
        if network.encoder == "edges":
            raise InputError(
                f"method {self.name} does not learn actions on edges: use hdpo or ppo with encoder "
                '"edges", or another encoder'
            )
        if network.critic != "own":
            raise InputError(f"method {self.name} does not use network.critic: {self.no_critic}")

    def require_role(self, role: Role) -> None:
        """Raise InputError if a role's actions are not of the kind that the method learns."""
        numbers = not role.sizes
        if self.takes != "any" and numbers != (self.takes == "numbers"):
            kinds = {True: "numbers", False: "choices"}
            raise InputError(
                f"method {self.name} learns actions that are {self.takes}, and those of "
                f"{role.name!r} are {kinds[numbers]}: use {self.instead}"
            )

    def memory(self, plan: Any, spec: Spec) -> dict[str, int]:
        """Edges are estimated: they are as many in every step as at the beginning of games."""
        draws = self.draws(plan.network.memory)
        steps = f"replay: {self.replay:,} steps of games"
        found = {steps: replay_bytes(spec, self.replay, draws)}
        if spec.edge_features:
            games = vector(plan.game, 16)
            edges = games.reset(plan.seed).edges.shape[1] / games.num_envs
            name = f"replay: about {edges:,.0f} edges of each step"
            found[name] = edge_bytes(spec, edges * self.replay)
        return found

    def require_memory(self, plan: Any, spec: Spec) -> None:
        super().require_memory(plan, spec)
        need = replay_bytes(spec, self.replay, self.draws(plan.network.memory))
        require_memory(need, f"method.replay = {self.replay:,}", "remember fewer steps")
