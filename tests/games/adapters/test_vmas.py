"""Scenarios of VMAS as games: the same play as VMAS's own environments, and all that games can do.

The oracle is `vmas.make_env`: the same seed, the same actions, the same observations and rewards.
"""

import pickle
import subprocess
import sys
import warnings

import numpy as np
import pytest
import torch
from pettingzoo.test import parallel_api_test

import games
import marl
from games.adapters.pettingzoo.parallel_env import parallel_env
from games.adapters.vmas.package import names
from games.adapters.vmas.randomness import package
from games.common.errors import InputError
from games.listing import list_simulators, suited
from games.simulators.legal_actions import random_actions
from games.simulators.simulator import put, take
from scenarios.cli import _main

pytestmark = pytest.mark.filterwarnings("ignore:Force limits not specified")  # of vel_control
make_env = package().make_env
# Game, as here; scenario and keywords, as VMAS has them; what is special about it.
SCENARIOS = [
    ("vmas:balance(agents=4)", "balance", {"n_agents": 4}, "shaping kept on the scenario"),
    ("vmas:navigation(agents=3)", "navigation", {"n_agents": 3}, "sensors"),
    ("vmas:simple_tag", "simple_tag", {}, "two roles"),
    ("vmas:simple_reference", "simple_reference", {}, "words, and goals that a world shares"),
    ("vmas:wind_flocking", "wind_flocking", {}, "one tensor at two places"),
    ("vmas:vel_control", "vel_control", {}, "controllers with integrators"),
    ("vmas:diff_drive", "diff_drive", {}, "actions of two widths"),
    ("vmas:drone", "drone", {}, "dynamics with a state"),
    ("vmas:dropout", "dropout", {}, "one tensor at two places, ends"),
    ("vmas:football", "football", {}, "agents that play by a script"),
]
IDS = [row[1] for row in SCENARIOS]


def bare(scenario, keywords, games_, seed=7, **options):
    """VMAS's own environment, and what its agents see at the start of a game."""
    made = make_env(scenario, num_envs=games_, terminated_truncated=True, **options, **keywords)
    return made, made.reset(seed=seed)


def same(nodes, seen):
    """Whether nodes [B, N, F] show what VMAS's agents see, and 0 where one sees less."""
    for agent, own in enumerate(seen):
        torch.testing.assert_close(nodes[:, agent, : own.shape[1]], own, rtol=0, atol=1e-6)
        assert not nodes[:, agent, own.shape[1] :].any()


def parts(spec, actions):
    return [
        actions[:, agent, : spec.roles[k].action_width].clone()
        for agent, k in enumerate(spec.role_of)
    ]


@pytest.mark.parametrize("game", [*(row[0] for row in SCENARIOS), "vmas:het_mass"])
def test_the_contract_of_simulators(game):
    games.check_simulator(games.load(game).simulator(), batch=3, steps=6)


@pytest.mark.parametrize(("game", "scenario", "keywords", "_"), SCENARIOS, ids=IDS)
def test_equal_to_vmas(game, scenario, keywords, _):
    simulator = games.load(game).simulator()
    generator, choices = torch.Generator().manual_seed(7), torch.Generator().manual_seed(1)
    state = simulator.reset(4, generator)
    env, seen = bare(scenario, keywords, 4)
    same(simulator.observe(state).nodes, seen)
    for _step in range(12):
        actions = random_actions(simulator.spec, simulator.observe(state), choices)
        state, step = simulator.step(state, actions, generator)
        seen, reward, over, _, infos = env.step(parts(simulator.spec, actions))
        same(simulator.observe(state).nodes, seen)
        torch.testing.assert_close(step.reward, torch.stack(reward, 1), rtol=0, atol=1e-6)
        assert torch.equal(step.terminated[:, 0], over)
        for key, value in step.info.items():
            if value.dim() == 2 and infos[0][key].dim() == 1:
                expected = torch.stack([info[key] for info in infos], 1).float()
                torch.testing.assert_close(value, expected, rtol=0, atol=1e-6)


