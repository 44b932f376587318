"""Rules that tune barriers, tables of what they are worth, and what each agent has to know.

Rules are computed anew in NumPy from positions and goals; statistics are SciPy's.
"""

from dataclasses import fields, replace

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats
from scipy.spatial.distance import cdist

from games import InputError
from games.safe_navigation import SafeNavigation
from games.vectors import altered, simulator
from marl import evaluation
from marl.comparison import compare, interval, relative, table
from marl.evaluation import Played, Uniform, evaluate
from marl.neighbourhood import alone, hops, neighbourhood
from marl.network import Network
from marl.online_cbf import Fixed, Heterogeneous, Priority, Yielding, best_fixed, sweep
from marl.policy import Policy

SHORT = "safe_navigation(agents=4,layout=swap,obstacles=3,max_steps=40)"
CROWD = "safe_navigation(agents=7,layout=random,obstacles=5,area=1.8,max_steps=100)"
RULES = [Fixed(0.7, 1.5), Heterogeneous(), Yielding(0.3, 8.0, 1.3), Priority(0.2, 5.0)]


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def rollout(name, player, steps, batch=3, seed=0):
    """States, what is seen of them, the actions, and the memory before them."""
    game, own = simulator(name), generator(seed)
    actor = player.for_game(name, game.spec)
    state, memory = game.reset(batch, own), actor.start(batch)
    for _ in range(steps):
        seen = game.observe(state)
        before = memory
        actions, memory = actor.act(seen, memory, own)
        yield state, seen, actions, before
        state, _ = game.step(state, actions, own)


