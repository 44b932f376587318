"""Distances of correlated play against OpenSpiel, games with advice, brute force and LPs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import pyspiel
import pytest

import analysis
import games
from analysis.correlated import triggers
from analysis.correlated.deviations import correlated_gains, distances, trigger_gains
from analysis.equilibria.equilibrium import Joint
from games import NormalForm, Strategy
from games.finite.enumerate import enumerate_game
from games.finite.game import CHANCE
from games.finite.reduced import reduced_plans
from games.finite.strategy import uniform_behaviour
from tests.conftest import KUHN, LEDUC, form

KUHN3 = "kuhn_poker(players=3)"
SHERIFF = (
    "sheriff(item_penalty=1.0,item_value=5.0,max_bribe=1,max_items=1,num_rounds=1,"
    "sheriff_penalty=1.0)"
)
TRADE = "trade_comm(num_items=2)"
GAMES = [KUHN, KUHN3, SHERIFF, TRADE, "matrix_pd", "matching_pennies_3p"]
CHAIN = ("cce", "efcce", "efce", "ce")


def pure(compiled, generator) -> Strategy:
    """One action at every information set, drawn uniformly; the first where the plan does not lead.

    So that two of them differ only if their reduced plans do: to OpenSpiel's `ce_dist` plans that
    differ anywhere are different recommendations.
    """
    behaviour = np.zeros(compiled.arrays.num_sequences)
    for p, start in zip(compiled.players, compiled.arrays.players.astype(int), strict=False):
        behaviour[start] = 1.0
        choice = (generator.random(len(p.num_actions)) * p.num_actions).astype(int)
        plan = np.eye(1, p.num_sequences)[0]
        for j, parent in enumerate(p.parent_sequence):
            chosen = p.first_sequence[j] + (choice[j] if plan[parent] else 0)
            plan[chosen] = plan[parent]
            behaviour[start + chosen] = 1.0
    return Strategy.from_behaviour(compiled, behaviour)


def mixture(compiled, profiles: int, seed: int) -> tuple[Joint, list[Strategy]]:
    generator = np.random.default_rng(seed)
    strategies = [pure(compiled, generator) for _ in range(profiles)]
    return Joint.of(compiled, strategies, generator.dirichlet(np.ones(profiles))), strategies


def device(joint: Joint, strategies: list[Strategy]) -> list:
    """The same as OpenSpiel's correlation device."""
    tables = [
        {name: list(s.action_probabilities(name).items()) for name in s.information_sets}
        for s in strategies
    ]
    policies = [pyspiel.TabularPolicy(table) for table in tables]
    return list(zip(joint.weights.tolist(), policies, strict=True))


@dataclass(frozen=True)
class Advised:
    """A game in which chance first draws a profile, whose moves the players are then told.

    Von Stengel & Forges (2008), Definition 2.2. For efce, who is told its move and makes another
    one has left; for efcce, a player first says whether it follows, and is told its move if so.
    """

    concept: str
    profiles: tuple[dict[str, int], ...]
    weights: tuple[float, ...]
    state: Any
    drawn: int = -1
    told: tuple[tuple[int, ...], ...] = ()
    left: tuple[bool, ...] = ()

    def current_player(self) -> int:
        return CHANCE if self.drawn < 0 else int(self.state.current_player())

    def chance_outcomes(self):
        return list(enumerate(self.weights)) if self.drawn < 0 else self.state.chance_outcomes()

    def advice(self) -> int:
        return self.profiles[self.drawn][self.state.information_state_string()]

    def asked(self) -> bool:
        """Whether the question is whether to follow."""
        return self.concept == "efcce" and not self.left[self.current_player()]

    def legal_actions(self) -> list[int]:
        return [0, 1] if self.asked() else self.state.legal_actions()

    def child(self, action: int) -> Advised:
        if self.drawn < 0:
            return replace(self, drawn=action)
        i = self.current_player()
        if i == CHANCE:
            return replace(self, state=self.state.child(action))
        now = tuple(True if k == i else self.left[k] for k in range(len(self.left)))
        if self.asked() and action == 1:
            return replace(self, left=now)
        advice = self.advice()
        taken = advice if self.asked() else action
        after = replace(self, state=self.state.child(taken))
        if self.left[i]:
            return after
        if taken != advice:
            return replace(after, left=now)
        longer = (*self.told[i], advice)
        return replace(after, told=(*self.told[:i], longer, *self.told[i + 1 :]))

    def information_state_string(self, player: int) -> str:
        told = self.told[player]
        if self.concept == "efce" and not self.left[player]:
            told = (*told, self.advice())
        advice = " ".join(map(str, told))
        return f"{self.state.information_state_string(player)} | {advice} / {self.left[player]}"

    def action_to_string(self, player: int, action: int) -> str:
        return "follow" if self.asked() and action == 0 else str(action)

    def returns(self):
        return self.state.returns()


