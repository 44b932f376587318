"""Players from text, and actors that read: rules, policies, strategies, planners."""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pytest
import torch

from games import InputError, Strategy, as_form, load
from games.common.seeds import seeds
from games.finite.kernels import plans
from games.load import simulator
from games.simulators.simulator import Observation, Role, Spec, Step, no_edges
from marl.evaluation.actors import Memoryless
from marl.evaluation.comparison import compare
from marl.evaluation.episodes import evaluate
from marl.evaluation.players import list_rules, player
from marl.evaluation.strategies import StrategyPlayer
from marl.networks.network import Network
from marl.networks.policy import Policy
from marl.rules import RULES
from marl.rules.inventory import BaseStock, RulePlayer, paths, perfect_information
from marl.rules.lot_sizing.plan import plan_all
from marl.rules.navigation import Fixed, Yielding

DISCS = "safe_navigation(agents=3,max_steps=20)"
STORE = "inventory.lost_sales(actions=quantities,periods=30,ignore=5)"
MACHINES = "lot_sizing(items=3,machines=2,periods=6)"
TABLE = "cooperation.matrix"
HERE = "tests.marl.evaluation.test_players"


def test_rules_by_name_are_the_rules():
    assert player("fixed(zeta=1)", DISCS) == Fixed(1.0)
    assert player(" Yielding(low=0.5, high=2) ", DISCS) == Yielding(0.5, 2.0)
    assert player("capped_base-stock(level=9,cap=3)", STORE).cap == 3
    assert player("(s, S)(point=3,level=9)", STORE).point == 3
    assert player("base-stock(level=(9,))", STORE).level == (9.0,)


@pytest.mark.parametrize("name", list(RULES))
def test_every_rule_is_listed_and_plays_its_game(name):
    rows = {row["rule"]: row for row in list_rules()}
    row = rows[name]
    assert row["description"].endswith((".", ":"))
    given = {"fixed": "(zeta=1)", "base-stock": "(level=20)", "echelon-stock": "(level=20)"}
    given |= {"capped-base-stock": "(level=20,cap=6)", "(s,S)": "(point=10,level=20)"}
    given |= {"quantile-newsvendor": "(quantile=0.8)"}
    games = {row["game"][:5]: DISCS} | {game[:5]: game for game in (DISCS, STORE, MACHINES, TABLE)}
    game = games[row["game"][:5]]
    played = evaluate(player(name + given.get(name, ""), game), game, episodes=2, seed=1)
    assert np.isfinite(played.returns).all()


@pytest.mark.parametrize(
    ("text", "game", "said"),
    [
        ("fixd(zeta=1)", DISCS, "did you mean fixed"),
        ("fixed(zeta=1)", STORE, "rules for this game: uniform, base-stock"),
        ("fixed(zeta=1)", "kuhn_poker", "rules for this game: uniform$"),
        ("fixed(zeta=true)", DISCS, "zeta: input should be a number, not true"),
        ("fixed(zeta=-1)", DISCS, "give a number above 0"),
        ("fixed(zet=1)", DISCS, "'zet': did you mean zeta"),
        ("fixed", DISCS, "zeta: field required"),
        ("fixed(1)", DISCS, r"fixed\(1\): parameters are written"),
        ("idle(zeta=1)", MACHINES, "'zeta': it takes none"),
        ("no/such/policy.pt", DISCS, "cannot read policy"),
        ("idle(", MACHINES, "unknown player"),
        (f"{HERE}:Redes", DISCS, "has no Redes: did you mean Reads"),
        (f"{HERE}:DISCS", DISCS, "a str cannot be called to make a player"),
    ],
)
def test_what_nobody_can_play_is_said_in_one_line(text, game, said):
    with pytest.raises(InputError, match=said) as caught:
        player(text, game)
    assert "\n" not in str(caught.value)


def test_numbers_go_together():
    half = player("capped-base-stock(level=20)", STORE)
    with pytest.raises(InputError, match="cap is missing: give level and cap, or none of them"):
        evaluate(half, STORE, episodes=1)


