"""Every game through one door: names of all kinds, files, objects, and a user's own simulator."""

import textwrap

import numpy as np
import pytest
import torch

import games
from analysis import expected_values, nash
from analysis.references import REFERENCES, comparable_reference, reference
from games.adapters.pettingzoo.game import PettingZooGame
from games.adapters.simulator import SimulatorGame
from games.adapters.tree import TreeVector
from games.listing import list_simulators, suited
from games.load import held_out
from games.names import SIMULATORS, altered, parse
from games.navigation.navigation import Navigation
from games.simulators.metrics import metric
from games.simulators.vector import SimulatorVector
from marl.evaluation.actors import Uniform
from marl.evaluation.episodes import evaluate
from marl.evaluation.exact import InformationSets
from marl.evaluation.watching import Watching
from scenarios import Run
from scenarios.cli import _main

EFG = """EFG 2 R "Guess a card" { "1" "2" }
c "" 1 "" { "high" 1/4 "low" 3/4 } 0
p "" 1 1 "saw high" { "call" "fold" } 0
p "" 2 1 "asked" { "yes" "no" } 0
t "" 1 "" { 4, 4 }
t "" 2 "" { -1, -2 }
t "" 3 "" { 0, 1 }
p "" 1 2 "saw low" { "call" "fold" } 0
p "" 2 1 "asked" { "yes" "no" } 0
t "" 4 "" { -3, 3 }
t "" 5 "" { 2, -2 }
t "" 6 "" { 0, 1 }
"""
OWN = """
from dataclasses import dataclass, replace
import gymnasium, numpy as np, torch
import games
from games.simulators.metrics import Metric
from games.simulators.references import Reference
from games.simulators.simulator import Observation, Role, Spec, Step, no_edges

@dataclass(frozen=True)
class State:
    shown: torch.Tensor  # [B]
    steps: torch.Tensor  # [B]

@games.register_simulator("copycat")
@dataclass(frozen=True)
class Copycat:
    '''One agent that is to say the number that it is shown.'''
    numbers: int = 3
    length: int = 4
    differentiable = False

    @property
    def spec(self):
        role = Role("cat", gymnasium.spaces.Discrete(self.numbers), self.numbers)
        return Spec("copycat", (role,), (0,), 1, metrics=(Metric("cost", "less", label="price"),))

    def reset(self, batch, generator):
        shown = torch.randint(self.numbers, (batch,), generator=generator)
        return State(shown, torch.zeros(batch, dtype=torch.int64))

    def step(self, state, actions, generator):
        right = actions[:, 0, 0] == state.shown
        shown = torch.randint(self.numbers, (len(right),), generator=generator)
        new = State(shown, state.steps + 1)
        over = (new.steps >= self.length)[:, None]
        cost = 2.0 - right.float()
        return new, Step(-cost[:, None], over, torch.zeros_like(over), {"cost": cost})

    def observe(self, state):
        nodes = torch.nn.functional.one_hot(state.shown, self.numbers).float()[:, None]
        free = torch.ones(len(nodes), 1, self.numbers, dtype=torch.bool)
        return Observation(nodes, *no_edges(nodes), free[..., 0], free)

    def reference(self):
        return Reference(1.0, "optimum", "say what is shown")

    def frame(self, state, game=0):
        return np.full((4, 6, 3), 40 * int(state.shown[game]), np.uint8)
"""


LEARN = """
game = "{game}"
seed = 3
[method]
name = "ppo"
num_envs = 32
rollout_length = 16
learning_rate = 0.01
[network]
hidden = [16]
[stop]
steps = 20480
[exact]
every = 5
"""


@pytest.fixture
def card_game(tmp_path):
    pytest.importorskip("pygambit")
    (tmp_path / "card.efg").write_text(EFG)
    return str(tmp_path / "card.efg")