def test_the_front_door():
    game = games.load("vmas:simple_spread(agents=2)")
    assert (game.name, game.num_players) == ("vmas:simple_spread(agents=2)", 2)
    assert game.reference() is None
    with pytest.raises(games.GameError, match="cannot be listed"):
        game.sequence_form()


def test_pettingzoo_s_view():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        view = parallel_env(games.load("vmas:simple_tag(max_steps=20)").simulator())
        parallel_api_test(view, num_cycles=50)


@pytest.mark.parametrize(
    ("options", "sizes"), [("", (9,)), (",multidiscrete=true", (3, 3))], ids=["one", "several"]
)
def test_discrete_actions_are_vmas_s_own(options, sizes):
    simulator = games.load(f"vmas:transport(continuous=false{options})").simulator()
    assert simulator.spec.roles[0].sizes == sizes
    assert not simulator.differentiable
    generator, choices = torch.Generator().manual_seed(7), torch.Generator().manual_seed(1)
    state = simulator.reset(4, generator)
    env, _ = bare(
        "transport", {}, 4, continuous_actions=False, multidiscrete_actions=len(sizes) > 1
    )
    for _step in range(8):
        actions = random_actions(simulator.spec, simulator.observe(state), choices)
        assert actions.dtype == torch.int64
        state, step = simulator.step(state, actions, generator)
        seen, reward, *_ = env.step(parts(simulator.spec, actions))
        same(simulator.observe(state).nodes, seen)
        torch.testing.assert_close(step.reward, torch.stack(reward, 1), rtol=0, atol=1e-6)


@pytest.mark.parametrize("scenario", ["balance", "navigation", "simple_speaker_listener"])
def test_some_games_restart_and_the_others_go_on(scenario):
    """Games are put out of three worlds of VMAS into one of ours, and go on as they would there."""
    simulator = games.load(f"vmas:{scenario}").simulator()
    spec, choices = simulator.spec, torch.Generator().manual_seed(1)
    state = simulator.reset(4, torch.Generator().manual_seed(7))
    old, _ = bare(scenario, {}, 4)
    actions = [random_actions(spec, simulator.observe(state), choices) for _ in range(8)]
    for played in actions[:4]:
        state, _step = simulator.step(state, played, torch.Generator())
        old.step(parts(spec, played))
    fresh = simulator.reset(2, torch.Generator().manual_seed(9))
    state = put(state, torch.tensor([1, 3]), fresh)
    new, _ = bare(scenario, {}, 2, seed=9)
    for played in actions[4:]:
        state, step = simulator.step(state, played, torch.Generator())
        for env, mine in ((old, [0, 2]), (new, [1, 3])):
            given = played if env is old else played[mine]
            seen, reward, *_ = env.step(parts(spec, given))
            at = mine if env is old else [0, 1]
            same(simulator.observe(state).nodes[mine], [own[at] for own in seen])
            expected = torch.stack(reward, 1)[at]
            torch.testing.assert_close(step.reward[mine], expected, rtol=0, atol=1e-6)


def test_games_with_different_masses_go_on_together():
    """In `het_mass` all games of a world have the masses that were drawn, by numpy, for them."""
    simulator, generator = games.load("vmas:het_mass").simulator(), torch.Generator().manual_seed(0)
    first, second = simulator.reset(2, generator), simulator.reset(2, generator)
    assert not torch.equal(first.shared, second.shared)
    mixed = put(first, torch.tensor([1]), take(second, torch.tensor([1])))
    actions = torch.ones((2, 2, 2))
    after = [simulator.step(state, actions, generator)[0] for state in (first, second, mixed)]
    expected = torch.stack((after[0].nodes[0], after[1].nodes[1]))
    torch.testing.assert_close(after[2].nodes, expected, rtol=0, atol=1e-6)
    assert not torch.allclose(after[0].nodes[1], after[2].nodes[1], atol=1e-3)
    assert torch.equal(mixed.shared, torch.stack((first.shared[0], second.shared[1])))