def gains_of_following(name: str, concept: str, joint: Joint, strategies) -> np.ndarray:
    """What each player gains by its best response in the game with advice, the others following."""
    players = joint.form.num_players
    moves = tuple(
        {
            n: max(s.action_probabilities(n).items(), key=lambda item: item[1])[0]
            for n in s.information_sets
        }
        for s in strategies
    )
    root = Advised(
        concept, moves, tuple(joint.weights.tolist()), games.load(name).root(),
        told=((),) * players, left=(False,) * players,
    )  # fmt: skip
    told = enumerate_game(root, f"{name} with advice", players, 10_000_000)
    behaviour = uniform_behaviour(told)
    for player, start in zip(told.players, told.arrays.players.astype(int), strict=False):
        for j, text in enumerate(player.information_sets):
            advice, left = text.split(" | ")[-1].split(" / ")
            if left == "False":
                own = player.first_sequence[j] + np.arange(player.num_actions[j])
                follow = 0 if concept == "efcce" else int(advice.split()[-1])
                behaviour[start + own] = player.actions[own] == follow
    return analysis.equilibria.response.deviation_gains(
        told, Strategy.from_behaviour(told, behaviour)
    )


@pytest.mark.parametrize("name", GAMES)
@pytest.mark.parametrize("profiles", [1, 2, 12])
def test_against_openspiel(name, profiles):
    game, compiled = games.load(name), form(name)
    joint, strategies = mixture(compiled, profiles, profiles)
    given = device(joint, strategies)
    expected = pyspiel.cce_dist(game.openspiel, given).deviation_incentives
    np.testing.assert_allclose(correlated_gains(joint, "cce"), expected, atol=1e-12)
    expected = pyspiel.ce_dist(game.openspiel, given).deviation_incentives
    np.testing.assert_allclose(correlated_gains(joint, "ce"), expected, atol=1e-12)


@pytest.mark.parametrize("concept", ["efcce", "efce"])
@pytest.mark.parametrize("name", GAMES)
@pytest.mark.parametrize("profiles", [1, 2, 12])
def test_against_the_game_with_advice(name, concept, profiles):
    joint, strategies = mixture(form(name), profiles, profiles)
    expected = gains_of_following(name, concept, joint, strategies)
    np.testing.assert_allclose(correlated_gains(joint, concept), expected, atol=1e-12)