@pytest.fixture(scope="module")
def copycat(tmp_path_factory):
    """The module of a user's simulator, which registers it when it is imported."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "copycats.py").write_text(textwrap.dedent(OWN))
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        patch.setenv("SCHELLING_IMPORT", "copycats")
        yield "copycats"


@pytest.mark.parametrize(
    ("name", "kind", "players", "finite"),
    [
        ("kuhn_poker(players=3)", games.OpenSpielGame, 3, True),
        ("navigation(agents=3,layout=swap)", SimulatorGame, 3, False),
        ("inventory.lost_sales(lead_time=2)", SimulatorGame, 1, False),
        ("games.navigation.navigation:Navigation(agents=2)", SimulatorGame, 2, False),
        ("pettingzoo:mpe2.simple_spread_v3(N=2,max_cycles=5)", PettingZooGame, 2, False),
        ("tests.helpers.example_envs:Harbour", PettingZooGame, 3, False),
    ],
)
def test_every_kind_of_name(name, kind, players, finite):
    game = games.load(name)
    assert isinstance(game, kind)
    assert (game.name, game.num_players) == (name, players)
    assert games.load(game) is game  # what is a game already passes through
    at_work = game.vector(2)
    assert (at_work.num_envs, at_work.spec.num_agents) == (2, players)
    assert type(games.vector(game, 2)) is type(games.vector(name, 2)) is type(at_work)
    assert game.reference() is None
    assert (game.renderer() is not None) == (kind is SimulatorGame)
    if kind is SimulatorGame:
        assert game.simulator() is games.simulator(game) is game.made
    else:
        with pytest.raises(games.InputError, match="is no simulator"):
            game.simulator()
    if finite:
        assert game.sequence_form().num_players == players
        return
    with pytest.raises(games.GameError, match="no equilibria to find") as caught:
        game.sequence_form()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "given", [3, None, "", "nosuch.xyz", "games/nosuch", "navigaton", object()]
)
def test_what_is_no_game(given):
    with pytest.raises(games.InputError) as caught:
        games.load(given)
    assert "\n" not in str(caught.value)


def test_objects_are_taken_wherever_names_are():
    made = Navigation(agents=2, max_steps=5)
    named = games.vector("navigation(agents=2,max_steps=5)", 3)
    own = games.vector(made, 3)
    assert isinstance(own, SimulatorVector)
    assert torch.equal(own.reset(4).nodes, named.reset(4).nodes)
    assert games.simulator(made) is made
    assert suited(made, lambda one: one.differentiable) is made
    assert suited(games.load("kuhn_poker"), lambda one: True) is None
    table = games.NormalForm.from_payoffs([np.eye(2), -np.eye(2)])
    assert games.load(table) is table
    assert isinstance(games.vector(table, 2), TreeVector)


def test_names_are_altered_and_held_out():
    assert altered("navigation(agents=2)", {"agents": 3}) == "navigation(agents=3)"
    assert held_out("inventory.lost_sales(traces=8)") == "inventory.lost_sales(traces=None)"
    assert held_out("a/b.efg") == altered("a/b.efg", {}) == "a/b.efg"
    assert held_out("inventory.lost_sales(periods=9)") == "inventory.lost_sales(periods=9)"
    assert parse("a/b-c.efg") == ("a/b-c.efg", {})
    with pytest.raises(games.InputError, match="OpenSpiel's parameters"):
        altered("kuhn_poker", {"players": 3})


def test_a_tree_in_a_file_is_played_as_it_is(card_game):
    """Mean returns of uniform play are the exact ones, within four standard errors."""
    game = games.load(card_game)
    exact = expected_values(game, games.Strategy.uniform(game.sequence_form()))
    at_work = game.vector(1)
    assert at_work.spec.features == 3  # information sets of both players
    played = evaluate(Uniform(at_work.spec), card_game, episodes=4000, seed=3)
    error = played.returns.std(axis=0, ddof=1) / np.sqrt(4000)
    assert (np.abs(played.returns.mean(axis=0) - exact) < 4 * error).all()
    assert set(played.steps) == {1.0, 2.0}


def test_ppo_learns_a_tree_in_a_file(card_game, tmp_path):
    """NashConv of the first policy falls, and what it plays is worth what its strategy says."""
    (tmp_path / "card.toml").write_text(LEARN.format(game=card_game))
    assert _main(["run", str(tmp_path / "card.toml"), "--out", str(tmp_path / "runs")]) == 0
    run = Run.load(tmp_path / "runs")
    told = run.metrics["nash_conv"].dropna()
    assert told.iloc[-1] < 0.2 * told.iloc[0]
    policy = run.policy()
    strategy = InformationSets(card_game).strategy(policy)
    exact = expected_values(games.load(card_game), strategy)
    played = evaluate(policy, card_game, episodes=3000, seed=8)
    error = played.returns.std(axis=0, ddof=1) / np.sqrt(3000)
    assert (np.abs(played.returns.mean(axis=0) - exact) < 4 * error + 1e-9).all()


def test_a_simulator_with_a_root_can_be_solved():
    game = games.load(Coins(agents=2))
    assert game.sequence_form().num_players == 2
    found = nash(game)
    np.testing.assert_allclose(found.values, [1 / 5, -1 / 5], atol=1e-6)
    with pytest.raises(games.GameError, match="give it root"):
        games.load(Navigation()).root()


def test_a_trees_players_see_their_information_sets(card_game):
    at_work = games.vector(card_game, 64)
    seen = at_work.reset(1)
    assert seen.acting.tolist() == [[True, False]] * 64
    first = seen.nodes[:, 0].argmax(dim=1)
    assert set(first.tolist()) == {0, 1}
    assert 8 <= int((first == first.mode().values).logical_not().sum()) <= 24  # a quarter
    assert not seen.nodes[:, 1].any()  # has not moved yet
    calls = torch.zeros(64, 2, 1, dtype=torch.int64)
    told = at_work.told(calls)
    assert told[1] == "player 0: call"
    saved = at_work.state()
    step, seen, _ = at_work.step(calls)
    assert seen.acting.tolist() == [[False, True]] * 64
    assert (seen.nodes[:, 1].argmax(dim=1) == 2).all()
    assert torch.equal(seen.nodes[:, 0].argmax(dim=1), first)  # remembers where it was
    again = at_work.restore(saved)
    assert torch.equal(again.nodes[:, 0].argmax(dim=1), first)
    for expected in (step, at_work.step(calls)[0]):
        assert torch.equal(expected.reward, step.reward)
    wrong = calls.clone()
    wrong[3, 1] = 5
    with pytest.raises(games.InputError, match="player 1: action 5 is not legal"):
        at_work.step(wrong)


def test_a_users_simulator_is_a_game_like_any_other(copycat, tmp_path):
    game = games.load("copycat(numbers=2)")
    assert isinstance(game, SimulatorGame)
    assert "copycat" in SIMULATORS
    assert "copycat" in [row["simulator"] for row in list_simulators()]
    assert games.load(f"{copycat}:Copycat(numbers=2)").made == game.made
    found = metric("eval_cost", game.spec.metrics)
    assert (found.better, found.label) == ("less", "price")
    assert reference("copycat") == comparable_reference(game) == game.reference()
    assert reference(game).value == 1.0
    assert reference("kuhn_poker") is reference("navigation") is None
    watching = Watching("copycat(length=3)", tmp_path / "cat.gif", False)
    played = evaluate(Uniform(game.spec), "copycat(length=3)", episodes=1, watch=watching)
    assert played.steps[0] == 3
    watching.finish()
    assert len(watching.frames) == 4
    assert (tmp_path / "cat.gif").exists()
    games.check_simulator(game.made)
    with pytest.raises(games.InputError, match="did you mean copycat"):
        games.load("copycatt")
    with pytest.raises(games.InputError, match="exists already"):
        games.register_simulator("navigation")(type(game.made))


def test_a_reference_may_be_registered_for_a_class():
    name = f"{__name__}:Priced"
    assert reference(Priced()) is None
    REFERENCES.register(name)(lambda made, as_played: None if as_played else made.known)
    try:
        assert reference(Priced(agents=1)) == "known"
        assert reference(Cheaper(agents=1)) == "known"  # of its base
        assert comparable_reference(Priced(agents=1)) is None
    finally:
        del REFERENCES._entries[name]


class Coins(Navigation):
    """A simulator whose game is finite, too: both show a coin, and heads pay twice."""

    def root(self):
        return games.NormalForm.from_payoffs([[[2, -2], [-1, 1]], [[-1, 1], [1, -1]]]).root()


class Priced(Navigation):
    known = "known"


class Cheaper(Priced):
    pass
