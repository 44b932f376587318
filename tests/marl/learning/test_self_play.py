"""Networks as strategies, exact figures as training goes, averages, and opponents from the past."""

import math
import tomllib
from importlib.resources import files

import numpy as np
import pytest
import torch
from open_spiel.python import policy as openspiel_policy
from open_spiel.python.algorithms import exploitability as openspiel_exploitability
from open_spiel.python.algorithms.expected_game_score import policy_value
from open_spiel.python.algorithms.policy_aggregator import PolicyAggregator

import games
from games import GameError, InputError, Strategy, UnenumerableGameError
from games.adapters.openspiel import OpenSpielVector, features
from games.common.workers import running_ray
from games.simulators.simulator import Observation, no_edges
from marl.evaluation.episodes import evaluate
from marl.evaluation.exact import (
    Average,
    Exact,
    ExactLog,
    InformationSets,
    average,
    nash_conv,
    strategy,
)
from marl.learning.on_policy.ppo import PPO
from marl.learning.plan import Plan, SelfPlay
from marl.learning.trainer import train
from marl.networks.network import Network
from marl.networks.packing import pack
from marl.networks.policy import Policy
from marl.rollouts.rollout import Rollout
from tests.conftest import KUHN, LD4, LEDUC, form
from tests.helpers.learned import Learned

torch.set_num_threads(1)
SMALL = Network(hidden=(16,))


@pytest.fixture(scope="module")
def ray():
    """Started once for all tests: what finds it running uses it."""
    with running_ray(1) as started:
        yield started


def opinionated(game, share="role", seed=0, **options):
    """An untrained policy that is far from uniform play."""
    config = Network(**dict(hidden=(16,)) | options)
    policy = Policy.new(game, OpenSpielVector(game, 1).spec, config, share, seed)
    for network in policy.networks.values():
        network.head.weight.data.mul_(100)
    return policy


class OneByOne(openspiel_policy.Policy):
    """A policy of ours to OpenSpiel's tools: one network, asked about one state at a time."""

    def __init__(self, game, policy):
        super().__init__(game, list(range(game.num_players())))
        self.ours, self.known = policy, {}

    def action_probabilities(self, state, player_id=None):
        player = state.current_player()
        key = player, state.information_state_string(player)
        if key not in self.known:
            agents, choices = self.game.num_players(), self.game.num_distinct_actions()
            acting = torch.arange(agents)[None] == player
            mask = torch.zeros(1, agents, choices, dtype=torch.bool)
            mask[..., state.legal_actions()] = True
            nodes = torch.from_numpy(np.stack([features(state, player)] * agents)[None])
            network = self.ours.networks[self.ours.of_agent[player]]
            seen = Observation(nodes, *no_edges(nodes), acting, mask)
            with torch.no_grad():
                found = network(pack(seen, acting, network)).parameters.softmax(dim=1)[0]
            self.known[key] = {a: float(found[a]) for a in state.legal_actions()}
        return self.known[key]


POLICIES = [
    (KUHN, dict()),
    (KUHN, dict(share="agent")),
    ("kuhn_poker(players=3)", dict(share="agent", seed=1)),
    ("kuhn_poker(players=3)", dict(encoder="attention", heads=2)),
    (LEDUC, dict(share="agent")),
    (LEDUC, dict(critic="central", share="role")),
    ("leduc_poker(suit_isomorphism=True)", dict(encoder="convolution")),
    (LD4, dict()),
    ("matrix_pd", dict(share="agent")),
    ("goofspiel(num_cards=3,imp_info=True,points_order=random)", dict(share="agent")),
]


@pytest.mark.parametrize(("name", "options"), POLICIES)
def test_nash_conv_is_openspiels(name, options):
    policy, game = opinionated(name, **options), games.load(name)
    expected = openspiel_exploitability.nash_conv(
        game.openspiel, OneByOne(game.openspiel, policy), use_cpp_br=False
    )
    # A matrix product rounds otherwise for one row than for all: float32.
    assert InformationSets(name).nash_conv(policy) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(("name", "options"), POLICIES)
def test_strategy_is_what_the_network_says_state_by_state(name, options):
    policy, game = opinionated(name, **options), games.load(name)
    found, oracle = strategy(policy, game), OneByOne(game.openspiel, policy)
    rng = np.random.default_rng(0)
    furthest = 0.0
    for _ in range(200):
        state = game.root()
        while not state.is_terminal():
            if not state.is_chance_node():
                own = found.action_probabilities(
                    state.information_state_string(), state.current_player()
                )
                assert own == pytest.approx(oracle.action_probabilities(state), abs=1e-5)
                furthest = max(furthest, *(abs(p - 1 / len(own)) for p in own.values()))
            state.apply_action(int(rng.choice(state.legal_actions())))
    assert furthest > 0.05  # the networks say something


