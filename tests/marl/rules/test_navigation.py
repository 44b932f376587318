"""Rules that tune barriers, and what fixed ones are worth.

Rules are computed anew in NumPy from positions and goals; statistics are SciPy's.
"""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats
from scipy.spatial.distance import cdist

from games import InputError
from games.load import simulator
from games.names import altered
from games.navigation.safe_navigation import SafeNavigation
from marl.evaluation import episodes as evaluation
from marl.evaluation.actors import Uniform
from marl.evaluation.episodes import evaluate
from marl.rules.navigation import Fixed, Heterogeneous, Priority, Yielding, best_fixed, sweep
from tests.helpers.disc_games import CROWD, SHORT, generator, lively, rollout

RULES = [Fixed(0.7, 1.5), Heterogeneous(), Yielding(0.3, 8.0, 1.3), Priority(0.2, 5.0)]
SWEPT = pd.DataFrame(
    {"zeta": [1.0], "eta": 1.0, "episodes": 9, "spl": np.nan, "spl_error": np.nan, "speed": 0.5}
)


def parameters(name, player, steps, **options):
    """[T, B, N, 2] zeta and eta that a rule chooses."""
    game = simulator(name)
    return np.array(
        [
            game.parameters(actions).numpy()
            for *_, actions in rollout(name, player, steps, **options)
        ]
    )


def first_layouts(player, name, **options):
    """Where discs, goals and obstacles are when the games of an evaluation begin."""
    found = []

    def watch(games, seen, actions):
        state = games.state()[0]
        if not state.steps.any():
            found.append(torch.cat((state.position, state.goal, state.obstacle), dim=1).clone())

    played = evaluate(player, name, watch=watch, **options)
    return torch.cat(found), played


@pytest.mark.parametrize("agents", [1, 2, 5])
def test_fixed_and_priority_are_the_parameters_that_they_say(agents):
    name = f"safe_navigation(agents={agents},obstacles=2)"
    fixed = parameters(name, Fixed(0.7, 1.5), 2)
    np.testing.assert_allclose(fixed[..., 0], 0.7, rtol=1e-5)
    np.testing.assert_allclose(fixed[..., 1], 1.5, rtol=1e-5)
    graded = parameters(name, Priority(0.2, 5.0, 0.8), 2)
    np.testing.assert_allclose(
        graded[..., 0], np.broadcast_to(np.geomspace(5.0, 0.2, agents), (2, 3, agents)), rtol=1e-5
    )
    np.testing.assert_allclose(graded[..., 1], 0.8, rtol=1e-5)
    whole = parameters("safe_navigation(agents=3,zeta_least=0.3,zeta_most=7.5)", Priority(), 1)
    np.testing.assert_allclose(whole[0, 0, :, 0], np.geomspace(7.5, 0.3, 3), rtol=1e-5)


@pytest.mark.parametrize("dynamics", ["single_integrator", "double_integrator"])
def test_who_yields_is_who_sees_another_nearer_to_its_goal(dynamics):
    name = altered(CROWD, {"dynamics": dynamics})
    game, low = simulator(name), []
    for state, _, actions in rollout(name, Yielding(0.3, 8.0, 1.3), 8, batch=40):
        chosen = game.parameters(actions).numpy()
        for b in range(len(chosen)):
            position, goal = state.position[b].double().numpy(), state.goal[b].double().numpy()
            left = np.linalg.norm(goal - position, axis=1)
            apart = cdist(position, position)
            np.fill_diagonal(apart, np.inf)
            yields = ((apart < game.communication) & (left[None] < left[:, None])).any(axis=1)
            np.testing.assert_allclose(chosen[b, :, 0], np.where(yields, 0.3, 8.0), rtol=1e-5)
            low.append(yields)
    assert 0.2 < np.mean(low) < 0.8
    np.testing.assert_allclose(chosen[..., 1], 1.3, rtol=1e-5)


def test_heterogeneous_parameters_are_log_uniform_and_kept():
    name = "safe_navigation(agents=8,area=3,zeta_least=0.2,zeta_most=5)"
    found = parameters(name, Heterogeneous(eta=0.9), 3, batch=250)
    np.testing.assert_allclose(found, found[:1].repeat(3, axis=0), rtol=1e-5)
    share = np.log(found[0, ..., 0].ravel() / 0.2) / np.log(5 / 0.2)
    assert stats.kstest(share, "uniform").pvalue > 0.01
    assert len(np.unique(share)) > 1980  # of 2,000: every agent of every game draws its own
    np.testing.assert_allclose(found[..., 1], 0.9, rtol=1e-5)
    within = parameters(name, Heterogeneous(0.5, 1.0), 1, batch=50)[..., 0]
    assert within.min() >= 0.5 - 1e-5
    assert within.max() <= 1 + 1e-5
    assert within.max() / within.min() > 1.8


