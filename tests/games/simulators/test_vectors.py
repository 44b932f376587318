"""Others' games as vectors, against PettingZoo's and OpenSpiel's own loops stepped by hand."""

import pickle
import threading
import warnings

import gymnasium
import numpy as np
import pyspiel
import pytest
import torch
from gymnasium import spaces
from pettingzoo.test import parallel_api_test

import games
from games.adapters.openspiel import OpenSpielVector, features, observation_size
from games.adapters.pettingzoo.spaces import Misfit, acts, flat
from games.adapters.pettingzoo.vector import PettingZooVector
from games.listing import list_simulators
from games.load import simulator, vector
from games.names import parse
from games.simulators.vector import SimulatorVector
from tests.helpers.example_envs import Broken, Harbour, Miscounts, Relay

SPREAD = "pettingzoo:mpe2.simple_spread_v3(N=3,max_cycles=7)"
PARALLEL = [
    SPREAD,
    "pettingzoo:mpe2.simple_spread_v3(N=2,max_cycles=5,continuous_actions=True)",
    "pettingzoo:mpe2.simple_tag_v3(max_cycles=6)",
    "pettingzoo:mpe2.simple_speaker_listener_v4(max_cycles=6)",
    "tests.helpers.example_envs:Harbour",
    "tests.helpers.example_envs:Relay",
]
TURNS = [
    "pettingzoo:pettingzoo.classic.connect_four_v3",
    "pettingzoo:pettingzoo.classic.tictactoe_v3",
    "mpe2.simple_spread_v3:env(N=3,max_cycles=4)",
    "mpe2.simple_tag_v3:env(max_cycles=4)",
    "tests.games.simulators.test_vectors:relay_in_turns",
]
OPENSPIEL = [
    "kuhn_poker",
    "leduc_poker(players=3)",
    "tic_tac_toe",
    "connect_four",
    "goofspiel(num_cards=4,imp_info=True,points_order=random)",
    "liars_dice",
    "python_kuhn_poker",
    "pig(winscore=10)",  # draws chance in mid-game
    "cliff_walking(horizon=20)",  # one player, who is paid at every step
]

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")


@games.makes_games
def relay_in_turns():
    """Agents that leave, join and are cut off, in an AEC environment."""
    from pettingzoo.utils import parallel_to_aec

    return parallel_to_aec(EarlyRelay())


class EarlyRelay(Relay):
    """PettingZoo's wrapper cannot let agents join."""

    joins = {}  # noqa: RUF012


def choose(games_at_work, seen, generator):
    """Legal actions [B, N, D] at random."""
    spec = games_at_work.spec
    shape = (games_at_work.num_envs, spec.num_agents, spec.action_width)
    actions = torch.zeros(shape, dtype=spec.action_dtype)
    for i, r in enumerate(spec.role_of):
        role = spec.roles[r]
        if not role.sizes:
            space = role.action_space
            low, high = torch.tensor(space.low), torch.tensor(space.high)
            share = torch.rand(shape[0], role.action_width, generator=generator)
            actions[:, i, : role.action_width] = low + share * (high - low)
            continue
        masks = seen.action_mask[:, i, : role.mask_width].float().split(role.sizes, dim=1)
        for d, mask in enumerate(masks):
            drawn = torch.multinomial(mask, 1, generator=generator)[:, 0]
            actions[:, i, d] = drawn.to(actions.dtype)
    return actions


def native(space, action):
    """An action [D] as an environment wants it, worked out from its space alone."""
    if isinstance(space, spaces.Discrete):
        return int(action[0])
    return action[: int(np.prod(space.shape))].numpy().astype(space.dtype).reshape(space.shape)


