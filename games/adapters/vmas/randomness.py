"""The package `vmas`, imported without a word, and where its random numbers come from.

VMAS draws from torch's own generator, a few scenarios from numpy's; it swaps in states of its own
before whatever it does, and swaps them out afterwards.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, redirect_stderr
from functools import cache
from importlib import import_module
from random import Random
from typing import Any

import numpy as np
import torch


@cache
def package() -> Any:
    """The package; ModuleNotFoundError if it is not installed.

    It imports `gym`, which prints that nobody looks after it any more.
    """
    with warnings.catch_warnings(), redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        return import_module("vmas")


@contextmanager
def lent(generator: torch.Generator, others: bool) -> Iterator[None]:
    """All that VMAS draws comes from a generator, which goes on from where that ends.

    Args:
        generator: of the device of the world.
        others: whether numpy's and Python's generators are drawn from, too; they are then seeded
            by a number of this one.
    """
    states = _states()
    before = list(states)
    on_cpu = generator.device.type == "cpu"
    if others or not on_cpu:
        place = generator.device
        states[:] = _seeded(int(torch.randint(2**31, (), generator=generator, device=place)))
    if on_cpu:
        states[0] = generator.get_state()
    try:
        with nullcontext() if on_cpu else _of_device(generator):
            yield
        if on_cpu:
            generator.set_state(states[0])
    finally:
        states[:] = before


@contextmanager
def apart(device: torch.device) -> Iterator[None]:
    """VMAS draws always the same, and leaves all generators of the process as they were."""
    states = _states()
    before, numpy_state = list(states), np.random.get_state()  # noqa: NPY002
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        states[:] = _seeded(0)
        if device.type == "cuda":
            torch.cuda.manual_seed(0)
        try:
            yield
        finally:
            states[:] = before
            # When VMAS fails, it leaves its own there.
            np.random.set_state(numpy_state)  # noqa: NPY002


@contextmanager
def play(seed: int) -> Iterator[list[bool]]:
    """VMAS draws from a seed, on the CPU; says at the end whether numpy's or Python's generators
    were drawn from, by one entry of the list."""
    states = _states()
    before, states[:] = list(states), _seeded(seed)
    said: list[bool] = []
    try:
        yield said
        said.append(not _same(_seeded(seed), states))
    finally:
        states[:] = before


def _states() -> list[Any]:
    """The states of torch's, numpy's and Python's generators that VMAS swaps in."""
    states: list[Any] = package().simulator.environment.Environment.vmas_random_state
    return states


def _seeded(seed: int) -> list[Any]:
    torch_state = torch.Generator().manual_seed(seed).get_state()
    return [torch_state, np.random.RandomState(seed).get_state(), Random(seed).getstate()]


def _same(first: list[Any], second: list[Any]) -> bool:
    """Whether these are the same states of numpy's and Python's generators."""
    (_, a, *rest_of_a), (_, b, *rest_of_b) = first[1], second[1]
    return np.array_equal(a, b) and rest_of_a == rest_of_b and bool(first[2] == second[2])


@contextmanager
def _of_device(generator: torch.Generator) -> Iterator[None]:
    """The device's own generator stands in for this one."""
    device = generator.device
    before = torch.cuda.get_rng_state(device)
    torch.cuda.set_rng_state(generator.get_state(), device)
    try:
        yield
        generator.set_state(torch.cuda.get_rng_state(device))
    finally:
        torch.cuda.set_rng_state(before, device)
