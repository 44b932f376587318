"""The neighbourhood that one agent needs to decide alone: the graph a few hops around it.

A graph encoder's round of messages is an exchange among neighbours: after L rounds an agent's
embedding depends only on nodes up to L edges away. So a policy computed for all agents at once is
decentralised nevertheless: an agent alone, given its neighbourhood, finds the same action.
"""

from __future__ import annotations

from dataclasses import replace
from numbers import Integral

import torch

from games.common.errors import InputError
from games.simulators.simulator import Observation
from marl.networks.policy import Policy, PolicyActor


def hops(policy: Policy) -> int:
    """How many edges away nodes can affect a decision: the encoder's rounds of messages."""
    return 0 if policy.config.encoder == "mlp" else len(policy.config.hidden)


def neighbourhood(seen: Observation, agent: int, hops: int, game: int = 0) -> Observation:
    """The part of an observation that reaches an agent in `hops` rounds of messages.

    Args:
        seen: of B games.
        agent: 0 to N - 1.
        hops: a node of the result is at most so many edges away, against their direction; 0: alone.
        game: 0 to B - 1.

    Returns:
        an observation of one game with one agent, node 0; all other nodes do not act. Edges into
        nodes at the rim are left out, since their messages would come too late.

    Raises:
        InputError: no such agent or game; a negative number of hops.
    """
    games, agents = seen.acting.shape
    check("agent", agent, agents)
    check("game", game, games)
    check("hops", hops)
    nodes, device = seen.nodes.shape[1], seen.edges.device
    first = game * nodes
    inside = (seen.edges[0] >= first) & (seen.edges[0] < first + nodes)
    source, target = seen.edges[:, inside] - first
    known = torch.zeros(nodes, dtype=torch.bool, device=device)
    known[agent] = True
    heard = torch.zeros_like(source, dtype=torch.bool)
    for _ in range(hops):
        heard = known[target]
        known[source[heard]] = True
    others = known.clone()
    others[agent] = False
    order = torch.cat((torch.tensor([agent], device=device), others.nonzero()[:, 0]))
    number = torch.full((nodes,), -1, device=device)
    number[order] = torch.arange(len(order), device=device)
    return Observation(
        nodes=seen.nodes[game, order][None],
        edges=torch.stack((number[source[heard]], number[target[heard]])),
        edge_features=seen.edge_features[inside][heard],
        acting=seen.acting[game, agent].view(1, 1),
        action_mask=seen.action_mask[game, agent][None, None],
        text=None if seen.text is None else [[seen.text[game][agent]]],
    )


def alone(policy: Policy, agent: int) -> PolicyActor:
    """A single agent of the policy, as an actor that decides from its neighbourhoods.

    Its `act` takes `neighbourhood(...)`; it begins by `start(1)`.

    Raises:
        InputError: an agent that the policy does not have.
    """
    check("agent", agent, len(policy.of_agent))
    spec = replace(policy.spec, role_of=(policy.spec.role_of[agent],), num_nodes=1)
    return PolicyActor(replace(policy, spec=spec, of_agent=(policy.of_agent[agent],)))


def check(name: str, number: int, count: int | None = None) -> None:
    """Raise InputError unless a number is an integer from 0 to below the count, if there is one."""
    if not isinstance(number, Integral) or number < 0 or (count is not None and number >= count):
        fix = "0 or more" if count is None else f"one of 0 to {count - 1}"
        raise InputError(f"{name} is {number!r}; give {fix}")