@pytest.mark.parametrize("name", PARALLEL)
def test_a_parallel_game_is_what_it_is_by_hand(name):
    """Observations, rewards and endings of 3 games over 60 steps, each against its own copy."""
    at_work, generator = vector(name, 3), torch.Generator().manual_seed(1)
    makers = [vector(name, 1)._games[0].env.env for _ in range(3)]  # three more, to be stepped here
    names = makers[0].possible_agents
    seen, ends = at_work.reset(5), 0
    now = [env.reset(seed=seed)[0] for env, seed in zip(makers, at_work.game_seeds, strict=True)]
    ended = [{agent: [False, False] for agent in names} for _ in makers]
    for _ in range(60):
        for b, env in enumerate(makers):
            for i, agent in enumerate(names):
                there = agent in env.agents
                expected = np.ravel(now[b][agent]) if there else np.zeros(0)
                row = seen.nodes[b, i].numpy()
                np.testing.assert_array_equal(row[: len(expected)], expected.astype(np.float32))
                assert not row[len(expected) :].any()
                assert bool(seen.acting[b, i]) == there
        actions = choose(at_work, seen, generator)
        step, seen, final = at_work.step(actions)
        for b, env in enumerate(makers):
            given = {
                agent: native(env.action_space(agent), actions[b, names.index(agent)])
                for agent in env.agents
            }
            before = {agent: list(flags) for agent, flags in ended[b].items()}
            now[b], rewards, terminated, truncated, _ = env.step(given)
            for agent in given:
                ended[b][agent] = [bool(terminated[agent]), bool(truncated[agent])]
            over = not env.agents
            for i, agent in enumerate(names):
                assert step.reward[b, i].item() == np.float32(rewards.get(agent, 0.0))
                never = over and ended[b][agent] == [False, False]
                assert bool(step.terminated[b, i]) == (ended[b][agent][0] or never)
                assert bool(step.truncated[b, i]) == ended[b][agent][1]
                if ended[b][agent] == [False, True] != before[agent]:
                    row = final.nodes[b, i, : now[b][agent].size].numpy()
                    np.testing.assert_array_equal(row, np.ravel(now[b][agent]).astype(np.float32))
                    assert final.acting[b, i]
            assert bool(step.over[b]) == over
            if over:
                ends += 1
                now[b], _ = env.reset(seed=at_work.game_seeds[b])
                ended[b] = {agent: [False, False] for agent in names}
    assert ends >= 9


@pytest.mark.parametrize("name", TURNS)
def test_a_game_in_turns_is_what_it_is_by_hand(name):
    """What `agent_iter` and `last` pay and show, with the actions that the vector was given."""
    at_work, generator = vector(name, 2), torch.Generator().manual_seed(2)
    oracle = vector(name, 1)._games[0].env.env
    names = list(oracle.possible_agents)
    seen, started = at_work.reset(3), list(at_work.game_seeds)
    record = [[], []]  # of each game in play: who acted, what it saw and might do, what it did
    paid = np.zeros((2, len(names)))
    compared = 0
    while compared < 12:
        actions = choose(at_work, seen, generator)
        for b in range(2):
            (i,) = seen.acting[b].nonzero()[:, 0].tolist()
            record[b].append((i, seen.nodes[b, i], seen.action_mask[b, i], actions[b, i]))
        step, seen, _ = at_work.step(actions)
        paid += step.reward.numpy()
        for b in step.over.nonzero()[:, 0].tolist():
            expected, moves = np.zeros(len(names)), iter(record[b])
            ends = {}
            oracle.reset(seed=started[b])
            for agent in oracle.agent_iter():
                what, reward, terminated, truncated, _ = oracle.last()
                expected[names.index(agent)] += reward
                if terminated or truncated:
                    ends[agent] = (terminated, truncated)
                    oracle.step(None)
                    continue
                i, nodes, mask, action = next(moves)
                assert names[i] == agent
                if isinstance(what, dict):
                    np.testing.assert_array_equal(mask.numpy(), what["action_mask"] == 1)
                    what = what["observation"]
                np.testing.assert_array_equal(nodes[: what.size].numpy(), np.ravel(what))
                oracle.step(native(oracle.action_space(agent), action))
            assert next(moves, None) is None
            np.testing.assert_allclose(paid[b], expected, rtol=0, atol=1e-5)
            for i, agent in enumerate(names):
                found = (bool(step.terminated[b, i]), bool(step.truncated[b, i]))
                assert found == ends.get(agent, (True, False))
            record[b], paid[b], started[b] = [], 0, at_work.game_seeds[b]
            compared += 1


