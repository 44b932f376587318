"""Nash equilibria against known values, Gambit, and brute force over supports."""

from __future__ import annotations

import io
import itertools

import numpy as np
import pygambit
import pytest

import analysis
import games
from analysis.equilibria.equilibrium import Unverified
from analysis.equilibria.nash import nash
from analysis.equilibria.zero_sum import sequence_form_lp
from games import NormalForm
from games.finite.gambit.reading import GambitGame
from games.finite.kernels import plans
from tests.conftest import (
    BATTLESHIP,
    CATALOGUE,
    CATALOGUE_FILES,
    KUHN,
    LD4,
    LD5,
    LD6,
    LEDUC,
    forgets,
    form,
    short,
)

# The values of the sequence-form linear programs in the literature and of OpenSpiel's own.
VALUES = [
    (KUHN, -1 / 18, 1e-12),
    (LEDUC, -0.085606424078, 1e-9),
    ("leduc_poker(suit_isomorphism=True)", -0.085606424078, 1e-9),
    ("liars_dice(numdice=1,dice_sides=2)", 1 / 2, 1e-9),
    ("liars_dice(numdice=1,dice_sides=3)", 1 / 9, 1e-9),
    (LD4, 1 / 16, 1e-9),
    (LD5, 1 / 125, 1e-9),
    (LD6, -0.0271317829, 1e-10),
    (BATTLESHIP, 0.625, 1e-9),
    ("matrix_mp", 0.0, 1e-12),
    ("matrix_rps", 0.0, 1e-12),
]


@pytest.mark.parametrize(("name", "value", "tolerance"), VALUES)
def test_zero_sum_values_from_both_sides(name, value, tolerance):
    first = sequence_form_lp(form(name), player=0)
    second = sequence_form_lp(form(name), player=1)
    assert first.value == pytest.approx(value, abs=tolerance)
    assert second.value == pytest.approx(value, abs=tolerance)
    assert first.facts["lp_value"] == pytest.approx(-second.facts["lp_value"], abs=1e-9)
    for found in (first, second):
        assert analysis.nash_conv(form(name), found.strategy) <= 2e-9


def test_auto_says_what_it_picked():
    assert "sequence-form LP" in nash(form(KUHN)).method
    assert "backward induction" in nash(games.load(str(CATALOGUE_FILES[2]))).method
    assert "lcp" in nash(NormalForm.from_payoffs([[3, 0], [5, 1]], [[3, 5], [0, 1]])).method


def test_a_constant_other_than_zero_is_still_the_linear_program():
    game = NormalForm.from_payoffs([[1.0, 4.0], [3.0, 2.0]], [[4.0, 1.0], [2.0, 3.0]])
    found = nash(game)
    assert "LP" in found.method
    assert found.values == pytest.approx([2.5, 2.5], abs=1e-12)


def mixed_sets(game: NormalForm, result) -> list[np.ndarray]:
    """Gambit's equilibria as joined vectors."""
    return [
        np.concatenate([[float(p[s]) for s in player.strategies] for player in p.game.players])
        for p in result.equilibria
    ]


def joined(game: NormalForm, found) -> np.ndarray:
    return np.concatenate(game.mixed(found.strategy))


def same_sets(ours: list[np.ndarray], theirs: list[np.ndarray], tolerance: float) -> bool:
    near = lambda a, many: any(np.abs(a - b).max() <= tolerance for b in many)  # noqa: E731
    return all(near(a, theirs) for a in ours) and all(near(b, ours) for b in theirs)


def random_game(seed: int) -> NormalForm:
    """Bimatrix games, every other one with small integers, so that many are degenerate."""
    rng = np.random.default_rng(seed)
    shape = (int(rng.integers(2, 6)), int(rng.integers(2, 6)))
    draw = (lambda: rng.integers(0, 4, shape)) if seed % 2 else (lambda: rng.random(shape))
    return NormalForm.from_payoffs(draw(), draw())


@pytest.mark.parametrize("seed", range(30))
def test_all_equilibria_of_random_bimatrix_games_are_gambits_exact_ones(seed):
    game = random_game(seed)
    # Arrays and not our own file: another way into Gambit.
    exact = pygambit.Game.from_arrays(
        *(np.vectorize(pygambit.Rational)(game.payoffs[..., i]) for i in range(2))
    )
    theirs = mixed_sets(game, pygambit.nash.enummixed_solve(exact, rational=True))
    ours = [joined(game, found) for found in nash(game, "all")]
    assert same_sets(ours, theirs, 1e-6)


def supports(count: int):
    return itertools.chain.from_iterable(
        itertools.combinations(range(count), size) for size in range(1, count + 1)
    )