def parameters(name, player, steps, **options):
    """[T, B, N, 2] zeta and eta that a rule chooses."""
    game = simulator(name)
    return np.array(
        [
            game.parameters(actions).numpy()
            for *_, actions, _ in rollout(name, player, steps, **options)
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


def lively(name, encoder, hidden=(16, 16), seed=0, **options):
    """An untrained policy whose actions hang on what it sees: its last layer begins near 0."""
    config = Network(encoder=encoder, hidden=hidden, **options)
    policy = Policy.new(name, simulator(name).spec, config, seed=seed)
    for network in policy.networks.values():
        with torch.no_grad():
            network.head.weight.mul_(60)
    return policy


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
    for state, _, actions, _ in rollout(name, Yielding(0.3, 8.0, 1.3), 8, batch=40):
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
    first, memory = actor.act(seen, actor.start(3), generator(1))
    memory[1] = 0.0  # as `evaluate` does where a game is over
    after, _ = actor.act(seen, memory, generator(2))
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


def played(seed, games=40, agents=3, shift=0.0):
    """Games made up, of which those of the same seed are alike but for a shift and some noise."""
    base, own = np.random.default_rng(7), np.random.default_rng(seed)
    info = {
        "spl": base.uniform(0.2, 0.9, games) + shift + own.normal(0, 0.05, games),
        "collisions": np.zeros(games),
        "all_arrived": (own.uniform(size=games) < 0.3).astype(float),
    }
    return Played(np.zeros((games, agents)), np.ones(games), np.full(games, -1), info)


def test_tables_against_scipy():
    mine, theirs = played(1, shift=0.2), played(2)
    frame = table({"mine": mine, "theirs": theirs}, to="theirs").set_index(["player", "metric"])
    assert (frame.agents == 3).all()
    assert (frame.games == 40).all()
    row, each, other = frame.loc[("mine", "spl")], mine.info["spl"], theirs.info["spl"]
    expected = stats.ttest_1samp(each, 0).confidence_interval(0.95)
    np.testing.assert_allclose(
        [row["mean"], row.low, row.high], [each.mean(), *expected], rtol=1e-12
    )
    np.testing.assert_allclose(row.standard_error, stats.sem(each), rtol=1e-12)
    assert [row.least, row.most] == [each.min(), each.max()]
    paired = stats.ttest_rel(each, other).confidence_interval(0.95)
    found = [row.difference, row.difference_low, row.difference_high]
    np.testing.assert_allclose(found, [(each - other).mean(), *paired], rtol=1e-12)
    assert row.difference_high - row.difference_low < (row.high - row.low) / 3  # pairs help
    assert frame.loc[("theirs", "spl"), ["difference_low", "difference_high"]].tolist() == [0, 0]
    assert np.isnan(frame.loc[("mine", "collisions"), "relative"])
    assert "difference" not in table({"mine": mine})


def test_relative_differences_against_the_bootstrap():
    def ratio(a, b, axis=-1):
        return a.mean(axis=axis) / b.mean(axis=axis) - 1

    mine, theirs = played(1, games=400, shift=0.2).info["spl"], played(2, games=400).info["spl"]
    drawn = stats.bootstrap(
        (mine, theirs), ratio, paired=True, vectorized=True, n_resamples=4000,
        method="percentile", rng=np.random.default_rng(0),
    ).confidence_interval  # fmt: skip
    found = relative(mine, theirs)
    assert found[0] == pytest.approx(mine.mean() / theirs.mean() - 1, rel=1e-12)
    np.testing.assert_allclose(found[1:], drawn, atol=0.1 * (drawn.high - drawn.low))


@pytest.mark.parametrize(("yes", "games"), [(0, 200), (13, 50), (64, 64)])
def test_shares_of_games_have_exact_intervals(yes, games):
    each = (np.arange(games) < yes).astype(float)
    low = stats.beta.ppf(0.025, yes, games - yes + 1) if yes else 0.0
    high = stats.beta.ppf(0.975, yes + 1, games - yes) if yes < games else 1.0
    np.testing.assert_allclose(interval("all_arrived", each), (low, high), atol=1e-9)


def test_compare_plays_the_same_games():
    players = {"policy": lively(SHORT, "attention"), "fixed": Fixed(1.0), "drawn": Heterogeneous()}
    frame = compare(SHORT, players, episodes=5, seed=1, greedy=True, to="fixed")
    alone = {
        name: evaluate(player, SHORT, episodes=5, seed=1, greedy=True)
        for name, player in players.items()
    }
    pd.testing.assert_frame_equal(frame, table(alone, "fixed"))
    assert set(frame.player) == set(players)
    assert {"success", "all_arrived", "spl", "speed", "collisions", "closest"} <= set(frame.metric)
    assert {"deadlocked", "eased", "infeasible"} <= set(frame.metric)
    collisions = frame[frame.metric == "collisions"]
    assert (collisions["most"] == 0).all()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: evaluate(Fixed(1.0), episodes=1), "say which one to play"),
        (lambda: evaluate(Fixed(1.0), "navigation(agents=2)", episodes=1), "safe_navigation"),
        (lambda: evaluate(Fixed(1.0), "kuhn_poker", episodes=1), "safe_navigation"),
        (lambda: evaluate(Fixed(20.0), SHORT, episodes=1), "zeta = 20.0; give one of 0.1 to 10"),
        (lambda: evaluate(Fixed(float("nan")), SHORT, episodes=1), "zeta = nan"),
        (lambda: evaluate(Fixed(1.0, 0.1), SHORT, episodes=1), "eta = 0.1; give one of 0.5 to 2"),
        (lambda: evaluate(Priority(low=0.01), SHORT, episodes=1), "low = 0.01"),
        (lambda: sweep(SHORT, ()), "at least one zeta"),
        (lambda: best_fixed(pd.DataFrame({"zeta": [1], "spl": [1]}), "spll"), "spl"),
        (lambda: best_fixed(pd.DataFrame({"zeta": [1], "spl": [np.nan]})), "no best row"),
        (lambda: compare(SHORT, {}), "at least one player"),
        (lambda: compare(SHORT, {"fixed": Fixed(1.0)}, to="fixd"), "fixed"),
        (lambda: compare(SHORT, {"fixed": Fixed(1.0)}, episodes=1), "2 games or more"),
        (lambda: table({"a": played(1), "b": played(1, games=9)}), "the same"),
    ],
)
def test_bad_input_says_what_to_do(wrong, message):
    with pytest.raises(InputError, match=message) as raised:
        wrong()
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("encoder", "options"),
    [
        ("convolution", {}),
        ("attention", {}),
        ("attention", {"hidden": (16, 16, 16)}),
        ("convolution", {"memory": 8}),
        ("convolution", {"critic": "central"}),
        ("mlp", {}),
    ],
    ids=str,
)
def test_agents_on_their_own_do_as_all_together(encoder, options):
    """Each agent sees its neighbourhood, and remembers by itself, over a whole rollout."""
    policy = lively(CROWD, encoder, **options)
    far, agents = hops(policy), policy.spec.num_agents
    assert far == (0 if encoder == "mlp" else len(options.get("hidden", (16, 16))))
    own = [alone(policy, agent) for agent in range(agents)]
    memory = {(b, i): own[i].start(1) for b in range(2) for i in range(agents)}
    heard, said, nearer = [], [], 0.0
    for _, seen, actions, _ in rollout(CROWD, Greedy(policy), 20, batch=2):
        for b in range(2):
            for i in range(agents):
                near = neighbourhood(seen, i, far, b)
                found, memory[b, i] = own[i].act(near, memory[b, i], None)
                torch.testing.assert_close(found[0, 0], actions[b, i], rtol=0, atol=1e-6)
                heard.append(near.nodes.shape[1] / seen.nodes.shape[1])
                said.append(actions[b, i].numpy())
                if far and not policy.memory_width:
                    less, _ = own[i].act(neighbourhood(seen, i, far - 1, b), own[i].start(1), None)
                    nearer = max(nearer, float((less - found).abs().max()))
    assert np.std(said, axis=0).min() > 0.03  # actions hang on what is seen
    assert np.mean(heard) < 0.8
    assert not far or policy.memory_width or nearer > 1e-3  # and the last hop counts