@pytest.mark.parametrize("name", OPENSPIEL)
def test_an_openspiel_game_is_what_it_is_by_hand(name):
    at_work, generator = vector(name, 2), torch.Generator().manual_seed(4)
    game = games.load(name).openspiel
    recalls = game.get_type().provides_information_state_tensor
    seen = at_work.reset(7)
    before = [list(state.returns()) for state in at_work._states]
    total, ends = np.zeros((2, game.num_players())), 0
    for _ in range(80):
        states = []
        for b in range(2):
            states.append(game.new_initial_state())
            for action in at_work._states[b].history():
                states[b].apply_action(action)
            mover = states[b].current_player()
            for player in range(game.num_players()):
                tensor = (
                    states[b].information_state_tensor(player)
                    if recalls
                    else states[b].observation_tensor(player)
                )
                np.testing.assert_array_equal(
                    seen.nodes[b, player].numpy(), np.array(tensor, np.float32)
                )
                assert bool(seen.acting[b, player]) == (player == mover)
            mask = np.zeros(game.num_distinct_actions(), bool)
            mask[states[b].legal_actions(mover)] = True
            np.testing.assert_array_equal(seen.action_mask[b, mover].numpy(), mask)
        actions = choose(at_work, seen, generator)
        kept = list(at_work._states)
        step, seen, final = at_work.step(actions)
        assert final is None
        assert not step.truncated.any()
        total += step.reward.numpy()
        for b in range(2):
            states[b].apply_action(int(actions[b, states[b].current_player(), 0]))
            while states[b].is_chance_node():  # the vector's draws, which must have been possible
                drawn = kept[b].history()[len(states[b].history())]
                assert dict(states[b].chance_outcomes())[drawn] > 0
                states[b].apply_action(drawn)
            assert states[b].history() == kept[b].history()
            change = np.subtract(states[b].returns(), before[b])
            np.testing.assert_allclose(step.reward[b].numpy(), change, rtol=0, atol=1e-5)
            assert step.terminated[b].tolist() == [states[b].is_terminal()] * game.num_players()
            before[b] = states[b].returns()
            if states[b].is_terminal():
                np.testing.assert_allclose(total[b], states[b].returns(), rtol=0, atol=1e-4)
                before[b], total[b], ends = [0.0] * game.num_players(), 0, ends + 1
    assert ends >= 2


def test_an_openspiel_game_whose_actions_are_more_than_it_says():
    at_work, generator = vector("chat_game", 1), torch.Generator().manual_seed(0)
    with pytest.raises(games.InputError, match=r"chat_game: player .: legal .* are 2 in all"):
        _openings(at_work, generator)


def _openings(at_work, generator):
    for seed in range(50):
        seen = at_work.reset(seed)
        at_work.step(choose(at_work, seen, generator))


def test_chance_is_drawn_as_often_as_it_should():
    """Kuhn's six deals, 1/6 each, within 4 standard errors of 1200 draws."""
    at_work = OpenSpielVector("kuhn_poker", 1200)
    at_work.reset(0)
    deals, count = np.unique([s.history() for s in at_work._states], axis=0, return_counts=True)
    assert len(deals) == 6
    assert abs(count / 1200 - 1 / 6).max() < 4 * np.sqrt(1 / 6 * 5 / 6 / 1200)


def test_players_who_cannot_be_asked_off_turn_do_not_see_the_game_before(monkeypatch):
    """They see what they saw last in the game that is played, or nothing."""

    def on_turn(state, player):
        if player != state.current_player():
            raise pyspiel.SpielError("not your turn")
        return features(state, player)

    monkeypatch.setattr("games.adapters.openspiel.features", on_turn)
    at_work, generator = vector("tic_tac_toe", 2), torch.Generator().manual_seed(0)
    seen, ends = at_work.reset(0), 0
    last = torch.zeros_like(seen.nodes)
    for _ in range(60):
        for b, state in enumerate(at_work._states):
            mover = state.current_player()
            last[b, mover] = torch.from_numpy(features(state, mover))
        assert torch.equal(seen.nodes, last)
        other = vector("tic_tac_toe", 2)
        assert torch.equal(other.restore(at_work.state()).nodes, last)
        step, seen, _ = at_work.step(choose(at_work, seen, generator))
        last[step.over] = 0
        ends += int(step.over.sum())
    assert ends > 5


@pytest.mark.parametrize("name", ["leduc_poker", "tic_tac_toe", "goofspiel(num_cards=3)"])
def test_features_of_a_state(name):
    state = games.load(name).openspiel.new_initial_state()
    while state.is_chance_node():
        state.apply_action(state.legal_actions()[0])
    found = features(state, 1)
    assert found.dtype == np.float32
    assert found.shape == (observation_size(state.get_game()),)


@pytest.mark.parametrize("name", [*PARALLEL, *TURNS, *OPENSPIEL])
def test_what_follows_a_restore_is_the_same_to_the_last_bit(name):
    first, generator = vector(name, 3), torch.Generator().manual_seed(3)
    assert first.resumable
    seen = first.reset(11)
    for _ in range(5):
        _, seen, _ = first.step(choose(first, seen, generator))
    saved, draws = pickle.dumps((first.state(), seen)), generator.get_state()
    expected = [_step(first, seen, generator)]
    for _ in range(25):
        expected.append(_step(first, expected[-1][1], generator))

    second = vector(name, 3)
    second.reset(99)
    state, seen = pickle.loads(saved)
    generator.set_state(draws)
    restored = second.restore(state)
    _assert_equal(restored, seen)
    found = [_step(second, restored, generator)]
    for _ in range(25):
        found.append(_step(second, found[-1][1], generator))
    for one, other in zip(found, expected, strict=True):
        for mine, theirs in zip(one, other, strict=True):
            _assert_equal(mine, theirs)


