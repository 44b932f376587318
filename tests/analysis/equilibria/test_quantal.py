"""Logit equilibria against Gambit, closed forms and backward induction; precisions from play."""

import io

import numpy as np
import pygambit
import pytest
from scipy.optimize import brentq, minimize_scalar
from scipy.special import expit, softmax

import analysis
import games
from analysis.equilibria.equilibrium import Unverified
from analysis.equilibria.precision import fit_precision
from analysis.equilibria.quantal import logit, logit_path
from games import NormalForm
from games.finite.gambit.reading import GambitGame, to_gambit
from tests.conftest import KUHN, LD5, LEDUC, form

LD2 = "liars_dice(numdice=1,dice_sides=2)"
AUCTION = "first_sealed_auction(max_value=3)"

# The principal branch goes up to precision 4.2, back to 0.8 and up again.
FOLDED = NormalForm.from_payoffs(
    [[7, 0, 6], [7, 8, 3], [5, 9, 3]], [[1, 1, 6], [7, 8, 1], [6, 7, 9]], name="folded"
)
# Its only Nash equilibrium is mixed, and learning goes round it.
SHAPLEY = NormalForm.from_payoffs(
    [[0, 0, 1], [1, 0, 0], [0, 1.2, 0]], [[0, 1, 0], [0, 0, 1], [1, 0, 0.1]], name="shapley"
)
# The second player knows which of three states it is, the third one has probability 0.
EXCLUDED = """EFG 2 R "excluded" { "A" "B" }
""
c "" 1 "" { "l" 1/3 "r" 2/3 "never" 0 } 0
p "" 1 1 "a" { "x" "y" } 0
p "" 2 1 "left" { "x" "y" } 0
t "" 1 "" { 3, 1 }
t "" 2 "" { 0, 0 }
p "" 2 1 "left" { "x" "y" } 0
t "" 3 "" { 1, 0 }
t "" 4 "" { 2, 2 }
p "" 1 1 "a" { "x" "y" } 0
p "" 2 2 "right" { "x" "y" } 0
t "" 5 "" { 0, 2 }
t "" 6 "" { 1, 0 }
t "" 7 "" { 1, 1 }
p "" 2 3 "nowhere" { "x" "y" } 0
t "" 8 "" { 1, 5 }
t "" 9 "" { 0, 0 }
"""


def table(seed: int, *shape: int) -> NormalForm:
    payoffs = np.random.default_rng(seed).integers(0, 10, (*shape, len(shape)))
    return NormalForm.from_payoffs(payoffs, name=f"random {seed}")


def from_gambit_file(text: str) -> GambitGame:
    return GambitGame("tree", pygambit.read_efg(io.BytesIO(text.encode())))


@pytest.mark.parametrize(
    ("game", "kind", "precision"),
    [
        *((games.load(KUHN), "agent", precision) for precision in (0.3, 1.0, 5.0, 50.0, 1000.0)),
        (games.load("kuhn_poker(players=3)"), "agent", 2.0),
        (games.load(LD2), "agent", 1.0),
        (games.load(LD2), "agent", 5.0),
        (games.load(AUCTION), "agent", 8.0),
        (games.load(AUCTION), "normal", 3.0),
        (games.load("matching_pennies_3p"), "agent", 2.0),
        (table(0, 4, 4), "agent", 1.0),
        (table(1, 3, 5), "normal", 0.5),
        (table(2, 2, 3, 2), "agent", 0.7),
        (FOLDED, "agent", 2.0),
        (FOLDED, "agent", 10.0),
    ],
    ids=lambda x: getattr(x, "name", None),
)
def test_branch_equals_gambit(game, kind, precision):
    ours = logit(game, precision, kind=kind, method="branch")
    theirs = logit(game, precision, kind=kind, method="gambit")
    # Gambit stops where it is good to about 1e-7.
    np.testing.assert_allclose(
        ours.strategy.probabilities, theirs.strategy.probabilities, atol=2e-7
    )
    np.testing.assert_allclose(ours.values, theirs.values, atol=2e-6)
    assert ours.facts["residual"] < 1e-12
    assert (ours.facts["kind"], ours.facts["method"]) == (kind, "branch")
    assert theirs.facts["method"] == "gambit"


