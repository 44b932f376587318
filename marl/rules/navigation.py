"""Rules for safe navigation: how careful agents are, as baselines for learned barrier tuning.

A rule sets zeta and eta of every agent's barriers, alpha(h) = zeta h^eta, in `safe_navigation`
games of any number of agents; see `games.navigation.safe_navigation` (the setting of arXiv
2303.04313). Agents with low zetas give way, those with high ones go first. To play one:

    evaluate(Fixed(1.0), "safe_navigation(agents=8,layout=swap)", episodes=100)
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from games.common.errors import InputError, did_you_mean, one_line
from games.common.intervals import interval, standard_error
from games.navigation.navigation import REACH
from games.navigation.safe_navigation import SafeNavigation
from games.simulators.metrics import metric
from games.simulators.simulator import Observation, Spec
from marl.evaluation.comparison import check_episodes
from marl.evaluation.episodes import evaluate
from marl.rules.suits import simulator_of

if TYPE_CHECKING:
    import pandas as pd


class Scale(NamedTuple):
    """The range of zetas that a rule chooses from, in 1/s."""

    low: float
    high: float

    def at(self, share: Tensor) -> Tensor:
        """The zeta at a share of the way from low to high, on a logarithmic scale."""
        return self.low * (self.high / self.low) ** share


class Rule(ABC):
    """Base of rules: frozen dataclasses of zetas in 1/s, and one eta for all agents.

    Raises:
        InputError: a zeta or an eta that is not a number above 0.
    """

    plays: ClassVar[str] = "safe_navigation(...)"
    made_for: ClassVar[type] = SafeNavigation
    memory_width = 0  # numbers that an agent remembers
    eta: float

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value is None and name in ("low", "high"):
                continue  # the game's
            number = isinstance(value, Real) and not isinstance(value, bool)
            if not number or not 0 < value < math.inf:
                kind, given = type(self).__name__, one_line(repr(value))
                raise InputError(f"{kind}: {name} is {given}; give a number above 0")

    def for_game(self, game: Any, spec: Spec) -> Tuner:
        """The rule in a game.

        Raises:
            InputError: a game other than `safe_navigation`; a number outside the game's range.
        """
        found = simulator_of(game)
        if not isinstance(found, SafeNavigation):
            raise InputError(
                f"{game}: {type(self).__name__} tunes barriers, which only safe_navigation(...) has"
            )
        for name, value in vars(self).items():
            kind = "eta" if name == "eta" else "zeta"
            least, most = getattr(found, f"{kind}_least"), getattr(found, f"{kind}_most")
            if value is not None and not least <= value <= most:
                raise InputError(
                    f"{game}: {type(self).__name__} has {name} = {value!r}; give one of {least:g} "
                    f"to {most:g}, or a game with another {kind}_least or {kind}_most"
                )
        low, high = self.between()
        low = found.zeta_least if low is None else low
        high = found.zeta_most if high is None else high
        return Tuner(found, self, Scale(low, high))

    @abstractmethod
    def between(self) -> tuple[float | None, float | None]:
        """Low and high zeta; None: the least or the most of the game."""

    @abstractmethod
    def shares(
        self, seen: Observation, memory: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Every agent's zeta as a share of its scale [B, N], and the new memory."""


class Tuner:
    """A rule as an `Actor` of `marl.evaluation.actors`, in one game."""

    def __init__(self, game: SafeNavigation, rule: Rule, scale: Scale) -> None:
        self.game, self.rule, self.scale = game, rule, scale
        self.memory = torch.zeros(0)  # [B, N, M] float32; see `Rule.shares`

    def start(self, num_envs: int) -> None:
        self.memory = torch.zeros(num_envs, self.game.agents, self.rule.memory_width)

    def forget(self, over: Tensor) -> None:
        self.memory[over] = 0.0

    @torch.no_grad()
    def act(self, seen: Observation, generator: torch.Generator | None) -> Tensor:
        assert generator is not None, "what a rule draws is drawn"
        memory = self.memory.to(seen.nodes.device)
        shares, self.memory = self.rule.shares(seen, memory, generator)
        zeta = self.scale.at(shares)
        eta = torch.full_like(zeta, self.rule.eta)
        return self.game.actions(torch.stack((zeta, eta), dim=-1))


