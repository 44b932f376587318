"""`check_simulator` finds every broken promise; simulators of ours keep them, in PettingZoo too."""

from dataclasses import dataclass, fields, replace
from functools import cached_property

import gymnasium
import numpy as np
import pytest
import torch
from pettingzoo.test import parallel_api_test, parallel_seed_test, seed_test
from pettingzoo.utils.conversions import parallel_to_aec

from games import InputError
from games.adapters.pettingzoo.parallel_env import parallel_env
from games.navigation.navigation import Navigation
from games.simulators.check import check_simulator
from games.simulators.legal_actions import check_actions, random_actions
from games.simulators.simulator import Observation, Role, Simulator, Spec, Step, no_edges
from games.simulators.vector import SimulatorVector
from tests.helpers.grid_simulator import Exits

DYNAMICS = ("double_integrator", "single_integrator")


@dataclass(frozen=True)
class Sums:
    """Roles of different kinds: who calls two digits, and who says a number near their sum."""

    differentiable = True
    agents = (0, 1)

    @cached_property
    def spec(self):
        caller = Role("caller", gymnasium.spaces.MultiDiscrete([3, 4]), features=2)
        teller = Role("teller", gymnasium.spaces.Box(0.0, np.inf, (1,)), features=1)
        return Spec("sums", (caller, teller), (0, 1), num_nodes=2)

    def reset(self, batch, generator):
        return Called(torch.rand(batch, 2, generator=generator), torch.zeros(batch, dtype=int))

    def step(self, state, actions, generator):
        total, told = actions[:, 0].sum(1), actions[:, 1, 0]
        reward = torch.stack((total * state.seen[:, 0], -(told - state.seen[:, 1]).square()), 1)
        new = replace(state, steps=state.steps + 1)
        over = (new.steps >= 2)[:, None].expand(-1, 2)
        return new, Step(reward, over, torch.zeros_like(over))

    def observe(self, state):
        nodes = torch.stack((state.seen, state.seen.flip(1)), 1)
        nodes = nodes * torch.tensor([[1.0, 1.0], [1.0, 0.0]])
        mask = torch.zeros(len(state.seen), 2, 7, dtype=torch.bool)
        mask[:, 0, [0, 2, 3, 4]] = True
        acting = torch.ones(len(state.seen), 2, dtype=torch.bool)
        return Observation(nodes, *no_edges(nodes), acting, mask)


@dataclass(frozen=True)
class Called:
    seen: torch.Tensor  # [B, 2] float32
    steps: torch.Tensor  # [B] int64


@dataclass(frozen=True)
class Shifts:
    """Agent 0 is cut off at step 2, its game goes on: agent 1 works for 4 to 7 steps."""

    differentiable = False

    @cached_property
    def spec(self):
        return Spec("shifts", (Role("w", gymnasium.spaces.Discrete(2), features=1),), (0, 0), 2)

    def reset(self, batch, generator):
        length = torch.randint(4, 8, (batch,), generator=generator)
        return Shift(torch.zeros(batch, dtype=torch.int64), length)

    def step(self, state, actions, generator):
        new = replace(state, time=state.time + 1)
        late, nobody = new.time >= 2, torch.zeros(len(new.time), dtype=torch.bool)
        ended = torch.stack((nobody, new.time >= new.length), 1)
        reward = torch.ones(len(late), 2)
        return new, Step(reward, ended, torch.stack((late, nobody), 1))

    def observe(self, state):
        nodes = state.time.float()[:, None, None].expand(-1, 2, 1)
        acting = torch.stack((state.time < 2, torch.ones_like(state.time, dtype=torch.bool)), 1)
        return Observation(nodes, *no_edges(nodes), acting, acting[..., None].repeat(1, 1, 2))


@dataclass(frozen=True)
class Shift:
    time: torch.Tensor  # [B] int64
    length: torch.Tensor  # [B] int64


