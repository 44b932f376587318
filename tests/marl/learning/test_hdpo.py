"""HDPO: how it plays, its gradients, what it learns, how it resumes, and what it refuses."""

from dataclasses import dataclass, replace
from functools import cached_property
from statistics import NormalDist

import gymnasium
import numpy as np
import pytest
import torch
from torch import Tensor

from games import InputError
from games.common.workers import running_ray
from games.load import simulator
from games.simulators.check import check_simulator
from games.simulators.simulator import Observation, Role, Spec, Step
from marl.evaluation.episodes import evaluate
from marl.learning.pathwise.hdpo import HDPO, Players, loss, pathwise_gradient, play
from marl.learning.plan import Plan, Resources, SelfPlay
from marl.learning.trainer import train
from marl.networks.activations import ELU
from marl.networks.network import Network
from marl.networks.policy import Policy
from marl.rllib.pathwise import NO_PART
from scenarios import Run
from scenarios.cli import _main
from scenarios.lookup import parse
from tests.helpers.one_store import OneStore

torch.set_num_threads(1)

HERE, STORE = "tests.marl.learning.test_hdpo", "tests.helpers.one_store:OneStore"


@pytest.fixture(scope="module", autouse=True)
def ray():
    """Started once; every training here joins it."""
    with running_ray(cpus=3) as found:
        yield found


@dataclass(frozen=True)
class Afloat:
    place: Tensor  # [B, 4]  of three boats and the buoy
    steps: Tensor  # [B] int64


@dataclass(frozen=True)
class Boats:
    """Three boats of two roles are to stay together and near a buoy, each moving every other step.

    Boats 0 and 2 have two numbers to steer by, boat 1 has one that is bounded. Games end at
    different times, and then everything goes on moving, far away from where it should be.
    """

    double: bool = False
    longest: int = 9

    differentiable = True

    @cached_property
    def spec(self) -> Spec:
        free = gymnasium.spaces.Box(-np.inf, np.inf, (2,), np.float32)
        bounded = gymnasium.spaces.Box(-1, 3, (1,), np.float32)
        roles = (Role("boat", free, 3), Role("barge", bounded, 2))
        return Spec("boats", roles, (0, 1, 0), 4, edge_features=1)

    def reset(self, batch: int, generator: torch.Generator) -> Afloat:
        place = torch.randn(batch, 4, generator=generator, dtype=torch.float64)
        steps = torch.randint(1, 5, (batch,), generator=generator)
        return Afloat(place if self.double else place.float(), steps)

    def acting(self, state: Afloat) -> Tensor:
        return (state.steps[:, None] + torch.arange(3)) % 2 == 0  # [B, 3]

    def step(
        self, state: Afloat, actions: Tensor, generator: torch.Generator
    ) -> tuple[Afloat, Step]:
        wave = torch.randn(state.place.shape, generator=generator, dtype=torch.float64) / 8
        pushed = torch.where(self.acting(state), actions.sum(dim=2), 0.0)
        place = state.place + wave.to(state.place) + torch.nn.functional.pad(pushed.tanh(), (0, 1))
        apart = place[:, :3] - place[:, 3:]
        new = Afloat(place, state.steps + 1)
        over = (new.steps >= self.longest)[:, None].expand(-1, 3)
        reward = -apart.square() - (apart - apart.roll(1, dims=1)).square()
        return new, Step(
            reward.to(place), torch.zeros_like(over), over, {"apart": apart.detach().abs()}
        )

    def observe(self, state: Afloat) -> Observation:
        batch, place = len(state.place), state.place
        nodes = torch.stack((place, place.square() / 4, place.sin()), dim=2)
        nodes = nodes * torch.tensor([[1, 1, 1], [1, 1, 0], [1, 1, 1], [1, 1, 1]]).to(place)
        first = torch.arange(batch)[:, None] * 4
        source = (first + torch.tensor([3, 3, 3, 0, 1])).flatten()
        target = (first + torch.tensor([0, 1, 2, 1, 0])).flatten()
        way = place.flatten()[source] - place.flatten()[target]
        none = torch.zeros(batch, 3, 0, dtype=torch.bool)
        return Observation(
            nodes, torch.stack((source, target)), way[:, None], self.acting(state), none
        )


