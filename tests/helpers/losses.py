"""Batches and weights shared with torchrl's loss modules, which the tests compare ours with."""

import copy
import itertools
from typing import NamedTuple

import torch
from torch import nn

ROWS, AGENTS, SEEN, CHOICES = 37, 3, 5, 4
GAMMA = 0.9
CLOSE = dict(atol=1e-5, rtol=1e-5)


class Ends(NamedTuple):
    """How steps go on: some are terminated, others truncated, and targets look 1 to 3 ahead."""

    done: torch.Tensor  # [..., 1] bool
    terminated: torch.Tensor  # [..., 1] bool; what is only truncated is bootstrapped
    ahead: torch.Tensor  # [..., 1] int64
    reward: torch.Tensor  # [..., 1] float32

    @property
    def discount(self):
        """Ours, [...]: gamma^n, 0 where the game ended."""
        return (GAMMA**self.ahead * ~self.terminated)[..., 0]

    def after(self, **seen):
        """torchrl's "next"."""
        return dict(reward=self.reward, done=self.done, terminated=self.terminated, **seen)


def ends(*shape):
    """Random ones."""
    terminated = torch.rand(*shape, 1) < 0.2
    done = terminated | (torch.rand(*shape, 1) < 0.2)
    assert terminated.any()
    assert (done & ~terminated).any()
    assert not done.all()
    ahead = torch.randint(1, 4, (*shape, 1))
    return Ends(done, terminated, ahead, torch.randn(*shape, 1))


def delay(loss):
    """Move all target networks away from the others."""
    targets = [value for name, value in loss.named_buffers() if name.startswith("target_")]
    moved = [value.data.add_(0.3 * torch.randn_like(value)) for value in targets if value.dim()]
    assert moved


def flat(parameters):
    """torchrl's weights by name."""
    found = parameters.flatten_keys(".")
    return {name.removeprefix("module."): value for name, value in found.items()}


def copied(module, weights, index=None):
    """Our own module with torchrl's weights; `index` of an ensemble."""
    found = copy.deepcopy(module)
    values = {name: value.detach().clone() for name, value in weights.items()}
    found.load_state_dict(values if index is None else {n: v[index] for n, v in values.items()})
    return found.requires_grad_(True)


def same_gradients(module, weights, index=None, factor=1.0):
    """Gradients equal torchrl's, times `factor`, relative to the largest of each tensor."""
    ours = dict(module.named_parameters())
    assert ours
    for name, value in ours.items():
        theirs = factor * (weights[name].grad if index is None else weights[name].grad[index])
        largest = float(theirs.abs().max())
        assert largest > 0, name
        torch.testing.assert_close(value.grad, theirs, rtol=1e-5, atol=1e-5 * largest)


def net(*sizes):
    """A perceptron with tanh between layers."""
    pairs = itertools.pairwise(sizes)
    layers = [m for a, b in pairs for m in (nn.Linear(a, b), nn.Tanh())]
    return nn.Sequential(*layers[:-1])


def legal_choices(*shape):
    """[..., CHOICES] bool; the first always is."""
    legal = torch.rand(*shape, CHOICES) < 0.6
    legal[..., 0] = True
    return legal


def a_legal_one(legal):
    """Of each row [...] int64, drawn evenly."""
    return torch.multinomial(legal.float().flatten(0, -2), 1).view(*legal.shape[:-1])