@pytest.mark.parametrize("name", [KUHN, "kuhn_poker(players=3)", LEDUC])
def test_what_is_played_is_worth_what_the_strategy_says(name):
    policy, game = opinionated(name, share="agent", seed=3), games.load(name)
    played = evaluate(policy, episodes=3000, seed=4).returns
    table = strategy(policy).to_openspiel(game.openspiel)
    values = policy_value(game.root(), [table] * game.num_players)
    error = played.std(axis=0, ddof=1) / math.sqrt(len(played))
    assert (np.abs(played.mean(axis=0) - values) < 4 * error).all()


def test_untrained_networks_play_almost_uniformly():
    sets = InformationSets(LEDUC)
    policy = Policy.new(LEDUC, sets.spec, SMALL)
    uniform = nash_conv(sets.form, Strategy.uniform(sets.form).behaviour(sets.form))
    assert uniform == pytest.approx(4.747222, abs=1e-6)  # OpenSpiel's, of uniform play
    assert sets.nash_conv(policy) == pytest.approx(uniform, abs=0.1)


REFUSED = [
    (lambda: strategy(opinionated(KUHN, memory=4)), InputError, "network.memory = 0"),
    (lambda: strategy(opinionated(KUHN), LEDUC), InputError, "has other observations or actions"),
    (
        lambda: strategy(opinionated(KUHN, share="agent"), LEDUC),
        InputError,
        "plays only that game",
    ),
    (lambda: InformationSets("chess"), UnenumerableGameError, "histories"),
    (lambda: InformationSets(LEDUC, node_budget=1000), UnenumerableGameError, "1,000 histories"),
    (
        lambda: InformationSets("navigation(agents=2)"),
        GameError,
        "evaluated exactly only in trees and tables",
    ),
    (lambda: ExactLog(Plan(game=KUHN, network=Network(memory=4))), InputError, "memory = 0"),
    (lambda: Average(form(KUHN)).strategy(), InputError, "no strategies"),
    (
        lambda: Average(form(KUHN)).add(np.ones(form(KUHN).arrays.num_sequences), -1.0),
        InputError,
        "at least 0",
    ),
    (
        lambda: Average(form(KUHN)).restore(Average(form(LEDUC)).state()),
        InputError,
        "another game",
    ),
]


@pytest.mark.parametrize(("act", "error", "says"), REFUSED)
def test_what_cannot_be_is_refused(act, error, says):
    with pytest.raises(error, match=says) as caught:
        act()
    assert "\n" not in str(caught.value)


def some_strategies(name, count):
    """Behaviours [S] of which some leave out actions, so that their supports differ."""
    found, rng = [], np.random.default_rng(5)
    for k in range(count):
        behaviour = Strategy.random(form(name), rng).behaviour(form(name))
        if k % 2:  # a pure one: of each information set's actions the likeliest
            start = 0
            for player in form(name).players:
                for j, n in zip(player.first_sequence, player.num_actions, strict=True):
                    at = slice(start + j, start + j + n)
                    behaviour[at] = np.arange(n) == behaviour[at].argmax()
                start += player.num_sequences
        found.append(behaviour)
    return found


WEIGHTS = [0.5, 2.0, 1.0, 0.0, 3.5]


@pytest.mark.parametrize("name", [KUHN, "kuhn_poker(players=3)", LEDUC])
def test_an_average_is_worth_what_a_draw_at_the_start_is(name):
    game, parts = games.load(name), some_strategies(name, len(WEIGHTS))
    mixed = average(form(name), parts, WEIGHTS).to_openspiel(game.openspiel)
    tables = [Strategy.from_behaviour(form(name), b).to_openspiel(game.openspiel) for b in parts]
    rival = Strategy.random(form(name), np.random.default_rng(6)).to_openspiel(game.openspiel)
    for player in range(game.num_players):

        def value(own, player=player):
            seats = [own if i == player else rival for i in range(game.num_players)]
            return policy_value(game.root(), seats)

        drawn = np.average([value(table) for table in tables], axis=0, weights=WEIGHTS)
        np.testing.assert_allclose(value(mixed), drawn, atol=1e-9)


