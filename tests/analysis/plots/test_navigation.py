"""Safe navigation: what was played, in tables and pictures; what is drawn is what was played."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.collections import EllipseCollection, LineCollection, PathCollection
from matplotlib.colors import to_rgba
from PIL import Image

from analysis.navigation.history import Trajectories, by_agent, by_game, trajectories, yielding
from analysis.plots import navigation as plot_navigation
from analysis.plots import players as plot_players
from games import InputError
from games.navigation.draw import BAR, COLOURS, DOTS, KEY, TOUCHED, ZETA_COLOURS, frame
from games.navigation.navigation import Navigation
from games.navigation.safe_navigation import SafeNavigation
from marl.evaluation.actors import Uniform
from marl.evaluation.comparison import compare
from marl.evaluation.episodes import evaluate
from marl.evaluation.watching import Watching
from marl.rules.navigation import Fixed, Heterogeneous, sweep

SWAP = "safe_navigation(agents=3,layout=swap,max_steps=100)"


def tuned(game, *zetas, eta=1.0):
    """Agent i always has the i-th zeta, the last one serves for all the others."""
    zeta = torch.tensor([zetas[min(i, len(zetas) - 1)] for i in range(game.agents)])
    actions = game.actions(torch.stack((zeta, torch.full_like(zeta, eta)), dim=1))
    return lambda seen: actions.expand(*seen.acting.shape, 2)


def at_random(seed=0):
    generator = torch.Generator().manual_seed(seed)
    return lambda seen: 2 * torch.rand((*seen.acting.shape, 2), generator=generator) - 1


def end_of(game, decide, games, seed):
    """What `step` reports at the end of each game, by name [B]; and its state."""
    generator = torch.Generator().manual_seed(seed)
    state, info = game.reset(games, generator), {}
    over = torch.zeros(games, dtype=torch.bool)
    while not over.all():
        state, step = game.step(state, decide(game.observe(state)), generator)
        for name, value in step.info.items():
            info[name] = torch.where(over, info.get(name, value), value)
        over = over | step.over
    return {name: value.double().numpy() for name, value in info.items()}, state


def by_hand(**given):
    """Two agents for 6 steps of 0.1 s: the first waits, the second goes, neither arrives."""
    game = SafeNavigation(agents=2, dt=0.1, layout="random", hold=2, communication=0.6)
    position = np.zeros((7, 1, 2, 2))
    position[:, 0, 0] = (0.0, 0.3)
    position[:, 0, 1, 0] = 0.05 * np.arange(7)
    goal = np.array([[[1.0, 0.3], [0.3 + 0.9, 0.0]]])
    shape = (6, 1, 2)
    waiting = np.zeros(shape, bool)
    waiting[:, 0, 0] = True
    parameters = np.ones((*shape, 2))
    parameters[:, 0, 0, 0] = 0.1 * 2.0 ** np.arange(6)
    parameters[:, 0, 1, 0] = 10
    shown = {
        "game": game,
        "position": position,
        "parameters": parameters,
        "goal": goal,
        "obstacle": np.zeros((1, 0, 2)),
        "shortest": np.full((1, 2), 0.9),
        "clearance": np.full((7, 1, 2), 0.2),
        "arrived": np.zeros((7, 1, 2), bool),
        "waiting": waiting,
        "eased": np.zeros(shape, bool),
        "infeasible": np.zeros(shape, bool),
        "collisions": np.zeros(1),
        "length": np.array([6]),
    }
    return Trajectories(**shown | given)


# --- what happened

GAMES = [
    SafeNavigation(agents=4, layout="swap", obstacles=6, max_steps=150),
    SafeNavigation(agents=3, layout="random", dynamics="double_integrator", max_steps=120),
    SafeNavigation(agents=5, layout="random", area=1.5, max_steps=90, hold=7),
    SafeNavigation(
        agents=8, layout="random", dynamics="double_integrator", max_steps=60, area=1.2, hold=4,
        max_acceleration=1.0, responsibility="half",
    ),
]  # fmt: skip


@pytest.mark.parametrize("game", GAMES, ids=["single", "double", "crowd", "infeasible"])
def test_tables_are_what_the_game_reports(game):
    """The game counts as it goes, in single precision; the tables count afterwards."""
    played = trajectories(game, at_random(), games=8, seed=4)
    info, state = end_of(game, at_random(), 8, 4)
    found = by_game(played)
    for name in (
        "success", "all_arrived", "spl", "speed", "deadlocked", "eased", "infeasible", "closest",
        "collisions",
    ):  # fmt: skip
        np.testing.assert_allclose(found[name].astype(float), info[name], atol=2e-5, err_msg=name)
    np.testing.assert_array_equal(played.length, state.steps)
    np.testing.assert_array_equal(played.position[-1], state.position.double())
    assert len(found) == 8
    if game.max_acceleration == 1.0:  # where the rest is put to the test
        assert found["infeasible"].max() > 0
        assert found["collisions"].max() > 0


class AtGoals(SafeNavigation):
    """The first agent of two begins at its goal; in the first of two games, the second does, too.

    Else it is alone on its way.
    """

    def reset(self, batch, generator):
        begin = torch.tensor([(-0.5, 0.8), (-0.5, 0.0)]).expand(2, 2, 2)
        goal = begin.clone()
        goal[1, 1, 0] = 0.5
        return self.start(begin, goal, torch.zeros(2, 0, 2))


def test_who_begins_at_its_goal():
    at_goals = AtGoals(agents=2)
    played = trajectories(at_goals, tuned(at_goals, 1.0), games=2)
    info, _ = end_of(at_goals, tuned(at_goals, 1.0), 2, 0)
    table = by_agent(played).set_index(["game", "agent"])
    assert table["success"].all()
    assert table["spl"].tolist() == pytest.approx([1, 1, 1, 2 * info["spl"][1] - 1])
    assert 0.9 < table["spl"][1, 1] < 1
    assert table["seconds"][:3].tolist() == [0, 0, 0]
    assert (table[["eased", "infeasible", "waits"]] == 0).all(axis=None)
    for name in ("spl", "eased", "infeasible"):
        np.testing.assert_allclose(by_game(played)[name], info[name], atol=2e-5)
    np.testing.assert_array_equal(played.until[:, 0], 0)
    assert played.until[1, 1] == played.length[1]
    for game in (0, 1):
        plot_navigation.paths(played, game).canvas.draw()
        figure = plot_navigation.over_time(played, game)
        figure.canvas.draw()
        assert [text.get_text() for text in figure.axes[0].get_legend().get_texts()] == ["0", "1"]


def test_one_agent_alone():
    """Full speed until the goal is a quarter of a metre away, then a tenth of the way a step."""
    game = SafeNavigation(agents=1, layout="random")
    played = trajectories(game, tuned(game, 1.0), games=4, seed=1)
    table = by_agent(played).set_index("game")
    for k in range(4):
        far = float(np.linalg.norm(played.goal[k, 0] - played.position[0, k, 0]))
        left, steps = far, 0
        while left >= game.goal_radius:
            left -= min(game.gain * left, game.max_speed) * game.dt
            steps += 1
        row = table.loc[k]
        assert row["seconds"] == pytest.approx(steps * game.dt)
        assert row["spl"] == pytest.approx((far - game.goal_radius) / (far - left), rel=1e-4)
        assert row["speed"] == pytest.approx(
            (far - left) / (steps * game.dt * game.max_speed), rel=1e-4
        )
        assert row["waits"] == 0
    assert table["closest"].tolist() == [np.inf] * 4
    assert table["zeta"].tolist() == pytest.approx([1.0] * 4)


def test_parameters_hold_and_are_those_that_were_asked():
    game = SafeNavigation(agents=2, layout="random", hold=3, max_steps=30)
    asked = []

    def decide(seen):
        asked.append(at_random(len(asked))(seen))
        return asked[-1]

    played = trajectories(game, decide, games=1, seed=0)
    steps = int(played.length[0])
    expected = game.parameters(torch.stack(asked))[:, 0].repeat_interleave(3, dim=0)
    np.testing.assert_allclose(played.parameters[:steps, 0], expected[:steps], rtol=1e-6)
    np.testing.assert_array_equal(played.zeta, played.parameters[..., 0])
    np.testing.assert_allclose(played.time, game.dt * np.arange(len(asked) * 3 + 1))


def test_waits_by_hand():
    table = by_agent(by_hand())
    assert table["waits"].tolist() == pytest.approx([0.6, 0.0])
    assert table["speed"].tolist() == pytest.approx([0.0, 1.0])
    assert table["zeta"].tolist() == pytest.approx([0.1 * 2**2.5, 10])
    assert table["seconds"].isna().all()
    assert not table["deadlocked"].any()  # 0.6 s is not long
    one = by_game(by_hand()).iloc[0]
    assert one["waits"] == pytest.approx(0.3)
    assert one["zeta"] == pytest.approx(np.sqrt(0.1 * 2**2.5 * 10))


def test_the_waiting_one_yields():
    """The other goes 5 cm a step while they see each other: at most 0.6 m apart, all 6 steps."""
    np.testing.assert_allclose(yielding(by_hand()), [[0, 0.3], [-0.3, 0]], atol=1e-12)
    # Of the centres' distances (0.09 + (0.05 t)^2)^.5 those at t = 0, 1, 2 are below 0.32.
    game = replace(by_hand().game, communication=0.32)
    np.testing.assert_allclose(yielding(by_hand(game=game)), [[0, 0.15], [-0.15, 0]], atol=1e-12)
    arrived = np.zeros((7, 1, 2), bool)
    arrived[4:, 0, 1] = True
    np.testing.assert_allclose(
        yielding(by_hand(arrived=arrived)), [[0, 0.2], [-0.2, 0]], atol=1e-12
    )


# --- pictures


@pytest.fixture(scope="module")
def players():
    game = SafeNavigation(agents=4, layout="swap", obstacles=3, max_steps=120)
    return {
        "fixed": trajectories(game, tuned(game, 1.0), games=2, seed=1),
        "graded": trajectories(game, tuned(game, 0.1, 1.0, 3.0, 10.0), games=2, seed=1),
    }


def shade(zeta, low=0.1, high=10.0):
    """The colour of a zeta, by hand: evenly in its logarithm."""
    return ZETA_COLOURS((np.log(zeta) - np.log(low)) / (np.log(high) - np.log(low)))


def test_paths_are_where_discs_went(players):
    figure = plot_navigation.paths(players, 1, title="swap")
    *panels, bar = figure.axes
    assert [ax.get_title().split("\n")[0] for ax in panels] == ["fixed", "graded"]
    assert bar.get_ylim() == pytest.approx((0.1, 10))
    for ax, played in zip(panels, players.values(), strict=True):
        last = int(played.length[1])
        said = f"{int(played.arrived[last, 1].sum())} of 4 arrive, {last * played.game.dt:.4g} s"
        assert ax.get_title().split("\n")[1] == said
        assert ax.get_aspect() == 1
        lines = [each for each in ax.collections if isinstance(each, LineCollection)]
        assert len(lines) == 4
        for i, line in enumerate(lines):
            segments = np.array(line.get_segments())
            until = int(played.underway[:, 1, i].nonzero()[0].max()) + 1
            np.testing.assert_allclose(segments[:, 0], played.position[:until, 1, i])
            np.testing.assert_allclose(segments[:, 1], played.position[1 : until + 1, 1, i])
            zeta = played.zeta[:until, 1, i]
            np.testing.assert_allclose(line.get_colors(), shade(zeta), atol=0.02)
        rings = [each for each in ax.collections if isinstance(each, PathCollection)]
        drawn = sorted(float(each.get_sizes()[0]) for each in rings)
        long = []
        for i in range(4):
            run = 0
            for waits in [*played.waiting[:last, 1, i], False]:
                if not waits and run * played.game.dt >= plot_navigation.WAIT:
                    long.append(plot_navigation.RING * run * played.game.dt)
                run = run + 1 if waits else 0
        assert drawn == pytest.approx(sorted(long))
        obstacles, goals, discs = (
            each for each in ax.collections if isinstance(each, EllipseCollection)
        )
        np.testing.assert_allclose(obstacles.get_offsets(), played.obstacle[1])
        np.testing.assert_allclose(goals.get_offsets(), played.goal[1])
        np.testing.assert_allclose(discs.get_offsets(), played.position[last, 1])
    assert len([c for c in panels[0].collections if isinstance(c, PathCollection)]) > 0


@pytest.mark.parametrize(
    ("waits", "expected"),
    [("", []), ("..", []), ("xx", [(0, 2)]), (".xx.x", [(1, 3), (4, 5)]), ("x.", [(0, 1)])],
)
def test_runs_of_waiting(waits, expected):
    assert plot_navigation.waits([letter == "x" for letter in waits]) == expected


def test_zeta_over_time():
    arrived = np.zeros((7, 1, 2), bool)
    arrived[4:, 0, 1] = True
    waiting = np.zeros((6, 1, 2), bool)
    waiting[1:3, 0, 0] = True
    figure = plot_navigation.over_time(by_hand(arrived=arrived, waiting=waiting))
    ax = figure.axes[0]
    assert (ax.get_yscale(), ax.get_xlim()) == ("log", pytest.approx((0, 0.6)))
    thin, first, _, second, end = ax.get_lines()
    zeta = 0.1 * 2.0 ** np.arange(6)
    np.testing.assert_allclose(thin.get_ydata(), [*zeta, zeta[-1]])
    np.testing.assert_allclose(thin.get_xdata(), 0.1 * np.arange(7))
    np.testing.assert_array_equal(np.isnan(first.get_ydata()), [0, 1, 1, 0, 0, 0, 0])
    np.testing.assert_allclose(second.get_xdata(), 0.1 * np.arange(5))  # until it arrives
    assert (end.get_xdata()[0], end.get_ydata()[0]) == (pytest.approx(0.4), 10)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["0", "1"]
    said = ax.get_legend().get_title().get_text().split("\n")
    assert said == ["agent", "(thin: waits,", "dot: has arrived)"]


def test_no_zeta_lies_beyond_its_scale(players):
    """So the scale of colours ends at its ends, and says no more."""
    figure = plot_navigation.paths(players, 0)
    bar = figure.axes[-1]._colorbar
    assert bar.extend == "neither"
    assert (bar.vmin, bar.vmax) == pytest.approx((0.1, 10.0))
    for played in players.values():
        assert played.zeta.min() >= 0.1 * (1 - 1e-6)
        assert played.zeta.max() <= 10.0 * (1 + 1e-6)


def test_who_yields(players):
    figure = plot_navigation.who_yields(players["graded"], 1)
    ax = figure.axes[0]
    assert ax.get_title() == "cm that the row yields to the column"
    table = yielding(players["graded"], 1)
    np.testing.assert_allclose(ax.images[0].get_array(), 100 * table)
    np.testing.assert_allclose(table, -table.T, atol=1e-12)
    written = {text.get_position(): text.get_text() for text in ax.texts}
    for i, j in zip(*table.nonzero(), strict=True):
        assert written[j, i] == f"{100 * table[i, j]:+.0f}"


def test_fixed_parameters_and_others():
    """The curves are the sweep's columns, the lines and bands the comparison's rows."""
    measured = sweep(SWAP, [0.3, 3.0], (0.5, 1.0), episodes=4, seed=0)
    others = compare(SWAP, {"drawn": Heterogeneous()}, episodes=4, seed=0)
    metrics = ["spl", "speed"]
    figure = plot_players.sweep(measured, metrics, against=others)
    for ax, metric in zip(figure.axes, metrics, strict=True):
        assert ax.get_xscale() == "log"
        for container, eta in zip(ax.containers, (0.5, 1.0), strict=True):
            rows = measured[measured["eta"] == eta]
            line, _, (bars,) = container
            np.testing.assert_allclose(line.get_xdata(orig=False), rows["zeta"])
            np.testing.assert_allclose(line.get_ydata(orig=False), rows[metric])
            ends = np.array(bars.get_segments())[:, :, 1]
            np.testing.assert_allclose(ends, rows[[f"{metric}_low", f"{metric}_high"]], atol=1e-9)
        row = others[others["metric"] == metric].iloc[0]
        assert [line.get_ydata()[0] for line in ax.get_lines()][-1] == row["mean"]
        (band,) = ax.patches
        assert (band.get_y(), band.get_y() + band.get_height()) == pytest.approx(
            (row["low"], row["high"])
        )
    shown = [text.get_text() for text in figure.legends[0].get_texts()]
    assert sorted(shown) == ["drawn", "fixed, eta = 0.5", "fixed, eta = 1"]
    assert figure.legends[0].get_title().get_text() == "bars and bands: 95% intervals"


MEASURED = pd.DataFrame(
    [
        {"player": player, "agents": n, "metric": metric, "mean": mean, "low": low, "high": high}
        for player, n, metric, mean, low, high in [
            ("a", 8, "spl", 0.4, 0.3, 0.6),
            ("a", 4, "spl", 0.9, 0.8, 0.95),
            ("b", 4, "spl", 0.5, 0.4, 0.6),
            ("a", 4, "closest", 0.02, 0.01, 0.05),
        ]
    ]
)


def test_metrics_by_team_size():
    figure = plot_players.team_size(MEASURED, ["spl", "closest"], title="teams")
    left, right = figure.axes
    assert (left.get_title(), right.get_title()) == ("SPL", "least clearance, m")
    line, _, (bars,) = left.containers[0]
    np.testing.assert_allclose(line.get_xdata(orig=False), [4, 8], rtol=0.02)  # side by side
    np.testing.assert_allclose(line.get_ydata(orig=False), [0.9, 0.4])
    np.testing.assert_allclose(np.array(bars.get_segments())[:, :, 1], [[0.8, 0.95], [0.3, 0.6]])
    assert list(left.get_xticks()) == [4, 8]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["a", "b"]


# --- frames


def painted(picture, colour, off=2):
    """[2, n] rows and columns of the pixels of a colour."""
    wanted = np.round(255 * np.array(to_rgba(colour)[:3]))
    return np.argwhere((np.abs(picture.astype(int) - wanted) <= off).all(axis=2)).T


def placed(zeta):
    """Two discs at x = -0.5 and 0.5 with these zetas, their goals far above."""
    game = SafeNavigation(agents=2, layout="random")
    position = torch.tensor([[[-0.5, 0.0], [0.5, 0.0]]])
    state = game.start(position, position + torch.tensor([0.0, 0.7]), torch.zeros(1, 0, 2))
    parameters = torch.ones(1, 2, 2)
    parameters[0, :, 0] = torch.tensor(zeta)
    return game, replace(state, parameters=parameters)


def test_discs_show_their_zeta():
    game, state = placed([0.1, 10.0])
    picture = frame(game, state)
    height = 480 + round(DOTS * KEY) + round(DOTS * BAR)
    assert (picture.shape, picture.dtype) == ((height, 480, 3), np.uint8)
    field, bar = picture[:480], picture[-round(DOTS * BAR) :]
    for zeta, x in ((0.1, -0.5), (10.0, 0.5)):
        rows, columns = painted(field, shade(zeta))
        assert len(rows) > 150  # of the 375 that a disc has, less its number and rim
        middle = 480 * (x + 0.55 * game.area) / (1.1 * game.area)
        assert (rows.mean(), columns.mean()) == pytest.approx((240, middle), abs=1.5)
    assert len(painted(field, COLOURS[0])[0]) > 30  # its own colour is its rim
    for zeta in (0.1, 1.0, 10.0):  # the scale has them all, from left to right
        assert len(painted(bar, shade(zeta), off=4)[0]) > 0
    ends = [painted(bar, shade(zeta), off=4)[1].mean() for zeta in (0.1, 1.0, 10.0)]
    assert ends[1] - ends[0] == pytest.approx(ends[2] - ends[1], abs=8)


@pytest.mark.parametrize("obstacles", [0, 2])
@pytest.mark.parametrize("made", [Navigation, SafeNavigation])
def test_frames_say_what_is_what(made, obstacles):
    """Below every frame, the same in all of a game; obstacles where there are any."""
    game = made(agents=2, layout="random", obstacles=obstacles)
    below = slice(480, 480 + round(DOTS * KEY))
    first, later = (
        frame(game, game.reset(1, torch.Generator().manual_seed(k)))[below] for k in (0, 1)
    )
    np.testing.assert_array_equal(first, later)
    assert len(painted(first, TOUCHED)[0]) > 10
    assert (first.max(axis=2) < 128).sum() > 100  # words
    assert (len(painted(first, "0.72")[0]) > 30) == (obstacles > 0)


def test_trails_show_the_zeta_of_then():
    game, state = placed([1.0, 1.0])
    trail = torch.tensor([[[-0.5, -0.8], [0.5, -0.8]], [[-0.5, -0.4], [0.5, -0.4]]])
    trail = torch.cat((trail, state.position))
    zeta = torch.tensor([[0.1, 10.0], [10.0, 0.1], [1.0, 1.0]])
    picture = frame(game, state, 0, trail, zeta)
    row = {y: round(480 * (0.55 * game.area - y) / (1.1 * game.area)) for y in (-0.6, -0.2)}
    column = [round(480 * (x + 0.55 * game.area) / (1.1 * game.area)) for x in (-0.5, 0.5)]

    def nearer(y, k):
        """Which end of the scale the trail of an agent is nearer to, at a height."""
        pixel = picture[row[y], column[k] - 1 : column[k] + 2].astype(int)
        away = [
            np.abs(pixel - 255 * np.array(shade(end)[:3])).sum(axis=1).min() for end in (0.1, 10)
        ]
        return int(np.argmin(away))

    assert [nearer(y, k) for y in (-0.6, -0.2) for k in (0, 1)] == [0, 1, 1, 0]
    position = state.position.clone().requires_grad_()  # or with gradients
    again = frame(game, replace(state, position=position), 0, trail, zeta.requires_grad_())
    np.testing.assert_array_equal(again, picture)
    plain = frame(game, state, 0, trail)
    assert len(painted(plain[:480], shade(0.1))[0]) == 0  # without zeta, agents' own colours


def watched(name, player, file):
    watching = Watching(name, file, False)
    evaluate(player, name, episodes=1, seed=2, watch=watching)
    watching.finish()
    return watching


def test_an_animation_has_every_control_step(tmp_path):
    name = "safe_navigation(agents=2,layout=swap,max_steps=12,hold=5)"
    watching = watched(name, Fixed(3.0), tmp_path / "play.gif")
    assert len(watching.frames) == 16  # 3 actions of 5 steps, and where they led
    with Image.open(tmp_path / "play.gif") as shown:
        assert (shown.n_frames, shown.info["duration"]) == (16, 50)
    place = torch.stack([state.position[0] for state in watching.states])
    went = torch.linalg.vector_norm(place.diff(dim=0), dim=-1)
    assert ((went > 0.01) & (went < 0.026)).all()  # one step each, of 0.05 s at 0.5 m/s at most
    zeta = torch.full(place.shape[:2], 3.0)
    game = SafeNavigation(agents=2, layout="swap", max_steps=12, hold=5)
    np.testing.assert_array_equal(
        watching.frames[-1], frame(game, watching.states[-1], 0, place, zeta)
    )


def test_navigation_is_drawn_with_trails(tmp_path):
    name, file = "navigation(agents=2,max_steps=9)", tmp_path / "play.png"
    game = Navigation(agents=2, max_steps=9)
    watching = watched(name, Uniform(game.spec), file)
    assert len(watching.states) == 10
    assert len(watching.frames) == 1  # nothing but the last is drawn
    place = torch.stack([state.position[0] for state in watching.states])
    with Image.open(file) as shown:
        picture = np.asarray(shown)
    np.testing.assert_array_equal(picture, frame(game, watching.states[-1], 0, place))
    assert (picture != frame(game, watching.states[-1])).any()


# --- what is refused


def test_what_is_refused(players):
    game = SafeNavigation(agents=2, layout="random", max_steps=10)
    with pytest.raises(InputError, match=r"^Navigation: trajectories are those of safe_navigation"):
        trajectories(Navigation(), tuned(game, 1.0))
    with pytest.raises(InputError, match=r"^games = 0: play at least 1$"):
        trajectories(game, tuned(game, 1.0), games=0)
    with pytest.raises(InputError, match=r"shape \(1, 2\); give \(1, 2, 2\)"):
        trajectories(game, lambda seen: torch.zeros(1, 2))
    with pytest.raises(InputError, match=r"is not in Box\(-1, 1\)"):
        trajectories(game, lambda seen: torch.full((1, 2, 2), 1.5))
    for draw in (plot_navigation.paths, plot_navigation.over_time, plot_navigation.who_yields):
        with pytest.raises(InputError, match=r"^game 2: 2 games were played; give 0 to 1$"):
            draw(players["fixed"], 2)
    with pytest.raises(InputError, match=r"^no trajectories to draw"):
        plot_navigation.paths({})
    with pytest.raises(InputError, match=r"^no column 'low' in what was measured; give player, "):
        plot_players.team_size(MEASURED.drop(columns="low"))
    with pytest.raises(InputError, match=r"^no rows of the metric 'speed': there are those of clo"):
        plot_players.team_size(MEASURED, ["spl", "speed"])
    with pytest.raises(InputError, match=r"^no column 'eta' in what was measured"):
        plot_players.sweep(pd.DataFrame({"zeta": [1.0], "spl": [0.5]}), ["spl"])


def test_games_without_pictures_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"Exits\(\) cannot be drawn: give the simulator frame"):
        Watching("tests.helpers.grid_simulator:Exits()", tmp_path / "x.png", False)
    with pytest.raises(InputError, match=r"^kuhn_poker cannot be drawn; use --print for its moves"):
        Watching("kuhn_poker", tmp_path / "x.png", False)


def test_a_game_of_too_many_pictures(tmp_path, monkeypatch):
    monkeypatch.setattr("marl.evaluation.watching.MOST_PICTURES", 9)
    with pytest.raises(InputError, match="more than 9 pictures; draw a game of fewer steps"):
        watched("safe_navigation(agents=2,layout=swap)", Fixed(3.0), tmp_path / "play.gif")
