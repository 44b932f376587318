"""The page that stands beside BenchMARL's results: its figures, its cache, and a run of ours."""

import argparse
import json
import sys

import numpy as np
import pytest
from scipy.stats import ttest_ind

from benchmarks.standard import __main__ as command
from benchmarks.standard import ours, report, runs
from benchmarks.standard.tasks import METHODS, TASKS
from games.common.errors import InputError


def points(levels, per_step=0.01, wall=2.0, first=1.0):
    """A run's points: 100 steps apart, two games each, a first update that took `first` longer."""
    return [
        {
            "steps": 100 * (k + 1),
            "cpu_seconds": first + per_step * 100 * (k + 1),
            "seconds": wall * (first + per_step * 100 * (k + 1)),
            "returns": [level - 1, level + 1],
        }
        for k, level in enumerate(levels)
    ]


def test_rate_leaves_out_the_first_update_and_final_is_the_mean_of_the_last_three():
    found = report.curves([points([0, 1, 2, 3, 7], per_step=0.01, first=50)])
    assert found.rates == pytest.approx([100.0])
    assert found.wall_rates == pytest.approx([50.0])
    assert found.final == pytest.approx([4.0])


@pytest.mark.parametrize(
    ("mine", "theirs", "expected"),
    [
        ([5.0, 5.1, 4.9], [1.0, 1.2, 0.9], "above"),
        ([1.0, 1.2, 0.9], [5.0, 5.1, 4.9], "**below**"),
        ([1.0, 2.0, 3.0], [2.5, 1.5, 3.5], "at"),
        ([1.0], [2.0], "one seed"),
    ],
)
def test_verdict_is_that_of_the_interval(mine, theirs, expected):
    mine, theirs = np.array(mine), np.array(theirs)
    difference, low, high = report.compared(mine, theirs)
    assert report.verdict(low, high) == expected
    if len(mine) > 1:  # equally many of both: Student's test with pooled variances
        interval = ttest_ind(mine, theirs).confidence_interval(0.95)
        assert (low, high) == pytest.approx((interval.low, interval.high), abs=1e-9)
        assert difference == pytest.approx(mine.mean() - theirs.mean(), abs=1e-12)


def stored(cache, run, levels, **options):
    cache.mkdir(exist_ok=True)
    known = {"given": run.given(), "points": points(levels, **options)}
    (cache / f"{run.name}.json").write_text(json.dumps(known))


def test_page_compares_what_is_in_the_cache(tmp_path, monkeypatch):
    cache = tmp_path / "cache"
    for run in runs.needed(["balance"], ["mappo", "matd3"], 3, None):
        better = 10 if run.side == "ours" else 0
        fast = 0.01 if run.side == "ours" else 0.04
        stored(cache, run, [0, 1, better + run.seed, better, better], per_step=fast)
    given = ["standard", "--page", "--cache", str(cache)]
    monkeypatch.setattr(sys, "argv", given)
    monkeypatch.setattr(command, "PAGE", tmp_path / "docs" / "standard.md")
    monkeypatch.setattr(command, "IMAGES", tmp_path / "images")
    assert command.main() == 0
    text = (tmp_path / "docs" / "standard.md").read_text()
    rows = [line for line in text.splitlines() if line.startswith(("| mappo", "| matd3"))]
    assert len(rows) == 4  # in the summary and in the scenario's table
    assert "| matd3 / maddpg | 500 | 10.33 ± " in text
    for line in rows[:2]:
        assert "above, 4.0x" in line
    for line in rows[2:]:
        cells = [cell.strip() for cell in line.split("|")]
        assert cells[6:11] == ["above", "100", "25", "**4.0**", "4.0"]
    assert "navigation" not in text
    assert (tmp_path / "images" / "standard-balance.png").stat().st_size > 5000
    assert "](../images/standard-balance.png)" in text


def test_speeds_are_those_of_short_runs_where_both_sides_have_them(tmp_path):
    given = argparse.Namespace(steps=None, seeds=2)
    for method in ("ippo", "mappo"):
        for run in runs.needed(["balance"], [method], 1, None):
            stored(tmp_path, run, [0, 1, 2], per_step=0.01)
    short = runs.needed(["balance"], ["ippo", "mappo"], 2, None, short=True)
    for run in short:
        if (run.side, run.method) != ("benchmarl", "mappo"):
            stored(tmp_path, run, [0, 0], per_step=0.02)
    found = command.found_in(tmp_path, given)
    assert found["balance", "ippo"]["ours"].rates == pytest.approx([50.0, 50.0])
    assert found["balance", "mappo"]["ours"].rates == pytest.approx([100.0])
    assert {run.given()["steps"] for run in short} == {runs.SHORT_UPDATES * 3200}


def test_changed_parameters_are_measured_again(tmp_path, monkeypatch):
    run = runs.Run("balance", "ours", "mappo", 0, 32_000)
    stored(tmp_path, run, [1, 2])
    assert len(runs.result(tmp_path, run)) == 2
    assert runs.result(tmp_path, runs.Run("balance", "ours", "mappo", 1, 32_000)) is None
    monkeypatch.setitem(TASKS, "balance", TASKS["navigation"])
    assert runs.result(tmp_path, run) is None


def test_both_sides_take_the_same_steps_and_evaluate_at_the_same():
    for run in runs.needed(TASKS, METHODS, 1, None):
        given = run.given()
        update = given["shared"]["num_envs"] * given["shared"]["rollout_length"]
        assert given["every"] % update == 0
        assert given["steps"] % given["every"] == 0
        assert given["steps"] == TASKS[run.task].steps


def test_maddpg_of_benchmarl_runs_once_for_two_methods():
    found = runs.needed(["balance"], ["maddpg", "matd3"], 1, None)
    assert [(run.side, run.method) for run in found] == [
        ("ours", "maddpg"),
        ("benchmarl", "maddpg"),
        ("ours", "matd3"),
    ]


def test_failed_run_says_why_and_leaves_no_result(tmp_path):
    run = runs.Run("balance", "benchmarl", "mappo", 0, 3200)
    program = tmp_path / "python"
    program.write_text('#!/bin/sh\necho "no such scenario" >&2\nexit 3\n')
    program.chmod(0o755)
    assert "no such scenario" in runs.one(run, tmp_path, str(program))
    assert runs.result(tmp_path, run) is None


@pytest.mark.parametrize("python", ["/nowhere/python", "/bin/false"])
def test_without_benchmarl_one_line_with_the_fix(tmp_path, python):
    run = runs.Run("balance", "benchmarl", "mappo", 0, 3200)
    with pytest.raises(InputError, match="--benchmarl"):
        list(runs.carry_out([run], tmp_path, python, 1))


def test_a_run_of_ours_reports_its_points():
    shared = TASKS["simple_spread"].shared(METHODS["mappo"])
    shared |= {"num_envs": 2, "rollout_length": 25, "minibatches": 1, "epochs": 1}
    game = TASKS["simple_spread"].game.format(continuous=False)
    given = {
        "method": "ppo",
        "shared": shared,
        "steps": 100,
        "every": 100,
        "episodes": 2,
        "greedy": True,
    }
    found = list(ours.points({**given, "game": game, "own": {}, "seed": 0}))
    assert [point["steps"] for point in found] == [50, 100]
    assert found[1]["cpu_seconds"] > found[0]["cpu_seconds"] > 0
    assert all(len(point["returns"]) == 2 and max(point["returns"]) < 0 for point in found)