@pytest.mark.parametrize("seed", range(12))
def test_all_equilibria_of_generic_bimatrix_games_by_supports(seed):
    """Of a generic game: the solutions of the indifference equations, support by support."""
    rng = np.random.default_rng(100 + seed)
    n = int(rng.integers(2, 5))
    a, b = rng.random((n, n)), rng.random((n, n))
    expected = []
    for rows, columns in itertools.product(supports(n), supports(n)):
        if len(rows) != len(columns):
            continue
        k = len(rows)
        x, y = np.zeros(n), np.zeros(n)
        right = np.append(np.zeros(k), 1.0)
        system = np.block([[b[np.ix_(rows, columns)].T, -np.ones((k, 1))], [np.ones(k), 0]])
        x[list(rows)] = np.linalg.solve(system, right)[:k]
        system = np.block([[a[np.ix_(rows, columns)], -np.ones((k, 1))], [np.ones(k), 0]])
        y[list(columns)] = np.linalg.solve(system, right)[:k]
        if min(x.min(), y.min()) < 0:
            continue
        if (a @ y).max() - x @ a @ y < 1e-9 and (x @ b).max() - x @ b @ y < 1e-9:
            expected.append(np.concatenate([x, y]))
    game = NormalForm.from_payoffs(a, b)
    assert same_sets([joined(game, found) for found in nash(game, "all")], expected, 1e-6)


@pytest.mark.parametrize("seed", range(12))
def test_random_games_of_three_and_four_players(seed):
    rng = np.random.default_rng(200 + seed)
    shape = [(2, 2, 2), (2, 3, 2), (3, 3, 2), (2, 2, 2, 2)][seed % 4]
    size = (*shape, len(shape))
    payoffs = rng.random(size) if seed < 8 else rng.integers(0, 3, size)
    game = NormalForm.from_payoffs(payoffs)
    one = nash(game)
    assert one.regret <= 1e-6
    if seed < 8:
        theirs = mixed_sets(game, pygambit.nash.enumpoly_solve(
            pygambit.Game.from_arrays(*np.moveaxis(payoffs, -1, 0)), use_strategic=True
        ))  # fmt: skip
        every = [joined(game, found) for found in nash(game, "all", seconds=60)]
        assert same_sets(every, theirs, 1e-6)
        assert any(np.abs(joined(game, one) - other).max() <= 1e-6 for other in every)


@pytest.mark.parametrize("path", [p for p in CATALOGUE_FILES if not forgets(p)], ids=short)
def test_gambits_catalogue(path):
    """Every equilibrium of ours is one of Gambit's, and the other way about, as plans."""
    game = games.load(str(path))
    one = nash(game)
    compiled = games.as_form(game)
    assert analysis.nash_conv(compiled, one.strategy) <= 1e-6 * compiled.num_players
    if compiled.num_players > 2:
        return
    source = pygambit.read_efg(path) if path.suffix == ".efg" else pygambit.read_nfg(path)
    theirs = []
    for profile in pygambit.nash.enummixed_solve(source, rational=True).equilibria:
        behaviour = profile.as_behavior() if source.is_tree else profile
        values = [float(behaviour.payoff(player)) for player in source.players]
        theirs.append(values)
    ours = [found.values for found in nash(game, "all")]
    # Gambit's tree strategies are numbered otherwise than ours, but payoffs are payoffs.
    assert {tuple(np.round(v, 6) + 0.0) for v in ours} == {
        tuple(np.round(v, 6) + 0.0) for v in theirs
    }
    assert any(np.allclose(one.values, v, atol=1e-6) for v in theirs)


@pytest.mark.parametrize("path", [p for p in CATALOGUE_FILES if forgets(p)], ids=short)
def test_imperfect_recall_is_refused(path):
    with pytest.raises(games.GameError, match="imperfect recall"):
        nash(games.load(str(path)))


def test_a_continuum_of_equilibria_ends_at_the_time_limit():
    game = games.load(str(CATALOGUE / "journals/ijgt/nau2004/sec6.nfg"))
    assert nash(game).regret <= 1e-9
    with pytest.raises(TimeoutError, match="enumpoly"):
        nash(game, "all", seconds=1)
    with pytest.raises(TimeoutError, match="stopped"):
        nash(game, "all", progress=lambda message: True)


def test_irrational_equilibrium():
    """Nau, Gomez Canovas & Hansen (2004), section 4: unique, with square roots in it."""
    found = nash(games.load(str(CATALOGUE / "journals/ijgt/nau2004/sec4.nfg")))
    assert found.regret <= 1e-12