@pytest.mark.parametrize("concept", ["nfcce", "efcce", "efce"])
@pytest.mark.parametrize("name", [KUHN, SHERIFF, "matching_pennies_3p"])
def test_trigger_gains_against_all_pure_continuations(name, concept):
    """Every trigger alone, every pure way to go on, through the payoffs of the changed mixture."""
    compiled = form(name)
    joint, _ = mixture(compiled, 5, 7)
    values = joint.values
    for i, player in enumerate(compiled.players):
        start = int(compiled.arrays.players[i])
        own = slice(start, start + player.num_sequences)
        continuations = reduced_plans(player)
        found = trigger_gains(joint, concept)[i]
        owner = np.concatenate(
            [[-1], np.repeat(np.arange(len(player.num_actions)), player.num_actions)]
        )
        places = {
            "nfcce": [(0, 0)],
            "efcce": [(p, p) for p in player.parent_sequence],
            "efce": [(s, player.parent_sequence[owner[s]]) for s in range(1, len(owner))],
        }[concept]
        assert len(found) == len(places)
        for t, (q, above) in enumerate(places):
            roots = {
                "nfcce": np.flatnonzero(player.parent_sequence == 0),
                "efcce": [t],
                "efce": [owner[min(q, len(owner) - 1)]],
            }[concept]
            inside = np.isin(owner, roots)
            for j, parent in enumerate(player.parent_sequence):
                inside |= (owner == j) & inside[parent]
            best = -np.inf
            for y in continuations[continuations[:, above] == 1]:
                changed = joint.plans.copy()
                leaves = joint.plans[:, start + q] == 1
                changed[:, own] = np.where(inside & leaves[:, None], y, changed[:, own])
                best = max(best, replace(joint, plans=changed).values[i] - values[i])
            assert found[t] == pytest.approx(best, abs=1e-12)


@pytest.mark.parametrize("name", [KUHN, SHERIFF])
def test_mixed_profiles_are_what_they_draw(name):
    """A mixture of mixed profiles, and the same with every player's draws written out."""
    compiled = form(name)
    table = NormalForm.reduced(compiled)
    generator = np.random.default_rng(5)
    strategies = [Strategy.random(compiled, generator) for _ in range(2)]
    joint = Joint.of(compiled, strategies, [0.3, 0.7])
    tensor = sum(
        weight * np.outer(*table.mixed(strategy))
        for weight, strategy in zip(joint.weights, strategies, strict=True)
    )
    written_out = distances(Joint.from_tensor(table, tensor))
    for concept, gains in distances(joint).items():
        assert gains.min() > 1e-3
        np.testing.assert_allclose(gains, written_out[concept], atol=1e-12)


@pytest.mark.parametrize("name", GAMES)
@pytest.mark.parametrize("seed", range(3))
def test_distances_grow_with_what_players_are_told(name, seed):
    joint, _ = mixture(form(name), 6, seed)
    far = distances(joint, CHAIN)
    for less, more in pairwise(CHAIN):
        assert np.all(far[less] <= far[more] + 1e-12)
    np.testing.assert_array_equal(correlated_gains(joint, "nfcce"), far["cce"])


def random_payoffs(name: str, seed: int) -> games.SequenceForm:
    """A game's tree with payoffs of general sum."""
    compiled = form(name)
    shape = compiled.leaf_utility.shape
    return replace(compiled, leaf_utility=np.random.default_rng(seed).normal(size=shape))


def equilibrium_by_lp(table: NormalForm, concept: str, seed: int) -> Joint:
    """A random corner of the correlated (ce) or coarse correlated (cce) equilibria, by scipy."""
    from scipy.optimize import linprog
    from scipy.sparse import csr_matrix, vstack

    rows, shape = [], table.num_actions
    for i in range(2):
        payoff = np.moveaxis(table.payoffs[..., i], i, 0)
        gains = payoff[None] - payoff[:, None]  # [from, to, others]
        if concept == "cce":
            all_from = [np.moveaxis(gains[:, to], 0, i).ravel() for to in range(shape[i])]
            rows.append(csr_matrix(np.array(all_from)))
        else:
            for told in range(shape[i]):
                matrix = np.zeros((shape[i], *payoff.shape))
                matrix[:, told] = gains[told]
                rows.append(csr_matrix(np.moveaxis(matrix, 1, 1 + i).reshape(shape[i], -1)))
    cost = np.random.default_rng(seed).normal(size=shape).ravel()
    constraints = vstack(rows)
    answer = linprog(
        cost, constraints, np.zeros(constraints.shape[0]), np.ones((1, len(cost))), [1.0]
    )
    found = np.where(answer.x > 1e-11, answer.x, 0.0)
    return Joint.from_tensor(table, (found / found.sum()).reshape(shape))