@pytest.mark.parametrize(
    ("game", "precision"),
    [
        (games.load(KUHN), 0.0),
        (games.load(KUHN), 50.0),
        (games.load("kuhn_poker(players=3)"), 3.0),
        (games.load(LD2), 20.0),
        (games.load(LEDUC), 2.0),
        (games.load("matrix_pd"), 2.0),
        (table(3, 10, 10), 0.2),
    ],
    ids=lambda x: getattr(x, "name", None),
)
def test_mirror_descent_equals_branch(game, precision):
    by_branch = logit(game, precision, kind="normal", method="branch")
    by_mirror = logit(game, precision, method="mirror")
    assert by_mirror.facts["kind"] == "normal"
    assert by_mirror.facts["residual"] <= 1e-9
    np.testing.assert_allclose(
        by_branch.strategy.probabilities, by_mirror.strategy.probabilities, atol=1e-8
    )


@pytest.mark.parametrize("name", [KUHN, LD2, AUCTION])
@pytest.mark.parametrize("precision", [0.0, 1.0, 10.0])
def test_normal_kind_is_a_softmax_over_the_reduced_normal_form(name, precision):
    found = logit(games.load(name), precision, kind="normal").strategy
    normal = NormalForm.reduced(form(name), budget=20_000_000)
    mixed = normal.mixed(found)
    answer = []
    for i in range(2):
        payoffs = np.moveaxis(normal.payoffs[..., i], i, 0) @ mixed[1 - i]
        answer.append(softmax(precision * payoffs))
    np.testing.assert_allclose(
        found.probabilities, normal.strategy(answer).probabilities, atol=1e-9
    )


def test_kinds_differ_on_a_tree_and_agree_on_a_table():
    assert logit(games.load(KUHN), 1.0).facts["kind"] == "agent"
    agent, normal = (logit(games.load(KUHN), 1.0, kind=k) for k in ("agent", "normal"))
    assert np.abs(agent.strategy.probabilities - normal.strategy.probabilities).max() > 0.1
    agent, normal = (logit(FOLDED, 1.0, kind=k) for k in ("agent", "normal"))
    np.testing.assert_allclose(
        agent.strategy.probabilities, normal.strategy.probabilities, atol=1e-12
    )


@pytest.mark.parametrize("method", ["branch", "mirror"])
@pytest.mark.parametrize("precision", [0.1, 1.0, 4.0])
def test_matching_pennies_with_a_prize_in_closed_form(method, precision):
    """Ochs's game: odds exp(lambda (10 q - 1)) and exp(-lambda (2 p - 1)); one equation in p."""
    game = NormalForm.from_payoffs([[9, 0], [0, 1]], [[0, 1], [1, 0]])

    def second(p):
        return expit(precision * (1 - 2 * p))

    p = brentq(lambda p: p - expit(precision * (10 * second(p) - 1)), 0, 1, xtol=1e-15)
    found = logit(game, precision, method=method).strategy.probabilities
    np.testing.assert_allclose(found, [p, 1 - p, second(p), 1 - second(p)], atol=2e-9)


def test_branch_keeps_a_symmetry():
    """Battle of the sexes: each takes its own favourite with p, the other's with 1 - p."""
    found = logit(games.load("matrix_bos"), 2.0, method="branch").strategy.probabilities
    # Its favourite gets each 3 (1 - p), the other's 2 p.
    p = brentq(lambda p: p - expit(2.0 * (3 * (1 - p) - 2 * p)), 0, 1, xtol=1e-15)
    np.testing.assert_allclose(found, [p, 1 - p, 1 - p, p], atol=1e-12)


@pytest.mark.parametrize(
    "name", ["nim(pile_sizes=1;2;1)", "cliff_walking(height=2,width=3,horizon=5)"]
)
@pytest.mark.parametrize("precision", [0.5, 3.0, 40.0])
def test_agents_with_perfect_information_by_backward_induction(name, precision):
    game = games.load(name)
    expected: dict[tuple[int, str], dict[int, float]] = {}

    def values(state):
        if state.is_terminal():
            return np.array(state.returns())
        below = np.array([values(state.child(a)) for a in state.legal_actions()])
        player = state.current_player()
        chosen = softmax(precision * below[:, player])
        name = state.information_state_string(player)
        expected[player, name] = dict(zip(state.legal_actions(), chosen, strict=True))
        return chosen @ below

    root = values(game.root())
    found = logit(game, precision, kind="agent")
    np.testing.assert_allclose(found.values, root, atol=1e-9)
    for row in found.strategy.to_frame().itertuples():
        probability = expected[row.player, row.information_set][row.action]
        assert row.probability == pytest.approx(probability, abs=1e-9)