def test_backward_induction_is_subgame_perfect():
    """Selten (1975), figure 2: (R, r) is a Nash equilibrium, and not perfect."""
    game = games.load(str(CATALOGUE / "books/shohamleytonbrown2008/fig5_2.efg"))
    found = nash(game, method="backward")
    theirs = pygambit.nash.enumpure_agent_solve(game.gambit).equilibria
    payoffs = {tuple(float(p.payoff(i)) for i in game.gambit.players) for p in theirs}
    assert tuple(found.values) in payoffs


@pytest.mark.parametrize(
    "name", ["nim(pile_sizes=1;2;3)", "nim(pile_sizes=2;2)", "nim(pile_sizes=1;2)"]
)
def test_backward_induction_has_the_value_of_the_program(name):
    game = games.load(name)
    solved = nash(game, method="backward")
    assert solved.value == pytest.approx(sequence_form_lp(game).value, abs=1e-9)


def test_subgame_perfection_off_the_path():
    """An entry game, in which the incumbent would not fight once it came to that."""
    text = (
        'EFG 2 R "entry" { "entrant" "incumbent" }\n'
        'p "" 1 1 "market" { "in" "out" } 0\n'
        'p "" 2 1 "entered" { "fight" "share" } 0\n'
        't "" 1 "" { -1 -1 }\nt "" 2 "" { 1 1 }\nt "" 3 "" { 0 2 }\n'
    )
    game = GambitGame("entry", pygambit.read_efg(io.BytesIO(text.encode())))
    found = nash(game)
    assert found.strategy.action_probabilities("entered") == {0: 0.0, 1: 1.0}
    assert len(nash(game, "all")) > 1  # the threat to fight holds up other Nash equilibria


@pytest.mark.parametrize(
    ("method", "which"),
    [
        ("lcp", "one"), ("enummixed", "all"), ("enumpure", "all"), ("enumpoly", "all"),
        ("logit", "one"), ("gnm", "one"), ("simpdiv", "one"),
    ],
)  # fmt: skip
def test_every_method_of_gambits_on_one_game(method, which):
    game = NormalForm.from_payoffs(
        [[3, 0, 1], [2, 2, 2], [1, 0, 4]], [[2, 0, 1], [0, 1, 0], [1, 0, 3]]
    )
    found = nash(game, which, method=method)
    every = [found] if which == "one" else list(found)
    assert every
    assert max(e.regret for e in every) <= 1e-6
    assert method in every[0].method


def test_trees_and_forms_agree():
    """Given a tree Gambit gets the tree; given its form alone, the reduced normal form."""
    game = games.load(str(CATALOGUE / "books/myerson1991/fig4_2.efg"))
    from_tree, from_form = nash(game), nash(game.sequence_form())
    assert "tree" in from_tree.method
    assert "tree" not in from_form.method
    every = [e.values for e in nash(game, "all")]
    for found in (from_tree, from_form):
        assert any(np.allclose(found.values, v, atol=1e-6) for v in every)


def test_equilibria_that_play_alike_count_once():
    game = games.load(str(CATALOGUE / "books/shohamleytonbrown2008/fig5_1.efg"))
    compiled = game.sequence_form()
    every = [plans(compiled, e.strategy.behaviour(compiled)) for e in nash(game, "all")]
    for a, b in itertools.combinations(every, 2):
        assert np.abs(a - b).max() > 1e-6


def test_what_does_not_fit_is_refused():
    prisoners = NormalForm.from_payoffs([[3, 0], [5, 1]], [[3, 5], [0, 1]])
    with pytest.raises(games.InputError, match="not zero-sum"):
        nash(prisoners, method="lp")
    with pytest.raises(games.InputError, match="3 players"):
        nash(form("kuhn_poker(players=3)"), method="lcp")
    with pytest.raises(games.InputError, match="did you mean"):
        nash(prisoners, method="lpc")
    with pytest.raises(games.InputError, match="needs the game"):
        nash(form(KUHN), method="backward")
    with pytest.raises(games.InputError, match="several histories"):
        nash(games.load(KUHN), method="backward")
    with pytest.raises(games.GameError, match="pure strategies"):
        nash(form(LD4), "all")


def test_an_unverified_answer_is_not_returned(monkeypatch):
    from analysis.equilibria import gambit

    game = NormalForm.from_payoffs([[3, 0], [5, 1]], [[3, 5], [0, 1]])
    cooperate = (np.array([1.0, 0.0]), np.array([1.0, 0.0]))
    monkeypatch.setattr(gambit, "profiles_of", lambda game, result: [cooperate])
    with pytest.raises(Unverified, match="no equilibrium"):
        nash(game, method="lcp")
    other = nash(game)  # Gambit's answers are refused, and another solver finds the equilibrium
    assert "Gambit" not in other.method
    assert other.values == pytest.approx([1.0, 1.0])