@pytest.mark.parametrize("name", [KUHN, LEDUC])
def test_average_is_openspiels(name):
    game, parts = games.load(name), some_strategies(name, len(WEIGHTS))[::2]
    tables = [Strategy.from_behaviour(form(name), b).to_openspiel(game.openspiel) for b in parts]
    weights = [WEIGHTS[::2]] * 2
    oracle = PolicyAggregator(game.openspiel).aggregate([0, 1], [tables, tables], weights)
    table = average(form(name), parts, WEIGHTS[::2]).to_openspiel(game.openspiel)
    for state in table.states:
        expected = oracle.action_probabilities(state)
        own = table.action_probabilities(state)
        assert own == pytest.approx({a: expected[a] for a in own}, abs=1e-9)


def test_weights_of_an_average_count_in_proportion():
    parts = some_strategies(KUHN, 3)
    once = average(form(KUHN), [*parts, parts[2], parts[2]])
    thrice = average(form(KUHN), parts, [2.0, 2.0, 6.0])
    np.testing.assert_allclose(once.probabilities, thrice.probabilities, atol=1e-12)


def test_average_goes_on_where_it_was_saved():
    parts = some_strategies(LEDUC, 4)
    whole, first, second = Average(form(LEDUC)), Average(form(LEDUC)), Average(form(LEDUC))
    for behaviour in parts:
        whole.add(behaviour)
    first.add(parts[0])
    first.add(parts[1])
    saved = first.state()
    first.add(parts[3])  # what was saved stays as it was
    second.restore(saved)
    second.add(parts[2])
    second.add(parts[3])
    assert np.array_equal(whole.behaviour(), second.behaviour())


def test_exact_figures_of_known_policies():
    """The n-th look counts n times; figures are those of the strategies, looked at apart."""
    policies = [opinionated(LEDUC, seed=k) for k in range(3)]
    log = ExactLog(Plan(game=LEDUC, network=SMALL), Exact(average=True))
    rows = [log.look(policy) for policy in policies[:2]]
    resumed = ExactLog(Plan(game=LEDUC, network=SMALL), Exact(average=True))
    resumed.restore(log.state())
    rows.append(resumed.look(policies[2]))
    assert rows[2] == log.look(policies[2])
    parts = [log.sets.behaviour(policy) for policy in policies]
    for k, row in enumerate(rows):
        own = nash_conv(form(LEDUC), parts[k])
        mixed = average(form(LEDUC), parts[: k + 1], [1.0, 2.0, 3.0][: k + 1])
        gap = nash_conv(form(LEDUC), mixed.behaviour(form(LEDUC)))
        assert row["nash_conv"] == pytest.approx(own, abs=1e-12)
        assert row["exploitability"] == pytest.approx(own / 2, abs=1e-12)
        assert row["nash_conv_average"] == pytest.approx(gap, abs=1e-12)


class Listening:
    """A vector that keeps what was played."""

    def __init__(self, inner):
        self.inner, self.actions, self.acting = inner, [], []
        self.spec, self.num_envs = inner.spec, inner.num_envs

    def reset(self, seed):
        self.seen = self.inner.reset(seed)
        return self.seen

    def step(self, actions):
        self.actions.append(actions)
        self.acting.append(self.seen.acting)
        step, self.seen, final = self.inner.step(actions)
        return step, self.seen, final


def always(action, policy):
    """The policy's network, made to choose one action."""
    (network,) = policy.networks.values()
    network.head.weight.data.zero_()
    network.head.bias.data[:] = -100.0
    network.head.bias.data[action] = 100.0
    return network