SIZES = {
    "mlp": {},
    "memory": dict(memory=5),
    "convolution": dict(encoder="convolution"),
    "all": dict(encoder="convolution", memory=5, shared_encoder=True),
}


def networks_of(spec, **options):
    """A network for each role, moved away from where it started."""
    shape = Network(**dict(hidden=(8,), activation="elu") | options)
    found = [shape.build(role, spec, k) for k, role in enumerate(spec.roles)]
    generator = torch.Generator().manual_seed(5)
    for network in found:
        for parameter in network.parameters():
            parameter.data += 0.2 * torch.randn(parameter.shape, generator=generator)
    return found


def test_our_simulators_keep_their_promises():
    check_simulator(OneStore())
    check_simulator(Boats())


# --- playing


@pytest.mark.parametrize("size", SIZES)
def test_played_as_policies_play(size):
    """Against `Policy.act`, step by step, and sums over the steps of games that were not over."""
    game, games = Boats(), 40
    networks = networks_of(game.spec, **SIZES[size])
    players = Players(networks, (0, 1, 0), game.spec, games)
    played = play(game, players, torch.Generator().manual_seed(3))

    policy = Policy(
        "boats", game.spec, networks[0].config, dict(boat=networks[0], barge=networks[1]),
        ("boat", "barge", "boat"),
    )  # fmt: skip
    generator = torch.Generator().manual_seed(3)
    state, actor = game.reset(games, generator), policy.for_game("boats", game.spec)
    actor.start(games)
    returns, lengths, apart = torch.zeros(games, 3), torch.zeros(games), torch.zeros(games)
    playing, most = torch.ones(games, dtype=torch.bool), 0
    while playing.any():
        actions = actor.act(game.observe(state), None)
        state, step = game.step(state, actions, generator)
        returns += step.reward * playing[:, None]
        lengths += playing
        apart = torch.where(playing, step.info["apart"].mean(dim=1), apart)
        playing = playing & ~step.over
        most += 1
    assert len(set(lengths.tolist())) == 4
    found = played.episodes.means()
    assert found["return"] == pytest.approx(returns.mean().item(), rel=1e-5)
    assert found["return_boat"] == pytest.approx(returns[:, ::2].mean().item(), rel=1e-5)
    assert found["return_barge"] == pytest.approx(returns[:, 1].mean().item(), rel=1e-5)
    assert found["episode_steps"] == lengths.mean().item()
    assert found["apart"] == pytest.approx(apart.mean().item(), rel=1e-5)
    assert loss(played).item() == pytest.approx(-returns.sum(1).mean().item() / most, rel=1e-5)


def test_what_counts_of_a_game():
    """Rewards 1, 2, 3, ... by hand: the discount begins where the warm-up ends."""
    counted = replace(
        play(OneStore(periods=4), one_store_players(OneStore(periods=4), 2), torch.Generator()),
        reward=torch.arange(1.0, 5.0)[:, None, None].expand(4, 2, 1),
    )
    assert loss(counted).item() == pytest.approx(-(1 + 2 + 3 + 4) / 4)
    assert loss(counted, warm_up=2).item() == pytest.approx(-(3 + 4) / 2)
    assert loss(counted, discount=0.5, warm_up=1).item() == pytest.approx(-(2 + 1.5 + 1) / 3)
    with pytest.raises(InputError, match=r"^method.warm_up = 4: games end after 4 steps"):
        loss(counted, warm_up=4)


def one_store_players(game, games, **options):
    (network,) = networks_of(game.spec, **options)
    return Players([network], [0], game.spec, games)


