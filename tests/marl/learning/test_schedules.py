"""Schedules by shares of a run: what they come to in steps, and that a run keeps its own."""

import numpy as np
import pytest

from games.common.errors import InputError
from games.common.workers import running_ray
from marl.learning.on_policy.ppo import PPO
from marl.learning.pathwise.hdpo import HDPO
from marl.learning.plan import Plan
from marl.learning.schedule import at
from marl.learning.trainer import train
from scenarios import Run, find, list_scenarios
from scenarios.cli import _main
from scenarios.interrupt import Interrupted
from scenarios.lookup import parse
from scenarios.training.sweep import variants

TINY = """
game = "navigation(agents=2,max_steps=20)"
method = {name = "ppo", num_envs = 4, rollout_length = 15, minibatches = 1, epochs = 1}
network = {hidden = [8]}
stop = {steps = 480}
checkpoint = {seconds = 1e9}
"""  # 8 updates of 60 steps
FALLING = ((0.0, 1e-2), (0.25, 4e-3), (1.0, 0.0))


@pytest.fixture(scope="module", autouse=True)
def ray():
    """One Ray for all runs of this process: starting it takes seconds."""
    with running_ray(cpus=2) as started:
        yield started


def falling(*settings: str, text: str = TINY):
    points = ", ".join(f"[{share}, {value}]" for share, value in FALLING)
    return parse(text, "x", [f"method.learning_rate=[{points}]", *settings])


@pytest.mark.parametrize("steps", [0, 1, 480, 10**6, 30_720_000])
def test_shares_are_of_the_run(steps):
    method = PPO(learning_rate=FALLING, entropy=0.3).over(steps)
    assert not method.follows_run
    assert method.entropy == 0.3
    shares, values = np.array(FALLING).T
    for share in np.linspace(0, 1.2, 13):
        if steps > 1:  # else all of them are at the first or the last step
            expected = np.interp(share, shares, values)
            found = at(method.learning_rate, round(share * steps))
            assert found == pytest.approx(expected, abs=1e-4 if steps < 10**4 else 1e-8)
    assert at(method.learning_rate, max(steps, 2)) == 0.0


@pytest.mark.parametrize(
    "schedule", [0.1, ((0, 0.1),), ((0, 0.1), (1000, 0.2)), ((0, 0.1), (2, 0.2))]
)
def test_steps_are_steps_whatever_the_run(schedule):
    method = HDPO(learning_rate=schedule)
    assert not method.follows_run
    assert method.over(10**6) == method


@pytest.mark.parametrize("last", [1, 1.0])
def test_how_a_share_is_written_does_not_matter(last):
    """Files and tables in between may make 1 of 1.0, and 5e5 of 500000."""
    method = PPO(learning_rate=((0, 0.1), (last, 0.2)), entropy=((0.0, 0.1), (5e5, 0.2)))
    assert method.over(200).learning_rate == ((0, 0.1), (200, 0.2))
    assert [type(when) for when, _ in method.learning_rate] == [float, float]
    assert [type(when) for when, _ in method.entropy] == [int, int]


# What the shipped scenarios' schedules are at their own lengths, in steps.
SHIPPED = {
    "backlogged": {"learning_rate": ((0, 1e-2), (22118400, 1e-4))},
    "lost-sales": {"learning_rate": ((0, 1e-2), (30720000, 1e-4))},
    "serial": {"learning_rate": ((0, 1e-2), (46080000, 4e-3), (76800000, 2e-4))},
    "one-warehouse": {"learning_rate": ((0, 3e-3), (5120000, 1e-4))},
    "one-warehouse-graph": {"learning_rate": ((0, 3e-3), (2304000, 1e-4))},
    "transshipment": {"learning_rate": ((0, 3e-3), (30720000, 1e-3), (51200000, 1e-4))},
    "navigation": {"learning_rate": ((0, 1e-3), (2000000, 2e-4), (4000000, 5e-5))},
    "online-cbf": {"learning_rate": ((0, 1e-3), (300000, 3e-4), (600000, 5e-5))},
    "leduc-selfplay": {
        "learning_rate": ((0, 1e-3), (1200000, 5e-5)),
        "entropy": ((0, 0.2), (1200000, 0.05)),
    },
    "kuhn-selfplay": {
        "learning_rate": ((0, 1e-3), (600000, 3e-4), (2000000, 3e-5)),
        "entropy": ((0, 1.0), (600000, 0.2), (2000000, 0.05)),
    },
}