@pytest.mark.parametrize("seed", [0, 1])
def test_equilibria_by_linear_programs(seed):
    """A corner of the CE is at distance 0 from all; one of the CCE from the coarsest only."""
    table = NormalForm.reduced(random_payoffs(KUHN, seed))
    for gains in distances(equilibrium_by_lp(table, "ce", seed)).values():
        np.testing.assert_allclose(gains, 0.0, atol=1e-8)
    coarse = distances(equilibrium_by_lp(table, "cce", seed))
    np.testing.assert_allclose(coarse["cce"], 0.0, atol=1e-8)
    assert coarse["ce"].max() > coarse["efcce"].max() > 1e-3


def test_nash_equilibrium_is_at_distance_0_from_all():
    """Kuhn (1950): the first player bluffs a jack with a and bets a king with 3a."""
    a = 1 / 5
    bet = {
        "0": a, "1": 0.0, "2": 3 * a, "0pb": 0.0, "1pb": a + 1 / 3, "2pb": 1.0,
        "0p": 1 / 3, "1p": 0.0, "2p": 1.0, "0b": 0.0, "1b": 1 / 3, "2b": 1.0,
    }  # fmt: skip
    frame = Strategy.uniform(form(KUHN)).to_frame()
    frame["probability"] = [
        bet[s] if action == 1 else 1 - bet[s]
        for s, action in zip(frame.information_set, frame.action, strict=True)
    ]
    joint = Joint.of(form(KUHN), [Strategy.from_frame(KUHN, frame)], [1.0])
    for gains in distances(joint).values():
        np.testing.assert_allclose(gains, 0.0, atol=1e-15)


def test_chicken_by_hand():
    """Aumann (1974): chicken with payoffs 6, 2, 7 and 0."""
    chicken = NormalForm.from_payoffs([[6, 2], [7, 0]], [[6, 7], [2, 0]])
    traffic_light = np.array([[1, 1], [1, 0]]) / 3
    for gains in distances(Joint.from_tensor(chicken, traffic_light)).values():
        np.testing.assert_allclose(gains, 0.0, atol=1e-15)
    # Always dare: each gets 0, and 2 by chickening out.
    both = Joint.from_tensor(chicken, np.array([[0.0, 0.0], [0.0, 1.0]]))
    for gains in distances(both).values():
        np.testing.assert_allclose(gains, [2.0, 2.0], atol=1e-15)
    # Both chicken or both dare: who is told may swap and gain 1 or 2; who is not is best off with
    # (6 + 2) / 2 = 4 by chickening out, 1 more than the 3 it has.
    either = distances(Joint.from_tensor(chicken, np.eye(2) / 2))
    for concept, gain in {"cce": 1.0, "efcce": 1.0, "efce": 1.5, "ce": 1.5}.items():
        np.testing.assert_allclose(either[concept], [gain, gain], atol=1e-15)


def test_what_cannot_be_measured():
    joint, _ = mixture(form(KUHN), 2, 0)
    with pytest.raises(games.InputError, match="did you mean efce"):
        correlated_gains(joint, "efce2")
    with pytest.raises(games.InputError, match="has no triggers"):
        trigger_gains(joint, "ce")
    mixed = Joint.of(form(LEDUC), [Strategy.uniform(form(LEDUC))], [1.0])
    with pytest.raises(games.InputError, match="choose a concept other than ce"):
        correlated_gains(mixed, "ce")


def test_too_many_deviations(monkeypatch):
    monkeypatch.setattr(triggers, "BUDGET", 1000)
    joint, _ = mixture(form(LEDUC), 2, 0)
    with pytest.raises(games.InputError, match="more than 1,000 numbers"):
        correlated_gains(joint, "efce")