SOUND = [
    *(Navigation(dynamics=d, max_steps=8) for d in DYNAMICS),
    *(Navigation(dynamics=d, layout="swap", agents=5) for d in DYNAMICS),
    *(Navigation(dynamics=d, layout="corridor", agents=3) for d in DYNAMICS),
    Navigation(agents=6, obstacles=3, communication=1.5),
    Navigation(agents=1),
    Navigation(agents=2, goal_radius=0.6, max_steps=40),  # some games end before others
    Exits(),
    Exits(num_agents=1, size=2),
    Exits(wind=0.4, max_steps=6),
    Sums(),
    Shifts(),
]


@pytest.mark.parametrize("simulator", SOUND, ids=str)
def test_sound_simulators_pass(simulator):
    assert isinstance(simulator, Simulator)
    check_simulator(simulator, batch=4, steps=15, seed=3)


# One broken promise each: a simulator, how one of its methods is changed, and what is to be said.
def after(method, change):
    """A subclass whose `method` answers what `change(answer, self, *arguments)` makes of it."""

    def make(simulator):
        kind = type(simulator)
        inner = getattr(kind, method)

        def changed(self, *arguments):
            return change(inner(self, *arguments), self, *arguments)

        broken = type(kind.__name__, (kind,), {method: changed})
        return broken(**{f.name: getattr(simulator, f.name) for f in fields(simulator)})

    return make


def having(**attributes):
    def make(simulator):
        kind = type(simulator)
        broken = type(kind.__name__, (kind,), attributes)
        return broken(**{f.name: getattr(simulator, f.name) for f in fields(simulator)})

    return make


def seen(**changes):
    """Observations with fields changed by functions of the observation."""
    return after(
        "observe", lambda o, self, state: replace(o, **{k: f(o) for k, f in changes.items()})
    )


def stepped(**changes):
    """Steps with fields changed by functions of the step."""
    return after(
        "step",
        lambda r, self, *_: (r[0], replace(r[1], **{k: f(r[1]) for k, f in changes.items()})),
    )


def stating(change):
    """Steps whose new state is what `change` makes of it."""
    return after("step", lambda r, self, *_: (change(r[0]), r[1]))


def scribble_on(field):
    def change(result, self, state, actions, generator):
        getattr(state, field).add_(1) if field else actions.add_(1)
        return result

    return after("step", change)


@dataclass
class Loose:
    steps: torch.Tensor


class Counting(Exits):
    calls = 0

    def step(self, state, actions, generator):
        Counting.calls += 1
        new, step = super().step(state, actions, generator)
        return new, replace(step, reward=step.reward + Counting.calls)


class MindsTheDead(Exits):
    def step(self, state, actions, generator):
        new, step = super().step(state, actions, generator)
        return new, replace(step, reward=step.reward + actions[..., 0])


class Reviving(Exits):
    def step(self, state, actions, generator):
        new, step = super().step(state, actions, generator)
        return new, replace(step, terminated=step.terminated & (new.steps % 4 > 0)[:, None])


@dataclass(frozen=True)
class Clocked:
    cell: torch.Tensor
    exit: torch.Tensor
    left: torch.Tensor
    steps: torch.Tensor
    clock: object = 0


def clocked(state, *_):
    return Clocked(**vars(state))


def mean_over_games(result, self, *_):
    new, step = result
    return new, replace(step, reward=step.reward + step.reward.mean())


def own_randomness(state, self, batch, generator):
    return replace(state, exit=torch.randint(self.size, state.exit.shape))


def only_at_2(result):
    state, step = result
    return step.truncated & (state.time == 2)[:, None]


def crossing(observation):
    edges = observation.edges.clone()
    edges[0, 0] = observation.nodes.shape[0] * observation.nodes.shape[1] - 1
    return edges