def test_a_new_game_draws_anew_and_leaves_the_others_alone():
    actor = Heterogeneous().for_game(SHORT, simulator(SHORT).spec)
    seen = simulator(SHORT).observe(simulator(SHORT).reset(3, generator()))
    actor.start(3)
    first = actor.act(seen, generator(1))
    actor.forget(torch.tensor([False, True, False]))  # as `evaluate` does where a game is over
    after = actor.act(seen, generator(2))
    torch.testing.assert_close(after[[0, 2]], first[[0, 2]], rtol=0, atol=1e-6)
    assert ((after - first)[1, :, 0].abs() > 1e-3).all()


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_evaluations_repeat_to_the_last_bit(rule):
    once, again, greedy = (
        evaluate(rule, SHORT, episodes=5, seed=3, greedy=greedy) for greedy in (False, False, True)
    )
    other = evaluate(rule, SHORT, episodes=5, seed=4)
    for name, value in once.info.items():
        assert np.array_equal(value, again.info[name])
        assert np.array_equal(value, greedy.info[name])  # what a rule draws is drawn
    assert not np.array_equal(once.info["speed"], other.info["speed"])


def test_the_same_seed_means_the_same_games_for_everybody(monkeypatch):
    monkeypatch.setattr(evaluation, "AT_ONCE", 4)  # three batches
    options, short = dict(episodes=10, seed=5), altered(SHORT, {"max_steps": 10})
    layouts, _ = first_layouts(Fixed(1.0), short, **options)
    assert len(layouts) == 10
    assert len(layouts[:, 0].unique(dim=0)) == 10  # every game has another
    players = [*RULES, Uniform(simulator(short).spec), lively(short, "convolution")]
    variants = [altered(short, {"central": True}), altered(short, {"hold": 10})]
    for player, name in [(p, short) for p in players] + [(Fixed(1.0), v) for v in variants]:
        assert torch.equal(first_layouts(player, name, **options)[0], layouts)
    assert not torch.equal(first_layouts(Fixed(1.0), short, episodes=10, seed=6)[0], layouts)


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_rules_make_tensors_where_their_games_are(rule):
    """What is made without a device would be on another here, and fit nothing."""
    seen = simulator(CROWD).observe(simulator(CROWD).reset(2, generator()))
    actor = rule.for_game(CROWD, simulator(CROWD).spec)
    actor.start(2)
    here, kept = actor.act(seen, generator(1)), actor.memory
    actor.start(2)
    other = generator(1)
    with torch.device("meta"):
        there = actor.act(seen, other)
    assert torch.equal(there, here)
    assert torch.equal(actor.memory, kept)


@pytest.mark.parametrize("rule", [Fixed(0.7), Priority()], ids=str)
def test_memories_follow_to_the_device_of_what_is_seen(rule):
    """The device without data stands for any; other rules look at data."""
    seen = simulator(CROWD).observe(simulator(CROWD).reset(2, generator())).to("meta")
    actor = rule.for_game(CROWD, simulator(CROWD).spec)
    actor.start(2)
    actions = actor.act(seen, generator())
    assert actions.device.type == actor.memory.device.type == "meta"


def test_ranges_may_be_a_point_and_numbers_numpys():
    assert parameters(SHORT, Yielding(0.5, 0.5), 1)[..., 0] == pytest.approx(0.5)
    frame = sweep(SHORT, np.arange(1, 3), np.ones(1, np.float32), episodes=np.int64(2))
    assert best_fixed(frame, "speed").zeta in (1.0, 2.0)


def test_a_sweep_is_an_evaluation_of_each_parameter():
    zetas, etas = (0.5, 4.0), (1.0, 2.0)
    frame = sweep(SHORT, zetas, etas, episodes=6, seed=2)
    assert frame[["zeta", "eta"]].to_numpy().tolist() == [[0.5, 1], [4, 1], [0.5, 2], [4, 2]]
    for row in frame.to_dict("records"):
        played = evaluate(Fixed(row["zeta"], row["eta"]), SHORT, episodes=6, seed=2)
        for name in ("speed", "spl", "closest"):
            each = played.info[name]
            low, high = stats.t.interval(0.95, 5, each.mean(), stats.sem(each) + 1e-300)
            found = [row[name], row[f"{name}_error"], row[f"{name}_low"], row[f"{name}_high"]]
            expected = [each.mean(), stats.sem(each), low, high]
            np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)
    assert frame.speed.nunique() == 4
    best = frame.sort_values("speed").iloc[-1]
    assert best_fixed(frame, "speed") == Fixed(best.zeta, best.eta)


def test_the_best_row_is_the_one_with_least_of_what_is_bad():
    frame = pd.DataFrame(
        {"zeta": [1, 2, 3], "eta": 1.0, "spl": [0.2, 0.6, 0.6], "deadlocked": [0.5, 0.4, 0.1]}
    )
    assert best_fixed(frame) == Fixed(2.0)  # the first of two
    assert best_fixed(frame, by="deadlocked") == Fixed(3.0)


