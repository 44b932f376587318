"""How careful to be, without learning: what online tuning of barrier functions has to beat.

A rule says zeta and eta of every agent's barriers, alpha(h) = zeta h^eta, in `safe_navigation`
games of any number of agents; see `games.navigation.safe_navigation` (the setting of arXiv
2303.04313). A low zeta gives way, a high one goes first. Rules are played as policies are:

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
    """Between which zetas a rule chooses, in 1/s."""

    low: float
    high: float

    def at(self, share: Tensor) -> Tensor:
        """The zeta that is so far up from low to high, evenly in its logarithm."""
        return self.low * (self.high / self.low) ** share


class Rule(ABC):
    """What rules have in common: frozen dataclasses of zetas in 1/s, and everybody's eta.

    Raises:
        InputError: a zeta or an eta that is no number above 0.
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
            InputError: another game than `safe_navigation`; a number that agents cannot have there.
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
        """Where on its scale [B, N] every agent's zeta is, and the memory afterwards."""


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
    """Everybody is equally careful, for ever."""

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
    """Some agents are more careful than others: their zetas are between two, in 1/s.

    None: the least, or the most, that the game lets agents have.

    Raises:
        InputError: see `Rule`; more as the low than as the high.
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
    """Every agent draws its zeta as its game begins, uniformly in its logarithm, and keeps it.

    What an agent remembers: whether it has drawn, and what.
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
    """Whoever sees another agent that is nearer to its goal than itself gives way to all."""

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
    """Who goes first is fixed: zetas fall geometrically from the first agent to the last.

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
    """What every `Fixed` rule is worth, all of them in the same games.

    Args:
        game: by name, `safe_navigation(...)`.
        zetas: in 1/s.
        etas: each of which is tried with every zeta.
        episodes: games; at least 2.
        seed: of the games.

    Returns:
        one row a parameter, in the order given: zeta, eta, episodes, and of every number that games
        report at their end its mean, and as NAME_error, NAME_low and NAME_high the mean's standard
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
    """The best row of a `sweep`, the first of several; of what one wants little of, the least.

    Raises:
        InputError: no such metric, or nothing in it.
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