def _step(at_work, seen, generator):
    return at_work.step(choose(at_work, seen, generator))


def _assert_equal(one, other):
    """That two steps or observations, or their absence, are equal."""
    assert type(one) is type(other)
    for name, value in (vars(one) if one is not None else {}).items():
        if isinstance(value, torch.Tensor):
            assert torch.equal(value, getattr(other, name)), name


@pytest.mark.parametrize("name", [SPREAD, TURNS[1], "leduc_poker"])
def test_a_game_does_not_depend_on_those_beside_it(name):
    """Game 0 of three is the only game of one, played with the same actions."""
    many, one = vector(name, 3), vector(name, 1)
    seen, alone = many.reset(21), one.reset(21)
    generator = torch.Generator().manual_seed(0)
    for _ in range(30):
        assert torch.equal(seen.nodes[:1], alone.nodes)
        actions = choose(many, seen, generator)
        step, seen, _ = many.step(actions)
        step_alone, alone, _ = one.step(actions[:1])
        assert torch.equal(step.reward[:1], step_alone.reward)


def test_seeds_differ_and_what_was_handed_out_stays():
    at_work = vector(SPREAD, 4)
    first = at_work.reset(0)
    kept = first.nodes.clone()
    assert len(set(at_work.game_seeds)) == 4
    old, generator = at_work.game_seeds, torch.Generator().manual_seed(0)
    seen = first
    for _ in range(7):
        _, seen, _ = at_work.step(choose(at_work, seen, generator))
    assert not set(old) & set(at_work.game_seeds)
    assert torch.equal(first.nodes, kept)
    assert torch.equal(at_work.reset(0).nodes, kept)
    assert not torch.equal(at_work.reset(1).nodes, kept)


@pytest.mark.parametrize("env", [Harbour, Relay])
def test_the_examples_are_good_pettingzoo_environments(env):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a runner may never join
        parallel_api_test(env(), num_cycles=50)


ROLES = [
    ("pettingzoo:mpe2.simple_tag_v3", ["adversary", "agent"], (0, 0, 0, 1), torch.int64),
    ("pettingzoo:mpe2.simple_spread_v3", ["agent"], (0, 0, 0), torch.int64),
    ("pettingzoo:mpe2.simple_speaker_listener_v4", ["speaker", "listener"], (0, 1), torch.int64),
    ("pettingzoo:pettingzoo.classic.connect_four_v3", ["player"], (0, 0), torch.int64),
    ("tests.helpers.example_envs:Harbour", ["cart", "crane"], (0, 0, 1), torch.float32),
    ("leduc_poker(players=3)", ["player"], (0, 0, 0), torch.int64),
]


@pytest.mark.parametrize(("name", "roles", "role_of", "dtype"), ROLES)
def test_roles(name, roles, role_of, dtype):
    spec = vector(name, 1).spec
    assert [role.name for role in spec.roles] == roles
    assert spec.role_of == role_of
    assert spec.action_dtype == dtype


def test_agents_alike_in_name_but_not_in_shape_have_roles_of_their_own():
    env = Harbour()
    env.possible_agents = ["cart_0", "cart_9"]
    env._seen["cart_9"], env._acts["cart_9"] = env._seen["crane_0"], env._acts["crane_0"]
    assert [r.name for r in PettingZooVector(lambda: env, 1).spec.roles] == ["cart_0", "cart_9"]


NAMES = [
    (["red/cart_0", "blue:cart_0"], ["red_cart", "blue_cart"]),
    (["a/b", "a?b", "a_b"], ["a_b", "a_b_", "a_b__"]),
    (["a.", "<b>", "c|\\"], ["a_", "_b_", "c__"]),
]


@pytest.mark.parametrize(("agents", "roles"), NAMES)
def test_roles_have_names_that_files_can_have(agents, roles):
    """And that RLlib takes for those of policies."""
    from ray.rllib.core.rl_module import validate_module_id

    env = Harbour()
    env.possible_agents = agents
    env._seen = {agent: spaces.Discrete(2 + i) for i, agent in enumerate(agents)}
    env._acts = dict.fromkeys(agents, spaces.Discrete(2))
    spec = PettingZooVector(lambda: env, 1).spec
    assert [role.name for role in spec.roles] == roles
    for role in spec.roles:
        validate_module_id(role.name, error=True)


def test_roles_of_agents_named_like_others_are_told_apart():
    """a_1 and a_2 see other things, so they have roles of their own; a_1_0 has the stem a_1."""
    env = Harbour()
    env.possible_agents = ["a_1", "a_2", "a_1_0"]
    env._seen = {a: spaces.Discrete(2 + i) for i, a in enumerate(env.possible_agents)}
    env._acts = dict.fromkeys(env.possible_agents, spaces.Discrete(2))
    spec = PettingZooVector(lambda: env, 1).spec
    assert [role.name for role in spec.roles] == ["a_1", "a_2", "a_1_"]