def test_parameters_that_are_chosen_once_a_game_hold_until_its_end():
    once = altered(SHORT, {"hold": 40})
    policy = lively(SHORT, "convolution")
    often, seldom = (
        evaluate(policy, name, episodes=3, seed=1, greedy=True) for name in (SHORT, once)
    )
    assert often.steps.tolist() == [8.0] * 3
    assert seldom.steps.tolist() == [1.0] * 3
    assert np.abs(often.info["speed"] - seldom.info["speed"]).max() > 1e-4


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        (SHORT, Fixed(0.8)),
        (SHORT, Heterogeneous()),
        (altered(CROWD, dict(dynamics="double_integrator", max_steps=300)), Priority()),
    ],
    ids=str,
)
def test_parameters_that_never_change_may_be_chosen_once(name, rule):
    once = altered(name, {"hold": simulator(name).max_steps})
    often, seldom = (evaluate(rule, game, episodes=4, seed=1) for game in (name, once))
    for metric, value in often.info.items():
        np.testing.assert_allclose(seldom.info[metric], value, rtol=0, atol=1e-7, err_msg=metric)


@pytest.mark.parametrize("hold", [1, 5, 100])
def test_steps_after_the_end_do_not_count(hold):
    """Or shares of all steps would hang on how long an action holds.

    1 m at .025 m a step, until 2 / s times the distance asks for less than .5 m/s: 30 steps; from
    there .9 of the distance is left after each step, and .25 * .9^9 is the first below .1.
    """
    game = SafeNavigation(agents=1, hold=hold, max_steps=100)
    point = torch.tensor([[[0.0, 0.0]]])
    state = game.start(point, point + torch.tensor([0.6, 0.8]), point[:, :0])
    for _ in range(100 // hold):
        state, step = game.step(state, torch.zeros(1, 1, 2), generator())
    assert step.terminated.all()
    assert state.steps.tolist() == [39]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: Fixed("1"), "Fixed: zeta is '1'; give a number above 0"),
        (lambda: Fixed(True), "Fixed: zeta is True; give a number above 0"),
        (lambda: Fixed(None), "Fixed: zeta is None; give a number above 0"),
        (lambda: Fixed(1, None), "Fixed: eta is None; give a number above 0"),
        (lambda: Fixed(0), "Fixed: zeta is 0; give a number above 0"),
        (lambda: Fixed(float("nan")), "Fixed: zeta is nan; give a number above 0"),
        (lambda: Fixed(float("inf")), "Fixed: zeta is inf; give a number above 0"),
        (lambda: Fixed(np.eye(2)), "Fixed: zeta is array"),
        (lambda: Priority(low="1"), "Priority: low is '1'; give a number above 0"),
        (lambda: Heterogeneous(eta=None), "Heterogeneous: eta is None; give a number above 0"),
        (lambda: Yielding(8, 0.3), "Yielding: low is 8 and high 0.3; give the lower one first"),
        (lambda: Priority(8, 0.3), "Priority: low is 8 and high 0.3; give the lower one first"),
        (lambda: Heterogeneous(8, 0.3), "Heterogeneous: low is 8 and high 0.3; give the lower"),
        (lambda: evaluate(Fixed(1.0), episodes=1), "give the game to play"),
        (lambda: evaluate(Fixed(1.0), "navigation(agents=2)", episodes=1), "safe_navigation"),
        (lambda: evaluate(Fixed(1.0), "kuhn_poker", episodes=1), "safe_navigation"),
        (lambda: evaluate(Fixed(20.0), SHORT, episodes=1), "zeta = 20.0; give one of 0.1 to 10"),
        (lambda: evaluate(Fixed(1.0, 0.1), SHORT, episodes=1), "eta = 0.1; give one of 0.5 to 2"),
        (lambda: evaluate(Priority(low=0.01), SHORT, episodes=1), "low = 0.01"),
        (lambda: sweep(SHORT, ()), "at least one zeta"),
        (lambda: sweep(SHORT, "1"), "zetas are '1'; give a list of numbers"),
        (lambda: sweep(SHORT, 1.0), "zetas are 1.0; give a list of numbers"),
        (lambda: sweep(SHORT, [1.0], 2.0), "etas are 2.0; give a list of numbers"),
        (lambda: sweep(SHORT, ["1"]), "Fixed: zeta is '1'"),
        (lambda: sweep(SHORT, [1.0], episodes=1), "episodes is 1; give a whole number, at least 2"),
        (lambda: sweep(SHORT, [1.0], episodes=2.5), "episodes is 2.5; give a whole number"),
        (lambda: best_fixed(SWEPT, "spll"), "no metric 'spll': did you mean spl"),
        (lambda: best_fixed(SWEPT, "zeta"), "no metric 'zeta': known: speed, spl"),
        (lambda: best_fixed(SWEPT, "episodes"), "no metric 'episodes': known: speed, spl"),
        (lambda: best_fixed(SWEPT, "spl_error"), "no metric 'spl_error': known: speed, spl"),
        (lambda: best_fixed(SWEPT, None), "no metric None: known: speed, spl"),
        (lambda: best_fixed(SWEPT, "spl"), "without any spl has no best row"),
    ],
)
def test_bad_input_says_what_to_do(wrong, message):
    with pytest.raises(InputError, match=message) as raised:
        wrong()
    assert "\n" not in str(raised.value)
