"""Sets of actions: against brute force, and at work in a game with a budget."""

import itertools
from dataclasses import dataclass, replace

import gymnasium
import numpy as np
import pytest
import torch
from scipy import stats

from games import InputError, check_simulator, parallel_env
from games.simulators.action_sets import Box, Budget, Choices, action_set
from games.simulators.legal_actions import check_actions, random_actions
from games.simulators.simulator import Observation, Role, Spec, Step, no_edges
from games.simulators.spec_json import spec_from_json, spec_to_json
from marl.evaluation.episodes import evaluate
from marl.learning.on_policy.ppo import PPO
from marl.learning.plan import Plan
from marl.learning.trainer import train
from marl.networks.categorical import MASKED, MultiCategorical
from marl.networks.distributions import distribution
from marl.networks.network import Network
from marl.networks.policy import Policy

COSTS, BUDGET, VALUES = (3.0, 2.0, 2.0, 4.0, 1.0), 6.0, (5.0, 1.0, 4.0, 6.0, 2.0)
SET = Budget(COSTS, BUDGET)
NAME = "tests.games.simulators.test_action_sets:Shop"


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def feasible(costs=COSTS, budget=BUDGET):
    """By brute force, as tuples."""
    every = itertools.product((0, 1), repeat=len(costs))
    return {x for x in every if np.dot(costs, x) <= budget + 1e-9}


def open_mask(batch=1, items=5):
    return torch.ones(batch, 2 * items, dtype=torch.bool)


@dataclass(frozen=True)
class Bags:
    turn: torch.Tensor  # [B] int64
    gone: torch.Tensor  # [B, D] bool  sold out for this game


@dataclass(frozen=True)
class Shop:
    """Four turns of buying what a budget pays for; one item is sold out in every game."""

    budget: float = BUDGET
    differentiable = False

    @property
    def spec(self):
        return Spec("shop", (Role("buyer", Budget(COSTS, self.budget), len(COSTS)),), (0,), 1)

    def reset(self, batch, generator):
        gone = torch.randint(len(COSTS), (batch,), generator=generator)
        there = torch.nn.functional.one_hot(gone, len(COSTS)).bool()
        return Bags(torch.zeros(batch, dtype=torch.int64), there)

    def step(self, state, actions, generator):
        bought = actions[:, 0].float()
        assert ((bought @ torch.tensor(COSTS)) <= self.budget + 1e-6).all()
        assert not (bought.bool() & state.gone).any()
        turn = state.turn + 1
        over = (turn == 4)[:, None]
        return replace(state, turn=turn), Step(
            (bought @ torch.tensor(VALUES))[:, None], over, torch.zeros_like(over)
        )

    def observe(self, state):
        nodes = state.gone.float()[:, None]
        mask = torch.ones(len(nodes), 1, 2 * len(COSTS), dtype=torch.bool)
        mask[:, 0, 1::2] = ~state.gone
        acting = torch.ones(len(nodes), 1, dtype=torch.bool)
        return Observation(nodes, *no_edges(nodes), acting, mask)


def test_a_budget_lists_what_it_can_pay_for():
    assert {tuple(x) for x in SET.enumerate().tolist()} == feasible()
    every = torch.tensor(list(itertools.product((0, 1), repeat=5)))
    found = SET.contains(every, open_mask(len(every)))
    assert {tuple(x) for x in every[found].tolist()} == feasible()
    assert not SET.contains(torch.tensor([[2, 0, 0, 0, 0]]), open_mask()).any()
    tenths = Budget((0.1,) * 12, 1.2)  # whose sum is a little more in floating point
    assert len(tenths.enumerate()) == 2**12
    with pytest.raises(InputError, match="too many to be listed"):
        Budget((1.0,) * 40, 20.0).enumerate()


@pytest.mark.parametrize("sold_out", [False, True])
def test_a_budget_is_sampled_uniformly(sold_out):
    mask = open_mask(20_000)
    known = sorted(feasible())
    if sold_out:
        mask[:, 1] = False  # the first item cannot be had
        mask[:, 4] = False  # the third has to be taken
        known = [x for x in known if not x[0] and x[2]]
    drawn = SET.sample(mask, generator())
    counts = [int((drawn == torch.tensor(x)).all(dim=1).sum()) for x in known]
    assert sum(counts) == 20_000
    assert stats.chisquare(counts).pvalue > 0.01