SEEN = [
    spaces.Box(-1.0, 1.0, (2, 3), np.float64),
    spaces.Box(0, 255, (4, 4, 3), np.uint8),
    spaces.Box(-1.0, 1.0, (), np.float32),
    spaces.Discrete(5),
    spaces.Discrete(3, start=-1),
    spaces.MultiBinary((2, 2)),
    spaces.MultiDiscrete([2, 4, 3]),
    spaces.Tuple((spaces.Discrete(2), spaces.Box(0, 1, (3,)))),
    spaces.Dict(
        b=spaces.Box(0, 1, (2,)),
        a=spaces.Dict(z=spaces.MultiDiscrete([2, 2]), y=spaces.Discrete(3)),
    ),
]


@pytest.mark.parametrize("space", SEEN, ids=str)
def test_observations_are_flattened_as_gymnasium_does(space):
    space.seed(0)
    width, write = flat(space, "test")
    assert width == gymnasium.spaces.flatdim(space)
    for _ in range(5):
        value, row = space.sample(), np.full(width, np.nan, np.float32)
        write(value, row)
        np.testing.assert_array_equal(
            row, gymnasium.spaces.flatten(space, value).astype(np.float32)
        )


@pytest.mark.parametrize(
    ("space", "value"),
    [
        (SEEN[0], np.zeros(6)),
        (SEEN[0], np.zeros((1, 3))),
        (SEEN[3], 5),
        (SEEN[4], 2),
        (SEEN[6], np.array([0, 4, 0])),
        (SEEN[7], (0, np.zeros(4))),
    ],
)
def test_observations_outside_their_space_are_refused(space, value):
    width, write = flat(space, "test")
    with pytest.raises(Misfit):
        write(value, np.zeros(width, np.float32))


ACTS = [
    (spaces.Discrete(4, start=2), [3], 5),
    (spaces.MultiDiscrete([3, 2]), [2, 1], [2, 1]),
    (
        spaces.MultiDiscrete([[3, 2], [4, 5]], start=[[1, 0], [0, 7]]),
        [2, 1, 3, 4],
        [[3, 1], [3, 11]],
    ),
    (spaces.MultiBinary(3), [1, 0, 1], [1, 0, 1]),
    (spaces.Box(-1.0, 1.0, (2, 2), np.float32), [-1, 0.5, 0, 1], [[-1, 0.5], [0, 1]]),
    (spaces.Box(0.1, 0.7, (1,), np.float64), [0.7], [0.7]),  # float32 rounds .7 down and .1 up
]


@pytest.mark.parametrize(("space", "chosen", "expected"), ACTS, ids=str)
def test_actions_are_of_the_games_own_space(space, chosen, expected):
    space_of_role, decode = acts(space, "test")
    action = decode(np.array([*chosen, 0], np.float32))
    assert space.contains(action)
    np.testing.assert_allclose(action, expected, rtol=1e-6)
    assert space_of_role.contains(
        np.array(chosen, space_of_role.dtype) if space_of_role.shape else chosen[0]
    )


ILLEGAL = [
    ("pettingzoo:mpe2.simple_spread_v3", 0, 5, "agent_0: .* step 1 is 5, not one of 0 to 4"),
    ("pettingzoo:mpe2.simple_spread_v3", 2, -1, "agent_2: .* is -1, not one of 0 to 4"),
    ("tests.helpers.example_envs:Harbour", 1, 0.5, "cart_1: .* is 0.5, not one of 0 to 2"),
    ("tests.helpers.example_envs:Harbour", 2, 1.5, r"crane_0: .* is 1.5, outside \[-1.0, 1.0\]"),
    ("tests.helpers.example_envs:Harbour", 2, float("nan"), "crane_0: .* is nan, outside"),
    ("tests.helpers.example_envs:Harbour", 0, float("nan"), "cart_0: .* is nan, not one of"),
    ("kuhn_poker", 0, 2, r"player 0: action 2 is not legal at step 1 of game 0, \[0, 1\] are"),
]


@pytest.mark.parametrize(("name", "agent", "action", "message"), ILLEGAL)
def test_illegal_actions_are_refused(name, agent, action, message):
    at_work = vector(name, 2)
    seen = at_work.reset(0)
    actions = torch.zeros_like(choose(at_work, seen, torch.Generator()))
    actions[:, agent] = action
    with pytest.raises(games.InputError, match=message):
        at_work.step(actions)


