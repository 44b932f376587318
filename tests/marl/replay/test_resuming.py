"""Training from memory goes on after a checkpoint as if it had never stopped, to the last bit."""

import shutil

import pytest
import torch

from games import InputError
from games.common.workers import running_ray
from marl.learning.plan import Plan
from marl.learning.trainer import train

NAVIGATION = "navigation(agents=2,max_steps=20)"
SMALL = dict(
    num_envs=8, rollout_length=10, replay=600, learning_starts=200, batch_size=40, gradient_steps=2
)
PLANS = {
    "iql with priorities": Plan(
        game="tic_tac_toe",
        method=dict(name="iql", priority=0.6, priority_correction=[[0, 0.4], [2000, 1.0]],
                    n_step=3, **SMALL),
        network=dict(hidden=[8]),
    ),
    "matd3 with a memory": Plan(
        game=NAVIGATION, method=dict(name="matd3", n_step=2, **SMALL),
        network=dict(hidden=[8], memory=4),
    ),
    "matd3 on graphs": Plan(
        game=NAVIGATION, method=dict(name="matd3", priority=0.5, **SMALL),
        network=dict(hidden=[8], encoder="convolution"),
    ),
}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def ray():
    with running_ray(cpus=2) as started:
        yield started


def rows(training, updates: int) -> list[dict[str, float]]:
    found = [training.step() for _ in range(updates)]
    clock = ("seconds", "steps_per_second")
    return [{k: v for k, v in row.items() if not k.endswith(clock)} for row in found]


def weights(training) -> list[torch.Tensor]:
    networks = training.policy().networks
    return [w for name in networks for w in networks[name].state_dict().values()]


@pytest.mark.parametrize("name", PLANS)
def test_a_restored_run_goes_on_to_the_last_bit(name, tmp_path):
    plan = PLANS[name]
    with train(plan) as whole:
        rows(whole, 25)  # 2,000 steps: the ring has wrapped around three times
        whole.save(tmp_path / "a")
        rows(whole, 1)
        whole.save(tmp_path / "b")
        first, learned = rows(whole, 6), weights(whole)
    assert "loss" in first[-1]
    with train(plan) as again:
        again.restore(tmp_path / "b")
        assert rows(again, 6) == first
        assert all(torch.equal(a, b) for a, b in zip(weights(again), learned, strict=True))
        if name == next(iter(PLANS)):
            require_damage_refused(again, tmp_path)


@pytest.mark.parametrize("memory", [0, 4])
def test_batches_in_which_nothing_is_known(memory):
    """Batches of a step or two of a game in turns: what comes of some is not known yet."""
    small = SMALL | dict(batch_size=1, learning_starts=80, gradient_steps=10)
    plan = Plan(
        game="tic_tac_toe", method=dict(name="iql", **small),
        network=dict(hidden=[8], memory=memory),
    )  # fmt: skip
    with train(plan) as training:
        found = rows(training, 8)
    assert all(row["loss"] == row["loss"] for row in found if "loss" in row)


def require_damage_refused(training, folder) -> None:
    for k, harm in enumerate(
        (
            lambda file: file.unlink(),
            lambda file: file.write_bytes(file.read_bytes()[:-40]),
        )
    ):
        shutil.copytree(folder / "a", folder / f"harmed-{k}")
        harm(folder / f"harmed-{k}" / "replay" / "rows-000000.npz")
        with pytest.raises(InputError, match=r"is damaged .*put it back from a copy") as caught:
            training.restore(folder / f"harmed-{k}")
        assert "\n" not in str(caught.value)