def test_what_cannot_be_listed_is_sampled_everywhere():
    large = Budget((1.0, 2.0, 3.0) + (1.0,) * 27, 4.0 + 27)
    drawn = large.sample(open_mask(4000, 30), generator())
    assert large.contains(drawn, open_mask(4000, 30)).all()
    assert {tuple(x) for x in drawn[:, :3].tolist()} == set(itertools.product((0, 1), repeat=3))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("listed", [True, False])
def test_the_best_action_is_the_one_of_brute_force(seed, listed, monkeypatch):
    own = np.random.default_rng(seed)
    costs, budget = tuple(own.uniform(0, 3, 7)), 6.0
    made = Budget(costs, budget)
    if not listed:
        monkeypatch.setattr("games.simulators.action_sets.MOST_ACTIONS", 5)
        monkeypatch.setattr(Budget, "_all", None)
    weights = torch.from_numpy(own.normal(size=(6, 2, 7)))
    found = made.argmax(weights, open_mask(12, 7).view(6, 2, 14))
    assert made.contains(found, open_mask(12, 7).view(6, 2, 14)).all()
    worth = (found.double() * weights).sum(-1)
    every = torch.tensor(sorted(feasible(costs, budget)), dtype=torch.float64)
    torch.testing.assert_close(worth, (weights @ every.T).amax(-1))


def test_choices_and_boxes():
    made = action_set(gymnasium.spaces.MultiDiscrete([2, 3]))
    assert made == Choices((2, 3))
    assert len(made.enumerate()) == 6
    mask = torch.tensor([[True, False, True, True, False]])
    best = made.argmax(torch.tensor([[0.0, 9.0, 1.0, 2.0, 9.0]]), mask)
    assert best.tolist() == [[0, 1]]
    assert made.possible(mask).tolist() == [True]
    assert made.possible(mask & False).tolist() == [False]
    box = action_set(gymnasium.spaces.Box(np.float32([-1, 0]), np.float32([2, np.inf])))
    assert isinstance(box, Box)
    none = torch.ones(1, 0, dtype=torch.bool)
    assert box.argmax(torch.tensor([[1.0, -1.0]]), none).tolist() == [[2.0, 0.0]]
    assert box.argmax(torch.tensor([[-1.0, 1.0]]), none).tolist() == [[-1.0, np.inf]]
    with pytest.raises(InputError, match="infinitely many actions"):
        box.enumerate()
    role = Role("a", Box((-1.0,), (1.0,)), 1)
    assert (role.sizes, role.action_width, role.mask_width) == ((), 1, 0)


@pytest.mark.parametrize("bad", [dict(costs=()), dict(costs=(-1.0,)), dict(budget=float("nan"))])
def test_a_budget_that_is_none(bad):
    with pytest.raises(InputError, match="Budget: ") as caught:
        Budget(**{"costs": (1.0,), "budget": 1.0} | bad)
    assert "\n" not in str(caught.value)


def test_random_play_and_checks_keep_to_the_budget():
    game = Shop()
    check_simulator(game, steps=9)
    seen = game.observe(game.reset(50, generator()))
    actions = random_actions(game.spec, seen, generator())
    check_actions(game.spec, seen, actions, "drawn")
    actions[3, 0] = 1
    with pytest.raises(InputError, match=r"drawn: agent 0: the action \[1, 1, 1, 1, 1\] is not"):
        check_actions(game.spec, seen, actions, "drawn")


def test_simulators_that_break_their_set_are_found():
    class Stingy(Shop):
        def step(self, state, actions, generator):
            if (actions[:, 0].float() @ torch.tensor(COSTS) > BUDGET / 2).any():
                raise InputError("too dear")
            return super().step(state, actions, generator)

    class Forced(Shop):
        def observe(self, state):
            seen = super().observe(state)
            mask = seen.action_mask.clone()
            mask[..., ::2] = False  # everything has to be taken
            return replace(seen, action_mask=mask)

    with pytest.raises(InputError, match=r"shop: it refused a legal action.*: too dear"):
        check_simulator(Stingy())
    with pytest.raises(InputError, match="agent 0 acts but has no legal action"):
        check_simulator(Forced())


def test_a_view_for_pettingzoo_refuses_what_is_too_dear():
    env = parallel_env(Shop())
    shown, _ = env.reset(seed=0)
    (agent,) = env.agents
    assert env.action_space(agent) == gymnasium.spaces.MultiDiscrete([2] * 5)
    assert len(shown[agent]["action_mask"]) == 5
    with pytest.raises(InputError, match="is not legal"):
        env.step({agent: np.ones(5, np.int64)})
    env.step({agent: np.zeros(5, np.int64)})