def test_masked_actions_are_refused_and_those_of_idle_agents_ignored():
    at_work = vector("pettingzoo:pettingzoo.classic.tictactoe_v3", 1)
    at_work.reset(0)
    _, seen, _ = at_work.step(torch.tensor([[[4], [77]]]))
    assert seen.acting.tolist() == [[False, True]]
    with pytest.raises(games.InputError, match="player_2: the action at step 2 is 4, which its ma"):
        at_work.step(torch.tensor([[[0], [4]]]))
    with pytest.raises(games.InputError, match=r"shape \(1, 1\), these games need \(1, 2, 1\)"):
        at_work.step(torch.tensor([[4]]))


BROKEN = [
    ("raises", "at step 3 .* raised KeyError: 'no such.*berth'"),
    ("nan reward", "cart_1: at step 3 its reward is nan"),
    ("infinite observation", "crane_0: at step 3 its observation is inf"),
    ("wrong shape", r"cart_0: at step 3 its observation has shape \(1,\), its space has \(3,\)"),
    ("no number", "cart_0: at step 3 its observation could not convert"),
    ("reward is None", "cart_0: at step 3 its reward is None, not a number"),
    ("unknown agent", "cart_7: at step 3 rewards name it but possible_agents does not"),
    ("unknown flag", "__all__: at step 3 terminations name it but possible_agents does not"),
    ("no reward", "cart_0: at step 3 its reward is missing"),
    ("no observation", "cart_0: at step 3 its observation is missing"),
    ("no truncation", "cart_0: at step 3 its truncation is missing"),
    ("vanishes", "cart_0: at step 3 it left neither terminated nor truncated"),
    ("lingers", "cart_0: at step 3 it is done but still among env.agents"),
    ("mask of wrong size", "cart_0: at step 3 its action mask has 5 entries for 3 choices"),
    ("nothing to do", "cart_0: at step 3 its action mask leaves it nothing to do"),
]
# What is replaced in the third step by what, and what is to be said.
MISSHAPEN = [
    ("observations", None, "harbour: at step 3 observations are None, not a dict by agent"),
    ("observations", [0, 0, 0], r"at step 3 observations are \[0, 0, 0\], not a dict by agent"),
    ("rewards", [1, 1, 1], r"at step 3 rewards are \[1, 1, 1\], not a dict by agent"),
    ("rewards", None, "at step 3 rewards are None"),
    ("terminations", None, "at step 3 terminations are None"),
    ("truncations", [False] * 3, r"at step 3 truncations are \[False, False, False\]"),
    ("infos", None, "at step 3 infos are None"),
    ("agents", None, "at step 3 env.agents is None, not a list of agents"),
    ("agents", [["cart_0"]], "at step 3 what it gave cannot be read: TypeError: unhashable"),
    ("cart_0's reward", "much", "cart_0: at step 3 its reward is much, not a number"),
    ("cart_0's reward", np.ones(2), r"cart_0: at step 3 its reward is \[1. 1.\], not a number"),
    ("cart_0's reward", 1e300, "cart_0: at step 3 its reward is inf"),
    ("cart_0's observation", np.full(3, 1e300), "cart_0: at step 3 its observation is inf"),
    ("cart_0's termination", np.array([True, False]), "its termination is .*neither true nor fal"),
    ("cart_0's truncation", "no", "cart_0: at step 3 its truncation is no, neither true nor false"),
    ("cart_0's info", [1], r"cart_0: at step 3 its info is \[1\], not a dict"),
    ("cart_0's mask", None, "cart_0: at step 3 its action mask is None, not a row of 0 and 1"),
    ("cart_0's mask", [], r"cart_0: at step 3 its action mask is \[\], not a row of 0 and 1"),
    ("cart_0's mask", ["a", "b", "c"], "cart_0: at step 3 its action mask is .* not a row of 0"),
    ("cart_0's mask", np.array([1, np.nan, 0]), "cart_0: at step 3 its action mask is .*nan"),
]


class Misshapen(Harbour):
    """What the third step gives is replaced."""

    def __init__(self, what, by):
        super().__init__()
        self.what, self.by = what, by

    def step(self, actions):
        *tables, infos = super().step(actions)
        names = ["observations", "rewards", "terminations", "truncations", "infos"]
        given = dict(zip(names, [*tables, infos], strict=True))
        whose, _, part = self.what.partition("'s ")
        if self.time != 3:
            pass
        elif self.what == "agents":
            self.agents = self.by
        elif part == "mask":
            infos[whose] = {"action_mask": self.by}
        elif part:
            given[f"{part}s"][whose] = self.by
        else:
            given[self.what] = self.by
        return tuple(given.values())


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize(("what", "by", "message"), MISSHAPEN)
def test_an_environment_that_gives_something_else(what, by, message):
    at_work = PettingZooVector(lambda: Misshapen(what, by), 2, "harbour")
    seen, generator = at_work.reset(0), torch.Generator().manual_seed(0)
    for _ in range(2):
        _, seen, _ = at_work.step(choose(at_work, seen, generator))
    with pytest.raises(games.InputError, match=message) as caught:
        at_work.step(choose(at_work, seen, generator))
    assert "\n" not in str(caught.value)
    assert "harbour" in str(caught.value)
    assert "(seed " in str(caught.value)


