"""Learned best responses: what they win is measured without bias, and bounded by the exact best."""

from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from scipy import stats

import marl.evaluation.best_response
from games import InputError
from games.adapters.openspiel import OpenSpielVector
from games.common.workers import running_ray
from games.finite.kernels import respond
from marl.evaluation.best_response import RESPONDER, LowerBound, exploitability_lower_bound
from marl.evaluation.exact import InformationSets
from marl.networks.network import Network
from marl.networks.policy import Policy
from tests.conftest import KUHN, LEDUC

torch.set_num_threads(1)


@pytest.fixture(scope="module", autouse=True)
def ray():
    """Started once for all tests: what finds it running uses it."""
    with running_ray(1) as started:
        yield started


def untrained(name, share="role"):
    """A policy that plays almost uniformly."""
    return Policy.new(name, OpenSpielVector(name, 1).spec, Network(hidden=(32,)), share)


RESPONSES = [
    (KUHN, "role", 20, 0.8),
    ("matrix_pd", "agent", 6, 0.8),  # to defect dominates
    pytest.param("kuhn_poker(players=3)", "agent", 40, 0.8, marks=pytest.mark.slow),
    pytest.param(LEDUC, "role", 100, 0.8, marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("name", "share", "updates", "reached"), RESPONSES)
def test_responders_come_near_the_exact_best_and_not_beyond(name, share, updates, reached):
    policy, sets = untrained(name, share), InformationSets(name)
    found = exploitability_lower_bound(policy, updates=updates, episodes=4000, seed=1)
    _, best, own = respond(sets.form, sets.behaviour(policy))
    exact = float(np.mean(best - own))
    assert found.updates == (updates,) * len(best)
    assert found.value - 3 * found.standard_error < exact  # below it but for chance
    assert found.value > reached * exact
    assert (found.response < best + 4 * found.response_error).all()
    assert (np.abs(found.own - own) < 4 * found.own_error).all()


def test_a_policy_that_responds_to_itself_gains_nothing(monkeypatch):
    """In about 95 of 100 intervals lies what the responder gains, here 0."""
    policy = untrained("matrix_pd")
    monkeypatch.setattr(
        marl.evaluation.best_response, "_trained", lambda plan, policy, *_: (policy, 1)
    )
    monkeypatch.setattr(marl.evaluation.best_response, "_better_greedy", lambda *_: False)
    covered, values = 0, []
    for seed in range(100):
        found = exploitability_lower_bound(policy, updates=1, episodes=100, seed=seed)
        low, high = found.interval
        covered += low < 0 < high
        values.append(found.value)
    assert 87 <= covered <= 100  # binomial: outside with probability below 1e-3
    assert abs(np.mean(values)) < 4 * np.std(values) / 10


def test_results_follow_from_the_seed():
    policy = untrained("matrix_pd")
    method = RESPONDER.model_copy(update=dict(num_envs=8, rollout_length=4, epochs=1))
    brief = dict(updates=2, episodes=300, method=method)
    first, again, other = (
        exploitability_lower_bound(policy, seed=seed, **brief) for seed in (3, 3, 4)
    )
    for field in fields(LowerBound):
        assert np.array_equal(getattr(first, field.name), getattr(again, field.name))
    assert not np.array_equal(first.response, other.response)


BOUND = LowerBound(
    response=np.array([1.0, 0.5, 0.0]),
    response_error=np.array([0.3, 0.0, 0.4]),
    own=np.array([0.25, -0.25, 0.3]),
    own_error=np.array([0.4, 0.1, 0.3]),
    own_sum_error=1.2,
    episodes=10,
    updates=(1, 1, 1),
)


def test_arithmetic_of_a_bound():
    np.testing.assert_allclose(BOUND.gain, [0.75, 0.75, -0.3])
    np.testing.assert_allclose(BOUND.gain_error, [0.5, 0.1, 0.5])
    assert BOUND.value == pytest.approx(0.4)  # NashConv / N, a loss counted as it is
    # Of three independent responses and one sum: sqrt(.09 + .16 + 1.44) / 3.
    assert BOUND.standard_error == pytest.approx(1.3 / 3)
    half = stats.t.ppf(0.975, BOUND.episodes - 1) * 1.3 / 3
    assert BOUND.interval == pytest.approx((0.4 - half, 0.4 + half), abs=1e-9)
    nothing = replace(BOUND, own_sum_error=0.0)
    assert nothing.standard_error == pytest.approx(0.5 / 3)


@pytest.mark.parametrize("bad", [dict(updates=0), dict(episodes=1)])
def test_too_little_is_refused(bad):
    with pytest.raises(InputError, match="at least") as caught:
        exploitability_lower_bound(untrained("matrix_pd"), **bad)
    assert "\n" not in str(caught.value)