def test_a_rule_without_numbers_tunes_itself():
    """As good as the exact optimum of its kind, by other code, to a unit of stock."""
    from analysis.inventory.optima import best_base_stock

    game = simulator(STORE)
    tuned = player("base-stock", STORE).for_game(STORE, game.spec).rule
    best = best_base_stock(5.0, 4, holding=1, penalty=9)
    assert isinstance(tuned, BaseStock)
    assert abs(float(tuned.level[0]) - float(best.level)) <= 1


def test_runs_policies_and_strategies_by_their_paths(tmp_path):
    spec = simulator(DISCS).spec
    first, best = (Policy.new(DISCS, spec, Network(hidden=(8,)), seed=k) for k in (0, 1))
    first.save(tmp_path / "policy.pt")
    assert torch.equal(_head(player(str(tmp_path), DISCS)), _head(first))
    best.save(tmp_path / "best.pt")
    assert torch.equal(_head(player(str(tmp_path), DISCS)), _head(best))
    assert torch.equal(_head(player(str(tmp_path / "policy.pt"), DISCS)), _head(first))
    Strategy.uniform(as_form(load("kuhn_poker"))).save(tmp_path / "strategy.npz")
    assert player(str(tmp_path / "strategy.npz"), "kuhn_poker").game == "kuhn_poker"
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(InputError, match=r"has no best.pt, policy.pt or strategy.npz"):
        player(str(empty), DISCS)


def _head(policy):
    return next(iter(policy.networks.values())).head.weight


@pytest.mark.parametrize("name", ["kuhn_poker", "goofspiel(num_cards=3,points_order=descending)"])
def test_strategies_play_as_they_say(name):
    """Means of sampled play against expectations by plans over the form's leaves."""
    form = as_form(load(name))
    own = Strategy.random(form, np.random.default_rng(3))
    played = evaluate(StrategyPlayer(own), name, episodes=3000, seed=4)
    start = form.arrays.players[:-1].astype(int)
    plan = plans(form, own.behaviour(form))
    reach = np.prod([plan[s + form.leaf_sequence[:, i]] for i, s in enumerate(start)], axis=0)
    expected = reach @ form.leaf_utility
    error = played.returns.std(axis=0) / np.sqrt(3000)
    assert (np.abs(played.returns.mean(axis=0) - expected) < 4 * error + 1e-9).all()


def test_strategies_play_what_is_likeliest_and_know_their_game():
    form = as_form(load("kuhn_poker"))
    own = Strategy.random(form, np.random.default_rng(3))
    once = [
        evaluate(StrategyPlayer(own), "kuhn_poker", episodes=60, seed=4, greedy=True).returns
        for _ in range(2)
    ]
    assert np.array_equal(*once)
    with pytest.raises(
        InputError, match="this strategy, for kuhn_poker, lacks the information set"
    ):
        evaluate(StrategyPlayer(own), "leduc_poker", episodes=1)
    with pytest.raises(InputError, match="one of several actions"):
        evaluate(StrategyPlayer(own), DISCS, episodes=1)


def test_all_kinds_of_players_compare_in_the_same_games():
    form = as_form(load("kuhn_poker"))
    policy = Policy.new("kuhn_poker", _spec("kuhn_poker"), Network(hidden=(8,)))
    players = dict(
        uniform=player("uniform", "kuhn_poker"),
        exact=StrategyPlayer(Strategy.uniform(form)),
        policy=policy,
    )
    played = {name: evaluate(one, "kuhn_poker", episodes=20) for name, one in players.items()}
    assert {name: len(one.returns) for name, one in played.items()} == dict.fromkeys(players, 20)
    returns = compare("kuhn_poker", players, episodes=20, to="uniform")
    assert returns["metric"].tolist() == ["return"] * 3
    assert returns["mean"].tolist() == [one.own.mean() for one in played.values()]
    frame = compare(DISCS, {k: player(k, DISCS) for k in ("uniform", "yielding")}, episodes=3)
    assert set(frame["player"]) == {"uniform", "yielding"}


def _spec(name):
    from games.load import vector

    return vector(name, 1).spec


