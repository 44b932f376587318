"""Which policy of a run is the best: fixed games choose it, and others judge the choice."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from gymnasium.spaces import Discrete
from scipy.stats import ttest_rel

from games.common.errors import InputError
from games.common.seeds import seeds
from games.common.workers import running_ray
from games.simulators.metrics import Metric
from games.simulators.simulator import Role, Spec
from marl.evaluation.episodes import Played, evaluate
from scenarios import Run
from scenarios.cli import _main
from scenarios.figures import by_game, summary
from scenarios.lookup import parse
from scenarios.training import store as training_store
from scenarios.training.best import Candidates, best_line, exact_verdict, verdict
from scenarios.training.work import DEVELOPMENT, HELD_OUT

STORE = """
game = "tests.helpers.one_store:OneStore()"
method = {name = "hdpo", num_envs = 16, updates = 20}
network = {hidden = [16]}
stop = {steps = 76800}
evaluation = {every = 2, episodes = 50, development = 20}
checkpoint = {seconds = 1e9}
"""  # 8 updates
NOTHING = "method.learning_rate=0.0"
SPOILT = "method.learning_rate=[[0.0, 0.1], [0.7, 0.02], [0.75, 3.0]]"


@pytest.fixture(scope="module", autouse=True)
def ray():
    """One Ray for all runs of this process: starting it takes seconds."""
    with running_ray(cpus=2) as started:
        yield started


def trained(path: Path, *settings: str) -> Run:
    run = Run.create(parse(STORE, "x", settings), path)
    run.execute()
    return run


def same(one, other) -> bool:
    pairs = zip(one.networks.values(), other.networks.values(), strict=True)
    return all(
        torch.equal(a, b)
        for mine, theirs in pairs
        for a, b in zip(mine.state_dict().values(), theirs.state_dict().values(), strict=True)
    )


@pytest.fixture(scope="module")
def spoilt(tmp_path_factory, ray) -> Run:
    """A run whose learning rate rises at its end, and spoils what was learned."""
    return trained(tmp_path_factory.mktemp("spoilt") / "run", SPOILT)


def test_no_policy_is_the_best_by_luck(tmp_path):
    """Nothing is learned, so all policies are one: only games that differ could tell them apart."""
    run = trained(tmp_path / "run", NOTHING)
    metrics, (result,) = run.metrics, run.results
    looks = metrics["eval_return"].dropna()
    assert looks.index.tolist() == [1, 3, 5, 7]
    assert looks.nunique() == 1
    assert metrics["return"].nunique() == 8  # by which the luckiest would have been kept
    assert result.best["update"] == 8
    assert result.best["value"] == result.evaluation["return"] != looks[7]
    assert same(run.policy(best=True), run.policy())


def test_a_best_policy_is_shown_to_be_better(spoilt, capsys):
    (result,) = spoilt.results
    best, looks = result.best, spoilt.metrics["eval_return"].dropna()
    assert best["update"] == best["candidate"] == looks.idxmax() + 1 < 8
    scenario = spoilt.scenario
    each = [
        evaluate(policy, scenario.judged, episodes=50, seed=seeds(scenario.seed, HELD_OUT)[0]).own
        for policy in (spoilt.policy(best=True), spoilt.policy())
    ]
    expected = ttest_rel(*each).confidence_interval(0.95)
    assert best["ahead"] == pytest.approx(each[0].mean() - each[1].mean(), rel=1e-12)
    assert best["ahead_low"] == pytest.approx(expected.low, rel=1e-9)
    assert best["ahead_high"] == pytest.approx(expected.high, rel=1e-9)
    assert best["ahead_low"] > 0
    assert (best["value"], best["last"]) == (each[0].mean(), each[1].mean())
    assert best["last"] == result.evaluation["return"]
    chosen = evaluate(
        spoilt.policy(best=True), scenario.judged, episodes=20,
        seed=seeds(scenario.seed, DEVELOPMENT)[0],
    )  # fmt: skip
    assert looks.max() == chosen.own.mean()
    assert _main(["show", str(spoilt.path)]) == 0
    assert best_line(best, result.updates) in capsys.readouterr().out
    assert f"(update {best['update']}), better than the last by" in best_line(best, result.updates)
    assert _main(["show", str(spoilt.path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["best"] == best


def test_going_on_beyond_the_end_is_as_if_it_had_not_ended(tmp_path):
    """What was looked at because the run was over counts for nothing later."""
    schedule = "method.learning_rate=[[0, 0.1], [53760, 0.02], [57600, 3.0]]"
    whole = trained(tmp_path / "whole", schedule)
    half = trained(tmp_path / "half", schedule, "stop.steps=48000")
    assert half.results[0].best["update"] == 5  # which is looked at by nobody but the end
    assert _main(["resume", str(half.path), "--set=stop.steps=76800"]) == 0
    half = Run.load(half.path)
    assert half.results[0].best == whole.results[0].best
    assert same(half.policy(best=True), whole.policy(best=True))
    clocks = [name for name in whole.metrics if "second" in name]
    assert half.metrics.drop(columns=clocks).equals(whole.metrics.drop(columns=clocks))


def test_candidates_are_kept_as_long_as_a_checkpoint_needs_them(tmp_path):
    """Whichever checkpoint a run goes on from, its candidate is there, and none of later ones."""
    run = trained(tmp_path / "run", SPOILT, "checkpoint.seconds=1e-6", "evaluation.every=1")
    folder = run.path / "checkpoint"
    looks = run.metrics["eval_return"]
    ahead = {looks[:k].idxmax() + 1 for k in (6, 7, 8)}  # when each of the checkpoints was made
    assert len(ahead) == 2
    assert {file.name for file in folder.glob("best-*")} == {f"best-{k:06d}.pt" for k in ahead}
    best, policy = run.results[0].best, run.policy(best=True)
    for k in (7, 8):
        (folder / f"update-{k:06d}/policy.pt").write_bytes(b"x")
    (folder / "best-000007.pt").write_bytes(b"x")  # of an update that is taken again
    (run.path / "result.json").unlink()
    assert _main(["resume", str(run.path)]) == 0
    again = Run.load(run.path)
    assert again.results[0].best == best
    assert same(again.policy(best=True), policy)


def test_looks_at_other_games_are_not_compared(tmp_path):
    """A run that goes on may be judged by other games: in those its candidates did nothing."""
    run = trained(tmp_path / "run", SPOILT, "stop.steps=38400")
    first = run.results[0].best
    assert (
        _main(
            ["resume", str(run.path), "--set=stop.steps=76800", "--set=evaluation.development=30"]
        )
        == 0
    )
    looks = run.metrics["eval_return"].dropna()
    (result,) = Run.load(run.path).results
    assert first["update"] <= 4
    assert result.best.get("candidate", 8) == looks.loc[4:].idxmax() + 1 > 4


def test_a_damaged_candidate_does_not_end_a_run(tmp_path, capsys):
    run = trained(tmp_path / "run", SPOILT)
    (candidate,) = (run.path / "checkpoint").glob("best-*")
    candidate.write_bytes(b"x")
    (run.path / "result.json").unlink()
    assert _main(["resume", str(run.path)]) == 0
    assert f"{candidate.name} is not a saved policy" in capsys.readouterr().err
    run = Run.load(run.path)
    assert run.results[0].best == {
        "metric": "return", "value": run.results[0].evaluation["return"], "update": 8
    }  # fmt: skip
    assert same(run.policy(best=True), run.policy())


def test_what_is_not_finite_is_not_reported():
    spec = Spec("market", (Role("buyer", Discrete(2), 1),), (0,), 3)
    returns = np.array([[1.0], [2.0]])
    played = Played(returns, np.ones(2), np.full(2, -1), {"price": np.array([np.nan, 1.0])})
    found = summary(played, "market", spec)
    assert found["return"] == 1.5
    assert "price" not in found


def test_best_policies_of_earlier_versions():
    best = {"metric": "return", "value": 0.5, "update": 39}
    assert best_line(best, 39).endswith("(update 39, the last)")
    assert best_line(best, 120).endswith("(update 39 of 120)")


@pytest.mark.parametrize("text", ['{"steps": "abc"}', "[" * 100_000, "[]", "x", '{"steps": true}'])
def test_a_damaged_plan_is_said(text, tmp_path):
    (tmp_path / "checkpoint").mkdir()
    (tmp_path / "checkpoint/plan.json").write_text(text)
    with pytest.raises(InputError, match=r"plan\.json is damaged"):
        training_store.steps_at_first(tmp_path)


VERDICTS = [
    ("return", 0.2, 2),
    ("return", -0.2, 8),
    ("cost", -0.2, 2),
    ("cost", 0.2, 8),
    ("return", 0.0, 8),
    ("cost", -0.005, 8),  # too little to be told from chance
]


@pytest.mark.parametrize(("metric", "shift", "update"), VERDICTS)
def test_verdicts(metric, shift, update):
    random = np.random.default_rng(3)
    last = random.normal(5, 2, size=200)
    own = last + (random.normal(shift, 0.1, size=200) if shift else 0.0)
    candidate = {"metric": metric, "value": 0.0, "update": 2}
    found = verdict(candidate, 8, own, last, [Metric("cost", "less")])
    assert found["update"] == update
    assert found["value"] == (own if update == 2 else last).mean()
    sign = -1 if metric == "cost" else 1
    assert found["ahead"] == pytest.approx(sign * (own - last).mean(), rel=1e-12)
    if shift:
        expected = ttest_rel(sign * own, sign * last).confidence_interval(0.95)
        low, high = found["ahead_low"], found["ahead_high"]
        assert (low, high) == pytest.approx((expected.low, expected.high), rel=1e-9)
    words = {True: "better than the last by", False: "better than update 2 by"}
    said = words.get(found["ahead"] > 0, "") if abs(shift) == 0.2 else "not certainly better"
    assert said in best_line(found, 8)
    assert "by -" not in best_line(found, 8) or abs(shift) < 0.2


@pytest.mark.parametrize(("last", "update"), [(0.2, 2), (0.1, 8), (0.05, 8)])
def test_exact_verdicts(last, update):
    found = exact_verdict({"metric": "nash_conv", "value": 0.1, "update": 2}, 8, last)
    assert (found["update"], found["value"]) == (update, 0.1 if update == 2 else last)
    assert found["ahead"] == pytest.approx(last - 0.1)


def test_exact_best_is_judged_at_the_end_too(tmp_path):
    """The last update is no look of [exact], which its average would remember."""
    text = """
    game = "kuhn_poker"
    method = {name = "ppo", num_envs = 16, rollout_length = 8}
    network = {hidden = [8]}
    stop = {steps = 640}
    exact = {every = 2, average = true}
    """
    run = Run.create(parse(text, "x"), tmp_path / "run")
    (result,) = run.execute()
    from marl.evaluation.exact import InformationSets

    looks = run.metrics["nash_conv"].dropna()
    assert looks.index.tolist() == [1, 3]
    last = InformationSets("kuhn_poker").nash_conv(run.policy())
    assert result.best["last"] == pytest.approx(last, abs=1e-12)
    assert result.best["value"] == pytest.approx(min(last, looks.min()), abs=1e-12)
    best = InformationSets("kuhn_poker").nash_conv(run.policy(best=True))
    assert best == pytest.approx(result.best["value"], abs=1e-12)


def test_nobody_looks(tmp_path, capsys):
    run = trained(tmp_path / "run", "evaluation={}")
    assert run.results[0].best == {}
    with pytest.raises(InputError, match=r"no best policy.*evaluation\.every"):
        run.policy(best=True)


def test_of_equals_the_later():
    found = Candidates("eval_return")
    rows = [(1, 0.5), (2, 0.4), (3, 0.5), (4, np.nan), (5, 0.1)]
    told = [found.note({"update": k, "eval_return": value}) for k, value in rows]
    assert told == [True, False, True, False, False]
    assert found.best == {"metric": "return", "value": 0.5, "update": 3}


def test_every_role_has_its_return():
    roles = [Role(name, Discrete(2), 1) for name in ("buyer", "seller")]
    spec = Spec("market", tuple(roles), (0, 1, 1), 3)
    returns = np.array([[1.0, 2.0, 4.0], [3.0, 0.0, 1.0]])
    played = Played(returns, np.ones(2), np.full(2, -1), {})
    found = by_game(played, "market", spec)
    assert found["return_buyer"].tolist() == [1, 3]
    assert found["return_seller"].tolist() == [3, 0.5]
    assert found["return"] == pytest.approx(returns.mean(axis=1))