def test_games_are_truncated_at_their_length_and_restarted():
    game = games.load("vmas:simple_spread(agents=2,max_steps=3)")
    vector = game.vector(5)
    seen = vector.reset(0)
    choices = torch.Generator().manual_seed(0)
    for number in range(1, 7):
        step, seen, final = vector.step(random_actions(vector.spec, seen, choices))
        assert step.truncated.all() == (number % 3 == 0)
        assert not step.terminated.any()
        assert (final is not None) == (number % 3 == 0)
        if final is not None:
            assert not torch.equal(final.nodes, seen.nodes)


@pytest.mark.parametrize("game", ["vmas:balance(agents=3)", "vmas:het_mass(max_steps=9)"])
def test_resumed_play_is_the_same_to_the_last_bit(game):
    vector, choices = games.load(game).vector(6), torch.Generator().manual_seed(0)
    seen = vector.reset(3)
    actions = [random_actions(vector.spec, seen, choices) for _ in range(30)]
    for played in actions[:15]:
        vector.step(played)
    stored = pickle.dumps(vector.state())
    other = pickle.loads(pickle.dumps(games.load(game).simulator()))  # as sent to a worker
    again = type(vector)(other, 6)
    again.restore(pickle.loads(stored))
    for played in actions[15:]:
        (a, seen_a, _), (b, seen_b, _) = vector.step(played), again.step(played)
        assert torch.equal(a.reward, b.reward)
        assert torch.equal(a.terminated, b.terminated)
        assert torch.equal(seen_a.nodes, seen_b.nodes)


def test_the_gradient_is_that_of_finite_differences():
    """Of VMAS's own environment, whose rewards are summed over five steps."""
    simulator = games.load("vmas:navigation(agents=2,collisions=false)").simulator()
    assert simulator.differentiable
    assert suited("vmas:navigation(agents=2)", lambda s: s.differentiable) is not None
    drawn = torch.rand((5, 4, 2, 2), generator=torch.Generator().manual_seed(2)) - 0.5
    actions = drawn.clone().requires_grad_()
    state, total = simulator.reset(4, torch.Generator().manual_seed(7)), torch.zeros(())
    for played in actions:
        state, step = simulator.step(state, played, torch.Generator())
        total = total + step.reward.sum()
    (gradient,) = torch.autograd.grad(total, actions)

    def worth(tried):
        env, _ = bare("navigation", {"n_agents": 2, "collisions": False}, 4)
        return sum(
            float(torch.stack(env.step([p[:, 0], p[:, 1]])[1]).double().sum()) for p in tried
        )

    for seed in range(3):
        way = torch.randn(drawn.shape, generator=torch.Generator().manual_seed(seed))
        slope = (worth(drawn + 0.02 * way) - worth(drawn - 0.02 * way)) / 0.04
        np.testing.assert_allclose(float((gradient * way).sum()), slope, rtol=5e-3, atol=1e-4)


def test_hdpo_learns_to_navigate():
    """The return rises from that of play without a purpose to that of going most of the way."""
    plan = marl.Plan(
        game="vmas:navigation(agents=2,collisions=false,max_steps=30)",
        method=marl.HDPO(num_envs=16, updates=1, learning_rate=0.01),
    )
    with marl.train(plan) as training:
        rows = [training.step() for _ in range(8)]
    assert rows[0]["return"] < 0.4
    assert rows[-1]["return"] > 0.8


ROLES = [
    ("vmas:balance(agents=4)", ["agent"], (0, 0, 0, 0)),
    ("vmas:simple_tag", ["adversary", "agent"], (0, 0, 0, 1)),
    ("vmas:simple_speaker_listener", ["speaker", "listener"], (0, 1)),
    ("vmas:football(n_blue_agents=2,n_red_agents=2,ai_red_agents=false)",
     ["agent_blue", "agent_red"], (0, 0, 1, 1)),
]  # fmt: skip