def test_a_distribution_over_a_budget_is_what_its_weights_say():
    rule = distribution(Shop().spec.roles[0])
    raw = torch.randn(3, 10, generator=generator(), dtype=torch.float32)
    raw[1, 3] = MASKED  # the second item is sold out
    raw.requires_grad_()
    listed = SET.enumerate()
    columns = torch.arange(5) * 2
    logits = torch.stack([raw[:, columns + x].sum(1) for x in listed], dim=1)
    logits = logits.masked_fill((raw[:, [3]] == MASKED) & (listed[:, 1] == 1), MASKED)
    known = torch.distributions.Categorical(logits=logits)
    for k, action in enumerate(listed):
        logp = rule.logp(raw, action.expand(3, -1))
        torch.testing.assert_close(logp.exp(), known.probs[:, k], rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(rule.entropy(raw), known.entropy(), rtol=1e-5, atol=1e-6)
    other = torch.randn(3, 10, generator=generator(1)).masked_fill(raw == MASKED, MASKED)
    expected = torch.stack([rule.logp(raw, x.expand(3, -1)) for x in listed], dim=1)
    there = torch.stack([rule.logp(other, x.expand(3, -1)) for x in listed], dim=1)
    by_hand = (expected.exp() * (expected - there)).sum(1)
    torch.testing.assert_close(rule.kl(raw, other), by_hand, rtol=1e-4, atol=1e-5)
    assert torch.equal(rule.mode(raw), listed[logits.argmax(dim=1)])
    drawn = rule.sample(raw.detach()[1:2].expand(20_000, -1), generator(2))
    counts = np.array([int((drawn == x).all(dim=1).sum()) for x in listed])
    chances = known.probs[1].detach().double().numpy()
    assert not counts[chances == 0].any()
    inside = chances > 0
    chances = chances[inside] / chances.sum()
    assert stats.chisquare(counts[inside], 20_000 * chances).pvalue > 0.01
    rule.entropy(raw).sum().backward()
    assert torch.isfinite(raw.grad).all()
    assert not raw.grad[1, 3]


def test_without_a_constraint_it_is_independent_choices():
    free = distribution(Role("a", Budget((1.0,) * 3, 3.0), 1))
    plain, raw = MultiCategorical((2, 2, 2)), torch.randn(5, 6, generator=generator())
    actions = plain.sample(raw, generator(1))
    torch.testing.assert_close(free.logp(raw, actions), plain.logp(raw, actions))
    torch.testing.assert_close(free.entropy(raw), plain.entropy(raw))
    assert torch.equal(free.mode(raw), plain.mode(raw))


def test_a_policy_learns_within_the_budget(tmp_path):
    """Every action of training and of play passes `check_actions` and the game's own assertion."""
    method = PPO(num_envs=64, rollout_length=8, learning_rate=3e-3, discount=1.0)
    plan = Plan(game=NAME, method=method, network=Network(hidden=(32,)), seed=1)
    with train(plan) as training:
        while training.updates < 25:
            training.step()
        policy = training.policy()
    played = evaluate(policy, episodes=100, seed=2, greedy=True)
    random = evaluate(Policy.new(NAME, Shop().spec, Network(hidden=(32,))), episodes=100, seed=2)
    best = [max(np.dot(VALUES, x) for x in feasible() if not x[k]) for k in range(5)]
    assert played.returns.mean() > random.returns.mean() + 2
    assert played.returns.max() <= 4 * max(best)
    assert played.returns.mean() > 0.85 * 4 * np.mean(best)
    policy.save(tmp_path / "policy.pt")
    again = Policy.load(tmp_path / "policy.pt")
    assert again.spec == policy.spec == spec_from_json(spec_to_json(policy.spec))
    assert np.array_equal(
        evaluate(again, episodes=9, seed=2).own, evaluate(policy, episodes=9, seed=2).own
    )


def test_a_set_that_is_too_large_to_learn_with():
    for items, said in ((13, "choose among 4,096 at most"), (40, "policies cannot learn with it")):
        with pytest.raises(InputError, match=said) as caught:
            distribution(Role("a", Budget((1.0,) * items, items), 1))
        assert "\n" not in str(caught.value)