def test_a_horizon_is_taken_at_its_word():
    """The same games, whether it is known or seen that they are over."""
    found = []
    for game in (OneStore(), OneStore(fixed=False)):
        played = play(game, one_store_players(game, 8), torch.Generator().manual_seed(1))
        found.append((played.reward, played.episodes))
    assert torch.equal(found[0][0], found[1][0])
    assert found[0][1] == found[1][1]
    assert found[0][1].means()["episode_steps"] == 30


def test_elu_is_elu():
    x = torch.linspace(-20, 5, 4801, requires_grad=True)
    x64 = x.detach().double().requires_grad_()
    ours, exact = ELU()(x), torch.nn.functional.elu(x64)
    torch.testing.assert_close(ours.double(), exact, atol=2e-7, rtol=0)
    ours.sum().backward()
    exact.sum().backward()
    torch.testing.assert_close(x.grad.double(), x64.grad, atol=2e-7, rtol=0)


# --- gradients


def shift(networks, moves, by):
    with torch.no_grad():
        for network, move in zip(networks, moves, strict=True):
            for name, parameter in network.named_parameters():
                if name in move:
                    parameter += by * move[name]


@pytest.mark.parametrize(
    ("game", "size"),
    [(OneStore(double=True), "mlp"), (OneStore(double=True), "memory")]
    + [(Boats(double=True), size) for size in SIZES],
    ids=lambda value: value if isinstance(value, str) else value.spec.name,
)
def test_gradient_is_that_of_finite_differences(game, size):
    """With common random numbers, in float64, along directions in the space of all weights."""
    networks = [network.double() for network in networks_of(game.spec, **SIZES[size])]

    def found():
        return pathwise_gradient(
            game, networks, 32, 7, of_agent=game.spec.role_of, discount=0.9, warm_up=1
        )

    _, gradients = found()
    for network, one in zip(networks, gradients, strict=True):
        unused = {name for name, _ in network.named_parameters()} - set(one)
        assert all(name.startswith(NO_PART) for name in unused)
    generator = torch.Generator().manual_seed(2)
    for _ in range(8):
        moves = [
            {name: torch.randn(g.shape, generator=generator, dtype=g.dtype) * (g != 0)
             for name, g in one.items()}
            for one in gradients
        ]  # fmt: skip
        expected = sum(
            float((gradient * move[name]).sum())
            for one, move in zip(gradients, moves, strict=True)
            for name, gradient in one.items()
        )
        shift(networks, moves, 1e-6)
        above = found()[0].item()
        shift(networks, moves, -2e-6)
        below = found()[0].item()
        shift(networks, moves, 1e-6)
        assert abs(expected) > 1e-3
        assert (above - below) / 2e-6 == pytest.approx(expected, rel=1e-3)


def plan(game=f"{STORE}()", *, hidden=(16,), seed=0, resources=None, **method):
    return Plan(
        game=game,
        method=HDPO(**dict(num_envs=64, updates=3) | method),
        network=Network(hidden=hidden, activation="elu"),
        resources=resources or Resources(),
        seed=seed,
    )


def by_hand(plan, learners):
    """The weights after one gradient step, by torch's Adam on the mean over the learners' games."""
    game = simulator(plan.game)
    policy = Policy.new(plan.game, game.spec, plan.network, seed=plan.seed)
    networks = list(policy.networks.values())
    sums = [{} for _ in networks]
    for draw in plan.method.shards(plan, 0, learners):
        (seed,) = draw.seeds
        _, gradients = pathwise_gradient(
            game, networks, draw.games, seed, of_agent=game.spec.role_of
        )
        for into, one in zip(sums, gradients, strict=True):
            for name, gradient in one.items():
                into[name] = into.get(name, 0) + gradient * draw.games / plan.method.num_envs
    for network, gradients in zip(networks, sums, strict=True):
        for name, parameter in network.named_parameters():
            parameter.grad = None if name.startswith(NO_PART) else gradients.get(name)
        largest = plan.method.gradient_clip
        if largest:
            torch.nn.utils.clip_grad_norm_(network.parameters(), largest)
        torch.optim.Adam(network.parameters(), lr=plan.method.learning_rate).step()
    return policy