@pytest.mark.parametrize(
    ("reset", "message"),
    [
        (lambda seen, infos: (seen, None), "harbour: at step 0 infos are None"),
        (lambda seen, infos: (list(seen), infos), "harbour: at step 0 observations are"),
        (lambda seen, infos: (seen, infos | {"cart_0": 1}), "cart_0: at step 0 its info is 1"),
        (lambda seen, infos: None, "harbour: at step 0 .* raised TypeError"),
    ],
)
def test_a_reset_that_gives_something_else(reset, message):
    class Starts(Harbour):
        def reset(self, seed=None, options=None):
            return reset(*super().reset(seed, options))

    with pytest.raises(games.InputError, match=message):
        PettingZooVector(Starts, 2, "harbour").reset(0)


def test_numbers_and_flags_may_be_arrays_of_one():
    """As PettingZoo's own environments have them."""
    plain, arrays = PettingZooVector(Harbour, 1), PettingZooVector(InArrays, 1)
    seen, generator = plain.reset(0), torch.Generator().manual_seed(0)
    arrays.reset(0)
    for _ in range(20):
        actions = choose(plain, seen, generator)
        step, seen, _ = plain.step(actions)
        _assert_equal(step, arrays.step(actions)[0])
    assert step.over.all()


class InArrays(Harbour):
    def step(self, actions):
        seen, *tables, infos = super().step(actions)
        wrapped = [{agent: np.array([x]) for agent, x in table.items()} for table in tables]
        return seen, *wrapped, dict.fromkeys(infos)


@pytest.mark.parametrize(("how", "message"), BROKEN)
def test_an_environment_that_breaks_the_rules(how, message):
    at_work = PettingZooVector(lambda: Broken(how), 2, "harbour")
    seen, generator = at_work.reset(0), torch.Generator().manual_seed(0)
    for _ in range(2):
        _, seen, _ = at_work.step(choose(at_work, seen, generator))
    with pytest.raises(games.InputError, match=message) as caught:
        at_work.step(choose(at_work, seen, generator))
    assert "\n" not in str(caught.value)
    assert "harbour" in str(caught.value)


def test_rewards_that_do_not_add_up_are_refused():
    for doubles in (False, True):
        at_work = PettingZooVector(lambda doubles=doubles: Miscounts(doubles), 1, "miscounts")
        at_work.reset(0)
        play = torch.tensor([[[1], [0]]])
        step, *_ = at_work.step(play)
        assert step.reward.tolist() == [[2.0, 0.0]]
        if not doubles:
            rewards = [at_work.step(play)[0].reward for _ in range(5)]
            assert sum(rewards).tolist() == [[4.0, 3.0]]
            continue
        with pytest.raises(games.InputError, match=r"a_0: .* _cumulative_rewards are 4.0, .* 2.0"):
            at_work.step(play)


def test_one_terminates_while_another_is_cut_off():
    """RLlib's own adapter loses this end; ours ends the game and values only the one cut off."""
    at_work, generator, met = vector("tests.helpers.example_envs:Relay", 16), torch.Generator(), 0
    seen = at_work.reset(0)
    for _ in range(200):
        step, seen, final = at_work.step(choose(at_work, seen, generator))
        over = step.over
        mixed = over & step.terminated.any(1) & (step.truncated & ~step.terminated).any(1)
        met += int(mixed.sum())
        assert (final is not None) == bool((step.truncated & ~step.terminated).any())
        assert (seen.acting.sum(1) > 0).all()
        assert (seen.acting.sum(1)[over] == 2).all()
    assert met > 10


def test_games_that_cannot_be_pickled_are_started_anew():
    class Locked(Harbour):
        def reset(self, seed=None, options=None):
            self.lock = threading.Lock()
            return super().reset(seed, options)

    first = PettingZooVector(Locked, 2, "locked")
    second = PettingZooVector(Harbour, 2, "locked")  # whose own games can be pickled
    seen = first.reset(0)
    assert not first.resumable
    first.step(choose(first, seen, torch.Generator()))
    old, saved = first.game_seeds, pickle.dumps(first.state())
    second.reset(1)
    assert second.resumable
    seen = second.restore(pickle.loads(saved))
    assert not second.resumable
    assert not set(old) & set(second.game_seeds)
    again = second.restore(pickle.loads(saved))
    _assert_equal(seen, again)
    assert seen.acting.all()
    second.restore(second.state())
    assert second.resumable