def scheduled(method) -> dict:
    found = {name: getattr(method, name, 0.0) for name in ("learning_rate", "entropy")}
    return {name: value for name, value in found.items() if isinstance(value, tuple)}


def test_shipped_scenarios_follow_their_lengths():
    every = [row["scenario"] for row in list_scenarios() if row["kind"] == "train"]
    assert {name for name in every if scheduled(find(name).method)} == SHIPPED.keys()
    for name, expected in SHIPPED.items():
        assert scheduled(find(name).plan.method) == expected
        short = find(name, ["stop.steps=1000"]).plan.method
        for key, points in expected.items():
            half = points[-1][0] // 2
            assert at(getattr(short, key), 500) == pytest.approx(at(points, half), rel=1e-9)
            assert at(getattr(short, key), 1000) == points[-1][1]


def rates(run: Run) -> list[float]:
    return run.metrics["learning_rate"].tolist()


def test_a_run_that_goes_on_keeps_its_schedule(tmp_path):
    whole = Run.create(falling(), tmp_path / "whole")
    whole.execute()
    steps, values = np.array([(share * 480, value) for share, value in FALLING]).T
    assert rates(whole) == pytest.approx(np.interp(60 * np.arange(1, 9), steps, values), abs=1e-12)

    half = Run.create(falling(), tmp_path / "half")

    def interrupt(row):
        if row["update"] == 3:
            raise Interrupted("enough")

    with pytest.raises(Interrupted):
        half.execute(progress=interrupt)
    assert _main(["resume", str(half.path), "--set=stop.steps=300"]) == 0  # not squeezed into 5
    assert rates(half) == rates(whole)[:5]
    assert _main(["resume", str(half.path), "--set=stop.steps=600"]) == 0  # nor stretched over 10
    assert rates(half) == [*rates(whole), 0.0, 0.0]
    kept = ["return", "loss", "policy_loss", "kl", "entropy"]
    assert half.metrics[:8][kept].equals(whole.metrics[kept])


def test_another_schedule_is_refused(tmp_path, capsys):
    run = Run.create(falling("stop.steps=60"), tmp_path / "run")
    run.execute()
    file = run.path / "scenario.toml"
    file.write_text(file.read_text().replace("0.25", "0.5"))
    assert _main(["resume", str(run.path), "--set=stop.steps=120"]) == 2
    assert "another method than the run began with" in capsys.readouterr().err


def test_every_run_of_a_sweep_has_its_own_length():
    text = TINY + "[sweep.grid]\nstop.steps = [480, 960]"
    lengths = [
        one.scenario.plan.method.learning_rate[-1][0] for one in variants(falling(text=text))
    ]
    assert lengths == [480, 960]


def test_whose_length_nobody_knows(tmp_path, capsys):
    plan = Plan(game="tic_tac_toe", method=PPO(learning_rate=FALLING))
    with pytest.raises(InputError, match=r"^method ppo: a plan does not say.*give method\.over\("):
        train(plan)
    text = TINY.replace("stop = {steps = 480}", "stop = {seconds = 5}")
    with pytest.raises(InputError, match=r"method ppo: its schedules are.*give stop\.steps"):
        falling(text=text)
    (tmp_path / "x.toml").write_text(TINY)
    mixed = "--set=method.learning_rate=[[0.0, 1e-2], [0.5, 1e-3], [480, 1e-4]]"
    assert _main(["run", str(tmp_path / "x.toml"), "--out", str(tmp_path / "run"), mixed]) == 2
    error = capsys.readouterr().err
    assert "learning_rate: 0.5 is a share of the run, but 480 are steps" in error
    assert error.count("\n") == 1
    assert not (tmp_path / "run").exists()
