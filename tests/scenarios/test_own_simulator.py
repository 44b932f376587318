"""A simulator in one file of a user's own, with a rule, a reference and a renderer, needs no edit.

It is registered through `SCHELLING_IMPORT`, or named where it stands.
"""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import last_json

MODULE = '''
"""A shelf: whatever is ordered comes at once, and one unit is sold a period."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from gymnasium.spaces import Discrete

import games
from games.simulators.metrics import Metric
from games.simulators.references import Reference
from games.simulators.simulator import Observation, Role, Spec, Step, no_edges
from marl.evaluation.actors import Memoryless


@dataclass(frozen=True)
class State:
    stock: torch.Tensor  # [B]
    steps: torch.Tensor  # [B] int64
    paid: torch.Tensor  # [B]


class Always(Memoryless):
    """Orders the same number every period."""

    def __init__(self, units: int = 1) -> None:
        self.units = units

    def for_game(self, game, spec):
        return self

    def act(self, seen, generator):
        return torch.full((*seen.acting.shape, 1), self.units)


@games.register_simulator("shelf")
@dataclass(frozen=True)
class Shelf:
    """One unit is wanted a period; what is ordered is paid for, and so is what is not there."""

    periods: int = 8

    differentiable: ClassVar = False
    rules: ClassVar = {"always": Always}

    @property
    def spec(self):
        role = Role("clerk", Discrete(3), 2)
        metrics = (Metric("cost", "less", label="cost a period"), Metric("sold", low=0, high=1))
        return Spec("shelf", (role,), (0,), num_nodes=1, metrics=metrics)

    def reset(self, num_envs, generator):
        zero = torch.zeros(num_envs)
        return State(zero, torch.zeros(num_envs, dtype=torch.int64), zero)

    def step(self, state, actions, generator):
        ordered = actions[:, 0, 0].float()
        there = state.stock + ordered
        sold = (there >= 1).float()
        cost = ordered + 3 * (1 - sold)
        new = State(there - sold, state.steps + 1, state.paid + cost)
        late = (new.steps >= self.periods)[:, None]
        info = {"cost": new.paid / new.steps, "sold": sold}
        return new, Step(-cost[:, None], torch.zeros_like(late), late, info)

    def observe(self, state):
        nodes = torch.stack((state.stock, state.steps / self.periods), dim=-1)[:, None]
        count = len(nodes)
        every = torch.ones(count, 1, 3, dtype=torch.bool)
        return Observation(nodes, *no_edges(nodes), every[..., 0], every)

    def reference(self):
        return Reference(1.0, "optimum", "one unit is bought for each that is sold")

    def frame(self, state, game):
        return np.full((4, 5, 3), int(state.steps[game]), np.uint8)
'''
RUN = """
game = "GAME"
method = {name = "ppo", num_envs = 8, rollout_length = 16}
network = {hidden = [8]}
stop = {steps = 256}
evaluation = {every = 1, episodes = 4}
checkpoint = {best = "cost"}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """With the module, and a scenario that trains in its game."""
    path = tmp_path_factory.mktemp("own")
    (path / "shelf_of_my_own.py").write_text(MODULE)
    (path / "mine.toml").write_text(RUN.replace("GAME", "shelf(periods=6)"))
    return path


def schelling(folder: Path, *arguments: str, registered: bool = True) -> str:
    """What a command prints, in a process that has seen nothing of the module."""
    root = str(Path(__file__).parents[2])
    known = os.environ | {"PYTHONPATH": root}
    if registered:
        known["SCHELLING_IMPORT"] = "shelf_of_my_own"
    done = subprocess.run(
        [sys.executable, "-m", "scenarios.cli", *arguments],
        cwd=folder, env=known, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout


def test_it_is_listed(folder):
    assert "One unit is wanted a period" in schelling(folder, "list", "simulators")


def test_it_trains_and_plays(folder):
    answer = last_json(schelling(folder, "run", "mine.toml", "--out", "run", "--json"))
    assert (answer["steps"], answer["game"]) == (256, "shelf(periods=6)")
    assert answer["best"]["metric"] == "cost"
    assert (answer["evaluation"]["optimum"], answer["evaluation"]["sold"] <= 1) == (1.0, True)
    # Of the looks so far the candidate cost least: the game says which way is better.
    options = ["--players", "always,always(units=2),uniform", "--episodes", "5", "--json"]
    found = last_json(schelling(folder, "play", "run", *options))
    assert found["game"] == "shelf(periods=6)"
    cost = {r["player"]: r["mean"] for r in found["rows"] if r["metric"] == "cost"}
    gap = {r["player"]: r["gap"] for r in found["rows"] if r["metric"] == "cost"}
    assert list(cost) == ["run", "always", "always(units=2)", "uniform"]
    assert (cost["always"], cost["always(units=2)"]) == (1, 2)
    assert (gap["always"], gap["always(units=2)"]) == (0, 100)
    assert found["reference"]["source"] == "one unit is bought for each that is sold"


def test_it_is_drawn(folder):
    from PIL import Image

    options = ["--players", "always", "--episodes", "2", "--render", "shelf.png"]
    schelling(folder, "play", "shelf(periods=7)", *options)
    with Image.open(folder / "shelf.png") as picture:
        assert np.asarray(picture).tolist() == np.full((4, 5, 3), 7).tolist()


def test_it_is_named_where_it_stands(folder):
    """Without being registered."""
    game = "shelf_of_my_own:Shelf(periods=3)"
    options = ["--players", "always,shelf_of_my_own:Always(units=0)", "--episodes", "2", "--json"]
    found = last_json(schelling(folder, "play", game, *options, registered=False))
    cost = {r["player"]: r["mean"] for r in found["rows"] if r["metric"] == "cost"}
    assert cost == {"always": 1, "shelf_of_my_own:Always(units=0)": 3}


def test_what_one_wants_much_of_is_held_against_a_bound_above_it():
    """Percent below an upper bound, by hand; intervals are SciPy's in test_exact."""
    from games.simulators.references import Reference, gap

    best = Reference(50.0, "upper bound", "relaxed", metric="return")
    assert best.better == "more"
    found = gap([40.0, 45.0], best)
    assert found.mean == pytest.approx(15.0)  # 20 and 10 percent below
    assert found.low < 15 < found.high