def test_a_set_that_chance_excludes_is_played_at_random():
    found = logit(from_gambit_file(EXCLUDED), 3.0, kind="agent", method="branch")
    table = found.strategy.to_frame().set_index("information_set").probability
    assert table["nowhere"].tolist() == [0.5, 0.5]
    # The same game without that state.
    text = EXCLUDED.split('p "" 2 3')[0].replace(' "never" 0', "")
    without = logit(from_gambit_file(text), 3.0, kind="agent", method="gambit")
    rest = without.strategy.to_frame().set_index("information_set").probability
    for name in ("a", "left", "right"):
        np.testing.assert_allclose(table[name], rest[name], atol=2e-7)


def test_units_of_utility_do_not_matter():
    payoffs = np.random.default_rng(4).normal(size=(3, 4, 2))
    small, large = (NormalForm.from_payoffs(c * payoffs) for c in (1e-3, 1e3))
    found = [logit(g, p).strategy.probabilities for g, p in ((small, 2e3), (large, 2e-3))]
    np.testing.assert_allclose(*found, atol=1e-12)


def test_gains_are_those_of_best_responses():
    found = logit(games.load(KUHN), 2.0)
    assert found.gains.sum() == pytest.approx(
        analysis.nash_conv(form(KUHN), found.strategy), abs=1e-15
    )


def test_large_game_by_mirror_descent():
    found = logit(games.load(LD5), 10.0)  # 10,232 sequences
    assert (found.facts["method"], found.facts["kind"]) == ("mirror", "normal")
    assert found.facts["residual"] <= 1e-9


def test_mirror_descent_says_that_it_circles():
    with pytest.raises(Unverified, match="circles at precision"):
        logit(SHAPLEY, 50.0, method="mirror")
    assert logit(SHAPLEY, 50.0).facts["residual"] < 1e-12


@pytest.mark.parametrize("method", ["branch", "mirror"])
def test_path_to_nash(method):
    path = logit_path(games.load(KUHN), kind="normal", method=method, regret=0.01)
    assert path.precisions[0] == 0
    assert (np.diff(path.precisions) > 0).all()  # zero-sum: one equilibrium at each precision
    assert path.regrets[-1] <= 0.01 < path.regrets[-2]
    assert path.residuals.max() <= 1e-9
    k = len(path) // 2
    there = logit(games.load(KUHN), path.precisions[k], kind="normal", method="branch")
    np.testing.assert_allclose(
        path.strategy(k).probabilities, there.strategy.probabilities, atol=1e-8
    )
    table = path.to_frame()
    assert len(table) == 24 * len(path)
    assert table.groupby("precision").probability.sum().to_numpy() == pytest.approx(12)


def test_path_goes_round_a_fold():
    path = logit_path(FOLDED, max_precision=20.0)
    down = np.flatnonzero(np.diff(path.precisions) < 0)
    assert len(down) > 3
    assert path.precisions[-1] == 20.0
    assert path.residuals.max() < 1e-9
    # In small steps: nowhere is a branch left for another.
    assert np.abs(np.diff(path.behaviours, axis=0)).max() < 0.2


def test_path_ends_where_gambits_does():
    game = table(5, 4, 4)
    ours = logit_path(game, regret=1e-5)
    theirs = pygambit.qre.logit_solve_branch(to_gambit(game), maxregret=1e-8)[-1].profile
    limit = [float(theirs[s]) for p in theirs.game.players for s in p.strategies]
    np.testing.assert_allclose(ours.strategy(-1).probabilities, limit, atol=1e-3)