@pytest.mark.parametrize(("game", "roles", "role_of"), ROLES)
def test_agents_of_one_kind_have_one_role(game, roles, role_of):
    spec = games.load(game).simulator().spec
    assert [role.name for role in spec.roles] == roles
    assert spec.role_of == role_of


def test_pictures_need_no_display():
    game = games.load("vmas:joint_passage")
    simulator, generator = game.simulator(), torch.Generator().manual_seed(0)
    states = [simulator.reset(2, generator)]
    for _ in range(2):
        actions = random_actions(simulator.spec, simulator.observe(states[-1]), generator)
        states.append(simulator.step(states[-1], actions, generator)[0])
    pictures = game.renderer()(states, 1)
    assert len(pictures) == 2
    assert pictures[0].shape == pictures[1].shape == (480, 480, 3)
    assert not np.array_equal(*pictures)
    other = simulator.frame(states[0], 1)
    alone = simulator.frame(take(states[0], torch.tensor([1])), 0)
    assert np.array_equal(other, alone)
    red = (np.abs(other.astype(int) - [191, 64, 64]).sum(axis=2) < 60).sum()
    assert red > 1000  # the walls of the passage


BAD = [
    ("vmas:balanc", "unknown scenario 'balanc': did you mean balance?"),
    ("vmas:", "unknown scenario ''"),
    ("vmas:balance(agent=4)", "there is no parameter 'agent': did you mean agents?"),
    ("vmas:balance(n_agents=4)", "there is no parameter 'n_agents': did you mean agents?"),
    ("vmas:simple(colour=red)", "there is no parameter 'colour'"),
    ("vmas:balance(agents=1)", "cannot be made: AssertionError: assert self.n_agents > 1"),
    ("vmas:balance(agents=many)", "cannot be made: TypeError"),
    ("vmas:balance(max_steps=0)", "max_steps: input should be greater than 0"),
    ("vmas:balance(continuous=red)", "continuous: "),
    ("vmas:balance(multidiscrete=true)", "multidiscrete=true needs continuous=false"),
    ("vmas:balance(package_mass={1:2})", "{1: 2} is no parameter of a scenario"),
    ("vmas:balance(4)", "every parameter needs its name"),
]


@pytest.mark.parametrize(("game", "said"), BAD)
def test_bad_input_is_told_in_one_line(game, said):
    state = torch.get_rng_state()
    with pytest.raises(InputError) as caught:
        games.load(game)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert torch.equal(state, torch.get_rng_state())


def test_the_command_exits_with_status_2(capsys):
    assert _main(["play", "vmas:balanc", "--players", "uniform"]) == 2
    assert "did you mean balance?" in capsys.readouterr().err


def test_a_missing_package_is_told_with_the_command(monkeypatch):
    package.cache_clear()
    for module in [name for name in sys.modules if name.split(".")[0] == "vmas"]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "vmas", None)
    with pytest.raises(InputError, match=r"vmas is missing.*pip install .*\[vmas\]"):
        games.load("vmas:balance")
    package.cache_clear()


def test_nothing_is_printed_and_nothing_else_is_drawn():
    code = (
        "import torch, games; torch.manual_seed(5); s = torch.get_rng_state();"
        "v = games.load('vmas:vel_control').vector(2); v.reset(0);"
        "v.step(torch.zeros(2, 3, 2)); assert torch.equal(s, torch.get_rng_state())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == done.stderr == ""


def test_the_list_of_simulators_has_scenarios():
    rows = {row["simulator"]: row for row in list_simulators()}
    assert "a scenario of VMAS" in rows["vmas:SCENARIO"]["description"]


@pytest.mark.slow
@pytest.mark.parametrize("scenario", names())
def test_every_scenario_can_be_played(scenario):
    vector, choices = games.load(f"vmas:{scenario}").vector(2), torch.Generator().manual_seed(0)
    seen = vector.reset(0)
    for _ in range(5):
        _, seen, _ = vector.step(random_actions(vector.spec, seen, choices))