def test_neighbourhoods_are_breadth_first_searches():
    """Against SciPy's distances along edges, turned round."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import shortest_path

    game = simulator(CROWD)
    seen = game.observe(game.reset(3, generator(2)))
    nodes, sizes = seen.nodes.shape[1], set()
    for b in range(3):
        inside = seen.edges[0] // nodes == b
        source, target = (seen.edges[:, inside] - b * nodes).numpy()
        graph = coo_array((np.ones(len(source)), (target, source)), shape=(nodes, nodes)).tocsr()
        away = shortest_path(graph, unweighted=True)
        for agent in range(game.agents):
            for far in range(4):
                found = neighbourhood(seen, agent, far, b)
                known = np.flatnonzero(away[agent] <= far)
                order = [agent, *known[known != agent]]
                assert torch.equal(found.nodes[0], seen.nodes[b, order])
                kept = away[agent][target] <= far - 1
                place = {node: k for k, node in enumerate(order)}
                expected = [[place[n] for n in ends[kept]] for ends in (source, target)]
                assert found.edges.tolist() == expected
                assert torch.equal(found.edge_features, seen.edge_features[inside][kept])
                sizes.add(len(order))
    assert len(sizes) > 3


@pytest.mark.parametrize("dynamics", ["single_integrator", "double_integrator"])
def test_an_agent_controls_itself_by_what_is_in_sight(dynamics):
    """Without all that it does not see, the barriers and the QP give the same control."""
    name = altered(CROWD, {"dynamics": dynamics})
    game, left_out = simulator(name), 0
    for state, *_ in rollout(name, Heterogeneous(), 12, batch=2):
        control, _, _ = game.control(state)
        near = state.clearance.transpose(1, 2) < game.communication - 2 * game.radius
        for b in range(2):
            for i in range(game.agents):
                discs = near[b, i, : game.agents].clone()
                discs[i] = True
                stones = near[b, i, game.agents :]
                left_out += int((~near[b, i]).sum()) - 1
                small = replace(game, agents=int(discs.sum()), obstacles=int(stones.sum()))
                found, _, _ = small.control(only(small, state, b, discs, stones))
                mine = int(discs[:i].sum())
                torch.testing.assert_close(found[0, mine], control[b, i], rtol=0, atol=1e-6)
    assert left_out > 500


def only(game, state, b, discs, stones):
    """The state of one game with these discs and obstacles alone."""
    one = {
        f.name: getattr(state, f.name)[b : b + 1, discs]
        for f in fields(state)
        if getattr(state, f.name).shape[1:2] == discs.shape and f.name != "clearance"
    }
    begun = game.start(one["position"], one["goal"], state.obstacle[b : b + 1, stones])
    return replace(begun, **one)


@pytest.mark.parametrize("encoder", ["convolution", "attention"])
def test_renumbered_agents_and_obstacles_do_the_same(encoder):
    game, policy = simulator(CROWD), lively(CROWD, encoder)
    own = np.random.default_rng(0)
    said = []
    for state, seen, actions, _ in rollout(CROWD, Greedy(policy), 20, batch=2):
        agents = torch.from_numpy(own.permutation(game.agents))
        stones = torch.from_numpy(own.permutation(state.obstacle.shape[1]))
        other = renumbered(game, state, agents, stones)
        there = game.observe(other)
        order = torch.cat((agents, game.agents + stones))
        torch.testing.assert_close(there.nodes, seen.nodes[:, order], rtol=0, atol=0)
        found, _ = policy.act(there, policy.start(2), None)
        torch.testing.assert_close(found, actions[:, agents], rtol=0, atol=1e-6)
        before, after = game.step(state, actions, generator()), game.step(other, found, generator())
        for name in ("position", "velocity", "parameters", "travelled"):
            there, here = getattr(after[0], name), getattr(before[0], name)[:, agents]
            torch.testing.assert_close(there, here, rtol=0, atol=1e-5)
        said.append(actions)
    assert torch.cat(said).std(dim=(0, 1)).min() > 0.03


def renumbered(game, state, agents, stones):
    found = {}
    for f in fields(state):
        value = getattr(state, f.name)
        found[f.name] = value[:, agents] if value.shape[1:2] == (game.agents,) else value
    order = torch.cat((agents, game.agents + stones))
    clearance = state.clearance[:, order][:, :, agents]
    return replace(state, **found | dict(clearance=clearance, obstacle=state.obstacle[:, stones]))


def test_central_agents_see_everybody_and_mind_who_is_near():
    everybody = altered(CROWD, {"central": True})
    game = simulator(everybody)
    n, v = game.agents, game.spec.num_nodes
    seen = game.observe(game.reset(2, generator()))
    pairs = {(b * v + j, b * v + i) for b in range(2) for i in range(n) for j in range(v) if i != j}
    assert set(map(tuple, seen.edges.T.tolist())) == pairs
    assert seen.edges.shape[1] == len(pairs)
    assert len(simulator(CROWD).observe(simulator(CROWD).reset(2, generator())).edges.T) < len(
        pairs
    )
    # Parameters that do not hang on what is seen lead to the same games.
    here, there = (evaluate(Priority(), name, episodes=3, seed=1) for name in (CROWD, everybody))
    for name, value in here.info.items():
        assert np.array_equal(value, there.info[name])
    policy = lively(everybody, "attention")  # who learned the one plays the other
    assert len(evaluate(policy, CROWD, episodes=2).steps) == 2


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


class Greedy:
    """A policy that plays its likeliest actions, as a player."""

    def __init__(self, policy):
        self.policy, self.start = policy, policy.start

    def for_game(self, game, spec):
        return Greedy(self.policy.for_game(game, spec))

    def act(self, seen, memory, generator):
        return self.policy.act(seen, memory, None)
