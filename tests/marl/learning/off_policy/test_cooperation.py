"""What cooperating agents learn of common payoffs, beside values that are known."""

from itertools import product

import numpy as np
import pytest
import torch
from scipy.optimize import brentq

from benchmarks.cooperation import (
    TWO_STEP,
    best_sums,
    learned,
    nearest_sum,
    returns,
    true_values,
)
from examples.hysteretic import Hysteretic
from games.common.workers import running_ray
from games.cooperation.matrices import CLIMBING, matrix, two_step
from marl.learning.plan import Plan
from marl.learning.trainer import train
from marl.networks.network import Network
from marl.networks.packing import pack

torch.set_num_threads(1)
RANDOM = dict(
    exploration=1.0, huber=False, num_envs=16, rollout_length=4, learning_starts=512,
    batch_size=128, target_rate=0.05, learning_rate=[[0.0, 4e-3], [0.5, 2e-3], [1.0, 0.0]],
)  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def ray():
    """Started once; every training here joins it."""
    with running_ray(cpus=1) as found:
        yield found


@pytest.mark.parametrize("shape", [(2, 2), (3, 4), (2, 3, 2)])
def test_the_nearest_sum_is_that_of_least_squares(shape):
    table = np.random.default_rng(3).normal(size=shape)
    joint = list(product(*map(range, shape)))
    # A column for each agent's each choice: 1 where it is made.
    design = np.array(
        [
            [float(k == own) for own, n in zip(one, shape, strict=True) for k in range(n)]
            for one in joint
        ]
    )
    values = table.flatten()
    fitted = design @ np.linalg.lstsq(design, values, rcond=None)[0]
    np.testing.assert_allclose(nearest_sum(table).flatten(), fitted, atol=1e-12)


def test_a_sum_prefers_the_worse_half_of_the_two_step_game():
    """The published values: 6.93 and 7.92 are 0.99 times 7 and 8, and 6.5 is a sum's best in 2B."""
    true, sums = true_values(two_step()), best_sums(two_step())
    assert true.tolist() == [[[6.93, 6.93], [7.92, 7.92]], [[7, 7], [7, 7]], [[0, 1], [1, 8]]]
    np.testing.assert_allclose(sums[2], [[-1.5, 2.5], [2.5, 6.5]])
    np.testing.assert_allclose(sums[0], [[6.93, 6.93], [6.435, 6.435]])


LEARNED = [("vdn", best_sums, 7), ("qmix", true_values, 8)]


@pytest.mark.parametrize(("name", "known", "earned"), LEARNED)
def test_vdn_fails_in_the_two_step_game_and_qmix_succeeds(name, known, earned):
    """Each learns the best table that it can express, and plays by it."""
    run = learned(name, TWO_STEP, seed=0, steps=5_000, options=RANDOM, width=32)
    np.testing.assert_allclose(run.tables, known(two_step()), atol=0.25)
    assert returns(run.policy, TWO_STEP) == earned


def test_hysteretic_agents_learn_expectiles_of_what_is_paid():
    """The value that a choice should get is where weighted errors cancel: found by bisection."""
    game, blame = "cooperation.matrix(payoff=climbing)", 0.05
    table = np.array(CLIMBING, float)

    def expectile(paid):
        return brentq(lambda q: np.where(paid < q, blame, 1.0) @ (paid - q), paid.min(), paid.max())

    known = np.array([[expectile(row) for row in side] for side in (table, table.T)])
    assert known.argmax(axis=1).tolist() == [0, 0]  # out of the trap
    assert np.array([table.mean(axis=1), table.mean(axis=0)]).argmax(axis=1).tolist() == [2, 2]
    method = Hysteretic(**RANDOM, blame=blame).over(5_000)
    with train(Plan(game=game, method=method, network=Network(hidden=(32,)))) as training:
        while training.steps < 5_000:
            training.step()
        policy = training.policy()
    (network,) = policy.networks.values()
    seen = matrix().observe(matrix().reset(1, torch.Generator()))
    with torch.no_grad():
        learned_values = network.policy(pack(seen, seen.acting, network))[0][:, :3]
    np.testing.assert_allclose(learned_values.numpy(), known, atol=0.5)
    assert returns(policy, game) == 11