def draws(equilibrium, number, seed):
    """A table of what players of an equilibrium would do, `number` times at each set."""
    generator = np.random.default_rng(seed)
    frame = equilibrium.strategy.to_frame()
    chosen = frame.groupby(["player", "information_set"], sort=False).probability.transform(
        lambda p: generator.multinomial(number, p / p.sum())
    )
    return frame.drop(columns="probability").assign(count=chosen)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("game", "kind", "precision"),
    [
        (games.load(KUHN), "agent", 1.5),
        (games.load(KUHN), "normal", 4.0),
        (table(6, 3, 3), "agent", 0.4),
    ],
    ids=lambda x: getattr(x, "name", None),
)
def test_fit_recovers_the_precision(game, kind, precision, seed):
    seen = draws(logit(game, precision, kind=kind), 2000, seed)
    fit = fit_precision(game, seen, kind=kind)
    assert abs(fit.precision - precision) < 3 * fit.standard_error
    assert fit.standard_error < 0.2 * precision
    assert fit.equilibrium.facts["precision"] == fit.precision
    # The curvature of the likelihood says the same as the information.
    step = 1e-2 * fit.precision
    observed = seen["count"].to_numpy()

    def likelihood(p):
        return observed @ np.log(logit(game, p, kind=kind).strategy.probabilities)

    middle, sides = (
        likelihood(fit.precision),
        [likelihood(fit.precision + d) for d in (-step, step)],
    )
    assert middle == pytest.approx(fit.log_likelihood, abs=1e-6)
    assert middle > max(sides)
    curvature = (2 * middle - sum(sides)) / step**2
    assert curvature**-0.5 == pytest.approx(fit.standard_error, rel=0.1)


def test_fit_equals_gambit_on_a_table():
    game = table(6, 3, 3)
    counts = [[30, 11, 40], [5, 22, 31]]
    given = to_gambit(game)
    data = given.mixed_strategy_profile()
    for player, own in zip(given.players, counts, strict=True):
        for strategy, count in zip(player.strategies, own, strict=True):
            data[strategy] = count
    theirs = pygambit.qre.logit_estimate(data)
    fit = fit_precision(game, counts)
    assert fit.log_likelihood >= theirs.log_like - 1e-9
    assert fit.log_likelihood == pytest.approx(theirs.log_like, abs=1e-6)
    assert fit.precision == pytest.approx(theirs.lam, rel=1e-3)


def test_fit_equals_a_search_over_gambits_answers():
    """On a tree pygambit 16.7 cannot estimate: what it finds, it fails to hand over."""
    game = games.load(KUHN)
    seen = draws(logit(game, 1.5), 100, 7)

    def loss(precision):
        found = logit(game, precision, method="gambit").strategy.probabilities
        return -seen["count"].to_numpy() @ np.log(found)

    theirs = minimize_scalar(loss, bounds=(0.5, 5.0), method="bounded", options={"xatol": 1e-6})
    fit = fit_precision(game, seen)
    assert fit.log_likelihood == pytest.approx(-theirs.fun, abs=1e-8)
    assert fit.precision == pytest.approx(theirs.x, abs=1e-4 * fit.standard_error)


def test_fit_by_mirror_descent_equals_fit_on_the_branch():
    seen = draws(logit(games.load(KUHN), 4.0, kind="normal"), 500, 8)
    a, b = (
        fit_precision(games.load(KUHN), seen, kind="normal", method=m) for m in ("branch", "mirror")
    )
    assert a.precision == pytest.approx(b.precision, abs=1e-4 * a.standard_error)
    assert a.standard_error == pytest.approx(b.standard_error, rel=1e-3)


def test_fit_of_play_that_avoids_the_better_action():
    """The likelihood falls from precision 0 on: that is the estimate."""
    fit = fit_precision(games.load("matrix_pd"), [[30, 10], [30, 10]])
    assert fit.precision == 0
    assert fit.log_likelihood == pytest.approx(80 * np.log(0.5), abs=1e-12)


def test_fit_takes_names_and_repeated_rows():
    counts = [[3, 10], [4, 9]]
    rows = [
        (player, form("matrix_pd").players[player].information_sets[0], label, part)
        for player, own in enumerate(counts)
        for label, count in zip(form("matrix_pd").players[player].labels[1:], own, strict=True)
        for part in (1, count - 1)
    ]
    import pandas as pd

    frame = pd.DataFrame(rows, columns=["player", "information_set", "action", "count"])
    game = games.load("matrix_pd")
    assert fit_precision(game, frame).precision == fit_precision(game, counts).precision


