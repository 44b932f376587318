"""Action distributions, as functions of parameter tensors: one object serves a whole role.

They turn D rows of a network's parameters into actions, log probabilities, entropies and
divergences. Illegal choices have logit `MASKED`; their probability is exactly 0, and they add
exactly 0 to entropy, divergence and gradients.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal, Protocol

import gymnasium
from torch import Generator, Tensor

from games.common.errors import InputError
from games.simulators.action_sets import ActionSet, Box, Choices
from games.simulators.simulator import Role
from marl.networks.categorical import Categorical, EpsilonGreedy, LogLinear, MultiCategorical
from marl.networks.gaussian import DiagonalGaussian
from marl.networks.squashed import SquashedGaussian

PolicyKind = Literal["stochastic", "values", "deterministic", "squashed"]
MOST_LISTED = 4096  # actions that a policy chooses among


class Distribution(Protocol):
    """D distributions of one kind, given by parameters [D, P] float32, over actions [D, W]."""

    @property
    def num_parameters(self) -> int: ...  # P

    def sample(self, parameters: Tensor, generator: Generator) -> Tensor:
        """Actions [D, W]: int64 if discrete, else float32."""

    def mode(self, parameters: Tensor) -> Tensor:
        """The likeliest actions [D, W]; the first of equally likely ones."""

    def logp(self, parameters: Tensor, actions: Tensor) -> Tensor:
        """Log probabilities (or log densities) [D] of actions, in nats."""

    def entropy(self, parameters: Tensor) -> Tensor:
        """Entropies [D] in nats; differential entropies if continuous."""

    def kl(self, old: Tensor, new: Tensor) -> Tensor:
        """[D] KL(old || new) in nats, between parameters [D, P] with the same choices masked."""

    def to_game(self, actions: Tensor) -> Tensor:
        """Actions [D, W] as the game takes them."""


def distribution(role: Role, policy: PolicyKind = "stochastic") -> Distribution:
    """The distribution over a role's actions.

    Args:
        role: says the actions.
        policy: how a network's outputs are meant, see `marl.networks.network.Network.policy`.

    Raises:
        InputError: a set of actions too large to be enumerated, an action space of another
            kind than `Role` lists, or actions that this kind of policy does not take.
    """
    actions = role.actions
    if policy == "values":
        require_single_choice(role)
        return EpsilonGreedy(actions.sizes[0])
    if isinstance(actions, Box):
        kind = SquashedGaussian if policy == "squashed" else DiagonalGaussian
        return kind(actions.low, actions.high)
    if policy == "deterministic":
        raise InputError(f"{role.name}: its actions are discrete, this method's are numbers")
    if not isinstance(actions, Choices):
        return _listed(actions)
    single = isinstance(role.action_space, gymnasium.spaces.Discrete)
    return Categorical(actions.sizes[0]) if single else MultiCategorical(actions.sizes)


def require_single_choice(role: Role) -> None:
    """Raise InputError unless an action of the role is one choice of a few."""
    if not isinstance(role.actions, Choices) or len(role.actions.sizes) != 1:
        numbers = not role.sizes
        what = "numbers" if numbers else "several choices at once"
        raise InputError(
            f"{role.name}: its actions are {what}, but methods that learn values of actions choose "
            f"one of a few; use {'masac, ' * numbers}mappo or ppo"
        )


@lru_cache(maxsize=64)
def _listed(actions: ActionSet) -> LogLinear:
    """The distribution over a set.

    Raises:
        InputError: the set cannot be enumerated, or has more than `MOST_LISTED` actions.
    """
    try:
        listed = actions.enumerate()
    except InputError as error:
        raise InputError(f"{actions}: policies cannot learn with it: {error}") from None
    if len(listed) > MOST_LISTED:
        raise InputError(
            f"{actions}: has {len(listed):,} actions, but policies choose among {MOST_LISTED:,} "
            "at most; make the set smaller"
        )
    return LogLinear(listed, actions.sizes)