def require_close(policy, expected):
    for name, network in expected.networks.items():
        found = policy.networks[name].state_dict()
        for key, value in network.state_dict().items():
            if key != "log_std":
                torch.testing.assert_close(found[key], value, atol=1e-6, rtol=0, msg=key)


@pytest.mark.parametrize("game", [f"{STORE}()", f"{HERE}:Boats()"])
@pytest.mark.parametrize("clip", [0, 0.1])
def test_an_update_is_a_step_of_adam(game, clip):
    once = plan(game, updates=1, gradient_clip=clip)
    with train(once) as training:
        row = training.step()
        require_close(training.policy(), by_hand(once, 1))
    assert row["gradient_norm"] > 0.1
    assert row["steps"] == 64 * row["episode_steps"]


@pytest.mark.slow
@pytest.mark.parametrize("game", [f"{STORE}()", f"{HERE}:Boats()"])
def test_learners_share_the_games(game):
    """Two learners with 33 and 32 games take the step of the mean over all 65."""
    once = plan(game, updates=1, num_envs=65, resources=Resources(learners=2))
    with train(once) as training:
        row = training.step()
        require_close(training.policy(), by_hand(once, 2))
    assert row["games"] == 65
    if "Store" in game:
        assert row["loss"] == pytest.approx(-row["return"] / 30, rel=1e-5)


def test_learners_have_games_of_their_own():
    shared = plan(num_envs=65)
    first, second = shared.method.shards(shared, 4, 2)
    assert (first.games, second.games) == (32, 33)
    others = shared.method.shards(shared, 5, 2) + shared.method.shards(shared, 4, 1)
    drawn = [seed for draw in (first, second, *others) for seed in draw.seeds]
    assert len(set(drawn)) == 3 * 4  # of one learner alone they are the first one's


# --- learning

LEVEL = OneStore().penalty / (OneStore().penalty + OneStore().holding)
SPREAD = OneStore().deviation * (OneStore().lead_time + 1) ** 0.5
BEST = 10 * NormalDist().pdf(NormalDist().inv_cdf(LEVEL)) * SPREAD  # newsvendor over L + 1 periods


def cost(policy):
    """A period, once the start is forgotten; standard error 0.006."""
    game = OneStore(periods=110)
    players = Players(list(policy.networks.values()), [0], game.spec, 4096)
    with torch.no_grad():
        return loss(play(game, players, torch.Generator().manual_seed(99)), warm_up=10).item()


def test_learns_the_best_policy_of_one_store():
    fast = dict(hidden=(64, 64), num_envs=256, updates=75, warm_up=5)
    rate = ((0, 0.02), (300 * 256 * 30, 0.0))
    with train(plan(learning_rate=rate, **fast)) as training:
        assert cost(training.policy()) > 2 * BEST
        for _ in range(4):
            row = training.step()
        assert row["loss"] == pytest.approx(BEST, rel=0.03)
        assert BEST * 0.995 < cost(training.policy()) < BEST * 1.02


def test_what_is_drawn_is_the_likeliest():
    """A policy that does not explore plays the same whether actions are drawn or not."""
    with train(plan()) as training:
        training.step()
        policy = training.policy()
    drawn, likeliest = (evaluate(policy, episodes=20, greedy=greedy) for greedy in (False, True))
    np.testing.assert_allclose(drawn.returns, likeliest.returns, rtol=1e-6)


def quiet(row):
    return {key: value for key, value in row.items() if "second" not in key}


@pytest.mark.parametrize("game", [f"{STORE}()", "navigation(agents=2,max_steps=8)"])
def test_restored_training_is_as_if_uninterrupted(game, tmp_path):
    schedule = plan(game, num_envs=16, learning_rate=((0, 0.01), (9000, 0.001)))
    with train(schedule) as whole:
        rows = [whole.step() for _ in range(2)]
        whole.save(tmp_path / "a")
        rows += [whole.step() for _ in range(2)]
        expected = whole.policy()
    assert rows[0]["learning_rate"] == 0.01 > rows[3]["learning_rate"] > 0.001
    assert set(rows[-1]) - {"left", "success", "arrived", "safe", "collisions"} <= (
        schedule.method.measured(schedule, whole.spec)
    )
    with train(schedule) as again:
        again.step()
        again.restore(tmp_path / "a")
        assert [quiet(again.step()) for _ in range(2)] == [quiet(row) for row in rows[2:]]
        for name, network in again.policy().networks.items():
            for key, value in network.state_dict().items():
                assert torch.equal(value, expected.networks[name].state_dict()[key])