def test_planners_know_what_comes():
    """They pay what their programs say, game by game, in batches of other games too."""
    game = simulator(STORE)
    found = evaluate(player("perfect-information", STORE), STORE, episodes=5, seed=3)
    told = perfect_information(game, paths(game, 5, seed=seeds(3, 0, count=2)[0]), ignore=5)
    np.testing.assert_allclose(found.info["cost"], told.costs.by_path, rtol=1e-4)
    rule = evaluate(RulePlayer(game, BaseStock(torch.tensor([20.0]))), STORE, episodes=5, seed=3)
    assert (found.info["cost"] < rule.info["cost"]).all()
    plans = evaluate(player("plan", MACHINES), MACHINES, episodes=3, seed=2)
    _, known = plan_all(simulator(MACHINES), 3, seeds(2, 0, count=2)[0])
    np.testing.assert_allclose(plans.own, [one.reward for one in known], atol=1e-2)
    with pytest.raises(InputError, match="plan needs the games' seed"):
        player("plan", MACHINES).for_game(MACHINES, simulator(MACHINES).spec).start(2)


# A game that is told in words, and who reads it.


@dataclass(frozen=True)
class Words:
    asked: torch.Tensor  # [B] int64  0 or 1
    turn: torch.Tensor  # [B] int64


@dataclass(frozen=True)
class Riddle:
    """Say in three turns which word was written: left or right; what is seen says nothing."""

    rules: ClassVar = {"reader": f"{HERE}:Reads"}
    differentiable: ClassVar = False

    @property
    def spec(self):
        from gymnasium.spaces import Discrete

        return Spec("riddle", (Role("reader", Discrete(2), 1),), (0, 0), 2)

    def reset(self, batch, generator):
        drawn = torch.randint(2, (batch,), generator=generator)
        return Words(drawn, torch.zeros_like(drawn))

    def step(self, state, actions, generator):
        right = (actions[..., 0] == state.asked[:, None]).float()
        turn = state.turn + 1
        over = (turn == 3)[:, None].expand(-1, 2)
        return Words(1 - state.asked, turn), Step(right, over, torch.zeros_like(over))

    def observe(self, state):
        batch = len(state.turn)
        nodes = torch.zeros(batch, 2, 1)
        words = [["left", "right"][k] for k in state.asked.tolist()]
        acting = torch.ones(batch, 2, dtype=torch.bool)
        mask = torch.ones(batch, 2, 2, dtype=torch.bool)
        return Observation(nodes, *no_edges(nodes), acting, mask, [[w, "say " + w] for w in words])


class Reads(Memoryless):
    """Reads which word was written, and says it."""

    def for_game(self, game, spec):
        return self

    def act(self, seen, generator):
        told = [["right" in text for text in row] for row in seen.text]
        return torch.tensor(told)[..., None].long()


def test_an_actor_reads_what_is_written():
    from games import check_simulator

    check_simulator(Riddle())
    name = f"{HERE}:Riddle"
    played = evaluate(player("reader", name), name, episodes=40, seed=1)
    assert (played.returns == 3).all()
    assert evaluate(player("uniform", name), name, episodes=40).returns.mean() < 2
    seen = Riddle().observe(Riddle().reset(2, torch.Generator().manual_seed(0)))
    assert seen.to("meta").text == seen.text
    actor = StrategyPlayer(Strategy.uniform(as_form(load("kuhn_poker")))).for_game(
        "", Riddle().spec
    )
    with pytest.raises(InputError, match="does not name its information sets"):
        actor.act(replace(seen, text=None), None)


@pytest.mark.parametrize("view", ["planner", "graph"])
def test_rules_meet_policies_in_whatever_view_these_are_shown(view):
    """The rule is shown its own view of the same demand: its costs do not depend on the other's."""
    name = f"inventory.lost_sales(lead_time=2,penalty=9,periods=60,view={view})"
    own = "inventory.lost_sales(lead_time=2,penalty=9,periods=60,view=planner,actions=quantities)"
    text = "base-stock(level=20)"
    here = evaluate(player(text, name), name, episodes=8, seed=3)
    there = evaluate(player(text, own), own, episodes=8, seed=3)
    np.testing.assert_array_equal(here.info["cost"], there.info["cost"])
    # Chance is the same for all: after as many steps the generator stands where it does elsewhere.
    after = []
    for game in (simulator(name), simulator(own)):
        generator = torch.Generator().manual_seed(5)
        state = game.reset(4, generator)
        for _ in range(5):
            width = game.spec.action_width
            state, _ = game.step(state, torch.ones(4, game.spec.num_agents, width), generator)
        after.append(generator.get_state())
    assert torch.equal(*after)
