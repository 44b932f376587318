"""Common-payoff games: published payoffs, optima by listing all plays, trees, rules, pictures."""

import itertools
import json

import numpy as np
import pytest
import torch

import games
from analysis.references import reference
from games import InputError, check_simulator
from games.cooperation.common_payoff import CommonPayoff
from games.cooperation.matrices import CLIMBING, matrix, two_step
from games.load import simulator, vector
from games.simulators.legal_actions import random_actions
from marl.evaluation.episodes import evaluate
from marl.evaluation.players import player, suiting
from scenarios.cli import _main

SMALL = [[1, -2, 0.5], [3, 0, 2]]  # agents with 2 and 3 choices
THREE = np.random.default_rng(5).integers(-9, 10, (2, 3, 2)).tolist()
# Two stages that pay: greed in the first is paid for in the second.
GREEDY = CommonPayoff(
    "greedy",
    [[[3, 0], [0, 0]], [[1, 0], [0, 0]], [[0, 0], [0, 9]]],
    [[[1, 2], [2, 2]], [[3, 3], [3, 3]], [[3, 3], [3, 3]]],
    ("first", "poor", "rich"),
)
ALL = {
    "two_step": two_step(), "climbing": matrix(), "penalty": matrix("penalty", -30),
    "own": matrix(SMALL, rounds=3), "three agents": matrix(THREE), "greedy": GREEDY,
}  # fmt: skip
EVERY = pytest.mark.parametrize("game", ALL.values(), ids=ALL)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def plays(game):
    """Every play of a game: its joint choices, and what they pay in all."""
    joint = list(itertools.product(*map(range, game.choices)))
    open_plays = [(0, (), 0.0)]
    while open_plays:
        stage, chosen, paid = open_plays.pop()
        if stage == game.stages:
            yield chosen, paid
            continue
        for one in joint:
            at = (stage, *one)
            follows, pays = game.next_stage[at], game.payoffs[at]
            open_plays.append((int(follows), (*chosen, one), paid + float(pays)))


@EVERY
def test_keeps_the_contract_of_simulators(game):
    check_simulator(game)


@EVERY
def test_pays_what_the_tables_say(game):
    """All plays at once, against the tables followed one by one; the optimum is their best."""
    known = list(plays(game))
    best = max(paid for _, paid in known)
    state = game.reset(len(known), generator())
    total = torch.zeros(len(known), game.agents)
    for step in range(max(len(chosen) for chosen, _ in known)):
        moves = [chosen[step] if step < len(chosen) else (0,) * game.agents for chosen, _ in known]
        over = torch.tensor([step >= len(chosen) for chosen, _ in known])
        assert torch.equal(game.observe(state).acting.any(dim=1), ~over)
        state, found = game.step(state, torch.tensor(moves)[..., None], generator())
        assert (found.reward[over] == 0).all()
        total += found.reward
    expected = torch.tensor([paid for _, paid in known])
    assert torch.equal(total, expected[:, None].expand_as(total))
    assert torch.equal(state.paid, expected)
    assert found.over.all()
    assert torch.equal(found.info["optimal"] > 0, expected == best)
    assert game.values[0] == best
    reference = game.reference()
    assert (reference.value, reference.kind) == (best, "optimum")


def test_the_published_tables():
    assert matrix().payoffs[0].tolist() == [[11, -30, 0], [-30, 7, 6], [0, 0, 5]]
    assert matrix("penalty").payoffs[0].tolist() == [[10, 0, -100], [0, 2, 0], [-100, 0, 10]]
    assert matrix("penalty", penalty=-7.5).payoffs[0, 2, 0] == -7.5
    found = {name: reference(name).value for name in ("cooperation.two_step", "cooperation.matrix")}
    assert found == {"cooperation.two_step": 8.0, "cooperation.matrix": 11.0}
    assert matrix([[-1, -2]]).reference() is None


def test_agents_see_the_stage_and_their_number():
    game = two_step()
    state = game.reset(3, generator())
    first = [[1, 0, 0, 1, 0], [1, 0, 0, 0, 1]]
    assert game.observe(state).nodes.tolist() == [first] * 3
    moves = torch.tensor([[0, 1], [1, 0], [1, 1]])[..., None]
    state, step = game.step(state, moves, generator())
    stages = game.observe(state).nodes[:, :, :3].argmax(dim=2)
    assert stages.tolist() == [[1, 1], [2, 2], [2, 2]]  # agent 1 has no say in it
    assert not step.over.any()
    own = matrix(SMALL)
    mask = own.observe(own.reset(2, generator())).action_mask
    assert mask.tolist() == [[[True, True, False], [True] * 3]] * 2
    seen = vector("cooperation.matrix(payoff=[[1,0],[0,2]],rounds=4)", 2)
    acted = random_actions(seen.spec, seen.reset(0), generator())
    assert acted.shape == (2, 2, 1)


@EVERY
def test_as_a_tree_it_pays_the_same(game):
    """Of every joint pure strategy that the sequence form knows by its leaves."""
    form = games.load(game).sequence_form()
    paid = sorted(paid for _, paid in plays(game))
    leaves = np.repeat(form.leaf_utility[:, :1], game.agents, axis=1)
    assert np.array_equal(form.leaf_utility, leaves)
    assert sorted(set(paid)) == sorted(set(form.leaf_utility[:, 0]))
    assert form.num_terminals == len(paid)