def test_numbers_that_are_not_finite():
    with train(plan(learning_rate=1e30)) as training:
        before = training.policy().networks["store"].state_dict()
        with pytest.raises(FloatingPointError, match=r"^policy store: an update gave numbers that"):
            training.step()
        after = training.policy().networks["store"].state_dict()
    for key, value in before.items():
        assert key == "log_std" or torch.equal(after[key], value)


# --- what it refuses, and scenarios


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (plan("kuhn_poker"), "method hdpo: kuhn_poker is not differentiable: use navigation"),
        (plan("pettingzoo:mpe2.simple_spread_v3"), "method hdpo: pettingzoo:mpe2.* is not diff"),
        (
            plan("tests.helpers.grid_simulator:Exits()"),
            "method hdpo: tests.helpers.* is not differentiable",
        ),
        (plan(f"{HERE}:Choice()"), "method hdpo: .*: store chooses among whole numbers"),
        (plan(resources=Resources(env_runners=1)), "method hdpo simulates in its learners: set"),
        (plan(resources=Resources(learners=65)), "65 learners share 64 games: set method.num_envs"),
        (plan(warm_up=30), "method.warm_up = 30: games end after 30 steps; set it lower"),
        (plan().model_copy(update=dict(self_play=SelfPlay(past=0.5))), "method hdpo has no self"),
    ],
)  # fmt: skip
def test_what_it_refuses(asked, message):
    with pytest.raises(InputError, match=f"^{message}") as raised, train(asked) as training:
        training.step()
    assert "\n" not in str(raised.value)


@dataclass(frozen=True)
class Choice(OneStore):
    """Says that it is differentiable, but orders none, one or two."""

    @cached_property
    def spec(self):
        return Spec("choice", (Role("store", gymnasium.spaces.Discrete(3), 2),), (0,), 1)


def test_no_other_policy_takes_a_seat():
    with train(plan()) as training:
        policy = training.policy()
    with pytest.raises(InputError, match=r"^method hdpo plays all seats itself"):
        train(plan(), against=policy, seats=(0,))


TINY = f"""
game = "{STORE}(lead_time=2)"
method = {{ name = "hdpo", num_envs = 16, updates = 2 }}
network = {{ hidden = [8] }}
stop = {{ steps = 4000 }}
evaluation = {{ every = 2, episodes = 10 }}
checkpoint = {{ seconds = 1e-6, best = "eval_return" }}
"""


def test_a_scenario_runs_resumes_and_plays(tmp_path, capsys):
    scenario = parse(TINY, "tiny")
    assert parse(scenario.to_toml(), "tiny") == scenario
    assert scenario.method == HDPO(num_envs=16, updates=2)
    whole = Run.create(scenario, tmp_path / "whole")
    (result,) = whole.execute()
    assert (result.method, result.updates, result.steps) == ("hdpo", 5, 4800)
    half = parse(TINY, "tiny", ["stop.steps=1000"])
    Run.create(half, tmp_path / "half").execute()
    assert _main(["resume", str(tmp_path / "half"), "--set=stop.steps=4000"]) == 0
    again = Run.load(tmp_path / "half")
    clocks = [name for name in again.metrics if "second" in name]
    assert again.metrics.drop(columns=clocks).equals(whole.metrics.drop(columns=clocks))
    assert _main(["show", str(tmp_path / "half")]) == 0
    assert _main(["play", str(tmp_path / "half"), "--episodes=5"]) == 0
    assert "return" in capsys.readouterr().out