@dataclass(frozen=True)
class Fixed(Rule):
    """All agents are equally careful all the time."""

    zeta: float
    eta: float = 1.0

    def between(self) -> tuple[float | None, float | None]:
        return self.zeta, self.zeta

    def shares(
        self, seen: Observation, memory: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        return seen.nodes.new_zeros(seen.acting.shape), memory


@dataclass(frozen=True)
class Range(Rule):
    """Base of rules whose agents differ in care: their zetas lie between two bounds, in 1/s.

    None: the game's least or largest zeta.

    Raises:
        InputError: see `Rule`; low above high.
    """

    low: float | None = None
    high: float | None = None
    eta: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.low is not None and self.high is not None and self.low > self.high:
            raise InputError(
                f"{type(self).__name__}: low is {self.low!r} and high {self.high!r}; "
                "give the lower one first"
            )

    def between(self) -> tuple[float | None, float | None]:
        return self.low, self.high


class Heterogeneous(Range):
    """Every agent draws its zeta at the start of a game, log-uniformly, and keeps it.

    An agent's memory: whether it has drawn, and its zeta.
    """

    memory_width = 2

    def shares(
        self, seen: Observation, memory: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        drawn, share = memory.unbind(-1)
        if not drawn.all():
            new = torch.rand(share.shape, generator=generator, device=generator.device)
            share = torch.where(drawn > 0, share, new.to(share.device))
            memory = torch.stack((torch.ones_like(share), share), dim=-1)
        return share, memory


class Yielding(Range):
    """Agents that see another agent nearer to its goal than themselves give way."""

    def shares(
        self, seen: Observation, memory: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        batch, nodes = seen.nodes.shape[:2]
        agents = seen.acting.shape[1]
        reach = seen.nodes[..., REACH].flatten()
        source, target = seen.edges[:, seen.edges[0] % nodes < agents]  # obstacles have no goal
        yields = torch.zeros_like(reach)
        yields[target[reach[source] < reach[target]]] = 1
        return 1 - yields.view(batch, nodes)[:, :agents], memory


class Priority(Range):
    """Fixed priorities: zetas fall geometrically from the first agent to the last.

    Not decentralised: agents know their numbers, and how many there are.
    """

    def shares(
        self, seen: Observation, memory: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        order = torch.linspace(1, 0, seen.acting.shape[1], device=seen.nodes.device)
        return order.expand(seen.acting.shape), memory


def sweep(
    game: str,
    zetas: Sequence[float],
    etas: Sequence[float] = (1.0,),
    *,
    episodes: int = 200,
    seed: int = 0,
) -> pd.DataFrame:
    """Evaluate `Fixed` rules over a grid of parameters, all in the same games.

    Args:
        game: by name, `safe_navigation(...)`.
        zetas: in 1/s.
        etas: each is combined with every zeta.
        episodes: games; at least 2.
        seed: of the games.

    Returns:
        one row per combination, in the order given: zeta, eta, episodes, and for every metric
        of the games its mean, and as NAME_error, NAME_low and NAME_high the mean's standard
        error and 95% interval; see `games.common.intervals.interval`.

    Raises:
        InputError: see `marl.evaluation.episodes.evaluate`, `Rule` and `Rule.for_game`; no
            parameters, or too few games.
    """
    import pandas as pd

    check_episodes(episodes)
    for name, given in (("zetas", zetas), ("etas", etas)):
        if isinstance(given, str) or not isinstance(given, Iterable):
            raise InputError(f"{name} are {given!r}; give a list of numbers")
    rules = [Fixed(zeta, eta) for eta in etas for zeta in zetas]
    if not rules:
        raise InputError("a sweep needs parameters: give at least one zeta and one eta")
    rows = []
    for rule in rules:
        played = evaluate(rule, game, episodes=episodes, seed=seed)
        row: dict[str, float] = {**vars(rule), "episodes": episodes}
        for name, each in played.info.items():
            low, high = interval(each, metric(name, played.metrics).yes_or_no)
            row |= {name: float(each.mean()), f"{name}_error": standard_error(each)}
            row |= {f"{name}_low": low, f"{name}_high": high}
        rows.append(row)
    return pd.DataFrame(rows)


def best_fixed(frame: pd.DataFrame, by: str = "spl") -> Fixed:
    """The best row of a `sweep` by a metric, least or largest; the first of several.

    Raises:
        InputError: no such metric, or no values of it.
    """
    known = [name for name in frame.columns if not name.endswith(("_error", "_low", "_high"))]
    metrics = [name for name in known if name not in ("zeta", "eta", "episodes")]
    if by not in metrics:
        raise InputError(f"a sweep has no metric {by!r}: {did_you_mean(str(by), metrics)}")
    if frame[by].isna().all():
        raise InputError(f"a sweep without any {by} has no best row")
    less = metric(by, SafeNavigation().spec.metrics).better == "less"
    row = frame.loc[frame[by].idxmin() if less else frame[by].idxmax()]
    return Fixed(float(row["zeta"]), float(row["eta"]))