GRID = Exits()
CLOCK = after("reset", clocked)(GRID)
FROM_ONE = Role("w", gymnasium.spaces.Discrete(5, start=1), features=4)
# Crowded enough that there are edges, and contacts, from the first step on.
PLANE = Navigation(agents=4, communication=3.0)
BROKEN = [
    (GRID, having(spec=None), "spec is no games.simulators.simulator.Spec"),
    (GRID, having(spec=replace(GRID.spec, role_of=())), "spec.role_of is empty"),
    (GRID, having(spec=replace(GRID.spec, role_of=(0, 1, 0))), "a role that is not among the 1"),
    (GRID, having(spec=replace(GRID.spec, num_nodes=2)), "fewer than the 3 agents"),
    (GRID, having(spec=replace(GRID.spec, roles=GRID.spec.roles * 2)), "names that are not unique"),
    (GRID, having(spec=replace(GRID.spec, roles=(FROM_ONE,))), "role w: .* is not a supported"),
    (GRID, having(differentiable=True), "differentiable is declared, but no action is continuous"),
    (GRID, after("reset", lambda s, *_: vars(s)), "reset: the state is a dict"),
    (GRID, after("reset", lambda s, *_: Loose(s.steps)), "reset: Loose can be changed"),
    (GRID, after("reset", lambda s, *_: replace(s, steps=s.steps[0])), r"steps has the shape \(\)"),
    (GRID, after("reset", lambda s, *_: replace(s, steps=s.steps[:1])), r"shape \(1,\); its first"),
    (GRID, after("reset", own_randomness), r"the same generator gives another game \(exit\)"),
    (GRID, seen(nodes=lambda o: o.nodes[..., :3]), r"nodes has the shape .* must have \(3, 3, 4\)"),
    (GRID, seen(nodes=lambda o: o.nodes.double()), "nodes has .* torch.float64"),
    (GRID, seen(nodes=lambda o: o.nodes.numpy()), "nodes is a ndarray"),
    (GRID, seen(nodes=lambda o: o.nodes * np.nan), r"nodes is not finite at \[0, 0, 0\]"),
    (GRID, seen(acting=lambda o: o.acting.int()), "acting has .* torch.int32"),
    (GRID, seen(acting=lambda o: o.acting | True), "agent . acts though it has left"),
    (GRID, seen(action_mask=lambda o: o.action_mask[..., :4]), "action_mask has the shape"),
    (GRID, seen(action_mask=lambda o: o.action_mask & False), "agent 0 acts but has no legal"),
    (
        GRID,
        seen(nodes=lambda o: o.nodes - o.nodes.mean(0)),
        "step 1: game 0 alone is observed otherwise than in the batch",
    ),
    (Sums(), seen(nodes=lambda o: o.nodes + 1), "agent 1 has features beyond its role's 1"),
    (Sums(), seen(action_mask=lambda o: ~o.action_mask), "agent 1 has choices beyond its role's"),
    (PLANE, seen(edges=lambda o: o.edges + 12), "an edge leads to a node that is not among 12"),
    (PLANE, seen(edges=lambda o: -1 - o.edges), "an edge leads to a node that is not among 12"),
    (PLANE, seen(edges=lambda o: o.edges.int()), "edges has .* torch.int32"),
    (PLANE, seen(edges=crossing), "an edge joins two games"),
    (PLANE, seen(edges=lambda o: o.edges.flip(1)), "edges not sorted by game"),
    (PLANE, seen(edge_features=lambda o: o.edge_features[1:]), "edge_features has the shape"),
    (PLANE, seen(edge_features=lambda o: o.edge_features / 0), "edge_features is not finite"),
    (GRID, scribble_on("cell"), r"step 1: step changed the old state \(cell\)"),
    (GRID, scribble_on(None), "step 1: step changed the actions given"),
    (GRID, stating(lambda s: replace(s, steps=s.steps.float())), r"steps has .* torch.float32"),
    (GRID, stating(clocked), "step 1: from State to Clocked; keep the type"),
    (CLOCK, stating(lambda s: replace(s, clock=s.clock + 1)), "Clocked.clock changed and is no"),
    (CLOCK, stating(lambda s: replace(s, clock=[s.cell])), "Clocked.clock changed and is no"),
    (GRID, stepped(reward=lambda s: s.reward[:, :1]), "reward has the shape"),
    (GRID, stepped(reward=lambda s: s.reward / 0), r"step 1: reward is not finite at \[0, 0\]"),
    (GRID, stepped(terminated=lambda s: s.terminated.all(1)), "terminated has the shape"),
    (GRID, stepped(truncated=lambda s: s.truncated.float()), "truncated has .* torch.float32"),
    (GRID, stepped(info=lambda s: {"left": 0.5}), "info 'left' must be a float32 tensor"),
    (GRID, stepped(info=lambda s: {"left": torch.zeros(1, 1)}), "info 'left' must be a float32"),
    (Counting(), lambda s: s, r"generator, state and actions give something else \(reward\)"),
    (MindsTheDead(), lambda s: s, "the action of an agent that does not act makes a difference"),
    (Reviving(), lambda s: s, "terminated was true of agent . .* and is no more"),
    (
        Shifts(),
        after("step", lambda r, *_: (r[0], replace(r[1], truncated=only_at_2(r)))),
        r"step 3: truncated was true of agent 0 \(game 0\) and is no more",
    ),
    (Shifts(), seen(acting=lambda o: o.acting | True), "step 3: .* 0 acts though it has left"),
    (GRID, after("observe", lambda o, *_: vars(o)), "observe gives a dict; give an Observation"),
    (GRID, after("step", lambda r, *_: (r[0], vars(r[1]))), "step gives a dict; give a Step"),
    (GRID, seen(edges=lambda o: None), "edges is a NoneType; make it a tensor"),
    (GRID, after("step", mean_over_games), "game 0 alone goes on otherwise than in the batch"),
    (PLANE, stepped(reward=lambda s: s.reward.detach()), "rewards do not hang on actions"),
    (
        PLANE,
        stepped(reward=lambda s: s.reward.detach() + 0 * s.reward),
        "the gradient of rewards to actions is 0 everywhere",
    ),
    (
        PLANE,
        stepped(reward=lambda s: s.reward + 0 * (s.reward.detach() - s.reward).sqrt()),
        "step 1: the gradient of the rewards to the action is not finite",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("sound", "break_it", "message"), BROKEN)
def test_a_broken_promise_is_found(sound, break_it, message):
    check_simulator(sound, batch=3, steps=12, seed=1) if type(sound) in (
        Exits,
        Navigation,
    ) else None
    with pytest.raises(InputError, match=message) as error:
        check_simulator(break_it(sound), batch=3, steps=12, seed=1)
    assert "\n" not in str(error.value)
    assert str(error.value).lower().startswith(sound.spec.name)


@pytest.mark.parametrize("simulator", [Exits(), Exits(num_agents=6, size=2), Sums()], ids=str)
def test_random_actions_are_legal_and_uniform(simulator):
    generator = torch.Generator().manual_seed(0)
    state = simulator.reset(3, generator)
    observed = simulator.observe(state)
    mask, counts = observed.action_mask[:, 0], torch.zeros(3, simulator.spec.mask_width)
    for _ in range(1500):
        actions = random_actions(simulator.spec, observed, generator)
        check_actions(simulator.spec, observed, actions, "drawn")
        first = 0
        for part, size in enumerate(simulator.spec.roles[0].sizes):
            counts[torch.arange(3), first + actions[:, 0, part].long()] += 1
            first += size
    assert not counts[~mask].any()
    first = 0
    for size in simulator.spec.roles[0].sizes:
        expected = 1500.0 / mask[:, first : first + size].sum(1, keepdim=True)
        spread = ((counts - expected)[:, first : first + size])[mask[:, first : first + size]].abs()
        assert (spread < 5 * 1500**0.5 / 2).all()  # five standard deviations at most
        first += size


@pytest.mark.parametrize(
    ("simulator", "agent", "action", "message"),
    [
        (Exits(), 1, [5], r"agent 1: the action \[5\] is not legal \(game 2\)"),
        (Exits(), 1, [-1], r"agent 1: the action \[-1\] is not legal"),
        (Sums(), 0, [1.0, 0.0], r"agent 0: the action \[1.0, 0.0\] is not legal"),  # masked
        (Sums(), 0, [0.0, 0.5], "agent 0: .* is not legal"),
        (Sums(), 0, [0.0, float("nan")], "agent 0: .* is not legal"),
        (Sums(), 1, [-0.1, 0.0], r"agent 1: the action \[-0.1.*\] is not legal"),
        (Navigation(), 3, [0.0, 1.2], r"agent 3: the action \[0.0, 1.2.*\] is not legal"),
        (Navigation(), 3, [0.0, float("nan")], r"agent 3: the action \[0.0, nan\] is not legal"),
    ],
)
def test_actions_that_are_not_legal(simulator, agent, action, message):
    generator = torch.Generator().manual_seed(0)
    observed = simulator.observe(simulator.reset(3, generator))
    actions = random_actions(simulator.spec, observed, generator)
    actions[2, agent] = torch.tensor(action).to(actions.dtype)
    with pytest.raises(InputError, match=message):
        check_actions(simulator.spec, observed, actions, "played")
    silent = replace(observed, acting=observed.acting & False)
    check_actions(simulator.spec, silent, actions, "played")
    with pytest.raises(InputError, match="actions have the shape"):
        check_actions(simulator.spec, observed, actions[:, :1], "played")


def test_a_vector_of_a_simulator_plays_on_and_resumes():
    def play(vector, steps):
        found = []
        for _ in range(steps):
            actions = random_actions(vector.spec, observed[-1], choices)
            step, following, _ = vector.step(actions)
            observed.append(following)
            found.append((step.reward, following.nodes, following.acting))
        return found

    vector, observed = SimulatorVector(Exits(wind=0.2), 5), []
    observed.append(vector.reset(7))
    choices = torch.Generator().manual_seed(0)
    play(vector, 30)
    saved, drawn = vector.state(), choices.get_state()
    first = play(vector, 30)
    other = SimulatorVector(Exits(wind=0.2), 5)
    observed.append(other.restore(saved))
    choices.set_state(drawn)
    for a, b in zip(first, play(other, 30), strict=True):
        assert all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize("games", [1, 8])
def test_who_is_cut_off_in_a_game_that_goes_on_is_seen_once(games):
    """Whatever other games do, and across a restore."""
    vector, cuts = SimulatorVector(Shifts(), games), 0
    vector.reset(3)
    actions = torch.zeros(games, 2, 1, dtype=torch.int64)
    for _ in range(40):
        time = vector.state()[0].time + 1
        saved = vector.state()
        step, _, final = vector.step(actions)
        assert (final is not None) == bool((time == 2).any())
        if final is not None:
            cuts += 1
            assert torch.equal(final.nodes[:, 0, 0], time.float())
        again = SimulatorVector(Shifts(), games)
        again.restore(saved)
        assert (again.step(actions)[2] is None) == (final is None)
        assert torch.equal(step.truncated[:, 0], time >= 2)
    assert cuts >= 40 // 7
    vector.reset(3)
    assert [vector.step(actions)[2] is None for _ in range(2)] == [True, False]


WRONG_SHAPES = [
    (stepped(reward=lambda s: s.reward.sum(1)), r"step 1: reward has the shape \(3,\)"),
    (stepped(terminated=lambda s: s.terminated.all(1)), r"step 1: terminated has the shape"),
    (stepped(reward=lambda s: s.reward.double()), "step 1: reward has .* torch.float64"),
    (stepped(info=lambda s: {"left": 0.5}), "step 1: info 'left' must be"),
    (seen(acting=lambda o: o.acting[:, 0]), r"step 0: observe: acting has the shape \(3,\)"),
    (seen(nodes=lambda o: o.nodes.double()), "step 0: observe: nodes has .* torch.float64"),
    (seen(action_mask=lambda o: o.action_mask & False), "step 0: .* agent 0 acts but has no legal"),
]


@pytest.mark.parametrize(("break_it", "message"), WRONG_SHAPES)
def test_a_simulator_of_wrong_shapes_is_found_when_it_is_first_played(break_it, message):
    """Three games of three agents, among which a reward a game would be one an agent."""
    vector = SimulatorVector(break_it(GRID), 3)
    with pytest.raises(InputError, match=f"exits: {message}.*; fix the simulator"):
        play_once(vector)


def play_once(vector):
    vector.reset(0)
    vector.step(torch.zeros(3, 3, 1, dtype=torch.int64))


NOT_FINITE = [
    (seen(nodes=lambda o: o.nodes * np.nan), "observation of agent 0 is not finite at step 0"),
    (stepped(reward=lambda s: s.reward / 0), "reward of agent 0 is not finite at step 1"),
]


@pytest.mark.parametrize(("break_it", "message"), NOT_FINITE)
def test_numbers_that_are_not_finite_are_said_to_be_an_agents(break_it, message):
    vector = SimulatorVector(break_it(GRID), 3)
    with pytest.raises(InputError, match=f"exits: the {message}"):
        play_once(vector)


@pytest.mark.parametrize("name", ["", "a/b", "a:b", 'a"', "a\n", "a.", "a "])
def test_names_of_roles_that_no_file_can_have(name):
    with pytest.raises(InputError, match="policies are filed by their roles"):
        Role(name, gymnasium.spaces.Discrete(2), features=1)


VIEWS = [Navigation(max_steps=30), Navigation(layout="corridor", max_steps=12), Exits(), Sums()]


@pytest.mark.parametrize("simulator", VIEWS, ids=str)
@pytest.mark.filterwarnings("error::UserWarning")
def test_pettingzoo_accepts_the_view(simulator, capsys):
    parallel_api_test(parallel_env(simulator), num_cycles=60)
    assert "Passed" in capsys.readouterr().out
    # Masks are known to the turn-based test only; the other draws blindly.
    seed_test(lambda: parallel_to_aec(parallel_env(simulator)), num_cycles=30)
    if isinstance(simulator, Navigation):
        parallel_seed_test(lambda: parallel_env(simulator), num_cycles=30)


@pytest.mark.parametrize("simulator", VIEWS, ids=str)
def test_the_view_shows_what_the_simulator_does(simulator):
    """Played side by side: rewards, ends and own features of the one are those of the other."""
    env, spec = parallel_env(simulator), simulator.spec
    shown, infos = env.reset(seed=5)
    state = env._state
    choices = torch.Generator().manual_seed(2)
    for _ in range(60):
        observed = simulator.observe(state)
        actions = random_actions(spec, observed, choices)
        given = {}
        for name in env.agents:
            i = env.possible_agents.index(name)
            role = spec.roles[spec.role_of[i]]
            own = shown[name] if not role.sizes else shown[name]["observation"]
            assert env.observation_space(name).contains(shown[name])
            np.testing.assert_array_equal(
                own[: role.features], observed.nodes[0, i, : role.features]
            )
            if role.sizes:
                parts = shown[name]["action_mask"]
                laid = np.concatenate(parts) if isinstance(parts, tuple) else parts
                np.testing.assert_array_equal(laid, observed.action_mask[0, i, : len(laid)])
            action = actions[0, i, : role.action_width].numpy().astype(role.action_space.dtype)
            single = isinstance(role.action_space, gymnasium.spaces.Discrete)
            given[name] = int(action[0]) if single else action
        before = list(env.agents)
        shown, reward, terminated, truncated, infos = env.step(given)
        state, step = simulator.step(state, actions, torch.Generator())
        for name in before:
            i = env.possible_agents.index(name)
            assert reward[name] == step.reward[0, i].item()
            assert terminated[name] == step.terminated[0, i].item()
            assert truncated[name] == step.truncated[0, i].item()
        if step.over[0]:
            name = before[0]
            assert infos[name] == {k: v[0].item() for k, v in step.info.items()}
            break
        assert not any(infos.values())
    assert env.agents == []
    with pytest.raises(InputError, match="no game is under way; call reset first"):
        env.step({})


def test_neighbours_are_the_nearest():
    simulator = Navigation(agents=5, obstacles=2, communication=3.0, area=2.0)
    env = parallel_env(simulator, neighbours=3)
    shown, _ = env.reset(seed=1)
    state = env._state
    for i, name in enumerate(env.agents):
        rows = shown[name][7:].reshape(3, 1 + 5 + 7)
        nearest = state.clearance[0, :, i].sort().values[:3] / simulator.communication
        np.testing.assert_allclose(rows[:, 5], nearest, atol=1e-6)
        assert (rows[:, 0] == 1).all()
    alone = parallel_env(replace(simulator, communication=0.1001), neighbours=3)
    shown, _ = alone.reset(seed=1)
    assert not any(shown[name][7:].any() for name in alone.agents)
    assert parallel_env(simulator).observation_space("agent_0").shape == (7 + 4 * 13,)
    assert parallel_env(simulator, neighbours=0).observation_space("agent_0").shape == (7,)


def test_games_of_a_view_follow_from_the_seed():
    env = parallel_env(Exits())
    first = [env.reset(seed=4)[0], env.reset()[0]]
    again = [env.reset(seed=4)[0], env.reset()[0]]
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a["agent_0"]["observation"], b["agent_0"]["observation"])
    assert any(
        (first[0][name]["observation"] != first[1][name]["observation"]).any() for name in first[0]
    )


