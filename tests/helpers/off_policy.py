"""Learners of off-policy methods on their own: without Ray, on a batch of what was played."""

import torch

from games.common.registry import attribute_of
from games.load import vector
from marl.learning.plan import Plan
from marl.networks.network import Network
from marl.replay.replay import Replay
from marl.rllib.runner import BatchedRunner

EXITS = "tests.helpers.grid_simulator:Exits"


class Loop:
    """A learner, what plays for it, and its replay, filled with a few hundred steps."""

    def __init__(self, game, method, steps=300, **network):
        options = dict(num_envs=8, rollout_length=16) | method
        network = Network(**dict(hidden=(16, 16)) | network)
        plan = self.plan = Plan(game=game, method=options, network=network)
        plan.require()
        spec = self.spec = vector(plan.game, 1).spec
        made = attribute_of(plan.method.algorithm, "algorithm")
        config = made.config_of(plan, spec)
        self.runner = BatchedRunner(config=config, worker_index=0)
        self.learner = attribute_of(plan.method.learner, "learner")(config=config)
        self.learner.build()
        self.replay = Replay(spec, plan.method.replay, plan.method.draws(plan.network.memory))
        while len(self.replay) < steps:
            self.replay.add(self.runner.sample())
        generator = torch.Generator().manual_seed(3)
        with torch.no_grad():
            for target in self.learner.targets.parameters():  # as if they were late
                target += 0.1 * torch.randn(target.shape, generator=generator)
            for network in [*self.learner.networks, *self.learner.target_networks]:
                network.head.weight *= 30.0  # else all choices are almost alike

    def draw(self, size=256):
        return self.replay.draw(size, torch.Generator().manual_seed(4))

    def step(self, batch):
        """A gradient step that changes nothing: what it says, and losses with gradients by name."""
        found = []
        learner = self.learner
        named = {id(p): name for name, p in learner.learned.named_parameters()}

        def descend(loss, optimisers):
            parameters = [p for o in optimisers for g in o.param_groups for p in g["params"]]
            for parameter in parameters:
                parameter.grad = None
            loss.backward()
            reached = {
                named[id(p)]: p.grad.clone()
                for p in parameters
                if p.grad is not None and bool((p.grad != 0).any())
            }
            found.append((loss.detach(), reached))
            return torch.zeros(())

        learner.descend = descend
        learner.generator = torch.default_generator
        torch.manual_seed(8)
        said = learner.gradient_step(batch, 0)
        learner.learned.zero_grad()
        return said, found
