"""Exact evaluation of networks in finite games: their strategy, NashConv, and averages.

A game of perfect recall has finitely many information sets, and a network without a memory plays
the same at each of them whatever the history. So one batched forward pass turns it into a
`Strategy`, which can be evaluated exactly.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from games import NODE_BUDGET, InputError, OpenSpielGame, SequenceForm, Strategy, load, vector
from games.adapters.openspiel import OpenSpielVector, features
from games.adapters.tree import TreeVector
from games.common.errors import GameError
from games.common.settings import Table
from games.finite.kernels import plans, plans_to_behaviour, respond
from games.finite.sequence_form import Float64
from games.names import called
from marl.learning.plan import Plan
from marl.networks.packing import Input
from marl.networks.policy import Policy

if TYPE_CHECKING:
    from marl.learning.trainer import Trainer


class InformationSets:
    """The J information sets of a finite game as a network sees them, gathered once."""

    form: SequenceForm
    player: NDArray[np.int32]  # [J] who moves there; in the form's order
    features: Tensor  # [J, F] float32
    mask: Tensor  # [J, A] bool  legal actions, by the game's own ids

    def __init__(self, game: Any, *, node_budget: int = NODE_BUDGET) -> None:
        """
        Args:
            game: a tree or a table, or its name; simultaneous moves in OpenSpiel become turns.
            node_budget: the most histories to visit.

        Raises:
            UnenumerableGameError: more histories than `node_budget`.
            GameError: no finite game, imperfect recall, or no observation tensors for a network.
        """
        found = load(game)
        games = vector(found, 1)
        if not isinstance(games, OpenSpielVector | TreeVector):
            raise GameError(
                f"{found.name}: networks are evaluated exactly only in trees and tables, which "
                "this is not; evaluate by playing"
            )
        self.spec = games.spec
        self.form = found.sequence_form(node_budget=node_budget)
        self.player, first_action, actions, self._is_action = self.form.rows
        count = len(self.player)
        self._row = np.repeat(np.arange(count), np.diff(first_action))  # of each action
        self._column = actions
        mask = np.zeros((count, self.spec.mask_width), bool)
        mask[self._row, self._column] = True
        self.mask = torch.from_numpy(mask)
        if isinstance(found, OpenSpielGame):
            self.features = torch.from_numpy(_seen(found, self.form, self.spec.features))
        else:  # one-hot, in the form's order
            self.features = torch.eye(count)

    @torch.no_grad()
    def behaviour(self, policy: Policy) -> Float64:
        """Behaviour probabilities [S] of the form's sequences, each player's by its network.

        Raises:
            InputError: the policy has a memory, or is of a game with other observations or actions.
        """
        refuse_memory(policy.memory_width, self.form.game)
        own = policy.fitted(self.spec.name, self.spec)
        of_set = np.array(own.of_agent)[self.player]
        probabilities = np.zeros(self.mask.shape)
        for name, network in own.networks.items():
            mine = np.flatnonzero(of_set == name)
            parameters, _ = network.policy(self._asked(torch.from_numpy(mine)))
            rule: Any = network.rule
            probabilities[mine] = rule.probabilities(parameters.double()).numpy()
        behaviour = np.ones(len(self._is_action))
        behaviour[self._is_action] = probabilities[self._row, self._column]
        return behaviour

    def strategy(self, policy: Policy) -> Strategy:
        """The policy's strategy; raises as `behaviour` does."""
        return Strategy.from_behaviour(self.form, self.behaviour(policy))

    def nash_conv(self, policy: Policy) -> float:
        """NashConv of the policy's strategy, exact: the sum of the players' deviation gains."""
        return nash_conv(self.form, self.behaviour(policy))

    def _asked(self, sets: Tensor) -> Input:
        """The network input for decisions at information sets [D], each from its own node alone."""
        return Input(
            x=self.features[sets],
            edges=torch.zeros((2, 0), dtype=torch.int64),
            edge_features=torch.zeros((0, 0)),
            deciding=None,
            game=None,
            num_envs=len(sets),
            action_mask=self.mask[sets],
        )


def _seen(game: OpenSpielGame, form: SequenceForm, width: int) -> NDArray[np.float32]:
    """Observation tensors [J, F] of all information sets, by a walk that ends once all are met."""
    rows: list[dict[str, int]] = []
    for treeplex in form.players:
        start = sum(len(earlier) for earlier in rows)
        rows.append({name: start + j for name, j in treeplex.index.items()})
    missing = [set(own) for own in rows]
    seen = np.zeros((len(form.information_sets), width), np.float32)
    stack = [game.root()]
    while stack and any(missing):
        state = stack.pop()
        if state.is_terminal():
            continue
        if state.is_chance_node():
            moves = [action for action, _ in state.chance_outcomes()]
        else:
            player = state.current_player()
            name = state.information_state_string(player)
            if name in missing[player]:
                missing[player].remove(name)
                seen[rows[player][name]] = features(state, player)
            moves = state.legal_actions()
        stack += [state.child(move) for move in moves]
    return seen


def refuse_memory(width: int, game: str) -> None:
    """Raise InputError if a policy has a memory, of width above 0."""
    if width:
        raise InputError(
            f"{game}: a policy with a memory may play differently at one information set, so that "
            "exact figures are undefined; set network.memory = 0 (tensors show all that was seen)"
        )