def test_pictures_of_a_view():
    env = parallel_env(Navigation(agents=2), render_mode="rgb_array")
    env.reset(seed=0)
    picture = env.render()
    assert picture.shape == (508, 480, 3)
    assert picture.dtype == np.uint8
    assert parallel_env(Navigation()).render() is None


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: parallel_env(Navigation(), render_mode="human"), "unknown render mode 'human'"),
        (lambda: parallel_env(Exits(), render_mode="rgb_array"), "exits: has no pictures"),
        (lambda: parallel_env(Exits(), neighbours=-1), "neighbours is -1; give 0 or more"),
    ],
)
def test_views_that_cannot_be(make, message):
    with pytest.raises(InputError, match=message):
        make()


@pytest.mark.parametrize(
    ("simulator", "change", "message"),
    [
        (Exits(), {"agent_9": 0}, "exits: step 1: agent_9 is not in the game"),
        (Exits(), {"agent_0": None}, "step 1: agent_0 is to act; give it an action"),
        (Exits(), {"agent_1": 7}, r"step 1: agent 1: the action \[7\] is not legal"),
        (Exits(), {"agent_1": 0.5}, r"agent_1: the action 0.5 is not in Discrete\(5\)"),
        (Exits(), {"agent_1": "north"}, "agent_1: the action 'north' is not in Discrete"),
        (Exits(), {"agent_1": [0, 0]}, r"agent_1: the action \[0, 0\] is not in Discrete"),
        (Navigation(), {"agent_2": [0.0, 2.0]}, r"agent 2: the action \[0.0, 2.0\] is not legal"),
    ],
)
def test_a_view_refuses_what_is_not_legal(simulator, change, message):
    env = parallel_env(simulator)
    shown, _ = env.reset(seed=0)
    discrete = isinstance(simulator, Exits)
    actions = {name: 0 if discrete else np.zeros(2, np.float32) for name in shown} | change
    actions = {name: action for name, action in actions.items() if action is not None}
    with pytest.raises(InputError, match=message):
        env.step(actions)