def broken(column, value):
    frame = draws(logit(games.load(KUHN), 1.0), 10, 0)
    return frame.drop(columns=column) if value is None else frame.assign(**{column: value})


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: logit(FOLDED, -1.0), "at least 0"),
        (lambda: logit(FOLDED, float("nan")), "at least 0"),
        (lambda: logit(FOLDED, 1.0, kind="agents"), "did you mean agent"),
        (lambda: logit(FOLDED, 1.0, method="newton"), "known: branch, gambit, mirror"),
        (lambda: logit(FOLDED, 1.0, kind="agent", method="mirror"), "kind normal"),
        (lambda: logit(form(KUHN), 1.0, method="gambit"), "give the game itself"),
        (lambda: logit_path(FOLDED, method="gambit"), "take branch"),
        (lambda: logit_path(FOLDED, regret=0.0), "above 0"),
        (lambda: fit_precision(games.load("matrix_pd"), [[0, 10], [0, 10]]), "still rises"),
        (lambda: fit_precision(FOLDED, [[1, 2], [3, 4]]), r"lengths \[3, 3\]"),
        (lambda: fit_precision(games.load(KUHN), [[1, 2], [3, 4]]), "give a table"),
        (lambda: fit_precision(FOLDED, [[0, 0, 0], [0, 0, 0]]), "one above 0"),
        (lambda: fit_precision(games.load(KUHN), broken("count", -1)), "at least 0"),
        (lambda: fit_precision(games.load(KUHN), broken("count", None)), "lacks the column count"),
        (lambda: fit_precision(games.load(KUHN), broken("player", 2)), "has 0 to 1"),
        (lambda: fit_precision(games.load(KUHN), broken("information_set", "9")), "no information"),
        (lambda: fit_precision(games.load(KUHN), broken("action", "fold")), "no action 'fold'"),
    ],
)
def test_bad_input_in_one_line(call, message):
    with pytest.raises(games.InputError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", [KUHN, AUCTION, "matrix_pd"])
def test_a_sequence_form_is_enough(name):
    """It says what chance does, which the agents' conditional utilities need."""
    found = logit(form(name), 1.5)
    assert (found.facts["kind"], found.facts["method"]) == ("agent", "branch")
    theirs = logit(games.load(name), 1.5, kind="agent", method="gambit")
    np.testing.assert_allclose(
        found.strategy.probabilities, theirs.strategy.probabilities, atol=2e-7
    )


@pytest.mark.parametrize(
    ("method", "kind"), [("branch", "agent"), ("gambit", "agent"), ("mirror", "normal")]
)
def test_kind_auto_is_agent_wherever_the_branch_is_followed(method, kind):
    assert logit(games.load(KUHN), 1.0, method=method).facts["kind"] == kind


@pytest.mark.parametrize("method", ["branch", "mirror"])
def test_progress_stops_it(method):
    told = []

    def stop(message):
        told.append(message)
        return len(told) == 2

    with pytest.raises(RuntimeError, match="stopped"):
        logit(games.load(KUHN), 50.0, kind="normal", method=method, progress=stop)
    assert len(told) == 2
    assert told[0].startswith(f"{method}: precision")
    told.clear()
    path = logit_path(games.load(KUHN), kind="normal", method=method, progress=stop)
    assert 1 <= len(path) < 10
    told.clear()
    with pytest.raises(RuntimeError, match="stopped"):
        fit_precision(
            games.load(KUHN), broken("count", 1), kind="normal", method=method, progress=stop
        )


def test_a_step_that_is_corrected_past_the_target_is_taken_again():
    """A game in which the step before the target ends at 1.002, although it was aimed below 1."""
    game = games.NormalForm.from_payoffs(
        np.array([
            [[[0.84145889, 0.12871566, 1.07834244], [0.72243087, 0.21057181, 0.28403815]]],
            [[[-0.1697605, 0.86846021, -1.12971596], [-0.42185883, 0.24293885, 1.80142086]]],
            [[[-0.76446412, -1.07906046, -0.5632872], [0.9692722, -0.23500551, 1.32434702]]],
        ])
    )  # fmt: skip
    found = analysis.logit(game, 1.0)
    assert found.facts["precision"] == 1.0
    assert found.facts["residual"] <= 1e-9
    assert analysis.logit_path(game, max_precision=1.0).precisions.max() == 1.0


def test_large_payoffs_at_large_precision():
    """Von Stengel's 6 x 6 game of 75 equilibria, payoffs up to 1e6: in a softmax of numbers of this
    size a rounding error is no excuse for a wrong probability."""
    pays = np.array(STENGEL.split(), dtype=float).reshape(6, 6, 2).transpose(1, 0, 2)
    game = NormalForm.from_payoffs(pays, name="stengel")
    early = logit(game, 3e-6)  # before the fork at which Gambit leaves the symmetry
    assert_same(early, logit(game, 3e-6, method="gambit"))
    for precision in (1e-3, 1.0):
        found = logit(game, precision)
        x, y = game.mixed(found.strategy)
        assert x == pytest.approx(softmax(precision * (pays[..., 0] @ y)), abs=1e-7)
        assert y == pytest.approx(softmax(precision * (x @ pays[..., 1])), abs=1e-7)


@pytest.mark.parametrize("precision", [1e-19, 1e-18, 1e-10])
def test_payoffs_of_1e19(precision):
    """Gambit's own test game, in which a payoff is 1e19 and the others are -1, 0 and 1."""
    ends = ["1e19 -1e19", "1 -1", "-1 1", "0 0", "-1 1", "1 -1", "0 0", "1e19 -1e19"]
    ends = [end.replace("1e19", "1" + 19 * "0").replace(" ", ", ") for end in ends]
    lines = ['EFG 2 R "large" { "A" "B" }', '""', 'c "" 1 "" { "L" 1/2 "R" 1/2 } 0']
    for k in range(2):
        lines.append(f'p "" 1 {k + 1} "" {{ "a" "b" }} 0')
        for j in range(2):
            lines.append(f'p "" 2 {j + 1} "" {{ "x" "y" }} 0')
            for i in range(2):
                number = 4 * k + 2 * j + i
                lines.append(f't "" {number + 1} "" {{ {ends[number]} }}')
    game = from_gambit_file("\n".join(lines) + "\n")
    assert_same(logit(game, precision), logit(game, precision, method="gambit"))


@pytest.mark.parametrize("factor", [1e-6, 1e6, 1e9])
def test_precision_is_in_units_of_the_payoffs(factor):
    game = table(3, 3, 4)
    scaled = NormalForm.from_payoffs(game.payoffs * factor)
    assert_same(logit(scaled, 2.0 / factor), logit(game, 2.0))


def test_a_precision_out_of_reach_is_said_soon():
    """Within some dozens of corrections, not the thousands in which it was lost before."""
    corrections = []
    with pytest.raises(Unverified, match="out of reach") as caught:
        logit(games.load(KUHN), 1e30, progress=lambda message: bool(corrections.append(message)))
    assert "\n" not in str(caught.value)
    # Nothing is claimed of precisions in between: some of them are within reach.
    assert "the branch was given up at" in str(caught.value)
    assert "hides it beyond" not in str(caught.value)
    assert len(corrections) < 200
    # Where everybody has a dominant action no precision is too high.
    assert logit(games.load("matrix_pd"), 1e30).values == pytest.approx([1.0, 1.0])


def assert_same(ours, theirs):
    assert ours.strategy.probabilities == pytest.approx(theirs.strategy.probabilities, abs=1e-6)


# Pairs of payoffs, the first player's strategies fastest, as in Gambit's `stengel.nfg`.
STENGEL = """
9504 72336 -111771 -461736 397584 1227336 171204 -1718376 1303104 1303104 737154 -453420
-660 48081 31680 -300036 -113850 774576 -45936 -1039236 -453420 737154 -227040 -227040
19976 29216 -130944 -178761 451176 451176 208626 -586476 1227336 397584 774576 -113850
-20526 14124 168124 -84436 -586476 208626 -263076 -263076 -1718376 171204 -1039236 -45936
1776 1776 -8514 -8976 29216 19976 14124 -20526 72336 9504 48081 -660
-8976 -8514 52764 52764 -178761 -130944 -84436 168124 -461736 -111771 -300036 31680
"""
