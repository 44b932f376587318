"""Two games of safe navigation, and whole rollouts of them, for tests."""

import torch

from games.load import simulator
from marl.networks.network import Network
from marl.networks.policy import Policy

SHORT = "safe_navigation(agents=4,layout=swap,obstacles=3,max_steps=40)"
CROWD = "safe_navigation(agents=7,layout=random,obstacles=5,area=1.8,max_steps=100)"


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def rollout(name, player, steps, batch=3, seed=0):
    """States, what is seen of them, and the actions."""
    game, own = simulator(name), generator(seed)
    actor = player.for_game(name, game.spec)
    state = game.reset(batch, own)
    actor.start(batch)
    for _ in range(steps):
        seen = game.observe(state)
        actions = actor.act(seen, own)
        yield state, seen, actions
        state, _ = game.step(state, actions, own)


def lively(name, encoder, hidden=(16, 16), seed=0, **options):
    """An untrained policy whose actions hang on what it sees: its last layer begins near 0."""
    config = Network(encoder=encoder, hidden=hidden, **options)
    policy = Policy.new(name, simulator(name).spec, config, seed=seed)
    for network in policy.networks.values():
        with torch.no_grad():
            network.head.weight.mul_(60)
    return policy
