"""Prioritised sampling draws with the stated probabilities, and nothing that is overwritten."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from marl.replay.priorities import SumTree
from marl.replay.replay import LEAST_ERROR, Draws, Replay
from tests.helpers.replayed import Accidents, Story

ALPHA, BETA = 0.6, 0.4
COUNT = 40_000  # rows drawn for a chi-squared test


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def require_shares(drawn: torch.Tensor, priorities: torch.Tensor) -> None:
    """Chi-squared over rows of an expected count of at least 5; all others together."""
    counts = torch.bincount(drawn, minlength=len(priorities)).double()
    expected = priorities / priorities.sum() * len(drawn)
    assert not counts[priorities == 0].any()
    common = expected >= 5
    both = [torch.cat([x[common], x[~common].sum()[None]]) for x in (counts, expected)]
    used = both[1] > 0
    assert chisquare(both[0][used].numpy(), both[1][used].numpy()).pvalue > 1e-3


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    size=st.integers(1, 900),
    changes=st.lists(st.integers(1, 60), max_size=30),
    seed=st.integers(0, 999),
)
def test_sums_after_many_changes(size, changes, seed):
    """Every inner node is the sum of its children, however often rows changed."""
    tree, given_, expected = SumTree(size), generator(seed), torch.zeros(size, dtype=torch.float64)
    for count in changes:
        rows = torch.randperm(size, generator=given_)[:count]
        values = torch.rand(len(rows), dtype=torch.float64, generator=given_)
        values[torch.rand(len(rows), generator=given_) < 0.3] = 0
        tree.put(rows, values)
        expected[rows] = values
    assert torch.equal(tree[torch.arange(size)], expected)
    assert tree.total == pytest.approx(float(expected.sum()), rel=1e-12)
    for below, above in pairwise(tree.levels):
        sums = above.flatten()
        assert torch.allclose(sums[: len(below)], below.sum(1), rtol=1e-15)
        assert not sums[len(below) :].any()
    whole = SumTree(size)
    whole.put(torch.arange(size), expected)  # all at once: the same to the last bit
    assert all(map(torch.equal, whole.levels, tree.levels))
    if tree.total:
        assert (expected[tree.draw(500, given_)] > 0).all()


def test_a_tree_draws_in_proportion():
    tree = SumTree(70)
    priorities = torch.rand(70, dtype=torch.float64, generator=generator(0)) ** 4
    priorities[::7] = 0
    tree.put(torch.arange(70), priorities)
    require_shares(tree.draw(COUNT, generator(1)), priorities)


@pytest.mark.parametrize("memory", [0, 4], ids=["steps", "sequences"])
def test_shares_and_weights_after_evictions(memory):
    """The ring wraps around three times, errors come back in between: arXiv 1511.05952,
    P(i) = p_i^alpha / sum p^alpha, and weights (N P(i))^-beta over the largest of a batch."""
    story = Story(Accidents(acts=0.7, ends=0.1, stops=0.1), seed=1, steps=5, memory=memory)
    draws = Draws(2, priority=ALPHA, sequence_length=5 if memory else 0, memory_width=memory)
    replay = Replay(story.simulator.spec, 250, draws)
    errors: dict[int, float] = {}  # of rows that can be drawn
    highest = 1.0
    for k in range(30):
        before, written = set(replay.units.tolist()), replay.ring.written
        replay.add(story.go_on())
        new = {row % 250 for row in range(written, replay.ring.written)}
        assert not set(errors) & new or replay.ring.written > 250
        errors = {row: e for row, e in errors.items() if row not in new}
        units = replay.units.tolist()
        errors |= {row: highest for row in units if row not in before or row in new}
        assert sorted(errors) == sorted(units)
        if not units:
            continue
        batch = replay.draw(40, generator(k), BETA)
        found = torch.rand(len(batch.index), generator=generator(100 + k)) * 3
        replay.learned(batch.index, found)
        for row in set(batch.index.tolist()):
            errors[row] = float(found[batch.index == row].max()) + LEAST_ERROR
        highest = max(highest, float(found.max()) + LEAST_ERROR)
    assert replay.ring.written > 3 * 250
    priorities = torch.zeros(250, dtype=torch.float64)
    for row, error in errors.items():
        priorities[row] = error**ALPHA
    assert torch.allclose(replay.tree[torch.arange(250)], priorities, rtol=1e-5)
    require_shares(replay.tree.draw(COUNT, generator(7)), priorities)
    batch = replay.draw(60, generator(8), BETA)
    share = priorities[batch.index] / priorities.sum()
    weights = (len(errors) * share) ** -BETA
    assert torch.allclose(batch.weight, (weights / weights.max()).float(), rtol=1e-5)
    assert torch.equal(replay.draw(60, generator(8), 0.0).weight, torch.ones(len(batch.weight)))


def test_uniform_draws():
    story = Story(Accidents(acts=0.7), seed=2, steps=5)
    replay = Replay(story.simulator.spec, 100)
    for _ in range(8):
        replay.add(story.go_on())
    drawable = torch.zeros(100, dtype=torch.float64)
    drawable[replay.units] = 1
    assert 0 < drawable.sum() < 100
    batch = replay.draw(COUNT, generator(3))
    require_shares(batch.index, drawable)
    assert torch.equal(batch.weight, torch.ones(COUNT))