def test_perfect_recall_of_what_is_seen():
    form = games.load("cooperation.two_step").sequence_form()
    assert sorted(form.information_sets) == [
        "agent 0, state 1",
        "agent 0, state 1: 0, state 2A",
        "agent 0, state 1: 1, state 2B",
        "agent 1, state 1",
        "agent 1, state 1: 0, state 2A",
        "agent 1, state 1: 0, state 2B",
        "agent 1, state 1: 1, state 2A",
        "agent 1, state 1: 1, state 2B",
    ]


# climbing: against random others 11 - 30, -30 + 7 + 6 and 5 thirds; so all play the last
RULES = [
    ("cooperation.two_step", "optimal", 8), ("cooperation.two_step", "best-on-average", 8),
    ("cooperation.matrix", "optimal", 11), ("cooperation.matrix", "best-on-average", 5),
    ("cooperation.matrix(payoff=penalty,rounds=3)", "optimal", 30),
    ("cooperation.matrix(payoff=penalty,rounds=3)", "best-on-average", 6),
    (GREEDY, "optimal", 9), (f"cooperation.matrix(payoff={THREE})", "optimal", np.max(THREE)),
]  # fmt: skip


@pytest.mark.parametrize(("game", "rule", "expected"), RULES)
def test_rules(game, rule, expected):
    played = evaluate(player(rule, game), game, episodes=4, seed=1)
    assert played.returns.tolist() == [[expected] * played.returns.shape[1]] * 4
    best = expected == reference(game).value
    assert played.info["optimal"].tolist() == [float(best)] * 4


def test_rules_know_their_games():
    assert set(suiting("cooperation.matrix")) == {"uniform", "optimal", "best-on-average"}
    with pytest.raises(InputError, match="optimal plays only cooperation"):
        player("optimal", "lot_sizing")


def test_uniform_play_is_the_mean_of_the_table():
    played = evaluate(player("uniform", "cooperation.matrix"), "cooperation.matrix", episodes=4000)
    error = np.std(CLIMBING) / np.sqrt(4000)
    assert played.returns.mean() == pytest.approx(np.mean(CLIMBING), abs=4 * error)


def test_pictures_mark_what_was_played():
    """Two pictures differ where the frame of the played cell is, and only there."""
    game = two_step()
    state = game.reset(2, generator())
    state, _ = game.step(state, torch.tensor([[[1], [0]], [[1], [1]]]), generator())
    first, second = (game.frame(state, which).astype(int) for which in (0, 1))
    assert first.shape == second.shape
    rows, columns = (first != second).any(axis=2).nonzero()
    height, width = first.shape[:2]
    assert rows.min() > 36
    assert columns.max() < width / 3  # in the first of three tables
    assert rows.max() < height - 36
    long = matrix("penalty", rounds=1000)  # one table, however many rounds
    assert long.frame(long.reset(1, generator())).size < 10**6


BAD = [
    ("payoff=climbin", "unknown payoff 'climbin': did you mean climbing"),
    ("payoff=[[1,2],[3]]", "give numbers in rows of one length"),
    ("payoff=3", "3 is no table; give rows"),
    ("payoff=[]", "is no table; give rows"),
    ("payoff=[[1,'x']]", "give numbers in rows of one length"),
    ("payoff=[[1,1e300]]", "every payoff must be a number of at most 1,000,000"),
    ("penalty=-5", "only payoff=penalty has a penalty"),
    ("payoff=penalty,penalty=5", "penalty is 5; give a number of at most 0"),
    ("payoff=penalty,penalty=low", "penalty is 'low'; give a number of at most 0"),
    ("rounds=0", "rounds is 0; give a whole number from 1 to 1,000"),
    ("rounds=1.5", "rounds is 1.5; give a whole number"),
    ("round=3", "did you mean rounds"),
]


@pytest.mark.parametrize(("given", "message"), BAD)
def test_bad_parameters_are_one_line(given, message):
    with pytest.raises(InputError) as error:
        simulator(f"cooperation.matrix({given})")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_stages_lead_on():
    with pytest.raises(InputError, match="followed by a later one"):
        CommonPayoff("back", [[1, 2]], [[0, 1]], ("only",))
    with pytest.raises(InputError, match="give one for each"):
        CommonPayoff("two titles", [[1, 2]], [[1, 1]], ("a", "b"))


def test_from_the_command_line(tmp_path, capsys):
    """Listed, played, drawn and solved: together the agents could earn 8, alone they learn 7."""
    assert _main(["list", "simulators", "--json"]) == 0
    listed = {row["simulator"] for row in json.loads(capsys.readouterr().out)["simulators"]}
    assert {"cooperation.matrix", "cooperation.two_step"} <= listed
    picture = tmp_path / "played.gif"
    command = ["play", "cooperation.two_step", "--players", "uniform", "--render", str(picture)]
    assert _main(command) == 0
    assert picture.read_bytes()[:3] == b"GIF"
    capsys.readouterr()
    solve = ["solve", "cooperation.two_step", "--json"]
    for more, expected in ((["--equilibrium", "efce"], 8), (["--iterations", "100"], 7)):
        assert _main([*solve, *more]) == 0
        found = json.loads(capsys.readouterr().out.splitlines()[-1])
        assert found["values"] == pytest.approx([expected] * 2, abs=0.01)