def test_a_state_of_another_game_is_refused():
    state = _started("kuhn_poker", 2).state()
    with pytest.raises(games.InputError, match="of 2 games of kuhn_poker, not of 3 of this one"):
        _started("kuhn_poker", 3).restore(state)
    state = _started(SPREAD, 1).state()
    with pytest.raises(games.InputError, match="simple_spread_v3, not of 1 of this one"):
        _started("pettingzoo:mpe2.simple_tag_v3", 1).restore(state)


def _started(name, num_envs):
    at_work = vector(name, num_envs)
    at_work.reset(0)
    return at_work


def test_a_simulator_by_name():
    found = simulator("navigation(agents=3,layout=swap,dt=0.05)")
    assert (found.spec.num_agents, found.layout, found.dt) == (3, "swap", 0.05)
    at_work = vector("games.navigation.navigation:Navigation(agents=2)", 4)
    assert isinstance(at_work, SimulatorVector)
    assert at_work.reset(0).acting.shape == (4, 2)
    rows = list_simulators()
    assert rows[0]["simulator"] == "navigation"
    assert "agents=4" in rows[0]["parameters"]


PARSED = [
    ("f.g:h(a=1,b=-2.5,c=[1, 2],d='x y')", ("f.g:h", {"a": 1, "b": -2.5, "c": [1, 2], "d": "x y"})),
    ("f:g(a=true,b=False,c=none,d=word)", ("f:g", {"a": True, "b": False, "c": None, "d": "word"})),
    ("f:g", ("f:g", {})),
    ("navigation()", ("navigation", {})),
    ("leduc_poker(players=3)", ("leduc_poker", {})),  # OpenSpiel reads its own
]


@pytest.mark.parametrize(("name", "expected"), PARSED)
def test_parse(name, expected):
    assert parse(name) == expected


WRONG = [
    ("kuhn_pokr", "unknown game 'kuhn_pokr': did you mean kuhn_poker"),
    ("navigaton", "unknown game 'navigaton': did you mean navigation"),
    ("navigation(agent=3)", "no parameter 'agent': did you mean agents"),
    ("navigation(agents=many)", "agents: input should be a valid integer.*given: 'many'"),
    ("navigation(agents=0)", "navigation"),
    ("navigation(3)", "every parameter needs its name"),
    ("navigation(agents=3", "write a game as name"),
    ("mpe2.simple_spread_v3", "write pettingzoo:mpe2.simple_spread_v3 for"),
    ("pettingzoo:mpe2.simple_spread_v3(M=3)", "no parameter 'M': .*N"),
    ("pettingzoo:mpe2.simple_spred_v3", "no module named 'mpe2.simple_spred_v3'"),
    ("pettingzoo:no_such_package.game", "pip install no_such_package"),
    ("pettingzoo:json", "neither parallel_env nor env"),
    ("tests.helpers.example_envs:Harbor", "has no Harbor: did you mean Harbour"),
    ("tests.helpers.example_envs:Harbour(x=1)", "no parameter 'x'"),
    ("tests.helpers.example_envs:Broken", "cannot be made: TypeError"),
    ("json:JSONDecoder", "JSONDecoder is neither a simulator"),
    ("kuhn_poker(player=3)", "no parameter 'player': did you mean players"),
    ("negotiation", "draws its chance events itself"),
    ("python_iterated_prisoners_dilemma", "^python_iterated_prisoners_dilemma: has neither"),
    ("crossword", "crossword: has no actions"),
    ("game.efg", "no such file"),
]


@pytest.mark.parametrize(("name", "message"), WRONG)
def test_names_that_cannot_be_played(name, message):
    with pytest.raises(games.InputError, match=message) as caught:
        vector(name, 1)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (dict, "a dict is no PettingZoo environment"),
        (lambda: 1 / 0, "cannot be made: ZeroDivisionError"),
        (lambda: _with_space("_seen", spaces.Text(3)), "cart_0: observation space .*flattened"),
        (lambda: _with_space("_acts", spaces.Tuple([spaces.Discrete(2)])), "cart_0: action space"),
        (lambda: _with_space("_acts", spaces.Box(0, 9, (2,), np.int32)), "cart_0: action space"),
    ],
)
def test_what_is_no_environment_for_us(make, message):
    with pytest.raises(games.InputError, match=message):
        PettingZooVector(make, 1, "other")


def _with_space(table, space):
    env = Harbour()
    getattr(env, table)["cart_0"] = space
    return env