@pytest.mark.parametrize("players", [2, 3])
def test_past_selves_play_all_seats_but_one(players):
    name = f"kuhn_poker(players={players})"
    method = PPO(discount=1.0, gae_lambda=1.0)
    present, past = always(1, opinionated(name)), always(0, opinionated(name))
    vector = Listening(OpenSpielVector(name, 400))
    rollout = Rollout(vector, [present, past], [0] * players, 1, seed=0, past=0.3,
                      extras=method.extras)  # fmt: skip
    assigned = []
    fragments = []
    for _ in range(12):
        assigned.append(rollout.assignment.clone())
        fragments.append(Learned(rollout.sample(1), method))
    assigned, acting = torch.stack(assigned), torch.stack(vector.acting)
    chosen = torch.stack(vector.actions)[..., 0]
    learns = assigned == 0
    assert (chosen[acting] == learns[acting].long()).all()  # everybody plays as he should
    policy = torch.cat([fragment.policy for fragment in fragments])
    assert (policy[acting & ~learns] == -1).all()  # nobody learns from a past self's decisions
    assert (policy[acting & learns] == 0).any()  # nor from those of which nothing is known yet
    assert (policy[~acting] == -1).all()
    mixed = ~learns.all(dim=2)
    assert (learns[mixed].sum(dim=1) == 1).all()
    # Of the first games: 3 in 10 within 4 standard errors, and every seat as often as any other.
    share = mixed[0].float().mean().item()
    assert abs(share - 0.3) < 4 * math.sqrt(0.3 * 0.7 / 400)
    seats = learns[0][mixed[0]].float().mean(dim=0)
    error = math.sqrt(1 / players * (1 - 1 / players) / int(mixed[0].sum()))
    assert (seats - 1 / players).abs().max() < 4 * error
    ended = rollout.episodes()
    assert ended.weights["return_against_past"] < ended.weights["return"]


SHORT = PPO(num_envs=16, rollout_length=16, epochs=1, minibatches=2, learning_rate=1e-2)
WITH_PAST = Plan(
    game=KUHN, method=SHORT, network=SMALL, self_play=SelfPlay(past=0.5, pool=3, every=2), seed=7
)


def comparable(row):
    """What does not depend on the clock."""
    return {key: value for key, value in row.items() if "second" not in key}


@pytest.mark.usefixtures("ray")
def test_the_past_is_kept_and_training_resumes_with_it(tmp_path):
    with train(WITH_PAST) as training:
        log = ExactLog(WITH_PAST, Exact(every=3, average=True))
        selves, rows, figures = [training.algorithm.weights()], [], []
        for k in range(9):
            if k == 5:
                training.save(tmp_path / "checkpoint")
                looks = log.state()
            rows.append(comparable(training.step()))
            figures.append(log.row(training))
            selves.append(training.algorithm.weights())
            runner = training.algorithm.env_runner_group.local_env_runner
            faced = runner.past["player"].get_state()["network.head.weight"]
            kept = [old["player"]["network.head.weight"] for old in training.algorithm.pool]
            assert any(np.array_equal(np.asarray(faced), old) for old in kept)
        # Kept before updates 0, 2, 4, 6 and 8; the first always stays, the oldest others went.
        pool = [old["player"]["network.head.weight"] for old in training.algorithm.pool]
        expected = [selves[k]["player"]["network.head.weight"] for k in (0, 6, 8)]
        assert all(np.array_equal(a, b) for a, b in zip(pool, expected, strict=True))
        assert all("return_against_past" in row for row in rows)
        names = {"nash_conv", "exploitability", "nash_conv_average"}
        assert [set(row) for row in figures] == [set(), set(), names] * 3
        final = training.policy()
        assert figures[-1]["nash_conv"] == InformationSets(KUHN).nash_conv(final)
    with train(WITH_PAST) as training:  # and nobody looks
        assert [comparable(training.step()) for _ in range(9)] == rows
    with train(WITH_PAST) as training:
        training.restore(tmp_path / "checkpoint")
        log = ExactLog(WITH_PAST, Exact(every=3, average=True))
        log.restore(looks)
        resumed = []
        for _ in range(4):
            resumed.append(comparable(training.step()))
            assert log.row(training) == figures[training.updates - 1]
        assert resumed == rows[5:]


SHIPPED = [("kuhn-selfplay", 0.1, 2_000_000), ("leduc-selfplay", 1.0, 1_200_000)]


@pytest.mark.slow
@pytest.mark.usefixtures("ray")
@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize(("scenario", "target", "steps"), SHIPPED)
def test_self_play_comes_near_equilibrium(scenario, target, steps, seed):
    """The last policy and not only the average, by the settings of the shipped scenario."""
    written = tomllib.loads((files("scenarios") / "library" / f"{scenario}.toml").read_text())
    known = {key: value for key, value in written.items() if key in Plan.model_fields}
    plan = Plan.model_validate(known | {"seed": seed})
    plan = plan.model_copy(update={"method": plan.method.over(written["stop"]["steps"])})
    log, lowest = ExactLog(plan, Exact(every=5)), math.inf
    with train(plan) as training:
        while training.steps < steps and lowest > target:
            training.step()
            lowest = min(lowest, log.row(training).get("nash_conv", math.inf))
    assert lowest <= target