def strategy(policy: Policy, game: Any = None) -> Strategy:
    """A policy's strategy in a finite game, by default the policy's own game.

    For repeated calls during training keep the game's `InformationSets`.

    Raises:
        InputError: the policy has a memory, or does not fit the game.
        UnenumerableGameError: the game is too large; GameError: no finite game.
    """
    return InformationSets(policy.game if game is None else game).strategy(policy)


def nash_conv(form: SequenceForm, behaviour: Float64) -> float:
    """NashConv of a behaviour [S]: the sum of the players' deviation gains."""
    _, response, current = respond(form, behaviour)
    return float(np.sum(response - current))


class Average:
    """The average of behaviours as one behaviour, updated as they come.

    Drawing one of them at the start of a game, with probabilities in proportion to their weights,
    and playing it to the end is, for the opponents, equivalent to this average (Kuhn 1953,
    "Extensive games and the problem of information"). A player's realization plans add up;
    probabilities at an information set do not.
    """

    def __init__(self, form: SequenceForm) -> None:
        self.form = form
        self._sum = np.zeros(form.arrays.num_sequences)  # [S] weighted sum of plans
        self.weight = 0.0  # sum of all so far

    def add(self, behaviour: Float64, weight: float = 1.0) -> None:
        """Add a behaviour [S] with a weight of at least 0."""
        if not weight >= 0:
            raise InputError(f"weight {weight:g}: weights of an average must be at least 0")
        self._sum += weight * plans(self.form, behaviour)
        self.weight += weight

    def behaviour(self) -> Float64:
        """The average behaviour [S]; uniform at information sets that no behaviour reaches.

        Raises:
            InputError: nothing was added.
        """
        if not self.weight:
            raise InputError("the average of no strategies: add one, with a weight above 0")
        return plans_to_behaviour(self.form, self._sum / self.weight)

    def strategy(self) -> Strategy:
        """The average as a `Strategy`; raises as `behaviour` does."""
        return Strategy.from_behaviour(self.form, self.behaviour())

    def state(self) -> dict[str, Any]:
        """All that `restore` needs."""
        return {"sum": self._sum.copy(), "weight": self.weight}

    def restore(self, state: dict[str, Any]) -> None:
        """Return to a state that `state` gave.

        Raises:
            InputError: it belongs to another game.
        """
        if np.shape(state["sum"]) != self._sum.shape:
            raise InputError(
                f"the saved average belongs to another game than {self.form.game}: start a new run"
            )
        self._sum, self.weight = np.array(state["sum"]), float(state["weight"])


def average(
    form: SequenceForm, behaviours: list[Float64], weights: list[float] | None = None
) -> Strategy:
    """The average of behaviours, [S] each; see `Average`. Equal weights by default."""
    kept = Average(form)
    for behaviour, weight in zip(behaviours, weights or [1.0] * len(behaviours), strict=True):
        kept.add(behaviour, weight)
    return kept.strategy()


class Exact(Table):
    """Exact NashConv of the policy during training, for games that can be enumerated."""

    every: Annotated[int, Field(gt=0)] = 10
    """Updates between two evaluations."""
    average: bool = False
    """Whether to evaluate also the average strategy over all evaluations so far (the n-th with
    weight n)."""
    node_budget: Annotated[int, Field(gt=0)] = NODE_BUDGET
    """The most histories that the game may have; larger games are refused."""


class ExactLog:
    """Evaluates a policy exactly every so many updates of its training."""

    def __init__(self, plan: Plan, config: Exact | None = None) -> None:
        """
        Raises:
            UnenumerableGameError: the game is too large; remove [exact].
            InputError: the plan's networks have a memory, or the game is not one of OpenSpiel's.
        """
        self.config = config or Exact()
        refuse_memory(plan.network.memory, called(plan.game))
        self.sets = InformationSets(plan.game, node_budget=self.config.node_budget)
        self.looks = 0
        self.average = Average(self.sets.form)

    def row(self, training: Trainer) -> dict[str, float]:
        """`nash_conv`, `exploitability` and, if asked for, `nash_conv_average`; else {}.

        Deterministic, and without effect on the training.
        """
        if training.updates % self.config.every:
            return {}
        return self.look(training.policy())

    def look(self, policy: Policy) -> dict[str, float]:
        """The figures of a policy, which is added to the average."""
        behaviour = self.sets.behaviour(policy)
        found = self._of(behaviour)
        self.looks += 1
        if self.config.average:
            self.average.add(behaviour, float(self.looks))
            found["nash_conv_average"] = nash_conv(self.sets.form, self.average.behaviour())
        return found

    def figures(self, policy: Policy) -> dict[str, float]:
        """`nash_conv` and `exploitability` of a policy, which is not added to the average."""
        return self._of(self.sets.behaviour(policy))

    def _of(self, behaviour: Float64) -> dict[str, float]:
        gap = nash_conv(self.sets.form, behaviour)
        return {"nash_conv": gap, "exploitability": gap / self.sets.form.num_players}

    def state(self) -> dict[str, Any]:
        """State that checkpoints keep, so that a resumed run gives the same figures."""
        return {"looks": self.looks, **self.average.state()}

    def restore(self, state: dict[str, Any]) -> None:
        """Return to a state that `state` gave; raises InputError if it is of another game."""
        self.average.restore(state)
        self.looks = int(state["looks"])
